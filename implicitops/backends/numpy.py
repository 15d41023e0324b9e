"""The NumPy face: arrays in, arrays out, errors raised. Knows nothing of solvers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from implicitops.calculus import Operation, Solve
from implicitops.kernels import kernel_of, run
from implicitops.problems.base import Problem
from implicitops.problems.external import External
from implicitops.status import ArgumentError, Solution, SolveError, Status


def apply(problem: Problem, arguments: Sequence[Any]) -> Any:
    """Value of a solved problem, as a float64 scalar or array."""
    if isinstance(problem, External):  # existing code is not called again for the sake of an error's text
        return solve(problem, arguments, throw=problem.options.on_failure == "raise").value
    if all(shape == () for shape in problem.parameter_shapes) and problem.output_shape == ():
        # From the second call on, plain numbers go straight to the kernel (Problem.__call__).
        problem.__dict__.setdefault("_solve_scalars", kernel_of(Solve(problem)).solve_scalars)
    operation = Solve(problem)
    batch, inputs, strides = as_batch(arguments, operation.input_shapes, problem.parameter_names)
    value = np.empty(batch + problem.output_shape)
    failed, _ = run(kernel_of(operation), math.prod(batch), inputs, strides, [value, None, None, None])
    if failed and problem.options.on_failure == "raise":
        solve(problem, arguments)  # again, for the status that the error tells
    return value[()]


def solve(
    problem: Problem,
    arguments: Sequence[Any],
    *,
    derivatives: int = 0,
    throw: bool = True,
    **start: Any,
) -> Solution:
    """Solve a batch; see :meth:`implicitops.problems.base.Problem.solve`."""
    if type(derivatives) is not int or derivatives not in (0, 1, 2):
        raise ArgumentError(f"derivatives must be 0, 1 or 2; got {derivatives!r}.")
    problem, extra = _with_start(problem, start)
    operation = Solve(problem, derivatives, start_given=bool(extra))
    names = (*problem.parameter_names, *(f"start value {k}" for k in range(len(extra))))
    batch, inputs, strides = as_batch([*arguments, *extra], operation.input_shapes, names)
    n = math.prod(batch)
    shapes = operation.kernel_output_shapes
    value = np.empty(batch + shapes[0])
    error = np.empty(batch + shapes[3]) if shapes[3] != (0,) else None
    jacobian = np.empty(batch + shapes[1]) if derivatives >= 1 else None
    hessian = np.empty(batch + shapes[2]) if derivatives >= 2 else None
    status = np.empty(n, dtype=np.int32)
    outputs = [value, jacobian, hessian, error]
    failed, stats = run(kernel_of(operation), n, inputs, strides, outputs, status, stats=True)
    solution = Solution(
        value=value[()],
        jacobian=jacobian,
        hessian=hessian,
        status_code=status.reshape(batch)[()],
        error_estimate=None if error is None else error[()],
        stats={name: counter.reshape(batch)[()] for name, counter in stats.items()},
    )
    if failed and throw:
        cause = getattr(kernel_of(operation).kernel, "cause", None)
        quoted = "" if cause is None else f" {type(cause).__name__}: {cause}"
        raise SolveError(
            _failure_message(problem, solution, batch, inputs, strides, failed) + quoted, solution
        ) from cause
    return solution


def evaluate(operation: Operation, arguments: Sequence[Any]) -> list[np.ndarray]:
    """Outputs of any operation on a batch; failures are NaN.

    Parameters
    ----------
    operation : Operation
    arguments : array-likes, one for each of ``operation.input_shapes``

    Returns
    -------
    list of ndarray, batch shape followed by each of ``operation.output_shapes``
    """
    names = tuple(f"input {k}" for k in range(len(operation.input_shapes)))
    batch, inputs, strides = as_batch(arguments, operation.input_shapes, names)
    kernel = kernel_of(operation)
    outputs: list[np.ndarray | None] = [np.empty(batch + shape) for shape in operation.output_shapes]
    unwanted = [None] * (len(kernel.output_sizes) - len(outputs))
    run(kernel, math.prod(batch), inputs, strides, [*outputs, *unwanted])
    return [output for output in outputs if output is not None]


def as_batch(
    arguments: Sequence[Any], shapes: Sequence[tuple[int, ...]], names: Sequence[str]
) -> tuple[tuple[int, ...], list[np.ndarray], list[int]]:
    """Arguments as native float64 arrays with contiguous trailing axes, and their common batch shape.

    Returns
    -------
    batch : tuple of int
    inputs : list of ndarray
    strides : list of int, doubles between batch elements; 0 where one element serves all
    """
    arrays = [_as_float64(a, shape, name) for a, shape, name in zip(arguments, shapes, names)]
    leading = [a.shape[: a.ndim - len(shape)] for a, shape in zip(arrays, shapes)]
    try:
        batch = np.broadcast_shapes(*leading)
    except ValueError:
        listing = ", ".join(f"{name} {shape}" for name, shape in zip(names, leading))
        raise ArgumentError(f"the batch shapes must broadcast; got {listing}.") from None
    inputs, strides = [], []
    for array, lead, shape in zip(arrays, leading, shapes):
        size = math.prod(shape)
        if math.prod(lead) == 1:
            strides.append(0)
        else:
            array = np.broadcast_to(array, batch + tuple(shape)) if lead != batch else array
            strides.append(size)
        inputs.append(np.ascontiguousarray(array))
    return batch, inputs, strides


def _as_float64(argument: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    try:
        array = np.asarray(argument)
    except ValueError as error:
        raise ArgumentError(f"{name} must be numeric; NumPy cannot make an array of it: {error}.") from None
    if array.dtype.kind not in "fiub":
        raise ArgumentError(
            f"{name} must be real numbers; got dtype {array.dtype}, shape {array.shape}: {argument!r:.80}. "
            "Convert it to float64 first."
        )
    if shape and array.shape[array.ndim - len(shape) :] != tuple(shape):
        raise ArgumentError(
            f"{name} is a vector parameter: its last axis must have length {shape[-1]}; got shape {array.shape}."
        )
    return array.astype(np.float64, copy=False)


def _with_start(problem: Problem, start: dict[str, Any]) -> tuple[Problem, tuple[Any, ...]]:
    """Problem whose start values are inputs, and those inputs, if any were given for this call."""
    if not start:
        return problem, ()
    return problem.with_start(**start)


def _failure_message(
    problem: Problem,
    solution: Solution,
    batch: tuple[int, ...],
    inputs: Sequence[np.ndarray],
    strides: Sequence[int],
    failed: int,
) -> str:
    flat = int(np.flatnonzero(np.ravel(solution.status_code) != 0)[0])
    values = [
        array.ravel()[flat * stride : flat * stride + max(1, math.prod(shape))]
        for array, stride, shape in zip(inputs, strides, problem.parameter_shapes)
    ]
    listing = ", ".join(
        f"{name}={v[0]:.17g}" if shape == () else f"{name}={v.tolist()}"
        for name, v, shape in zip(problem.parameter_names, values, problem.parameter_shapes)
    )
    status = Status.from_code(int(np.ravel(solution.status_code)[flat]))
    if batch == ():
        return f"{problem!r} failed at {listing}: {status.value} ({status!r})."
    position = tuple(map(int, np.unravel_index(flat, batch)))
    return (
        f"{problem!r} failed for {failed} of {math.prod(batch)} batch elements, first at index {position}, "
        f"{listing}: {status.value} ({status!r}). Use solve(..., throw=False) or on_failure='nan' to get NaN "
        "and the status of each."
    )
