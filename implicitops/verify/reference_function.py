"""The true value and derivatives of a function that the user gives as reference, or of an op itself.

A function of mpmath numbers is differentiated with 120 digits. One that knows only floats is differentiated by
extrapolated differences, whose error bar is then part of the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np

from implicitops.errors import NoReferenceError
from implicitops.verify.differences import digits_for, extrapolated_derivatives, precise_derivatives
from implicitops.verify.reference import FALLBACK, ReferencePoint

EPS = mpmath.mpf(2) ** -52
#: Units in the last place, times the condition of the function, that an implementation may be wrong by.
ALLOWANCE = 64
#: Above so many variables the condition of each derivative is not worked out.
FEW = 12


class FunctionReference:
    """Reference from a callable with the signature of the op.

    With f the function, p the variables and eps = 2**-52 the tolerances are 64 eps (|f| + sum |f_k p_k|) for the
    value and 64 eps (|f_j| + sum |f_jk p_k|) for a derivative: what a relative error of some eps in each variable
    does to it. Error bars of differences are added where the function knows only floats.

    Parameters
    ----------
    function : callable of mpf scalars and object arrays of mpf, or of floats and float arrays; returns a number
        or an array
    shapes : shape of each argument
    precise : bool, optional, whether the function computes with all digits of mpf; found out if not given

    Examples
    --------
    >>> import mpmath
    >>> from implicitops.verify.reference_function import FunctionReference
    >>> reference = FunctionReference(lambda x: mpmath.exp(2 * x), [()])
    >>> mpmath.nstr(reference.at([0.5], order=1).jacobian[0, 0], 20)
    '5.4365636569180904707'
    """

    def __init__(
        self, function: Callable[..., Any], shapes: Sequence[tuple[int, ...]], precise: bool | None = None
    ) -> None:
        self.function = function
        self.precise = precise
        self.shapes = tuple(shapes)

    def at(self, variables: Sequence[float], near: Any = None, order: int = 1) -> ReferencePoint:
        """Reference at one point, given as all variables in a row; ``near`` is ignored."""
        point = np.asarray(variables, dtype=np.float64)
        with mpmath.workdps(digits_for(list(point))):
            if self._is_precise(point) if self.precise is None else self.precise:
                return self._precise(point, order)
        return self._extrapolated(point, order)

    def _call(self, variables: Sequence[Any]) -> Any:
        arguments, position = [], 0
        for shape in self.shapes:
            size = int(np.prod(shape, dtype=int))
            part = list(variables[position : position + size])
            position += size
            kind: Any = object if part and isinstance(part[0], mpmath.mpf) else np.float64
            arguments.append(np.array(part, dtype=kind).reshape(shape) if shape else part[0])
        return np.ravel(np.asarray(self.function(*arguments)))

    def _is_precise(self, point: np.ndarray) -> bool:
        """False if any variable passes through a float: then a step of 1e-30 has no effect, but one of 1e-3 has."""
        precise = [mpmath.mpf(float(v)) for v in point]
        try:
            here = self._call(precise)
            if not all(isinstance(v, (mpmath.mpf, int)) for v in here):
                return False
            for k, v in enumerate(precise):
                unit = abs(v) if v != 0 else mpmath.mpf(1)
                near, far = (
                    self._call([*precise[:k], v + unit * mpmath.mpf(10) ** -digits, *precise[k + 1 :]])
                    for digits in (30, 3)
                )
                if np.all(near == here) and np.any(far != here):
                    return False
        except (TypeError, AttributeError, ValueError):
            return False
        return True

    def _precise(self, point: np.ndarray, order: int) -> ReferencePoint:
        # The condition of the highest derivative needs one order more; fallbacks serve where that is too much.
        wanted = 2 if len(point) <= FEW else order
        value, jacobian, hessian = precise_derivatives(self._call, [float(v) for v in point], wanted)
        for v in value:
            if not mpmath.isfinite(v):
                raise NoReferenceError(f"the reference is {mpmath.nstr(v, 6)}")
        sizes = np.array([abs(mpmath.mpf(float(v))) for v in point], dtype=object)
        value_bound = FALLBACK * abs(value)
        jacobian_bound = None if jacobian is None else FALLBACK * abs(jacobian)
        if jacobian is not None:
            value_bound = ALLOWANCE * EPS * (abs(value) + (abs(jacobian) * sizes).sum(axis=-1))
        if jacobian is not None and hessian is not None:
            jacobian_bound = ALLOWANCE * EPS * (abs(jacobian) + (abs(hessian) * sizes).sum(axis=-1))
        if order < 2 or hessian is None:
            return ReferencePoint(value, value_bound, jacobian, jacobian_bound)
        scale = abs(hessian).max(axis=(-2, -1), keepdims=True)
        return ReferencePoint(value, value_bound, jacobian, jacobian_bound, hessian, 1e-11 * (abs(hessian) + 0 * scale))

    def _extrapolated(self, point: np.ndarray, order: int) -> ReferencePoint:
        def function(variables: np.ndarray) -> np.ndarray:
            return np.asarray(self._call(list(variables)), dtype=np.float64)

        value = function(point)
        if not np.all(np.isfinite(value)):
            raise NoReferenceError(f"the reference is {value}")
        results = extrapolated_derivatives(function, point, max(order, 1))
        jacobian, error = results[0], results[1]
        noise = 16 * np.finfo(float).eps
        value_bound = 4 * noise * (abs(value) + (abs(jacobian) * abs(point)).sum(axis=-1))
        bounds = [_precise_array(value_bound), _precise_array(4 * error + noise * abs(jacobian))]
        first = ReferencePoint(_precise_array(value), bounds[0], _precise_array(jacobian), bounds[1])
        if order < 2:
            return first
        hessian, hessian_error = results[2], results[3]
        return ReferencePoint(
            first.value,
            first.value_bound,
            first.jacobian,
            first.jacobian_bound,
            _precise_array(hessian),
            _precise_array(4 * hessian_error + noise * abs(hessian)),
        )


def _precise_array(values: np.ndarray) -> np.ndarray:
    result = np.empty(values.shape, dtype=object)
    for index, value in np.ndenumerate(values):
        result[index] = mpmath.mpf(float(value))
    return result
