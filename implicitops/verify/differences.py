"""Derivatives of functions from their values: in high precision, and in double precision with an error bar.

Central differences with 120 digits and steps of 1e-30 are derivatives to some 50 digits; extrapolated ones in double
precision say how far they can be trusted. Nothing here knows what is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np

from implicitops.errors import KinkError
from implicitops.external.differences import Differences, differentiate

#: Steps of the high-precision differences, relative to the variable: the truncation error is of its square.
STEP = mpmath.mpf(10) ** -30

Values = Sequence[Any]


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


def extrapolated_derivatives(
    function: Callable[[np.ndarray], np.ndarray], point: np.ndarray, order: int
) -> tuple[np.ndarray, ...]:
    """Jacobian and Hessian of a double-precision function with error bars.

    They are those of :mod:`implicitops.external.differences`, at steps that follow from the function's own scale; the
    Hessian is that of the Jacobian. Where the function raises it has no value.

    Parameters
    ----------
    function : callable (ndarray (p,)) returning ndarray (m,)
    point : ndarray (p,)
    order : 1 or 2

    Returns
    -------
    jacobian, its error (m, p), and for order 2 hessian, its error (m, p, p)

    Raises
    ------
    KinkError : differences do not settle on a derivative

    Examples
    --------
    >>> import numpy as np
    >>> from implicitops.verify.differences import extrapolated_derivatives
    >>> derivative, error = extrapolated_derivatives(np.exp, np.array([1.0]), 1)
    >>> bool(abs(derivative[0, 0] - np.e) <= error[0, 0] < 1e-9)
    True
    """
    centre = np.asarray(function(point), dtype=np.float64)
    m, p = len(centre), len(point)

    def values(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.array([_values_or_nan(function, there, m) for there in points])

    def jacobians(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return differentiate(values, points, np.arange(len(points)), m, "richardson").jacobian.reshape(-1, m * p)

    here = np.zeros(1, dtype=int)
    first = differentiate(values, point[None], here, m, "richardson", centre[None])
    _require_settled(first, point)
    if order == 1:
        return first.jacobian[0], first.error[0]
    second = differentiate(jacobians, point[None], here, m * p, "richardson")
    _require_settled(second, point)
    hessian, error = second.jacobian[0].reshape(m, p, p), second.error[0].reshape(m, p, p)
    # Two ways to each mixed derivative; that with the smaller error bar is taken.
    other, its_error = hessian.swapaxes(1, 2), error.swapaxes(1, 2)
    hessian, error = np.where(its_error < error, other, hessian), np.minimum(error, its_error)
    return first.jacobian[0], first.error[0], hessian, error


def _values_or_nan(function: Callable[[np.ndarray], np.ndarray], there: np.ndarray, m: int) -> np.ndarray:
    try:
        return np.asarray(function(there), dtype=np.float64)
    except (ArithmeticError, ValueError):
        return np.full(m, np.nan)


def _require_settled(found: Differences, point: np.ndarray) -> None:
    """Raise KinkError for differences that are no derivative."""
    for _, i, j in np.argwhere(~found.trusted):
        raise KinkError(
            f"differences by variable {j} at {point[j]:.17g} give {found.jacobian[0, i, j]:.6g} with an error of "
            f"{found.error[0, i, j]:.2g}: the function is not smooth there, or too noisy"
        )
