"""Kernels of linear operations: solves with the Jacobian of a system, and the columns of a propagated one."""

from __future__ import annotations

from implicitops.calculus.collect import Collect, Distribute
from implicitops.calculus.root_system import Factorise, LinearSolve
from implicitops.kernels import _collect, _linear_solve, _operation
from implicitops.kernels.build import bind, bound
from implicitops.kernels.bundles import compiled, sizes

#: Batch elements, times their numbers, that keep a thread busy for a tenth of a millisecond.
GRAIN = 100_000


@bind.register(Factorise)
def factorise_operation(operation: Factorise) -> _operation.Operation:
    """Operation bound to its kernel."""
    equations = operation.equations
    kernel = _linear_solve.Factorise(
        entries=compiled(f"{operation.problem.equation_key}/jacobian", equations.jacobian_bundle),
        pattern=equations.jacobian_pattern,
        n=equations.n,
        bandwidths=equations.bandwidths,
    )
    return bound(operation, kernel)


@bind.register(LinearSolve)
def linear_solve_operation(operation: LinearSolve) -> _operation.Operation:
    """Operation bound to its kernel."""
    equations = operation.equations
    kernel = _linear_solve.LinearSolve(n=equations.n, bandwidths=equations.bandwidths, transposed=operation.transposed)
    return bound(operation, kernel)


@bind.register(Collect)
@bind.register(Distribute)
def columns_operation(operation: Collect | Distribute) -> _operation.Operation:
    """Operation bound to its kernel."""
    kernel = (_collect.Collect if isinstance(operation, Collect) else _collect.Distribute)(operation.timed)
    grain = max(1, GRAIN // operation.rows[-1])
    return _operation.Operation(kernel, sizes(operation.input_shapes), sizes(operation.output_shapes), grain)
