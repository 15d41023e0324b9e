"""A solve whose value is right but whose derivative is not a number says so: the value stays, the derivative is NaN."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.calculus import Solve
from implicitops.kernels.build import handle_of

x, y, p, q = sp.symbols("x y p q")

CASES = {
    "root": (iop.Root(x - 1 - sp.sqrt(p), x, [p, q], bracket=(0, 10)), (0.0, 1.0)),
    "jump": (iop.Root(x - sp.Heaviside(p) - q, x, [p, q], guess=1), (0.0, 1.0)),
    "system": (iop.Root([x - sp.sqrt(p), y - p - q], [x, y], [p, q], guess=[0.5, 0.5]), (0.0, 1.0)),
    "fixed point": (iop.FixedPoint([y / 4 + sp.sqrt(p), x / 4 + q], [x, y], [p, q], guess=[0.5, 0.5]), (0.0, 1.0)),
    "minimum": (iop.Minimum((x - sp.sqrt(p)) ** 2 + (y - q) ** 2, [x, y], [p, q], guess=[0.5, 0.5]), (0.0, 1.0)),
}


@pytest.mark.parametrize("name", CASES)
class TestUndefinedDerivative:
    def test_value_stays_and_what_is_no_number_is_nan(self, name):
        problem, point = CASES[name]
        solution = problem.solve(*point, derivatives=1, throw=False)
        assert solution.status is iop.Status.DERIVATIVE_UNDEFINED
        assert not solution.converged
        np.testing.assert_array_equal(solution.value, problem.solve(*point).value)
        assert np.isnan(solution.jacobian).any()
        assert not np.isinf(solution.jacobian).any()

    def test_value_alone_converges(self, name):
        problem, point = CASES[name]
        assert problem.solve(*point).status is iop.Status.CONVERGED
        assert np.isfinite(problem(*point)).all()

    def test_error_names_parameter_and_batch_element(self, name):
        problem, point = CASES[name]
        with pytest.raises(iop.SolveError, match=r"first at index \(1,\).*first derivative.*respect to p"):
            problem.solve([0.7, point[0], 0.9], point[1], derivatives=1)

    def test_batch_fails_only_where_the_derivative_does(self, name):
        problem, point = CASES[name]
        solution = problem.solve([0.7, point[0], 0.9], point[1], derivatives=2, throw=False)
        assert solution.converged.tolist() == [True, False, True]
        assert np.isfinite(solution.jacobian[[0, 2]]).all()
        assert np.isfinite(solution.value).all()


def test_derivatives_of_other_parameters_are_kept():
    problem, point = CASES["root"]
    jacobian = problem.solve(*point, derivatives=1, throw=False).jacobian
    assert np.isnan(jacobian[0])
    assert jacobian[1] == 0


def test_infinite_second_derivative_is_undefined_where_the_first_is_finite():
    problem = iop.Root(x - 1 - p ** sp.Rational(3, 2), x, [p], bracket=(0, 10))
    assert problem.solve(0.0, derivatives=1).jacobian == 0
    solution = problem.solve(0.0, derivatives=2, throw=False)
    assert solution.status is iop.Status.DERIVATIVE_UNDEFINED
    assert solution.jacobian == 0
    assert np.isnan(solution.hessian).all()


def test_jacobian_of_existing_code_that_is_infinite_is_undefined():
    problem = iop.External(
        lambda v: v, inputs={"v": ()}, outputs=(), jacobian=lambda v: np.array([np.inf if v == 1 else 1.0])
    )
    solution = problem.solve(1.0, derivatives=1, throw=False)
    assert solution.status is iop.Status.DERIVATIVE_UNDEFINED
    assert solution.value == 1


def test_kernel_is_told_when_an_array_is_missing():
    problem = iop.Root(x**3 - p, x, [p], bracket=(0, 1 + p))
    with pytest.raises(ValueError, match="1 inputs and 6 outputs"):
        handle_of(Solve(problem)).run(1, 0, [np.ones(1)], [0], [np.empty(1)], None, None)
