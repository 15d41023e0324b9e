"""verify_grad beyond scalar roots: vector answers, vector parameters, minima and existing code."""

import numpy as np
import pytest
import sympy as sp

import implicitops as iop

x, y, a, r = sp.symbols("x y a r")
k = sp.symbols("k0:3")

PROBLEMS = [
    (iop.Root([x**2 + y**2 - r**2, x - a * y], [x, y], [r, a], guess=[r, r]), [(5.0, 2.0), (1.0, 0.3)]),
    (iop.Root([x * k[0] + y - k[1], sp.exp(y) - x * k[2] * a], [x, y], [k, a], guess=[1, 1]), [((1.0, 2.0, 0.5), 0.7)]),
    (iop.FixedPoint([sp.tanh(a * y) + 0.1, sp.cos(x)], [x, y], [a], guess=[0, 0]), [0.3, 0.7]),
    (iop.FixedPoint(sp.cos(a * x), x, [a], guess=1), [0.3, 0.7]),
    (iop.Minimum(sp.exp(x) - a * x + r * x**2, x, [a, r], guess=0), [(2.0, 0.1)]),
    (iop.Minimum((1 - x) ** 2 * a + r * (y - x**2) ** 2, [x, y], [a, r], guess=[0, 0]), [(2.0, 10.0)]),
]


@pytest.mark.parametrize(("problem", "points"), PROBLEMS, ids=lambda v: repr(v)[:40])
def test_value_jacobian_and_hessian_match_fifty_digits(problem, points):
    report = iop.verify_grad(problem, points, order=2)
    assert report.passed
    assert len(report.checks) > 20


@pytest.mark.parametrize(("problem", "points"), PROBLEMS[:1] + PROBLEMS[-1:], ids=lambda v: repr(v)[:40])
def test_the_theano_op_passes_the_same_checks(problem, points):
    pytest.importorskip("theano")
    assert iop.verify_grad(problem, points, order=2, backends=("theano",)).passed


def function(u, v):
    return np.array([u * v[0], np.sin(u) + v[1] ** 2])


def jacobian(u, v):
    return np.array([[v[0], u, 0], [np.cos(u), 0, 2 * v[1]]])


def test_the_derivative_of_existing_code_is_compared_with_extrapolated_differences():
    problem = iop.External(function, inputs={"u": (), "v": (2,)}, outputs=(2,), jacobian=jacobian)
    assert iop.verify_grad(problem, [(0.5, (1.0, 2.0))]).passed


@pytest.mark.parametrize("entry", [(0, 0), (1, 0), (1, 2)])
def test_a_wrong_entry_of_a_given_jacobian_is_caught(entry):
    def wrong(u, v):
        result = jacobian(u, v)
        result[entry] *= 1 + 1e-6
        return result

    problem = iop.External(function, inputs={"u": (), "v": (2,)}, outputs=(2,), jacobian=wrong)
    report = iop.verify_grad(problem, [(0.5, (1.0, 2.0))], throw=False)
    assert {check.name for check in report.checks if check.passed is False} >= {"numpy: solve jacobian", "numpy: vjp"}


def test_a_transposed_jacobian_is_caught():
    def transposed(u, v):
        return np.array([[v[0], u], [u * u, 3.0]]).T

    problem = iop.External(
        lambda u, v: np.array([u * v, u**3 / 3 + 3 * v]), inputs={"u": (), "v": ()}, outputs=(2,), jacobian=transposed
    )
    assert not iop.verify_grad(problem, [(0.5, 2.0)], throw=False).passed


def test_a_minimum_with_bounds_asks_for_a_reference():
    problem = iop.Minimum((x - a) ** 2, x, [a], guess=0, bounds=(0, 1))
    with pytest.raises(iop.ArgumentError, match="reference="):
        iop.verify_grad(problem, [0.5])
    assert iop.verify_grad(problem, [0.5], reference=lambda p: p).passed


@pytest.mark.parametrize(("problem", "points"), PROBLEMS, ids=lambda v: repr(v)[:40])
def test_another_guess_is_tried_for_every_kind_of_problem_that_has_one(problem, points):
    report = iop.verify_grad(problem, points[:1], order=1)
    (check,) = [check for check in report.checks if check.name == "numpy: derivative of the start is zero"]
    assert check.passed
