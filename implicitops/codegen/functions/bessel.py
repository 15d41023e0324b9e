"""Bessel functions of real order, and Airy functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mpmath
import sympy as sp

from ..emitter import Value
from .row import Handler, Refusal, Row, at, scipy_output

if TYPE_CHECKING:
    from ..printer import Printer


def _bessel(general: str, special: dict[int, str]) -> Handler:
    """A Bessel function; the orders 0 and 1 have faster forms of their own."""

    def handler(printer: Printer, node: Any) -> Value:
        order, argument = printer.resolved(node.args[0]), printer.emit(node.args[1])
        if order.is_Integer and int(order) in special:
            return printer.emitter.call(f"scipy:{special[int(order)]}:d", argument)
        return printer.emitter.call(f"scipy:{general}:dd", printer.emit(node.args[0]), argument)

    return handler


_ORDER = Refusal("Its order must then be a number, or the derivative with respect to it not be asked for.")
_HALF = sp.S.Half
_POINTS = ((0.0, 0.7), (1.0, 2.5), (0.3, 1e-3), (2.7, 4.1), (0.5, 40.0), (30.5, 12.0))
_RTOL = (1e-13, 1e-12, 1e-11)

ROWS = (
    Row(
        sp.besselj,
        _bessel("jv", {0: "j0", 1: "j1"}),
        (_ORDER, lambda n, x: (sp.besselj(n - 1, x) - sp.besselj(n + 1, x)) * _HALF),
        mpmath.besselj,
        _POINTS,
        rtol=_RTOL,
    ),
    Row(
        sp.bessely,
        _bessel("yv", {0: "y0", 1: "y1"}),
        (_ORDER, lambda n, x: (sp.bessely(n - 1, x) - sp.bessely(n + 1, x)) * _HALF),
        mpmath.bessely,
        _POINTS,
        rtol=_RTOL,
    ),
    Row(
        sp.besseli,
        _bessel("iv", {0: "i0", 1: "i1"}),
        (_ORDER, lambda n, x: (sp.besseli(n - 1, x) + sp.besseli(n + 1, x)) * _HALF),
        mpmath.besseli,
        _POINTS,
        rtol=_RTOL,
    ),
    Row(
        sp.besselk,
        _bessel("kv", {0: "k0", 1: "k1"}),
        (_ORDER, lambda n, x: -(sp.besselk(n - 1, x) + sp.besselk(n + 1, x)) * _HALF),
        mpmath.besselk,
        _POINTS,
        rtol=_RTOL,
    ),
    Row(sp.airyai, scipy_output("airy", 4, 0), None, mpmath.airyai, at(-9.5, -0.4, 0.3, 3.1, 12.0), rtol=_RTOL),
    Row(
        sp.airyaiprime,
        scipy_output("airy", 4, 1),
        None,
        lambda x: mpmath.airyai(x, 1),
        at(-9.5, -0.4, 0.3, 3.1, 12.0),
        rtol=_RTOL,
    ),
    Row(sp.airybi, scipy_output("airy", 4, 2), None, mpmath.airybi, at(-9.5, -0.4, 0.3, 3.1, 12.0), rtol=_RTOL),
    Row(
        sp.airybiprime,
        scipy_output("airy", 4, 3),
        None,
        lambda x: mpmath.airybi(x, 1),
        at(-9.5, -0.4, 0.3, 3.1, 12.0),
        rtol=_RTOL,
    ),
)
