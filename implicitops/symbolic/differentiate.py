"""Gradients of expressions, and the scale of their rounding errors."""

from __future__ import annotations

from collections.abc import Iterable

import sympy as sp

from implicitops.codegen import differentiate
from implicitops.codegen.stable_form import stable_form


def gradient(expression: sp.Expr, symbols: Iterable[sp.Symbol]) -> tuple[sp.Expr, ...]:
    """Partial derivatives of one expression with respect to several Symbols."""
    stable = stable_form(expression)
    return tuple(differentiate(stable, symbol) for symbol in symbols)


def rounding_scale(expression: sp.Expr) -> sp.Expr:
    """Sum of the magnitudes of an expression's terms: its rounding error is a few units of eps times this.

    The running error bound of J. H. Wilkinson, Rounding Errors in Algebraic Processes (1963), for sums and
    products; a function's value counts as exact, and so does the difference of two numbers as a factor: near a
    double root, (a - x)*(b - x) is far more accurate than its expansion.
    """
    return _scale_of_sum(stable_form(expression))


def _scale_of_sum(expression: sp.Expr) -> sp.Expr:
    if expression.is_Add:
        return sp.Add(*(_scale_of_sum(term) for term in expression.args))
    if expression.is_Mul:
        return sp.Mul(*(_factor_scale(factor) for factor in expression.args))
    return _factor_scale(expression)


def _factor_scale(factor: sp.Expr) -> sp.Expr:
    if factor.is_Pow and factor.exp.is_Integer and factor.exp > 0:
        return _factor_scale(factor.base) ** factor.exp
    if factor.is_Add and not (len(factor.args) == 2 and all(_is_exact(term) for term in factor.args)):
        return _scale_of_sum(factor)
    return sp.Abs(factor)


def _is_exact(term: sp.Expr) -> bool:
    return term.is_Symbol or term.is_Rational or (-term).is_Symbol
