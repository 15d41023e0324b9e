"""A derivative that rounding has spoilt has the same status on every route, and is NaN in a graph."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops import Status

pytestmark = pytest.mark.filterwarnings("ignore::implicitops.SolveWarning")

x, y, a, b = sp.symbols("x y a b")


def hilbert(n):
    """H u = a c + b with Hilbert's matrix H, whose condition number is 1e13 for n = 10."""
    u = sp.symbols(f"u0:{n}")
    rows = [sum(u[j] / sp.Integer(i + j + 1) for j in range(n)) - a * sp.Float(np.cos(3 * i)) - b for i in range(n)]
    return iop.Root(rows, u, [a, b], guess=[1.0] * n)


def quadratic(n, condition):
    rng = np.random.default_rng(n)
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    matrix = q @ np.diag(np.geomspace(1, 1 / condition, n)) @ q.T
    u = sp.symbols(f"u0:{n}")
    square = sum(sp.Float(matrix[i, j]) * u[i] * u[j] / 2 for i in range(n) for j in range(n))
    return iop.Minimum(
        square - sum(u[i] * (a * sp.Float(np.cos(3 * i)) + b) for i in range(n)), u, [a, b], guess=[0] * n
    )


CANCELLED = sp.expand((x - 1) ** 7) - a * b

#: Problem, and its parameters (a, b) with what status first derivatives have there. No two have the same equation, of
#: which TensorFlow counts failures together.
TABLE = {
    "polynomial in a bracket": (
        iop.Root(CANCELLED, x, [a, b], bracket=(0, 2)),
        {(3e-12, 1.0): Status.DERIVATIVE_INACCURATE, (0.5, 1.0): Status.CONVERGED},
    ),
    "polynomial from a guess": (
        iop.Root(sp.expand(2 * CANCELLED), x, [a, b], guess=1.3),
        {(0.5, 1.0): Status.CONVERGED, (3e-12, 1.0): Status.DERIVATIVE_INACCURATE},
    ),
    "compound interest": (
        iop.Root((1 + x) ** 30 - 1 - a * x - b, x, [a, b], guess=1e-5),
        {(30.0, 1e-12): Status.CONVERGED, (30.0, 1e-3): Status.CONVERGED},
    ),
    "polynomial of a parameter": (
        iop.Root(x + x**3 - sp.expand((a - 1) ** 7) - b, x, [a, b], guess=1.3),
        {(1.001, 1e-12): Status.DERIVATIVE_INACCURATE, (1.001, 1.0): Status.CONVERGED},
    ),
    "fixed point": (
        iop.FixedPoint(x - sp.expand((x - 1) ** 5) + a * b, x, [a, b], guess=1.3),
        {(1e-11, 1.0): Status.DERIVATIVE_INACCURATE, (0.5, 1.0): Status.CONVERGED},
    ),
    "fixed point of a system": (
        iop.FixedPoint([x - sp.expand((x - 1) ** 5) + a * b, x * y / 3], [x, y], [a, b], guess=[1.3, 1.0]),
        {(1e-11, 1.0): Status.DERIVATIVE_INACCURATE, (0.5, 1.0): Status.CONVERGED},
    ),
    "minimum": (
        iop.Minimum(sp.expand((x - 1) ** 6) - a * b * x, x, [a, b], guess=1.3),
        {(1e-11, 1.0): Status.DERIVATIVE_INACCURATE, (0.5, 1.0): Status.CONVERGED},
    ),
    "Hilbert 9": (hilbert(9), {(1.3, 0.7): Status.CONVERGED, (0.1, 2.0): Status.CONVERGED}),
    "Hilbert 10": (hilbert(10), {(1.3, 0.7): Status.DERIVATIVE_INACCURATE}),
    "quadratic, 1e10": (quadratic(4, 1e10), {(1.3, 0.7): Status.CONVERGED}),
    "quadratic, 1e13": (quadratic(4, 1e13), {(1.3, 0.7): Status.DERIVATIVE_INACCURATE}),
}


def points(name):
    return [np.array(column) for column in zip(*TABLE[name][1])]


def assert_as_solved(name, value, gradients, order):
    """Gradients are NaN where ``solve`` calls a derivative inaccurate, and counted as that; values never are."""
    problem, expected = TABLE[name]
    solution = problem.solve(*points(name), derivatives=order, throw=False)
    if order == 1:
        assert solution.status.tolist() == list(expected.values())
    inaccurate = np.array([status is Status.DERIVATIVE_INACCURATE for status in solution.status])
    assert np.isfinite(value).all()
    assert np.isnan(gradients).any(axis=0).tolist() == inaccurate.tolist()
    found = iop.failures().get(problem)
    assert (found is not None) == inaccurate.any()
    if found is not None:
        assert {failure.status for failure in found.first} == {Status.DERIVATIVE_INACCURATE}


@pytest.mark.parametrize("name", TABLE)
class TestFirstDerivatives:
    def test_theano(self, name, linker):
        import theano
        import theano.tensor as tt

        parameters = [tt.dvector("a"), tt.dvector("b")]
        value = TABLE[name][0](*parameters)
        function = theano.function(parameters, [value, *tt.grad(value.sum(), parameters)])
        found, *gradients = function(*points(name))
        assert_as_solved(name, found, gradients, 1)

    def test_theano_forward(self, name, linker):
        import theano
        import theano.tensor as tt

        parameters = [tt.dvector("a"), tt.dvector("b")]
        value = TABLE[name][0](*parameters)
        forward = tt.Rop(value, parameters, [tt.ones_like(p) for p in parameters])
        found, tangent = theano.function(parameters, [value, forward])(*points(name))
        assert_as_solved(name, found, tangent.reshape(len(tangent), -1).T, 1)

    def test_tensorflow(self, name, way):
        import tensorflow as tf

        def everything(*parameters):
            with tf.GradientTape() as tape:
                tape.watch(parameters)
                value = TABLE[name][0](*parameters)
            return value, *tape.gradient(value, parameters)

        value, *gradients = way(everything)(*map(tf.constant, points(name)))
        assert_as_solved(name, value.numpy(), [gradient.numpy() for gradient in gradients], 1)


#: Problems of which a second derivative is not 0.
CURVED = [name for name in TABLE if not name.startswith(("Hilbert", "quadratic"))]


@pytest.mark.parametrize("name", CURVED)
class TestSecondDerivatives:
    def test_theano(self, name, linker):
        import theano
        import theano.tensor as tt

        parameters = [tt.dvector("a"), tt.dvector("b")]
        value = TABLE[name][0](*parameters)
        gradient = sum(tt.grad(value.sum(), parameters))
        found, *second = theano.function(parameters, [value, *tt.grad(gradient.sum(), parameters)])(*points(name))
        assert_as_solved(name, found, second, 2)

    def test_tensorflow(self, name):
        tf = pytest.importorskip("tensorflow", reason="needs TensorFlow")
        parameters = [*map(tf.constant, points(name))]
        with tf.GradientTape() as outer:
            outer.watch(parameters)
            with tf.GradientTape() as inner:
                inner.watch(parameters)
                value = TABLE[name][0](*parameters)
            gradient = sum(inner.gradient(value, parameters))
        second = outer.gradient(gradient, parameters)
        assert_as_solved(name, value.numpy(), [part.numpy() for part in second], 2)


def test_derivatives_by_other_parameters_are_kept_of_a_scalar(linker):
    import theano
    import theano.tensor as tt

    problem = TABLE["polynomial of a parameter"][0]
    parameters = [tt.dvector("a"), tt.dvector("b")]
    value = problem(*parameters)
    by_a, by_b = theano.function(parameters, tt.grad(value.sum(), parameters))([1.001], [1e-12])
    assert np.isnan(by_a).all()
    np.testing.assert_allclose(by_b, 1.0, rtol=1e-12)
    only_b = theano.function(parameters, tt.grad(value.sum(), parameters[1]))([1.001], [1e-12])
    np.testing.assert_allclose(only_b, 1.0, rtol=1e-12)
    assert iop.failures()[problem].count == 1


def test_second_derivative_alone_is_inaccurate_where_the_first_is_not(linker):
    import theano
    import theano.tensor as tt

    problem = TABLE["compound interest"][0]
    b_of = tt.dvector("b")
    value = problem(30.0, b_of)
    first = tt.grad(value.sum(), b_of)
    found, second = theano.function([b_of], [first, tt.grad(first.sum(), b_of)])([1e-12, 1e-3])
    assert np.isfinite(found).all()
    assert np.isnan(second).tolist() == [True, False]
    (failure,) = iop.failures()[problem].first
    assert failure.status is Status.DERIVATIVE_INACCURATE
    assert failure.parameters == {"a": 30.0, "b": 1e-12}
