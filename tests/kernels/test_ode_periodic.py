"""Promises of the ODE solver about right-hand sides that switch once in every period, or at roots of a condition."""

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.backends.numpy import evaluate
from implicitops.calculus.sensitivities import Adjoint
from implicitops.problems.ode import METHODS

y, t, k, r, p, q, w, h = sp.symbols("y t k r p q w h")
P, pi = sp.Piecewise, sp.pi
TIGHT = {"rtol": 1e-11, "atol": 1e-13}


def pulsed(condition, params, **options):
    """An input at rate r while a condition holds, washed out at rate k."""
    return iop.ODE({y: P((r, condition), (0, True)) - k * y}, [k, r, *params], initial={y: 0}, t=t, **options)


def washed_out(intervals):
    """State at t of what came in during intervals before t."""
    return sum(r / k * (sp.exp(-k * (t - end)) - sp.exp(-k * (t - begin))) for begin, end in intervals)


# Condition, parameters, point, intervals in which it holds until the time.
CASES = [
    (sp.Mod(t, 24) < p, (p,), (0.5,), [(24 * j, 24 * j + p) for j in range(2)], 30.0),
    (sp.Mod(t - q, w) < p, (p, q, w), (0.5, 1.3, 24.0), [(w * j + q, w * j + q + p) for j in range(2)], 40.0),
    (t - w * sp.floor(t / w) > h, (h, w), (6.5, 7.0), [(w * j + h, w * j + w) for j in range(2)], 14.5),
    (sp.frac(-t / p) < q, (p, q), (3.0, 0.25), [(p * (j + 1 - q), p * (j + 1)) for j in range(2)], 6.5),
    (sp.Eq(sp.Mod(sp.floor(t / p), 2), 1), (p,), (3.0,), [(p * j, p * j + p) for j in (1, 3)], 14.0),
    (
        sp.sin(w * t + q) > h,
        (w, h, q),
        (2 * np.pi / 24, 0.99, 0.1),
        [((sp.asin(h) - q + 2 * pi * j) / w, (pi - sp.asin(h) - q + 2 * pi * j) / w) for j in range(2)],
        40.0,
    ),
    (
        sp.sin(-w * t) > h,
        (w, h),
        (0.5, 0.5),
        [((pi + sp.asin(h) + 2 * pi * j) / w, (2 * pi - sp.asin(h) + 2 * pi * j) / w) for j in range(2)],
        25.1,
    ),
    (
        sp.cos(w * t) < h,
        (w, h),
        (0.5, -0.9),
        [((sp.acos(h) + 2 * pi * j) / w, (2 * pi * (j + 1) - sp.acos(h)) / w) for j in range(2)],
        25.1,
    ),
    (
        sp.tan(w * t) > h,
        (w, h),
        (0.5, 2.0),
        [((sp.atan(h) + pi * j) / w, (pi / 2 + pi * j) / w) for j in range(2)],
        12.0,
    ),
    ((t - p) ** 2 < q, (p, q), (30.0, 0.01), [(p - sp.sqrt(q), p + sp.sqrt(q))], 100.0),
    (p * sp.exp(-t / q) > h, (p, q, h), (2.0, 30.0, 0.1), [(0, q * sp.log(p / h))], 100.0),
    ((t - 3) * (t - p) * (t - 40) > 0, (p,), (3.125,), [(3, p), (40, t)], 41.0),
]
IDS = [str(case[0]) for case in CASES]


@pytest.mark.parametrize(("condition", "params", "point", "intervals", "end"), CASES, ids=IDS)
class TestPulses:
    RATES = (0.1, 0.7)

    def test_values_and_derivatives_are_those_of_the_closed_form(
        self, condition, params, point, intervals, end, closed_form
    ):
        exact = closed_form([washed_out(intervals)], (k, r, *params), t, (*self.RATES, *point), [end])
        problem = pulsed(condition, params, **TIGHT)
        exact.check(problem.solve(*self.RATES, *point, times=[end], derivatives=2), 1e-9)
        np.testing.assert_allclose(problem(*self.RATES, *point, times=[end]), exact.value, rtol=1e-9)

    @pytest.mark.parametrize("method", ["auto", pytest.param("rodas5p", marks=pytest.mark.slow)])
    def test_gradients_by_the_adjoint_method_agree(self, condition, params, point, intervals, end, method, closed_form):
        exact = closed_form([washed_out(intervals)], (k, r, *params), t, (*self.RATES, *point), [end])
        problem = pulsed(condition, params, sensitivity="adjoint", method=method, **TIGHT)
        arguments = [*map(np.array, (*self.RATES, *point)), np.array([end]), np.ones((1, 1))]
        *gradient, by_time = evaluate(Adjoint(problem), arguments)
        np.testing.assert_allclose(np.array(gradient), exact.jacobian[0, 0], rtol=1e-8, atol=1e-11)
        np.testing.assert_allclose(by_time, exact.time_derivative[0], rtol=1e-8, atol=1e-11)


class TestPeriods:
    def test_narrow_pulses_are_not_lost_at_default_tolerances(self):
        # Half an hour a day: 0.485 at its end, not 0.004 (r = 1); two thirds of an hour as sin > 0.99: not 0.
        solved = pulsed(sp.Mod(t, 24) < 0.5, ())(0.1, 1.0, times=[24.5, 240.5])
        days = np.arange(11)
        expected = [np.exp(-2.4 * days[:n]).sum() * (1 - np.exp(-0.05)) / 0.1 for n in (2, 11)]
        np.testing.assert_allclose(solved[:, 0], expected, rtol=1e-6)
        begin, end = 12 / np.pi * np.arcsin(0.99), 12 - 12 / np.pi * np.arcsin(0.99)
        value = pulsed(sp.sin(2 * pi * t / 24) > 0.99, ())(0.1, 1.0, times=[12.0])[0, 0]
        np.testing.assert_allclose(value, 10 * (np.exp(-0.1 * (12 - end)) - np.exp(-0.1 * (12 - begin))), rtol=1e-6)

    @pytest.mark.parametrize("method", METHODS)
    def test_output_at_the_time_of_a_switch_is_the_one_after_it(self, method):
        problem = iop.ODE({y: sp.floor(t / p)}, [p], initial={y: 0}, t=t, outputs=[y, sp.floor(t / p)], method=method)
        solved = problem.solve(0.75, times=[0.0, 0.75, 1.5, 2.25, 3.0], derivatives=1)
        np.testing.assert_allclose(solved.value[:, 1], [0, 1, 2, 3, 4])
        np.testing.assert_allclose(solved.value[:, 0], 0.75 * np.array([0, 0, 1, 3, 6]), rtol=1e-10)
        # After n whole periods of length p the state is p n (n - 1) / 2 + n (t - n p).
        n = np.arange(5)
        np.testing.assert_allclose(solved.jacobian[:, 0, 0], n * (n - 1) / 2 - n * n, rtol=1e-10)

    def test_the_start_may_lie_anywhere_in_a_period(self):
        start = sp.Symbol("start")
        problem = iop.ODE({y: sp.frac(t / p)}, [p, start], initial={y: 0}, t=t, t0=start)

        def integral(u):
            return np.floor(u) / 2 + (u - np.floor(u)) ** 2 / 2

        period = np.array([0.1, 0.3, -0.3, 0.7, 3.0])[:, None]
        starts = np.array([-2.1, -0.3, 0.0, 0.1, 0.3, 0.9, 2.7])
        solved = problem.solve(period, starts, times=[3.1], derivatives=1)
        expected = period * (integral(3.1 / period) - integral(starts / period))
        np.testing.assert_allclose(solved.value[..., 0, 0], expected, rtol=1e-8, atol=1e-10)
        inside = np.abs(starts / period - np.round(starts / period)) > 1e-9
        fraction = starts / period - np.floor(starts / period)
        np.testing.assert_allclose(solved.jacobian[..., 0, 0, 1][inside], -fraction[inside], rtol=1e-7, atol=1e-9)

    def test_levels_that_are_never_or_always_passed_switch_nothing(self):
        problem = pulsed(sp.sin(w * t) > h, (w, h))
        always = (1 - np.exp(-0.1)) / 0.1
        solution = problem.solve(0.1, 1.0, [3.0, 3.0, 0.0, 0.0], [1.5, -1.5, 0.5, -0.5], times=[1.0], derivatives=1)
        np.testing.assert_allclose(solution.value[:, 0, 0], [0, always, 0, always], rtol=1e-7)
        np.testing.assert_allclose(solution.jacobian[:, 0, 0, 2:], 0, atol=1e-9)

    def test_periods_too_short_to_be_told_apart_are_a_failure(self):
        problem = pulsed(sp.Mod(t, p) < p / 2, (p,), max_steps=2000)
        solution = problem.solve(0.1, 1.0, [1e-5, 1e-200, 0.0], times=[1.0], throw=False)
        assert solution.status.tolist()[:2] == [iop.Status.MAX_STEPS] * 2
        assert not solution.converged[2]

    def test_conditions_within_conditions_act_together(self):
        # Mornings of every second day until tau.
        tau = sp.Symbol("tau")
        condition = sp.And(sp.Eq(sp.Mod(sp.floor(t / 24), 2), 0), sp.Mod(t, 24) < p, t < tau)
        solution = pulsed(condition, (p, tau)).solve(0.1, 1.0, 2.0, 97.0, times=[100.0], derivatives=1)
        ends = ((0, 2.0), (48, 50.0), (96, 97.0))
        expected = sum(10 * (np.exp(-0.1 * (100 - b)) - np.exp(-0.1 * (100 - a))) for a, b in ends)
        np.testing.assert_allclose(solution.value[0, 0], expected, rtol=1e-6)
        by_width = np.exp(-0.1 * 98) + np.exp(-0.1 * 50)
        np.testing.assert_allclose(solution.jacobian[0, 0, 2:], [by_width, np.exp(-0.3)], rtol=1e-6)


class TestClosedEnds:
    """A right-hand side may end with the last output."""

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("degree", [1, 3])
    def test_a_spline_reaches_to_its_last_knot(self, degree, method):
        spline = sp.interpolating_spline(degree, t, [0, 1, 2, 3], [0, 1, 0, 2])
        problem = iop.ODE({y: spline - k * y}, [k], initial={y: 1}, t=t, method=method)
        polynomial = sp.piecewise_fold(spline * sp.exp(k * t))
        exact = sp.exp(-3 * k) * (1 + sp.integrate(polynomial.subs(k, sp.Rational(1, 2)), (t, 0, 3)))
        solution = problem.solve(0.5, times=[3.0, 2.0], derivatives=1)
        np.testing.assert_allclose(solution.value[0, 0], float(exact.subs(k, 0.5)), rtol=1e-7)
        np.testing.assert_allclose(solution.time_derivative[0, 0], 2 - 0.5 * solution.value[0, 0], rtol=1e-7)
        earlier = problem.solve(0.5, times=[np.nextafter(3, 0)], derivatives=1)
        np.testing.assert_allclose(solution.jacobian[0], earlier.jacobian[0], rtol=1e-6)

    @pytest.mark.parametrize("method", METHODS)
    def test_the_end_of_a_domain_may_be_a_parameter(self, method):
        problem = iop.ODE({y: P((r, t <= p))}, [r, p], initial={y: 0}, t=t, method=method)
        solution = problem.solve(2.0, 1.7, times=[1.7], derivatives=1)
        np.testing.assert_allclose(solution.value, [[3.4]], rtol=1e-12)
        np.testing.assert_allclose(solution.jacobian, [[[1.7, 0.0]]], atol=1e-12)
        root = iop.ODE({y: sp.sqrt(p - t)}, [p], initial={y: 0}, t=t, method=method)
        end = np.random.default_rng(3).uniform(0.5, 3, 50)
        solved = root.solve(end, times=end[:, None], throw=False)
        np.testing.assert_allclose(solved.value[:, 0, 0], 2 / 3 * end**1.5, rtol=1e-6)

    def test_beyond_the_end_it_is_undefined(self):
        spline = sp.interpolating_spline(3, t, [0, 1, 2, 3], [0, 1, 0, 2])
        problem = iop.ODE({y: spline - k * y}, [k], initial={y: 1}, t=t)
        assert problem.solve(0.5, times=[3.0, 3.1], throw=False).status is iop.Status.UNDEFINED
