"""Linear regression of PyMC3's first tutorial on Theano and on TensorFlow, with Metropolis and with NUTS.

100 observations of Y = alpha + beta_0 X_1 + beta_1 X_2 + noise of known standard deviation 1, priors Normal(0, 10). The
posterior is a normal distribution known in closed form, which the draws are compared with; the means published for this
data set after 5000 Metropolis draws are printed beside it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import implicitops  # noqa: F401  # isort: skip  # before PyMC3, whose Theano it gives a BLAS

import arviz as az
import matplotlib
import numpy as np
import pymc3 as pm
from _command_line import save

from implicitops.sampling import sample

matplotlib.use("Agg")
import matplotlib.pyplot as plt

NAMES = ("alpha", "beta_0", "beta_1")
PRIOR_SD, NOISE_SD = 10.0, 1.0
PUBLISHED = {"theano": (0.9054, 0.9459, 2.6006), "tensorflow": (0.9055, 0.9478, 2.6209)}


@dataclass(frozen=True)
class Data:
    """Design matrix (100, 3), whose first column is 1, and observations (100,)."""

    design: np.ndarray
    observed: np.ndarray


def data() -> Data:
    """The data set, from the seed that it was published with."""
    random = np.random.RandomState(123)  # the numbers of np.random.seed(123)
    alpha, sigma, beta = 1, 1, (1, 2.5)
    first = random.randn(100)
    second = random.randn(100) * 0.2
    observed = alpha + beta[0] * first + beta[1] * second + random.randn(100) * sigma
    return Data(np.stack([np.ones(100), first, second], axis=1), observed.astype(np.float32))


def model(found: Data) -> pm.Model:
    with pm.Model() as built:
        alpha = pm.Normal("alpha", mu=0, sd=PRIOR_SD)
        beta = pm.Normal("beta", mu=0, sd=PRIOR_SD, shape=2)
        mean = alpha + beta[0] * found.design[:, 1] + beta[1] * found.design[:, 2]
        pm.Normal("Y", mu=mean, sd=NOISE_SD, observed=found.observed)
    return built


def exact_posterior(found: Data) -> tuple[np.ndarray, np.ndarray]:
    """Mean (3,) and covariance (3, 3) of alpha and beta: Bishop (2006), equations 3.50 and 3.51."""
    precision = np.eye(3) / PRIOR_SD**2 + found.design.T @ found.design / NOISE_SD**2
    covariance = np.linalg.inv(precision)
    return covariance @ found.design.T @ found.observed / NOISE_SD**2, covariance


def draws_of(inference: az.InferenceData) -> np.ndarray:
    """Draws of alpha and beta: (chain, draw, 3)."""
    posterior = inference.posterior
    return np.concatenate([posterior["alpha"].values[..., None], posterior["beta"].values], axis=-1)


@dataclass(frozen=True)
class Row:
    """What a run gave: means and their Monte Carlo errors (3,), draws and effective draws per second, and seconds."""

    mean: np.ndarray
    error: np.ndarray
    draws_per_second: float
    effective_per_second: float
    sampling_seconds: float
    compile_seconds: float


def row(inference: az.InferenceData) -> Row:
    draws = draws_of(inference)
    about = inference.posterior.attrs
    columns = [np.ascontiguousarray(draws[..., k]) for k in range(3)]
    effective = min(float(az.ess(column)) for column in columns)
    seconds = about["sampling_time"]
    n_steps = draws.shape[0] * (draws.shape[1] + about["tuning_steps"])
    error = np.array([az.mcse(column, method="mean") for column in columns])
    mean = draws.mean(axis=(0, 1))
    return Row(mean, error, n_steps / seconds, effective / seconds, seconds, about["compile_time"])


def run(backends: tuple[str, ...], draws: int, tune: int, chains: int, seed: int) -> dict[tuple[str, str], Row]:
    built, rows = model(data()), {}
    for step in ("metropolis", "nuts"):
        for backend in backends:
            found = sample(draws, tune, chains, step, backend, built, random_seed=seed)
            rows[step, backend] = row(found)
    return rows


def table(rows: dict[tuple[str, str], Row]) -> str:
    mean, covariance = exact_posterior(data())
    lines = [
        f"{'':24}" + "".join(f"{name:>10}" for name in NAMES) + f"{'draws/s':>12}{'ESS/s':>10}{'s':>8}{'compile s':>11}"
    ]

    def line(label: str, values: object, rest: str = "") -> None:
        lines.append(f"{label:24}" + "".join(f"{value:10.4f}" for value in values) + rest)

    line("exact mean", mean)
    line("exact sd", np.sqrt(np.diag(covariance)))
    for backend, values in PUBLISHED.items():
        line(f"published, {backend}", values)
    for (step, backend), r in rows.items():
        rest = f"{r.draws_per_second:12,.0f}{r.effective_per_second:10,.0f}"
        rest += f"{r.sampling_seconds:8.2f}{r.compile_seconds:11.1f}"
        line(f"{step}, {backend}", r.mean, rest)
        line("  Monte Carlo error", r.error)
    return "\n".join(lines)


def draw(rows: dict[tuple[str, str], Row]) -> None:
    """Means with their Monte Carlo errors beside the exact ones, and how fast each run was."""
    mean, covariance = exact_posterior(data())
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained", width_ratios=(3, 2))
    labels = [f"{step}\n{backend}" for step, backend in rows]
    for k, name in enumerate(NAMES):
        scaled = [(r.mean[k] - mean[k]) / np.sqrt(covariance[k, k]) for r in rows.values()]
        errors = [2 * r.error[k] / np.sqrt(covariance[k, k]) for r in rows.values()]
        axes[0].errorbar(np.arange(len(rows)) + 0.15 * (k - 1), scaled, errors, fmt="o", capsize=3, label=name)
    axes[0].axhline(0, color="k", lw=0.8)
    axes[0].set_xticks(range(len(rows)), labels)
    axes[0].set(ylabel="(mean - exact) / posterior sd", title="Posterior means, with 2 Monte Carlo errors")
    axes[0].legend(frameon=False)
    axes[1].bar(labels, [r.effective_per_second for r in rows.values()], color=["C0", "C1"] * 2)
    axes[1].set(yscale="log", ylabel="effective draws per second", title="Speed, without compilation")
    save(figure, "linear_regression_two_backends.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5000)
    parser.add_argument("--tune", type=int, default=1000)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--seed", type=int, default=123)
    parser.add_argument("--backends", nargs="+", default=["theano", "tensorflow"])
    options = parser.parse_args()
    rows = run(tuple(options.backends), options.draws, options.tune, options.chains, options.seed)
    print(table(rows))
    draw(rows)


if __name__ == "__main__":
    main()
