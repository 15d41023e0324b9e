"""Right-hand sides that change their form where the solution crosses a surface: which ones, and what holds between.

A condition that switching.py leaves in place, on states or on the time, is a comparison whose difference s(t, y, q)
changes its sign on a surface. Each is replaced by a test of one Symbol, its regime, which the solver keeps over a step
and changes where the step meets the surface (csrc/ode_surfaces.h). Nothing here integrates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean

from implicitops.symbolic.cases import CUTS, JUMPS, KINKS, cases_of, map_relations, piecewise

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
    rewriter = _Rewriter(frozenset(moving))
    rewritten = tuple(map(rewriter.expression, rhs))
    found = rewriter.regimes
    if len(found) > MOST_SURFACES:
        rewritten, found = tuple(rhs), {}
    more = tuple(sp.Symbol(f"c{len(found) + k}", real=True) for k in range(len(guards)))
    return Surfaces(rewritten, (*found, *guards), (*found.values(), *more), len(guards))


class _Rewriter:
    """Replaces conditions by tests of regimes, and collects what decides them."""

    def __init__(self, moving: frozenset[sp.Symbol]) -> None:
        self.moving = moving
        self.regimes: dict[sp.Expr, sp.Symbol] = {}

    def expression(self, node: sp.Expr) -> sp.Expr:
        """Expression whose conditions on what moves are tests of regimes."""
        if not node.has(sp.Piecewise, *JUMPS, *CUTS, *KINKS) or node.free_symbols.isdisjoint(self.moving):
            return node
        if isinstance(node, (sp.Piecewise, *CUTS, *KINKS)):
            cases = cases_of(node)
        elif isinstance(node, JUMPS):
            # With their own value where the argument is 0, at which a solution may rest.
            u = node.args[0]
            cases = [(value, u > 0) if value == 1 else (value, u < 0) for value, _ in cases_of(node)]
            cases.append((node.xreplace({u: sp.S.Zero}), sp.true))
        else:
            return node.func(*map(self.expression, node.args))
        return piecewise([(self.expression(e), map_relations(c, self.relation)) for e, c in cases])

    def relation(self, relation: Relational) -> Boolean:
        """Comparison of what moves as a test of its regime; others as they are."""
        if relation.free_symbols.isdisjoint(self.moving) or isinstance(relation, (sp.Eq, sp.Ne)):
            return relation
        is_strict = relation.rel_op in (">", "<")
        # a >= b is the contrary of b > a, so that a solution that rests where both are equal finds the piece as stated.
        difference = relation.gts - relation.lts if is_strict else relation.lts - relation.gts
        if difference.has(sp.oo, -sp.oo, sp.zoo, sp.nan) or difference.free_symbols.isdisjoint(self.moving):
            return relation
        regime = self.regimes.setdefault(difference, sp.Symbol(f"c{len(self.regimes)}", real=True))
        return regime > _HALF if is_strict else regime < _HALF
