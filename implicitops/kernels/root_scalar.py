"""Kernels of roots and fixed points with one unknown."""

from __future__ import annotations

from implicitops.calculus.solve import Solve
from implicitops.kernels import _root_scalar
from implicitops.kernels.bundles import compiled
from implicitops.problems.fixed_point import FixedPoint
from implicitops.problems.root import Root
from implicitops.symbolic.root_scalar import RootScalarFunctions


def root_scalar_kernel(operation: Solve[Root] | Solve[FixedPoint]) -> _root_scalar.RootScalarKernel:
    """Kernel of a Solve of a scalar Root or FixedPoint."""
    problem = operation.problem
    functions, key, order = RootScalarFunctions(problem), problem.equation_key, operation.derivatives
    options = problem.options
    n = len(problem.parameter_symbols)
    return _root_scalar.RootScalarKernel(
        residual=compiled(f"{key}/residual", functions.residual_bundle),
        start=None if operation.start_given else compiled(f"{problem.key}/start", functions.start_bundle),
        finish=compiled(f"{key}/finish{order}", lambda: functions.finish_bundle(order)),
        errors=compiled(f"{key}/errors{order}", lambda: functions.error_bundle(order)) if order >= 1 else None,
        start_kind=_start_kind(problem),
        n_params=n,
        n_jacobian=n if order >= 1 else 0,
        n_hessian=n * n if order >= 2 else 0,
        rtol=options.rtol,
        atol=options.atol[0],
        max_steps=options.max_steps,
    )


def _start_kind(problem: Root | FixedPoint) -> str:
    if problem.guess is None:
        return "bracket"
    return "guess" if getattr(problem, "bracket", None) is None else "both"
