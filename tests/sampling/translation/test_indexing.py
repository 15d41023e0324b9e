"""Indexing, and assignment to what is indexed, in all the ways that NumPy has."""

import numpy as np
import pytest
import tensorflow as tf
import theano.tensor as tt
from theano.tensor.subtensor import take

from implicitops.sampling.translation import translate

CUBE = np.random.default_rng(6).normal(size=(4, 5, 6))

CONSTANT = {
    "int": lambda x: x[1],
    "negative_int": lambda x: x[-1, 2],
    "slice": lambda x: x[1:3, ::2],
    "negative_step": lambda x: x[::-1, :, 4:0:-2],
    "beyond_the_end": lambda x: x[2:100, -100:2],
    "empty": lambda x: x[3:1],
    "ellipsis": lambda x: x[..., 0],
    "mixed": lambda x: x[-2, 1:4, ::-1],
    "list": lambda x: x[[0, 2, 2]],
    "list_negative": lambda x: x[[-1, 0]],
    "two_lists": lambda x: x[[0, 1, 3], [2, 2, -1]],
    "lists_apart": lambda x: x[[0, 1, 3], :, [2, 2, -1]],
    "list_and_slice": lambda x: x[1:3, [0, 4, 4]],
    "list_last": lambda x: x[:, 1, [0, 3]],
    "matrix_of_indices": lambda x: x[:, np.array([[0, 1], [2, 3], [4, 0]])],
    "broadcast_lists": lambda x: x[np.array([[0], [2]]), np.array([[1, 3, 4]])],
    "new_axis_and_list": lambda x: x[None, [1, 2], :, 3],
    "mask": lambda x: x[np.array([True, False, True, True])],
    "mask_of_two_axes": lambda x: x[np.arange(20).reshape(4, 5) % 3 == 0],
    "mask_and_slice": lambda x: x[1:3, np.array([True, False, True, True, False])],
    "take": lambda x: take(x, [0, 2, -1], axis=1),
    "take_matrix": lambda x: take(x, np.array([[0, 2], [1, 1]]), axis=1),
    "take_flat": lambda x: take(x, [0, 50, 3]),
}


@pytest.mark.parametrize("name", CONSTANT)
def test_constant_index(agrees, name):
    x = tt.dtensor3("x")
    agrees([x], CONSTANT[name](x), [CUBE])


ASSIGNED = {name: index for name, index in CONSTANT.items() if not name.startswith(("take", "new_axis"))}


@pytest.mark.parametrize("name", ASSIGNED)
@pytest.mark.parametrize("function", [tt.set_subtensor, tt.inc_subtensor])
def test_assignment_to_a_constant_index(agrees, name, function, rng):
    x, y = tt.dtensor3("x"), tt.dscalar("y")
    if function is tt.set_subtensor and name in ("list", "two_lists", "list_and_slice"):
        pytest.skip("the same element is set twice: which value stays is not defined")
    agrees([x, y], function(ASSIGNED[name](x), y), [CUBE, 0.7])
    part = ASSIGNED[name](CUBE)
    z = tt.TensorType("float64", (False,) * part.ndim)("z")
    if part.size:
        agrees([x, z], function(ASSIGNED[name](x), z), [CUBE, rng.normal(size=part.shape)])


def test_indices_that_are_computed(agrees):
    x, i, j, rows = tt.dtensor3("x"), tt.lscalar("i"), tt.lscalar("j"), tt.lvector("rows")
    values = [CUBE, 1, -2, np.array([3, -1, 0])]
    outputs = [x[i], x[j], x[i, 1:3, j], x[:, i], x[rows], x[:, rows], x[rows, i], x[rows, :, rows + 1], x[i, rows]]
    agrees([x, i, j, rows], outputs, values)


def test_slices_that_are_computed_where_the_length_is_not_known(agrees):
    x, i, j = tt.dmatrix("x"), tt.lscalar("i"), tt.lscalar("j")
    outputs = [x[i:], x[:j], x[i:j], x[:, i : i + 2], tt.set_subtensor(x[i:j], 0.0), tt.inc_subtensor(x[:, j:], 2.0)]
    agrees([x, i, j], outputs, [CUBE[0], 1, -1], xla=False)


def test_assignment_to_computed_indices(agrees, rng):
    x, y, i, rows = tt.dmatrix("x"), tt.dvector("y"), tt.lscalar("i"), tt.lvector("rows")
    values = [CUBE[0], rng.normal(size=6), -2, np.array([3, -1, 0])]
    outputs = [
        tt.set_subtensor(x[i], y),
        tt.inc_subtensor(x[i, 1:5:2], y[:2]),
        tt.set_subtensor(x[:, i], y[:5]),
        tt.set_subtensor(x[rows], y),
        tt.inc_subtensor(x[rows, rows], y[:3]),
        tt.inc_subtensor(x[:, rows], 1.5),
    ]
    agrees([x, y, i, rows], outputs, values)


def test_an_index_that_occurs_twice_adds_twice(agrees):
    x, y = tt.dvector("x"), tt.dvector("y")
    index = np.array([0, 2, 2, 0, 2])
    agrees([x, y], tt.inc_subtensor(x[index], y), [np.zeros(3), np.arange(5.0)])


def test_mask_that_is_computed(agrees):
    x = tt.dmatrix("x")
    outputs = [x[(x > 0).nonzero()], tt.set_subtensor(x[(x > 0).nonzero()], -1.0), x[x > 0]]
    agrees([x], outputs, [CUBE[0]], xla=False)
    agrees([x], list((x > 0).nonzero()), [CUBE[0]], gradient=False, xla=False)


def test_known_index_out_of_bounds_is_an_error():
    x = tt.dvector("x")
    with pytest.raises(IndexError, match="out of bounds for an axis of length 3"):
        translate([x], [x[np.array([0, 3])]])(tf.zeros(3, tf.float64))


@pytest.mark.parametrize("pair", [(0, 3), (2, 0), (0, -4), (-3, 0)])
def test_computed_index_out_of_bounds_is_an_error(pair):
    x, i, j = tt.dmatrix("x"), tt.lvector("i"), tt.lvector("j")
    translated = tf.function(translate([x, i, j], [x[i, j]]), autograph=False)
    with pytest.raises(tf.errors.InvalidArgumentError):
        translated(tf.zeros([2, 3], tf.float64), *([tf.constant([p], tf.int64) for p in pair]))


def test_index_is_mapped_over_chains(rng):
    x, i = tt.dmatrix("x"), np.array([0, 2, 2])
    embedded = tt.set_subtensor(x[1, ::2], x[i, 1])
    translated = translate([x], [embedded, tt.inc_subtensor(embedded[[2, 0]], x[i[:2], :]), embedded[i, i]])
    batch = rng.normal(size=(7, 3, 6))
    mapped, added, diagonal = tf.vectorized_map(translated, tf.constant(batch), fallback_to_while_loop=False)
    expected = batch.copy()
    expected[:, 1, ::2] = batch[:, i, 1]
    np.testing.assert_array_equal(mapped, expected)
    np.testing.assert_array_equal(diagonal, expected[:, i, i])
    expected[:, [2, 0]] += batch[:, i[:2]]
    np.testing.assert_array_equal(added, expected)
