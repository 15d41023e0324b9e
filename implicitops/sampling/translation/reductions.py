"""Sums, products, extremes and other reductions of axes, and cumulative ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf
import theano.scalar as ts
import theano.tensor as tt
from theano.tensor.elemwise import CAReduce, MulWithoutZeros
from theano.tensor.extra_ops import CumOp, DiffOp

from implicitops.sampling.translation.dispatch import Missing, cast, register


def _sum(x: Any, axis: Any) -> Any:
    return tf.reduce_any(x, axis) if x.dtype == tf.bool else tf.reduce_sum(x, axis)


def _product(x: Any, axis: Any) -> Any:
    return tf.reduce_all(x, axis) if x.dtype == tf.bool else tf.reduce_prod(x, axis)


def _without_zeros(x: Any, axis: Any) -> Any:
    product = tf.reduce_prod(tf.where(tf.equal(x, 0), tf.ones_like(x), x), axis)
    return tf.where(tf.reduce_all(tf.equal(x, 0), axis), tf.zeros_like(product), product)


def _maximum(x: Any, axis: Any) -> Any:
    if x.dtype == tf.bool:
        return tf.reduce_any(x, axis)
    return _with_nan(tf.reduce_max(x, axis), x, axis)


def _minimum(x: Any, axis: Any) -> Any:
    if x.dtype == tf.bool:
        return tf.reduce_all(x, axis)
    return _with_nan(tf.reduce_min(x, axis), x, axis)


def _with_nan(extreme: Any, x: Any, axis: Any) -> Any:
    """Extreme that is NaN where an element is, as NumPy has it and TensorFlow does not everywhere."""
    if not x.dtype.is_floating:
        return extreme
    has_nan = tf.reduce_any(tf.math.is_nan(x), axis)
    return tf.where(has_nan, tf.constant(float("nan"), x.dtype), extreme)


def _parity(x: Any, axis: Any) -> Any:
    return tf.equal(tf.reduce_sum(cast(x, tf.int32), axis) % 2, 1)


#: Reductions by the scalar Op that they repeat. Bit operations are reduced on booleans alone.
_REDUCTIONS: dict[type, Callable[[Any, Any], Any]] = {
    ts.Add: _sum,
    ts.Mul: _product,
    MulWithoutZeros: _without_zeros,
    ts.ScalarMaximum: _maximum,
    ts.ScalarMinimum: _minimum,
    ts.OR: tf.reduce_any,
    ts.AND: tf.reduce_all,
    ts.XOR: _parity,
}


def _missing_reductions(op: Any, node: Any) -> Iterable[Missing]:
    if _reduction(op) is None:
        yield type(op.scalar_op), f"a reduction by {op.scalar_op}; register type(node.op) = {type(op).__name__} instead"


def _reduction(op: Any) -> Callable[[Any, Any], Any] | None:
    return next((_REDUCTIONS[c] for c in type(op.scalar_op).__mro__ if c in _REDUCTIONS), None)


@register(CAReduce, requires=_missing_reductions)
def reduce_axes(op: Any, node: Any, x: Any) -> Any:
    """Reduction over some axes or all; sums are accumulated in the dtype that Theano states."""
    reduction = _reduction(op)
    assert reduction is not None  # `requires` saw to it
    axis = None if op.axis is None else list(op.axis)
    if isinstance(op.scalar_op, (ts.OR, ts.AND, ts.XOR)):
        return reduction(cast(x, tf.bool), axis)
    return reduction(cast(x, getattr(op, "acc_dtype", None) or node.outputs[0].dtype), axis)


@register(tt.Mean)
def mean(op: Any, node: Any, x: Any) -> Any:
    """Mean over some axes or all."""
    return tf.reduce_mean(cast(x, node.outputs[0].dtype), None if op.axis is None else list(op.axis))


@register(tt.basic.MaxAndArgmax)
def max_and_argmax(op: Any, node: Any, x: Any) -> list[Any]:
    """Largest elements and their positions among the reduced axes, flattened."""
    return [_maximum(x, list(op.axis)), _argmax(x, op.axis)]


@register(tt.basic.Argmax)
def argmax(op: Any, node: Any, x: Any) -> Any:
    """Positions of the largest elements."""
    return _argmax(x, tuple(range(x.shape.rank)) if op.axis is None else op.axis)


def _argmax(x: Any, axes: Any) -> Any:
    kept = [k for k in range(x.shape.rank) if k not in axes]
    if x.dtype.is_floating:  # NumPy counts NaN as larger than everything
        x = tf.where(tf.math.is_nan(x), tf.constant(float("inf"), x.dtype), x)
    last = tf.transpose(cast(x, tf.int8) if x.dtype == tf.bool else x, [*kept, *axes])
    shape = [n if n is not None else tf.shape(last)[k] for k, n in enumerate(last.shape[: len(kept)])]
    return tf.argmax(tf.reshape(last, [*shape, -1]), axis=-1)


@register(CumOp)
def cumulate(op: Any, node: Any, x: Any) -> Any:
    """Cumulative sum or product."""
    x, axis = (tf.reshape(x, [-1]), 0) if op.axis is None else (x, op.axis)
    return tf.cumsum(x, axis) if op.mode == "add" else tf.math.cumprod(x, axis)


@register(DiffOp)
def differences(op: Any, node: Any, x: Any) -> Any:
    """Differences of neighbours, n times."""
    for _ in range(op.n):
        n = tf.shape(x)[op.axis]
        axis = op.axis % x.shape.rank
        x = tf.gather(x, tf.range(1, n), axis=axis) - tf.gather(x, tf.range(n - 1), axis=axis)
    return x
