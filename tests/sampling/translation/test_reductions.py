"""Sums, products, extremes and cumulative reductions."""

import numpy as np
import pytest
import theano.tensor as tt
from theano.tensor.elemwise import ProdWithoutZeros

VALUES = np.random.default_rng(4).normal(size=(3, 4, 2))
AXES = [None, 0, 2, (0, 2), -1]


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "mean", "var"])
def test_reduction_over_any_axes(agrees, name, axis):
    x = tt.dtensor3("x")
    agrees([x], getattr(tt, name)(x, axis=axis), [VALUES], grad_rtol=1e-9)


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_position_of_the_largest_element(agrees, axis):
    x = tt.dtensor3("x")
    agrees([x], [tt.argmax(x, axis=axis), tt.max(x, axis=axis), tt.argmin(x, axis=axis)], [VALUES], gradient=False)


def test_largest_and_its_position_over_two_axes(agrees):
    x = tt.dtensor3("x")
    agrees([x], list(tt.max_and_argmax(x, axis=(0, 2))), [VALUES], gradient=False)


def test_nan_spreads_through_extremes(agrees):
    x = tt.dmatrix("x")
    values = np.array([[1.0, np.nan], [2.0, 3.0], [-np.inf, np.inf]])
    agrees([x], [x.max(axis=1), x.min(axis=1), tt.argmax(x, axis=1)], [values], gradient=False)


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "float32"])
def test_dtypes_of_sums_and_products_are_those_of_theano(agrees, dtype):
    x = tt.TensorType(dtype, (False, False))()
    values = np.array([[1, 0, 1], [1, 1, 1]]).astype(dtype)
    outputs = [x.sum(), x.sum(axis=0), x.prod(axis=1), tt.all(x, axis=1), tt.any(x, axis=0), tt.mean(x)]
    agrees([x], outputs, [values], gradient=False, rtol=1e-6)


def test_gradient_of_a_product_with_zeros(agrees):
    x = tt.dmatrix("x")
    agrees([x], x.prod(axis=1), [np.array([[1.0, 0.0, 3.0], [0.0, 0.0, 2.0], [1.5, 2.0, 3.0]])])


def test_product_of_what_is_not_zero(agrees):
    x = tt.dmatrix("x")
    values = np.array([[1.0, 0.0, 3.0], [0.0, 0.0, 0.0], [1.5, 2.0, 3.0]])
    agrees([x], ProdWithoutZeros(axis=(1,))(x), [values], gradient=False)


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("function", [tt.cumsum, tt.cumprod])
def test_cumulative_reductions(agrees, function, axis):
    x = tt.dtensor3("x")
    agrees([x], function(x, axis=axis), [VALUES], grad_rtol=1e-9)


@pytest.mark.parametrize("n", [1, 2])
def test_differences_of_neighbours(agrees, n):
    x = tt.dvector("x")
    agrees([x], tt.extra_ops.diff(x, n=n), [np.array([1.0, 4.0, 2.0, 2.5])])
    y = tt.dmatrix("y")
    agrees([y], tt.extra_ops.diff(y, n=n, axis=0), [VALUES[:, :, 0]], gradient=False)


def test_softmax_and_cross_entropy(agrees):
    x, b = tt.dmatrix("x"), tt.dvector("b")
    rows, bias = VALUES[:, :, 0], np.arange(4.0)
    agrees([x, b], [tt.nnet.softmax(x), tt.nnet.nnet.softmax_with_bias(x, b), tt.nnet.logsoftmax(x)], [rows, bias])
    labels = tt.lvector("labels")
    loss = tt.nnet.categorical_crossentropy(tt.nnet.softmax(x), labels)
    agrees([x, labels], loss, [rows, np.array([3, 0, 1])])
