"""Systems F(x, p) = 0 in canonical Symbols, with the sparsity that SymPy sees. Derivative rules use it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache, singledispatch

import sympy as sp

from implicitops.codegen import Bundle
from implicitops.problems.base import Problem
from implicitops.problems.fixed_point import FixedPoint
from implicitops.problems.root import Root
from implicitops.problems.unknowns import ProblemWithUnknowns
from implicitops.symbolic.canonical_symbols import CanonicalSymbols
from implicitops.symbolic.differentiate import rounding_scale
from implicitops.symbolic.doubt import rounded_solution
from implicitops.symbolic.rounding import running_errors
from implicitops.symbolic.tape import Tape

#: Most entries for whose doubt running errors are written down. Those of more take longer to compile than all else:
#: then F and each entry are taken to be right to a few units of the terms of F and of the entry. What cancels in an
#: entry nearly always cancels in F too.
MOST_ENTRIES = 100

Pattern = tuple[tuple[int, ...], tuple[int, ...]]


@singledispatch
def residuals_of(problem: Problem, statement: CanonicalSymbols) -> tuple[sp.Expr, ...]:
    """Expressions F whose zero a problem's answer is, in canonical Symbols; a kind of problem registers its own."""
    raise NotImplementedError(f"{type(problem).__name__} has no residual")


@residuals_of.register(Root)
@residuals_of.register(FixedPoint)
def _stated_residuals(problem: Root | FixedPoint, statement: CanonicalSymbols) -> tuple[sp.Expr, ...]:
    return tuple(map(statement.translate, problem.residuals))


def pays_as_banded(n: int, pattern: Pattern) -> tuple[int, int] | None:
    """Sub- and superdiagonals of an n x n matrix if a banded factorisation pays, else None.

    It pays when a band row with its fill is at most half a dense row and there are enough rows to notice.
    """
    offsets = [i - j for i, j in zip(*pattern)]
    lower, upper = max([0, *offsets]), max([0, *(-offset for offset in offsets)])
    return (lower, upper) if n >= 12 and 2 * (2 * lower + upper + 1) <= n else None


@lru_cache(maxsize=256)
def equations_of(problem: ProblemWithUnknowns) -> Equations:
    """Equations of a problem, made once."""
    return Equations(problem)


@dataclass(frozen=True)
class Equations:
    """F(x, p) of a problem, its first derivatives entry by entry, and its second along directions.

    Parameters
    ----------
    problem : Problem with unknowns
    """

    problem: ProblemWithUnknowns

    @cached_property
    def statement(self) -> CanonicalSymbols:
        """Canonical Symbols."""
        return CanonicalSymbols(self.problem, self.problem.unknowns)

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
    def tape(self) -> Tape:
        """Where F and all that is derived from it is written."""
        return Tape()

    @cached_property
    def values(self) -> list[sp.Expr]:
        """F on the tape."""
        return [self.tape.add(residual) for residual in self.residuals]

    @cached_property
    def jacobian_pattern(self) -> Pattern:
        """Rows and columns of F_x that SymPy does not see to be zero, sorted by row. Needs no derivative."""
        return self._pattern(self.statement.unknowns)

    @cached_property
    def parameter_pattern(self) -> Pattern:
        """Rows and columns of F_p that SymPy does not see to be zero, sorted by row."""
        return self._pattern(self.statement.parameters)

    def _pattern(self, symbols: tuple[sp.Symbol, ...]) -> Pattern:
        position = {symbol: j for j, symbol in enumerate(symbols)}
        found = [(i, position[s]) for i, r in enumerate(self.residuals) for s in r.free_symbols if s in position]
        return tuple(i for i, _ in sorted(found)), tuple(j for _, j in sorted(found))

    def _entries(self, symbols: tuple[sp.Symbol, ...], pattern: Pattern) -> list[sp.Expr]:
        rows = [self.tape.reverse([(value, sp.S.One)], symbols) for value in self.values]
        return [rows[i][j] for i, j in zip(*pattern)]

    @property
    def bandwidths(self) -> tuple[int, int] | None:
        """Sub- and superdiagonals of F_x if a banded factorisation pays, else None."""
        return pays_as_banded(self.n, self.jacobian_pattern)

    @cached_property
    def _jacobian(self) -> list[sp.Expr]:
        return self._entries(self.statement.unknowns, self.jacobian_pattern)

    # -- bundles ------------------------------------------------------------------------------------------

    def start_bundle(self) -> Bundle:
        """Parameters to the guess."""
        return Bundle(self.statement.parameters, tuple(self.statement.translate(e) for e in self.problem.guess or ()))

    def residual_bundle(self) -> Bundle:
        """(x, p) to F, the scale of its rounding error, and the entries of F_x."""
        scales = [self.tape.add(rounding_scale(residual)) for residual in self.residuals]
        return self.tape.bundle(self.symbols, (*self.values, *scales, *self._jacobian))

    @property
    def is_large(self) -> bool:
        """Whether a bundle of all that a factorisation in a graph needs takes too long to compile."""
        return len(self.jacobian_pattern[0]) + len(self.parameter_pattern[0]) > MOST_ENTRIES

    def linear_bundle(self) -> Bundle:
        """(x, p) to the entries of F_x and F_p, F, and the errors of F and of the entries, where x is rounded."""
        entries = [*self._jacobian, *self._entries(self.statement.parameters, self.parameter_pattern)]
        known = rounded_solution(self.tape, self.statement.unknowns)
        errors = running_errors(self.tape, [*self.values, *entries], known)
        return self.tape.bundle(self.symbols, (*entries, *self.values, *errors))

    def parameter_bundle(self) -> Bundle:
        """(x, p) to the entries of F_p."""
        return self.tape.bundle(self.symbols, self._entries(self.statement.parameters, self.parameter_pattern))

    def second_bundle(self) -> Bundle:
        """(x, p, u, a, v, b) to the second derivative of F along (u, a) and (v, b)."""
        first, second, twice = self._second
        return self.tape.bundle((*self.symbols, *first, *second), twice)

    @cached_property
    def _second(self) -> tuple[tuple[sp.Symbol, ...], tuple[sp.Symbol, ...], list[sp.Expr]]:
        """Symbols of two directions, and the second derivative of F along them."""
        first = sp.symbols(f"u0:{len(self.symbols)}", real=True)
        second = sp.symbols(f"v0:{len(self.symbols)}", real=True)
        once = self.tape.forward(self.values, dict(zip(self.symbols, first)))
        return first, second, self.tape.forward(once, dict(zip(self.symbols, second)))

    def error_bundle(self) -> Bundle:
        """(x, p) to rounding errors of F, and of the entries of F_x and F_p."""
        entries = [*self._jacobian, *self._entries(self.statement.parameters, self.parameter_pattern)]
        return self.tape.bundle(self.symbols, running_errors(self.tape, [*self.values, *entries]))

    def second_error_bundle(self) -> Bundle:
        """(x, p, u, a, v, b, errors of u and v) to errors of the second derivative of F."""
        first, second, twice = self._second
        given = sp.symbols(f"e0:{2 * self.n}", nonnegative=True)
        known = dict(zip((*first[: self.n], *second[: self.n]), given))
        inputs = (*self.symbols, *first, *second, *given)
        return self.tape.bundle(inputs, running_errors(self.tape, twice, known))
