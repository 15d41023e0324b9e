"""Integrals agree with closed forms, with their derivatives, to within the error that they estimate."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

import implicitops as iop

x, y, z, a, b, k, p, r, tau = sp.symbols("x y z a b k p r tau")
oo = sp.oo


def exact(function, point, order):
    """Derivatives of an mpmath function of numbers: all of an order, as an array with so many axes."""
    n = len(point)
    found = np.empty((n,) * order)
    with mpmath.workdps(40):
        at = tuple(map(mpmath.mpf, point))
        for index in np.ndindex(*found.shape):
            orders = tuple(index.count(i) for i in range(n))
            found[index] = mpmath.diff(function, at, orders) if order else function(*at)
    return found


def check(problem, function, point, rtol=1e-8, order=2):
    """Value, Jacobian and Hessian against an mpmath function, each relative to its largest entry."""
    solution = problem.solve(*point, derivatives=order)
    for found, power in zip((solution.value, solution.jacobian, solution.hessian), range(order + 1)):
        right = exact(function, point, power)
        scale = np.abs(right).max() + 1e-3
        np.testing.assert_allclose(found / scale, right / scale, rtol=0, atol=rtol, err_msg=f"order {power}")
    error = abs(solution.value - exact(function, point, 0))
    assert error <= solution.error_estimate + 4e-16 * abs(solution.value)
    return solution


def integrate(integrand, limits, params, **options):
    return iop.Integral(integrand, limits, params, **options)


class TestFiniteRanges:
    def test_smooth_integrand_takes_one_rule(self):
        problem = integrate(sp.exp(-k * x), (x, a, b), [a, b, k])
        solution = check(
            problem, lambda a, b, k: (mpmath.exp(-k * a) - mpmath.exp(-k * b)) / k, (0.3, 1.2, 2.0), rtol=1e-13
        )
        assert solution.stats["evaluations"] == 32  # 21 nodes, and 11 places that are checked

    def test_many_oscillations(self):
        check(integrate(sp.sin(k * x), (x, 0, a), [k, a]), lambda k, a: (1 - mpmath.cos(k * a)) / k, (200.0, 3.0))

    def test_narrow_peak(self):
        problem = integrate(a / (a**2 + (x - p) ** 2), (x, 0, 1), [a, p])
        check(problem, lambda a, p: mpmath.atan((1 - p) / a) + mpmath.atan(p / a), (1e-2, 0.37))
        value = problem.solve(1e-6, 0.37)
        assert abs(value.value - np.arctan(0.63e6) - np.arctan(0.37e6)) <= 1e-8

    def test_reversed_limits_change_the_sign(self):
        problem = integrate(sp.exp(x * k), (x, a, b), [a, b, k])
        forth, back = problem.solve(0.2, 1.5, 0.7, derivatives=2), problem.solve(1.5, 0.2, 0.7, derivatives=2)
        np.testing.assert_allclose(back.value, -forth.value, rtol=1e-14)
        np.testing.assert_allclose(back.jacobian[[1, 0, 2]], -forth.jacobian, rtol=1e-13)
        check(problem, lambda a, b, k: (mpmath.exp(b * k) - mpmath.exp(a * k)) / k, (1.5, 0.2, 0.7), rtol=1e-12)

    def test_equal_limits_give_zero_with_the_right_derivatives(self):
        solution = integrate(sp.exp(x), (x, a, b), [a, b]).solve(2.0, 2.0, derivatives=2)
        e = np.exp(2.0)
        assert solution.value == 0
        np.testing.assert_allclose(solution.jacobian, [-e, e], rtol=1e-14)
        np.testing.assert_allclose(solution.hessian, [[-e, 0], [0, e]], rtol=1e-14)

    def test_several_integrands_share_a_mesh(self):
        solution = integrate([sp.exp(k * x), k, sp.cos(x)], (x, 0, 1), [k]).solve(0.5, derivatives=1)
        np.testing.assert_allclose(solution.value, [2 * (np.exp(0.5) - 1), 0.5, np.sin(1)], rtol=1e-13)
        slope = 2 * np.exp(0.5) - 4 * (np.exp(0.5) - 1)
        np.testing.assert_allclose(solution.jacobian, [[slope], [1], [0]], rtol=1e-13, atol=1e-15)
        assert solution.error_estimate.shape == (3,)

    def test_derivative_that_vanishes_by_symmetry_converges(self):
        solution = integrate(sp.exp(-((x - p) ** 2)), (x, p - 1, p + 1), [p]).solve(0.7, derivatives=2)
        np.testing.assert_allclose([solution.jacobian[0], solution.hessian[0, 0]], 0, atol=1e-14)


class TestSingularEnds:
    @pytest.mark.parametrize("power", [-0.5, -0.9, -0.25, 0.5])
    def test_power_at_a_fixed_end(self, power):
        check(integrate(x**p, (x, 0, 1), [p]), lambda p: 1 / (1 + p), (power,), rtol=1e-11)

    def test_root_at_a_moving_end(self):
        problem = integrate(1 / sp.sqrt(x - a), (x, a, b), [a, b])
        check(problem, lambda a, b: 2 * mpmath.sqrt(b - a), (1.0, 3.5), rtol=1e-12)

    def test_roots_at_both_moving_ends(self):
        problem = integrate(x / sp.sqrt((x - a) * (b - x)), (x, a, b), [a, b])
        check(problem, lambda a, b: mpmath.pi * (a + b) / 2, (1.0, 3.0), rtol=1e-12)

    def test_logarithm(self):
        check(integrate(sp.log(x / a) * x, (x, 0, a), [a]), lambda a: -(a**2) / 4, (1.7,), rtol=1e-12)

    def test_distance_from_a_curved_end_does_not_cancel(self):
        problem = integrate(sp.sqrt(r**2 - x**2) / (r - x), (x, 0, r), [r])
        check(problem, lambda r: r * (mpmath.pi / 2 + 1), (0.3,), rtol=1e-11)

    def test_beta_function(self):
        problem = integrate(x ** (a - 1) * (1 - x) ** (b - 1), (x, 0, 1), [a, b])
        check(problem, mpmath.beta, (0.3, 0.2), rtol=1e-10)

    def test_pendulum(self):
        problem = integrate(1 / sp.sqrt(sp.cos(x) - sp.cos(a)), (x, 0, a), [a])
        check(problem, lambda a: mpmath.sqrt(2) * mpmath.ellipk(mpmath.sin(a / 2) ** 2), (0.5,), rtol=1e-10)


class TestBreakPoints:
    def test_moving_kink(self):
        problem = integrate(sp.Abs(x - p), (x, 0, 1), [p])
        check(problem, lambda p: (p**2 + (1 - p) ** 2) / 2, (0.3,), rtol=1e-13)

    def test_moving_jump(self):
        problem = integrate(sp.Piecewise((sp.exp(-x), x < tau), (k, True)), (x, 0, 2), [tau, k])
        check(problem, lambda tau, k: 1 - mpmath.exp(-tau) + k * (2 - tau), (0.6, 3.0), rtol=1e-13)

    @pytest.mark.parametrize("place", [-1.0, 0.0, 2.0, 3.0])
    def test_jump_outside_or_at_a_limit(self, place):
        problem = integrate(sp.Heaviside(x - tau), (x, 0, 2), [tau])
        assert problem(place) == pytest.approx(2 - np.clip(place, 0, 2))

    def test_jumps_change_places(self):
        problem = integrate(sp.Piecewise((1, x < a), (2, x < b), (3, True)), (x, 0, 1), [a, b])
        np.testing.assert_allclose(problem([0.2, 0.6], [0.6, 0.2]), [0.2 + 0.8 + 1.2, 0.6 + 1.2], rtol=1e-14)

    def test_quadratic_condition(self):
        def area(p):
            s = mpmath.sqrt(p)
            return 8 * p * s / 3 + mpmath.mpf(2) / 3 - 2 * p

        check(integrate(sp.Abs(p - x**2), (x, -1, 1), [p]), area, (0.3,), rtol=1e-12)
        without = integrate(sp.Abs(p - x**2), (x, -1, 1), [p]).solve(-0.3, derivatives=1)
        np.testing.assert_allclose([without.value, without.jacobian[0]], [0.6 + 2 / 3, -2], rtol=1e-13)

    def test_monotonic_condition(self):
        problem = integrate(sp.Max(0, a * sp.exp(x) - k), (x, -1, 1), [a, k])
        check(problem, lambda a, k: a * mpmath.e - 2 * k - k * mpmath.log(a / k), (1.5, 2.0), rtol=1e-12)
        assert problem(1.0, -2.0) == pytest.approx(np.e - 1 / np.e + 4)

    def test_moving_singularity_inside(self):
        problem = integrate(sp.log(sp.Abs(x - p)), (x, 0, 1), [p])
        check(problem, lambda p: p * mpmath.log(p) + (1 - p) * mpmath.log(1 - p) - 1, (0.3,), rtol=1e-11)

    def test_stated_points_locate_other_conditions(self):
        problem = integrate(sp.Abs(sp.sin(p * x)), (x, 0, 1), [p], breakpoints=[sp.pi / p])
        check(problem, lambda p: (3 + mpmath.cos(p)) / p, (4.0,), rtol=1e-12)
        assert problem.solve(7.0, derivatives=2, throw=False).status is iop.Status.ROUGH

    def test_condition_that_nobody_located_has_a_value_but_no_derivative(self):
        problem = integrate(sp.Piecewise((1, sp.sin(x) > p), (0, True)), (x, 0, 3), [p])
        np.testing.assert_allclose(problem(0.3), np.pi - 2 * np.arcsin(0.3), rtol=1e-8)
        with pytest.raises(iop.ProblemError, match="is not continuous where its condition changes"):
            problem.solve(0.3, derivatives=1)

    def test_kink_has_a_first_derivative(self):
        problem = integrate(sp.Abs(sp.sin(x)), (x, 0, p), [p])
        assert problem.solve(5.0, derivatives=1).jacobian[0] == pytest.approx(abs(np.sin(5.0)), rel=1e-7)
        with pytest.raises(iop.ProblemError, match="kinks"):
            problem.solve(5.0, derivatives=2)


class TestInfiniteRanges:
    def test_half_line(self):
        problem = integrate(sp.exp(-(x**2) / 2), (x, a, oo), [a])
        check(problem, lambda a: mpmath.sqrt(mpmath.pi / 2) * mpmath.erfc(a / mpmath.sqrt(2)), (1.3,), rtol=1e-11)

    def test_line(self):
        problem = integrate(sp.exp(-a * (x - p) ** 2), (x, -oo, oo), [a, p])
        check(problem, lambda a, p: mpmath.sqrt(mpmath.pi / a), (2.0, 0.4), rtol=1e-11)

    def test_from_minus_infinity(self):
        check(
            integrate(sp.exp(k * x), (x, -oo, a), [k, a]), lambda k, a: mpmath.exp(k * a) / k, (0.7, -1.0), rtol=1e-11
        )

    def test_peak_far_away(self):
        problem = integrate(sp.exp(-((x - p) ** 2)), (x, -oo, oo), [p])
        check(problem, lambda p: mpmath.sqrt(mpmath.pi), (3000.0,))

    def test_slow_decay(self):
        check(integrate(x**-p, (x, 1, oo), [p]), lambda p: 1 / (p - 1), (1.2,), rtol=1e-11)

    def test_jump_and_decay(self):
        problem = integrate(sp.Piecewise((1, x < tau), (sp.exp(-x), True)), (x, 0, oo), [tau])
        check(problem, lambda tau: tau + mpmath.exp(-tau), (2.0,), rtol=1e-12)

    def test_gamma_function(self):
        check(integrate(x ** (a - 1) * sp.exp(-x), (x, 0, oo), [a]), mpmath.gamma, (0.3,), rtol=1e-10)

    @pytest.mark.parametrize(
        ("integrand", "function", "point"),
        [
            (sp.sin(k * x) / x, lambda k: mpmath.pi / 2 + 0 * k, (2.0,)),
            (sp.cos(k * x) / (1 + x**2), lambda k: mpmath.pi / 2 * mpmath.exp(-k), (2.0,)),
            (sp.cos(k * x**2), lambda k: mpmath.sqrt(mpmath.pi / (8 * k)), (2.0,)),
            (sp.sin(k * x) / sp.sqrt(x), lambda k: mpmath.sqrt(mpmath.pi / (2 * k)), (2.0,)),
            (sp.besselj(0, k * x), lambda k: 1 / k, (2.0,)),
            (k * sp.sin(x) ** 2 / x**2, lambda k: k * mpmath.pi / 2, (2.0,)),
        ],
        ids=lambda value: str(value) if isinstance(value, sp.Expr) else "",
    )
    def test_oscillating_tail(self, integrand, function, point):
        solution = check(integrate(integrand, (x, 0, oo), [k]), function, point)
        assert solution.stats["extrapolated"] == 1


class TestIterated:
    def test_triangle(self):
        problem = integrate(a * x * y * z, [(x, 0, y), (y, 0, z), (z, 0, a)], [a])
        check(problem, lambda a: a**7 / 48, (1.3,), rtol=1e-12)

    def test_disc_with_a_singular_rim(self):
        half = sp.sqrt(r**2 - y**2)
        problem = integrate(1 / sp.sqrt(r**2 - x**2 - y**2), [(x, -half, half), (y, -r, r)], [r])
        check(problem, lambda r: 2 * mpmath.pi * r, (1.3,), rtol=1e-8)

    def test_plane(self):
        problem = integrate(sp.exp(-a * (x**2 + y**2)), [(x, -oo, oo), (y, -oo, oo)], [a])
        check(problem, lambda a: mpmath.pi / a, (1.3,), rtol=1e-8)

    def test_moving_jump(self):
        problem = integrate(sp.Heaviside(p - x - y), [(x, 0, 1), (y, 0, 1)], [p])
        check(problem, lambda p: 1 - (2 - p) ** 2 / 2, (1.3,), order=1)
        with pytest.raises(iop.ProblemError, match="makes a kink of the inner integral"):
            problem.solve(1.3, derivatives=2)

    def test_failure_inside_is_told(self):
        problem = integrate(p / (x - y) ** 2, [(x, 0, 1), (y, 0, 1)], [p])
        assert problem.solve(1.0, throw=False).status is iop.Status.DIVERGENT
