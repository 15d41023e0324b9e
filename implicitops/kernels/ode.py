"""Kernels of initial value problems: the functions of a problem compiled and bound to the solver."""

from __future__ import annotations

from typing import Any

import numpy as np

from implicitops.calculus.sensitivities import Adjoint
from implicitops.calculus.solve import Solve
from implicitops.kernels import _ode, _operation
from implicitops.kernels.build import solves
from implicitops.kernels.bundles import compiled, sizes
from implicitops.problems.ode import ODE
from implicitops.symbolic.ode import MapBundles, ode_functions_of
from implicitops.symbolic.switching import require_differentiable

#: Sensitivities up to which their rates are one straight line of code. More of them are faster as a loop over the
#: entries of the Jacobian, which the processor does in vectors, and compile in less time.
STRAIGHT = 64

#: Derivatives have to be finite; their errors are what the tolerances ask for (``IOP_JUDGED_FINITE``).
FINITE = 2

#: Solves that keep a thread busy for about a tenth of a millisecond.
GRAIN = 4


@solves(ODE)
def ode_handle(operation: Solve[ODE] | Adjoint) -> Any:
    """Handle of an operation on an ODE.

    Parameters
    ----------
    operation : Solve or Adjoint of an ODE

    Returns
    -------
    implicitops.kernels._operation.Handle

    Raises
    ------
    DifferentiabilityError : a derivative is asked for of a right-hand side that jumps where a state says so
    """
    problem, adjoint = operation.problem, isinstance(operation, Adjoint)
    order = operation.derivatives if isinstance(operation, Solve) else 0
    if order >= 1 or adjoint:
        require_differentiable(problem, max(order, 1))
    first = int(order >= 1 or adjoint)
    functions, key, options = ode_functions_of(problem), problem.equation_key, problem.options
    switches, surfaces = functions.switching.switches, functions.surfaces
    kernel = _ode.ODEKernel(
        rhs=_map(functions.rhs, f"{key}/rhs", order, first),
        changes=[_map(change, f"{key}/change{k}", order, first) for k, change in enumerate(functions.changes)],
        outputs=None if functions.outputs is None else _map(functions.outputs, f"{key}/outputs", order, first),
        functions={
            "directional": compiled(f"{key}/rhs/directional", functions.rhs.directional_bundle) if first else None,
            "variational": _variational(functions.rhs, f"{key}/rhs/variational", order),
            "third": _third(functions.rhs, f"{key}/rhs/third", order),
            "moments": compiled(
                f"{key}/moments{max(order, first)}", lambda: functions.moments_bundle(max(order, first))
            ),
            "breakpoints": compiled(f"{problem.key}/breakpoints", functions.breakpoints_bundle)
            if problem.breakpoints
            else None,
            "regimes": compiled(f"{key}/regimes", functions.regimes_bundle) if switches else None,
            "surfaces": compiled(f"{key}/surfaces", functions.surfaces_bundle) if surfaces.regimes else None,
        },
        numbers={
            "p": len(problem.parameter_symbols),
            "n_switches": sum(switch.period is None for switch in switches),
            "n_periodic": sum(switch.period is not None for switch in switches),
            "n_surfaces": len(surfaces.regimes),
            "n_guards": surfaces.n_guards,
            "n_breakpoints": len(problem.breakpoints),
            "order": order,
            **options.numbers,
        },
        method=options.method,
        bandwidths=functions.bandwidths,
        atol=np.array(options.atol),
        adjoint=adjoint,
    )
    outputs = operation.output_shapes if isinstance(operation, Adjoint) else operation.kernel_output_shapes
    inputs = sizes(operation.input_shapes)
    return _operation.Handle(kernel, inputs, sizes(outputs), GRAIN, has_derivatives=0 if adjoint else FINITE)


def _map(bundles: MapBundles, key: str, order: int, by_parameters: int) -> Any:
    """A function and its derivatives; by the parameters only if they are needed, for there may be none."""
    has_second = order >= 2 and not bundles.is_linear
    by_states = compiled(f"{key}/first by states", bundles.first_by_states_bundle) if not by_parameters else None
    return _ode.Map(
        value=compiled(f"{key}/value", bundles.value_bundle),
        first=by_states or compiled(f"{key}/first", bundles.first_bundle),
        second=compiled(f"{key}/second", bundles.second_bundle) if has_second else None,
        n_rows=len(bundles.expressions),
        entries=bundles.pattern(bundles.point.states),
        parameter_entries=bundles.pattern(bundles.point.parameters) if by_parameters else np.empty((2, 0)),
    )


def _variational(bundles: MapBundles, key: str, order: int) -> Any:
    size = len(bundles.point.states) * len(bundles.point.parameters)
    return compiled(key, bundles.variational_bundle) if order == 1 and size <= STRAIGHT else None


def _third(bundles: MapBundles, key: str, order: int) -> Any:
    if order < 2 or bundles.is_linear:
        return None
    return compiled(key, bundles.third_bundle)
