"""Solves that fail inside a graph: NaN in value and derivative, counted, one warning, never an error."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.backends.failures import KEPT, failures, record, reset_failures

x, p, q = sp.symbols("x p q")


def square_root():
    return iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))


def compiled(problem, gradient=True):
    """Theano function of a vector: value, and gradient of the sum."""
    pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")
    import theano
    import theano.tensor as tt

    v = tt.dvector()
    y = problem(v)
    return theano.function([v], [y, theano.grad(y.sum(), v)] if gradient else y)


@pytest.mark.usefixtures("linker")
def test_failed_elements_are_nan_and_the_others_right():
    function = compiled(square_root())
    with pytest.warns(iop.SolveWarning):
        value, gradient = function([4.0, -0.5, 9.0, np.inf])
    np.testing.assert_array_equal(value, [2.0, np.nan, 3.0, np.nan])
    np.testing.assert_allclose(gradient, [1 / 4, np.nan, 1 / 6, np.nan], rtol=1e-15)


@pytest.mark.usefixtures("linker")
def test_gradient_that_is_constant_elsewhere_is_nan_too():
    function = compiled(iop.Root(x - p, x, [p], bracket=(0, 1)))
    with pytest.warns(iop.SolveWarning):
        _, gradient = function([0.5, 2.0])
    np.testing.assert_array_equal(gradient, [1.0, np.nan])


@pytest.mark.usefixtures("linker")
def test_only_the_first_failure_of_a_problem_warns():
    function = compiled(square_root(), gradient=False)
    with pytest.warns(iop.SolveWarning) as caught:
        function([-0.5, 4.0])
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "failed at p=-0.5: no sign change was found" in message
    assert "Status.NO_SIGN_CHANGE" in message
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(function([-0.5])).all()


@pytest.mark.usefixtures("linker")
def test_failures_are_counted_and_the_first_few_explained():
    problem = square_root()
    function = compiled(problem, gradient=False)
    with pytest.warns(iop.SolveWarning):
        function([np.nan, 4.0])
    function(-np.ones(10))
    function([-0.25])
    found = failures()[problem]
    assert found.count == 12
    assert len(found.first) == KEPT
    assert np.isnan(found.first[0].parameters["p"])
    assert found.first[0].status is iop.Status.INVALID_INPUT
    assert found.first[1].parameters == {"p": -1.0}
    assert found.first[1].status is problem.solve(-1.0, throw=False).status


@pytest.mark.usefixtures("linker")
def test_success_counts_nothing():
    compiled(square_root())([1.0, 2.0])
    assert failures() == {}


def test_a_problem_warns_again_after_a_reset():
    function = compiled(square_root(), gradient=False)
    for _ in range(2):
        with pytest.warns(iop.SolveWarning):
            function([-0.5])
        reset_failures()
    assert failures() == {}


@pytest.mark.usefixtures("linker")
def test_a_warning_that_the_user_made_an_error_is_raised():
    function = compiled(square_root(), gradient=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", iop.SolveWarning)
        with pytest.raises(iop.SolveWarning, match=r"p=-0\.5"):
            function([-0.5])


@pytest.mark.usefixtures("linker")
def test_on_failure_raise_does_not_reach_into_a_graph():
    problem = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p), on_failure="raise")
    function = compiled(problem, gradient=False)
    with pytest.warns(iop.SolveWarning):
        assert np.isnan(function([-0.5])).all()


def test_broadcast_arguments_are_reported_for_the_element_that_failed():
    pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")
    import theano
    import theano.tensor as tt

    a, b, c = sp.symbols("a b c")
    problem = iop.Root(x**2 - c - a * b, x, [(a, b), c], bracket=(0, 2 + a + b + c))
    vector, scalar = tt.dvector(), tt.dmatrix()
    function = theano.function([vector, scalar], problem(vector, scalar))
    with pytest.warns(iop.SolveWarning, match=r"at argument0=\[1\.0, 2\.0\], c=-3"):
        value = function([1.0, 2.0], [[2.0, -3.0, 7.0]])
    np.testing.assert_array_equal(value, [[2.0, np.nan, 3.0]])


@pytest.mark.filterwarnings("ignore::implicitops.errors.SolveWarning")
def test_counting_is_safe_on_many_threads():
    problem = square_root()
    threads = [
        threading.Thread(
            target=lambda: [record(problem, 1, lambda: [((-0.5,), iop.Status.NO_SIGN_CHANGE)]) for _ in range(200)]
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures()[problem].count == 1600
    assert len(failures()[problem].first) == KEPT
