"""Derivatives through TensorFlow's own machinery: tapes, accumulators, Jacobians, vectorised loops, while loops."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.errors import DerivativeError

tf = pytest.importorskip("tensorflow", reason="needs TensorFlow")

x, y, p, q = sp.symbols("x y p q")
mu, theta = sp.symbols("mu theta")
mu_of = iop.Root(mu + mu * sp.exp(theta * mu) - 1, mu, [theta], bracket=(0, 1))
square_root = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))
quadratic = iop.Root(p * x**2 + q * x - 1, x, [p, q], bracket=(0, 1 + 1 / q))
system = iop.Root([x * y - p, x - q * y], [x, y], [p, q], guess=(1, 1))

AT = tf.constant([0.2, 1.0, 5.0], tf.float64)
SOLVED = mu_of.solve(AT.numpy(), derivatives=2)
FIRST, SECOND = SOLVED.jacobian[:, 0], SOLVED.hessian[:, 0, 0]


def derivative(function):
    def gradient(v):
        with tf.GradientTape() as tape:
            tape.watch(v)
            value = function(v)
        return tape.gradient(value, v)

    return gradient


def along_ones(function):
    def forward(v):
        with tf.autodiff.ForwardAccumulator(v, tf.ones_like(v)) as accumulator:
            value = function(v)
        return accumulator.jvp(value)

    return forward


def test_gradients_of_nested_tapes(way):
    np.testing.assert_allclose(way(derivative(mu_of))(AT), FIRST, rtol=1e-14)
    np.testing.assert_allclose(way(derivative(derivative(mu_of)))(AT), SECOND, rtol=1e-12)


def test_third_derivative(way):
    third = way(derivative(derivative(derivative(square_root))))
    np.testing.assert_allclose(third(tf.constant(4.0, tf.float64)), 3 / 8 * 4.0**-2.5, rtol=1e-13)


@pytest.mark.parametrize("inner", [derivative, along_ones])
@pytest.mark.parametrize("outer", [derivative, along_ones])
def test_forward_and_reverse_over_each_other(way, outer, inner):
    np.testing.assert_allclose(way(outer(inner(mu_of)))(AT), SECOND, rtol=1e-12)


def test_forward_mode(way):
    np.testing.assert_allclose(way(along_ones(mu_of))(AT), FIRST, rtol=1e-14)


@pytest.mark.parametrize("jit", [None, True])
def test_forward_mode_around_a_function(jit):
    function = tf.function(mu_of, jit_compile=jit)
    np.testing.assert_allclose(along_ones(function)(AT), FIRST, rtol=1e-14)


@pytest.mark.parametrize("jit", [None, True])
def test_tapes_around_a_function(jit):
    function = tf.function(mu_of, jit_compile=jit)
    np.testing.assert_allclose(derivative(function)(AT), FIRST, rtol=1e-14)
    np.testing.assert_allclose(derivative(derivative(function))(AT), SECOND, rtol=1e-12)


@pytest.mark.parametrize("jit", [None, True])
def test_gradients_of_a_graph(jit):
    @tf.function(jit_compile=jit)
    def both(v):
        (first,) = tf.gradients(mu_of(v), v)
        return first, tf.gradients(first, v)[0]

    first, second = both(AT)
    np.testing.assert_allclose(first, FIRST, rtol=1e-14)
    np.testing.assert_allclose(second, SECOND, rtol=1e-12)


def jacobian(v, vectorised=True):
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(v)
        value = mu_of(v)
    return tape.jacobian(value, v, experimental_use_pfor=vectorised)


def test_jacobian(way):
    np.testing.assert_allclose(way(jacobian)(AT), np.diag(FIRST), rtol=1e-14)


def test_jacobian_by_a_loop():
    np.testing.assert_allclose(jacobian(AT, vectorised=False), np.diag(FIRST), rtol=1e-14)


def test_batch_jacobian_of_a_system(way):
    at = np.random.default_rng(0).uniform(0.5, 2, (4, 2))

    def jacobian(v):
        with tf.GradientTape() as tape:
            tape.watch(v)
            value = system(v[:, 0], v[:, 1])
        return tape.batch_jacobian(value, v)

    expected = system.solve(at[:, 0], at[:, 1], derivatives=1).jacobian
    np.testing.assert_allclose(way(jacobian)(tf.constant(at)), expected, rtol=1e-12)


@pytest.mark.parametrize("rank", [0, 1])
def test_vectorised_map_is_one_batch_in_which_some_arguments_stay(way, rank):
    rng = np.random.default_rng(1)
    one, two = rng.uniform(0.5, 2, (4, *(3,) * rank)), rng.uniform(0.5, 2, (2, 3))

    def mapped(one, two):
        return tf.vectorized_map(lambda v: quadratic(v, two), one, fallback_to_while_loop=False)

    expected = np.stack([quadratic(v, two) for v in one])
    np.testing.assert_array_equal(way(mapped)(tf.constant(one), tf.constant(two)), expected)


def test_vectorised_map_of_open_shapes():
    spec = tf.TensorSpec(None, tf.float64)
    one, two = np.array([0.5, 1.0]), np.array([[1.0], [2.0]])

    @tf.function(input_signature=[spec, spec])
    def mapped(one, two):
        return tf.vectorized_map(lambda v: quadratic(v, two), one, fallback_to_while_loop=False)

    np.testing.assert_array_equal(mapped(one, two), np.stack([quadratic(v, two) for v in one]))


def test_vectorised_map_of_a_gradient_and_gradient_of_a_vectorised_map(way):
    def inside(v):
        return tf.vectorized_map(derivative(mu_of), v, fallback_to_while_loop=False)

    def outside(v):
        return derivative(lambda u: tf.vectorized_map(mu_of, u, fallback_to_while_loop=False))(v)

    for function in (inside, outside):
        np.testing.assert_allclose(way(function)(AT), FIRST, rtol=1e-14)
    np.testing.assert_allclose(way(derivative(outside))(AT), SECOND, rtol=1e-12)


def test_gradient_through_a_while_loop(way):
    """v -> sqrt(sqrt(sqrt(v)))."""

    def repeated(v):
        loop = tf.while_loop(lambda i, u: i < 3, lambda i, u: (i + 1, square_root(u)), (0, v), maximum_iterations=3)
        return loop[1]

    at = tf.constant([2.0, 7.0], tf.float64)
    np.testing.assert_allclose(way(repeated)(at), at**0.125, rtol=1e-14)
    np.testing.assert_allclose(way(derivative(repeated))(at), 0.125 * at**-0.875, rtol=1e-14)


def test_gradient_of_slices(way):
    def total(v):
        return tf.reduce_sum(tf.gather(mu_of(v), [0, 2, 2]))

    np.testing.assert_allclose(way(derivative(total))(AT), FIRST * [1, 0, 2], rtol=1e-14)


def test_gradient_of_one_solution_inside_another(way):
    nested = way(derivative(lambda v: square_root(square_root(v))))
    np.testing.assert_allclose(nested(tf.constant(16.0, tf.float64)), 16.0**-0.75 / 4, rtol=1e-14)


def test_integer_argument_has_no_gradient():
    v = tf.constant(4)
    with tf.GradientTape() as tape:
        tape.watch(tf.constant(1.0))
        value = square_root(v)
    assert tape.gradient(value, v) is None


def test_tensorflow_verifies_the_gradient():
    theoretical, numerical = tf.test.compute_gradient(quadratic, [AT, tf.constant(1.5, tf.float64)])
    for one, other in zip(theoretical, numerical):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.filterwarnings("ignore::implicitops.errors.SolveWarning")  # the harness tries a NaN element
def test_implicitops_verifies_the_gradient():
    assert iop.verify_grad(mu_of, {"theta": [0.2, 1e-5, 1e5]}, order=2, backends=("tensorflow",)).passed


# -- derivatives that do not exist ------------------------------------------------------------------------------------


def exponential(**options):
    return iop.External(np.exp, inputs={"x": ()}, outputs=(), **options)


def test_derivative_that_does_not_exist_is_an_error_that_says_what_to_do():
    with pytest.raises(DerivativeError, match="Pass jacobian= or vjp="):
        derivative(exponential())(tf.constant(1.0, tf.float64))


def test_derivative_that_does_not_exist_is_an_error_in_a_graph_that_needs_it():
    function = tf.function(derivative(exponential()))
    with pytest.raises(tf.errors.InvalidArgumentError, match="Pass jacobian= or vjp="):
        function(tf.constant(1.0, tf.float64))


@pytest.mark.parametrize("jit", [None, True])
def test_derivative_that_does_not_exist_is_no_error_where_nobody_needs_it(jit):
    function = tf.function(exponential(jacobian=lambda x: [np.exp(x)]), jit_compile=jit)
    at = tf.constant(1.0, tf.float64)
    # TensorFlow makes the second derivative, for tapes that might be there.
    np.testing.assert_allclose(derivative(function)(at), np.exp(1.0), rtol=1e-15)
    with tf.GradientTape() as outer:
        outer.watch(at)
        first = derivative(function)(at)
    np.testing.assert_allclose(first, np.exp(1.0), rtol=1e-15)
