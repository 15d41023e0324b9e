r"""How far rounding alone can move the value of an expression: Wilkinson's running error bound, in high precision.

Nothing here knows of roots or derivatives. The rules, with u = 2**-53 and a hat on computed values, are

    a + b       |da| + |db| + u (|a| + |b|)
    a b         |b| |da| + |a| |db| + u |a b|
    f(a)        |f'(a)| |da| + 4 u |f(a)|
    constant    u |c|, or 0 if a double holds it

where df is the bound on f_hat - f (J. H. Wilkinson, Rounding Errors in Algebraic Processes, 1963; N. J. Higham,
Accuracy and Stability of Numerical Algorithms, 2002, section 3.3). It is a first-order worst case of the
expression *in the form in which it is written*, so it grows with cancellation as the computed value's error does.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import mpmath
import sympy as sp

from implicitops.codegen.python_functions import in_mpmath

UNIT = mpmath.mpf(2) ** -53
#: Relative step of the central differences by which the derivative of a single function is found.
_STEP = mpmath.mpf(10) ** -25

Bounded = tuple[Any, Any]


def rounding_error(expression: sp.Expr, values: Mapping[sp.Symbol, Bounded]) -> Bounded:
    """Value of an expression and a bound on the error with which double precision computes it.

    Parameters
    ----------
    expression : Expr
    values : mapping of each Symbol to (value, bound on its error), both mpf

    Returns
    -------
    (value, bound), both mpf

    Examples
    --------
    >>> import mpmath, sympy as sp
    >>> from implicitops.verify.rounding import rounding_error
    >>> x = sp.Symbol("x")
    >>> value, bound = rounding_error((1 + x) - 1.5, {x: (mpmath.mpf(2)**-60, 0)})
    >>> print(mpmath.nstr(value, 3), mpmath.nstr(bound, 3))
    -0.5 5.55e-17
    """
    memo: dict[Any, Bounded] = {symbol: (mpmath.mpf(v), mpmath.mpf(e)) for symbol, (v, e) in values.items()}
    return _bounded(sp.sympify(expression), memo)


def _bounded(node: sp.Expr, memo: dict[Any, Bounded]) -> Bounded:
    known = memo.get(node)
    if known is None:
        known = memo[node] = _rule(node, memo)
    return known


def _rule(node: sp.Expr, memo: dict[Any, Bounded]) -> Bounded:
    if node.is_number:
        return _constant(node)
    if isinstance(node, sp.Piecewise):
        return _bounded(_active_branch(node, memo), memo)
    parts = [_bounded(argument, memo) for argument in node.args]
    if node.is_Add:
        value = mpmath.fsum(v for v, _ in parts)
        growth = max(1, len(parts) - 1)
        return value, mpmath.fsum(e for _, e in parts) + UNIT * growth * mpmath.fsum(abs(v) for v, _ in parts)
    if node.is_Mul:
        return _product(parts)
    return _function(node, parts)


def _constant(node: sp.Expr) -> Bounded:
    value = mpmath.mpf(node.evalf(mpmath.mp.dps))
    return value, mpmath.mpf(0) if value == float(value) else UNIT * abs(value)


def _product(parts: list[Bounded]) -> Bounded:
    value, error = mpmath.mpf(1), mpmath.mpf(0)
    for v, e in parts:
        error = error * abs(v) + abs(value) * e + error * e
        value *= v
    roundings = sum(abs(v) != 1 for v, _ in parts) - 1
    return value, error + UNIT * max(0, roundings) * abs(value)


def _function(node: sp.Expr, parts: list[Bounded]) -> Bounded:
    """Any other function, powers included, counted as accurate to two units in the last place."""
    values = [v for v, _ in parts]
    function = _function_of_mpf(node.func, len(values))
    value = mpmath.mpf(function(*values))
    exact = isinstance(node, (sp.Abs, sp.Max, sp.Min, sp.sign, sp.Heaviside, sp.floor, sp.ceiling))
    error = mpmath.mpf(0) if exact else 4 * UNIT * abs(value)
    for k, (v, e) in enumerate(parts):
        if e != 0:
            step = _STEP * abs(v) if v != 0 else _STEP
            above = function(*values[:k], v + step, *values[k + 1 :])
            below = function(*values[:k], v - step, *values[k + 1 :])
            error += abs((above - below) / (2 * step)) * e
    return value, mpmath.re(error)


@lru_cache(maxsize=512)
def _function_of_mpf(function: Any, n_arguments: int) -> Any:
    dummies = sp.symbols(f"a:{n_arguments}", real=True)
    return in_mpmath(dummies, function(*dummies))


def _active_branch(node: sp.Piecewise, memo: dict[Any, Bounded]) -> sp.Expr:
    symbols = sorted(node.free_symbols, key=str)
    point = [memo[s][0] for s in symbols]
    for expression, condition in node.args:
        if condition == True or in_mpmath(symbols, condition)(*point):  # noqa: E712
            return expression
    return sp.nan
