"""Derivatives of the root x(p) of a system F(x, p) = 0, by the implicit function theorem.

    forward   x' = -inverse(F_x) (F_p p')
    reverse   w = inverse(F_x)^T xbar,   pbar = -F_p^T w

(S. G. Krantz and H. R. Parks, The Implicit Function Theorem, 2002, Theorem 3.3.1). The reverse rule is one transposed
solve whatever the number of parameters. Linear solves with F_x(x, p) are operations with rules of their own, so that
any order follows; all of them at one point share one :class:`Factorise`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp

from implicitops.calculus.evaluate import Evaluate, Groups, Outputs, flat, grouped, seeds
from implicitops.calculus.operation import Operation, Program, Shape, Step
from implicitops.problems.unknowns import ProblemWithUnknowns
from implicitops.symbolic.equations import Equations, equations_of
from implicitops.symbolic.tape import Tape


@dataclass(frozen=True)
class AtPoint(Operation):
    """Operation on a problem's equations at a point: its first inputs are the parameters and x.

    Parameters
    ----------
    problem : Problem with a vector of unknowns
    """

    problem: ProblemWithUnknowns

    @property
    def equations(self) -> Equations:
        """The problem's equations."""
        return equations_of(self.problem)

    @property
    def differentiated(self) -> Any:
        """The problem of whose answer this serves a derivative."""
        return self.problem

    @property
    def point_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the parameters and of x."""
        return (*self.problem.parameter_shapes, (len(self.problem.unknowns),))

    @property
    def point_groups(self) -> Groups:
        """Symbols of the parameters and of x."""
        statement = self.equations.statement
        return (*statement.group(self.problem), statement.unknowns)

    @property
    def solution_input(self) -> int:
        """Position of x among the inputs."""
        return len(self.problem.parameter_shapes)

    def residuals_on(self, tape: Tape) -> list[sp.Expr]:
        """F written on a tape."""
        return [tape.add(residual) for residual in self.equations.residuals]

    @property
    def unknown_shape(self) -> Shape:
        """Shape of x."""
        return (len(self.problem.unknowns),)


@dataclass(frozen=True)
class Factorise(AtPoint):
    """LU factors of F_x at (p, x), for the linear solves there. They have no derivative of their own."""

    @property
    def name(self) -> str:
        return f"root_{self.problem.equation_key}_factorise"

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return self.point_shapes

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        n, bandwidths = len(self.problem.unknowns), self.equations.bandwidths
        width = n if bandwidths is None else 2 * bandwidths[0] + bandwidths[1] + 1
        return ((n * width + n,),)

    def vjp(self) -> Program:
        """No cotangent flows through the factors: the rule of LinearSolve accounts for the whole matrix."""
        n = len(self.input_shapes)
        return Program(n + 2, (), (None,) * n)

    def jvp(self) -> Program:
        """No tangent flows through the factors."""
        return Program(2 * len(self.input_shapes) + 1, (), (None,))


@dataclass(frozen=True)
class SecondOrderFactors(Factorise):
    """The factors of F_x again, inputs (p, x, factors): NaN where second derivatives are inaccurate.

    :class:`Factorise` judges first derivatives.
    """

    @property
    def name(self) -> str:
        return f"root_{self.problem.equation_key}_second_order_factors"

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return (*self.point_shapes, *self.output_shapes)


@dataclass(frozen=True)
class LinearSolve(AtPoint):
    """v with F_x v = b, or F_x^T v = b: inputs (p, x, factors, b), output v."""

    transposed: bool

    @property
    def name(self) -> str:
        return f"root_{self.problem.equation_key}_solve{'_transposed' if self.transposed else ''}"

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return (*self.point_shapes, *Factorise(self.problem).output_shapes, self.unknown_shape)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return (self.unknown_shape,)

    def vjp(self) -> Program:
        """With A v = b and cotangent vbar: bbar = inverse(A)^T vbar, and -d(bbar^T A v) for (p, x)."""
        n = len(self.point_shapes)
        point, factors, v, cotangent = tuple(range(n)), n, n + 2, n + 3
        judged, u = n + 4, n + 5
        left, right = (v, u) if self.transposed else (u, v)
        steps = (
            Step(SecondOrderFactors(self.problem), (*point, factors)),
            Step(LinearSolve(self.problem, not self.transposed), (*point, judged, cotangent)),
            Step(BilinearPullback(self.problem), (*point, left, right)),
        )
        return Program(n + 4, steps, (*range(u + 1, u + 1 + n), None, u))

    def jvp(self) -> Program:
        """v' = inverse(A) (b' - A' v)."""
        n = len(self.point_shapes)
        point, factors, v = tuple(range(n)), n, n + 2
        tangents, b_tangent = tuple(range(n + 3, n + 3 + n)), n + 3 + n + 1
        judged, right = b_tangent + 1, b_tangent + 2
        steps = (
            Step(SecondOrderFactors(self.problem), (*point, factors)),
            Step(JacobianPushforward(self.problem, self.transposed), (*point, v, *tangents, b_tangent)),
            Step(self, (*point, judged, right)),
        )
        return Program(b_tangent + 1, steps, (right + 1,))


@dataclass(frozen=True)
class ParameterPullback(AtPoint, Evaluate):
    """-F_p^T w for each parameter: inputs (p, x, w)."""

    @property
    def name(self) -> str:
        return f"root_{self.problem.equation_key}_parameter_vjp"

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return (*self.point_shapes, self.unknown_shape)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return self.problem.parameter_shapes

    @property
    def groups(self) -> Groups:
        return (*self.point_groups, *seeds([self.unknown_shape], "w"))

    def write(self, tape: Tape) -> Outputs:
        *parameters, _, w = self.groups
        weights = [-symbol for symbol in w]
        return grouped(tape.reverse(zip(self.residuals_on(tape), weights), flat(tuple(parameters))), tuple(parameters))


@dataclass(frozen=True)
class ParameterPushforward(AtPoint, Evaluate):
    """-F_p p': inputs (p, x, p')."""

    @property
    def name(self) -> str:
        return f"root_{self.problem.equation_key}_parameter_jvp"

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return (*self.point_shapes, *self.problem.parameter_shapes)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return (self.unknown_shape,)

    @property
    def groups(self) -> Groups:
        return (*self.point_groups, *seeds(self.problem.parameter_shapes, "t"))

    def write(self, tape: Tape) -> Outputs:
        n = len(self.problem.parameter_shapes)
        direction = dict(zip(flat(self.groups[:n]), flat(self.groups[n + 1 :])))
        return [[tape.add(-change) for change in tape.forward(self.residuals_on(tape), direction)]]


@dataclass(frozen=True)
class BilinearPullback(AtPoint, Evaluate):
    """-d(u^T F_x v) for each parameter and x: inputs (p, x, u, v).

    Where u or v is NaN because derivatives are inaccurate, all is, also where F_x is constant.
    """

    @property
    def name(self) -> str:
        return f"root_{self.problem.equation_key}_bilinear_vjp"

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return (*self.point_shapes, self.unknown_shape, self.unknown_shape)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return self.point_shapes

    @property
    def solution_range(self) -> tuple[int, int]:
        n, first = len(self.problem.unknowns), super().solution_range[0]
        return first, first + 3 * n

    @property
    def groups(self) -> Groups:
        return (*self.point_groups, *seeds([self.unknown_shape] * 2, "w"))

    def write(self, tape: Tape) -> Outputs:
        *point, u, v = self.groups
        product = tape.forward(self.residuals_on(tape), dict(zip(point[-1], v)))
        weights = [-symbol for symbol in u]
        return grouped(tape.reverse(zip(product, weights), flat(tuple(point))), tuple(point))


@dataclass(frozen=True)
class JacobianPushforward(AtPoint, Evaluate):
    """b' - A' v with A = F_x or F_x^T: inputs (p, x, v, p', x', b')."""

    transposed: bool

    @property
    def name(self) -> str:
        return f"root_{self.problem.equation_key}_jacobian_jvp{'_transposed' if self.transposed else ''}"

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return (*self.point_shapes, self.unknown_shape, *self.point_shapes, self.unknown_shape)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return (self.unknown_shape,)

    @property
    def groups(self) -> Groups:
        v, b = seeds([self.unknown_shape] * 2, "w")
        return (*self.point_groups, v, *seeds(self.point_shapes, "t"), b)

    def write(self, tape: Tape) -> Outputs:
        n = len(self.point_shapes)
        point, v, tangents, b = self.groups[:n], self.groups[n], self.groups[n + 1 : -1], self.groups[-1]
        values, direction = self.residuals_on(tape), dict(zip(flat(point), flat(tangents)))
        if self.transposed:
            change = tape.reverse(zip(tape.forward(values, direction), v), point[-1])
        else:
            change = tape.forward(tape.forward(values, dict(zip(point[-1], v))), direction)
        return [[tape.add(right - part) for right, part in zip(b, change)]]


def system_vjp(problem: ProblemWithUnknowns) -> Program:
    """Reverse rule of a system's solution: (p, x, xbar) to pbar."""
    n = len(problem.parameter_shapes)
    point, x_cotangent = tuple(range(n + 1)), n + 1
    steps = (
        Step(Factorise(problem), point),
        Step(LinearSolve(problem, True), (*point, n + 2, x_cotangent)),
        Step(ParameterPullback(problem), (*point, n + 3)),
    )
    return Program(n + 2, steps, tuple(range(n + 4, n + 4 + n)))


def system_jvp(problem: ProblemWithUnknowns) -> Program:
    """Forward rule of a system's solution: (p, x, p') to x'."""
    n = len(problem.parameter_shapes)
    point, tangents = tuple(range(n + 1)), tuple(range(n + 1, 2 * n + 1))
    steps = (
        Step(Factorise(problem), point),
        Step(ParameterPushforward(problem), (*point, *tangents)),
        Step(LinearSolve(problem, False), (*point, 2 * n + 1, 2 * n + 2)),
    )
    return Program(2 * n + 1, steps, (2 * n + 3,))
