"""Right-hand sides that change their form where the solution crosses a surface: which ones, and what holds between.

A condition that switching.py leaves in place, on states or on the time, is a comparison whose difference s(t, y, q)
changes its sign on a surface. Each is replaced by a test of one Symbol, its regime, which the solver keeps over a step
and changes where the step meets the surface (csrc/ode_surfaces.h). Nothing here integrates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean

from implicitops.symbolic.cases import BY_CASES, JUMPS, cases_of, map_relations, piecewise, split_extremum

_HALF = sp.S.Half

#: More conditions than these are left to step control: each costs as much as the right-hand side of a state, and a
#: solution that crosses one of them all the time would never take a whole step.
MOST_SURFACES = 64


@dataclass(frozen=True)
class Surfaces:
    """Right-hand sides that are smooth as long as no regime changes.

    Parameters
    ----------
    rhs : tuple of Expr of states, parameters, time and regimes
    expressions : tuple of Expr s(t, y, q), one for each regime, which is 1 where s is positive, else 0
    regimes : tuple of Symbol
    n_guards : int, how many of them, at the end, a solution must not cross where it is differentiated
    """

    rhs: tuple[sp.Expr, ...]
    expressions: tuple[sp.Expr, ...]
    regimes: tuple[sp.Symbol, ...]
    n_guards: int = 0


def surfaces_of(rhs: Sequence[sp.Expr], moving: Sequence[sp.Symbol], guards: Sequence[sp.Expr] = ()) -> Surfaces:
    """Conditions of right-hand sides as surfaces.

    Parameters
    ----------
    rhs : sequence of Expr
    moving : sequence of Symbol, the time and the states
    guards : sequence of Expr, whose zeros are surfaces on which a function is infinite

    Returns
    -------
    Surfaces, those of the guards alone if there are more than :data:`MOST_SURFACES` others

    Examples
    --------
    >>> import sympy as sp
    >>> from implicitops.symbolic.surfaces import surfaces_of
    >>> t, x, h = sp.symbols("t x h", real=True)
    >>> surfaces = surfaces_of([sp.Max(x - h, 0), sp.Piecewise((1, x > h), (0, True))], [t, x])
    >>> surfaces.rhs
    (Piecewise((0, c0 < 1/2), (-h + x, True)), Piecewise((1, c0 > 1/2), (0, True)))
    >>> surfaces.expressions
    (-h + x,)
    """
    for splits in (True, False):
        rewriter = _Rewriter(frozenset(moving), splits)
        rewritten = tuple(map(rewriter.expression, rhs))
        found = rewriter.regimes
        if len(found) <= MOST_SURFACES:
            break
    else:
        rewritten, found = tuple(rhs), {}
    more = tuple(sp.Symbol(f"c{len(found) + k}", real=True) for k in range(len(guards)))
    return Surfaces(rewritten, (*found, *guards), (*found.values(), *more), len(guards))


class _Rewriter:
    """Replaces conditions by tests of regimes, and collects what decides them.

    Parameters
    ----------
    moving : frozenset of Symbol
    splits : bool, a comparison that contains Abs(x - a) becomes several that are smooth where x is a

    Attributes
    ----------
    regimes : dict of surface to its regime
    """

    def __init__(self, moving: frozenset[sp.Symbol], splits: bool) -> None:
        self.moving = moving
        self.splits = splits
        self.regimes: dict[sp.Expr, sp.Symbol] = {}

    def expression(self, node: sp.Expr) -> sp.Expr:
        """Expression whose conditions on what moves are tests of regimes."""
        if not node.has(*BY_CASES) or not self._moves(node):
            return node
        if isinstance(node, JUMPS):
            # With their own value where the argument is 0, at which a solution may rest.
            u = node.args[0]
            cases = [(value, u > 0) if value == 1 else (value, u < 0) for value, _ in cases_of(node)]
            cases.append((node.xreplace({u: sp.S.Zero}), sp.true))
        elif isinstance(node, BY_CASES):
            cases = cases_of(node)
        else:
            return node.func(*map(self.expression, node.args))
        return piecewise([(self.expression(e), map_relations(c, self.relation)) for e, c in cases])

    def relation(self, relation: Relational) -> Boolean:
        """Comparison of what moves as tests of regimes; others as they are."""
        if not self._moves(relation) or isinstance(relation, (sp.Eq, sp.Ne)):
            return relation
        is_strict = relation.rel_op in (">", "<")
        difference = relation.gts - relation.lts
        if difference.has(sp.oo, -sp.oo, sp.zoo, sp.nan) or not self._moves(difference):
            return relation
        comparison = difference > 0 if is_strict else difference >= 0
        parts = self._split(comparison) if self.splits and isinstance(comparison, Relational) else None
        if parts is not None:
            return map_relations(parts, self.relation)
        # a >= b is the contrary of b > a, so that a solution that rests where both are equal finds the piece as stated.
        surface = difference if is_strict else relation.lts - relation.gts
        regime = self.regimes.setdefault(surface, sp.Symbol(f"c{len(self.regimes)}", real=True))
        return regime > _HALF if is_strict else regime < _HALF

    def _split(self, comparison: Relational) -> Boolean | None:
        """Comparison with kinks, between which it may come and go unseen, as comparisons without; None if it stays.

        If it stays, the kinks and jumps in it are surfaces too, so that steps end there and see which side holds.
        """
        cases = {n: cases_of(n) for n in sp.preorder_traversal(comparison.lhs) if isinstance(n, BY_CASES)}
        moving = [n for n in cases if any(self._moves(condition) for _, condition in cases[n])]
        if math.prod(len(cases[n]) for n in moving) <= MOST_SURFACES:
            splits = (split_extremum(comparison, n) for n in moving)
            parts = next((part for part in splits if part is not None), None)
            if parts is not None:
                return parts
        conditions = [condition for node in moving for _, condition in cases[node]]
        for condition in (*conditions, *self._vertex(comparison.lhs)):
            map_relations(condition, self.relation)
        return None

    def _vertex(self, difference: sp.Expr) -> list[Boolean]:
        """Condition that changes at the extremum of a function of one even power, such as h - (x - a)**2."""
        powers = [p for p in difference.atoms(sp.Pow) if p.exp.is_Integer and p.exp.is_even and self._moves(p)]
        if len(powers) != 1 or self._moves(difference.xreplace({powers[0]: sp.Dummy()})):
            return []
        return [powers[0].base > 0]

    def _moves(self, node: sp.Basic) -> bool:
        return not node.free_symbols.isdisjoint(self.moving)
