"""A kind of problem that one module states and registers keeps all promises, with no other file edited."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from catalogue import conformance
from toy_kind import LargerRoot

import implicitops as iop
from implicitops.calculus import Operation, Solve
from implicitops.kernels import handle_of
from implicitops.problems.base import Problem
from implicitops.verify.differentiation.numpy import NumpyDifferentiable

p, q = sp.symbols("p q")
b, c = sp.symbols("b c")

CASES = {
    "two scalars": conformance.ClosedForm(LargerRoot(q, -p, (p, q)), ((sp.sqrt(q**2 + 4 * p) - q) / 2,), (3.0, 2.0)),
    "scalar and vector": conformance.ClosedForm(
        LargerRoot(b * p, -c, (p, (b, c))), ((sp.sqrt(b**2 * p**2 + 4 * c) - b * p) / 2,), (2.0, 2.0)
    ),
}

#: Broadcasting an argument's gradient, keeping its dtype and the derivative of a start belong to a framework.
OF_FRAMEWORKS = (
    conformance.check_scalars_batches_and_broadcasting,
    conformance.check_narrow_dtypes,
    conformance.check_start_values_have_no_derivative,
)

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_check = pytest.mark.parametrize("check", conformance.CHECKS)


@every_case
@pytest.mark.parametrize("check", [check for check in conformance.CHECKS if check not in OF_FRAMEWORKS])
def test_numpy_keeps_the_promise(check, case):
    check(lambda problem, _: NumpyDifferentiable(problem), case)


@every_case
@every_check
@pytest.mark.usefixtures("linker")
def test_theano_keeps_the_promise(check, case):
    from implicitops.verify.differentiation.theano import TheanoDifferentiable

    check(TheanoDifferentiable, case)


@every_case
@every_check
def test_tensorflow_keeps_the_promise(check, case):
    pytest.importorskip("tensorflow", reason="needs TensorFlow")
    from implicitops.verify.differentiation.tensorflow import TensorflowDifferentiable

    check(TensorflowDifferentiable, case)


def test_its_values_and_two_derivatives_match_fifty_digits():
    report = iop.verify_grad(CASES["two scalars"].problem, [(1.0, 0.5), (0.3, 2.0)], order=2)
    assert report.passed


def test_plain_numbers_take_the_shortcut():
    problem = CASES["two scalars"].problem.replaced()
    for _ in range(2):
        assert problem(2.0, 1.0) == 1.0
    assert float in problem.__dict__["_shortcuts"]


class Unregistered(LargerRoot):
    """Its class alone would be enough, as that of a subclass of a known kind is."""


def test_a_subclass_is_solved_as_its_kind_is():
    np.testing.assert_allclose(Unregistered(q, -p, (p, q)).solve(2.0, 1.0, derivatives=1).jacobian, [1 / 3, -1 / 3])


class Stranger(Problem):
    """Of a kind that nobody has registered."""

    params, output_shape = (p,), ()

    def _equation(self):
        return "stranger"

    _content = _equation


class Strange(Operation):
    """That nobody has registered."""

    name = "strange"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda problem: handle_of(Solve(problem)), r"no kernel solves Stranger problems.*build\.solves"),
        (lambda problem: Solve(problem).vjp(), r"no derivative rules for Stranger problems.*rules_of\.register"),
    ],
)
def test_a_kind_that_is_not_registered_says_where_to(ask, message):
    with pytest.raises(TypeError, match=message):
        ask(Stranger())


def test_an_operation_that_is_not_registered_says_where_to():
    with pytest.raises(TypeError, match=r"no kernel for Strange\..*build\.bind\.register"):
        handle_of(Strange())
