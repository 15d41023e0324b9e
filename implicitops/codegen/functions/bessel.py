"""Bessel functions of real order, and Airy functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mpmath
import sympy as sp

from implicitops.functions import RealFunction

from ..emitter import Value
from .row import HIGHEST, NOT_A_NUMBER, TOO_HIGH, Handler, Refusal, Row, at, derivative, scipy_output

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


class besselj_by_order(RealFunction):
    """The n-th derivative of besselj(order, x) by the order: besselj_by_order(n, order, x)."""

    nargs = 3


class bessely_by_order(RealFunction):
    """The n-th derivative of bessely(order, x) by the order: bessely_by_order(n, order, x)."""

    nargs = 3


class besseli_by_order(RealFunction):
    """The n-th derivative of besseli(order, x) by the order: besseli_by_order(n, order, x)."""

    nargs = 3


class besselk_by_order(RealFunction):
    """The n-th derivative of besselk(order, x) by the order: besselk_by_order(n, order, x)."""

    nargs = 3


_POINTS = ((0.0, 0.7), (1.0, 2.5), (0.3, 1e-3), (2.7, 4.1), (0.5, 40.0), (30.5, 12.0), (-1.6, 0.9))
_RTOL = (1e-13, 1e-12, 1e-11)


def _rows(function: Any, by_order: Any, emit: Handler, below: int, above: int) -> tuple[Row, Row]:
    """A Bessel function, whose slope is (below f(order - 1) + above f(order + 1)) / 2, and its derivatives by order."""
    reference = getattr(mpmath, function.__name__)

    def by_argument(kind: Any) -> Any:
        def slope(*args: sp.Expr) -> sp.Expr:
            *whole, order, x = args
            return (below * kind(*whole, order - 1, x) + above * kind(*whole, order + 1, x)) * sp.S.Half

        return slope

    def by_order_again(n: sp.Expr, order: sp.Expr, x: sp.Expr) -> sp.Expr | Refusal:
        return by_order(n + 1, order, x) if n < HIGHEST else TOO_HIGH

    return (
        Row(
            function,
            emit,
            (lambda order, x: by_order(1, order, x), by_argument(function)),
            reference,
            _POINTS,
            rtol=_RTOL,
        ),
        Row(
            by_order,
            derivative(function.__name__, 2),
            (NOT_A_NUMBER, by_order_again, by_argument(by_order)),
            lambda n, order, x: mpmath.diff(lambda moved: reference(moved, x), order, int(n)),
            ((1, 2.7, 4.1),),
            whole=(0,),
            rtol=_RTOL,
        ),
    )


ROWS = (
    *_rows(sp.besselj, besselj_by_order, _bessel("jv", {0: "j0", 1: "j1"}), 1, -1),
    *_rows(sp.bessely, bessely_by_order, _bessel("yv", {0: "y0", 1: "y1"}), 1, -1),
    *_rows(sp.besseli, besseli_by_order, _bessel("iv", {0: "i0", 1: "i1"}), 1, 1),
    *_rows(sp.besselk, besselk_by_order, _bessel("kv", {0: "k0", 1: "k1"}), -1, -1),
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
