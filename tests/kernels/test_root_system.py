"""Promises of the system solver: right roots, right derivatives, and honest failures."""

import mpmath
import numpy as np
import pytest
import sympy as sp
from scipy import optimize

import implicitops as iop
from implicitops.backends.numpy import evaluate
from implicitops.calculus import Solve
from implicitops.calculus.root_system import Factorise, LinearSolve
from implicitops.symbolic.equations import equations_of

x, y, a, b, r = sp.symbols("x y a b r")
CIRCLE = iop.Root([x**2 + y**2 - r**2, x - a * y], [x, y], [r, a], guess=[r, r])


def closed_form(radius, slope):
    norm = np.sqrt(1 + slope**2)
    return np.stack([slope * radius / norm, radius / norm], axis=-1)


def bratu(n):
    """Bratu's problem u'' + lambda exp(u) = 0 with n interior points."""
    u, strength = sp.symbols(f"u0:{n}"), sp.Symbol("strength")
    ends = (sp.S.Zero, *u, sp.S.Zero)
    step = sp.Rational(1, n + 1)
    equations = [ends[i] - 2 * ends[i + 1] + ends[i + 2] + step**2 * strength * sp.exp(ends[i + 1]) for i in range(n)]
    return iop.Root(equations, u, [strength], guess=[0] * n)


class TestValuesAndDerivatives:
    def test_circle_and_line_match_the_closed_form_to_second_order(self):
        radius, slope = sp.symbols("R A", positive=True)
        exact = [slope * radius / sp.sqrt(1 + slope**2), radius / sp.sqrt(1 + slope**2)]
        at = {radius: 5, slope: 2}
        solution = CIRCLE.solve(5.0, 2.0, derivatives=2)
        parameters = (radius, slope)
        jacobian = [[float(e.diff(p).subs(at)) for p in parameters] for e in exact]
        hessian = [[[float(e.diff(p, q).subs(at)) for q in parameters] for p in parameters] for e in exact]
        np.testing.assert_allclose(solution.value, [float(e.subs(at)) for e in exact], rtol=1e-15)
        np.testing.assert_allclose(solution.jacobian, jacobian, rtol=1e-14)
        np.testing.assert_allclose(solution.hessian, hessian, rtol=1e-13, atol=1e-15)

    def test_a_boundary_value_problem_matches_its_closed_form_solution(self):
        # u = 2 log(cosh(c) / cosh(c (1 - 2 t))), lambda = 8 c^2 / cosh(c)^2; the grid's error is O(h^2).
        c = float(mpmath.findroot(lambda c: 8 * c**2 / mpmath.cosh(c) ** 2 - 1, 0.4))
        for n, tolerance in ((50, 4e-5), (200, 3e-6)):
            t = np.arange(1, n + 1) / (n + 1)
            exact = 2 * np.log(np.cosh(c) / np.cosh(c * (1 - 2 * t)))
            assert np.abs(bratu(n)(1.0) - exact).max() < tolerance

    def test_fifty_unknowns_agree_with_minpack_and_with_differences_of_its_solution(self):
        problem, n = bratu(50), 50
        step = 1 / (n + 1)

        def residual(u, strength):
            padded = np.concatenate([[0], u, [0]])
            return padded[:-2] - 2 * u + padded[2:] + step**2 * strength * np.exp(u)

        def minpack(strength):
            return optimize.root(residual, np.zeros(n), (strength,), tol=1e-13).x

        solution = problem.solve(1.0, derivatives=1)
        np.testing.assert_allclose(solution.value, minpack(1.0), rtol=1e-9)
        difference = (minpack(1.0 + 1e-5) - minpack(1.0 - 1e-5)) / 2e-5
        np.testing.assert_allclose(solution.jacobian[:, 0], difference, rtol=1e-6)

    def test_vector_parameters_are_flattened_in_order(self):
        k = sp.symbols("k0:2")
        problem = iop.Root([x - k[0] * a, y - k[1] * x], [x, y], [a, k], guess=[1, 1])
        solution = problem.solve(2.0, [3.0, 5.0], derivatives=1)
        np.testing.assert_allclose(solution.value, [6, 30])
        np.testing.assert_allclose(solution.jacobian, [[3, 2, 0], [15, 10, 6]], rtol=1e-14, atol=1e-15)

    def test_equilibria_over_ten_decades_are_right_to_the_last_digits(self):
        h, oh, acid, anion = sp.symbols("h oh acid anion", positive=True)
        total, base = sp.symbols("total base")
        constant = 10**-4.76
        problem = iop.Root(
            [h * oh * 1e14 - 1, h * anion / acid - constant, acid + anion - total, h + base - anion - oh],
            [h, oh, acid, anion],
            [total, base],
            guess=[1e-7, 1e-7, total / 2, total / 2],
        )
        rng = np.random.default_rng(0)
        totals, bases = 10 ** rng.uniform(-4, 0, 40), rng.uniform(0, 1, 40)
        found = problem(totals, bases)
        with mpmath.workdps(40):
            for row, t, base_value in zip(found, totals, bases):
                k = mpmath.mpf(constant)

                def charge(s, t=t, base_value=base_value, k=k):
                    proton = mpmath.mpf(10) ** s
                    return (
                        proton
                        + mpmath.mpf(base_value)
                        - mpmath.mpf(t) * k / (k + proton)
                        - mpmath.mpf("1e-14") / proton
                    )

                exact = mpmath.mpf(10) ** mpmath.findroot(charge, (-16, 0), solver="anderson", tol=1e-50, maxsteps=300)
                assert row[0] == pytest.approx(
                    float(exact), rel=2e-9
                )  # conditioned like 1/[H+] at the equivalence point


class TestRules:
    """The programs that graphs replay, against the Jacobian and Hessian of the kernel."""

    POINT = (5.0, 2.0)

    @staticmethod
    def apply(operation, *arguments):
        return evaluate(operation, arguments)

    def test_reverse_and_forward_rules_are_transposes_of_each_other_and_match_the_jacobian(self):
        operation, solution = Solve(CIRCLE), CIRCLE.solve(*self.POINT, derivatives=1)
        for k in range(2):
            cotangent, tangent = np.eye(2)[k], list(np.eye(2)[k])
            row = operation.vjp().replay([*self.POINT, solution.value, cotangent], self.apply)
            column = operation.jvp().replay([*self.POINT, solution.value, *tangent], self.apply)
            np.testing.assert_allclose(row, solution.jacobian[k], rtol=1e-14)
            np.testing.assert_allclose(column[0], solution.jacobian[:, k], rtol=1e-14)

    def test_a_reverse_rule_makes_one_factorisation_and_one_solve_for_any_number_of_parameters(self):
        p = sp.symbols("p0:30")
        problem = iop.Root([x + y - sum(p), x - y - p[0] * x**3], [x, y], [p], guess=[1, 1])
        steps = [step.operation for step in Solve(problem).vjp().steps]
        assert [type(step).__name__ for step in steps] == ["Factorise", "LinearSolve", "ParameterPullback"]
        assert steps[1].transposed

    def test_a_kernel_call_factorises_no_more_for_derivatives(self):
        value, second = (CIRCLE.solve(*self.POINT, derivatives=d).stats for d in (0, 2))
        assert value["factorisations"] == second["factorisations"] == second["iterations"] + 1

    @pytest.mark.parametrize("transposed", [False, True])
    def test_the_rules_of_a_linear_solve_match_differences(self, transposed):
        solve, factorise = LinearSolve(CIRCLE, transposed), Factorise(CIRCLE)
        point, right = [5.0, 2.0, np.array([1.3, 0.7])], np.array([0.3, -1.1])

        def solution(r, a, x, right):
            (factors,) = self.apply(factorise, r, a, x)
            return self.apply(solve, r, a, x, factors, right)[0]

        (factors,) = self.apply(factorise, *point)
        value, cotangent = solution(*point, right), np.array([0.9, 0.4])
        tangents = [0.1, 0.2, np.array([0.3, 0.4]), np.array([0.5, 0.6])]
        (forward,) = solve.jvp().replay([*point, factors, right, value, *tangents[:3], None, tangents[3]], self.apply)
        step = 1e-6
        moved = [solution(*(p + s * step * t for p, t in zip([*point, right], tangents))) for s in (1, -1)]
        np.testing.assert_allclose(forward, (moved[0] - moved[1]) / (2 * step), rtol=1e-8)
        results = solve.vjp().replay([*point, factors, right, value, cotangent], self.apply)
        assert results[3] is None
        reverse = [r for r in results if r is not None]
        product = sum(np.sum(c * t) for c, t in zip(reverse, tangents))
        assert product == pytest.approx(float(cotangent @ forward), rel=1e-12)

    @pytest.mark.parametrize(("n", "band"), [(2, None), (9, None), (40, None), (14, (1, 1)), (30, (1, 2))])
    def test_factorisation_and_solves_match_numpy_dense_and_banded(self, n, band):
        rng = np.random.default_rng(n)
        matrix = rng.standard_normal((n, n))
        if band:
            i, j = np.indices((n, n))
            matrix[(i - j > band[0]) | (j - i > band[1])] = 0
        u = sp.symbols(f"u0:{n}")
        equations = [sp.Add(*(float(matrix[i, j]) * u[j] for j in range(n) if matrix[i, j])) - a for i in range(n)]
        problem = iop.Root(equations, u, [a], guess=[0] * n)
        assert equations_of(problem).bandwidths == band
        right = rng.standard_normal(n)
        (factors,) = self.apply(Factorise(problem), 1.0, np.zeros(n))
        for transposed in (False, True):
            (v,) = self.apply(LinearSolve(problem, transposed), 1.0, np.zeros(n), factors, right)
            expected = np.linalg.solve(matrix.T if transposed else matrix, right)
            np.testing.assert_allclose(v, expected, rtol=1e-9, atol=1e-10)


class TestBatches:
    def test_a_batch_equals_a_loop_bit_for_bit_also_with_failing_rows(self):
        radius = np.array([1.0, 5.0, np.nan, 0.0, -3.0, np.inf, 1e8])
        together = CIRCLE.solve(radius, 2.0, derivatives=2, throw=False)
        for i, value in enumerate(radius):
            alone = CIRCLE.solve(value, 2.0, derivatives=2, throw=False)
            assert alone.status is together.status[i]
            for field in ("value", "jacobian", "hessian", "error_estimate"):
                np.testing.assert_array_equal(getattr(alone, field), getattr(together, field)[i])

    def test_the_number_of_threads_does_not_matter(self):
        radius = np.linspace(1, 5, 3000)
        try:
            iop.set_num_threads(1)
            one = CIRCLE.solve(radius, 2.0, derivatives=1)
            iop.set_num_threads(3)
            three = CIRCLE.solve(radius, 2.0, derivatives=1)
        finally:
            iop.set_num_threads(None)
        np.testing.assert_array_equal(one.value, three.value)
        np.testing.assert_array_equal(one.jacobian, three.jacobian)
        np.testing.assert_array_equal(one.stats["iterations"], three.stats["iterations"])

    def test_broadcasting_and_empty_batches(self):
        assert CIRCLE(np.ones((3, 1)), np.ones(4)).shape == (3, 4, 2)
        assert CIRCLE.solve(np.ones(0), 1.0, derivatives=2).hessian.shape == (0, 2, 2, 2)


class TestHardStarts:
    def test_badly_scaled_equations_need_no_help(self):
        # M. J. D. Powell's badly scaled problem: (1.098e-5, 9.106).
        problem = iop.Root([a * x * y - 1, sp.exp(-x) + sp.exp(-y) - b], [x, y], [a, b], guess=[0, 1])
        np.testing.assert_allclose(problem(1e4, 1.0001), [1.098159327e-5, 9.106146740], rtol=1e-8)

    @pytest.mark.parametrize(
        ("equations", "guess", "expected"),
        [
            # Problems 1, 3 and 7 of J. J. More, B. S. Garbow, K. E. Hillstrom, ACM TOMS 7 (1981) 17.
            ([10 * (y - x**2), a - x], [-1.2, 1], [1, 1]),
            ([x + 10 * y - 11 * a, sp.sqrt(5) * (x - y)], [3, -1], [1, 1]),
            ([sp.exp(x - a) - 1, y * x - 1], [-3, 5], [1, 1]),
        ],
    )
    def test_classical_problems_converge_from_their_starts(self, equations, guess, expected):
        np.testing.assert_allclose(iop.Root(equations, [x, y], [a], guess=guess)(1.0), expected, rtol=1e-12)

    def test_a_singular_jacobian_at_the_guess_is_overcome(self):
        problem = iop.Root([x**2 + y - a, y**3 + x * y - a], [x, y], [a], guess=[0, 0])
        value = problem(2.0)
        assert value[0] ** 2 + value[1] == pytest.approx(2)
        assert value[1] ** 3 + value[0] * value[1] == pytest.approx(2)

    def test_positive_unknowns_stay_positive_and_fall_back_to_their_logarithms(self):
        u, v = sp.symbols("u v", positive=True)
        problem = iop.Root([u * v - 1e-12, sp.log(u) + a * sp.log(v)], [u, v], [a], guess=[1, 1])
        solution = problem.solve(0.5)
        np.testing.assert_allclose(solution.value, [1e12, 1e-24], rtol=1e-10)

    def test_the_guess_selects_the_root(self):
        problem = iop.Root([x + y - a, x * y - b], [x, y], [a, b], guess=[a, 0])
        np.testing.assert_allclose(problem(3.0, 2.0), [2, 1], rtol=1e-14)
        np.testing.assert_allclose(problem.solve(3.0, 2.0, guess=[0.0, 3.0]).value, [1, 2], rtol=1e-14)


class TestFailures:
    def test_every_status_in_one_batch(self):
        problem = iop.Root([x**2 - a, y - sp.log(b) - x], [x, y], [a, b], guess=[2, 1])
        solution = problem.solve([4.0, -1.0, 0.0, np.nan, 1.0], [1.0, 1.0, 1.0, 1.0, -1.0], derivatives=1, throw=False)
        assert solution.status[0] is iop.Status.CONVERGED
        assert solution.status[1] is iop.Status.STALLED
        assert solution.status[2] in (iop.Status.SINGULAR, iop.Status.MAX_STEPS, iop.Status.STALLED)
        assert solution.status[3] is iop.Status.INVALID_INPUT
        assert solution.status[4] is iop.Status.UNDEFINED
        assert np.isfinite(solution.value[0]).all()
        assert np.isnan(solution.value[1:]).all()
        assert np.isnan(solution.jacobian[1:]).all()

    @pytest.mark.parametrize("expanded", [False, True])
    def test_a_double_root_is_singular_not_a_number(self, expanded):
        square = (x - a) ** 2
        problem = iop.Root([square.expand() if expanded else square, y - x], [x, y], [a], guess=[3, 1])
        solution = problem.solve(1.0, derivatives=1, throw=False)
        assert not solution.converged
        assert np.isnan(solution.value).all()
        assert np.isnan(solution.jacobian).all()

    def test_dependent_equations_are_singular_and_inconsistent_ones_have_no_root(self):
        problem = iop.Root([x + y - a, 2 * x + 2 * y - b], [x, y], [a, b], guess=[0, 0])
        dependent, inconsistent = problem.solve([1.0, 1.0], [2.0, 3.0], throw=False).status
        assert dependent is iop.Status.SINGULAR
        assert inconsistent is iop.Status.STALLED

    def test_the_step_limit_is_a_status(self):
        problem = iop.Root([sp.exp(x) - a, y - x], [x, y], [a], guess=[40, 0], max_steps=3)
        assert problem.solve(1.0, throw=False).status is iop.Status.MAX_STEPS

    def test_an_error_outside_a_graph_names_the_element_and_its_parameters(self):
        problem = iop.Root([x**2 - a, y - x], [x, y], [a], guess=[1, 1])
        with pytest.raises(iop.SolveError, match=r"index \(1,\), a=-2.*Status"):
            problem([1.0, -2.0])
