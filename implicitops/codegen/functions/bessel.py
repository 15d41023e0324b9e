"""Bessel functions of real order, and Airy functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mpmath
import sympy as sp

from implicitops.codegen.emitter import Value
from implicitops.codegen.functions.row import (
    HIGHEST,
    NOT_A_NUMBER,
    TOO_HIGH,
    Handler,
    Refusal,
    Row,
    at,
    derivative,
    scipy_output,
)
from implicitops.functions import RealFunction

if TYPE_CHECKING:
    from implicitops.codegen.printer import Printer


#: IOP_BESSEL_LARGEST of csrc/bessel_order.h.
LARGEST = 1e5

#: SciPy's functions lose digits at orders that are this close to a whole number but not equal to it: those of the first
#: kind all of them where the order is negative.
_NEAR = 1e-3


def _bessel(own: str, general: str, special: dict[int, str]) -> Handler:
    """A Bessel function; the orders 0 and 1 have faster forms of their own, orders near whole numbers a slower one."""

    def handler(printer: Printer, node: Any) -> Value:
        number, argument = printer.resolved(node.args[0]), printer.emit(node.args[1])
        if number.is_Integer and int(number) in special:
            return printer.emitter.call(f"scipy:{special[int(number)]}:d", argument)
        order = printer.emit(node.args[0])
        direct = printer.emitter.call(f"scipy:{general}:dd", order, argument)
        if number.is_number and not 0 < abs(float(number) - round(float(number))) < _NEAR:
            return direct
        distance = abs(order - printer.emitter.intrinsic("rint", order))
        near = (distance > 0.0) & (distance < _NEAR) & (argument > 0.0)
        near = near & (argument <= LARGEST) & (abs(order) <= LARGEST)
        # An order of NaN is answered at once.
        return near.where(printer.emitter.call(f"iop:{own}_0:dd", near.where(order, float("nan")), argument), direct)

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
_NEAR_WHOLE = ((1 + 1e-9, 1.0), (1 - 1e-12, 0.7), (-1.9999999999999998, 2.0), (-6.999999999999, 0.7), (20 - 2e-7, 10.0))
_RTOL = (1e-13, 1e-12, 1e-11)


def _rows(
    function: Any, by_order: Any, emit: Handler, below: int, above: int, poles: tuple[tuple[float, ...], ...] = ()
) -> tuple[Row, Row]:
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
            _POINTS + _NEAR_WHOLE,
            rtol=_RTOL,
            poles=poles,
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
    *_rows(sp.besselj, besselj_by_order, _bessel("besselj", "jv", {0: "j0", 1: "j1"}), 1, -1),
    *_rows(sp.bessely, bessely_by_order, _bessel("bessely", "yv", {0: "y0", 1: "y1"}), 1, -1, ((0.3, 0.0), (1.0, 0.0))),
    *_rows(sp.besseli, besseli_by_order, _bessel("besseli", "iv", {0: "i0", 1: "i1"}), 1, 1),
    *_rows(
        sp.besselk, besselk_by_order, _bessel("besselk", "kv", {0: "k0", 1: "k1"}), -1, -1, ((0.3, 0.0), (1.0, 0.0))
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
