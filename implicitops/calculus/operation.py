"""Operations and programs: the form in which derivative rules reach a backend. No rule lives here.

The set of operations is closed under differentiation: the derivative of a :class:`~implicitops.calculus.solve.Solve`
is a program of explicit evaluations at the solution (and linear solves, for systems), never another solve.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from implicitops.problems.base import FREE as FREE

#: Trailing axes of an array. The first may be ``FREE``: each call chooses its length, which is the same for all free
#: axes of one operation.
Shape = tuple[int, ...]


class Operation:
    """A function of arrays with a known derivative; it acts on trailing axes and maps over leading ones.

    Subclasses are frozen dataclasses, equal and hashed by content.
    """

    @property
    def name(self) -> str:
        """Content name: equal for equal operations in every process, valid as a file or symbol name."""
        raise NotImplementedError

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """Trailing shape of each input."""
        raise NotImplementedError

    @property
    def input_names(self) -> tuple[str, ...]:
        """What an error calls each input."""
        return tuple(f"input {k} of {self.name}" for k in range(len(self.input_shapes)))

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        """Trailing shape of each output."""
        raise NotImplementedError

    @property
    def constant_inputs(self) -> range:
        """Positions of inputs with respect to which the derivative is zero by definition, not for want of a rule."""
        return range(0)

    def vjp(self) -> Program:
        """Reverse rule: (inputs, outputs, cotangents of outputs) to cotangents of inputs."""
        raise NotImplementedError

    def jvp(self) -> Program:
        """Forward rule: (inputs, outputs, tangents of inputs) to tangents of outputs."""
        raise NotImplementedError


@dataclass(frozen=True)
class Step:
    """One operation of a program, applied to earlier values.

    Parameters
    ----------
    operation : Operation
    arguments : tuple of int, positions in the list of all values so far
    """

    operation: Operation
    arguments: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """A straight line of operations: what a backend replays to differentiate.

    The values are numbered: first the program's inputs, then the outputs of each step in turn.

    Parameters
    ----------
    n_inputs : int
    steps : tuple of Step
    results : tuple of int, positions of the program's outputs; None where an output is zero
    """

    n_inputs: int
    steps: tuple[Step, ...]
    results: tuple[int | None, ...]

    def replay(self, inputs: Sequence[Any], apply: Callable[..., Sequence[Any]]) -> list[Any]:
        """Run the program with a backend's own values.

        Parameters
        ----------
        inputs : sequence of the backend's values, ``n_inputs`` of them
        apply : callable (operation, *values) returning the operation's outputs

        Returns
        -------
        list of the backend's values, one for each of ``results``; None for a zero
        """
        if len(inputs) != self.n_inputs:
            raise ValueError(f"the program expects {self.n_inputs} inputs; got {len(inputs)}")
        values = list(inputs)
        for step in self.steps:
            values.extend(apply(step.operation, *(values[i] for i in step.arguments)))
        return [None if i is None else values[i] for i in self.results]


def single_step(operation: Operation, n_inputs: int, arguments: Sequence[int]) -> Program:
    """Program of one operation whose outputs are the results."""
    n_outputs = len(operation.output_shapes)
    return Program(n_inputs, (Step(operation, tuple(arguments)),), tuple(range(n_inputs, n_inputs + n_outputs)))


def with_idle_inputs(program: Program, counts: Mapping[int, int]) -> Program:
    """Program that takes further inputs and does not look at them.

    Parameters
    ----------
    program : Program
    counts : mapping from a position among its inputs to how many are put in before it
    """

    def moved(i: int) -> int:
        return i + sum(count for position, count in counts.items() if position <= i)

    steps = tuple(Step(step.operation, tuple(map(moved, step.arguments))) for step in program.steps)
    results = tuple(None if i is None else moved(i) for i in program.results)
    return Program(program.n_inputs + sum(counts.values()), steps, results)


class Draft:
    """A program in the making: steps are appended, and values are known by their positions.

    Parameters
    ----------
    n_inputs : int
    """

    def __init__(self, n_inputs: int) -> None:
        self.n_inputs = self._n_values = n_inputs
        self._steps: list[Step] = []

    def apply(self, operation: Operation, *arguments: int) -> range:
        """Append a step; the positions of its outputs."""
        self._steps.append(Step(operation, arguments))
        first, self._n_values = self._n_values, self._n_values + len(operation.output_shapes)
        return range(first, self._n_values)

    def program(self, results: Sequence[int | None]) -> Program:
        """The program with these results."""
        return Program(self.n_inputs, tuple(self._steps), tuple(results))


def resolved(shape: Shape, length: int | None) -> Shape:
    """Shape whose free axis has a length."""
    return tuple(length if n == FREE and length is not None else n for n in shape)


def free_position(shapes: Sequence[Shape]) -> int | None:
    """Position of the first shape with a free axis, or None."""
    return next((k for k, shape in enumerate(shapes) if shape[:1] == (FREE,)), None)


def content_name(kind: str, *content: Any) -> str:
    """Name of an operation from what it consists of, for contents of any length."""
    return f"{kind}_{hashlib.sha256(repr(content).encode()).hexdigest()[:32]}"
