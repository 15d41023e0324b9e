"""Parts of an ODE's statement, each checked: rates, initial values, outputs, events, break points. No options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from implicitops.errors import ProblemError
from implicitops.problems.ode_scope import Scope, as_event_time
from implicitops.problems.validation import abbreviated


@dataclass(frozen=True)
class Event:
    """Sudden change of states at a time.

    Parameters
    ----------
    time : Expr of the parameters
    changes : tuple of (Symbol, Expr), states in the order of the statement and what they become
    """

    time: sp.Expr
    changes: tuple[tuple[sp.Symbol, sp.Expr], ...]


def abbreviated_mapping(symbols: Sequence[sp.Symbol], values: Sequence[sp.Expr]) -> str:
    """Text of a mapping, with the middle of a long one left out."""
    pairs = [f"{symbol}: {value}" for symbol, value in zip(symbols, values)]
    return f"{{{abbreviated(pairs)[1:-1]}}}"


def as_mapping(value: Any, role: str, meaning: str) -> dict[Any, Any]:
    """Items of a mapping that has some, or ProblemError that says what ``role`` must be."""
    if not isinstance(value, (Mapping, sp.Dict)) or not value:
        raise ProblemError(f"{role} must be a mapping of each state Symbol to {meaning}; got {value!r:.200}.")
    return dict(value.items())


def require_same_states(starts: Mapping[Any, Any], states: Sequence[sp.Symbol]) -> None:
    """Raise ProblemError unless each state has an initial value, and nothing else has one."""
    missing = [x for x in states if x not in starts]
    extra = [x for x in starts if x not in states]
    if missing or extra:
        parts = [f"missing {', '.join(map(str, missing))}"] * bool(missing)
        parts += [f"{', '.join(map(str, extra))} given, with no right-hand side"] * bool(extra)
        raise ProblemError(
            f"initial must have a value for each of the states {', '.join(map(str, states))} and nothing else: "
            f"{'; '.join(parts)}."
        )


def as_rate(value: Any, state: sp.Symbol, scope: Scope) -> sp.Expr:
    """The right-hand side of a state as an expression, or ProblemError."""
    if isinstance(value, sp.Equality):
        raise ProblemError(
            f"the rhs of {state} must be an expression for d{state}/dt; got the equation {value}. "
            "Solve it for the rate."
        )
    return scope.expression(value, f"the rhs of {state}")


def as_outputs(outputs: Any, scope: Scope) -> tuple[sp.Expr, ...]:
    """Expressions that are returned instead of the states, or ProblemError."""
    if not isinstance(outputs, (list, tuple, sp.Tuple, sp.MatrixBase)) or not len(outputs):
        raise ProblemError(
            f"outputs must be a sequence of at least one expression; got {outputs!r:.200}. "
            "Leave it out to get all states."
        )
    return tuple(scope.expression(item, "an output") for item in outputs)


def as_events(events: Any, scope: Scope) -> tuple[Event, ...]:
    """Events in the order of the statement, or ProblemError for one that is no sudden change of states."""
    form = "events must be a sequence of pairs (time, {state: expression})"
    if not isinstance(events, (list, tuple, sp.Tuple)):
        raise ProblemError(f"{form}; got {events!r:.200}.")
    checked = []
    for event in events:
        pair = (event.time, dict(event.changes)) if isinstance(event, Event) else event
        if not isinstance(pair, (list, tuple, sp.Tuple)) or len(pair) != 2:
            raise ProblemError(f"{form}; one of them is {event!r:.200}.")
        time = as_event_time(pair[0], scope)
        role = f"the event at {time}"
        changes = as_mapping(pair[1], f"what changes in {role}", "its new value")
        unknown = [x for x in changes if x not in scope.states]
        if unknown:
            raise ProblemError(
                f"{role} changes {', '.join(map(str, unknown))}; the states are {', '.join(map(str, scope.states))}."
            )
        values = ((x, scope.expression(changes[x], role)) for x in scope.states if x in changes)
        checked.append(Event(time, tuple(values)))
    return tuple(checked)


def as_breakpoints(breakpoints: Any, scope: Scope) -> tuple[sp.Expr, ...]:
    """Times at which steps end, expressions of the parameters, or ProblemError."""
    is_vector = isinstance(breakpoints, np.ndarray) and breakpoints.ndim == 1
    if not is_vector and not isinstance(breakpoints, (list, tuple, sp.Tuple)):
        raise ProblemError(
            f"breakpoints must be a sequence of times, numbers or expressions of the params; got {breakpoints!r:.200}."
        )
    return tuple(scope.of_parameters(time, "a break point") for time in breakpoints)
