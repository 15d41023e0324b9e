"""First and second differences of a function that is evaluated at all their points in one call."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Derivatives:
    """Value (...), Jacobian (..., q) and Hessian (..., q, q) of a function, or errors of them."""

    value: np.ndarray
    jacobian: np.ndarray
    hessian: np.ndarray | None


class Stencil:
    """Points around a centre at which a function is evaluated, and the central differences of its values.

    Parameters
    ----------
    steps : sequence of q numbers of any kind
    order : 1 or 2

    Examples
    --------
    >>> import numpy as np
    >>> from implicitops.verify.stencil import Stencil
    >>> stencil = Stencil([1e-3, 1e-3], 2)
    >>> x, y = np.array([[2.0], [3.0]]) + stencil.offsets
    >>> stencil.derivatives(x**2 * y).hessian.round(6)
    array([[6., 4.],
           [4., 0.]])
    """

    def __init__(self, steps: Any, order: int) -> None:
        self.steps, self.order = np.array(steps), order
        q = len(self.steps)
        unit = np.eye(q, dtype=int)
        self.pairs = list(itertools.combinations(range(q), 2)) if order >= 2 else []
        moves = [np.zeros(q, dtype=int)]
        moves += [sign * unit[a] for a in range(q) for sign in (1, -1)]
        moves += [sign * (unit[a] + unit[b]) for a, b in self.pairs for sign in (1, -1)]
        #: What is added to the variables, (q, points), the centre first.
        self.offsets = np.array(moves).T * self.steps[:, None]

    def derivatives(self, values: np.ndarray) -> Derivatives:
        """Derivatives of values (..., points)."""
        q, h = len(self.steps), self.steps
        centre = values[..., 0]
        above, below = values[..., 1 : 2 * q + 1 : 2], values[..., 2 : 2 * q + 1 : 2]
        first = (above - below) / (2 * h)
        if self.order < 2:
            return Derivatives(centre, first, None)
        second = np.empty((*centre.shape, q, q), dtype=values.dtype)
        for a in range(q):
            second[..., a, a] = (above[..., a] - 2 * centre + below[..., a]) / h[a] ** 2
        for k, (a, b) in enumerate(self.pairs):
            together = values[..., 1 + 2 * q + 2 * k] + values[..., 2 + 2 * q + 2 * k]
            alone = above[..., a] + below[..., a] + above[..., b] + below[..., b]
            second[..., a, b] = second[..., b, a] = (together - alone + 2 * centre) / (2 * h[a] * h[b])
        return Derivatives(centre, first, second)

    def scaled(self, values: np.ndarray, units: np.ndarray) -> np.ndarray:
        """Values (..., points) and their derivatives in units of the variables, one after the other: (..., 1 + k)."""
        found = self.derivatives(values)
        parts = [found.value[..., None], found.jacobian * units]
        if found.hessian is not None:
            second = found.hessian * units[:, None] * units
            parts.append(second.reshape(*second.shape[:-2], -1))
        return np.concatenate(parts, axis=-1)
