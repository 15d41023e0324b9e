"""Shapes: asking for them, changing them, making arrays of a shape, joining and splitting. No arithmetic is here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import theano.tensor as tt
from pymc3.theanof import IdentityOp
from theano.compile import ops as compiled
from theano.gradient import ConsiderConstant, DisconnectedGrad, GradClip, GradScale, ZeroGrad
from theano.printing import Print
from theano.tensor import extra_ops
from theano.tensor.elemwise import DimShuffle
from theano.tensor.opt import Assert, MakeVector

from implicitops.sampling.translation.dispatch import cast, known_value, register

# -- asking -----------------------------------------------------------------------------------------------------------


@register(compiled.Shape)
def shape(op: Any, node: Any, x: Any) -> Any:
    """Shape as a vector; an array if it is known when tracing."""
    return np.array(x.shape.as_list()) if x.shape.is_fully_defined() else tf.shape(x, out_type=tf.int64)


@register(compiled.Shape_i)
def shape_of_axis(op: Any, node: Any, x: Any) -> Any:
    """Length of one axis."""
    n = x.shape[op.i]
    return np.array(n) if n is not None else tf.shape(x, out_type=tf.int64)[op.i]


def lengths(tensor: Any) -> list[Any]:
    """Length of each axis: an int where it is known when tracing, a scalar tensor elsewhere."""
    static, dynamic = tensor.shape.as_list(), None
    for k, n in enumerate(static):
        if n is None:
            dynamic = tf.shape(tensor, out_type=tf.int64) if dynamic is None else dynamic
            static[k] = dynamic[k]
    return list(static)


def as_shape(sizes: Sequence[Any]) -> Any:
    """Shape for TensorFlow from scalars: a list of ints if all are known, a vector of int64 otherwise."""
    known = [n if isinstance(n, (int, np.integer)) else known_value(n) for n in sizes]
    if all(n is not None for n in known):
        return [int(n) for n in known]
    # Static parts stay visible to shape inference, because it looks through this stack.
    return tf.stack([tf.cast(n if k is None else int(k), tf.int64) for n, k in zip(sizes, known)])


# -- changing ---------------------------------------------------------------------------------------------------------


@register(DimShuffle)
def dimshuffle(op: Any, node: Any, x: Any) -> Any:
    """Axes dropped, permuted and inserted."""
    kept = [k for k in op.new_order if k != "x"]
    if op.drop:
        x = tf.squeeze(x, list(op.drop))
        kept = [k - sum(d < k for d in op.drop) for k in kept]
    if kept != sorted(kept):
        x = tf.transpose(x, kept)
    for axis, k in enumerate(op.new_order):
        if k == "x":
            x = tf.expand_dims(x, axis)
    return x


@register(tt.Reshape)
def reshape(op: Any, node: Any, x: Any, sizes: Any) -> Any:
    """Other shape of the same elements."""
    return tf.reshape(x, _vector_as_shape(sizes, op.ndim))


def _vector_as_shape(sizes: Any, rank: int) -> Any:
    if rank == 0:  # sizes may then be an empty vector of any dtype
        return []
    known = known_value(sizes)
    return [int(n) for n in known] if known is not None else tf.ensure_shape(sizes, [rank])


@register(tt.Flatten)
def flatten(op: Any, node: Any, x: Any) -> Any:
    """Trailing axes joined into one."""
    return tf.reshape(x, as_shape([*lengths(x)[: op.outdim - 1], -1]))


@register(compiled.ViewOp, compiled.DeepCopyOp, compiled.Rebroadcast, IdentityOp, Print)
@register(tt.TensorFromScalar, tt.ScalarFromTensor, extra_ops.CpuContiguous, GradClip, GradScale)
def unchanged(op: Any, node: Any, x: Any) -> Any:
    """The same numbers."""
    return tf.identity(x)


@register(ConsiderConstant, DisconnectedGrad, ZeroGrad)
def without_gradient(op: Any, node: Any, x: Any) -> Any:
    """The same numbers, through which no derivative flows."""
    return tf.stop_gradient(x)


@register(Assert)
def asserted(op: Any, node: Any, x: Any, *conditions: Any) -> Any:
    """The first input; XLA, which cannot raise, leaves the conditions out."""
    checks = [tf.debugging.Assert(tf.reduce_all(cast(c, tf.bool)), [str(op.msg)]) for c in conditions]
    with tf.control_dependencies([c for c in checks if c is not None]):
        return tf.identity(x)


@register(compiled.SpecifyShape)
def specify_shape(op: Any, node: Any, x: Any, sizes: Any) -> Any:
    """The same array, whose shape is checked."""
    return tf.ensure_shape(x, _static(sizes, x.shape.rank))


def _static(sizes: Any, rank: int) -> list[int | None]:
    known = known_value(sizes)
    return [None] * rank if known is None else [int(n) for n in known]


# -- making -----------------------------------------------------------------------------------------------------------


@register(MakeVector)
def make_vector(op: Any, node: Any, *scalars: Any) -> Any:
    """Vector of scalars."""
    return tf.stack([cast(s, op.dtype) for s in scalars]) if scalars else tf.zeros([0], op.dtype)


@register(tt.Alloc)
@register(extra_ops.BroadcastTo)
def alloc(op: Any, node: Any, value: Any, *sizes: Any) -> Any:
    """Value repeated to fill a shape."""
    return tf.broadcast_to(value, as_shape(sizes))


@register(tt.AllocEmpty)
def alloc_empty(op: Any, node: Any, *sizes: Any) -> Any:
    """Array whose contents nobody may use; zeros."""
    return tf.zeros(as_shape(sizes), op.dtype)


@register(tt.ARange)
def arange(op: Any, node: Any, start: Any, stop: Any, step: Any) -> Any:
    """Numbers at equal distances."""
    bounds = [known_value(t) for t in (start, stop, step)]
    if all(b is not None for b in bounds):
        return np.arange(*bounds, dtype=op.dtype)
    dtype = op.dtype if tf.as_dtype(op.dtype).is_floating else "int64"
    return tf.range(*(cast(t, dtype) for t in (start, stop, step)))


@register(tt.Eye)
def eye(op: Any, node: Any, n_rows: Any, n_columns: Any, offset: Any) -> Any:
    """Ones on one diagonal, zeros elsewhere."""
    row, column = _rows_and_columns(n_rows, n_columns)
    return tf.equal(column - row, cast(offset, tf.int64))


@register(tt.Tri)
def tri(op: Any, node: Any, n_rows: Any, n_columns: Any, offset: Any) -> Any:
    """Ones on one diagonal and below, zeros above."""
    row, column = _rows_and_columns(n_rows, n_columns)
    return column - row <= cast(offset, tf.int64)


def _rows_and_columns(n_rows: Any, n_columns: Any) -> tuple[Any, Any]:
    n_rows, n_columns = (known_value(n) if known_value(n) is not None else n for n in (n_rows, n_columns))
    return tf.range(tf.cast(n_rows, tf.int64))[:, None], tf.range(tf.cast(n_columns, tf.int64))[None, :]


# -- joining and splitting --------------------------------------------------------------------------------------------


def known_axis(axis: Any) -> Any:
    """Axis as an int if it is known when tracing."""
    known = known_value(axis)
    return axis if known is None else int(known)


@register(tt.Join)
def join(op: Any, node: Any, axis: Any, *tensors: Any) -> Any:
    """Arrays one after the other."""
    return tf.concat([cast(t, node.outputs[0].dtype) for t in tensors], known_axis(axis))


@register(tt.Split)
def split(op: Any, node: Any, x: Any, axis: Any, sizes: Any) -> list[Any]:
    """Array cut into parts."""
    known = known_value(sizes)
    sizes = sizes if known is None else [int(n) for n in known]
    return list(tf.split(x, sizes, known_axis(axis), num=op.len_splits))


@register(tt.Tile)
def tile(op: Any, node: Any, x: Any, repeats: Any) -> Any:
    """Array repeated along its axes."""
    x = tf.reshape(x, as_shape([1] * (op.ndim - x.shape.rank) + lengths(x)))
    return tf.tile(x, _vector_as_shape(repeats, op.ndim))


@register(extra_ops.RepeatOp)
def repeat(op: Any, node: Any, x: Any, repeats: Any) -> Any:
    """Elements repeated."""
    x, axis = (tf.reshape(x, [-1]), 0) if op.axis is None else (x, op.axis % x.shape.rank)
    known, n = known_value(repeats), x.shape[axis]
    if known is not None and n is not None:
        return tf.gather(x, np.repeat(np.arange(n), known), axis=axis)
    return tf.repeat(x, repeats, axis=axis)


@register(tt.basic.Default)
def default(op: Any, node: Any, x: Any, otherwise: Any) -> Any:
    """The second input where the first is None."""
    return otherwise if x is None else x
