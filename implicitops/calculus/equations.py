"""Systems F(x, p) = 0 in canonical Symbols, with the sparsity that SymPy sees. Derivative rules use it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import sympy as sp

from implicitops.calculus.differentiate import combine, differentiate, rounding_scale
from implicitops.calculus.minimum import stationarity
from implicitops.calculus.statement import Statement
from implicitops.codegen import Bundle
from implicitops.problems.base import Problem
from implicitops.problems.fixed_point import FixedPoint
from implicitops.problems.minimum import Minimum
from implicitops.problems.root import Root

Pattern = tuple[tuple[int, ...], tuple[int, ...]]


def residuals_of(problem: Problem, statement: Statement) -> tuple[sp.Expr, ...]:
    """Expressions F whose zero a problem's answer is, in canonical Symbols."""
    if isinstance(problem, (Root, FixedPoint)):
        return tuple(map(statement.translate, problem.residuals))
    if isinstance(problem, Minimum):
        return stationarity(problem, statement)
    raise NotImplementedError(f"{type(problem).__name__} has no residual")


@lru_cache(maxsize=256)
def equations_of(problem: Problem) -> Equations:
    """Equations of a problem, made once."""
    return Equations(problem)


@dataclass(frozen=True)
class Equations:
    """F(x, p) of a problem, its first derivatives entry by entry, and its second along directions.

    Parameters
    ----------
    problem : Problem with unknowns
    """

    problem: Any

    @cached_property
    def statement(self) -> Statement:
        """Canonical Symbols."""
        return Statement(self.problem, self.problem.unknowns)

    @cached_property
    def residuals(self) -> tuple[sp.Expr, ...]:
        """F in canonical Symbols."""
        return residuals_of(self.problem, self.statement)

    @property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """(x, p), the inputs of every bundle."""
        return (*self.statement.unknowns, *self.statement.parameters)

    @property
    def n(self) -> int:
        """Number of equations and unknowns."""
        return len(self.residuals)

    @cached_property
    def jacobian(self) -> dict[tuple[int, int], sp.Expr]:
        """Structurally nonzero entries of F_x, sorted by row."""
        return self._entries(self.statement.unknowns)

    @cached_property
    def parameter_jacobian(self) -> dict[tuple[int, int], sp.Expr]:
        """Structurally nonzero entries of F_p, sorted by row."""
        return self._entries(self.statement.parameters)

    def _entries(self, symbols: tuple[sp.Symbol, ...]) -> dict[tuple[int, int], sp.Expr]:
        position = {symbol: j for j, symbol in enumerate(symbols)}
        entries = {}
        for i, residual in enumerate(self.residuals):
            present = sorted((position[s], s) for s in residual.free_symbols if s in position)
            for j, symbol in present:
                derivative = differentiate(residual, symbol)
                if derivative != 0:
                    entries[i, j] = derivative
        return entries

    @property
    def bandwidths(self) -> tuple[int, int] | None:
        """Sub- and superdiagonals of F_x if a banded factorisation pays, else None.

        It pays when a band row with its fill is at most half a dense row and there are enough rows to notice.
        """
        lower = max((i - j for i, j in self.jacobian), default=0)
        upper = max((j - i for i, j in self.jacobian), default=0)
        lower, upper = max(lower, 0), max(upper, 0)
        return (lower, upper) if self.n >= 12 and 2 * (2 * lower + upper + 1) <= self.n else None

    def directional(self, seeds: tuple[sp.Symbol, ...]) -> list[sp.Expr]:
        """Derivative of F along a direction (u, a), one Symbol for each of ``symbols``."""
        n = self.n
        rows: list[list[sp.Expr]] = [[] for _ in range(n)]
        for (i, j), entry in self.jacobian.items():
            rows[i].append(seeds[j] * entry)
        for (i, j), entry in self.parameter_jacobian.items():
            rows[i].append(seeds[n + j] * entry)
        return [sp.Add(*row) for row in rows]

    # -- bundles ------------------------------------------------------------------------------------------

    def start_bundle(self) -> Bundle:
        """Parameters to the guess."""
        return Bundle(self.statement.parameters, tuple(self.statement.translate(e) for e in self.problem.guess))

    def residual_bundle(self) -> Bundle:
        """(x, p) to F, the scale of its rounding error, and the entries of F_x."""
        scales = tuple(rounding_scale(e) for e in self.residuals)
        return Bundle(self.symbols, (*self.residuals, *scales, *self.jacobian.values()))

    def jacobian_bundle(self) -> Bundle:
        """(x, p) to the entries of F_x."""
        return Bundle(self.symbols, tuple(self.jacobian.values()))

    def parameter_bundle(self) -> Bundle:
        """(x, p) to the entries of F_p."""
        return Bundle(self.symbols, tuple(self.parameter_jacobian.values()))

    def second_bundle(self) -> Bundle:
        """(x, p, u, a, v, b) to the second derivative of F along (u, a) and (v, b)."""
        first = sp.symbols(f"u0:{len(self.symbols)}", real=True)
        second = sp.symbols(f"v0:{len(self.symbols)}", real=True)
        outputs = []
        for along in self.directional(first):
            present = [(s, d) for s, d in zip(self.symbols, second) if s in along.free_symbols]
            outputs.append(combine([d for _, d in present], [differentiate(along, s) for s, _ in present]))
        return Bundle((*self.symbols, *first, *second), tuple(outputs))


def pattern_of(entries: dict[tuple[int, int], sp.Expr]) -> Pattern:
    """Rows and columns of a sparse matrix's entries."""
    return tuple(i for i, _ in entries), tuple(j for _, j in entries)
