"""What SymPy leaves open because a symbol might be complex, closed for real symbols, before printing.

``re``, ``im`` and ``conjugate`` disappear, and the derivatives that SymPy leaves unevaluated (of floor,
Abs, sign, re, Mod …) are taken almost everywhere: a step has derivative 0, NaN at the step itself where
SymPy has a DiracDelta.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

_PARTS = (sp.re, sp.im, sp.conjugate)
_OPEN = (sp.Derivative, sp.Subs)


def real_form(expression: Any) -> Any:
    """The expression with all symbols read as real numbers.

    Parameters
    ----------
    expression : Expr

    Returns
    -------
    Expr, the same object if nothing had to be done
    """
    if not expression.has(*_PARTS, *_OPEN):
        return expression
    return _closed(expression)


def _closed(node: Any) -> Any:
    if not node.args or not node.has(*_PARTS, *_OPEN):
        return node
    if isinstance(node, (sp.re, sp.conjugate)):
        return _closed(node.args[0])
    if isinstance(node, sp.im):
        return sp.S.Zero
    if isinstance(node, sp.Subs):
        return _closed(node.expr).subs(dict(zip(node.variables, node.point)), simultaneous=True)
    if isinstance(node, sp.Derivative):
        return _derivative(_closed(node.expr), node.variable_count)
    return node.func(*(_closed(argument) for argument in node.args))


def _derivative(expression: Any, variable_count: Any) -> Any:
    for variable, count in variable_count:
        for _ in range(int(count)):
            expression = _first_derivative(expression, variable)
    return expression


def _first_derivative(expression: Any, variable: Any) -> Any:
    """Derivative of an expression whose steps are constant between their jumps."""
    levels: dict[sp.Dummy, Any] = {}

    def level(step: Any) -> Any:
        symbol = sp.Dummy("level", real=True)
        levels[symbol] = step
        return symbol

    replacements = (
        (sp.frac, lambda u: u - sp.floor(u)),
        (sp.Mod, lambda a, b: a - b * sp.floor(a / b)),
        (sp.Abs, lambda u: u * level(sp.sign(u))),
        (sp.sign, lambda u: 2 * sp.Heaviside(u) - 1),
        (sp.arg, lambda u: level(sp.arg(u))),
        (sp.floor, lambda u: level(sp.floor(u))),
        (sp.ceiling, lambda u: level(sp.ceiling(u))),
    )
    for kind, replacement in replacements:
        expression = expression.replace(kind, replacement)
    derivative = expression.diff(variable)
    while derivative.atoms(sp.Dummy) & levels.keys():
        derivative = derivative.xreplace(levels)
    return derivative
