"""The logistic function and its kin in IR values: no overflow on the way, and no cancellation.

References
----------
M. Maechler, Accurately computing log(1 - exp(-|a|)), vignette of the R package Rmpfr (2012).
"""

from __future__ import annotations

from collections.abc import Sequence

from implicitops.codegen.elementary.exponential import (
    INFINITY,
    NAN,
    exponential,
    exponential_minus_one,
    logarithm,
    logarithm_of_one_plus,
)
from implicitops.codegen.elementary.hyperbolic import hyperbolic_sine, hyperbolic_tangent
from implicitops.codegen.emitter import Value

_LN2 = 0.6931471805599453


def logistic(u: Value) -> Value:
    """1 / (1 + exp(-u))."""
    falling = exponential(-abs(u))
    return (u >= 0.0).where(1.0, falling) / (1.0 + falling)


def logistic_density(u: Value) -> Value:
    """exp(u) / (1 + exp(u))**2, the derivative of the logistic function."""
    falling = exponential(-abs(u))
    whole = 1.0 + falling
    return falling / (whole * whole)


def softplus(u: Value) -> Value:
    """log(1 + exp(u))."""
    correction = logarithm_of_one_plus(exponential(-abs(u)))
    return (u > 0.0).where(u + correction, correction)


def logarithm_of_logistic(u: Value) -> Value:
    """-log(1 + exp(-u))."""
    return -softplus(-u)


def logarithm_of_sum(a: Value, b: Value) -> Value:
    """log(exp(a) + exp(b))."""
    distance = a.equals(b).where(0.0, abs(a - b))
    return (a < b).where(b, a) + logarithm_of_one_plus(exponential(-distance))


def reciprocal_of_exponential_minus_one(u: Value) -> Value:
    """1 / (exp(u) - 1), infinite at 0."""
    below = exponential_minus_one(-abs(u))
    return (u < 0.0).where(1.0 / below, exponential(-abs(u)) / -below)


def logarithm_of_exponential_minus_one(u: Value) -> Value:
    """log(exp(u) - 1), NaN for u < 0."""
    far = u + logarithm_of_one_plus(-exponential(-abs(u)))
    return (u > 1.0).where(far, logarithm(exponential_minus_one(u)))


def logarithm_of_one_minus_exponential(u: Value) -> Value:
    """log(1 - exp(u)), NaN for u > 0."""
    near = logarithm(-exponential_minus_one(u))
    return (u > -_LN2).where(near, logarithm_of_one_plus(-exponential(u)))


def logarithm_of_tanh(u: Value) -> Value:
    """log(tanh(u)), NaN for u < 0."""
    far = logarithm_of_one_plus(-2.0 * logistic(-2.0 * u))
    return (u > 0.5).where(far, logarithm(hyperbolic_tangent(u)))


def logarithm_of_cosh(u: Value) -> Value:
    """log(cosh(u))."""
    size = abs(u)
    half_sine = hyperbolic_sine(0.5 * (size > 1.0).where(1.0, size))
    near = logarithm_of_one_plus(2.0 * (half_sine * half_sine))
    far = size + (logarithm_of_one_plus(exponential(-2.0 * size)) - _LN2)
    result = (size > 1.0).where(far, near)
    return u.is_nan().where(NAN, size.equals(INFINITY).where(INFINITY, result))


def logarithm_of_sinh(u: Value) -> Value:
    """log(sinh(u)), NaN for u < 0."""
    far = u + (logarithm_of_one_plus(-exponential(-2.0 * abs(u))) - _LN2)
    return (u > 1.0).where(far, logarithm(hyperbolic_sine(u)))


def scaled_sum(weights: Sequence[Value], exponents: Sequence[Value]) -> tuple[Value, Value, list[Value]]:
    """The sum of c_i exp(u_i) as exp(m) * s, where m is the largest exponent with a weight that is not 0.

    Returns
    -------
    m, s, and the terms of s
    """
    largest = None
    for weight, exponent in zip(weights, exponents):
        present = weight.equals(0.0).where(-INFINITY, exponent)
        largest = present if largest is None else (present > largest).where(present, largest)
    assert largest is not None
    largest = largest.equals(-INFINITY).where(0.0, largest)
    terms = []
    for weight, exponent in zip(weights, exponents):
        size = exponent.equals(largest).where(1.0, exponential(exponent - largest))
        terms.append(weight.equals(0.0).where(0.0, weight * size))
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return largest, total, terms
