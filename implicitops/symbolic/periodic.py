"""Conditions on the time of an ODE that are not affine in it: where each changes, once or in every period.

A condition is peeled from outside: a polynomial in one function changes where the function has the values of its real
roots, a monotonic function passes a value where its argument does, and sin, tan and frac pass one in each period of
an affine argument. Functions such as floor count periods, and are replaced by the count.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean

from implicitops.symbolic.cases import STEPS
from implicitops.symbolic.regimes import Rewriter, Switch, affine_slope

_HALF, _INFINITY = sp.S.Half, sp.oo

#: Increasing functions on the real line or a half-line: lower and upper limit of their values, and the inverse.
_INCREASING: dict[type, tuple[sp.Expr, sp.Expr, Callable[[sp.Expr], sp.Expr]]] = {
    sp.exp: (sp.S.Zero, _INFINITY, sp.log),
    sp.log: (-_INFINITY, _INFINITY, sp.exp),
    sp.sinh: (-_INFINITY, _INFINITY, sp.asinh),
    sp.asinh: (-_INFINITY, _INFINITY, sp.sinh),
    sp.tanh: (sp.S.NegativeOne, sp.S.One, sp.atanh),
    sp.atan: (-sp.pi / 2, sp.pi / 2, sp.tan),
    sp.erf: (sp.S.NegativeOne, sp.S.One, sp.erfinv),
}

#: Functions of one period of an affine argument, written in terms of those in ``_PASSAGES``.
_IN_TERMS_OF_OTHERS: dict[type, Callable[[sp.Expr], sp.Expr]] = {
    sp.cos: lambda u: sp.sin(u + sp.pi / 2, evaluate=False),
    sp.cot: lambda u: sp.tan(sp.pi / 2 - u, evaluate=False),
    sp.sec: lambda u: 1 / sp.sin(u + sp.pi / 2, evaluate=False),
    sp.csc: lambda u: 1 / sp.sin(u, evaluate=False),
}


class TimeLocator(Rewriter):
    """Rewriter that also locates periodic, polynomial and monotonic conditions, and counts the periods of floor.

    Examples
    --------
    >>> import sympy as sp
    >>> from implicitops.symbolic.periodic import TimeLocator
    >>> t, p = sp.symbols("t p", real=True)
    >>> locator = TimeLocator(t, ())
    >>> locator.expression(sp.Piecewise((1, sp.Mod(t, 24) < p), (0, True)))
    Piecewise((1, r0 - r1 <= -1/2), (0, True))
    >>> [(switch.time, switch.period) for switch in locator.switches.values()]
    [(24*Piecewise((0, p <= 0), (1, p >= 24), (p/24, True)), 24), (0, 24)]
    """

    def expression(self, node: sp.Expr) -> sp.Expr:
        """Expression whose conditions on the time alone, and functions such as floor, are tests of regimes."""
        if isinstance(node, STEPS) and self._is_of_time_alone(node):
            counted = self._counted(node)
            if counted is not None:
                return counted
        return super().expression(node)

    def relation(self, relation: Relational) -> Boolean:
        """Relation as a test of regimes, if its boundaries can be found."""
        if not self._is_of_time_alone(relation):
            return super().relation(relation)
        counted = relation.func(*(self._with_counts(side) for side in relation.args))
        if self.time not in counted.free_symbols:
            return counted
        rewritten = super().relation(relation)
        if isinstance(relation, (sp.Eq, sp.Ne)):
            return rewritten
        if rewritten != relation:
            return rewritten
        switches = dict(self.switches)
        located = _Peeling(self).positive(relation.gts - relation.lts, self.time)
        if located is None:
            self.switches = switches
            return relation
        return located

    def beyond(self, level: sp.Expr) -> Boolean | None:
        """``time > level``."""
        return self._side(sp.expand(self.time - level), sp.S.One)

    def side(self, difference: sp.Expr, slope: sp.Expr) -> Boolean | None:
        """``difference > 0`` for an affine function of the time."""
        return self._side(difference, slope)

    def count(self, argument: sp.Expr) -> sp.Symbol | None:
        """Regime that is the floor of an affine function of the time; None if there is none."""
        argument = sp.expand(argument)
        slope = affine_slope(argument, self.time)
        if slope is None or slope == 0:
            return None
        key = sp.floor(argument, evaluate=False)
        if key not in self.switches and not self.is_closed:
            time = sp.expand(slope * self.time - argument) / slope
            self.switches[key] = Switch(self._new_regime(), argument, slope, time, 1 / slope)
        found = self.switches.get(key)
        return None if found is None else found.regime

    def _counted(self, node: sp.Expr) -> sp.Expr | None:
        """A function of :data:`STEPS` by the count of its periods; at the steps the value after them."""
        divisor = node.args[1] if isinstance(node, sp.Mod) else sp.S.One
        if self.time in divisor.free_symbols:
            return None
        count = self.count(node.args[0] / divisor)
        if count is None:
            return None
        if isinstance(node, sp.floor):
            return count
        return count + 1 if isinstance(node, sp.ceiling) else node.args[0] - divisor * count

    def _with_counts(self, side: sp.Expr) -> sp.Expr:
        """Side of a relation with floor and ceiling as counts, if nothing else of it moves."""
        steps = [node for node in side.atoms(sp.floor, sp.ceiling) if self._is_of_time_alone(node)]
        rest = side.xreplace({node: sp.Dummy(real=True) for node in steps})
        if not steps or self.time in rest.free_symbols:
            return side
        counts = {node: self._counted(node) for node in steps}
        return side if None in counts.values() else side.xreplace(counts)

    def _may_switch(self, node: sp.Basic) -> bool:
        return super()._may_switch(node) or bool(node.has(self.time) and node.has(*STEPS))


class _Peeling:
    """Finds where an expression of the time is positive.

    Variables stand for functions of others: for each, ``functions`` has the function and the variable in it.
    """

    def __init__(self, locator: TimeLocator) -> None:
        self.locator = locator
        self.functions: dict[sp.Symbol, tuple[sp.Expr, sp.Symbol]] = {}
        self.factored: set[sp.Expr] = set()

    def positive(self, expression: sp.Expr, variable: sp.Symbol) -> Boolean | None:
        """Where an expression of a variable and the parameters is positive; None if that is not known."""
        expanded = sp.expand(_with_fractions(expression, variable))
        if variable not in expanded.free_symbols:
            return expanded > 0
        slope = affine_slope(expanded, variable)
        if slope is not None:
            return self._linear(expanded, slope, variable)
        if expanded.is_polynomial(variable):
            found = self._polynomial(expanded, variable)
            return self._product(expanded, variable) if found is None else found
        switches = dict(self.locator.switches)
        found = self._outermost(expanded, variable)
        if found is None:
            self.locator.switches = switches
            found = self._product(expanded, variable)
        return found

    def _linear(self, expression: sp.Expr, slope: sp.Expr, variable: sp.Symbol) -> Boolean | None:
        if variable == self.locator.time:
            return self.locator.side(expression, slope)
        constant = sp.expand(expression - slope * variable)
        above = self._above(variable, -constant / slope)
        return None if above is None else _with_sign(slope, above, constant > 0)

    def _polynomial(self, expression: sp.Expr, variable: sp.Symbol) -> Boolean | None:
        """By the number of real roots that the variable is above."""
        polynomial = sp.Poly(expression, variable)
        leading = polynomial.LC()
        if polynomial.degree() == 2:
            _, linear, constant = polynomial.all_coeffs()
            middle = -linear / (2 * leading)
            # Without roots the variable is above neither.
            width = sp.sqrt(sp.expand(linear**2 - 4 * leading * constant)) / (2 * sp.Abs(leading))
            roots = [middle - width, middle + width]
        elif all(coefficient.is_number for coefficient in polynomial.all_coeffs()):
            exact = sp.nsimplify(polynomial.as_expr(), rational=True)
            roots = [root.evalf(17) for root in sp.Poly(exact, variable).real_roots()]
        else:
            return None
        odd: Boolean = sp.sympify(len(roots) % 2 == 0)
        for root in roots:
            above = sp.false if root.is_number and not root.is_real else self._above(variable, root)
            if above is None:
                return None
            odd = sp.Xor(odd, above)
        if leading.is_nonzero:
            return _with_sign(leading, odd, sp.false)
        rest = self.positive(expression - leading * variable ** polynomial.degree(), variable)
        return None if rest is None else _with_sign(leading, odd, rest)

    def _product(self, expression: sp.Expr, variable: sp.Symbol) -> Boolean | None:
        """A product or quotient by the signs of its factors."""
        numerator, denominator = sp.fraction(sp.factor(sp.together(expression)))
        factors = [factor for part in (numerator, denominator) for factor in sp.Mul.make_args(part)]
        bases = [factor.as_base_exp()[0] for factor in factors if factor.has(variable)]
        if bases == [numerator] or expression in self.factored:  # nothing is gained
            return None
        self.factored.add(expression)
        signs = []
        for factor in factors:
            base, exponent = factor.as_base_exp()
            if not exponent.is_Integer:
                base, exponent = factor, sp.S.One
            if exponent % 2 == 1:
                signs.append(self.positive(base, variable))
        if None in signs:
            return None
        return sp.Xor(sp.sympify(len(signs) % 2 == 0), *signs)

    def _outermost(self, expression: sp.Expr, variable: sp.Symbol) -> Boolean | None:
        """A function of one function, in place of which a new variable is put."""
        functions = _outermost_functions(expression, variable)
        if len(functions) == 2:
            return self._wave(expression, functions, variable)
        if len(functions) != 1:
            return None
        (function,) = functions
        if type(function) in _IN_TERMS_OF_OTHERS:
            other = _IN_TERMS_OF_OTHERS[type(function)](function.args[0])
            return self.positive(expression.xreplace({function: other}), variable)
        new = sp.Dummy("v", real=True)
        replaced = expression.xreplace({function: new})
        if variable in replaced.free_symbols:
            return None
        self.functions[new] = (function, variable)
        return self.positive(replaced, new)

    def _wave(self, expression: sp.Expr, functions: list[sp.Expr], variable: sp.Symbol) -> Boolean | None:
        """a sin(u) + b cos(u) + c > 0, by amplitude and phase."""
        if {type(function) for function in functions} != {sp.sin, sp.cos}:
            return None
        sine, cosine = sorted(functions, key=lambda function: isinstance(function, sp.cos))
        if sp.expand(sine.args[0] - cosine.args[0]) != 0:
            return None
        s, c = sp.symbols("s c", cls=sp.Dummy, real=True)
        replaced = sp.expand(expression.xreplace({sine: s, cosine: c}))
        a, b = affine_slope(replaced, s), affine_slope(replaced, c)
        if a is None or b is None or replaced.has(variable) or a.has(c):
            return None
        constant = sp.expand(replaced - a * s - b * c)
        shifted = sp.sin(sine.args[0] + sp.atan2(b, a), evaluate=False)
        return self.positive(sp.sqrt(a**2 + b**2) * shifted + constant, variable)

    def _above(self, variable: sp.Symbol, level: sp.Expr) -> Boolean | None:
        """``variable > level`` for what the variable stands for."""
        if variable == self.locator.time:
            return self.locator.beyond(level)
        function, inside = self.functions[variable]
        argument = function.args[0]
        if type(function) in _INCREASING:
            lowest, highest, inverse = _INCREASING[type(function)]
            return self._above_value(
                argument, inside, _clipped(level, (lowest, highest), (-_INFINITY, _INFINITY), inverse)
            )
        if isinstance(function, sp.Pow):
            exponent = function.exp
            if exponent.is_number and exponent.is_positive:
                # Defined from 0 on.
                clipped = _clipped(level, (0, _INFINITY), (0, _INFINITY), lambda h: h ** (1 / exponent))
                return self._above_value(function.base, inside, clipped)
            return None
        if inside != self.locator.time:
            return None
        if isinstance(function, sp.sin):
            quarter = sp.pi / 2
            first = _clipped(level, (-1, 1), (-quarter, quarter), sp.asin)
            return self._between(argument - first, argument - sp.pi + first, 2 * sp.pi)
        if isinstance(function, sp.tan):
            return self._between(argument - sp.atan(level), argument - sp.pi / 2, sp.pi)
        if isinstance(function, sp.frac):
            return self._between(argument - _clipped(level, (0, 1), (0, 1), lambda h: h), argument, 1, -1)
        return None

    def _above_value(self, argument: sp.Expr, inside: sp.Symbol, value: sp.Expr) -> Boolean | None:
        if value.is_infinite:
            return sp.sympify(value is not sp.oo)
        return self.positive(argument - value, inside)

    def _between(self, begin: sp.Expr, end: sp.Expr, period: sp.Expr, offset: int = 0) -> Boolean | None:
        """Whether more periods have begun than ended; with offset -1, as many."""
        begun, ended = self.locator.count(begin / period), self.locator.count(end / period)
        if begun is None or ended is None:
            return None
        return sp.StrictGreaterThan(begun - ended, _HALF + offset, evaluate=False)


def _with_sign(factor: sp.Expr, positive: Boolean, at_zero: Boolean) -> Boolean:
    """``positive`` or its contrary, by the sign of a factor, or what holds where that is zero."""
    if factor.is_positive:
        return positive
    if factor.is_negative:
        return sp.Not(positive)
    cases = ((factor > 0, positive), (factor < 0, sp.Not(positive)), (sp.Eq(factor, 0), at_zero))
    return sp.Or(*(sp.And(*case) for case in cases))


def _clipped(
    level: sp.Expr,
    limits: tuple[sp.Expr, sp.Expr],
    images: tuple[sp.Expr, sp.Expr],
    inverse: Callable[[sp.Expr], sp.Expr],
) -> sp.Expr:
    """Inverse function of a level between the limits of the function's values, and beyond them its ends."""
    cases = [] if limits[0] == -_INFINITY else [(images[0], level <= limits[0])]
    if limits[1] != _INFINITY:
        cases.append((images[1], level >= limits[1]))
    return sp.Piecewise(*cases, (inverse(level), True))


def _with_fractions(expression: sp.Expr, variable: sp.Symbol) -> sp.Expr:
    """Expression with all that jumps in steps in terms of frac."""
    steps = [node for node in expression.atoms(*STEPS) if variable in node.args[0].free_symbols]
    replaced = {}
    for node in steps:
        divisor = node.args[1] if isinstance(node, sp.Mod) else sp.S.One
        argument = sp.expand(node.args[0] / divisor)
        fraction = sp.frac(argument, evaluate=False)
        if isinstance(node, (sp.floor, sp.ceiling)):
            replaced[node] = argument + int(isinstance(node, sp.ceiling)) - fraction
        else:
            replaced[node] = divisor * fraction
    return expression.xreplace(replaced)


def _outermost_functions(expression: sp.Expr, variable: sp.Symbol) -> list[sp.Expr]:
    """Functions of a variable in an expression, except sums, products and whole powers, and those inside others."""
    found: dict[sp.Expr, None] = {}
    stack = [expression]
    while stack:
        node = stack.pop()
        if variable not in node.free_symbols or node.is_Symbol:
            continue
        if node.is_Add or node.is_Mul or (node.is_Pow and node.exp.is_Integer):
            stack.extend(node.args)
        else:
            found[node] = None
    return sorted(found, key=sp.default_sort_key)
