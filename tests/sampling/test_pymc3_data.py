"""Data that change under a model with an implicit node: minibatches, shared variables, `pm.Data`, predictions."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
import scipy.stats

pm = pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")

import arviz as az  # noqa: E402
import sympy as sp  # noqa: E402
import theano  # noqa: E402
import theano.tensor as tt  # noqa: E402
from pymc3.exceptions import SamplingError  # noqa: E402
from pymc3_models import (  # noqa: E402
    LATER_OBSERVED,
    LATER_TIMES,
    OBSERVED,
    QUIET,
    SIGMA,
    TIMES,
    draws_of,
    feature,
    lines_of,
    model_of,
    posterior_of,
)

import implicitops as iop  # noqa: E402

EXACT = "closed form"
OTHERS = "system ode integral"
POSTERIOR = posterior_of()

pytestmark = pytest.mark.usefixtures("uncompiled")


def assert_means(trajectory, posterior):
    """Means along a fit of ADVI with steps of constant size fluctuate about those of the posterior."""
    for series, mean in zip(np.ascontiguousarray(np.transpose(trajectory)), posterior.mean):
        assert abs(series.mean() - mean) < 4 * az.mcse(series, method="mean")


# -- minibatches --------------------------------------------------------------------------------------------


def minibatch_model(line, size=4):
    times, observed = (pm.Minibatch(values, size, random_seed=3) for values in (TIMES, OBSERVED))
    return model_of(line, times, observed, total_size=len(TIMES)), times, observed


@feature("`Minibatch` with `total_size`", quick="root", slow=OTHERS, against="the formula")
def test_density_of_a_minibatch_is_scaled_to_all_data(line):
    model, times, observed = minibatch_model(line)
    with theano.config.change_flags(compute_test_value="off"):
        gradient = theano.grad(model.logpt, model["ab"])
        function = theano.function([model["ab"]], [model.logpt, times, observed, gradient])
    seen = set()
    for _ in range(20):
        value, t, y, by_ab = function([0.3, -0.2])
        residuals = y - (0.3 - 0.2 * t)
        seen |= set(t.tolist())
        scale = len(TIMES) / len(t)
        expected = scipy.stats.norm.logpdf([0.3, -0.2]).sum() + scale * scipy.stats.norm.logpdf(residuals / SIGMA).sum()
        np.testing.assert_allclose(value, expected - len(TIMES) * np.log(SIGMA), rtol=1e-8)
        slopes = [-0.3 + scale * residuals.sum() / SIGMA**2, 0.2 + scale * (residuals * t).sum() / SIGMA**2]
        np.testing.assert_allclose(by_ab, slopes, rtol=1e-6)
    assert seen == set(TIMES.tolist())


@feature("`Minibatch` with `total_size`", slow=f"root {OTHERS}", against=EXACT)
def test_fit_to_minibatches_finds_the_posterior_mean_of_all_data(line):
    model, _, _ = minibatch_model(line)
    with model:
        inference = pm.ADVI(random_seed=1)
        tracker = pm.callbacks.Tracker(mean=inference.approx.mean.eval)
        optimiser = pm.sgd(learning_rate=2e-3)
        inference.fit(6000, obj_optimizer=optimiser, callbacks=[tracker], progressbar=False)
    assert_means(tracker["mean"][2000:], POSTERIOR)


# -- data that are swapped ----------------------------------------------------------------------------------


def swappable(line, container):
    """Model of the first data, and a function that puts others in their place."""
    if container == "theano.shared":
        times, observed = theano.shared(TIMES), theano.shared(OBSERVED)
        model = model_of(line, times, observed)

        def swap(new_times, new_observed):
            times.set_value(new_times)
            observed.set_value(new_observed)

        return model, swap
    with pm.Model() as model:
        times, observed = pm.Data("times", TIMES), pm.Data("observed", OBSERVED)
        coefficients = pm.Normal("ab", 0.0, 1.0, shape=2)
        mean = pm.Deterministic("mean", line(coefficients[0], coefficients[1], times))
        pm.Normal("y", mean, SIGMA, observed=observed)

    def set_data(new_times, new_observed):
        with model, theano.config.change_flags(compute_test_value="off"):
            pm.set_data({"times": new_times, "observed": new_observed})

    return model, set_data


def assert_fits_follow_the_data(line, container):
    model, swap = swappable(line, container)
    for times, observed in [(TIMES, OBSERVED), (LATER_TIMES, LATER_OBSERVED)]:
        swap(times, observed)
        exact = posterior_of(times, observed)
        with model, theano.config.change_flags(compute_test_value="off"):
            mode = pm.find_MAP(progressbar=False)
            inference = pm.ADVI(random_seed=1)
            inference.approx.shared_params["mu"].set_value(mode["ab"])
            tracker = pm.callbacks.Tracker(mean=inference.approx.mean.eval)
            optimiser = pm.sgd(learning_rate=1e-3)
            inference.fit(1500, obj_optimizer=optimiser, callbacks=[tracker], progressbar=False)
        np.testing.assert_allclose(mode["ab"], exact.mean, rtol=0, atol=1e-4 * exact.sd.min())
        assert_means(tracker["mean"][500:], exact)


@feature("`theano.shared` data swapped between fits, a new length too", quick="root", slow=OTHERS, against=EXACT)
def test_fits_follow_shared_variables(line):
    assert_fits_follow_the_data(line, "theano.shared")


@feature("`pm.Data` swapped between fits, a new length too", quick="ode", slow="root system integral", against=EXACT)
def test_fits_follow_set_data(line):
    assert_fits_follow_the_data(line, "pm.Data")


@feature("`pm.sample` again after the data were swapped", quick="root", slow=OTHERS, against=EXACT)
def test_samples_follow_the_data(line):
    model, swap = swappable(line, "theano.shared")
    for times, observed in [(TIMES, OBSERVED), (LATER_TIMES, LATER_OBSERVED)]:
        swap(times, observed)
        with model, theano.config.change_flags(compute_test_value="off"):
            trace = pm.sample(250, tune=250, chains=1, random_seed=1, **QUIET)
        posterior_of(times, observed).check(draws_of(trace))


# -- predictions --------------------------------------------------------------------------------------------


@feature("prior predictive", quick=f"root {OTHERS}", against=EXACT)
def test_prior_predictions_are_lines_with_noise(line):
    with model_of(line):
        prior = pm.sample_prior_predictive(400, random_seed=1)
    lines = lines_of(prior["ab"])
    np.testing.assert_allclose(prior["mean"], lines, rtol=0, atol=1e-7)
    noise = (prior["y"] - lines) / SIGMA
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size)
    assert abs(noise.var() - 1) < 4 * np.sqrt(2 / noise.size)


def points_of_the_posterior(n):
    """Independent draws from the exact posterior, as PyMC3 takes them in the place of a trace."""
    draws = np.random.default_rng(4).multivariate_normal(POSTERIOR.mean, POSTERIOR.covariance, n)
    return draws, [{"ab": draw} for draw in draws]


@pytest.mark.parametrize("name", ["sample_posterior_predictive", "fast_sample_posterior_predictive"])
@feature("posterior predictive, for new data too", quick="root", slow=OTHERS, against=EXACT)
def test_posterior_predictions_are_lines_with_noise(line, name):
    model, swap = swappable(line, "pm.Data")
    draws, points = points_of_the_posterior(300)
    for times, observed in [(TIMES, OBSERVED), (LATER_TIMES, LATER_OBSERVED)]:
        swap(times, observed)
        np.random.seed(5)  # noqa: NPY002  the seed that both functions leave alone where none is given
        options = {"progressbar": False} if name.startswith("sample") else {}
        with model, theano.config.change_flags(compute_test_value="off"):
            predicted = getattr(pm, name)(points, var_names=["mean", "y"], **options)
        lines = lines_of(draws, times)
        np.testing.assert_allclose(predicted["mean"].reshape(lines.shape), lines, rtol=0, atol=1e-7)
        noise = (predicted["y"].reshape(lines.shape) - lines) / SIGMA
        assert abs(noise.mean()) < 4 / np.sqrt(noise.size)
        assert abs(noise.var() - 1) < 4 * np.sqrt(2 / noise.size)


@feature("`InferenceData`, log-likelihood and summary", quick="root", slow=OTHERS, against=EXACT)
def test_inference_data_holds_the_solution_and_the_log_likelihood(line):
    options = {**QUIET, "return_inferencedata": True}
    with model_of(line):
        data = pm.sample(60, tune=20, step=pm.Metropolis(), chains=2, cores=1, random_seed=1, **options)
    lines = lines_of(data.posterior["ab"].values)
    np.testing.assert_allclose(data.posterior["mean"].values, lines, rtol=0, atol=1e-7)
    expected = scipy.stats.norm.logpdf(OBSERVED, lines, SIGMA)
    np.testing.assert_allclose(data.log_likelihood["y"].values, expected, rtol=0, atol=1e-5)
    summary = az.summary(data, var_names=["mean"], kind="stats", round_to="none")
    np.testing.assert_allclose(summary["mean"], lines.mean(axis=(0, 1)), rtol=1e-9)


# -- limits of PyMC3 and Theano that the guide names, each with its way out ---------------------------------


def test_scan_is_pure_python():
    assert sys.modules["theano.scan.scan_perform_ext"] is None


def test_sampling_leaves_test_values_demanded_which_our_nodes_do_not_need():
    with pm.Model():
        pm.Normal("z")
        pm.sample(2, tune=2, step=pm.Metropolis(), chains=1, **QUIET)
    assert theano.config.compute_test_value == "raise"
    v = tt.dvector()
    with pytest.raises(ValueError, match="Cannot compute test value"):
        tt.exp(v)
    x, p = sp.symbols("x p")
    iop.Root(x**3 - p, x, [p], bracket=(0, 1 + p))(v)
    with theano.config.change_flags(compute_test_value="off"):
        tt.exp(v)


def test_sampling_again_with_a_new_length_needs_the_test_values_off():
    # No node of ours: this is so in every model.
    times, observed = theano.shared(TIMES), theano.shared(OBSERVED)
    with pm.Model() as model:
        a, b = pm.Normal("a"), pm.Normal("b")
        pm.Normal("y", a + b * times, SIGMA, observed=observed)
    times.set_value(LATER_TIMES)
    observed.set_value(LATER_OBSERVED)
    options = {"tune": 5, "chains": 1, **QUIET}
    with model, pytest.raises(ValueError, match="shape"):
        pm.sample(5, **options)
    with model, theano.config.change_flags(compute_test_value="off"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that five draws are few
        pm.sample(5, **options)


def test_failed_solve_is_an_error_or_nan_for_optimisers():
    x, p = sp.symbols("x p")
    root = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))
    with pm.Model(), warnings.catch_warnings():
        warnings.simplefilter("ignore", iop.SolveWarning)
        q = pm.Normal("q", -0.2, 1.0)
        pm.Normal("y", root(q), 0.5, observed=0.5)
        with pytest.raises(FloatingPointError, match="NaN occurred in optimization"):
            pm.fit(200, method="advi", random_seed=1, progressbar=False)
        with pytest.raises(FloatingPointError, match="NaN occurred in optimization"):
            pm.SVGD(n_particles=4, random_seed=1).fit(10, progressbar=False)
        with pytest.raises(SamplingError, match=r"(?s)Initial evaluation.*y +NaN"):
            pm.find_MAP(progressbar=False)


@pytest.mark.filterwarnings("ignore:You are using experimental inference Operator:UserWarning")
def test_amortised_svgd_takes_its_seed_elsewhere():
    with pm.Model():
        pm.Normal("z")
        with pytest.raises(TypeError, match="random_seed"):
            pm.fit(2, method="asvgd", random_seed=1, progressbar=False)
