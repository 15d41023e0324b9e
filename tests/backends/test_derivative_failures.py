"""In graphs a value whose derivative is no number stays a number; the gradient is NaN, counted and warned about."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sympy as sp

import implicitops as iop

x, y, p = sp.symbols("x y p")
ROOT_OF = sp.sqrt(p)
PROBLEMS = {
    "root": iop.Root(x - 1 - ROOT_OF, x, [p], bracket=(0, 10)),
    "system": iop.Root([x - ROOT_OF, y - p - 2 * x], [x, y], [p], guess=[0.5, 0.5]),
    "minimum": iop.Minimum((x - ROOT_OF) ** 2 + (y - x) ** 2, [x, y], [p], guess=[0.5, 0.5]),
}
POINTS = np.array([4.0, 0.0, 1.0])


def theano_gradient(linker):
    theano = pytest.importorskip("theano")
    import theano.tensor as tt

    def run(problem):
        point = tt.dvector()
        value = problem(point)
        mode = theano.Mode(linker=linker, optimizer="fast_run")
        return theano.function([point], [value, theano.grad(value.sum(), point)], mode=mode)(POINTS)

    return run


def tensorflow_gradient(**options):
    tf = pytest.importorskip("tensorflow")

    def gradient(problem):
        def run(point):
            with tf.GradientTape() as tape:
                tape.watch(point)
                value = problem(point)
                total = tf.reduce_sum(value)
            return value, tape.gradient(total, point)

        function = tf.function(run, **options) if options else run
        return [output.numpy() for output in function(tf.constant(POINTS))]

    return gradient


ROUTES = {
    "Theano, C": lambda: theano_gradient("cvm"),
    "Theano, Python": lambda: theano_gradient("py"),
    "TensorFlow, eager": lambda: tensorflow_gradient(),
    "TensorFlow, graph": lambda: tensorflow_gradient(jit_compile=False),
    "TensorFlow, XLA": lambda: tensorflow_gradient(jit_compile=True),
}


@pytest.fixture(params=ROUTES)
def route(request):
    iop.reset_failures()
    yield ROUTES[request.param]()
    iop.reset_failures()


@pytest.mark.parametrize("name", PROBLEMS)
def test_value_stays_and_the_gradient_is_nan_counted_and_warned_about(route, name):
    problem = PROBLEMS[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value, gradient = route(problem)
    np.testing.assert_array_equal(value, problem(POINTS))
    assert np.isnan(gradient).tolist() == [False, True, False]
    found = iop.failures()[problem]
    assert found.count == 1
    assert found.first[0].status is iop.Status.DERIVATIVE_UNDEFINED
    assert found.first[0].parameters == {"p": 0.0}
    texts = [str(w.message) for w in caught if issubclass(w.category, iop.SolveWarning)]
    assert len(texts) == 1
    assert "the derivative is NaN there" in texts[0]


def test_gradient_of_a_solve_that_failed_is_counted_once(route):
    problem = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", iop.SolveWarning)
        value, gradient = route(problem.replaced(bracket=(sp.Integer(1), sp.Integer(3))))
    assert np.isnan(value).tolist() == [False, True, False]
    assert np.isnan(gradient).tolist() == [False, True, False]
    (found,) = iop.failures().values()
    assert found.count == 1
    assert found.first[0].status is iop.Status.NO_SIGN_CHANGE
