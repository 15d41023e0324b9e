"""pow and its relatives (exp2, log2, log10, cbrt, hypot) in IR values, through a logarithm in double-double.

x**y = exp(y log|x|) needs log|x| to 2**-64: with s = (m - 1)/(m + 1), log(m) = 2 s + (2/3) s**3 + s**5
Q(s**2), s and the first two terms as pairs. Q interpolates at Chebyshev nodes; the whole is accurate to
2**-66.

References
----------
Muller, Elementary Functions (2016), section 11.5.  SLEEF (Shibata & Petrogalli, 2020), xpow.
"""

from __future__ import annotations

from implicitops.codegen.elementary.double_double import Pair, fast_two_sum, pair_product, pair_times_real, two_product
from implicitops.codegen.elementary.exponential import (
    INFINITY,
    LN2_HIGH,
    LN2_LOW,
    NAN,
    clamp,
    decompose,
    exponential_of_pair,
    polynomial,
    scale,
)
from implicitops.codegen.emitter import Operand, Value

_LN2 = (0.6931471805599453, 2.3190468138462996e-17)
_LOG2_E = (1.4426950408889634, 2.0355273740931033e-17)
_LOG10_E = (0.4342944819032518, 1.098319650216765e-17)
_TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)
_ATANH = (
    0.4, 0.28571428571428564, 0.2222222222222843, 0.18181818179656925, 0.15384615761170173,
    0.13333296534432942, 0.11766813121034213, 0.10456327269484514, 0.107624244195648,
)  # fmt: skip


def logarithm_pair(x: Value) -> Pair:
    """The logarithm high + low of a positive finite x, relative error 2**-66."""
    emitter = x.emitter
    m, k = decompose(x)
    numerator, (denominator, denominator_low) = m - 1.0, fast_two_sum(emitter.real(1.0), m)
    inverse = 1.0 / denominator
    s = numerator * inverse
    product, product_error = two_product(s, denominator)
    s_low = (((numerator - product) - product_error) - s * denominator_low) * inverse
    z, z_error = two_product(s, s)
    z_low = emitter.fma(2.0 * s, s_low, z_error)
    third, third_low = fast_two_sum(emitter.real(_TWO_THIRDS[0]), emitter.fma(z, polynomial(z, _ATANH), _TWO_THIRDS[1]))
    cube = pair_product((z, z_low), (s, s_low))
    tail, tail_low = pair_product(cube, (third, third_low))
    of_m, of_m_low = fast_two_sum(2.0 * s, tail)
    total, error = fast_two_sum(k * LN2_HIGH, of_m)
    low = emitter.fma(k, LN2_LOW, of_m_low + emitter.fma(2.0, s_low, tail_low))
    return fast_two_sum(total, error + low)


def _magnitude(x: Value, y: Value, y_low: Operand) -> Value:
    """|x|**y for numbers, infinities and zeros included."""
    positive = abs(x)
    log_x = logarithm_pair(positive)
    limited = clamp(y, -(2.0**65), 2.0**65)
    exponent, error = pair_times_real(log_x, limited, y_low)
    clamped = clamp(exponent, -746.0, 710.0)
    inside = clamped.equals(exponent)
    value, n = exponential_of_pair((clamped, inside.where(error, 0.0)))
    regular = scale(value, n)
    extreme_base = positive.equals(0.0) | positive.equals(INFINITY)
    direction = y * extreme_base.where(positive.equals(0.0).where(-INFINITY, INFINITY), log_x[0])
    limit = (direction > 0.0).where(INFINITY, (direction < 0.0).where(0.0, 1.0))
    return (extreme_base | abs(y).equals(INFINITY)).where(limit, regular)


def power(x: Value, y: Value) -> Value:
    """x**y as in C99: 0**0 = 1, a negative base needs a whole exponent."""
    emitter = x.emitter
    magnitude = _magnitude(x, y, 0.0)
    half = 0.5 * y
    whole = emitter.floor(y).equals(y)
    odd = whole & emitter.floor(half).differs(half)
    negative = x.bits() < 0
    signed = (negative & odd).where(-magnitude, magnitude)
    complex_valued = (x < 0.0) & (x > -INFINITY) & ~whole
    result = (complex_valued | x.is_nan() | y.is_nan()).where(NAN, signed)
    return (x.equals(1.0) | y.equals(0.0)).where(1.0, result)


def power_of_pair(x: Value, y: Value, y_low: Value) -> Value:
    """x**(y + y_low) for an exponent that is no integer: NaN for x < 0."""
    return ((x < 0.0) | x.is_nan()).where(NAN, _magnitude(x, y, y_low))


def power_of_two(x: Value) -> Value:
    """2**x."""
    limited = clamp(x, -1080.0, 1030.0)
    product, error = two_product(limited, _LN2[0])
    product_low = error + limited * _LN2[1]
    clamped = clamp(product, -746.0, 712.0)
    return scale(*exponential_of_pair((clamped, clamped.equals(product).where(product_low, 0.0))))


def _scaled_logarithm(x: Value, factor: tuple[float, float]) -> Value:
    high, low = pair_times_real(logarithm_pair(x), *factor)
    special = (x < 0.0).where(NAN, x.equals(0.0).where(-INFINITY, x))
    return ((x > 0.0) & (x < INFINITY)).where(high + low, special)


def binary_logarithm(x: Value) -> Value:
    """Logarithm to the base 2."""
    return _scaled_logarithm(x, _LOG2_E)


def decimal_logarithm(x: Value) -> Value:
    """Logarithm to the base 10."""
    return _scaled_logarithm(x, _LOG10_E)


def cube_root(x: Value) -> Value:
    """The real cube root, of negative numbers too."""
    emitter = x.emitter
    third = 1.0 / 3.0
    magnitude = _magnitude(x, emitter.real(third), 1.850371707708594e-17)
    return x.is_nan().where(x, emitter.copysign(magnitude, x))


def hypotenuse(x: Value, y: Value) -> Value:
    """sqrt(x**2 + y**2) without overflow on the way; infinite if either is, as in C99."""
    emitter = x.emitter
    x, y = abs(x), abs(y)
    swapped = x < y
    larger, smaller = swapped.where(y, x), swapped.where(x, y)
    down, up = 2.0**-600, 2.0**600
    huge, tiny = larger > 2.0**500, larger < 2.0**-500
    factor = huge.where(down, tiny.where(up, 1.0))
    larger_scaled, smaller_scaled = larger * factor, smaller * factor
    square, square_error = two_product(larger_scaled, larger_scaled)
    other, other_error = two_product(smaller_scaled, smaller_scaled)
    total, total_error = fast_two_sum(square, other)
    root = emitter.sqrt(total + (total_error + (square_error + other_error)))
    result = root * huge.where(up, tiny.where(down, 1.0))
    infinite = x.equals(INFINITY) | y.equals(INFINITY)
    return infinite.where(INFINITY, (x.is_nan() | y.is_nan()).where(NAN, result))
