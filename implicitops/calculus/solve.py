"""Solving a problem as an operation: its outputs, and which rule differentiates it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from implicitops.calculus.external import error_shape, external_jvp, external_vjp
from implicitops.calculus.operation import Operation, Program, Shape, single_step, with_idle_inputs
from implicitops.calculus.root_scalar import ScalarRootPullback, ScalarRootPushforward
from implicitops.calculus.root_system import system_jvp, system_vjp
from implicitops.calculus.sensitivities import (
    derivative_shapes,
    is_propagated,
    propagated_jvp,
    propagated_vjp,
)
from implicitops.problems.base import Problem
from implicitops.problems.external import External
from implicitops.problems.fixed_point import FixedPoint
from implicitops.problems.integral import Integral
from implicitops.problems.minimum import Minimum
from implicitops.problems.ode import ODE
from implicitops.problems.root import Root

#: Whether the kernel of each kind of problem estimates the errors of its Jacobian and Hessian, which it then writes to
#: its outputs 4 and 5. Their shapes are those of the derivatives; NaN says that an error is not known.
ESTIMATED: dict[type, tuple[bool, bool]] = {
    Root: (True, True),
    FixedPoint: (True, True),
    Minimum: (True, True),
    Integral: (True, True),
    ODE: (True, True),
}


#: Kinds whose estimates take a second solve: :attr:`Solution.estimates` makes them when they are first looked at.
ESTIMATED_ON_DEMAND = (ODE,)


@dataclass(frozen=True)
class Solve(Operation):
    """Solution of a problem as a function of its parameters.

    Parameters
    ----------
    problem : Problem
    derivatives : 0, 1 or 2, highest order of derivative that the kernel returns with the value
    start_given : bool, the start values are trailing inputs instead of expressions of the parameters
    """

    problem: Any
    derivatives: int = 0
    start_given: bool = False

    @property
    def name(self) -> str:
        suffix = "_start" if self.start_given else ""
        return f"{type(self.problem).__name__.lower()}_{self.problem.key}_solve{self.derivatives}{suffix}"

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return (*self.problem.argument_shapes, *(start_shapes(self.problem) if self.start_given else ()))

    @property
    def input_names(self) -> tuple[str, ...]:
        names: tuple[str, ...] = self.problem.argument_names
        return (*names, *(self.problem.start_argument_names if self.start_given else ()))

    @property
    def constant_inputs(self) -> range:
        """Positions of the start values."""
        return range(len(self.problem.argument_shapes), len(self.input_shapes))

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return (self.problem.output_shape,)

    @property
    def kernel_output_shapes(self) -> tuple[Shape, ...]:
        """Shapes of what the kernel returns: value, Jacobian, Hessian, and the estimated error of each of the three.

        An output that was not asked for, or of which the kernel has no estimate, has length 0.
        """
        value, first, second = self._derivative_shapes()
        error = error_shape(self.problem, self.derivatives) if isinstance(self.problem, External) else value
        return (value, first, second, error, *self._derivative_error_shapes(first, second))

    def _derivative_shapes(self) -> tuple[Shape, Shape, Shape]:
        """Trailing shapes of value, Jacobian and Hessian, (0,) for those that were not asked for."""
        if is_propagated(self.problem):
            shapes = derivative_shapes(self.problem, self.derivatives)
            value, first, second = [*shapes, (0,), (0,)][:3]
            return value, first, second
        value, p = self.problem.output_shape, len(self.problem.parameter_symbols)
        first = (*value, p) if self.derivatives >= 1 else (0,)
        second = (*value, p, p) if self.derivatives >= 2 else (0,)
        return value, first, second

    def _derivative_error_shapes(self, first: Shape, second: Shape) -> tuple[Shape, Shape]:
        """Trailing shapes of the estimated errors of Jacobian and Hessian, (0,) where there is no estimate."""
        if isinstance(self.problem, External):  # whose derivatives are exact unless they are finite differences
            errors = [error_shape(self.problem, k) if k <= self.derivatives else (0,) for k in (1, 2)]
            return errors[0], errors[1]
        kinds = type(self.problem).__mro__
        known = next((ESTIMATED[kind] for kind in kinds if kind in ESTIMATED), (False, False))
        return first if known[0] else (0,), second if known[1] else (0,)

    def vjp(self) -> Program:
        """Reverse rule of the value."""
        if isinstance(self.problem, External):
            return external_vjp(self.problem)
        if is_propagated(self.problem):
            return propagated_vjp(self.problem)
        n, start = len(self.problem.parameter_shapes), len(self.constant_inputs)
        if self.problem.output_shape:
            program = system_vjp(self.problem)
        else:
            rule = ScalarRootPullback(self.problem)
            program = single_step(rule, len(rule.input_shapes), range(len(rule.input_shapes)))
        widened = with_idle_inputs(program, {n: start})
        return replace(widened, results=(*widened.results, *[None] * start))

    def jvp(self) -> Program:
        """Forward rule of the value."""
        if isinstance(self.problem, External):
            return external_jvp(self.problem)
        if is_propagated(self.problem):
            return propagated_jvp(self.problem)
        n, start = len(self.problem.parameter_shapes), len(self.constant_inputs)
        if self.problem.output_shape:
            program = system_jvp(self.problem)
        else:
            rule = ScalarRootPushforward(self.problem)
            program = single_step(rule, len(rule.input_shapes), range(len(rule.input_shapes)))
        return with_idle_inputs(program, {n: start, 2 * n + 1: start})


def start_shapes(problem: Problem) -> tuple[Shape, ...]:
    """Shapes of the trailing inputs that give the start."""
    return (problem.output_shape,) * len(problem.start_argument_names)
