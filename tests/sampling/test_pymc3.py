"""The documentation's model in PyMC3: mu + mu*exp(theta*mu) = 1, theta ~ HalfNormal(1), y ~ Normal(mu, 0.1).

Its posterior, unlike those of the other test_pymc3 modules, is far from Gaussian; it comes from quadrature.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats
import sympy as sp

import implicitops as iop
from implicitops.backends.failures import failures

pm = pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")

import arviz as az  # noqa: E402
import theano  # noqa: E402
from pymc3_models import QUIET, compiling_only_ours  # noqa: E402

OBSERVED = np.array([0.2, 0.21, 0.3])

mu, theta, x, p = sp.symbols("mu theta x p")
mu_of = iop.Root(mu + mu * sp.exp(theta * mu) - 1, mu, [theta], bracket=(0, 1))


def documentation_model():
    with pm.Model() as model:
        t = pm.HalfNormal("theta", sd=1)
        m = pm.Deterministic("mu", mu_of(t))
        pm.Normal("y", mu=m, sd=0.1, observed=OBSERVED)
    return model


@pytest.fixture(scope="module")
def model():
    with compiling_only_ours():
        return documentation_model()


def posterior(function):
    """Posterior mean of a function of theta, by quadrature."""

    def density(t):
        log = scipy.stats.norm.logpdf(t) + scipy.stats.norm.logpdf(OBSERVED, mu_of(t), 0.1).sum()
        return np.exp(log)

    def integral(f):
        return scipy.integrate.quad(lambda t: f(t) * density(t), 0, 12, epsabs=0, epsrel=1e-10)[0]

    return integral(function) / integral(lambda t: 1.0)


MEAN = posterior(lambda t: t)
SD = np.sqrt(posterior(lambda t: (t - MEAN) ** 2))


def assert_posterior(draws, errors=4.0):
    """Mean and sd of theta agree with quadrature within so many Monte Carlo standard errors of the draws."""
    assert abs(draws.mean() - MEAN) < errors * az.mcse(draws, method="mean")
    assert abs(draws.std() - SD) < errors * az.mcse(draws, method="sd")


def chains(trace, name="theta"):
    return np.array(trace.get_values(name, combine=False, squeeze=False))


def test_quadrature_gives_the_documented_posterior():
    assert round(MEAN, 3) == 1.932
    assert round(SD, 3) == 0.621


def test_log_density_and_gradient_are_those_of_the_formula(model):
    function = model.logp_dlogp_function()
    function.set_extra_values({})
    log_theta = 0.3
    t = np.exp(log_theta)
    solution = mu_of.solve(t, derivatives=1)
    value, gradient = function(np.array([log_theta]))
    residuals = OBSERVED - solution.value
    log_density = scipy.stats.halfnorm.logpdf(t) + scipy.stats.norm.logpdf(residuals, 0, 0.1).sum()
    np.testing.assert_allclose(value, log_density + log_theta, rtol=1e-12)
    slope = -t + (residuals / 0.01).sum() * solution.jacobian[0]
    np.testing.assert_allclose(gradient, [slope * t + 1], rtol=1e-11)


def test_pymc3_chooses_nuts(model):
    with model:
        step = pm.sampling.assign_step_methods(model)
    assert isinstance(step, pm.NUTS)


def test_nuts_samples_the_posterior(model):
    with model:
        trace = pm.sample(3000, tune=1000, chains=2, cores=1, random_seed=1, **QUIET)
    assert {"tree_size", "diverging"} <= trace.stat_names
    assert_posterior(chains(trace))
    np.testing.assert_array_equal(trace["mu"], mu_of(trace["theta"]))
    assert failures() == {}


@pytest.mark.usefixtures("uncompiled")
def test_two_processes_give_what_one_gives(model):
    with model:
        traces = [pm.sample(100, tune=100, chains=2, cores=cores, random_seed=[1, 2], **QUIET) for cores in (1, 2)]
    np.testing.assert_array_equal(*(chains(trace) for trace in traces))


@pytest.mark.usefixtures("uncompiled")
def test_map_is_the_mode_of_the_density(model):
    def minus_log_density(t):
        return t**2 / 2 - scipy.stats.norm.logpdf(OBSERVED, mu_of(t), 0.1).sum()

    mode = scipy.optimize.minimize_scalar(minus_log_density, bounds=(0.1, 5), method="bounded")
    with model:
        point = pm.find_MAP(progressbar=False)
    np.testing.assert_allclose(point["theta"], mode.x, rtol=1e-4)


@pytest.mark.usefixtures("uncompiled")
def test_hessian_is_the_derivative_of_the_gradient(model):
    function = model.logp_dlogp_function()
    function.set_extra_values({})
    at, h = 0.5, 1e-4
    slopes = [function(np.array([at + step]))[1][0] for step in (-h, h)]
    with model:
        hessian = pm.find_hessian({"theta_log__": np.array(at)})
    np.testing.assert_allclose(hessian, [[(slopes[0] - slopes[1]) / (2 * h)]], rtol=1e-6)


@pytest.mark.usefixtures("uncompiled")
def test_vector_of_parameters_needs_nothing_special():
    with pm.Model() as model:
        t = pm.HalfNormal("theta", sd=1, shape=3)
        m = pm.Deterministic("mu", mu_of(t))
        pm.Normal("y", mu=m, sd=0.1, observed=OBSERVED)
        step = pm.sampling.assign_step_methods(model)
        prior = pm.sample_prior_predictive(5, random_seed=1)
    assert isinstance(step, pm.NUTS)
    np.testing.assert_array_equal(prior["mu"], mu_of(prior["theta"]))


@pytest.mark.usefixtures("uncompiled")
def test_posterior_predictive_recomputes_the_solution(model):
    with model:
        trace = pm.sample(50, tune=50, chains=1, random_seed=1, **QUIET)
        predicted = pm.sample_posterior_predictive(trace, var_names=["mu"], progressbar=False)
    np.testing.assert_allclose(predicted["mu"].ravel(), trace["mu"], rtol=1e-15)


@pytest.mark.usefixtures("uncompiled")
def test_sampling_survives_failed_solves_and_says_so():
    root = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))
    with pm.Model():
        q = pm.Normal("q", 0.2, 1)
        pm.Normal("y", root(q), 0.5, observed=0.5)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", iop.SolveWarning)
            trace = pm.sample(200, tune=100, step=pm.Metropolis(), chains=1, random_seed=1, **QUIET)
    messages = [str(w.message) for w in caught if w.category is iop.SolveWarning]
    assert len(messages) == 1
    assert "failed at p=-" in messages[0]
    assert np.isfinite(trace["q"]).all()
    assert (trace["q"] >= 0).all()
    assert failures()[root].count > 10


def test_gradients_of_models_survive_the_setting_that_sampling_leaves_behind(model):
    theano.config.compute_test_value = "raise"
    v = theano.tensor.dvector()
    function = theano.function([v], mu_of(v))
    np.testing.assert_array_equal(function([0.4]), mu_of([0.4]))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["nuts", "metropolis", "spawn"])
def test_long_chains_agree_with_quadrature(model, method):
    with model:
        step = pm.Metropolis() if method == "metropolis" else None
        draws = 40_000 if method == "metropolis" else 20_000
        context = "spawn" if method == "spawn" else None
        trace = pm.sample(draws, tune=2000, step=step, chains=4, cores=2, mp_ctx=context, random_seed=7, **QUIET)
    assert_posterior(chains(trace))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fullrank_advi", "svgd", "nfvi"])
def test_variational_methods_come_close(model, method):
    with model:
        steps = 500 if method == "svgd" else 3000
        optimiser = pm.adam(learning_rate=0.02)
        approximation = pm.fit(steps, method=method, obj_optimizer=optimiser, random_seed=1, progressbar=False)
    draws = approximation.sample(2000)["theta"]
    assert abs(draws.mean() - MEAN) < 0.5 * SD
