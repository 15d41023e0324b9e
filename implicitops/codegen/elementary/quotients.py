"""Quotients that are 0/0 at 0, of tanh, log and exp, with their derivatives, in IR values.

    tanhc(x) = tanh(x)/x,  log1pc(x) = log(1 + x)/x,  bernoulli(x) = x/(exp(x) - 1),  langevin(x) = coth(x) - 1/x

have a power series around 0, of Bernoulli numbers but for log1pc, and elsewhere their formula, differentiated by
Leibniz' rule. The divided difference of exp has derivatives

    W(p, q) = integral over t from 0 to 1 of t**p (1 - t)**q exp(t a + (1 - t) b).

References
----------
DLMF 4.19.3, 4.33.3, 24.2.1.  C. de Boor, Divided differences, Surveys in Approximation Theory 1 (2005).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from fractions import Fraction

import sympy as sp

from implicitops.codegen.elementary.exponential import (
    exponential,
    exponential_minus_one,
    logarithm_of_one_plus,
    polynomial,
)
from implicitops.codegen.elementary.hyperbolic import hyperbolic_cosine, hyperbolic_sine, hyperbolic_tangent
from implicitops.codegen.elementary.logistic import reciprocal_of_exponential_minus_one
from implicitops.codegen.emitter import Value

_N_TERMS = 64


@functools.cache
def _bernoulli_number(n: int) -> Fraction:
    number = sp.bernoulli(n)
    sign = -1 if n == 1 else 1  # SymPy has B_1 = +1/2
    return sign * Fraction(int(number.p), int(number.q))


#: Coefficient of x**k, and the |x| up to which the series serves.
_SERIES: dict[str, tuple[Callable[[int], Fraction], float]] = {
    "tanhc": (
        lambda k: Fraction(0) if k % 2 else _even_term(k + 2) * (2 ** (k + 2) - 1),
        0.75,
    ),
    "log1pc": (lambda k: Fraction((-1) ** k, k + 1), 0.5),
    "bernoulli": (lambda k: _bernoulli_number(k) / math.factorial(k), 3.0),
    "langevin": (lambda k: _even_term(k + 1) if k % 2 else Fraction(0), 1.5),
}


def _even_term(n: int) -> Fraction:
    return Fraction(2**n, math.factorial(n)) * _bernoulli_number(n)


@functools.cache
def _coefficients(name: str, order: int) -> tuple[float, ...]:
    """Of the derivative of an order, in powers of x."""
    coefficient, _ = _SERIES[name]
    return tuple(float(coefficient(k) * math.perm(k, order)) for k in range(order, order + _N_TERMS))


@functools.cache
def _bounded_polynomial(order: int) -> tuple[float, ...]:
    """P_n with P_1 = 1 and P_(n+1) = -2 t P_n + (1 - t**2) P_n': tanh^(n) = sech**2 P_n(tanh)."""
    t = sp.Symbol("t")
    result = sp.Poly(1, t)
    for _ in range(order - 1):
        result = -2 * sp.Poly(t, t) * result + sp.Poly(1 - t**2, t) * result.diff(t)
    return tuple(map(float, reversed(result.all_coeffs())))


@functools.cache
def _bose_polynomial(order: int) -> tuple[float, ...]:
    """T_n with T_1 = -1 and T_(n+1) = -((1 + 2 g) T_n + g (1 + g) T_n'): the n-th derivative is g (1 + g) T_n(g)."""
    g = sp.Symbol("g")
    result = sp.Poly(-1, g)
    for _ in range(order - 1):
        result = -(sp.Poly(1 + 2 * g, g) * result + sp.Poly(g * (1 + g), g) * result.diff(g))
    return tuple(map(float, reversed(result.all_coeffs())))


def _tanh_derivative(order: int, x: Value) -> Value:
    t = hyperbolic_tangent(x)
    if order == 0:
        return t
    secant = 1.0 / hyperbolic_cosine(x)
    return secant * secant * polynomial(t, _bounded_polynomial(order))


def _coth_derivative(order: int, x: Value) -> Value:
    c = 1.0 / hyperbolic_tangent(x)
    if order == 0:
        return c
    cosecant = 1.0 / hyperbolic_sine(x)
    return -(cosecant * cosecant * polynomial(c, _bounded_polynomial(order)))


def _log1p_derivative(order: int, x: Value) -> Value:
    if order == 0:
        return logarithm_of_one_plus(x)
    result = x.emitter.real((-1.0) ** (order - 1) * math.factorial(order - 1))
    for _ in range(order):
        result = result / (1.0 + x)
    return result


def _bose_derivative(order: int, x: Value) -> Value:
    g = reciprocal_of_exponential_minus_one(x)
    if order == 0:
        return g
    cosecant = 0.5 / hyperbolic_sine(0.5 * x)
    return cosecant * cosecant * polynomial(g, _bose_polynomial(order))


def _divided(derivative: Callable[[int, Value], Value], order: int, x: Value) -> Value:
    """Derivative of F(x)/x, from those of F."""
    result = derivative(0, x) / x
    for n in range(1, order + 1):
        result = (derivative(n, x) - float(n) * result) / x
    return result


def _langevin_far(order: int, x: Value) -> Value:
    power = x.emitter.real((-1.0) ** order * math.factorial(order))
    for _ in range(order + 1):
        power = power / x
    return _coth_derivative(order, x) - power


def _bernoulli_far(order: int, x: Value) -> Value:
    result = x * _bose_derivative(order, x)
    return result + float(order) * _bose_derivative(order - 1, x) if order else result


_FAR: dict[str, Callable[[int, Value], Value]] = {
    "tanhc": lambda order, x: _divided(_tanh_derivative, order, x),
    "log1pc": lambda order, x: _divided(_log1p_derivative, order, x),
    "bernoulli": _bernoulli_far,
    "langevin": _langevin_far,
}


def quotient_derivative(name: str, order: int, x: Value) -> Value:
    """Derivative of an order >= 0 of tanhc, log1pc, bernoulli or langevin."""
    near = abs(x) < _SERIES[name][1]
    return near.where(polynomial(x, _coefficients(name, order)), _FAR[name](order, x))


def _moment(p: int, q: int, d: Value) -> Value:
    """The integral of t**p (1 - t)**q exp(t d) over t from 0 to 1, for d <= 0."""
    series = tuple(
        float(Fraction(math.factorial(p + k) * math.factorial(q), math.factorial(k) * math.factorial(p + q + k + 1)))
        for k in range(24)
    )
    near = polynomial(d, series)
    end, moments = exponential(d), [exponential_minus_one(d) / d]
    for n in range(1, p + q + 1):
        moments.append((end - float(n) * moments[-1]) / d)
    far = moments[p]
    for r in range(1, q + 1):
        far = far + float((-1) ** r * math.comb(q, r)) * moments[p + r]
    return (d > -1.0).where(near, far)


def divided_difference_of_exp(p: int, q: int, a: Value, b: Value) -> Value:
    """W(p, q); W(0, 0) = (exp(a) - exp(b))/(a - b)."""
    swapped = a > b
    larger, smaller = swapped.where(a, b), swapped.where(b, a)
    d = (larger - smaller).equals(0.0).where(0.0, smaller - larger)
    moment = _moment(p, q, d) if p == q else swapped.where(_moment(q, p, d), _moment(p, q, d))
    return exponential(larger) * moment
