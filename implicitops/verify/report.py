"""What a gradient check found: one Check per promise, and the Report that lists them. No check is made here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from implicitops.errors import GradientMismatchError, SolveError
from implicitops.tables import html_table

__all__ = ["Check", "GradientMismatchError", "Report"]


@dataclass(frozen=True)
class Check:
    """Outcome of one check, at its worst element.

    Parameters
    ----------
    name : str, with the backend in front where the check belongs to one: "numpy: vjp"
    passed : bool, or None if the check could not be made
    error : float, relative where the reference is not zero; NaN where no number belongs to the check
    tolerance : float, in the unit of ``error``
    where : str, parameters and index of the worst element
    reason : str, what went wrong, or why the check was not made
    solver_failure : bool, the solver had no answer: this is no statement about derivatives
    """

    name: str
    passed: bool | None
    error: float = math.nan
    tolerance: float = math.nan
    where: str = ""
    reason: str = ""
    solver_failure: bool = False

    @property
    def outcome(self) -> str:
        """One word: passed, FAILED, skipped or "no solution"."""
        if self.solver_failure:
            return "no solution"
        return {True: "passed", False: "FAILED", None: "skipped"}[self.passed]


@dataclass(frozen=True)
class Report:
    """Outcome of :func:`implicitops.verify_grad`.

    Parameters
    ----------
    target : str, what was checked
    checks : tuple of Check

    Examples
    --------
    >>> from implicitops.verify import Check, Report
    >>> report = Report("square", (Check("numpy: vjp", True, 1e-16, 4e-16, "x=2"),))
    >>> report.passed
    True
    >>> print(report)
    verify_grad of square: passed, 1 of 1 checks
    check       outcome  error    tolerance  worst at
    numpy: vjp  passed   1.0e-16  4.0e-16    x=2
    """

    target: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """True if no check failed and the solver had an answer everywhere."""
        return not self.failures and not self.solver_failures

    @property
    def failures(self) -> tuple[Check, ...]:
        """Checks that found something wrong."""
        return tuple(c for c in self.checks if c.passed is False and not c.solver_failure)

    @property
    def solver_failures(self) -> tuple[Check, ...]:
        """Points at which the solver had no answer, so that nothing could be checked."""
        return tuple(c for c in self.checks if c.solver_failure)

    def __getitem__(self, name: str) -> Check:
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(f"no check is called {name!r}; there are {', '.join(c.name for c in self.checks)}")

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)

    def __str__(self) -> str:
        rows = [_HEADER, *map(_row, self.checks)]
        widths = [max(len(row[k]) for row in rows) for k in range(4)]
        table = "\n".join(
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[4]]).rstrip() for row in rows
        )
        notes = "".join(f"\n{c.name}: {c.reason}" for c in self.checks if c.reason)
        return f"{self._headline()}\n{table}{notes}"

    def _repr_html_(self) -> str:
        """The same table for notebooks."""
        notes = [f"{c.name}: {c.reason}" for c in self.checks if c.reason]
        return html_table(self._headline(), _HEADER, map(_row, self.checks), notes)

    def _headline(self) -> str:
        n_passed = sum(c.passed is True for c in self.checks)
        n_skipped = sum(c.passed is None for c in self.checks)
        if self.failures:
            verdict = f"FAILED in {', '.join(c.name for c in self.failures)};"
        elif self.solver_failures:
            verdict = "no wrong derivative, but no solution at some points;"
        else:
            verdict = "passed,"
        skipped = f", {n_skipped} skipped" if n_skipped else ""
        return f"verify_grad of {self.target}: {verdict} {n_passed} of {len(self.checks) - n_skipped} checks{skipped}"

    def raise_if_failed(self) -> None:
        """Raise what the report says, or nothing.

        Raises
        ------
        GradientMismatchError : a check failed
        SolveError : no check failed, but the solver had no answer at some of the points
        """
        if self.failures:
            raise GradientMismatchError(str(self), self)
        if self.solver_failures:
            raise SolveError(str(self))


_HEADER = ("check", "outcome", "error", "tolerance", "worst at")


def _row(check: Check) -> tuple[str, ...]:
    return check.name, check.outcome, _number(check.error), _number(check.tolerance), check.where


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1e}"
