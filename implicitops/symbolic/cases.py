"""Functions that are defined by cases, as Piecewise; and conditions, as relations. No calculus lives here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean

Case = tuple[sp.Expr, Boolean]

#: Continuous where their arguments are.
KINKS = (sp.Abs, sp.Max, sp.Min)

#: Jump where their argument changes sign.
JUMPS = (sp.Heaviside, sp.sign)

#: Jump across a line that real arguments can cross: where acot's is 0, arg's changes sign, and where y of atan2(y, x)
#: changes sign while x is negative.
CUTS = (sp.acot, sp.arg, sp.atan2)

#: Jump at infinitely many values of their argument.
STEPS = (sp.floor, sp.ceiling, sp.frac, sp.Mod)

#: Functions that :func:`cases_of` knows the pieces of.
BY_CASES = (sp.Piecewise, *JUMPS, *CUTS, *KINKS)


def cases_of(node: sp.Expr) -> list[Case]:
    """Pieces of a function that is defined by cases, in the form of Piecewise: the first true condition counts.

    Where two pieces meet, a jump takes the value of one side; each piece goes on smoothly beyond.
    """
    if isinstance(node, sp.Piecewise):
        return [(piece.expr, piece.cond) for piece in node.args]
    u = node.args[0]
    if isinstance(node, CUTS):
        return _cut_cases(node)
    if isinstance(node, sp.Abs):
        return [(u, u > 0), (-u, sp.true)]
    if isinstance(node, sp.Heaviside):
        return [(sp.S.One, u > 0), (sp.S.Zero, sp.true)]
    if isinstance(node, sp.sign):
        return [(sp.S.One, u > 0), (sp.S.NegativeOne, sp.true)]
    return _extremum_cases(node)


def _cut_cases(node: sp.Expr) -> list[Case]:
    u = node.args[0]
    if isinstance(node, sp.acot):
        return [(sp.pi / 2 - sp.atan(u), u >= 0), (-sp.pi / 2 - sp.atan(u), sp.true)]
    if isinstance(node, sp.arg):
        return [(sp.S.Zero, u > 0), (sp.pi, sp.true)]
    y, x = node.args
    # Twice the angle at the circumference, on the side where its denominator is not zero.
    radius = sp.sqrt(x**2 + y**2)
    left = 2 * sp.atan(y / (x - radius))
    return [(2 * sp.atan(y / (x + radius)), x > 0), (sp.pi + left, y >= 0), (left - sp.pi, sp.true)]


def _extremum_cases(node: sp.Expr) -> list[Case]:
    # The arguments of Max and Min are a set to SymPy, whose order may differ between processes.
    arguments = sorted(node.args, key=sp.default_sort_key)
    cases = []
    for position, own in enumerate(arguments[:-1]):
        others = arguments[position + 1 :]
        wins = [own >= other if isinstance(node, sp.Max) else own <= other for other in others]
        cases.append((own, sp.And(*wins)))
    return [*cases, (arguments[-1], sp.true)]


def piecewise(cases: Sequence[Case]) -> sp.Expr:
    """Piecewise of some cases, as they are, without those that cannot be reached."""
    reachable: list[Case] = []
    for expression, condition in cases:
        if condition == sp.false:
            continue
        reachable.append((expression, condition))
        if condition == sp.true:
            break
    if reachable and reachable[0][1] == sp.true:
        return reachable[0][0]
    return sp.Piecewise(*reachable, evaluate=False) if reachable else sp.nan


def map_relations(condition: Boolean, function: Callable[[Relational], Boolean]) -> Boolean:
    """Condition with each of its relations replaced."""
    if isinstance(condition, Relational):
        return function(condition)
    if isinstance(condition, sp.Contains):
        return map_relations(condition.args[1].as_relational(condition.args[0]), function)
    if not condition.args:
        return condition
    return condition.func(*(map_relations(argument, function) for argument in condition.args))


def split(relation: Relational, node: sp.Expr) -> Boolean:
    """Relation that contains a function defined by cases, as a combination of relations without it.

    Parameters
    ----------
    relation : Relational, none of equality
    node : Expr, the function, a part of the relation

    Returns
    -------
    Boolean

    Examples
    --------
    >>> import sympy as sp
    >>> from implicitops.symbolic.cases import split
    >>> x, h = sp.symbols("x h", real=True)
    >>> split(sp.Abs(x) < h, sp.Abs(x))
    (x < h) & (-x < h)
    >>> split(x * sp.sign(x - h) < 3, sp.sign(x - h))
    ((x < 3) & (-h + x > 0)) | ((-x < 3) & (-h + x <= 0))
    """
    without_cases = split_extremum(relation, node)
    if without_cases is not None:
        return without_cases
    alternatives, earlier = [], sp.true
    for expression, condition in cases_of(node):
        alternatives.append(sp.And(earlier, condition, relation.xreplace({node: expression})))
        earlier = sp.And(earlier, sp.Not(condition))
    return sp.Or(*alternatives)


def split_extremum(relation: Relational, node: sp.Expr) -> Boolean | None:
    """Relation that is monotonic in Max(a, b), Min(a, b) or Abs(a), as one with a and, or or, one with b.

    It takes no condition that says which of them it is. None if the relation is not seen to be monotonic.

    Parameters
    ----------
    relation : Relational, none of equality
    node : Expr, a part of the relation

    Returns
    -------
    Boolean or None
    """
    if not isinstance(node, KINKS):
        return None
    value = sp.Dummy(real=True)
    difference = (relation.gts - relation.lts).xreplace({node: value})
    if not difference.is_polynomial(value):
        return None
    slope = difference.diff(value)
    if not (slope.is_nonnegative or slope.is_nonpositive):
        return None
    arguments = (node.args[0], -node.args[0]) if isinstance(node, sp.Abs) else node.args
    relations = (relation.xreplace({node: argument}) for argument in arguments)
    both = bool(slope.is_nonnegative) == isinstance(node, sp.Min)
    return sp.And(*relations) if both else sp.Or(*relations)
