"""Which kernel solves a root or a fixed point: that of one unknown or that of systems."""

from __future__ import annotations

from implicitops.calculus.solve import Solve
from implicitops.kernels import _operation
from implicitops.kernels.build import bound, solves
from implicitops.kernels.root_scalar import root_scalar_kernel
from implicitops.kernels.root_system import root_system_kernel
from implicitops.problems.fixed_point import FixedPoint
from implicitops.problems.root import Root


@solves(Root)
def root_handle(operation: Solve[Root]) -> _operation.Handle:
    """Handle of an operation on a root."""
    is_system = operation.problem.output_shape
    return bound(operation, root_system_kernel(operation, 0) if is_system else root_scalar_kernel(operation))


@solves(FixedPoint)
def fixed_point_handle(operation: Solve[FixedPoint]) -> _operation.Handle:
    """Handle of an operation on a fixed point."""
    anderson = operation.problem.options.method == "anderson"
    is_system = operation.problem.output_shape or anderson
    kernel = root_system_kernel(operation, 2 if anderson else 1) if is_system else root_scalar_kernel(operation)
    return bound(operation, kernel)
