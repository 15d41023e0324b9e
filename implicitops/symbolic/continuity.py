"""Whether an expression is provably smooth where one of its conditions changes. SymPy simplifies here, and only here.

The conditions compare a level, a function of states and time, with thresholds, which depend on parameters alone. The
values of the level between two neighbouring thresholds form a stretch; the pieces that hold in neighbouring stretches
have to agree where the level is equal to the threshold.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp
from sympy.core.relational import Relational

from implicitops.codegen import differentiate
from implicitops.symbolic.cases import CUTS, JUMPS, KINKS, STEPS, cases_of, map_relations, piecewise
from implicitops.symbolic.singularities import behaviour_of, with_moduli

_BY_CASES = (*JUMPS, *CUTS, *KINKS)

#: More conditions than these in one term are not looked at one combination at a time.
_MAX_THRESHOLDS, _MAX_CONDITIONS = 4, 6

Truths = Mapping[Relational, bool]


@dataclass(frozen=True)
class _Comparison:
    """level > threshold (or >=) if ``is_above``, level < threshold (or <=) otherwise."""

    level: sp.Expr
    threshold: sp.Expr
    is_above: bool


_Comparisons = Mapping[Relational, _Comparison]


@dataclass(frozen=True)
class Continuity:
    """What moves, and how smooth expressions have to be.

    Conditions on anything else than what moves may jump: on parameters alone they hold during the whole integration,
    and on the time alone they change at a time without a derivative, which matters only where ``times_move``.

    Parameters
    ----------
    states : tuple of Symbol
    parameters : tuple of Symbol
    time : Symbol
    order : 1 if expressions have to be continuous, 2 if their derivatives as well
    states_move : bool, conditions on states are looked at as well
    times_move : bool, conditions on the time and numbers are looked at as well
    """

    states: tuple[sp.Symbol, ...]
    parameters: tuple[sp.Symbol, ...]
    time: sp.Symbol
    order: int = 1
    states_move: bool = True
    times_move: bool = False

    def failure(self, node: sp.Expr) -> sp.Expr | None:
        """Smallest part of an expression that keeps it from being provably smooth; None if it is smooth."""
        return self._failure(with_moduli(node))

    def is_unknown(self, node: sp.Basic) -> bool:
        """Whether a function is none of which it is known where it jumps."""
        if not isinstance(node, sp.Function) or isinstance(node, (sp.Piecewise, *_BY_CASES, *STEPS)):
            return False
        return self.states_move and self.moves(node) and behaviour_of(node) is None

    def _failure(self, node: sp.Expr) -> sp.Expr | None:
        if not any(map(self.moves, node.atoms(Relational, *_BY_CASES, *STEPS))) and not self._has_unknown(node):
            return None
        if (isinstance(node, STEPS) and self.moves(node)) or self.is_unknown(node):
            return node
        arguments: Sequence[sp.Basic] = node.args
        if isinstance(node, sp.Piecewise) and not any(map(self.moves, _conditions(node))):
            arguments = [piece.expr for piece in node.args]
        elif isinstance(node, (sp.Piecewise, *JUMPS, *CUTS)) or (isinstance(node, KINKS) and self.order > 1):
            part = next((part for part in map(self._unknown_in, node.args) if part is not None), None)
            return part or (None if self._is_smooth(node) else node)
        # A function of smooth arguments is smooth; a product may be, with factors that are not.
        parts = (self._failure(argument) for argument in arguments)
        part = next((part for part in parts if part is not None), None)
        if part is None:
            return node if self._divides_at_a_kink(node) and not self._is_smooth(node) else None
        return part if self._has_unknown(part) or not self._is_smooth(node) else None

    def _has_unknown(self, node: sp.Basic) -> bool:
        return self._unknown_in(node) is not None

    def _unknown_in(self, node: sp.Basic) -> sp.Basic | None:
        if not self.states_move:
            return None
        unknown = [part for part in node.atoms(sp.Function) if self.is_unknown(part)]
        return min(unknown, key=sp.default_sort_key) if unknown else None

    def _divides_at_a_kink(self, node: sp.Expr) -> bool:
        """Whether a kink is where a denominator, the argument of a logarithm or that of a root is 0, as in x/Abs(x)."""
        factors = sp.Mul.make_args(node)
        bases = [power.base for power in factors if power.is_Pow and not _is_smooth_power(power.exp)]
        bases += [factor.args[0] for factor in factors if isinstance(factor, sp.log)]
        if not bases or not node.has(sp.Piecewise, *KINKS):
            return False
        relations = [relation for relation in _relations(self._as_piecewise(node)) if self.moves(relation)]
        kinks = {_boundary(self._comparison(relation)) for relation in relations}
        return any(_is_zero_on(base, *kink, self.states) for kink in kinks for base in bases)

    def moves(self, node: sp.Basic) -> bool:
        """Whether a condition changes at a time that matters."""
        symbols = node.free_symbols
        if not symbols.isdisjoint(self.states):
            return self.states_move
        return self.time in symbols and (self.times_move or not symbols.isdisjoint(self.parameters))

    def _is_smooth(self, node: sp.Expr) -> bool:
        expression = self._as_piecewise(node)
        if any(map(self.moves, expression.atoms(*STEPS))):
            return False
        relations = _relations(expression)
        moving = {relation: self._comparison(relation) for relation in relations if self.moves(relation)}
        fixed = {relation: _fixed_comparison(relation) for relation in relations if relation not in moving}
        levels = {comparison.level for comparison in moving.values()}
        return all(self._is_smooth_across(level, expression, moving, fixed) for level in levels)

    def _as_piecewise(self, node: sp.Expr) -> sp.Expr:
        """Expression with all that moves as Piecewise, and without conditions that hold for an instant only."""
        if isinstance(node, sp.Piecewise) or (isinstance(node, _BY_CASES) and self.moves(node)):
            return piecewise([(self._as_piecewise(e), map_relations(c, self._as_relation)) for e, c in cases_of(node)])
        if not node.args or not node.has(sp.Piecewise, *_BY_CASES):
            return node
        return node.func(*map(self._as_piecewise, node.args))

    def _as_relation(self, relation: Relational) -> sp.Basic:
        if isinstance(relation, (sp.Eq, sp.Ne)):
            return sp.sympify(isinstance(relation, sp.Ne)) if self.moves(relation) else relation
        difference = sp.expand(relation.gts - relation.lts)
        return relation if self.moves(relation) == self.moves(difference) else difference > 0

    def _comparison(self, relation: Relational) -> _Comparison:
        terms = sp.Add.make_args(sp.expand(relation.gts - relation.lts))
        level = sp.Add(*(term for term in terms if term.has(*self.states, self.time)))
        threshold = -sp.Add(*(term for term in terms if not term.has(*self.states, self.time)))
        scale = min(sp.Add.make_args(level), key=sp.default_sort_key).as_coeff_Mul()[0]
        return _Comparison(sp.expand(level / scale), sp.expand(threshold / scale), bool(scale > 0))

    def _is_smooth_across(self, level: sp.Expr, expression: sp.Expr, moving: _Comparisons, fixed: _Comparisons) -> bool:
        own = {relation: found for relation, found in moving.items() if found.level == level}
        others = {relation: found for relation, found in {**moving, **fixed}.items() if relation not in own}
        thresholds = sorted({found.threshold for found in own.values()}, key=sp.default_sort_key)
        if len(thresholds) > _MAX_THRESHOLDS or len(set(map(_boundary, others.values()))) > _MAX_CONDITIONS:
            return False
        combinations = _combinations(others)
        for order in _usual_orders(thresholds, expression, own, combinations):
            stretches = [_truths(own, order, position) for position in range(len(order) + 1)]
            for rest in combinations:
                pieces = [_resolved(expression, {**rest, **stretch}) for stretch in stretches]
                for threshold, before, after in zip(order, pieces, pieces[1:]):
                    if before != after and not self._vanishes(after - before, level, threshold):
                        return False
        return True

    def _vanishes(self, difference: sp.Expr, level: sp.Expr, threshold: sp.Expr) -> bool:
        """Whether a difference of two pieces, and its derivatives if they matter, are 0 where level = threshold."""
        if not _is_zero_on(difference, level, threshold, self.states):
            return False
        if self.order == 1:
            return True
        symbols = sorted(difference.free_symbols | level.free_symbols, key=str)
        return all(_is_zero_on(differentiate(difference, symbol), level, threshold, self.states) for symbol in symbols)


def _is_smooth_power(exponent: sp.Expr) -> bool:
    """Whether u**exponent has a derivative at u = 0."""
    return bool(exponent.is_number and (exponent - 1).is_nonnegative)


def _conditions(node: sp.Piecewise) -> list[sp.Basic]:
    return [piece.cond for piece in node.args]


def _relations(node: sp.Basic) -> list[Relational]:
    """Relations in the conditions of an expression's Piecewise."""
    found = {r for part in node.atoms(sp.Piecewise) for cond in _conditions(part) for r in cond.atoms(Relational)}
    return sorted(found, key=sp.default_sort_key)


def _fixed_comparison(relation: Relational) -> _Comparison:
    """Comparison with 0 of a relation that does not move, so that a relation and its negation share one boundary."""
    if isinstance(relation, (sp.Eq, sp.Ne)):
        return _Comparison(relation.lhs, relation.rhs, isinstance(relation, sp.Ne))
    difference = sp.expand(relation.gts - relation.lts)
    is_above = not difference.could_extract_minus_sign()
    return _Comparison(difference if is_above else -difference, sp.S.Zero, is_above)


def _boundary(comparison: _Comparison) -> tuple[sp.Expr, sp.Expr]:
    return comparison.level, comparison.threshold


def _combinations(comparisons: _Comparisons) -> list[dict[Relational, bool]]:
    """All ways in which conditions can hold, whichever of them may hold together."""
    boundaries = list(dict.fromkeys(map(_boundary, comparisons.values())))
    sides = (dict(zip(boundaries, truths)) for truths in itertools.product((False, True), repeat=len(boundaries)))
    return [{r: side[_boundary(c)] == c.is_above for r, c in comparisons.items()} for side in sides]


def _truths(own: _Comparisons, order: Sequence[sp.Expr], position: int) -> dict[Relational, bool]:
    """Which relations hold between two neighbouring thresholds: with ``position`` thresholds below the level."""
    below = order[:position]
    return {relation: (found.threshold in below) == found.is_above for relation, found in own.items()}


def _usual_orders(
    thresholds: Sequence[sp.Expr],
    expression: sp.Expr,
    own: _Comparisons,
    combinations: Sequence[Truths],
) -> list[tuple[sp.Expr, ...]]:
    """Orders of the thresholds that leave as few pieces as possible without a place.

    In Piecewise((0, x < a), (x - a, x < b), (b - a, True)), somebody who writes the second piece means a < b.
    """
    reached: dict[tuple[sp.Expr, ...], int] = {}
    for order in itertools.permutations(thresholds):
        if any((first - second).is_positive for first, second in itertools.combinations(order, 2)):
            continue
        pieces = set()
        for position, rest in itertools.product(range(len(order) + 1), combinations):
            truths = {**rest, **_truths(own, order, position)}
            pieces |= {(part, _chosen(part, truths)) for part in expression.atoms(sp.Piecewise)}
        reached[order] = len(pieces)
    most = max(reached.values(), default=0)
    return [order for order, count in reached.items() if count == most]


def _chosen(node: sp.Piecewise, truths: Truths) -> int | None:
    """Position of the piece that holds."""
    values = {relation: sp.sympify(value) for relation, value in truths.items()}
    conditions: Iterator[sp.Basic] = (piece.cond.xreplace(values) for piece in node.args)
    return next((position for position, condition in enumerate(conditions) if condition == sp.true), None)


def _resolved(node: sp.Expr, truths: Truths) -> sp.Expr:
    """Expression without Piecewise, where it is known which relations hold."""
    if not node.has(sp.Piecewise):
        return node
    if isinstance(node, sp.Piecewise):
        position = _chosen(node, truths)
        return sp.nan if position is None else _resolved(node.args[position].expr, truths)
    return node.func(*(_resolved(argument, truths) for argument in node.args))


@lru_cache(maxsize=1024)
def _is_zero_on(expression: sp.Expr, level: sp.Expr, threshold: sp.Expr, states: tuple[sp.Symbol, ...]) -> bool:
    """Whether an expression is provably 0 where level = threshold."""
    expression, level, threshold = (sp.nsimplify(e, rational=True) for e in (expression, level, threshold))
    if _is_zero(expression) or _is_zero(expression.subs(level, threshold)):
        return True
    boundary = level - threshold
    symbols = sorted(boundary.free_symbols, key=lambda symbol: (symbol not in states, str(symbol)))
    for symbol in symbols:
        slope = sp.expand(boundary.diff(symbol))
        is_affine = symbol not in slope.free_symbols and slope != 0
        if is_affine and _is_zero(expression.subs(symbol, sp.expand(symbol - boundary / slope))):
            return True
    numerator = sp.numer(sp.together(expression))
    if symbols and boundary.is_polynomial(*symbols) and numerator.is_polynomial(*symbols):
        return bool(sp.rem(numerator, boundary, *symbols) == 0)
    return False


def _is_zero(expression: sp.Expr) -> bool:
    return bool(sp.expand(expression) == 0 or sp.simplify(expression) == 0)
