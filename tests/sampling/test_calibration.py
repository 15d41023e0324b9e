"""Simulation-based calibration of `sample`, and that its own tests see a wrong posterior and pass a right one."""

import dataclasses
from importlib import import_module

import numpy as np
import pytest
from sampling_backends import HAS_TENSORFLOW

pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")

#: Probability that a right sampler fails the test.
FALSE_ALARM_RATE = 1e-3


@pytest.fixture(scope="module")
def calibration():
    return import_module("calibration")


def results_of(calibration, shift=0.0, scale=1.0, replications=200):
    """Ranks for x ~ N(0, 1), y ~ N(x, 1), whose posterior is N(y / 2, 1 / 2), moved and widened."""
    rng = np.random.default_rng(5)
    truth = rng.normal(size=replications)
    data = rng.normal(truth)
    mean, sd = data / 2 + shift * np.sqrt(0.5), scale * np.sqrt(0.5)
    draws = rng.normal(mean, sd, size=(calibration.DRAWS, replications))
    ranks = {"x": (draws < truth).sum(axis=0)}
    return {("conjugate", "numpy"): calibration.Calibration(ranks, 0, 0.0)}


def test_a_right_posterior_passes(calibration):
    assert calibration.failures(results_of(calibration), FALSE_ALARM_RATE) == []


@pytest.mark.parametrize("wrong", [{"shift": 0.5}, {"scale": 0.6}, {"scale": 1.7}])
def test_a_wrong_posterior_is_named(calibration, wrong):
    (failure,) = calibration.failures(results_of(calibration, **wrong), FALSE_ALARM_RATE)
    assert "conjugate on numpy, x" in failure


def test_likelihood_sees_a_posterior_that_ignores_the_data(calibration):
    rng = np.random.default_rng(6)
    truth = rng.normal(size=200)
    data = rng.normal(truth)
    draws = rng.normal(size=(calibration.DRAWS, 200))  # the prior
    density = {"x": draws, "log likelihood": -((data - draws) ** 2)}
    true = {"x": truth, "log likelihood": -((data - truth) ** 2)}
    ranks = {name: (density[name] < true[name]).sum(axis=0) for name in true}
    results = {("conjugate", "prior"): calibration.Calibration(ranks, 0, 0.0)}
    (failure,) = calibration.failures(results, FALSE_ALARM_RATE)
    assert "log likelihood" in failure


@pytest.mark.parametrize(("n", "coverage"), [(100, 0.95), (200, 0.8)])
def test_band_holds_as_many_uniform_ranks_as_it_says(calibration, n, coverage):
    low, high = calibration.simultaneous_band(n, coverage)
    rng = np.random.default_rng(7)
    n_sets = 4000
    found = np.array([calibration.counts_below(rng.integers(0, calibration.DRAWS + 1, n)) for _ in range(n_sets)])
    inside = ((found >= low) & (found <= high)).all(axis=1).mean()
    error = np.sqrt(coverage * (1 - coverage) / n_sets)
    # Counts are whole numbers: the band is the narrowest that holds at least so many, a few per cent more.
    assert coverage - 4 * error < inside < coverage + 0.05


def test_bisection_finds_the_root_of_the_implicit_model(calibration):
    theta = np.array([0.0, 0.3, 2.0, 5.0])
    np.testing.assert_allclose(calibration.root(theta), calibration.mu_of(theta), rtol=1e-12)


@pytest.mark.slow
def test_sample_is_calibrated_on_both_backends(calibration):
    backends = ("theano", "tensorflow") if HAS_TENSORFLOW else ("theano",)
    results = calibration.run(backends, replications=200, seed=11)
    print(calibration.table(results))
    calibration.draw(results)
    assert calibration.FIGURE.stat().st_size > 10_000
    assert calibration.failures(results, FALSE_ALARM_RATE) == []


@pytest.mark.slow
def test_sample_of_a_model_with_the_wrong_noise_fails(calibration):
    simulation = calibration.SIMULATIONS["implicit node"]
    noisier = dataclasses.replace(simulation, noise_sd=2 * simulation.noise_sd)  # than the model supposes
    results = {("implicit node", "theano"): calibration.calibrate(noisier, "theano", 100, seed=12)}
    assert len(calibration.failures(results, FALSE_ALARM_RATE)) == 2
