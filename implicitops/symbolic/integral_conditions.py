"""Whether the derivatives of an integral can be had by differentiating under it, where its integrand has conditions.

Where a condition changes at a place that is known, that place is a point of the mesh, which moves along with it. At
any other place that depends on the parameters, or that the mesh passes over when it moves, a jump of the integrand
adds a term to the first derivative, and a kink adds one to the second, that no node sees.
"""

from __future__ import annotations

import itertools

import sympy as sp
from sympy.core.relational import Relational

from implicitops.errors import DifferentiabilityError
from implicitops.problems.integral import Integral
from implicitops.symbolic.cases import CUTS, JUMPS, KINKS, STEPS
from implicitops.symbolic.continuity import Continuity
from implicitops.symbolic.integral import Level, integral_functions_of


def require_differentiable_integral(problem: Integral, order: int) -> tuple[sp.Expr, ...]:
    """Raise DifferentiabilityError if derivatives under the integral would miss a jump.

    Parameters
    ----------
    problem : Integral
    order : 1 or 2, the highest order of derivative that is wanted

    Returns
    -------
    tuple of Expr in canonical Symbols, which must not change their signs between two points: only the break points of
    the statement say where they do

    Raises
    ------
    DifferentiabilityError : which part of the integrand it is, and what to do

    Examples
    --------
    >>> import sympy as sp, implicitops as iop
    >>> from implicitops.symbolic.integral_conditions import require_differentiable_integral
    >>> x, p = sp.symbols("x p")
    >>> require_differentiable_integral(iop.Integral(sp.Abs(sp.sin(p*x)), (x, 0, 4/p), [p], breakpoints=[sp.pi/p]), 2)
    (sin(p0*x0),)
    """
    quadrature = integral_functions_of(problem)
    levels = _one_of_each(quadrature.outermost)
    moving: list[sp.Symbol] = list(quadrature.statement.parameters)
    watched: list[sp.Expr] = []
    for level in levels:
        parts = (
            *quadrature.located.expressions,
            *(e for pair in quadrature.located.limits[: level.depth] for e in pair),
        )
        for part in parts:
            failure = _not_smooth(level, part, tuple(moving), order)
            if failure is not None:
                deciding = _stated_conditions(problem, level, part)
                if not deciding:
                    raise _error(problem, level, failure, order)
                watched.extend(deciding)
        if level.mapping.is_moving:
            moving.append(level.variable)
    if order >= 2 and len(levels) > 1:
        _require_no_entering_jump(problem, levels)
    return tuple(dict.fromkeys(watched))


def _stated_conditions(problem: Integral, level: Level, expression: sp.Expr) -> list[sp.Expr]:
    """What decides the conditions on the variable, if each is 0 at a break point of the statement; else nothing."""
    if not problem.breakpoints:
        return []
    deciding: list[sp.Expr] = []
    for node in sorted(expression.atoms(Relational, *JUMPS, *CUTS, *KINKS, *STEPS), key=sp.default_sort_key):
        if level.variable not in node.free_symbols:
            continue
        if isinstance(node, STEPS):
            return []
        pairs = (
            itertools.combinations(node.args, 2)
            if isinstance(node, (Relational, sp.Max, sp.Min))
            else [(node.args[0], 0)]
        )
        deciding.extend(left - right for left, right in pairs)
    stated = level.points[: level.n_stated]
    values = ([difference.xreplace({level.variable: point}) for point in stated] for difference in deciding)
    return deciding if all(any(sp.simplify(value) == 0 for value in each) for each in values) else []


def _one_of_each(level: Level) -> list[Level]:
    """A level for each variable, outermost first."""
    levels = [level]
    while levels[-1].inside:
        candidates = [inside for inside in levels[-1].inside if inside is not None]
        levels.append(max(candidates, key=lambda candidate: candidate.mapping.is_moving))
    return levels


def _not_smooth(level: Level, expression: sp.Expr, moving: tuple[sp.Symbol, ...], order: int) -> sp.Expr | None:
    """Part of an expression that may jump, or have a kink for order 2, where no point of the mesh is."""
    passes = (level.variable,) if level.mapping.is_moving else ()
    return Continuity(passes, moving, level.variable, order).failure(expression)


def _error(problem: Integral, level: Level, part: sp.Expr, order: int) -> DifferentiabilityError:
    needed, what = ("", "continuous") if order == 1 else (" and kinks", "continuously differentiable")
    name = _variable(problem, level)
    return DifferentiabilityError(
        f"derivatives of order {order} need integrands without jumps{needed} at places that are not known beforehand, "
        f"but {_readable(problem, part)} is not {what} where its condition changes, as far as SymPy can tell. The "
        "value can be computed, this derivative cannot. Give all places where it changes as breakpoints=[...]; or a "
        f"condition that is affine in {name}, whose place is found by itself; or replace it by a steep smooth function "
        "such as 1/(1 + exp(-k*u))."
    )


def _require_no_entering_jump(problem: Integral, levels: list[Level]) -> None:
    """An inner integral has a kink where a jump of its integrand enters its range, at a place that is not known."""
    statement = integral_functions_of(problem).statement
    outer: set[sp.Symbol] = set()
    for level in levels:
        entering = [switch for switch, _ in level.switches if _enters(level, outer)]
        for integrand in map(statement.translate, problem.integrands) if entering else ():
            jump = Continuity((level.variable,), statement.parameters, level.variable).failure(integrand)
            if jump is not None:
                name = _variable(problem, level)
                raise DifferentiabilityError(
                    "second derivatives of an iterated integral need an integrand without jumps; "
                    f"{_readable(problem, jump)} jumps inside the range of {name}, which makes a kink of the inner "
                    "integral where it leaves that range. Value and first derivatives can be computed. Write each side "
                    "of the jump as an integral of its own, with the place of the jump as a limit."
                )
        outer.add(level.mapping.distance)


def _enters(level: Level, outer: set[sp.Symbol]) -> bool:
    """Whether a point of an inner level moves against its limits with an outer variable, and with the parameters."""
    symbols: set[sp.Symbol] = set().union(*(point.free_symbols for point in level.points))
    moving = {*level.parameters, *(mapping.distance for mapping in level.outer if mapping.is_moving)}
    return bool(symbols & outer) and bool(symbols & moving)


def _readable(problem: Integral, part: sp.Basic) -> sp.Basic:
    """Part of a rewritten expression in the user's Symbols."""
    return integral_functions_of(problem).statement.original(part)


def _variable(problem: Integral, level: Level) -> sp.Symbol:
    return problem.variables[level.depth]
