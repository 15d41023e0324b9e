"""Metropolis of TensorFlow Probability, some steps of all chains in one compiled call, tuned as in PyMC3."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from pymc3.step_methods.metropolis import tune

from implicitops.sampling.compiled_function import compiled
from implicitops.sampling.recording import recorded

#: Steps between two changes of the proposals' scale, as in PyMC3.
TUNE_INTERVAL = 100


@dataclass(frozen=True)
class MetropolisState:
    """Where chains stand, and how their proposals are tuned.

    Parameters
    ----------
    position : ndarray (chains, size)
    scaling : ndarray (chains, variables), standard deviations of the proposals
    n_accepted : ndarray (chains, variables), proposals accepted with them
    n_steps : int, steps taken with them
    """

    position: np.ndarray
    scaling: np.ndarray
    n_accepted: np.ndarray
    n_steps: int = 0

    def tuned(self) -> MetropolisState:
        """A new interval; the proposals have another scale if the last one was whole."""
        is_whole = self.n_steps == TUNE_INTERVAL
        scaling = tuned(self.scaling, self.n_accepted / TUNE_INTERVAL) if is_whole else self.scaling
        return MetropolisState(self.position, scaling, np.zeros_like(scaling))


class MetropolisChains:
    """Chains of Metropolis, whose step proposes a change of one variable after the other, as PyMC3's does.

    Parameters
    ----------
    log_density : callable, ``log_density(vectors, shared)`` for vectors (chains, size)
    shapes : shapes of the variables in the vector
    dtype : str
    capacity : int, most steps of a call
    """

    def __init__(
        self,
        log_density: Callable[[Any, Sequence[Any]], Any],
        shapes: Sequence[tuple[int, ...]],
        dtype: str,
        *,
        capacity: int,
    ) -> None:
        self.log_density = log_density
        self.dtype = tf.as_dtype(dtype)
        self.capacity = capacity
        self.masks = np.repeat(np.eye(len(shapes)), [math.prod(s) for s in shapes], axis=1).astype(dtype)
        self._compiled = compiled(self._steps)

    def advance(
        self,
        state: MetropolisState,
        n_steps: int,
        seed: tuple[int, int],
        first: int,
        shared: Sequence[np.ndarray],
    ) -> tuple[np.ndarray, dict[str, np.ndarray], MetropolisState]:
        """Take some steps. Several threads may do so at a time, each with chains of its own.

        Parameters
        ----------
        state : MetropolisState
        n_steps : int, at most ``capacity``
        seed : two int32
        first : int, number of steps that were taken with this seed before
        shared : values of the shared variables

        Returns
        -------
        draws (n_steps, chains, size), statistics (n_steps, chains) by name, MetropolisState
        """
        draws, statistics, accepted = self._compiled(
            tf.constant(state.position, self.dtype),
            tf.constant(state.scaling, self.dtype),
            tf.constant([n_steps, first], tf.int32),
            tf.constant(seed, tf.int32),
            shared,
        )
        draws = draws.numpy()[:n_steps]
        statistics = {name: values.numpy()[:n_steps] for name, values in statistics.items()}
        statistics["scaling"] = np.broadcast_to(state.scaling, (n_steps, *state.scaling.shape))
        position = draws[-1] if n_steps else state.position
        n_accepted = state.n_accepted + accepted.numpy()
        return draws, statistics, MetropolisState(position, state.scaling, n_accepted, state.n_steps + n_steps)

    def _steps(self, position: Any, scaling: Any, counts: Any, seed: Any, shared: Any) -> Any:
        n_steps, first = tf.unstack(counts)
        masks = tf.constant(self.masks)
        n_variables = len(self.masks)

        def kernel(k: Any) -> Any:
            def propose(parts: list[Any], seed: Any) -> list[Any]:
                noise = tf.random.stateless_normal(parts[0].shape, seed, dtype=self.dtype)
                return [parts[0] + noise * tf.gather(scaling, k, axis=1)[:, None] * masks[k]]

            return tfp.mcmc.RandomWalkMetropolis(lambda x: self.log_density(x, shared), new_state_fn=propose)

        def sweep(i: Any, position: Any, results: Any) -> Any:
            step_seed = tf.random.experimental.stateless_fold_in(seed, first + i)

            def one(k: Any, position: Any, results: Any, rate: Any, accepted: Any) -> Any:
                variable_seed = tf.random.experimental.stateless_fold_in(step_seed, k)
                position, results = kernel(k).one_step(position, results, seed=variable_seed)
                ratio = tf.where(
                    tf.math.is_nan(results.log_accept_ratio), -tf.ones_like(rate) * math.inf, results.log_accept_ratio
                )
                return (
                    k + 1,
                    position,
                    results,
                    rate + tf.exp(tf.minimum(ratio, 0)),
                    accepted.write(k, results.is_accepted),
                )

            start = (
                tf.constant(0),
                position,
                results,
                tf.zeros_like(position[:, 0]),
                tf.TensorArray(tf.bool, size=n_variables, element_shape=position.shape[:1]),
            )
            _, position, results, rate, accepted = tf.while_loop(
                lambda k, *_: k < n_variables, one, start, parallel_iterations=1
            )
            return position, results, rate / n_variables, tf.transpose(accepted.stack())

        def one_step(i: Any, state: Any) -> Any:
            position, results, total = state
            position, results, rate, accepted = sweep(i, position, results)
            found = {"draws": position, "lp": results.accepted_results.target_log_prob, "acceptance_rate": rate}
            return (position, results, total + tf.cast(accepted, tf.int32)), found

        chain = position[:, 0]
        likes = {"draws": position, "lp": chain, "acceptance_rate": chain}
        start = (position, kernel(tf.constant(0)).bootstrap_results(position), tf.zeros(scaling.shape, tf.int32))
        (_, _, total), stacked = recorded(one_step, start, likes, n_steps, self.capacity)
        return stacked.pop("draws"), stacked, total


def tuned(scaling: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Scale of the proposals after an interval, by PyMC3's table.

    Parameters
    ----------
    scaling, rate : ndarray of one shape; ``rate`` is the part of the proposals that was accepted

    Returns
    -------
    ndarray of the same shape
    """
    return np.asarray(np.vectorize(tune, otypes=[float])(scaling, rate))
