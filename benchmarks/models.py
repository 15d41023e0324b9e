"""The PyMC3 models that tensorflow_models.py samples on both backends. Nothing is sampled or timed here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import implicitops as iop  # noqa: F401  # isort: skip  # before PyMC3, whose Theano it gives a BLAS

import numpy as np
import pymc3 as pm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))


@dataclass(frozen=True)
class Case:
    """A model to be sampled.

    Parameters
    ----------
    title : str
    build : function that makes the pymc3.Model
    target_accept : float, the same for both samplers
    """

    title: str
    build: Callable[[], Any]
    target_accept: float = 0.8


def linear_regression() -> pm.Model:
    """A hundred points, two slopes."""
    rng = np.random.default_rng(123)
    first, second = rng.standard_normal(100), 0.2 * rng.standard_normal(100)
    y = 1 + first + 2.5 * second + rng.standard_normal(100)
    with pm.Model() as model:
        alpha = pm.Normal("alpha", 0, 10)
        beta = pm.Normal("beta", 0, 10, shape=2)
        sigma = pm.HalfNormal("sigma", 1)
        pm.Normal("y", alpha + beta[0] * first + beta[1] * second, sigma, observed=y)
    return model


def eight_schools() -> pm.Model:
    """Coaching in eight schools, non-centred (D. B. Rubin, Journal of Educational Statistics 6 (1981) 377)."""
    effects = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    errors = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 5)
        tau = pm.HalfCauchy("tau", 5)
        standard = pm.Normal("standard", 0, 1, shape=8)
        theta = pm.Deterministic("theta", mu + tau * standard)
        pm.Normal("y", theta, errors, observed=effects)
    return model


def logistic_regression() -> pm.Model:
    """500 yes-or-no answers, five coefficients."""
    rng = np.random.default_rng(1)
    design = rng.standard_normal((500, 5))
    logits = 0.3 + design @ np.array([1.0, -0.5, 0.25, 0.0, 0.75])
    answers = (rng.uniform(size=500) < 1 / (1 + np.exp(-logits))).astype(int)
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 2)
        coefficients = pm.Normal("coefficients", 0, 2, shape=5)
        pm.Bernoulli("answers", logit_p=intercept + pm.math.dot(design, coefficients), observed=answers)
    return model


def mixture() -> pm.Model:
    """Three normal components: Dirichlet weights (stick breaking), means in order."""
    rng = np.random.default_rng(2)
    component = rng.choice(3, size=300, p=[0.3, 0.5, 0.2])
    values = np.array([-3.0, 0.0, 4.0])[component] + 0.8 * rng.standard_normal(300)
    ordered = pm.distributions.transforms.ordered
    with pm.Model() as model:
        weights = pm.Dirichlet("weights", a=np.ones(3))
        means = pm.Normal("means", 0, 5, shape=3, transform=ordered, testval=np.array([-2.0, 0.5, 3.0]))
        sigma = pm.HalfNormal("sigma", 2)
        pm.NormalMixture("values", w=weights, mu=means, sigma=sigma, comp_shape=(3,), observed=values)
    return model


def correlated_normals() -> pm.Model:
    """A hundred vectors of three correlated numbers, LKJ prior of the Cholesky factor."""
    rng = np.random.default_rng(3)
    factor = np.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [-0.5, 1.0, 1.5]])
    values = np.array([1.0, -1.0, 0.0]) + rng.standard_normal((100, 3)) @ factor.T
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 5, shape=3)
        spread = pm.HalfNormal.dist(sigma=2.0)
        cholesky, _, _ = pm.LKJCholeskyCov("cholesky", n=3, eta=2.0, sd_dist=spread, compute_corr=True)
        pm.MvNormal("values", mu, chol=cholesky, observed=values)
    return model


def documentation_model() -> pm.Model:
    """Of examples/documentation_model.py: one equation, solved for mu."""
    return import_module("documentation_model").model()


def lynx_hare() -> pm.Model:
    """Of examples/lynx_hare.py: two differential equations."""
    return import_module("lynx_hare").model()


def survival() -> pm.Model:
    """Of examples/survival_hazard.py: the integral of a hazard for each of 160 persons."""
    example = import_module("survival_hazard")
    return example.model(*example.simulated())


CASES = {
    "linear_regression": Case("linear regression", linear_regression),
    "documentation_model": Case("documentation's model: Root", documentation_model, target_accept=0.95),
    "eight_schools": Case("eight schools, non-centred", eight_schools, target_accept=0.9),
    "logistic_regression": Case("logistic regression, n = 500", logistic_regression),
    "mixture": Case("mixture: Dirichlet, ordered", mixture),
    "correlated_normals": Case("LKJCholeskyCov and MvNormal", correlated_normals),
    "lynx_hare": Case("lynx and hare: ODE", lynx_hare),
    "survival": Case("survival: Integral", survival),
}
