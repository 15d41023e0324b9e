"""Kernels of roots and fixed points with one unknown."""

from __future__ import annotations

from implicitops.calculus.root_scalar import ScalarRootRule
from implicitops.calculus.solve import Solve
from implicitops.kernels import _root_scalar
from implicitops.kernels.bundles import compiled
from implicitops.problems.fixed_point import FixedPoint
from implicitops.problems.root import Root


def root_scalar_kernel(operation: Solve[Root] | Solve[FixedPoint]) -> _root_scalar.RootScalar:
    """Kernel of a Solve of a scalar Root or FixedPoint."""
    problem = operation.problem
    rule, key, order = ScalarRootRule(problem), problem.equation_key, operation.derivatives
    options = problem.options
    n = len(problem.parameter_symbols)
    return _root_scalar.RootScalar(
        residual=compiled(f"{key}/residual", rule.residual_bundle),
        start=None if operation.start_given else compiled(f"{problem.key}/start", rule.start_bundle),
        finish=compiled(f"{key}/finish{order}", lambda: rule.finish_bundle(order)),
        errors=compiled(f"{key}/errors{order}", lambda: rule.error_bundle(order)) if order >= 1 else None,
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
