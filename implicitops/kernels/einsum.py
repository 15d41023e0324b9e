"""Loops of an Einsum: strides of its operands, and which loop is innermost. The loops themselves are in csrc/."""

from __future__ import annotations

import math

import numpy as np

from implicitops.calculus.einsum import MAX_INDICES, Einsum
from implicitops.kernels import _einsum, _operation
from implicitops.kernels.build import bind

#: Multiplications that keep a thread busy for about a tenth of a millisecond.
GRAIN = 100_000


@bind.register(Einsum)
def einsum_handle(operation: Einsum) -> _operation.Handle:
    """Handle of an operation."""
    tables = [_loops(operation, left, right) for left, right in operation.terms]
    kernel = _einsum.EinsumKernel(np.array(operation.terms), np.array(tables), math.prod(operation.output_shapes[0]))
    work = sum(math.prod(table[0]) for table in tables)
    return _operation.Handle(
        kernel,
        list(map(math.prod, operation.input_shapes)),
        list(map(math.prod, operation.output_shapes)),
        max(1, GRAIN // max(1, work)),
    )


def _loops(operation: Einsum, left: int, right: int) -> list[list[int]]:
    """Sizes of the loops of a term and the strides of output, left and right operand in them, innermost last.

    The innermost loop should walk each operand one by one, or stay where it is, and be long.
    """
    sizes = dict(operation.sizes)
    operands = (operation.output, operation.inputs[left], operation.inputs[right])
    steps = [_strides(indices, sizes) for indices in operands]
    order = sorted(
        dict.fromkeys("".join(operands)),
        key=lambda index: (all(step.get(index, 0) <= 1 for step in steps), sizes[index]),
    )
    padding = MAX_INDICES - len(order)
    lengths = [1] * padding + [sizes[index] for index in order]
    return [lengths, *([0] * padding + [step.get(index, 0) for index in order] for step in steps)]


def _strides(indices: str, sizes: dict[str, int]) -> dict[str, int]:
    return {index: math.prod(sizes[inner] for inner in indices[k + 1 :]) for k, index in enumerate(indices)}
