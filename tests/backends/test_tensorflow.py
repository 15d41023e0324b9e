"""What a call with tensors returns: types, shapes, broadcasting, conversions, and errors that name the argument."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import sympy as sp

import implicitops as iop

tf = pytest.importorskip("tensorflow", reason="needs TensorFlow")

x, p, q = sp.symbols("x p q")
a, b, c = sp.symbols("a b c")


def square_root(**options):
    return iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p), **options)


def quadratic():
    return iop.Root(p * x**2 + q * x - 1, x, [p, q], bracket=(0, 1 + 1 / q))


def line():
    """x = log((b + c) / a) as a function of the vector (a, b, c)."""
    return iop.Root(a * sp.exp(x) - b - c, x, [(a, b, c)], bracket=(-30, 30))


def test_tensor_gives_a_float64_tensor(way):
    y = way(square_root())(tf.constant([4.0, 9.0], tf.float64))
    assert y.dtype == tf.float64
    np.testing.assert_array_equal(y, [2.0, 3.0])


def test_variable_is_read():
    v = tf.Variable(4.0, dtype=tf.float64)
    with tf.GradientTape() as tape:
        y = square_root()(v)
    assert float(y) == 2.0
    assert float(tape.gradient(y, v)) == 0.25


@pytest.mark.parametrize("dtype", ["float16", "float32", "int32", "bool"])
def test_narrow_dtypes_are_computed_in_float64(dtype):
    v = tf.cast(tf.constant([1.0, 1.0]), dtype)
    y = square_root()(v)
    assert y.dtype == tf.float64
    np.testing.assert_array_equal(y, [1.0, 1.0])


def test_gradient_has_the_dtype_of_its_argument(way):
    def gradient(v):
        with tf.GradientTape() as tape:
            tape.watch(v)
            y = square_root()(v)
        return tape.gradient(y, v)

    assert way(gradient)(tf.constant([4.0, 9.0], tf.float32)).dtype == tf.float32


def test_numbers_and_arrays_mix_with_tensors_without_losing_digits(way):
    v = tf.constant(3.0, tf.float64)
    np.testing.assert_array_equal(way(lambda v: quadratic()(0.1, v))(v), quadratic()(0.1, 3.0))
    np.testing.assert_array_equal(way(lambda v: quadratic()(q=v, p=np.array([0.1, 2])))(v), quadratic()([0.1, 2], 3.0))


def test_vector_may_be_a_list_of_tensors():
    parts = [tf.constant(value, tf.float64) for value in (1.0, 2.0, 3.0)]
    with tf.GradientTape() as tape:
        tape.watch(parts)
        y = line().op("tensorflow")([parts[0], parts[1], parts[2]])
    np.testing.assert_allclose(y, np.log(5.0), rtol=1e-15)
    np.testing.assert_allclose(tape.gradient(y, parts), [-1.0, 0.2, 0.2], rtol=1e-14)


def test_op_by_name_takes_numbers_too():
    y = square_root().op("tensorflow")(4)
    assert tf.is_tensor(y)
    assert float(y) == 2.0


@pytest.mark.parametrize(
    "shapes", [((), (2, 1)), ((3,), (2, 1)), ((1, 3), (2, 1)), ((2, 3), (1,)), ((0,), (1,)), ((0, 1), (3,)), ((1,), ())]
)
def test_leading_axes_broadcast_as_in_numpy(way, shapes):
    rng = np.random.default_rng(0)
    one, two = (rng.uniform(0.5, 2, shape) for shape in shapes)
    weights = rng.normal(size=np.broadcast_shapes(*shapes))

    def both(one, two):
        with tf.GradientTape() as tape:
            tape.watch([one, two])
            y = quadratic()(one, two)
        return y, tape.gradient(y, [one, two], output_gradients=tf.constant(weights))

    value, gradients = way(both)(tf.constant(one), tf.constant(two))
    np.testing.assert_array_equal(value, quadratic()(one, two))
    jacobian = quadratic().solve(one, two, derivatives=1).jacobian
    for k, (found, like) in enumerate(zip(gradients, (one, two))):
        full = np.broadcast_to(weights * jacobian[..., k], weights.shape)
        lead = full.sum(axis=tuple(range(full.ndim - like.ndim)))
        axes = tuple(d for d in range(like.ndim) if like.shape[d] == 1)
        np.testing.assert_allclose(found, lead.sum(axis=axes, keepdims=True), rtol=1e-13, atol=1e-15)


def test_one_graph_serves_all_shapes():
    calls = []

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float64), tf.TensorSpec([None, None], tf.float64)])
    def both(one, two):
        calls.append(1)
        with tf.GradientTape() as tape:
            tape.watch([one, two])
            y = quadratic()(one, two)
        return y, tape.gradient(y, [one, two])

    for shape in ((), (3,), (2, 1), (2, 2, 3)):
        one, two = np.full(shape, 1.5), np.linspace(0.5, 1, 6).reshape(2, 3)
        value, gradients = both(one, two)
        np.testing.assert_array_equal(value, quadratic()(one, two))
        assert [g.shape for g in gradients] == [one.shape, two.shape]
    assert len(calls) == 1


def test_shape_is_known_while_a_graph_is_made():
    seen = []

    @tf.function(input_signature=[tf.TensorSpec([None, 1, 3], tf.float64)])
    def function(v):
        y = line()(v)
        seen.append((y.shape.as_list(), quadratic()(y, np.ones(5)).shape.as_list()))
        return y

    function(np.ones((2, 1, 3)))
    assert seen == [([None, 1], [None, 5])]


# -- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("argument", [tf.ones([2, 4], tf.float64), tf.constant(1.0, tf.float64)])
def test_vector_of_the_wrong_length_is_an_error_that_names_it(way, argument):
    with pytest.raises(iop.ArgumentError, match=r"argument0: the last axis must have length 3; got an array of shape"):
        way(line())(argument)


def test_batches_that_do_not_broadcast_are_an_error_that_names_them(way):
    with pytest.raises(iop.ArgumentError, match=r"must broadcast; got p of shape \(2,\), q of shape \(3,\)"):
        way(quadratic())(tf.ones(2, tf.float64), tf.ones(3, tf.float64))


def test_wrong_shape_that_only_a_call_shows_is_an_error_that_names_it():
    function = tf.function(line(), input_signature=[tf.TensorSpec(None, tf.float64)])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"argument0: the last axis must have length 3"):
        function(np.ones((2, 4)))


@pytest.mark.parametrize("argument", [tf.constant(1j), tf.constant("one")])
def test_what_is_no_real_number_is_an_error(argument):
    with pytest.raises(iop.ArgumentError, match=r"p must be real numbers; got a tensor of dtype (complex128|string)"):
        square_root()(argument)


def test_sparse_and_ragged_tensors_are_an_error():
    with pytest.raises(iop.ArgumentError, match="p must be a dense tensor"):
        square_root()(tf.sparse.from_dense([1.0]))
    with pytest.raises(iop.ArgumentError, match="p must be a dense tensor"):
        square_root()(tf.ragged.constant([[1.0], [2.0, 3.0]]))


def test_two_frameworks_at_once_are_an_error_that_names_them():
    tt = pytest.importorskip("theano.tensor", reason="needs Theano-PyMC")
    with pytest.raises(iop.ArgumentError, match="two frameworks, tensorflow and theano"):
        quadratic()(tt.dscalar(), tf.constant(1.0))


# -- what it does to others -----------------------------------------------------------------------------------------


def test_importing_implicitops_imports_no_framework():
    program = "import sys, implicitops; print([m for m in ('tensorflow', 'theano', 'pymc3') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_autograph_leaves_the_problem_alone(capfd):
    problem = square_root()
    problem(4.0)  # from now on the problem holds compiled code, which AutoGraph could only complain of

    @tf.function
    def function(v):
        if tf.reduce_sum(v) > 0:
            return problem(v)
        return v

    assert float(function(tf.constant(4.0, tf.float64))) == 2.0
    assert "AutoGraph" not in capfd.readouterr().err


def test_equal_problems_share_one_node():
    @tf.function
    def function(v):
        return square_root()(v) + pickle.loads(pickle.dumps(square_root()))(v) ** 2

    concrete = function.get_concrete_function(tf.TensorSpec([], tf.float64))
    names = {op.get_attr("operation") for op in concrete.graph.get_operations() if op.type == "ImplicitopsApply"}
    assert len(names) == 1
    assert float(concrete(tf.constant(4.0, tf.float64))) == 6.0


def test_large_batches_go_through_the_threads_of_the_numpy_face(way, monkeypatch):
    from implicitops.kernels import parallel

    seen = []
    executor = parallel._executor
    monkeypatch.setattr(parallel, "_executor", lambda: seen.append(1) or executor())
    function = way(square_root())
    iop.set_num_threads(2)
    try:
        function(tf.ones(2 * parallel.GRAIN - 1, tf.float64))
        assert seen == []
        value = function(tf.constant(np.linspace(0.5, 4.0, 2 * parallel.GRAIN)))
        assert seen == [1]
    finally:
        iop.set_num_threads(None)
    np.testing.assert_array_equal(value, square_root()(np.linspace(0.5, 4.0, 2 * parallel.GRAIN)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestSecondCall:
    """Outside graphs the second call with tensors takes a shorter way than the first."""

    @pytest.fixture
    def problem(self):
        problem = quadratic()
        problem(tf.constant(1.0, tf.float64), tf.constant(2.0, tf.float64))
        return problem

    def test_value_and_derivatives_are_those_of_a_first_call(self, problem):
        one, two = tf.constant([1.0, 3.0], tf.float64), tf.constant(2.0, tf.float64)

        def values(f):
            with tf.GradientTape() as outer:
                outer.watch(two)
                with tf.GradientTape() as tape:
                    tape.watch([one, two])
                    y = f(one, two)
                first = tape.gradient(y, [one, two])
            with tf.autodiff.ForwardAccumulator(one, tf.ones_like(one)) as forward:
                z = f(one, two)
            return [y, *first, outer.gradient(first[0], two), forward.jvp(z)]

        for again, before in zip(values(problem), values(quadratic())):
            np.testing.assert_array_equal(again, before)

    def test_it_is_as_short_as_it_can_be(self, problem, monkeypatch):
        from implicitops.backends import tensorflow

        monkeypatch.setattr(tensorflow, "apply", None)
        y = problem(tf.constant(1.0, tf.float64), tf.constant([2.0, 3.0], tf.float64))
        np.testing.assert_allclose(y, [np.sqrt(2) - 1, (np.sqrt(13) - 3) / 2], rtol=1e-15)

    def test_other_arguments_are_what_they_always_are(self, problem):
        exact = np.sqrt(2) - 1
        one, two = tf.constant(1.0, tf.float64), tf.constant(2.0, tf.float64)
        for arguments in ((1.0, two), (one, 2.0), (one, tf.constant(2)), (tf.Variable(one), two), (one, np.array(2.0))):
            y = problem(*arguments)
            assert tf.is_tensor(y)
            np.testing.assert_allclose(y, exact, rtol=1e-15)
        np.testing.assert_allclose(problem(q=two, p=one), exact, rtol=1e-15)
        for _ in range(2):
            assert type(problem(1.0, 2.0)) is np.float64
        graph = tf.function(lambda: problem(one, two))
        np.testing.assert_allclose(graph(), exact, rtol=1e-15)
        assert any(op.type == "ImplicitopsApply" for op in graph.get_concrete_function().graph.get_operations())

    def test_errors_and_failures_are_those_of_a_first_call(self, problem):
        one = tf.constant(1.0, tf.float64)
        with pytest.raises(iop.ArgumentError, match="q"):
            problem(one)
        with pytest.raises(iop.ArgumentError, match="batch shapes must broadcast"):
            problem(tf.ones(2, tf.float64), tf.ones(3, tf.float64))
        with pytest.warns(iop.SolveWarning, match="failed at p=nan"):
            assert np.isnan(problem(tf.constant(np.nan, tf.float64), one))


def test_keras_model_may_contain_a_problem():
    inputs = [tf.keras.Input(shape=()), tf.keras.Input(shape=())]
    model = tf.keras.Model(inputs, quadratic()(*inputs))
    one, two = np.array([1.0, 2.0]), np.array([0.5, 0.25])
    np.testing.assert_allclose(model([one, two]), quadratic()(one, two), rtol=1e-6)


@pytest.mark.parametrize("case", range(3))
def test_all_backends_agree(case, way):
    problem = (quadratic(), line(), iop.Root([x * a - p, x - q * a], [x, a], [p, q], guess=(1, 1)))[case]
    rng = np.random.default_rng(case)
    arguments = [rng.uniform(0.5, 2, (5, *shape)) for shape in problem.parameter_shapes]
    solution = problem.solve(*arguments, derivatives=1)
    weights = rng.normal(size=solution.value.shape)

    def both(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            y = problem(*tensors)
        return y, tape.gradient(y, tensors, output_gradients=tf.constant(weights))

    value, gradients = way(both)(*map(tf.constant, arguments))
    np.testing.assert_array_equal(value, solution.value)
    flat = np.concatenate([np.reshape(g, (5, -1)) for g in gradients], axis=1)
    jacobian = solution.jacobian.reshape(5, -1, flat.shape[1])
    np.testing.assert_allclose(flat, np.einsum("ni,nij->nj", weights.reshape(5, -1), jacobian), rtol=1e-12, atol=1e-14)
