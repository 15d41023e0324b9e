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
from functools import lru_cache

import sympy as sp

from implicitops.calculus.evaluate import Evaluate, Groups, Outputs, flat, grouped, seeds
from implicitops.calculus.operation import Shape
from implicitops.codegen import Bundle
from implicitops.problems.unknowns import ProblemWithUnknowns
from implicitops.symbolic.canonical_symbols import Statement
from implicitops.symbolic.differentiate import rounding_scale
from implicitops.symbolic.doubt import scalar_doubt
from implicitops.symbolic.equations import residuals_of
from implicitops.symbolic.rounding import running_errors
from implicitops.symbolic.tape import Tape

_LARGEST = sp.Float(sys.float_info.max)


@dataclass(frozen=True)
class ScalarRootRule:
    """Everything symbolic that a scalar root finder and its derivatives need.

    Parameters
    ----------
    problem : problem with one unknown
    """

    problem: ProblemWithUnknowns

    def residual_bundle(self) -> Bundle:
        """(x, p) to F, F_x and the scale of F's rounding error."""
        symbols, residual, x, _ = _canonical(self.problem)
        tape = Tape()
        value, scale = tape.add(residual), tape.add(rounding_scale(residual))
        return tape.bundle(symbols, (value, *tape.reverse([(value, sp.S.One)], (x,)), scale))

    def start_bundle(self) -> Bundle:
        """Parameters to the bracket, or the domain, and the guess if there is one."""
        statement = Statement(self.problem, self.problem.unknowns)
        problem = self.problem
        bracket = getattr(problem, "bracket", None)
        outputs = (*(problem.domain[0] if bracket is None else bracket), *(problem.guess or ()))
        return Bundle(statement.parameters, tuple(statement.translate(e) for e in outputs))

    def finish_bundle(self, derivatives: int) -> Bundle:
        """(x, p) to F, F_x, the scale, F_xx, and the derivatives of the root up to an order."""
        tape = Tape()
        return tape.bundle(_canonical(self.problem)[0], tuple(self._finish(tape, derivatives)))

    def error_bundle(self, derivatives: int) -> Bundle:
        """(x, p) to rounding errors of F and of the derivatives of the root up to an order."""
        tape = Tape()
        value, _, _, _, *roots = self._finish(tape, derivatives)
        return tape.bundle(_canonical(self.problem)[0], running_errors(tape, [value, *roots]))

    def _finish(self, tape: Tape, derivatives: int) -> list[sp.Expr]:
        _, residual, x, parameters = _canonical(self.problem)
        value, scale = tape.add(residual), tape.add(rounding_scale(residual))
        # No derivative that is not asked for: a function may have none in the argument that holds a parameter.
        slope, *slopes = tape.reverse([(value, sp.S.One)], (x, *parameters) if derivatives >= 1 else (x,))
        curvature, *mixed = tape.reverse([(slope, sp.S.One)], (x, *parameters) if derivatives >= 2 else (x,))
        slope = _as_divisor(tape, x, slope)
        outputs = [value, slope, scale, curvature]
        first = [tape.add(-derivative / slope) for derivative in slopes]
        if derivatives >= 1:
            outputs.extend(first)
        if derivatives >= 2:
            n = len(parameters)
            second = [tape.reverse([(derivative, sp.S.One)], parameters) for derivative in slopes]
            entries = {}
            for j in range(n):
                for k in range(j + 1):
                    # One product at a time, the large curvature first: S_j S_k alone could underflow.
                    bent = tape.add(tape.add(curvature * first[j]) * first[k])
                    total = tape.add(second[j][k] + mixed[j] * first[k] + mixed[k] * first[j] + bent)
                    entries[j, k] = entries[k, j] = tape.add(-total / slope)
            outputs.extend(entries[j, k] for j in range(n) for k in range(n))
        return outputs


@lru_cache(maxsize=256)
def _canonical(problem: ProblemWithUnknowns) -> tuple[tuple[sp.Symbol, ...], sp.Expr, sp.Symbol, tuple[sp.Symbol, ...]]:
    statement = Statement(problem, problem.unknowns)
    (x,) = statement.unknowns
    return (x, *statement.parameters), residuals_of(problem, statement)[0], x, statement.parameters


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
        _, residual, x, parameters = _canonical(self.problem)
        return scalar_doubt(tape, residual, x, parameters, order)


@dataclass(frozen=True)
class ScalarRootPullback(_OfScalarRoot):
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
        _, residual, x, parameters = _canonical(self.problem)
        ((cotangent,),) = self.groups[-1:]
        slope, *slopes = tape.reverse([(tape.add(residual), sp.S.One)], (x, *parameters))
        factor = tape.add(-cotangent / _as_divisor(tape, x, slope))
        products = [tape.add(factor * derivative) for derivative in slopes]
        return grouped([_only_at_a_root(tape, x, value, [cotangent]) for value in products], self.groups[:-2])


@dataclass(frozen=True)
class ScalarRootPushforward(_OfScalarRoot):
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
        _, residual, x, parameters = _canonical(self.problem)
        value = tape.add(residual)
        (slope,) = tape.forward([value], {x: sp.S.One})
        tangents = flat(self.groups[len(self.problem.parameter_shapes) + 1 :])
        (change,) = tape.forward([value], dict(zip(parameters, tangents)))
        return [[_only_at_a_root(tape, x, tape.add(-change / _as_divisor(tape, x, slope)), tangents)]]


def _as_divisor(tape: Tape, x: sp.Symbol, slope: sp.Expr) -> sp.Expr:
    """F_x, by which SymPy must not divide where it is 0 everywhere: no root of a step function is regular."""
    is_zero = slope == 0
    return tape.add(sp.Piecewise((slope, x <= _LARGEST), (x, True), evaluate=False)) if is_zero else slope


def _only_at_a_root(tape: Tape, x: sp.Symbol, value: sp.Expr, seeds: Sequence[sp.Symbol]) -> sp.Expr:
    """A derivative where x is a number, and NaN where it is NaN because the solve failed.

    Most derivatives contain x and are NaN with it; a constant, or a branch that a comparison chooses, is not.
    """
    if tape.makes_nan_of(x, value):
        return value
    return tape.add(sp.Piecewise((value, x <= _LARGEST), (x * sp.Add(*seeds), True), evaluate=False))


def _point(problem: ProblemWithUnknowns) -> Groups:
    statement = Statement(problem, problem.unknowns)
    return (*statement.group(problem), statement.unknowns)
