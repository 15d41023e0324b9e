"""Steady state of an enzyme pathway: two concentrations at which three rates are equal.

A substrate s is turned into x (reversibly), x into y (inhibited by y), and y is drained. The maximal rate of the first
enzyme and the inhibition constant of the second are inferred from concentrations measured at several substrate levels.
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

x, y = sp.symbols("x y", positive=True)  # mmol/l
rate, inhibition, s = sp.symbols("rate inhibition s")
import_rate = rate * (s - x / 4) / (1 + s + x)
conversion = 1.2 * x / (0.5 + x) / (1 + y / inhibition)
drain = 0.3 * y
STEADY = iop.Root([import_rate - conversion, conversion - drain], [x, y], [rate, inhibition, s], guess=[s / 2, s / 2])

TRUE_RATE, TRUE_INHIBITION, NOISE = 0.8, 0.7, 0.05
SUBSTRATE = np.array([0.2, 0.5, 1.0, 2.0, 4.0, 8.0])


def main() -> None:
    """Simulate measurements, infer the enzymes, draw the dose-response curves."""
    rng = np.random.default_rng(3)
    exact = STEADY(TRUE_RATE, TRUE_INHIBITION, SUBSTRATE)
    measured = exact * np.exp(NOISE * rng.standard_normal(exact.shape))
    with pm.Model():
        speed = pm.Lognormal("rate", 0.0, 1.0)
        constant = pm.Lognormal("inhibition", 0.0, 1.0)
        levels = pm.Deterministic("levels", STEADY(speed, constant, SUBSTRATE))
        pm.Lognormal("measured", mu=pm.math.log(levels), sd=NOISE, observed=measured)
        trace = pm.sample(1000, tune=1000, chains=2, cores=1, random_seed=4, return_inferencedata=True)
    print(az.summary(trace, var_names=["rate", "inhibition"]))
    draw(trace, measured)


def draw(trace: az.InferenceData, measured: np.ndarray) -> None:
    """Both concentrations against the substrate, with their uncertainty."""
    figure, (curves, joint) = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    grid = np.geomspace(0.1, 10, 60)
    posterior = trace.posterior
    rates, constants = (posterior[name].values.ravel()[::20, None] for name in ("rate", "inhibition"))
    levels = STEADY(rates, constants, grid)
    for k, name in enumerate("xy"):
        low, high = np.percentile(levels[..., k], [3, 97], axis=0)
        curves.fill_between(grid, low, high, color=f"C{k}", alpha=0.4, label=f"{name}, 94 % interval")
        curves.plot(SUBSTRATE, measured[:, k], f"C{k}o", ms=4, label=f"{name}, measured")
    curves.set(xscale="log", xlabel="substrate (mmol/l)", ylabel="concentration (mmol/l)", title="Steady state")
    curves.legend()
    joint.plot(posterior["rate"].values.ravel(), posterior["inhibition"].values.ravel(), ".", ms=2, alpha=0.4)
    joint.plot(TRUE_RATE, TRUE_INHIBITION, "k+", ms=12, label="truth")
    joint.set(xlabel="maximal rate (mmol/l/s)", ylabel="inhibition constant (mmol/l)", title="Posterior")
    joint.legend()
    save(figure, "enzyme_steady_state.png")


if __name__ == "__main__":
    main()
