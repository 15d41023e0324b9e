"""The examples with initial value problems: densities by other means, and posteriors against published ones.

Wherever Monte Carlo means are compared, the tolerance is four standard errors: those of our draws and, added in
quadrature, those of the published numbers, with half a unit of their last digit.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

pm = pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")

import arviz as az  # noqa: E402
import theano.tensor as tt  # noqa: E402

QUIET = {"progressbar": False, "backend": "theano"}
pytestmark = pytest.mark.usefixtures("quiet_tuning")


def assert_mean(draws, expected, error=0.0, rounding=0.0):
    """The mean of chains of draws is what was published, with its standard error and the size of its last digit."""
    tolerance = 4 * np.hypot(az.mcse(draws, method="mean"), error) + rounding / 2
    assert abs(draws.mean() - expected) < tolerance


def density_with_gradient(model):
    """Log density and gradient of a model as functions of a dict of its free variables."""
    function = model.logp_dlogp_function()
    function.set_extra_values({})

    def evaluate(point):
        value, gradient = function(function.dict_to_array(point))
        named = function.array_to_full_dict(gradient)
        return value, {name: named[name] for name in point}

    return function, evaluate


class TestLynxHare:
    RATES = (0.9, 0.045, 0.95, 0.05)
    START = (25.0, 7.0)
    SIGMA = np.array([0.4, 0.6])

    def by_scipy(self):
        """Logarithms of the populations and their derivatives, from SciPy and variational equations written by hand."""
        a, b, c, d = self.RATES

        def rhs(_, state):
            h, y, s = *state[:2], state[2:].reshape(2, 6)
            partial = np.array([[a - b * y, -b * h], [d * y, d * h - c]])
            explicit = np.array([[h, -h * y, 0, 0, 0, 0], [0, 0, -y, h * y, 0, 0]])
            return [(a - b * y) * h, (d * h - c) * y, *(partial @ s + explicit).ravel()]

        start = [*self.START, *np.hstack([np.zeros((2, 4)), np.eye(2)]).ravel()]
        times = np.arange(21.0)
        solution = scipy.integrate.solve_ivp(rhs, (0, 20), start, "DOP853", times, rtol=1e-12, atol=1e-12).y
        populations = solution[:2].T
        return np.log(populations), solution[2:].reshape(2, 6, 21).transpose(2, 0, 1) / populations[:, :, None]

    @pytest.mark.usefixtures("in_python")
    def test_density_and_gradient_are_those_of_scipy_and_one_integration_gives_both(self):
        module = import_module("lynx_hare")
        log_populations, slopes = self.by_scipy()
        parameters = np.array([*self.RATES, *self.START])
        means, sds = np.array([[1, 0.5], [0.05, 0.05], [1, 0.5], [0.05, 0.05]]).T
        residuals = (np.log(module.PELTS) - log_populations) / self.SIGMA
        expected = scipy.stats.norm.logpdf(residuals).sum() - (np.log(module.PELTS) + np.log(self.SIGMA)).sum()
        rates = parameters[:4]
        expected += (scipy.stats.norm.logpdf(rates, means, sds) - scipy.stats.norm.logsf(0, means, sds)).sum()
        # Of the logarithms in which PyMC3 samples, the density has a factor that cancels the log-normal's.
        expected += np.log(rates).sum() + scipy.stats.norm.logpdf(np.log(self.START), np.log(10), 1).sum()
        expected += scipy.stats.norm.logpdf(np.log(self.SIGMA), -1, 1).sum()
        gradient = np.einsum("tk,tkp->p", residuals / self.SIGMA, slopes) * parameters
        gradient[:4] += 1 - rates * (rates - means) / sds**2
        gradient[4:] -= np.log(self.START) - np.log(10)
        of_sigma = (residuals**2 - 1).sum(axis=0) - (np.log(self.SIGMA) + 1)

        names = ["alpha_lowerbound__", "beta_lowerbound__", "gamma_lowerbound__", "delta_lowerbound__"]
        names += ["hare0_log__", "lynx0_log__", "sigma_hare_log__", "sigma_lynx_log__"]
        function, evaluate = density_with_gradient(module.model())
        value, found = evaluate(dict(zip(names, np.log([*parameters, *self.SIGMA]))))
        np.testing.assert_allclose(value, expected, rtol=1e-8)
        np.testing.assert_allclose([found[name] for name in names], [*gradient, *of_sigma], rtol=1e-6)
        nodes = function._theano_function.maker.fgraph.toposort()
        operations = [getattr(node.op, "operation", None) for node in nodes]
        assert [getattr(operation, "problem", None) for operation in operations].count(module.POPULATIONS) == 1

    @pytest.mark.slow
    def test_posterior_is_the_reference_posterior(self):
        module = import_module("lynx_hare")
        posterior = module.sample(2000, **QUIET).posterior
        for name, (mean, error, square) in module.REFERENCE.items():
            draws, sd = posterior[name].values, np.sqrt(square - mean**2)
            assert_mean(draws, mean, error)
            # 10 000 independent draws know a standard deviation to about 1/sqrt(20 000) of it.
            assert abs(draws.std() - sd) < 4 * np.hypot(az.mcse(draws, method="sd"), sd / np.sqrt(20_000))


class TestInfluenza:
    def by_quadrature(self, module):
        """Posterior means on a grid of the logarithms of beta, gamma and phi_inv, with SciPy's integrator."""
        betas, gammas = np.exp(np.linspace(*np.log([1.4, 2.2]), 41)), np.exp(np.linspace(*np.log([0.33, 0.85]), 41))
        inverse = np.exp(np.linspace(*np.log([0.005, 2.0]), 61))

        def infected(beta, gamma):
            def rhs(state, _):
                new = beta * state[1] * state[0] / 763
                return [-new, new - gamma * state[1]]

            return scipy.integrate.odeint(rhs, [762, 1], np.arange(15), rtol=1e-8, atol=1e-8)[1:, 1]

        mean = np.array([[infected(b, g) for g in gammas] for b in betas])[:, :, None]
        size = 1 / inverse[:, None]
        log = scipy.stats.nbinom.logpmf(module.IN_BED, size, size / (size + mean)).sum(axis=-1)
        log += scipy.stats.norm.logpdf(betas, 2, 1)[:, None, None] + np.log(betas)[:, None, None]
        log += scipy.stats.norm.logpdf(gammas, 0.4, 0.5)[:, None] + np.log(gammas)[:, None]
        log += scipy.stats.expon.logpdf(inverse, scale=0.2) + np.log(inverse)
        weights = np.exp(log - log.max())
        grid = dict(zip(("beta", "gamma", "phi_inv"), np.meshgrid(betas, gammas, inverse, indexing="ij")))
        grid |= {"R0": grid["beta"] / grid["gamma"], "recovery_time": 1 / grid["gamma"]}
        return {name: np.average(values, weights=weights) for name, values in grid.items()}

    @pytest.mark.slow
    def test_posterior_is_that_of_quadrature_and_of_the_published_table(self):
        module = import_module("influenza_boarding_school")
        exact = self.by_quadrature(module)
        posterior = module.sample(2000, **QUIET).posterior
        for name, mean in exact.items():
            assert_mean(posterior[name].values, mean)
        for name, (mean, sd) in module.PUBLISHED.items():
            # Of the 4000 draws published, each parameter's are worth 2000 or more.
            assert_mean(posterior[name].values, mean, sd / np.sqrt(2000), rounding=0.01)
            assert posterior[name].values.std() == pytest.approx(sd, abs=0.02)


class TestTheophylline:
    def test_table_is_that_of_r(self):
        module = import_module("theophylline")
        weight, dose, time, concentration = np.moveaxis(module.TABLE[..., 1:], -1, 0)
        np.testing.assert_array_equal(module.TABLE[..., 0], np.repeat(np.arange(1, 13), 11).reshape(12, 11))
        np.testing.assert_array_equal([weight[0, 0], dose[0, 0], concentration[0, 0]], [79.6, 4.02, 0.74])
        assert np.ptp(weight, axis=1).max() == np.ptp(dose, axis=1).max() == 0
        assert (time.mean().round(3), concentration.mean().round(3)) == (5.895, 4.960)  # summary(Theoph)
        assert (np.diff(time) > 0).all()

    def test_concentrations_and_derivatives_are_those_of_the_closed_form(self):
        assert import_module("theophylline").check_against_closed_form() < 1e-7

    @pytest.mark.slow
    def test_density_is_that_of_the_closed_form_and_estimates_are_near_the_published_ones(self, monkeypatch):
        module = import_module("theophylline")
        model = module.model()
        posterior = module.sample(500, **QUIET).posterior
        for name, published in module.PUBLISHED.items():
            draws = posterior[name].values
            # The prior, and the skewness of standard deviations, move a mean by less than the posterior's own width.
            limit = 0.5 if name.startswith("ln") or name == "sigma" else 1.5
            assert abs(draws.mean() - published) < limit * draws.std() + 4 * az.mcse(draws, method="mean")

        def closed_form(absorption, clearance, volume, dose, times):
            absorption, clearance, volume = (v[:, None] for v in (absorption, clearance, volume))
            rate = clearance / volume
            difference = tt.exp(-rate * times) - tt.exp(-absorption * times)
            return (dose[:, None] * absorption / (volume * (absorption - rate)) * difference)[..., None]

        monkeypatch.setattr(module, "KINETICS", closed_form)
        reference = module.model()
        point = {v.name: v.tag.test_value for v in model.free_RVs}
        rng = np.random.default_rng(1)
        for _ in range(5):
            point = {name: value + 0.2 * rng.standard_normal(np.shape(value)) for name, value in point.items()}
            (value, gradient), (expected, slopes) = (density_with_gradient(m)[1](point) for m in (model, reference))
            np.testing.assert_allclose(value, expected, rtol=1e-6)
            for name in point:
                np.testing.assert_allclose(gradient[name], slopes[name], rtol=1e-5, atol=1e-5)
