"""A finite value and a penalty where a solve fails, for methods that a NaN ends: ADVI, SVGD, optimisers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import theano
import theano.tensor as tt
from theano.compile.ops import ViewOp

from implicitops.errors import ArgumentError
from implicitops.problems.base import Problem


class GradientWithoutNaN(ViewOp):
    """The identity, whose gradient is 0 where what comes back is NaN."""

    def grad(self, inputs: Sequence[Any], gradients: Sequence[Any]) -> list[Any]:
        (gradient,) = gradients
        return [tt.switch(tt.isnan(gradient), 0.0, gradient)]


def finite_solution(problem: Problem, *parameters: Any, replacement: Any = 0.0) -> tuple[Any, Any]:
    """Solution of a problem with a finite value, and a derivative of zero, where the solve fails.

    Parameters
    ----------
    problem : Problem
    *parameters : Theano variables, numbers or arrays, as the problem takes them
    replacement : number or array that broadcasts to the solution

    Returns
    -------
    solution, and failed: a variable of the batch shape, whether the solve failed

    Raises
    ------
    ArgumentError : the replacement isn't finite, or there are more or fewer parameters than the problem has

    Examples
    --------
    >>> import sympy as sp, theano.tensor as tt, implicitops as iop
    >>> from implicitops.sampling import failure_report, finite_solution
    >>> x, p = sp.symbols("x p")
    >>> square_root = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))
    >>> with failure_report(warn=False):
    ...     finite_solution(square_root, tt.as_tensor_variable([4.0, -0.5]), replacement=1.0)[0].eval()
    array([2., 1.])
    """
    if not np.all(np.isfinite(replacement)):
        raise ArgumentError(f"replacement must be finite; got {replacement!r}.")
    ranks = [len(shape) for shape in problem.argument_shapes]
    if len(parameters) != len(ranks):
        raise ArgumentError(
            f"{problem!r} needs {len(ranks)} parameters ({', '.join(problem.argument_names)}); got {len(parameters)}."
        )
    variables = [tt.as_tensor_variable(value) for value in parameters]
    variables = [v if v.dtype == "float64" else tt.cast(v, "float64") for v in variables]
    solution = problem(*map(GradientWithoutNaN(), _expanded(variables, ranks)))
    core = solution.ndim - max(v.ndim - rank for v, rank in zip(variables, ranks))
    is_missing = tt.isnan(solution)
    failed = tt.any(is_missing, axis=tuple(range(solution.ndim - core, solution.ndim))) if core else is_missing
    return tt.switch(is_missing, replacement, solution), failed


def _expanded(variables: Sequence[Any], ranks: Sequence[int]) -> list[Any]:
    """Parameters with the batch shape in full.

    A NaN would otherwise meet the gradients of the other batch elements in the sum that broadcasting makes.
    """
    if all(v.ndim == rank for v, rank in zip(variables, ranks)):
        return list(variables)
    # Zeros of the batch shape: one core element of each parameter, times 0 where it is finite.
    zeros = 0.0
    for v, rank in zip(variables, ranks):
        first = (Ellipsis, *([0] * rank))
        zeros = zeros + tt.zeros_like(v[first] if rank else v)
    return [v + tt.shape_padright(zeros, rank) for v, rank in zip(variables, ranks)]


def penalised(
    problem: Problem, *parameters: Any, replacement: Any = 0.0, potential: float = -1e6, name: str = "failed_solves"
) -> Any:
    """Solution of a problem inside a PyMC3 model, finite where the solve fails, with a penalty there.

    A NaN rejects a proposal of NUTS or Metropolis, but ends a fit of ADVI or SVGD. Here the solution is a replacement
    with a derivative of zero where the solve fails, and a ``pm.Potential`` makes those parameters improbable. Nothing
    draws a fit back from such a region but the prior, so that it has to start where solves succeed. Failures are
    counted all the same.

    Parameters
    ----------
    problem : Problem
    *parameters : Theano variables, numbers or arrays, as the problem takes them
    replacement : number or array that broadcasts to the solution; one that the likelihood can take, such as a
        positive number where a logarithm follows
    potential : float, negative, added to the log density for each solve that fails
    name : str, of the pm.Potential

    Returns
    -------
    TensorVariable

    Raises
    ------
    ArgumentError : the potential isn't finite and negative, or see :func:`finite_solution`
    TypeError : there is no model

    Examples
    --------
    >>> import pymc3 as pm, sympy as sp, implicitops as iop
    >>> from implicitops.sampling import penalised
    >>> x, p = sp.symbols("x p")
    >>> square_root = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))
    >>> with pm.Model() as model:
    ...     p = pm.Normal("p", 1, 1)
    ...     y = pm.Normal("y", penalised(square_root, p), 0.1, observed=1.2)
    >>> model.potentials
    [failed_solves]
    """
    import pymc3 as pm

    if not (np.isfinite(potential) and potential < 0):
        raise ArgumentError(f"potential must be finite and negative; got {potential!r}.")
    pm.modelcontext(None)
    solution, failed = finite_solution(problem, *parameters, replacement=replacement)
    pm.Potential(name, potential * tt.sum(tt.cast(failed, theano.config.floatX)))
    return solution


def register_translation() -> None:
    """Tell the translation to TensorFlow of the Op above; called by whoever translates a model."""
    import tensorflow as tf

    from implicitops.sampling.translation import register

    @register(GradientWithoutNaN)
    def gradient_without_nan(op: Any, node: Any, x: Any) -> Any:
        @tf.custom_gradient  # type: ignore[untyped-decorator, unused-ignore]
        def identity(x: Any) -> Any:
            return tf.identity(x), lambda g: tf.where(tf.math.is_nan(g), tf.zeros_like(g), g)

        return identity(tf.convert_to_tensor(x))
