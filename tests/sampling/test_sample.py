"""sample: the right posterior, and everything that PyMC3 says about it, on either backend and with every step."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import scipy.special
import scipy.stats
import sympy as sp
from sampling_backends import BACKENDS, needs_tensorflow

import implicitops as iop
from implicitops.sampling import sample
from implicitops.sampling.choice_of_backend import VARIABLE
from implicitops.sampling.metropolis import tuned

pm = pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")
import arviz as az  # noqa: E402
from pymc3.step_methods.metropolis import tune as pymc3_tune  # noqa: E402

pytestmark = pytest.mark.usefixtures("uncompiled")

x, p = sp.symbols("x p")
cube_root = iop.Root(x**3 - p, x, [p], bracket=(0, 1 + p))
OBSERVED = np.array([3, 5, 4])


def conjugate_model():
    """Two rates with a gamma prior and Poisson counts: the posterior of each is a gamma distribution."""
    with pm.Model(coords={"site": ["north", "south"]}) as model:
        rate = pm.Gamma("rate", 2.0, 1.0, dims="site")
        pm.Deterministic("root", cube_root(rate), dims="site")
        scale = pm.Data("scale", 1.0)
        pm.Poisson("count", scale * rate[0], observed=OBSERVED)
        pm.Poisson("other", scale * rate[1], observed=2 * OBSERVED)
    return model


POSTERIOR = [scipy.stats.gamma(2 + OBSERVED.sum(), scale=1 / 4), scipy.stats.gamma(2 + 2 * OBSERVED.sum(), scale=1 / 4)]


def check_posterior(found):
    rate = found.posterior["rate"].values
    for k, exact in enumerate(POSTERIOR):
        draws = np.ascontiguousarray(rate[..., k])
        assert abs(draws.mean() - exact.mean()) < 4.5 * az.mcse(draws, method="mean")
        squares = (draws - exact.mean()) ** 2
        assert abs(squares.mean() - exact.var()) < 4.5 * az.mcse(squares, method="mean")
    np.testing.assert_allclose(found.posterior["root"].values, np.cbrt(rate), rtol=1e-12)


@needs_tensorflow
@pytest.mark.parametrize(("step", "draws"), [("nuts", 2000), ("hmc", 2000), ("metropolis", 10_000)])
def test_tensorflow_samples_the_exact_posterior(step, draws):
    options = {"draws": draws, "tune": 1000, "step": step, "random_seed": 4, "progressbar": False}
    found = sample(backend="tensorflow", model=conjugate_model(), **options)
    check_posterior(found)
    assert float(az.rhat(found)["rate"].max()) < 1.02


@pytest.mark.parametrize(("step", "draws"), [("nuts", 150), ("hmc", 150), ("metropolis", 500)])
def test_theano_samples_the_exact_posterior(step, draws):
    options = {"draws": draws, "tune": 200, "chains": 2, "cores": 1, "random_seed": 4, "progressbar": False}
    found = sample(backend="theano", model=conjugate_model(), step=step, **options)
    check_posterior(found)
    assert 0.05 < float(found.sample_stats["acceptance_rate"].mean()) < 1
    assert found.sample_stats["acceptance_rate"].dims == ("chain", "draw")


@pytest.mark.parametrize("backend", BACKENDS)
def test_inference_data_has_the_groups_names_dims_and_attributes(backend, tmp_path):
    model = conjugate_model()
    options = {"draws": 40, "tune": 30, "chains": 2, "cores": 1, "random_seed": [1, 2], "progressbar": False}
    found = sample(backend=backend, model=model, keep_warmup=True, log_likelihood=True, **options)
    assert set(found.posterior.data_vars) == {"rate", "root"}
    assert found.posterior["rate"].dims == ("chain", "draw", "site")
    assert found.posterior["root"].dims == ("chain", "draw", "site")
    assert found.posterior["site"].values.tolist() == ["north", "south"]
    assert found.posterior["rate"].shape == (2, 40, 2)
    assert found.warmup_posterior["rate"].shape == (2, 30, 2)
    assert found.observed_data["count"].values.tolist() == OBSERVED.tolist()
    assert float(found.constant_data["scale"]) == 1.0
    rate = found.posterior["rate"].values
    expected = scipy.stats.poisson.logpmf(OBSERVED, rate[..., :1])
    np.testing.assert_allclose(found.log_likelihood["count"].values, expected, rtol=1e-10)
    statistics = found.sample_stats
    names = {"lp", "energy", "acceptance_rate", "diverging", "n_steps", "tree_depth", "step_size"}
    assert names <= set(statistics.data_vars)
    assert statistics["diverging"].dtype == bool
    # lp is the density of the transformed variables, up to the constant that the observations contribute.
    exact = sum(d.logpdf(rate[..., k]) + np.log(rate[..., k]) for k, d in enumerate(POSTERIOR))
    np.testing.assert_allclose(np.ptp(statistics["lp"].values - exact), 0, atol=1e-9)
    about = found.posterior.attrs
    assert (about["sampler"], about["backend"], about["tuning_steps"]) == ("NUTS", backend, 30)
    assert about["compile_time"] > 0
    assert about["sampling_time"] > 0
    assert about["implicitops_version"] == iop.__version__
    assert about["failed_solves"] == 0
    found.to_netcdf(str(tmp_path / "draws.nc"))
    assert az.from_netcdf(str(tmp_path / "draws.nc")).posterior.attrs["backend"] == backend


@needs_tensorflow
def test_equal_seeds_give_equal_draws_and_chains_differ(monkeypatch):
    monkeypatch.setenv(VARIABLE, "tensorflow")
    with pm.Model():
        pm.Normal("m", 0, 1)
        first, again = (sample(50, tune=100, random_seed=1, progressbar=False).posterior["m"].values for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first[:, 0])) == 4
    assert len(np.unique(first)) > 100


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_drawn_is_returned_after_an_interrupt(backend, monkeypatch, interrupt_after, caplog):
    with pm.Model() as model:
        pm.Normal("m", 0, 1)
    options = {"draws": 5000, "tune": 200, "random_seed": 1, "progressbar": False, "model": model}
    if backend == "tensorflow":
        interrupt_after(4 * 1000)
        options["chain_method"] = "vectorized"  # parallel chains are tested with the groups
    else:
        step = pm.NUTS.astep

        def interrupted(self, *args, **more):
            self.steps_of_test = getattr(self, "steps_of_test", 0) + 1
            if self.steps_of_test > 1000:
                raise KeyboardInterrupt
            return step(self, *args, **more)

        monkeypatch.setattr(pm.NUTS, "astep", interrupted)
        options |= {"chains": 1, "cores": 1}
    with caplog.at_level(logging.INFO, "implicitops"):
        found = sample(backend=backend, **options)
    n = found.posterior.sizes["draw"]
    assert 500 < n < 5000
    assert found.posterior.attrs["was_interrupted"]
    assert f"Sampling was interrupted: there are {n} draws of each chain." in caplog.text
    assert np.isfinite(found.posterior["m"].values).all()


@needs_tensorflow
def test_the_log_says_what_the_sampler_did_and_what_to_worry_about(caplog):
    with pm.Model() as model:
        v = pm.Normal("v", 0, 3)
        pm.Normal("x", 0, pm.math.exp(v / 2), shape=4)  # Neal's funnel
    with caplog.at_level(logging.INFO, "implicitops"):
        found = sample(200, tune=200, backend="tensorflow", model=model, random_seed=1, progressbar=False)
    n = int(found.sample_stats["diverging"].sum())
    assert n > 0
    assert "NUTS on tensorflow: 4 chains of 200 tuning steps and 200 draws" in caplog.text
    assert f"{n} of 800 draws ended in a divergence" in caplog.text
    assert "R-hat is" in caplog.text
    assert "effective draws of" in caplog.text


@needs_tensorflow
def test_chains_start_apart_and_where_initvals_say():
    with pm.Model() as model:
        pm.Gamma("g", 2.0, 1.0)
    found = sample(
        1, tune=0, backend="tensorflow", model=model, random_seed=1, progressbar=False, initvals={"g": 50.0},
        step="metropolis",
    )  # fmt: skip
    starts = np.log(found.posterior["g"].values.ravel())
    assert len(set(starts)) == 4
    assert (abs(starts - np.log(50)) < 1 + 4).all()  # the jitter, and one proposal of scale 1


def test_proposals_are_tuned_by_the_table_of_pymc3():
    rates = np.concatenate([np.arange(101) / 100, [0.0005]])
    np.testing.assert_array_equal(tuned(np.full(102, 2.0), rates), [pymc3_tune(2.0, rate) for rate in rates])
