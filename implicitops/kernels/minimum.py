"""Kernels of minima: the functions of a problem compiled and bound to the solver."""

from __future__ import annotations

from implicitops.calculus.solve import Solve
from implicitops.kernels import _minimum, _operation
from implicitops.kernels.build import bound, solves
from implicitops.kernels.bundles import compiled
from implicitops.kernels.root_system import common_arguments
from implicitops.problems.minimum import Minimum
from implicitops.symbolic.equations import equations_of
from implicitops.symbolic.minimum import MinimumFunctions


@solves(Minimum)
def minimum_handle(operation: Solve[Minimum]) -> _operation.Handle:
    """Handle of an operation on a minimum."""
    problem = operation.problem
    functions, key = MinimumFunctions(problem), problem.equation_key
    kernel = _minimum.MinimumKernel(
        objective=compiled(f"{key}/objective", functions.objective_bundle),
        bounds=compiled(f"{key}/bounds", functions.bounds_bundle) if problem.is_bounded else None,
        start=None if operation.start_given else compiled(f"{problem.key}/start", functions.start_bundle),
        entries=functions.hessian_pattern,
        stationary_entries=equations_of(problem).jacobian_pattern,
        **common_arguments(operation),
    )
    return bound(operation, kernel)
