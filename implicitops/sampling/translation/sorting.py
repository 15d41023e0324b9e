"""Sorting, searching and sets."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from theano.tensor import extra_ops
from theano.tensor.sort import ArgSortOp, SortOp, TopKOp

from implicitops.errors import TranslationError
from implicitops.sampling.translation.dispatch import cast, known_value, register


def _axis(axis: Any) -> int | None:
    known = known_value(axis)
    if axis is not None and known is None:
        raise TranslationError("the axis of a sort must be a constant.")
    return None if axis is None else int(known)


@register(SortOp)
def sort(op: Any, node: Any, x: Any, axis: Any) -> Any:
    """Sorted elements."""
    k = _axis(axis)
    return tf.sort(tf.reshape(x, [-1])) if k is None else tf.sort(x, axis=k)


@register(ArgSortOp)
def argsort(op: Any, node: Any, x: Any, axis: Any) -> Any:
    """Positions that would sort; equal elements keep their order."""
    k = _axis(axis)
    return tf.argsort(tf.reshape(x, [-1]), stable=True) if k is None else tf.argsort(x, axis=k, stable=True)


@register(TopKOp)
def largest(op: Any, node: Any, x: Any, k: Any) -> Any:
    """Largest elements (smallest for a negative k), in descending order, and where they are."""
    known = known_value(k)
    if known is None:
        raise TranslationError("the number of elements of topk must be a constant.")
    axis, sign = op.axis % x.shape.rank, 1 if known > 0 else -1
    order = [a for a in range(x.shape.rank) if a != axis] + [axis]
    values, positions = tf.math.top_k(sign * tf.transpose(x, order), abs(int(known)), sorted=True)
    back = sorted(range(len(order)), key=order.__getitem__)
    found = [sign * values] * bool(op.return_values) + [positions] * bool(op.return_indices)
    return [tf.transpose(t, back) for t in found]


@register(extra_ops.SearchsortedOp)
def search_sorted(op: Any, node: Any, x: Any, v: Any, sorter: Any = None) -> Any:
    """Where elements would be inserted to keep an array sorted."""
    x = x if sorter is None else tf.gather(x, sorter)
    dtype = tf.float64 if x.dtype.is_floating or v.dtype.is_floating else tf.int64
    flat = tf.searchsorted(cast(x, dtype), tf.reshape(cast(v, dtype), [-1]), side=op.side)
    return tf.reshape(flat, tf.shape(v))


@register(extra_ops.Unique)
def unique(op: Any, node: Any, x: Any) -> list[Any]:
    """Different elements in ascending order; of a length that XLA cannot know."""
    if op.axis is not None:
        raise TranslationError("unique along an axis has no translation; leave axis out.")
    flat = tf.reshape(x, [-1])
    values, inverse, counts = tf.unique_with_counts(flat)
    order = tf.argsort(values)
    rank = tf.argsort(order)
    inverse = tf.gather(rank, inverse)
    first = tf.math.unsorted_segment_min(tf.range(tf.size(flat)), inverse, tf.size(values))
    optional = ((op.return_index, first), (op.return_inverse, inverse), (op.return_counts, tf.gather(counts, order)))
    return [tf.gather(values, order), *(t for wanted, t in optional if wanted)]
