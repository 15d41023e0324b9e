"""The documentation's model: mu + mu*exp(theta*mu) = 1 with theta ~ HalfNormal(1), and three noisy values of mu."""

import implicitops as iop  # isort: skip  # before PyMC3, whose Theano it gives a BLAS

import arviz as az
import matplotlib
import numpy as np
import pymc3 as pm
import sympy as sp
from _command_line import chosen_backend, save

from implicitops import sampling

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OBSERVED = np.array([0.2, 0.21, 0.3])
SD = 0.1

mu, theta = sp.symbols("mu theta")
mu_of = iop.Root(mu + mu * sp.exp(theta * mu) - 1, mu, [theta], bracket=(0, 1))


def model():
    with pm.Model() as built:
        t = pm.HalfNormal("theta", sd=1)
        m = pm.Deterministic("mu", mu_of(t))
        pm.Normal("y", mu=m, sd=SD, observed=OBSERVED)
    return built


def sample(draws=4000, **options):
    options = {"tune": 1000, "chains": 4, "target_accept": 0.95, "random_seed": 1, **options}
    return sampling.sample(draws, model=model(), **options)


def exact_posteriors():
    """Posterior densities of theta and mu on a grid: mu = mu_of(theta) is known, so is its derivative."""
    grid = np.linspace(0, 5, 2001)
    solution = mu_of.solve(grid, derivatives=1)
    misfit = ((OBSERVED[:, None] - solution.value) / SD) ** 2
    density = np.exp(-(grid**2 + misfit.sum(axis=0)) / 2)
    density /= density.sum() * (grid[1] - grid[0])
    return {"theta": (grid, density), "mu": (solution.value, density / np.abs(solution.jacobian[:, 0]))}


def plot(posterior, exact):
    figure, axes = plt.subplots(2, 2, figsize=(10, 5.5), width_ratios=(2, 1), layout="constrained")
    for row, name, label in zip(axes, ("theta", "mu"), (r"$\theta$", r"$\mu$")):
        draws = posterior[name].to_numpy()
        for chain in draws:
            row[0].plot(chain, lw=0.4, alpha=0.7)
        row[0].set(ylabel=label, xlim=(0, draws.shape[1]))
        row[1].hist(draws.ravel(), bins=40, density=True, color="0.8", label="NUTS draws")
        row[1].plot(*exact[name], color="C3", lw=1.5, label="exact, by quadrature")
        row[1].set(xlabel=label, ylabel="density", xlim=(draws.min(), draws.max()))
        row[1].set_ylim(0, 1.35 * exact[name][1].max())  # room for the legend
    axes[0, 0].set_title(r"Trace: $\mu + \mu e^{\theta\mu} = 1$,  $\theta \sim$ HalfNormal(1)")
    axes[0, 1].set_title("Posterior")
    axes[1, 0].set_xlabel("draw (4 chains)")
    axes[0, 1].legend(frameon=False, fontsize="small", loc="upper right")
    figure.align_ylabels()
    save(figure, "documentation_model.png", dpi=150)


def main():
    backend = chosen_backend(__doc__)
    inference = sample(backend=backend)
    print(az.summary(inference, var_names=["theta", "mu"]).to_string())
    exact = exact_posteriors()
    grid, density = exact["theta"]
    print(f"exact mean of theta, by quadrature: {np.average(grid, weights=density):.3f}")
    plot(inference.posterior, exact)


if __name__ == "__main__":
    main()
