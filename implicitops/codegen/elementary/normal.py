"""The normal distribution and the scaled error function in IR values, right in relative terms in the far tails.

With phi and Phi the density and the distribution function, h = phi / Phi, and u = -z / sqrt(2),

    h(z) = sqrt(2 / pi) / erfcx(u),    z + h(z) = sqrt(2) r_1(u),    r_n = i^n erfc / i^(n-1) erfc,

where i^n erfc are the repeated integrals of erfc. Their recurrence makes r_n a continued fraction,

    r_n = 1 / (2 u + 2 (n + 1) r_(n+1)).

References
----------
DLMF 7.18.7 and 7.18.13.  W. Gautschi, Efficient computation of the complex error function, SIAM J. Numer. Anal. 7
(1970).
"""

from __future__ import annotations

import math

from implicitops.codegen.elementary.double_double import two_product
from implicitops.codegen.elementary.exponential import (
    NAN,
    clamp,
    exponential_of_pair,
    logarithm,
    logarithm_of_one_plus,
    scale,
)
from implicitops.codegen.emitter import Value

_SQRT_2 = math.sqrt(2.0)
_SQRT_HALF = math.sqrt(0.5)
#: From here on exp(-z**2 / 2) is 0.
_LAST = 38.6
#: From z = -2 sqrt(2) down, so many terms of the continued fraction give all digits.
_FAR, _N_TERMS = -2.0 * _SQRT_2, 48


def _erfc(u: Value) -> Value:
    return u.emitter.call("c:erfc:d", u)


def scaled_erfc(u: Value) -> Value:
    """erfcx(u) = exp(u**2) erfc(u)."""
    return u.emitter.call("scipy:erfcx:d", u)


def _gaussian(z: Value) -> Value:
    """exp(-z**2 / 2), with the rounding error of the square made good."""
    limited = clamp(z, -_LAST, _LAST)
    square, error = two_product(limited, limited)
    value = scale(*exponential_of_pair((-0.5 * square, -0.5 * error)))
    return (abs(z) > _LAST).where(0.0, value)


def density(z: Value) -> Value:
    """exp(-z**2 / 2) / sqrt(2 pi)."""
    return _gaussian(z) * (1.0 / math.sqrt(2.0 * math.pi))


def distribution(z: Value) -> Value:
    """Phi(z) = erfc(-z / sqrt(2)) / 2."""
    u = z * -_SQRT_HALF
    tail = (z > -1.0).where(0.0, u)
    return 0.5 * (z > -1.0).where(_erfc(u), _gaussian(z) * scaled_erfc(tail))


def logarithm_of_distribution(z: Value) -> Value:
    """log(Phi(z))."""
    u = z * -_SQRT_HALF
    near = logarithm_of_one_plus(-distribution(-z))
    far = logarithm(0.5 * scaled_erfc((z > -1.0).where(0.0, u))) - 0.5 * (z * z)
    return (z > -1.0).where(near, far)


def logarithm_of_erfc(u: Value) -> Value:
    """log(erfc(u))."""
    near = logarithm_of_one_plus(-u.emitter.call("c:erf:d", u))
    return (u < 0.5).where(near, logarithm(scaled_erfc((u < 0.5).where(0.0, u))) - u * u)


def quantile(p: Value) -> Value:
    """The z with Phi(z) = p, NaN beyond [0, 1]."""
    return p.emitter.call("scipy:ndtri:d", p)


def hazard(z: Value) -> Value:
    """phi(z) / Phi(z)."""
    u = z * -_SQRT_HALF
    below = math.sqrt(2.0 / math.pi) / scaled_erfc((z > 0.0).where(0.0, u))
    above = density(z) / (0.5 * _erfc((z > 0.0).where(u, 0.0)))
    return (z > 0.0).where(above, below)


def excess(order: int, z: Value) -> Value:
    """sqrt(2) r_n(-z / sqrt(2)), n >= 1; for n = 1 it is z + phi(z) / Phi(z)."""
    emitter = z.emitter
    far_z = (z < _FAR).where(z, _FAR)
    doubled = far_z * -_SQRT_2  # 2 u
    last = float(order + _N_TERMS)
    ratio = 1.0 / (0.5 * doubled + emitter.sqrt(0.25 * (doubled * doubled) + 2.0 * last))
    for n in reversed(range(order, order + _N_TERMS)):
        ratio = 1.0 / emitter.fma(2.0 * (n + 1), ratio, doubled)
    near = z + hazard(z)
    for n in range(2, order + 1):
        near = (1.0 / near + z) * (1.0 / n)
    return (z < _FAR).where(_SQRT_2 * ratio, near)


def density_of_quantile(p: Value) -> Value:
    """phi at the z with Phi(z) = p."""
    smaller = (p > 0.5).where(1.0 - p, p)
    value = smaller * hazard(quantile(smaller))
    return smaller.equals(0.0).where(0.0, value)


def _inverse_tail(x: Value) -> Value:
    """The y with erfc(y) = x, for 0 <= x <= 1/2."""
    return -_SQRT_HALF * quantile(0.5 * x)


def inverse_erf(x: Value) -> Value:
    """The y with erf(y) = x, NaN beyond [-1, 1]."""
    emitter = x.emitter
    size = abs(x)
    far = _inverse_tail(1.0 - size)
    limited = (size > 0.5).where(0.0, size)
    start = _SQRT_HALF * quantile(0.5 * limited + 0.5)
    slope = (2.0 / math.sqrt(math.pi)) * _gaussian(_SQRT_2 * start)
    near = start + (limited - emitter.call("c:erf:d", start)) / slope  # a step of Newton's
    return x.is_nan().where(NAN, emitter.copysign((size > 0.5).where(far, near), x))


def inverse_erfc(x: Value) -> Value:
    """The y with erfc(y) = x, NaN beyond [0, 2]."""
    low, high = x < 0.5, x > 1.5
    far = _inverse_tail(high.where(2.0 - x, low.where(x, 0.5)))
    near = inverse_erf(1.0 - (low | high).where(1.0, x))
    result = low.where(far, high.where(-far, near))
    return x.is_nan().where(NAN, result)


def gaussian_of_inverse_erfc(x: Value) -> Value:
    """exp(-y**2) where erfc(y) = x."""
    smaller = (x > 1.0).where(2.0 - x, x)
    value = smaller / scaled_erfc(inverse_erfc(smaller))
    return smaller.equals(0.0).where(0.0, value)


def exponential_times_erfc(v: Value, u: Value) -> Value:
    """exp(v) erfc(u), by erfcx for large u."""
    far = u > 5.0
    exponent = v - far.where(u * u, 0.0)
    scaled = scaled_erfc(far.where(u, 5.0))
    return v.emitter.call("exp", exponent) * far.where(scaled, _erfc(u))


def exponential_times_distribution(v: Value, z: Value) -> Value:
    """exp(v) Phi(z), by erfcx for large -z."""
    far = z < -7.0
    u = z * -_SQRT_HALF
    exponent = v - far.where(0.5 * (z * z), 0.0)
    scaled = scaled_erfc(far.where(u, 5.0))
    return v.emitter.call("exp", exponent) * (0.5 * far.where(scaled, _erfc(u)))
