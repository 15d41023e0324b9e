"""Finite differences over functions, points and scales: right within an honest estimate, or not trusted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special

from implicitops import External, ProblemError, SolveError, Status
from implicitops.external.differences import differentiate

N = 300
DAY = 2451234.5678


def everywhere(rng):
    return np.concatenate([10.0 ** rng.uniform(-8, 6, N) * rng.choice([-1, 1], N), [0.0, 1e-8, 1.0, 1000.0, 1e6]])


EVERYWHERE = everywhere(np.random.default_rng(0))
POSITIVE = np.abs(EVERYWHERE[EVERYWHERE != 0])


def gaussian(width, depth=1.0, base=0.0):
    def function(x):
        return base + depth * np.exp(-0.5 * ((x - 6562.8) / width) ** 2)

    return function, lambda x: -(function(x) - base) * (x - 6562.8) / width**2


def periodic(period):
    rate = 2 * np.pi / period
    return lambda x: np.sin(rate * (x - DAY)), lambda x: rate * np.cos(rate * (x - DAY))


def beside(width, rng):
    return 6562.8 + width * rng.uniform(-6, 6, N)


def exact():
    """Function, derivative, points, relative accuracy of the median."""
    rng = np.random.default_rng(0)
    everywhere(rng)
    return {
        "sin": (np.sin, np.cos, EVERYWHERE, 1e-12),
        "exp": (np.exp, np.exp, EVERYWHERE[np.abs(EVERYWHERE) < 700], 1e-10),
        "log": (np.log, lambda x: 1 / x, POSITIVE, 1e-10),
        "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x), POSITIVE, 1e-10),
        "1/x": (lambda x: 1 / x, lambda x: -1 / x**2, POSITIVE, 1e-10),
        "cube": (lambda x: x**3, lambda x: 3 * x**2, EVERYWHERE, 1e-12),
        "quadratic": (lambda x: x**2 - 3 * x + 1, lambda x: 2 * x - 3, EVERYWHERE, 1e-12),
        "linear": (lambda x: 7 * x + 2, lambda x: 7 + 0 * x, EVERYWHERE, 1e-12),
        "constant": (lambda x: 5 + 0 * x, lambda x: 0 * x, EVERYWHERE, 0.0),
        "gamma": (
            scipy.special.gamma,
            lambda x: scipy.special.gamma(x) * scipy.special.digamma(x),
            rng.uniform(0.1, 100, N),
            1e-10,
        ),
        "long and short waves": (
            lambda x: x + 1e-2 * np.sin(100 * x),
            lambda x: 1 + np.cos(100 * x),
            rng.uniform(0.5, 30, N),
            1e-9,
        ),
        **{f"line of width {w}": (*gaussian(w), beside(w, rng), 1e-10) for w in (1e-4, 0.01, 0.5, 10.0, 1000.0)},
        **{f"absorption of width {w}": (*gaussian(w, -0.3, 1.0), beside(w, rng), 1e-8) for w in (0.01, 1.0)},
        **{f"period of {P} days": (*periodic(P), DAY + rng.uniform(-100, 100, N), 1e-8) for P in (0.1, 7.3, 1e4)},
    }


EXACT = exact()


def along_a_line(function, x, method="richardson", steps=None):
    calls = np.zeros(len(x), dtype=int)

    def values(points, rows):
        calls[rows] += 1
        with np.errstate(all="ignore"):
            return function(points[:, 0])[:, None]

    found = differentiate(values, x[:, None], np.arange(len(x)), 1, method, None, steps)
    return found.jacobian[:, 0, 0], found.error[:, 0, 0], found.trusted[:, 0, 0], calls


class TestKind:
    @pytest.mark.parametrize(("function", "derivative", "x", "accuracy"), EXACT.values(), ids=EXACT)
    def test_true_error_is_below_the_estimate(self, function, derivative, x, accuracy):
        found, estimate, trusted, calls = along_a_line(function, x)
        true = derivative(x)
        error = np.abs(found - true)
        assert trusted.all()
        assert np.mean(error <= estimate + 4e-16 * np.abs(true)) >= 0.95
        assert (error <= 4 * estimate + 4e-16 * np.abs(true)).all()
        assert np.median(error / np.maximum(np.abs(true), 1e-300)) <= accuracy
        assert calls.max() <= 35

    @pytest.mark.parametrize(("function", "derivative", "x", "accuracy"), EXACT.values(), ids=EXACT)
    def test_central_differences_are_right_or_not_trusted(self, function, derivative, x, accuracy):
        found, estimate, trusted, calls = along_a_line(function, x, "central")
        true = derivative(x)
        slope = np.abs(function(x)) / np.maximum(np.abs(x), 1e-8)
        wrong = np.abs(found - true) > 4 * estimate + 1e-3 * np.abs(true) + 1e-7 * slope
        assert not (wrong & trusted).any()
        assert calls.max() == 5

    @pytest.mark.parametrize("noise", [1e-14, 1e-12, 1e-10, 1e-8])
    @pytest.mark.parametrize("slope", ["curved", "straight"])
    def test_noise_of_the_values_is_in_the_estimate(self, noise, slope):
        rng = np.random.default_rng(1)
        x = rng.uniform(0.5, 1.2, N)
        function, derivative = (np.sin, np.cos) if slope == "curved" else (lambda x: 2 * x, lambda x: 2 + 0 * x)
        found, estimate, trusted, _ = along_a_line(lambda x: function(x) + noise * rng.standard_normal(len(x)), x)
        error = np.abs(found - derivative(x))
        assert np.mean(error <= estimate) >= 0.95
        assert np.mean(trusted) >= 0.95
        assert np.median(estimate) <= 1e5 * noise

    @pytest.mark.parametrize(
        "rounded", [lambda v: v.astype(np.float32).astype(float), lambda v: np.round(v, 6)], ids=["float32", "6 digits"]
    )
    def test_values_that_are_equal_at_short_steps_are_no_evidence_of_0(self, rounded):
        x = np.random.default_rng(2).uniform(0.5, 3, N)
        found, estimate, trusted, _ = along_a_line(lambda x: rounded(np.sin(x)), x)
        error = np.abs(found - np.cos(x))
        assert np.mean(error <= estimate) >= 0.95
        assert (error[trusted] <= 1e-3).all()
        assert np.mean(trusted) >= 0.9

    def test_values_that_are_equal_everywhere_near_are_0(self):
        def transit(x):
            return 1 - 0.01 * (np.abs((x - DAY + 1.5) % 3 - 1.5) < 0.05)

        found, estimate, trusted, _ = along_a_line(transit, DAY + np.array([0.0, 0.02, 0.5, 1.2]))
        assert (found == 0).all()
        assert (estimate < 1e-9).all()
        assert trusted.all()

    @pytest.mark.parametrize("noise", [1e-4, 1e-2])
    def test_noise_that_leaves_no_digits_is_not_trusted(self, noise):
        rng = np.random.default_rng(3)
        x = rng.uniform(0.5, 1.2, N)
        _, _, trusted, _ = along_a_line(lambda x: np.sin(x) + noise * rng.standard_normal(len(x)), x)
        assert np.mean(trusted) < 0.05

    @pytest.mark.parametrize("method", ["central", "richardson"])
    @pytest.mark.parametrize("at", [0.0, 1.0, 6562.8])
    @pytest.mark.parametrize(
        "kinked", [np.abs, lambda u: np.where(u > 0, 3 * u, u), lambda u: np.where(u > 0, 1.0, 0.0), lambda u: u**0.5]
    )
    def test_kinks_jumps_and_edges_are_not_trusted(self, kinked, at, method):
        _, _, trusted, _ = along_a_line(lambda x: 5 + kinked(x - at), np.array([at]), method)
        assert not trusted[0]

    def test_points_near_a_kink_are_those_of_their_side(self, rng):
        x = 1 + 10.0 ** rng.uniform(-6, -1, N) * rng.choice([-1, 1], N)
        found, estimate, trusted, _ = along_a_line(lambda x: np.abs(x - 1) + 5, x)
        assert trusted.all()
        assert (np.abs(found - np.sign(x - 1)) <= estimate).all()

    @pytest.mark.parametrize("at", [1.0, 2.0, 1000.0, 1048576.0])
    def test_no_period_divides_all_steps(self, at):
        k = np.arange(1, 2001)
        found = differentiate(
            lambda points, rows: np.sin(2 * np.pi * (k * (points - np.round(points)) % 1.0)),
            np.array([[at]]),
            np.zeros(1, dtype=int),
            len(k),
            "richardson",
        )
        error = np.abs(found.jacobian[0, :, 0] - 2 * np.pi * k)
        assert (error <= 1e-6 * k).all()
        assert (error <= 2 * found.error[0, :, 0] + 1e-15 * k).all()

    def test_steps_stay_on_one_side_of_0_unless_rounding_needs_longer_ones(self):
        seen = []

        def positive_only(x):
            seen.append(x)
            return math.log(x)

        problem = External(positive_only, inputs={"x": ()}, outputs=(), differences="richardson")
        np.testing.assert_allclose(problem.solve(1e-8, derivatives=1).jacobian, [1e8], rtol=1e-9)
        assert min(seen) > 0

    def test_small_variable_of_a_function_with_a_larger_scale(self):
        found, estimate, _, _ = along_a_line(np.exp, np.array([1e-8, -1e-6, 1e-12]))
        assert (np.abs(found - np.exp([1e-8, -1e-6, 1e-12])) <= estimate).all()
        assert (estimate < 1e-8).all()

    @pytest.mark.slow
    def test_true_error_is_below_the_estimate_in_a_large_random_test(self):
        rng = np.random.default_rng(7)
        above = total = untrusted = 0
        for _ in range(3000):
            a, b, c = rng.normal(size=3)
            scale, at = 10.0 ** rng.uniform(-5, 5), rng.choice([0.0, 1.0, -1.0]) * 10.0 ** rng.uniform(-8, 7)
            if scale < 1e-8 * abs(at):
                continue

            def function(x, a=a, b=b, c=c, at=at, scale=scale):
                u = (x - at) / scale
                return a + b * np.sin(u + c) + np.exp(-((u - c) ** 2))

            true = (b * np.cos(c) + 2 * c * np.exp(-(c**2))) / scale
            found, estimate, trusted, _ = along_a_line(function, np.array([at]))
            error = abs(found[0] - true)
            assert error <= 100 * estimate[0] + 1e-9 * (abs(true) + 1 / scale)
            above, total = above + (error > estimate[0] + 1e-15 * abs(true)), total + 1
            untrusted += not trusted[0]
        assert above <= 0.01 * total
        assert untrusted <= 0.005 * total


class TestExternal:
    @pytest.mark.parametrize(("x", "function", "true"), [(1000.0, math.sin, math.cos(1000.0))])
    def test_sine_of_a_thousand(self, x, function, true):
        solution = External(function, inputs={"x": ()}, outputs=(), differences="richardson").solve(x, derivatives=1)
        assert abs(solution.jacobian[0] - true) <= solution.error_estimate[0] < 1e-9

    def test_number_of_calls(self):
        solution = External(math.log, inputs={"x": ()}, outputs=(), differences="richardson").solve(2.0, derivatives=1)
        assert solution.stats["calls"] <= 1 + 12 + 6

    @pytest.mark.parametrize("method", ["central", "richardson"])
    def test_kink_has_its_status_in_its_own_element(self, method):
        problem = External(abs, inputs={"x": ()}, outputs=(), differences=method)
        solution = problem.solve([0.0, 1.0], derivatives=1, throw=False)
        assert solution.status.tolist() == [Status.DERIVATIVE_INACCURATE, Status.CONVERGED]
        assert solution.value.tolist() == [0.0, 1.0]
        assert abs(solution.jacobian[1, 0] - 1) <= solution.error_estimate[1, 0]
        with pytest.raises(SolveError, match=r"output 0 by input 0 .* has a kink.*Pass step="):
            problem.solve(0.0, derivatives=1)


class TestStep:
    def test_step_is_the_longest_one(self):
        seen = []
        problem = External(
            lambda x: seen.append(x) or math.sin(x), inputs={"x": ()}, outputs=(), differences="richardson", step=0.5
        )
        solution = problem.solve(1000.0, derivatives=1)
        assert abs(solution.jacobian[0] - math.cos(1000.0)) <= solution.error_estimate[0] < 1e-8
        assert max(np.abs(np.array(seen) - 1000.0)) == 0.5
        assert solution.stats["calls"] == 13

    @pytest.mark.parametrize("method", ["central", "richardson"])
    def test_step_that_is_too_long_is_seen(self, method):
        function, _ = gaussian(0.5)
        problem = External(function, inputs={"x": ()}, outputs=(), differences=method, step=50.0)
        assert problem.solve(6563.0, derivatives=1, throw=False).status is Status.DERIVATIVE_INACCURATE

    def test_step_of_a_noisy_function_makes_it_usable(self):
        rng = np.random.default_rng(5)

        def simulated(x):
            return math.sin(x / 1e3) + 1e-5 * rng.standard_normal()

        problem = External(simulated, inputs={"x": ()}, outputs=(), differences="richardson", step=1000.0)
        solution = problem.solve(10.0, derivatives=1, throw=False)
        assert abs(solution.jacobian[0] - 1e-3) <= solution.error_estimate[0] < 1e-5

    def test_steps_of_inputs_and_of_their_numbers(self):
        def problem(**options):
            return External(
                lambda a, v: a * v.sum(), inputs={"a": (), "v": (2,)}, outputs=(), differences="central", **options
            )

        one, other = problem(step={"v": [0.1, 0.2]}), problem(step={"v": 0.1, "a": 0.3})
        assert problem(step=0.1).step == (0.1, 0.1, 0.1)
        assert one.step[1:] == (0.1, 0.2)
        assert math.isnan(one.step[0])
        assert other.step == (0.3, 0.1, 0.1)
        assert "step={v: [0.1, 0.2]}" in repr(one)
        assert "step=0.1" in repr(problem(step=0.1))
        np.testing.assert_allclose(one.solve(2.0, [1.0, 2.0], derivatives=1).jacobian, [3, 2, 2], rtol=1e-8)

    def test_step_is_part_of_the_identity(self):
        def problem(step):
            return External(math.sin, inputs={"x": ()}, outputs=(), differences="central", step=step)

        assert problem(0.1) == problem(0.1)
        assert problem(0.1).key != problem(0.2).key != problem(None).key

    @pytest.mark.parametrize(
        ("step", "words"),
        [
            (-1, "the step of x must be a positive finite number; got -1"),
            (math.nan, "positive finite"),
            (True, "positive finite"),
            ("0.1", "positive finite"),
            ([0.1, 0.2], r"the step of x must be a number; got \[0.1, 0.2\]"),
            ({"y": 0.1}, "step names 'y', which is no input"),
        ],
    )
    def test_bad_step(self, step, words):
        with pytest.raises(ProblemError, match=words):
            External(math.sin, inputs={"x": ()}, outputs=(), differences="central", step=step)

    def test_step_without_differences(self):
        with pytest.raises(ProblemError, match="add differences="):
            External(math.sin, inputs={"x": ()}, outputs=(), step=0.1)
