"""Derivatives of digamma in IR values, by the Euler-Maclaurin sum of the Hurwitz zeta function.

psi_n(x) = (-1)**(n+1) n! zeta(n+1, x) for x > 0; below 0 by reflection with the n-th derivative of the
cotangent.

References
----------
DLMF 5.15.6, 5.15.8, 25.11.28.
"""

from __future__ import annotations

import functools
import math

import sympy as sp

from implicitops.codegen.emitter import Value
from implicitops.codegen.powers import integer_power

_N_CORRECTIONS = 12


@functools.cache
def _corrections(s: int) -> tuple[float, ...]:
    """B_2j / (2j)! * s (s + 1) … (s + 2j - 2) for j = 1, 2, …"""
    return tuple(
        float(sp.bernoulli(2 * j) / sp.factorial(2 * j) * sp.rf(s, 2 * j - 1)) for j in range(1, _N_CORRECTIONS + 1)
    )


def _hurwitz_zeta(s: int, x: Value) -> Value:
    """Sum over k >= 0 of (x + k)**-s, for whole s >= 2 and x > 0."""
    n_terms = 8 + s
    edge = x + float(n_terms)
    inverse = 1.0 / edge
    square = inverse * inverse
    series = x.emitter.real(_corrections(s)[-1])
    for correction in reversed(_corrections(s)[:-1]):
        series = x.emitter.fma(series, square, correction)
    power = integer_power(inverse, s - 1)
    total = power * (1.0 / (s - 1) + inverse * (0.5 + inverse * series))
    for k in reversed(range(n_terms)):
        total = total + 1.0 / integer_power(x + float(k), s)
    return total


@functools.cache
def _cotangent_derivative(order: int) -> tuple[float, ...]:
    """Coefficients, from the constant on, of the n-th derivative of cot as a polynomial in cot."""
    coefficients = [0, 1]
    for _ in range(order):
        slope = [k * coefficient for k, coefficient in enumerate(coefficients)][1:]
        coefficients = [0] * (len(slope) + 2)
        for k, coefficient in enumerate(slope):
            coefficients[k] -= coefficient
            coefficients[k + 2] -= coefficient
    return tuple(map(float, coefficients))


def polygamma(order: int, x: Value) -> Value:
    """The derivative of digamma of an order >= 1; NaN at the poles below 0."""
    emitter = x.emitter
    negative = x < 0.0
    zeta = _hurwitz_zeta(order + 1, negative.where(1.0 - x, x))
    direct = zeta * ((-1.0) ** (order + 1) * math.factorial(order))
    offset = x - emitter.intrinsic("rint", x)
    cotangent = 1.0 / emitter.call("tan", offset * math.pi)
    reflection = emitter.real(0.0)
    for coefficient in reversed(_cotangent_derivative(order)):
        reflection = emitter.fma(reflection, cotangent, coefficient)
    reflected = (-1.0) ** order * direct - math.pi ** (order + 1) * reflection
    at_pole = negative & offset.equals(0.0)
    return at_pole.where(float("nan"), negative.where(reflected, direct))
