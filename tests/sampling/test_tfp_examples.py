"""The examples with TensorFlow Probability: their posteriors against quadrature and against published draws."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats

tf = pytest.importorskip("tensorflow", reason="needs TensorFlow")
pytest.importorskip("tensorflow_probability", reason="needs TensorFlow Probability")
az = pytest.importorskip("arviz", reason="needs arviz")

pytestmark = pytest.mark.usefixtures("quiet_tuning")


@pytest.fixture
def documentation_model():
    return import_module("documentation_model_tfp")


@pytest.fixture
def lynx_hare():
    return import_module("lynx_hare_tfp")


def root(theta):
    """The root of mu + mu exp(theta mu) = 1 by SciPy."""
    return scipy.optimize.brentq(lambda m: m + m * np.exp(theta * m) - 1, 0, 1, xtol=1e-15)


class TestDocumentationModel:
    def weight(self, module, theta):
        misfit = scipy.stats.norm.logpdf(module.OBSERVED, root(theta), module.SD).sum()
        return np.exp(scipy.stats.halfnorm.logpdf(theta) + misfit)

    def exact(self, module):
        """Mean and standard deviation of theta by SciPy's quadrature and root finder."""
        moments = [scipy.integrate.quad(lambda t, k=k: t**k * self.weight(module, t), 0, 8)[0] for k in range(3)]
        mean = moments[1] / moments[0]
        return mean, np.sqrt(moments[2] / moments[0] - mean**2)

    def test_density_is_that_of_the_formula_in_a_batch(self, documentation_model):
        thetas = [0.3, 1.0, 2.5]
        found = documentation_model.POSTERIOR.unnormalized_log_prob(tf.constant(thetas, tf.float64))
        expected = [np.log(self.weight(documentation_model, t)) for t in thetas]
        np.testing.assert_allclose(found, expected, rtol=1e-12)

    def test_density_in_the_figure_is_that_of_quadrature(self, documentation_model):
        grid, density = documentation_model.exact_posterior()
        mean, sd = self.exact(documentation_model)
        np.testing.assert_allclose(np.average(grid, weights=density), mean, rtol=1e-5)
        np.testing.assert_allclose(np.average((grid - mean) ** 2, weights=density), sd**2, rtol=1e-4)

    def test_surrogate_posterior_is_near_the_exact_one_and_figure_is_drawn(
        self, documentation_model, monkeypatch, tmp_path
    ):
        mean, sd = self.exact(documentation_model)
        surrogate, losses = documentation_model.fit()
        grid, _ = documentation_model.exact_posterior()
        density = surrogate.prob(grid).numpy()
        fitted = np.average(grid, weights=density)
        # Another family than the posterior's: near, not equal.
        assert abs(fitted - mean) < 0.1 * sd
        assert abs(np.sqrt(np.average((grid - fitted) ** 2, weights=density)) - sd) < 0.15 * sd
        assert losses[-200:].mean() < losses[:20].mean()
        monkeypatch.setattr(import_module("_command_line"), "OUTPUT", tmp_path / "output")
        draws = np.abs(np.random.default_rng(0).normal(mean, sd, (4, 50)))
        documentation_model.plot(az.from_dict({"theta": draws}).posterior, surrogate, losses)
        assert (tmp_path / "output" / "documentation_model_tfp.png").stat().st_size > 10_000

    @pytest.mark.slow
    def test_posterior_is_that_of_quadrature(self, documentation_model):
        mean, sd = self.exact(documentation_model)
        inference = documentation_model.sample()
        draws = inference.posterior["theta"].values
        assert draws.shape == (4, 4000)
        assert abs(draws.mean() - mean) < 4 * az.mcse(draws, method="mean")
        assert abs(draws.std() - sd) < 4 * az.mcse(draws, method="sd")
        assert az.rhat(draws) < 1.01
        np.testing.assert_allclose(inference.posterior["mu"].values[0, :5], [root(t) for t in draws[0, :5]], rtol=1e-12)


class TestLynxHare:
    POINT = (0.6, 0.03, 0.7, 0.02, 30.0, 5.0, 0.3, 0.4)

    def expected(self, module, point):
        """Density of the logarithms of the parameters, by SciPy."""
        a, b, c, d, h0, l0, *sigma = point

        def rates(_, state):
            return [(a - b * state[1]) * state[0], (d * state[0] - c) * state[1]]

        years = np.arange(21.0)
        sizes = scipy.integrate.solve_ivp(rates, (0, 20), [h0, l0], "DOP853", years, rtol=1e-12, atol=1e-12).y.T
        log = scipy.stats.lognorm.logpdf(module.PELTS, sigma, scale=sizes).sum()
        for value, mean, sd in ((a, 1, 0.5), (b, 0.05, 0.05), (c, 1, 0.5), (d, 0.05, 0.05)):
            log += scipy.stats.truncnorm.logpdf(value, -mean / sd, np.inf, mean, sd)
        log += scipy.stats.lognorm.logpdf([h0, l0], 1, scale=10).sum()
        log += scipy.stats.lognorm.logpdf(sigma, 1, scale=np.exp(-1)).sum()
        return log + np.log(point).sum()

    def test_density_is_that_of_scipy_in_a_batch(self, lynx_hare):
        points = np.array([self.POINT, np.multiply(self.POINT, 1.05)])
        found = lynx_hare.log_density(lynx_hare.model(), tf.constant(np.log(points)))
        expected = [self.expected(lynx_hare, point) for point in points]
        np.testing.assert_allclose(found, expected, rtol=1e-5)  # the problem's tolerances are 1e-6

    def test_coordinates_are_those_of_the_mode(self, lynx_hare):
        center, scale = lynx_hare.coordinates()
        posterior = lynx_hare.model()
        with tf.GradientTape() as tape:
            tape.watch(center)
            density = lynx_hare.log_density(posterior, center)
        slope = tape.gradient(density, center).numpy()
        # Within a hundredth of a standard deviation of it, and the curvature by differences is that of the matrix.
        assert np.abs(scale.numpy().T @ slope).max() < 0.01
        for k in (0, 7):
            step = 0.01 * scale[:, k]
            values = lynx_hare.log_density(posterior, tf.stack([center + step, center, center - step]))
            assert abs(values[0] - 2 * values[1] + values[2] + 1e-4) < 5e-6

    @pytest.mark.slow
    def test_posterior_is_the_reference_posterior(self, lynx_hare, monkeypatch, tmp_path):
        hudson_bay = import_module("hudson_bay")
        inference = lynx_hare.sample()
        assert inference.posterior["alpha"].shape == (4, 2500)
        assert inference.sample_stats["diverging"].values.sum() < 10
        for name, (*_, sds, errors) in hudson_bay.comparison(inference.posterior).items():
            assert abs(sds) < 0.05, name
            assert abs(errors) < 4, name
        monkeypatch.setattr(import_module("_command_line"), "OUTPUT", tmp_path / "output")
        hudson_bay.draw(inference.posterior, "figure.png", n_curves=100)
        assert (tmp_path / "output" / "figure.png").stat().st_size > 10_000
