"""Checks that every statement passes through, each with an error that says what to do. No numerics lives here."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
import sympy as sp

from implicitops.errors import ProblemError
from implicitops.real_arrays import is_missing_somewhere


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the choice closest to a misspelt word, or nothing."""
    close = difflib.get_close_matches(word, list(choices), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def require_symbol(value: Any, role: str) -> None:
    """Raise ProblemError unless ``value`` is a real-valued SymPy Symbol."""
    if not isinstance(value, sp.Symbol):
        raise ProblemError(f"{role} must be a SymPy Symbol; got {value!r} of type {type(value).__name__}.")
    if value.is_real is False or value.is_commutative is False:
        raise ProblemError(f"{role} must be real; the Symbol {value} is declared with {value.assumptions0}.")


def require_distinct(symbols: Sequence[sp.Symbol], role: str) -> None:
    """Raise ProblemError if a Symbol, or a name under two sets of assumptions, appears twice."""
    for position, symbol in enumerate(symbols):
        earlier = symbols[:position]
        if symbol in earlier:
            raise ProblemError(f"{role} {symbol} is listed twice. List each Symbol once.")
        if any(other.name == symbol.name and not isinstance(other, sp.Dummy) for other in earlier):
            raise ProblemError(
                f"two different Symbols are both called {symbol.name!r} (other assumptions). "
                "Create the Symbol once and use it everywhere."
            )


def as_expression(value: Any, role: str) -> sp.Expr:
    """Convert to a scalar SymPy expression, or say what was given instead."""
    if isinstance(value, (str, bytes)):
        raise ProblemError(
            f"{role} must be a SymPy expression; got the string {value!r}. "
            "Build it from Symbols, or parse it yourself with sympy.sympify."
        )
    if isinstance(value, np.ma.MaskedArray):
        raise ProblemError(f"{role} must be a SymPy expression; got {value!r:.80}, which is masked: it has no value.")
    if isinstance(value, sp.Equality):
        return as_expression(value.lhs - value.rhs, role)
    try:
        expression = sp.sympify(value, strict=True)
    except (sp.SympifyError, TypeError, ValueError, AttributeError):  # a class with __float__, for one, is a TypeError
        raise ProblemError(
            f"{role} must be a SymPy expression; got {value!r} of type {type(value).__name__}."
        ) from None
    if isinstance(expression, sp.logic.boolalg.Boolean) and not isinstance(expression, sp.Expr):
        raise ProblemError(
            f"{role} must be an expression or an Eq; got the condition {expression}. "
            "Note that SymPy's a == b compares structure: write Eq(a, b) or a - b."
        )
    if not isinstance(expression, sp.Expr):
        raise ProblemError(f"{role} must be a scalar SymPy expression; got {expression!r}.")
    if expression.is_real is False and not expression.is_infinite:
        raise ProblemError(f"{role} must be real; {expression} is not.")
    if expression.has(sp.I):
        raise ProblemError(f"{role} must be real; {expression} contains the imaginary unit.")
    return expression


def require_known_symbols(
    expression: sp.Expr, known: Sequence[sp.Symbol], role: str, strange: str = "neither an unknown nor a parameter"
) -> None:
    """Raise ProblemError, which says what a strange Symbol is not, if an expression contains one that is not known."""
    strangers = sorted(expression.free_symbols - set(known), key=str)
    if not strangers:
        return
    twins = [s for s in strangers if any(s.name == k.name for k in known)]
    if twins:
        raise ProblemError(
            f"{role} contains {twins[0]} with other assumptions than the Symbol of the same name that was "
            "declared. Create the Symbol once and use it everywhere."
        )
    raise ProblemError(
        f"{role} contains {', '.join(map(str, strangers))}, which is {strange}; "
        f"known are {', '.join(map(str, known))}. Add it to params or substitute its value."
    )


def as_unknowns(unknown: Any) -> tuple[sp.Symbol, ...]:
    """Symbols that are solved for, from a Symbol or a sequence of Symbols."""
    items = tuple(unknown) if isinstance(unknown, (list, tuple, sp.Tuple, sp.MatrixBase)) else (unknown,)
    if not items:
        raise ProblemError("unknown is empty: name at least one Symbol to solve for.")
    for symbol in items:
        require_symbol(symbol, "the unknown")
    return items


def as_start(
    value: Any, params: Sequence[sp.Symbol], role: str, strange: str = "neither an unknown nor a parameter"
) -> sp.Expr:
    """Expression of the parameters from which an iteration or an integration starts."""
    expression = as_expression(value, role)
    require_known_symbols(expression, params, role, strange)
    return expression


def as_guess(
    guess: Any, unknowns: Sequence[sp.Symbol], params: Sequence[sp.Symbol], is_vector: bool
) -> tuple[sp.Expr, ...]:
    """One start expression for each unknown."""
    if guess is None:
        start = "1" if not is_vector else f"[{', '.join('1' * len(unknowns))}]"
        raise ProblemError(
            f"guess must say where the search for {', '.join(map(str, unknowns))} starts; got none. Give a number or "
            f"an expression of the parameters for each, as in guess={start}."
        )
    items = as_items(guess)
    if not is_vector and items is None:
        return (as_start(guess, params, "guess"),)
    if not is_vector:
        raise ProblemError(
            f"the guess of one unknown, {unknowns[0]}, is one number or expression; got the sequence {guess!r}. Take "
            f"it out of that, or state a system of one equation: [equation], [{unknowns[0]}]."
        )
    if items is None:
        raise ProblemError(
            f"guess must be a sequence, with one expression for each of the {len(unknowns)} unknowns "
            f"{', '.join(map(str, unknowns))}; got {guess!r}. Write guess=[{', '.join([str(guess)] * len(unknowns))}]."
        )
    if len(items) != len(unknowns):
        raise ProblemError(
            f"guess must have one expression for each of the {len(unknowns)} unknowns "
            f"{', '.join(map(str, unknowns))}; got {len(items)}: {guess}."
        )
    return tuple(as_start(item, params, "guess") for item in items)


def as_items(value: Any) -> tuple[Any, ...] | None:
    """Items of what lists expressions or numbers: a sequence, a SymPy matrix, an array with one axis; else None."""
    if isinstance(value, (list, tuple, sp.Tuple, sp.MatrixBase)):
        return tuple(value)
    is_array = getattr(value, "ndim", 0) >= 1 and hasattr(value, "tolist")
    return tuple(value.tolist()) if is_array else None


def domain_of(symbol: sp.Symbol) -> tuple[sp.Expr, sp.Expr]:
    """Interval that a Symbol's SymPy assumptions allow."""
    return sp.S.Zero if symbol.is_nonnegative else -sp.oo, sp.S.Zero if symbol.is_nonpositive else sp.oo


def require_well_posed(
    residuals: Sequence[sp.Expr],
    unknowns: Sequence[sp.Symbol],
    params: Sequence[sp.Symbol],
    role: str = "the residual",
) -> None:
    """Raise ProblemError unless every equation and every unknown takes part, and all Symbols are known and distinct."""
    for symbol in unknowns:
        if symbol in params:
            raise ProblemError(f"{symbol} is both the unknown and a parameter. Remove it from one of the two.")
    require_distinct([*unknowns, *params], "unknown or parameter")
    for expression in residuals:
        require_known_symbols(expression, [*unknowns, *params], role)
        if not expression.has(*unknowns):
            raise ProblemError(
                f"{role} {expression} does not contain the unknown {', '.join(map(str, unknowns))}: "
                "there is nothing to solve for."
            )
    for symbol in unknowns:
        if not any(expression.has(symbol) for expression in residuals):
            where = "in no equation" if role == "the residual" else f"nowhere in {role}"
            raise ProblemError(f"the unknown {symbol} appears {where}, so nothing determines it.")


def as_times(times: Any) -> tuple[float, ...]:
    """Output times as finite numbers, in the order given."""
    if (
        isinstance(times, (str, bytes, Mapping, Set))
        or not isinstance(times, Iterable)
        or getattr(times, "ndim", 1) != 1
    ):
        raise ProblemError(f"times must be a flat sequence of numbers; got {times!r:.200}.")
    if is_missing_somewhere(times):
        raise ProblemError(f"times has masked or missing entries, which are no times: {times!r:.200}. Leave them out.")
    values = tuple(_as_time(value) for value in times)
    if not values:
        raise ProblemError("times is empty. Give at least one output time, or leave it out and give times= with calls.")
    return values


def _as_time(value: Any) -> float:
    # NumPy's numbers become SymPy's as Python's do; a Symbol, a list or a text does not become a number.
    number = None if isinstance(value, (bool, str, bytes)) else _as_number(value)
    if number is None:
        raise ProblemError(
            f"times must be a flat sequence of numbers; one of them is {value!r:.80} of type {type(value).__name__}. "
            "Times that are not known yet are given with each call, as times=."
        )
    if not math.isfinite(number):
        raise ProblemError(f"times must be finite; one of them is {value!r}.")
    return number + 0.0  # -0.0 is 0.0, also to the content hash


def _as_number(value: Any) -> float | None:
    try:
        expression = sp.sympify(value, strict=True)
    except (sp.SympifyError, TypeError, ValueError, AttributeError):
        return None
    is_number = isinstance(expression, sp.Expr) and expression.is_number and expression.is_extended_real is not False
    return float(expression) if is_number else None


def abbreviated(items: Sequence[Any]) -> str:
    """List of at most four items as text, for error messages."""
    shown = ", ".join(map(str, items[:4]))
    return f"[{shown}, ... {len(items)} in all]" if len(items) > 4 else f"[{shown}]"
