"""What doctors believed before they saw the data: a penalised maximum-likelihood estimate inside a model.

Each doctor sees how many of ten patients recovered at each of six doses of a drug, fits a logistic dose-response curve
by maximum likelihood, and shrinks its slope towards what they believed before. From the estimates that they report we
infer that belief and how strongly they held it. The estimate minimises the penalised negative log-likelihood.
"""

from __future__ import annotations

import matplotlib
from _command_line import save

matplotlib.use("Agg")
import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pymc3 as pm
import sympy as sp

import implicitops as iop

DOSES, PATIENTS, N_DOCTORS = np.linspace(-1.5, 1.5, 6), 10, 40
intercept, slope, belief, strength = sp.symbols("intercept slope belief strength")
recovered = sp.symbols("k0:6")
scores = [intercept + slope * dose for dose in DOSES]
loss = sum(PATIENTS * sp.log(1 + sp.exp(u)) - k * u for u, k in zip(scores, recovered))
penalty = strength * (slope - belief) ** 2 / 2 + intercept**2 / 20
ESTIMATE = iop.Minimum(loss + penalty, [intercept, slope], [belief, strength, recovered], guess=[0, belief])

TRUE_BELIEF, TRUE_STRENGTH, NOISE = 0.5, 6.0, 0.1


def main() -> None:
    """Simulate reports, infer the belief behind them, draw it and what it did."""
    rng = np.random.default_rng(8)
    drugs = rng.uniform(-1.0, 3.0, (N_DOCTORS, 1))  # each doctor tests another
    counts = rng.binomial(PATIENTS, 1 / (1 + np.exp(-0.2 - drugs * DOSES))).astype(float)
    reports = ESTIMATE(TRUE_BELIEF, TRUE_STRENGTH, counts) + NOISE * rng.standard_normal((N_DOCTORS, 2))
    with pm.Model():
        prior_slope = pm.Normal("belief", 0.0, 1.0)
        conviction = pm.Lognormal("strength", 1.0, 1.0)
        estimate = pm.Deterministic("estimate", ESTIMATE(prior_slope, conviction, counts))
        pm.Normal("reports", mu=estimate, sd=NOISE, observed=reports)
        trace = pm.sample(1000, tune=1000, chains=2, cores=1, random_seed=9, return_inferencedata=True)
    print(az.summary(trace, var_names=["belief", "strength"]))
    draw(trace, reports, ESTIMATE(0.0, 1e-6, counts))


def draw(trace: az.InferenceData, reports: np.ndarray, unpenalised: np.ndarray) -> None:
    """Posterior of the belief, and the slopes that it drew towards itself."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    posterior = trace.posterior
    left.plot(posterior["belief"].values.ravel(), posterior["strength"].values.ravel(), ".", ms=2, alpha=0.4)
    left.plot(TRUE_BELIEF, TRUE_STRENGTH, "k+", ms=12, label="truth")
    left.set(xlabel="believed slope", ylabel="strength of the belief", title="Posterior")
    left.legend()
    mean = posterior["estimate"].values.reshape(-1, N_DOCTORS, 2).mean(axis=0)
    order = np.argsort(unpenalised[:, 1])
    right.plot(unpenalised[order, 1], unpenalised[order, 1], "k", lw=0.8, label="no shrinkage")
    right.plot(unpenalised[order, 1], mean[order, 1], "C1.-", label="posterior mean")
    right.plot(unpenalised[:, 1], reports[:, 1], "C0o", ms=4, label="reported")
    right.set(xlabel="maximum-likelihood slope", ylabel="slope", title="Reports of 40 doctors")
    right.legend()
    save(figure, "maximum_likelihood_inside_a_model.png")


if __name__ == "__main__":
    main()
