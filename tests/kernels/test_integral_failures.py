"""Integrals that have no value say why; batches, threads and methods."""

from __future__ import annotations

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
    finite = iop.Integral(sp.exp(-k * x) / sp.sqrt(x), (x, 0, 1), [k], method=method)
    infinite = iop.Integral(sp.exp(-k * x) / (1 + x), (x, 0, oo), [k], method=method)
    found = [problem.solve(1.3, derivatives=2) for problem in (finite, infinite)]
    np.testing.assert_allclose([s.value for s in found], [1.3879427416, 0.4973066063], rtol=1e-8)
    np.testing.assert_allclose(
        [s.hessian[0, 0] for s in found],
        [iop.Integral(sp.diff(sp.exp(-k * x), k, 2) * f, limits, [k])(1.3) for f, limits in
         [(1 / sp.sqrt(x), (x, 0, 1)), (1 / (1 + x), (x, 0, oo))]],
        rtol=1e-8,
    )  # fmt: skip


def test_tighter_tolerances_give_smaller_errors():
    problem = [iop.Integral(sp.cos(k * x) * sp.log(x), (x, 0, 1), [k], rtol=rtol) for rtol in (1e-3, 1e-6, 1e-10)]
    exact = -0.0552310258  # -Si(30)/30 up to its sign and digits, see below
    solutions = [one.solve(30.0) for one in problem]
    best = solutions[-1].value
    assert abs(best - exact) < 0.01
    for rtol, solution in zip((1e-3, 1e-6), solutions):
        assert abs(solution.value - best) <= rtol * abs(best)
        assert solution.error_estimate <= rtol * abs(best) * 1.01


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
