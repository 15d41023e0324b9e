"""Implicit nodes in a model: value and gradient on TensorFlow are those on Theano, compiled by XLA or not."""

import numpy as np
import pymc3 as pm
import pytest
import sympy as sp
import tensorflow as tf
import theano
import theano.tensor as tt
from theano.compile.mode import Mode

import implicitops as iop
from implicitops.sampling.translation import translate

x, y, a, b, t = sp.symbols("x y a b t")


def scalar_root(rate, scale):
    return iop.Root(x + x * sp.exp(a * x) - 1, x, [a], bracket=(0, 1))(rate) * scale


def roots_of_a_vector(rate, scale):
    return iop.Root(x + x * sp.exp(a * x) - b, x, [a, b], bracket=(0, 5))(rate * np.array([0.5, 1.0, 2.0]), scale)


def system(rate, scale):
    return iop.Root([x + y - a, x * y - b / 8], [x, y], [a, b], guess=[a, 0])(1 + rate, scale)


def equation(rate, scale):
    return iop.ODE({x: -a * x}, [a, b], initial={x: b}, times=[0.5, 1.0, 2.0])(rate, scale)


def integral(rate, scale):
    return iop.Integral(sp.exp(-a * x**2), (x, b, sp.oo), [a, b])(rate, scale)


#: With our rewrites: an ODE is integrated once, together with the derivatives that are asked for, as on TensorFlow.
PYTHON = Mode(linker="py", optimizer="fast_compile")
PROBLEMS = [scalar_root, roots_of_a_vector, system, equation, integral]


def density(problem):
    with pm.Model() as model:
        rate, scale = pm.HalfNormal("rate", 1.0), pm.Lognormal("scale", 0.0, 0.5)
        node = pm.Deterministic("node", problem(rate, scale))
        pm.Normal("y", mu=tt.sum(node), sigma=0.3, observed=np.array([0.2, 0.4]))
    return model


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "xla"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_value_and_gradient_are_those_of_theano(problem, compiled):
    model = density(problem)
    outputs = [model.logpt, *theano.grad(model.logpt, model.vars)]
    by_theano = theano.function(model.vars, outputs, mode=PYTHON)
    translated = translate(model.vars, [model.logpt])

    def value_and_gradient(*point):
        with tf.GradientTape() as tape:
            tape.watch(point)
            value = translated(*point)[0]
        return [value, *tape.gradient(value, point)]

    function = value_and_gradient
    if compiled:
        function = tf.function(value_and_gradient, jit_compile=True, autograph=False)
    for point in ([0.3, 0.1], [-0.8, 0.4]):
        for found, expected in zip(function(*(tf.constant(p, tf.float64) for p in point)), by_theano(*point)):
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_derivatives_that_theano_made_are_translated_too(problem):
    model = density(problem)
    outputs = theano.grad(model.logpt, model.vars)
    by_theano = theano.function(model.vars, outputs, mode=Mode(linker="py", optimizer=None))
    point = [0.3, 0.1]
    found = translate(model.vars, outputs)(*(tf.constant(p, tf.float64) for p in point))
    np.testing.assert_allclose(found, by_theano(*point), rtol=1e-12, atol=1e-12)


def test_chains_are_mapped():
    model = density(scalar_root)
    translated = translate(model.vars, [model.logpt])
    points = tf.constant(np.random.default_rng(1).normal(size=(4, 2)))
    mapped = tf.vectorized_map(lambda p: translated(p[0], p[1])[0], points)
    np.testing.assert_allclose(mapped, [translated(p[0], p[1])[0] for p in points], rtol=1e-13)
