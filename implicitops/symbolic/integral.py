"""Functions of a definite integral that its solver calls, on ranges that move with their ends.

Along each stretch between two neighbouring points, the limits and the break points, the variable is x = e + h u with
an end e(p) and the length h(p) of the stretch, both functions of the parameters, and u from a fixed interval. Then

    I(p) = sum over stretches of the integral of G(u, p) du,    G(u, p) = f(e + h u, p) h,

and dI/dp is the integral of the total derivative dG/dp, in which the terms that Leibniz's rule has at the ends are
contained (H. Flanders, Amer. Math. Monthly 80 (1973) 615): exactly, and also where f is infinite at a moving end. A
break point inside needs no terms of its own, for G is smooth in each stretch. Near an end, f is written in terms of
the distance h u to it, see :mod:`implicitops.symbolic.near_ends`. Nothing here integrates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import chain

import sympy as sp

from implicitops.codegen import Bundle
from implicitops.problems.integral import Integral
from implicitops.symbolic.canonical_symbols import CanonicalSymbols
from implicitops.symbolic.locating import Locator
from implicitops.symbolic.near_ends import at_distance, exact, oscillation, singular_points
from implicitops.symbolic.peaks import peak_centers
from implicitops.symbolic.regimes import Switch
from implicitops.symbolic.tape import Tape
from implicitops.symbolic.vanishing import vanishes

Symbols = tuple[sp.Symbol, ...]

#: More singular points than these are not looked for: each costs two functions.
_MAX_SINGULAR_POINTS = 6


@dataclass(frozen=True)
class Form:
    """How a variable is written: ``end + sign*d`` with d the distance to an end; for ``point`` None, d itself.

    Parameters
    ----------
    point : position of the end among the points of a level, or None
    sign : 1 or -1
    """

    point: int | None
    sign: int


class Stretch:
    """Symbols for the variable of a level where it is written by a form: its distance d = h u to an end.

    Parameters
    ----------
    depth : int, of the level: 0 for the innermost
    is_moving : bool, h depends on the parameters
    """

    def __init__(self, depth: int, is_moving: bool) -> None:
        self.depth = depth
        self.is_moving = is_moving
        self.distance, self.u, self.h = sp.symbols(f"d_{depth} u_{depth} h_{depth}", real=True)

    def derivatives(self, n: int, order: int) -> tuple[Symbols, Symbols]:
        """Symbols for the first derivatives of h by n parameters, and for the second by p_a and p_b with a <= b."""
        pairs = n * (n + 1) // 2 if order >= 2 else 0
        first = sp.symbols(f"h_{self.depth}_a0:{n if order >= 1 else 0}", real=True)
        return first, sp.symbols(f"h_{self.depth}_b0:{pairs}", real=True)

    def inputs(self, n: int, order: int) -> Symbols:
        """u, h and the derivatives of h: what a callback gets."""
        return (self.u, self.h, *chain(*self.derivatives(n, order)))


@dataclass(frozen=True)
class Level:
    """One variable of an iterated integral; the only one of a simple integral.

    Parameters
    ----------
    variable : Symbol
    parameters : tuple of Symbol
    outer : tuple of Stretch, how the variables of the levels outside are written, outermost first
    constants : tuple of Symbol, regimes of the levels outside
    expressions : tuple of Expr, the integrand
    lower, upper : Expr, which may be infinite
    points : tuple of Expr, finite limits, break points that are stated, and then those that were found
    n_stated : int, so many of the points come from the statement
    switches : tuple of (Switch, position of its point)
    scale : Expr, unit of length of an infinite range
    oscillates : bool, the integrand has a known function that oscillates
    centers : tuple of Expr, places at which a peak or a step of the integrand may stand
    depth : int, 0 for the innermost
    inside : tuple of Level, the level inside for each of ``forms``; None where there is no form or no such level
    """

    variable: sp.Symbol
    parameters: Symbols
    outer: tuple[Stretch, ...]
    constants: Symbols
    expressions: tuple[sp.Expr, ...]
    lower: sp.Expr
    upper: sp.Expr
    points: tuple[sp.Expr, ...]
    n_stated: int
    switches: tuple[tuple[Switch, int], ...]
    scale: sp.Expr
    oscillates: bool
    centers: tuple[sp.Expr, ...]
    depth: int
    inside: tuple[Level | None, ...] = ()

    @cached_property
    def mapping(self) -> Stretch:
        """How the variable is written."""
        moving = {*self.parameters, *(outer.distance for outer in self.outer if outer.is_moving)}
        points = (*self.points, self.scale)
        return Stretch(self.depth, any(not point.free_symbols.isdisjoint(moving) for point in points))

    @property
    def regimes(self) -> Symbols:
        """Regimes of this level and of those outside."""
        return (*(switch.regime for switch, _ in self.switches), *self.constants)

    @property
    def limit_points(self) -> tuple[int, int]:
        """Positions of the limits among the points; -1 for minus infinity, -2 for infinity."""
        return tuple(  # type: ignore[return-value]
            {-sp.oo: -1, sp.oo: -2}[limit] if limit.is_infinite else self.points.index(limit)
            for limit in (self.lower, self.upper)
        )

    @property
    def forms(self) -> tuple[Form | None, ...]:
        """Left and right form of each point, None where no stretch needs it; at last the variable itself."""
        lower, upper = self.limit_points
        forms: list[Form | None] = []
        for k in range(len(self.points)):
            is_limit = k in (lower, upper)
            forms.append(Form(k, 1) if not is_limit or k == lower else None)
            forms.append(Form(k, -1) if not is_limit or k == upper else None)
        return (*forms, Form(None, 1) if lower < 0 and upper < 0 else None)

    def inputs(self, order: int) -> Symbols:
        """What the level is solved for: parameters, then u, h and the derivatives of h of each level outside."""
        n = len(self.parameters)
        return (*self.parameters, *chain(*(outer.inputs(n, order) for outer in self.outer)))

    def moved(self, expression: sp.Expr, form: Form) -> sp.Expr:
        """Expression in which the variable is written in a form."""
        end = sp.S.Zero if form.point is None else self.points[form.point]
        return at_distance(expression, self.variable, end, form.sign * self.mapping.distance)

    def form_bundle(self, form: Form, order: int) -> Bundle:
        """(u, h and its derivatives, inputs, regimes) to G and its total derivatives up to an order.

        The first derivatives follow all values, those of one G next to each other; then the second ones, by p_a and
        p_b with a <= b, the first of which varies slowest.
        """
        tape, mappings = Tape(), (self.mapping, *self.outer)
        lengths = {mapping.distance: mapping.h * mapping.u for mapping in mappings}
        moved = (self.moved(expression, form).xreplace(lengths) for expression in self.expressions)
        values = [tape.add(self.mapping.h * tape.add(expression)) for expression in moved]
        outputs = (*values, *self._derivatives(tape, values, mappings, order))
        inputs = (*self.mapping.inputs(len(self.parameters), order), *self.inputs(order), *self.regimes)
        return tape.bundle(inputs, outputs)

    def moments_bundle(self, order: int) -> Bundle:
        """(inputs, regimes outside) to the points and the scale, their derivatives, and what decides the regimes.

        After the derivatives, ordered as in :meth:`form_bundle`, follow the slope of each switch in the variable, and
        its value where the variable is 0; and then the centers.
        """
        tape = Tape()
        lengths = {mapping.distance: mapping.h * mapping.u for mapping in self.outer}
        slopes = [switch.slope for switch, _ in self.switches]
        offsets = [switch.expression.xreplace({self.variable: sp.S.Zero}) for switch, _ in self.switches]
        values = [tape.add(value.xreplace(lengths)) for value in (*self.points, self.scale)]
        deciding = [tape.add(value.xreplace(lengths)) for value in (*slopes, *offsets, *self.centers)]
        outputs = (*values, *self._derivatives(tape, values, self.outer, order), *deciding)
        return tape.bundle((*self.inputs(order), *self.constants), outputs)

    def _derivatives(self, tape: Tape, values: list[sp.Expr], mappings: Sequence[Stretch], order: int) -> list[sp.Expr]:
        """First and second total derivatives of values on a tape: h depends on the parameters, u does not."""
        n = len(self.parameters)
        pairs = [(a, b) for a in range(n) for b in range(a, n)] if order >= 2 else []
        position = {pair: k for k, pair in enumerate(pairs)}
        lengths = [(mapping.h, *mapping.derivatives(n, order)) for mapping in mappings if mapping.is_moving]

        def along(a: int) -> dict[sp.Symbol, sp.Expr]:
            tangents: dict[sp.Symbol, sp.Expr] = {self.parameters[a]: sp.S.One}
            for h, first, second in lengths:
                tangents[h] = first[a]
                if second:
                    tangents.update((first[b], second[position[min(a, b), max(a, b)]]) for b in range(n))
            return tangents

        gradients = [tape.forward(values, along(a)) for a in range(n if order >= 1 else 0)]
        hessians = [tape.forward(gradients[a], along(b)) for a, b in pairs]
        return [*chain(*zip(*gradients)), *chain(*zip(*hessians))]

    def values_bundle(self, expressions: Sequence[sp.Expr]) -> Bundle:
        """(variable, parameters, regimes) to some expressions; for an integral without levels outside."""
        return Bundle((self.variable, *self.parameters, *self.regimes), tuple(expressions))

    def vanishing_bundle(self) -> Bundle:
        """The same to 1 for each integrand that is exactly 0 all along the stretch, else 0."""
        return self.values_bundle([vanishes(e, {self.variable}) for e in self.expressions])


@dataclass(frozen=True)
class IntegralFunctions:
    """All functions of an integral.

    Parameters
    ----------
    problem : Integral
    """

    problem: Integral

    @cached_property
    def statement(self) -> CanonicalSymbols:
        """Canonical Symbols."""
        return CanonicalSymbols(self.problem, self.problem.variables)

    @cached_property
    def located(self) -> _Parts:
        """Integrands and limits with regimes in the place of conditions, and the switches of each variable."""
        variables, translate = self.statement.unknowns, self.statement.translate
        expressions = [exact(translate(expression)) for expression in self.problem.integrands]
        limits = [tuple(exact(translate(limit)) for limit in pair) for pair in self.problem.limits]
        switches: list[tuple[Switch, ...]] = [()] * len(variables)
        for k in reversed(range(len(variables))):
            rewriter = Locator(variables[k], variables[:k], f"r{k}_")
            expressions = [rewriter.expression(expression) for expression in expressions]
            limits[:k] = [tuple(map(rewriter.expression, pair)) for pair in limits[:k]]
            switches[k] = tuple(rewriter.switches.values())
        return _Parts(tuple(expressions), tuple(limits), tuple(switches))

    @cached_property
    def outermost(self) -> Level:
        """The last variable, with the others inside it."""
        return self._level(len(self.problem.variables) - 1, self.located, (), ())

    def _level(self, depth: int, parts: _Parts, outer: tuple[Stretch, ...], constants: Symbols) -> Level:
        """The level of a variable, and those inside it."""
        level = self._one_level(depth, parts, outer, constants)
        if depth == 0:
            return level
        inside = tuple(
            None
            if form is None
            else self._level(depth - 1, parts.moved(level, form), (*outer, level.mapping), level.regimes)
            for form in level.forms
        )
        return replace(level, inside=inside)

    def _one_level(self, depth: int, parts: _Parts, outer: tuple[Stretch, ...], constants: Symbols) -> Level:
        variable, (lower, upper) = self.statement.unknowns[depth], parts.limits[depth]
        points: list[sp.Expr] = []
        stated = (exact(self.statement.translate(point)) for point in self.problem.breakpoints)
        for point in (*(limit for limit in (lower, upper) if not limit.is_infinite), *stated):
            _place(points, point)
        n_stated = len(points)
        placed = tuple((switch, _place(points, switch.time)) for switch in parts.switches[depth])
        length = None
        if depth == 0:
            candidates = chain(*(singular_points(e, variable) for e in parts.expressions))
            inside = [point for point in dict.fromkeys(candidates) if not _is_outside(point, lower, upper)]
            for point in inside if len(inside) <= _MAX_SINGULAR_POINTS else ():
                _place(points, point)
            length = oscillation(parts.expressions, variable)
        endless = lower.is_infinite or upper.is_infinite
        return Level(
            variable=variable,
            parameters=self.statement.parameters,
            outer=outer,
            constants=constants,
            expressions=parts.expressions,
            lower=lower if lower.is_infinite else points[_place(points, lower)],
            upper=upper if upper.is_infinite else points[_place(points, upper)],
            points=tuple(points),
            n_stated=n_stated,
            switches=placed,
            scale=length if endless and length is not None else sp.S.One,
            oscillates=length is not None,
            centers=peak_centers(parts.expressions, variable, set(self.statement.unknowns[:depth])),
            depth=depth,
        )


@dataclass(frozen=True)
class _Parts:
    """What is integrated and between which limits, and the switches of each variable; innermost first."""

    expressions: tuple[sp.Expr, ...]
    limits: tuple[tuple[sp.Expr, ...], ...]
    switches: tuple[tuple[Switch, ...], ...]

    def moved(self, level: Level, form: Form) -> _Parts:
        """The same with the variable of a level written in a form."""

        def move(expression: sp.Expr) -> sp.Expr:
            return expression if expression.is_infinite else level.moved(expression, form)

        return _Parts(
            tuple(map(move, self.expressions)),
            tuple(tuple(map(move, pair)) for pair in self.limits[: level.depth]),
            tuple(
                tuple(
                    Switch(switch.regime, move(switch.expression), move(switch.slope), move(switch.time))
                    for switch in switches
                )
                for switches in self.switches[: level.depth]
            ),
        )


def _place(points: list[sp.Expr], point: sp.Expr) -> int:
    """Position of a point in a list, to which it is appended if it is not there yet."""
    for position, other in enumerate(points):
        if other == point or sp.expand(other - point) == 0:
            return position
    points.append(point)
    return len(points) - 1


def _is_outside(point: sp.Expr, lower: sp.Expr, upper: sp.Expr) -> bool:
    """Whether a point is provably outside the range, whichever way that runs, or is not a real number."""
    if point.is_real is False:
        return True
    below, above = point - lower, point - upper
    return bool((below.is_negative and above.is_negative) or (below.is_positive and above.is_positive))


@lru_cache(maxsize=256)
def integral_functions_of(problem: Integral) -> IntegralFunctions:
    """Functions of a problem, made once.

    Examples
    --------
    >>> import sympy as sp, implicitops as iop
    >>> from implicitops.symbolic.integral import integral_functions_of
    >>> x, tau = sp.symbols("x tau")
    >>> stepped = iop.Integral(sp.Piecewise((1, x < tau), (x, True)), (x, 0, 2), [tau])
    >>> integral_functions_of(stepped).outermost.points
    (0, 2, p0)
    """
    return IntegralFunctions(problem)
