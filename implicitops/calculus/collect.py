"""Operations that gather a problem's arguments into the columns of its Jacobian, row by output time, and back again."""

from __future__ import annotations

import math
from dataclasses import dataclass

from implicitops.calculus.operation import FREE, Draft, Operation, Program, Shape, content_name
from implicitops.problems.base import Problem


@dataclass(frozen=True)
class _Columns(Operation):
    """Arguments of a problem and the columns that stand for them.

    Parameters
    ----------
    shapes : tuple of tuple of int, trailing shapes of the parameters
    timed : bool, output times are the last argument; then there are as many rows, whose last column is their time
    """

    shapes: tuple[Shape, ...]
    timed: bool

    @property
    def arguments(self) -> tuple[Shape, ...]:
        """Trailing shapes of the arguments."""
        return (*self.shapes, (FREE,)) if self.timed else self.shapes

    @property
    def rows(self) -> Shape:
        """Trailing shape of the rows."""
        n_columns = sum(map(math.prod, self.shapes))
        return (FREE, n_columns + 1) if self.timed else (n_columns,)


@dataclass(frozen=True)
class Collect(_Columns):
    """Rows from arguments: in row k the parameters, flattened, and the time of that row. Linear."""

    @property
    def name(self) -> str:
        return content_name("collect", self.shapes, self.timed)

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return self.arguments

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return (self.rows,)

    def vjp(self) -> Program:
        """Reverse rule: the transpose, applied to the cotangent."""
        n = len(self.arguments)
        draft = Draft(n + 2)
        return draft.program(draft.apply(Distribute(self.shapes, self.timed), n + 1))

    def jvp(self) -> Program:
        """Forward rule: itself, applied to the tangents."""
        n = len(self.arguments)
        draft = Draft(2 * n + 1)
        return draft.program(draft.apply(self, *range(n + 1, 2 * n + 1)))


@dataclass(frozen=True)
class Distribute(_Columns):
    """Arguments from rows: for each parameter the sum of its columns over the rows, and the column of times. Linear."""

    @property
    def name(self) -> str:
        return content_name("distribute", self.shapes, self.timed)

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return (self.rows,)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return self.arguments

    def vjp(self) -> Program:
        """Reverse rule: the transpose, applied to the cotangents."""
        n = len(self.arguments)
        draft = Draft(2 * n + 1)
        return draft.program(draft.apply(Collect(self.shapes, self.timed), *range(n + 1, 2 * n + 1)))

    def jvp(self) -> Program:
        """Forward rule: itself, applied to the tangent."""
        n = len(self.arguments)
        draft = Draft(n + 2)
        return draft.program(draft.apply(self, n + 1))


def is_timed(problem: Problem) -> bool:
    """Whether a problem has an answer at each of the output times, which are its last argument."""
    return problem.output_shape[:1] == (FREE,)


def collect(problem: Problem) -> Collect:
    """Collect for the arguments of a problem."""
    return Collect(problem.parameter_shapes, is_timed(problem))


def distribute(problem: Problem) -> Distribute:
    """Distribute for the arguments of a problem."""
    return Distribute(problem.parameter_shapes, is_timed(problem))
