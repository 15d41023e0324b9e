"""The free variables of a PyMC3 model in a stated order, as points and as one flat vector. No density lives here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from implicitops.errors import ArgumentError


@dataclass(frozen=True)
class FreeVariables:
    """Names and shapes of a model's free variables, in the order in which they stand in a vector.

    They are the transformed, unconstrained variables that a sampler moves: ``sigma_log__`` for a positive ``sigma``.

    Parameters
    ----------
    names : tuple of str
    shapes : tuple of shapes
    dtype : str, of the vector
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtype: str

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum(map(math.prod, self.shapes))

    @property
    def slices(self) -> dict[str, slice]:
        """Place of each variable in the vector."""
        found, start = {}, 0
        for name, shape in zip(self.names, self.shapes):
            found[name] = slice(start, start + math.prod(shape))
            start += math.prod(shape)
        return found

    def to_vector(self, point: Mapping[str, Any]) -> np.ndarray:
        """Vector of a point.

        Parameters
        ----------
        point : mapping from each name to its value

        Returns
        -------
        ndarray (size,)

        Raises
        ------
        ArgumentError : a variable is missing or unknown, or has the wrong shape
        """
        wrong = sorted(set(point) ^ set(self.names))
        if wrong:
            raise ArgumentError(
                f"a point needs a value of each free variable, {', '.join(self.names)}, and no other; missing or "
                f"unknown: {', '.join(map(str, wrong))}. Bounded variables are given transformed, as in "
                "model.test_point."
            )
        parts = []
        for name, shape in zip(self.names, self.shapes):
            value = np.asarray(point[name], dtype=self.dtype)
            if value.shape != shape:
                raise ArgumentError(f"{name} must have the shape {shape}; got {value.shape}.")
            parts.append(value.ravel())
        return np.concatenate(parts)

    def to_point(self, vector: Any) -> dict[str, np.ndarray]:
        """Point of a vector; leading axes, of chains and draws say, are kept.

        Parameters
        ----------
        vector : array (..., size)

        Returns
        -------
        dict from each name to an ndarray (..., *shape)

        Raises
        ------
        ArgumentError : the vector has the wrong length
        """
        vector = np.asarray(vector, dtype=self.dtype)
        if vector.ndim == 0 or vector.shape[-1] != self.size:
            raise ArgumentError(f"a vector must have the shape (..., {self.size}); got {vector.shape}.")
        lead = vector.shape[:-1]
        shapes = dict(zip(self.names, self.shapes))
        return {name: vector[..., where].reshape(lead + shapes[name]) for name, where in self.slices.items()}


def free_variables_of(model: Any) -> FreeVariables:
    """Free variables of a model, in the order of ``model.free_RVs``.

    Parameters
    ----------
    model : pymc3.Model

    Returns
    -------
    FreeVariables

    Raises
    ------
    ArgumentError : the model has none
    """
    import theano

    variables = model.free_RVs
    if not variables:
        raise ArgumentError(
            "the model has no free variable, so there is nothing to sample. Give it a variable without observed=, or "
            "draw from it with pm.sample_prior_predictive."
        )
    shapes = tuple(tuple(int(n) for n in np.shape(v.tag.test_value)) for v in variables)
    return FreeVariables(tuple(v.name for v in variables), shapes, str(theano.config.floatX))


def discrete_names(model: Any) -> list[str]:
    """Names of the free variables that take whole numbers only."""
    return [v.name for v in model.free_RVs if not np.issubdtype(np.dtype(v.dtype), np.floating)]


def contents(model: Any) -> dict[str, tuple[Any, ...]]:
    """What a model's density is made of, to see later whether it has changed."""
    return {
        "free variables": tuple(model.free_RVs),
        "observed variables": tuple(model.observed_RVs),
        "potentials": tuple(model.potentials),
    }


def changed_part(model: Any, before: Mapping[str, tuple[Any, ...]]) -> str | None:
    """Which of a model's :func:`contents` is no longer what it was; None if nothing has changed."""
    for part, now in contents(model).items():
        if len(now) != len(before[part]) or any(a is not b for a, b in zip(now, before[part])):
            return part
    return None


def model_in_context(model: Any) -> Any:
    """The model itself, or the one of the ``with`` statement around the call.

    Raises
    ------
    ArgumentError : there is neither, or it is no PyMC3 model
    """
    import pymc3 as pm

    if model is None:
        model = pm.Model.get_context(error_if_none=False)
    if not isinstance(model, pm.Model):
        raise ArgumentError(
            f"expected a PyMC3 model: got {model!r:.80}. Call this inside `with model:`, or give model=model."
        )
    return model
