"""Theano functions, and PyMC3's own step methods, that run on TensorFlow."""

import pickle

import numpy as np
import pymc3 as pm
import pytest
import theano
import theano.tensor as tt

from implicitops.errors import ProcessError
from implicitops.sampling.linker import TensorFlowLinker, tensorflow_mode
from implicitops.sampling.translation import TranslationError


@pytest.fixture(autouse=True)
def _on_tensorflow():
    """Everything that Theano compiles runs on TensorFlow, unless a test says otherwise."""
    flags = {"cxx": "", "compute_test_value": "off", "mode": tensorflow_mode()}
    # Theano's rewrites, and its own side of a comparison, compute both branches of a switch.
    with theano.config.change_flags(**flags), np.errstate(all="ignore"):
        yield


@pytest.fixture
def regression():
    rng = np.random.RandomState(123)
    x = rng.randn(60)
    y = 1 + 2 * x + rng.randn(60)
    with pm.Model() as model:
        intercept, slope = pm.Normal("intercept", 0, 10), pm.Normal("slope", 0, 10)
        pm.Normal("y", intercept + slope * x, 1.0, observed=y)
    # Conjugate: the posterior is a normal distribution.
    design = np.stack([np.ones(60), x], axis=1)
    precision = design.T @ design + np.eye(2) / 100
    return model, np.linalg.solve(precision, design.T @ y), np.linalg.inv(precision)


QUIET = {
    "cores": 1,
    "chains": 1,
    "progressbar": False,
    "return_inferencedata": False,
    "compute_convergence_checks": False,
    "random_seed": 3,
}


def assert_posterior(trace, mean, covariance):
    """Means within five of their standard errors, for independent draws of the given covariance."""
    for k, name in enumerate(("intercept", "slope")):
        assert abs(trace[name].mean() - mean[k]) < 5 * np.sqrt(covariance[k, k] / len(trace))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_function_returns_arrays_of_the_dtypes_that_theano_states(jit_compile):
    x, n = tt.dvector("x"), tt.lscalar("n")
    function = theano.function([x, n], [x.sum(), x * n, tt.gt(x, 0), n + 1], mode=tensorflow_mode(jit_compile))
    found = function([1.0, -2.0], 3)
    assert [f.dtype.name for f in found] == ["float64", "float64", "bool", "int64"]
    assert all(isinstance(f, np.ndarray) for f in found)
    np.testing.assert_array_equal(found[1], [3.0, -6.0])
    found[1][0] = 7.0  # which is the caller's own
    np.testing.assert_array_equal(function([1.0, -2.0], 3)[1], [3.0, -6.0])


def test_shared_variables_are_read_and_updated():
    total, x = theano.shared(np.zeros(2), name="total"), tt.dvector("x")
    function = theano.function([x], total.sum(), updates=[(total, total + x)])
    assert isinstance(function.maker.linker, TensorFlowLinker)
    assert [float(function([1.0, 2.0])) for _ in range(3)] == [0.0, 3.0, 6.0]
    np.testing.assert_array_equal(total.get_value(), [3.0, 6.0])
    total.set_value(np.ones(4))  # another length: the function is traced again
    assert float(function(np.ones(4))) == 4.0


def test_function_of_no_inputs_and_of_a_constant():
    assert float(theano.function([], tt.constant(2.0))()) == 2.0
    x = tt.dscalar("x")
    assert float(theano.function([x], x)(3.0)) == 3.0


def test_function_can_be_pickled():
    x = tt.dvector("x")
    function = pickle.loads(pickle.dumps(theano.function([x], (x**2).sum())))
    assert float(function([1.0, 2.0])) == 5.0


def test_op_without_a_translation_is_named_when_the_function_is_made():
    class Unknown(theano.scalar.UnaryScalarOp):
        def impl(self, x):
            return x

    x = tt.dvector("x")
    with pytest.raises(TranslationError, match="Unknown"):
        theano.function([x], tt.Elemwise(Unknown(theano.scalar.upgrade_to_float))(x))


def test_density_and_gradient_of_a_model_are_those_of_theano(regression):
    model, _, _ = regression
    point = {"intercept": np.array(0.3), "slope": np.array(-1.2)}
    on_tensorflow = model.logp_dlogp_function()
    on_tensorflow.set_extra_values({})
    plain = theano.compile.mode.Mode(linker="py", optimizer=None)
    on_theano = model.logp_dlogp_function(mode=plain)
    on_theano.set_extra_values({})
    array = on_tensorflow.dict_to_array(point)
    for found, expected in zip(on_tensorflow(array), on_theano(array)):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("method", "draws", "tune", "autocorrelation_time"),  # at most so many draws count as one
    [(pm.NUTS, 400, 300, 2), (pm.Metropolis, 1500, 500, 20), (pm.Slice, 100, 50, 3)],
)
def test_step_method_samples_the_posterior(regression, method, draws, tune, autocorrelation_time):
    model, mean, covariance = regression
    with model:
        trace = pm.sample(draws, tune=tune, step=method(), **QUIET)
    assert_posterior(trace, mean, autocorrelation_time * covariance)


def test_maximum_and_curvature_of_a_density(regression):
    model, mean, covariance = regression
    with model:
        found = pm.find_MAP(progressbar=False)
        hessian = pm.find_hessian(found)
    np.testing.assert_allclose([found["intercept"], found["slope"]], mean, rtol=1e-5)
    order = [[v.name for v in model.vars].index(name) for name in ("intercept", "slope")]
    np.testing.assert_allclose(hessian[np.ix_(order, order)], np.linalg.inv(covariance), rtol=1e-8)


@pytest.mark.slow
def test_sequential_monte_carlo(regression):
    model, mean, covariance = regression
    with model:
        trace = pm.sample_smc(300, chains=1, parallel=False, random_seed=3)
    assert_posterior(trace, mean, 3 * covariance)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["advi", "fullrank_advi", "svgd"])
def test_variational_inference(regression, method):
    model, mean, covariance = regression
    options = {"inf_kwargs": {"n_particles": 50}} if method == "svgd" else {}
    with model:
        optimiser = pm.adam(learning_rate=0.05)
        fit = pm.fit(1500, method=method, obj_optimizer=optimiser, progressbar=False, random_seed=3, **options)
        trace = fit.sample(2000)
    for k, name in enumerate(("intercept", "slope")):
        # The optimiser stays in motion: a tenth of a standard deviation for a step of 0.05.
        assert abs(trace[name].mean() - mean[k]) < 0.5 * np.sqrt(covariance[k, k])


def test_prior_predictive_draws_do_not_need_a_translation(regression):
    model, _, _ = regression
    with model:
        assert pm.sample_prior_predictive(5)["y"].shape == (5, 60)


def test_forked_process_says_what_to_do():
    x = tt.dvector("x")
    function = theano.function([x], x.sum())
    function([1.0])
    with pytest.MonkeyPatch.context() as patch:  # without a fork, of which TensorFlow's threads make a gamble
        patch.setattr("os.getpid", lambda: -1)
        with pytest.raises(ProcessError, match="cores=1"):
            function([1.0])
