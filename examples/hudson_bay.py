"""Pelts of hares and lynxes of Hudson Bay: what the examples lynx_hare.py and lynx_hare_tfp.py have in common.

The model is that of B. Carpenter, "Predator-Prey Population Dynamics: the Lotka-Volterra model in Stan" (Stan case
study, 2018), priors included; the means and standard deviations that it is compared with are those of the 10 000
reference draws of posteriordb (Magnusson et al., AISTATS 2025), posterior ``hudson_lynx_hare-lotka_volterra``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import arviz as az
import matplotlib
import numpy as np
import sympy as sp
from _command_line import save

import implicitops as iop

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).resolve().parent
YEARS, *PELTS = np.loadtxt(HERE / "data" / "hudson_bay_pelts.csv", delimiter=",", skiprows=4, unpack=True)
PELTS = np.transpose(PELTS)  # one row a year: hare, lynx

#: Mean of each parameter, and the Monte Carlo standard error of this mean and the mean of its square.
REFERENCE = {
    "alpha": (0.546864499783931, 0.00062626907415417, 0.3030362900),
    "beta": (0.0277472877678081, 0.0000411604266143508, 0.0007871719),
    "gamma": (0.800095360233122, 0.000884603225898987, 0.6481388153),
    "delta": (0.0240859152534545, 0.0000350047668143892, 0.0005925775),
    "hare0": (34.0352224770469, 0.0293082761729642, 1166.9038171313),
    "lynx0": (5.93589713368062, 0.00533872103038814, 35.5163321009),
    "sigma_hare": (0.24805686320252, 0.000439337727695207, 0.0634036795),
    "sigma_lynx": (0.251016914583618, 0.000439525598676463, 0.0649094189),
}


def populations(**options: Any) -> iop.ODE:
    """Both populations, in thousands, in each of the years."""
    hare, lynx, hare0, lynx0 = sp.symbols("hare lynx hare0 lynx0")
    alpha, beta, gamma, delta = sp.symbols("alpha beta gamma delta")
    return iop.ODE(
        {hare: (alpha - beta * lynx) * hare, lynx: (delta * hare - gamma) * lynx},
        [alpha, beta, gamma, delta, hare0, lynx0],
        initial={hare: hare0, lynx: lynx0},
        times=YEARS - YEARS[0],
        **options,
    )


POPULATIONS = populations()


def comparison(posterior: Any) -> dict[str, tuple[float, float, float, float, float]]:
    """For each parameter: mean, reference, reference's sd, difference in sds, and in Monte Carlo standard errors."""
    rows = {}
    for name, (reference, reference_error, square) in REFERENCE.items():
        values = posterior[name].values
        sd = np.sqrt(square - reference**2)
        error = np.hypot(az.mcse(values, method="mean"), reference_error)
        difference = values.mean() - reference
        rows[name] = (values.mean(), reference, sd, difference / sd, difference / error)
    return rows


def report(inference: az.InferenceData) -> None:
    """Print a summary and the comparison with the reference."""
    print(az.summary(inference, round_to=4).to_string())
    print("parameter        mean  reference  difference in sd  in Monte Carlo errors")
    for name, (mean, reference, _, in_sds, in_errors) in comparison(inference.posterior).items():
        print(f"{name:10} {mean:10.4f} {reference:10.4f} {in_sds:17.3f} {in_errors:22.1f}")


def draw(posterior: Any, file_name: str, n_curves: int = 1000) -> None:
    """Both populations with 90 % bands: of the population itself, and of the pelts that it predicts."""
    rng = np.random.default_rng(4)
    flat = {name: posterior[name].values.ravel() for name in REFERENCE}
    chosen = rng.choice(flat["alpha"].size, min(n_curves, flat["alpha"].size), replace=False)
    parameters = [flat[name][chosen] for name in POPULATIONS.parameter_names]
    times = np.linspace(0, 20, 201)
    curves = POPULATIONS(*parameters, times=times)
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
    for k, (axis, name) in enumerate(zip(axes, ("hare", "lynx"))):
        sigma = flat[f"sigma_{name}"][chosen, None]
        predicted = curves[..., k] * np.exp(sigma * rng.standard_normal(curves.shape[:2]))
        for values, alpha, label in ((predicted, 0.2, "90 %, pelts"), (curves[..., k], 0.45, "90 %, population")):
            low, high = np.percentile(values, [5, 95], axis=0)
            axis.fill_between(YEARS[0] + times, low, high, color=f"C{k}", alpha=alpha, lw=0, label=label)
        axis.plot(YEARS[0] + times, np.median(curves[..., k], axis=0), f"C{k}", label="median")
        axis.plot(YEARS, PELTS[:, k], "ko", ms=4, label="pelts")
        axis.set(title=name, xlabel="year", xlim=(1899.5, 1920.5))
        axis.set_xticks(range(1900, 1921, 5))
        axis.legend(frameon=False, loc="upper right", fontsize="small")
    axes[0].set(ylabel="thousands", ylim=(0, None))
    save(figure, file_name)
    plt.close(figure)
