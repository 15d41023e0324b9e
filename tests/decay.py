"""A problem whose answer, and derivatives of any order, have a closed form: it stands for integrations."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.calculus.sensitivities import Adjoint
from implicitops.external.calls import Outcome
from implicitops.kernels import _external, _operation, build

a, b1, b2, t0, t = sp.symbols("a b1 b2 t0 t")
x1, x2 = sp.symbols("x1 x2")
COLUMNS = (a, b1, b2, t0, t)
ANSWER = sp.Array([b1 * sp.exp(-a * (t - t0)), b2 * sp.exp(-2 * a * (t - t0))])
# Axes: component, then one for each derivative.
DERIVATIVES = [ANSWER]
for _ in range(2):
    columns = [sp.diff(DERIVATIVES[-1], column) for column in COLUMNS]
    rank = DERIVATIVES[-1].rank()
    DERIVATIVES.append(sp.permutedims(sp.Array(columns), [*range(1, rank + 1), 0]))
FUNCTIONS = [sp.lambdify(COLUMNS, sp.flatten(derivative)) for derivative in DERIVATIVES]


class Decay(iop.ODE):
    """x1' = -a x1 and x2' = -2 a x2, solved by its formula; a negative rate is a failure."""


def decay(**options):
    initial = {x1: b1, x2: b2}
    return Decay({x1: -a * x1, x2: -2 * a * x2}, [a, (b1, b2), t0], initial=initial, t0=t0, **options)


def rows(order, rate, start, first, times):
    """Value and extended derivatives up to an order: arrays (T, 2), (T, 2, 5), (T, 2, 5, 5)."""
    numbers = np.broadcast_arrays(rate, start[0], start[1], first, np.asarray(times, dtype=float))
    found = [np.stack([np.broadcast_to(f, numbers[0].shape) for f in function(*numbers)]) for function in FUNCTIONS]
    return [f.T.reshape(-1, 2, *(5,) * k) for k, f in enumerate(found[: order + 1])]


class _Evaluator:
    """What the kernel of existing code calls: one row of `inputs` for each batch element."""

    cause = None

    def __init__(self, operation, calls):
        self.operation, self.calls = operation, calls

    def __call__(self, inputs):
        n = len(inputs[0])
        self.calls.append((self.operation, n))
        status = np.where(inputs[0][:, 0] >= 0, 0, iop.Status.MAX_STEPS.code).astype(np.int32)
        outputs = [self._outputs(*(x[i] for x in inputs)) for i in range(n)]
        stacked = [np.array([np.ravel(output[k]) for output in outputs]) for k in range(len(outputs[0]))]
        for output in stacked:
            output[status != 0] = np.nan
        return Outcome(stacked, status, np.ones(n, dtype=np.int64), {})

    def _outputs(self, rate, start, first, times, cotangent=None):
        if isinstance(self.operation, Adjoint):
            _, jacobian = rows(1, rate[0], start, first[0], times)
            pulled = np.einsum("kia,ki->ka", jacobian, cotangent.reshape(-1, 2))
            total = pulled.sum(axis=0)
            return total[0], total[1:3], total[3], pulled[:, 4]
        found = rows(self.operation.derivatives, rate[0], start, first[0], times)
        found += [np.empty(0)] * (3 - len(found))
        errors = self.operation.kernel_output_shapes[3:]
        return [*found, *(np.zeros_like(f) if e != (0,) else np.empty(0) for f, e in zip(found, errors))]


@pytest.fixture
def decays(monkeypatch):
    """``problem(**options)``, ``rows(order, a, (b1, b2), t0, times)`` and ``calls``, (operation, batch) of each run."""
    calls = []

    def operation_of(operation):
        adjoint = isinstance(operation, Adjoint)
        outputs = operation.output_shapes if adjoint else operation.kernel_output_shapes
        kernel = _external.ExternalKernel(_Evaluator(operation, calls))
        sizes = [[math.prod(shape) for shape in shapes] for shapes in (operation.input_shapes, outputs)]
        return _operation.Handle(kernel, *sizes, 2)

    monkeypatch.setitem(build.SOLVERS, Decay, operation_of)
    monkeypatch.setattr(build, "_built", {})
    # Kernels are registered under their names once a process, and would count the calls of another test.
    monkeypatch.setattr(Decay, "key", property(lambda self: f"{iop.ODE.key.fget(self)}{id(calls)}"))
    return SimpleNamespace(problem=decay, rows=rows, calls=calls)
