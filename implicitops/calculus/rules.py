"""What there is to know of each kind of problem to differentiate its answer. A kind registers it beside its rules."""

from __future__ import annotations

from functools import singledispatch
from typing import Any, Generic, TypeVar

from implicitops.calculus.operation import Program, Shape
from implicitops.problems.base import Problem

Kind = TypeVar("Kind", bound=Problem)


class Rules(Generic[Kind]):
    """Derivative rules of a kind of problem, and what its kernel returns of derivatives.

    Subclasses give the two rules; the kernel of a kind that says no more returns the Jacobian and the Hessian with
    respect to all parameter Symbols when it is asked to, and estimates of the value's error alone.

    Attributes
    ----------
    is_propagated : bool, the solver propagates derivatives along with the answer, which Sensitivities returns with it
    estimates_derivatives : bool, the kernel writes estimated errors of Jacobian and Hessian to its outputs 4 and 5
        (NaN where an error is not known)
    estimates_on_demand : bool, estimates take a second solve: :attr:`Solution.estimates` makes them when they are
        first looked at
    """

    is_propagated = False
    estimates_derivatives = False
    estimates_on_demand = False

    def vjp(self, problem: Kind) -> Program:
        """Reverse rule of the answer: (arguments, y, ybar) to cotangents of the arguments."""
        raise NotImplementedError

    def jvp(self, problem: Kind) -> Program:
        """Forward rule of the answer: (arguments, y, tangents of the arguments) to y'."""
        raise NotImplementedError

    def derivative_shapes(self, problem: Kind, order: int) -> tuple[Shape, Shape, Shape]:
        """Trailing shapes of value, Jacobian and Hessian, (0,) for those beyond an order."""
        value, p = problem.output_shape, len(problem.parameter_symbols)
        return value, (*value, p) if order >= 1 else (0,), (*value, p, p) if order >= 2 else (0,)

    def error_shapes(self, problem: Kind, order: int) -> tuple[Shape, Shape, Shape]:
        """Trailing shapes of the estimated errors of these three, (0,) where the kernel has no estimate."""
        value, first, second = self.derivative_shapes(problem, order)
        return (value, first, second) if self.estimates_derivatives else (value, (0,), (0,))


@singledispatch
def rules_of(problem: Problem) -> Rules[Any]:
    """Rules of a kind of problem; a new kind registers its own.

    Raises
    ------
    TypeError : nobody has registered any
    """
    kind = type(problem).__name__
    raise TypeError(
        f"there are no derivative rules for {kind} problems. Register what returns them with "
        "implicitops.calculus.rules.rules_of.register."
    )


def is_propagated(problem: Problem) -> bool:
    """Whether the problem's solver propagates derivatives along with the answer."""
    return rules_of(problem).is_propagated
