"""The log density of a PyMC3 model as a function of one flat tensor, and its other variables as functions of that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from implicitops.sampling import penalty
from implicitops.sampling.compiled_function import compiled
from implicitops.sampling.free_variables import FreeVariables
from implicitops.sampling.translation import TranslationError, translate

penalty.register_translation()


def translated_model(model: Any, outputs: Sequence[Any]) -> Any:
    """Translate variables of a model as functions of its free variables.

    Raises
    ------
    TranslationError : with the advice to sample on Theano
    """
    try:
        return translate(model.free_RVs, outputs)
    except TranslationError as error:
        raise TranslationError(f"{error}\nOr use backend='theano', which needs no translation.") from error


class FlatFunction:
    """Variables of a model as functions of the flat vector of its free variables.

    Parameters
    ----------
    model : pymc3.Model
    free : FreeVariables
    outputs : sequence of Theano variables

    Attributes
    ----------
    order : tuple of str, the free variables in the order that the translated graph takes them
    """

    def __init__(self, model: Any, free: FreeVariables, outputs: Sequence[Any]) -> None:
        self.free = free
        self.translated = translated_model(model, outputs)
        self.order = tuple(v.name for v in self.translated.inputs)

    def shared_values(self) -> list[np.ndarray]:
        """Present values of the shared variables, as arguments for a compiled function."""
        return [np.asarray(variable.get_value()) for variable in self.translated.shared]

    def __call__(self, vector: Any, shared: Sequence[Any]) -> list[Any]:
        """Outputs at one vector.

        Parameters
        ----------
        vector : tensor (size,)
        shared : values of ``translated.shared``
        """
        places = self.free.slices.values()
        parts = [tf.reshape(vector[place], shape) for place, shape in zip(places, self.free.shapes)]
        found: list[Any] = self.translated(*parts, shared=list(shared))
        return found

    def batched(self, vectors: Any, shared: Sequence[Any]) -> list[Any]:
        """Outputs at each of several vectors.

        Parameters
        ----------
        vectors : tensor (n, size)
        shared : values of ``translated.shared``
        """
        found: list[Any] = tf.vectorized_map(lambda vector: self(vector, shared), vectors)
        return found


class TensorFlowDensity(FlatFunction):
    """Log density of a model.

    Parameters
    ----------
    model : pymc3.Model
    free : FreeVariables
    """

    def __init__(self, model: Any, free: FreeVariables) -> None:
        super().__init__(model, free, [model.logpt])
        self._compiled = compiled(self._value_and_gradient)

    def log_density(self, vectors: Any, shared: Sequence[Any]) -> Any:
        """Log density at each of several vectors; -inf where it is undefined, which every sampler rejects.

        Parameters
        ----------
        vectors : tensor (n, size)
        shared : values of ``translated.shared``

        Returns
        -------
        tensor (n,)
        """
        return _rejected_where_undefined(self.batched(vectors, shared)[0], vectors.dtype)

    def differentiable_log_density(self, vectors: Any, shared: Sequence[Any]) -> Any:
        """The same with a gradient, which is computed along: an ODE would integrate sensitivities for it."""

        # The derivative is taken inside the map: taken outside, XLA holds the vectors for constants of the compiled
        # program, and compiles again at every call.
        @tf.custom_gradient  # type: ignore[untyped-decorator, unused-ignore]
        def with_gradient(vectors: Any) -> Any:
            values, gradients = tf.vectorized_map(lambda vector: self._value_and_gradient(vector, shared), vectors)
            values = _rejected_where_undefined(values, vectors.dtype)
            return values, lambda upstream: upstream[:, None] * gradients

        return with_gradient(vectors)

    def value_and_gradient(self, vector: np.ndarray) -> tuple[Any, Any]:
        """Log density (NaN where it is undefined) and gradient at one vector, compiled."""
        value, gradient = self._compiled(vector, self.shared_values())
        return value.numpy(), gradient.numpy()

    def _value_and_gradient(self, vector: Any, shared: Sequence[Any]) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(vector)
            (value,) = self(vector, shared)
        gradient = tape.gradient(value, vector, unconnected_gradients="zero")
        return value, gradient


def _rejected_where_undefined(values: Any, dtype: Any) -> Any:
    values = tf.cast(values, dtype)
    return tf.where(tf.math.is_nan(values), tf.constant(-math.inf, dtype), values)
