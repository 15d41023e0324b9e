"""logp_function: value and gradient against SciPy's densities, in the order that is stated, on both backends."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
import sympy as sp
from sampling_backends import BACKENDS, needs_tensorflow

import implicitops as iop
from implicitops.sampling import ModelChangedError, logp_function
from implicitops.sampling.choice_of_backend import VARIABLE, chosen_backend

pm = pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")
pytestmark = pytest.mark.usefixtures("uncompiled")

mu, theta = sp.symbols("mu theta")
mu_of = iop.Root(mu + mu * sp.exp(theta * mu) - 1, mu, [theta], bracket=(0, 1))
DATA = np.array([0.2, 0.21, 0.3])
# A name that sorts otherwise than it was defined, sizes that differ, and one variable of each kind of transform.
VECTOR = np.array([0.3, 1.0, -2.0, 0.5, 0.4])


def model_of(data=DATA):
    with pm.Model() as model:
        t = pm.HalfNormal("theta", sd=1)
        slope = pm.Normal("a", 0, 2, shape=3)
        s = pm.Uniform("s", 0, 1)
        shared = pm.Data("data", data)
        pm.Normal("y", mu_of(t) + 0.1 * slope, 0.1 + s, observed=shared)
    return model


def exact(vector, data=DATA):
    """Log density and gradient, by SciPy's densities and the implicit function theorem worked out by hand."""
    t, slope, s = np.exp(vector[0]), vector[1:4], scipy.special.expit(vector[4])
    solution = mu_of.solve(t, derivatives=1)
    value = scipy.stats.halfnorm.logpdf(t) + vector[0]
    value += scipy.stats.norm.logpdf(slope, 0, 2).sum() + np.log(s * (1 - s))
    residual = (data - solution.value - 0.1 * slope) / (0.1 + s)
    value += (scipy.stats.norm.logpdf(residual) - np.log(0.1 + s)).sum()
    by_theta = -t + (residual / (0.1 + s)).sum() * solution.jacobian[0]
    by_slope = -slope / 4 + 0.1 * residual / (0.1 + s)
    by_s = (1 - 2 * s) + s * (1 - s) * ((residual**2 - 1) / (0.1 + s)).sum()
    return value, np.array([by_theta * t + 1, *by_slope, by_s])


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


def test_value_gradient_order_and_shapes_are_those_stated(backend):
    function = logp_function(model_of(), backend)
    assert function.variables == ("theta_log__", "a", "s_interval__")
    assert function.shapes == {"theta_log__": (), "a": (3,), "s_interval__": ()}
    value, gradient = function(VECTOR)
    expected, slope = exact(VECTOR)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, slope, rtol=1e-10)

    # A point in any order of its names.
    point = {"s_interval__": 0.4, "a": VECTOR[1:4], "theta_log__": 0.3}
    np.testing.assert_array_equal(function.to_vector(point), VECTOR)
    again, by_name = function(point)
    assert again == value
    np.testing.assert_array_equal(by_name["a"], gradient[1:4])
    assert by_name["theta_log__"].shape == ()


def test_shared_data_are_read_at_every_call_with_a_new_length_too(backend):
    with pm.Model() as model:
        m = pm.Normal("m", 0, 1)
        pm.Normal("y", m, 1, observed=pm.Data("data", DATA))
    function = logp_function(model, backend)
    for data in (DATA, DATA + 1, np.arange(7.0)):
        model["data"].set_value(data)
        expected = scipy.stats.norm.logpdf(0.5) + scipy.stats.norm.logpdf(data, 0.5).sum()
        value, gradient = function([0.5])
        np.testing.assert_allclose(value, expected, rtol=1e-13)
        np.testing.assert_allclose(gradient, [(data - 0.5).sum() - 0.5], rtol=1e-13)


def test_a_model_that_got_another_variable_is_an_error(backend):
    with pm.Model() as model:
        m = pm.Normal("m", 0, 1)
    function = logp_function(model, backend)
    with model:
        pm.Normal("y", m, 1, observed=0.0)
    with pytest.raises(ModelChangedError, match=r"observed variables have changed .*they were none, and are now y"):
        function([0.5])


def test_vectors_and_points_of_the_wrong_shape_are_errors():
    with pm.Model() as model:
        pm.Normal("m", 0, 1, shape=2)
    function = logp_function(model)
    with pytest.raises(iop.ArgumentError, match=r"shape \(2,\); got \(3,\)"):
        function(np.zeros(3))
    with pytest.raises(iop.ArgumentError, match=r"m must have the shape \(2,\); got \(\)"):
        function({"m": 0.0})
    with pytest.raises(iop.ArgumentError, match="missing or unknown: k, m"):
        function({"k": 0.0})


def test_discrete_variables_have_no_gradient():
    with pm.Model() as model:
        pm.Poisson("count", 3)
        pm.Normal("m", 0, 1)
    with pytest.raises(iop.ArgumentError, match="discrete variables: count"):
        logp_function(model)


@needs_tensorflow
def test_backend_is_the_argument_then_the_environment_then_theano(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert chosen_backend() == "theano"
    monkeypatch.setenv(VARIABLE, "tensorflow")
    assert chosen_backend() == "tensorflow"
    assert chosen_backend("theano") == "theano"


@needs_tensorflow
def test_beside_an_accelerator_the_model_is_compiled_for_the_cpu(monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: ["an accelerator"])
    with pytest.raises(iop.ArgumentError, match="for a device that is no CPU"):
        tf.function(mu_of, jit_compile=True)(tf.constant(0.4, tf.float64))
    value, gradient = logp_function(model_of(), "tensorflow")(VECTOR)
    expected, slope = exact(VECTOR)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, slope, rtol=1e-12)
