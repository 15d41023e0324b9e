"""Random numbers of Theano's portable generator, and splines: both equal to what Theano computes."""

import numpy as np
import pytest
import tensorflow as tf
import theano.tensor as tt
from pymc3.distributions.dist_math import SplineWrapper
from scipy.interpolate import InterpolatedUnivariateSpline, UnivariateSpline
from theano.sandbox.rng_mrg import MRG_RandomStream

from implicitops.sampling.translation import TranslationError, translate


@pytest.mark.parametrize("shape", [(), (3,), (2, 5)])
@pytest.mark.parametrize("n_streams", [1, 4, 32])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_draws_and_states_are_those_of_theano(reference, shape, n_streams, dtype):
    stream = MRG_RandomStream(123)
    sample = stream.uniform(shape, dtype=dtype, nstreams=n_streams)
    _, new_state, *_ = stream.state_updates[0]
    outputs = [sample, new_state]
    expected = reference([], outputs, [], no_default_updates=True)
    for function in (translate([], outputs), tf.function(translate([], outputs), jit_compile=True, autograph=False)):
        for found, e in zip(function(), expected):
            assert found.dtype.name == e.dtype.name
            np.testing.assert_array_equal(found, e)


def test_number_of_draws_that_is_an_input(reference):
    n = tt.lscalar("n")
    sample = MRG_RandomStream(5).normal((n, 2), nstreams=4)
    expected = reference([n], [sample], [7], no_default_updates=True)[0]
    found = tf.function(translate([n], [sample]), autograph=False)(tf.constant(7, tf.int64))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_generator_of_numpy_is_refused_by_name():
    sample = tt.random.utils.RandomStream(1).normal(0, 1) if hasattr(tt.random.utils, "RandomStream") else None
    if sample is None:
        pytest.skip("this Theano has no RandomStream")
    with pytest.raises(TranslationError, match="Random"):
        translate([], [sample])


@pytest.mark.parametrize("ext", [0, 1, 3])
@pytest.mark.parametrize("order", [1, 3])
def test_spline_and_its_derivative(order, ext):
    knots = np.array([-2.0, -1.5, 0.1, 0.7, 2.0, 2.4])
    spline = InterpolatedUnivariateSpline(knots, np.cos(knots), k=order, ext=ext)
    x = tt.dvector("x")
    points = np.array([-3.1, -1.9, -0.4, 0.3, 1.1, 2.2, 2.9])
    for function in (
        translate([x], [SplineWrapper(spline)(x)]),
        tf.function(translate([x], [SplineWrapper(spline)(x)]), jit_compile=True, autograph=False),
    ):
        at = tf.constant(points)
        with tf.GradientTape() as tape:
            tape.watch(at)
            value = function(at)[0]
        np.testing.assert_allclose(value, spline(points), rtol=1e-12, atol=1e-13)
        inside = (points > knots[0]) & (points < knots[-1]) if ext == 3 else slice(None)
        derivative = spline.derivative()(points)
        np.testing.assert_allclose(tape.gradient(value, at).numpy()[inside], derivative[inside], rtol=1e-11, atol=1e-12)


def test_smoothing_spline_that_raises_outside_is_refused():
    spline = UnivariateSpline(np.arange(6.0), np.arange(6.0) ** 2, ext=2)
    x = tt.dvector("x")
    with pytest.raises(TranslationError, match="ext=2"):
        translate([x], [SplineWrapper(spline)(x)])(tf.ones(1, tf.float64))
