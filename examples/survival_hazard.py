"""Survival with a seasonal hazard that also changes with age: right-censored data, with NUTS.

The hazard at t months is h(t) = exp(level + season sin(2 pi t/12) + trend log((1 + t)/20)). Someone who dies at t
adds log h(t) - H(t) to the log-likelihood and someone who leaves the study alive -H(t), with the cumulative hazard
H(t) = integral of h from 0 to t (J. D. Kalbfleisch and R. L. Prentice, The Statistical Analysis of Failure Time
Data, second edition (2002), section 3.2). It has no closed form: each person's is a definite integral. The data are
simulated with parameters that are known.
"""

from __future__ import annotations

import implicitops as iop  # isort: skip  # before PyMC3, whose Theano it gives a BLAS

import arviz as az
import matplotlib
import numpy as np
import pymc3 as pm
import scipy.integrate
import sympy as sp
from _command_line import chosen_backend, save

from implicitops import sampling

matplotlib.use("Agg")
import matplotlib.pyplot as plt

TRUTH = {"level": -3.0, "season": 0.8, "trend": 0.35}
STUDY_ENDS = 48.0  # months

time, until, level, season, trend = sp.symbols("time until level season trend", real=True)
LOG_HAZARD = level + season * sp.sin(2 * sp.pi * time / 12) + trend * sp.log((1 + time) / 20)
CUMULATIVE_HAZARD = iop.Integral(sp.exp(LOG_HAZARD), (time, 0, until), [until, level, season, trend])


def log_hazard(t: np.ndarray, level: object, season: object, trend: object) -> object:
    """Logarithm of the hazard at the times t, which are numbers."""
    return level + season * np.sin(2 * np.pi * t / 12) + trend * np.log((1 + t) / 20)


def cumulative_by_scipy(t: float, level: float, season: float, trend: float) -> float:
    """The same integral with SciPy's quadrature."""
    hazard = lambda s: np.exp(log_hazard(s, level, season, trend))  # noqa: E731
    return scipy.integrate.quad(hazard, 0, t, epsabs=0, epsrel=1e-11, limit=200)[0]


def check_against_scipy() -> float:
    """Largest relative difference from SciPy's quadrature at a few points."""
    points = [(0.5, -4.0, 0.8, 0.35), (11.0, -4.0, 0.8, 0.35), (48.0, -3.0, 1.5, -0.5), (200.0, -6.0, -2.0, 1.2)]
    return max(abs(CUMULATIVE_HAZARD(*p) / cumulative_by_scipy(*p) - 1) for p in points)


def simulated(n: int = 160, seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Time in the study of each person, and whether it ended with death.

    A death is where the cumulative hazard, summed by the trapezoidal rule, reaches a standard exponential number.
    Some leave early, at a uniform time; the study ends for all others.
    """
    rng = np.random.default_rng(seed)
    grid = np.linspace(0, STUDY_ENDS, 100_001)
    cumulative = scipy.integrate.cumulative_trapezoid(np.exp(log_hazard(grid, *TRUTH.values())), grid, initial=0)
    deaths = np.interp(rng.exponential(size=n), cumulative, grid, right=np.inf)
    leaving = np.where(rng.uniform(size=n) < 0.3, rng.uniform(1, STUDY_ENDS, n), STUDY_ENDS)
    return np.minimum(deaths, leaving), deaths <= leaving


def model(times: np.ndarray, died: np.ndarray) -> pm.Model:
    """Normal priors; the likelihood is that of censored times."""
    with pm.Model() as built:
        parameters = (pm.Normal("level", -3, 2), pm.Normal("season", 0, 1), pm.Normal("trend", 0, 1))
        survived = -CUMULATIVE_HAZARD(times, *parameters).sum()
        pm.Potential("log_likelihood", survived + log_hazard(times[died], *parameters).sum())
    return built


def sample(draws: int = 1000, **options: object) -> az.InferenceData:
    """Posterior draws of four chains: by PyMC3, two at a time, or by TensorFlow Probability."""
    options = {"tune": 1000, "chains": 4, "cores": 2, "random_seed": 8, **options}
    return sampling.sample(draws, model=model(*simulated()), **options)


def main() -> None:
    """Check the integral, sample, compare with the truth, draw."""
    backend = chosen_backend(__doc__)
    print(f"largest relative difference from scipy.integrate.quad: {check_against_scipy():.1e}")
    times, died = simulated()
    print(f"{times.size} persons, of whom {died.sum()} died during the study")
    posterior = sample(backend=backend).posterior
    print(az.summary(posterior, round_to=4).to_string())
    print("parameter       mean        sd      truth  difference in sd")
    for name, truth in TRUTH.items():
        mean, sd = float(posterior[name].mean()), float(posterior[name].std())
        print(f"{name:10} {mean:9.4f} {sd:9.4f} {truth:10.4f} {(mean - truth) / sd:17.2f}")
    draw(posterior)


def kaplan_meier(times: np.ndarray, died: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times of death, in order, and the estimated survival after each."""
    order = np.argsort(times)
    at_risk = np.arange(times.size, 0, -1)
    survival = np.cumprod(1 - died[order] / at_risk)
    return times[order][died[order]], survival[died[order]]


def draw(posterior: az.InferenceData, n_curves: int = 1000) -> None:
    """Hazard and survival with 90 % bands, the truth, and the estimate of Kaplan and Meier."""
    rng = np.random.default_rng(9)
    chosen = rng.choice(posterior["level"].size, n_curves, replace=False)
    parameters = [posterior[name].values.ravel()[chosen, None] for name in TRUTH]
    grid = np.linspace(0, STUDY_ENDS, 200)
    hazard = np.exp(log_hazard(grid, *parameters))
    survival = np.exp(-CUMULATIVE_HAZARD(grid, *parameters))
    truths = np.exp(log_hazard(grid, *TRUTH.values())), np.exp(-CUMULATIVE_HAZARD(grid, *TRUTH.values()))
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for axis, curves, truth, name in zip(axes, (hazard, survival), truths, ("hazard per month", "survival")):
        low, median, high = np.percentile(curves, [5, 50, 95], axis=0)
        axis.fill_between(grid, low, high, color="C0", alpha=0.35, lw=0, label="90 %")
        axis.plot(grid, median, "C0", label="median")
        axis.plot(grid, truth, "k--", lw=1, label="truth")
        axis.set(xlabel="months", ylabel=name, xlim=(0, STUDY_ENDS), ylim=(0, None))
    deaths, estimate = kaplan_meier(*simulated())
    axes[1].step([0, *deaths], [1, *estimate], "C1", where="post", lw=1, label="Kaplan-Meier")
    for axis in axes:
        axis.legend(frameon=False, fontsize="small")
    save(figure, "survival_hazard.png")


if __name__ == "__main__":
    main()
