"""Prices in a market with differentiated products: the equilibrium of a game, a fixed point.

Three firms set prices; demand is logit with price sensitivity alpha and qualities d. In a Nash equilibrium each price
is its cost plus a markup, p_j = c_j + 1/(alpha (1 - share_j(p))) (S. Berry, RAND Journal of Economics 25 (1994) 242).
The sensitivity and the costs are inferred from prices that are observed in markets with different qualities.
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

N_FIRMS, N_MARKETS = 3, 12
prices = sp.symbols(f"p0:{N_FIRMS}")
costs = sp.symbols(f"c0:{N_FIRMS}")
qualities = sp.symbols(f"d0:{N_FIRMS}")
alpha = sp.Symbol("alpha")
utilities = [sp.exp(d - alpha * p) for d, p in zip(qualities, prices)]
shares = [u / (1 + sum(utilities)) for u in utilities]  # the 1 is the outside good
EQUILIBRIUM = iop.FixedPoint(
    [c + 1 / (alpha * (1 - share)) for c, share in zip(costs, shares)],
    prices,
    [alpha, costs, qualities],
    guess=[c + 1 / alpha for c in costs],
)

TRUE_ALPHA, TRUE_COSTS, NOISE = 1.5, np.array([1.0, 1.3, 0.8]), 0.05


def main() -> None:
    """Simulate markets, infer demand and costs, compare observed and predicted prices."""
    rng = np.random.default_rng(5)
    quality = rng.normal(2.0, 1.0, (N_MARKETS, N_FIRMS))
    exact = EQUILIBRIUM(TRUE_ALPHA, TRUE_COSTS, quality)
    observed = exact + NOISE * rng.standard_normal(exact.shape)
    with pm.Model():
        sensitivity = pm.Lognormal("alpha", 0.0, 0.7)
        cost = pm.Lognormal("cost", 0.0, 0.5, shape=N_FIRMS)
        price = pm.Deterministic("price", EQUILIBRIUM(sensitivity, cost, quality))
        pm.Normal("observed", mu=price, sd=NOISE, observed=observed)
        trace = pm.sample(1000, tune=1000, chains=2, cores=1, random_seed=6, return_inferencedata=True)
    print(az.summary(trace, var_names=["alpha", "cost"]))
    draw(trace, observed)


def draw(trace: az.InferenceData, observed: np.ndarray) -> None:
    """Posterior of sensitivity and costs, and predicted against observed prices."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    posterior = trace.posterior
    values = [posterior["alpha"].values.ravel(), *posterior["cost"].values.reshape(-1, N_FIRMS).T]
    left.violinplot(values, showextrema=False)
    left.plot(range(1, N_FIRMS + 2), [TRUE_ALPHA, *TRUE_COSTS], "k_", ms=20, label="truth")
    left.set_xticks(range(1, N_FIRMS + 2), ["alpha", *(f"cost {j + 1}" for j in range(N_FIRMS))])
    left.set(title="Posterior")
    left.legend()
    mean = posterior["price"].values.reshape(-1, N_MARKETS, N_FIRMS).mean(axis=0)
    for j in range(N_FIRMS):
        right.plot(observed[:, j], mean[:, j], "o", ms=4, label=f"firm {j + 1}")
    right.axline((mean.min(), mean.min()), slope=1, color="k", lw=0.8)
    right.set(xlabel="observed price", ylabel="posterior mean price", title="Equilibrium prices")
    right.legend()
    save(figure, "market_equilibrium.png")


if __name__ == "__main__":
    main()
