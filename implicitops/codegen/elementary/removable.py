"""Functions whose formula is 0/0 at a point where they are smooth, with their derivatives, in IR values.

A power series serves around the point, and the formula elsewhere:

    sinc(x) = sin(x) / x,  sinhc(x) = sinh(x) / x,
    D(m) = (K(m) - E(m)) / m,  B(m) = K(m) - D(m),

where K and E are the complete elliptic integrals of parameter m. Derivatives of order n follow from Leibniz' rule on
x f = sin(x), and on 2 m (1 - m) D' = B - (1 - m) D and 2 (1 - m) K' = B.

References
----------
DLMF 19.2.6, 19.4.1, 19.5.1, 19.5.2.  R. Bulirsch, Numerical calculation of elliptic integrals, Numer. Math. 7 (1965).
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction

from implicitops.codegen.elementary.exponential import INFINITY, polynomial
from implicitops.codegen.emitter import Value

_SINC_NEAR, _SINC_TERMS = 3.0, 18
_ELLIPTIC_NEAR, _ELLIPTIC_TERMS = 0.5, 70


@functools.cache
def _sinc_series(order: int, sign: int) -> tuple[float, ...]:
    """Coefficients of f, or of f / x for an odd order, in powers of x**2; sign -1 for sinc, +1 for sinhc."""
    first = (order + 1) // 2
    powers = range(first, first + _SINC_TERMS)
    return tuple(
        float(Fraction(sign**k * math.factorial(2 * k), math.factorial(2 * k - order) * math.factorial(2 * k + 1)))
        for k in powers
    )


def _near_zero(order: int, sign: int, x: Value) -> Value:
    series = polynomial(x * x, _sinc_series(order, sign))
    return series * x if order % 2 else series


def sinc_derivative(order: int, x: Value) -> Value:
    """Derivative of sin(x) / x of an order >= 0."""
    sine, cosine = x.emitter.call("sin", x), x.emitter.call("cos", x)
    result = sine / x
    for n in range(1, order + 1):
        turned = (sine, cosine, -sine, -cosine)[n % 4]
        result = (turned - float(n) * result) / x
    finite = abs(x).equals(INFINITY).where(0.0, result)
    return (abs(x) < _SINC_NEAR).where(_near_zero(order, -1, x), finite)


def sinhc_derivative(order: int, x: Value) -> Value:
    """Derivative of sinh(x) / x of an order >= 0."""
    pair = (x.emitter.call("sinh", x), x.emitter.call("cosh", x))
    result = pair[0] / x
    for n in range(1, order + 1):
        result = (pair[n % 2] - float(n) * result) / x
    return (abs(x) < _SINC_NEAR).where(_near_zero(order, 1, x), result)


@functools.cache
def _elliptic_series(order: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Coefficients of the derivatives of B and D in powers of m."""
    squares = [Fraction(1)]
    for k in range(1, _ELLIPTIC_TERMS + order + 2):
        squares.append(squares[-1] * Fraction(2 * k - 1, 2 * k) ** 2)
    of_d = [squares[k + 1] * Fraction(2 * k + 2, 2 * k + 1) for k in range(_ELLIPTIC_TERMS + order)]
    of_b = [squares[k] - of_d[k] for k in range(_ELLIPTIC_TERMS + order)]
    powers = range(order, order + _ELLIPTIC_TERMS)
    b, d = ([float(c[k] * math.perm(k, order)) * (math.pi / 2) for k in powers] for c in (of_b, of_d))
    return tuple(b), tuple(d)


def elliptic_bd(order: int, m: Value) -> tuple[Value, Value]:
    """Derivatives of B and D of an order >= 0, for m < 1."""
    emitter = m.emitter
    near = abs(m) < _ELLIPTIC_NEAR
    far = near.where(0.5, m)
    complete = emitter.call("scipy:ellipk:d", far)
    ks = [complete]
    ds = [(complete - emitter.call("scipy:ellipe:d", far)) / far]
    bs = [ks[0] - ds[0]]
    left = 1.0 - far
    for n in range(order):
        k = bs[n] if n == 0 else bs[n] + 2.0 * n * ks[n]
        ks.append(k / (2.0 * left))
        d = bs[n] - left * ds[n] - 2.0 * n * ((1.0 - 2.0 * far) * ds[n])
        if n:
            d = d + float(n + 2 * n * (n - 1)) * ds[n - 1]
        ds.append(d / (2.0 * far * left))
        bs.append(ks[-1] - ds[-1])
    of_b, of_d = (polynomial(m, coefficients) for coefficients in _elliptic_series(order))
    return near.where(of_b, bs[order]), near.where(of_d, ds[order])
