"""Conditions on the variable of integration that are not affine in it, but whose boundaries can be written down.

A quadratic polynomial changes its sign at two places, a monotonic function of an affine argument at one. With these
the conditions become tests of regimes, as :mod:`implicitops.symbolic.regimes` makes them of affine ones.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean

from implicitops.symbolic.regimes import Rewriter, Switch, affine_slope

#: Increasing functions on the real line or the half-line, and their inverses, NaN where there is none.
_INCREASING: dict[type, Callable[[sp.Expr], sp.Expr]] = {
    sp.exp: sp.log,
    sp.log: sp.exp,
    sp.sinh: sp.asinh,
    sp.asinh: sp.sinh,
    sp.tanh: sp.atanh,
    sp.atan: sp.tan,
    sp.erf: sp.erfinv,
}

_HALF = sp.S.Half


class Locator(Rewriter):
    """Rewriter that also locates where quadratic and monotonic conditions change.

    Examples
    --------
    >>> import sympy as sp
    >>> from implicitops.symbolic.locating import Locator
    >>> x, p = sp.symbols("x p", real=True)
    >>> locator = Locator(x, ())
    >>> locator.expression(sp.Piecewise((1, x**2 < p), (0, True)))
    Piecewise((1, ((r0 > 1/2) & (r1 < 1/2)) | ((r1 > 1/2) & (r0 < 1/2))), (0, True))
    >>> [switch.time for switch in locator.switches.values()]
    [sqrt(p), -sqrt(p)]
    """

    def relation(self, relation: Relational) -> Boolean:
        """Relation as a test of regimes, if its boundary can be found."""
        rewritten = super().relation(relation)
        if rewritten != relation or self.is_closed or not self._is_of_time_alone(relation):
            return rewritten
        if isinstance(relation, (sp.Eq, sp.Ne)):
            return rewritten
        difference = sp.expand(relation.gts - relation.lts)
        found = self._quadratic(difference)
        return self._monotonic(difference, relation) if found is None else found

    def _quadratic(self, difference: sp.Expr) -> Boolean | None:
        """``difference > 0`` for a quadratic polynomial, by the sides of its two roots that the variable is on."""
        if not difference.is_polynomial(self.time) or sp.degree(difference, self.time) != 2:
            return None
        leading, linear, constant = (difference.coeff(self.time, k) for k in (2, 1, 0))
        if not (leading.is_positive or leading.is_negative):
            return None
        root = sp.sqrt(sp.expand(linear**2 - 4 * leading * constant)) / (2 * leading)
        middle = -linear / (2 * leading)
        # Without roots both regimes are 0, the same, and the sign is that of the leading coefficient.
        first, second = (self._switch(self.time - middle - r, sp.S.One) for r in (-root, root))
        if first is None or second is None:
            return None
        above = (first.regime > _HALF, second.regime > _HALF)
        below = (first.regime < _HALF, second.regime < _HALF)
        if leading.is_positive:
            return sp.Or(sp.And(*above), sp.And(*below))
        return sp.Or(sp.And(above[0], below[1]), sp.And(below[0], above[1]))

    def _monotonic(self, difference: sp.Expr, relation: Relational) -> Boolean:
        """``difference > 0`` for a multiple of an increasing function of an affine argument, plus a constant."""
        moving = [node for node in difference.atoms(*_INCREASING) if self.time in node.free_symbols]
        if len(moving) != 1:
            return relation
        (node,) = moving
        value, argument = sp.Dummy(real=True), node.args[0]
        replaced = difference.xreplace({node: value})
        factor, slope = affine_slope(replaced, value), affine_slope(argument, self.time)
        if factor is None or slope is None or self.time in replaced.free_symbols or factor == 0 or len(node.args) != 1:
            return relation
        level = -replaced.xreplace({value: sp.S.Zero}) / factor
        place = (_INCREASING[type(node)](level) - argument.xreplace({self.time: sp.S.Zero})) / slope
        if difference not in self.switches:
            self.switches[difference] = Switch(self._new_regime(), difference, factor * slope, place)
        return self.switches[difference].regime > _HALF
