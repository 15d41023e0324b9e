"""What all tests share: random numbers of their own, and problems whose answers have a closed form."""

from __future__ import annotations

import pytest
from decay import decays


@pytest.fixture
def decays(monkeypatch):
    """``problem(**options)``, ``rows(order, a, (b1, b2), t0, times)`` and ``calls``, (operation, batch) of each run."""
    calls = []

    def operation_of(operation):
        adjoint = isinstance(operation, Adjoint)
        outputs = operation.output_shapes if adjoint else operation.kernel_output_shapes
        kernel = _external.External(_Evaluator(operation, calls))
        sizes = [[math.prod(shape) for shape in shapes] for shapes in (operation.input_shapes, outputs)]
        return _operation.Handle(kernel, *sizes, 2)

    monkeypatch.setitem(build.SOLVERS, Decay, operation_of)
    monkeypatch.setattr(build, "_built", {})
    # Kernels are registered under their names once a process, and would count the calls of another test.
    monkeypatch.setattr(Decay, "key", property(lambda self: f"{iop.ODE.key.fget(self)}{id(calls)}"))
    return SimpleNamespace(problem=decay, rows=rows, calls=calls)
