"""A number is returned only if it is a solution: value, gradient and status of failures, by every route.

One table of problems and of parameters at which they fail, and for each route the same three assertions.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops import External, SolveError, Status

x, y, p = sp.symbols("x y p")
GOOD = 2.0


def unreliable(u):
    """u**2, with a failure of each kind at some numbers."""
    if u == 1:
        raise ValueError("no")
    if u == 3:
        return math.nan
    if u == 4:
        return [u, u]
    if u == 5:
        return None
    if u == 6:
        return np.ma.masked
    return u**2


def derivative_fails(u):
    return {1: [math.nan], 3: [u, u], 4: np.ma.array([u], mask=True)}.get(int(u), [2 * u])


def external(function=unreliable, **options):
    return External(function, inputs={"p": ()}, outputs=(), **options)


SQUARED = {
    "jacobian": external(jacobian=lambda u: [2 * u]),
    "vjp": external(vjp=lambda inputs, output, cotangent: 2 * inputs[0] * cotangent),
    "central": external(differences="central"),
    "richardson": external(differences="richardson"),
    "on threads": external(jacobian=lambda u: [2 * u], timeout=10.0),
}
OF_CODE = {
    1.0: Status.EXTERNAL_ERROR,
    3.0: Status.EXTERNAL_NAN,
    4.0: Status.EXTERNAL_SHAPE,
    5.0: Status.EXTERNAL_SHAPE,
    6.0: Status.EXTERNAL_NAN,
    math.nan: Status.INVALID_INPUT,
    math.inf: Status.INVALID_INPUT,
}
BAD = {math.nan: Status.INVALID_INPUT, math.inf: Status.INVALID_INPUT, -math.inf: Status.INVALID_INPUT}

#: Problem, and the status at each parameter where it fails; at 2 none of them does.
PROBLEMS = {
    **{f"External, {name}": (problem, OF_CODE) for name, problem in SQUARED.items()},
    "Root": (iop.Root(x**2 - p, x, [p], bracket=(0, 10)), {-1.0: Status.NO_SIGN_CHANGE, **BAD}),
    "system": (iop.Root([x * y - p, x - y], [x, y], [p], guess=[1, 1]), {-1.0: Status.STALLED, **BAD}),
    "FixedPoint": (iop.FixedPoint(sp.cos(x) / p, x, [p], guess=1), BAD),
    "Minimum": (iop.Minimum(sp.exp(x) - p * x, x, [p], guess=0), {-1.0: Status.UNBOUNDED, **BAD}),
    "Integral": (iop.Integral(sp.exp(-p * x), (x, 0, sp.oo), [p]), {-1.0: Status.DIVERGENT, **BAD}),
    "ODE": (
        iop.ODE({x: (p - 3) * x + 4 * x**2 * (1 + sp.sign(p - 3))}, [p], initial={x: 1}, times=[1.0]),
        {5.0: Status.BLOW_UP, **BAD},
    ),
}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", iop.SolveWarning)
        yield


def batch(failing):
    """Failing parameters with good ones around each, and which are good."""
    points = np.array([GOOD, *(v for bad in failing for v in (bad, GOOD))])
    return points, points == GOOD


def check(failing, value, gradient, code):
    _, good = batch(failing)
    expected = [Status.CONVERGED, *(s for status in failing.values() for s in (status, Status.CONVERGED))]
    assert [Status.from_code(int(c)) for c in np.asarray(code)] == expected
    for array in (value, gradient):
        flat = np.asarray(array).reshape(len(good), -1)
        assert np.isnan(flat[~good]).all()
        assert np.isfinite(flat[good]).all()


@pytest.mark.parametrize(("problem", "failing"), PROBLEMS.values(), ids=PROBLEMS)
class TestEveryRoute:
    def test_numpy(self, problem, failing):
        points, _ = batch(failing)
        solution = problem.solve(points, derivatives=1, throw=False)
        check(failing, solution.value, solution.jacobian, solution.status_code)
        value, code = problem.op("numpy", status=True)(points)
        check(failing, value, value, code)
        with pytest.raises(SolveError):
            problem(points)
        for bad, status in failing.items():
            with pytest.raises(SolveError, match=repr(status)):
                problem(bad)

    def test_theano(self, problem, failing, linker):
        import theano
        import theano.tensor as tt

        v = tt.dvector("v")
        value, code = problem.op("theano", status=True)(v)
        gradient = tt.grad(problem(v).sum(), v)
        check(failing, *theano.function([v], [value, gradient, code])(batch(failing)[0]))

    def test_tensorflow(self, problem, failing, way):
        import tensorflow as tf

        def everything(v):
            with tf.GradientTape() as tape:
                tape.watch(v)
                value, code = problem.op("tensorflow", status=True)(v)
            return value, tape.gradient(value, v), code

        found = way(everything)(tf.constant(batch(failing)[0], tf.float64))
        check(failing, *(tensor.numpy() for tensor in found))


BROKEN_DERIVATIVES = {1.0: Status.EXTERNAL_NAN, 3.0: Status.EXTERNAL_SHAPE, 4.0: Status.EXTERNAL_NAN}


class TestDerivativesOfCode:
    def test_numpy_says_what_failed(self):
        problem = external(lambda u: u**2, jacobian=derivative_fails)
        points, _ = batch(BROKEN_DERIVATIVES)
        solution = problem.solve(points, derivatives=1, throw=False)
        check(BROKEN_DERIVATIVES, solution.value, solution.jacobian, solution.status_code)
        np.testing.assert_array_equal(problem(points), points**2)

    @pytest.mark.parametrize("options", [{"jacobian": derivative_fails}, {"differences": "richardson"}])
    def test_gradient_in_a_graph_is_nan_and_the_value_right(self, options, linker):
        import theano
        import theano.tensor as tt

        kinked = "differences" in options
        problem = external((lambda u: abs(u - 1)) if kinked else (lambda u: u**2), **options)
        v = tt.dvector("v")
        value, gradient = theano.function([v], [problem(v), tt.grad(problem(v).sum(), v)])([1.0, GOOD])
        np.testing.assert_array_equal(value, [0.0, 1.0] if kinked else [1.0, 4.0])
        assert np.isnan(gradient[0])
        np.testing.assert_allclose(gradient[1], 1.0 if kinked else 4.0, rtol=1e-9)

    def test_gradient_under_tensorflow_is_nan_and_the_value_right(self, way):
        import tensorflow as tf

        problem = external(lambda u: abs(u - 1), differences="richardson")

        def both(v):
            with tf.GradientTape() as tape:
                tape.watch(v)
                value = problem(v)
            return value, tape.gradient(value, v)

        value, gradient = way(both)(tf.constant([1.0, GOOD], tf.float64))
        np.testing.assert_array_equal(value, [0.0, 1.0])
        assert np.isnan(gradient[0])
        np.testing.assert_allclose(gradient[1], 1.0, rtol=1e-9)
