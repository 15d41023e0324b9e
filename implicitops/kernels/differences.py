"""Finite differences with error estimates, on a batch of points. What is differentiated is the caller's business."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: Values (k, n) of a function at points (k, p), which are batch elements ``rows`` (k,); NaN where it has none.
Function = Callable[[np.ndarray, np.ndarray], np.ndarray]

EPS = float(np.finfo(np.float64).eps)

#: Steps of Ridders' method: from a tenth of the variable, each half the one before.
N_STEPS = 10
FIRST_STEP = 0.1
RATIO = 2.0

#: Relative error estimate above which extrapolation has not begun to converge.
CONVERGING = 1e-4

#: Calls of the function for each variable.
CALLS = {"central": 4, "richardson": 2 * N_STEPS}


def differentiate(
    function: Function, points: np.ndarray, rows: np.ndarray, n: int, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """Jacobian by finite differences.

    Parameters
    ----------
    function : callable (points (k, p), rows (k,)) returning values (k, n)
    points : ndarray (m, p)
    rows : int ndarray (m,), the batch elements that the points belong to
    n : int
    method : "central", two steps of which the smaller gives the result; or "richardson"

    Returns
    -------
    jacobian, error : ndarrays (m, n, p); NaN where the function has no values around the point
    """
    m, p = points.shape
    jacobian, error = np.full((2, m, n, p), np.nan)
    rule = _central if method == "central" else _ridders
    with np.errstate(invalid="ignore", over="ignore"):
        for j in range(p):
            rule(_Line(function, points, rows, j), jacobian[:, :, j], error[:, :, j])
    return jacobian, error


class _Line:
    """Central differences along one variable, whose own size is the unit of the steps."""

    def __init__(self, function: Function, points: np.ndarray, rows: np.ndarray, j: int) -> None:
        self.function, self.points, self.rows, self.j = function, points, rows, j
        x = points[:, j]
        self.scale = np.where(x == 0, 1.0, np.abs(x))

    def difference(self, active: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
        """Central difference at the active points, and its rounding error if values are right to the last digit."""
        sides = []
        for sign in (1.0, -1.0):
            points = self.points[active].copy()
            points[:, self.j] += sign * step * self.scale[active]
            sides.append((points[:, self.j], self.function(points, self.rows[active])))
        (right, above), (left, below) = sides
        width = (right - left)[:, None]
        return (above - below) / width, 2 * EPS * np.maximum(np.abs(above), np.abs(below)) / width


def _central(line: _Line, jacobian: np.ndarray, error: np.ndarray) -> None:
    """The error of D(h) is a third of D(2h) - D(h), up to higher order, besides rounding."""
    active = np.arange(len(jacobian))
    step = np.cbrt(EPS)
    fine, rounding = line.difference(active, step)
    coarse, _ = line.difference(active, 2 * step)
    jacobian[:] = fine
    error[:] = np.abs(coarse - fine) / 3 + rounding


def _ridders(line: _Line, jacobian: np.ndarray, error: np.ndarray) -> None:
    """Differences with shrinking steps, extrapolated to step 0; the entry with the least error estimate is taken.

    The estimate of an entry is its larger distance from the two that it was made of. A component is finished when
    the newest extrapolation is worse than the best by a factor of two (C. J. F. Ridders, 1982), unless the best is
    still so bad that the steps are too long rather than too short.
    """
    active = np.arange(len(jacobian))
    best = np.full(jacobian.shape, np.inf)
    previous: list[np.ndarray] = []
    finished = np.zeros(jacobian.shape, dtype=bool)
    for i in range(N_STEPS):
        entry, rounding = line.difference(active, FIRST_STEP / RATIO**i)
        column = [entry]
        for k, older in enumerate(previous):
            factor = RATIO ** (2 * (k + 1))
            newer = (factor * column[k] - older) / (factor - 1)
            estimate = np.maximum(np.abs(newer - column[k]), np.abs(newer - older)) + rounding
            better = (estimate < best[active]) & ~finished[active]
            best[active] = np.where(better, estimate, best[active])
            jacobian[active] = np.where(better, newer, jacobian[active])
            column.append(newer)
        if previous:
            worse = np.abs(column[-1] - previous[-1]) >= 2 * best[active]
            finished[active] |= worse & (best[active] <= CONVERGING * np.abs(jacobian[active]))
        going_on = ~finished[active].all(axis=1)
        active, previous = active[going_on], [entry[going_on] for entry in column]
        if not len(active):
            break
    error[:] = np.where(np.isfinite(best), best, np.nan)
