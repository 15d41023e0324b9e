"""What SymPy leaves open, closed for real symbols, before anything is differentiated or printed.

``re``, ``im`` and ``conjugate`` disappear. Derivatives, integrals, sums and products that SymPy carries along as such
are carried out, or refused: they have no number of their own.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from implicitops.codegen.differentiate import differentiate
from implicitops.codegen.functions import OPEN
from implicitops.errors import UnsupportedExpressionError

_PARTS = (sp.re, sp.im, sp.conjugate)
_WITH_INDEX = (sp.Sum, sp.Product)

#: A sum is written out up to so many terms.
_MOST_TERMS = 1000


def real_form(expression: Any) -> Any:
    """The expression with all symbols read as real numbers, and with nothing left to be carried out.

    Parameters
    ----------
    expression : Expr

    Returns
    -------
    Expr, the same object if nothing had to be done

    Raises
    ------
    UnsupportedExpressionError : it contains an operation that cannot be carried out
    """
    if not expression.has(*_PARTS, *OPEN):
        return expression
    return _closed(expression)


def _closed(node: Any) -> Any:
    if not node.args or not node.has(*_PARTS, *OPEN):
        return node
    if isinstance(node, (sp.re, sp.conjugate)):
        return _closed(node.args[0])
    if isinstance(node, sp.im):
        return sp.S.Zero
    if isinstance(node, sp.Subs):
        return _closed(node.expr).subs(dict(zip(node.variables, node.point)), simultaneous=True)
    if isinstance(node, sp.Derivative):
        return _derivative(node)
    if isinstance(node, (sp.Integral, *_WITH_INDEX)):
        return _carried_out(node)
    if isinstance(node, OPEN):
        raise UnsupportedExpressionError(node)
    return node.func(*(_closed(argument) for argument in node.args))


def _derivative(node: Any) -> Any:
    expression = _closed(node.expr)
    for variable, count in node.variable_count:
        if not (isinstance(variable, sp.Symbol) and count.is_Integer):
            raise UnsupportedExpressionError(node)
        for _ in range(int(count)):
            try:
                expression = differentiate(expression, variable)
            except UnsupportedExpressionError as error:
                raise UnsupportedExpressionError(error.node, node, error.advice) from None
    return expression


def _carried_out(node: Any) -> Any:
    function = _closed(node.function)
    if isinstance(node, _WITH_INDEX):
        terms = _terms(node, function)
        if terms is not None:
            return (sp.Add if isinstance(node, sp.Sum) else sp.Mul)(*terms)
    result = node.func(function, *node.limits).doit()
    if result.has(*OPEN, sp.oo, sp.nan, sp.zoo):
        raise UnsupportedExpressionError(node)
    return result


def _terms(node: Any, function: Any) -> list[Any] | None:
    """All terms of a sum, or factors of a product, if its limits are whole numbers."""
    terms = [function]
    for index, *ends in node.limits:
        if len(ends) != 2 or not all(end.is_Integer for end in ends) or ends[1] < ends[0] - 1:
            return None
        values = range(int(ends[0]), int(ends[1]) + 1)
        if len(terms) * len(values) > _MOST_TERMS:
            raise UnsupportedExpressionError(node)
        terms = [term.xreplace({index: sp.Integer(value)}) for term in terms for value in values]
    return terms
