"""ODE: states given by their rates of change and initial values. The statement only; solvers are in csrc/."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import sympy as sp

from implicitops.errors import ArgumentError, ProblemError
from implicitops.problems._ode_methods import ORDERS
from implicitops.problems.base import FREE, Options, Parameter, Problem, as_parameters
from implicitops.problems.ode_parts import (
    Event,
    abbreviated_mapping,
    as_breakpoints,
    as_events,
    as_mapping,
    as_outputs,
    as_rate,
    require_same_states,
)
from implicitops.problems.ode_scope import Scope
from implicitops.problems.validation import abbreviated, as_times, did_you_mean

METHODS = tuple(ORDERS)
SENSITIVITIES = ("auto", "forward", "adjoint")

#: Work of the adjoint method for each state and each parameter, in units of the forward method's for each sensitivity
#: (benchmarks/ode_sensitivities.py).
ADJOINT_WORK = 6


@dataclass(frozen=True)
class ODEOptions(Options):
    """Options of an ODE: its defaults, their place in ``repr`` and in the key are those of these fields.

    Parameters
    ----------
    sensitivity : "auto", "forward" or "adjoint"
    max_step : float or None, the longest step
    """

    atol: tuple[float, ...] = (1e-10,)
    max_steps: int = 100_000
    sensitivity: str = "auto"
    max_step: float | None = None

    @classmethod
    def of_states(cls, states: Sequence[sp.Symbol], *, sensitivity: Any, max_step: Any, **common: Any) -> ODEOptions:
        """Options from what a user gave, or ProblemError for a value that no solver can work with."""
        kind = f"states {', '.join(map(str, states))}"
        checked = Options.checked(METHODS, len(states), **common, kind=kind)
        if checked.rtol == 0 and 0 in checked.atol:
            raise ProblemError(
                f"rtol and atol cannot both be 0: no step has no error. "
                f"Got rtol={common['rtol']}, atol={common['atol']}."
            )
        if sensitivity not in SENSITIVITIES:
            raise ProblemError(
                f"sensitivity must be one of {', '.join(map(repr, SENSITIVITIES))}; got {sensitivity!r}."
                f"{did_you_mean(str(sensitivity), SENSITIVITIES)}"
            )
        limit = None if max_step is None else _as_max_step(max_step)
        return cls(**vars(checked), sensitivity=sensitivity, max_step=limit)

    @property
    def numbers(self) -> dict[str, float]:
        """What the solver needs of them, by the names of csrc/ode.h."""
        return {
            "rtol": self.rtol,
            "max_steps": self.max_steps,
            "max_step": math.inf if self.max_step is None else self.max_step,
        }

    def __str__(self) -> str:
        """Keywords of those that differ from their defaults."""
        given = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        if set(self.atol) == set(ODEOptions.atol):
            del given["atol"]
        return "".join(f", {name}={value!r}" for name, (value, default) in given.items() if value != default)


@dataclass(frozen=True, init=False, repr=False)
class ODE(Problem):
    """States x(t) with dx/dt = f(x, t, theta) and x(t0) = x0(theta), as a differentiable function of theta and t.

    Parameters
    ----------
    rhs : mapping of state Symbol to Expr
        The right-hand sides f, expressions of the states, the params and ``t``. Their order is that of the states.
    params : sequence of Symbol or tuple of Symbol
        The arguments of the resulting function, in order; a tuple is one vector argument.
    initial : mapping of state Symbol to Expr
        The values x0 of all states at ``t0``, expressions of the params.
    t : Symbol, optional
        The time, if any expression contains it.
    t0 : Expr
        The initial time, an expression of the params.
    times : sequence of float, optional
        Output times of calls that give none. In any order, also repeated: the answers come in the order asked.
    outputs : sequence of Expr, optional
        What is returned instead of all states: expressions of the states, the params and ``t``.
    events : sequence of (time, {state: Expr})
        At ``time``, an expression of the params, each state named becomes its expression: of the states just before,
        the params and ``t``. At the time itself the answer is the one after the event, also at ``t0``. Of several at
        the same time, each follows the one listed before it.
    method : "auto", "tsit5", "dop853" or "rodas5p"
        Runge-Kutta pairs of order 5 and 8, and a Rosenbrock method of order 5 for stiff problems.
    sensitivity : "auto", "forward" or "adjoint"
        How derivatives are integrated: with the states, or backwards afterwards for many parameters.
    rtol, atol : float; atol also a sequence, one for each state
        Limit ``rtol*abs(x) + atol`` of the error of a step, in the states and in their forward derivatives.
    max_steps : int
        Limit of steps per solve.
    max_step : float, optional
        Limit of the length of a step, in units of time. What happens within a small part of it may be missed.
    breakpoints : sequence of Expr
        Times, expressions of the params, at which a step ends and step control starts anew: where an input peaks, say.
        They have no other effect, and those before ``t0`` or after the last output have none at all.
    on_failure : "raise" or "nan"
        What a failed solve does outside a graph. Inside a graph it is always NaN.

    Raises
    ------
    ProblemError : the statement cannot be solved as it stands

    Notes
    -----
    A call takes the params and ``times=``, a vector of length T, and returns the batch shape followed by (T, n) for n
    states or outputs. An output or an event before ``t0`` is a failure. Initial values, ``t0``, the output times and
    those of events have derivatives like params.

    Examples
    --------
    >>> import sympy as sp, implicitops as iop
    >>> x, k = sp.symbols("x k")
    >>> decay = iop.ODE({x: -k*x}, [k], initial={x: 1})
    >>> decay(0.5, times=[0, 1, 2]).round(6)
    array([[1.      ],
           [0.606531],
           [0.367879]])

    Hares and lynxes (Lotka and Volterra), with the initial values among the params and yearly output:

    >>> hare, lynx, hare0, lynx0 = sp.symbols("hare lynx hare0 lynx0")
    >>> alpha, beta, gamma, delta = sp.symbols("alpha beta gamma delta")
    >>> populations = iop.ODE(
    ...     {hare: (alpha - beta*lynx)*hare, lynx: (delta*hare - gamma)*lynx},
    ...     [alpha, beta, gamma, delta, hare0, lynx0],
    ...     initial={hare: hare0, lynx: lynx0},
    ...     times=range(21),
    ... )
    >>> populations(0.545, 0.028, 0.803, 0.024, 33.0, 6.0).shape
    (21, 2)

    A drug that is washed out at rate k, with a second dose at time tau:

    >>> amount, dose, tau = sp.symbols("amount dose tau")
    >>> second = (tau, {amount: amount + dose})
    >>> drug = iop.ODE({amount: -k*amount}, [k, dose, tau], initial={amount: dose}, events=[second])
    >>> drug(0.5, 1.0, 2.0, times=[1, 2, 3]).round(6)
    array([[0.606531],
           [1.367879],
           [0.829661]])
    """

    states: tuple[sp.Symbol, ...]
    rhs: tuple[sp.Expr, ...]
    params: tuple[Parameter, ...]
    initial: tuple[sp.Expr, ...]
    t: sp.Symbol | None
    t0: sp.Expr
    times: tuple[float, ...] | None
    outputs: tuple[sp.Expr, ...] | None
    events: tuple[Event, ...]
    breakpoints: tuple[sp.Expr, ...]
    options: ODEOptions

    def __init__(
        self,
        rhs: Any,
        params: Any,
        *,
        initial: Any,
        t: Any = None,
        t0: Any = 0,
        times: Any = None,
        outputs: Any = None,
        events: Any = (),
        method: str = ODEOptions.method,
        sensitivity: str = ODEOptions.sensitivity,
        rtol: float = ODEOptions.rtol,
        atol: Any = ODEOptions.atol[0],
        max_steps: int = ODEOptions.max_steps,
        max_step: float | None = ODEOptions.max_step,
        breakpoints: Any = (),
        on_failure: str = ODEOptions.on_failure,
    ) -> None:
        parameters = as_parameters(params)
        rates, starts = (
            as_mapping(rhs, "rhs", "its rate of change"),
            as_mapping(initial, "initial", "its initial value"),
        )
        scope = Scope.checked(tuple(rates), parameters, t)
        require_same_states(starts, scope.states)
        options = ODEOptions.of_states(
            scope.states,
            method=method,
            sensitivity=sensitivity,
            rtol=rtol,
            atol=atol,
            max_steps=max_steps,
            max_step=max_step,
            on_failure=on_failure,
        )
        self._set(
            states=scope.states,
            rhs=tuple(as_rate(rates[x], x, scope) for x in scope.states),
            params=parameters,
            initial=tuple(scope.of_parameters(starts[x], f"the initial value of {x}") for x in scope.states),
            t=t,
            t0=scope.of_parameters(t0, "t0"),
            times=None if times is None else as_times(times),
            outputs=None if outputs is None else as_outputs(outputs, scope),
            events=as_events(events, scope),
            breakpoints=as_breakpoints(breakpoints, scope),
            options=options,
        )

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Trailing shape of the answer: (FREE, n), times by states or outputs."""
        return (FREE, len(self.states if self.outputs is None else self.outputs))

    @property
    def argument_names(self) -> tuple[str, ...]:
        """Names of the parameters, and "times"."""
        return (*self.parameter_names, "times")

    @property
    def argument_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Trailing shapes of the parameters, and (FREE,) of the times."""
        return (*self.parameter_shapes, (FREE,))

    @property
    def sensitivity_method(self) -> str:
        """How derivatives are integrated, "forward" or "adjoint": what ``sensitivity`` says, or chosen by size."""
        if self.options.sensitivity != "auto":
            return self.options.sensitivity
        n, p = len(self.states), len(self.parameter_symbols)
        return "forward" if n * (1 + p) <= ADJOINT_WORK * (n + p) else "adjoint"

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """Parameters of a call in order, and the output times: those of the call, or else of the statement.

        Examples
        --------
        >>> import sympy as sp, implicitops as iop
        >>> x, k = sp.symbols("x k")
        >>> iop.ODE({x: -k*x}, [k], initial={x: 1}).bind((0.5,), {"times": [1, 2]})
        (0.5, [1, 2])
        """
        parameters = {name: value for name, value in kwargs.items() if name != "times"}
        if len(args) > len(self.params):
            raise ArgumentError(
                f"ODE expects {len(self.params)} parameter(s) ({', '.join(self.parameter_names)}) by position; got "
                f"{len(args)} positional arguments. Output times are given by name: times=[...]."
            )
        bound = super().bind(args, parameters)
        times = self.times if kwargs.get("times") is None else kwargs["times"]
        if times is None:
            raise ArgumentError(
                "ODE needs output times, and neither the call nor the statement gives them. "
                "Call it with times=[...], or give times= with the statement."
            )
        return (*bound, times)

    def _equation(self) -> str:
        fields = (self.rhs, self.states, self.params, self.initial, self.t, self.t0, self.outputs)
        events = tuple((event.time, event.changes) for event in self.events)
        return "|".join(map(sp.srepr, (*fields, events)))

    def _content(self) -> str:
        return f"{self.times!r}|{sp.srepr(self.breakpoints)}|{self.options!r}"

    def _formulas(self) -> list[str]:
        time = "t" if self.t is None else sp.latex(self.t)
        rows = [rf"\frac{{d {sp.latex(x)}}}{{d {time}}} &= {sp.latex(f)}" for x, f in zip(self.states, self.rhs)]
        start = sp.latex(self.t0)
        rows += [rf"{sp.latex(x)}({start}) &= {sp.latex(x0)}" for x, x0 in zip(self.states, self.initial)]
        for event in self.events:
            rows += [
                rf"{sp.latex(x)} &\leftarrow {sp.latex(new)} \;\text{{ at }}\; {time} = {sp.latex(event.time)}"
                for x, new in event.changes
            ]
        rows += [rf"\text{{output {k}}} &= {sp.latex(y)}" for k, y in enumerate(self.outputs or ())]
        return rows

    def __repr__(self) -> str:
        rates, starts = (abbreviated_mapping(self.states, items) for items in (self.rhs, self.initial))
        time = "" if self.t is None else f", t={self.t}"
        start = "" if self.t0 == 0 else f", t0={self.t0}"
        outputs = "" if self.outputs is None else f", outputs={abbreviated(self.outputs)}"
        pairs = [f"({event.time}, {abbreviated_mapping(*zip(*event.changes))})" for event in self.events]
        events = f", events={abbreviated(pairs)}" if pairs else ""
        breakpoints = f", breakpoints={abbreviated(self.breakpoints)}" if self.breakpoints else ""
        optional = f"{time}{start}{outputs}{events}{self.options}{breakpoints}"
        return f"ODE({rates}, {abbreviated(self.params)}, initial={starts}{optional})"


def _as_max_step(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating, sp.Number)):
        raise ProblemError(
            f"max_step, the longest step, must be a number, a length of time; got {value!r:.200} of type "
            f"{type(value).__name__}. What depends on parameters is stated as breakpoints=."
        )
    if not 0 < float(value) < float("inf"):
        raise ProblemError(f"max_step must be positive and finite; got {value}. Leave it out for steps of any length.")
    return float(value)
