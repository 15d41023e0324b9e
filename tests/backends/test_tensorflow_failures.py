"""Solves that fail inside TensorFlow: NaN in value and derivative, counted, one warning, never an error."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.backends.failures import KEPT, failures

tf = pytest.importorskip("tensorflow", reason="needs TensorFlow")

x, p = sp.symbols("x p")


def square_root():
    return iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))


def both(problem):
    def value_and_gradient(v):
        with tf.GradientTape() as tape:
            tape.watch(v)
            y = problem(v)
        return y, tape.gradient(y, v)

    return value_and_gradient


def test_failed_elements_are_nan_and_the_others_right(way):
    function = way(both(square_root()))
    with pytest.warns(iop.SolveWarning):
        value, gradient = function(tf.constant([4.0, -0.5, 9.0, np.inf], tf.float64))
    np.testing.assert_array_equal(value, [2.0, np.nan, 3.0, np.nan])
    np.testing.assert_allclose(gradient, [1 / 4, np.nan, 1 / 6, np.nan], rtol=1e-15)


def test_gradient_that_is_constant_elsewhere_is_nan_too(way):
    function = way(both(iop.Root(x - p, x, [p], bracket=(0, 1))))
    with pytest.warns(iop.SolveWarning):
        _, gradient = function(tf.constant([0.5, 2.0], tf.float64))
    np.testing.assert_array_equal(gradient, [1.0, np.nan])


def test_failures_are_counted_with_one_warning_and_the_first_few_explained(way):
    problem = square_root()
    function = way(problem)
    with pytest.warns(iop.SolveWarning, match=r"failed at p=-0\.5: no sign change was found") as caught:
        function(tf.constant([-0.5, 4.0], tf.float64))
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        function(-tf.ones(10, tf.float64))
    assert failures()[problem].count == 11
    assert len(failures()[problem].first) == KEPT


def test_broadcast_arguments_are_reported_for_the_element_that_failed(way):
    a, b, c = sp.symbols("a b c")
    problem = iop.Root(x**2 - c - a * b, x, [(a, b), c], bracket=(0, 2 + a + b + c))
    function = way(problem)
    vector, scalar = tf.constant([1.0, 2.0], tf.float64), tf.constant([[2.0, -3.0, 7.0]], tf.float64)
    with pytest.warns(iop.SolveWarning, match=r"at argument0=\[1\.0, 2\.0\], c=-3"):
        np.testing.assert_array_equal(function(vector, scalar), [[2.0, np.nan, 3.0]])


def test_a_warning_that_the_user_made_an_error_is_raised():
    with warnings.catch_warnings():
        warnings.simplefilter("error", iop.SolveWarning)
        with pytest.raises(tf.errors.UnknownError, match=r"SolveWarning: Root.* failed at p=-0\.5"):
            square_root()(tf.constant(-0.5, tf.float64))


def test_on_failure_raise_does_not_reach_into_tensorflow(way):
    function = way(iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p), on_failure="raise"))
    with pytest.warns(iop.SolveWarning):
        assert np.isnan(function(tf.constant(-0.5, tf.float64)))


def test_exception_in_existing_code_is_nan_in_its_element(way):
    def logarithm(x):
        if x < 0:
            raise ValueError("x is negative")
        return np.log(x)

    function = way(both(iop.External(logarithm, inputs={"x": ()}, outputs=(), jacobian=lambda x: [1 / x])))
    with pytest.warns(iop.SolveWarning, match="the external function raised an exception"):
        value, gradient = function(tf.constant([1.0, -1.0, 2.0], tf.float64))
    np.testing.assert_array_equal(value, [0.0, np.nan, np.log(2.0)])
    np.testing.assert_array_equal(gradient, [1.0, np.nan, 0.5])


def test_interrupt_in_existing_code_ends_the_call():
    def interrupted(x):
        raise KeyboardInterrupt

    problem = iop.External(interrupted, inputs={"x": ()}, outputs=())
    with pytest.raises(tf.errors.CancelledError, match="KeyboardInterrupt"):
        problem(tf.constant(1.0, tf.float64))
