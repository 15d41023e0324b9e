"""Solves whose failures carry their status in their NaN, run by Python: see csrc/marked_nan.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from implicitops.calculus import Operation, Solve
from implicitops.calculus.sensitivities import Adjoint, Sensitivities
from implicitops.kernels import run

#: Operations that solve a problem, and can fail.
SOLVES = (Solve, Sensitivities, Adjoint)


def run_marked(
    operation: Operation,
    handle: Any,
    n: int,
    inputs: Sequence[np.ndarray],
    strides: Sequence[int],
    outputs: Sequence[np.ndarray | None],
) -> int:
    """Run a batch, over several threads if it is large; how many elements failed.

    Parameters
    ----------
    operation : Operation; where it is one of :data:`SOLVES`, failures are marked: in the value, or in the derivatives
        alone where they are what failed
    handle : that of the operation, its length resolved; it may have more outputs
    n, inputs, strides : see :func:`implicitops.kernels.run`
    outputs : C-contiguous float64 arrays, or None where not wanted, for the first of the kernel's outputs
    """
    targets = [*outputs, *[None] * (len(handle.output_sizes) - len(outputs))]
    return run(handle, n, inputs, strides, targets, marked=isinstance(operation, SOLVES))[0]
