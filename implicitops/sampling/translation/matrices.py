"""Factorisations, solutions of linear systems, determinants, diagonals. What fails gives NaN, as a sampler needs it."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import theano.tensor as tt
from pymc3 import math as pymc3_math
from pymc3.distributions.multivariate import PosDefMatrix
from theano.tensor import extra_ops, nlinalg, slinalg

from implicitops.backends.tensorflow.routes import is_for_xla
from implicitops.errors import TranslationError
from implicitops.sampling.translation.dispatch import cast, register
from implicitops.sampling.translation.shapes import lengths


def _is_positive_definite(x: Any) -> Any:
    """Whether a Cholesky factorisation exists."""
    x = tf.stop_gradient(x)
    if is_for_xla():
        return tf.reduce_all(tf.linalg.diag_part(tf.linalg.cholesky(x)) > 0)
    return tf.reduce_all(tf.linalg.eigvalsh(x) > 0)


def _from_lower(x: Any) -> Any:
    """Symmetric matrix of which one triangle is read, so that the other has no derivative, as in SciPy and Theano."""
    lower = tf.linalg.band_part(x, -1, 0)
    return lower + tf.linalg.matrix_transpose(tf.linalg.set_diag(lower, tf.zeros_like(tf.linalg.diag_part(x))))


@register(slinalg.Cholesky)
def cholesky(op: Any, node: Any, x: Any) -> Any:
    """Triangular square root; NaN where there is none, also where Theano raises."""
    x = cast(x, node.outputs[0].dtype)
    x = _from_lower(x if op.lower else tf.linalg.matrix_transpose(x))
    if is_for_xla():
        factor = tf.linalg.cholesky(x)
    else:  # outside XLA TensorFlow raises, which would end a sampler
        is_fine = _is_positive_definite(x)
        factor = tf.linalg.cholesky(tf.where(is_fine, x, tf.eye(tf.shape(x)[0], dtype=x.dtype)))
        factor = tf.where(is_fine, factor, tf.constant(np.nan, x.dtype))
    return factor if op.lower else tf.linalg.matrix_transpose(factor)


@register(slinalg.Solve)
def solve(op: Any, node: Any, a: Any, b: Any) -> Any:
    """Solution of a linear system, general or triangular."""
    dtype = node.outputs[0].dtype
    a, b = cast(a, dtype), cast(b, dtype)
    right = b[:, None] if b.shape.rank == 1 else b
    if op.A_structure in ("lower_triangular", "upper_triangular"):
        x = tf.linalg.triangular_solve(a, right, lower=op.A_structure == "lower_triangular")
    else:
        x = tf.linalg.solve(a, right)
    return x[:, 0] if b.shape.rank == 1 else x


@register(nlinalg.MatrixInverse)
def inverse(op: Any, node: Any, x: Any) -> Any:
    """Inverse of a matrix."""
    return tf.linalg.inv(x)


@register(nlinalg.MatrixPinv)
def pseudo_inverse(op: Any, node: Any, x: Any) -> Any:
    """Moore-Penrose inverse, with NumPy's threshold of 1e-15 for singular values."""
    return tf.linalg.pinv(x, rcond=1e-15)


@register(nlinalg.Det)
def determinant(op: Any, node: Any, x: Any) -> Any:
    """Determinant, by sign and logarithm."""
    sign, logarithm = sign_and_log_determinant(x)
    return sign * tf.exp(logarithm)


@register(pymc3_math.LogDet)
def log_determinant(op: Any, node: Any, x: Any) -> Any:
    """Logarithm of the determinant's absolute value."""
    return sign_and_log_determinant(x)[1]


def sign_and_log_determinant(x: Any) -> tuple[Any, Any]:
    """Sign and logarithm of the absolute value of a determinant; for XLA too, which has no op for it."""
    if not is_for_xla():
        sign, logarithm = tf.linalg.slogdet(x)
        return sign, logarithm

    @tf.custom_gradient
    def compute(matrix: Any) -> Any:
        sign, logarithm = _eliminated(matrix)

        def derivative(_: Any, cotangent: Any) -> Any:
            return cotangent * tf.linalg.matrix_transpose(tf.linalg.inv(matrix))

        return (sign, logarithm), derivative

    sign, logarithm = compute(x)
    return tf.stop_gradient(sign), logarithm


def _eliminated(x: Any) -> tuple[Any, Any]:
    """Sign and logarithm of the product of the pivots of Gaussian elimination with partial pivoting.

    References
    ----------
    Golub & Van Loan, Matrix Computations (2013), Algorithm 3.4.1.
    """
    n = lengths(x)[0]
    rows = tf.range(n)

    def eliminate(k: Any, a: Any, sign: Any, logarithm: Any) -> Any:
        column = tf.gather(a, k, axis=1)
        # A NaN is taken for the pivot, so that it spreads.
        size = tf.where(tf.math.is_nan(column), tf.constant(np.inf, a.dtype), tf.abs(column))
        best = tf.cast(tf.argmax(tf.where(rows >= k, size, -tf.ones_like(size))), rows.dtype)
        order = tf.where(tf.equal(rows, k), best, tf.where(tf.equal(rows, best), k, rows))
        a = tf.gather(a, order, axis=0)
        pivot_row = tf.gather(a, k, axis=0)
        pivot = tf.gather(pivot_row, k)
        factors = tf.where(rows > k, tf.gather(a, k, axis=1) / pivot, tf.zeros_like(column))
        sign = sign * tf.sign(pivot) * tf.where(tf.equal(best, k), tf.ones_like(sign), -tf.ones_like(sign))
        # A zero pivot ends it: log 0 is -inf, and the factors 0/0 must not turn that into NaN.
        factors = tf.where(tf.equal(pivot, 0), tf.zeros_like(factors), factors)
        return k + 1, a - factors[:, None] * pivot_row[None, :], sign, logarithm + tf.math.log(tf.abs(pivot))

    start = (tf.constant(0), x, tf.ones([], x.dtype), tf.zeros([], x.dtype))
    limit = n if isinstance(n, int) else None
    _, _, sign, logarithm = tf.while_loop(lambda k, *_: k < n, eliminate, start, maximum_iterations=limit)
    return sign, logarithm


@register(PosDefMatrix)
def positive_definite(op: Any, node: Any, x: Any) -> Any:
    """Whether a symmetric matrix is positive definite."""
    return _is_positive_definite(x)


@register(nlinalg.Eigh)
def eigh(op: Any, node: Any, x: Any) -> list[Any]:
    """Eigenvalues and eigenvectors of a symmetric matrix, of which one triangle counts."""
    x = _from_lower(x if op.UPLO == "L" else tf.linalg.matrix_transpose(x))
    return list(_refined_eigh(x) if is_for_xla() else tf.linalg.eigh(x))


@tf.custom_gradient
def _refined_eigh(x: Any) -> Any:
    """Eigenvalues and eigenvectors to full precision, of which XLA computes six digits or more.

    References
    ----------
    Ogita & Aishima, Iterative refinement for symmetric eigenvalue decomposition, Japan J. Indust. Appl. Math. 35
    (2018), Algorithm 1.
    """
    values, vectors = tf.linalg.eigh(x)
    identity = tf.eye(lengths(x)[0], dtype=x.dtype)
    for _ in range(2):
        error = identity - tf.matmul(vectors, vectors, transpose_a=True)
        image = tf.matmul(vectors, tf.matmul(x, vectors), transpose_a=True)
        values = tf.linalg.diag_part(image) / (1 - tf.linalg.diag_part(error))
        gaps = values[None, :] - values[:, None]
        noise = tf.norm(image - tf.linalg.diag(values)) + tf.reduce_max(tf.abs(values)) * tf.norm(error)
        is_apart = tf.abs(gaps) > 2 * noise
        change = (image + values[None, :] * error) / tf.where(is_apart, gaps, tf.ones_like(gaps))
        vectors = vectors + tf.matmul(vectors, tf.where(is_apart, change, error / 2))

    def derivative(of_values: Any, of_vectors: Any) -> Any:
        now, basis = _refined_eigh(x)  # again, so that this has a derivative too
        gaps = now[None, :] - now[:, None]
        is_zero = tf.equal(gaps, 0)
        inverse = tf.where(is_zero, tf.zeros_like(gaps), 1 / tf.where(is_zero, tf.ones_like(gaps), gaps))
        inner = tf.linalg.diag(of_values) + inverse * tf.matmul(basis, of_vectors, transpose_a=True)
        whole = tf.matmul(basis, tf.matmul(inner, basis, transpose_b=True))
        return (whole + tf.linalg.matrix_transpose(whole)) / 2

    return (values, vectors), derivative


@register(slinalg.Eigvalsh)
def eigvalsh(op: Any, node: Any, a: Any, b: Any = None) -> Any:
    """Eigenvalues of a symmetric matrix, also relative to a positive definite one."""
    if b is not None:
        root = tf.linalg.cholesky(b)
        half = tf.linalg.triangular_solve(root, a)
        a = tf.linalg.triangular_solve(root, tf.linalg.matrix_transpose(half))
    a = _from_lower(a if op.lower or b is not None else tf.linalg.matrix_transpose(a))
    return _refined_eigh(a)[0] if is_for_xla() else tf.linalg.eigvalsh(a)


@register(nlinalg.SVD)
def svd(op: Any, node: Any, x: Any) -> Any:
    """Singular values, with singular vectors if they are asked for; a vector's sign is arbitrary."""
    if not op.compute_uv:
        return tf.linalg.svd(x, compute_uv=False)
    s, u, v = tf.linalg.svd(x, full_matrices=bool(op.full_matrices))
    return [u, s, tf.linalg.matrix_transpose(v)]


@register(nlinalg.QRFull, nlinalg.QRIncomplete)
def qr(op: Any, node: Any, x: Any) -> Any:
    """Orthogonal and triangular factor; signs are LAPACK's."""
    if op.mode not in ("reduced", "complete", "r"):
        raise TranslationError(f"qr with mode={op.mode!r} has no translation; use 'reduced' or 'complete'.")
    q, r = tf.linalg.qr(x, full_matrices=op.mode == "complete")
    return r if op.mode == "r" else [q, r]


@register(slinalg.Expm)
def matrix_exponential(op: Any, node: Any, x: Any) -> Any:
    """Exponential of a matrix."""
    return tf.linalg.expm(x)


# -- diagonals and blocks ---------------------------------------------------------------------------------------------


@register(tt.basic.ExtractDiag)
def extract_diagonal(op: Any, node: Any, x: Any) -> Any:
    """One diagonal of two axes, as the last axis."""
    rest = [k for k in range(x.shape.rank) if k not in (op.axis1 % x.shape.rank, op.axis2 % x.shape.rank)]
    x = tf.transpose(x, [*rest, op.axis1 % x.shape.rank, op.axis2 % x.shape.rank])
    return tf.linalg.diag_part(x, k=op.offset)


@register(tt.basic.AllocDiag)
def alloc_diagonal(op: Any, node: Any, x: Any) -> Any:
    """Last axis on a diagonal of two new axes."""
    full = tf.linalg.diag(x, k=op.offset)
    first, second = sorted((op.axis1, op.axis2))
    order = list(range(x.shape.rank - 1))
    order.insert(first, x.shape.rank - 1)
    order.insert(second, x.shape.rank)
    return full if order == sorted(order) else tf.transpose(full, order)


@register(nlinalg.AllocDiag)
def diagonal_matrix(op: Any, node: Any, x: Any) -> Any:
    """Matrix with a vector on its diagonal."""
    return tf.linalg.diag(x)


@register(pymc3_math.BatchedDiag)
def batched_diagonal(op: Any, node: Any, x: Any) -> Any:
    """Matrices with the rows of a matrix on their diagonals."""
    return tf.linalg.diag(x)


@register(extra_ops.FillDiagonal)
def fill_diagonal(op: Any, node: Any, x: Any, value: Any) -> Any:
    """Array whose main diagonal has one value."""
    return _filled(x, value, tf.constant(0, tf.int64))


@register(extra_ops.FillDiagonalOffset)
def fill_diagonal_offset(op: Any, node: Any, x: Any, value: Any, offset: Any) -> Any:
    """Matrix one of whose diagonals has one value."""
    return _filled(x, value, cast(offset, tf.int64))


def _filled(x: Any, value: Any, offset: Any) -> Any:
    sizes, rank = lengths(x), x.shape.rank
    positions = [
        tf.reshape(tf.range(tf.cast(n, tf.int64)), [-1 if k == axis else 1 for k in range(rank)])
        for axis, n in enumerate(sizes)
    ]
    is_diagonal = tf.equal(positions[1] - positions[0], offset)
    for position in positions[2:]:
        is_diagonal = tf.logical_and(is_diagonal, tf.equal(position, positions[0]))
    return tf.where(is_diagonal, cast(value, x.dtype), x)


@register(pymc3_math.BlockDiagonalMatrix)
def block_diagonal(op: Any, node: Any, *blocks: Any) -> Any:
    """Dense matrix with blocks along its diagonal."""
    if op.sparse:
        raise TranslationError("block_diagonal with sparse=True has no translation; leave sparse out.")
    dtype = node.outputs[0].dtype
    total = sum(lengths(b)[1] for b in blocks)
    rows, before = [], 0
    for block in blocks:
        n = lengths(block)[1]
        rows.append(tf.pad(cast(block, dtype), [[0, 0], [before, total - before - n]]))
        before = before + n
    return tf.concat(rows, axis=0)
