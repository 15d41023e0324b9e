"""exp, expm1, log and log1p in IR values.

Reduction to |r| <= ln(2)/2 with a two-part ln(2) after Cody and Waite; logarithms after fdlibm (e_log.c,
s_log1p.c). The polynomial of exp interpolates at Chebyshev nodes, relative error 2**-61.

References
----------
Cody & Waite, Software Manual for the Elementary Functions (1980), chapters 5 and 6.
Muller, Elementary Functions (2016), chapters 3 and 11.  fdlibm 5.3, Sun Microsystems.
"""

from __future__ import annotations

from collections.abc import Sequence

from implicitops.codegen.elementary.double_double import Pair, fast_two_sum, two_sum
from implicitops.codegen.emitter import Operand, Value

INFINITY = float("inf")
NAN = float("nan")

LOG2_E = 1.4426950408889634
LN2_HIGH = 6.93147180369123816490e-01  # 33 bits: k * LN2_HIGH is exact for |k| < 2**20
LN2_LOW = 1.90821492927058770002e-10

#: Adding this rounds a real of magnitude < 2**51 to an integer, which is then also in the low bits.
ROUNDER = 6755399441055744.0  # 1.5 * 2**52
ROUNDER_BITS = 0x4338000000000000

SMALLEST_NORMAL = 2.2250738585072014e-308
_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
_EXPONENT_OF_ONE = 1023 << 52
_TWO_52 = 4503599627370496.0
_TWO_52_BITS = 0x4330000000000000

# (exp(r) - 1 - r) / r**2 for |r| <= ln(2)/2
_EXP = (
    0.5, 0.1666666666666667, 0.04166666666666667, 0.008333333333326136, 0.0013888888888883748,
    0.00019841269874820627, 2.4801587325547743e-05, 2.7557255400206422e-06, 2.75572736431103e-07,
    2.5105217004720745e-08, 2.0914686968086876e-09,
)  # fmt: skip

# fdlibm e_log.c: (log((1 + s) / (1 - s)) - 2 s) / s as a polynomial in s**2
_LOG = (
    6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01,
    1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01,
)  # fmt: skip


def polynomial(x: Value, coefficients: Sequence[float]) -> Value:
    """The polynomial coefficients[0] + coefficients[1] * x + …, by Horner's rule."""
    emitter = x.emitter
    result = emitter.real(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = emitter.fma(result, x, coefficient)
    return result


def clamp(x: Value, lowest: float, highest: float) -> Value:
    """The value x limited to an interval; NaN stays NaN."""
    x = (x > highest).where(highest, x)
    return (x < lowest).where(lowest, x)


def reduce_by_ln2(x: Value) -> tuple[Value, Value, Value, Value]:
    """Write x = k ln(2) + r with |r| <= ln(2)/2.

    Returns
    -------
    k as a real, k as an integer, and r as a pair (high, low)
    """
    emitter = x.emitter
    shifted = emitter.fma(x, LOG2_E, ROUNDER)
    k = shifted - ROUNDER
    high = emitter.fma(k, -LN2_HIGH, x)
    low = k * -LN2_LOW
    return k, shifted.bits() - ROUNDER_BITS, *fast_two_sum(high, low)


def scale(x: Value, exponent: Value) -> Value:
    """The product x * 2**exponent for |exponent| < 2048, in two steps of which only the last one rounds."""
    half = ((exponent + 2048) >> 1) - 1024
    first = ((half + 1023) << 52).as_real()
    second = ((exponent - half + 1023) << 52).as_real()
    return (x * first) * second


def exponential(x: Value) -> Value:
    """exp(x)."""
    emitter = x.emitter
    x = clamp(x, -746.0, 710.0)
    shifted = emitter.fma(x, LOG2_E, ROUNDER)
    k = shifted - ROUNDER
    r = emitter.fma(k, -LN2_LOW, emitter.fma(k, -LN2_HIGH, x))
    return scale(1.0 + emitter.fma(r * r, polynomial(r, _EXP), r), shifted.bits() - ROUNDER_BITS)


def exponential_of_pair(pair: Pair) -> tuple[Value, Value]:
    """exp(high + low) = y * 2**n, for |high| <= 746.

    Returns
    -------
    y in about [0.7, 1.42], and n as an integer
    """
    high, low = pair
    emitter = high.emitter
    _, n, r, r_low = reduce_by_ln2(high)
    r, r_low = fast_two_sum(r, r_low + low)
    tail = emitter.fma(r * r, polynomial(r, _EXP), r_low)
    return 1.0 + (r + tail), n


def exponential_minus_one_scaled(x: Value) -> tuple[Pair, Value]:
    """Write exp(x) - 1 = (high + low) * 2**n for |x| <= 710, to some bits more than a double."""
    emitter = x.emitter
    _, n, r, r_low = reduce_by_ln2(x)
    tail = emitter.fma(r * r, polynomial(r, _EXP), r_low)
    high, low = fast_two_sum(r, tail)
    inverse_power = (n > 100).where(0.0, ((1023 - n) << 52).as_real())
    total, error = two_sum(1.0 - inverse_power, high)
    return fast_two_sum(total, error + low), n


def exponential_minus_one(x: Value) -> Value:
    """exp(x) - 1 without cancellation."""
    (high, _), n = exponential_minus_one_scaled(clamp(x, -50.0, 710.0))
    return (abs(x) < 2.0**-54).where(x, scale(high, n))


def decompose(x: Value) -> tuple[Value, Value]:
    """Write x = 2**k * m for positive finite x.

    Returns
    -------
    m in [sqrt(1/2), sqrt(2)), and k as a real
    """
    tiny = x < SMALLEST_NORMAL
    bits = tiny.where(x * 2.0**54, x).bits()
    biased = (bits - (_SQRT_HALF_BITS - _EXPONENT_OF_ONE)) >> 52
    m = (bits - (biased << 52) + _EXPONENT_OF_ONE).as_real()
    k = (biased | _TWO_52_BITS).as_real() - tiny.where(_TWO_52 + 1023 + 54, _TWO_52 + 1023)
    return m, k


def _logarithm_of_parts(m: Value, k: Value, correction: Operand) -> Value:
    """The sum k ln(2) + log(m) + correction, after fdlibm."""
    emitter = m.emitter
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    rest = z * polynomial(z, _LOG)
    half_square = 0.5 * (f * f)
    small = s * (half_square + rest) + emitter.fma(k, LN2_LOW, correction)
    return emitter.fma(k, LN2_HIGH, f - (half_square - small))


def logarithm(x: Value) -> Value:
    """log(x), NaN for x < 0."""
    regular = _logarithm_of_parts(*decompose(x), 0.0)
    special = (x < 0.0).where(NAN, x.equals(0.0).where(-INFINITY, x))
    return ((x > 0.0) & (x < INFINITY)).where(regular, special)


def logarithm_of_one_plus(x: Value) -> Value:
    """log(1 + x) without cancellation, NaN for x < -1."""
    one_plus, lost = two_sum(x.emitter.real(1.0), x)
    regular = _logarithm_of_parts(*decompose(one_plus), lost / one_plus)
    special = (x < -1.0).where(NAN, x.equals(-1.0).where(-INFINITY, x))
    return ((x > -1.0) & (x < INFINITY) & (abs(x) > 2.0**-54)).where(regular, special)
