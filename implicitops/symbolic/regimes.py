"""Conditions on the time, or on another variable that runs one way, as tests of regimes that are constant in between.

A condition that compares the variable with an expression of the parameters changes at one place, where its regime
goes from 0 to 1; a function such as floor changes at infinitely many, evenly spaced, where its regime counts on.
Other conditions are located in :mod:`implicitops.symbolic.locating` and :mod:`implicitops.symbolic.periodic`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean

from implicitops.symbolic.cases import BY_CASES, CUTS, JUMPS, KINKS, cases_of, map_relations, piecewise, split

_HALF = sp.S.Half


@dataclass(frozen=True)
class Switch:
    """A time at which the right-hand side changes its form, or all times of a period.

    Parameters
    ----------
    regime : Symbol
        1 in a stretch of time where ``expression`` is positive, and 0 where it is negative; with a period it is
        floor(expression)
    expression : Expr s(t, p), affine in t
    slope : Expr of p, ds/dt; where it is 0 there is no such time
    time : Expr of p, the zero of s
    period : Expr of p or None
        With a period the regime changes at time + k*period for all whole numbers k, where s is k
    """

    regime: sp.Symbol
    expression: sp.Expr
    slope: sp.Expr
    time: sp.Expr
    period: sp.Expr | None = None


class Rewriter:
    """Replaces conditions on the time by regimes, and collects the switches.

    Parameters
    ----------
    time : Symbol, the time or another variable along which conditions change
    states : sequence of Symbol; a condition that contains one of them is not of the time alone
    prefix : str, how the names of regimes begin

    Attributes
    ----------
    switches : dict of s(t, p) to its Switch, of floor(s(t, p)) if it has a period
    is_closed : bool, no new switches are made, and what would need one stays as it is
    """

    def __init__(self, time: sp.Symbol, states: Sequence[sp.Symbol], prefix: str = "r") -> None:
        self.time = time
        self.states = set(states)
        self.prefix = prefix
        self.switches: dict[sp.Expr, Switch] = {}
        self.is_closed = False

    def expression(self, node: sp.Expr) -> sp.Expr:
        """Expression whose conditions on the time alone are tests of regimes."""
        if not self._may_switch(node):
            return node
        if isinstance(node, sp.Piecewise):
            return self._piecewise(node)
        if isinstance(node, (*JUMPS, *CUTS, *KINKS)) and self._is_of_time_alone(node):
            switches = dict(self.switches)
            rewritten = self._piecewise(node)
            if not any(self._is_of_time_alone(relation) for relation in rewritten.atoms(Relational)):
                return rewritten
            self.switches = switches  # a kink at an unknown time is better left to the function itself
        return node.func(*(self.expression(argument) for argument in node.args))

    def _piecewise(self, node: sp.Expr) -> sp.Expr:
        return piecewise([(self.expression(e), map_relations(c, self.relation)) for e, c in cases_of(node)])

    def relation(self, relation: Relational) -> Boolean:
        """Relation of the time alone as a test of a regime; others with their sides rewritten."""
        if not self._is_of_time_alone(relation):
            sides = (self.expression(side) for side in relation.args)
            return relation.func(*sides) if self._may_switch(relation) else relation
        if isinstance(relation, (sp.Eq, sp.Ne)):
            constant = relation.func(*(self.expression(side) for side in relation.args))
            if self.time not in constant.free_symbols:
                return constant
            # For one instant; in the right-hand side that is nothing.
            return relation if self.is_closed else sp.sympify(isinstance(relation, sp.Ne))
        difference = sp.expand(relation.gts - relation.lts)
        if self.time not in difference.free_symbols:
            return difference > 0 if relation.rel_op in (">", "<") else difference >= 0
        slope = affine_slope(difference, self.time)
        if slope is None:
            nodes = [n for n in sp.postorder_traversal(relation) if isinstance(n, BY_CASES) and n.has(self.time)]
            return map_relations(split(relation, nodes[0]), self.relation) if nodes else relation
        found = self._side(difference, slope)
        return relation if found is None else found

    def _side(self, difference: sp.Expr, slope: sp.Expr) -> Boolean | None:
        """``difference > 0`` for an affine function of the time; None if that needs a switch that may not be made."""
        # A sign and a scale that make s = t - tau out of tau > t, t < tau and 2*t > 2*tau alike.
        scale = slope if slope.is_number else slope.as_coeff_Mul()[0]
        if (slope / scale).could_extract_minus_sign():
            scale = -scale
        switch = self._switch(sp.expand(difference / scale), sp.expand(slope / scale))
        if switch is None:
            return None
        return switch.regime > _HALF if scale > 0 else switch.regime < _HALF

    def _switch(self, expression: sp.Expr, slope: sp.Expr) -> Switch | None:
        if expression not in self.switches and not self.is_closed:
            time = sp.expand(slope * self.time - expression) / slope
            self.switches[expression] = Switch(self._new_regime(), expression, slope, time)
        return self.switches.get(expression)

    def _new_regime(self) -> sp.Symbol:
        return sp.Symbol(f"{self.prefix}{len(self.switches)}", real=True)

    def _may_switch(self, node: sp.Basic) -> bool:
        return bool(node.has(self.time) and node.has(*BY_CASES, Relational))

    def _is_of_time_alone(self, node: sp.Basic) -> bool:
        symbols = node.free_symbols
        return self.time in symbols and not symbols & self.states


def affine_slope(difference: sp.Expr, time: sp.Symbol) -> sp.Expr | None:
    """Coefficient of the time in an affine expression; None for any other."""
    slope = sp.expand(difference.diff(time))
    is_affine = time not in slope.free_symbols and time not in sp.expand(difference - slope * time).free_symbols
    return slope if is_affine else None
