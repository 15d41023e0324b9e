"""PyMC3's variational methods on models with implicit nodes, whose best approximations are known in closed form.

The posterior is Gaussian with precision P. The evidence lower bound is then the log evidence for a full-rank
approximation, and that less the divergence of independent Gaussians of variances 1 / P_ii for a mean-field one.
"""

from __future__ import annotations

import arviz as az
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

pm = pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")

import theano  # noqa: E402
import theano.tensor as tt  # noqa: E402
from pymc3_models import (  # noqa: E402
    EXPLICIT,
    LATER_TIMES,
    QUIET,
    TIMES,
    draws_of,
    feature,
    lines_of,
    model_of,
    posterior_of,
)

POSTERIOR = posterior_of()
FIT = {"random_seed": 1, "progressbar": False}
OTHERS = "system ode integral"
EXACT, TWIN = "closed form", "the explicit model"

pytestmark = pytest.mark.usefixtures("uncompiled")


def assert_mean(trajectory, expected, error=0.0):
    """The mean of a correlated series is right, within its Monte Carlo error and an error that is allowed besides."""
    trajectory = np.ascontiguousarray(trajectory)
    assert abs(trajectory.mean() - expected) < 4 * az.mcse(trajectory, method="mean") + error


def check_fit(line, method, divergence, optimiser, tracked=("mean", "cov"), steps=3000, allowed=0.03):
    """Fits, and compares the lower bound with the best that the family can reach; returns what was tracked, by name.

    A bound that is too low by 0.03 is one whose mean is off by a quarter of a standard deviation in one direction.
    """
    with model_of(line):
        inference = method(random_seed=1)
        approximation = inference.approx
        tracker = pm.callbacks.Tracker(**{name: getattr(approximation, name).eval for name in tracked})
        inference.fit(steps, obj_optimizer=optimiser, callbacks=[tracker], progressbar=False)
    losses = inference.hist[steps // 3 :]
    excess = losses.mean() - (divergence - POSTERIOR.log_evidence)
    error = 4 * az.mcse(np.ascontiguousarray(losses), method="mean")
    assert -error < excess < allowed + error
    return approximation, {name: np.array(tracker[name][steps // 3 :]) for name in tracked}


@feature("ADVI", quick="root", slow=OTHERS, against=EXACT)
def test_mean_field_has_the_means_and_the_conditional_deviations(line):
    precision = POSTERIOR.precision
    divergence = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
    _, tracked = check_fit(line, pm.ADVI, divergence, pm.sgd(learning_rate=5e-4))
    for k in range(2):
        assert_mean(tracked["mean"][:, k], POSTERIOR.mean[k])
        sd = 1 / np.sqrt(precision[k, k])
        # Steps of this size make the scale fluctuate, and its mean differ by a few per cent of itself.
        assert_mean(np.sqrt(tracked["cov"][:, k, k]), sd, 0.03 * sd)


@feature("full-rank ADVI", quick="root", slow=OTHERS, against=EXACT)
def test_full_rank_is_the_posterior(line):
    _, tracked = check_fit(line, pm.FullRankADVI, 0.0, pm.sgd(learning_rate=5e-4))
    sd = POSTERIOR.sd
    for i in range(2):
        assert_mean(tracked["mean"][:, i], POSTERIOR.mean[i])
        for j in range(2):
            assert_mean(tracked["cov"][:, i, j], POSTERIOR.covariance[i, j], 0.06 * sd[i] * sd[j])


@feature("NFVI", quick="root", slow=OTHERS, against=EXACT)
def test_normalising_flow_reaches_the_evidence(line):
    def method(**options):
        np.random.seed(1)  # noqa: NPY002  where flows get their first parameters from
        return pm.NFVI("scale-hh-loc", **options)  # a Gaussian of any covariance

    approximation, _ = check_fit(line, method, 0.0, pm.adam(learning_rate=1e-3), tracked=(), steps=8000, allowed=0.05)
    trace = approximation.sample(1000)
    # A divergence of 0.05 allows a shift of sqrt(2 * 0.05) standard deviations.
    allowed = (np.sqrt(0.1) + 4 / np.sqrt(1000)) * POSTERIOR.sd
    assert (abs(trace["ab"].mean(axis=0) - POSTERIOR.mean) < allowed).all()


def particles(line, steps, n_particles):
    with model_of(line):
        np.random.seed(1)  # noqa: NPY002  where SVGD gets its first particles from
        inference = pm.SVGD(n_particles=n_particles, random_seed=1)
        approximation = inference.fit(steps, obj_optimizer=pm.adam(learning_rate=0.05), progressbar=False)
    return approximation.shared_params["histogram"].get_value()


@feature("SVGD", quick="root", slow=OTHERS, against=TWIN)
def test_particles_move_as_those_of_the_explicit_model(line):
    moved, expected = (particles(model, 25, 8) for model in (line, EXPLICIT))
    np.testing.assert_allclose(moved, expected, rtol=0, atol=1e-6)
    assert np.ptp(moved, axis=0).min() > 0.1


@feature("SVGD", slow=f"root {OTHERS}", against=EXACT)
def test_particles_spread_over_the_posterior(line):
    moved = particles(line, 300, 20)
    # Twenty particles stand for the distribution in mean and width to about these parts of its deviation.
    assert (abs(moved.mean(axis=0) - POSTERIOR.mean) < 0.15 * POSTERIOR.sd).all()
    np.testing.assert_allclose(moved.std(axis=0), POSTERIOR.sd, rtol=0.25)


@pytest.mark.filterwarnings("ignore:You are using experimental inference Operator:UserWarning")
@feature("ASVGD", quick="root", slow=OTHERS, against=TWIN)
def test_amortised_particles_are_those_of_the_explicit_model(line):
    def parameters(model):
        with model_of(model):
            pm.set_tt_rng(1)  # ASVGD takes no seed of its own
            approximation = pm.fit(
                10, method="asvgd", obj_n_mc=5, obj_optimizer=pm.adam(learning_rate=0.05), progressbar=False
            )
        return {name: value.get_value() for name, value in approximation.shared_params.items()}

    fitted, expected = parameters(line), parameters(EXPLICIT)
    for name, values in expected.items():
        np.testing.assert_allclose(fitted[name], values, rtol=0, atol=1e-6)
    assert abs(fitted["mu"]).min() > 0.01


@feature("`Tracker`, `CheckParametersConvergence`", quick="root", slow=OTHERS, against=TWIN)
def test_callbacks_see_what_they_see_in_the_explicit_model(line):
    def fitted(model):
        with model_of(model):
            inference = pm.ADVI(random_seed=1)
            tracker = pm.callbacks.Tracker(mean=inference.approx.mean.eval, loss=lambda _, losses, i: losses[-1])
            convergence = pm.callbacks.CheckParametersConvergence(every=50, tolerance=0.1, diff="absolute")
            inference.fit(
                2000,
                obj_optimizer=pm.sgd(learning_rate=2e-3),
                callbacks=[tracker, convergence],
                progressbar=False,
            )
        return np.array(tracker["mean"]), np.array(tracker["loss"])

    (means, losses), (expected_means, expected_losses) = fitted(line), fitted(EXPLICIT)
    assert 50 < len(losses) < 2000
    assert len(losses) == len(expected_losses)
    np.testing.assert_allclose(means, expected_means, rtol=0, atol=1e-6)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)


def exact_approximation(model):
    """Full-rank approximation whose parameters are those of the exact posterior, without a fit."""
    with model:
        approximation = pm.FullRank()
    factor = np.linalg.cholesky(POSTERIOR.covariance)
    approximation.shared_params["mu"].set_value(POSTERIOR.mean)
    approximation.shared_params["L_tril"].set_value(factor[np.tril_indices(2)])
    return approximation


@feature("`sample_node`, integer and symbolic size", quick="root", slow=OTHERS, against=EXACT)
def test_sampled_node_has_the_distribution_of_the_line(line):
    model = model_of(line)
    approximation = exact_approximation(model)
    size = tt.iscalar("size")
    with theano.config.change_flags(compute_test_value="off"):
        fixed = approximation.sample_node(model["mean"], size=400).eval()
        function = theano.function([size], approximation.sample_node(model["mean"], size=size))
    design = np.stack([np.ones_like(TIMES), TIMES], axis=1)
    mean, covariance = design @ POSTERIOR.mean, design @ POSTERIOR.covariance @ design.T
    for draws in (fixed, function(401)[:-1]):
        assert draws.shape == (400, len(TIMES))
        z = (draws - mean) / np.sqrt(np.diag(covariance))
        assert abs(z.mean(axis=0)).max() < 4 / np.sqrt(400)
        assert abs(z.var(axis=0) - 1).max() < 4 * np.sqrt(2 / 400)
        # Each draw is a straight line.
        np.testing.assert_allclose(np.diff(draws, 2), 0, rtol=0, atol=1e-7)
    assert [len(function(n)) for n in (1, 7)] == [1, 7]


@feature("`sample_node`, `deterministic`, `more_replacements`", quick="root", slow=OTHERS, against=EXACT)
def test_sampled_node_takes_other_data_and_the_mean(line):
    times = theano.shared(TIMES)
    model = model_of(line, times)
    approximation = exact_approximation(model)
    other = tt.dvector("other")
    with theano.config.change_flags(compute_test_value="off"):
        function = theano.function(
            [other],
            approximation.sample_node(model["mean"], deterministic=True, more_replacements={times: other}),
        )
        batch = approximation.sample_node(model["mean"], size=3, more_replacements={times: tt.constant(LATER_TIMES)})
    for at in (TIMES, LATER_TIMES):
        np.testing.assert_allclose(function(at), lines_of(POSTERIOR.mean, at), rtol=0, atol=1e-7)
    rows = batch.eval()
    assert rows.shape == (3, len(LATER_TIMES))
    slopes = (rows[:, -1] - rows[:, 0]) / np.ptp(LATER_TIMES)
    np.testing.assert_allclose(rows - rows[:, :1], slopes[:, None] * (LATER_TIMES - LATER_TIMES[0]), rtol=0, atol=1e-7)
    assert np.ptp(slopes) > 0.01


@feature("`Empirical` of a trace", quick="root", slow=OTHERS, against="the trace")
def test_empirical_draws_nodes_from_the_trace(line):
    model = model_of(line)
    with model:
        trace = pm.sample(40, tune=20, step=pm.Metropolis(), chains=2, cores=1, random_seed=1, **QUIET)
        approximation = pm.Empirical(trace)
    theano.config.compute_test_value = "off"
    rows = approximation.sample_node(model["mean"], size=50).eval()
    lines = lines_of(draws_of(trace).reshape(-1, 2))
    nearest = abs(rows[:, None] - lines).max(axis=-1)
    assert nearest.min(axis=1).max() < 1e-7
    assert len(set(nearest.argmin(axis=1))) > 5
    np.testing.assert_allclose(approximation.evaluate_over_trace(model["mean"]).eval(), lines, rtol=0, atol=1e-7)


# -- two modes ----------------------------------------------------------------------------------------------


def squares_of(line):
    """b ~ Normal(0.1, 1); what is observed is the square of the line's rise, twice."""
    with pm.Model() as model:
        slope = pm.Normal("b", 0.1, 1.0)
        rise = pm.Deterministic("rise", line(np.array(0.0), slope, np.array([1.0])))
        pm.Normal("y", rise**2, 0.5, observed=np.array([1.9, 2.3]))
    return model


def exact_modes():
    """Probability of b > 0, and means and deviations to the left and to the right of zero, by quadrature."""

    def density(b):
        likelihood = scipy.stats.norm.pdf(b**2, 1.9, 0.5) * scipy.stats.norm.pdf(b**2, 2.3, 0.5)
        return scipy.stats.norm.pdf(b, 0.1, 1.0) * likelihood

    def moment(k, lower, upper):
        return scipy.integrate.quad(lambda b: b**k * density(b), lower, upper, epsabs=0, epsrel=1e-10)[0]

    left, right = ([moment(k, *limits) for k in range(3)] for limits in ((-5, 0), (0, 5)))
    means, sds = zip(*[(m[1] / m[0], np.sqrt(m[2] / m[0] - (m[1] / m[0]) ** 2)) for m in (left, right)])
    return right[0] / (left[0] + right[0]), means, sds


def test_quadrature_finds_two_modes():
    weight, means, sds = exact_modes()
    assert 0.5 < weight < 0.65
    np.testing.assert_allclose(means, [-1.42, 1.42], atol=0.05)
    assert max(sds) < 0.2


@feature("two modes: ADVI finds one", quick="root", slow=OTHERS, against="quadrature")
def test_advi_finds_one_of_two_modes(line):
    with squares_of(line):
        approximation = pm.fit(3000, method="advi", obj_optimizer=pm.adam(learning_rate=0.02), **FIT)
    draws = approximation.sample(1000)["b"]
    _, means, sds = exact_modes()
    mode = int(draws.mean() > 0)
    assert ((draws > 0) == mode).all()
    assert abs(draws.mean() - means[mode]) < sds[mode] / 3
    np.testing.assert_allclose(draws.std(), sds[mode], rtol=0.25)


@feature("two modes: SVGD covers both", quick="root", slow=OTHERS, against="quadrature")
def test_svgd_covers_both_modes(line):
    with squares_of(line):
        np.random.seed(1)  # noqa: NPY002  where SVGD gets its first particles from
        inference = pm.SVGD(n_particles=20, random_seed=1)
        approximation = inference.fit(150, obj_optimizer=pm.adam(learning_rate=0.05), progressbar=False)
    found = approximation.shared_params["histogram"].get_value()[:, 0]
    weight, means, sds = exact_modes()
    # Particles hardly cross between modes: how many are in each is as random as their start.
    assert abs((found > 0).mean() - weight) < 4 * np.sqrt(0.25 / len(found))
    for side, mean, sd in zip((found[found < 0], found[found > 0]), means, sds):
        assert len(side) >= 5
        assert abs(side.mean() - mean) < sd / 2
        np.testing.assert_allclose(side.std(), sd, rtol=0.5)
