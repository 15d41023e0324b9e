"""Integrals that have no value say why; batches, threads and methods."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops import Status

x, a, b, k, p = sp.symbols("x a b k p")
oo = sp.oo

FAILING = [
    (1 / x, (x, 0, 1), 1.0, Status.DIVERGENT),
    (1 / x, (x, -1, 1), 1.0, Status.DIVERGENT),
    (1 / x**2, (x, -1, 1), 1.0, Status.DIVERGENT),
    (1 / x**3, (x, -1, 1), 1.0, Status.DIVERGENT),
    (1 / (x - p), (x, 0, 1), 0.3, Status.DIVERGENT),
    (1 / (x**2 - p), (x, 0, 2), 2.0, Status.DIVERGENT),
    (1 / (x - p), (x, p, 2), 0.3, Status.DIVERGENT),
    (sp.tan(x), (x, 0, sp.pi), 1.0, Status.DIVERGENT),
    (1 / x, (x, 1, oo), 1.0, Status.DIVERGENT),
    (x / (1 + x**2), (x, -oo, oo), 1.0, Status.DIVERGENT),
    (1 / sp.sqrt(1 + x**2), (x, 0, oo), 1.0, Status.DIVERGENT),
    (sp.exp(x), (x, 0, oo), 1.0, Status.DIVERGENT),
    (sp.sin(p * x), (x, 0, oo), 2.0, Status.SLOW_TAIL),
    (x * sp.sin(p * x), (x, 0, oo), 2.0, Status.SLOW_TAIL),
    (sp.cos(p * x), (x, -oo, oo), 2.0, Status.SLOW_TAIL),
    (sp.sqrt(x - p), (x, 0, 1), 0.5, Status.UNDEFINED),
    (x**p, (x, -1, 1), 0.5, Status.UNDEFINED),
    (sp.exp(-1e12 * (x - 40) ** 2), (x, 0, 1), 1.0, Status.PEAK_MISSED),
    (sp.exp(-x), (x, 0, 1 / p), 0.0, Status.INVALID_LIMITS),
    (sp.exp(-x), (x, 0, sp.sqrt(p)), -1.0, Status.INVALID_LIMITS),
    (sp.exp(-x), (x, 0, 1), np.nan, Status.INVALID_INPUT),
    (sp.exp(-x), (x, 0, 1), np.inf, Status.INVALID_INPUT),
    (1 + sp.cos(p * x), (x, 0, 1), 1e7, Status.MAX_STEPS),
]


@pytest.mark.parametrize(("integrand", "limits", "value", "status"), FAILING, ids=str)
def test_failure_has_its_status_and_everything_is_nan(integrand, limits, value, status):
    solution = iop.Integral(integrand, limits, [p]).solve(value, derivatives=2, throw=False)
    assert solution.status is status
    for part in (solution.value, solution.jacobian, solution.hessian, solution.error_estimate):
        assert np.isnan(part).all()


def test_only_the_row_that_diverges_fails():
    problem = iop.Integral(x**p, (x, 0, 1), [p])
    solution = problem.solve([1.0, -1.5, -0.5, -1.0], derivatives=1, throw=False)
    assert solution.status.tolist() == [Status.CONVERGED, Status.DIVERGENT, Status.CONVERGED, Status.DIVERGENT]
    np.testing.assert_allclose(solution.value[[0, 2]], [0.5, 2.0], rtol=1e-13)
    assert np.isnan(solution.jacobian[[1, 3]]).all()


def test_a_call_raises_with_the_parameters():
    with pytest.raises(iop.SolveError, match=r"p=-1\.5: the integral has no finite value"):
        iop.Integral(x**p, (x, 0, 1), [p])(-1.5)


@pytest.mark.parametrize(
    "integrand",
    [p * sp.exp(-x), sp.Max(0, 1 - sp.Abs(x - 10 * p)), sp.Piecewise((0, x < 5 + p), (1, True)), 0 * x],
    ids=str,
)
def test_an_integrand_that_is_exactly_zero_is_no_missed_peak(integrand):
    problem = iop.Integral(integrand, (x, -1, 1), [p])
    assert problem(0.0 if integrand.has(sp.exp) else 1.0) == 0.0


@pytest.mark.parametrize("method", ["auto", "gauss_kronrod", "double_exponential"])
def test_methods_agree(method):
    root = 1 / sp.sqrt(x)
    finite = iop.Integral(sp.exp(-k * x) * root, (x, 0, 1), [k], method=method).solve(1.3, derivatives=1)
    infinite = iop.Integral(sp.exp(-k * x) / (1 + x), (x, 0, oo), [k], method=method).solve(1.3, derivatives=1)
    with mpmath.workdps(30):
        right = [
            lambda k: mpmath.sqrt(mpmath.pi / k) * mpmath.erf(mpmath.sqrt(k)),
            lambda k: mpmath.exp(k) * mpmath.e1(k),
        ]
        for solution, function in zip((finite, infinite), right):
            np.testing.assert_allclose(solution.value, float(function(1.3)), rtol=1e-8)
            np.testing.assert_allclose(solution.jacobian, [float(mpmath.diff(function, 1.3))], rtol=1e-8)


def test_tighter_tolerances_give_smaller_errors():
    right = float(-mpmath.si(30) / 30)
    for rtol in (1e-2, 1e-5, 1e-11):
        solution = iop.Integral(sp.cos(k * x) * sp.log(x), (x, 0, 1), [k], rtol=rtol).solve(30.0)
        assert abs(solution.value - right) <= solution.error_estimate <= rtol * abs(right) * 1.01


PROBLEM = iop.Integral([sp.exp(-k * x) * sp.sqrt(x), sp.Abs(x - k)], (x, 0, b), [k, b])
POINTS = np.linspace(0.1, 2.0, 300), np.linspace(0.5, 1.5, 300)


def fields(solution):
    return [solution.value, solution.jacobian, solution.hessian, solution.error_estimate]


def test_batch_is_a_loop():
    batch = PROBLEM.solve(*POINTS, derivatives=2)
    for i in range(0, 300, 37):
        one = PROBLEM.solve(POINTS[0][i], POINTS[1][i], derivatives=2)
        for found, right in zip(fields(batch), fields(one)):
            np.testing.assert_array_equal(found[i], right)


def test_threads_change_nothing():
    try:
        iop.set_num_threads(1)
        one = PROBLEM.solve(*POINTS, derivatives=2)
        iop.set_num_threads(4)
        four = PROBLEM.solve(*POINTS, derivatives=2)
    finally:
        iop.set_num_threads(None)
    for found, right in zip(fields(four), fields(one)):
        np.testing.assert_array_equal(found, right)


def test_value_does_not_depend_on_the_order_of_derivatives_beyond_the_tolerance():
    values = [PROBLEM.solve(*POINTS, derivatives=order).value for order in (0, 1, 2)]
    np.testing.assert_allclose(values[1], values[0], rtol=1e-8)
    np.testing.assert_allclose(values[2], values[0], rtol=1e-8)


def test_empty_batch():
    solution = PROBLEM.solve(np.empty(0), 1.0, derivatives=2)
    assert solution.value.shape == (0, 2)
    assert solution.hessian.shape == (0, 2, 2, 2)


def test_counters():
    stats = PROBLEM.solve(0.5, 1.0).stats
    assert set(stats) == {"evaluations", "subintervals", "double_exponential", "extrapolated"}
    assert stats["evaluations"] > 0
