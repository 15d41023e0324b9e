"""The functions asin, acos, atan and atan2 in IR values, with selects for branches.

References
----------
fdlibm 5.3, Sun Microsystems: e_asin.c, e_acos.c, s_atan.c.
"""

from __future__ import annotations

from implicitops.codegen.elementary.exponential import INFINITY, NAN, polynomial
from implicitops.codegen.emitter import Value

_HALF_PI = (1.57079632679489655800e00, 6.12323399573676603587e-17)
_PI = (3.141592653589793, 1.2246467991473532e-16)

_ASIN_ABOVE = (
    1.66666666666666657415e-01, -3.25565818622400915405e-01, 2.01212532134862925881e-01,
    -4.00555345006794114027e-02, 7.91534994289814532176e-04, 3.47933107596021167570e-05,
)  # fmt: skip
_ASIN_BELOW = (
    1.0, -2.40339491173441421878e00, 2.02094576023350569471e00, -6.88283971605453293030e-01,
    7.70381505559019352791e-02,
)  # fmt: skip
_ATAN = (
    3.33333333333329318027e-01, -1.99999999998764832476e-01, 1.42857142725034663711e-01,
    -1.11111104054623557880e-01, 9.09088713343650656196e-02, -7.69187620504482999495e-02,
    6.66107313738753120669e-02, -5.83357013379057348645e-02, 4.97687799461593236017e-02,
    -3.65315727442169155270e-02, 1.62858201153657823623e-02,
)  # fmt: skip

# For |x| from 7/16, 11/16, 19/16 and 39/16 on: the tangent c of a near angle, and that angle as a pair
_ATAN_CENTRES = (
    (0.4375, 0.5, 4.63647609000806093515e-01, 2.26987774529616870924e-17),
    (0.6875, 1.0, 7.85398163397448278999e-01, 3.06161699786838301793e-17),
    (1.1875, 1.5, 9.82793723247329054082e-01, 1.39033110312309984516e-17),
)
_LAST_CENTRE = 2.4375


def _asin_correction(z: Value) -> Value:
    """(asin(s) / s - 1) for z = s**2 <= 1/4."""
    return z * polynomial(z, _ASIN_ABOVE) / polynomial(z, _ASIN_BELOW)


def _half_angle(magnitude: Value) -> tuple[Value, Value, Value]:
    """The value s = sqrt((1 - |x|) / 2), the rounding error of s, and asin(s) / s - 1."""
    z = 0.5 * (1.0 - magnitude)
    s = magnitude.emitter.sqrt(z)
    high = ((s.bits() >> 32) << 32).as_real()
    error = (z - high * high) / (s + high)
    return high, s.equals(0.0).where(0.0, error), s


def arcsine(x: Value) -> Value:
    """asin(x), NaN beyond [-1, 1]."""
    emitter = x.emitter
    magnitude = abs(x)
    inner = magnitude < 0.5
    z = inner.where(x * x, 0.5 * (1.0 - magnitude))
    correction = _asin_correction(z)
    near_zero = emitter.fma(magnitude, correction, magnitude)
    high, error, s = _half_angle(magnitude)
    p = 2.0 * s * correction - (_HALF_PI[1] - 2.0 * error)
    q = _HALF_PI[0] / 2.0 - 2.0 * high
    near_one = _HALF_PI[0] / 2.0 - (p - q)
    return emitter.copysign(inner.where(near_zero, near_one), x)


def arccosine(x: Value) -> Value:
    """acos(x), NaN beyond [-1, 1]."""
    magnitude = abs(x)
    inner = magnitude < 0.5
    z = inner.where(x * x, 0.5 * (1.0 - magnitude))
    correction = _asin_correction(z)
    near_zero = _HALF_PI[0] - (x - (_HALF_PI[1] - x * correction))
    high, error, s = _half_angle(magnitude)
    near_one = 2.0 * (high + (correction * s + error))
    near_minus_one = _PI[0] - 2.0 * (s + (correction * s - _HALF_PI[1]))
    return inner.where(near_zero, (x > 0.0).where(near_one, near_minus_one))


def _arctangent_of_ratio(y: Value, x: Value) -> Value:
    """atan(y / x) in [0, pi/2] for y >= 0, x >= 0 of moderate size, not both 0."""
    emitter = y.emitter
    numerator, denominator = y, x
    high, low = emitter.real(0.0), emitter.real(0.0)
    for start, centre, angle, angle_low in _ATAN_CENTRES:
        above = y >= start * x
        numerator = above.where(emitter.fma(x, -centre, y), numerator)
        denominator = above.where(emitter.fma(y, centre, x), denominator)
        high, low = above.where(angle, high), above.where(angle_low, low)
    above = y >= _LAST_CENTRE * x
    numerator, denominator = above.where(-x, numerator), above.where(y, denominator)
    high, low = above.where(_HALF_PI[0], high), above.where(_HALF_PI[1], low)
    t = numerator / denominator
    z = t * t
    return high - ((t * (z * polynomial(z, _ATAN)) - low) - t)


def arctangent(x: Value) -> Value:
    """atan(x)."""
    emitter = x.emitter
    magnitude = abs(x)
    limited = (magnitude > 2.0**66).where(2.0**66, magnitude)
    result = emitter.copysign(_arctangent_of_ratio(limited, emitter.real(1.0)), x)
    return (magnitude < 2.0**-27).where(x, result)


def angle(y: Value, x: Value) -> Value:
    """atan2(y, x): the angle of the point (x, y), signed zeros and infinities as in C99."""
    emitter = y.emitter
    y_size, x_size = abs(y), abs(x)
    both_infinite = y_size.equals(INFINITY) & x_size.equals(INFINITY)
    y_size, x_size = both_infinite.where(1.0, y_size), both_infinite.where(1.0, x_size)
    larger = (y_size > x_size).where(y_size, x_size)
    factor = (larger > 2.0**900).where(2.0**-200, (larger < 2.0**-900).where(2.0**160, 1.0))
    y_size, x_size = y_size * factor, x_size * factor
    x_size = larger.equals(0.0).where(1.0, x_size)
    infinite_y, infinite_x = y_size.equals(INFINITY), x_size.equals(INFINITY)
    y_size, x_size = (
        infinite_y.where(1.0, infinite_x.where(0.0, y_size)),
        infinite_y.where(0.0, infinite_x.where(1.0, x_size)),
    )
    first_quadrant = _arctangent_of_ratio(y_size, x_size)
    left = x.bits() < 0
    upper = left.where(_PI[0] - (first_quadrant - _PI[1]), first_quadrant)
    result = emitter.copysign(upper, y)
    return (y.is_nan() | x.is_nan()).where(NAN, result)
