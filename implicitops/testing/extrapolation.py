"""Extrapolation of the explicit midpoint rule, in numbers of any kind: few lines, any order, any precision.

For references, not for use: every step is as long, and of as high an order, as it must be for what is asked of one
solution, and the same steps are then repeated for its neighbours. So the answer is a smooth function of whatever the
right-hand side depends on, and differences of it are derivatives. A stiff problem needs too many steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Rate = Callable[[Any, np.ndarray], np.ndarray]

#: Columns of a step's tableau, which has order 2 k with k columns: with fewer than the first the next step is twice as
#: long, and with more than the second it is taken again, half as long.
COLUMNS = (11, 18)
#: Steps that are shorter than this part of a stretch have met a singularity.
SHORTEST = 2.0**-60


class TooManySteps(ArithmeticError):
    """An explicit method needs too many steps: the problem is stiff, not smooth, or long."""


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


def chosen_steps(
    rate: Rate,
    start: Any,
    y: np.ndarray,
    duration: Any,
    guess: float,
    tolerance: Any,
    allowance: list[int],
    columns: tuple[int, int] = COLUMNS,
) -> tuple[list[Step], np.ndarray]:
    """Steps from 0 to 1 of a stretch of time whose errors are below a tolerance, relative to each state.

    Parameters
    ----------
    rate : callable (t, y)
    start, duration : where the stretch begins, and how long it takes
    y : states at the beginning
    guess : float, length of the first step in time
    tolerance : number
    allowance : list of one int, evaluations of ``rate`` that may still be made; counted down
    columns : pair of int, as :data:`COLUMNS`

    Returns
    -------
    steps, states at the end

    Raises
    ------
    TooManySteps : the allowance is used up, or steps have become too short to move on
    """
    few, most = columns
    steps: list[Step] = []
    done, length = 0.0, 1.0
    if duration == 0:
        return [Step(0.0, 1.0, 0)], y
    while length * float(abs(duration)) > guess:
        length /= 2
    while done < 1:
        t = start + _part(duration, done)
        used, end = _converged(rate, t, y, _part(duration, length), tolerance, allowance, most)
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
    return steps, y


def _part(duration: Any, fraction: float) -> Any:
    """Binary fraction of a number of any kind, exactly."""
    numerator, denominator = fraction.as_integer_ratio()
    return duration * numerator / denominator


def _converged(
    rate: Rate, t: Any, y: np.ndarray, length: Any, tolerance: Any, allowance: list[int], most: int
) -> tuple[int, np.ndarray]:
    """Columns after which a step has converged and its end, or 0 if it has not."""
    first, row = rate(t, y), [y]
    for j in range(1, most + 1):
        allowance[0] -= 2 * j
        if allowance[0] < 0:
            raise TooManySteps
        try:
            last, row = row, _next_row(row, midpoint(rate, t, y, first, length, 2 * j), j)
        except ArithmeticError:  # the step is so long that it leaves where the rate is defined
            return 0, y
        if j > 2:
            size = np.maximum(abs(y), abs(row[-1]))
            error = abs(row[-1] - last[-1])
            if np.all(error <= tolerance * size):
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
