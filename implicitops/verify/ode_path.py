"""An ODE's statement as functions of numbers of any kind, and the order of what happens along its solution.

Between two moments (the start, an event, a switch of the right-hand side, an output time) the solution is smooth in
the parameters if time runs from 0 to 1 between them, whatever the moments depend on: a derivative across an event
needs no rule for the jump. Read from the user's statement alone; no step is taken here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.relational import Relational

from implicitops.codegen.python_functions import in_scipy
from implicitops.errors import NoReferenceError
from implicitops.problems.ode import ODE
from implicitops.verify import decimals

_BY_CASES = (sp.Abs, sp.Max, sp.Min, sp.Heaviside, sp.sign)
_STEPS = (sp.floor, sp.ceiling, sp.frac, sp.Mod)
Numbers = Sequence[Any] | np.ndarray


@dataclass(frozen=True)
class Stop:
    """Something that happens at a moment.

    Parameters
    ----------
    kind : "event", "switch" or "output"
    index : int, which of them
    truths : tuple of bool, which conditions on the time hold on the way to it
    """

    kind: str
    index: int
    truths: tuple[bool, ...]


class Path:
    """Functions of an ODE, in decimal numbers or in arrays of doubles.

    Parameters
    ----------
    problem : ODE
    precise : bool, whether numbers are decimal

    Raises
    ------
    NoReferenceError : the right-hand side depends on the time in a way that is not understood here
    """

    def __init__(self, problem: ODE, precise: bool) -> None:
        named = (*problem.states, *problem.parameter_symbols, problem.t or sp.Dummy("t"))
        symbols = [sp.Dummy(s.name, real=True) for s in named]
        self._translation = dict(zip(named, symbols))
        n = self.n_states = len(problem.states)
        self.n_parameters = len(symbols) - n - 1
        self.problem, self.precise = problem, precise
        self.states, self.parameters, self.time = symbols[:n], symbols[n:-1], symbols[-1]

    # -- functions ----------------------------------------------------------------------------------------

    def initial(self, parameters: Numbers) -> np.ndarray:
        """States at the start."""
        return self._initial(*parameters)

    def rate(self, truths: Sequence[bool]) -> Callable[..., np.ndarray]:
        """Right-hand side as a function (t, states, parameters) while some conditions hold."""
        key = tuple(truths)
        if key not in self._rates:
            values = {r: sp.sympify(truth) for r, truth in zip(self.conditions, key)}
            values.update({r: sp.sympify(isinstance(r, sp.Ne)) for r in self._instants})
            function = self._compiled(self._arguments, [e.xreplace(values) for e in self._rhs])
            self._rates[key] = lambda t, y, p: function(t, *y, *p)
        return self._rates[key]

    def change(self, index: int, t: Any, states: Numbers, parameters: Numbers) -> np.ndarray:
        """States after an event."""
        return self._changes[index](t, *states, *parameters)

    def output(self, t: Any, states: np.ndarray, parameters: Numbers) -> np.ndarray:
        """What is returned."""
        return states if self._outputs is None else self._outputs(t, *states, *parameters)

    def moments(self, parameters: Numbers) -> np.ndarray:
        """Start, times of the events, times of the switches."""
        return self._moments(*parameters)

    def moment(self, stop: Stop, moments: Numbers, times: Numbers, shift: Any) -> Any:
        """When something happens, for moments by :meth:`moments` and output times that are shifted."""
        if stop.kind == "output":
            return times[stop.index] + shift
        return moments[1 + stop.index + (len(self.problem.events) if stop.kind == "switch" else 0)]

    def stops(self, parameters: Numbers, times: Numbers) -> tuple[list[Stop], bool]:
        """What happens, in order, up to the last output; and whether an output falls on an event or switch.

        Parameters
        ----------
        parameters, times : sequences of float
        """
        start, *moments = (float(m) for m in self.moments(list(parameters)))
        n_events = len(self.problem.events)
        # Of equal moments: switches, then events as they are listed, then outputs.
        found = [(m, 0, k, "switch") for k, m in enumerate(moments[n_events:]) if m > start]
        found += [(m, 1, k, "event") for k, m in enumerate(moments[:n_events])]
        found += [(float(t), 2, k, "output") for k, t in enumerate(times)]
        found = sorted(f for f in found if f[0] <= max(times, default=start))
        at = [start, *(f[0] for f in found)]
        stops = [Stop(kind, k, self._truths(at[i:], parameters)) for i, (_, _, k, kind) in enumerate(found)]
        inner = {m for m, _, _, kind in found if kind != "output"}
        return stops, any(m in inner for m, _, _, kind in found if kind == "output")

    def _truths(self, at: Sequence[float], parameters: Numbers) -> tuple[bool, ...]:
        """Which conditions hold just after the first of some moments."""
        later = next((m for m in at if m > at[0]), at[0] + 2 + abs(at[0]))
        here = dict(zip(self.parameters, map(sp.Float, parameters)))
        here[self.time] = sp.Float((at[0] + later) / 2)
        return tuple(bool(relation.xreplace(here)) for relation in self.conditions)

    # -- expressions --------------------------------------------------------------------------------------

    @cached_property
    def _rates(self) -> dict[tuple[bool, ...], Callable[..., np.ndarray]]:
        return {}

    @cached_property
    def _arguments(self) -> list[sp.Symbol]:
        return [self.time, *self.states, *self.parameters]

    @cached_property
    def _rhs(self) -> list[sp.Expr]:
        """Right-hand sides in which everything that is defined by cases of the time is a Piecewise."""
        rhs = [self._translated(e) for e in self.problem.rhs]
        if any(self._is_of_time(node) for e in rhs for node in e.atoms(*_STEPS)):
            raise _not_understood("a step function of the time")
        return rhs

    @cached_property
    def conditions(self) -> list[Relational]:
        """Conditions on the time, of the parameters but not of the states."""
        return [r for r in self._relations() if not isinstance(r, (sp.Eq, sp.Ne))]

    @cached_property
    def _instants(self) -> list[Relational]:
        return [r for r in self._relations() if isinstance(r, (sp.Eq, sp.Ne))]

    def _relations(self) -> Iterator[Relational]:
        found = {r for e in self._rhs for r in e.atoms(Relational) if self._is_of_time(r)}
        return iter(sorted(found, key=sp.default_sort_key))

    @cached_property
    def _initial(self) -> Callable[..., np.ndarray]:
        return self._compiled(self.parameters, [self._translated(e) for e in self.problem.initial])

    @cached_property
    def _changes(self) -> list[Callable[..., np.ndarray]]:
        changes = (dict(event.changes) for event in self.problem.events)
        rows = ([self._translated(change.get(x, x)) for x in self.problem.states] for change in changes)
        return [self._compiled(self._arguments, row) for row in rows]

    @cached_property
    def _outputs(self) -> Callable[..., np.ndarray] | None:
        outputs = self.problem.outputs
        return None if outputs is None else self._compiled(self._arguments, [self._translated(e) for e in outputs])

    @cached_property
    def _moments(self) -> Callable[..., np.ndarray]:
        stated = (self.problem.t0, *(event.time for event in self.problem.events))
        switches = [self._time_of(r) for r in self.conditions]
        return self._compiled(self.parameters, [*map(self._translated, stated), *switches])

    def _time_of(self, relation: Relational) -> sp.Expr:
        """When a condition changes."""
        difference = sp.expand(relation.lhs - relation.rhs)
        slope = sp.diff(difference, self.time)
        if self.time in slope.free_symbols or difference.has(sp.Piecewise):
            raise _not_understood(f"the condition {relation}, which is not affine in it")
        return difference.xreplace({self.time: sp.S.Zero}) / -slope

    def _translated(self, expression: Any) -> sp.Expr:
        return _as_piecewise(sp.sympify(expression).xreplace(self._translation))

    def _is_of_time(self, node: sp.Basic) -> bool:
        return self.time in node.free_symbols and not node.free_symbols & set(self.states)

    def _compiled(self, arguments: Sequence[sp.Symbol], expressions: Sequence[sp.Expr]) -> Callable[..., np.ndarray]:
        if self.precise:
            return decimals.compiled(arguments, expressions)
        function = in_scipy(arguments, list(expressions))

        def broadcast(*given: Any) -> np.ndarray:
            shape = np.broadcast_shapes(*(np.shape(g) for g in given))
            values = [np.broadcast_to(np.asarray(v, dtype=np.float64), shape) for v in function(*given)]
            return np.stack(values) if values else np.empty((0, *shape))

        return broadcast


def _as_piecewise(expression: sp.Expr) -> sp.Expr:
    return expression.replace(lambda node: isinstance(node, _BY_CASES), lambda node: node.rewrite(sp.Piecewise))


def _not_understood(what: str) -> NoReferenceError:
    return NoReferenceError(
        f"there is no high-precision reference for a right-hand side with {what}. Pass reference=, the true value as "
        "a function of the parameters and the times."
    )
