"""Sums with exponentials, c_0 exp(u_0) + c_1 exp(u_1) + ...: their powers and logarithms without overflow.

Symbols stand for real numbers. Two terms whose weights have a known ratio are a logistic function, or one of Bose and
Einstein; all else is an ``exponential_quotient``.
"""

from __future__ import annotations

from typing import NamedTuple

import sympy as sp

from implicitops.codegen.inner_functions import (
    exponential_quotient,
    log1mexp,
    log_cosh,
    log_expm1,
    log_sum_of_exponentials,
    reciprocal_expm1,
)
from implicitops.functions import expit, logaddexp, softplus


class Term(NamedTuple):
    """weight * exp(exponent)"""

    weight: sp.Expr
    exponent: sp.Expr


def exponent_of(factor: sp.Expr) -> sp.Expr | None:
    """The u of exp(u), or of a power of a positive number as exp(u); None for anything else or a constant."""
    if isinstance(factor, sp.exp):
        exponent = factor.args[0]
    elif factor.is_Pow and factor.base.is_number and factor.base.is_positive:
        exponent = factor.exp * sp.log(factor.base)
    else:
        return None
    return None if exponent.is_number else exponent


def terms_of(total: sp.Expr) -> list[Term] | None:
    """A sum as terms with different exponents, the one without exponential first; None if none has any."""
    weights: dict[sp.Expr, sp.Expr] = {}
    pending = list(sp.Add.make_args(total))
    while pending:
        addend = pending.pop(0)
        exponent, others = sp.S.Zero, []
        for factor in sp.Mul.make_args(addend):
            found = exponent_of(factor)
            exponent = exponent if found is None else exponent + found
            if found is None:
                others.append(factor)
        inner = next((f for f in others if f.is_Add and terms_of(f) is not None), None)
        if inner is not None:
            rest = sp.Mul(sp.exp(exponent), *(f for f in others if f is not inner))
            pending += [sp.Mul(rest, part) for part in inner.args]
        else:
            weights[exponent] = weights.get(exponent, sp.S.Zero) + sp.Mul(*others)
    if set(weights) == {sp.S.Zero}:
        return None
    found = [Term(weight, exponent) for exponent, weight in weights.items() if weight != 0]
    return sorted(found, key=lambda term: term.exponent != 0)


def _beside_cosh(total: sp.Expr) -> tuple[sp.Expr, sp.Expr] | None:
    """The u and the bounded factor of a sum c cosh(u) + d = cosh(u) (c + d sech(u)); None for other sums."""
    growing = [addend for addend in sp.Add.make_args(total) if addend.has(sp.cosh, sp.sinh, sp.exp)]
    if len(growing) != 1:
        return None
    cosh = next((factor for factor in sp.Mul.make_args(growing[0]) if isinstance(factor, sp.cosh)), None)
    weight = None if cosh is None else growing[0] / cosh
    if cosh is None or weight is None or weight.has(sp.cosh, sp.sinh, sp.exp):
        return None
    u = cosh.args[0]
    return u, weight + (total - growing[0]) * sp.sech(u)


def _as_ratio(terms: list[Term]) -> tuple[Term, sp.Expr, bool] | None:
    """Two terms as first * (1 + exp(u)) or first * (1 - exp(u)): the first, u, and whether it is the sum."""
    if len(terms) != 2:
        return None
    first, second = terms
    ratio = second.weight / first.weight
    if not ratio.is_number or not ratio.is_extended_nonzero:
        return None
    exponent = second.exponent - first.exponent
    size = abs(ratio)
    return first, exponent if size == 1 else exponent + sp.log(size), bool(ratio > 0)


def power_of_sum(total: sp.Expr, power: sp.Expr) -> sp.Expr | None:
    """(c_0 exp(u_0) + ...)**q for a q that is no positive integer; None where the sum has no exponentials."""
    hyperbolic = _beside_cosh(total)
    if hyperbolic is not None:
        u, factor = hyperbolic
        return sp.sech(u) ** -power * factor**power
    terms = terms_of(total)
    if terms is None or len(terms) < 2:
        return None
    ratio = _as_ratio(terms)
    if ratio is None:
        return exponential_quotient(0, power, *(part for term in terms for part in term))
    (weight, exponent), u, is_sum = ratio
    outer = weight**power * sp.exp(power * exponent)
    if not power.is_Integer:
        return outer * sp.exp(power * softplus(u)) if is_sum else None
    return outer * (expit(-u) if is_sum else -reciprocal_expm1(u)) ** -power


def logarithm_of_sum(total: sp.Expr) -> sp.Expr | None:
    """log(c_0 exp(u_0) + ...); None where the sum has no exponentials, or a form that is as good as it stands."""
    hyperbolic = _beside_cosh(total)
    if hyperbolic is not None:
        u, factor = hyperbolic
        return log_cosh(u) + sp.log(factor)
    terms = terms_of(total)
    if terms is None or len(terms) < 2:
        return None
    ratio = _as_ratio(terms)
    if ratio is None:
        return log_sum_of_exponentials(*(part for term in terms for part in term))
    (weight, exponent), u, is_sum = ratio
    if is_sum:
        both = softplus(u) if exponent == 0 else logaddexp(exponent, exponent + u)
        return sp.log(weight) + both
    if not weight.is_number:
        return None
    form = log1mexp if weight.is_positive else log_expm1
    return sp.log(abs(weight)) + exponent + form(u)


def power_as_share(w: sp.Expr, q: sp.Expr, *terms: sp.Expr) -> sp.Expr:
    """exp(w) (c_0 exp(u_0) + ...)**q; where exp(w) is a power of one of the terms, with 1 in its place.

    exp(u_1)/(exp(u_0) + exp(u_1)) is 1/(1 + exp(u_0 - u_1)), whose slopes do not cancel where it is nearly 1.
    """
    if sp.sympify(q).is_number and w != 0:
        exponents = [sp.expand(u + w / q) for u in terms[1::2]]
        if sp.S.Zero in exponents:
            parts = sorted(zip(terms[::2], exponents), key=lambda part: part[1] != 0)
            return exponential_quotient(0, q, *(item for part in parts for item in part))
    return exponential_quotient(w, q, *terms)


def multiple(w: sp.Expr, v: sp.Expr) -> tuple[sp.Rational, sp.Expr] | None:
    """The rational k and the number c with w = k v + c."""
    ratio = w / v
    if ratio.is_Rational:
        return ratio, sp.S.Zero
    w, v = sp.expand(w), sp.expand(v)
    varying = next((term for term in sp.Add.make_args(v) if not term.is_number), None)
    if varying is None:
        return None
    bare = varying / varying.as_coeff_Mul()[0]
    ratio = w.coeff(bare) / v.coeff(bare)
    rest = sp.expand(w - ratio * v)
    return (ratio, rest) if ratio.is_Rational and rest.is_number else None
