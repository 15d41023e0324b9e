"""Derivatives of a scalar root x(p) of F(x, p) = 0, by the implicit function theorem.

With S_j = dx/dp_j and subscripts for partial derivatives at the root,

    S_j  = -F_j / F_x,
    S_jk = -(F_jk + F_xj S_k + F_xk S_j + F_xx S_j S_k) / F_x

(S. G. Krantz and H. R. Parks, The Implicit Function Theorem, 2002, Theorem 3.3.1, differentiated once more).
As functions of (x, p) these are explicit, so every higher order follows by differentiating them; the root is
solved once at any order.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp

from implicitops.calculus.evaluate import Evaluate, Groups, Outputs, flat, grouped, seeds
from implicitops.calculus.operation import Shape
from implicitops.problems.unknowns import ProblemWithUnknowns
from implicitops.symbolic.canonical_symbols import CanonicalSymbols
from implicitops.symbolic.doubt import scalar_doubt
from implicitops.symbolic.root_scalar import as_divisor, scalar_equation
from implicitops.symbolic.tape import Tape

_LARGEST = sp.Float(sys.float_info.max)


@dataclass(frozen=True)
class _OfScalarRoot(Evaluate):
    """First derivative of a scalar root: the inputs are the parameters, x and seeds."""

    problem: ProblemWithUnknowns

    @property
    def solution_input(self) -> int:
        return len(self.problem.parameter_shapes)

    @property
    def judged_order(self) -> int:
        return 1

    def doubt(self, tape: Tape, order: int) -> sp.Expr:
        _, residual, x, parameters = scalar_equation(self.problem)
        return scalar_doubt(tape, residual, x, parameters, order)


@dataclass(frozen=True)
class RootScalarPullback(_OfScalarRoot):
    """Cotangents of the parameters from (parameters, x, cotangent of x): -F_j / F_x times the cotangent."""

    @property
    def name(self) -> str:
        return f"root_{self.problem.equation_key}_vjp"

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return (*self.problem.parameter_shapes, (), ())

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return self.problem.parameter_shapes

    @property
    def output_parameters(self) -> tuple[int, ...]:
        return tuple(range(len(self.problem.parameter_symbols)))

    @property
    def groups(self) -> Groups:
        return (*_point(self.problem), *seeds([()], "c"))

    def write(self, tape: Tape) -> Outputs:
        _, residual, x, parameters = scalar_equation(self.problem)
        ((cotangent,),) = self.groups[-1:]
        slope, *slopes = tape.reverse([(tape.add(residual), sp.S.One)], (x, *parameters))
        factor = tape.add(-cotangent / as_divisor(tape, x, slope))
        products = [tape.add(factor * derivative) for derivative in slopes]
        return grouped([_only_at_a_root(tape, x, value, [cotangent]) for value in products], self.groups[:-2])


@dataclass(frozen=True)
class RootScalarPushforward(_OfScalarRoot):
    """Tangent of x from (parameters, x, tangents of the parameters): the sum of -F_j / F_x times each."""

    @property
    def name(self) -> str:
        return f"root_{self.problem.equation_key}_jvp"

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return (*self.problem.parameter_shapes, (), *self.problem.parameter_shapes)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return ((),)

    @property
    def groups(self) -> Groups:
        return (*_point(self.problem), *seeds(self.problem.parameter_shapes, "t"))

    def write(self, tape: Tape) -> Outputs:
        _, residual, x, parameters = scalar_equation(self.problem)
        value = tape.add(residual)
        (slope,) = tape.forward([value], {x: sp.S.One})
        tangents = flat(self.groups[len(self.problem.parameter_shapes) + 1 :])
        (change,) = tape.forward([value], dict(zip(parameters, tangents)))
        return [[_only_at_a_root(tape, x, tape.add(-change / as_divisor(tape, x, slope)), tangents)]]


def _only_at_a_root(tape: Tape, x: sp.Symbol, value: sp.Expr, seeds: Sequence[sp.Symbol]) -> sp.Expr:
    """A derivative where x is a number, and NaN where it is NaN because the solve failed.

    Most derivatives contain x and are NaN with it; a constant, or a branch that a comparison chooses, is not.
    """
    if tape.makes_nan_of(x, value):
        return value
    return tape.add(sp.Piecewise((value, x <= _LARGEST), (x * sp.Add(*seeds), True), evaluate=False))


def _point(problem: ProblemWithUnknowns) -> Groups:
    statement = CanonicalSymbols(problem, problem.unknowns)
    return (*statement.group(problem), statement.unknowns)
