"""Indexing and assignment to indexed parts. Constant indices become slices and pads, which suit XLA best."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import tensorflow as tf
import theano.tensor as tt
import theano.tensor.subtensor as ts
from theano.tensor.type_other import MakeSlice

from implicitops.errors import TranslationError
from implicitops.sampling.translation.dispatch import cast, known_value, register
from implicitops.sampling.translation.shapes import as_shape, lengths


@register(MakeSlice)
def make_slice(op: Any, node: Any, *bounds: Any) -> slice:
    """Slice whose bounds are results of the graph."""
    return slice(*(known_or_tensor(b) for b in bounds))


def known_or_tensor(index: Any) -> Any:
    """Index as int or None if it is known when tracing, an int64 tensor otherwise."""
    if index is None or isinstance(index, (int, np.integer)):
        return index
    known = known_value(index)
    return cast(index, tf.int64) if known is None else int(known)


def _index(inputs: Sequence[Any], idx_list: Sequence[Any]) -> list[Any]:
    """Basic index: ints, scalar tensors and slices of those."""
    found = ts.get_idx_list([None, *inputs], idx_list)
    return [
        slice(*(known_or_tensor(b) for b in (i.start, i.stop, i.step))) if isinstance(i, slice) else known_or_tensor(i)
        for i in found
    ]


def _from_start(index: Any, n: Any) -> Any:
    """Index counted from the first element, where a negative one counts from the last."""
    known = known_value(index)
    if known is not None:
        known = np.asarray(known)
        if isinstance(n, int) and ((known < -n) | (known >= n)).any():
            raise IndexError(f"an index is out of bounds for an axis of length {n}: {known}")
        if (known >= 0).all():
            return index
        if isinstance(n, int):
            return tf.constant(np.where(known < 0, known + n, known))
    index = cast(index, tf.int64)
    return tf.where(index < 0, index + tf.cast(n, tf.int64), index)


# -- basic indexing ---------------------------------------------------------------------------------------------------


@register(ts.Subtensor)
def subtensor(op: Any, node: Any, x: Any, *inputs: Any) -> Any:
    """Elements by ints and slices."""
    return basic_index(x, _index(inputs, op.idx_list))


def basic_index(x: Any, index: Sequence[Any]) -> Any:
    """Elements by ints, scalar tensors and slices."""
    # Scalar tensors are gathered: XLA has no slice whose bounds it doesn't know, and misreads negative ones.
    sizes = lengths(x)
    for axis in reversed(range(len(index))):
        if tf.is_tensor(index[axis]):
            x = tf.gather(x, _from_start(index[axis], sizes[axis]), axis=axis)
    remaining = [_resolved(i, n) for i, n in zip(index, sizes) if not tf.is_tensor(i)]
    return x[tuple(remaining)] if remaining else x


def _resolved(index: Any, n: Any) -> Any:
    """Slice with the bounds that NumPy gives it for an axis of length n, if those are known."""
    if not isinstance(index, slice) or not isinstance(n, int):
        return index
    if any(map(tf.is_tensor, (index.start, index.stop, index.step))):
        return index
    start, stop, step = index.indices(n)
    return slice(start, None if stop < 0 else stop, step)


@register(ts.IncSubtensor)
def inc_subtensor(op: Any, node: Any, x: Any, y: Any, *inputs: Any) -> Any:
    """Array with some elements replaced or increased."""
    index, sizes = _index(inputs, op.idx_list), lengths(x)
    index += [slice(None)] * (x.shape.rank - len(index))
    y = cast(y, x.dtype)
    if all(isinstance(n, int) for n in sizes) and not any(_has_tensors(i) for i in index):
        return _inc_embedded(x, y, index, op.set_instead_of_inc)
    positions = basic_index(_numbered(x), index)
    return _scattered(x, y, positions, op.set_instead_of_inc)


def _has_tensors(index: Any) -> bool:
    return isinstance(index, slice) and any(map(tf.is_tensor, (index.start, index.stop, index.step)))


def _inc_embedded(x: Any, y: Any, index: Sequence[Any], is_set: bool) -> Any:
    """Replacement where all slices are known: y is padded to the shape of x, and a mask says where it counts."""
    sizes = x.shape.as_list()
    steps = [i.indices(n) if isinstance(i, slice) else None for i, n in zip(index, sizes)]
    y = tf.broadcast_to(y, [len(range(*s)) for s in steps if s is not None])
    mask = np.ones([1] * len(sizes), bool)
    masks: list[Any] = []
    for axis, (i, n, step) in enumerate(zip(index, sizes, steps)):
        if step is None:
            y, is_here = tf.expand_dims(y, axis), tf.equal(tf.range(n, dtype=tf.int64), _from_start(i, n))
            masks.append(tf.reshape(is_here, [n if k == axis else 1 for k in range(len(sizes))]))
        else:
            y = _embed(y, axis, n, *step)
            here = np.isin(np.arange(n), np.arange(*step))
            mask = mask & here.reshape([n if k == axis else 1 for k in range(len(sizes))])
    everywhere = tf.constant(mask)
    for m in masks:
        everywhere = tf.logical_and(everywhere, m)
    return tf.where(everywhere, y if is_set else x + y, x)


def _embed(y: Any, axis: int, n: int, start: int, stop: int, step: int) -> Any:
    """Axis whose elements stand at start, start + step, ... of one of length n, and zeros between."""
    count = len(range(start, stop, step))
    if count == 0:
        return tf.zeros([n if k == axis else m for k, m in enumerate(y.shape)], y.dtype)
    if step < 0:
        start, step = start + (count - 1) * step, -step
        y = tf.reverse(y, [axis])
    if step > 1:
        y = tf.pad(tf.expand_dims(y, axis + 1), [[0, (step - 1) * (k == axis + 1)] for k in range(y.shape.rank + 1)])
        y = tf.reshape(y, [*y.shape[:axis], count * step, *y.shape[axis + 2 :]])
        y = tf.gather(y, np.arange(min(count * step, n - start)), axis=axis)
    length = y.shape[axis]
    if start == 0 and length == n:
        return y
    return tf.pad(y, [[start, n - start - length] if k == axis else [0, 0] for k in range(y.shape.rank)])


# -- advanced indexing ------------------------------------------------------------------------------------------------


@register(ts.AdvancedSubtensor1)
def take_rows(op: Any, node: Any, x: Any, rows: Any) -> Any:
    """Rows by a vector of indices."""
    return tf.gather(x, _from_start(rows, lengths(x)[0]), axis=0)


@register(ts.AdvancedIncSubtensor1)
def inc_rows(op: Any, node: Any, x: Any, y: Any, rows: Any) -> Any:
    """Rows replaced or increased; a row that is named twice is increased twice."""
    sizes, rows = lengths(x), _from_start(rows, lengths(x)[0])
    y = tf.broadcast_to(cast(y, x.dtype), as_shape([lengths(rows)[0], *sizes[1:]]))
    return _with_rows(x, y, rows, op.set_instead_of_inc)


def _with_rows(x: Any, y: Any, rows: Any, is_set: bool) -> Any:
    """Array with rows replaced or increased, by functions that vectorized_map converts."""
    rows = cast(tf.convert_to_tensor(rows), tf.int32)
    if is_set:
        return tf.tensor_scatter_nd_update(x, rows[:, None], y)
    return x + tf.math.unsorted_segment_sum(y, rows, tf.cast(lengths(x)[0], tf.int32))


@register(ts.AdvancedSubtensor)
def advanced_subtensor(op: Any, node: Any, x: Any, *index: Any) -> Any:
    """Elements by arrays of indices and masks, mixed with slices."""
    return advanced_index(node, x, index)


@register(ts.AdvancedIncSubtensor)
def advanced_inc_subtensor(op: Any, node: Any, x: Any, y: Any, *index: Any) -> Any:
    """Elements by arrays of indices, replaced or increased; increased twice where an index occurs twice."""
    positions = advanced_index(node, _numbered(x), index)
    return _scattered(x, cast(y, x.dtype), positions, op.set_instead_of_inc)


def _numbered(x: Any) -> Any:
    """Positions of an array's elements in memory, in its shape."""
    sizes = as_shape(lengths(x))
    if isinstance(sizes, list):
        return tf.constant(np.arange(np.prod(sizes, dtype=np.int64)).reshape(sizes))
    return tf.reshape(tf.range(tf.reduce_prod(sizes)), sizes)


def _scattered(x: Any, y: Any, positions: Any, is_set: bool) -> Any:
    y = tf.reshape(tf.broadcast_to(y, as_shape(lengths(positions))), [-1])
    flat = _with_rows(tf.reshape(x, [-1]), y, tf.reshape(positions, [-1]), is_set)
    return tf.reshape(flat, as_shape(lengths(x)))


def advanced_index(node: Any, x: Any, index: Sequence[Any]) -> Any:
    """Elements by NumPy's rules for advanced indexing.

    Axes that arrays index are gathered together and moved to where the first of them was, or to the front where
    slices stand between them.
    """
    x, entries = _expanded(node, x, index)
    arrays = [k for k, entry in enumerate(entries) if not isinstance(entry, slice)]
    basic = [entry if isinstance(entry, slice) else slice(None) for entry in entries]
    x = basic_index(x, basic)
    if not arrays:
        return x
    sizes = lengths(x)
    coordinates = [_from_start(entries[k], sizes[k]) for k in arrays]
    rank = max(c.shape.rank for c in coordinates)
    if len(arrays) == 1:
        return tf.gather(x, coordinates[0], axis=arrays[0])
    if arrays == list(range(arrays[0], arrays[0] + len(arrays))):
        front = [k for k in range(len(sizes)) if k < arrays[0]]
    else:
        front = []
    others = [k for k in range(len(sizes)) if k not in arrays]
    first = tf.reshape(
        tf.transpose(x, arrays + others), as_shape([prod(sizes[k] for k in arrays), *(sizes[k] for k in others)])
    )
    found = tf.gather(first, _row_number(coordinates, [sizes[k] for k in arrays]), axis=0)
    order = [*range(rank, rank + len(front)), *range(rank), *range(rank + len(front), rank + len(others))]
    return found if order == sorted(order) else tf.transpose(found, order)


def _row_number(coordinates: Sequence[Any], sizes: Sequence[Any]) -> Any:
    """Position among the joined axes; -1, for which gather raises, where a coordinate is out of bounds."""
    # Not gather_nd, whose derivative vectorized_map does not convert.
    number, is_inside = tf.constant(0, tf.int64), tf.constant(True)
    for coordinate, size in zip(coordinates, sizes):
        coordinate, size = cast(tf.convert_to_tensor(coordinate), tf.int64), tf.cast(size, tf.int64)
        is_inside = tf.logical_and(is_inside, tf.logical_and(coordinate >= 0, coordinate < size))
        number = number * size + coordinate
    return tf.where(is_inside, number, tf.constant(-1, tf.int64))


def _expanded(node: Any, x: Any, index: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Array with new axes, and for each axis a slice or an array of ints: masks are replaced by positions."""
    entries: list[Any] = []
    for entry in index:
        if entry is None:
            x = tf.expand_dims(x, len(entries))
            entries.append(slice(None))
        elif isinstance(entry, slice):
            entries.append(slice(*(known_or_tensor(b) for b in (entry.start, entry.stop, entry.step))))
        elif not tf.is_tensor(entry):
            raise TranslationError(f"an index of type {type(entry).__name__} has no translation, at {node}.")
        elif entry.dtype == tf.bool:
            entries.extend(_positions_of(node, entry, x.shape[len(entries) : len(entries) + entry.shape.rank]))
        else:
            entries.append(entry)
    return x, entries + [slice(None)] * (x.shape.rank - len(entries))


def _positions_of(node: Any, mask: Any, shape: Any) -> list[Any]:
    if mask.shape.rank == 0:
        raise TranslationError(f"a single boolean is no index that can be translated, at {node}.")
    if not mask.shape.is_compatible_with(shape):
        raise IndexError(f"a mask of shape {mask.shape} does not fit the axes of shape {shape}, at {node}.")
    known = known_value(mask)
    if known is not None:
        return [tf.constant(axis) for axis in np.nonzero(known)]
    return tf.unstack(tf.where(mask), num=mask.shape.rank, axis=1)  # of unknown length: not under XLA


@register(tt.basic.Nonzero)
def nonzero(op: Any, node: Any, x: Any) -> list[Any]:
    """Positions of the elements that are not zero."""
    return _positions_of(node, cast(x, tf.bool), x.shape)
