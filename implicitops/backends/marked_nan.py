"""Solves run by Python whose failures carry their status in their NaN. In C the same is in csrc/marked_nan.h."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from implicitops.calculus import Operation, Solve
from implicitops.calculus.sensitivities import Adjoint, Sensitivities
from implicitops.calculus.status_of import MARK
from implicitops.kernels import run

#: Operations that solve a problem, and can fail.
SOLVES = (Solve, Sensitivities, Adjoint)


def run_marked(
    operation: Operation,
    kernel: Any,
    n: int,
    inputs: Sequence[np.ndarray],
    strides: Sequence[int],
    outputs: Sequence[np.ndarray | None],
) -> int:
    """Run a batch, over several threads if it is large; how many elements failed.

    Parameters
    ----------
    operation : Operation; where it is one of :data:`SOLVES`, failures are marked in its first output
    kernel : that of the operation, its length resolved; it may have more outputs
    n, inputs, strides : see :func:`implicitops.kernels.run`
    outputs : C-contiguous float64 arrays, or None where not wanted, for the first of the kernel's outputs
    """
    targets = [*outputs, *[None] * (len(kernel.output_sizes) - len(outputs))]
    if not isinstance(operation, SOLVES):
        return run(kernel, n, inputs, strides, targets)[0]
    status = np.zeros(n, dtype=np.int32)
    failed, _ = run(kernel, n, inputs, strides, targets, status)
    value = outputs[0]
    if failed and value is not None and value.size:
        elements = value.reshape(n, math.prod(value.shape) // n).view(np.int64)
        elements[status != 0] = (MARK | status[status != 0].astype(np.int64))[:, None]
    return failed
