"""Promises of the ODE solver where conditions on the states change the right-hand side: steps end at the crossings."""

import math

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.backends.numpy import evaluate
from implicitops.calculus.sensitivities import Adjoint
from implicitops.problems.ode import METHODS
from implicitops.status import Status

x, y, v, t, k, w, h = sp.symbols("x y v t k w h")

#: x = sin(t) while x'' = -x.
CIRCLE = {x: v, v: -x}
ORIGIN = {x: 0, v: 1}

#: Ways to write max(u, 0), u being expressions in states.
RAMPS = {
    "Max": lambda u: sp.Max(u, 0),
    "Min": lambda u: -sp.Min(-u, 0),
    "Abs": lambda u: (u + sp.Abs(u)) / 2,
    "sign": lambda u: u * (1 + sp.sign(u)) / 2,
    "Heaviside": lambda u: u * sp.Heaviside(u),
    "strict": lambda u: sp.Piecewise((u, u > 0), (0, True)),
    "loose": lambda u: sp.Piecewise((0, u <= 0), (u, True)),
    "negated": lambda u: sp.Piecewise((0, sp.Or(u < 0, sp.Eq(u, 0))), (u, True)),
    "nested": lambda u: sp.Max(u, sp.Min(u, 0), 0),
}


def above(threshold):
    return sp.Piecewise((1, x > threshold), (0, True))


@pytest.mark.parametrize("method", METHODS)
class TestKinks:
    @pytest.mark.parametrize("ramp", RAMPS)
    def test_values_and_sensitivities_are_as_accurate_as_without(self, ramp, method):
        rhs = {x: -w, y: RAMPS[ramp](x - sp.Rational(3, 10))}
        problem = iop.ODE(rhs, [w], initial={x: 1, y: 0}, method=method, sensitivity="adjoint")
        for rate in (0.7, 1.0, 2.3):
            time = 0.7 / rate + 0.21
            assert np.allclose(problem(rate, times=[time])[0], [1 - rate * time, 0.245 / rate], rtol=1e-11)
            solution = problem.solve(rate, times=[time], derivatives=1)
            assert np.allclose(solution.value[0, 1], 0.245 / rate, rtol=1e-11)
            assert np.allclose(solution.jacobian[0, :, 0], [-time, -0.245 / rate**2], rtol=1e-10)
            gradient, _ = evaluate(Adjoint(problem), [rate, np.array([time]), np.array([[0.0, 1.0]])])
            assert np.allclose(gradient, -0.245 / rate**2, rtol=1e-10)

    def test_the_adjoint_method_restarts_at_the_crossings(self, method):
        # x'' = -k |x| is a cosine until x = 0 and a hyperbolic sine from there on.
        problem = iop.ODE({x: v, v: -k * sp.Abs(x)}, [k], initial={x: 1, v: 0}, method=method, sensitivity="adjoint")

        def exact(rate, time):
            return -math.sinh(math.sqrt(rate) * time - math.pi / 2)

        rate, time = 1.3, 2.5
        by_rate = -time / (2 * math.sqrt(rate)) * math.cosh(math.sqrt(rate) * time - math.pi / 2)
        solution = problem.solve(rate, times=[time], derivatives=1)
        assert math.isclose(problem(rate, times=[time])[0, 0], exact(rate, time), rel_tol=1e-8)
        assert math.isclose(solution.jacobian[0, 0, 0], by_rate, rel_tol=1e-8)
        gradient, _ = evaluate(Adjoint(problem), [rate, np.array([time]), np.array([[1.0, 0.0]])])
        assert math.isclose(gradient, by_rate, rel_tol=1e-7)

    def test_an_event_carries_the_states_across(self, method):
        rhs = {x: -w, y: sp.Max(x, 0)}
        problem = iop.ODE(
            rhs, [w, h], initial={x: 1, y: 0}, events=[(2, {x: x + h})], method=method, sensitivity="adjoint"
        )
        # y = 1 / (2 w) until x = 0; from x = 1 - 2 w + h after the event another square.
        rate, dose = 1.0, 3.0
        solution = problem.solve(rate, dose, times=[1.5, 5.0], derivatives=1)
        assert np.allclose(solution.value[:, 1], [0.5, 0.5 + 2.0], rtol=1e-10)
        expected = [-0.5 - 2 * 2.0 - 0.5 * 4.0, 2.0]  # of 1 / (2 w) + (1 - 2 w + h)^2 / (2 w)
        assert np.allclose(solution.jacobian[1, 1], expected, rtol=1e-9)
        weights = np.array([[0.0, 0.0], [0.0, 1.0]])
        by_rate, by_dose, _ = evaluate(Adjoint(problem), [rate, dose, np.array([1.5, 5.0]), weights])
        assert np.allclose([by_rate, by_dose], expected, rtol=1e-8)

    def test_a_kink_at_a_time_that_is_not_known_beforehand(self, method):
        problem = iop.ODE({y: sp.Max(0, sp.sin(w * t))}, [w], initial={y: 0}, t=t, method=method)
        solution = problem.solve(2.0, times=[2 * math.pi, 3 * math.pi], derivatives=1)
        assert np.allclose(solution.value[:, 0], [2.0, 3.0], rtol=1e-8)
        # y = (1 - cos(w t)) / w on the way up; at these times the last ramp ends or begins.
        assert np.allclose(solution.jacobian[:, 0, 0], [-1.0, -1.5], rtol=1e-7)


@pytest.mark.parametrize("method", METHODS)
class TestJumps:
    @pytest.mark.parametrize("gap", [0.3, 0.1, 0.02, 0.002, 1e-4])
    def test_time_above_a_threshold_however_short(self, gap, method):
        problem = iop.ODE({**CIRCLE, y: above(h)}, [h], initial={**ORIGIN, y: 0}, method=method)
        threshold = math.cos(gap)  # between pi/2 - gap and pi/2 + gap, and a period later
        values = problem(threshold, times=[3.0, 12.0])[:, 2]
        assert np.allclose(values, [2 * gap, 4 * gap], atol=2e-7 / gap, rtol=0)
        assert (values > 0).all()

    def test_windows_that_no_step_ends_in(self, method):
        window = sp.Piecewise((1, (x > h) & (x < h + sp.Rational(1, 1000))), (0, True))
        problem = iop.ODE({x: w, y: window}, [w, h], initial={x: 0, y: 0}, method=method)
        for threshold in np.random.default_rng(5).uniform(0.01, 9.9, size=12):
            value = problem(1.0, threshold, times=[10.0])[0, 1]
            assert math.isclose(value, 0.001, rel_tol=1e-9)

    def test_a_dose_that_stays_above_for_a_moment(self, method):
        dose = sp.Symbol("dose")
        problem = iop.ODE(
            {x: -k * x, y: above(h)}, [k, h, dose], initial={x: 0, y: 0}, events=[(7, {x: x + dose})], method=method
        )
        values = problem(0.1, 4.0, 4.0 * math.exp(0.00421), times=[24.0])
        assert math.isclose(values[0, 1], 0.0421, rel_tol=1e-6)

    def test_many_crossings(self, method):
        problem = iop.ODE({**CIRCLE, y: above(0)}, [h], initial={**ORIGIN, y: 0}, method=method)
        assert math.isclose(problem(0.0, times=[40 * math.pi + 1])[0, 2], 20 * math.pi + 1, rel_tol=1e-7)

    def test_a_touch_adds_nothing(self, method):
        problem = iop.ODE({**CIRCLE, y: above(h)}, [h], initial={**ORIGIN, y: 0}, method=method)
        assert problem(1.0 + 1e-7, times=[12.0])[0, 2] == 0
        assert abs(problem(1.0, times=[12.0])[0, 2]) < 1e-3  # where rounding decides

    def test_batch_elements_cross_for_themselves(self, method):
        problem = iop.ODE({**CIRCLE, y: above(h)}, [h], initial={**ORIGIN, y: 0}, method=method)
        thresholds = np.cos([0.01, 0.5, 1.0, 1.5])
        batch = problem(thresholds, times=[3.0, 9.0])
        assert np.array_equal(batch, [problem(one, times=[3.0, 9.0]) for one in thresholds])


@pytest.mark.parametrize("method", METHODS)
class TestSurfacesThatAreNotCrossed:
    def test_a_solution_at_rest_on_one(self, method):
        for rate in (
            -k * sp.sign(y),
            -k * sp.Abs(y),
            k * sp.Max(y, 0),
            sp.Piecewise((-k, y > 0), (k, y < 0), (0, True)),
        ):
            problem = iop.ODE({y: rate}, [k], initial={y: 0}, method=method, max_steps=50)
            assert problem(1.0, times=[5.0])[0, 0] == 0

    def test_a_start_on_one(self, method):
        for sign in (1, -1):
            for rate in (above(0), sp.Piecewise((1, x >= 0), (0, True)), (1 + sp.sign(x)) / 2, sp.Heaviside(x)):
                problem = iop.ODE({x: w, y: rate}, [w], initial={x: 0, y: 0}, method=method)
                assert np.allclose(problem(sign * 1.0, times=[2.0])[0, 1], 2.0 * (sign > 0), rtol=1e-9, atol=1e-9)

    def test_sliding_takes_no_more_than_the_limit_of_steps(self, method):
        problem = iop.ODE({x: sp.Piecewise((k, x < 1), (-k, True))}, [k], initial={x: 0}, method=method, max_steps=2000)
        assert math.isclose(problem(1.0, times=[0.5])[0, 0], 0.5, rel_tol=1e-9)
        solution = problem.solve(1.0, times=[2.0], throw=False)
        assert solution.status is Status.MAX_STEPS
        assert solution.stats["steps"] + solution.stats["rejected"] <= 2000

    def test_an_end_of_sliding_is_found(self, method):
        # Dry friction: at rest until the force, t, exceeds it.
        friction = sp.Piecewise((1, v > 0), (-1, v < 0), (sp.Max(-1, sp.Min(1, t)), True))
        problem = iop.ODE({v: t - friction}, [k], initial={v: 0}, t=t, method=method)
        assert math.isclose(problem(1.0, times=[3.0])[0, 0], 2.0, rel_tol=1e-7)

    def test_a_piece_that_is_not_defined_beyond(self, method):
        root = sp.Piecewise((sp.sqrt(x - 1), x > 1), (0, True))
        problem = iop.ODE({x: k, y: root}, [k], initial={x: 0, y: 0}, method=method)
        assert math.isclose(problem(1.0, times=[2.0])[0, 1], 2 / 3, rel_tol=1e-7)
        tank = iop.ODE({x: -k * sp.sqrt(sp.Max(x, 0))}, [k], initial={x: 1}, method=method)
        assert np.allclose(tank(1.0, times=[1.0, 4.0])[:, 0], [0.25, 0], rtol=1e-7, atol=1e-9)

    def test_derivatives_of_a_piece_that_is_not_defined_beyond(self, method):
        power = sp.Piecewise(((x - 1) ** sp.Rational(3, 2), x > 1), (0, True))
        problem = iop.ODE({x: k, y: power}, [k], initial={x: 0, y: 0}, method=method, sensitivity="adjoint")
        # y = 2/5 (k t - 1)^(5/2) / k
        solution = problem.solve(1.0, times=[2.0], derivatives=1)
        assert math.isclose(solution.value[0, 1], 0.4, rel_tol=1e-8)
        assert math.isclose(solution.jacobian[0, 1, 0], 1.6, rel_tol=1e-7)
        gradient, _ = evaluate(Adjoint(problem), [1.0, np.array([2.0]), np.array([[0.0, 1.0]])])
        assert math.isclose(gradient, 1.6, rel_tol=1e-6)

    def test_many_states_that_come_to_rest_on_kinks(self, method):
        # Forty vessels in a row, each filled from the one before it as long as that is fuller, so that none overflows.
        vessels = sp.symbols("c0:40")
        rhs = {c: k * sp.Max(0, before - c) for before, c in zip((1, *vessels), vessels)}
        problem = iop.ODE(rhs, [k], initial=dict.fromkeys(vessels, 0), method=method)
        solution = problem.solve(1.0, times=[5.0, 200.0])
        poisson = np.cumsum([math.exp(-5) * 5**i / math.factorial(i) for i in range(40)])
        assert np.allclose(solution.value[0], 1 - poisson, atol=1e-7)
        assert np.allclose(solution.value[1], 1, atol=1e-7)
        assert solution.stats["steps"] + solution.stats["rejected"] < (2000 if method == "tsit5" else 700)

    def test_more_conditions_than_are_watched(self, method):
        ramps = sum(sp.Max(x - sp.Rational(i, 70), 0) for i in range(70))
        problem = iop.ODE({x: k, y: ramps}, [k], initial={x: 0, y: 0}, method=method)
        exact = sum((1 - i / 70) ** 2 / 2 for i in range(70))
        assert math.isclose(problem(1.0, times=[1.0])[0, 1], exact, rel_tol=1e-4)
