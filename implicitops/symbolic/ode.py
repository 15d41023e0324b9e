"""Functions of an initial value problem that its solver calls, with the derivatives that sensitivities need.

The solver in csrc/ works with functions g(t, y, q) of time, states and constants q (parameters, then regimes): the
right-hand side, the outputs, and what the start and each event make of the states. Each comes as a :class:`MapBundles`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain

import sympy as sp

from implicitops.codegen import Bundle
from implicitops.problems.ode import ODE
from implicitops.symbolic.canonical_symbols import CanonicalSymbols
from implicitops.symbolic.equations import Pattern, pays_as_banded
from implicitops.symbolic.surfaces import Surfaces, surfaces_of
from implicitops.symbolic.switching import Switching, guards_of, switching_of
from implicitops.symbolic.tape import Tape

Symbols = tuple[sp.Symbol, ...]


@lru_cache(maxsize=256)
def ode_functions_of(problem: ODE) -> ODEFunctions:
    """Functions of a problem, made once."""
    return ODEFunctions(problem)


@dataclass(frozen=True)
class Point:
    """Symbols that the functions of a problem depend on.

    Parameters
    ----------
    time : Symbol
    states, parameters, regimes : tuple of Symbol
    """

    time: sp.Symbol
    states: Symbols
    parameters: Symbols
    regimes: Symbols

    @property
    def symbols(self) -> Symbols:
        """Inputs of every callback: (t, y, q)."""
        return (self.time, *self.states, *self.parameters, *self.regimes)

    @property
    def moving(self) -> Symbols:
        """Those that have derivatives: (t, y, p)."""
        return (self.time, *self.states, *self.parameters)

    def direction(self, prefix: str) -> Symbols:
        """New Symbols for a direction in (t, y, p)."""
        return tuple(sp.symbols(f"{prefix}0:{len(self.moving)}", real=True))


class MapBundles:
    """A function of (t, y, q) and its derivatives, entry by entry.

    Parameters
    ----------
    point : Point
    expressions : sequence of Expr, its components
    """

    def __init__(self, point: Point, expressions: Sequence[sp.Expr]) -> None:
        self.point = point
        self.expressions = tuple(expressions)

    @cached_property
    def tape(self) -> Tape:
        """Where the function and all that is derived from it is written."""
        return Tape()

    @cached_property
    def values(self) -> list[sp.Expr]:
        """The function on the tape."""
        return [self.tape.add(expression) for expression in self.expressions]

    def pattern(self, symbols: Symbols) -> Pattern:
        """Rows and columns of the derivatives by some Symbols that are not seen to be zero, sorted by row."""
        position = {symbol: j for j, symbol in enumerate(symbols)}
        found = sorted((i, position[s]) for i, e in enumerate(self.expressions) for s in e.free_symbols & set(symbols))
        return tuple(i for i, _ in found), tuple(j for _, j in found)

    @cached_property
    def _gradients(self) -> list[dict[sp.Symbol, sp.Expr]]:
        return self._gradients_by(self.point.moving)

    def _gradients_by(self, symbols: Symbols) -> list[dict[sp.Symbol, sp.Expr]]:
        return [dict(zip(symbols, self.tape.reverse([(value, sp.S.One)], symbols))) for value in self.values]

    def entries(self) -> list[sp.Expr]:
        """Derivatives by the states and then by the parameters, entry by entry."""
        blocks = (self.point.states, self.point.parameters)
        return [self._gradients[i][block[j]] for block in blocks for i, j in zip(*self.pattern(block))]

    def _along(self, direction: Symbols) -> list[sp.Expr]:
        return self.tape.forward(self.values, dict(zip(self.point.moving, direction)))

    @cached_property
    def _second(self) -> tuple[Symbols, Symbols, list[sp.Expr]]:
        u, v = self.point.direction("u"), self.point.direction("v")
        return u, v, self.tape.forward(self._along(u), dict(zip(self.point.moving, v)))

    @property
    def is_linear(self) -> bool:
        """Whether the second derivative is seen to be zero."""
        return all(value == 0 for value in self._second[2])

    # -- bundles ------------------------------------------------------------------------------------------

    def value_bundle(self) -> Bundle:
        """(t, y, q) to the values."""
        return self.tape.bundle(self.point.symbols, self.values)

    def first_bundle(self) -> Bundle:
        """(t, y, q) to the values, their derivatives by t, and the entries of those by y and by p."""
        by_time = [gradient[self.point.time] for gradient in self._gradients]
        return self.tape.bundle(self.point.symbols, (*self.values, *by_time, *self.entries()))

    def first_by_states_bundle(self) -> Bundle:
        """(t, y, q) to the values, their derivatives by t, and the entries of those by y: what a value needs."""
        time, states = self.point.time, self.point.states
        gradients = self._gradients_by((time, *states))
        entries = [gradients[i][states[j]] for i, j in zip(*self.pattern(states))]
        return self.tape.bundle(self.point.symbols, (*self.values, *(g[time] for g in gradients), *entries))

    def second_bundle(self) -> Bundle:
        """(t, y, q, u, v) to the second derivative along u and v."""
        u, v, second = self._second
        return self.tape.bundle((*self.point.symbols, *u, *v), second)

    def directional_bundle(self) -> Bundle:
        """(t, y, q, kt, k) to the derivative of the entries along (kt, k)."""
        k = sp.symbols(f"k0:{1 + len(self.point.states)}", real=True)
        moved = self.tape.forward(self.entries(), dict(zip(self.point.moving, k)))
        return self.tape.bundle((*self.point.symbols, *k), moved)

    def variational_bundle(self) -> Bundle:
        """(t, y, q, S) to the values and their total derivatives by the parameters, where S are those of y."""
        n, p = len(self.point.states), len(self.point.parameters)
        s = sp.symbols(f"s0:{n * p}", real=True)
        columns = []
        for j, parameter in enumerate(self.point.parameters):
            direction = {state: s[i * p + j] for i, state in enumerate(self.point.states)}
            columns.append(self.tape.forward(self.values, {**direction, parameter: sp.S.One}))
        rates = [columns[j][i] for i in range(len(self.values)) for j in range(p)]
        return self.tape.bundle((*self.point.symbols, *s), (*self.values, *rates))

    def third_bundle(self) -> Bundle:
        """(t, y, q, u, v, kt, k, ku, kv) to the derivative of D2g[u, v] where t moves along kt and y along k.

        The components of u and v by the states move along ku and kv.
        """
        n = len(self.point.states)
        u, v, second = self._second
        k = sp.symbols(f"k0:{1 + n}", real=True)
        ku, kv = sp.symbols(f"ku0:{n}", real=True), sp.symbols(f"kv0:{n}", real=True)
        moved = dict(zip(self.point.moving, k))
        moved.update(zip(u[1 : 1 + n], ku))
        moved.update(zip(v[1 : 1 + n], kv))
        third = self.tape.forward(second, moved)
        return self.tape.bundle((*self.point.symbols, *u, *v, *k, *ku, *kv), third)


@dataclass(frozen=True)
class ODEFunctions:
    """All functions of an initial value problem.

    Parameters
    ----------
    problem : ODE
    """

    problem: ODE

    @cached_property
    def statement(self) -> CanonicalSymbols:
        """Canonical Symbols."""
        return self.switching.statement

    @cached_property
    def switching(self) -> Switching:
        """The right-hand side and the outputs with regimes in the place of conditions on time."""
        return switching_of(self.problem)

    @cached_property
    def point(self) -> Point:
        """What the functions depend on."""
        statement = self.statement
        regimes = (*self.switching.regimes, *self.surfaces.regimes)
        return Point(statement.time, statement.unknowns, statement.parameters, regimes)

    @cached_property
    def surfaces(self) -> Surfaces:
        """The right-hand side with regimes in the place of all other conditions as well."""
        moving = (self.statement.time, *self.statement.unknowns)
        return surfaces_of(self.switching.rhs, moving, guards_of(self.problem))

    @cached_property
    def rhs(self) -> MapBundles:
        """The right-hand side."""
        return MapBundles(self.point, self.surfaces.rhs)

    @cached_property
    def outputs(self) -> MapBundles | None:
        """What is returned, None for the states."""
        return None if self.problem.outputs is None else MapBundles(self.point, self.switching.outputs)

    @cached_property
    def changes(self) -> tuple[MapBundles, ...]:
        """What the states become at the start and at each event."""
        translate, states = self.statement.translate, self.point.states
        start = tuple(map(translate, self.problem.initial))
        events = (
            tuple(
                translate(dict(event.changes).get(state, symbol)) for state, symbol in zip(self.problem.states, states)
            )
            for event in self.problem.events
        )
        return tuple(MapBundles(self.point, changed) for changed in (start, *events))

    @property
    def bandwidths(self) -> tuple[int, int] | None:
        """Sub- and superdiagonals of f_y if a banded factorisation pays, else None."""
        return pays_as_banded(len(self.point.states), self.rhs.pattern(self.point.states))

    def moments_bundle(self, order: int) -> Bundle:
        """Parameters to t0, the event times, the switching times and the periods, and their derivatives up to an order.

        The second derivatives are those by p_a and p_b with a <= b, the first of which varies slowest.
        """
        translate, parameters = self.statement.translate, self.statement.parameters
        tape = Tape()
        times = (translate(self.problem.t0), *(translate(event.time) for event in self.problem.events))
        switches = self.switching.switches
        periods = (switch.period for switch in switches if switch.period is not None)
        values = [tape.add(time) for time in (*times, *(switch.time for switch in switches), *periods)]
        gradients = [tape.reverse([(value, sp.S.One)], parameters) for value in values] if order >= 1 else []
        seconds = []
        if order >= 2:
            for gradient in gradients:
                rows = [tape.reverse([(value, sp.S.One)], parameters) for value in gradient]
                seconds.append([rows[a][b] for a in range(len(parameters)) for b in range(a, len(parameters))])
        return tape.bundle(parameters, (*values, *chain(*gradients), *chain(*seconds)))

    def breakpoints_bundle(self) -> Bundle:
        """Parameters to the times at which steps end."""
        tape = Tape()
        values = [tape.add(self.statement.translate(time)) for time in self.problem.breakpoints]
        return tape.bundle(self.statement.parameters, values)

    def surfaces_bundle(self) -> Bundle:
        """(t, y, q) to what decides the regime of each surface."""
        tape = Tape()
        return tape.bundle(self.point.symbols, [tape.add(expression) for expression in self.surfaces.expressions])

    def regimes_bundle(self) -> Bundle:
        """(t, p) to what decides each regime."""
        tape = Tape()
        values = [tape.add(switch.expression) for switch in self.switching.switches]
        return tape.bundle((self.statement.time, *self.statement.parameters), values)
