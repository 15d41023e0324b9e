"""Places at which an integrand may have a peak or a step, from its expression. Nothing here integrates.

A rule sees its nodes only, and a narrow peak beside something wide stands between them. What makes peaks and steps in
formulas is a function of something that passes through 0, or is least, at the peak: ``exp(-((x - p)/w)**2)``,
``1/((x - p)**2 + w**2)``, ``tanh((x - p)/w)``. Those places are known from the expression as soon as it is affine in
the variable, or quadratic, and the kernel compares the integrand there with what its nodes have seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sympy as sp

from implicitops.symbolic.regimes import affine_slope

#: More places than these are not looked at.
_MAX_CENTERS = 8

#: Functions that change all they change while their argument passes through 0.
_STEEP = (
    sp.exp, sp.tanh, sp.coth, sp.cosh, sp.sinh, sp.sech, sp.csch, sp.erf, sp.erfc, sp.atan, sp.acot, sp.asinh, sp.sinc,
    sp.log, sp.Abs,
)  # fmt: skip


def peak_centers(expressions: Iterable[sp.Expr], variable: sp.Symbol, unknown: set[sp.Symbol]) -> tuple[sp.Expr, ...]:
    """Places at which one of some expressions may have a peak or a step.

    Parameters
    ----------
    expressions : iterable of Expr
    variable : Symbol
    unknown : set of Symbol
        Places that depend on these are left out.

    Returns
    -------
    tuple of Expr, in SymPy's order, at most eight

    Examples
    --------
    >>> import sympy as sp
    >>> from implicitops.symbolic.peaks import peak_centers
    >>> x, p, q, w = sp.symbols("x p q w")
    >>> peak_centers([sp.exp(-(x - p)**2/w) + 1/(1 + sp.exp((x - q)/w)), sp.exp(-x**2 + p*x)], x, set())
    (0, p/2, p, q)
    """
    found: dict[sp.Expr, None] = {}
    for expression in expressions:
        for base in _bases(expression):
            for place in _middles(base, variable):
                if place.free_symbols.isdisjoint(unknown) and place.is_finite is not False:
                    found[place] = None
    return tuple(sorted(found, key=sp.default_sort_key)[:_MAX_CENTERS])


def _bases(expression: sp.Expr) -> Iterator[sp.Expr]:
    """What is raised to a power in an expression, and the arguments of its steep functions."""
    for node in expression.atoms(sp.Pow, *_STEEP):
        yield node.base if isinstance(node, sp.Pow) and node.base != sp.E else node.args[-1]


def _middles(base: sp.Expr, variable: sp.Symbol) -> Iterator[sp.Expr]:
    """The zero of an affine base, or the middle of a parabola; of each factor and each affine part of a sum."""
    if variable not in base.free_symbols:
        return
    slope = affine_slope(base, variable)
    if slope is not None:
        if slope != 0:
            yield sp.expand(slope * variable - base) / slope
        return
    if isinstance(base, sp.Mul):
        for factor in base.args:
            yield from _middles(factor, variable)
    elif base.is_polynomial(variable) and sp.degree(base, variable) == 2:
        square, linear, _ = sp.Poly(base, variable).all_coeffs()
        yield sp.cancel(-linear / (2 * square))
