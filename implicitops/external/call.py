"""One call of existing code: a C function made callable, a limit of time, and the check of what comes back."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from implicitops.errors import CallTimeoutError, WrongResultError
from implicitops.kernels import _external
from implicitops.problems.callables import BLOCK, CFunction
from implicitops.real_arrays import real_array

Shape = tuple[int, ...]

#: C signatures in the order of ``Form`` in csrc/external.pyx.
FORMS = (
    BLOCK,
    *(f"double ({', '.join(['double'] * n)})" for n in range(1, 5)),
    *(f"double ({', '.join(['double'] * n)}, int)" for n in range(1, 5)),
    "double (double, void *)",
    "double (int, double *)",
    "double (int, double *, void *)",
)


def timed(function: Any, arguments: list[Any], timeout: float) -> Any:
    """Result of a call on a thread of its own, which is abandoned when the time is up."""
    box: list[Any] = []

    def call() -> None:
        try:
            box.append((function(*arguments), None))
        except BaseException as error:
            box.append((None, error))

    thread = threading.Thread(target=call, name="implicitops-timed-call", daemon=True)
    thread.start()
    thread.join(timeout)
    if not box:
        raise CallTimeoutError(f"no result within {timeout:g} s; the call goes on in the background.")
    result, error = box[0]
    if error is not None:
        raise error
    return result


def as_python(function: Any, n_inputs: int, n_outputs: int, shape: Shape) -> Any:
    """A C function as a Python one that takes a batch element; any other as it is."""
    if not isinstance(function, CFunction):
        return function
    kernel = c_kernel(function, n_inputs, n_outputs)

    def call(*arguments: Any) -> np.ndarray:
        points = np.concatenate([np.ravel(a) for a in arguments])[None]
        values = np.empty((1, n_outputs))
        kernel.evaluate(points, values, np.empty(1, dtype=np.int32))
        return values.reshape(shape)

    return call


def c_kernel(function: CFunction, n_inputs: int, n_outputs: int) -> Any:
    """Kernel that calls a C function."""
    form = FORMS.index(function.signature)
    return _external.Function(function.address, function.context, form, n_inputs, n_outputs, function)


def checked(answer: Any, role: str, shape: Shape, input_shapes: Sequence[Shape]) -> np.ndarray:
    """Result as a float64 array of the right shape, or WrongResultError."""
    if role == "vjp" and (isinstance(answer, (tuple, list)) or len(input_shapes) == 1):
        blocks = answer if isinstance(answer, (tuple, list)) else (answer,)
        return _joined(blocks, role, shape[:-1], input_shapes)
    if role == "jacobian" and isinstance(answer, tuple):
        return _joined(answer, role, shape[:-1], input_shapes)
    return _real_array(answer, role, shape)


def _joined(blocks: Sequence[Any], role: str, leading: Shape, input_shapes: Sequence[Shape]) -> np.ndarray:
    """Blocks of shape ``leading + input shape``, joined along a last axis of length p."""
    if len(blocks) != len(input_shapes):
        raise WrongResultError(
            f"{role} must return one array for each of {len(input_shapes)} inputs; got {len(blocks)}."
        )
    arrays = [
        _real_array(block, f"block {k} of {role}", (*leading, *shape))
        for k, (block, shape) in enumerate(zip(blocks, input_shapes))
    ]
    return np.concatenate([a.reshape(*leading, math.prod(s)) for a, s in zip(arrays, input_shapes)], axis=-1)


def _real_array(answer: Any, role: str, shape: Shape) -> np.ndarray:
    try:
        array = real_array(answer)
    except (ValueError, TypeError) as error:
        raise WrongResultError(f"{role} must return real numbers of shape {shape}; {error}.") from None
    if array.shape != shape:
        raise WrongResultError(
            f"{role} must return real numbers of shape {shape}; got dtype {array.dtype}, shape {array.shape}: "
            f"{answer!r:.80}."
        )
    return array.astype(np.float64, copy=False)
