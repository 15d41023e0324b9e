"""Making, changing, joining and splitting arrays; what is known of shapes when tracing."""

import numpy as np
import pytest
import tensorflow as tf
import theano
import theano.tensor as tt
from theano.tensor import extra_ops
from theano.tensor.sort import topk

from implicitops.sampling.translation import translate

CUBE = np.random.default_rng(5).normal(size=(2, 3, 4))

CHANGES = {
    "transpose": lambda x: x.dimshuffle(2, 0, 1),
    "insert": lambda x: x.dimshuffle("x", 1, "x", 0, 2),
    "drop": lambda x: x[:, :1].dimshuffle(2, 1, 0).sum(axis=1, keepdims=True).dimshuffle(2, 0),
    "reshape": lambda x: x.reshape((4, -1)),
    "reshape_by_shape": lambda x: x.reshape((x.shape[0] * x.shape[1], x.shape[2])),
    "flatten": lambda x: x.flatten(),
    "flatten_to_two": lambda x: x.flatten(2),
    "ravel_scalar": lambda x: x.sum().reshape((1, 1)),
    "to_scalar": lambda x: x[:1, :1, :1].reshape(()),
    "swapaxes": lambda x: x.swapaxes(0, 2),
    "tile": lambda x: tt.tile(x, (2, 1, 3)),
    "tile_more_axes": lambda x: tt.tile(x, (2, 1, 1, 2)),
    "repeat": lambda x: tt.repeat(x, 2, axis=1),
    "repeat_flat": lambda x: tt.repeat(x, 3),
    "stack": lambda x: tt.stack([x, 2 * x], axis=1),
    "join": lambda x: tt.concatenate([x, x[:, :2]], axis=1),
    "roll": lambda x: tt.roll(x, 2, axis=2),
    "fill": lambda x: tt.fill(x, 3.0) * x,
    "alloc": lambda x: tt.alloc(x[0, 0], 5, x.shape[2]),
    "zeros_like": lambda x: tt.zeros_like(x) + x,
    "broadcast_to": lambda x: extra_ops.broadcast_to(x, (3, 2, 3, 4)).sum(axis=0),
    "pad": lambda x: tt.shape_padleft(tt.shape_padright(x)),
    "unbroadcast": lambda x: tt.unbroadcast(tt.addbroadcast(x[:1], 0), 0) * 2.0,
    "specify_shape": lambda x: tt.specify_shape(x, (2, 3, 4)) * 2.0,
    "view": lambda x: theano.gradient.disconnected_grad(x) * x,
    "make_vector": lambda x: tt.stack([x[0, 0, 0], x.sum(), x[1, 2, 3] ** 2]),
    "moved_diagonal": lambda x: tt.basic.diagonal(x[:, :2, 0]) * 2.0,
}


@pytest.mark.parametrize("name", CHANGES)
def test_change_of_shape(agrees, name):
    x = tt.dtensor3("x")
    gradient = name not in {"tile", "tile_more_axes", "broadcast_to"}  # of which Theano has none, or a wrong one
    agrees([x], CHANGES[name](x), [CUBE], gradient=gradient)


@pytest.mark.parametrize("axis", [0, 2])
def test_split(agrees, axis):
    x = tt.dtensor3("x")
    sizes = [1, 1] if axis == 0 else [1, 3]
    agrees([x], tt.split(x, sizes, 2, axis=axis), [CUBE])


def test_arrays_of_given_shape(agrees):
    n = tt.lscalar("n")
    outputs = [tt.eye(n, 4, 1), tt.tri(n, 4, -1), tt.arange(2, 9, 3), tt.arange(n), tt.ones((n, 2)), tt.zeros((n,))]
    outputs += [tt.arange(0.5, 2.0, 0.25), tt.constant(np.array([1.0, 2.0])), tt.tril(tt.ones((3, 3)))]
    agrees([n], outputs, [3], gradient=False, xla=False)
    agrees([], [o for o in outputs if n not in theano.graph.basic.graph_inputs([o])], [], gradient=False)


def test_shape_is_known_when_tracing():
    x, y = tt.dmatrix("x"), tt.dvector("y")
    translated = translate([x, y], [tt.concatenate([tt.zeros((x.shape[0] + 1, 2 * y.shape[0])), tt.ones((1, 6))])])
    shapes = []

    @tf.function(autograph=False)
    def traced(u, v):
        shapes.append(translated(u, v)[0].shape)
        return 0

    traced(tf.zeros([4, 2], tf.float64), tf.zeros([3], tf.float64))
    assert shapes == [(6, 6)]


def test_shape_that_is_not_known_when_tracing(rng):
    x = tt.dmatrix("x")
    translated = translate([x], [x.reshape((x.shape[1], x.shape[0])), tt.zeros((x.shape[0],)), x.shape, x.flatten()])
    spec = tf.TensorSpec([None, 3], tf.float64)
    function = tf.function(translated, autograph=False, input_signature=[spec])
    values = rng.normal(size=(2, 3))
    reshaped, zeros, shape, flat = function(tf.constant(values))
    np.testing.assert_array_equal(reshaped, values.reshape(3, 2))
    np.testing.assert_array_equal(flat, values.ravel())
    assert zeros.shape == 2
    assert list(shape.numpy()) == [2, 3]


def test_assertion_in_a_graph_is_checked():
    x = tt.dvector("x")
    translated = translate([x], [tt.opt.Assert("must be positive")(x, tt.all(x > 0))])
    np.testing.assert_array_equal(translated(tf.constant([1.0], tf.float64))[0], [1.0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be positive"):
        translated(tf.constant([-1.0], tf.float64))


def test_sorting_and_searching(agrees, rng):
    x, v = tt.dmatrix("x"), tt.dvector("v")
    values = [rng.normal(size=(3, 5)), np.array([-0.5, 0.1, 2.0])]
    outputs = [tt.sort(x, axis=0), tt.sort(x), tt.argsort(x, axis=1), extra_ops.searchsorted(tt.sort(x[0]), v)]
    agrees([x, v], outputs, values, gradient=False)
    # Theano's own TopKOp fails on this NumPy.
    largest = translate([x], [topk(x, 2, axis=0, sorted=False)])(tf.constant(values[0]))[0]
    np.testing.assert_array_equal(np.sort(largest, axis=0), np.sort(values[0], axis=0)[-2:])


def test_unique_elements(agrees):
    x = tt.dvector("x")
    values = [np.array([3.0, 1.0, 3.0, 2.0, 1.0, 1.0])]
    agrees([x], extra_ops.Unique(True, True, True)(x), values, gradient=False, xla=False)
