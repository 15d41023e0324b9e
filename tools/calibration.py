"""Simulation-based calibration of `sample`: are the true parameters draws from the posterior that it returns?

Parameters are drawn from the prior, data from the parameters, and the posterior of the data is sampled. Among
independent draws of a right posterior, the rank of the true value is uniform (Talts, Betancourt, Simpson, Vehtari and
Gelman 2018, "Validating Bayesian inference algorithms with simulation-based calibration", arXiv:1804.06788, theorem
1). The likelihood at the draws is ranked too, which sees posteriors that ignore the data (Modrak et al. 2023, Bayesian
Analysis).

Fifty replications are rows of one model, independent of each other, so that a call of `sample` serves all of them; the
next fifty data sets are put into the same model with `pm.set_data`. Both backends get the same data.

    python tools/calibration.py
    python tools/calibration.py --replications 1000 --backends tensorflow
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import implicitops as iop  # isort: skip  # before PyMC3, whose Theano it gives a BLAS

import matplotlib
import numpy as np
import pymc3 as pm
import scipy.stats
import sympy as sp

from implicitops.sampling import sample

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FIGURE = Path(__file__).resolve().parents[1] / "output" / "calibration.png"
#: Replications in a call of `sample`, draws that a true value is ranked among, and every how many of them is kept.
ROWS, DRAWS, THINNING = 50, 99, 10
CHAINS, TUNE = 2, 500
#: Bins of the chi-square test, and intervals between the points at which the distribution function is looked at.
BINS, INTERVALS = 10, 20

Values = dict[str, np.ndarray]


@dataclass(frozen=True)
class Simulation:
    """A model of many independent rows, and what draws its parameters and data.

    Parameters
    ----------
    quantities : dict from the name of what is ranked to a function of the parameters, which gives (..., ROWS)
    build : callable without arguments, gives a pymc3.Model with the ``pm.Data`` "y" of ROWS rows
    prior : callable of a numpy Generator, gives a value (ROWS, ...) of each parameter
    mean : callable of the parameters (..., ROWS, ...), gives the mean of the observations; broadcasts with them
    noise_sd : ndarray (observations,)
    """

    quantities: dict[str, Callable[[Values], np.ndarray]]
    build: Callable[[], pm.Model]
    prior: Callable[[np.random.Generator], Values]
    mean: Callable[[Values], np.ndarray]
    noise_sd: np.ndarray

    def ranked(self, values: Values, data: np.ndarray) -> Values:
        """Quantities at parameters, and the likelihood of the data: (..., ROWS) each."""
        found = {name: quantity(values) for name, quantity in self.quantities.items()}
        density = scipy.stats.norm.logpdf(data, self.mean(values), self.noise_sd).sum(axis=-1)
        return {**found, "log likelihood": density}


SCHOOLS_SD = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])  # Rubin (1981), table 1


def schools() -> pm.Model:
    """Eight schools, not centred, with a half-normal prior of their spread."""
    with pm.Model() as built:
        data = pm.Data("y", np.zeros((ROWS, 8)))
        mu = pm.Normal("mu", 0, 5, shape=ROWS)
        tau = pm.HalfNormal("tau", 5, shape=ROWS)
        eta = pm.Normal("eta", 0, 1, shape=(ROWS, 8))
        theta = pm.Deterministic("theta", mu[:, None] + tau[:, None] * eta)
        pm.Normal("observed", theta, SCHOOLS_SD, observed=data)
    return built


def schools_prior(generator: np.random.Generator) -> Values:
    found = {
        "mu": generator.normal(0, 5, ROWS),
        "tau": np.abs(generator.normal(0, 5, ROWS)),
        "eta": generator.normal(0, 1, (ROWS, 8)),
    }
    found["theta"] = found["mu"][:, None] + found["tau"][:, None] * found["eta"]
    return found


mu, theta = sp.symbols("mu theta")
mu_of = iop.Root(mu + mu * sp.exp(theta * mu) - 1, mu, [theta], bracket=(0, 1))


def documentation() -> pm.Model:
    """The documentation's model: three observations of a root."""
    with pm.Model() as built:
        data = pm.Data("y", np.zeros((ROWS, 3)))
        parameter = pm.HalfNormal("theta", 1, shape=ROWS)
        pm.Normal("observed", mu_of(parameter)[:, None], 0.1, observed=data)
    return built


def root(theta: np.ndarray) -> np.ndarray:
    """Root of mu + mu exp(theta mu) = 1 by bisection, so that the solver is not compared with itself."""
    lower, upper = np.zeros_like(theta), np.ones_like(theta)
    for _ in range(60):
        middle = (lower + upper) / 2
        is_above = middle + middle * np.exp(theta * middle) > 1
        lower, upper = np.where(is_above, lower, middle), np.where(is_above, middle, upper)
    return (lower + upper) / 2


SIMULATIONS = {
    "eight schools": Simulation(
        {"mu": lambda v: v["mu"], "tau": lambda v: v["tau"], "first school": lambda v: v["theta"][..., 0]},
        schools,
        schools_prior,
        lambda v: v["theta"],
        SCHOOLS_SD,
    ),
    "implicit node": Simulation(
        {"theta": lambda v: v["theta"]},
        documentation,
        lambda generator: {"theta": np.abs(generator.normal(0, 1, ROWS))},
        lambda v: root(v["theta"])[..., None],
        np.full(3, 0.1),
    ),
}


@dataclass(frozen=True)
class Calibration:
    """Ranks of the true values, from 0 to DRAWS.

    Parameters
    ----------
    ranks : dict from a quantity to an int ndarray (replications,)
    divergences : int, among all draws
    seconds : float
    """

    ranks: Values
    divergences: int
    seconds: float


def calibrate(simulation: Simulation, backend: str, replications: int, seed: int) -> Calibration:
    """Ranks of the true values among draws of `sample`; ``replications`` is rounded up to whole calls."""
    model = simulation.build()
    parts: list[Values] = []
    divergences, started = 0, time.perf_counter()
    for call in range(-(-replications // ROWS)):
        generator = np.random.default_rng([seed, call])
        truth = simulation.prior(generator)
        data = generator.normal(simulation.mean(truth), simulation.noise_sd)
        pm.set_data({"y": data}, model)
        length = (DRAWS + 1) * THINNING // CHAINS
        found = sample(
            length, TUNE, CHAINS, "nuts", backend, model, random_seed=[seed, call], progressbar=False, cores=1
        )
        divergences += int(found.sample_stats["diverging"].sum())
        kept = {name: _thinned(found.posterior[name].to_numpy()) for name in truth}
        drawn, true = simulation.ranked(kept, data), simulation.ranked(truth, data)
        parts.append({name: (drawn[name] < true[name]).sum(axis=0) for name in true})
    ranks = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Calibration(ranks, divergences, time.perf_counter() - started)


def _thinned(draws: np.ndarray) -> np.ndarray:
    """Every so many of the draws (chain, draw, ...), DRAWS of them."""
    return draws[:, THINNING - 1 :: THINNING].reshape(-1, *draws.shape[2:])[:DRAWS]


def chi_square_p(ranks: np.ndarray) -> float:
    """Probability of bins that differ as much or more from equal ones, of uniform ranks."""
    counts = np.bincount(ranks * BINS // (DRAWS + 1), minlength=BINS)
    return float(scipy.stats.chisquare(counts).pvalue)


def simultaneous_band(n: int, coverage: float) -> tuple[np.ndarray, np.ndarray]:
    """Limits that n uniform ranks' distribution function stays within at all interior points at once.

    Binomial intervals at each point, at the level at which they hold together: the counts at successive points are a
    Markov chain, so the probability of that is exact (Sailynoja, Buerkner, Vehtari 2022, Statistics and Computing 32,
    section 2.2).

    Parameters
    ----------
    n : int, number of ranks
    coverage : float, least probability of staying inside

    Returns
    -------
    lowest and highest count (INTERVALS - 1,) of ranks below each point
    """
    points = np.arange(1, INTERVALS) / INTERVALS
    counts = np.arange(n + 1)
    steps = [
        scipy.stats.binom.pmf(counts[None, :] - counts[:, None], n - counts[:, None], 1 / (INTERVALS - k))
        for k in range(INTERVALS - 1)
    ]

    def limits(outside: float) -> tuple[np.ndarray, np.ndarray]:
        return scipy.stats.binom.ppf(outside / 2, n, points), scipy.stats.binom.isf(outside / 2, n, points)

    def probability_outside(outside: float) -> float:
        low, high = limits(outside)
        chain = np.eye(1, n + 1)[0]
        left = 0.0
        for k, step in enumerate(steps):
            chain = chain @ step
            is_inside = (counts >= low[k]) & (counts <= high[k])
            left += chain[~is_inside].sum()
            chain = np.where(is_inside, chain, 0)
        return left

    # At each point alone: by Bonferroni's inequality the first is wide enough, the second is not.
    wide, narrow = np.log((1 - coverage) / (2 * INTERVALS)), np.log(2 * (1 - coverage))
    for _ in range(30):
        middle = (wide + narrow) / 2
        wide, narrow = (middle, narrow) if probability_outside(np.exp(middle)) <= 1 - coverage else (wide, middle)
    return limits(np.exp(wide))


def counts_below(ranks: np.ndarray) -> np.ndarray:
    """Number of ranks below each interior point: (INTERVALS - 1,)."""
    points = np.arange(1, INTERVALS) * (DRAWS + 1) // INTERVALS
    return (np.asarray(ranks)[:, None] < points).sum(axis=0)


def is_inside_band(ranks: np.ndarray, coverage: float) -> bool:
    """Whether the ranks' distribution function stays within the band."""
    low, high = simultaneous_band(len(ranks), coverage)
    found = counts_below(ranks)
    return bool(((found >= low) & (found <= high)).all())


Results = dict[tuple[str, str], Calibration]


def failures(results: Results, false_alarm_rate: float) -> list[str]:
    """Quantities whose ranks are not uniform.

    Parameters
    ----------
    results : dict from (simulation, backend) to Calibration
    false_alarm_rate : float, probability that a right sampler fails any of the tests; each gets an equal share
    """
    quantities = [(key, name) for key, found in results.items() for name in found.ranks]
    share = false_alarm_rate / (2 * len(quantities))
    found = []
    for key, name in quantities:
        ranks = results[key].ranks[name]
        p = chi_square_p(ranks)
        if p < share or not is_inside_band(ranks, 1 - share):
            found.append(f"{' on '.join(key)}, {name}: p = {p:.2g}, least {share:.2g}")
    return found


def table(results: Results) -> str:
    lines = [f"{'model':16}{'backend':12}{'quantity':16}{'ranks':>6}{'chi-square p':>14}{'95% band':>10}"]
    for (model, backend), found in results.items():
        for name, ranks in found.ranks.items():
            inside = "inside" if is_inside_band(ranks, 0.95) else "outside"
            lines.append(f"{model:16}{backend:12}{name:16}{len(ranks):6}{chi_square_p(ranks):14.3f}{inside:>10}")
        lines.append(f"{'':28}{found.divergences} divergences, {found.seconds:.0f} s")
    return "\n".join(lines)


def draw(results: Results) -> None:
    """Distribution function of the ranks less that of uniform ones, with the band that holds 95 % of right samplers."""
    panels = list(dict.fromkeys((model, name) for (model, _), found in results.items() for name in found.ranks))
    figure, axes = plt.subplots(2, 3, figsize=(9, 5), layout="constrained", sharex=True)
    points = np.arange(1, INTERVALS) / INTERVALS
    for axis, (model, name) in zip(axes.flat, panels):
        chosen = {b: found.ranks[name] for (m, b), found in results.items() if m == model}
        n = len(next(iter(chosen.values())))
        low, high = simultaneous_band(n, 0.95)
        axis.fill_between(points, low / n - points, high / n - points, color="0.88", lw=0, label="95 % band")
        axis.axhline(0, color="0.5", lw=0.8)
        for color, (backend, ranks) in zip(("C0", "C1"), chosen.items()):
            axis.plot(points, counts_below(ranks) / n - points, color=color, marker=".", ms=4, lw=1, label=backend)
        axis.set_title(f"{model}: {name}", fontsize="medium")
    axes[0, 0].legend(fontsize="x-small", loc="lower center", framealpha=1, handlelength=1.2)
    figure.supxlabel("rank of the true value, as a fraction")
    figure.supylabel("distribution function − uniform")
    figure.suptitle(f"Simulation-based calibration of sample, {n} replications each")
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=100)
    plt.close(figure)


def run(backends: tuple[str, ...], replications: int, seed: int) -> Results:
    return {
        (name, backend): calibrate(simulation, backend, replications, seed)
        for name, simulation in SIMULATIONS.items()
        for backend in backends
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=500)
    parser.add_argument("--backends", nargs="+", default=["theano", "tensorflow"], choices=["theano", "tensorflow"])
    parser.add_argument("--seed", type=int, default=11)
    options: Any = parser.parse_args()
    results = run(tuple(options.backends), options.replications, options.seed)
    print(table(results))
    draw(results)
    print(f"figure: {FIGURE}")


if __name__ == "__main__":
    main()
