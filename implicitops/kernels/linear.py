"""Kernels of linear operations: solves with the Jacobian of a system, and the columns of a propagated one."""

from __future__ import annotations

from implicitops.calculus.collect import Collect, Distribute
from implicitops.calculus.root_system import Factorise, LinearSolve, SecondOrderFactors
from implicitops.kernels import _collect, _linear_solve, _operation
from implicitops.kernels.build import bind, bound, judge_of
from implicitops.kernels.bundles import compiled, sizes

#: Batch elements, times their numbers, that keep a thread busy for a tenth of a millisecond.
GRAIN = 100_000


@bind.register(Factorise)
def factorise_handle(operation: Factorise) -> _operation.Handle:
    """Handle of the operation."""
    equations, key = operation.equations, operation.problem.equation_key
    order = 2 if isinstance(operation, SecondOrderFactors) else 1
    kernel = _linear_solve.FactoriseKernel(
        # Of a large system what its solver has compiled anyway, without the errors that only a bundle of its own tells.
        entries=None if equations.is_large else compiled(f"{key}/linear", equations.linear_bundle),
        residual=compiled(f"{key}/system", equations.residual_bundle) if equations.is_large else None,
        parameter=compiled(f"{key}/parameter", equations.parameter_bundle) if equations.is_large else None,
        second_errors=compiled(f"{key}/second_errors", equations.second_error_bundle) if order == 2 else None,
        pattern=equations.jacobian_pattern,
        parameter_pattern=equations.parameter_pattern,
        n=equations.n,
        n_params=len(operation.problem.parameter_symbols),
        bandwidths=equations.bandwidths,
        judge=judge_of(_linear_solve.Judge, operation.problem, order),
    )
    return bound(operation, kernel)


@bind.register(LinearSolve)
def linear_solve_handle(operation: LinearSolve) -> _operation.Handle:
    """Handle of an operation."""
    equations = operation.equations
    kernel = _linear_solve.LinearSolveKernel(
        n=equations.n, bandwidths=equations.bandwidths, transposed=operation.transposed
    )
    return bound(operation, kernel)


@bind.register(Collect)
@bind.register(Distribute)
def columns_handle(operation: Collect | Distribute) -> _operation.Handle:
    """Handle of the operation."""
    kernel = (_collect.CollectKernel if isinstance(operation, Collect) else _collect.DistributeKernel)(operation.timed)
    grain = max(1, GRAIN // operation.rows[-1])
    return _operation.Handle(kernel, sizes(operation.input_shapes), sizes(operation.output_shapes), grain)
