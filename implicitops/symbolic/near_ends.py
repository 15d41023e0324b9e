"""An integrand in terms of the distance to an end of its range, so that nothing cancels near that end.

Near x = a the factor x - a of a singular integrand is all rounding error if it is computed from x. Written with
x = a + d, SymPy cancels a, and the integrand is accurate at any distance d. Nothing here integrates.
"""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from implicitops.symbolic.regimes import affine_slope

#: Polynomials of a higher degree are not expanded about an end.
_MAX_DEGREE = 8

#: Functions that oscillate where their argument grows.
_OSCILLATING = (sp.sin, sp.cos, sp.besselj, sp.bessely)


def at_distance(expression: sp.Expr, variable: sp.Symbol, end: sp.Expr, distance: sp.Expr) -> sp.Expr:
    """Expression at ``variable = end + distance``, without the cancellation that the literal formula has near the end.

    Parameters
    ----------
    expression : Expr
    variable : Symbol
    end : Expr
    distance : Symbol or its negative

    Examples
    --------
    >>> import sympy as sp
    >>> from implicitops.symbolic.near_ends import at_distance
    >>> x, a, d = sp.symbols("x a d")
    >>> at_distance(sp.sqrt(a**2 - x**2), x, a, -d)
    sqrt(2*a*d - d**2)
    """
    symbol = next(iter(distance.free_symbols))
    return _without_cancellation(expression.xreplace({variable: end + distance}), symbol)


def exact(expression: sp.Expr) -> sp.Expr:
    """Expression whose Floats are the fractions that they stand for, except in exponents: so that 0.3 - 0.3 is 0."""
    if isinstance(expression, sp.Float):
        return sp.Rational(str(expression)) if not expression.is_finite else _as_rational(expression)
    if not expression.args or not expression.has(sp.Float):
        return expression
    if isinstance(expression, sp.Pow):
        exponent = expression.exp
        simple = sp.nsimplify(exponent, rational=True) if isinstance(exponent, sp.Float) else exponent
        kept = simple if isinstance(simple, sp.Rational) and simple.q <= 64 else exponent
        return expression.func(exact(expression.base), kept if isinstance(exponent, sp.Float) else exact(exponent))
    return expression.func(*map(exact, expression.args))


def _as_rational(number: sp.Float) -> sp.Rational:
    return sp.Rational(*float(number).as_integer_ratio())


def _without_cancellation(node: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    if not node.args or symbol not in node.free_symbols:
        return node
    arguments = [_without_cancellation(argument, symbol) for argument in node.args]
    if any(new is not old for new, old in zip(arguments, node.args)):
        node = node.func(*arguments)
    if isinstance(node, sp.Add):
        return _with_differences(_expanded_where(node, symbol, sp.S.Zero), symbol)
    if isinstance(node, sp.log) and len(node.args) == 1:  # log(1 + u) becomes log1p
        base, power = node.args[0].as_base_exp()
        if power == -1:
            return -_without_cancellation(sp.log(base, evaluate=False), symbol)
        argument = _expanded_where(node.args[0], symbol, sp.S.One)
        return node if argument is node.args[0] else sp.log(argument, evaluate=False)
    return node


def _with_differences(node: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    """Sum in which f(a + s) - f(a) is written without cancellation, for functions f with an addition theorem."""
    terms = list(sp.Add.make_args(node))
    for term in sp.Add.make_args(node):
        if symbol not in term.free_symbols:
            continue
        factors = [factor for factor in sp.Mul.make_args(term) if symbol in factor.free_symbols]
        at_end = term.subs(symbol, 0)
        if len(factors) != 1 or -at_end not in terms:
            continue
        difference = _difference(factors[0], symbol)
        if difference is not None:
            terms.remove(term)
            terms.remove(-at_end)
            terms.append(sp.Mul(term / factors[0], difference))
    return sp.Add(*terms)


def _difference(function: sp.Expr, symbol: sp.Symbol) -> sp.Expr | None:
    """f(a + s) - f(a) for f(a + s) with s = 0 where a Symbol is 0, or None."""
    argument = function.args[0]
    a = argument.subs(symbol, 0)
    s = sp.expand(argument - a)
    if isinstance(function, sp.exp):
        return sp.exp(a) * (sp.exp(s) - 1)
    if isinstance(function, sp.cos):
        return -2 * sp.sin(a + s / 2) * sp.sin(s / 2)
    if isinstance(function, sp.sin):
        return 2 * sp.cos(a + s / 2) * sp.sin(s / 2)
    if isinstance(function, sp.log) and len(function.args) == 1:
        return sp.log(1 + s / a)
    if isinstance(function, sp.Pow) and function.exp == sp.S.Half:
        return s / (sp.sqrt(argument) + sp.sqrt(a))
    return None


def _expanded_where(node: sp.Expr, symbol: sp.Symbol, value: sp.Expr) -> sp.Expr:
    """A polynomial expanded about 0 if it is ``value`` there, anything else as it is."""
    if not node.is_polynomial(symbol) or sp.degree(node, symbol) > _MAX_DEGREE:
        return node
    if sp.expand(node.subs(symbol, 0) - value) != 0:
        return node
    expanded = sp.collect(sp.expand(node - value), symbol)
    return expanded + value


def singular_points(expression: sp.Expr, variable: sp.Symbol) -> list[sp.Expr]:
    """Zeros of the bases of roots, reciprocals and logarithms, where they are affine in the variable or known numbers.

    Parameters
    ----------
    expression : Expr
    variable : Symbol

    Examples
    --------
    >>> import sympy as sp
    >>> from implicitops.symbolic.near_ends import singular_points
    >>> x, p = sp.symbols("x p")
    >>> singular_points(sp.log(x)/(x - p) + 1/(x**2 - 4), x)
    [-2, 0, 2, p]
    """
    found = {root for base in _delicate(expression) for root in _roots(base, variable)}
    return sorted(found, key=sp.default_sort_key)


def _delicate(expression: sp.Expr) -> Iterator[sp.Expr]:
    for node in expression.atoms(sp.Pow, sp.log):
        if isinstance(node, sp.log):
            yield node.args[0]
        elif not (node.exp.is_Integer and node.exp.is_nonnegative) and node.base != sp.E:
            yield node.base


def _roots(base: sp.Expr, variable: sp.Symbol) -> list[sp.Expr]:
    if variable not in base.free_symbols or not base.is_polynomial(variable):
        return []
    factors = [factor.as_base_exp()[0] for factor in sp.Mul.make_args(base)]
    if len(factors) > 1:
        return [root for factor in factors for root in _roots(factor, variable)]
    slope = affine_slope(base, variable)
    if slope is not None:
        return [] if slope == 0 else [sp.expand(slope * variable - base) / slope]
    if base.free_symbols == {variable} and sp.degree(base, variable) == 2:
        return [root for root in sp.roots(base, variable) if root.is_real]
    return []


def oscillation(expressions: tuple[sp.Expr, ...], variable: sp.Symbol) -> sp.Expr | None:
    """Length over which the phase of an oscillating function changes by about 1 as the variable grows; or None.

    For cos(k*x) it is 1/abs(k), for cos(k*x**2) it is 1/sqrt(abs(k)). Of several functions, the first in SymPy's order
    whose phase depends on parameters counts.

    Examples
    --------
    >>> import sympy as sp
    >>> from implicitops.symbolic.near_ends import oscillation
    >>> x, k = sp.symbols("x k", real=True)
    >>> oscillation((sp.cos(k*x)/(1 + x**2),), x)
    1/Abs(k)
    """
    lengths = []
    for expression in expressions:
        for node in sorted(expression.atoms(*_OSCILLATING), key=sp.default_sort_key):
            phase = node.args[-1]
            if variable in phase.free_symbols and phase.is_polynomial(variable):
                degree = sp.degree(phase, variable)
                leading = sp.expand(phase).coeff(variable, degree)
                lengths.append(sp.Abs(leading) ** sp.Rational(-1, int(degree)))
    moving = [length for length in lengths if length.free_symbols]
    return next(iter([*moving, *lengths]), None)
