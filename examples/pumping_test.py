"""A pumping test: transmissivity and storativity of an aquifer from Theis' well function, with NUTS.

A well is pumped at a constant rate Q. At the distance r the water level has fallen, at time t, by
s = Q/(4 pi T) W(u), u = r^2 S/(4 T t), with the well function W(u) = integral of exp(-x)/x from u to infinity
(C. V. Theis, Trans. Am. Geophys. Union 16 (1935) 519). The parameters are in the lower limit. This integral has a
name, ``sympy.expint(1, u)``, and is checked against SciPy's; the well functions of leaky aquifers have none. The data
are those of Oude Korendijk, measured in 1963 and printed in G. P. Kruseman and N. A. de Ridder, Analysis and Evaluation
of Pumping Test Data (1994), table 3.2. The posterior is compared with a least squares fit of both piezometers by
AQTESOLV, which TTim's documentation reports (X. Yang, Master thesis, TU Delft, 2020).

The residuals are not independent: they drift along each curve, as the aquifer is not what Theis assumed. The standard
deviations here are therefore too small, as those of the published fit are.
"""

from __future__ import annotations

from pathlib import Path

import implicitops as iop  # isort: skip  # before PyMC3, whose Theano it gives a BLAS

import arviz as az
import matplotlib
import numpy as np
import pymc3 as pm
import scipy.special
import sympy as sp
from _command_line import chosen_backend, save

from implicitops import sampling

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).resolve().parent
DISTANCE, MINUTES, DRAWDOWN = np.loadtxt(HERE / "data" / "oude_korendijk.csv", delimiter=",", skiprows=4, unpack=True)
DAYS = MINUTES / 1440
PUMPED = 788.0  # m3/d

#: T = K b and S = Ss b with K = 66.086 m/d, Ss = 2.541e-5 1/m and a thickness b of 7 m; and the root mean square error.
PUBLISHED = {"T": 66.086 * 7, "S": 2.541e-5 * 7, "sigma": 0.05006}

x, u = sp.symbols("x u", positive=True)
WELL_FUNCTION = iop.Integral(sp.exp(-x) / x, (x, u, sp.oo), [u])


def drawdown(distance: object, days: object, transmissivity: object, storativity: object) -> object:
    """Theis' formula, of numbers or of a framework's variables."""
    reduced = distance**2 * storativity / (4 * transmissivity * days)
    return PUMPED / (4 * np.pi * transmissivity) * WELL_FUNCTION(reduced)


def check_against_scipy() -> float:
    """Largest relative difference from SciPy's exponential integral, for value and derivative."""
    at = np.geomspace(1e-8, 20, 200)
    solution = WELL_FUNCTION.solve(at, derivatives=1)
    value = np.abs(solution.value / scipy.special.exp1(at) - 1).max()
    return float(max(value, np.abs(solution.jacobian[:, 0] / (-np.exp(-at) / at) - 1).max()))


def model() -> pm.Model:
    """Log-normal priors that leave each parameter a factor of ten or more; errors of one size."""
    with pm.Model() as built:
        transmissivity = pm.Lognormal("T", np.log(500), 1.5)
        storativity = pm.Lognormal("S", np.log(3e-4), 2)
        sigma = pm.HalfNormal("sigma", 0.2)
        expected = drawdown(DISTANCE, DAYS, transmissivity, storativity)
        pm.Normal("drawdown", expected, sigma, observed=DRAWDOWN)
    return built


def sample(draws: int = 1000, **options: object) -> az.InferenceData:
    """Posterior draws of four chains: by PyMC3, two at a time, or by TensorFlow Probability."""
    options = {"tune": 1000, "chains": 4, "cores": 2, "random_seed": 10, **options}
    return sampling.sample(draws, model=model(), **options)


def main() -> None:
    """Check the integral, sample, compare with the published fit, draw."""
    backend = chosen_backend(__doc__)
    print(f"largest relative difference from scipy.special.exp1: {check_against_scipy():.1e}")
    posterior = sample(backend=backend).posterior
    print(az.summary(posterior, round_to=6).to_string())
    print("parameter       mean         sd   published  difference in sd")
    for name, published in PUBLISHED.items():
        mean, sd = float(posterior[name].mean()), float(posterior[name].std())
        print(f"{name:9} {mean:10.5g} {sd:10.3g} {published:11.5g} {(mean - published) / sd:17.2f}")
    draw(posterior)


def draw(posterior: az.InferenceData) -> None:
    """Drawdown against time with 90 % bands, and the two parameters against each other."""
    transmissivity, storativity = (posterior[name].values.ravel() for name in ("T", "S"))
    minutes = np.geomspace(0.08, 1000, 120)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", width_ratios=[1.6, 1])
    for k, distance in enumerate(np.unique(DISTANCE)):
        curves = drawdown(distance, minutes / 1440, transmissivity[:, None], storativity[:, None])
        low, median, high = np.percentile(curves, [5, 50, 95], axis=0)
        left.fill_between(minutes, low, high, color=f"C{k}", alpha=0.35, lw=0)
        left.plot(minutes, median, f"C{k}", label=f"{distance:.0f} m from the well")
        here = distance == DISTANCE
        left.plot(MINUTES[here], DRAWDOWN[here], f"C{k}o", mec="k", mew=0.5, ms=4)
    left.set(xscale="log", xlabel="minutes of pumping", ylabel="drawdown, m", ylim=(0, None))
    left.legend(frameon=False)
    right.plot(transmissivity, 1e4 * storativity, "C0.", ms=1.5, alpha=0.5)
    right.plot(PUBLISHED["T"], 1e4 * PUBLISHED["S"], "k+", ms=14, mew=2, label="published")
    right.set(xlabel="transmissivity, m$^2$/d", ylabel="storativity, 10$^{-4}$")
    right.legend(frameon=False)
    save(figure, "pumping_test.png")


if __name__ == "__main__":
    main()
