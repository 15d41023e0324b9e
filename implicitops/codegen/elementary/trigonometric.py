"""sin, cos, tan and the modulus in IR values, each for a limited range that a guard watches.

Reduction modulo pi/2 with pi/2 in parts of 33 bits, whose products with k < 2**20 are exact (Cody and
Waite); polynomials of fdlibm (k_sin.c, k_cos.c). Beyond ``LARGEST_REDUCED`` the C library takes over, see
``elementary.GUARDS``.
"""

from __future__ import annotations

from implicitops.codegen.elementary.double_double import Pair, fast_two_sum, two_sum
from implicitops.codegen.elementary.exponential import INFINITY, ROUNDER, ROUNDER_BITS, polynomial
from implicitops.codegen.emitter import Value
from implicitops.codegen.special import c_symbol

LARGEST_REDUCED = 1.0e6
_LARGEST_QUOTIENT = 2.0**52

_TWO_OVER_PI = 0.6366197723675814
_HALF_PI = (1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624871116645580e-21)
_HALF_PI_TAIL = 8.47842766036889956997e-32

_SIN_FIRST = -1.66666666666666324348e-01
_SIN = (
    8.33333333332248946124e-03, -1.98412698298579493134e-04, 2.75573137070700676789e-06,
    -2.50507602534068634195e-08, 1.58969099521155010221e-10,
)  # fmt: skip
_COS = (
    4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05,
    -2.75573143513906633035e-07, 2.08757232129817482790e-09, -1.13596475577881948265e-11,
)  # fmt: skip


def beyond_reduction(x: Value) -> Value:
    """True where the reduction of a finite argument is not accurate."""
    magnitude = abs(x)
    return (magnitude > LARGEST_REDUCED) & (magnitude < INFINITY)


def _reduce_by_half_pi(x: Value) -> tuple[Value, Pair]:
    """Write x = k pi/2 + r: the integer k, and r as a pair in about [-pi/4, pi/4]."""
    emitter = x.emitter
    shifted = emitter.fma(x, _TWO_OVER_PI, ROUNDER)
    k = shifted - ROUNDER
    first = emitter.fma(k, -_HALF_PI[0], x)  # exact
    second, error = two_sum(first, k * -_HALF_PI[1])
    third, third_error = two_sum(second, k * -_HALF_PI[2])
    return shifted.bits() - ROUNDER_BITS, fast_two_sum(third, emitter.fma(k, -_HALF_PI_TAIL, error + third_error))


def _sine_of_reduced(r: Pair) -> Value:
    high, low = r
    z = high * high
    v = z * high
    return high - ((z * (0.5 * low - v * polynomial(z, _SIN)) - low) - v * _SIN_FIRST)


def _cosine_of_reduced(r: Pair) -> Value:
    high, low = r
    z = high * high
    half = 0.5 * z
    w = 1.0 - half
    return w + (((1.0 - w) - half) + (z * (z * polynomial(z, _COS)) - high * low))


def _sine_of_quadrant(r: Pair, k: Value) -> Value:
    """sin(k pi/2 + r)."""
    uses_cosine = (k & 1).differs(0)
    value = uses_cosine.where(_cosine_of_reduced(r), _sine_of_reduced(r))
    return (value.bits() ^ ((k & 2) << 62)).as_real()


def sine(x: Value) -> Value:
    """sin(x) for |x| <= LARGEST_REDUCED, NaN for infinite x."""
    k, r = _reduce_by_half_pi(x)
    return (abs(x) < 2.0**-27).where(x, _sine_of_quadrant(r, k))


def cosine(x: Value) -> Value:
    """cos(x) for |x| <= LARGEST_REDUCED, NaN for infinite x."""
    k, r = _reduce_by_half_pi(x)
    return _sine_of_quadrant(r, k + 1)


def tangent(x: Value) -> Value:
    """tan(x) for |x| <= LARGEST_REDUCED, NaN for infinite x."""
    k, r = _reduce_by_half_pi(x)
    swapped = (k & 1).differs(0)
    sine_of_r, cosine_of_r = _sine_of_reduced(r), _cosine_of_reduced(r)
    quotient = swapped.where(-cosine_of_r, sine_of_r) / swapped.where(sine_of_r, cosine_of_r)
    return (abs(x) < 2.0**-27).where(x, quotient)


def beyond_exact_quotient(a: Value, b: Value) -> Value:
    """True where ``modulo`` of finite numbers cannot be computed from the rounded quotient."""
    too_large = abs(a / b) > _LARGEST_QUOTIENT
    return too_large & (abs(a) < INFINITY) & b.differs(0.0)


def modulo(a: Value, b: Value) -> Value:
    """The remainder a - b floor(a / b) without rounding error, as Python's % and SymPy's Mod; NaN for b = 0.

    With a fused multiply-add the remainder is exact, and the rounded quotient is at most one too large.
    """
    emitter = a.emitter
    if not emitter.fused:
        return modulo_of_library(a, b)
    remainder = emitter.fma(-emitter.floor(a / b), b, a)
    return _with_sign_of_divisor(a, b, remainder)


def modulo_of_library(a: Value, b: Value) -> Value:
    """The same for any finite numbers, through fmod."""
    return _with_sign_of_divisor(a, b, a.emitter.call(c_symbol("fmod"), a, b))


def _with_sign_of_divisor(a: Value, b: Value, remainder: Value) -> Value:
    opposite = (remainder.bits() ^ b.bits()) < 0
    adjusted = opposite.where(remainder + b, remainder)
    regular = remainder.equals(0.0).where(a.emitter.copysign(0.0, b), adjusted)
    same_side = (a.bits() ^ b.bits()) >= 0
    infinite_divisor = abs(b).equals(INFINITY) & (abs(a) < INFINITY)
    of_infinite = (same_side | a.equals(0.0)).where(a, b)
    return infinite_divisor.where(of_infinite, regular)
