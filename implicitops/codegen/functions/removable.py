"""Functions that are smooth where their formula is 0/0, and their derivatives of any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import mpmath

from implicitops.codegen.elementary import removable as formulas
from implicitops.codegen.elementary.quotients import divided_difference_of_exp, quotient_derivative
from implicitops.codegen.emitter import Value
from implicitops.codegen.functions.row import NOT_A_NUMBER, Row, with_order
from implicitops.codegen.inner_functions import (
    bernoulli_derivative,
    elliptic_b_derivative,
    elliptic_d_derivative,
    exp_difference,
    langevin_derivative,
    log1pc_derivative,
    sinc_derivative,
    sinhc_derivative,
    tanhc_derivative,
)

if TYPE_CHECKING:
    from implicitops.codegen.printer import Printer


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


def _quotient(kind: type, name: str, function: Callable[[Any], Any], points: tuple[float, ...]) -> Row:
    """Row of a function of ``elementary_quotients.py``, tested at order 0."""
    return Row(
        kind,
        with_order(lambda order, x: quotient_derivative(name, order, x)),
        (NOT_A_NUMBER, lambda n, x: kind(n + 1, x)),
        lambda n, x: function(x),
        tuple((0, point) for point in points),
        whole=(0,),
        rtol=(1e-14, 1e-13, 1e-12),
    )


def _exp_difference(printer: Printer, node: Any) -> Value:
    p, q = (int(printer.resolved(order)) for order in node.args[:2])
    return divided_difference_of_exp(p, q, *(printer.emit(argument) for argument in node.args[2:]))


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
    _quotient(tanhc_derivative, "tanhc", lambda x: mpmath.tanh(x) / x, (-20.0, -1.1, -0.7, 0.3, 0.8, 5.0)),
    _quotient(log1pc_derivative, "log1pc", lambda x: mpmath.log1p(x) / x, (-0.9, -0.45, 0.3, 0.6, 5.0, 1e5)),
    _quotient(bernoulli_derivative, "bernoulli", lambda x: x / mpmath.expm1(x), (-20.0, -3.3, -0.7, 0.3, 2.9, 20.0)),
    _quotient(langevin_derivative, "langevin", lambda x: mpmath.coth(x) - 1 / x, (-20.0, -1.6, -0.7, 0.3, 1.4, 9.0)),
    Row(
        exp_difference,
        _exp_difference,
        (
            NOT_A_NUMBER,
            NOT_A_NUMBER,
            lambda p, q, a, b: exp_difference(p + 1, q, a, b),
            lambda p, q, a, b: exp_difference(p, q + 1, a, b),
        ),
        lambda p, q, a, b: mpmath.quad(
            lambda t: t ** int(p) * (1 - t) ** int(q) * mpmath.exp(t * a + (1 - t) * b), mpmath.linspace(0, 1, 9)
        ),
        ((0, 0, 0.3, 0.7), (0, 0, 0.3, 0.3000001), (0, 0, -2.5, 1.5), (0, 0, 20.0, -20.0), (1, 0, 0.3, 2.7)),
        whole=(0, 1),
        rtol=(1e-14, 1e-13, 1e-12),
    ),
)
