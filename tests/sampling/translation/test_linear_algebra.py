"""Products, factorisations, solutions and determinants of matrices."""

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
import theano
import theano.tensor as tt
from pymc3 import math as pymc3_math
from pymc3.distributions.multivariate import matrix_pos_def
from theano.tensor import blas, extra_ops, nlinalg, slinalg
from theano.tensor.type_other import NoneConst

from implicitops.sampling.translation import TranslationError, translate

*GENERAL, VECTOR = np.random.default_rng(8).normal(size=(5, 4))
GENERAL = np.array(GENERAL)
DEFINITE = GENERAL @ GENERAL.T + np.eye(4)


@pytest.mark.parametrize("ranks", [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_dot_of_vectors_and_matrices(agrees, ranks):
    x, y = (tt.TensorType("float64", (False,) * r)() for r in ranks)
    agrees([x, y], tt.dot(x, y), [GENERAL if r == 2 else VECTOR for r in ranks])


@pytest.mark.parametrize("dtypes", [("int64", "int64"), ("int8", "float64"), ("bool", "int64"), ("float32", "int8")])
def test_dtype_of_a_product_is_that_of_theano(agrees, dtypes):
    x, y = (tt.TensorType(d, (False, False))() for d in dtypes)
    values = [np.array([[1, 0], [1, 1]]).astype(dtypes[0]), np.array([[1, 3], [0, 1]]).astype(dtypes[1])]
    agrees([x, y], tt.dot(x, y), values, gradient=False)


def test_tensordot_and_batched_dot(agrees, rng):
    x, y = tt.dtensor3("x"), tt.dtensor3("y")
    agrees([x, y], tt.tensordot(x, y, axes=[[1], [2]]), [rng.normal(size=(2, 3, 4)), rng.normal(size=(5, 2, 3))])
    values = [rng.normal(size=(3, 2, 4)), rng.normal(size=(3, 4, 5))]
    outputs = [tt.batched_dot(x, y), tt.batched_dot(x[:, 0], y), tt.batched_dot(x, y[:, :, 0])]
    agrees([x, y], [*outputs, tt.batched_dot(x[:, 0], y[:, :, 0])], values)


def test_products_that_the_optimiser_makes_for_blas(agrees):
    a, x, y, z = tt.dmatrix("a"), tt.dvector("x"), tt.dvector("y"), tt.dmatrix("z")
    scale = tt.constant(np.array(0.7))
    outputs = [
        blas.Gemv(inplace=False)(y, scale, a, x, np.float64(2.0)),
        blas.Ger(destructive=False)(a, scale, x, y),
        blas.Gemm(inplace=False)(z, scale, a, z, np.float64(0.5)),
        blas.Dot22()(a, z),
        blas.Dot22Scalar()(a, z, scale),
    ]
    agrees([a, x, y, z], outputs, [GENERAL, VECTOR, VECTOR[::-1], DEFINITE], gradient=False)


DECOMPOSED = {
    "cholesky": slinalg.cholesky,
    "cholesky_upper": lambda m: slinalg.Cholesky(lower=False)(m),
    "inverse": nlinalg.matrix_inverse,
    "det": nlinalg.det,
    "logdet": pymc3_math.logdet,
    "solve": lambda m: slinalg.solve(m, tt.ones(4)),
    "solve_matrix": lambda m: slinalg.solve(m, m[:, :2]),
    "solve_lower": lambda m: slinalg.solve_lower_triangular(m, tt.ones(4)),
    "solve_upper": lambda m: slinalg.solve_upper_triangular(m, m[:, :2]),
    "diag": nlinalg.diag,
    "diagonal_matrix": lambda m: tt.diag(m[0]),
    "diagonal_above": lambda m: tt.basic.AllocDiag(offset=2)(m[0]),
    "alloc_diag": lambda m: nlinalg.alloc_diag(m[1]),
    "trace": nlinalg.trace,
    "fill_diagonal": lambda m: extra_ops.fill_diagonal(m, m[0, 1]),
    "fill_diagonal_offset": lambda m: extra_ops.fill_diagonal_offset(m, m[0, 1], 1),
    "kron": lambda m: slinalg.kron(m, m[:2, :3]),
    "block_diagonal": lambda m: pymc3_math.block_diagonal([m, m[:2, :3]]),
    "batched_diag": pymc3_math.batched_diag,
    "expand_packed": lambda m: pymc3_math.expand_packed_triangular(4, m.flatten()[:10]),
    "matrix_power": lambda m: nlinalg.matrix_power(m, 3),
    "tril": lambda m: tt.tril(m) + tt.triu(m, 1) ** 2,
    "outer": lambda m: tt.outer(m[0], m[1]),
}


@pytest.mark.parametrize("name", DECOMPOSED)
def test_function_of_a_matrix(agrees, name):
    m = tt.dmatrix("m")
    gradient = name not in {"batched_diag"}
    if name == "block_diagonal":
        gradient = False  # that of PyMC3 needs an Op of constant lengths
    agrees([m], DECOMPOSED[name](m), [DEFINITE], rtol=1e-10, atol=1e-11, gradient=gradient, grad_rtol=1e-9)


def test_matrix_exponential(reference):
    m = tt.dmatrix("m")
    translated = translate([m], [slinalg.expm(m)])
    np.testing.assert_allclose(translated(tf.constant(GENERAL))[0], scipy.linalg.expm(GENERAL), rtol=1e-12)


def test_eigenvalues_and_vectors_rebuild_the_matrix(agrees):
    m = tt.dmatrix("m")
    values, vectors = nlinalg.eigh(m)
    rebuilt = tt.dot(vectors * tt.exp(values), vectors.T)  # does not depend on the vectors' signs
    agrees([m], [values, rebuilt], [DEFINITE], rtol=1e-11, grad_rtol=1e-9)
    agrees([m], slinalg.Eigvalsh()(m, NoneConst), [DEFINITE], rtol=1e-10, gradient=False)


def test_singular_values_and_qr_rebuild_the_matrix(agrees):
    m = tt.dmatrix("m")
    u, s, v = nlinalg.svd(m, full_matrices=False)
    q, r = nlinalg.qr(m)
    agrees([m], [tt.dot(q, r), abs(r)], [GENERAL[:, :3]], rtol=1e-11, atol=1e-12, gradient=False)
    # XLA computes singular values to single precision only.
    single = {"rtol": 2e-6, "atol": 1e-6, "gradient": False}
    agrees([m], [tt.dot(u * s, v), s, nlinalg.SVD(compute_uv=False)(m)], [GENERAL[:, :3]], xla=False, gradient=False)
    agrees([m], [tt.dot(u * s, v), s, nlinalg.SVD(compute_uv=False)(m), nlinalg.pinv(m)], [GENERAL[:, :3]], **single)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "xla"])
def test_cholesky_of_what_is_not_positive_definite_is_nan(compiled):
    m = tt.dmatrix("m")
    translated = translate([m], [slinalg.cholesky(m), matrix_pos_def(m)])
    translated = tf.function(translated, jit_compile=True, autograph=False) if compiled else translated
    factor, is_definite = translated(tf.constant(DEFINITE - 10 * np.eye(4)))
    assert np.isnan(factor.numpy()[np.tril_indices(4)]).any()
    assert is_definite.numpy() == 0
    assert translated(tf.constant(DEFINITE))[1].numpy() == 1


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "xla"])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_determinant_has_derivatives_of_both_orders(compiled, n):
    m = tt.dmatrix("m")
    translated = translate([m], [nlinalg.det(m)])
    matrix = np.random.default_rng(n).normal(size=(n, n))
    direction = tf.constant(np.random.default_rng(n + 1).normal(size=(n, n)))

    def derivatives(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                value = translated(x)[0]
            slope = tf.reduce_sum(inner.gradient(value, x) * direction)
        return value, slope, outer.gradient(slope, x)

    function = tf.function(derivatives, jit_compile=True, autograph=False) if compiled else derivatives
    value, slope, second = function(tf.constant(matrix))
    det, inverse, step = np.linalg.det(matrix), np.linalg.inv(matrix), inverse_step(matrix, direction.numpy())
    np.testing.assert_allclose(value, det, rtol=1e-12)
    np.testing.assert_allclose(slope, det * np.trace(inverse @ direction.numpy()), rtol=1e-11)
    np.testing.assert_allclose(
        second, det * (np.trace(inverse @ direction.numpy()) * inverse.T - step.T), rtol=1e-9, atol=1e-12
    )


def inverse_step(matrix, direction):
    inverse = np.linalg.inv(matrix)
    return inverse @ direction @ inverse


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "xla"])
def test_singular_determinant_is_zero(compiled):
    m = tt.dmatrix("m")
    translated = translate([m], [nlinalg.det(m), pymc3_math.logdet(m)])
    translated = tf.function(translated, jit_compile=True, autograph=False) if compiled else translated
    det, logdet = translated(tf.constant([[1.0, 2.0], [2.0, 4.0]], tf.float64))
    assert det.numpy() == 0
    assert logdet.numpy() == -np.inf


def test_sparse_blocks_are_refused():
    m = tt.dmatrix("m")
    with pytest.raises(TranslationError, match="sparse"):
        translate([m], [theano.sparse.csm_data(pymc3_math.block_diagonal([m, m], sparse=True))])
