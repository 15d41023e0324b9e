"""Symbolic partial derivatives of real expressions, right where SymPy alone leaves something unfinished."""

from __future__ import annotations

from collections.abc import Iterable

import sympy as sp

from implicitops.codegen.stable_form import stable_form

_STEPS = (sp.floor, sp.ceiling)


def differentiate(expression: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    """Partial derivative of a real expression, never simplified.

    floor, ceiling and Mod are differentiated piece by piece (their jumps have no derivative); sign and
    Heaviside give DiracDelta, which the code generator makes 0 off the jump and NaN on it.

    Parameters
    ----------
    expression : Expr in real Symbols
    symbol : Symbol

    Returns
    -------
    Expr
    """
    if symbol not in expression.free_symbols:
        return sp.S.Zero
    return _without_step_derivatives(sp.diff(_expand_steps(stable_form(expression)), symbol))


def gradient(expression: sp.Expr, symbols: Iterable[sp.Symbol]) -> tuple[sp.Expr, ...]:
    """Partial derivatives of one expression with respect to several Symbols."""
    return tuple(differentiate(expression, symbol) for symbol in symbols)


def _expand_steps(expression: sp.Expr) -> sp.Expr:
    if expression.has(sp.Mod):
        expression = expression.replace(sp.Mod, lambda a, b: a - b * sp.floor(a / b))
    if expression.has(sp.frac):
        expression = expression.replace(sp.frac, lambda a: a - sp.floor(a))
    return expression


def _without_step_derivatives(expression: sp.Expr) -> sp.Expr:
    if not expression.has(*_STEPS):
        return expression
    zeros = {node: sp.S.Zero for node in expression.atoms(sp.Derivative, sp.Subs) if _is_derivative_of_step(node)}
    return expression.xreplace(zeros)


def _is_derivative_of_step(node: sp.Basic) -> bool:
    inner = node.expr if isinstance(node, sp.Subs) else node
    return isinstance(inner, sp.Derivative) and isinstance(inner.expr, _STEPS)


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
