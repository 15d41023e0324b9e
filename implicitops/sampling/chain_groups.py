"""Chains in groups that move in step, each in compiled calls of its own on a few threads. No sampler lives here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np

from implicitops.sampling.tuning import Tuning

#: Seconds that a compiled call should take: the bar moves and Ctrl-C is heard between two calls.
SECONDS_PER_CALL = 0.2

#: Steps of a group's first call, which says how long one takes.
FIRST_STEPS = 10

#: Chains for each thread up to which each chain is a group of its own, unless asked for.
CHAINS_PER_THREAD = 4

#: Draws (steps, chains, size) of one call, and statistics (steps, chains) by name.
Found = tuple[np.ndarray, dict[str, np.ndarray]]


def group_sizes(n_chains: int, n_threads: int, chain_method: str | None) -> list[int]:
    """Numbers of chains that move in step.

    A NUTS step in step lasts as long as the longest of its trees, and the density is computed for all chains until
    then; a call for one chain has the sampler's own costs for itself. Few chains are faster apart if there are threads
    for them.

    Parameters
    ----------
    n_chains, n_threads : int
    chain_method : "parallel", "vectorized" or None

    Returns
    -------
    list of int, whose sum is ``n_chains``: one group, or one for each chain

    Examples
    --------
    >>> group_sizes(4, 2, None), group_sizes(4, 1, None), group_sizes(100, 2, None)
    ([1, 1, 1, 1], [4], [100])
    """
    if chain_method is None:
        is_apart = n_threads > 1 and n_chains <= CHAINS_PER_THREAD * n_threads
    else:
        is_apart = chain_method == "parallel"
    return [1] * n_chains if is_apart else [n_chains]


@dataclass
class ChainGroup:
    """Chains that move in step.

    Parameters
    ----------
    state : what the sampler knows of them
    seed : two int32
    steps_taken : int
    seconds_per_step : float, of the last call
    """

    state: Any
    seed: tuple[int, int]
    steps_taken: int = 0
    seconds_per_step: float = math.inf

    def advance(self, tuning: Tuning, n: int, shared: Sequence[np.ndarray]) -> Found:
        """Take some steps in one call."""
        started = time.perf_counter()
        draws, statistics, self.state = tuning.advance(self.state, n, self.seed, self.steps_taken, shared)
        self.seconds_per_step = (time.perf_counter() - started) / max(n, 1)
        self.steps_taken += n
        return draws, statistics

    def n_steps(self, most: int) -> int:
        """Steps of the next call, at most so many."""
        wanted = max(1, int(SECONDS_PER_CALL / self.seconds_per_step)) if self.steps_taken else FIRST_STEPS
        return min(most, wanted)


def advance_all(
    groups: Sequence[ChainGroup],
    tuning: Tuning,
    length: int,
    into: Sequence[list[Found]],
    *,
    capacity: int,
    shared: Sequence[np.ndarray],
    pool: ThreadPoolExecutor,
    note: Callable[[int, dict[str, np.ndarray]], None],
) -> None:
    """Take so many steps with every chain; what is found is appended call by call, so that Ctrl-C loses little.

    Parameters
    ----------
    groups : sequence of ChainGroup
    tuning : Tuning
    length : int
    into : sequence of lists, one for each group
    capacity : int, most steps of a call
    shared : values of the shared variables
    pool : ThreadPoolExecutor; groups that wait for a thread take turns
    note : callable, told of each call: steps times chains, and the statistics
    """
    left = [length] * len(groups)
    running: dict[Future[Found], int] = {}

    def submit(k: int) -> None:
        n = groups[k].n_steps(min(left[k], capacity))
        running[pool.submit(groups[k].advance, tuning, n, shared)] = k

    try:
        for k in range(len(groups) if length else 0):
            submit(k)
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                k = running.pop(future)
                found = future.result()
                into[k].append(found)
                left[k] -= len(found[0])
                note(found[0].shape[0] * found[0].shape[1], found[1])
                if left[k]:
                    submit(k)
    finally:  # after Ctrl-C or an error, what still runs ends before anybody looks at the groups
        for future in running:
            future.cancel()
        wait(running)


def joined(found: Sequence[list[Found]]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draws (steps, chains, size) and statistics of all groups, as many steps as the shortest has.

    Parameters
    ----------
    found : sequence of non-empty lists, one for each group
    """
    parts = [_of_one_group(calls) for calls in found]
    n = min(len(draws) for draws, _ in parts)
    draws = np.concatenate([draws[:n] for draws, _ in parts], axis=1)
    names = parts[0][1]
    return draws, {name: np.concatenate([statistics[name][:n] for _, statistics in parts], axis=1) for name in names}


def _of_one_group(calls: list[Found]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    draws, statistics = zip(*calls)
    return np.concatenate(draws), {name: np.concatenate([s[name] for s in statistics]) for name in statistics[0]}
