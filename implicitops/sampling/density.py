"""The log density of a PyMC3 model, with its gradient, as a function of numbers on either backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from implicitops.errors import ArgumentError, ModelChangedError
from implicitops.sampling.choice_of_backend import chosen_backend
from implicitops.sampling.free_variables import (
    FreeVariables,
    changed_part,
    contents,
    discrete_names,
    free_variables_of,
    model_in_context,
)


class LogDensity:
    """Log density of a model's free variables, compiled; see :func:`logp_function`.

    Attributes
    ----------
    variables : tuple of str, names of the free variables in the order of the vector
    shapes : dict from each name to its shape
    size : int, length of the vector
    backend : "theano" or "tensorflow"
    """

    def __init__(self, model: Any, backend: str) -> None:
        self.backend = backend
        self._model = model
        self._free = free_variables_of(model)
        discrete = discrete_names(model)
        if discrete:
            raise ArgumentError(
                f"the log density has no gradient with respect to discrete variables: {', '.join(discrete)}. Sum "
                "them out of the model, or sample them with a Metropolis step."
            )
        self._contents = contents(model)
        compile_for = {"theano": _on_theano, "tensorflow": _on_tensorflow}[backend]
        self._function, order = compile_for(model, self._free)
        if order != self._free.names:
            raise AssertionError(f"the {backend} function takes {order}, but the vector is {self._free.names}")

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the free variables in the order of the vector."""
        return self._free.names

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each free variable."""
        return dict(zip(self._free.names, self._free.shapes))

    @property
    def size(self) -> int:
        """Length of the vector."""
        return self._free.size

    def to_point(self, vector: Any) -> dict[str, np.ndarray]:
        """Values by name, of a vector (..., size)."""
        return self._free.to_point(vector)

    def to_vector(self, point: Mapping[str, Any]) -> np.ndarray:
        """Vector (size,) of values by name."""
        return self._free.to_vector(point)

    def __call__(self, at: Any) -> tuple[float, Any]:
        """Log density and gradient at a point or a vector.

        Parameters
        ----------
        at : mapping from names to values, or array (size,)

        Returns
        -------
        (float, gradient), the gradient being a dict for a point and an ndarray (size,) for a vector

        Raises
        ------
        ModelChangedError : the model has got other variables since this function was made
        ArgumentError : a variable is missing or unknown, or a shape is wrong
        """
        self._check_unchanged()
        is_point = isinstance(at, Mapping)
        vector = self._free.to_vector(at) if is_point else np.asarray(at, dtype=self._free.dtype)
        if vector.shape != (self.size,):
            raise ArgumentError(f"a vector must have the shape ({self.size},); got {vector.shape}.")
        value, gradient = self._function(vector)
        gradient = np.array(gradient)
        return float(value), self._free.to_point(gradient) if is_point else gradient

    def _check_unchanged(self) -> None:
        part = changed_part(self._model, self._contents)
        if part is not None:
            both = (self._contents[part], contents(self._model)[part])
            before, now = (", ".join(str(v.name) for v in variables) or "none" for variables in both)
            raise ModelChangedError(
                f"the model's {part} have changed since its log density was compiled: they were {before}, and are now "
                f"{now}. Make the function again: logp_function(model)."
            )

    def __repr__(self) -> str:
        return f"<log density of {', '.join(self.variables)} on {self.backend}>"


def logp_function(model: Any = None, backend: str | None = None) -> LogDensity:
    """Compile the log density of a PyMC3 model, with its gradient.

    The density is that of the unconstrained free variables, with the Jacobian terms of their transforms, as samplers
    use it. Shared data (``pm.Data``, ``theano.shared``) are read at every call.

    Parameters
    ----------
    model : pymc3.Model; by default that of the ``with`` statement
    backend : "theano" or "tensorflow"; by default what ``PYMC_SYMB_BACKEND`` says, then Theano

    Returns
    -------
    LogDensity
        ``f(vector)`` or ``f(point)`` returns value and gradient; ``f.variables`` and ``f.shapes`` state the order

    Raises
    ------
    ArgumentError : no model, no free variable, discrete free variables, or an unknown backend
    BackendError : the backend isn't installed
    TranslationError : an Op of the model has no translation to TensorFlow

    Examples
    --------
    >>> import pymc3 as pm
    >>> from implicitops.sampling import logp_function
    >>> with pm.Model() as model:
    ...     x = pm.Normal("x", 0, 1, shape=2)
    >>> f = logp_function(model)
    >>> f.variables, f.shapes
    (('x',), {'x': (2,)})
    >>> value, gradient = f([1.0, 2.0])
    >>> round(value, 6), gradient
    (-4.337877, array([-1., -2.]))
    """
    backend = chosen_backend(backend)
    return LogDensity(model_in_context(model), backend)


Compiled = tuple[Callable[[np.ndarray], tuple[Any, Any]], tuple[str, ...]]


def _on_theano(model: Any, free: FreeVariables) -> Compiled:
    function = model.logp_dlogp_function(model.free_RVs)
    function.set_extra_values({})
    places = free.slices
    for entry in function._ordering.vmap:  # where PyMC3 itself puts each variable
        if entry.slc != places[entry.var]:
            raise AssertionError(f"{entry.var} is at {entry.slc} of PyMC3's vector, expected {places[entry.var]}")
    return function, tuple(entry.var for entry in function._ordering.vmap)


def _on_tensorflow(model: Any, free: FreeVariables) -> Compiled:
    from implicitops.sampling.tensorflow_density import TensorFlowDensity

    density = TensorFlowDensity(model, free)
    return density.value_and_gradient, density.order
