"""Solving a problem as an operation, whatever its kind: its outputs, and the start values that have no derivative."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic

from implicitops.calculus.operation import Operation, Program, Shape, with_idle_inputs
from implicitops.calculus.rules import Kind, rules_of
from implicitops.problems.base import Problem


@dataclass(frozen=True)
class Solve(Operation, Generic[Kind]):
    """Solution of a problem as a function of its parameters.

    Parameters
    ----------
    problem : Problem
    derivatives : 0, 1 or 2, highest order of derivative that the kernel returns with the value
    start_given : bool, the start values are trailing inputs instead of expressions of the parameters
    """

    problem: Kind
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
        names = self.problem.argument_names
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
        rules, order = rules_of(self.problem), self.derivatives
        return (*rules.derivative_shapes(self.problem, order), *rules.error_shapes(self.problem, order))

    def vjp(self) -> Program:
        """Reverse rule of the value."""
        n, start = len(self.problem.argument_shapes), len(self.constant_inputs)
        widened = with_idle_inputs(rules_of(self.problem).vjp(self.problem), {n: start})
        return replace(widened, results=(*widened.results, *[None] * start))

    def jvp(self) -> Program:
        """Forward rule of the value."""
        n, start = len(self.problem.argument_shapes), len(self.constant_inputs)
        return with_idle_inputs(rules_of(self.problem).jvp(self.problem), {n: start, 2 * n + 1: start})


def start_shapes(problem: Problem) -> tuple[Shape, ...]:
    """Shapes of the trailing inputs that give the start."""
    return (problem.output_shape,) * len(problem.start_argument_names)
