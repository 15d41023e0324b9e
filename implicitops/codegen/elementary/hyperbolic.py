"""sinh, cosh, tanh and their inverses in IR values.

References ---------- Muller, Elementary Functions (2016), section 12.1.  fdlibm e_sinh.c, e_cosh.c,
s_asinh.c, e_acosh.c, e_atanh.c.
"""

from __future__ import annotations

from implicitops.codegen.elementary.double_double import fast_two_sum, two_product
from implicitops.codegen.elementary.exponential import (
    INFINITY,
    NAN,
    clamp,
    exponential_minus_one_scaled,
    exponential_of_pair,
    logarithm_of_one_plus,
    polynomial,
    scale,
)
from implicitops.codegen.emitter import Value

_LN2 = 0.6931471805599453
_LARGE = 2.0**60  # from here on 1 is nothing beside x

# (sinh(x) - x) / x**3 for x**2 <= 1
_SINH = (
    0.16666666666666666, 0.008333333333333333, 0.00019841269841269768, 2.7557319224043122e-06,
    2.5052108363187792e-08, 1.6059048534903938e-10, 7.646614499148207e-13, 2.8448590004367615e-15,
)  # fmt: skip


def _half_exponentials(magnitude: Value) -> tuple[Value, Value]:
    """exp(|x|) / 2 and exp(-|x|) / 2; the first overflows only where cosh does."""
    limited = clamp(magnitude, 0.0, 712.0)
    value, n = exponential_of_pair((limited, magnitude.emitter.real(0.0)))
    growing = scale(value, n - 1)
    return growing, 0.25 / growing


def hyperbolic_sine(x: Value) -> Value:
    """sinh(x)."""
    emitter = x.emitter
    z = x * x
    inner = emitter.fma(x * z, polynomial(z, _SINH), x)
    growing, falling = _half_exponentials(abs(x))
    return (abs(x) < 1.0).where((abs(x) < 2.0**-27).where(x, inner), emitter.copysign(growing - falling, x))


def hyperbolic_cosine(x: Value) -> Value:
    """cosh(x)."""
    growing, falling = _half_exponentials(abs(x))
    return growing + falling


def hyperbolic_tangent(x: Value) -> Value:
    """tanh(x) = t / (t + 2) with t = exp(2 |x|) - 1 as a pair."""
    emitter = x.emitter
    limited = clamp(abs(x), 0.0, 20.0)
    (high, low), n = exponential_minus_one_scaled(2.0 * limited)
    power = ((n + 1023) << 52).as_real()
    high, low = high * power, low * power
    denominator, denominator_low = fast_two_sum(emitter.real(2.0), high)
    large_denominator, large_low = fast_two_sum(high, emitter.real(2.0))
    is_large = high > 2.0
    denominator = is_large.where(large_denominator, denominator)
    denominator_low = is_large.where(large_low, denominator_low) + low
    quotient = high / denominator
    product, error = two_product(quotient, denominator)
    remainder = (high - product) - error
    quotient = quotient + ((remainder + low) - quotient * denominator_low) / denominator
    return (abs(x) < 2.0**-27).where(x, emitter.copysign(quotient, x))


def inverse_hyperbolic_sine(x: Value) -> Value:
    """asinh(x) = log1p(x + x**2 / (1 + sqrt(1 + x**2))) for x > 0, log(x) + log(2) for large x."""
    emitter = x.emitter
    magnitude = abs(x)
    large = magnitude > _LARGE
    limited = large.where(1.0, magnitude)
    square = limited * limited
    inner = limited + square / (1.0 + emitter.sqrt(1.0 + square))
    value = logarithm_of_one_plus(large.where(magnitude, inner)) + large.where(_LN2, 0.0)
    return (magnitude < 2.0**-27).where(x, emitter.copysign(value, x))


def inverse_hyperbolic_cosine(x: Value) -> Value:
    """acosh(x) = log1p(t + sqrt(2 t + t**2)) with t = x - 1, NaN for x < 1."""
    emitter = x.emitter
    large = x > _LARGE
    t = large.where(1.0, x) - 1.0
    inner = t + emitter.sqrt(t * (2.0 + t))
    value = logarithm_of_one_plus(large.where(x, inner)) + large.where(_LN2, 0.0)
    return (x < 1.0).where(NAN, value)


def inverse_hyperbolic_tangent(x: Value) -> Value:
    """atanh(x) = log1p(2 x / (1 - x)) / 2 for x > 0, NaN beyond [-1, 1]."""
    emitter = x.emitter
    magnitude = abs(x)
    pole = magnitude.equals(1.0)
    argument = 2.0 * magnitude / (1.0 - magnitude)
    value = 0.5 * logarithm_of_one_plus(pole.where(INFINITY, argument))
    return (magnitude < 2.0**-27).where(x, emitter.copysign(value, x))
