"""What translate accepts, what it says where it cannot, and how an Op is registered."""

import numpy as np
import pytest
import tensorflow as tf
import theano
import theano.tensor as tt
from theano.graph.basic import Apply
from theano.graph.op import Op

from implicitops.sampling.translation import TranslationError, dispatch, register, translate


class Unknown(Op):
    __props__ = ()

    def make_node(self, x):
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = inputs[0] + 1


class UnknownScalar(theano.scalar.UnaryScalarOp):
    def impl(self, x):
        return 2 * x


class Known(Unknown):
    pass


@pytest.fixture
def table(monkeypatch):
    """The table, from which everything that a test registers is removed again."""
    monkeypatch.setattr(dispatch, "_table", dict(dispatch._table))


def test_all_unknown_ops_are_named_with_their_place_and_what_to_do():
    x = tt.dvector("x")
    y = Unknown()(x)
    z = tt.Elemwise(UnknownScalar(theano.scalar.upgrade_to_float))(y)
    with pytest.raises(TranslationError) as caught:
        translate([x], [z.sum(), Unknown()(z)])
    message = str(caught.value)
    for expected in ("2 kinds of Theano Op", "test_dispatch.Unknown,", "UnknownScalar", "(x)", "@register(Unknown"):
        assert expected in message, message


def test_unknown_op_inside_of_a_loop_is_named():
    x = tt.dvector("x")
    y, _ = theano.scan(lambda s: Unknown()(s), sequences=x)
    with pytest.raises(TranslationError, match=r"test_dispatch\.Unknown"):
        translate([x], [y])


def test_registered_op_and_its_subclasses_are_translated(table):
    @register(Unknown)
    def unknown(op, node, x):
        assert isinstance(op, Unknown)
        return x + 1

    x = tt.dvector("x")
    np.testing.assert_array_equal(translate([x], [Known()(x)])(tf.constant([1.0], tf.float64))[0], [2.0])


def test_registered_scalar_op_works_in_elemwise_and_in_a_fused_graph(table):
    @register(UnknownScalar)
    def double(op, node, x):
        return 2 * x

    x = tt.dvector("x")
    twice = tt.Elemwise(UnknownScalar(theano.scalar.upgrade_to_float))
    np.testing.assert_array_equal(translate([x], [twice(x)])(tf.constant([1.0], tf.float64))[0], [2.0])


def test_result_is_cast_to_the_dtype_that_theano_states(table):
    register(Unknown)(lambda op, node, x: tf.cast(x, tf.float64) + 1)
    x = tt.fvector("x")
    assert translate([x], [Unknown()(x)])(tf.constant([1.0]))[0].dtype == tf.float32


def test_function_that_returns_the_wrong_number_or_rank_is_named(table):
    x = tt.dvector("x")
    register(Unknown)(lambda op, node, x: [x, x])
    with pytest.raises(TranslationError, match="Unknown must return 1 tensors; got 2"):
        translate([x], [Unknown()(x)])(tf.zeros(2, tf.float64))
    register(Unknown)(lambda op, node, x: x[0])
    with pytest.raises(TranslationError, match="must return a tensor of rank 1"):
        translate([x], [Unknown()(x)])(tf.zeros(2, tf.float64))


def test_only_classes_are_registered():
    with pytest.raises(TypeError, match="register needs classes"):
        register(tt.exp)


def test_an_intermediate_result_can_be_an_input():
    x = tt.dvector("x")
    y = Unknown()(x)  # which is left out, so that it need not be known
    np.testing.assert_array_equal(translate([y], [2 * y, y])(tf.ones(2, tf.float64))[0], [2.0, 2.0])


def test_input_that_is_an_output_of_a_node_whose_other_output_is_used():
    x = tt.dmatrix("x")
    largest, position = tt.max_and_argmax(x, axis=1)
    found = translate([x, largest], [largest + 1, position])(
        tf.eye(2, dtype=tf.float64), tf.constant([5.0, 7.0], tf.float64)
    )
    np.testing.assert_array_equal(found[0], [6.0, 8.0])
    np.testing.assert_array_equal(found[1], [0, 1])


def test_missing_input_is_named():
    x, y = tt.dscalar("x"), tt.dscalar("other")
    with pytest.raises(TranslationError, match="depend on other"):
        translate([x], [x + y])


def test_wrong_arguments_are_refused():
    x, y = tt.dvector("x"), tt.lvector("y")
    with pytest.raises(TypeError, match="must be Theano variables"):
        translate([x], [1.0])
    with pytest.raises(ValueError, match="same variable twice"):
        translate([x, x], [x])
    translated = translate([x, y], [x + y])
    with pytest.raises(TypeError, match=r"expected 2 inputs \(x, y\); got 1"):
        translated(tf.zeros(1))
    with pytest.raises(TypeError, match="x is of dtype float64; got a tensor of dtype float32"):
        translated(tf.zeros(1), tf.zeros(1, tf.int64))
    with pytest.raises(TypeError, match="y is of dtype int64; got values of dtype float64"):
        translated(np.zeros(1), np.zeros(1))
    with pytest.raises(TypeError, match="x has 1 axes"):
        translated(tf.zeros([1, 1], tf.float64), np.zeros(1, int))


def test_shared_variables_are_read_when_called_and_can_be_given():
    x = tt.dvector("x")
    first, second = theano.shared(np.ones(2), name="first"), theano.shared(np.array(3.0), name="second")
    translated = translate([x], [(first * x).sum() + second * second])
    assert translated.shared == (first, second)
    ones = tf.ones(2, tf.float64)
    assert translated(ones)[0].numpy() == 11
    first.set_value(np.ones(5))
    second.set_value(np.array(1.0))
    assert translated(tf.ones(5, tf.float64))[0].numpy() == 6
    given = [tf.Variable([1.0, 2.0], dtype=tf.float64), tf.constant(2.0, tf.float64)]
    with tf.GradientTape() as tape:
        value = translated(ones, shared=given)[0]
    assert value.numpy() == 7
    np.testing.assert_array_equal(tape.gradient(value, given[0]), [1.0, 1.0])
    with pytest.raises(TypeError, match="expected 2 shared values"):
        translated(ones, shared=[])


def test_what_depends_on_constants_alone_is_computed_once(table):
    calls = []

    @register(Unknown)
    def unknown(op, node, x):
        calls.append(x)
        return x + 1

    x = tt.dvector("x")
    translated = translate([x], [x * Unknown()(tt.constant(np.array([1.0, 2.0])))])
    for _ in range(3):
        np.testing.assert_array_equal(tf.function(translated, autograph=False)(tf.ones(2, tf.float64))[0], [2.0, 3.0])
    assert len(calls) == 1


def test_gradient_flows_to_every_input_in_eager_mode():
    x, y = tt.dvector("x"), tt.dscalar("y")
    cost, _ = theano.scan(lambda s, total, y: total + s * y, sequences=x, outputs_info=tt.zeros(()), non_sequences=y)
    point = [tf.constant([1.0, 2.0], tf.float64), tf.constant(3.0, tf.float64)]
    with tf.GradientTape() as tape:
        tape.watch(point)
        value = translate([x, y], [cost[-1]])(*point)[0]
    found = tape.gradient(value, point)
    np.testing.assert_array_equal(found[0], [3.0, 3.0])
    assert found[1].numpy() == 3.0


def test_test_values_are_neither_needed_nor_used():
    with theano.config.change_flags(compute_test_value="off"):
        x = tt.dvector("x")
        y = x.sum()
    with theano.config.change_flags(compute_test_value="raise"):
        assert translate([x], [y])(tf.ones(3, tf.float64))[0].numpy() == 3
