"""Extrapolation of the explicit midpoint rule, in numbers of any kind: few lines, any order, any precision.

For references, not for use: every step is as long, and of as high an order, as it must be for a solution and its
derivatives, which are differences of neighbouring solutions that take the same steps. So the answer is a smooth
function of whatever the right-hand side depends on. A stiff problem needs too many steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from implicitops.errors import TooManySteps

Rate = Callable[[Any, np.ndarray], np.ndarray]

#: Columns of a step's tableau, which has order 2 k with k columns: with fewer than the first the next step is twice as
#: long, and with more than the second it is taken again, half as long.
COLUMNS = (11, 18)
#: Steps that are shorter than this part of a stretch have met a singularity.
SHORTEST = 2.0**-60


@dataclass(frozen=True)
class Step:
    """One step of a stretch of time that is run through from 0 to 1.

    Parameters
    ----------
    start, length : float, exact binary fractions
    columns : int, of the tableau
    """

    start: float
    length: float
    columns: int


def extrapolated(rate: Rate, t: Any, y: np.ndarray, length: Any, columns: int) -> list[np.ndarray]:
    """Last row of the tableau of one step: solutions of order 2, 4, ..., of which the last is the best.

    Parameters
    ----------
    rate : callable (t, y)
    t, y, length : start, states there, and length of the step
    columns : int

    References
    ----------
    Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I (1993), section II.9.
    """
    first, row = rate(t, y), [y]
    for j in range(1, columns + 1):
        row = _next_row(row, midpoint(rate, t, y, first, length, 2 * j), j)
    return row


def midpoint(rate: Rate, t: Any, y: np.ndarray, first: np.ndarray, length: Any, n: int) -> np.ndarray:
    """An even number n of steps of the explicit midpoint rule, whose error is a series in 1/n**2."""
    h = length / n
    before, here = y, y + h * first
    for m in range(1, n):
        before, here = here, before + 2 * h * rate(t + m * h, here)
    return here


def _next_row(previous: list[np.ndarray], value: np.ndarray, j: int) -> list[np.ndarray]:
    row = [value]
    for k in range(1, j):
        ratio = j * j
        row.append(row[-1] + (row[-1] - previous[k - 1]) * (j - k) ** 2 / (ratio - (j - k) ** 2))
    return row


@dataclass
class Control:
    """What decides on the length of steps.

    Parameters
    ----------
    measure : callable (states) returning (n, 1 + k) numbers for each state: itself, and what else must be as precise
    tolerance : number, the limit of their errors, relative to each and to its state
    allowance : int, evaluations of the right-hand side that may still be made; counted down
    columns : pair of int, as :data:`COLUMNS`
    guess : float, length in time of the next step
    """

    measure: Callable[[np.ndarray], np.ndarray]
    tolerance: Any
    allowance: int
    columns: tuple[int, int] = COLUMNS
    guess: float = math.inf


def chosen_steps(
    rate: Rate, start: Any, y: np.ndarray, duration: Any, control: Control
) -> tuple[list[Step], np.ndarray]:
    """Steps from 0 to 1 of a stretch of time whose errors are within limits.

    Parameters
    ----------
    rate : callable (t, y)
    start, duration : numbers or arrays (points,), where the stretch begins, and how long it takes
    y : states (n, points) at the beginning
    control : Control

    Returns
    -------
    steps, states at the end

    Raises
    ------
    TooManySteps : the allowance is used up, or steps have become too short to move on
    """
    few, whole = control.columns[0], float(abs(np.ravel(duration)[0]))
    steps: list[Step] = []
    done, length = 0.0, 1.0
    if whole == 0:
        steps.append(Step(0.0, 1.0, 0))
        return steps, repeated(rate, start, y, duration, steps)
    while length * whole > control.guess:
        length /= 2
    while done < 1:
        used, end = _converged(rate, start + _part(duration, done), y, _part(duration, length), control)
        if used == 0:
            length /= 2
            if length < SHORTEST:
                raise TooManySteps
            continue
        steps.append(Step(done, length, used))
        y, done = end, done + length
        # Lengths are powers of two that end where a longer one could begin, so that the last step ends at 1.
        if used < few and done / (2 * length) % 1 == 0 and done + 2 * length <= 1:
            length *= 2
    control.guess = 2 * steps[-1].length * whole
    return steps, y


def _part(duration: Any, fraction: float) -> Any:
    """Binary fraction of a number of any kind, exactly."""
    numerator, denominator = fraction.as_integer_ratio()
    return duration * numerator / denominator


def _converged(rate: Rate, t: Any, y: np.ndarray, length: Any, control: Control) -> tuple[int, np.ndarray]:
    """Columns after which a step has converged and its end, or 0 if it has not."""
    first, row = rate(t, y), [y]
    here = abs(control.measure(y))
    found = here
    for j in range(1, control.columns[1] + 1):
        control.allowance -= 2 * j
        if control.allowance < 0:
            raise TooManySteps
        try:
            row = _next_row(row, midpoint(rate, t, y, first, length, 2 * j), j)
            last, found = found, control.measure(row[-1])
        except ArithmeticError:  # the step is so long that it leaves where the rate is defined
            return 0, y
        if j > 2:
            size, error = np.maximum(here, abs(found)), abs(np.subtract(found, last))
            size = size + size[:, :1]
            if np.all(error <= control.tolerance * size):
                return j, row[-1]
            # What is not finite, or grows, comes of a step that is too long.
            if not np.all(error <= 1000 * size + (size == 0)):
                return 0, y
    return 0, y


def repeated(rate: Rate, start: Any, y: np.ndarray, duration: Any, steps: Sequence[Step]) -> np.ndarray:
    """States at the end of a stretch of time by given steps."""
    for step in steps:
        if step.columns:
            t, length = start + _part(duration, step.start), _part(duration, step.length)
            y = extrapolated(rate, t, y, length, step.columns)[-1]
        else:  # a stretch of no length, whose neighbours are short
            y = extrapolated(rate, start, y, duration, 2)[-1]
    return y
