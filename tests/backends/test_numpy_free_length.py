"""Answers at as many times as a call asks for, in NumPy: shapes, derivatives, and what an error says."""

from __future__ import annotations

import numpy as np
import pytest

import implicitops as iop
from implicitops import ArgumentError
from implicitops.backends.numpy import evaluate
from implicitops.calculus import Solve
from implicitops.calculus.sensitivities import Adjoint
from implicitops.kernels import handle_of

TIMES = np.array([0.5, 1.0, 2.5])
START = np.array([2.0, -1.0])


class TestShapes:
    @pytest.mark.parametrize("length", [0, 1, 3, 100])
    def test_the_times_of_the_call_give_the_rows(self, decays, length):
        times = np.linspace(0, 1, length)
        value = decays.problem()(0.3, START, 0.1, times=times)
        assert value.shape == (length, 2)
        np.testing.assert_allclose(value, decays.rows(0, 0.3, START, 0.1, times)[0], rtol=1e-14)

    @pytest.mark.parametrize("times", [[0.5, 1.0, 2.5], (0.5, 1.0, 2.5), TIMES.astype(np.float32)])
    def test_times_are_whatever_makes_an_array(self, decays, times):
        np.testing.assert_array_equal(
            decays.problem()(0.3, START, 0.1, times=times), decays.problem()(0.3, START, 0.1, times=TIMES)
        )

    def test_times_of_the_statement_are_the_default(self, decays):
        problem = decays.problem(times=[1, 2])
        assert problem(0.3, START, 0.1).shape == (2, 2)
        assert problem(0.3, START, 0.1, times=TIMES).shape == (3, 2)

    def test_parameters_broadcast_over_batch_axes(self, decays):
        rates, firsts = np.array([[0.1], [0.2]]), np.zeros(3)
        value = decays.problem()(rates, START, firsts, times=TIMES)
        assert value.shape == (2, 3, 3, 2)
        np.testing.assert_array_equal(value[1, 2], decays.problem()(0.2, START, 0.0, times=TIMES))

    def test_times_may_be_a_batch(self, decays):
        times = TIMES + np.arange(4)[:, None]
        value = decays.problem()(0.3, START, 0.1, times=times)
        assert value.shape == (4, 3, 2)
        for k in range(4):
            np.testing.assert_array_equal(value[k], decays.problem()(0.3, START, 0.1, times=times[k]))

    @pytest.mark.parametrize("batch", [(), (4,), (2, 3), (0,)])
    @pytest.mark.parametrize("derivatives", [0, 1, 2])
    def test_shapes_of_a_solution(self, decays, batch, derivatives):
        solution = decays.problem().solve(np.full(batch, 0.3), START, 0.1, times=TIMES, derivatives=derivatives)
        assert solution.value.shape == (*batch, 3, 2)
        assert np.shape(solution.status) == batch
        estimates = (solution.error_estimate, solution.jacobian_error, solution.hessian_error)
        found = (solution.value, solution.jacobian, solution.hessian)
        assert [np.shape(e) for e in estimates] == [np.shape(f) for f in found]
        first, second = ((*batch, 3, 2, *(4,) * k) for k in (1, 2))
        assert (None if solution.jacobian is None else solution.jacobian.shape) == (first if derivatives else None)
        assert (None if solution.hessian is None else solution.hessian.shape) == (second if derivatives > 1 else None)
        rate = None if solution.time_derivative is None else solution.time_derivative.shape
        assert rate == ((*batch, 3, 2) if derivatives else None)

    def test_large_batch_on_threads_is_the_loop(self, decays):
        iop.set_num_threads(2)
        try:
            rates = np.linspace(0.1, 1.0, 9)
            value = decays.problem()(rates, START, 0.1, times=TIMES)
        finally:
            iop.set_num_threads(None)
        assert len(decays.calls) > 1
        for k, rate in enumerate(rates):
            np.testing.assert_array_equal(value[k], decays.problem()(rate, START, 0.1, times=TIMES))


class TestDerivatives:
    def test_parameters_and_time_are_apart(self, decays):
        _, jacobian, hessian = decays.rows(2, 0.3, START, 0.1, TIMES)
        solution = decays.problem().solve(0.3, START, 0.1, times=TIMES, derivatives=2)
        np.testing.assert_allclose(solution.jacobian, jacobian[..., :4], rtol=1e-14)
        np.testing.assert_allclose(solution.time_derivative, jacobian[..., 4], rtol=1e-14)
        np.testing.assert_allclose(solution.hessian, hessian[..., :4, :4], rtol=1e-14)

    def test_other_problems_have_no_time_derivative(self):
        import sympy as sp

        x, p = sp.symbols("x p")
        assert iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p)).solve(2.0, derivatives=1).time_derivative is None


class TestErrors:
    def test_times_that_are_a_number(self, decays):
        with pytest.raises(
            ArgumentError, match=r"times: it must be 1-D, of any length .*; got the number 3\.0: write \[3"
        ):
            decays.problem()(0.3, START, 0.1, times=3.0)

    def test_lengths_that_differ(self, decays):
        operation = Adjoint(decays.problem())
        with pytest.raises(ArgumentError, match=r"same length.*; got the lengths times 3, cotangent of the answer 4"):
            evaluate(operation, [0.3, START, 0.1, TIMES, np.ones((4, 2))])

    def test_rows_of_the_wrong_width(self, decays):
        operation = Adjoint(decays.problem())
        message = r"cotangent of the answer: it must be an array whose last axes are \(2,\) after .* length; got shape"
        for wrong in (np.ones((3, 3)), np.ones(2)):
            with pytest.raises(ArgumentError, match=message):
                evaluate(operation, [0.3, START, 0.1, TIMES, wrong])

    def test_batches_that_do_not_broadcast(self, decays):
        message = (
            r"broadcast; got a of shape \(2,\), b of shape \(2,\) with the batch shape \(\), t0 of shape \(\), "
            r"times of shape \(3, 4\) with the batch shape \(3,\)"
        )
        with pytest.raises(ArgumentError, match=message):
            decays.problem()([0.1, 0.2], START, 0.1, times=np.ones((3, 4)))

    def test_failure_names_the_arguments(self, decays):
        with pytest.raises(
            iop.SolveError, match=r"a=-1, b=\[2\.0, -1\.0\], t0=0, times=\[0\.5, 1\.0, 2\.5\]: the step"
        ):
            decays.problem()(-1.0, START, 0.0, times=TIMES)

    def test_failure_abbreviates_many_times(self, decays):
        with pytest.raises(iop.SolveError, match=r"times=\[0\.0, 1\.0, 2\.0, \.\.\., 49\.0\] \(50 numbers\)"):
            decays.problem()([0.5, -1.0], START, 0.0, times=np.arange(50.0))

    def test_failed_element_alone_is_nan(self, decays):
        solution = decays.problem().solve([0.3, -1.0], START, 0.0, times=TIMES, derivatives=1, throw=False)
        assert solution.converged.tolist() == [True, False]
        for array in (solution.value, solution.jacobian, solution.time_derivative):
            assert np.isfinite(array[0]).all()
            assert np.isnan(array[1]).all()


class TestKernel:
    def test_sizes_are_resolved_once_for_each_length(self, decays):
        kernel = handle_of(Solve(decays.problem(), 1))
        assert kernel.is_free
        assert kernel.input_sizes == (1, 2, 1, -1)
        assert kernel.output_sizes == (-2, -10, 0, -2, -10, 0)
        three = kernel.with_length(3)
        assert three.input_sizes == (1, 2, 1, 3)
        assert three.output_sizes == (6, 30, 0, 6, 30, 0)
        assert three is kernel.with_length(3)
        assert three is three.with_length(None)
        assert kernel.with_length(0).output_sizes == (0, 0, 0, 0, 0, 0)

    def test_resolved_kernels_are_bounded(self, decays):
        kernel = handle_of(Solve(decays.problem()))
        first = kernel.with_length(1)
        for length in range(200):
            assert kernel.with_length(length).output_sizes[0] == 2 * length
        assert kernel.with_length(1) is not first

    def test_without_a_length_it_does_not_run(self, decays):
        kernel = handle_of(Solve(decays.problem()))
        with pytest.raises(ValueError, match="free axes"):
            kernel.run(1, 0, [], [], [], None, None)
        with pytest.raises(ValueError, match="their length must be 0 or more; got None"):
            kernel.with_length(None)
        assert kernel.solve_scalars((1.0, 2.0, 3.0, 4.0)) is None
