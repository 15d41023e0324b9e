"""The NumPy face: what goes in, what comes out, and what an error says."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops import ArgumentError, SolveError, Status

x, p, q = sp.symbols("x p q")
c = sp.symbols("c0:3")
SQUARE_ROOT = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))
SCALED = iop.Root(q * x**2 - p, x, [p, q], bracket=(0, 1 + p / q))
CUBIC = iop.Root(c[0] + c[1] * x + c[2] * x**3 - p, x, [c, p], bracket=(-50, 50))
SINE = iop.Root(sp.sin(x) - p, x, [p], bracket=(-2, 2))


class TestShapes:
    def test_scalar_in_gives_a_float64_scalar(self):
        for value in (SQUARE_ROOT(4.0), SQUARE_ROOT(4), SQUARE_ROOT(np.float64(4)), SQUARE_ROOT(np.array(4.0))):
            assert type(value) is np.float64
            assert value == 2.0

    def test_first_and_later_calls_with_plain_numbers_are_alike(self):
        problem = iop.Root(x**3 - p, x, [p], bracket=(0, 2 + p))
        first, second, third = problem(2.0), problem(2.0), problem(np.array([2.0]))[0]
        assert type(first) is type(second) is np.float64
        assert first == second == third

    @pytest.mark.parametrize("shape", [(0,), (1,), (3,), (2, 3), (0, 4), (1, 1, 2)])
    def test_array_in_gives_an_array_of_its_shape(self, shape):
        value = SQUARE_ROOT(np.full(shape, 9.0))
        assert value.shape == shape
        assert value.dtype == np.float64
        assert np.all(value == 3.0)

    def test_leading_axes_broadcast(self):
        ps, qs = np.array([[1.0], [4.0]]), np.array([1.0, 4.0, 16.0])
        value = SCALED(ps, qs)
        assert value.shape == (2, 3)
        assert np.allclose(value, np.sqrt(ps / qs), rtol=1e-15)
        assert np.array_equal(SCALED(ps, 4.0), SCALED(ps, np.full((2, 1), 4.0)))

    def test_vector_parameter_takes_the_last_axis(self):
        coefficients = np.array([[0.0, 1.0, 1.0], [1.0, 2.0, 0.5]])
        assert CUBIC(coefficients[0], 2.0) == 1.0
        value = CUBIC(coefficients, np.array([[2.0], [3.0], [4.0]]))
        assert value.shape == (3, 2)
        loop = [[CUBIC(row, t) for row in coefficients] for t in (2.0, 3.0, 4.0)]
        assert np.array_equal(value, loop)

    def test_lists_and_tuples_are_arrays(self):
        assert np.array_equal(SQUARE_ROOT([1.0, 4.0]), [1.0, 2.0])
        assert CUBIC((0, 1, 1), 2) == 1.0

    @pytest.mark.parametrize("batch", [(), (4,), (2, 3), (0,)])
    @pytest.mark.parametrize("derivatives", [0, 1, 2])
    def test_shapes_of_a_solution(self, batch, derivatives):
        solution = CUBIC.solve(np.ones((*batch, 3)), np.full(batch, 2.0), derivatives=derivatives)
        assert np.shape(solution.value) == batch
        assert np.shape(solution.status) == batch
        assert np.shape(solution.converged) == batch
        assert np.shape(solution.error_estimate) == batch
        assert all(counter.shape == batch for counter in map(np.asarray, solution.stats.values()))
        assert (solution.jacobian is None) == (derivatives < 1)
        assert (solution.hessian is None) == (derivatives < 2)
        if derivatives >= 1:
            assert solution.jacobian.shape == (*batch, 4)
        if derivatives >= 2:
            assert solution.hessian.shape == (*batch, 4, 4)

    def test_parameters_of_a_jacobian_are_in_the_order_of_params(self):
        solution = SCALED.solve(2.0, 3.0, derivatives=2)
        root = np.sqrt(2.0 / 3.0)
        assert np.allclose(solution.jacobian, [root / 4, -root / 6], rtol=1e-14)
        expected = [[-root / 16, -root / 24], [-root / 24, 0.75 * root / 9]]
        assert np.allclose(solution.hessian, expected, rtol=1e-14)


class TestKinds:
    @pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.int64, np.uint16, bool, np.longdouble])
    def test_real_dtypes_are_computed_in_double_precision(self, dtype):
        value = SQUARE_ROOT(np.array([0, 1, 1], dtype=dtype) + np.array([1, 0, 3], dtype=dtype))
        assert value.dtype == np.float64
        expected = np.sqrt((np.array([0, 1, 1], dtype=dtype) + np.array([1, 0, 3], dtype=dtype)).astype(float))
        assert np.allclose(value, expected, rtol=1e-15)

    def test_single_precision_is_widened_before_the_solve(self):
        assert SQUARE_ROOT(np.float32(0.1)) == SQUARE_ROOT(float(np.float32(0.1)))

    def test_memory_layout_does_not_matter(self):
        values = np.arange(1.0, 25.0).reshape(4, 6)
        expected = SQUARE_ROOT(values)
        readonly = values.copy()
        readonly.flags.writeable = False
        layouts = {
            "read-only": readonly,
            "Fortran": np.asfortranarray(values),
            "byte-swapped": values.astype(">f8"),
            "strided": np.repeat(np.repeat(values, 2, axis=0), 3, axis=1)[::2, ::3],
            "reversed": values[::-1, ::-1].copy()[::-1, ::-1],
            "transposed": values.T.copy().T,
            "unaligned": np.frombuffer(b"\0" + values.tobytes(), dtype=np.uint8)[1:].view(np.float64).reshape(4, 6),
            "broadcast": np.broadcast_to(values[0], (4, 6)),
        }
        for name, layout in layouts.items():
            wanted = np.broadcast_to(expected[0], (4, 6)) if name == "broadcast" else expected
            assert np.array_equal(SQUARE_ROOT(layout), wanted), name

    def test_layouts_of_vector_parameters(self):
        rows = np.random.default_rng(0).uniform(0.5, 1.5, (5, 3))
        expected = CUBIC(rows, 2.0)
        for layout in (np.asfortranarray(rows), rows.astype(">f8"), np.repeat(rows, 2, axis=1)[:, ::2]):
            assert np.array_equal(CUBIC(layout, 2.0), expected)

    def test_arguments_are_not_changed(self):
        values = np.array([4.0, 9.0, np.nan])
        SQUARE_ROOT.solve(values, derivatives=2, throw=False)
        assert np.array_equal(values, [4.0, 9.0, np.nan], equal_nan=True)


class TestNames:
    def test_by_position_by_name_and_mixed(self):
        expected = SCALED(2.0, 3.0)
        assert SCALED(p=2.0, q=3.0) == SCALED(q=3.0, p=2.0) == SCALED(2.0, q=3.0) == expected
        assert CUBIC(c=[0, 1, 1], p=2.0) == 1.0

    def test_too_many_arguments(self):
        with pytest.raises(ArgumentError, match=r"Root expects 2 parameter\(s\) \(p, q\); got 3 positional"):
            SCALED(1.0, 2.0, 3.0)

    def test_missing_arguments(self):
        with pytest.raises(ArgumentError, match="missing q"):
            SCALED(1.0)
        with pytest.raises(ArgumentError, match="missing p, q"):
            SCALED()

    def test_misspelt_keyword_suggests_the_right_one(self):
        problem = iop.Root(x - sp.Symbol("temperature"), x, [sp.Symbol("temperature")], bracket=(0, 10))
        with pytest.raises(ArgumentError, match=r"unknown keyword 'temprature'.*Did you mean 'temperature'\?"):
            problem(temprature=1.0)
        with pytest.raises(ArgumentError, match="unknown keyword 'derivative'"):
            problem.solve(1.0, derivative=1)

    def test_argument_given_twice(self):
        with pytest.raises(ArgumentError, match="'p' is given twice, by position and by name"):
            SCALED(1.0, 2.0, p=1.0)

    def test_batches_that_do_not_broadcast(self):
        with pytest.raises(ArgumentError, match=r"must broadcast; got p of shape \(3,\), q of shape \(2,\)"):
            SCALED(np.ones(3), np.ones(2))
        with pytest.raises(ArgumentError, match=r"got c of shape \(2, 3\) with the batch shape \(2,\), p of"):
            CUBIC(np.ones((2, 3)), np.ones(4))

    @pytest.mark.parametrize("shape", [(), (2,), (3, 2), (4,), (0,)])
    def test_vector_parameter_of_the_wrong_length(self, shape):
        with pytest.raises(ArgumentError, match="c: the last axis must have length 3; got shape"):
            CUBIC(np.ones(shape), 1.0)

    @pytest.mark.parametrize("derivatives", [3, -1, True, "1", None, 1.5])
    def test_derivatives_out_of_range(self, derivatives):
        with pytest.raises(ArgumentError, match="derivatives must be 0, 1 or 2; got"):
            SQUARE_ROOT.solve(2.0, derivatives=derivatives)

    def test_unknown_backend(self):
        with pytest.raises(ArgumentError, match="Did you mean 'numpy'"):
            SQUARE_ROOT.op("numby")


class TestFailure:
    def test_error_says_where_and_why_and_carries_the_solution(self):
        with pytest.raises(SolveError) as caught:
            SINE([0.5, 2.0, 3.0])
        text = str(caught.value)
        assert "failed for 2 of 3 batch elements, first at index (1,), p=2" in text
        assert "NO_SIGN_CHANGE" in text
        assert "throw=False" in text
        solution = caught.value.solution
        assert solution.converged.tolist() == [True, False, False]
        assert solution.value[0] == SINE(0.5)

    def test_error_of_a_single_solve_shows_every_digit_of_the_parameter(self):
        with pytest.raises(SolveError, match=r"failed at p=1.1000000000000001: no sign change"):
            SINE(1.1)

    def test_error_shows_vectors_and_the_right_batch_element_of_broadcast_parameters(self):
        with pytest.raises(SolveError, match=r"index \(1, 0\), c=\[0.0, 1.0, 0.0\], p=99"):
            CUBIC([0, 1.0, 0.0], [[1.0, 2.0], [99.0, 3.0]])

    def test_throw_false_returns_nan_and_the_status(self):
        solution = SINE.solve([0.5, 2.0, np.nan], derivatives=2, throw=False)
        assert solution.status.tolist() == [Status.CONVERGED, Status.NO_SIGN_CHANGE, Status.INVALID_INPUT]
        for field in (solution.value, solution.jacobian, solution.hessian, solution.error_estimate):
            assert np.all(np.isnan(field[1:]))
            assert np.all(np.isfinite(field[0]))

    def test_on_failure_nan_calls_return_nan(self):
        problem = iop.Root(sp.sin(x) - p, x, [p], bracket=(-2, 2), on_failure="nan")
        assert np.isnan(problem(2.0))
        assert np.isnan(problem(2.0))
        assert np.isnan(problem([0.5, 2.0])).tolist() == [False, True]
        with pytest.raises(SolveError):
            problem.solve(2.0)

    def test_failure_after_fast_scalar_calls_is_an_error_too(self):
        problem = iop.Root(sp.cos(x) - p, x, [p], bracket=(0, 3))
        for _ in range(3):
            assert problem(0.5) == pytest.approx(np.arccos(0.5), rel=1e-15)
        for _ in range(2):
            with pytest.raises(SolveError):
                problem(2.0)
            with pytest.raises(SolveError):
                problem(float("nan"))


class TestStartOverrides:
    TWO = iop.Root(x**2 - p, x, [p], guess=1)

    def test_guess_selects_the_root(self):
        assert self.TWO(4.0) == 2.0
        assert self.TWO.solve(4.0, guess=-3.0).value == -2.0
        assert np.array_equal(self.TWO.solve([4.0, 9.0], guess=[-1.0, 1.0]).value, [-2.0, 3.0])

    def test_bracket_selects_the_root_and_broadcasts(self):
        assert self.TWO.solve(4.0, bracket=(-10, 0)).value == -2.0
        value = self.TWO.solve([4.0, 9.0], bracket=([[-10.0], [0.0]], [[0.0], [10.0]])).value
        assert np.array_equal(value, [[-2.0, -3.0], [2.0, 3.0]])

    def test_infinite_ends_are_searched(self):
        assert SQUARE_ROOT.solve(4.0, bracket=(0, np.inf)).value == 2.0
        assert iop.Root(x**3 - p, x, [p], guess=1).solve(-8.0, bracket=(-np.inf, np.inf)).value == -2.0

    def test_override_lasts_for_one_call(self):
        self.TWO.solve(4.0, guess=-3.0)
        assert self.TWO(4.0) == 2.0

    def test_derivatives_do_not_depend_on_the_start(self):
        plain = SQUARE_ROOT.solve(3.0, derivatives=2)
        other = SQUARE_ROOT.solve(3.0, derivatives=2, guess=1.5)
        assert np.allclose(plain.jacobian, other.jacobian, rtol=1e-15)
        assert np.allclose(plain.hessian, other.hessian, rtol=1e-15)

    def test_guess_and_bracket_start_inside_the_bracket(self):
        assert self.TWO.solve(4.0, guess=1.0, bracket=(0, 3)).value == 2.0
        assert self.TWO(4.0, guess=-1.0, bracket=(-3, 0)) == -2.0
        assert self.TWO.solve(4.0, guess=-1.0, bracket=(0, 3), throw=False).status is Status.INVALID_GUESS

    @pytest.mark.parametrize("bracket", [1.0, (0,), (0, 1, 2), "01"])
    def test_bracket_that_is_no_pair(self, bracket):
        with pytest.raises(ArgumentError, match="bracket must be a pair"):
            self.TWO.solve(4.0, bracket=bracket)

    def test_none_is_no_start(self):
        with pytest.raises(ArgumentError, match="both None"):
            self.TWO.solve(4.0, guess=None)

    @pytest.mark.parametrize(
        ("start", "status"),
        [
            ({"guess": np.nan}, Status.INVALID_GUESS),
            ({"guess": np.inf}, Status.INVALID_GUESS),
            ({"bracket": (np.nan, 1.0)}, Status.INVALID_BRACKET),
            ({"bracket": (1.0, 1.0)}, Status.INVALID_BRACKET),
            ({"bracket": (np.inf, np.inf)}, Status.INVALID_BRACKET),
        ],
    )
    def test_start_that_is_not_a_number(self, start, status):
        assert self.TWO.solve(4.0, throw=False, **start).status is status

    def test_ends_may_be_in_either_order(self):
        assert SQUARE_ROOT.solve(4.0, bracket=(10, 0)).value == 2.0

    def test_batch_of_starts_that_does_not_broadcast(self):
        with pytest.raises(ArgumentError, match="must broadcast"):
            self.TWO.solve(np.ones(3), guess=np.ones(2))

    def test_call_takes_start_values(self):
        assert self.TWO(4.0, guess=-1.0) == -2.0
        assert self.TWO(4.0, bracket=(-9.0, 0.0)) == -2.0
        assert np.array_equal(self.TWO([4.0, 9.0], guess=[-1.0, 1.0]), [-2.0, 3.0])
        with pytest.raises(SolveError, match="guess=nan: the guess is not a finite number"):
            self.TWO(4.0, guess=np.nan)

    def test_misspelt_start_value_is_answered_with_the_names(self):
        with pytest.raises(ArgumentError, match=r"start values guess, bracket\. Did you mean 'guess'"):
            self.TWO(4.0, gues=1.0)

    def test_parameter_that_is_called_guess_stays_a_parameter(self):
        guess = sp.Symbol("guess")
        assert iop.Root(x**2 - guess, x, [guess], bracket=(0, 1 + guess))(guess=4.0) == 2.0


class TestExactness:
    def test_root_is_correctly_rounded_or_next_to_it(self):
        values = np.random.default_rng(1).uniform(0.1, 10.0, 1000)
        assert np.all(abs(SQUARE_ROOT(values) - np.sqrt(values)) <= np.spacing(np.sqrt(values)))

    def test_derivative_of_the_documentation_example_where_it_is_tiny(self):
        mu, theta = sp.symbols("mu theta")
        problem = iop.Root(mu + mu * sp.exp(theta * mu) - 1, mu, [theta], bracket=(0, 1))
        solution = problem.solve(1e5, derivatives=1)
        with mpmath.workdps(40):
            m = mpmath.findroot(lambda m: 1e5 * m - mpmath.log(1 / m - 1), 9e-5)
            e = mpmath.exp(1e5 * m)
            slope = -(m**2) * e / (1 + e + 1e5 * m * e)
            assert abs(solution.value / m - 1) < 1e-15
            assert abs(solution.jacobian[0] / slope - 1) < 1e-14
