"""Derivatives of incomplete elliptic integrals by their parameter, in IR values.

With D(t) = sqrt(1 - m sin(t)**2) and

    J(p, q) = integral over t from 0 to z of sin(t)**(2 p) D(t)**(-q),

dE/dm = -J(1, 1)/2, dF/dm = J(1, 3)/2 and dJ(p, q)/dm = q/2 J(p + 1, q + 2). Where m sin**2 is at most 1/2 the integrand
is so smooth that Gauss' rule has all digits; elsewhere the J of use follow from F and E without cancellation.

References
----------
DLMF 19.2.4, 19.2.5, 19.4.
"""

from __future__ import annotations

import math

import numpy as np

from implicitops.codegen.emitter import Value
from implicitops.codegen.powers import integer_power

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
_MOST_SMOOTH = 0.5

#: The J that first and second derivatives of E and F need.
MOMENTS = ((1, 1), (1, 3), (2, 3), (2, 5))


def _integrand(p: int, q: int, sine_square: Value, m: Value) -> Value:
    root = m.emitter.sqrt(1.0 - m * sine_square)
    return integer_power(sine_square, p) / integer_power(root, q)


def _by_gauss_rule(p: int, q: int, z: Value, m: Value) -> Value:
    """Over whole half turns, and over the rest of z in [-pi/2, pi/2]."""
    emitter = z.emitter
    turns = emitter.intrinsic("rint", z * (1.0 / math.pi))
    rest = emitter.fma(turns, -1.2246467991473532e-16, emitter.fma(turns, -math.pi, z))
    total, quarter = emitter.real(0.0), emitter.real(0.0)
    for node, weight in zip(0.5 + 0.5 * _NODES, 0.5 * _WEIGHTS):
        sine = emitter.call("c:sin:d", rest * float(node))  # twenty copies of our own would be long to compile
        total = total + float(weight) * _integrand(p, q, sine * sine, m)
        known = emitter.real(math.sin(0.5 * math.pi * float(node)) ** 2)
        quarter = quarter + float(weight) * _integrand(p, q, known, m)
    return rest * total + turns * (math.pi * quarter)


def _from_complete_set(p: int, q: int, z: Value, m: Value) -> Value:
    """From F and E, for m that is not near 0."""
    emitter = z.emitter
    sine, cosine = emitter.call("sin", z), emitter.call("cos", z)
    square, left = sine * sine, 1.0 - m
    root = emitter.sqrt(1.0 - m * square)
    first = emitter.call("scipy:ellipkinc:dd", z, m)
    j11 = (first - emitter.call("scipy:ellipeinc:dd", z, m)) / m
    if (p, q) == (1, 1):
        return j11
    j13 = (first - j11 - sine * cosine / root) / left
    if (p, q) == (1, 3):
        return j13
    j23 = (j13 - j11) / m
    if (p, q) == (2, 3):
        return j23
    bent = j13 - j23 - sine * square * cosine / integer_power(root, 3)
    return (bent / left + 2.0 * j13 / left) * (1.0 / 3.0)


def elliptic_moment(p: int, q: int, z: Value, m: Value) -> Value:
    """J(p, q) for one of ``MOMENTS``."""
    emitter = z.emitter
    sine = emitter.call("sin", z)
    largest = (abs(z) < 0.5 * math.pi).where(sine * sine, 1.0)
    smooth = abs(m) * largest <= _MOST_SMOOTH
    smooth_m = smooth.where(m, 0.0)
    far_m = smooth.where(-1.0, m)
    return smooth.where(_by_gauss_rule(p, q, z, smooth_m), _from_complete_set(p, q, z, far_m))
