"""The chains of TensorFlow Probability from their starts through warm-up to the last draw. Kernels live elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from implicitops.backends.failures import stage
from implicitops.sampling.free_variables import FreeVariables, discrete_names
from implicitops.sampling.hamiltonian import Adaptation, HamiltonianChains
from implicitops.sampling.initial_points import initial_points
from implicitops.sampling.metropolis import TUNE_INTERVAL, MetropolisChains, tuned
from implicitops.sampling.progress import Progress
from implicitops.sampling.settings import Sampled, Settings
from implicitops.sampling.tensorflow_density import FlatFunction, TensorFlowDensity
from implicitops.sampling.warmup import posterior_covariance, posterior_variance, windows
from implicitops.status import ArgumentError

#: Seconds that a compiled call should take: the bar moves and Ctrl-C is heard between two calls.
SECONDS_PER_CALL = 0.2

#: Most numbers that a call hands back.
MOST_NUMBERS = 5_000_000

#: Most variables for which TensorFlow's mass matrix is dense unless asked for: a leapfrog step then multiplies by a
#: matrix of a few thousand numbers, which most densities outweigh.
DENSE_SIZE = 50


def sample_on_tensorflow(model: Any, free: FreeVariables, settings: Settings) -> Sampled:
    """Sample a model's free variables.

    Parameters
    ----------
    model : pymc3.Model
    free : FreeVariables
    settings : Settings

    Returns
    -------
    Sampled

    Raises
    ------
    ArgumentError : the model has discrete free variables
    InitialEnergyError : a chain has nowhere to start
    TranslationError : an Op of the model has no translation
    KeyboardInterrupt : there was one before the first draw
    """
    discrete = discrete_names(model)
    if discrete:
        raise ArgumentError(
            f"the TensorFlow backend samples continuous variables only; {', '.join(discrete)} are discrete. Sum them "
            "out of the model, or use backend='theano' with step='metropolis'."
        )
    density = TensorFlowDensity(model, free)
    if density.order != free.names:
        raise AssertionError(f"the translated graph takes {density.order}, but the vector is {free.names}")
    kind = _Metropolis if settings.step == "metropolis" else _Hamiltonian
    return _Run(model, free, density, settings, kind).sampled()


class _Hamiltonian:
    """NUTS or HMC with the windows of Stan."""

    def __init__(self, density: TensorFlowDensity, free: FreeVariables, settings: Settings, capacity: int) -> None:
        self.chains = HamiltonianChains(
            density.differentiable_log_density,
            settings.step,
            free.dtype,
            capacity=capacity,
            target_accept=settings.target_accept,
            max_treedepth=settings.max_treedepth,
            path_length=settings.path_length,
        )
        self.plan = [window.length for window in windows(settings.tune)]
        self._is_slow = [window.is_slow for window in windows(settings.tune)]
        by_default = "dense" if free.size <= DENSE_SIZE else "diagonal"
        self._is_dense = (settings.mass_matrix or by_default) == "dense"
        self._covariance = np.eye(free.size) if self._is_dense else np.ones(free.size)
        self._adaptation = Adaptation(0.25 / free.size**0.25)  # PyMC3's first guess

    def begin(self, length: int, is_tuning: bool) -> None:
        self._adaptation = self._adaptation.restarted(length if is_tuning else 0)

    def advance(self, position: np.ndarray, n: int, seed: tuple[int, int], first: int, shared: Any) -> Any:
        draws, statistics, self._adaptation = self.chains.advance(
            position, self._covariance, self._adaptation, n, seed, first, shared
        )
        return draws, statistics

    def end(self, window: int, draws: np.ndarray) -> None:
        if self._is_slow[window]:
            self._covariance = posterior_covariance(draws) if self._is_dense else posterior_variance(draws)

    @property
    def attributes(self) -> dict[str, Any]:
        variance = np.diag(self._covariance) if self._is_dense else self._covariance
        has_correlations = self._is_dense and np.count_nonzero(self._covariance) > len(variance)
        return {
            "step_size": self._adaptation.step_size,
            "mass_matrix": "dense" if has_correlations else "diagonal",
            "inverse_mass_matrix_diagonal": variance.tolist(),
        }


class _Metropolis:
    """Metropolis, one variable after the other, with PyMC3's tuning."""

    def __init__(self, density: TensorFlowDensity, free: FreeVariables, settings: Settings, capacity: int) -> None:
        self.chains = MetropolisChains(density.log_density, free.shapes, free.dtype, capacity=capacity)
        whole, rest = divmod(settings.tune, TUNE_INTERVAL)
        self.plan = [TUNE_INTERVAL] * whole + [rest] * (rest > 0)
        self._scaling = np.ones((settings.chains, len(free.names)))
        self._accepted = np.zeros_like(self._scaling)

    def begin(self, length: int, is_tuning: bool) -> None:
        self._accepted = np.zeros_like(self._scaling)

    def advance(self, position: np.ndarray, n: int, seed: tuple[int, int], first: int, shared: Any) -> Any:
        draws, statistics, accepted = self.chains.advance(position, self._scaling, n, seed, first, shared)
        self._accepted = self._accepted + accepted
        return draws, statistics

    def end(self, window: int, draws: np.ndarray) -> None:
        if len(draws) == TUNE_INTERVAL:
            self._scaling = tuned(self._scaling, self._accepted / TUNE_INTERVAL)

    @property
    def attributes(self) -> dict[str, Any]:
        return {"proposal_scaling": self._scaling.ravel().tolist()}


class _Run:
    """One run: the state of the chains, what they have drawn, and how long it took."""

    def __init__(
        self, model: Any, free: FreeVariables, density: TensorFlowDensity, settings: Settings, kind: Any
    ) -> None:
        numbers = settings.chains * (free.size + 8)
        longest = max(settings.draws, settings.tune, 1)
        self.capacity = int(np.clip(MOST_NUMBERS // numbers, 1, min(500, longest)))
        self.settings, self.free = settings, free
        self.method = kind(density, free, settings, self.capacity)
        self.shared = density.shared_values()
        first, second, *_ = (int(s) for s in settings.seeds)
        self.seed, self.steps_taken, self.seconds_per_step = (first, second), 0, math.inf
        started = time.perf_counter()
        with stage("tuning"):
            points = initial_points(model, settings.chains, second, self._density_at(density), settings.initvals)
            self.position = np.stack([free.to_vector(point) for point in points])
            self.method.begin(0, False)
            self.method.advance(self.position, 0, self.seed, 0, self.shared)  # no step: it is compiled
        self.compile_seconds = time.perf_counter() - started

    def _density_at(self, density: TensorFlowDensity) -> Callable[[Any], np.ndarray]:
        compiled = tf.function(density.log_density, autograph=False)

        def log_densities(points: Any) -> np.ndarray:
            vectors = np.stack([self.free.to_vector(point) for point in points])
            return np.asarray(compiled(tf.constant(vectors), self.shared))

        return log_densities

    def sampled(self) -> Sampled:
        """Everything that was drawn, also if Ctrl-C ended it."""
        settings, method = self.settings, self.method
        progress = Progress(settings.tune + settings.draws, settings.progressbar)
        warmup: list[Any] = []
        drawn: list[Any] = []
        was_interrupted = False
        started = time.perf_counter()
        try:
            for k, length in enumerate(method.plan):
                window: list[Any] = []
                with stage("tuning"):
                    self._advance(length, True, window, progress)
                method.end(k, _joined(window)[0])
                warmup += window
            with stage("draws"):
                self._advance(settings.draws, False, drawn, progress)
        except KeyboardInterrupt:
            if not drawn:
                raise
            was_interrupted = True
        seconds = time.perf_counter() - started
        return Sampled(
            *self._collected(drawn),
            *self._collected(warmup),
            self.compile_seconds,
            seconds,
            was_interrupted,
            method.attributes,
        )

    def _advance(self, length: int, is_tuning: bool, into: list[Any], progress: Progress) -> None:
        self.method.begin(length, is_tuning)
        left = length
        while left:
            n = min(
                left, self.capacity, max(1, int(SECONDS_PER_CALL / self.seconds_per_step), 10 * (not self.steps_taken))
            )
            started = time.perf_counter()
            draws, statistics = self.method.advance(self.position, n, self.seed, self.steps_taken, self.shared)
            self.seconds_per_step = (time.perf_counter() - started) / n
            self.position = draws[-1]
            self.steps_taken += n
            left -= n
            into.append((draws, statistics))
            progress.advance(n, _comment(self.settings.chains, is_tuning, statistics))

    def _collected(self, found: list[Any]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Vectors and statistics with the chains as their first axis."""
        if not found:
            return np.empty((self.settings.chains, 0, self.free.size)), {}
        draws, statistics = _joined(found)
        return np.moveaxis(draws, 0, 1), {name: np.moveaxis(values, 0, 1) for name, values in statistics.items()}


def _joined(found: list[Any]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    draws, statistics = zip(*found)
    return np.concatenate(draws), {name: np.concatenate([s[name] for s in statistics]) for name in statistics[0]}


def _comment(n_chains: int, is_tuning: bool, statistics: dict[str, np.ndarray]) -> str:
    diverging = int(statistics["diverging"].sum()) if "diverging" in statistics else 0
    text = f"{'Tuning' if is_tuning else 'Sampling'} {n_chains} chain{'s' * (n_chains > 1)}"
    return f"{text}, {diverging} divergences just now" if diverging and not is_tuning else text


def other_variables(
    model: Any, free: FreeVariables, variables: dict[str, Any], vectors: np.ndarray, *, batch: int = 500
) -> dict[str, np.ndarray]:
    """Values of variables that follow from the free ones, at all draws.

    Parameters
    ----------
    model : pymc3.Model
    free : FreeVariables
    variables : dict from a name to a Theano variable of the model
    vectors : ndarray (chains, draws, size)
    batch : int, draws computed at once

    Returns
    -------
    dict from each name to an ndarray (chains, draws, ...)
    """
    if not variables:
        return {}
    function = FlatFunction(model, free, list(variables.values()))
    shared = function.shared_values()
    compiled = tf.function(lambda v, s: function.batched(v, s), autograph=False)
    flat = vectors.reshape(-1, free.size)
    n = len(flat)
    batch = min(batch, n)
    found: dict[str, np.ndarray] = {}
    # The last batch overlaps the one before, so that one shape is compiled.
    for start in [min(k, n - batch) for k in range(0, n, batch)]:
        outputs = compiled(tf.constant(flat[start : start + batch]), shared)
        for name, output in zip(variables, outputs):
            values = output.numpy()
            found.setdefault(name, np.empty((n, *values.shape[1:]), dtype=values.dtype))[start : start + batch] = values
    return {name: values.reshape(*vectors.shape[:2], *values.shape[1:]) for name, values in found.items()}
