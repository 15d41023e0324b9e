"""Right-hand sides that switch at times which depend on the parameters: where, and what holds in between.

A condition that compares the time with an expression of the parameters cuts time into stretches, in each of which the
right-hand side is smooth in t. At the cut tau(p) between them the derivative of the state jumps by (f_before -
f_after) dtau/dp (E. N. Rozenvasser, General sensitivity equations of discontinuous systems, Automation and Remote
Control 28, 1967, 400), so an integrator has to know it. The conditions are found here, and replaced by tests of one
Symbol each, the regime, which is constant in a stretch. Nothing here integrates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from implicitops.errors import DifferentiabilityError, ProblemError
from implicitops.problems.ode import ODE
from implicitops.symbolic.canonical_symbols import CanonicalSymbols
from implicitops.symbolic.cases import CUTS, JUMPS, KINKS, STEPS
from implicitops.symbolic.continuity import Continuity
from implicitops.symbolic.periodic import TimeLocator
from implicitops.symbolic.regimes import Switch
from implicitops.symbolic.singularities import Passages, behaviour_of, with_moduli

_HALF = sp.S.Half

#: Where functions with a cut jump, and what to write instead.
_CUTS_EXPLAINED: dict[type, str] = {
    sp.atan2: "by 2*pi where the first argument changes its sign and the second is negative. An angle that goes on is "
    "a state of its own: the rate of atan2(y, x) is (x*dy - y*dx)/(x**2 + y**2) for the rates dx and dy; or declare "
    "the second argument positive, if it is",
    sp.acot: "by pi where its argument is 0. pi/2 - atan(u) is the inverse of the cotangent that does not",
    sp.arg: "by pi where its argument is 0. If that is positive, leave arg out",
}


@dataclass(frozen=True)
class Switching:
    """Right-hand sides of an ODE that are smooth in t as long as no regime changes.

    Parameters
    ----------
    statement : CanonicalSymbols, the canonical Symbols of what follows
    rhs : tuple of Expr of states, parameters, time and regimes
    outputs : tuple of Expr of the same: the outputs, or the states if the problem names none
    switches : tuple of Switch
    """

    statement: CanonicalSymbols
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

    Conditions of t alone become switches where their times can be written down, and functions such as floor(t) count
    periods. An output's conditions make none: an output is evaluated at its time, and only agrees with the right-hand
    side on which side of a switch that is.

    Parameters
    ----------
    problem : ODE

    Returns
    -------
    Switching

    Raises
    ------
    ProblemError : the right-hand side jumps at times that are not understood here

    Examples
    --------
    >>> import sympy as sp, implicitops as iop
    >>> from implicitops.symbolic.switching import switching_of
    >>> x, t, rate, tau = sp.symbols("x t rate tau")
    >>> infusion = sp.Piecewise((rate, t < tau), (0, True))
    >>> switching = switching_of(iop.ODE({x: infusion - x}, [rate, tau], initial={x: 0}, t=t))
    >>> switching.rhs
    (-x0 + Piecewise((p0, r0 < 1/2), (0, True)),)
    >>> switching.switches[0].expression, switching.switches[0].time
    (-p1 + t, p1)
    """
    statement = CanonicalSymbols(problem, problem.states, problem.t)
    rhs = [with_moduli(statement.translate(expression)) for expression in problem.rhs]
    outputs = problem.states if problem.outputs is None else problem.outputs
    rewriter = TimeLocator(statement.time, statement.unknowns)
    rewritten = []
    for state, expression in zip(problem.states, rhs):
        _require_no_impulse(expression, state, statement)
        rewritten.append(rewriter.expression(expression))
    rewriter.is_closed = True
    found = tuple(rewriter.expression(statement.translate(expression)) for expression in outputs)
    switching = Switching(statement, tuple(rewritten), found, _once_before_often(rewriter.switches.values()))
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


@lru_cache(maxsize=256)
def guards_of(problem: ODE) -> tuple[sp.Expr, ...]:
    """Expressions at whose zeros a right-hand side jumps or is infinite, although no condition says so.

    A solution that crosses one is right, its derivatives would not be: atan(1/x) at x = 0, exp(x) / (exp(x) + exp(1/y))
    at y = 0, log(x**2) at x = 0.

    Parameters
    ----------
    problem : ODE

    Returns
    -------
    tuple of Expr of states, parameters and time
    """
    statement = switching_of(problem).statement
    moves = Continuity(statement.unknowns, statement.parameters, statement.time).moves
    return Passages(moves).of(with_moduli(statement.translate(expression)) for expression in problem.rhs)


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
    part = parts[0]
    known = isinstance(part, sp.Piecewise) or behaviour_of(part) is not None or not isinstance(part, sp.Function)
    if isinstance(part, CUTS):
        why = f"{part} jumps {_CUTS_EXPLAINED[type(part)]}"
    elif known or isinstance(part, (*JUMPS, *KINKS, *STEPS)):
        why = (
            f"{part} is not {what} where its condition changes, as far as SymPy can tell. Make the pieces agree where "
            "they meet, or replace the condition by a steep smooth function such as 1/(1 + exp(-k*u)); a change at a "
            "known time is an event, or a condition on the time alone"
        )
    else:
        why = f"it is not known where {type(part).__name__}, in {part}, jumps. Write it in terms of known functions"
    raise DifferentiabilityError(
        f"derivatives of order {order} need right-hand sides without jumps{needed} at times that are not known "
        f"beforehand, but {why}. The value can be computed, this derivative cannot."
    )


def _once_before_often(switches: Iterable[Switch]) -> tuple[Switch, ...]:
    """Switches in the order of the solver: those without a period come first."""
    return tuple(sorted(switches, key=lambda switch: switch.period is not None))


def _require_no_impulse(expression: sp.Expr, state: sp.Symbol, statement: CanonicalSymbols) -> None:
    impulses = expression.atoms(sp.DiracDelta)
    if impulses:
        impulse = statement.original(min(impulses, key=str))
        raise ProblemError(
            f"the rhs of {state} contains the impulse {impulse}, which no step can integrate. State what it does as an "
            f"event: events=[(time, {{{state}: {state} + size}})]."
        )


def _require_located(problem: ODE, switching: Switching) -> None:
    """Raise ProblemError if the right-hand side jumps at a time that is not known.

    A jump at a time that depends on the parameters adds to the derivatives there. One that depends on numbers alone
    could be stepped over, unless the statement limits the length of steps.
    """
    statement = switching.statement
    parameters, time = statement.parameters, statement.time
    is_limited = problem.options.max_step is not None
    continuity = Continuity(statement.unknowns, parameters, time, states_move=False, times_move=not is_limited)
    for state, expression in zip(problem.states, switching.rhs):
        part = continuity.failure(expression)
        if part is None:
            continue
        kind = "jumps" if isinstance(part, STEPS) else "switches"
        depends = not part.free_symbols.isdisjoint(parameters)
        why = "depend on the parameters, and its derivatives need them" if depends else "a step may pass over"
        limit = "" if depends else ", or limit the steps to what cannot pass over any of it, max_step=..."
        raise ProblemError(
            f"the rhs of {state} {kind} at times that are not known beforehand, in {_readable(part, switching)}: times "
            f"that {why}. Times are found of conditions that compare with an expression of the parameters: the time, a "
            "polynomial or a monotonic function of it, or a periodic function such as sin(w*t) or Mod(t, period). Give "
            "such conditions, such as t < tau, with one Piecewise for each stretch, or state what happens as "
            f"events=[(tau, {{state: value}})]{limit}."
        )


def _readable(part: sp.Expr, switching: Switching) -> sp.Expr:
    """Part of a rewritten expression in the user's Symbols, with the conditions instead of the regimes."""
    conditions: dict[sp.Basic, sp.Basic] = {}
    for switch in switching.switches:
        if switch.period is not None:
            conditions[switch.regime] = sp.floor(switch.expression)
            continue
        after, before = switch.expression > 0, switch.expression < 0
        conditions.update({switch.regime > _HALF: after, switch.regime < _HALF: before})
        conditions.update({switch.regime <= _HALF: before, switch.regime >= _HALF: after})
    return switching.statement.original(part.xreplace(conditions))
