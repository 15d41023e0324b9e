"""PyMC3's samplers, mode and Hessian on models with implicit nodes, against the Gaussian posterior in closed form."""

from __future__ import annotations

import logging

import numpy as np
import pytest

pm = pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")

import theano  # noqa: E402
import theano.tensor as tt  # noqa: E402
from pymc3_models import (  # noqa: E402
    LINES,
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

from implicitops.backends.theano.op import SymbolicOperation  # noqa: E402

POSTERIOR = posterior_of()
EXACT = "closed form"
OTHERS = "system ode integral"

pytestmark = pytest.mark.usefixtures("uncompiled")


def assert_on_the_line(trace):
    """The Deterministic that comes through the problem is that of the draws."""
    np.testing.assert_allclose(trace["mean"], lines_of(trace["ab"]), rtol=0, atol=1e-7)


def check_step_method(method, line, draws, tune):
    """One chain of a step method samples the posterior."""
    with model_of(line):
        trace = pm.sample(draws, tune=tune, step=method(), chains=1, random_seed=1, **QUIET)
    POSTERIOR.check(draws_of(trace))
    assert_on_the_line(trace)


@pytest.mark.parametrize("line", LINES.values(), ids=repr)
def test_density_and_gradient_are_those_of_the_closed_form(line):
    function = model_of(line).logp_dlogp_function()
    function.set_extra_values({})
    points = np.random.default_rng(0).multivariate_normal(POSTERIOR.mean, 4 * POSTERIOR.covariance, 5)
    for point in points:
        value, gradient = function(point)
        difference = point - POSTERIOR.mean
        log_density = -0.5 * difference @ POSTERIOR.precision @ difference
        log_density -= 0.5 * np.linalg.slogdet(2 * np.pi * POSTERIOR.covariance)[1]
        np.testing.assert_allclose(value, log_density + POSTERIOR.log_evidence, rtol=1e-7)
        np.testing.assert_allclose(gradient, -POSTERIOR.precision @ difference, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("line", LINES.values(), ids=repr)
def test_nothing_is_solved_where_only_the_shape_is_asked_for(line):
    intercept, slope, times = tt.dscalar(), tt.dscalar(), tt.dvector()
    function = theano.function([intercept, slope, times], line(intercept, slope, times).shape, on_unused_input="ignore")
    assert not any(isinstance(node.op, SymbolicOperation) for node in function.maker.fgraph.toposort())
    assert function(0.1, 0.2, TIMES).tolist() == [len(TIMES)]


@feature("NUTS, chosen by `pm.sample`", quick="root", slow=OTHERS, against=EXACT)
def test_nuts_is_chosen_and_samples_the_posterior(line):
    with model_of(line):
        trace = pm.sample(500, tune=300, chains=2, cores=1, random_seed=1, **QUIET)
    assert {"tree_size", "diverging"} <= trace.stat_names
    POSTERIOR.check(draws_of(trace))
    assert_on_the_line(trace)


@feature("several chains in forked processes", quick="root", slow=OTHERS, against=f"{EXACT}, one process")
def test_forked_processes_give_what_one_gives(line):
    with model_of(line):
        options = {"chains": 2, "random_seed": [1, 2], **QUIET}
        here, there = (pm.sample(100, tune=200, cores=n, mp_ctx="fork", **options) for n in (1, 2))
    np.testing.assert_array_equal(draws_of(there), draws_of(here))
    POSTERIOR.check(draws_of(there))
    assert_on_the_line(there)


@feature("several chains in spawned processes", slow=f"root {OTHERS}", against=EXACT)
def test_spawned_processes_sample_the_posterior(line):
    with model_of(line):
        trace = pm.sample(400, tune=300, chains=2, cores=2, mp_ctx="spawn", random_seed=[1, 2], **QUIET)
    POSTERIOR.check(draws_of(trace))
    assert_on_the_line(trace)
    assert trace.nchains == 2


@feature("`HamiltonianMC`", quick="root", slow=OTHERS, against=EXACT)
def test_hamiltonian_monte_carlo_samples_the_posterior(line):
    check_step_method(pm.HamiltonianMC, line, 500, tune=300)


@feature("`Metropolis`", quick="root", slow=OTHERS, against=EXACT)
def test_metropolis_samples_the_posterior(line):
    check_step_method(pm.Metropolis, line, 2000, tune=1000)


@feature("`Slice`", quick="root", slow=OTHERS, against=EXACT)
def test_slice_samples_the_posterior(line):
    check_step_method(pm.Slice, line, 500, tune=300)


@feature("`DEMetropolisZ`", quick="root", slow=OTHERS, against=EXACT)
def test_differential_evolution_samples_the_posterior(line):
    check_step_method(pm.DEMetropolisZ, line, 2000, tune=1000)


@feature("two step methods in one model", slow=f"root {OTHERS}", against=EXACT)
def test_step_methods_combine(line):
    with pm.Model():
        a, b = pm.Normal("a", 0.0, 1.0), pm.Normal("b", 0.0, 1.0)
        pm.Normal("y", line(a, b, TIMES), SIGMA, observed=OBSERVED)
        trace = pm.sample(1000, tune=500, step=[pm.NUTS([a]), pm.Slice([b])], chains=1, random_seed=1, **QUIET)
    POSTERIOR.check(np.stack([trace["a"], trace["b"]], axis=-1)[None])


@feature("NUTS that ADVI initialises", slow=f"root {OTHERS}", against=EXACT)
def test_nuts_after_advi_samples_the_posterior(line):
    with model_of(line):
        trace = pm.sample(500, tune=300, init="advi+adapt_diag", n_init=2000, chains=1, random_seed=1, **QUIET)
    POSTERIOR.check(draws_of(trace))


@feature("SMC and its evidence", quick="root", slow=OTHERS, against=EXACT)
def test_sequential_monte_carlo_finds_posterior_and_evidence(line):
    logging.getLogger("pymc3").setLevel(logging.WARNING)  # it prints each stage
    with model_of(line):
        trace = pm.sample_smc(300, chains=1, random_seed=1)
    # Draws that share an ancestor before the last stage's 25 Metropolis steps count for less.
    POSTERIOR.check(draws_of(trace), errors=5.0)
    evidence = np.array(trace.report.log_marginal_likelihood, dtype=float)
    # Each stage keeps half of the particles, so that its factor has a relative variance of 1 / 300; four stages.
    np.testing.assert_allclose(evidence, POSTERIOR.log_evidence, rtol=0, atol=4 * np.sqrt(4 / 300))


@feature("`find_MAP`", quick=f"root {OTHERS}", against=EXACT)
def test_mode_is_the_posterior_mean(line):
    with model_of(line):
        point = pm.find_MAP(progressbar=False)
    np.testing.assert_allclose(point["ab"], POSTERIOR.mean, rtol=0, atol=1e-4 * POSTERIOR.sd.min())
    np.testing.assert_allclose(point["mean"], lines_of(point["ab"]), rtol=0, atol=1e-7)


@feature("`find_hessian`", quick="root", slow=OTHERS, against=EXACT)
def test_hessian_is_the_precision(line):
    with model_of(line):
        hessian = pm.find_hessian({"ab": np.array([0.3, -0.2])})
    np.testing.assert_allclose(hessian, POSTERIOR.precision, rtol=1e-5)


@feature("a vector of parameters: hierarchical models", quick=f"root {OTHERS}", against=EXACT)
def test_groups_of_parameters_have_the_densities_of_their_own(line):
    points = np.random.default_rng(3).standard_normal((3, 2))
    with pm.Model() as model:
        intercepts, slopes = pm.Normal("a", 0.0, 1.0, shape=(3, 1)), pm.Normal("b", 0.0, 1.0, shape=(3, 1))
        if line.kind == "ode":  # one set of times for each subject
            mean = line(intercepts[:, 0], slopes[:, 0], np.tile(TIMES, (3, 1)))
        else:
            mean = line(intercepts, slopes, TIMES)
        pm.Normal("y", mean, SIGMA, observed=np.tile(OBSERVED, (3, 1)))
    function = model.logp_dlogp_function()
    function.set_extra_values({})
    at = {"a": points[:, :1], "b": points[:, 1:]}
    value, gradient = function(function.dict_to_array(at))
    differences = points - POSTERIOR.mean
    constant = POSTERIOR.log_evidence - 0.5 * np.linalg.slogdet(2 * np.pi * POSTERIOR.covariance)[1]
    squares = np.einsum("ni,ij,nj->", differences, POSTERIOR.precision, differences)
    np.testing.assert_allclose(value, 3 * constant - squares / 2, rtol=1e-7)
    named = function.array_to_full_dict(gradient)
    slopes = -differences @ POSTERIOR.precision
    np.testing.assert_allclose(np.hstack([named["a"], named["b"]]), slopes, rtol=1e-6, atol=1e-5)
