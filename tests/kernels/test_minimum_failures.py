"""The minimiser where there is no proper minimum, and what a batch does with that: every status, NaN, no neighbours."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops import Minimum, Status
from implicitops.verify.differentiation.numpy import NumpyDifferentiable

x, y, p, q = sp.symbols("x y p q")
POSITIVE = sp.Symbol("x", positive=True)
ROSENBROCK = Minimum((p - x) ** 2 + q * (y - x**2) ** 2, [x, y], [p, q], guess=(-sp.Rational(6, 5), 1))
BOX = Minimum((x - p) ** 2 + (y - q) ** 2 + x * y / 2, [x, y], [p, q], guess=(1, 1), bounds=[(0, 1), (0, 1)])
LOGARITHM = Minimum(sp.exp(x) - p * x, x, [p], guess=0)


def status(problem, *args):
    return problem.solve(*args, throw=False).status


def same(a, b):
    return np.array_equal(a, b, equal_nan=True)


class TestFailures:
    @pytest.mark.parametrize(
        ("objective", "guess"),
        [(-p * x**2, 0), (-p * x**2, 1), (p * x, 1), (p * x**3, 2), (sp.exp(x) - p * x**4, -2), (-sp.cosh(p * x), 1)],
    )
    def test_unbounded_objective(self, objective, guess):
        assert status(Minimum(objective, x, [p], guess=guess), 1.0) is Status.UNBOUNDED

    @pytest.mark.parametrize(
        ("objective", "guess"),
        [(sp.exp(-p * x), 1), (1 / (1 + sp.exp(x)), p), (sp.atan(x), p), (sp.log(1 + sp.exp(x)), p)],
    )
    def test_limit_that_is_not_attained(self, objective, guess):
        assert status(Minimum(objective, x, [p], guess=guess), 1.0) is Status.UNBOUNDED

    def test_limit_at_the_edge_of_the_domain(self):
        for objective in (p * POSITIVE, p * sp.log(POSITIVE), p * sp.sqrt(POSITIVE)):
            assert status(Minimum(objective, POSITIVE, [p], guess=1), 1.0) is Status.UNBOUNDED

    def test_separable_logistic_regression_has_no_estimate(self):
        responses = sp.symbols("r0:6")
        scores = [x + y * sp.Rational(c, 3) for c in (-7, -4, -1, 1, 3, 8)]
        loss = sum(sp.log(1 + sp.exp(u)) - r * u for u, r in zip(scores, responses))
        problem = Minimum(loss + p * (x**2 + y**2), [x, y], [responses, p], guess=(0, 0))
        separable, mixed = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0, 1.0, 1.0]
        assert status(problem, separable, 0.0) is Status.UNBOUNDED
        assert status(problem, separable, 1e-3) is Status.CONVERGED
        assert status(problem, mixed, 0.0) is Status.CONVERGED

    def test_saddle_in_two_unknowns_runs_away(self):
        problem = Minimum(x**2 - p * y**2, [x, y], [p], guess=(1, sp.Rational(1, 10)))
        assert status(problem, 1.0) is Status.UNBOUNDED
        assert status(problem, -1.0) is Status.CONVERGED

    @pytest.mark.parametrize("guess", [0, 5, p])
    @pytest.mark.parametrize(
        "objective",
        [sp.Abs(x - p), sp.Abs(x - p) + x**2 / 10, sp.Max(x - p, p - x) ** 1, sp.Abs(x - p) ** sp.Rational(3, 2)],
    )
    def test_kink(self, objective, guess):
        assert status(Minimum(objective, x, [p], guess=guess), 1.3) is Status.NON_SMOOTH

    def test_kink_beside_the_minimum_does_no_harm(self):
        problem = Minimum((x - p) ** 2 + sp.Abs(x) / 10, x, [p], guess=1)
        found = problem.solve([3.0, -3.0, 0.01], derivatives=1, throw=False)
        assert found.status.tolist() == [Status.CONVERGED, Status.CONVERGED, Status.NON_SMOOTH]
        assert np.allclose(found.value[:2], [2.95, -2.95])

    @pytest.mark.parametrize("guess", [5, p, 0])
    @pytest.mark.parametrize("power", [4, 6])
    def test_degenerate_hessian(self, power, guess):
        for objective in ((x - p) ** power, sp.expand((x - p) ** power)):
            assert status(Minimum(objective, x, [p], guess=guess), 1.3) is Status.SINGULAR
        assert status(Minimum((x - p) ** power, x, [p], guess=1), 0.0) is Status.SINGULAR

    def test_valley_of_minima(self):
        assert status(Minimum((x + y - p) ** 2, [x, y], [p], guess=(1, 3)), 1.3) is Status.SINGULAR
        assert status(Minimum((x * y - p) ** 2, [x, y], [p], guess=(1, 3)), 1.3) is Status.SINGULAR

    def test_undefined_objective(self):
        assert status(Minimum(sp.log(x) ** 2 * p, x, [p], guess=-1), 1.0) is Status.UNDEFINED
        assert status(Minimum(p * sp.sqrt(x), x, [p], guess=1), 1.0) is Status.UNDEFINED

    def test_step_limit(self):
        problem = Minimum((p - x) ** 2 + q * (y - x**2) ** 2, [x, y], [p, q], guess=(-1.2, 1), max_steps=5)
        assert status(problem, 1.0, 100.0) is Status.MAX_STEPS

    def test_call_raises_and_says_why(self):
        with pytest.raises(iop.SolveError, match="falls without limit"):
            Minimum(-p * x**2, x, [p], guess=1)(1.0)

    # The parameter q chooses the behaviour.
    MIXED = Minimum(
        sp.Piecewise(((x - p) ** 2, q < 1), (-((x - p) ** 2), q < 2), (sp.Abs(x - p), q < 3), ((x - p) ** 4, True))
        + y**2,
        [x, y],
        [p, q],
        guess=(1, 1),
    )
    EXPECTED: ClassVar = {
        0.0: Status.CONVERGED,
        1.0: Status.UNBOUNDED,
        2.0: Status.NON_SMOOTH,
        3.0: Status.SINGULAR,
        np.nan: Status.INVALID_INPUT,
    }

    def test_each_element_of_a_batch_gets_its_own_status_and_nan(self):
        solution = self.MIXED.solve(0.3, list(self.EXPECTED), derivatives=2, throw=False)
        assert solution.status.tolist() == list(self.EXPECTED.values())
        for field in (solution.value, solution.jacobian, solution.hessian, solution.error_estimate):
            assert np.all(np.isfinite(field[0]))
            assert np.all(np.isnan(field[1:]))

    def test_derivative_products_are_nan_where_the_solve_failed(self):
        problem = Minimum(p * x**2 + y**2 - x - q * y, [x, y], [p, q], guess=(0, 0), on_failure="nan")
        arguments = [np.array([1.0, -1.0]), np.array([1.0, 1.0])]
        f = NumpyDifferentiable(problem)
        for pulled in f.vjp(arguments, np.ones((2, 2))):
            assert np.isnan(pulled).tolist() == [False, True]
        assert np.isnan(f.jvp(arguments, arguments)).tolist() == [[False, False], [True, True]]
        scalar = NumpyDifferentiable(Minimum(p * x**2 - q * x, x, [p, q], guess=0, on_failure="nan"))
        for pulled in scalar.vjp(arguments, np.ones(2)):
            assert np.isnan(pulled).tolist() == [False, True]
        assert np.isnan(scalar.jvp(arguments, arguments)).tolist() == [False, True]


class TestBatchEqualsLoop:
    @pytest.mark.parametrize("problem", [ROSENBROCK, BOX, LOGARITHM], ids=["Rosenbrock", "box", "logarithm"])
    def test_bit_for_bit(self, problem):
        rng = np.random.default_rng(5)
        columns = [rng.uniform(0.5, 5.0, 300) for _ in problem.params]
        columns[0][::7] = np.nan
        batch = problem.solve(*columns, derivatives=2, throw=False)
        for i in range(0, 300, 11):
            alone = problem.solve(*(c[i] for c in columns), derivatives=2, throw=False)
            for field in ("value", "jacobian", "hessian", "status_code", "error_estimate"):
                assert same(getattr(batch, field)[i], getattr(alone, field)), field

    def test_threads_change_nothing(self):
        a, b = np.random.default_rng(6).uniform(0.5, 2.0, (2, 20_000))
        many = ROSENBROCK(a, b)
        iop.set_num_threads(1)
        try:
            assert same(ROSENBROCK(a, b), many)
        finally:
            iop.set_num_threads(None)
