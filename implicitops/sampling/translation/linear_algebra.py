"""Products of matrices, also those that Theano's optimiser makes for BLAS. Factorisations are in matrices.py."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import theano.tensor as tt
from theano.tensor import blas

from implicitops.sampling.translation.dispatch import cast, register

#: Integers for which TensorFlow multiplies no matrices.
_SHORT = ("bool", "int8", "uint8", "int16", "uint16", "uint32", "uint64")


def _product(x: Any, y: Any, dtype: str) -> Any:
    """Product of vectors and matrices, summed over one axis."""
    computed = "int64" if dtype in _SHORT else dtype
    x, y = cast(x, computed), cast(y, computed)
    ranks = x.shape.rank, y.shape.rank
    if ranks == (1, 1):
        return tf.reduce_sum(x * y)
    if ranks == (2, 1):
        return tf.linalg.matvec(x, y)
    if ranks == (1, 2):
        return tf.linalg.matvec(y, x, transpose_a=True)
    return tf.matmul(x, y)


@register(tt.Dot, blas.Dot22)
def dot(op: Any, node: Any, x: Any, y: Any) -> Any:
    """Product of vectors and matrices."""
    return _product(x, y, node.outputs[0].dtype)


@register(blas.Dot22Scalar)
def scaled_dot(op: Any, node: Any, x: Any, y: Any, scale: Any) -> Any:
    """Scaled product of matrices."""
    return scale * _product(x, y, node.outputs[0].dtype)


@register(blas.Gemv)
def gemv(op: Any, node: Any, y: Any, alpha: Any, a: Any, x: Any, beta: Any) -> Any:
    """beta y + alpha A x."""
    return _plus(beta, y, alpha * _product(a, x, node.outputs[0].dtype))


@register(blas.Gemm)
def gemm(op: Any, node: Any, z: Any, alpha: Any, x: Any, y: Any, beta: Any) -> Any:
    """beta Z + alpha X Y."""
    return _plus(beta, z, alpha * _product(x, y, node.outputs[0].dtype))


def _plus(beta: Any, y: Any, product: Any) -> Any:
    """beta y + product, where y may be uninitialised if beta is zero."""
    return tf.where(tf.equal(beta, 0), product, beta * y + product)


@register(blas.Ger)
def ger(op: Any, node: Any, a: Any, alpha: Any, x: Any, y: Any) -> Any:
    """A + alpha x y^T."""
    return a + alpha * x[:, None] * y[None, :]


@register(blas.BatchedDot)
def batched_dot(op: Any, node: Any, x: Any, y: Any) -> Any:
    """Products of the elements along a first axis, which are vectors or matrices."""
    dtype = node.outputs[0].dtype
    x, y = cast(x, dtype), cast(y, dtype)
    left = x[:, None, :] if x.shape.rank == 2 else x
    right = y[:, :, None] if y.shape.rank == 2 else y
    product = tf.matmul(left, right)
    squeezed = [1] * (x.shape.rank == 2) + [2] * (y.shape.rank == 2)
    return tf.squeeze(product, squeezed) if squeezed else product
