"""Functions with steps, kinks and choices, and the parts of a number that is real here.

A step has derivative 0 off its jumps. Where the jump itself counts, the derivative is a DiracDelta, which is 0 off the
jump and NaN on it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import mpmath
import sympy as sp

from implicitops.codegen.emitter import Value
from implicitops.codegen.functions.row import Handler, Row, arguments, at, computed, plain

if TYPE_CHECKING:
    from implicitops.codegen.printer import Printer

_NAN = float("nan")


def _sign(printer: Printer, x: Value) -> Value:
    return (x > 0.0).where(1.0, (x < 0.0).where(-1.0, x))


def _heaviside(printer: Printer, x: Value, at_zero: Value) -> Value:
    at_zero_or_nan = x.equals(0.0).where(at_zero, _NAN)
    return (x > 0.0).where(1.0, (x < 0.0).where(0.0, at_zero_or_nan))


def _dirac_delta(printer: Printer, node: Any) -> Value:
    x = printer.emit(node.args[0])
    nonzero = abs(x) > 0.0
    return nonzero.where(0.0, _NAN)


def _frac(printer: Printer, x: Value) -> Value:
    return x - printer.emitter.floor(x)


def _ceiling(printer: Printer, x: Value) -> Value:
    return printer.emitter.intrinsic("ceil", x)


def _extremum(largest: bool) -> Handler:
    def handler(printer: Printer, node: Any) -> Value:
        result, *rest = arguments(printer, node)
        for value in rest:
            chosen = (result > value if largest else result < value).where(result, value)
            result = result.is_nan().where(result, chosen)
        return result

    return handler


def _conjunct(printer: Printer, node: Any) -> Value:
    return printer.emit(node.args[0])


def _zero(printer: Printer, node: Any) -> Value:
    return printer.emitter.real(0.0)


def _argument_angle(printer: Printer, x: Value) -> Value:
    return (x < 0.0).where(math.pi, (x > 0.0).where(0.0, _NAN))


def _no_slope(*_: sp.Expr) -> sp.Expr:
    return sp.S.Zero


def _unit_slope(*_: sp.Expr) -> sp.Expr:
    return sp.S.One


def _derivative_of_delta(x: sp.Expr, order: sp.Expr = sp.S.Zero) -> sp.Expr:
    return sp.DiracDelta(x, order + 1)


_OFF_JUMPS = at(-7.3, -0.4, 0.3, 12.6)

ROWS = (
    Row(sp.Abs, computed(lambda printer, x: abs(x)), (sp.sign,), abs, _OFF_JUMPS),
    Row(sp.sign, computed(_sign), (lambda x: 2 * sp.DiracDelta(x),), mpmath.sign, _OFF_JUMPS),
    Row(
        sp.Heaviside,
        computed(_heaviside),
        (lambda x, at_zero: sp.DiracDelta(x), _no_slope),
        lambda x, at_zero=0.5: (1 + mpmath.sign(x)) / 2,
        _OFF_JUMPS,
    ),
    Row(sp.DiracDelta, _dirac_delta, (_derivative_of_delta, _no_slope), lambda x, order=0: 0 * x, _OFF_JUMPS),
    Row(sp.floor, computed(lambda printer, x: printer.emitter.floor(x)), (_no_slope,), mpmath.floor, _OFF_JUMPS),
    Row(sp.ceiling, computed(_ceiling), (_no_slope,), mpmath.ceil, _OFF_JUMPS),
    Row(sp.frac, computed(_frac), (_unit_slope,), lambda x: x - mpmath.floor(x), _OFF_JUMPS),
    Row(
        sp.Mod,
        plain("mod"),
        (_unit_slope, lambda x, period: -sp.floor(x / period)),
        lambda x, period: x - period * mpmath.floor(x / period),
        ((7.3, 2.1), (-7.3, 2.1), (7.3, -2.1), (0.25, 24.0)),
    ),
    Row(sp.Max, _extremum(largest=True), None, max, ((0.3, 1.7), (-0.3, -1.7))),
    Row(sp.Min, _extremum(largest=False), None, min, ((0.3, 1.7), (-0.3, -1.7))),
    Row(sp.re, _conjunct, (_unit_slope,), mpmath.re, _OFF_JUMPS),
    Row(sp.conjugate, _conjunct, (_unit_slope,), mpmath.conj, _OFF_JUMPS),
    Row(sp.im, _zero, (_no_slope,), mpmath.im, _OFF_JUMPS),
    Row(sp.arg, computed(_argument_angle), (_no_slope,), mpmath.arg, _OFF_JUMPS),
)
