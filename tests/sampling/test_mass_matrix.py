"""The mass matrix of NUTS and HMC: what the warm-up makes of its draws, and what it is worth."""

from __future__ import annotations

import numpy as np
import pytest
from sampling_backends import BACKENDS, needs_tensorflow

from implicitops.errors import ArgumentError
from implicitops.sampling import sample
from implicitops.sampling.warmup import posterior_covariance, posterior_variance, windows

pm = pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")
import arviz as az  # noqa: E402

pytestmark = pytest.mark.usefixtures("uncompiled")

#: Correlations of 0.98 and of -0.6, scales of three orders of magnitude.
SCALE = np.array([0.1, 1.0, 10.0])
COVARIANCE = np.array([[1.0, 0.98, 0.0], [0.98, 1.0, -0.1], [0.0, -0.1, 1.0]]) * np.outer(SCALE, SCALE)


def normal_draws(n, chains, size=3, seed=1):
    factor = np.linalg.cholesky(COVARIANCE)[:size, :size]
    return np.random.default_rng(seed).standard_normal((n, chains, size)) @ factor.T


def correlations(covariance):
    scale = np.sqrt(np.diag(covariance))
    return covariance / np.outer(scale, scale)


def test_windows_are_those_of_stan():
    # CmdStan prints these for num_warmup=1000, 150 and 20.
    assert [w.length for w in windows(1000)] == [75, 25, 50, 100, 200, 500, 50]
    assert [w.length for w in windows(150)] == [75, 25, 50]
    assert [w.length for w in windows(20)] == [3, 15, 2]
    assert [w.is_slow for w in windows(1000)] == [False] + 5 * [True] + [False]
    assert all(sum(w.length for w in windows(n)) == n for n in range(1200))


def test_variance_is_regularised_and_taken_within_chains():
    draws = np.random.default_rng(1).normal(0, [1.0, 3.0], (5000, 4, 2)) + 100 * np.arange(4)[:, None]
    np.testing.assert_allclose(posterior_variance(draws), [1.0, 9.0], rtol=0.05)
    np.testing.assert_allclose(posterior_variance(np.zeros((1, 1, 2))), 5e-3 / 6)


def test_covariance_is_that_of_the_draws():
    draws = normal_draws(5000, 4)
    found = posterior_covariance(draws)
    np.testing.assert_allclose(np.diag(found), posterior_variance(draws), rtol=1e-14)
    # Of 20 000 independent draws: four standard errors, and the pull towards zero.
    np.testing.assert_allclose(correlations(found), correlations(COVARIANCE), atol=4 / np.sqrt(20_000) + 5 / 20_000)


def test_covariance_is_diagonal_while_it_cannot_be_known():
    few = normal_draws(7, 4)  # 28 draws of three variables
    apart = normal_draws(500, 4) + np.array([0.0, 0.0, 0.0, 20.0])[:, None]
    stuck = np.concatenate([normal_draws(500, 4)[..., :2], np.zeros((500, 4, 1))], axis=-1)
    for draws in (few, apart, stuck):
        np.testing.assert_array_equal(posterior_covariance(draws), np.diag(posterior_variance(draws)))


def test_one_chain_is_enough_where_its_halves_agree():
    draws = normal_draws(2000, 1)
    assert np.count_nonzero(posterior_covariance(draws)) == 9
    drifting = draws + np.linspace(0, 10, 2000)[:, None, None] * SCALE
    assert np.count_nonzero(posterior_covariance(drifting)) == 3


def test_chain_that_comes_late_costs_the_first_half_only():
    draws = normal_draws(1000, 4)
    draws[:300, 2] += np.linspace(50, 0, 300)[:, None]
    np.testing.assert_array_equal(posterior_covariance(draws), posterior_covariance(draws[500:]))
    assert np.count_nonzero(posterior_covariance(draws)) == 9


def test_covariance_of_dependent_variables_is_positive_definite():
    draws = normal_draws(500, 4, size=2)
    doubled = np.concatenate([draws, 1e6 * draws[..., :1]], axis=-1)
    found = posterior_covariance(doubled)
    np.linalg.cholesky(found)
    assert correlations(found)[0, 2] > 0.99


def correlated_model():
    with pm.Model() as model:
        pm.MvNormal("x", np.zeros(3), COVARIANCE, shape=3)
    return model


@needs_tensorflow
@pytest.mark.parametrize("step", ["nuts", "hmc"])
def test_dense_mass_matrix_takes_longer_steps_and_samples_the_same_posterior(step):
    options = {
        "draws": 1500,
        "tune": 600,
        "step": step,
        "random_seed": 2,
        "progressbar": False,
        "backend": "tensorflow",
    }
    dense, diagonal = (sample(model=correlated_model(), mass_matrix=m, **options) for m in (None, "diagonal"))
    assert dense.posterior.attrs["mass_matrix"] == "dense"
    assert diagonal.posterior.attrs["mass_matrix"] == "diagonal"
    assert float(dense.sample_stats["step_size"].mean()) > 2 * float(diagonal.sample_stats["step_size"].mean())
    if step == "nuts":
        assert float(dense.sample_stats["n_steps"].mean()) < float(diagonal.sample_stats["n_steps"].mean()) / 2
    draws = dense.posterior["x"].values / SCALE
    for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2)):
        products = draws[..., i] * draws[..., j]
        error = abs(products.mean() - COVARIANCE[i, j] / (SCALE[i] * SCALE[j]))
        assert error < 4.5 * az.mcse(np.ascontiguousarray(products), method="mean")


def test_theano_has_a_dense_mass_matrix_too():
    options = {"draws": 300, "tune": 600, "chains": 2, "cores": 1, "random_seed": 2, "progressbar": False}
    found = sample(model=correlated_model(), backend="theano", mass_matrix="dense", **options)
    assert found.posterior.attrs["mass_matrix"] == "dense"
    assert float(found.sample_stats["n_steps"].mean()) < 8  # 20 to 30 with a diagonal one
    draws = found.posterior["x"].values / SCALE
    squares = np.ascontiguousarray((draws**2).sum(axis=-1))
    assert abs(squares.mean() - 3) < 4.5 * az.mcse(squares, method="mean")


@pytest.mark.parametrize("backend", BACKENDS)
def test_mass_matrix_of_metropolis_is_an_error(backend):
    with pytest.raises(ArgumentError, match="mass_matrix='dense' is for NUTS and HMC; Metropolis has none"):
        sample(backend=backend, model=correlated_model(), step="metropolis", mass_matrix="dense")


@pytest.mark.parametrize("backend", BACKENDS)
def test_unknown_mass_matrix_is_an_error(backend):
    expected = r"mass_matrix must be one of 'diagonal', 'dense', or None.*; got 'dens'\. Did you mean 'dense'"
    with pytest.raises(ArgumentError, match=expected):
        sample(backend=backend, model=correlated_model(), mass_matrix="dens")


@needs_tensorflow
@pytest.mark.parametrize("step_size", [0.42, 0.86, 1.5])
def test_trees_of_a_normal_posterior_turn_back_whatever_the_step_size(step_size):
    import tensorflow as tf

    from implicitops.sampling.hamiltonian import Adaptation, HamiltonianChains, HamiltonianState

    size, n = 20, 500
    chains = HamiltonianChains(
        lambda x, shared: -tf.reduce_sum(x**2, axis=-1) / 2, "nuts", "float64", capacity=n, target_accept=0.8,
        max_treedepth=10, path_length=1.0,
    )  # fmt: skip
    start = np.random.default_rng(1).standard_normal((4, size))
    state = HamiltonianState(start, Adaptation(step_size))
    draws, statistics, _ = chains.advance(state, np.ones(size), n, (1, 2), 0, [])
    # Trees of TensorFlow Probability alone take 100 to 1000 steps here.
    assert statistics["n_steps"].max() <= 15
    assert (statistics["step_size"] <= step_size).all()
    squares = np.ascontiguousarray((draws**2).sum(axis=-1).T)
    assert abs(squares.mean() - size) < 4.5 * az.mcse(squares, method="mean")
