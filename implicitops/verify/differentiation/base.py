"""The products of derivatives with vectors that every backend offers, as one interface. No check is made here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from implicitops.problems.base import Problem

Arrays = Sequence[np.ndarray]

#: Second-order products by how they are composed: forward or reverse over forward or reverse.
MODES = ("ff", "fr", "rf", "rr")


def by_position(function: Callable[..., Any], problem: Problem) -> Callable[..., Any]:
    """A problem, or something that is called like it, as a function of all arguments by position.

    Parameters
    ----------
    function : callable such as ``problem``, ``problem.solve`` or ``problem.op(...)``, with the parameters by position
        and what else there is, an ODE's output times, by name
    problem : Problem
    """
    n, others = len(problem.params), problem.argument_names[len(problem.params) :]
    return lambda *arguments, **options: function(*arguments[:n], **dict(zip(others, arguments[n:])), **options)


class Differentiable:
    """A function f of arrays in one backend, with its derivative products.

    Arguments, tangents and cotangents are sequences of arrays, one for each argument of the function. Below, J is
    the Jacobian and H[v, w] the second derivative in two directions.

    Attributes
    ----------
    name : str, the backend
    modes : second-order compositions that can be tried, of :data:`MODES`
    """

    name = "backend"
    modes: tuple[str, ...] = MODES

    def value(self, arguments: Arrays) -> np.ndarray:
        """f."""
        raise NotImplementedError

    def vjp(self, arguments: Arrays, cotangent: np.ndarray) -> list[np.ndarray]:
        """Cotangent times J, in reverse mode: one array for each argument."""
        raise NotImplementedError

    def jvp(self, arguments: Arrays, tangents: Arrays) -> np.ndarray:
        """J times the tangents, in forward mode: an array of the shape of f."""
        raise NotImplementedError

    def second(
        self, mode: str, arguments: Arrays, cotangent: np.ndarray, tangents: Arrays, others: Arrays
    ) -> np.ndarray | list[np.ndarray]:
        """Second-order product by one of :data:`MODES`.

        Returns
        -------
        "ff": ndarray of the shape of f, H[tangents, others]
        "fr", "rf", "rr": one array for each argument, cotangent times H[tangents, .]
        """
        raise NotImplementedError
