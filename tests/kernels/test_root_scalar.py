"""The scalar root finder: one class per promise, each against brentq, closed forms or 50 digits."""

from __future__ import annotations

import os
from typing import ClassVar

import mpmath
import numpy as np
import pytest
import scipy.optimize
import sympy as sp

import implicitops as iop
from implicitops import Root, Status
from implicitops.calculus import Solve
from implicitops.kernels import handle_of

x, p, q = sp.symbols("x p q")
y = sp.Symbol("y", positive=True)
EPS = np.finfo(float).eps


def status(problem, *args, **start):
    return problem.solve(*args, throw=False, **start).status


def same(a, b):
    return np.array_equal(a, b, equal_nan=True)


class TestValues:
    @pytest.mark.parametrize(
        ("residual", "bracket", "parameters"),
        [
            (x**3 - 2 * x - p, (-2, 3), np.linspace(-0.5, 10.0, 40)),
            (sp.cos(x) - p * x, (0, 3), np.linspace(0.1, 5.0, 40)),
            (x * sp.exp(x) - p, (0, 10), np.geomspace(1e-6, 1e4, 40)),
            (sp.tanh(x) + x / 10 - p, (-40, 40), np.linspace(-3, 3, 40)),
            (sp.log(x) + x - p, (sp.Float(1e-10), 100), np.linspace(-20, 80, 40)),
            (x**9 - p, (-3, 3), np.linspace(-2, 2, 41)[1::2]),
        ],
    )
    def test_agree_with_brentq(self, residual, bracket, parameters):
        value = Root(residual, x, [p], bracket=bracket)(parameters)
        function = sp.lambdify((x, p), residual, "numpy")
        ends = [float(end) for end in bracket]
        expected = [scipy.optimize.brentq(function, *ends, args=(v,), xtol=1e-300, rtol=4 * EPS) for v in parameters]
        assert np.allclose(value, expected, rtol=1e-14, atol=0)

    @pytest.mark.parametrize("residual", [x - p, p - x, (x - p) * (1 + x**2), sp.sinh(x - p)])
    def test_orientation_does_not_matter(self, residual):
        for bracket in ((p - 1, p + 3), (p + 3, p - 1)):
            assert Root(residual, x, [p], bracket=bracket)(0.75) == 0.75

    def test_root_at_an_end_of_the_bracket(self):
        problem = Root(x * (x - 2) * (x - p), x, [p], bracket=(0, 1))
        assert problem(5.0) == 0.0
        assert Root(x**2 - p, x, [p], bracket=(0, 2))(4.0) == 2.0

    def test_root_at_zero(self):
        for start in ({"bracket": (-1, 3)}, {"guess": 1}, {}):
            assert abs(Root(x**3 + x - p, x, [p], **start)(0.0)) < 1e-300

    def test_iterates_never_leave_the_bracket(self):
        # outside [0, 1] the residual is NaN
        inside = sp.sqrt(x) + sp.sqrt(1 - x) * p - 1
        problem = Root(inside - sp.sqrt(x) * 2, x, [p], bracket=(0, 1))
        assert np.all(problem.solve(np.linspace(1.1, 50, 30)).converged)

    def test_jacobian_and_value_belong_to_the_same_point(self):
        problem = Root(x**5 - p, x, [p], bracket=(0, 1 + p), rtol=1e-2)
        solution = problem.solve(np.geomspace(1e-3, 1e3, 50), derivatives=1)
        assert np.allclose(solution.jacobian[:, 0], 0.2 * solution.value**-4.0, rtol=4e-15)


class TestBatchEqualsLoop:
    MIXED = Root(sp.log(x) * (x - p) + (x - p) ** 3 / q, x, [p, q], bracket=(sp.Rational(11, 10), 10))

    @pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 63, 255, 256, 257, 1000])
    def test_for_every_block_size(self, n):
        rng = np.random.default_rng(n)
        ps, qs = rng.uniform(1.5, 9.0, n), rng.choice([1.0, 1e-3, 1e3, np.nan, 0.0], n, p=[0.6, 0.1, 0.1, 0.1, 0.1])
        batch = self.MIXED.solve(ps, qs, derivatives=2, throw=False)
        for i in range(0, n, max(1, n // 20)):
            alone = self.MIXED.solve(ps[i], qs[i], derivatives=2, throw=False)
            for name in ("value", "jacobian", "hessian", "status_code", "error_estimate"):
                assert same(getattr(batch, name)[i], getattr(alone, name)), name

    @pytest.mark.parametrize("start", [{"bracket": (0, 1)}, {"guess": sp.Rational(1, 2)}, {}])
    def test_for_every_kind_of_start(self, start):
        problem = Root(y + y * sp.exp(p * y) - 1, y, [p], **start)
        values = np.concatenate([np.linspace(0, 5, 300), [1e5, -3.0, np.nan, 0.0]])
        batch = problem.solve(values, derivatives=1, throw=False)
        loop = [problem.solve(v, derivatives=1, throw=False) for v in values]
        assert same(batch.value, [s.value for s in loop])
        assert same(batch.jacobian, [s.jacobian for s in loop])
        assert batch.status.tolist() == [s.status for s in loop]

    def test_order_in_the_batch_does_not_matter(self):
        values = np.random.default_rng(3).uniform(1.5, 9.0, 500)
        shuffled = np.random.default_rng(4).permutation(500)
        assert same(self.MIXED(values, 1.0)[shuffled], self.MIXED(values[shuffled], 1.0))

    def test_neighbours_that_fail_change_nothing(self):
        values = np.linspace(1.5, 9.0, 300)
        poisoned = np.where(np.arange(300) % 3 == 1, np.nan, values)
        good = np.arange(300) % 3 != 1
        result = self.MIXED.solve(poisoned, 1.0, derivatives=2, throw=False)
        clean = self.MIXED.solve(values, 1.0, derivatives=2)
        assert same(result.value[good], clean.value[good])
        assert same(result.hessian[good], clean.hessian[good])
        assert np.all(np.isnan(result.value[~good]))


class TestAllStatusesInOneBatch:
    # the parameter q chooses the behaviour; the pieces that it does not choose may be undefined
    CASES = sp.Piecewise(
        (x - p, q < 1),
        (x**2 + 1, q < 2),
        (1 / (x - p), q < 3),
        (sp.sqrt(x - 20), q < 4),
        ((x - p) ** 3, q < 5),
        (sp.sign(x - p) + sp.Rational(1, 10), True),
    )
    PROBLEM = Root(CASES, x, [p, q], bracket=(-4, 5))
    EXPECTED: ClassVar = {
        0.0: Status.CONVERGED,
        1.0: Status.NO_SIGN_CHANGE,
        2.0: Status.DISCONTINUITY,
        3.0: Status.UNDEFINED,
        4.0: Status.SINGULAR,
        5.0: Status.DISCONTINUITY,
        np.nan: Status.INVALID_INPUT,
        np.inf: Status.INVALID_INPUT,
    }

    def test_each_element_gets_its_own(self):
        qs = np.array(list(self.EXPECTED))
        solution = self.PROBLEM.solve(0.3, qs, derivatives=2, throw=False)
        assert solution.status.tolist() == list(self.EXPECTED.values())
        assert same(solution.converged, [s is Status.CONVERGED for s in self.EXPECTED.values()])

    def test_value_and_every_derivative_are_nan_where_it_failed(self):
        solution = self.PROBLEM.solve(0.3, np.array(list(self.EXPECTED)), derivatives=2, throw=False)
        for field in (solution.value, solution.jacobian, solution.hessian, solution.error_estimate):
            assert np.all(np.isfinite(field[0]))
            assert np.all(np.isnan(field[1:]))

    def test_in_any_order_and_many_times(self):
        qs = np.random.default_rng(0).choice(list(self.EXPECTED), 1500)
        found = self.PROBLEM.solve(0.3, qs, throw=False).status
        assert list(found) == [self.EXPECTED.get(v, Status.INVALID_INPUT) for v in qs]

    def test_step_limit(self):
        for start in ({"bracket": (-700, 700)}, {"guess": 500}):
            assert status(Root(sp.exp(x) - p, x, [p], max_steps=2, **start), 1e200) is Status.MAX_STEPS

    def test_invalid_bracket(self):
        problem = Root(x - p, x, [p, q], bracket=(q, 1))
        assert status(problem, 0.5, 1.0) is Status.INVALID_BRACKET
        assert status(Root(x - p, x, [p], bracket=(sp.sqrt(p), 10)), -1.0) is Status.INVALID_BRACKET

    def test_stalled(self):
        assert status(Root(x**2 + p, x, [p], guess=3), 1.0) in (Status.STALLED, Status.NO_SIGN_CHANGE)


class TestTolerances:
    PROBLEM = (x * sp.exp(x) - p, x, [p])

    def test_error_falls_with_rtol_and_is_always_below_it(self):
        values = np.geomspace(1e-3, 1e6, 60)
        with mpmath.workdps(30):
            exact = np.array([float(mpmath.lambertw(v).real) for v in values])
        for rtol in (1e-2, 1e-5, 1e-9, 1e-14, 0.0):
            value = Root(*self.PROBLEM, bracket=(0, p), rtol=rtol)(values)
            assert np.all(abs(value / exact - 1) <= max(rtol, 8 * EPS))

    def test_default_is_rounding_error(self):
        values = np.geomspace(1e-3, 1e6, 60)
        with mpmath.workdps(30):
            exact = np.array([float(mpmath.lambertw(v).real) for v in values])
        assert np.all(abs(Root(*self.PROBLEM, bracket=(0, p))(values) / exact - 1) <= 4 * EPS)

    @pytest.mark.parametrize("rtol", [1e-1, 1e-3, 1e-6])
    @pytest.mark.parametrize(
        ("residual", "bracket", "parameter"),
        [
            (sp.gamma(x) - p, (2, 171), 1e300),
            (sp.tan(x) - p * x, (sp.pi, 3 * sp.pi / 2), 1e3),
            (sp.tanh(1e6 * (x - p)), (-2, 5), 1.0),
            (sp.tanh(1e12 * (x - p)), (-2, 5), 1.0),
            (x * sp.exp(x) - p, (-1, 0), -0.3678794),
        ],
    )
    def test_loose_tolerance_finds_steep_roots_too(self, residual, bracket, parameter, rtol):
        assert status(Root(residual, x, [p], bracket=bracket, rtol=rtol), parameter) is Status.CONVERGED

    @pytest.mark.parametrize("rtol", [0.0, 1e-16, 1e-13])
    @pytest.mark.parametrize("start", [{"guess": p}, {"bracket": (-50, 50)}, {}])
    def test_unattainable_tolerance_ends_at_rounding_error(self, rtol, start):
        problem = Root(sp.log(1 + sp.exp(x)) - p, x, [p], rtol=rtol, **start)
        values = np.array([0.01, 0.5, 3.0, 30.0])
        assert np.allclose(problem(values), np.log(np.expm1(values)), rtol=1e-13)

    def test_atol_stops_near_zero(self):
        coarse = Root(sp.sin(x) + x**3 - p, x, [p], bracket=(-1, 2), atol=1e-3)
        fine = Root(sp.sin(x) + x**3 - p, x, [p], bracket=(-1, 2))
        assert np.all(coarse.solve(1e-9).stats["iterations"] <= fine.solve(1e-9).stats["iterations"])
        assert abs(coarse(1e-9) - fine(1e-9)) < 1e-3

    def test_max_steps_that_just_suffices(self):
        n = int(Root(*self.PROBLEM, bracket=(0, p)).solve(50.0).stats["iterations"])
        assert status(Root(*self.PROBLEM, bracket=(0, p), max_steps=n), 50.0) is Status.CONVERGED
        assert status(Root(*self.PROBLEM, bracket=(0, p), max_steps=1), 50.0) is Status.MAX_STEPS


class TestNeverANumberThatIsNoRoot:
    @pytest.mark.parametrize("start", [{"bracket": (-1, 4)}, {"guess": 1}])
    @pytest.mark.parametrize(
        "residual",
        [
            1 / (x - p),
            1 / (x - p) ** 3,
            sp.tan(x - p + sp.pi / 2),
            sp.sign(x - p) * (1 + (x - p) ** 2),
            sp.floor(x) + 0.5,
        ],
    )
    def test_pole_or_jump(self, residual, start):
        found = Root(residual, x, [p], **start).solve(np.array([0.3, 1.0, 2.0, 1 / 3]), throw=False)
        function = sp.lambdify((x, p), residual, "numpy")
        for value, v in zip(found.value, (0.3, 1.0, 2.0, 1 / 3)):
            assert np.isnan(value) or abs(function(value, v)) < 1e-6

    def test_pole_is_told_apart_from_a_root(self):
        assert status(Root(1 / (x - p), x, [p], bracket=(0, 1)), 0.3) is Status.DISCONTINUITY
        assert status(Root(sp.tan(x), x, [p], bracket=(1, 2)), 0.3) is Status.DISCONTINUITY

    @pytest.mark.parametrize("residual", [sp.exp(-x), 1 / (1 + x), sp.exp(-x) * p, 1 / x**2])
    @pytest.mark.parametrize("start", [{"bracket": (1, sp.oo)}, {"guess": 1}, {"guess": 100}])
    def test_root_at_infinity(self, residual, start):
        found = (
            Root(residual + 0 * p, x, [p], **start).solve(1.0, throw=False)
            if residual.has(p)
            else Root(residual * p, x, [p], **start).solve(1.0, throw=False)
        )
        assert np.isnan(found.value)
        assert found.status is not Status.CONVERGED

    @pytest.mark.parametrize("residual", [x**2 + p, sp.exp(x) + p, sp.cosh(x) - p / 2, sp.Abs(x) + p])
    @pytest.mark.parametrize("start", [{"bracket": (-3, 5)}, {"guess": 2}, {}])
    def test_no_root(self, residual, start):
        found = Root(residual, x, [p], **start).solve(1.0, throw=False)
        assert np.isnan(found.value)
        assert found.status in (Status.NO_SIGN_CHANGE, Status.STALLED, Status.SINGULAR, Status.MAX_STEPS)

    @pytest.mark.parametrize(
        "residual",
        [(x - p) ** 2, (x - p) ** 3, (x - p) ** 4, (x - p) ** 2 * sp.exp(x), 1 - sp.cos(x - p), sp.sin(x - p) ** 3],
    )
    @pytest.mark.parametrize("start", [{"bracket": (-1, 2)}, {"guess": 1}])
    def test_multiple_root_has_no_derivative(self, residual, start):
        found = Root(residual, x, [p], **start).solve(np.array([0.3, 0.5, 1 / 3]), derivatives=1, throw=False)
        assert not np.any(found.converged)
        assert np.all(np.isnan(found.value))
        assert np.all(np.isnan(found.jacobian))

    def test_multiple_root_with_a_sign_change_is_singular(self):
        found = Root((x - p) ** 3, x, [p], bracket=(-1, 2)).solve(np.array([0.3, 0.5, 1 / 3]), throw=False)
        assert set(found.status) == {Status.SINGULAR}

    def test_underflow_is_no_root(self):
        # exp(-x**2) is 0 in double precision beyond x = 27.3
        assert status(Root(sp.exp(-(x**2)) * p, x, [p], guess=5), 1.0) is not Status.CONVERGED

    def test_flat_stretch_of_exact_zeros_is_no_root(self):
        plateau = sp.Piecewise((x + 1, x < -1), (x - 1, x > 1), (0, True))
        assert status(Root(plateau * p, x, [p], bracket=(-3, 4)), 1.0) is Status.SINGULAR


class TestBadParameters:
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_one_bad_row_leaves_the_others_right(self, bad):
        problem = Root(x**3 + q * x - p, x, [p, q], bracket=(-9, 9))
        ps = np.linspace(-5, 5, 20)
        clean = problem.solve(ps, 1.0, derivatives=2)
        ps[7] = bad
        found = problem.solve(ps, 1.0, derivatives=2, throw=False)
        keep = np.arange(20) != 7
        assert found.status[7] is Status.INVALID_INPUT
        assert np.all(np.isnan(found.hessian[7]))
        assert same(found.value[keep], clean.value[keep])
        assert same(found.hessian[keep], clean.hessian[keep])

    def test_bad_component_of_a_vector(self):
        c = sp.symbols("c0:2")
        problem = Root(c[0] + c[1] * x, x, [c], bracket=(-9, 9))
        found = problem.solve([[1.0, 2.0], [1.0, np.nan], [np.inf, 1.0]], throw=False)
        assert found.status.tolist() == [Status.CONVERGED, Status.INVALID_INPUT, Status.INVALID_INPUT]

    def test_parameter_that_the_equation_does_not_use(self):
        problem = Root(x - p, x, [p, q], bracket=(0, 2))
        assert status(problem, 1.0, np.nan) is Status.INVALID_INPUT
        assert np.array_equal(problem.solve(1.0, 5.0, derivatives=1).jacobian, [1.0, 0.0])


class TestThreadsAndProcesses:
    PROBLEM = Root(x + x * sp.exp(p * x) - 1, x, [p], bracket=(0, 1))

    @pytest.fixture
    def threads(self):
        yield iop.set_num_threads
        iop.set_num_threads(None)

    def test_any_number_of_threads_gives_the_bits_of_one(self, threads):
        values = np.random.default_rng(0).uniform(0, 5, 100_003)
        values[::1000] = np.nan
        results = []
        for n in (1, 2, 3, 7):
            threads(n)
            results.append(self.PROBLEM.solve(values, derivatives=1, throw=False))
        for other in results[1:]:
            for name in ("value", "jacobian", "status_code", "error_estimate"):
                assert same(getattr(results[0], name), getattr(other, name))

    def test_calls_from_many_python_threads(self):
        from concurrent.futures import ThreadPoolExecutor

        values = np.linspace(0, 5, 1000)
        expected = self.PROBLEM(values)
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(self.PROBLEM, [values] * 32))
        assert all(same(r, expected) for r in results)

    def test_first_call_of_a_new_problem_from_many_threads(self):
        from concurrent.futures import ThreadPoolExecutor

        problems = [Root(x**3 + k * x - p, x, [p], bracket=(-9, 9)) for k in range(1, 4)] * 4
        with ThreadPoolExecutor(6) as pool:
            results = list(pool.map(lambda problem: problem(1.0), problems))
        assert results[:3] * 4 == results

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_forked_child_solves_old_and_new_problems(self, threads):
        threads(2)
        values = np.random.default_rng(1).uniform(0, 5, 50_000)
        expected = self.PROBLEM(values)  # the thread pool exists now
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                new = Root(x**5 + x - p, x, [p], bracket=(-9, 9))
                right = same(self.PROBLEM(values), expected) and new(2.0) == 1.0
                os.write(write, b"1" if right else b"0")
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            assert pipe.read() == b"1"
        os.waitpid(child, 0)

    def test_spawned_process_solves_a_pickled_problem(self):
        import multiprocessing

        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(self.PROBLEM, (0.4,)) == self.PROBLEM(0.4)


def test_inputs_may_be_views_with_steps_of_their_own():
    problem = Root(x**3 - p, x, [p], bracket=(0, 1 + p))
    table = np.arange(1.0, 41.0).reshape(20, 2)
    value = np.empty(20)
    failed = handle_of(Solve(problem)).run(20, 0, [table[:, 1]], [2], [value, *[None] * 5], None, None)
    assert failed == 0
    np.testing.assert_allclose(value, np.cbrt(table[:, 1]), rtol=1e-14)
