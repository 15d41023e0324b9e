"""The calculus' own programs, replayed with NumPy kernels. No framework, and no rule of differentiation, lives here.

Second order is forward or reverse through every step of a first-order program, so that the rules of the explicit
operations are exercised as a framework would exercise them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from implicitops.backends.numpy import evaluate
from implicitops.calculus import Operation, Program, Solve, Step
from implicitops.problems.base import Problem
from implicitops.verify.differentiation.base import Arrays, Differentiable


def _apply(operation: Operation, *values: np.ndarray) -> list[np.ndarray]:
    return evaluate(operation, values)


def _with_zeros(results: Sequence[np.ndarray | None], like: Arrays) -> list[np.ndarray]:
    """Results of a program, with arrays of zeros where a program says only "zero"."""
    return [np.zeros_like(a) if r is None else r for r, a in zip(results, like)]


def push(program: Program, inputs: Arrays, tangents: Arrays) -> list[np.ndarray]:
    """Tangents of a program's results: forward mode through its steps."""
    values, moved = list(inputs), list(tangents)
    for step in program.steps:
        arguments = [values[i] for i in step.arguments]
        outputs = _apply(step.operation, *arguments)
        rule = step.operation.jvp()
        results = rule.replay([*arguments, *outputs, *(moved[i] for i in step.arguments)], _apply)
        moved.extend(_with_zeros(results, outputs))
        values.extend(outputs)
    return [np.zeros_like(inputs[k]) if i is None else moved[i] for k, i in enumerate(program.results)]


def pull(program: Program, inputs: Arrays, cotangents: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Cotangents of a program's inputs: reverse mode through its steps."""
    values = list(inputs)
    first_outputs = []
    for step in program.steps:
        first_outputs.append(len(values))
        values.extend(_apply(step.operation, *(values[i] for i in step.arguments)))
    pulled = [np.zeros_like(v) for v in values]
    for result, seed in zip(program.results, cotangents):
        if result is not None:
            pulled[result] = pulled[result] + seed
    for step, first in zip(reversed(program.steps), reversed(first_outputs)):
        last = first + len(step.operation.output_shapes)
        arguments = [values[i] for i in step.arguments]
        results = step.operation.vjp().replay([*arguments, *values[first:last], *pulled[first:last]], _apply)
        for i, cotangent in zip(step.arguments, results):
            if cotangent is not None:
                pulled[i] = pulled[i] + cotangent
    return pulled[: program.n_inputs]


def after_solving(operation: Operation, rule: Program) -> Program:
    """Program that solves and then follows a derivative rule, from (inputs, seeds) to the rule's results.

    Parameters
    ----------
    operation : Operation with one output
    rule : Program of (inputs, output, seeds), its ``vjp()`` or ``jvp()``
    """
    n = len(operation.input_shapes)
    n_inputs = rule.n_inputs - 1

    def position(i: int) -> int:
        if i == n:
            return n_inputs
        return i - 1 if n < i <= n_inputs else i

    steps = [Step(operation, tuple(range(n)))]
    steps += [Step(step.operation, tuple(position(i) for i in step.arguments)) for step in rule.steps]
    return Program(n_inputs, tuple(steps), tuple(None if i is None else position(i) for i in rule.results))


class NumpyDifferentiable(Differentiable):
    """Derivative products of a problem by replaying its programs.

    Parameters
    ----------
    problem : Problem
    """

    name = "numpy"

    def __init__(self, problem: Problem) -> None:
        self.operation = Solve(problem)

    def value(self, arguments: Arrays) -> np.ndarray:
        return evaluate(self.operation, arguments)[0]

    def vjp(self, arguments: Arrays, cotangent: np.ndarray) -> list[np.ndarray]:
        value = self.value(arguments)
        return _with_zeros(self.operation.vjp().replay([*arguments, value, cotangent], _apply), arguments)

    def jvp(self, arguments: Arrays, tangents: Arrays) -> np.ndarray:
        value = self.value(arguments)
        return _with_zeros(self.operation.jvp().replay([*arguments, value, *tangents], _apply), [value])[0]

    def second(
        self, mode: str, arguments: Arrays, cotangent: np.ndarray, tangents: Arrays, others: Arrays
    ) -> np.ndarray | list[np.ndarray]:
        n = len(arguments)
        constant = [np.zeros_like(cotangent)]
        if mode[1] == "r":
            reverse = after_solving(self.operation, self.operation.vjp())
            inputs = [*arguments, cotangent]
            if mode[0] == "f":
                return push(reverse, inputs, [*tangents, *constant])
            return pull(reverse, inputs, tangents)[:n]
        forward = after_solving(self.operation, self.operation.jvp())
        inputs = [*arguments, *tangents]
        if mode[0] == "f":
            return push(forward, inputs, [*others, *(np.zeros_like(t) for t in tangents)])[0]
        return pull(forward, inputs, [cotangent])[:n]
