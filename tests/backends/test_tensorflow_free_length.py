"""Answers at as many times as a call asks for, in TensorFlow: shapes, derivatives, one integration for all of them."""

from __future__ import annotations

import numpy as np
import pytest

import implicitops as iop
from implicitops.backends.failures import failures

tf = pytest.importorskip("tensorflow", reason="needs TensorFlow")

TIMES = np.array([0.5, 1.0, 2.5])
START = np.array([2.0, -1.0])
RATE = tf.constant(0.3, tf.float64)


def answer(problem, rate, times=TIMES):
    return problem(rate, START, 0.1, times=times)


def with_tape(function):
    def both(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            y = function(*tensors)
        return y, tape.gradient(y, tensors)

    return both


def with_gradients(function):
    def both(*tensors):
        y = function(*tensors)
        return y, tf.gradients(y, list(tensors))

    return both


def orders(decays):
    return sorted(str(getattr(operation, "derivatives", "adjoint")) for operation, _ in decays.calls)


def expected_gradient(decays, rate=0.3):
    return decays.rows(1, rate, START, 0.1, TIMES)[1].sum(axis=(0, 1))[0]


def test_length_may_change_between_calls_of_a_graph(decays):
    spec = [tf.TensorSpec([None], tf.float64), tf.TensorSpec([None], tf.float64)]
    function = tf.function(lambda rate, times: answer(decays.problem(), rate, times), input_signature=spec)
    for times in (TIMES, np.linspace(0, 3, 7), np.empty(0), np.array([1.5])):
        value = function(np.array([0.3, 0.6]), times)
        assert value.shape == (2, len(times), 2)
        np.testing.assert_allclose(value[1], decays.rows(0, 0.6, START, 0.1, times)[0], rtol=1e-14)


def test_value_alone_integrates_no_derivative(way, decays):
    value = way(lambda rate: answer(decays.problem(), rate))(RATE)
    np.testing.assert_allclose(value, decays.rows(0, 0.3, START, 0.1, TIMES)[0], rtol=1e-14)
    assert orders(decays) == ["0"]


def test_value_and_gradient_integrate_once(way, decays):
    value, (gradient,) = way(with_tape(lambda rate: answer(decays.problem(), rate)))(RATE)
    np.testing.assert_allclose(value, decays.rows(0, 0.3, START, 0.1, TIMES)[0], rtol=1e-14)
    np.testing.assert_allclose(gradient, expected_gradient(decays), rtol=1e-14)
    assert orders(decays) == ["1"]


@pytest.mark.parametrize("jit", [None, True])
def test_gradient_that_is_asked_for_after_the_value_was_made_integrates_once(decays, jit):
    function = tf.function(with_gradients(lambda rate: answer(decays.problem(), rate)), jit_compile=jit)
    _, (gradient,) = function(RATE)
    np.testing.assert_allclose(gradient, expected_gradient(decays), rtol=1e-14)
    assert orders(decays) == ["1"]


@pytest.mark.parametrize("jit", [None, True])
def test_tape_around_a_function_integrates_once(decays, jit):
    function = tf.function(lambda rate: answer(decays.problem(), rate), jit_compile=jit)
    _, (gradient,) = with_tape(function)(RATE)
    np.testing.assert_allclose(gradient, expected_gradient(decays), rtol=1e-14)
    assert orders(decays) == ["1"]


def test_forward_mode_integrates_once(way, decays):
    def forward(rate):
        with tf.autodiff.ForwardAccumulator(rate, tf.ones_like(rate)) as accumulator:
            y = answer(decays.problem(), rate)
        return accumulator.jvp(y)

    tangent = way(forward)(RATE)
    np.testing.assert_allclose(tangent, decays.rows(1, 0.3, START, 0.1, TIMES)[1][..., 0], rtol=1e-14)
    assert orders(decays) == ["1"]


def test_hessian(way, decays):
    def hessian(rate):
        with tf.GradientTape() as tape:
            tape.watch(rate)
            _, (gradient,) = with_tape(lambda r: answer(decays.problem(), r))(rate)
        return tape.gradient(gradient, rate)

    expected = decays.rows(2, 0.3, START, 0.1, TIMES)[2].sum(axis=(0, 1))[0, 0]
    np.testing.assert_allclose(way(hessian)(RATE), expected, rtol=1e-13)
    assert orders(decays) == ["1", "2"]


def test_steps_of_a_loop_integrate_once_each(decays):
    def repeated(rate):
        def step(i, r):
            return i + 1, r * tf.exp(tf.reduce_sum(answer(decays.problem(), r)) / 100)

        return tf.while_loop(lambda i, r: i < 3, step, (0, rate), maximum_iterations=3)[1]

    function = tf.function(with_gradients(repeated))
    value, (gradient,) = function(RATE)
    assert orders(decays) == ["1", "1", "1"]
    changed = [float(tf.function(repeated)(RATE + h)) for h in (1e-5, -1e-5)]
    np.testing.assert_allclose(gradient, (changed[0] - changed[1]) / 2e-5, rtol=1e-7)
    assert np.isfinite(value)


def test_gradients_of_all_arguments_the_times_included(way, decays):
    arguments = [tf.constant(value, tf.float64) for value in (0.3, START, 0.1, TIMES)]
    function = with_tape(lambda rate, start, first, times: decays.problem()(rate, start, first, times=times))
    _, gradients = way(function)(*arguments)
    jacobian = decays.rows(1, 0.3, START, 0.1, TIMES)[1].sum(axis=1)
    total = jacobian.sum(axis=0)
    for found, expected in zip(gradients, (total[0], total[1:3], total[3], jacobian[:, 4])):
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_adjoint_method_integrates_forward_for_the_value(way, decays):
    problem = decays.problem(sensitivity="adjoint")
    _, (gradient,) = way(with_tape(lambda rate: answer(problem, rate)))(RATE)
    np.testing.assert_allclose(gradient, expected_gradient(decays), rtol=1e-13)
    assert orders(decays) == ["0", "adjoint"]


def test_map_over_parameters_is_one_batch(way, decays):
    rates = np.array([0.3, 0.5, 0.7])

    def mapped(rates):
        def one(rate):
            return with_tape(lambda r: answer(decays.problem(), r))(rate)[1][0]

        return tf.vectorized_map(one, rates, fallback_to_while_loop=False)

    found = way(mapped)(tf.constant(rates))
    np.testing.assert_allclose(found, [expected_gradient(decays, rate) for rate in rates], rtol=1e-13)
    assert orders(decays)[:1] == ["1"]


def test_failed_element_is_nan_and_counted(way, decays):
    problem = decays.problem()
    function = way(with_tape(lambda rate: answer(problem, rate)))
    with pytest.warns(
        iop.SolveWarning, match=r"at a=-1, b=\[2\.0, -1\.0\], t0=0\.1.*, times=\[0\.5, 1\.0, 2\.5\]: the"
    ):
        value, (gradient,) = function(tf.constant([0.3, -1.0, 0.5], tf.float64))
    assert np.isnan(value[1]).all()
    assert np.isnan(gradient).tolist() == [False, True, False]
    assert failures()[problem].count == 1


def test_times_of_the_wrong_rank_are_an_error_that_names_them(way, decays):
    with pytest.raises(iop.ArgumentError, match="times: it must be 1-D, of any length"):
        way(lambda t: answer(decays.problem(), RATE, t))(tf.constant(1.0, tf.float64))


def test_real_integration(way):
    import sympy as sp

    k, y = sp.symbols("k y")
    problem = iop.ODE({y: -k * y**2}, [k], initial={y: 1})
    rates, times = tf.constant([0.5, 2.0], tf.float64), tf.constant([1.0, 3.0], tf.float64)

    def both(rates, times):
        with tf.GradientTape() as tape:
            tape.watch([rates, times])
            value = problem(rates, times=times)
        return value, tape.gradient(value, [rates, times])

    value, (by_rate, by_time) = way(both)(rates, times)
    r, t = rates.numpy()[:, None], times.numpy()
    np.testing.assert_allclose(value[..., 0], 1 / (1 + r * t), rtol=1e-7)
    np.testing.assert_allclose(by_rate, (-t / (1 + r * t) ** 2).sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(by_time, (-r / (1 + r * t) ** 2).sum(axis=0), rtol=1e-6)
