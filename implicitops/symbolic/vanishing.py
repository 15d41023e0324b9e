"""Whether an integrand is exactly 0, and not merely too small for a number, along a stretch of its variable."""

from __future__ import annotations

from collections.abc import Set

import sympy as sp

#: Functions that are 0 where their argument is.
_ODD = (sp.sin, sp.tan, sp.asin, sp.atan, sp.sinh, sp.tanh, sp.asinh, sp.atanh, sp.erf, sp.Abs, sp.sign)


def vanishes(node: sp.Expr, variables: Set[sp.Symbol]) -> sp.Expr:
    """Expression that is 1 where another is seen to be 0 whatever the variables are, and 0 where it is not.

    Parameters
    ----------
    node : Expr, its conditions on the variables replaced by tests of regimes
    variables : set of Symbol

    Examples
    --------
    >>> import sympy as sp
    >>> from implicitops.symbolic.vanishing import vanishes
    >>> x, a, r = sp.symbols("x a r")
    >>> vanishes(a*sp.exp(-x), {x})
    Piecewise((1, Eq(a, 0)), (0, True))
    >>> vanishes(sp.Piecewise((0, r < 0), (sp.exp(-x), True)), {x})
    Piecewise((1, r < 0), (0, True))
    """
    if node == 0:
        return sp.S.One
    if isinstance(node, sp.Piecewise):
        if any(not piece.cond.free_symbols.isdisjoint(variables) for piece in node.args):
            return sp.S.Zero
        return sp.Piecewise(*((vanishes(piece.expr, variables), piece.cond) for piece in node.args))
    if node.free_symbols.isdisjoint(variables):
        return sp.S.Zero if node.is_number else sp.Piecewise((sp.S.One, sp.Eq(node, 0)), (sp.S.Zero, True))
    if node.is_Mul:
        return _largest(vanishes(factor, variables) for factor in node.args)
    if node.is_Add:
        return sp.Mul(*(vanishes(term, variables) for term in node.args))
    if isinstance(node, _ODD):
        return vanishes(node.args[0], variables)
    if node.is_Pow and node.exp.is_positive and node.base.free_symbols:
        return vanishes(node.base, variables)
    return sp.S.Zero


def _largest(values: object) -> sp.Expr:
    found = [value for value in values if value != 0]  # type: ignore[attr-defined]
    if not found:
        return sp.S.Zero
    return sp.S.One if sp.S.One in found else sp.Max(*found) if len(found) > 1 else found[0]
