"""Right-hand sides that switch at times which depend on the parameters: where, and what holds in between.

A condition that compares the time with an expression of the parameters cuts time into stretches, in each of which the
right-hand side is smooth in t. At the cut tau(p) between them the derivative of the state jumps by (f_before -
f_after) dtau/dp (E. N. Rozenvasser, General sensitivity equations of discontinuous systems, Automation and Remote
Control 28, 1967, 400), so an integrator has to know it. The conditions are found here, and replaced by tests of one
Symbol each, the regime, which is constant in a stretch. Nothing here integrates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean

from implicitops.calculus.cases import JUMPS, KINKS, STEPS, cases_of, map_relations, piecewise, split
from implicitops.calculus.continuity import Continuity
from implicitops.calculus.statement import Statement
from implicitops.problems.ode import ODE
from implicitops.status import ProblemError

_HALF = sp.S.Half
_BY_CASES = (sp.Piecewise, *JUMPS, *KINKS)


class DifferentiabilityError(ProblemError):
    """A derivative was asked for that the integration of sensitivities would get wrong."""


@dataclass(frozen=True)
class Switch:
    """A time at which the right-hand side changes its form.

    Parameters
    ----------
    regime : Symbol, which is 1 in a stretch of time where ``expression`` is positive, and 0 where it is negative
    expression : Expr s(t, p), affine in t
    slope : Expr of p, ds/dt; where it is 0 there is no such time
    time : Expr of p, the zero of s
    """

    regime: sp.Symbol
    expression: sp.Expr
    slope: sp.Expr
    time: sp.Expr


@dataclass(frozen=True)
class Switching:
    """Right-hand sides of an ODE that are smooth in t as long as no regime changes.

    Parameters
    ----------
    statement : Statement, the canonical Symbols of what follows
    rhs : tuple of Expr of states, parameters, time and regimes
    outputs : tuple of Expr of the same: the outputs, or the states if the problem names none
    switches : tuple of Switch
    """

    statement: Statement
    rhs: tuple[sp.Expr, ...]
    outputs: tuple[sp.Expr, ...]
    switches: tuple[Switch, ...]

    @property
    def regimes(self) -> tuple[sp.Symbol, ...]:
        """The regime of each switch."""
        return tuple(switch.regime for switch in self.switches)


@lru_cache(maxsize=256)
def switching_of(problem: ODE) -> Switching:
    """Where an ODE's right-hand side switches in time, made once for each problem.

    Conditions of t alone that are affine in it become switches. An output's conditions make none: an output is
    evaluated at its time, and only agrees with the right-hand side on which side of a switch that is.

    Parameters
    ----------
    problem : ODE

    Returns
    -------
    Switching

    Raises
    ------
    ProblemError : the right-hand side jumps at times that depend on the parameters in a way not understood here

    Examples
    --------
    >>> import sympy as sp, implicitops as iop
    >>> from implicitops.calculus.switching import switching_of
    >>> x, t, rate, tau = sp.symbols("x t rate tau")
    >>> infusion = sp.Piecewise((rate, t < tau), (0, True))
    >>> switching = switching_of(iop.ODE({x: infusion - x}, [rate, tau], initial={x: 0}, t=t))
    >>> switching.rhs
    (-x0 + Piecewise((p0, r0 < 1/2), (0, True)),)
    >>> switching.switches[0].expression, switching.switches[0].time
    (-p1 + t, p1)
    """
    statement = Statement(problem, problem.states, problem.t)
    rhs = [statement.translate(expression) for expression in problem.rhs]
    outputs = problem.states if problem.outputs is None else problem.outputs
    rewriter = Rewriter(statement.time, statement.unknowns)
    rewritten = []
    for state, expression in zip(problem.states, rhs):
        _require_no_impulse(expression, state, statement)
        rewritten.append(rewriter.expression(expression))
    rewriter.is_closed = True
    found = tuple(rewriter.expression(statement.translate(expression)) for expression in outputs)
    switching = Switching(statement, tuple(rewritten), found, tuple(rewriter.switches.values()))
    _require_located(problem, switching)
    return switching


@lru_cache(maxsize=256)
def jumps_with_state(problem: ODE, order: int = 1) -> tuple[sp.Expr, ...]:
    """Parts of the right-hand sides that are not provably smooth enough where a condition on the states changes.

    Parameters
    ----------
    problem : ODE
    order : 1 or 2, the highest order of derivative of the solution that the parts have to allow

    Returns
    -------
    tuple of Expr in the user's Symbols
    """
    switching = switching_of(problem)
    statement = switching.statement
    continuity = Continuity(statement.unknowns, statement.parameters, statement.time, order)
    failures = (continuity.failure(expression) for expression in switching.rhs)
    return tuple(_readable(part, switching) for part in failures if part is not None)


def require_differentiable(problem: ODE, order: int = 1) -> None:
    """Raise DifferentiabilityError if sensitivities would miss a jump.

    Where a condition on the states changes, a right-hand side that jumps makes the derivatives jump as well, at a time
    that no integrator of sensitivities knows. For second derivatives the same holds of kinks.

    Parameters
    ----------
    problem : ODE
    order : 1 or 2, the highest order of derivative that is wanted

    Raises
    ------
    DifferentiabilityError : which part of the right-hand side it is, and what to do
    """
    parts = jumps_with_state(problem, order)
    if not parts:
        return
    needed, what = ("", "continuous") if order == 1 else (" and kinks", "continuously differentiable")
    raise DifferentiabilityError(
        f"derivatives of order {order} need right-hand sides without jumps{needed} at times that are not known "
        f"beforehand, but {parts[0]} is not {what} where its condition changes, as far as SymPy can tell. The value "
        "can be computed, this derivative cannot. Make the pieces agree where they meet, or replace the condition by a "
        "steep smooth function such as 1/(1 + exp(-k*u)); a change at a known time is an event, or a condition on the "
        "time that is affine in it."
    )


class Rewriter:
    """Replaces conditions on the time by regimes, and collects the switches.

    Parameters
    ----------
    time : Symbol, the time or another variable along which conditions change
    states : sequence of Symbol; a condition that contains one of them is not of the time alone
    prefix : str, how the names of regimes begin

    Attributes
    ----------
    switches : dict of s(t, p) to its Switch
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
        if isinstance(node, (*JUMPS, *KINKS)) and not node.free_symbols & self.states:
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
            # For one instant; in the right-hand side that is nothing.
            return relation if self.is_closed else sp.sympify(isinstance(relation, sp.Ne))
        difference = sp.expand(relation.gts - relation.lts)
        if self.time not in difference.free_symbols:
            return difference > 0 if relation.rel_op in (">", "<") else difference >= 0
        slope = affine_slope(difference, self.time)
        if slope is None:
            nodes = [n for n in sp.postorder_traversal(relation) if isinstance(n, _BY_CASES) and n.has(self.time)]
            return map_relations(split(relation, nodes[0]), self.relation) if nodes else relation
        # gts > lts, with a sign and a scale that make s = t - tau out of tau > t, t < tau and 2*t > 2*tau alike.
        scale = slope if slope.is_number else slope.as_coeff_Mul()[0]
        if (slope / scale).could_extract_minus_sign():
            scale = -scale
        switch = self._switch(sp.expand(difference / scale), sp.expand(slope / scale))
        if switch is None:
            return relation
        return switch.regime > _HALF if scale > 0 else switch.regime < _HALF

    def _switch(self, expression: sp.Expr, slope: sp.Expr) -> Switch | None:
        if expression not in self.switches and not self.is_closed:
            regime = sp.Symbol(f"{self.prefix}{len(self.switches)}", real=True)
            time = sp.expand(slope * self.time - expression) / slope
            self.switches[expression] = Switch(regime, expression, slope, time)
        return self.switches.get(expression)

    def _may_switch(self, node: sp.Basic) -> bool:
        return bool(node.has(self.time) and node.has(*_BY_CASES, Relational))

    def _is_of_time_alone(self, node: sp.Basic) -> bool:
        symbols = node.free_symbols
        return self.time in symbols and not symbols & self.states


def affine_slope(difference: sp.Expr, time: sp.Symbol) -> sp.Expr | None:
    """Coefficient of the time in an affine expression; None for any other."""
    slope = sp.expand(difference.diff(time))
    is_affine = time not in slope.free_symbols and time not in sp.expand(difference - slope * time).free_symbols
    return slope if is_affine else None


def _require_no_impulse(expression: sp.Expr, state: sp.Symbol, statement: Statement) -> None:
    impulses = expression.atoms(sp.DiracDelta)
    if impulses:
        impulse = statement.original(min(impulses, key=str))
        raise ProblemError(
            f"the rhs of {state} contains the impulse {impulse}, which no step can integrate. State what it does as an "
            f"event: events=[(time, {{{state}: {state} + size}})]."
        )


def _require_located(problem: ODE, switching: Switching) -> None:
    """Raise ProblemError if the right-hand side jumps at a time that depends on the parameters and is not known."""
    statement = switching.statement
    parameters, time = statement.parameters, statement.time
    continuity = Continuity(statement.unknowns, parameters, time, states_move=False)
    for state, expression in zip(problem.states, switching.rhs):
        part = continuity.failure(expression)
        if part is not None:
            kind = "jumps" if isinstance(part, STEPS) else "switches"
            raise ProblemError(
                f"the rhs of {state} {kind} at times that depend on the parameters, in {_readable(part, switching)}, "
                "and its derivatives need these times. Give a condition that is affine in the time, such as t < tau, "
                "with one Piecewise for each stretch, or state what happens as events=[(tau, {state: value})]."
            )


def _readable(part: sp.Expr, switching: Switching) -> sp.Expr:
    """Part of a rewritten expression in the user's Symbols, with the conditions instead of the regimes."""
    conditions: dict[sp.Basic, sp.Basic] = {}
    for switch in switching.switches:
        after, before = switch.expression > 0, switch.expression < 0
        conditions.update({switch.regime > _HALF: after, switch.regime < _HALF: before})
        conditions.update({switch.regime <= _HALF: before, switch.regime >= _HALF: after})
    return switching.statement.original(part.xreplace(conditions))
