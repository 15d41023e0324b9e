"""An initial value problem of the catalogue and its stored reference. The problems are in ode_problems.py.

The references (states and their sensitivities to all parameters) lie in ``ode_references.json``; the program that
computed them is ``tools/ode_references.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp

#: What the tags mean.
TAGS = {
    "nonstiff": "an explicit method is the right one",
    "stiff": "an explicit method needs far more steps than accuracy asks for",
    "closed form": "the exact solution is known",
    "sensitive": "small changes of the initial values or parameters grow by many orders of magnitude",
    "multiscale": "states, rates or times span many orders of magnitude",
    "layers": "long quiet stretches and sudden jumps: the step must change by orders of magnitude",
    "oscillator": "a periodic solution or a limit cycle",
    "time-dependent": "the right-hand side contains the time",
    "large": "twenty states or more",
    "vector parameter": "has a tuple of Symbols among its parameters",
}

Expressions = Mapping[sp.Symbol, Any]


@dataclass(frozen=True)
class OdeReference:
    """A solution in 50-digit arithmetic, rounded to float64 at the end.

    The parameter values are taken as the doubles that they are, so that ill-conditioned solutions are as precise as
    others. A solver in float64 cannot reach them as well: rounding the parameters alone moves a value by its
    sensitivities times the parameters, times 1e-16.

    Parameters
    ----------
    values : ndarray (T, n), states at the case's times
    sensitivities : ndarray (T, n, p), with p in the order of the params, flattened
    value_error : float, an estimate of the largest relative error of an element before it was rounded
    sensitivity_error : float, the same for the sensitivities
    """

    values: np.ndarray
    sensitivities: np.ndarray
    value_error: float
    sensitivity_error: float


@dataclass(frozen=True, eq=False)
class OdeCase:
    """An initial value problem at one set of parameter values.

    Parameters
    ----------
    name : str
    rhs : mapping from state Symbol to expression
    params : tuple of Symbols and tuples of Symbols
    initial : mapping from state Symbol to an expression of the params
    point : tuple with one item for each parameter: a float, or a tuple of floats for a vector
    times : tuple of float, ascending, after ``t0``; the last is where the literature ends
    tags : frozenset of str, keys of :data:`TAGS`
    source : str, a paper or a book
    t : Symbol of the time, or None where the right-hand side doesn't contain it
    t0 : float
    exact : mapping from state Symbol to an expression of the params and ``t``, or None
    """

    name: str
    rhs: Expressions
    params: tuple[Any, ...]
    initial: Expressions
    point: tuple[Any, ...]
    times: tuple[float, ...]
    tags: frozenset[str]
    source: str
    t: sp.Symbol | None = None
    t0: float = 0.0
    exact: Expressions | None = None

    def __repr__(self) -> str:
        return self.name

    @property
    def states(self) -> tuple[sp.Symbol, ...]:
        """The unknowns, in the order of the values."""
        return tuple(self.rhs)

    @property
    def flat_params(self) -> tuple[sp.Symbol, ...]:
        """The parameters' Symbols, in the order of the sensitivities' last axis."""
        return tuple(s for item in self.params for s in (item if isinstance(item, tuple) else (item,)))

    @property
    def flat_point(self) -> tuple[float, ...]:
        """The parameters' values, in the same order."""
        return tuple(float(v) for item in self.point for v in (item if isinstance(item, tuple) else (item,)))

    def problem(self, **options: Any) -> Any:
        """The statement.

        Parameters
        ----------
        **options : of :class:`implicitops.ODE`, such as ``method``, ``rtol`` and ``atol``; ``times`` are the case's own
            unless given

        Returns
        -------
        ODE
        """
        from implicitops import ODE  # only those who solve need it: the references are made without

        options.setdefault("times", self.times)
        return ODE(dict(self.rhs), list(self.params), initial=dict(self.initial), t=self.t, t0=self.t0, **options)

    def reference(self) -> OdeReference:
        """The stored solution and sensitivities.

        Returns
        -------
        OdeReference, whose arrays are read-only

        Raises
        ------
        KeyError : there is none, or it was computed at other times or parameter values
        """
        record = _references().get(self.name)
        if record is None or record["times"] != list(self.times) or record["point"] != list(self.flat_point):
            raise KeyError(
                f"No reference for {self.name} at these times and parameter values. "
                f"Run tools/ode_references.py {self.name!r}."
            )
        values, sensitivities = np.array(record["values"]), np.array(record["sensitivities"])
        for array in (values, sensitivities):
            array.flags.writeable = False
        return OdeReference(values, sensitivities, record["value_error"], record["sensitivity_error"])


@lru_cache(maxsize=1)
def _references() -> dict[str, Any]:
    stored = Path(__file__).with_name("ode_references.json")
    return dict(json.loads(stored.read_text(encoding="utf-8")))
