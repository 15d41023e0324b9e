"""What is no part of a statement is refused by every kind with an error of ours that says what was expected."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.errors import ProblemError

x, p = sp.symbols("x p")

#: Each kind, stated with an expression and with parameters.
KINDS = {
    "Root": lambda expression, params: iop.Root(expression, x, params, guess=1),
    "Root of a system": lambda expression, params: iop.Root([expression], [x], params, guess=[1]),
    "FixedPoint": lambda expression, params: iop.FixedPoint(expression, x, params, guess=1),
    "Minimum": lambda expression, params: iop.Minimum(expression, x, params, guess=1),
    "ODE": lambda expression, params: iop.ODE({x: expression}, params, initial={x: 1}),
    "Integral": lambda expression, params: iop.Integral(expression, (x, 0, 1), params),
}


class HasFloat:
    def __float__(self):
        raise ValueError("no number")


class HasSympy:
    def _sympy_(self):
        raise AttributeError("no expression")


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def state(request):
    return request.param


NO_EXPRESSIONS = [int, float, np.float64, HasFloat(), HasSympy(), object(), print, None, ...]


@pytest.mark.parametrize("value", NO_EXPRESSIONS, ids=lambda value: getattr(value, "__name__", type(value).__name__))
def test_what_is_no_expression_is_named(state, value):
    with pytest.raises(ProblemError, match="must be a SymPy expression; got"):
        state(value, [p])


@pytest.mark.parametrize("params", [np.array(1.0), np.array(p), 3, "p", b"p", int], ids=repr)
def test_what_is_no_sequence_of_parameters_is_named(state, params):
    with pytest.raises(ProblemError, match="params must be a sequence of Symbols"):
        state((x - p) ** 2, params)


def test_parameter_called_self_is_given_by_name():
    parameter = sp.Symbol("self")
    root = iop.Root(x - parameter**2, x, [parameter], guess=1)
    assert root(self=3.0) == root(3.0) == 9.0
    solution = root.solve(self=3.0, derivatives=1)
    np.testing.assert_allclose((solution.value, solution.jacobian[0]), (9.0, 6.0), rtol=1e-14)
    assert root.op("numpy")(self=3.0) == 9.0


def test_search_without_a_guess_says_where_to_give_one():
    with pytest.raises(ProblemError, match=r"the search for x starts.*as in guess=1"):
        iop.FixedPoint(sp.cos(x) * p, x, [p])
    with pytest.raises(ProblemError, match=r"the search for x starts.*as in guess=1"):
        iop.Minimum((x - p) ** 2, x, [p])
    y = sp.Symbol("y")
    with pytest.raises(ProblemError, match=r"the search for x, y starts.*as in guess=\[1, 1\]"):
        iop.Minimum((x - p) ** 2 + y**2, [x, y], [p])
