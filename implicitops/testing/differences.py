"""Derivatives of functions from their values: in high precision, and in double precision with an error bar.

Central differences with 120 digits and steps of 1e-30 are derivatives to some 50 digits; in double precision
Ridders' extrapolation says how far it can be trusted. Nothing here knows what is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np

#: Steps of the high-precision differences, relative to the variable: the truncation error is of its square.
STEP = mpmath.mpf(10) ** -30

Values = Sequence[Any]


class KinkError(ArithmeticError):
    """One-sided derivatives differ: there is no derivative to compare with."""


def precise_derivatives(
    function: Callable[[Values], Values], point: Values, order: int, step: Any = STEP
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Value, Jacobian and Hessian of a function of mpf by central differences.

    Call it under ``mpmath.workdps`` with :func:`digits_for` digits; the rounding error is then below 1e-50 and
    the truncation error below 1e-55, relative to what varies on the scale of the variables themselves.

    Parameters
    ----------
    function : callable (sequence of p mpf) returning a sequence of m mpf
    point : sequence of p mpf
    order : 0, 1 or 2
    step : relative to the variables; the truncation error is of its square

    Returns
    -------
    value (m,), jacobian (m, p), hessian (m, p, p) : object ndarrays of mpf; None beyond ``order``

    Raises
    ------
    KinkError : the derivatives from the left and from the right differ
    """
    point = [mpmath.mpf(v) for v in point]
    steps = [step * (abs(v) if v != 0 else 1) for v in point]
    centre = _vector(function(point))
    if order == 0:
        return centre, None, None

    def shifted(*moves: tuple[int, int]) -> np.ndarray:
        there = list(point)
        for k, sign in moves:
            there[k] = there[k] + sign * steps[k]
        return _vector(function(there))

    p = len(point)
    above = [shifted((k, 1)) for k in range(p)]
    below = [shifted((k, -1)) for k in range(p)]
    for k in range(p):
        _require_smooth(function, point, k, steps[k], centre, above[k], below[k])
    jacobian = np.stack([(above[k] - below[k]) / (2 * steps[k]) for k in range(p)], axis=-1)
    if order == 1:
        return centre, jacobian, None
    hessian = np.empty((len(centre), p, p), dtype=object)
    for j in range(p):
        hessian[:, j, j] = (above[j] - 2 * centre + below[j]) / steps[j] ** 2
        for k in range(j):
            together = shifted((j, 1), (k, 1)) + shifted((j, -1), (k, -1))
            mixed = together - above[j] - below[j] - above[k] - below[k] + 2 * centre
            hessian[:, j, k] = hessian[:, k, j] = mixed / (2 * steps[j] * steps[k])
    # What differences leave of a second derivative that is zero.
    slopes = abs(jacobian)
    size = slopes[:, :, None] / np.array(steps) + slopes[:, None, :] / np.array(steps)[:, None]
    hessian[abs(hessian) < mpmath.mpf(10) ** -20 * step * size] = mpmath.mpf(0)
    return centre, jacobian, hessian


def digits_for(point: Sequence[float], digits: int = 120) -> int:
    """Digits at which the steps of :func:`precise_derivatives` are far above rounding, however small the variables."""
    smallest = min((abs(v) for v in point if v != 0), default=1.0)
    return digits + (2 * int(-np.log10(smallest)) if smallest < 1 else 0)


def _vector(values: Values) -> np.ndarray:
    result = np.empty(len(values), dtype=object)
    result[:] = list(values)
    return result


def _require_smooth(
    function: Callable[[Values], Values],
    point: list[Any],
    k: int,
    step: Any,
    centre: np.ndarray,
    above: np.ndarray,
    below: np.ndarray,
) -> None:
    """At a kink the second difference, divided by the square of the step, grows without limit."""
    right, left = (above - centre) / step, (centre - below) / step
    noise = mpmath.mpf(10) ** (30 - mpmath.mp.dps)
    suspicious = [
        i
        for i in range(len(centre))
        if abs(right[i] - left[i]) > 1e-12 * (abs(right[i]) + abs(left[i])) + noise * abs(centre[i]) / step
    ]
    if not suspicious:
        return
    small = step / 2**20
    nearer = [_vector(function([*point[:k], point[k] + s * small, *point[k + 1 :]])) for s in (1, -1)]
    for i in suspicious:
        coarse = abs(above[i] - 2 * centre[i] + below[i]) / step**2
        fine = abs(nearer[0][i] - 2 * centre[i] + nearer[1][i]) / small**2
        if fine > 1000 * coarse:
            one_sided = f"{mpmath.nstr(left[i], 6)} from the left, {mpmath.nstr(right[i], 6)} from the right"
            raise KinkError(f"variable {k} is at a kink: the derivative is {one_sided}")


def ridders(function: Callable[[float], np.ndarray], step: float) -> tuple[np.ndarray, np.ndarray]:
    """Derivative at 0 of a vector function of one real variable, and an error bar.

    Central differences with shrinking steps, extrapolated to step 0 (C. J. F. Ridders, Accurate computation of
    F'(x) and F'(x) F''(x), Advances in Engineering Software 4, 1982). The error bar is the larger of the two
    differences to the neighbouring extrapolations; the best entry of the tableau is chosen per component, and
    none after the extrapolation has become worse, where a lucky agreement would be noise.

    Parameters
    ----------
    function : callable (float) returning ndarray (m,)
    step : float, first and largest step

    Returns
    -------
    derivative, error : ndarrays (m,)

    Examples
    --------
    >>> import numpy as np
    >>> from implicitops.testing.differences import ridders
    >>> derivative, error = ridders(lambda t: np.array([np.exp(t)]), 0.1)
    >>> bool(abs(derivative[0] - 1) <= error[0] < 1e-9)
    True
    """
    shrink, n_rows = 1.6, 12
    previous: list[np.ndarray] = []
    best = error = settled = np.empty(0)
    for row in range(n_rows):
        h = step / shrink**row
        current = [(function(h) - function(-h)) / (2 * h)]
        if row == 0:
            best, error = current[0], np.full(current[0].shape, np.inf)
            settled = np.zeros(current[0].shape, dtype=bool)
        factor = shrink**2
        for column in range(1, row + 1):
            current.append((factor * current[column - 1] - previous[column - 1]) / (factor - 1))
            factor *= shrink**2
            estimate = np.maximum(
                abs(current[column] - current[column - 1]), abs(current[column] - previous[column - 1])
            )
            better = (estimate < error) & ~settled
            best = np.where(better, current[column], best)
            error = np.where(better, estimate, error)
        if row > 1:
            settled = settled | (abs(current[-1] - previous[-1]) > 2 * error)
        previous = current
    return best, error


def extrapolated_derivatives(
    function: Callable[[np.ndarray], np.ndarray], point: np.ndarray, order: int
) -> tuple[np.ndarray, ...]:
    """Jacobian and Hessian of a double-precision function with error bars, by :func:`ridders`.

    Parameters
    ----------
    function : callable (ndarray (p,)) returning ndarray (m,)
    point : ndarray (p,)
    order : 1 or 2

    Returns
    -------
    jacobian, its error (m, p), and for order 2 hessian, its error (m, p, p)
    """
    p = len(point)
    steps = np.where(point != 0, 0.05 * abs(point), 0.05)
    unit = np.eye(p)
    columns = [ridders(lambda t, k=k: function(point + t * unit[k]), steps[k]) for k in range(p)]  # type: ignore[misc]
    jacobian, error = (np.stack([c[i] for c in columns], axis=-1) for i in range(2))
    if order == 1:
        return jacobian, error
    m = jacobian.shape[0]
    hessian, hessian_error = np.empty((m, p, p)), np.empty((m, p, p))
    for j in range(p):
        for k in range(j + 1):
            inner = lambda t, j=j, k=k: ridders(lambda s: function(point + s * unit[j] + t * unit[k]), steps[j])[0]  # noqa: E731
            value, bar = ridders(inner, steps[k])
            noise = np.max(abs(error[:, j])) / steps[k] * 10
            hessian[:, j, k] = hessian[:, k, j] = value
            hessian_error[:, j, k] = hessian_error[:, k, j] = bar + noise
    return jacobian, error, hessian, hessian_error
