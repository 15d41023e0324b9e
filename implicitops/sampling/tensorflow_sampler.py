"""The chains of TensorFlow Probability from their starts through warm-up to the last draw. Samplers live elsewhere."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from implicitops.backends.failures import stage
from implicitops.errors import ArgumentError
from implicitops.kernels.parallel import get_num_threads, num_threads
from implicitops.sampling.chain_groups import ChainGroup, Found, advance_all, group_sizes, joined
from implicitops.sampling.compiled_model import CompiledModel
from implicitops.sampling.free_variables import discrete_names
from implicitops.sampling.initial_points import initial_points
from implicitops.sampling.progress import Progress
from implicitops.sampling.settings import Sampled, Settings
from implicitops.sampling.tuning import HamiltonianTuning, MetropolisTuning, Tuning


def check_continuous(model: Any) -> None:
    """Raise ArgumentError for a model with discrete free variables, before anything is translated."""
    discrete = discrete_names(model)
    if discrete:
        raise ArgumentError(
            f"the TensorFlow backend samples continuous variables only; {', '.join(discrete)} are discrete. Sum them "
            "out of the model, or use backend='theano' with step='metropolis'."
        )


def sample_on_tensorflow(compiled: CompiledModel, settings: Settings) -> Sampled:
    """Sample a model's free variables.

    Parameters
    ----------
    compiled : CompiledModel
    settings : Settings

    Returns
    -------
    Sampled

    Raises
    ------
    InitialEnergyError : a chain has nowhere to start
    KeyboardInterrupt : there was one before the first draw
    """
    n_threads = max(1, min(settings.chains, settings.cores or get_num_threads()))
    by_default = None if compiled.is_thread_safe else "vectorized"
    sizes = group_sizes(settings.chains, n_threads, settings.chain_method or by_default)
    n_threads = min(n_threads, len(sizes))
    # Threads that chains take are not there for batches of solves.
    with num_threads(max(1, get_num_threads() // n_threads)), ThreadPoolExecutor(n_threads) as pool:
        return _Run(compiled, settings, sizes, pool).sampled()


class _Run:
    """One run: the groups of chains, what they have drawn, and how long it took."""

    def __init__(self, compiled: CompiledModel, settings: Settings, sizes: list[int], pool: ThreadPoolExecutor) -> None:
        self.settings, self.free, self.pool = settings, compiled.free, pool
        self.shared = compiled.density.shared_values()
        self.progress = Progress((settings.tune + settings.draws) * settings.chains, settings.progressbar)
        first, second, *of_chains = (int(seed) for seed in settings.seeds)
        started = time.perf_counter()
        with stage("tuning"):
            points = initial_points(compiled.model, settings.chains, second, compiled.log_densities, settings.initvals)
            position = np.stack([compiled.free.to_vector(point) for point in points])
            self.tuning = self._tuning(compiled)
            starts = np.split(position, np.cumsum(sizes)[:-1])
            seeds = [second] if len(sizes) == 1 else of_chains
            self.groups = [ChainGroup(self.tuning.start(x), (first, seed)) for x, seed in zip(starts, seeds)]
            self.groups[0].advance(self.tuning, 0, self.shared)  # no step: it is compiled
        self.compile_seconds = time.perf_counter() - started

    def _tuning(self, compiled: CompiledModel) -> Tuning:
        chains: Any = compiled.chains(self.settings)
        self.capacity: int = chains.capacity
        kind = MetropolisTuning if self.settings.step == "metropolis" else HamiltonianTuning
        return kind(chains, compiled.free, self.settings)

    def sampled(self) -> Sampled:
        """Everything that was drawn, also if Ctrl-C ended it."""
        warmup, drawn = self._nothing(), self._nothing()
        was_interrupted = False
        started = time.perf_counter()
        try:
            for k, length in enumerate(self.tuning.plan):
                window = self._nothing()
                with stage("tuning"):
                    self._advance(length, True, window)
                self.tuning.end(k, joined(window)[0])
                for calls, more in zip(warmup, window):
                    calls += more
            with stage("draws"):
                self._advance(self.settings.draws, False, drawn)
        except KeyboardInterrupt:
            if not all(drawn):
                raise
            was_interrupted = True
        seconds = time.perf_counter() - started
        chain_method = "vectorized" if len(self.groups) == 1 else "parallel"
        return Sampled(
            *self._collected(drawn),
            *self._collected(warmup),
            self.compile_seconds,
            seconds,
            was_interrupted,
            {"chain_method": chain_method, **self.tuning.attributes([group.state for group in self.groups])},
        )

    def _nothing(self) -> list[list[Found]]:
        return [[] for _ in self.groups]

    def _advance(self, length: int, is_tuning: bool, into: list[list[Found]]) -> None:
        for group in self.groups:
            group.state = self.tuning.begin(group.state, length, is_tuning)

        def note(n: int, statistics: dict[str, np.ndarray]) -> None:
            self.progress.advance(n, _comment(self.settings.chains, is_tuning, statistics))

        advance_all(
            self.groups,
            self.tuning,
            length,
            into,
            capacity=self.capacity,
            shared=self.shared,
            pool=self.pool,
            note=note,
        )

    def _collected(self, found: list[list[Found]]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Vectors and statistics with the chains as their first axis."""
        if not all(found):
            return np.empty((self.settings.chains, 0, self.free.size)), {}
        draws, statistics = joined(found)
        return np.moveaxis(draws, 0, 1), {name: np.moveaxis(values, 0, 1) for name, values in statistics.items()}


def _comment(n_chains: int, is_tuning: bool, statistics: dict[str, np.ndarray]) -> str:
    diverging = int(statistics["diverging"].sum()) if "diverging" in statistics else 0
    text = f"{'Tuning' if is_tuning else 'Sampling'} {n_chains} chain{'s' * (n_chains > 1)}"
    return f"{text}, {diverging} divergences just now" if diverging and not is_tuning else text
