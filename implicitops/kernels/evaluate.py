"""Kernels of explicit expressions, and of the status that a value carries."""

from __future__ import annotations

from implicitops.calculus.evaluate import Evaluate
from implicitops.calculus.status_of import StatusOf
from implicitops.kernels import _evaluate, _operation, _status_of
from implicitops.kernels.build import bind, bound, judge_of
from implicitops.kernels.bundles import compiled


@bind.register(Evaluate)
def evaluate_handle(operation: Evaluate) -> _operation.Handle:
    """Handle of the operation."""
    kernel = _evaluate.EvaluateKernel(
        compiled(operation.name, operation.bundle),
        operation.solution_range,
        operation.differentiated is not None,
        judge=judge_of(_evaluate.Judge, operation.differentiated, operation.judged_order),
        order=operation.judged_order,
        output_parameters=operation.output_parameters,
    )
    return bound(operation, kernel)


@bind.register(StatusOf)
def status_handle(operation: StatusOf) -> _operation.Handle:
    """Handle of the operation."""
    return bound(operation, _status_of.StatusOfKernel())
