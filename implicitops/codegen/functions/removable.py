"""Functions that are smooth where their formula is 0/0, and their derivatives of any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath

from .. import elementary_removable as formulas
from ..emitter import Value
from ..inner_functions import elliptic_b_derivative, elliptic_d_derivative, sinc_derivative, sinhc_derivative
from .row import NOT_A_NUMBER, Row, with_order


def _elliptic(position: int) -> Callable[[int, Value], Value]:
    return lambda order, m: formulas.elliptic_bd(order, m)[position]


def _integrated(integrand: Callable[[int, Any, Any], Any], end: Any) -> Callable[[Any, Any], Any]:
    """Derivative of an order as an integral over the derivative of a smooth function."""

    def reference(order: Any, x: Any) -> Any:
        parts = mpmath.linspace(0, end(), int(abs(x) / 4) + 6)
        return mpmath.quad(lambda t: integrand(int(order), x, t), parts)

    return reference


def _root(n: int, m: Any, t: Any) -> Any:
    """Derivative of 1/sqrt(1 - m sin(t)**2) with respect to m."""
    half, square = mpmath.mpf(1) / 2, mpmath.sin(t) ** 2
    return mpmath.rf(half, n) * square**n * (1 - m * square) ** (-half - n)


def _right_angle() -> Any:
    return mpmath.pi / 2


def _one() -> Any:
    return mpmath.mpf(1)


_NEAR_AND_FAR = tuple((n, x) for n in (0, 1, 2) for x in (-20.0, -3.1, -0.7, 1e-3, 0.3, 2.9))
_MODULUS = tuple((n, m) for n in (0, 1) for m in (-30.0, -0.6, -0.4, 1e-3, 0.3, 0.55, 0.95))

ROWS = (
    Row(
        sinc_derivative,
        with_order(formulas.sinc_derivative),
        (NOT_A_NUMBER, lambda n, x: sinc_derivative(n + 1, x)),
        _integrated(lambda n, x, t: t**n * mpmath.cos(x * t + n * mpmath.pi / 2), _one),
        _NEAR_AND_FAR,
        whole=(0,),
        rtol=(1e-14, 1e-13, 1e-12),
    ),
    Row(
        sinhc_derivative,
        with_order(formulas.sinhc_derivative),
        (NOT_A_NUMBER, lambda n, x: sinhc_derivative(n + 1, x)),
        _integrated(lambda n, x, t: t**n * (mpmath.sinh if n % 2 else mpmath.cosh)(x * t), _one),
        _NEAR_AND_FAR,
        whole=(0,),
        rtol=(1e-14, 1e-13, 1e-12),
    ),
    Row(
        elliptic_b_derivative,
        with_order(_elliptic(0)),
        (NOT_A_NUMBER, lambda n, m: elliptic_b_derivative(n + 1, m)),
        _integrated(lambda n, m, t: mpmath.cos(t) ** 2 * _root(n, m, t), _right_angle),
        _MODULUS,
        whole=(0,),
        rtol=(4e-14, 1e-12, 1e-11),
    ),
    Row(
        elliptic_d_derivative,
        with_order(_elliptic(1)),
        (NOT_A_NUMBER, lambda n, m: elliptic_d_derivative(n + 1, m)),
        _integrated(lambda n, m, t: mpmath.sin(t) ** 2 * _root(n, m, t), _right_angle),
        _MODULUS,
        whole=(0,),
        rtol=(4e-14, 1e-12, 1e-11),
    ),
)
