"""Kernels of explicit expressions, and of the status that a value carries."""

from __future__ import annotations

from implicitops.calculus.evaluate import Evaluate
from implicitops.calculus.status_of import StatusOf
from implicitops.kernels import _evaluate, _operation, _status_of
from implicitops.kernels.build import bind, bound
from implicitops.kernels.bundles import compiled


@bind.register(Evaluate)
def evaluate_operation(operation: Evaluate) -> _operation.Operation:
    """Operation bound to its kernel."""
    expressions, is_derivative = compiled(operation.name, operation.bundle), operation.differentiated is not None
    return bound(operation, _evaluate.Evaluate(expressions, operation.solution_range, is_derivative))


@bind.register(StatusOf)
def status_operation(operation: StatusOf) -> _operation.Operation:
    """Operation bound to its kernel."""
    return bound(operation, _status_of.StatusOf())
