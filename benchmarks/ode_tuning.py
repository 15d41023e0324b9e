"""Equal achieved error: the loosest tolerance of a solver that reaches it; rows of a table; targets and ratios."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from measure import interleaved
from ode_tasks import Task

#: What a solver may raise where a tolerance is too loose or too tight for it.
FAILURES = (ArithmeticError, ValueError, RuntimeError, np.linalg.LinAlgError)


@dataclass(frozen=True)
class Tuned:
    """A tolerance and the errors that it gives."""

    tolerance: float
    value_error: float
    sensitivity_error: float

    @property
    def error(self) -> float:
        """The larger one."""
        return max(self.value_error, self.sensitivity_error)


def tuned(task: Task, solver: Callable[[float], Any], target: float) -> Tuned | None:
    """The loosest tolerance, by quarters of a decade, whose errors are at most the target; None if no tolerance is.

    The next tighter decade must reach the target too, so that a lucky hit doesn't count, unless the solver fails there.
    """

    def at(exponent: float) -> Tuned:
        try:
            return Tuned(10**exponent, *task.errors(solver(10**exponent)))
        except FAILURES:
            return Tuned(10**exponent, math.inf, math.inf)

    previous = None
    for decade in range(-2, -15, -1):
        found = at(decade)
        if previous is not None and (found.error <= target or math.isinf(found.error)):
            for quarter in (0.75, 0.5, 0.25):
                looser = at(previous + quarter)
                if looser.error <= target:
                    return looser
            return at(previous)
        previous = decade if found.error <= target else None
    return at(-14) if previous is not None else None


HEADING = ["contestant", "tolerance", "error of values", "of sensitivities", "microseconds", "times implicitops"]


def rows_of(found: Mapping[str, Tuned | None], times: Mapping[str, float], digits: int = 1) -> list[list[str]]:
    """Rows of a table under HEADING; times as multiples of the first one's whose name begins with implicitops."""
    ours = next((times[name] for name in times if name.startswith("implicitops")), math.nan)
    rows = []
    for name, tuning in found.items():
        if tuning is None:
            rows.append([name, "none reaches it", "", "", "", ""])
            continue
        errors = (f"{e:.0e}" for e in (tuning.value_error, tuning.sensitivity_error))
        microseconds, ratio = f"{1e6 * times[name]:.{digits}f}", f"{times[name] / ours:.2f}"
        rows.append([name, f"{tuning.tolerance:.1e}", *errors, microseconds, ratio])
    return rows


def race(
    task: Task,
    contestants: Mapping[str, Callable[[float], Any]],
    target: float,
    *,
    judged_by: Callable[[Callable[[float], Any]], Callable[[float], Any]] = lambda solver: solver,
    solves: int = 1,
    seconds: float = 4.0,
) -> tuple[list[list[str]], dict[str, float]]:
    """Tune all, time them in turns, and compare with the first one whose name begins with implicitops.

    Parameters
    ----------
    task : Task
    contestants : mapping of a name to a function of the tolerance
    target : float, the error that all must reach
    judged_by : function that makes a solver of ``task`` from a contestant, where these solve batches
    solves : number of solves per call
    seconds : time for all rounds

    Returns
    -------
    rows of a table, and seconds per solve by name, of those who reached the target
    """
    tolerances = {name: tuned(task, judged_by(solver), target) for name, solver in contestants.items()}
    runs = {
        name: (lambda solver=solver, found=tolerances[name]: solver(found.tolerance))
        for name, solver in contestants.items()
        if tolerances[name] is not None
    }
    times = {name: s / solves for name, s in interleaved(runs, seconds=seconds).items()}
    return rows_of(tolerances, times), times


def verdict(times: Mapping[str, float], peer: str, ours: str, factor: float) -> str:
    """One line: a target, the ratio measured, and whether it is met."""
    if peer not in times or ours not in times:
        missing = peer if peer not in times else ours
        return f"target {factor:g} times faster than {peer}: not measured, {missing} is not in the table"
    ratio = times[peer] / times[ours]
    return f"target {factor:g} times faster than {peer}: {ratio:.1f}, {'met' if ratio >= factor else 'missed'}"
