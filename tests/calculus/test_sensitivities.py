"""Derivatives that are integrated along: the rules, replayed with NumPy, give those of the closed form."""

from __future__ import annotations

import numpy as np
import pytest

from implicitops.backends.numpy import evaluate
from implicitops.calculus import Solve
from implicitops.calculus.collect import Collect, Distribute
from implicitops.calculus.operation import FREE
from implicitops.calculus.sensitivities import Adjoint, Sensitivities, contraction, derivative_shapes
from implicitops.errors import DerivativeError, ProblemError
from implicitops.verify.differentiation.numpy import after_solving, pull, push

TIMES = np.array([0.5, 1.0, 2.5, 0.7])
AT = (0.3, np.array([2.0, -1.0]), 0.1, TIMES)


def apply(operation, *values):
    return evaluate(operation, values)


def directions(seed, batch=()):
    """One array for each argument."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=batch + np.shape(x)) for x in AT]


def as_rows(tangents):
    """(T, 5) from one array for each argument."""
    rate, start, first, times = tangents
    return np.stack([np.array([rate, *start, first, time]) for time in times])


def distributed(pulled):
    total = pulled.sum(axis=0)
    return total[0], total[1:3], total[3], pulled[:, 4]


def assert_close(results, expected):
    for result, right in zip(results, expected):
        np.testing.assert_allclose(result, right, rtol=1e-12, atol=1e-13)
    assert len(list(results)) == len(list(expected))


class TestCollect:
    SHAPES = ((), (2,), ())

    def test_rows_hold_the_parameters_and_their_own_time(self):
        (rows,) = evaluate(Collect(self.SHAPES, True), AT)
        np.testing.assert_array_equal(rows, as_rows(AT))

    def test_the_transpose_sums_over_rows(self):
        rows = np.random.default_rng(0).normal(size=(4, 5))
        assert_close(evaluate(Distribute(self.SHAPES, True), [rows]), distributed(rows))

    def test_without_times_there_is_one_row(self):
        (row,) = evaluate(Collect(self.SHAPES, False), AT[:3])
        np.testing.assert_array_equal(row, [0.3, 2.0, -1.0, 0.1])
        back = evaluate(Distribute(self.SHAPES, False), [row])
        for value, argument in zip(back, AT):
            np.testing.assert_array_equal(value, argument)

    def test_batches_broadcast(self):
        rate = np.array([[0.1], [0.2]])
        (rows,) = evaluate(Collect(self.SHAPES, True), [rate, AT[1], np.zeros(3), TIMES])
        assert rows.shape == (2, 3, 4, 5)
        np.testing.assert_array_equal(rows[1, 2], as_rows((0.2, AT[1], 0.0, TIMES)))
        columns = evaluate(Distribute(self.SHAPES, True), [rows])
        assert [c.shape for c in columns] == [(2, 3), (2, 3, 2), (2, 3), (2, 3, 4)]
        np.testing.assert_allclose(columns[1], 4 * np.broadcast_to(AT[1], (2, 3, 2)))

    def test_no_rows_sum_to_zero(self):
        (rows,) = evaluate(Collect(self.SHAPES, True), [0.1, AT[1], 0.0, np.empty(0)])
        assert rows.shape == (0, 5)
        columns = evaluate(Distribute(self.SHAPES, True), [np.empty((2, 0, 5))])
        assert [c.tolist() for c in columns] == [[0, 0], [[0, 0], [0, 0]], [0, 0], [[], []]]

    @pytest.mark.parametrize("timed", [True, False])
    @pytest.mark.parametrize("kind", [Collect, Distribute])
    def test_derivatives_are_itself_and_its_transpose(self, kind, timed):
        operation = kind(self.SHAPES, timed)
        inputs, tangents = ([self.value(s, k + 5 * j) for k, s in enumerate(operation.input_shapes)] for j in range(2))
        cotangents = [self.value(s, k + 20) for k, s in enumerate(operation.output_shapes)]
        outputs = evaluate(operation, inputs)
        forward = operation.jvp().replay([*inputs, *outputs, *tangents], apply)
        for moved, expected in zip(forward, evaluate(operation, tangents)):
            np.testing.assert_array_equal(moved, expected)
        reverse = operation.vjp().replay([*inputs, *outputs, *cotangents], apply)
        left = sum((f * c).sum() for f, c in zip(forward, cotangents))
        right = sum((r * t).sum() for r, t in zip(reverse, tangents))
        np.testing.assert_allclose(left, right, rtol=1e-13)

    @staticmethod
    def value(shape, seed):
        return np.random.default_rng(seed).normal(size=tuple(4 if n == FREE else n for n in shape))


class TestFirstOrder:
    @pytest.mark.parametrize("method", ["forward", "adjoint"])
    def test_reverse_rule(self, decays, method):
        operation = Solve(decays.problem(sensitivity=method))
        value, jacobian = decays.rows(1, *AT)
        cotangent = np.random.default_rng(3).normal(size=value.shape)
        results = operation.vjp().replay([*AT, value, cotangent], apply)
        assert_close(results, distributed(np.einsum("kia,ki->ka", jacobian, cotangent)))

    @pytest.mark.parametrize("method", ["forward", "adjoint"])
    def test_forward_rule(self, decays, method):
        operation = Solve(decays.problem(sensitivity=method))
        value, jacobian = decays.rows(1, *AT)
        results = operation.jvp().replay([*AT, value, *directions(4)], apply)
        assert_close(results, [np.einsum("kia,ka->ki", jacobian, as_rows(directions(4)))])

    def test_the_adjoint_rule_is_one_step(self, decays):
        steps = Solve(decays.problem(sensitivity="adjoint")).vjp().steps
        assert [type(step.operation) for step in steps] == [Adjoint]

    @pytest.mark.parametrize("method", ["forward", "adjoint"])
    def test_batch_is_the_loop(self, decays, method):
        operation = Solve(decays.problem(sensitivity=method))
        rates, cotangents = np.array([0.1, 0.4, 0.9]), np.random.default_rng(3).normal(size=(3, 4, 2))
        arguments = [rates, AT[1], 0.1, np.broadcast_to(TIMES, (3, 4))]
        (value,) = evaluate(operation, arguments)
        results = operation.vjp().replay([*arguments, value, cotangents], apply)
        for k, rate in enumerate(rates):
            alone = operation.vjp().replay([rate, *AT[1:], value[k], cotangents[k]], apply)
            assert_close([result[k] for result in results], alone)

    def test_failed_element_is_nan_in_every_derivative(self, decays):
        operation = Solve(decays.problem())
        arguments = [np.array([0.3, -1.0]), AT[1], 0.1, np.broadcast_to(TIMES, (2, 4))]
        (value,) = evaluate(operation, arguments)
        results = operation.vjp().replay([*arguments, value, np.zeros((2, 4, 2))], apply)
        for result in results:
            assert np.isnan(result[1]).all()
            assert (result[0] == 0).all()


class TestSecondOrder:
    def expected(self, decays, cotangent, tangents, others):
        """Second derivative of the answer: (forward twice, forward over reverse)."""
        hessian = decays.rows(2, *AT)[2]
        moved = np.einsum("kiab,kb->kia", hessian, as_rows(tangents))
        return np.einsum("kia,ka->ki", moved, as_rows(others)), distributed(np.einsum("kia,ki->ka", moved, cotangent))

    @pytest.mark.parametrize("method", ["forward", "adjoint"])
    def test_all_four_compositions(self, decays, method):
        operation = Solve(decays.problem(sensitivity=method))
        tangents, others = directions(5), directions(6)
        cotangent = np.random.default_rng(7).normal(size=(4, 2))
        forward, reverse = self.expected(decays, cotangent, tangents, others)
        backward, onward = after_solving(operation, operation.vjp()), after_solving(operation, operation.jvp())
        zeros = [np.zeros_like(x) for x in others]
        assert_close(push(onward, [*AT, *others], [*tangents, *zeros]), [forward])
        assert_close(push(backward, [*AT, cotangent], [*tangents, np.zeros((4, 2))]), reverse)
        assert_close(pull(onward, [*AT, *tangents], [cotangent])[:4], reverse)
        assert_close(pull(backward, [*AT, cotangent], tangents)[:4], reverse)

    @pytest.mark.parametrize("method", ["forward", "adjoint"])
    def test_derivative_with_respect_to_the_cotangent(self, decays, method):
        operation = Solve(decays.problem(sensitivity=method))
        cotangent = np.random.default_rng(7).normal(size=(4, 2))
        tangents = directions(5)
        jacobian = decays.rows(1, *AT)[1]
        backward = after_solving(operation, operation.vjp())
        pulled = pull(backward, [*AT, cotangent], tangents)[4]
        np.testing.assert_allclose(pulled, np.einsum("kia,ka->ki", jacobian, as_rows(tangents)), rtol=1e-12)
        zeros = [np.zeros_like(x) for x in AT]
        moved = push(backward, [*AT, cotangent], [*zeros, 2 * cotangent])
        assert_close(moved, distributed(np.einsum("kia,ki->ka", jacobian, 2 * cotangent)))

    @pytest.mark.parametrize("rule", ["vjp", "jvp"])
    def test_rules_of_value_and_jacobian_together(self, decays, rule):
        operation = Sensitivities(decays.problem(), 1)
        value, jacobian, hessian = decays.rows(2, *AT)
        rng = np.random.default_rng(8)
        y, j, tangents = rng.normal(size=value.shape), rng.normal(size=jacobian.shape), directions(9)
        if rule == "vjp":
            results = operation.vjp().replay([*AT, value, jacobian, y, j], apply)
            pulled = np.einsum("kia,ki->ka", jacobian, y) + np.einsum("kiab,kia->kb", hessian, j)
            assert_close(results, distributed(pulled))
        else:
            results = operation.jvp().replay([*AT, value, jacobian, *tangents], apply)
            moved = as_rows(tangents)
            expected = [np.einsum("kia,ka->ki", jacobian, moved), np.einsum("kiab,kb->kia", hessian, moved)]
            assert_close(results, expected)

    def test_a_third_derivative_is_an_error_that_says_so(self, decays):
        operation = Sensitivities(decays.problem(), 2)
        for rule in (operation.vjp, operation.jvp):
            with pytest.raises(DerivativeError, match=r"ODE\(.*has no third derivative.*at most two"):
                rule()
        assert issubclass(DerivativeError, ProblemError)


class TestOperations:
    def test_shapes(self, decays):
        problem = decays.problem()
        assert derivative_shapes(problem, 2) == ((FREE, 2), (FREE, 2, 5), (FREE, 2, 5, 5))
        assert Solve(problem, 1).kernel_output_shapes == ((FREE, 2), (FREE, 2, 5), (0,), (FREE, 2), (FREE, 2, 5), (0,))
        assert Adjoint(problem).input_shapes == ((), (2,), (), (FREE,), (FREE, 2))
        assert Adjoint(problem).output_shapes == ((), (2,), (), (FREE,))

    def test_one_kernel_serves_solve_and_sensitivities(self, decays):
        from implicitops.kernels import handle_of

        problem = decays.problem()
        assert handle_of(Sensitivities(problem, 1)) is handle_of(Solve(problem, 1))

    def test_names_differ(self, decays):
        problem = decays.problem()
        operations = [Solve(problem), Solve(problem, 1), *(Sensitivities(problem, k) for k in (1, 2)), Adjoint(problem)]
        assert len({operation.name for operation in operations}) == 5

    def test_a_scalar_answer_has_no_component_index(self):
        class Area:
            """An answer without output times."""

            output_shape, parameter_symbols = (), "pq"

        assert contraction(Area(), ("ia", "a"), ((0, 1),), "i").input_shapes == ((2,), (2,))
        assert derivative_shapes(Area(), 2) == ((), (2,), (2, 2))
