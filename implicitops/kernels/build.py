"""From an operation of the calculus to a kernel bound to machine code. Every operation is built once a process."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from implicitops.calculus.collect import Collect, Distribute
from implicitops.calculus.einsum import Einsum
from implicitops.calculus.evaluate import Evaluate
from implicitops.calculus.operation import Operation
from implicitops.calculus.root_scalar import ScalarRootRule
from implicitops.calculus.root_system import Factorise, LinearSolve, SecondOrderFactors
from implicitops.calculus.sensitivities import Sensitivities
from implicitops.calculus.solve import Solve
from implicitops.calculus.status_of import StatusOf
from implicitops.codegen import UnsupportedExpressionError
from implicitops.kernels import (
    _collect,
    _evaluate,
    _linear_solve,
    _minimum,
    _operation,
    _root_scalar,
    _root_system,
    _status_of,
)
from implicitops.kernels.bundles import compiled, sizes
from implicitops.kernels.einsum import einsum_operation
from implicitops.kernels.external import external_operation
from implicitops.kernels.integral import integral_operation
from implicitops.kernels.ode import ode_operation
from implicitops.kernels.parallel import GRAIN
from implicitops.problems.external import External
from implicitops.problems.fixed_point import FixedPoint
from implicitops.problems.integral import Integral
from implicitops.problems.minimum import Minimum
from implicitops.problems.ode import ODE
from implicitops.symbolic.canonical_symbols import Statement
from implicitops.symbolic.doubt import restarted
from implicitops.symbolic.equations import equations_of
from implicitops.symbolic.minimum import MinimumRule

#: Batch elements, times their numbers, that keep a thread busy for a tenth of a millisecond in a linear operation.
LINEAR_GRAIN = 100_000

_built: dict[str, Any] = {}
_lock = threading.RLock()


def kernel_of(operation: Operation) -> Any:
    """Compiled kernel of an operation, from memory, from the disk cache, or new.

    Parameters
    ----------
    operation : Operation

    Returns
    -------
    implicitops.kernels._operation.Operation

    Raises
    ------
    UnsupportedExpressionError : an expression contains a function that has no machine code
    """
    kernel = _built.get(operation.name)
    if kernel is None:
        with _lock:
            kernel = _built.get(operation.name)
            if kernel is None:
                kernel = _built[operation.name] = _build_in_users_terms(operation)
    return kernel


def _build_in_users_terms(operation: Operation) -> Any:
    """Kernel of an operation, or an error in the Symbols of the problem's statement."""
    try:
        return _build(operation)
    except UnsupportedExpressionError as error:
        part: Any = operation
        while not hasattr(part, "problem") and hasattr(part, "parent"):
            part = part.parent
        raise Statement.of(part.problem).named(part.problem, error) from None


def register(operation: Operation) -> str:
    """Make an operation callable from C by name, and return the name."""
    _operation.register(operation.name, kernel_of(operation))
    return operation.name


def _build(operation: Operation) -> Any:
    if isinstance(operation, Sensitivities):
        return kernel_of(Solve(operation.problem, operation.order))  # whose first outputs are the same
    for kind in type(getattr(operation, "problem", None)).__mro__:
        if kind in SOLVERS:
            return SOLVERS[kind](operation)
    if isinstance(operation, Einsum):
        return einsum_operation(operation)
    if isinstance(operation, (Collect, Distribute)):
        return _linear_operation(operation)
    outputs = operation.output_shapes
    if isinstance(operation, Evaluate):
        kernel: Any = _evaluate.Evaluate(
            compiled(operation.name, operation.bundle),
            operation.solution_range,
            operation.differentiated is not None,
            judge=_judge(_evaluate.Judge, operation.differentiated, operation.judged_order),
            order=operation.judged_order,
            output_parameters=operation.output_parameters,
        )
    elif isinstance(operation, Solve):
        is_minimum = isinstance(operation.problem, Minimum)
        kernel = _minimum_kernel(operation) if is_minimum else _system_or_scalar(operation)
        outputs = operation.kernel_output_shapes
    elif isinstance(operation, (Factorise, SecondOrderFactors)):
        kernel = _factorise(operation)
    elif isinstance(operation, StatusOf):
        kernel = _status_of.StatusOf()
    elif isinstance(operation, LinearSolve):
        equations = operation.equations
        kernel = _linear_solve.LinearSolve(
            n=equations.n, bandwidths=equations.bandwidths, transposed=operation.transposed
        )
    else:
        raise TypeError(f"no kernel for {type(operation).__name__}")
    return _operation.Operation(
        kernel,
        sizes(operation.input_shapes),
        sizes(outputs),
        _grain(operation),
        has_derivatives=isinstance(operation, Solve),
    )


def _judge(kind: Any, problem: Any, order: int) -> Any:
    """Who decides on derivatives of a problem's answer that are in doubt; None where there is no order."""
    if order == 0:
        return None
    other, ends = restarted(problem)
    return kind(ends, lambda: kernel_of(Solve(other, order, start_given=True)))


def _grain(operation: Operation) -> int:
    """Batch elements that keep a thread busy for about a tenth of a millisecond, its start costing a fifth of that."""
    n = math.prod(operation.output_shapes[0])
    return GRAIN if n <= 1 else max(1, 2048 // n**2)


def _root_scalar_kernel(operation: Solve) -> Any:
    problem: Any = operation.problem
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


def _start_kind(problem: Any) -> str:
    if problem.guess is None:
        return "bracket"
    return "guess" if getattr(problem, "bracket", None) is None else "both"


def _root_system_kernel(operation: Solve) -> Any:
    problem = operation.problem
    equations = equations_of(problem)
    return _root_system.RootSystem(
        residual=compiled(f"{problem.equation_key}/system", equations.residual_bundle),
        start=None if operation.start_given else compiled(f"{problem.key}/guess", equations.start_bundle),
        entries=equations.jacobian_pattern,
        bandwidths=equations.bandwidths,
        fixed_point=_fixed_point_mode(problem),
        **_common_arguments(operation),
    )


def _minimum_kernel(operation: Solve) -> Any:
    problem = operation.problem
    rule, key = MinimumRule(problem), problem.equation_key
    return _minimum.Minimum(
        objective=compiled(f"{key}/objective", rule.objective_bundle),
        bounds=compiled(f"{key}/bounds", rule.bounds_bundle) if problem.is_bounded else None,
        start=None if operation.start_given else compiled(f"{problem.key}/start", rule.start_bundle),
        entries=rule.hessian_pattern,
        stationary_entries=equations_of(problem).jacobian_pattern,
        **_common_arguments(operation),
    )


def _common_arguments(operation: Solve) -> dict[str, Any]:
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


def _factorise(operation: Factorise | SecondOrderFactors) -> Any:
    equations, key = operation.equations, operation.problem.equation_key
    order = 2 if isinstance(operation, SecondOrderFactors) else 1
    return _linear_solve.Factorise(
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
        judge=_judge(_linear_solve.Judge, operation.problem, order),
    )


def _system_or_scalar(operation: Solve) -> Any:
    anderson = _fixed_point_mode(operation.problem) == 2
    is_system = operation.problem.output_shape or anderson
    return _root_system_kernel(operation) if is_system else _root_scalar_kernel(operation)


def _fixed_point_mode(problem: Any) -> int:
    """Whether Anderson acceleration can be used (1), or goes before Newton's method (2)."""
    if not isinstance(problem, FixedPoint):
        return 0
    return 2 if problem.options.method == "anderson" else 1


def _linear_operation(operation: Collect | Distribute) -> Any:
    kernel = (_collect.Collect if isinstance(operation, Collect) else _collect.Distribute)(operation.timed)
    grain = max(1, LINEAR_GRAIN // operation.rows[-1])
    return _operation.Operation(kernel, sizes(operation.input_shapes), sizes(operation.output_shapes), grain)


#: Problems whose operations are built elsewhere: what makes an Operation of those that hold such a problem.
SOLVERS: dict[type, Callable[[Any], Any]] = {
    External: external_operation,
    Integral: integral_operation,
    ODE: ode_operation,
}
