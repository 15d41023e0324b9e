"""Explicit expressions as operations, closed under differentiation: Eval of {Solve, Eval, LinSolve}."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from implicitops.calculus.differentiate import combine, gradient
from implicitops.calculus.operation import Operation, Program, Shape, single_step
from implicitops.codegen import Bundle

Groups = tuple[tuple[sp.Symbol, ...], ...]
Outputs = tuple[tuple[sp.Expr, ...], ...]


class Evaluate(Operation):
    """Operation given by expressions; subclasses say which, and build them only when they are needed."""

    @property
    def expressions(self) -> tuple[Groups, Outputs]:
        """Symbols of each input and expressions of each output, both as flat groups."""
        raise NotImplementedError

    def bundle(self) -> Bundle:
        """All inputs and outputs, flattened, for the code generator."""
        inputs, outputs = self.expressions
        return Bundle(tuple(s for group in inputs for s in group), tuple(e for group in outputs for e in group))

    def vjp(self) -> Program:
        """Reverse rule: one evaluation of the transposed Jacobian times the cotangents."""
        n, m = len(self.input_shapes), len(self.output_shapes)
        return single_step(Pullback(self), n + 2 * m, (*range(n), *range(n + m, n + 2 * m)))

    def jvp(self) -> Program:
        """Forward rule: one evaluation of the Jacobian times the tangents."""
        n, m = len(self.input_shapes), len(self.output_shapes)
        return single_step(Pushforward(self), 2 * n + m, (*range(n), *range(n + m, 2 * n + m)))


@dataclass(frozen=True)
class Pullback(Evaluate):
    """Cotangents of an evaluation's inputs, from its inputs and the cotangents of its outputs."""

    parent: Evaluate

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
    def expressions(self) -> tuple[Groups, Outputs]:
        return _pullback(self.parent)


@dataclass(frozen=True)
class Pushforward(Evaluate):
    """Tangents of an evaluation's outputs, from its inputs and their tangents."""

    parent: Evaluate

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
    def expressions(self) -> tuple[Groups, Outputs]:
        return _pushforward(self.parent)


def seeds(groups: tuple[tuple[sp.Basic, ...], ...], prefix: str) -> Groups:
    """One new real Symbol for each member of each group."""
    return tuple(
        tuple(sp.Symbol(f"{prefix}_{i}_{j}", real=True) for j in range(len(group))) for i, group in enumerate(groups)
    )


@lru_cache(maxsize=256)
def _pullback(parent: Evaluate) -> tuple[Groups, Outputs]:
    inputs, outputs = parent.expressions
    cotangents = seeds(outputs, f"c{len(inputs)}")
    flat_outputs = [e for group in outputs for e in group]
    flat_cotangents = [s for group in cotangents for s in group]
    rows = [gradient(e, [s for group in inputs for s in group]) for e in flat_outputs]
    columns = iter(range(sum(map(len, inputs))))
    results = tuple(
        tuple(combine(flat_cotangents, [row[j] for row in rows]) for j in (next(columns) for _ in group))
        for group in inputs
    )
    return (*inputs, *cotangents), results


@lru_cache(maxsize=256)
def _pushforward(parent: Evaluate) -> tuple[Groups, Outputs]:
    inputs, outputs = parent.expressions
    tangents = seeds(inputs, f"t{len(inputs)}")
    flat_inputs = [s for group in inputs for s in group]
    flat_tangents = [s for group in tangents for s in group]
    results = tuple(tuple(combine(flat_tangents, gradient(e, flat_inputs)) for e in group) for group in outputs)
    return (*inputs, *tangents), results
