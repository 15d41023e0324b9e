"""Sums and products of two doubles without rounding error, as pairs (high, low) of IR values.

References
----------
Dekker, A floating-point technique for extending the available precision, Numer. Math. 18 (1971).
Muller et al., Handbook of Floating-Point Arithmetic (2018), sections 4.3 and 4.4.
"""

from __future__ import annotations

from implicitops.codegen.emitter import Operand, Value

Pair = tuple[Value, Value]

_SPLITTER = 134217729.0  # 2**27 + 1


def two_sum(a: Value, b: Value) -> Pair:
    """The sum a + b exactly (Knuth), for any magnitudes."""
    total = a + b
    rest = total - a
    return total, (a - (total - rest)) + (b - rest)


def fast_two_sum(a: Value, b: Value) -> Pair:
    """The sum a + b exactly (Dekker), for |a| >= |b| or a = 0."""
    total = a + b
    return total, b - (total - a)


def _split(a: Value) -> Pair:
    scaled = a * _SPLITTER
    high = scaled - (scaled - a)
    return high, a - high


def two_product(a: Value, b: Operand) -> Pair:
    """The product a * b exactly; without a fused multiply-add for |a|, |b| < 2**996."""
    emitter = a.emitter
    other = emitter.operand(b, a.kind)
    product = a * other
    if emitter.fused:
        return product, emitter.fma(a, other, -product)
    (a_high, a_low), (b_high, b_low) = _split(a), _split(other)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def pair_times_real(pair: Pair, factor: Operand, factor_low: Operand = 0.0) -> Pair:
    """(high, low) * (factor, factor_low) to about 2**-104."""
    high, low = pair
    product, error = two_product(high, factor)
    return fast_two_sum(product, error + (low * factor + high * factor_low))


def pair_product(a: Pair, b: Pair) -> Pair:
    """Product of two pairs to about 2**-100; the low part may overlap the high one by a few bits."""
    emitter = a[0].emitter
    product, error = two_product(a[0], b[0])
    return product, emitter.fma(a[0], b[1], emitter.fma(a[1], b[0], error))
