"""Kernels of systems of equations, and what they share with those of minima: several unknowns."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from implicitops.calculus.solve import Solve
from implicitops.kernels import _root_system
from implicitops.kernels.bundles import compiled
from implicitops.problems.unknowns import ProblemWithUnknowns
from implicitops.symbolic.equations import equations_of

AnyWithUnknowns = TypeVar("AnyWithUnknowns", bound=ProblemWithUnknowns)


def root_system_kernel(operation: Solve[AnyWithUnknowns], fixed_point: int) -> _root_system.RootSystemKernel:
    """Kernel of a Solve of a Root or a FixedPoint.

    Parameters
    ----------
    operation : Solve
    fixed_point : 1 if Anderson acceleration can be used, 2 if it goes before Newton's method, 0 for a Root
    """
    problem = operation.problem
    equations = equations_of(problem)
    return _root_system.RootSystemKernel(
        residual=compiled(f"{problem.equation_key}/system", equations.residual_bundle),
        start=None if operation.start_given else compiled(f"{problem.key}/guess", equations.start_bundle),
        entries=equations.jacobian_pattern,
        bandwidths=equations.bandwidths,
        fixed_point=fixed_point,
        **common_arguments(operation),
    )


def common_arguments(operation: Solve[AnyWithUnknowns]) -> dict[str, Any]:
    """What every kernel for several unknowns needs: derivatives with respect to the parameters, domain, options."""
    problem, order = operation.problem, operation.derivatives
    equations, key, options = equations_of(problem), problem.equation_key, problem.options
    return {
        "parameter": compiled(f"{key}/parameter", equations.parameter_bundle) if order >= 1 else None,
        "second": compiled(f"{key}/second", equations.second_bundle) if order >= 2 else None,
        "errors": compiled(f"{key}/errors", equations.error_bundle) if order >= 1 else None,
        "second_errors": compiled(f"{key}/second_errors", equations.second_error_bundle) if order >= 2 else None,
        "parameter_entries": equations.parameter_pattern if order >= 1 else np.empty((2, 0)),
        "n_params": len(problem.parameter_symbols),
        "lower": [float(low) for low, _ in problem.domain],
        "upper": [float(high) for _, high in problem.domain],
        "atol": options.atol,
        "rtol": options.rtol,
        "max_steps": options.max_steps,
        "derivatives": order,
    }
