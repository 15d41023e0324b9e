"""Explicit expressions as operations, closed under differentiation: Eval of {Solve, Eval, LinSolve}."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from implicitops.calculus.operation import Operation, Program, Shape, single_step
from implicitops.codegen import Bundle
from implicitops.symbolic.tape import Tape

Group = tuple[sp.Symbol, ...]
Groups = tuple[Group, ...]
Outputs = Sequence[Sequence[sp.Expr]]


class Evaluate(Operation):
    """Operation given by expressions; subclasses say which, and write them only when they are needed."""

    @property
    def groups(self) -> Groups:
        """Symbols of each input, flattened."""
        raise NotImplementedError

    @property
    def solution_input(self) -> int | None:
        """Which input is the solution of a solve; where that failed, all outputs are NaN."""
        return None

    @property
    def solution_range(self) -> tuple[int, int]:
        """Positions of that input among the flattened inputs."""
        if self.solution_input is None:
            return 0, 0
        sizes = [math.prod(shape) for shape in self.input_shapes[: self.solution_input + 1]]
        return sum(sizes[:-1]), sum(sizes)

    @property
    def differentiated(self) -> Any:
        """The problem of whose answer this is a derivative, if it is one: its arguments are then the first inputs."""
        return getattr(self, "problem", None)

    @property
    def judged_order(self) -> int:
        """Order of the derivative that this is, 1 or 2, if its accuracy is judged where it is evaluated; else 0."""
        return 0

    @property
    def output_parameters(self) -> tuple[int, ...] | None:
        """Position of the parameter by which each number in the outputs is a derivative that is judged.

        None if the derivative is one along a direction of all parameters, which are the last inputs.
        """
        return None

    def doubt(self, tape: Tape, order: int) -> sp.Expr:
        """Write how much a derivative of that order may be off, see ``csrc/derivative_judge.h``."""
        raise NotImplementedError

    def write(self, tape: Tape) -> Outputs:
        """Write the outputs on a tape in terms of ``groups``; returns the values of each output, flattened."""
        raise NotImplementedError

    def bundle(self) -> Bundle:
        """All inputs and outputs, flattened, for the code generator; then the doubt if the accuracy is judged."""
        tape = Tape()
        outputs = [value for output in self.write(tape) for value in output]
        if self.judged_order:
            outputs.append(self.doubt(tape, self.judged_order))
        return tape.bundle(flat(self.groups), outputs)

    def vjp(self) -> Program:
        """Reverse rule: one evaluation of the transposed Jacobian times the cotangents."""
        n, m = len(self.input_shapes), len(self.output_shapes)
        return single_step(Pullback(self), n + 2 * m, (*range(n), *range(n + m, n + 2 * m)))

    def jvp(self) -> Program:
        """Forward rule: one evaluation of the Jacobian times the tangents."""
        n, m = len(self.input_shapes), len(self.output_shapes)
        return single_step(Pushforward(self), 2 * n + m, (*range(n), *range(n + m, 2 * n + m)))


@dataclass(frozen=True)
class OfEvaluation(Evaluate):
    """What is made of an evaluation, and begins with its inputs.

    Parameters
    ----------
    parent : Evaluate
    """

    parent: Evaluate

    @property
    def solution_range(self) -> tuple[int, int]:
        """That of the parent."""
        return self.parent.solution_range

    @property
    def differentiated(self) -> Any:
        """That of the parent."""
        return self.parent.differentiated

    @property
    def judged_order(self) -> int:
        """One more than that of the parent, up to 2."""
        return min(2, self.parent.judged_order + 1) if self.parent.judged_order else 0

    def doubt(self, tape: Tape, order: int) -> sp.Expr:
        """That of the parent."""
        return self.parent.doubt(tape, order)


@dataclass(frozen=True)
class Pullback(OfEvaluation):
    """Cotangents of an evaluation's inputs, from its inputs and the cotangents of its outputs."""

    @property
    def name(self) -> str:
        return f"{self.parent.name}_vjp"

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return (*self.parent.input_shapes, *self.parent.output_shapes)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return self.parent.input_shapes

    @property
    def groups(self) -> Groups:
        return (*self.parent.groups, *seeds(self.parent.output_shapes, f"c{len(self.parent.groups)}"))

    def write(self, tape: Tape) -> Outputs:
        cotangents = self.groups[len(self.parent.groups) :]
        values = [value for output in self.parent.write(tape) for value in output]
        derivatives = tape.reverse(zip(values, flat(cotangents)), flat(self.parent.groups))
        return grouped(derivatives, self.parent.groups)


@dataclass(frozen=True)
class Pushforward(OfEvaluation):
    """Tangents of an evaluation's outputs, from its inputs and their tangents."""

    @property
    def name(self) -> str:
        return f"{self.parent.name}_jvp"

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return (*self.parent.input_shapes, *self.parent.input_shapes)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return self.parent.output_shapes

    @property
    def groups(self) -> Groups:
        return (*self.parent.groups, *seeds(self.parent.input_shapes, f"t{len(self.parent.groups)}"))

    def write(self, tape: Tape) -> Outputs:
        n = len(self.parent.groups)
        direction = dict(zip(flat(self.groups[:n]), flat(self.groups[n:])))
        return [tape.forward(output, direction) for output in self.parent.write(tape)]


def seeds(shapes: Sequence[Shape], prefix: str) -> Groups:
    """One new real Symbol for each component of arrays of given shapes."""
    return tuple(
        tuple(sp.Symbol(f"{prefix}_{i}_{j}", real=True) for j in range(math.prod(shape)))
        for i, shape in enumerate(shapes)
    )


def flat(groups: Groups) -> Group:
    """All Symbols of several groups in one."""
    return tuple(symbol for group in groups for symbol in group)


def grouped(values: Sequence[sp.Expr], groups: Groups) -> list[list[sp.Expr]]:
    """Values in the groups of the Symbols that they belong to."""
    remaining = iter(values)
    return [[next(remaining) for _ in group] for group in groups]
