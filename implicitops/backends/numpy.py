"""The NumPy face: arrays in, arrays out, errors raised. Knows nothing of solvers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from implicitops.backends.batches import as_batch, free_length
from implicitops.backends.marked_nan import run_marked
from implicitops.backends.places import PLACE, place
from implicitops.calculus import Operation, Solve
from implicitops.calculus.operation import FREE, Shape, resolved
from implicitops.calculus.rules import rules_of
from implicitops.errors import ArgumentError, SolveError
from implicitops.kernels import handle_of, run
from implicitops.problems.base import Problem
from implicitops.problems.reasons import reason
from implicitops.real_arrays import is_missing_somewhere
from implicitops.status import Estimates, Solution, Status

_FLOAT64 = np.dtype(np.float64)

#: Error relative to a derivative from which on it is called inaccurate; the same as in csrc/derivative_status.h.
INACCURATE = 1e-3

#: Smallest normal number.
TINY = np.finfo(float).tiny


def apply(problem: Problem, arguments: Sequence[Any], *, status: bool = False, start_given: bool = False) -> Any:
    """Value of a solved problem, as a float64 scalar or array; with its status, nothing is raised where it failed.

    Parameters
    ----------
    problem : Problem
    arguments : array-likes
    status : bool
    start_given : bool, the last arguments are start values, see :meth:`Problem.bind_all`
    """
    if status:
        solution = solve(problem, arguments, throw=False, start_given=start_given)
        return solution.value, solution.status_code
    if problem.calls_existing_code:  # not again for the sake of an error's text
        return solve(problem, arguments, throw=problem.options.on_failure == "raise").value
    signature = _signature(problem, 0, start_given)
    shortcuts = problem.__dict__.setdefault("_shortcuts", {})
    is_first = float not in shortcuts and not start_given
    if is_first and not any(signature.input_shapes) and signature.output_shapes[0] == ():
        # From the second call on, plain numbers go straight to the kernel (Problem.__call__).
        shortcuts.update(dict.fromkeys((float, int, np.float64), signature.handle.solve_scalars))
    batch, inputs, strides = as_batch(arguments, signature.input_shapes, signature.input_names)
    length = free_length(inputs, signature.input_shapes)
    value = np.empty(batch + resolved(signature.output_shapes[0], length))
    handle = signature.handle.with_length(length)
    failed, _ = run(handle, math.prod(batch), inputs, strides, [value, *[None] * (len(handle.output_sizes) - 1)])
    if failed and problem.options.on_failure == "raise":
        solve(problem, arguments, start_given=start_given)  # again, for the status that the error tells
    return value[()]


@dataclass(frozen=True)
class _Signature:
    """What every call of ``solve`` needs to know of a problem, computed once."""

    handle: Any
    input_shapes: tuple[Shape, ...]
    input_names: tuple[str, ...]
    output_shapes: tuple[Shape, ...]
    estimates_on_demand: bool


def _signature(problem: Problem, derivatives: int, start_given: bool) -> _Signature:
    known: dict[tuple[int, bool], _Signature] = problem.__dict__.setdefault("_signatures", {})
    found = known.get((derivatives, start_given))
    if found is None:
        operation = Solve(problem, derivatives, start_given)
        shapes, names = operation.input_shapes, operation.input_names
        on_demand = rules_of(problem).estimates_on_demand
        found = _Signature(handle_of(operation), shapes, names, operation.kernel_output_shapes, on_demand)
        known[derivatives, start_given] = found
    return found


def solve(
    problem: Problem,
    arguments: Sequence[Any],
    *,
    derivatives: int = 0,
    throw: bool = True,
    start_given: bool = False,
) -> Solution:
    """Solve a batch; see :func:`apply` and :meth:`implicitops.problems.base.Problem.solve`."""
    if type(derivatives) is not int or derivatives not in (0, 1, 2):
        raise ArgumentError(f"derivatives must be 0, 1 or 2; got {derivatives!r}.")
    signature = _signature(problem, derivatives, start_given)
    batch, inputs, strides = as_batch(arguments, signature.input_shapes, signature.input_names)
    n, length = math.prod(batch), free_length(inputs, signature.input_shapes)
    shapes = signature.output_shapes if length is None else [resolved(s, length) for s in signature.output_shapes]
    value = np.empty(batch + shapes[0])
    jacobian = np.empty(batch + shapes[1]) if derivatives >= 1 else None
    hessian = np.empty(batch + shapes[2]) if derivatives >= 2 else None
    status = np.empty(n, dtype=np.int32)
    handle = signature.handle.with_length(length)
    answer = [value, jacobian, hessian]
    errors = [np.empty(batch + shape) if shape != (0,) else None for shape in shapes[3:]]
    on_demand = signature.estimates_on_demand
    outputs = [*answer, *([None] * 3 if on_demand else errors)]
    failed, stats = run(handle, n, inputs, strides, outputs, status, stats=True)
    # Copies: whoever gave the inputs may have changed them when the estimates are looked at.
    again = (n, [array.copy() for array in inputs], strides, answer, errors) if on_demand else None
    jacobian, hessian, time_derivative = _without_time(problem, jacobian, hessian)
    places = {name: stats.pop(name) for name in PLACE if name in stats}
    solution = Solution(
        value=value[()],
        jacobian=jacobian,
        hessian=hessian,
        status_code=status.reshape(batch)[()],
        estimates=_estimates(problem, errors) if again is None else lambda: _estimated(problem, handle, *again),
        stats={name: counter.reshape(batch)[()] for name, counter in stats.items()},
        time_derivative=time_derivative,
    )
    if failed and throw:
        cause = getattr(handle.kernel, "cause", None)
        quoted = "" if cause is None else f" {type(cause).__name__}: {cause}"
        raise SolveError(
            _failure_message(problem, signature, solution, batch, inputs, strides, failed, places, arguments) + quoted,
            solution,
        ) from cause
    return solution


def _estimated(
    problem: Problem,
    handle: Any,
    n: int,
    inputs: Sequence[np.ndarray],
    strides: Sequence[int],
    answer: Sequence[np.ndarray | None],
    errors: Sequence[np.ndarray | None],
) -> Estimates:
    """Estimates of a solve that did without them, from another one."""
    run(handle, n, inputs, strides, [*(None if a is None else np.empty_like(a) for a in answer), *errors])
    return _estimates(problem, errors)


def _estimates(problem: Problem, errors: Sequence[np.ndarray | None]) -> Estimates:
    """Estimates from what a kernel wrote to its outputs for the errors of value, Jacobian and Hessian."""
    value, jacobian, hessian = errors
    jacobian, hessian, _ = _without_time(problem, jacobian, hessian)
    return Estimates(None if value is None else value[()], jacobian, hessian)


def place_counters(problem: Problem, arguments: Sequence[Any], derivatives: int) -> tuple[int, dict[str, int]]:
    """Status code of one element, and what its kernel says of where it failed.

    Parameters
    ----------
    problem : Problem
    arguments : sequence of array-like, those of one batch element
    derivatives : 0, 1 or 2
    """
    signature = _signature(problem, derivatives, False)
    _, inputs, strides = as_batch(arguments, signature.input_shapes, signature.input_names)
    length = free_length(inputs, signature.input_shapes)
    outputs = [np.empty(resolved(shape, length)) for shape in signature.output_shapes[: 1 + derivatives]]
    handle = signature.handle.with_length(length)
    targets: list[np.ndarray | None] = [*outputs, *[None] * (len(handle.output_sizes) - len(outputs))]
    status = np.empty(1, dtype=np.int32)
    _, stats = run(handle, 1, inputs, strides, targets, status, stats=True)
    return int(status[0]), {name: int(stats[name][0]) for name in PLACE if name in stats}


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
    batch, inputs, strides = as_batch(arguments, operation.input_shapes, operation.input_names)
    length = free_length(inputs, operation.input_shapes)
    handle = handle_of(operation).with_length(length)
    outputs = [np.empty(batch + resolved(shape, length)) for shape in operation.output_shapes]
    run_marked(operation, handle, math.prod(batch), inputs, strides, outputs)
    return outputs


def arguments_text(arguments: Mapping[str, Any]) -> str:
    """Arguments of a solve as an error quotes them, but for the ends of an interval that has none."""
    shown = {name: x for name, x in arguments.items() if not (name in ("lower", "upper") and np.all(np.isinf(x)))}
    return ", ".join(f"{name}={listed(value)}" for name, value in shown.items())


def listed(value: Any) -> str:
    """A parameter's value as an error quotes it: a few numbers of a long array."""
    array = np.asarray(value)
    if array.ndim == 0:
        return f"{float(array):.17g}"
    if array.ndim == 1 and array.size > 12:
        first = ", ".join(map(str, array[:3].tolist()))
        return f"[{first}, ..., {array[-1]}] ({array.size} numbers)"
    return str(array.tolist())


def _without_time(
    problem: Problem, jacobian: np.ndarray | None, hessian: np.ndarray | None
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Derivatives with respect to the parameters alone, and the Jacobian's last column, if that is the output time."""
    if problem.output_shape[:1] != (FREE,) or jacobian is None:
        return jacobian, hessian, None
    parameters = np.ascontiguousarray(jacobian[..., :-1])
    second = None if hessian is None else np.ascontiguousarray(hessian[..., :-1, :-1])
    return parameters, second, np.ascontiguousarray(jacobian[..., -1])


def _bad_derivative(problem: Problem, solution: Solution, flat: int, status: Status, n: int) -> str:
    """Which derivative of a batch element has a status of its own: its order, parameters and component."""
    core = () if problem.output_shape[:1] == (FREE,) else problem.output_shape
    found = ((solution.jacobian, solution.jacobian_error), (solution.hessian, solution.hessian_error))
    for order, (entries, errors) in enumerate(found, start=1):
        if entries is None:
            continue
        entry = entries.reshape(n, *entries.shape[np.ndim(solution.status_code) :])[flat]
        error = None if errors is None else errors.reshape(n, *entry.shape)[flat]
        if status is Status.DERIVATIVE_UNDEFINED:
            bad = ~np.isfinite(entry)
        else:
            bad = np.zeros(entry.shape, bool) if error is None else error > INACCURATE * np.abs(entry)
        if not bad.any():
            continue
        # Of several the one that is largest beside its own error, which a zero in all but rounding is not.
        sizes = np.where(bad, 1.0 if error is None else np.abs(entry) / np.maximum(error, TINY), -1.0)
        index = tuple(map(int, np.unravel_index(np.argmax(np.nan_to_num(sizes)), bad.shape)))
        where, columns = index[: len(index) - order], index[len(index) - order :]
        names = " and ".join(problem.parameter_symbols[c].name for c in columns)
        component = f" of component {where if len(core) != 1 else where[0]}" if where else ""
        size = "" if error is None or not np.isfinite(entry[index]) else f", {entry[index]:.3g} +- {error[index]:.1g}"
        return f"{('first', 'second')[order - 1]} derivative{component} with respect to {names}{size}"
    return "derivative with respect to the output time"


def _failure_message(
    problem: Problem,
    signature: _Signature,
    solution: Solution,
    batch: tuple[int, ...],
    inputs: Sequence[np.ndarray],
    strides: Sequence[int],
    failed: int,
    places: Mapping[str, np.ndarray],
    arguments: Sequence[Any],
) -> str:
    flat = int(np.flatnonzero(np.ravel(solution.status_code) != 0)[0])
    shapes = signature.input_shapes
    length = free_length(inputs, shapes)
    values = [
        array.ravel()[flat * stride :][: math.prod(resolved(shape, length))].reshape(resolved(shape, length))
        for array, stride, shape in zip(inputs, strides, shapes)
    ]
    listing = arguments_text(dict(zip(signature.input_names, values)))
    status = Status.from_code(int(np.ravel(solution.status_code)[flat]))
    if status is Status.INVALID_INPUT:
        listing += _missing(signature.input_names, values, arguments)
    if status in (Status.DERIVATIVE_UNDEFINED, Status.DERIVATIVE_INACCURATE):
        listing += f" (the {_bad_derivative(problem, solution, flat, status, math.prod(batch))})"
    counters = {name: int(counter[flat]) for name, counter in places.items()}
    why = f"{reason(problem, status)}{place(problem, status, values, counters)} ({status!r})"
    if batch == ():
        return f"{problem!r} failed at {listing}: {why}."
    position = tuple(map(int, np.unravel_index(flat, batch)))
    return (
        f"{problem!r} failed for {failed} of {math.prod(batch)} batch elements, first at index {position}, "
        f"{listing}: {why}. Use solve(..., throw=False) or on_failure='nan' to get NaN "
        "and the status of each."
    )


def _missing(names: Sequence[str], values: Sequence[np.ndarray], arguments: Sequence[Any]) -> str:
    """Which of an element's numbers are NaN because they were masked or NA."""
    pairs = zip(names, values, arguments)
    found = [name for name, value, given in pairs if np.isnan(value).any() and is_missing_somewhere(given)]
    return f" ({', '.join(found)} masked or NA there, which counts as NaN)" if found else ""
