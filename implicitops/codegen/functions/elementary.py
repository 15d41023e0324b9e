"""Exponential, trigonometric and hyperbolic functions, their inverses, and those of C99."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import mpmath
import sympy as sp
from sympy.codegen import cfunctions

from implicitops.codegen.emitter import Value
from implicitops.codegen.functions.row import NOT_A_NUMBER, Row, at, computed, of_reciprocal, plain, reciprocal
from implicitops.codegen.inner_functions import power_times_log, sinc_derivative
from implicitops.codegen.powers import emit_power_times_log
from implicitops.codegen.rewriting import emit_log
from implicitops.functions import RealFunction

if TYPE_CHECKING:
    from implicitops.codegen.printer import Printer


def _sinc(printer: Printer, x: Value) -> Value:
    quotient = printer.call("sin", x) / x
    finite = abs(x).equals(float("inf")).where(0.0, quotient)
    return x.equals(0.0).where(1.0, finite)


def _cot(printer: Printer, x: Value) -> Value:
    return 1.0 / printer.call("tan", x)


def _acot(printer: Printer, x: Value) -> Value:
    return x.equals(0.0).where(math.pi / 2, printer.call("atan", 1.0 / x))


def _asec(printer: Printer, x: Value) -> Value:
    # Of the distance from 1: the arc cosine of 1/x would lose half of the digits near 1.
    angle = printer.call("atan", printer.emitter.sqrt((abs(x) - 1.0) * (abs(x) + 1.0)))
    return (x < 0.0).where(math.pi - angle, angle)


def _acsc(printer: Printer, x: Value) -> Value:
    size = abs(x)
    near_one = printer.call("atan", 1.0 / printer.emitter.sqrt((size - 1.0) * (size + 1.0)))
    return printer.emitter.copysign((size < 2.0).where(near_one, printer.call("asin", 1.0 / size)), x)


def _acoth(printer: Printer, x: Value) -> Value:
    half = 0.5 * printer.call("log1p", 2.0 / (abs(x) - 1.0))
    return printer.emitter.copysign(half, x)


def _asech(printer: Printer, x: Value) -> Value:
    excess = (1.0 - x) / x  # of 1/x beyond 1
    near_one = printer.call("log1p", excess + printer.emitter.sqrt(excess * (excess + 2.0)))
    return (x > 0.5).where(near_one, printer.call("acosh", 1.0 / x))


def _one_less_square(x: sp.Expr) -> sp.Expr:
    return 1 - x**2


def _square_less_one(x: sp.Expr) -> sp.Expr:
    return x**2 - 1


class direction(RealFunction):
    """x / hypot(x, y), whose own derivatives would cancel where one of the two is small: direction(x, y)."""

    nargs = 2


def _power_times_log_by_base(n: sp.Expr, base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
    less = exponent - 1
    fewer = base**less if n == 1 else power_times_log(n - 1, base, less)
    return exponent * power_times_log(n, base, less) + n * fewer


def _power_times_log(n: int, base: float, exponent: float) -> mpmath.mpf:
    """The limit at a base of 0, whatever the order in which the limits are taken."""
    return base**exponent * mpmath.log(base) ** n if base != 0 else mpmath.mpf(0)


_LINE = at(-12.5, -2.3, -1e-3, 0.4, 1.7, 9.25)
_TAILS = at(-20.0, -10.0, -0.8, -1e-3, 0.4, 0.9, 10.0, 15.0, 19.0, 20.0)
_UNIT = at(1e-8 - 1, -0.95, -0.3, 1e-3, 0.6, 0.99)
_BEYOND_ONE = at(1 + 1e-8, 1.05, 1.7, 30.0)
_OUTSIDE = at(-30.0, -1.2, 1 + 1e-8, 1.05, 1.7, 30.0, 1e9)

ROWS = (
    Row(sp.exp, plain("exp"), None, mpmath.exp, at(-700.0, -2.3, 1e-8, 1.7, 700.0)),
    Row(sp.log, emit_log, None, mpmath.log, at(1e-300, 0.3, 0.999, 1.7, 1e300), poles=at(0.0)),
    Row(
        power_times_log,
        emit_power_times_log,
        (
            NOT_A_NUMBER,
            _power_times_log_by_base,
            lambda n, base, exponent: power_times_log(n + 1, base, exponent),
        ),
        _power_times_log,
        ((1, 0.3, 1.7), (1, 1e-9, 0.5), (2, 40.0, -2.5), (1, 1e8, 0.1)),
        whole=(0,),
        poles=((1, 0.0, 0.0), (1, 0.0, -1.0)),
    ),
    Row(cfunctions.expm1, plain("expm1"), None, mpmath.expm1, at(-30.0, -1e-10, 1e-10, 2.5)),
    Row(cfunctions.log1p, plain("log1p"), None, mpmath.log1p, at(-0.99, -1e-10, 1e-10, 2.5, 1e200), poles=at(-1.0)),
    Row(cfunctions.exp2, plain("exp2"), None, lambda x: mpmath.mpf(2) ** x, at(-900.0, -2.3, 1e-8, 1.7, 900.0)),
    Row(cfunctions.log2, plain("log2"), None, lambda x: mpmath.log(x, 2), at(1e-300, 0.3, 1.7, 1e100), poles=at(0.0)),
    Row(cfunctions.log10, plain("log10"), None, mpmath.log10, at(1e-300, 0.3, 1.7, 1e100), poles=at(0.0)),
    Row(
        cfunctions.Cbrt,
        plain("cbrt"),
        (lambda x: sp.S.One / (3 * cfunctions.Cbrt(x) ** 2),),
        lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)),
        at(-8.5, -1e-12, 0.3, 27.5),
    ),
    Row(cfunctions.Sqrt, computed(lambda printer, x: printer.emitter.sqrt(x)), None, mpmath.sqrt, at(1e-12, 0.3, 1e9)),
    Row(
        cfunctions.hypot,
        plain("hypot"),
        (direction, lambda x, y: direction(y, x)),
        mpmath.hypot,
        ((0.3, 1.7), (-3.0, 4.0), (1e-3, 1e3)),
    ),
    Row(
        direction,
        computed(lambda printer, x, y: x / printer.call("hypot", x, y)),
        (
            lambda x, y: direction(y, x) ** 2 / cfunctions.hypot(x, y),
            lambda x, y: -direction(x, y) * direction(y, x) / cfunctions.hypot(x, y),
        ),
        lambda x, y: x / mpmath.hypot(x, y),
        ((0.3, 1.7), (-3.0, 4.0), (1e-3, 1e3)),
    ),
    Row(
        cfunctions.fma,
        computed(lambda printer, a, b, c: printer.emitter.fma(a, b, c)),
        (lambda a, b, c: b, lambda a, b, c: a, lambda a, b, c: sp.S.One),
        lambda a, b, c: a * b + c,
        ((0.3, 1.7, 2.5), (-3.0, 4.0, 1.0)),
    ),
    Row(sp.sin, plain("sin"), None, mpmath.sin, _LINE),
    Row(sp.cos, plain("cos"), None, mpmath.cos, _LINE),
    Row(sp.tan, plain("tan"), None, mpmath.tan, at(-12.5, -2.3, -1e-3, 0.4, 1.57, 9.25)),
    Row(sp.cot, computed(_cot), None, mpmath.cot, at(-2.3, -1e-3, 0.4, 1.6, 3.0), poles=at(0.0)),
    Row(sp.sec, reciprocal("cos"), None, mpmath.sec, _LINE),
    Row(sp.csc, reciprocal("sin"), None, mpmath.csc, at(-2.3, -1e-3, 0.4, 1.7, 3.0), poles=at(0.0)),
    Row(
        sp.sinc,
        computed(_sinc),
        (lambda x: sinc_derivative(1, x),),
        mpmath.sinc,
        at(-12.5, -2.3, -1e-8, 1e-12, 0.4, 1.7, 9.25),
    ),
    Row(sp.asin, plain("asin"), (lambda x: 1 / sp.sqrt(_one_less_square(x)),), mpmath.asin, _UNIT),
    Row(sp.acos, plain("acos"), (lambda x: -1 / sp.sqrt(_one_less_square(x)),), mpmath.acos, _UNIT),
    Row(sp.atan, plain("atan"), None, mpmath.atan, at(-1e8, -2.3, 1e-8, 0.4, 1.7)),
    Row(sp.acot, computed(_acot), None, mpmath.acot, at(-1e8, -2.3, 1e-3, 0.4, 1.7)),
    Row(
        sp.asec,
        computed(_asec),
        (lambda x: 1 / (sp.Abs(x) * sp.sqrt(_square_less_one(x))),),
        mpmath.asec,
        _OUTSIDE,
    ),
    Row(
        sp.acsc,
        computed(_acsc),
        (lambda x: -1 / (sp.Abs(x) * sp.sqrt(_square_less_one(x))),),
        mpmath.acsc,
        _OUTSIDE,
    ),
    Row(
        sp.atan2,
        plain("atan2"),
        None,
        mpmath.atan2,
        ((0.3, 1.7), (-0.3, -1.7), (2.0, -0.5), (1e-9, 1.0), (1.0, 1e-9), (2e5, -1e5)),
    ),
    Row(sp.sinh, plain("sinh"), None, mpmath.sinh, _LINE),
    Row(sp.cosh, plain("cosh"), None, mpmath.cosh, _LINE),
    Row(sp.tanh, plain("tanh"), (lambda x: sp.sech(x) ** 2,), mpmath.tanh, _TAILS),
    Row(sp.coth, reciprocal("tanh"), (lambda x: -(sp.csch(x) ** 2),), mpmath.coth, _TAILS, poles=at(0.0)),
    Row(sp.sech, reciprocal("cosh"), None, mpmath.sech, _LINE),
    Row(sp.csch, reciprocal("sinh"), None, mpmath.csch, _LINE, poles=at(0.0)),
    Row(sp.asinh, plain("asinh"), None, mpmath.asinh, at(-1e8, -2.3, 1e-8, 0.4, 1e8)),
    Row(sp.acosh, plain("acosh"), None, mpmath.acosh, _BEYOND_ONE),
    Row(sp.atanh, plain("atanh"), (lambda x: 1 / _one_less_square(x),), mpmath.atanh, _UNIT, poles=at(-1.0, 1.0)),
    Row(sp.acoth, computed(_acoth), (lambda x: -1 / _square_less_one(x),), mpmath.acoth, _OUTSIDE, poles=at(-1.0, 1.0)),
    Row(
        sp.asech,
        computed(_asech),
        (lambda x: -1 / (x * sp.sqrt(_one_less_square(x))),),
        mpmath.asech,
        at(1e-3, 0.3, 0.6, 0.95, 1 - 1e-8),
        poles=at(0.0),
    ),
    Row(
        sp.acsch,
        of_reciprocal("asinh"),
        (lambda x: -1 / (sp.Abs(x) * sp.sqrt(x**2 + 1)),),
        mpmath.acsch,
        at(-30.0, -1e-3, 0.3, 2.5),
        poles=at(0.0),
    ),
)
