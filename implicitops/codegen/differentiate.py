"""Symbolic partial derivatives by the chain rule over the table of functions. SymPy's ``diff`` is not used.

SymPy leaves a derivative standing where it knows none, and no such thing may pass for a number. Here a derivative is
either written out or refused.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from implicitops.codegen.functions import partial, row_of
from implicitops.codegen.inner_functions import power_times_log
from implicitops.errors import UnsupportedExpressionError


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

    Raises
    ------
    UnsupportedDerivativeError : a function has no derivative in an argument that contains the symbol
    UnsupportedExpressionError : the expression contains what is no function of the table
    """
    return _Differentiation(symbol).of(expression)


class _Differentiation:
    """Derivatives with respect to one Symbol, of each subexpression once."""

    def __init__(self, symbol: sp.Symbol) -> None:
        self.symbol = symbol
        self._known: dict[sp.Expr, sp.Expr] = {symbol: sp.S.One}

    def of(self, expression: sp.Expr) -> sp.Expr:
        known = self._known.get(expression)
        if known is None:
            known = self._known[expression] = self._of(expression)
        return known

    def _of(self, expression: sp.Expr) -> sp.Expr:
        if self.symbol not in expression.free_symbols:
            return sp.S.Zero
        if expression.is_Add:
            return sp.Add(*map(self.of, expression.args))
        if expression.is_Mul:
            return self._of_product(expression.args)
        if expression.is_Pow:
            return self._of_power(*expression.args)
        if isinstance(expression, sp.Piecewise):
            return sp.Piecewise(*((self.of(piece.expr), piece.cond) for piece in expression.args))
        return self._of_function(expression)

    def _of_product(self, factors: tuple[sp.Expr, ...]) -> sp.Expr:
        terms = []
        for position, factor in enumerate(factors):
            slope = self.of(factor)
            if slope != 0:
                terms.append(sp.Mul(*factors[:position], slope, *factors[position + 1 :]))
        return sp.Add(*terms)

    def _of_power(self, base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
        # With base**(exponent - 1), and not base**exponent/base, the slope of a base of 0 is a number.
        by_base = exponent * base ** (exponent - 1) * self.of(base)
        slope = self.of(exponent)
        if slope == 0:
            return by_base
        # A dose or a time of 0 is ordinary, and base**exponent * log(base) would be 0 times infinity there.
        by_exponent = base**exponent * sp.log(base) if base.is_number else power_times_log(1, base, exponent)
        return by_base + by_exponent * slope

    def _of_function(self, node: Any) -> sp.Expr:
        if row_of(type(node)) is None:
            raise UnsupportedExpressionError(node)
        terms = []
        for position, argument in enumerate(node.args):
            slope = self.of(argument)
            if slope != 0:
                terms.append(partial(node, position) * slope)
        return sp.Add(*terms)
