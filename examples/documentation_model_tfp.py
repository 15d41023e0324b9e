"""The documentation's model with TensorFlow Probability: NUTS under XLA, and a variational fit, against quadrature."""

from __future__ import annotations

import os
import time
from typing import Any

import arviz as az
import matplotlib
import numpy as np
import sympy as sp
from _command_line import save

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow has much to say about its machine
import tensorflow as tf
import tensorflow_probability as tfp

import implicitops as iop

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OBSERVED = np.array([0.2, 0.21, 0.3])
SD = 0.1

tfd, tfb = tfp.distributions, tfp.bijectors
one = tf.constant(1, tf.float64)

mu, theta = sp.symbols("mu theta")
mu_of = iop.Root(mu + mu * sp.exp(theta * mu) - 1, mu, [theta], bracket=(0, 1))


@tfd.JointDistributionCoroutineAutoBatched
def model() -> Any:
    t = yield tfd.HalfNormal(one, name="theta")
    yield tfd.Sample(tfd.Normal(mu_of(t), SD * one), len(OBSERVED), name="y")


POSTERIOR = model.experimental_pin(y=OBSERVED)


def sample(draws: int = 4000, tune: int = 1000, chains: int = 4) -> az.InferenceData:
    """Draws of NUTS, whose step size and mass matrix are adapted in windows; all in one compiled function."""

    @tf.function(jit_compile=True, autograph=False)
    def run(seed: Any) -> Any:
        return tfp.experimental.mcmc.windowed_adaptive_nuts(
            draws, POSTERIOR, n_chains=chains, num_adaptation_steps=tune, seed=seed
        )

    begin = time.perf_counter()
    found, trace = run(tf.constant([1, 2]))
    thetas = found.theta.numpy().T
    print(f"compilation and {thetas.size} draws: {time.perf_counter() - begin:.1f} s")
    return az.from_dict(
        {"theta": thetas, "mu": mu_of(thetas)}, sample_stats={"diverging": np.squeeze(trace["diverging"]).T}
    )


def fit(steps: int = 1000) -> tuple[Any, np.ndarray]:
    """Variational fit to theta, a normal distribution through softplus, and the loss at each step."""
    location, scale = tf.Variable(0 * one), tfp.util.TransformedVariable(0.5 * one, tfb.Softplus())
    surrogate = tfb.Softplus()(tfd.Normal(location, scale))

    @tf.function(jit_compile=True, autograph=False)
    def run() -> Any:
        return tfp.vi.fit_surrogate_posterior(
            POSTERIOR.unnormalized_log_prob,
            surrogate,
            optimizer=tf.optimizers.legacy.Adam(0.01),
            num_steps=steps,
            sample_size=200,
            seed=(3, 4),
        )

    losses = run().numpy()
    return tfb.Softplus()(tfd.Normal(location.numpy(), scale.numpy())), losses


def exact_posterior() -> tuple[np.ndarray, np.ndarray]:
    """Density of theta on a grid, by quadrature."""
    grid = np.linspace(1e-6, 6, 4001)
    misfit = ((OBSERVED[:, None] - mu_of(grid)) / SD) ** 2
    density = np.exp(-(grid**2 + misfit.sum(axis=0)) / 2)
    return grid, density / (density.sum() * (grid[1] - grid[0]))


def plot(posterior: Any, surrogate: Any, losses: np.ndarray) -> None:
    grid, density = exact_posterior()
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), width_ratios=(2, 1), layout="constrained")
    left.hist(posterior["theta"].to_numpy().ravel(), bins=60, density=True, color="0.85", label="NUTS draws")
    left.plot(grid, density, "C3", label="exact, by quadrature")
    left.plot(grid, surrogate.prob(grid), "C0--", label="softplus of a normal, variational")
    left.set(xlabel=r"$\theta$", ylabel="density", xlim=(0, 5), ylim=(0, 1.25 * density.max()))
    left.set_title(r"$\mu + \mu e^{\theta\mu} = 1$,  $\theta \sim$ HalfNormal(1)")
    left.legend(frameon=False, fontsize="small", loc="upper right")
    right.plot(losses, "C0", lw=0.5)
    right.set(xlabel="step", ylabel="negative ELBO", title="Variational fit", xlim=(0, len(losses)))
    right.set_ylim(losses[len(losses) // 2 :].min() - 0.1, np.percentile(losses, 99.5) + 0.1)
    save(figure, "documentation_model_tfp.png", dpi=150)
    plt.close(figure)


def main() -> None:
    """Sample, fit, compare with quadrature, draw."""
    inference = sample()
    print(az.summary(inference).to_string())
    grid, density = exact_posterior()
    surrogate, losses = fit()
    draws = inference.posterior["theta"].values
    print(f"mean of theta by NUTS:        {draws.mean():.4f}, Monte Carlo error {az.mcse(draws, method='mean'):.4f}")
    print(f"mean of theta by quadrature:  {np.average(grid, weights=density):.4f}")
    fitted = np.average(grid, weights=surrogate.prob(grid).numpy())
    print(f"mean of theta by variational inference: {fitted:.4f}")
    plot(inference.posterior, surrogate, losses)


if __name__ == "__main__":
    main()
