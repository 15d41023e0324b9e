"""What TensorFlow users may get wrong: an error that says what to do, or the right answer all the same."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import sympy as sp

import implicitops as iop

tf = pytest.importorskip("tensorflow", reason="needs TensorFlow")

x, p, q, k = sp.symbols("x p q k")
ROOT = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))
VECTOR = iop.Root(x - p - q, x, [(p, q)], bracket=(-9, 9))
DECAY = iop.ODE({x: -k * x}, [k], initial={x: 1})


def traced(function, *shape, jit=None):
    spec = [tf.TensorSpec(*shape, tf.float64)]
    return tf.function(function, jit_compile=jit, input_signature=spec, autograph=False)


@pytest.mark.parametrize("bad", [tf.constant(1j), tf.constant("one"), tf.constant([1j, 2.0])])
def test_what_is_no_real_number_is_an_error_everywhere(way, bad):
    with pytest.raises(iop.ArgumentError, match=r"p must be real numbers; got a tensor of dtype (complex128|string)"):
        way(ROOT)(bad)


@pytest.mark.parametrize("bad", [None, object(), "one", 1j])
def test_what_is_no_tensor_is_an_error(way, bad):
    with pytest.raises(iop.ArgumentError, match="p must be real numbers"):
        way(lambda v: ROOT.op("tensorflow")(bad) + v)(tf.constant(1.0, tf.float64))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([[1.0, 2.0], [3.0]], "got a list of 2 items of lengths 2, 1"),
        ([1.0, None], "got None of type NoneType at index 1"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "Subtract a time and divide by a unit"),
    ],
)
def test_text_says_what_it_is(way, bad, words):
    with pytest.raises(iop.ArgumentError, match=f"p must be real numbers; .*{words}"):
        way(lambda v: ROOT.op("tensorflow")(bad) + v)(tf.constant(1.0, tf.float64))


@pytest.mark.parametrize("argument", [np.ma.array([4.0, -99.0], mask=[False, True]), [4.0, np.ma.masked]])
def test_masked_numbers_are_nan(way, argument):
    solved = ROOT.op("tensorflow", status=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", iop.SolveWarning)
        value, code = way(lambda v: solved(argument))(tf.constant(1.0, tf.float64))
    np.testing.assert_array_equal(value, [2.0, np.nan])
    assert [iop.Status.from_code(c) for c in np.asarray(code)] == [iop.Status.CONVERGED, iop.Status.INVALID_INPUT]


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_vector_of_the_wrong_rank_or_length_is_an_error(way, shape):
    with pytest.raises(iop.ArgumentError, match=r"argument0: the last axis must have length 2; got an array of shape"):
        way(VECTOR)(tf.ones(shape, tf.float64))


def test_list_of_tensors_is_a_vector_and_keeps_its_gradient(way):
    def both(one, two):
        with tf.GradientTape() as tape:
            tape.watch([one, two])
            value = VECTOR([one, two])
        return value, tape.gradient(value, [one, two])

    value, gradient = way(both)(tf.constant(1.0, tf.float64), tf.constant(2.0, tf.float64))
    assert tf.is_tensor(value)
    np.testing.assert_allclose(value, 3.0, rtol=1e-15)
    np.testing.assert_allclose(gradient, [1.0, 1.0], rtol=1e-15)
    mixed = way(lambda one: VECTOR([one, 2.0]))(tf.constant(1.0, tf.float64))
    assert tf.is_tensor(mixed)
    np.testing.assert_allclose(mixed, 3.0, rtol=1e-15)


def test_list_of_tensors_that_do_not_fit_is_an_error():
    one = tf.constant(1.0, tf.float64)
    with pytest.raises(iop.ArgumentError, match="tensors of a list must have the same shape"):
        VECTOR([one, tf.constant([1.0, 2.0], tf.float64)])
    with pytest.raises(iop.ArgumentError, match="must be real numbers; got a tensor of dtype complex128"):
        VECTOR([one, tf.constant(1j)])
    with pytest.raises(iop.ArgumentError, match="last axis must have length 2"):
        VECTOR([one, one, one])


# -- shapes that are not known while tracing --------------------------------------------------------------------------


def test_unknown_rank_is_solved_in_a_graph():
    function = traced(lambda v: (ROOT(v), tf.gradients(ROOT(v), v)[0]), None)
    for shape in ((), (2,), (2, 1)):
        value, gradient = function(np.full(shape, 4.0))
        np.testing.assert_array_equal(value, np.full(shape, 2.0))
        np.testing.assert_array_equal(gradient, np.full(shape, 0.25))


@pytest.mark.parametrize("function", [ROOT, iop.Root([x**2 - p], [x], [p], guess=[1])])
def test_unknown_rank_is_an_error_under_xla_that_says_what_to_do(function):
    with pytest.raises(iop.ArgumentError, match=r"rank of p is known .* Call tf\.ensure_shape on the argument"):
        traced(function, None, jit=True)(np.ones(2))


def test_unknown_number_of_times_is_an_error_under_xla_that_says_what_to_do():
    with pytest.raises(iop.ArgumentError, match=r"the length of times is not known .* Call tf\.ensure_shape"):
        traced(lambda v: DECAY(0.5, times=v), [None], jit=True)(np.ones(2))
    rates = traced(lambda v: DECAY(v, times=[1.0]), [None], jit=True)(np.ones(2))
    np.testing.assert_array_equal(rates, DECAY(np.ones(2), times=[1.0]))


def test_ensured_shape_is_what_xla_needs():
    function = traced(lambda v: DECAY(tf.ensure_shape(v, [2]), times=[1.0]), [None], jit=True)
    np.testing.assert_allclose(np.ravel(function(np.array([0.5, 1.0]))), np.exp([-0.5, -1.0]), rtol=1e-7)


# -- several of the same ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jit", [None, True])
def test_problems_of_the_same_content_are_one_node_once_a_graph_is_optimised(decays, jit):
    @tf.function(jit_compile=jit, autograph=False)
    def function(rate):
        same = pickle.loads(pickle.dumps(decays.problem()))
        first, second = (problem(rate, [2.0, -1.0], 0.1, times=[0.5]) for problem in (decays.problem(), same))
        return first + second

    value = function(tf.constant(0.3, tf.float64))
    np.testing.assert_allclose(value, 2 * decays.rows(0, 0.3, [2.0, -1.0], 0.1, [0.5])[0], rtol=1e-14)
    assert len(decays.calls) == 1


# -- a process without a C compiler -----------------------------------------------------------------------------------

WITHOUT_COMPILER = """
import shutil
assert shutil.which("gcc") is None and shutil.which("cc") is None and shutil.which("c++") is None
import implicitops as iop
import sympy as sp
import tensorflow as tf
import warnings

warnings.simplefilter("error", UserWarning)
x, p = sp.symbols("x p")
root = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))

def both(v):
    with tf.GradientTape() as tape:
        tape.watch(v)
        y = root(v)
    return y, tape.gradient(y, v)

v = tf.constant(4.0, tf.float64)
for run in (both, tf.function(both), tf.function(both, jit_compile=True)):
    print([float(t) for t in run(v)])
"""


def test_no_c_compiler_is_needed(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in ("CC", "CXX", "PATH")}
    # Nothing compiled before is found either.
    environment |= {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "IMPLICITOPS_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_COMPILER], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[2.0, 0.25]"] * 3
