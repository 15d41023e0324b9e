"""Arguments as batches: how shapes broadcast, for all frameworks, and what is said where they do not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from implicitops.calculus.operation import FREE, Shape
from implicitops.errors import ArgumentError
from implicitops.real_arrays import is_plain, real_array

_FLOAT64 = np.dtype(np.float64)


def as_batch(
    arguments: Sequence[Any], shapes: Sequence[Shape], names: Sequence[str]
) -> tuple[Shape, list[np.ndarray], list[int]]:
    """Arguments as native float64 arrays with contiguous trailing axes, and their common batch shape.

    Returns
    -------
    batch : tuple of int
    inputs : list of ndarray
    strides : list of int, doubles between batch elements; 0 where one element serves all
    """
    single = _as_single(arguments, shapes)
    if single is not None:
        return (), single, [0] * len(single)
    arrays = [as_float64(a, shape, name) for a, shape, name in zip(arguments, shapes, names)]
    _require_one_length(arrays, shapes, names)
    shapes = [array.shape[array.ndim - len(shape) :] for array, shape in zip(arrays, shapes)]
    leading = [a.shape[: a.ndim - len(shape)] for a, shape in zip(arrays, shapes)]
    try:
        batch = np.broadcast_shapes(*leading)
    except ValueError:
        raise ArgumentError(batch_rule(names, [array.shape for array in arrays], shapes)) from None
    inputs, strides = [], []
    for array, lead, shape in zip(arrays, leading, shapes):
        size = math.prod(shape)
        if math.prod(lead) == 1:
            strides.append(0)
        else:
            array = np.broadcast_to(array, batch + shape) if lead != batch else array
            strides.append(size)
        inputs.append(np.ascontiguousarray(array))
    return batch, inputs, strides


def _as_single(arguments: Sequence[Any], shapes: Sequence[Shape]) -> list[np.ndarray] | None:
    """Arrays of arguments that are one batch element as they come, which the most frequent call is; else None."""
    arrays, length = [], None
    for argument, shape in zip(arguments, shapes):
        if not is_plain(argument):
            return None
        array = np.asarray(argument)
        if array.shape != shape:
            if shape[:1] != (FREE,) or array.ndim != len(shape) or array.shape[1:] != shape[1:]:
                return None
            if length not in (None, array.shape[0]):
                return None
            length = array.shape[0]
        if array.dtype is not _FLOAT64 or not array.flags.c_contiguous:
            return None
        arrays.append(array)
    return arrays


def free_length(arrays: Sequence[np.ndarray], shapes: Sequence[Shape]) -> int | None:
    """Length of the free axes, None if there are none.

    Parameters
    ----------
    arrays : sequence of ndarray that fit
    shapes : sequence of their trailing shapes
    """
    lengths = (a.shape[a.ndim - len(shape)] for a, shape in zip(arrays, shapes) if shape[:1] == (FREE,))
    return next(lengths, None)


def _require_one_length(arrays: Sequence[np.ndarray], shapes: Sequence[Shape], names: Sequence[str]) -> None:
    lengths = {name: a.shape[a.ndim - len(s)] for a, s, name in zip(arrays, shapes, names) if s[:1] == (FREE,)}
    if len(set(lengths.values())) > 1:
        raise ArgumentError(length_rule(lengths))


def length_rule(lengths: Mapping[str, Any]) -> str:
    """What is said of free axes, by the name of the argument, of different lengths."""
    listing = ", ".join(f"{name} {length}" for name, length in lengths.items())
    return f"these must have the same length, one entry for each output time; got the lengths {listing}."


def as_float64(argument: Any, shape: Shape, name: str) -> np.ndarray:
    """Argument as a float64 array whose last axes are what ``shape`` says, NaN where masked, or ArgumentError."""
    if not shape and type(argument) is np.ndarray and argument.dtype is _FLOAT64:
        return argument
    try:
        array = real_array(argument)
    except (ValueError, TypeError) as error:
        raise ArgumentError(f"{name} must be real numbers; {error}.") from None
    if not fits(array.shape, shape):
        is_number = array.ndim == 0 and shape[:1] == (FREE,)
        write = f"the number {argument!r:.80}: write [{argument!r:.80}]" if is_number else f"shape {array.shape}"
        raise ArgumentError(f"{name}: {core_rule(shape)}; got {write}.")
    return array.astype(np.float64, copy=False)


def fits(given: Sequence[int | None], core: Shape) -> bool:
    """Whether an array of a shape, None where a length is not known, has the trailing axes that an input must have."""
    trailing = given[len(given) - len(core) :] if len(given) >= len(core) else None
    return trailing is not None and all(n in (None, c) or c == FREE for n, c in zip(trailing, core))


def core_rule(shape: Shape) -> str:
    """What the trailing axes of an input must be."""
    if shape[:1] == (FREE,):
        if len(shape) == 1:
            return "it must be 1-D, of any length (axes before the last are a batch)"
        return f"it must be an array whose last axes are {shape[1:]} after one of any length"
    return f"the last axis must have length {shape[0]}" if len(shape) == 1 else f"the last axes must be {shape}"


def batch_rule(names: Sequence[str], shapes: Sequence[Sequence[Any]], cores: Sequence[Shape]) -> str:
    """What is said of arguments whose batch shapes do not broadcast: whole shapes, and what of each is no batch."""
    parts = []
    for name, shape, core in zip(names, shapes, cores):
        whole = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
        lead = shape[: len(shape) - len(core)]
        batch = f"({', '.join(map(str, lead))}{',' if len(lead) == 1 else ''})"
        parts.append(f"{name} of shape {whole}" + (f" with the batch shape {batch}" if core else ""))
    return f"the batch shapes must broadcast; got {', '.join(parts)}."
