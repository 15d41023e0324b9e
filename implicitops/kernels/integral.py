"""Kernels of definite integrals: the functions of a problem compiled and bound to the solver."""

from __future__ import annotations

from typing import Any

import numpy as np

from implicitops.calculus.solve import Solve
from implicitops.kernels import _integral, _operation
from implicitops.kernels.build import solves
from implicitops.kernels.bundles import compiled, sizes
from implicitops.problems.integral import Integral
from implicitops.symbolic.integral import Form, Level, integral_functions_of
from implicitops.symbolic.integral_conditions import require_differentiable_integral

#: Names of the methods in the order of their codes in csrc/integral.h.
METHODS = ("auto", "gauss_kronrod", "double_exponential")

#: Solves that keep a thread busy for about a tenth of a millisecond.
GRAIN = 32

#: Only that derivatives are finite is judged outside the kernel (IOP_JUDGED_FINITE in csrc/derivative_status.h).
FINITE = 2

#: Tolerance of an inner integral, relative to that of the integral around it.
INNER_TOLERANCE = 0.1


@solves(Integral)
def integral_handle(operation: Solve[Integral]) -> Any:
    """Handle of an operation on an integral.

    Parameters
    ----------
    operation : Solve of an Integral

    Returns
    -------
    implicitops.kernels._operation.Handle

    Raises
    ------
    DifferentiabilityError : a derivative is asked for of an integrand that jumps at a place that is not known
    """
    problem, order = operation.problem, operation.derivatives
    watched = require_differentiable_integral(problem, order) if order >= 1 else ()
    outermost = integral_functions_of(problem).outermost
    kernel = _level_kernel(problem, outermost, order, f"{problem.equation_key}/level", watched)
    inputs, outputs = sizes(operation.input_shapes), sizes(operation.kernel_output_shapes)
    return _operation.Handle(kernel, inputs, outputs, 1 if outermost.inside else GRAIN, has_derivatives=FINITE)


def _level_kernel(problem: Integral, level: Level, order: int, key: str, watched: tuple[Any, ...] = ()) -> Any:
    """Kernel of a level and of those inside it; the key says through which forms it is reached."""
    options, forms = problem.options, level.forms
    tightened = INNER_TOLERANCE ** len(level.outer)
    inside = [
        None if below is None else _level_kernel(problem, below, order, f"{key}.{k}")
        for k, below in enumerate(level.inside)
    ]
    innermost = level.depth == 0
    return _integral.IntegralKernel(
        forms=[
            _form(level, form, order, f"{key}/form{k}/{order}") for k, form in enumerate(forms if innermost else ())
        ],
        moments=compiled(f"{key}/moments{order}", lambda: level.moments_bundle(order)),
        vanishing=compiled(f"{key}/vanishing", level.vanishing_bundle) if innermost and not level.outer else None,
        watched=compiled(f"{key}/watched{order}", lambda: level.values_bundle(watched)) if watched else None,
        inside=inside,
        switch_points=np.array([point for _, point in level.switches], dtype=np.int64),
        n=len(level.expressions),
        n_parameters=len(level.inputs(order)),
        n_derivatives=len(level.parameters),
        n_constants=len(level.constants),
        n_points=len(level.points),
        n_stated=level.n_stated,
        n_centers=len(level.centers),
        limits=level.limit_points,
        oscillates=level.oscillates,
        order=order,
        max_steps=options.max_steps,
        method=METHODS.index(options.method),
        rtol=options.rtol * tightened,
        atol=np.array(options.atol) * tightened,
    )


def _form(level: Level, form: Form | None, order: int, key: str) -> Any:
    return None if form is None else compiled(key, lambda: level.form_bundle(form, order))
