"""Existing code as handles: values and derivatives of a batch, computed in this process or by an executor.

The calls themselves are in calls.py; which derivatives exist is in calculus/external.py.
"""

from __future__ import annotations

import math
import pickle
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from implicitops.calculus.external import CONTRACTIONS, Contraction, require_order
from implicitops.calculus.solve import Solve
from implicitops.external.call import c_kernel
from implicitops.external.calls import Calls, Code, Outcome
from implicitops.external.executors import Workers
from implicitops.kernels import _external, _operation
from implicitops.kernels.build import bind, solves
from implicitops.problems.base import Problem
from implicitops.problems.callables import CFunction
from implicitops.problems.external import External
from implicitops.status import Status

#: Batch elements below which parallel.py does not split a batch: nobody knows that existing code is thread-safe.
GRAIN = 2**40


@bind.register(Contraction)
@solves(External)
def external_handle(operation: Solve[External] | Contraction) -> _operation.Handle:
    """Handle of an operation on existing code.

    Parameters
    ----------
    operation : Solve of an External problem, or Contraction

    Returns
    -------
    implicitops.kernels._operation.Handle

    Raises
    ------
    DerivativeError : a derivative is asked for that the code does not have
    """
    problem = operation.problem
    if isinstance(operation, Contraction):
        order, kind, outputs = operation.order, operation.kind, operation.output_shapes
    else:
        order, kind, outputs = operation.derivatives, f"solve{operation.derivatives}", operation.kernel_output_shapes
    require_order(problem, order)
    code, sizes = Code.of(problem), tuple(map(math.prod, outputs))
    if order == 0 and isinstance(problem.function, CFunction) and problem.executor is None and problem.timeout is None:
        kernel = c_kernel(problem.function, code.p, code.n)
    else:
        kernel = _external.ExternalKernel(Evaluator(Task(code, kind, sizes), Workers(problem)))
    inputs = [math.prod(shape) for shape in operation.input_shapes]
    return _operation.Handle(kernel, inputs, sizes, GRAIN, has_derivatives=isinstance(operation, Solve))


def needs_python(operation: Any) -> bool:
    """Whether compiled graphs should leave an operation to Python.

    They gain nothing if it calls Python, and caches of compiled code, which pickle what they contain, cannot
    hold functions that have no pickle.
    """
    problem: Problem | None = getattr(operation, "problem", None)
    if problem is None or not problem.calls_existing_code:
        return False
    if isinstance(external_handle(operation).kernel, _external.ExternalKernel):
        return True
    try:
        pickle.dumps(operation)
    except Exception:
        return True
    return False


class Evaluator:
    """Runs a task on a batch, here or over an executor; what the kernel in csrc/external.pyx calls.

    Parameters
    ----------
    task : Task
    workers : Workers
    """

    def __init__(self, task: Task, workers: Workers) -> None:
        self.task, self.workers = task, workers
        self._last = threading.local()

    def __call__(self, inputs: Sequence[np.ndarray]) -> Outcome:
        """Outcome for inputs (m, size)."""
        outcome = self.workers.run(self.task, inputs)
        failed = np.flatnonzero(outcome.status)
        self._last.cause = outcome.causes.get(int(failed[0])) if len(failed) else None
        return outcome

    @property
    def cause(self) -> BaseException | None:
        """Exception behind the first failure of this thread's last batch; told once, as it holds the call's frames."""
        return self._last.__dict__.pop("cause", None)


@dataclass(frozen=True)
class Task:
    """One operation on existing code; a picklable function of a batch.

    Parameters
    ----------
    code : Code
    kind : str, "solve0", "solve1", "solve2" or a contraction of calculus.external
    output_sizes : tuple of int, numbers in each output
    """

    code: Code
    kind: str
    output_sizes: tuple[int, ...]

    def __call__(self, inputs: Sequence[np.ndarray]) -> Outcome:
        """Outcome for inputs (m, size), one array for each input of the operation."""
        m = len(inputs[0])
        calls = Calls(self.code, m)
        calls.fail(~np.isfinite(np.concatenate(inputs, axis=1)).all(axis=1), Status.INVALID_INPUT)
        n_inputs = len(self.code.input_shapes)
        points, rest = np.concatenate(inputs[:n_inputs], axis=1), list(inputs[n_inputs:])
        if self.kind.startswith("solve"):
            outputs = _solved(calls, points, int(self.kind[-1]))
        else:
            outputs = [_contracted(calls, self.kind, points, rest.pop(0), rest)]
        for output in outputs:
            lost = np.isnan(output.reshape(m, -1)).any(axis=1) & (calls.status == 0)
            calls.fail(lost, Status.EXTERNAL_NAN)
        # Where only the differences are in doubt, the value is right. They are NaN in graphs, in a solution not.
        lost = calls.status != 0
        if self.kind.startswith("solve"):
            lost &= calls.status != Status.DERIVATIVE_INACCURATE.code
        for output in outputs:
            output[lost] = np.nan
        if self.kind.startswith("vjp"):
            outputs = self.code.split(outputs[0])
        return Outcome([output.reshape(m, -1) for output in outputs], calls.status, calls.calls, calls.causes)


def _solved(calls: Calls, points: np.ndarray, order: int) -> list[np.ndarray]:
    """What ``Solve.kernel_output_shapes`` lists, up to an order; empty arrays beyond it."""
    nothing = np.empty((len(points), 0))
    values, jacobian, hessian = calls.values(points), nothing, nothing
    errors: list[np.ndarray | None] = [None, None]
    if order >= 1:
        jacobian, errors[0] = calls.jacobian(points, values)
    if order >= 2:
        hessian, errors[1] = calls.hessian(points, values)
    first, second = (nothing if error is None else error for error in errors)
    return [values, jacobian, hessian, (nothing, first, second)[order], first, second]


def _contracted(
    calls: Calls, kind: str, points: np.ndarray, values: np.ndarray, directions: list[np.ndarray]
) -> np.ndarray:
    """A derivative applied to directions: (m, p) for the kinds that begin with vjp, (m, n) for jvp."""
    code = calls.code
    parts = iter(directions)
    n_inputs = len(code.input_shapes)
    vectors = [
        next(parts) if letter == "Y" else np.concatenate([next(parts) for _ in range(n_inputs)], axis=1)
        for letter in CONTRACTIONS[kind][0]
    ]
    if kind == "vjp":
        return calls.vjp(points, values, vectors[0])
    if kind == "jvp":
        return np.einsum("mij,mj->mi", calls.jacobian(points, values)[0], vectors[0])
    hessian, _ = calls.hessian(points, values)
    if kind == "vjp_vjp":
        return np.einsum("mijk,mi,mk->mj", hessian, *vectors)
    if kind == "vjp_jvp":
        w, t, v = vectors
        return np.einsum("mijk,mi,mk->mj", hessian, w, t) + calls.vjp(points, values, v)
    t, s, r = vectors
    jacobian, _ = calls.jacobian(points, values)
    return np.einsum("mijk,mj,mk->mi", hessian, t, s) + np.einsum("mij,mj->mi", jacobian, r)
