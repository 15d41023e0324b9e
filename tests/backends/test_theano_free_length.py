"""Answers at as many times as a call asks for, in Theano: shapes, derivatives, and one integration for all of them."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

import implicitops as iop
from implicitops.backends.failures import failures
from implicitops.calculus import Solve
from implicitops.calculus.sensitivities import Adjoint, Sensitivities
from implicitops.errors import DerivativeError

pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")

import theano
import theano.tensor as tt

from implicitops.backends.theano.op import SymbolicOperation

TIMES = np.array([0.5, 1.0, 2.5])
START = np.array([2.0, -1.0])
AT = (0.3, START, 0.1, TIMES)
FAST = theano.Mode(optimizer="fast_compile", linker="py")
WITHOUT_C = theano.Mode(optimizer="fast_run", linker="py")


def variables(batch=0):
    """One symbolic variable for each argument, the rate with batch axes."""
    return [tt.TensorType("float64", (False,) * batch)("a"), tt.dvector("b"), tt.dscalar("t0"), tt.dvector("times")]


def answer(problem, arguments):
    return problem(*arguments[:3], times=arguments[3])


def operations(function):
    return [n.op.operation for n in function.maker.fgraph.toposort() if isinstance(n.op, SymbolicOperation)]


def integrations(function):
    return [operation for operation in operations(function) if isinstance(operation, (Solve, Sensitivities, Adjoint))]


class TestShapes:
    def test_types(self, decays):
        problem = decays.problem()
        assert answer(problem, variables()).type == tt.dmatrix
        assert answer(problem, variables(batch=2)).type == tt.dtensor4
        assert answer(problem, [tt.dcol(), START, 0.1, TIMES]).broadcastable == (False, True, False, False)

    def test_one_row_is_known_where_the_type_says_so(self, decays):
        one = tt.TensorType("float64", (True,))()
        assert answer(decays.problem(), [0.3, START, 0.1, one]).broadcastable == (True, False)
        assert answer(decays.problem(), [tt.dscalar(), START, 0.1, [1.0]]).broadcastable == (True, False)

    @pytest.mark.usefixtures("linker")
    def test_length_may_change_between_calls(self, decays):
        times = theano.shared(TIMES)
        rate = tt.dvector()
        function = theano.function([rate], answer(decays.problem(), [rate, START, 0.1, times]))
        for new in (TIMES, np.linspace(0, 3, 7), np.empty(0), np.array([1.5])):
            times.set_value(new)
            value = function([0.3, 0.6])
            assert value.shape == (2, len(new), 2)
            np.testing.assert_allclose(value[1], decays.rows(0, 0.6, START, 0.1, new)[0], rtol=1e-14)
        assert function([]).shape == (0, 1, 2)

    @pytest.mark.usefixtures("linker")
    def test_times_may_be_a_batch_in_any_layout(self, decays):
        rate, times = tt.dscalar(), tt.dmatrix()
        function = theano.function([rate, times], answer(decays.problem(), [rate, START, 0.1, times]))
        grid = np.random.default_rng(0).uniform(0, 3, (6, 9))
        for view in (grid, grid.T, grid[::-1, ::-2], grid[:, :0], np.asfortranarray(grid)):
            expected = decays.problem()(0.3, START, 0.1, times=view)
            np.testing.assert_array_equal(function(0.3, view), expected)

    def test_shape_is_known_without_integrating(self, decays):
        arguments = variables(batch=1)
        function = theano.function(arguments, answer(decays.problem(), arguments).shape, on_unused_input="ignore")
        assert operations(function) == []
        assert function(np.ones(4), *AT[1:]).tolist() == [4, 3, 2]

    @pytest.mark.usefixtures("linker")
    def test_lengths_that_disagree_are_an_error_that_names_them(self, decays):
        arguments, cotangent = variables(), tt.dmatrix()
        results = SymbolicOperation(Adjoint(decays.problem()))(*arguments, cotangent)
        function = theano.function([*arguments, cotangent], results)
        assert [np.shape(r) for r in function(*AT, np.ones((3, 2)))] == [(), (2,), (), (3,)]
        with pytest.raises(
            ValueError, match=r"cotangent of the answer: the last axes must be \(3, 2\); got .*\(4, 2\)"
        ):
            function(*AT, np.ones((4, 2)))

    def test_times_that_are_a_scalar_are_an_error_in_the_graph(self, decays):
        with pytest.raises(iop.ArgumentError, match="times: it must be 1-D, of any length"):
            answer(decays.problem(), [tt.dscalar(), START, 0.1, tt.dscalar()])

    @pytest.mark.usefixtures("linker")
    def test_large_batches_go_over_threads(self, decays):
        arguments = variables(batch=1)
        function = theano.function(arguments, answer(decays.problem(), arguments))
        iop.set_num_threads(2)
        try:
            value = function(np.linspace(0.1, 1, 8), *AT[1:])
        finally:
            iop.set_num_threads(None)
        assert len(decays.calls) == 2
        np.testing.assert_array_equal(value, decays.problem()(np.linspace(0.1, 1, 8), *AT[1:3], times=TIMES))

    def test_pickled_graph_computes_the_same(self, decays):
        arguments = variables()
        inputs, output = pickle.loads(pickle.dumps((arguments, answer(decays.problem(), arguments))))
        value = theano.function(inputs, output, mode=FAST)(*AT)
        np.testing.assert_array_equal(value, decays.problem()(*AT[:3], times=TIMES))


class TestDerivatives:
    @pytest.mark.parametrize("method", ["forward", "adjoint"])
    @pytest.mark.usefixtures("linker")
    def test_gradient(self, decays, method):
        arguments, weights = variables(), tt.dmatrix()
        cost = (weights * answer(decays.problem(sensitivity=method), arguments)).sum()
        function = theano.function([*arguments, weights], theano.grad(cost, arguments))
        for times in (TIMES, np.linspace(0, 3, 5), np.empty(0)):
            _, jacobian = decays.rows(1, *AT[:3], times)
            cotangent = np.random.default_rng(1).normal(size=(len(times), 2))
            rows = np.einsum("kia,ki->ka", jacobian, cotangent)
            rate, start, first, by_time = function(*AT[:3], times, cotangent)
            np.testing.assert_allclose([rate, *start, first], rows.sum(axis=0)[:4], rtol=1e-12)
            np.testing.assert_allclose(by_time, rows[:, 4], rtol=1e-12)

    @pytest.mark.parametrize("method", ["forward", "adjoint"])
    def test_gradient_of_shared_parameters_is_summed_over_the_batch(self, decays, method):
        arguments = variables(batch=1)
        cost = (answer(decays.problem(sensitivity=method), arguments) ** 2).sum()
        function = theano.function(arguments, theano.grad(cost, arguments), mode=WITHOUT_C)
        rates = np.array([0.3, 0.8])
        expected = [0, 0, 0]
        results = function(rates, *AT[1:])
        for k, rate in enumerate(rates):
            value, jacobian = decays.rows(1, rate, *AT[1:])
            rows = np.einsum("kia,ki->ka", jacobian, 2 * value)
            np.testing.assert_allclose(results[0][k], rows.sum(axis=0)[0], rtol=1e-12)
            parts = (rows.sum(axis=0)[1:3], rows.sum(axis=0)[3], rows[:, 4])
            expected = [total + part for total, part in zip(expected, parts)]
        for result, total in zip(results[1:], expected):
            np.testing.assert_allclose(result, total, rtol=1e-12)

    @pytest.mark.parametrize("method", ["forward", "adjoint"])
    def test_forward_mode(self, decays, method):
        arguments, tangents = variables(), variables()
        y = answer(decays.problem(sensitivity=method), arguments)
        moved = theano.function([*arguments, *tangents], tt.Rop(y, arguments, tangents), mode=FAST)
        _, jacobian = decays.rows(1, *AT)
        direction = (0.5, np.array([1.0, -2.0]), 0.25, np.array([3.0, 1.0, 2.0]))
        rows = np.stack([[0.5, 1.0, -2.0, 0.25, time] for time in direction[3]])
        np.testing.assert_allclose(moved(*AT, *direction), np.einsum("kia,ka->ki", jacobian, rows), rtol=1e-12)

    def test_forward_mode_of_one_argument(self, decays):
        arguments, tangent = variables(), tt.dscalar()
        moved = tt.Rop(answer(decays.problem(), arguments), [arguments[0]], [tangent])
        value = theano.function([*arguments, tangent], moved, mode=FAST)(*AT, 2.0)
        np.testing.assert_allclose(value, 2 * decays.rows(1, *AT)[1][..., 0], rtol=1e-12)

    @pytest.mark.parametrize("method", ["forward", "adjoint"])
    def test_hessian(self, decays, method):
        arguments = variables()
        cost = (answer(decays.problem(sensitivity=method), arguments) ** 2).sum()
        second = theano.gradient.hessian(cost, arguments[1::2])
        function = theano.function(arguments, second, mode=WITHOUT_C)
        value, jacobian, hessian = decays.rows(2, *AT)
        rows = 2 * np.einsum("kia,kib->kab", jacobian, jacobian) + 2 * np.einsum("ki,kiab->kab", value, hessian)
        by_start, by_times = function(*AT)
        np.testing.assert_allclose(by_start, rows.sum(axis=0)[1:3, 1:3], rtol=1e-12)
        np.testing.assert_allclose(by_times, np.diag(rows[:, 4, 4]), rtol=1e-12)

    def test_third_order_is_an_error_where_it_is_asked_for(self, decays):
        arguments = variables()
        rate, other = arguments[0], tt.dscalar()
        second = theano.grad(theano.grad(answer(decays.problem(), arguments).sum(), rate), rate)
        with pytest.raises(DerivativeError, match="no third derivative"):
            theano.grad(second, rate)
        theano.grad(second * other, other)


class TestOneIntegration:
    """What is integrated in a function that wants several of value, gradient and Hessian."""

    def compiled(self, decays, orders, mode=WITHOUT_C, **options):
        arguments = variables()
        problem = decays.problem(**options)
        rate = arguments[0]
        outputs = [(answer(problem, arguments) ** 2).sum()]
        for _ in range(2):
            outputs.append(theano.grad(outputs[-1], rate))
        return problem, theano.function(arguments, [outputs[order] for order in orders], mode=mode)

    @pytest.mark.parametrize("mode", [WITHOUT_C, FAST], ids=["fast_run", "fast_compile"])
    @pytest.mark.parametrize("orders", [(0,), (1,), (0, 1), (2,), (0, 1, 2), (0, 2)], ids=str)
    def test_one_node_of_the_highest_order(self, decays, orders, mode):
        problem, function = self.compiled(decays, orders, mode)
        highest = max(orders)
        expected = Sensitivities(problem, highest) if highest else Solve(problem)
        assert integrations(function) == [expected]
        results = function(*AT)
        assert len(decays.calls) == 1
        value, jacobian, hessian = decays.rows(2, *AT)
        jacobian, hessian = jacobian[..., 0], hessian[..., 0, 0]
        totals = [value**2, 2 * value * jacobian, 2 * jacobian**2 + 2 * value * hessian]
        np.testing.assert_allclose(results, [totals[order].sum() for order in orders], rtol=1e-12)

    def test_the_adjoint_method_integrates_backwards_once(self, decays):
        problem, function = self.compiled(decays, (0, 1), sensitivity="adjoint")
        assert set(integrations(function)) == {Solve(problem), Adjoint(problem)}

    def test_derivatives_that_are_thrown_away_are_not_integrated(self, decays):
        arguments = variables()
        value, _ = SymbolicOperation(Sensitivities(decays.problem(), 1))(*arguments)
        function = theano.function(arguments, value, mode=FAST)
        assert integrations(function) == [Solve(decays.problem())]

    def test_other_arguments_are_another_integration(self, decays):
        arguments = variables()
        problem = decays.problem()
        y, other = answer(problem, arguments), answer(problem, [2 * arguments[0], *arguments[1:]])
        function = theano.function(arguments, [other.sum(), theano.grad(y.sum(), arguments[0])], mode=WITHOUT_C)
        assert sorted(op.name for op in integrations(function)) == sorted(
            op.name for op in (Solve(problem), Sensitivities(problem, 1))
        )


class TestFailures:
    @pytest.mark.parametrize("method", ["forward", "adjoint"])
    @pytest.mark.usefixtures("linker")
    def test_failed_element_is_nan_and_counted_with_its_arguments(self, decays, method):
        arguments = variables(batch=1)
        problem = decays.problem(sensitivity=method)
        y = answer(problem, arguments)
        function = theano.function(arguments, [y, theano.grad(y.sum(), arguments[0])])
        with pytest.warns(
            iop.SolveWarning, match=r"at a=-1, b=\[2\.0, -1\.0\], t0=0\.1.*, times=\[0\.5, 1\.0, 2\.5\]: the"
        ):
            value, gradient = function([0.3, -1.0, 0.5], *AT[1:])
        assert np.isnan(value[1]).all()
        assert np.isfinite(value[[0, 2]]).all()
        assert np.isnan(gradient).tolist() == [False, True, False]
        # Solve and Adjoint both integrate, and both fail.
        assert failures()[problem].count == (1 if method == "forward" else 2)

    def test_cotangent_that_is_nan_is_no_failure_of_the_adjoint_method(self, decays):
        arguments, weights = variables(), tt.dmatrix()
        cost = (weights * answer(decays.problem(sensitivity="adjoint"), arguments)).sum()
        function = theano.function([*arguments, weights], theano.grad(cost, arguments[0]), mode=FAST)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.isnan(function(*AT, np.full((3, 2), np.nan)))
        assert failures() == {}
