"""NUTS and HMC of TensorFlow Probability, some steps of all chains in one compiled call. No schedule lives here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from implicitops.sampling.compiled_function import compiled
from implicitops.sampling.recording import recorded

tfd = tfp.distributions

#: Change of the energy along a trajectory from which on it counts as divergent.
MAX_ENERGY_CHANGE = 1000.0


@dataclass(frozen=True)
class Adaptation:
    """State of the dual averaging of the step size.

    Parameters
    ----------
    step_size, error_sum, log_averaging_step, log_shrinkage_target : float
    step, n_steps : int, steps taken in this window, and after how many the average is used
    """

    step_size: float
    error_sum: float = 0.0
    log_averaging_step: float = 0.0
    log_shrinkage_target: float = 0.0
    step: int = 0
    n_steps: int = 0

    def restarted(self, n_steps: int) -> Adaptation:
        """A new window of so many steps; with none the step size stays what it is."""
        target = math.log(10 * self.step_size)
        return Adaptation(self.step_size, log_shrinkage_target=target, n_steps=n_steps)


@dataclass(frozen=True)
class HamiltonianState:
    """Where chains stand, and how their step size is adapted.

    Parameters
    ----------
    position : ndarray (chains, size)
    adaptation : Adaptation
    density : pair of ndarrays, log densities (chains,) and gradients (chains, size), or None
        As they were computed there. Computed anew they differ in the last digit, and the draws would then depend on
        where calls end, which is a matter of time.
    """

    position: np.ndarray
    adaptation: Adaptation
    density: tuple[np.ndarray, np.ndarray] | None = None


def _off_resonance(step_size: Any, max_treedepth: int) -> Any:
    """The step size, or a smaller one where trees of NUTS would not see that they turn back.

    With a good mass matrix a posterior that is nearly normal turns by one radian per unit of time. Where 2**k steps are
    a whole period the momenta along a tree cancel, so that their sum says nothing about a U-turn; and half the tree, of
    2**(k-1) - 1 steps, has not turned yet if that is less than half a period. Then trees grow to any depth. Stan and
    PyMC3 test pairs of subtrees too (https://github.com/stan-dev/stan/pull/2800), TensorFlow Probability does not.
    """
    k = np.arange(2, max(max_treedepth, 2) + 1)
    low = tf.constant(2 * math.pi / (2.0**k + 0.5), step_size.dtype)
    # Leapfrog steps are unstable from 2 on. An adaptation that saw no change below would not stay away from there.
    high = tf.constant(np.minimum(math.pi / (2.0 ** (k - 1) - 1), 1.75), step_size.dtype)
    is_inside = (low < step_size) & (step_size < high)
    return tf.where(tf.reduce_any(is_inside), tf.reduce_max(tf.where(is_inside, low, 0)), step_size)


class HamiltonianChains:
    """Chains of NUTS or HMC, compiled once for any number of steps up to a capacity.

    Parameters
    ----------
    log_density : callable, ``log_density(vectors, shared)`` for vectors (chains, size)
    kind : "nuts" or "hmc"
    dtype : str
    capacity : int, most steps of a call
    target_accept : float, mean acceptance probability that the step size is adapted to
    max_treedepth : int, of NUTS
    path_length : float, of HMC: step size times number of steps; each draw takes 0.8 to 1.2 of it
    """

    def __init__(
        self,
        log_density: Callable[[Any, Sequence[Any]], Any],
        kind: str,
        dtype: str,
        *,
        capacity: int,
        target_accept: float,
        max_treedepth: int,
        path_length: float,
    ) -> None:
        self.log_density = log_density
        self.kind = kind
        self.dtype = tf.as_dtype(dtype)
        self.capacity = capacity
        self.target_accept = target_accept
        self.max_treedepth = max_treedepth
        self.path_length = path_length
        self._compiled = compiled(self._steps)

    def advance(
        self,
        state: HamiltonianState,
        covariance: np.ndarray,
        n_steps: int,
        seed: tuple[int, int],
        first: int,
        shared: Sequence[np.ndarray],
    ) -> tuple[np.ndarray, dict[str, np.ndarray], HamiltonianState]:
        """Take some steps. Several threads may do so at a time, each with chains of its own.

        Parameters
        ----------
        state : HamiltonianState
        covariance : ndarray (size,) or (size, size), the inverse of a mass matrix that is diagonal or dense
        n_steps : int, at most ``capacity``
        seed : two int32
        first : int, number of steps that were taken with this seed before
        shared : values of the shared variables

        Returns
        -------
        draws (n_steps, chains, size), statistics (n_steps, chains) by name, HamiltonianState
        """
        position, adaptation = state.position, state.adaptation
        numbers = [adaptation.step_size, adaptation.error_sum]
        numbers += [adaptation.log_averaging_step, adaptation.log_shrinkage_target]
        is_known = state.density is not None
        lp, gradient = state.density or (np.zeros(len(position)), np.zeros_like(position))
        counts = np.array([adaptation.step, adaptation.n_steps, n_steps, first, is_known], dtype=np.int32)
        draws, statistics, numbers_after, lp, gradient = self._compiled(
            tf.constant(position, self.dtype),
            tf.constant(covariance, self.dtype),
            tf.constant(numbers, self.dtype),
            tf.constant(counts),
            tf.constant(seed, tf.int32),
            tf.constant(lp, self.dtype),
            tf.constant(gradient, self.dtype),
            shared,
        )
        draws = draws.numpy()[:n_steps]
        step_size, error_sum, averaging, target = map(float, numbers_after.numpy())
        adaptation = replace(
            adaptation,
            step_size=step_size,
            error_sum=error_sum,
            log_averaging_step=averaging,
            log_shrinkage_target=target,
            step=adaptation.step + n_steps,
        )
        return (
            draws,
            {name: values.numpy()[:n_steps] for name, values in statistics.items()},
            HamiltonianState(draws[-1] if n_steps else position, adaptation, (lp.numpy(), gradient.numpy())),
        )

    def _kernel(self, step_size: Any, shared: Sequence[Any]) -> Any:
        def target(x: Any) -> Any:
            return self.log_density(x, shared)

        common = {"target_log_prob_fn": target, "step_size": step_size}
        if self.kind == "nuts":
            inner = tfp.experimental.mcmc.PreconditionedNoUTurnSampler(
                **common, max_tree_depth=self.max_treedepth, max_energy_diff=MAX_ENERGY_CHANGE
            )
        else:
            inner = tfp.experimental.mcmc.PreconditionedHamiltonianMonteCarlo(
                **common, num_leapfrog_steps=tf.constant(1), store_parameters_in_results=True
            )
        return tfp.mcmc.DualAveragingStepSizeAdaptation(
            inner, num_adaptation_steps=0, target_accept_prob=tf.constant(self.target_accept, self.dtype)
        )

    def _steps(
        self,
        position: Any,
        covariance: Any,
        numbers: Any,
        counts: Any,
        seed: Any,
        lp: Any,
        gradient: Any,
        shared: Any,
    ) -> Any:
        step_size, error_sum, log_averaging_step, log_shrinkage_target = tf.unstack(numbers)
        step, n_adaptation, n_steps, first, is_known = tf.unstack(counts)
        kernel = self._kernel(step_size, shared)
        results = kernel.bootstrap_results(position)
        inner = self._with_density(results.inner_results, is_known > 0, lp, gradient)
        results = results._replace(
            inner_results=self._with_mass(inner, covariance, position),
            error_sum=[error_sum],
            log_averaging_step=[log_averaging_step],
            log_shrinkage_target=[log_shrinkage_target],
            new_step_size=step_size,
            step=step,
            num_adaptation_steps=n_adaptation,
        )

        def one_step(i: Any, state: Any) -> Any:
            position, results = state
            step_seed = tf.random.experimental.stateless_fold_in(seed, first + i)
            if self.kind == "hmc":
                results = self._with_path(results, tf.random.experimental.stateless_fold_in(step_seed, -1))
            else:
                results = results._replace(new_step_size=_off_resonance(results.new_step_size, self.max_treedepth))
            step_size = results.new_step_size
            position, results = kernel.one_step(position, results, seed=step_seed)
            return (position, results), {"draws": position, **self._statistics(results.inner_results, step_size)}

        chain = position[:, 0]
        count, flag = tf.zeros_like(chain, tf.int32), tf.zeros_like(chain, tf.bool)
        likes = {"draws": position, **dict.fromkeys(("lp", "energy", "acceptance_rate", "step_size"), chain)}
        likes |= {"n_steps": count, "diverging": flag}
        likes |= {"reached_max_treedepth": flag, "tree_depth": count} if self.kind == "nuts" else {"accepted": flag}
        (_, results), stacked = recorded(one_step, (position, results), likes, n_steps, self.capacity)
        after = (results.error_sum, results.log_averaging_step, results.log_shrinkage_target)
        after = tf.stack([results.new_step_size, *(tf.reshape(x, []) for x in after)])
        return stacked.pop("draws"), stacked, after, *self._density_of(results.inner_results)

    def _density_of(self, results: Any) -> tuple[Any, Any]:
        found = results if self.kind == "nuts" else results.accepted_results
        return found.target_log_prob, found.grads_target_log_prob[0]

    def _with_density(self, results: Any, is_known: Any, lp: Any, gradient: Any) -> Any:
        """Log density and gradient as they were computed before, where they are known."""
        lp_anew, gradient_anew = self._density_of(results)
        known = {
            "target_log_prob": tf.where(is_known, lp, lp_anew),
            "grads_target_log_prob": [tf.where(is_known, gradient, gradient_anew)],
        }
        if self.kind == "nuts":
            return results._replace(**known)
        return results._replace(accepted_results=results.accepted_results._replace(**known))

    def _with_mass(self, results: Any, covariance: Any, position: Any) -> Any:
        """Momenta of precision ``covariance``. NUTS of TFP 0.23 forgets those of its constructor when it is copied."""
        if covariance.shape.rank == 1:
            factor, precision = map(tf.linalg.LinearOperatorDiag, (tf.sqrt(covariance), covariance))
        else:
            factor = tf.linalg.LinearOperatorLowerTriangular(tf.linalg.cholesky(covariance))
            precision = tf.linalg.LinearOperatorFullMatrix(covariance, is_self_adjoint=True)
        normal = tfp.experimental.distributions.MultivariateNormalPrecisionFactorLinearOperator
        part = tfd.BatchBroadcast(normal(precision_factor=factor, precision=precision), position.shape[:-1])
        momentum = tfd.JointDistributionSequential([part])
        if self.kind == "nuts":
            return results._replace(momentum_distribution=momentum)
        return results._replace(
            accepted_results=results.accepted_results._replace(momentum_distribution=momentum),
            proposed_results=results.proposed_results._replace(momentum_distribution=momentum),
        )

    def _with_path(self, results: Any, seed: Any) -> Any:
        """Number of leapfrog steps of the next draw. Its random part keeps a path from closing on itself."""
        length = self.path_length * tf.random.stateless_uniform([], seed, 0.8, 1.2, self.dtype)
        n = tf.cast(tf.clip_by_value(tf.math.ceil(length / results.new_step_size), 1, 1024), tf.int32)
        inner = results.inner_results
        inner = inner._replace(accepted_results=inner.accepted_results._replace(num_leapfrog_steps=n))
        return results._replace(inner_results=inner)

    def _statistics(self, results: Any, step_size: Any) -> dict[str, Any]:
        """What ArviZ knows by these names, for each chain."""
        if self.kind == "nuts":
            energy, lp, n_steps = -results.energy, results.target_log_prob, results.leapfrogs_taken
            rate, diverging = tf.exp(tf.minimum(results.log_accept_ratio, 0)), results.has_divergence
            doublings = tf.math.ceil(tf.math.log(tf.cast(n_steps + 1, self.dtype)) / math.log(2))
            particular = {
                "reached_max_treedepth": results.reach_max_depth,
                "tree_depth": tf.cast(tf.minimum(doublings, self.max_treedepth), tf.int32),
            }
        else:
            accepted, proposed = results.accepted_results, results.proposed_results
            momentum = tf.where(results.is_accepted[:, None], proposed.final_momentum[0], proposed.initial_momentum[0])
            lp = accepted.target_log_prob
            energy = -lp - accepted.momentum_distribution.log_prob([momentum])
            ratio = results.log_accept_ratio
            ratio = tf.where(tf.math.is_nan(ratio), tf.constant(-math.inf, ratio.dtype), ratio)
            rate, diverging = tf.exp(tf.minimum(ratio, 0)), ratio < -MAX_ENERGY_CHANGE
            n_steps = tf.fill(tf.shape(lp), proposed.num_leapfrog_steps)
            particular = {"accepted": results.is_accepted}
        return {
            "lp": lp,
            "energy": energy,
            "acceptance_rate": rate,
            "diverging": diverging,
            "n_steps": n_steps,
            "step_size": tf.fill(tf.shape(lp), step_size),
            **particular,
        }
