"""Which Symbols the expressions of an ODE may contain, and what to state in the place of what they may not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanFunction

from implicitops.errors import ProblemError
from implicitops.problems.base import Parameter
from implicitops.problems.validation import (
    as_expression,
    as_start,
    require_distinct,
    require_known_symbols,
    require_symbol,
)


class Scope(NamedTuple):
    """Symbols that a statement's expressions may contain."""

    states: tuple[sp.Symbol, ...]
    params: tuple[sp.Symbol, ...]
    t: sp.Symbol | None

    @classmethod
    def checked(cls, states: tuple[Any, ...], params: Sequence[Parameter], t: Any) -> Scope:
        if "times" in (item.name for item in params if isinstance(item, sp.Symbol)):
            raise ProblemError("a parameter is called 'times', the keyword of the output times. Rename the Symbol.")
        flat = tuple(s for item in params for s in (item if isinstance(item, tuple) else (item,)))
        for state in states:
            if isinstance(state, (AppliedUndef, sp.Derivative)):
                raise ProblemError(
                    f"each state must be a SymPy Symbol; got {state}. Write x instead of x(t) everywhere."
                )
            require_symbol(state, "each state")
            if state in flat:
                raise ProblemError(f"{state} is both a state and a parameter. Give its initial value another name.")
        if t is not None:
            require_symbol(t, "t, the time,")
            if t in states or t in flat:
                kind = "state" if t in states else "parameter"
                raise ProblemError(f"{t} is both the time and a {kind}. Give one of them another name.")
        require_distinct([*states, *flat, *([] if t is None else [t])], "state, parameter or time")
        return cls(states, flat, t)

    def expression(self, value: Any, role: str) -> sp.Expr:
        """Expression of the states, the params and the time."""
        expression = as_expression(value, role)
        require_symbols_only(expression, role, self.states, self.t)
        known = [*self.states, *self.params, *([] if self.t is None else [self.t])]
        if self.t is None and any(symbol.name == "t" for symbol in expression.free_symbols - set(known)):
            raise ProblemError(f"{role} contains t, which was not declared. If it is the time, pass t=t.")
        require_known_symbols(expression, known, role, "neither a state nor a parameter nor the time")
        return expression

    def of_parameters(self, value: Any, role: str) -> sp.Expr:
        """Expression of the params alone."""
        if isinstance(value, sp.Basic):
            self._require_no_state(value, role)
        expression = as_start(value, self.params, role, "not a parameter")
        require_symbols_only(expression, role)
        return expression

    def _require_no_state(self, value: sp.Basic, role: str) -> None:
        for symbol in (*self.states, *([] if self.t is None else [self.t])):
            if symbol in value.free_symbols:
                kind = "the time" if symbol == self.t else "a state"
                known = ", ".join(map(str, self.params))
                raise ProblemError(
                    f"{role} contains {symbol}, which is not a parameter; known are {known}. "
                    f"It is {kind}, which has no value yet: an unknown start or time is a parameter of its own."
                )


def require_symbols_only(expression: sp.Expr, role: str, states: Sequence[sp.Symbol] = (), t: Any = None) -> None:
    """Raise ProblemError for functions that are not given by an expression, with the way to state what is meant."""
    functions = expression.atoms(AppliedUndef, sp.Derivative)
    if not functions:
        return
    found = min(functions, key=str)
    if isinstance(found, sp.Derivative):
        way = "Solve the equations for the rates, and write each state as a Symbol, x instead of x(t)."
        raise ProblemError(f"{role} contains {found}. {way}")
    name, arguments = found.func.__name__, found.args
    is_of_time = len(arguments) == 1 and (arguments[0] == t or (t is None and str(arguments[0]) == "t"))
    named = next((state for state in states if state.name == name), None)
    if named is not None and is_of_time:
        raise ProblemError(f"{role} contains {found}. Write each state as a Symbol, {named} instead of {found}.")
    if named is not None:
        raise ProblemError(
            f"{role} contains {found}, the state {named} at another time: delays are not supported. A distributed "
            "delay of mean tau is a chain of n further states, each with the rate n/tau*(previous - own), whose last "
            "one takes the place of the delayed state (the linear chain trick); many come near to one fixed delay."
        )
    raise ProblemError(
        f"{role} contains {found}, and nothing says what {name} is: a function that is not given by an expression, "
        "such as a table, is not supported. Write data as sympy.interpolating_spline(degree, t, times, values) or as a "
        "Piecewise of them, a measured law as an expression with parameters."
    )


def as_event_time(value: Any, scope: Scope) -> sp.Expr:
    """Time of an event, or ProblemError that says what to do about one that a state triggers."""
    is_condition = isinstance(value, (Relational, BooleanFunction))
    symbols = value.free_symbols if isinstance(value, sp.Basic) else set()
    triggers = [state for state in scope.states if state in symbols]
    if triggers:
        raise ProblemError(
            f"the event at {value} depends on the state {triggers[0]}: events when a state reaches a threshold are not "
            "supported, the time of an event is an expression of the params. Where the rates change at the threshold, "
            f"state that as a condition in the rhs, Piecewise((..., {triggers[0]} > threshold), ...): its values are "
            "found, and its derivatives too where the pieces meet."
        )
    if scope.t is not None and scope.t in symbols:
        raise ProblemError(
            f"the time of an event must be an expression of the params alone; got {value}, which contains the time "
            f"{scope.t}. Write the time itself: (tau, {{...}}) for what happens at {scope.t} = tau."
        )
    if is_condition:
        raise ProblemError(f"the time of an event must be an expression of the params; got the condition {value}.")
    return scope.of_parameters(value, "the time of an event")
