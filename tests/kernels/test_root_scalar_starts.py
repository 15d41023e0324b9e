"""The scalar root finder where starting is hard: poles, overflow, extreme magnitudes, far guesses, no bracket."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

from implicitops import Root, Status

x, p, q = sp.symbols("x p q")
y = sp.Symbol("y", positive=True)
EPS = np.finfo(float).eps


def status(problem, *args, **start):
    return problem.solve(*args, throw=False, **start).status


class TestVerticalTangent:
    @pytest.mark.parametrize("start", [{"bracket": (-2, 3)}, {"guess": 1}, {}])
    def test_root_with_infinite_slope_is_singular(self, start):
        problem = Root(sp.sign(x) * sp.sqrt(sp.Abs(x)) + x - p, x, [p], **start)
        found = problem.solve([0.0, 1e-5], derivatives=1, throw=False)
        assert found.status.tolist() == [Status.SINGULAR, Status.CONVERGED]
        assert np.all(np.isnan(found.jacobian[0]))


class TestUndefinedResidual:
    def test_at_the_guess(self):
        assert status(Root(sp.log(x) - p, x, [p], guess=-1), 1.0) is Status.UNDEFINED

    def test_at_an_end_of_the_bracket_where_the_limit_exists(self):
        # x log x is NaN at 0 in floating point; the roots are tiny
        problem = Root(x * sp.log(x) + p, x, [p], bracket=(0, sp.exp(-1)))
        for v in (0.1, 1e-3, 1e-12, 1e-100):
            with mpmath.workdps(30):
                expected = float(mpmath.exp(mpmath.lambertw(-v, -1).real))
            assert problem(v) == pytest.approx(expected, rel=1e-13)

    def test_in_a_part_of_the_bracket(self):
        found = Root(sp.sqrt(x - 1) - p, x, [p], bracket=(-5, 10)).solve(0.5, throw=False)
        assert found.status in (Status.UNDEFINED, Status.CONVERGED)
        assert np.isnan(found.value) or found.value == 1.25

    def test_in_the_middle_of_the_bracket(self):
        gap = sp.Piecewise((x, sp.Abs(x) > 1), (sp.sqrt(p - 2 - x**2), True))
        assert status(Root(gap * p, x, [p], bracket=(-3, 4)), 1.0) is Status.UNDEFINED

    def test_guess_mode_steps_back_into_the_domain(self):
        problem = Root(sp.log(x) - p, x, [p], guess=100)
        assert np.allclose(problem([-3.0, 0.0, 4.0]), np.exp([-3.0, 0.0, 4.0]), rtol=1e-13)


class TestOverflow:
    def test_at_an_end_of_the_bracket(self):
        problem = Root(x + x * sp.exp(p * x) - 1, x, [p], bracket=(0, 1))
        for v in (700.0, 710.0, 1e3, 1e5, 1e10, 1e100, 1e300):
            with mpmath.workdps(400):
                found = mpmath.mpf(float(problem(v)))
                # exp(v m) = 1/m - 1 has its one root where m v = log(1/m - 1)
                assert abs(found * v / mpmath.log(1 / found - 1) - 1) < 1e-13

    def test_at_both_ends(self):
        problem = Root(sp.sinh(x) - p, x, [p], bracket=(-1e4, 1e5))
        values = np.array([-1e300, -1.0, 1e-5, 3.0, 1e300])
        assert np.allclose(problem(values), np.arcsinh(values), rtol=1e-14)

    def test_at_the_guess(self):
        problem = Root(sp.exp(x) - p, x, [p], guess=2000)
        assert problem(3.0) == pytest.approx(np.log(3.0), rel=1e-14)

    @pytest.mark.parametrize("end", [(p, p + 10), (p - 10, p)])
    def test_pole_at_an_end_of_the_bracket(self, end):
        # 1/(x - p) = +-1, whichever sign of zero the difference x - p has at the end
        sign = 1 if end[0] == p else -1
        problem = Root(1 / (x - p) - sign, x, [p], bracket=end)
        assert np.allclose(problem([-2.0, 0.0, 0.3, 7.0]), np.array([-2.0, 0.0, 0.3, 7.0]) + sign, rtol=1e-14)


class TestMagnitudes:
    @pytest.mark.parametrize("exponent", [-300, -200, -100, -30, -10, 0, 10, 30, 100, 200, 300])
    @pytest.mark.parametrize(
        "bracket", [(0, 1 + p), (sp.Float(1e-300), sp.Float(1e300)), (0, sp.Float(1e300)), (0, sp.oo)]
    )
    def test_square_root_over_the_whole_range(self, bracket, exponent):
        if bracket[1] == sp.Float(1e300) and exponent > 250:
            pytest.skip("x**2 overflows")
        value = float(f"2e{exponent}")
        found = Root(x**2 - p, x, [p], bracket=bracket).solve(value, throw=False)
        assert found.status is Status.CONVERGED
        assert found.value == pytest.approx(np.sqrt(value), rel=4 * EPS)
        assert found.stats["iterations"] < 120

    @pytest.mark.parametrize("exponent", [-300, -150, -10, 0, 10, 150, 290])
    @pytest.mark.parametrize("bracket", [(0, sp.Float(1e300)), (sp.Float(-1e300), sp.Float(1e300)), None])
    def test_linear_equation_over_the_whole_range(self, bracket, exponent):
        value = float(f"3e{exponent}")
        assert Root(x - p, x, [p], bracket=bracket)(value) == value
        assert Root(2 * x - 3 * p, x, [p], bracket=bracket)(value) == pytest.approx(1.5 * value, rel=2 * EPS)

    @pytest.mark.parametrize("value", [-700.0, -300.0, -1.0, 0.0, 2.0, 300.0, 700.0])
    def test_exponential_of_any_size(self, value):
        for problem in (Root(sp.log(y) - p, y, [p]), Root(sp.log(x) - p, x, [p], bracket=(0, sp.Float(1e305)))):
            found = problem.solve(value, derivatives=1, throw=False)
            assert found.status is Status.CONVERGED
            assert found.value == pytest.approx(np.exp(value), rel=4 * EPS * max(1, abs(value)))
            assert found.jacobian[0] == pytest.approx(np.exp(value), rel=4 * EPS * max(1, abs(value)))

    def test_bracket_wider_than_the_largest_double(self):
        assert Root(x - p, x, [p], bracket=(sp.Float(-1.7e308), sp.Float(1.7e308)))(3.0) == 3.0

    def test_bracket_of_two_neighbouring_doubles(self):
        problem = Root(x**2 - p, x, [p], guess=1)
        low = np.sqrt(2.0)
        ends = (low, np.nextafter(low, 2)) if low**2 < 2 else (np.nextafter(low, 0), low)
        assert problem.solve(2.0, bracket=ends).value in ends


class TestSearch:
    @pytest.mark.parametrize(
        ("assumptions", "sign"),
        [({}, 1), ({}, -1), ({"positive": True}, 1), ({"negative": True}, -1), ({"real": True}, -1)],
    )
    def test_domain_follows_the_assumptions(self, assumptions, sign):
        z = sp.Symbol("z", **assumptions)
        problem = Root(z**3 + z - p, z, [p])
        for size in (1e-6, 0.3, 1.0, 17.0, 1e9, 1e100):
            value = sign * (size**3 + size)
            assert problem(value) == pytest.approx(sign * size, rel=1e-13)

    def test_positive_unknown_finds_the_positive_root(self):
        assert Root(y**2 - p, y, [p])(9.0) == 3.0
        z = sp.Symbol("z", negative=True)
        assert Root(z**2 - p, z, [p])(9.0) == -3.0

    def test_half_infinite_brackets(self):
        for bracket, expected in [((p, sp.oo), 2.5), ((-sp.oo, p), -2.5)]:
            problem = Root(x**2 - p**2 - sp.Rational(9, 4), x, [p], bracket=bracket)
            found = problem.solve(2.0, throw=False)
            if bracket[0] == -sp.oo:
                assert found.value == -2.5
            else:
                assert found.value == expected

    def test_whole_line(self):
        assert Root(sp.atan(x - p) * 3 + (x - p), x, [p], bracket=(-sp.oo, sp.oo))(1e6) == pytest.approx(1e6, rel=1e-15)

    def test_root_far_from_the_middle_in_a_narrow_sign_change(self):
        problem = Root(sp.atan((y - p) * 1e3), y, [p])
        for value in (1e-5, 0.37, 3.3, 1e4, 1e12):
            found = problem.solve(value, throw=False)
            assert found.status is Status.CONVERGED
            assert found.value == pytest.approx(value, rel=1e-12)

    def test_nothing_to_find(self):
        assert status(Root(y + p, y, [p]), 1.0) is Status.NO_SIGN_CHANGE


class TestGuess:
    @pytest.mark.parametrize("guess", [-30, -1, 0.5, 1.39, 2, 10, 300])
    def test_where_plain_newton_diverges(self, guess):
        # arctan: Newton's method diverges beyond |x| = 1.39
        assert Root(sp.atan(x) - p, x, [p], guess=guess)(0.2) == pytest.approx(np.tan(0.2), rel=1e-14)

    @pytest.mark.parametrize("guess", [0, 1, -1, 0.7, 5, -5])
    def test_where_plain_newton_cycles(self, guess):
        # x**3 - 2 x + 2: 0 -> 1 -> 0
        found = Root(x**3 - 2 * x + p, x, [p], guess=guess).solve(2.0, throw=False)
        assert found.status is Status.CONVERGED
        assert found.value == pytest.approx(-1.7692923542386314, rel=1e-15)

    def test_at_a_stationary_point(self):
        assert abs(Root(x**2 - p, x, [p], guess=0)(4.0)) == 2.0
        assert Root(x**3 - p, x, [p], guess=0)(8.0) == 2.0

    def test_nearby_root_is_preferred(self):
        problem = Root(sp.sin(x) - p, x, [p, q], guess=q)
        for k in range(-5, 6):
            assert problem(0.1, k * np.pi + 0.3) == pytest.approx(k * np.pi + (-1) ** k * np.arcsin(0.1), rel=1e-14)

    def test_exact_guess(self):
        found = Root(x**2 - p, x, [p], guess=2).solve(4.0, derivatives=1)
        assert found.value == 2.0
        assert found.jacobian[0] == 0.25

    def test_never_leaves_the_domain_of_the_unknown(self):
        problem = Root(sp.sqrt(y) + sp.log(y) - p, y, [p], guess=1000)
        values = np.array([-30.0, -3.0, 0.0, 5.0])
        found = problem(values)
        assert np.all(found > 0)
        assert np.allclose(np.sqrt(found) + np.log(found), values, rtol=1e-13, atol=1e-13)

    def test_guess_may_depend_on_the_parameters(self):
        values = np.linspace(0.1, 30.0, 50)
        assert np.allclose(Root(x**3 - p, x, [p], guess=1 + p)(values), np.cbrt(values), rtol=1e-15)


class TestOverflowOfWhatTheSolverComputes:
    """Residuals that are finite while their derivative, or the sum of their terms' magnitudes, is not."""

    @pytest.mark.parametrize("start", [{"guess": q}, {"guess": 1}, {}, {"bracket": (-10, sp.Float(1e10))}])
    @pytest.mark.parametrize(
        ("a", "b", "c"),
        [
            (4136.226685209037, 1392.3991930093548, -3.657669843660737e-08),
            (0.0001885542619853267, 724735.8254257066, 255.8780429663465),
            (1.2269695599104582, 2.098950171981839, 2356280.5830638767),
        ],
    )
    def test_exponential_from_far_away(self, a, b, c, start):
        r = sp.Symbol("r")
        problem = Root(p * sp.exp(r * x) - q + x, x, [p, r, q], **start)
        found = problem.solve(a, b, c, throw=False)
        assert found.status is Status.CONVERGED
        with mpmath.workdps(40):
            a, b, c = map(mpmath.mpf, (a, b, c))
            expected = c - mpmath.lambertw(a * b * mpmath.exp(b * c)).real / b
            assert abs(mpmath.mpf(float(found.value)) - expected) <= 4 * EPS * (abs(expected) + 1 / b)

    def test_negative_direction_is_found_by_the_sign_of_the_slope(self):
        assert Root(sp.exp(-x) - p, x, [p], guess=-2000)(3.0) == pytest.approx(-np.log(3.0), rel=1e-14)


class TestSteepSteps:
    """Plateaus beside a steep step, where a Newton step is short against x and leads nowhere."""

    CASES = (
        (0.028044838436673603, 24532696.387056988, -55122.859482109845),
        (0.001670440457138002, 73565199.03404704, 24.31938659619693),
        (6.619964183987181e-05, 46.235542370670494, -65874561.07740994),
        (0.5742092850116822, 89406479.01923223, -39.79581140226265),
    )

    @pytest.mark.parametrize(
        "start", [{"bracket": (-1e10, 2e10)}, {"bracket": (-sp.oo, sp.oo)}, {"guess": 1}, {"guess": q}]
    )
    @pytest.mark.parametrize("case", CASES)
    def test_arctangent_on_a_slope(self, case, start):
        r = sp.Symbol("r")
        problem = Root(sp.atan(r * (x - q)) + p * x / 1000, x, [p, r, q], **start)
        a, b, c = case
        found = problem.solve(a, b, c, throw=False)
        assert found.status is Status.CONVERGED
        with mpmath.workdps(40):
            value, a, b, c = map(mpmath.mpf, (float(found.value), a, b, c))
            slope = b / (1 + (b * (value - c)) ** 2) + a / 1000
            newton = (mpmath.atan(b * (value - c)) + a * value / 1000) / slope
            assert abs(newton) <= found.error_estimate

    @pytest.mark.parametrize("rtol", [1e-2, 1e-8, 0.0])
    def test_long_narrow_staircase(self, rtol):
        # slope 1.6e-5 between steps of height one
        problem = Root(x - sp.sin(x) / (1 + p) - q, x, [p, q], bracket=(-1e10, 2e10), rtol=rtol)
        found = problem.solve(1.6395076090321762e-05, [73518860.10398225, 70789865.53433397], throw=False)
        assert set(found.status) == {Status.CONVERGED}
