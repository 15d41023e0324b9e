"""The examples with integrals: densities by other means, and posteriors against those on a grid, the truth and a fit.

Where Monte Carlo means are compared, the tolerance is four standard errors of our draws.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.special
import scipy.stats

pm = pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")

import arviz as az  # noqa: E402

QUIET = {"progressbar": False, "backend": "theano"}
pytestmark = pytest.mark.usefixtures("quiet_tuning")


def grid_means(grid, log_density):
    """Means and standard deviations of named parameters on a grid of all their values with equal spacing."""
    weights = np.exp(log_density - log_density.max())
    values = dict(zip(grid, np.meshgrid(*grid.values(), indexing="ij")))
    means = {name: np.average(value, weights=weights) for name, value in values.items()}
    sds = {name: np.sqrt(np.average((v - means[name]) ** 2, weights=weights)) for name, v in values.items()}
    for axis in range(weights.ndim):
        edges = np.moveaxis(weights, axis, 0)[[0, -1]]
        assert edges.max() < 1e-4, "the grid cuts the density off"
    return means, sds


def assert_posterior(posterior, means, sds):
    for name, mean in means.items():
        draws = posterior[name].values
        assert abs(draws.mean() - mean) < 4 * az.mcse(draws, method="mean"), name
        assert abs(draws.std() - sds[name]) < 4 * az.mcse(draws, method="sd"), name


def density_with_gradient(model, point):
    """Log density of a model and its gradient, a dict, at a dict of its free variables."""
    function = model.logp_dlogp_function()
    function.set_extra_values({})
    value, gradient = function(function.dict_to_array(point))
    named = function.array_to_full_dict(gradient)
    return value, {name: float(named[name]) for name in point}


class TestPumpingTest:
    def test_table_is_that_of_the_book(self):
        module = import_module("pumping_test")
        assert np.unique(module.DISTANCE, return_counts=True)[1].tolist() == [34, 35]
        assert module.DRAWDOWN.sum().round(3) == 34.722
        for distance in (30, 90):
            assert (np.diff(module.MINUTES[distance == module.DISTANCE]) > 0).all()

    def test_least_squares_with_scipy_gives_the_published_values(self):
        module = import_module("pumping_test")
        fit = scipy.optimize.least_squares(lambda p: self.drawdown(module, *np.exp(p)) - module.DRAWDOWN, [6, -8.6])
        found = [*np.exp(fit.x), np.sqrt(np.mean(fit.fun**2))]
        np.testing.assert_allclose(found, list(module.PUBLISHED.values()), rtol=1e-3)

    @pytest.mark.usefixtures("in_python")
    def test_density_and_gradient_are_those_of_scipy(self):
        module = import_module("pumping_test")
        transmissivity, storativity, sigma = 430.0, 2.1e-4, 0.06
        factor = module.PUMPED / (4 * np.pi * transmissivity)
        decay = np.exp(-(module.DISTANCE**2) * storativity / (4 * transmissivity * module.DAYS))
        drawdown = self.drawdown(module, transmissivity, storativity)
        residuals = (module.DRAWDOWN - drawdown) / sigma
        expected = scipy.stats.norm.logpdf(residuals).sum() - residuals.size * np.log(sigma)
        expected += scipy.stats.norm.logpdf(np.log(transmissivity), np.log(500), 1.5)
        expected += scipy.stats.norm.logpdf(np.log(storativity), np.log(3e-4), 2)
        expected += scipy.stats.halfnorm.logpdf(sigma, scale=0.2) + np.log(sigma)
        slopes = {
            "T_log__": residuals @ (factor * decay - drawdown) / sigma - np.log(transmissivity / 500) / 1.5**2,
            "S_log__": residuals @ (-factor * decay) / sigma - np.log(storativity / 3e-4) / 2**2,
            "sigma_log__": (residuals**2 - 1).sum() - (sigma / 0.2) ** 2 + 1,
        }
        point = dict(zip(slopes, np.log([transmissivity, storativity, sigma])))
        value, gradient = density_with_gradient(module.model(), point)
        np.testing.assert_allclose(value, expected, rtol=1e-8)
        np.testing.assert_allclose([gradient[name] for name in slopes], list(slopes.values()), rtol=1e-7)

    def test_well_function_is_scipys_exponential_integral(self):
        assert import_module("pumping_test").check_against_scipy() < 1e-9

    @pytest.mark.slow
    def test_posterior_is_that_of_a_grid_and_around_the_published_fit(self):
        module = import_module("pumping_test")
        grid = {
            "T": np.linspace(400, 535, 91),
            "S": np.linspace(1e-4, 2.8e-4, 91),
            "sigma": np.linspace(0.034, 0.08, 47),
        }
        t, s = np.meshgrid(grid["T"], grid["S"], indexing="ij")
        errors = self.drawdown(module, t[..., None], s[..., None]) - module.DRAWDOWN
        squares = (errors**2).sum(axis=-1)[..., None]
        log = -squares / (2 * grid["sigma"] ** 2) - errors.shape[-1] * np.log(grid["sigma"])
        log += scipy.stats.halfnorm.logpdf(grid["sigma"], scale=0.2)
        log += scipy.stats.lognorm.logpdf(t, 1.5, scale=500)[..., None]
        log += scipy.stats.lognorm.logpdf(s, 2, scale=3e-4)[..., None]
        posterior = module.sample(2000, **QUIET).posterior
        assert_posterior(posterior, *grid_means(grid, log))
        for name, published in module.PUBLISHED.items():
            assert abs(posterior[name].values.mean() - published) < posterior[name].values.std()

    def drawdown(self, module, transmissivity, storativity):
        reduced = module.DISTANCE**2 * storativity / (4 * transmissivity * module.DAYS)
        return module.PUMPED / (4 * np.pi * transmissivity) * scipy.special.exp1(reduced)


class TestSupernovae:
    @pytest.mark.slow
    def test_posterior_is_that_of_a_grid_and_covers_the_truth(self):
        module = import_module("supernova_distances")
        redshifts, moduli = module.simulated()
        grid = {"Omega_m": np.linspace(0.08, 0.62, 109), "H0": np.linspace(60, 76, 129)}
        distances = np.array([[module.distance_by_scipy(z, m) for z in redshifts] for m in grid["Omega_m"]])
        errors = module.modulus(distances[:, None], redshifts, grid["H0"][:, None]) - moduli
        log = scipy.stats.norm.logpdf(errors, scale=module.SCATTER).sum(axis=-1)
        means, sds = grid_means(grid, log + scipy.stats.norm.logpdf(grid["H0"], 70, 10))
        assert_posterior(module.sample(2000, **QUIET).posterior, means, sds)
        for name, truth in module.TRUTH.items():
            assert abs(means[name] - truth) < 2 * sds[name]


class TestSurvival:
    def test_cumulative_hazard_is_scipys(self):
        assert import_module("survival_hazard").check_against_scipy() < 1e-8

    @pytest.mark.slow
    def test_posterior_is_that_of_a_grid_and_covers_the_truth(self):
        module = import_module("survival_hazard")
        times, died = module.simulated()
        grid = {
            "level": np.linspace(-3.6, -2.5, 61),
            "season": np.linspace(0.2, 1.6, 57),
            "trend": np.linspace(-0.2, 1.0, 61),
        }
        fine = np.linspace(0, module.STUDY_ENDS, 4801)
        log = np.empty([values.size for values in grid.values()])
        for j, season in enumerate(grid["season"]):
            for k, trend in enumerate(grid["trend"]):
                hazard = np.exp(module.log_hazard(fine, 0.0, season, trend))
                total = np.interp(times, fine, scipy.integrate.cumulative_trapezoid(hazard, fine, initial=0)).sum()
                deaths = module.log_hazard(times[died], 0.0, season, trend).sum()
                log[:, j, k] = deaths + died.sum() * grid["level"] - np.exp(grid["level"]) * total
                log[:, j, k] += scipy.stats.norm.logpdf(season) + scipy.stats.norm.logpdf(trend)
        log += scipy.stats.norm.logpdf(grid["level"], -3, 2)[:, None, None]
        means, sds = grid_means(grid, log)
        assert_posterior(module.sample(2000, **QUIET).posterior, means, sds)
        for name, truth in module.TRUTH.items():
            assert abs(means[name] - truth) < 2 * sds[name]
