"""Where a solve failed, in words: the state and the time of an ODE, the point of an integral. Nothing is raised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch
from typing import Any

import numpy as np
import sympy as sp

from implicitops.codegen.python_functions import in_scipy
from implicitops.problems.base import Problem
from implicitops.problems.integral import Integral
from implicitops.problems.ode import ODE
from implicitops.status import Status
from implicitops.symbolic.integral import integral_functions_of
from implicitops.symbolic.ode import ode_functions_of

#: Counters of a kernel that say where it failed: the bits of a double, and which state or condition, or -1.
PLACE = ("failed_at", "failed_in")

#: States more than these are not listed, nor are longer expressions.
_MOST_STATES, _LONGEST = 6, 80

#: Points of a finite range at which an integrand is looked at.
_POINTS = 2001


@singledispatch
def place(problem: Problem, status: Status, values: Sequence[Any], counters: Mapping[str, int]) -> str:
    """Where the solve of one batch element failed; kinds of problem that know it register their own.

    Parameters
    ----------
    problem : Problem
    status : Status
    values : sequence of array-like, the arguments of the element
    counters : mapping of those of :data:`PLACE` to what the kernel says, or empty

    Returns
    -------
    str, to be appended to the reason; empty if there is nothing to say
    """
    return ""


@place.register(ODE)
def _of_ode(problem: ODE, status: Status, values: Sequence[Any], counters: Mapping[str, int]) -> str:
    if status is Status.BEFORE_START:
        return _before_start(problem, values)
    time = _double(counters.get("failed_at"))
    if not np.isfinite(time):
        return ""
    at = f"after {_time(problem)} = {time:.6g}"
    part = int(counters.get("failed_in", -1))
    there = _states_at(problem, values, time)
    if status is Status.DISCONTINUITY and part >= 0:
        functions = ode_functions_of(problem)
        guard = functions.surfaces.expressions[len(functions.surfaces.expressions) - functions.surfaces.n_guards + part]
        return f". It happened {at}, where {_short(functions.statement.original(guard))} changes its sign{there}"
    if not 0 <= part < len(problem.states):
        return f". It happened {at}{there}"
    state = problem.states[part]
    if status is Status.BLOW_UP:
        return f". It happened to {state} {at}{there}"
    return f". It happened in the rhs of {state}, {_short(problem.rhs[part])}, {at}{there}"


def _before_start(problem: ODE, values: Sequence[Any]) -> str:
    point = _point(problem, values)
    start, times = float(problem.t0.subs(point)), np.asarray(values[len(problem.params)])
    early = [f"an output time is {times.min():.6g}"] if times.size and times.min() < start else []
    for event in problem.events:
        time = float(event.time.subs(point))
        early += [f"the event at {event.time} is at {time:.6g}"] if time < start else []
    return f". Here t0 is {start:.6g}; {', '.join(early[:3])}" if early else ""


def _states_at(problem: ODE, values: Sequence[Any], time: float) -> str:
    """The states at the end of the last step, from a solve that ends there."""
    if len(problem.states) > _MOST_STATES:
        return ""
    parameters = values[: len(problem.params)]
    solution = problem.replaced(outputs=None).solve(*parameters, times=np.array([time]), throw=False)
    if not solution.converged:
        return ""
    listing = ", ".join(f"{state} = {value:.6g}" for state, value in zip(problem.states, solution.value[0]))
    return f" with {listing}"


@place.register(Integral)
def _of_integral(problem: Integral, status: Status, values: Sequence[Any], counters: Mapping[str, int]) -> str:
    """The node that the kernel names, or one at which an integrand of one variable is not a number."""
    node = _double(counters.get("failed_at"))
    if np.isfinite(node):
        outer = problem.variables[integral_functions_of(problem).outermost.depth]
        return f". It happened at {outer} = {node:.6g}"
    if status is not Status.UNDEFINED or len(problem.limits) != 1:
        return ""
    point = _point(problem, values)
    (variable,), (limits,) = problem.variables, problem.limits
    low, high = (float(limit.subs(point)) for limit in limits)
    if not (np.isfinite(low) and np.isfinite(high)):
        return ""
    for integrand in problem.integrands:
        function = in_scipy(variable, integrand.subs(point))
        with np.errstate(all="ignore"):
            nodes = np.linspace(low, high, _POINTS)[1:-1]
            found = np.broadcast_to(function(nodes), nodes.shape)
        undefined = nodes[~np.isfinite(found)] if np.isrealobj(found) else nodes[np.iscomplex(found)]
        if undefined.size:
            return f". {_short(integrand)} is not a number at {variable} = {undefined[0]:.6g}, for one"
    return ""


def _point(problem: Problem, values: Sequence[Any]) -> dict[sp.Symbol, float]:
    count = len(problem.params)
    flat = np.concatenate([np.ravel(np.asarray(value, dtype=np.float64)) for value in values[:count]])
    return dict(zip(problem.parameter_symbols, map(float, flat)))


def _double(bits: int | None) -> float:
    return np.nan if bits is None else float(np.int64(bits).view(np.float64))


def _time(problem: ODE) -> str:
    return "t" if problem.t is None else str(problem.t)


def _short(expression: Any) -> str:
    text = str(expression)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
