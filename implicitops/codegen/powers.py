"""Powers to IR: products for whole exponents, square roots for halves and quarters, ``pow`` for the rest."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import sympy as sp

from implicitops.codegen.emitter import Value
from implicitops.codegen.printer import exact_fraction, number_pair

if TYPE_CHECKING:
    from implicitops.codegen.printer import Printer

#: Up to here x**n is a product: n - 1 roundings at most, and quicker than ``pow``.
LARGEST_PRODUCT = 32


def emit_power(printer: Printer, base: Any, exponent: Any) -> Value:
    """The power where it is real, NaN elsewhere.

    An integer exponent allows every base. A fractional one, x**(1/3) too, makes a negative base NaN: SymPy's
    principal power is complex there.
    """
    exponent = printer.resolved(exponent)
    if base is sp.E:
        return printer.call("exp", printer.emit(exponent))
    if isinstance(exponent, (sp.Rational, sp.Float)):
        return _rational_power(printer, base, exact_fraction(exponent))
    value = printer.emit(base)
    if exponent.is_number and exponent.is_real and exponent.is_finite:
        return _fractional_power(printer, value, *number_pair(exponent))
    return printer.call("pow", value, printer.emit(exponent))


def integer_power(base: Value, exponent: int) -> Value:
    """The power for exponent >= 1, by squaring."""
    result = None
    square = base
    while True:
        if exponent & 1:
            result = square if result is None else result * square
        exponent >>= 1
        if not exponent:
            break
        square = square * square
    assert result is not None
    return result


def _rational_power(printer: Printer, base: Any, exponent: Fraction) -> Value:
    if exponent.denominator != 1 and printer.resolved(base).is_negative and printer.resolved(base).is_Number:
        node = sp.Pow(base, sp.Rational(exponent.numerator, exponent.denominator), evaluate=False)
        raise printer.unsupported(node, "A fractional power of a negative number is not real.")
    value = printer.emit(base)
    if abs(exponent) <= LARGEST_PRODUCT and exponent.denominator in (1, 2):
        return _product_power(printer, value, exponent)
    if exponent.denominator == 1:
        return printer.call("pow", value, printer.emitter.real(float(exponent)))
    if abs(exponent) in (Fraction(1, 4), Fraction(3, 4)):
        root = printer.emitter.sqrt(value)
        result = abs(printer.emitter.sqrt(root))
        result = result if abs(exponent.numerator) == 1 else root * result
        return result if exponent > 0 else 1.0 / result
    high = exponent.numerator / exponent.denominator
    low = float(exponent - Fraction(high))
    return _fractional_power(printer, value, high, low)


def _product_power(printer: Printer, base: Value, exponent: Fraction) -> Value:
    whole, half = divmod(abs(exponent.numerator), exponent.denominator)
    result = integer_power(base, whole) if whole else None
    if half:
        root = printer.emitter.sqrt(base)
        result = abs(root if result is None else result * root)  # abs: (-0)**(-1/2) is +oo
    if result is None:
        return printer.emitter.real(1.0)
    return result if exponent > 0 else 1.0 / result


def _fractional_power(printer: Printer, base: Value, high: float, low: float) -> Value:
    real = printer.emitter.real
    return printer.call("pow_pair", base, real(high), real(low))


def emit_power_times_log(printer: Printer, node: Any) -> Value:
    """base**exponent * log(base)**n: 0 at a base of 0 with a positive exponent, where the product would be 0 * inf."""
    n, base, exponent = node.args
    power, value = printer.emit(sp.Pow(base, exponent, evaluate=False)), printer.emit(base)
    product = power * integer_power(printer.emit(sp.log(base, evaluate=False)), int(printer.resolved(n)))
    return (value.equals(0.0) & (printer.emit(exponent) > 0.0)).where(0.0, product)
