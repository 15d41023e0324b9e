"""The base class of problems that are solved for unknowns: it adds the answer's shape, a domain and a start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import sympy as sp

from implicitops.errors import ArgumentError
from implicitops.problems.base import Problem
from implicitops.problems.validation import domain_of


class ProblemWithUnknowns(Problem):
    """Problem that is solved for one Symbol (a scalar answer) or a sequence of Symbols (a vector).

    Subclasses have the fields ``unknowns``, ``is_vector`` and ``guess`` besides those of :class:`Problem`.
    """

    unknowns: tuple[sp.Symbol, ...]
    is_vector: bool
    guess: tuple[sp.Expr, ...] | None

    start_names: tuple[str, ...] = ("guess",)

    @property
    def unknown(self) -> sp.Symbol:
        """The unknown of a scalar problem."""
        return self.unknowns[0]

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Trailing shape of the answer: () for a Symbol as unknown, (n,) for a sequence."""
        return (len(self.unknowns),) if self.is_vector else ()

    @property
    def domain(self) -> tuple[tuple[sp.Expr, sp.Expr], ...]:
        """Interval of each unknown that its SymPy assumptions allow."""
        return tuple(domain_of(symbol) for symbol in self.unknowns)

    @property
    def start_argument_names(self) -> tuple[str, ...]:
        """Names of the trailing arguments that give the start; a scalar's guess comes after its interval's ends."""
        if self.is_vector:
            return ("guess",)
        return ("lower", "upper", *(("guess",) if self.guess is not None else ()))

    def with_start(self, *, guess: Any = None, bracket: Any = None) -> tuple[Problem, tuple[Any, ...]]:
        """Same problem whose guess is given with each call, and the guess as arguments.

        Parameters
        ----------
        guess : array-like or symbolic variable (...), or (..., n) for n unknowns

        Returns
        -------
        problem : with Symbols that stand for the start values, which no parameter decides
        arguments : the guess, after the lower and the upper end of a scalar unknown's interval
        """
        if guess is None:
            raise ArgumentError("guess must be a number, an array or a symbolic variable; got None. Leave it out.")
        return self._with_placeholders(guess=True), self._start_arguments(guess)

    def _with_placeholders(self, **given: bool) -> Self:
        """Same problem with Symbols for the start values that are given, and without the others."""

        def make() -> Any:
            names = tuple(f"guess{k}" for k in range(len(self.unknowns))) if self.is_vector else ("guess",)
            symbols = {"guess": names, "bracket": ("lower", "upper")}
            return self.replaced(
                **{name: tuple(map(sp.Symbol, symbols[name])) if is_given else None for name, is_given in given.items()}
            )

        found: Self = self._cached("_with_" + "_".join(name for name, is_given in given.items() if is_given), make)
        return found

    def _start_arguments(self, guess: Any, bracket: Sequence[Any] | None = None) -> tuple[Any, ...]:
        if self.is_vector:
            return (guess,)
        ends = map(float, self.domain[0]) if bracket is None else bracket
        return (*ends, *(() if guess is None else (guess,)))
