"""The gamma function and what belongs to it: factorial, digamma and zeta functions."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import mpmath
import sympy as sp

from implicitops.codegen.emitter import Value
from implicitops.codegen.functions.row import (
    HIGHEST,
    NOT_A_NUMBER,
    TOO_HIGH,
    Refusal,
    Row,
    at,
    computed,
    derivative,
    not_below_zero,
    plain,
)
from implicitops.codegen.polygamma import polygamma
from implicitops.functions import RealFunction

if TYPE_CHECKING:
    from implicitops.codegen.printer import Printer

_WHOLE_ORDER = "The order of polygamma must be a whole number, such as polygamma(1, x)."


def digamma(printer: Printer, x: Value) -> Value:
    """Digamma by reflection near the poles below 0, where SciPy's loses digits."""
    offset = x - printer.emitter.intrinsic("rint", x)
    near_pole = (x < -0.5) & (abs(offset) < 0.1)
    at_pole = near_pole & offset.equals(0.0)
    direct = printer.emitter.call("scipy:psi:d", near_pole.where(1.0 - x, x))
    reflected = direct - math.pi / printer.call("tan", offset * math.pi)
    return at_pole.where(float("nan"), near_pole.where(reflected, direct))


def _polygamma(printer: Printer, node: Any) -> Value:
    order = printer.resolved(node.args[0])
    if order.is_Integer and order == 0:
        return digamma(printer, printer.emit(node.args[1]))
    if not (order.is_Integer and order > 0):
        raise printer.unsupported(node, _WHOLE_ORDER)
    return polygamma(int(order), printer.emit(node.args[1]))


def _factorial(printer: Printer, x: Value) -> Value:
    return printer.call("tgamma", x + 1.0)


def _harmonic(printer: Printer, node: Any) -> Value:
    if len(node.args) != 1:
        raise printer.unsupported(node, "Its order must be 1, as in harmonic(n).")
    x = printer.emit(node.args[0])
    series = printer.emitter.real(0.0)
    for coefficient in reversed(_harmonic_coefficients()):
        series = printer.emitter.fma(series, x, coefficient)
    return (abs(x) < 0.05).where(series * x, digamma(printer, x + 1.0) + float(sp.EulerGamma))


@functools.cache
def _harmonic_coefficients() -> tuple[float, ...]:
    """Taylor coefficients of harmonic(x)/x at 0, (-1)**k zeta(k + 2)."""
    return tuple(float((-1) ** k * mpmath.zeta(k + 2)) for k in range(13))


def _zeta(printer: Printer, node: Any) -> Value:
    if len(node.args) != 1:
        raise printer.unsupported(node, "Only the Riemann zeta function of one argument, zeta(s), is supported.")
    return 1.0 + printer.emitter.call("scipy:zetac:d", printer.emit(node.args[0]))


class zeta_derivative(RealFunction):
    """The n-th derivative of Riemann's zeta function, zeta_derivative(n, s)."""

    nargs = 2


ROWS = (
    Row(
        sp.gamma, plain("tgamma"), None, mpmath.gamma, at(-2.5, -0.3, 1e-6, 0.5, 3.7, 170.0), poles=at(0.0, -1.0, -7.0)
    ),
    Row(
        sp.loggamma,
        not_below_zero(plain("lgamma")),
        None,
        mpmath.loggamma,
        at(1e-6, 0.5, 3.7, 170.0, 1e10),
        poles=at(0.0, -1.0),
    ),
    Row(
        sp.digamma,
        computed(digamma),
        None,
        mpmath.digamma,
        at(-2.5, -1 - 1e-8, -0.3, 1e-6, 0.5, 3.7, 1e10),
        rtol=(5e-14,) * 3,
        poles=at(0.0, -1.0, -7.0),
    ),
    Row(
        sp.polygamma,
        _polygamma,
        (Refusal(_WHOLE_ORDER), lambda n, x: sp.polygamma(n + 1, x)),
        mpmath.polygamma,
        ((0, 0.5), (1, -2.5), (1, 1e-6), (1, 3.7), (2, 0.5), (2, 1e5), (3, -0.3)),
        whole=(0,),
        rtol=(2e-13,) * 3,
        poles=(
            (1, 0.0),
            (1, -1.0),
            (2, -3.0),
        ),
    ),
    Row(
        sp.factorial,
        computed(_factorial),
        (lambda n: sp.gamma(n + 1) * sp.digamma(n + 1),),
        mpmath.factorial,
        at(-2.5, -0.3, 1e-6, 0.5, 3.7, 169.0),
        poles=at(-1.0, -2.0),
    ),
    Row(
        sp.harmonic,
        _harmonic,
        (lambda n: sp.polygamma(1, n + 1),),
        mpmath.harmonic,
        at(-1.5, -0.5, -1e-10, 1e-10, 0.049, 0.3, 3.7, 1e8),
        rtol=(5e-14, 2e-13, 2e-13),
        poles=at(-1.0, -3.0),
    ),
    Row(
        sp.zeta,
        _zeta,
        (lambda s: zeta_derivative(1, s),),
        mpmath.zeta,
        at(-2.5, -1e-8, 0.3, 0.999, 1.1, 3.7, 40.0),
        rtol=(5e-14,) * 3,
        poles=at(1.0),
    ),
    Row(
        zeta_derivative,
        derivative("zeta", 1),
        (NOT_A_NUMBER, lambda n, s: zeta_derivative(n + 1, s) if n < HIGHEST else TOO_HIGH),
        lambda n, s: mpmath.zeta(s, 1, int(n)),
        ((1, -12.3), (1, 0.0), (1, 200.0)),
        whole=(0,),
        rtol=(1e-13,) * 3,
    ),
)
