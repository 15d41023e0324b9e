"""Hares and lynxes of Hudson Bay with TensorFlow Probability: the model of lynx_hare.py, sampled under XLA.

The parameters are strongly correlated. The mode is found first, and the Hessian there, for which the differential
equations have second derivatives, makes the coordinates in which NUTS samples four chains at once.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from typing import Any

import arviz as az
import numpy as np
import scipy.optimize

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow has much to say about its machine
import tensorflow as tf
import tensorflow_probability as tfp
from hudson_bay import PELTS, REFERENCE, draw, populations, report

SIZES = populations(rtol=1e-6, atol=1e-6)  # the tolerances of the case study
NAMES = tuple(REFERENCE)  # in the order of the model below

tfd = tfp.distributions


def constant(value: Any) -> Any:
    """Number or array in double precision."""
    return tf.constant(value, tf.float64)


def model(problem: Any = SIZES) -> Any:
    """The case study's model, as a joint distribution. Pelts are in thousands, and their errors log-normal."""

    def positive_normal(mean: float, sd: float, name: str) -> Any:
        return tfd.TruncatedNormal(constant(mean), constant(sd), constant(0), constant(np.inf), name=name)

    def log_normal(mean: float, name: str) -> Any:
        return tfd.LogNormal(constant(mean), constant(1), name=name)

    @tfd.JointDistributionCoroutineAutoBatched
    def joint() -> Any:
        alpha = yield positive_normal(1, 0.5, "alpha")
        beta = yield positive_normal(0.05, 0.05, "beta")
        gamma = yield positive_normal(1, 0.5, "gamma")
        delta = yield positive_normal(0.05, 0.05, "delta")
        hare0 = yield log_normal(np.log(10), "hare0")
        lynx0 = yield log_normal(np.log(10), "lynx0")
        sigma_hare = yield log_normal(-1, "sigma_hare")
        sigma_lynx = yield log_normal(-1, "sigma_lynx")
        sizes = problem(alpha, beta, gamma, delta, hare0, lynx0)
        errors = tf.stack([sigma_hare, sigma_lynx])
        yield tfd.Independent(tfd.LogNormal(tf.math.log(sizes), errors), 2, name="pelts")

    return joint.experimental_pin(pelts=PELTS)


def log_density(posterior: Any, logarithms: Any) -> Any:
    """Density of the logarithms of all parameters, on the last axis, given the pelts."""
    values = tf.unstack(tf.exp(logarithms), axis=-1)
    return posterior.unnormalized_log_prob(*values) + tf.reduce_sum(logarithms, axis=-1)


@lru_cache(maxsize=1)
def coordinates() -> tuple[Any, Any]:
    """Mode of the logarithms' density and a matrix whose product with its transpose is their covariance there."""
    posterior = model()

    @tf.function(jit_compile=True, autograph=False)
    def misfit(logarithms: Any) -> Any:
        return tfp.math.value_and_gradient(lambda at: -log_density(posterior, at), logarithms)

    # Small cycles have frequency sqrt(alpha gamma) around the means (gamma/delta, alpha/beta); these take ten years.
    rate, (hares, lynxes) = 2 * np.pi / 10, PELTS.mean(axis=0)
    start = np.log([rate, rate / lynxes, rate, rate / hares, *PELTS[0], 0.5, 0.5])
    found = scipy.optimize.minimize(lambda x: [part.numpy() for part in misfit(constant(x))], start, jac=True)
    mode = constant(found.x)
    with tf.GradientTape() as outer:
        outer.watch(mode)
        _, slope = tfp.math.value_and_gradient(lambda at: -log_density(posterior, at), mode)
    hessian = outer.jacobian(slope, mode)
    return mode, tf.linalg.cholesky(tf.linalg.inv(hessian))


def sampler(posterior: Any, draws: int, tune: int, chains: int = 4) -> Any:
    """Compiled function of a seed: logarithms of the parameters (draws, chains, 8), divergences, leapfrog steps."""
    center, scale = coordinates()
    start = np.random.default_rng(0).standard_normal((chains, len(NAMES)))

    def whitened(z: Any) -> Any:
        return log_density(posterior, center + tf.linalg.matvec(scale, z))

    @tf.function(jit_compile=True, autograph=False)
    def run(seed: Any) -> Any:
        kernel = tfp.mcmc.NoUTurnSampler(whitened, step_size=constant(0.5))
        # In these coordinates all directions are alike; with shorter steps NUTS goes round more than once.
        kernel = tfp.mcmc.DualAveragingStepSizeAdaptation(kernel, int(0.8 * tune), target_accept_prob=0.65)
        z, (diverging, leapfrogs) = tfp.mcmc.sample_chain(
            draws,
            constant(start),
            kernel=kernel,
            num_burnin_steps=tune,
            trace_fn=lambda _, results: (results.inner_results.has_divergence, results.inner_results.leapfrogs_taken),
            seed=seed,
        )
        return center + tf.linalg.matvec(scale, z), diverging, leapfrogs

    return run


def sample(draws: int = 2500, tune: int = 500) -> az.InferenceData:
    """Posterior draws of four chains."""
    begin = time.perf_counter()
    run = sampler(model(), draws, tune).get_concrete_function(tf.TensorSpec([2], tf.int32))
    logarithms, diverging, leapfrogs = (part.numpy() for part in run(tf.constant([1, 2])))
    print(f"mode, compilation and {diverging.size} draws: {time.perf_counter() - begin:.1f} s")
    by_chain = np.exp(np.moveaxis(logarithms, (0, 1, 2), (1, 0, 2)))
    return az.from_dict(
        {name: by_chain[..., k] for k, name in enumerate(NAMES)},
        sample_stats={"diverging": diverging.T, "n_steps": leapfrogs.T},
    )


def main() -> None:
    """Sample, compare with the reference, draw."""
    inference = sample()
    report(inference)
    draw(inference.posterior, "lynx_hare_tfp.png")


if __name__ == "__main__":
    main()
