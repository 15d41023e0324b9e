"""What a user asks of the sampler, checked, and what the sampler hands back. Neither backend is imported here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from implicitops.errors import ArgumentError
from implicitops.problems.validation import did_you_mean

#: Names of the step methods.
STEPS = ("nuts", "hmc", "metropolis")

#: Forms of the mass matrix of NUTS and HMC.
MASS_MATRICES = ("diagonal", "dense")

#: How the chains of TensorFlow share the processor.
CHAIN_METHODS = ("parallel", "vectorized")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Arguments of :func:`implicitops.sampling.sample`, where they are documented."""

    draws: int
    tune: int
    chains: int
    step: str
    random_seed: int | Sequence[int] | None
    progressbar: bool
    target_accept: float
    max_treedepth: int
    path_length: float
    mass_matrix: str | None
    chain_method: str | None
    initvals: Mapping[str, Any] | None
    keep_warmup: bool
    log_likelihood: bool
    cores: int | None
    mp_ctx: str | None

    def __post_init__(self) -> None:
        for name, least in (("draws", 1), ("tune", 0), ("chains", 1), ("max_treedepth", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ArgumentError(f"{name} must be a whole number, at least {least}; got {value!r}.")
        if self.step not in STEPS:
            raise ArgumentError(
                f"step must be one of {', '.join(map(repr, STEPS))}; got {self.step!r}."
                f"{did_you_mean(str(self.step), STEPS)} Other step methods of PyMC3 are given to pm.sample itself."
            )
        for name, choices in (("mass_matrix", MASS_MATRICES), ("chain_method", CHAIN_METHODS)):
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise ArgumentError(
                    f"{name} must be one of {', '.join(map(repr, choices))}, or None, by which the backend chooses; "
                    f"got {value!r}.{did_you_mean(str(value), choices)}"
                )
        if self.mass_matrix is not None and self.step == "metropolis":
            raise ArgumentError(
                f"mass_matrix={self.mass_matrix!r} is for NUTS and HMC; Metropolis has none. Leave it out."
            )
        if not 0 < self.target_accept < 1:
            raise ArgumentError(f"target_accept must lie between 0 and 1; got {self.target_accept!r}.")
        if self.cores is not None and (not isinstance(self.cores, (int, np.integer)) or self.cores < 1):
            raise ArgumentError(f"cores must be a whole number, at least 1, or None; got {self.cores!r}.")
        if not self.path_length > 0:
            raise ArgumentError(f"path_length must be positive; got {self.path_length!r}.")
        if not _is_seed(self.random_seed):
            raise ArgumentError(
                "random_seed must be a whole number, at least 0, a sequence of such numbers, or None; "
                f"got {self.random_seed!r}."
            )

    @property
    def entropy(self) -> int | list[int] | None:
        """The random seed in Python's own numbers, which can be written into files."""
        seed = self.random_seed
        if seed is None or isinstance(seed, (int, np.integer)):
            return None if seed is None else int(seed)
        return [int(number) for number in seed]

    @property
    def seeds(self) -> np.ndarray:
        """Two 31-bit seeds of the whole run, then one for each chain."""
        words = np.random.SeedSequence(self.entropy).generate_state(self.chains + 2)
        return np.asarray(words >> 1, dtype=np.int32)


def _is_seed(seed: Any) -> bool:
    """Whether NumPy's SeedSequence takes it: None, a whole number of at least 0, or a sequence of them."""
    if isinstance(seed, (Sequence, np.ndarray)) and not isinstance(seed, (str, bytes)):
        return getattr(seed, "ndim", 1) == 1 and len(seed) > 0 and all(map(_is_whole, seed))
    return seed is None or _is_whole(seed)


def _is_whole(number: Any) -> bool:
    return isinstance(number, (int, np.integer)) and not isinstance(number, bool) and int(number) >= 0


@dataclass
class Sampled:
    """What the chains of TensorFlow have done.

    Parameters
    ----------
    vectors : ndarray (chains, draws, size)
    statistics : dict from ArviZ's name to an ndarray (chains, draws, ...)
    warmup_vectors, warmup_statistics : the same of the tuning steps
    compile_seconds, sampling_seconds : float
    was_interrupted : bool
    """

    vectors: np.ndarray
    statistics: dict[str, np.ndarray]
    warmup_vectors: np.ndarray
    warmup_statistics: dict[str, np.ndarray]
    compile_seconds: float
    sampling_seconds: float
    was_interrupted: bool = False
    attributes: dict[str, Any] = field(default_factory=dict)
