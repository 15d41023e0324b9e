"""A problem's expressions in canonical real Symbols, so that generated code depends on nothing but the content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy as sp

from implicitops.codegen import UnsupportedExpressionError, differentiate
from implicitops.codegen.real_form import real_form
from implicitops.problems.base import Problem


def canonical_symbol(symbol: sp.Symbol, name: str) -> sp.Symbol:
    """Real Symbol of a given name that keeps what the user assumed, and assumes nothing more than ``real``."""
    assumptions = dict(symbol._assumptions_orig) if hasattr(symbol, "_assumptions_orig") else {}
    assumptions = {k: v for k, v in assumptions.items() if k != "commutative" and v is not None}
    return sp.Symbol(name, **{**assumptions, "real": True})


class CanonicalSymbols:
    """Canonical Symbols of a problem and the translation into them.

    Parameters
    ----------
    problem : Problem
    unknowns : sequence of Symbol, empty if the problem has none; for an ODE its states
    time : Symbol, optional, the time of an ODE
    """

    def __init__(self, problem: Problem, unknowns: Sequence[sp.Symbol], time: sp.Symbol | None = None) -> None:
        parameters = problem.parameter_symbols
        self.unknowns = tuple(canonical_symbol(s, f"x{i}") for i, s in enumerate(unknowns))
        self.parameters = tuple(canonical_symbol(s, f"p{i}") for i, s in enumerate(parameters))
        self.time = sp.Symbol("t", real=True) if time is None else canonical_symbol(time, "t")
        self._mapping = dict(zip((*unknowns, *parameters), (*self.unknowns, *self.parameters)))
        if time is not None:
            self._mapping[time] = self.time

    @classmethod
    def of(cls, problem: Problem) -> CanonicalSymbols:
        """Those of a problem of any kind: what it calls unknowns are an ODE's states, an integral's variables."""
        kinds = ("unknowns", "states", "variables")
        unknowns = next((getattr(problem, kind) for kind in kinds if hasattr(problem, kind)), ())
        return cls(problem, unknowns, getattr(problem, "t", None))

    def translate(self, expression: Any) -> sp.Expr:
        """Expression in canonical Symbols, in which nothing is left to be carried out.

        Raises
        ------
        UnsupportedExpressionError : it contains an operation that cannot be carried out, such as an integral without
            a closed form; in the user's Symbols
        """
        translated = sp.sympify(expression).xreplace(self._mapping)
        try:
            return real_form(translated)
        except UnsupportedExpressionError as error:
            raise error.rewritten(self.original) from None

    def original(self, expression: sp.Basic) -> sp.Basic:
        """Expression in the user's Symbols, for error messages."""
        return expression.xreplace({canonical: symbol for symbol, canonical in self._mapping.items()})

    def named(self, problem: Problem, error: UnsupportedExpressionError) -> UnsupportedExpressionError:
        """An error in the user's Symbols, although it was met in an expression that had been rewritten."""
        named = error.rewritten(self.original)
        known = {*problem.parameter_symbols, *self._mapping}
        if not isinstance(named.node, sp.Basic) or named.node.free_symbols <= known:
            return named
        # It is met again in the statement as it stands, in a first or a second derivative.
        stated = [e for kind in ("integrands", "rhs", "outputs") for e in getattr(problem, kind, None) or ()]
        try:
            first = [differentiate(self.translate(e), s) for e in stated for s in self._mapping.values()]
            for expression in first:
                for symbol in self._mapping.values():
                    differentiate(expression, symbol)
        except UnsupportedExpressionError as again:
            return again.rewritten(self.original)
        return named

    def group(self, problem: Problem) -> tuple[tuple[sp.Symbol, ...], ...]:
        """Canonical parameters grouped by argument, a scalar argument as a group of one."""
        groups, position = [], 0
        for shape in problem.parameter_shapes:
            size = shape[0] if shape else 1
            groups.append(self.parameters[position : position + size])
            position += size
        return tuple(groups)
