"""Acid-base equilibrium of a buffer: the pH is a root of four equations, over ten decades of concentration.

An unknown weak acid is titrated with strong base and the pH is measured. The acid's pKa and its concentration are
inferred; the species' concentrations at equilibrium are an implicit function of both.
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

h, oh, acid, anion = sp.symbols("h oh acid anion", positive=True)  # mol/l
pKa, total, base = sp.symbols("pKa total base")
EQUILIBRIUM = iop.Root(
    [
        h * oh * 1e14 - 1,  # water dissociates
        h * anion / acid - 10 ** (-pKa),  # so does the acid
        acid + anion - total,  # mass is conserved
        h + base - anion - oh,  # the solution is neutral
    ],
    [h, oh, acid, anion],
    [pKa, total, base],
    guess=[1e-7, 1e-7, total / 2, total / 2],
)

TRUE_PKA, TRUE_TOTAL, NOISE = 4.76, 0.1, 0.15
ADDED = np.linspace(0.0, 0.14, 29)


def main() -> None:
    """Simulate a titration, infer the acid, draw the curve."""
    rng = np.random.default_rng(1)
    exact = -np.log10(EQUILIBRIUM(TRUE_PKA, TRUE_TOTAL, ADDED)[:, 0])
    measured = exact + NOISE * rng.standard_normal(ADDED.size)
    with pm.Model():
        acidity = pm.Normal("pKa", 6, 2)
        concentration = pm.Lognormal("total", np.log(0.08), 0.5)
        species = EQUILIBRIUM(acidity, concentration, ADDED)
        ph = pm.Deterministic("pH", -pm.math.log(species[:, 0]) / np.log(10))
        pm.Normal("measured", mu=ph, sd=NOISE, observed=measured)
        trace = pm.sample(1000, tune=1000, chains=2, cores=1, random_seed=2, return_inferencedata=True)
    print(az.summary(trace, var_names=["pKa", "total"], round_to=4))
    draw(trace, exact, measured)


def draw(trace: az.InferenceData, exact: np.ndarray, measured: np.ndarray) -> None:
    """The titration curve with its uncertainty, and the posterior of the acid."""
    figure, (curve, joint) = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    draws = trace.posterior["pH"].values.reshape(-1, ADDED.size)
    low, high = np.percentile(draws, [3, 97], axis=0)
    curve.fill_between(ADDED, low, high, color="C0", alpha=0.4, label="94 % interval")
    curve.plot(ADDED, exact, "k-", lw=1, label="truth")
    curve.plot(ADDED, measured, "C1.", label="measured")
    curve.set(xlabel="strong base added (mol/l)", ylabel="pH", title="Titration")
    curve.legend()
    posterior = trace.posterior
    excess = 1e6 * (posterior["total"].values.ravel() - TRUE_TOTAL)
    joint.plot(posterior["pKa"].values.ravel(), excess, ".", ms=2, alpha=0.4)
    joint.plot(TRUE_PKA, 0, "k+", ms=12, label="truth")
    joint.set(xlabel="pKa", ylabel="total acid, difference from truth (micromol/l)", title="Posterior")
    joint.legend()
    save(figure, "buffer_ph.png")


if __name__ == "__main__":
    main()
