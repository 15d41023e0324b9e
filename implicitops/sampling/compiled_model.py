"""What TensorFlow has compiled of a PyMC3 model, kept with the model for the next call. No sampling happens here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from implicitops.sampling.free_variables import FreeVariables, changed_part, contents
from implicitops.sampling.hamiltonian import HamiltonianChains
from implicitops.sampling.metropolis import MetropolisChains
from implicitops.sampling.settings import Settings
from implicitops.sampling.tensorflow_density import FlatFunction, TensorFlowDensity
from implicitops.sampling.translation.implicit import problems_in

#: Most numbers that a call hands back, and most steps of one.
MOST_NUMBERS, MOST_STEPS = 5_000_000, 500

_ATTRIBUTE = "_implicitops_compiled"


class CompiledModel:
    """Log density, samplers and other variables of a model, compiled when they are first asked for.

    Parameters
    ----------
    model : pymc3.Model
    free : FreeVariables

    Attributes
    ----------
    density : TensorFlowDensity
    is_thread_safe : bool, whether all its problems may be solved by several threads of this process
    """

    def __init__(self, model: Any, free: FreeVariables) -> None:
        self.model, self.free = model, free
        self.contents = contents(model)
        self.density = TensorFlowDensity(model, free)
        if self.density.order != free.names:
            raise AssertionError(f"the translated graph takes {self.density.order}, but the vector is {free.names}")
        problems = problems_in(self.density.translated.inputs, self.density.translated.outputs)
        self.is_thread_safe = all(problem.is_thread_safe for problem in problems)
        self._log_densities = tf.function(self.density.log_density, autograph=False)
        self._samplers: dict[Any, Any] = {}
        self._functions: dict[tuple[str, ...], tuple[FlatFunction, Any]] = {}

    def log_densities(self, points: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Log density at each of several points, -inf where it is undefined."""
        vectors = np.stack([self.free.to_vector(point) for point in points])
        return np.asarray(self._log_densities(tf.constant(vectors), self.density.shared_values()))

    def chains(self, settings: Settings) -> HamiltonianChains | MetropolisChains:
        """Sampler for these settings; it compiles for each number of chains that it is first given."""
        capacity = int(np.clip(MOST_NUMBERS // (settings.chains * (self.free.size + 8)), 1, MOST_STEPS))
        options: dict[str, Any] = {
            "capacity": capacity,
            "target_accept": settings.target_accept,
            "max_treedepth": settings.max_treedepth,
            "path_length": settings.path_length,
        }
        key = (settings.step, *options.values())
        if key not in self._samplers:
            density, dtype = self.density, self.free.dtype
            if settings.step == "metropolis":
                sampler: Any = MetropolisChains(density.log_density, self.free.shapes, dtype, capacity=capacity)
            else:
                sampler = HamiltonianChains(density.differentiable_log_density, settings.step, dtype, **options)
            self._samplers[key] = sampler
        return self._samplers[key]

    def other_variables(
        self, variables: Mapping[str, Any], vectors: np.ndarray, *, batch: int = 500
    ) -> dict[str, np.ndarray]:
        """Values of variables that follow from the free ones, at all draws.

        Parameters
        ----------
        variables : mapping from a name, which says what it is, to a Theano variable of the model
        vectors : ndarray (chains, draws, size)
        batch : int, draws computed at once

        Returns
        -------
        dict from each name to an ndarray (chains, draws, ...)
        """
        if not variables:
            return {}
        names = tuple(variables)
        if names not in self._functions:
            function = FlatFunction(self.model, self.free, list(variables.values()))
            self._functions[names] = function, tf.function(function.batched, autograph=False)
        function, compiled = self._functions[names]
        shared = function.shared_values()
        flat = vectors.reshape(-1, self.free.size)
        n = len(flat)
        batch = min(batch, n)
        found: dict[str, np.ndarray] = {}
        # The last batch overlaps the one before, so that one shape is compiled.
        for start in [min(k, n - batch) for k in range(0, n, batch)]:
            for name, output in zip(names, compiled(tf.constant(flat[start : start + batch]), shared)):
                values = output.numpy()
                into = found.setdefault(name, np.empty((n, *values.shape[1:]), dtype=values.dtype))
                into[start : start + batch] = values
        return {name: values.reshape(*vectors.shape[:2], *values.shape[1:]) for name, values in found.items()}


class _Kept:
    """Holder of what was compiled, which a copy or a pickle of the model goes without."""

    def __init__(self) -> None:
        self.compiled: CompiledModel | None = None

    def __reduce__(self) -> tuple[type[_Kept], tuple[()]]:
        return _Kept, ()


def compiled_model(model: Any, free: FreeVariables) -> CompiledModel:
    """What is compiled of a model: kept from an earlier call, unless the model has got other variables since.

    Parameters
    ----------
    model : pymc3.Model
    free : FreeVariables

    Returns
    -------
    CompiledModel

    Raises
    ------
    TranslationError : an Op of the model has no translation
    """
    kept = vars(model).setdefault(_ATTRIBUTE, _Kept())
    found = kept.compiled
    if found is None or found.free != free or changed_part(model, found.contents):
        found = kept.compiled = CompiledModel(model, free)
    return found
