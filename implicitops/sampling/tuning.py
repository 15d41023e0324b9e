"""What the samplers of TensorFlow adapt while they tune: a plan of windows, and what each changes. No loop is here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from implicitops.sampling.free_variables import FreeVariables
from implicitops.sampling.hamiltonian import Adaptation, HamiltonianChains, HamiltonianState
from implicitops.sampling.metropolis import TUNE_INTERVAL, MetropolisChains, MetropolisState
from implicitops.sampling.settings import Settings
from implicitops.sampling.warmup import posterior_covariance, posterior_variance, windows

#: Most variables for which TensorFlow's mass matrix is dense unless asked for: a leapfrog step then multiplies by a
#: matrix of a few thousand numbers, which most densities outweigh.
DENSE_SIZE = 50

#: Draws (steps, chains, size), statistics by name, and the state after them.
Advanced = tuple[np.ndarray, dict[str, np.ndarray], Any]


class Tuning(Protocol):
    """A sampler with what its warm-up adapts.

    Attributes
    ----------
    plan : list of int, lengths of the windows of the warm-up
    """

    plan: list[int]

    def start(self, position: np.ndarray) -> Any:
        """State of chains at a position (chains, size)."""

    def begin(self, state: Any, length: int, is_tuning: bool) -> Any:
        """State of chains that begin a window of so many steps, or their draws."""

    def advance(self, state: Any, n: int, seed: tuple[int, int], first: int, shared: Any) -> Advanced:
        """Take some steps; see :meth:`implicitops.sampling.hamiltonian.HamiltonianChains.advance`."""

    def end(self, window: int, draws: np.ndarray) -> None:
        """Learn from a window's draws (steps, chains, size) of all chains."""

    def attributes(self, states: Sequence[Any]) -> dict[str, Any]:
        """What a reader of the draws wants to know of the adaptation, given the states of all chains."""


class HamiltonianTuning:
    """NUTS or HMC with the windows of Stan: a step size for chains in step, one mass matrix for all chains.

    Parameters
    ----------
    chains : HamiltonianChains
    free : FreeVariables
    settings : Settings
    """

    def __init__(self, chains: HamiltonianChains, free: FreeVariables, settings: Settings) -> None:
        self.chains = chains
        self.plan = [window.length for window in windows(settings.tune)]
        self._is_slow = [window.is_slow for window in windows(settings.tune)]
        by_default = "dense" if free.size <= DENSE_SIZE else "diagonal"
        self._is_dense = (settings.mass_matrix or by_default) == "dense"
        self._covariance = np.eye(free.size) if self._is_dense else np.ones(free.size)

    def start(self, position: np.ndarray) -> HamiltonianState:
        """With PyMC3's first guess of the step size."""
        return HamiltonianState(position, Adaptation(0.25 / position.shape[-1] ** 0.25))

    def begin(self, state: HamiltonianState, length: int, is_tuning: bool) -> HamiltonianState:
        """The step size is adapted anew, or stays what it is."""
        return replace(state, adaptation=state.adaptation.restarted(length if is_tuning else 0))

    def advance(self, state: HamiltonianState, n: int, seed: tuple[int, int], first: int, shared: Any) -> Advanced:
        """With the present mass matrix."""
        return self.chains.advance(state, self._covariance, n, seed, first, shared)

    def end(self, window: int, draws: np.ndarray) -> None:
        """A slow window ends with a new mass matrix."""
        if self._is_slow[window]:
            self._covariance = posterior_covariance(draws) if self._is_dense else posterior_variance(draws)

    def attributes(self, states: Sequence[HamiltonianState]) -> dict[str, Any]:
        """The step size of each chain, and the mass matrix."""
        variance = np.diag(self._covariance) if self._is_dense else self._covariance
        has_correlations = self._is_dense and np.count_nonzero(self._covariance) > len(variance)
        return {
            "step_size": [state.adaptation.step_size for state in states for _ in state.position],
            "mass_matrix": "dense" if has_correlations else "diagonal",
            "inverse_mass_matrix_diagonal": variance.tolist(),
        }


class MetropolisTuning:
    """Metropolis, one variable after the other, with PyMC3's tuning.

    Parameters
    ----------
    chains : MetropolisChains
    free : FreeVariables
    settings : Settings
    """

    def __init__(self, chains: MetropolisChains, free: FreeVariables, settings: Settings) -> None:
        self.chains = chains
        whole, rest = divmod(settings.tune, TUNE_INTERVAL)
        self.plan = [TUNE_INTERVAL] * whole + [rest] * (rest > 0)
        self._n_variables = len(free.names)

    def start(self, position: np.ndarray) -> MetropolisState:
        """With proposals of scale 1."""
        shape = (len(position), self._n_variables)
        return MetropolisState(position, np.ones(shape), np.zeros(shape))

    def begin(self, state: MetropolisState, length: int, is_tuning: bool) -> MetropolisState:
        """The scales follow from what was accepted in the interval before."""
        return state.tuned()

    def advance(self, state: MetropolisState, n: int, seed: tuple[int, int], first: int, shared: Any) -> Advanced:
        """With the present scales."""
        return self.chains.advance(state, n, seed, first, shared)

    def end(self, window: int, draws: np.ndarray) -> None:
        """Nothing is shared by the chains."""

    def attributes(self, states: Sequence[MetropolisState]) -> dict[str, Any]:
        """The scales of all proposals, chain by chain."""
        return {"proposal_scaling": np.concatenate([state.scaling.ravel() for state in states]).tolist()}
