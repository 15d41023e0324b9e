"""Promises of the ODE solver where a condition holds in a narrow window only, around a kink or an extremum."""

import math

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.backends.numpy import evaluate
from implicitops.calculus.sensitivities import Adjoint
from implicitops.errors import DifferentiabilityError
from implicitops.symbolic.surfaces import MOST_SURFACES, surfaces_of

x, y, v, t, h, k = sp.symbols("x y v t h k")
METHODS = ("auto", "tsit5", "dop853", "rodas5p")
WIDTHS = (1e-8, 1e-6, 1e-5, 1e-3, 1e-2, 0.1, 0.3, 1.0)
HALF = sp.Rational(1, 2)


def distance(place):
    return sp.Abs(x - place)


#: Conditions and how long each holds while x, and t, go from 0 to 10.
WINDOWS = {
    "Abs": (distance(5) < h, lambda h: 2 * h),
    "turned around": (h > distance(5), lambda h: 2 * h),
    "loose": (distance(5) <= h, lambda h: 2 * h),
    "loose, turned around": (h >= distance(5), lambda h: 2 * h),
    "outside": (distance(5) > h, lambda h: 10 - 2 * h),
    "outside, loose": (distance(5) >= h, lambda h: 10 - 2 * h),
    "Not": (sp.Not(distance(5) < h), lambda h: 10 - 2 * h),
    "two comparisons": ((x > 5 - h) & (x < 5 + h), lambda h: 2 * h),
    "isolated": (3 + 2 * distance(5) < 3 + h, lambda h: h),
    "on both sides": (x + distance(5) < 5 + h, lambda h: 5 + h / 2),
    "scaled by a parameter": (k * distance(5) < h, lambda h: 2 * h),
    "divided by a parameter": (distance(5) / h < k, lambda h: 2 * h),
    "Max": (sp.Max(x - 5, 5 - x, -3) < h, lambda h: 2 * h),
    "Min": (sp.Min(x - 5, 5 - x) > -h, lambda h: 2 * h),
    "Min, outside": (sp.Min(x - 5, 5 - x) < -h, lambda h: 10 - 2 * h),
    "sign": ((x - 5) * sp.sign(x - 5) < h, lambda h: 2 * h),
    "Heaviside": ((x - 5) * (2 * sp.Heaviside(x - 5) - 1) < h, lambda h: 2 * h),
    "root of a square": (sp.sqrt((x - 5) ** 2) < h, lambda h: 2 * h),
    "square": ((x - 5) ** 2 < h**2, lambda h: 2 * h),
    "fourth power": ((x - 5) ** 4 < h**4, lambda h: 2 * h),
    "nested": (sp.Abs(distance(5) - 2) < h, lambda h: 2 * (min(h, 2) + h)),
    "nested in Max": (sp.Max(distance(5), distance(5) / 2) < h, lambda h: 2 * h),
    "sum": (distance(5) + distance(6) < 1 + h, lambda h: 1 + h),
    "difference": (sp.Abs(distance(5) - distance(6)) < h / 2, lambda h: h / 2),
    "product": (distance(5) * distance(8) < 3 * h, lambda h: math.sqrt(9 + 12 * h) - math.sqrt(max(9 - 12 * h, 0))),
    "Piecewise": (sp.Piecewise((5 - x, x < 5), (2 * (x - 5), True)) < h, lambda h: 1.5 * h),
    "Piecewise with jumps": (sp.Piecewise((1, x < 5), (0, x < 5 + h), (1, True)) < HALF, lambda h: h),
    "root of Abs": (sp.sqrt(distance(5)) < sp.sqrt(h), lambda h: 2 * h),
    "reciprocal of Abs": (1 / distance(5) > 1 / h, lambda h: 2 * h),
    "of the time": (sp.Abs(t - 5) < h, lambda h: 2 * h),
    "of the time, nested": (sp.Abs(sp.Abs(t - 5) - 2) < h, lambda h: 2 * (min(h, 2) + h)),
    "of the time, sum": (sp.Abs(t - 5) + sp.Abs(t - 6) < 1 + h, lambda h: 1 + h),
    "of states and time": (sp.Abs(x + t - 10) < h, lambda h: h),
    "of states plus time": (distance(5) + sp.Abs(t - 5) < h, lambda h: h),
    "of states, time and Max": (sp.Max(distance(5), sp.Abs(t - 5)) < h, lambda h: 2 * h),
}


def holds(condition):
    return sp.Piecewise((1, condition), (0, True))


@pytest.mark.parametrize("method", METHODS)
class TestWindows:
    @pytest.mark.parametrize("name", WINDOWS)
    def test_time_in_a_window_around_a_kink(self, name, method):
        condition, length = WINDOWS[name]
        problem = iop.ODE({x: 1, y: holds(condition)}, [h, k], initial={x: 0, y: 0}, t=t, method=method)
        # Where the condition is not proportional to the distance, the tolerances hide the narrowest.
        widths = WIDTHS[name in ("square", "fourth power", "product") :]
        values = problem(np.array(widths), 1.0, times=[10.0])[:, 0, 1]
        assert np.allclose(values, [length(width) for width in widths], rtol=1e-8, atol=2e-11)

    @pytest.mark.parametrize("name", ["Abs", "square", "root of Abs"])
    def test_several_windows_of_an_oscillation(self, name, method):
        condition = WINDOWS[name][0].xreplace({x: x + 5 - HALF})
        rhs = {x: v, v: -x, y: holds(condition)}
        problem = iop.ODE(rhs, [h, k], initial={x: 0, v: 1, y: 0}, t=t, method=method)
        for width in (1e-5, 1e-3, 1e-2):
            value = problem(width, 1.0, times=[9.0])[0, 2]
            assert math.isclose(value, 4 * (math.asin(0.5 + width) - math.asin(0.5 - width)), rel_tol=1e-5)

    @pytest.mark.parametrize("condition", [sp.cos(x) > 1 - h, sp.expand((x - 6) ** 2) < 2 * h])
    def test_windows_around_an_extremum_wherever_steps_end(self, condition, method):
        problem = iop.ODE({x: 1, y: holds(condition)}, [h, k], initial={x: k, y: 0}, method=method)
        for depth in (1e-7, 1e-5, 1e-3):
            values = problem(depth, np.linspace(0.5, 2.5, 41), times=[7.0])[:, 0, 1]
            assert np.allclose(values, 4 * math.asin(math.sqrt(depth / 2)), rtol=2e-4)

    def test_a_solution_at_rest_on_a_kink(self, method):
        for rate in (
            sp.Piecewise((-k, sp.Abs(y) > 0), (0, True)),
            sp.Piecewise((-k, sp.sign(y) > 0), (k, sp.sign(y) < 0), (0, True)),
            sp.Piecewise((0, sp.Max(y, -y) <= 0), (k, True)),
            sp.Piecewise((0, y**2 <= 0), (k, True)),
        ):
            problem = iop.ODE({y: rate}, [k], initial={y: 0}, method=method, max_steps=50)
            assert problem(1.0, times=[5.0])[0, 0] == 0


#: Ways to write max(0, h - |x - 5|).
BUMPS = {
    "Max of Abs": sp.Max(0, h - distance(5)),
    "Min of Abs": -sp.Min(0, distance(5) - h),
    "without Abs": sp.Max(0, sp.Min(h - (x - 5), h + (x - 5))),
    "sign": sp.Max(0, h - (x - 5) * sp.sign(x - 5)),
}


@pytest.mark.parametrize("method", METHODS)
class TestDerivatives:
    @pytest.mark.parametrize("name", BUMPS)
    def test_sensitivities_of_a_narrow_bump(self, name, method):
        problem = iop.ODE({x: k, y: BUMPS[name]}, [h, k], initial={x: 0, y: 0}, method=method, sensitivity="adjoint")
        for width in (1e-6, 1e-3, 0.3):
            solution = problem.solve(width, 1.3, times=[10.0], derivatives=1)
            expected = np.array([2 * width / 1.3, -((width / 1.3) ** 2)])
            assert math.isclose(solution.value[0, 1], width**2 / 1.3, rel_tol=1e-8)
            assert np.allclose(solution.jacobian[0, 1], expected, rtol=1e-7, atol=1e-11)
            gradient = evaluate(Adjoint(problem), [width, 1.3, np.array([10.0]), np.array([[0.0, 1.0]])])
            assert np.allclose(gradient[:2], expected, rtol=1e-7, atol=1e-11)

    @pytest.mark.parametrize("name", ["Abs", "Max", "sign", "square", "two comparisons"])
    def test_a_jump_with_the_states_is_refused_however_it_is_written(self, name, method):
        problem = iop.ODE({x: 1, y: holds(WINDOWS[name][0])}, [h, k], initial={x: 0, y: 0}, method=method)
        with pytest.raises(DifferentiabilityError, match="without jumps"):
            problem.solve(1e-5, 1.0, times=[10.0], derivatives=1)

    @pytest.mark.parametrize(
        ("name", "by_width"), [("of the time", 2), ("of the time, nested", 4), ("of the time, sum", 1)]
    )
    def test_windows_in_time_have_both_derivatives(self, name, by_width, method):
        condition, length = WINDOWS[name]
        rate = k**2 * holds(condition)
        problem = iop.ODE({y: rate}, [h, k], initial={y: 0}, t=t, method=method)
        for width in (1e-8, 1e-5, 0.3):
            solution = problem.solve(width, 3.0, times=[10.0], derivatives=2)
            assert math.isclose(solution.value[0, 0], 9 * length(width), rel_tol=1e-6)
            assert np.allclose(solution.jacobian[0, 0], [9 * by_width, 6 * length(width)], rtol=1e-6)
            by_both = 6 * by_width
            assert np.allclose(solution.hessian[0, 0], [[0, by_both], [by_both, 2 * length(width)]], rtol=1e-6)


class TestLimits:
    def test_a_kink_adds_no_surface_where_comparisons_can_do_without(self):
        p, q = sp.symbols("p q", real=True)
        for condition in (sp.Abs(p) < q, q >= sp.Max(p, -p), sp.Min(p, -p) > -q):
            assert len(surfaces_of([holds(condition)], [p]).expressions) == 2

    def test_many_kinks_in_one_condition_are_watched_one_by_one(self):
        # Their sum is least, 30, at 5, and grows with slope 1 from there.
        kinks = sum(distance(i) for i in range(11))
        problem = iop.ODE({x: 1, y: holds(kinks < 30 + h)}, [h], initial={x: 0, y: 0})
        assert math.isclose(problem(1e-5, times=[10.0])[0, 1], 2e-5, rel_tol=1e-6)
        assert len(surfaces_of([holds(kinks < 30 + h)], [x]).expressions) == 12

    def test_more_windows_than_can_be_split_are_watched_as_they_are(self):
        places = [sp.Rational(i, 4) for i in range(1, 40)]
        assert 2 * len(places) > MOST_SURFACES > len(places)
        windows = sum(holds(distance(place) < h) for place in places)
        problem = iop.ODE({x: 1, y: windows}, [h], initial={x: 0, y: 0})
        assert math.isclose(problem(0.1, times=[10.0])[0, 1], 0.2 * len(places), rel_tol=1e-9)
