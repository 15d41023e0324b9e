"""The minimiser where there is a minimum: values and derivatives against SciPy, closed forms or 50 digits."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import sympy as sp

from implicitops import Minimum, Status
from implicitops.backends.numpy import evaluate
from implicitops.calculus import Solve
from implicitops.verify.differences import digits_for, precise_derivatives
from implicitops.verify.differentiation.numpy import NumpyDifferentiable

x, y, p, q = sp.symbols("x y p q")
POSITIVE = sp.Symbol("x", positive=True)
EPS = np.finfo(float).eps

ROSENBROCK = Minimum((p - x) ** 2 + q * (y - x**2) ** 2, [x, y], [p, q], guess=(-sp.Rational(6, 5), 1))
BOWL = (x - p) ** 2 + (y - q) ** 2 + x * y / 2
BOX = Minimum(BOWL, [x, y], [p, q], guess=(sp.Rational(1, 2),) * 2, bounds=[(0, 1), (0, 1)])
LOGARITHM = Minimum(sp.exp(x) - p * x, x, [p], guess=0)


def quadratic():
    a, b = sp.symbols("a0:6"), sp.symbols("b0:3")
    unknowns = sp.symbols("z0:3")
    factor = sp.Matrix(3, 3, [a[0] + 2, 0, 0, a[1], a[2] + 2, 0, a[3], a[4], a[5] + 2])
    z = sp.Matrix(unknowns)
    objective = ((factor.T * z).T * (factor.T * z))[0] / 2 - sp.Matrix(b).dot(z)
    return Minimum(objective, unknowns, [a, b], guess=(0, 0, 0))


def logistic():
    """Ridge-penalised logistic regression; the responses and the penalty are parameters."""
    responses, penalty = sp.symbols("r0:8"), sp.Symbol("s", positive=True)
    weights = sp.symbols("w0:2")
    covariate = [sp.Rational(k, 3) for k in (-7, -4, -2, -1, 1, 3, 5, 8)]
    scores = [weights[0] + weights[1] * c for c in covariate]
    objective = sum(sp.log(1 + sp.exp(u)) - r * u for r, u in zip(responses, scores))
    return Minimum(
        objective + penalty * (weights[0] ** 2 + weights[1] ** 2) / 2, weights, [responses, penalty], guess=(0, 0)
    )


def gamma():
    """Maximum likelihood of shape and scale from the mean and the mean logarithm."""
    shape, scale = sp.symbols("k u", positive=True)
    mean, logarithm = sp.symbols("m l")
    spread = sp.log(mean) - logarithm
    loss = sp.loggamma(shape) + shape * sp.log(scale) - (shape - 1) * logarithm + mean / scale
    return Minimum(loss, [shape, scale], [mean, logarithm], guess=(1 / (2 * spread), 2 * spread * mean))


def least_squares():
    """Michaelis-Menten constants from six rates."""
    rates, (vmax, km) = sp.symbols("v0:6"), sp.symbols("V K", positive=True)
    doses = [sp.Rational(k, 10) for k in (2, 4, 10, 20, 40, 80)]
    return Minimum(sum((v - vmax * s / (km + s)) ** 2 for v, s in zip(rates, doses)), [vmax, km], [rates], guess=(1, 1))


RATES = [0.17, 0.30, 0.48, 0.69, 0.79, 0.92]
RESPONSES = [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0]
CASES = {
    "Rosenbrock": (ROSENBROCK, [1.5, 40.0]),
    "quadratic": (quadratic(), [[0.3, -0.5, 0.2, 0.7, 0.1, -0.4], [1.0, -2.0, 0.5]]),
    "logistic": (logistic(), [RESPONSES, 0.3]),
    "gamma": (gamma(), [2.7, 0.8]),
    "least squares": (least_squares(), [RATES]),
    "one unknown": (LOGARITHM, [3.7]),
    "inside the box": (BOX, [0.7, 0.6]),
    "at one bound": (BOX, [2.0, 0.6]),
    "at two bounds": (BOX, [2.0, -1.0]),
    "at a moving bound": (
        Minimum(
            sp.exp(x) * sp.cosh(y - x) + (x - p) ** 2, [x, y], [p, q], guess=(0, 0), bounds=[(p * q, p * q + 3), None]
        ),
        [0.4, 0.9],
    ),
    "one at a moving bound": (Minimum((x - p) ** 4 + x**2, x, [p, q], guess=0, bounds=(sp.exp(q), None)), [1.1, 0.2]),
}


class Precise:
    """The minimum to 50 digits: the gradient's root in mpmath, for the bounds that hold at a solution."""

    def __init__(self, problem, value):
        self.problem = problem
        symbols = (*problem.unknowns, *problem.parameter_symbols)
        slopes = [sp.diff(problem.objective, s) for s in problem.unknowns]
        self.slopes = sp.lambdify(symbols, slopes, "mpmath")
        self.bounds = sp.lambdify(problem.parameter_symbols, [list(pair) for pair in problem.bounds], "mpmath")
        self.start = np.atleast_1d(value)

    def at(self, parameters, order):
        point = [float(v) for v in np.concatenate([np.ravel(v) for v in parameters])]
        held = [self._side(i, b) for i, b in enumerate(self.bounds(*point))]
        with mpmath.workdps(digits_for(point)):
            return precise_derivatives(lambda theta: self._solve(theta, held), point, order)

    def _side(self, i, bound):
        sides = [k for k in (0, 1) if abs(float(bound[k])) < 1e300 and abs(self.start[i] - float(bound[k])) < 1e-12]
        return sides[0] if sides else None

    def _solve(self, theta, held):
        limits = self.bounds(*theta)
        free = [i for i, side in enumerate(held) if side is None]
        result = [mpmath.mpf(0) if side is None else limits[i][side] for i, side in enumerate(held)]

        def slope(*values):
            for i, v in zip(free, values):
                result[i] = v
            return [self.slopes(*result, *theta)[i] for i in free]

        if free:
            tolerance = mpmath.mpf(10) ** (-2 * mpmath.mp.dps + 20)
            found = mpmath.findroot(slope, [mpmath.mpf(float(self.start[i])) for i in free], tol=tolerance)
            for i, v in zip(free, found if isinstance(found, mpmath.matrix) else [found]):
                result[i] = v
        return result


def status(problem, *args, **start):
    return problem.solve(*args, throw=False, **start).status


def same(a, b):
    return np.array_equal(a, b, equal_nan=True)


def flat_solution(solution, shape):
    n = shape[0] if shape else 1
    count = np.size(solution.jacobian) // n
    return (
        np.reshape(solution.value, n),
        np.reshape(solution.jacobian, (n, count)),
        np.reshape(solution.hessian, (n, count, count)),
    )


class TestValueAndDerivatives:
    @pytest.mark.parametrize("name", CASES)
    def test_agree_with_fifty_digits(self, name):
        problem, parameters = CASES[name]
        solution = problem.solve(*parameters, derivatives=2)
        expected = Precise(problem, solution.value).at(parameters, 2)
        computed = flat_solution(solution, problem.output_shape)
        for ours, exact, tolerance in zip(computed, expected, (8e-15, 2e-13, 1e-11)):
            exact = exact.astype(float)
            scale = np.maximum(abs(exact), abs(exact).max() * 1e-2)
            assert np.all(abs(ours - exact) <= tolerance * scale + 1e-50)

    @pytest.mark.parametrize("name", CASES)
    def test_error_estimate_is_honest(self, name):
        problem, parameters = CASES[name]
        solution = problem.solve(*parameters)
        exact = Precise(problem, solution.value).at(parameters, 0)[0].astype(float)
        assert np.all(abs(np.atleast_1d(solution.value) - exact) <= np.atleast_1d(solution.error_estimate) + 1e-300)

    def test_rosenbrock_in_closed_form(self):
        a, b = np.random.default_rng(0).uniform([0.5, 10.0], [2.0, 200.0], (200, 2)).T
        solution = ROSENBROCK.solve(a, b, derivatives=2)
        assert np.allclose(solution.value, np.stack([a, a**2], -1), rtol=4 * EPS)
        assert np.allclose(solution.jacobian[:, :, 0], np.stack([np.ones_like(a), 2 * a], -1), rtol=1e-11)
        assert np.allclose(solution.hessian[:, 1, 0, 0], 2, rtol=1e-8)

    def test_quadratic_is_a_linear_solve(self):
        a, b = CASES["quadratic"][1]
        lower = np.array([[a[0] + 2, 0, 0], [a[1], a[2] + 2, 0], [a[3], a[4], a[5] + 2]])
        solution = quadratic().solve(a, b, derivatives=1)
        assert np.allclose(solution.value, np.linalg.solve(lower @ lower.T, b), rtol=1e-14)
        assert np.allclose(solution.jacobian[:, 6:], np.linalg.inv(lower @ lower.T), rtol=1e-13)

    def test_gamma_shape_solves_its_likelihood_equation(self):
        shape, scale = gamma()(2.7, 0.8)
        assert np.isclose(np.log(shape) - scipy.special.digamma(shape), np.log(2.7) - 0.8, rtol=1e-14)
        assert np.isclose(shape * scale, 2.7, rtol=1e-15)

    @pytest.mark.parametrize("name", ["Rosenbrock", "logistic", "gamma", "least squares"])
    def test_agree_with_trust_exact(self, name):
        problem, parameters = CASES[name]
        value = problem(*parameters)
        numbers = np.concatenate([np.ravel(v) for v in parameters])
        f, g, h = (
            sp.lambdify([problem.unknowns, problem.parameter_symbols], e, ["scipy", "numpy"])
            for e in (
                problem.objective,
                [sp.diff(problem.objective, s) for s in problem.unknowns],
                sp.hessian(problem.objective, problem.unknowns),
            )
        )
        start = sp.lambdify([problem.parameter_symbols], problem.guess, "math")(numbers)
        found = scipy.optimize.minimize(
            lambda v: f(v, numbers), start, method="trust-exact", tol=1e-10,
            jac=lambda v: np.array(g(v, numbers)), hess=lambda v: np.array(h(v, numbers)),
        )  # fmt: skip
        assert np.allclose(value, found.x, rtol=1e-6)
        assert f(value, numbers) <= found.fun + 1e-14 * abs(found.fun)

    def test_agree_with_bounded_bfgs(self):
        rng = np.random.default_rng(1)
        points = rng.uniform(-1.5, 2.5, (60, 2))
        values = BOX(points[:, 0], points[:, 1])
        for (a, b), value in zip(points, values):
            found = scipy.optimize.minimize(
                lambda v, a=a, b=b: (v[0] - a) ** 2 + (v[1] - b) ** 2 + v[0] * v[1] / 2,
                [0.5, 0.5],
                method="L-BFGS-B",
                bounds=[(0, 1), (0, 1)],
                options={"ftol": 1e-15, "gtol": 1e-10},
            )
            assert np.allclose(value, found.x, atol=1e-6)

    def test_many_bounded_unknowns_agree_with_bounded_bfgs(self):
        n, rng = 12, np.random.default_rng(2)
        z, b = sp.symbols(f"z0:{n}"), sp.symbols(f"b0:{n}")
        coupling = sum((z[i] - z[i + 1]) ** 2 for i in range(n - 1))
        objective = sum(sp.cosh(u - t) for u, t in zip(z, b)) + coupling
        problem = Minimum(objective, z, [b], guess=(sp.Rational(1, 2),) * n, bounds=[(0, 1)] * n)
        f = sp.lambdify([z, b], objective, "numpy")
        for target in rng.normal(0.5, 2.0, (10, n)):
            found = scipy.optimize.minimize(
                lambda v, target=target: f(v, target), np.full(n, 0.5), method="L-BFGS-B", bounds=[(0, 1)] * n,
                options={"ftol": 1e-15, "gtol": 1e-9},
            )  # fmt: skip
            assert np.allclose(problem(target), found.x, atol=1e-5)


class TestStarts:
    def test_saddle_point_as_guess_is_left(self):
        problem = Minimum(x**2 - y**2 + y**4 + p * x, [x, y], [p], guess=(-p / 2, 0))
        value = problem.solve(1.0, derivatives=1)
        assert np.allclose(abs(value.value), [0.5, np.sqrt(0.5)], rtol=1e-14)

    def test_maximum_as_guess_is_left(self):
        assert np.isclose(abs(Minimum(p * sp.cos(x), x, [p], guess=0)(2.0)), np.pi, rtol=1e-15)
        assert abs(Minimum(-p * x**2, x, [p], guess=0, bounds=(-1, 2))(1.0)) in (1.0, 2.0)

    def test_minimum_as_guess_is_found_at_once(self):
        solution = ROSENBROCK.solve(1.5, 40.0, guess=[1.5, 2.25])
        assert solution.value.tolist() == [1.5, 2.25]
        assert solution.stats["iterations"] == 1

    def test_guess_selects_among_minima_and_does_not_change_the_derivative(self):
        problem = Minimum((x**2 - p) ** 2, x, [p], guess=1)
        for guess, sign in ((3.0, 1), (0.1, 1), (-0.1, -1), (-40.0, -1)):
            solution = problem.solve(2.0, guess=guess, derivatives=1)
            assert np.isclose(solution.value, sign * np.sqrt(2), rtol=1e-15)
            assert np.isclose(solution.jacobian[0], sign / np.sqrt(8), rtol=1e-14)

    def test_guess_beyond_a_bound_is_moved_to_it(self):
        assert BOX.solve(0.7, 0.6, guess=[-5.0, 9.0]).converged
        assert np.allclose(BOX.solve(0.7, 0.6, guess=[-5.0, 9.0]).value, BOX(0.7, 0.6), rtol=1e-15)

    @pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6, 1e12])
    def test_scale_of_the_unknowns_does_not_matter(self, scale):
        problem = Minimum((p - x) ** 2 + q * (y - x**2 / p) ** 2, [x, y], [p, q], guess=(p / 3, p / 3))
        assert np.allclose(problem(scale, 100.0), scale, rtol=1e-14, atol=0)

    def test_far_guess(self):
        assert np.isclose(LOGARITHM.solve(3.0, guess=50.0).value, np.log(3.0), rtol=1e-15)
        assert np.isclose(LOGARITHM.solve(3.0, guess=-50.0).value, np.log(3.0), rtol=1e-15)

    def test_iterates_of_a_positive_unknown_stay_positive(self):
        problem = Minimum(POSITIVE - p * sp.log(POSITIVE), POSITIVE, [p], guess=1)
        values = np.geomspace(1e-8, 1e8, 50)
        assert np.allclose(problem(values), values, rtol=4 * EPS)

    def test_minimum_next_to_rounding_error_of_the_objective(self):
        # f is known to 1e-6 only, which leaves x open by 1e-3; its gradient tells x to the last digit
        problem = Minimum(10**10 + sp.exp(x) - p * x, x, [p], guess=0)
        assert np.isclose(problem(3.0), np.log(3.0), rtol=1e-15)


class TestBounds:
    def test_each_side_active_and_inactive(self):
        solution = BOX.solve([0.7, 2.0, -1.0, 2.0], [0.6, 0.6, -1.0, -1.0], derivatives=1)
        expected = [[44 / 75, 34 / 75], [1.0, 0.35], [0.0, 0.0], [1.0, 0.0]]
        assert np.allclose(solution.value, expected, rtol=1e-15)
        assert np.allclose(solution.jacobian[0], np.array([[16, -4], [-4, 16]]) / 15, rtol=1e-14)
        assert np.allclose(solution.jacobian[1], [[0.0, 0.0], [0.0, 1.0]], rtol=1e-15)
        assert same(abs(solution.jacobian[2:]), np.zeros((2, 2, 2)))

    def test_unknown_at_a_bound_moves_with_it(self):
        problem = Minimum(BOWL, [x, y], [p, q], guess=(0, 0), bounds=[(None, p * q), None])
        solution = problem.solve(3.0, 0.5, derivatives=2)
        assert np.allclose(solution.value, [1.5, 0.125], rtol=1e-15)
        assert np.allclose(solution.jacobian, [[0.5, 3.0], [-0.125, 0.25]], rtol=1e-15)
        assert np.allclose(solution.hessian, [[[0, 1], [1, 0]], [[0, -0.25], [-0.25, 0]]], rtol=1e-15)

    def test_bound_is_returned_exactly(self):
        problem = Minimum(BOWL, [x, y], [p, q], guess=(0, 0), bounds=[(None, sp.sin(p) + q / 3), None])
        a, b = np.random.default_rng(3).uniform([3.0, 0.0], [9.0, 1.0], (300, 2)).T
        assert np.allclose(problem(a, b)[:, 0], np.sin(a) + b / 3, rtol=2 * EPS)
        jacobian = problem.solve(a, b, derivatives=1).jacobian
        assert np.allclose(jacobian[:, 0], np.stack([np.cos(a), np.full(300, 1 / 3)], -1), rtol=1e-13)

    def test_rules_see_the_same_active_bounds_as_the_kernel(self):
        a, b = np.random.default_rng(4).uniform(-1.5, 2.5, (2, 500))
        solution = BOX.solve(a, b, derivatives=1)
        f = NumpyDifferentiable(BOX)
        for i in range(2):
            cotangent = np.zeros((500, 2))
            cotangent[:, i] = 1
            pulled = np.stack(f.vjp([a, b], cotangent), -1)
            assert np.allclose(pulled, solution.jacobian[:, i], rtol=1e-14, atol=1e-15)

    def test_reversed_equal_and_undefined_bounds(self):
        problem = Minimum((x - p) ** 2, x, [p, q], guess=0, bounds=(0, sp.sqrt(q) - 1))
        found = problem.solve(0.5, [9.0, 1.0, 0.0, -1.0], throw=False)
        assert found.status.tolist() == [Status.CONVERGED] + [Status.INVALID_BOUNDS] * 3

    def test_minimum_on_the_edge_between_active_and_inactive(self):
        problem = Minimum((x - p) ** 2, x, [p], guess=sp.Rational(1, 2), bounds=(0, 1))
        found = problem.solve([0.0, 1.0, 1e-9, -1e-9, 1 - 1e-9, 1 + 1e-9], derivatives=1, throw=False)
        assert found.status.tolist() == [Status.DEGENERATE_BOUND] * 2 + [Status.CONVERGED] * 4
        assert np.allclose(found.jacobian.ravel(), [np.nan, np.nan, 1, 0, 1, 0], rtol=1e-15, equal_nan=True)


class TestWork:
    def test_derivatives_need_no_factorisation_of_their_own(self):
        counts = [ROSENBROCK.solve(1.0, 100.0, derivatives=k).stats for k in (0, 1, 2)]
        assert counts[0] == counts[1] == counts[2]

    def test_rules_factorise_once_and_solve_once_for_each_direction(self):
        for rule in (Solve(ROSENBROCK).vjp(), Solve(ROSENBROCK).jvp()):
            names = [type(step.operation).__name__ for step in rule.steps]
            assert names.count("Factorise") == names.count("LinearSolve") == 1

    def test_rosenbrock_takes_few_steps(self):
        stats = ROSENBROCK.solve(1.0, 100.0).stats
        assert stats["iterations"] <= 30
        assert stats["factorisations"] <= 2 * stats["iterations"]


class TestPrograms:
    """Reverse and forward rules, and second order through their steps, replayed with the NumPy kernels."""

    @pytest.mark.parametrize("name", CASES)
    def test_first_and_second_order_agree_with_the_kernel(self, name):
        problem, parameters = CASES[name]
        arguments = [np.asarray(v, dtype=float) for v in parameters]
        rng = np.random.default_rng(7)
        tangents, others = ([rng.normal(size=a.shape) for a in arguments] for _ in range(2))
        cotangent = rng.normal(size=problem.output_shape)
        solution = problem.solve(*arguments, derivatives=2)
        _, jacobian, hessian = flat_solution(solution, problem.output_shape)
        u, v = (np.concatenate([np.ravel(t) for t in ts]) for ts in (tangents, others))
        c = np.ravel(cotangent)
        f = NumpyDifferentiable(problem)
        flat = lambda parts: np.concatenate([np.ravel(part) for part in parts])  # noqa: E731
        scale = abs(jacobian).max()
        assert np.allclose(flat(f.vjp(arguments, cotangent)), c @ jacobian, rtol=1e-11, atol=1e-12 * scale)
        assert np.allclose(np.ravel(f.jvp(arguments, tangents)), jacobian @ u, rtol=1e-11, atol=1e-12 * scale)
        expected, scale = np.einsum("i,ijk,k->j", c, hessian, u), abs(hessian).max()
        for mode in ("fr", "rr", "rf"):
            computed = flat(f.second(mode, arguments, cotangent, tangents, others))
            assert np.allclose(computed, expected, rtol=1e-9, atol=1e-10 * scale), mode
        computed = np.ravel(f.second("ff", arguments, cotangent, tangents, others))
        assert np.allclose(computed, np.einsum("ijk,j,k->i", hessian, u, v), rtol=1e-9, atol=1e-10 * scale)

    def test_operation_returns_what_the_problem_does(self):
        (value,) = evaluate(Solve(ROSENBROCK), [np.array([1.0, 2.0]), 100.0])
        assert same(value, ROSENBROCK([1.0, 2.0], 100.0))
