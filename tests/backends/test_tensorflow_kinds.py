"""Every kind of problem gives the same numbers in NumPy, TensorFlow (op by op, as a graph, compiled) and Theano."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

import implicitops as iop

x, y, p, q, t, k = sp.symbols("x y p q t k")


def cosine_jacobian(x, v):
    return [-v.sum() * np.sin(x), np.cos(x), np.cos(x)]


KINDS = {
    "scalar root": iop.Root(x**3 + q * x - p, x, [p, q], bracket=(0, 1 + p)),
    "system root": iop.Root([x * y - p, x**2 - q * y], [x, y], [p, q], guess=(1, 1)),
    "fixed point": iop.FixedPoint(sp.cos(p * x) / (1 + q), x, [p, q], guess=sp.Rational(1, 2)),
    "fixed points": iop.FixedPoint([sp.cos(p * y) / 2, sp.sin(q * x)], [x, y], [p, q], guess=(1, 1)),
    "minimum": iop.Minimum(x**4 + p * x**2 - q * x, x, [p, q], guess=1),
    "minimum of two": iop.Minimum((x - p) ** 2 + sp.cosh(x - q * y) + y**2, [x, y], [p, q], guess=(0, 0)),
    "initial value problem": iop.ODE({x: -p * x + y, y: -q * y * x}, [p, q], initial={x: 1, y: p}, t=t),
    "stiff problem": iop.ODE({x: -50 * p * (x - q)}, [p, q], initial={x: 0}, t=t, method="rodas5p"),
    "integral": iop.Integral(sp.exp(-p * x**2) * x**q, (x, 0, 1 + q), [p, q]),
    "existing code": iop.External(
        lambda x, v: v.sum() * np.cos(x), inputs={"x": (), "v": (2,)}, outputs=(), jacobian=cosine_jacobian
    ),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def case(request):
    """A problem, its arguments, and what NumPy makes of them: value, cotangent, cotangents of the arguments."""
    problem, rng = request.param, np.random.default_rng(7)
    arguments = [rng.uniform(0.5, 1.5, (3, *shape)) for shape in problem.parameter_shapes]
    named = {"times": np.array([0.5, 1.25])} if isinstance(problem, iop.ODE) else {}
    solution = problem.solve(*arguments, **named, derivatives=1)
    weights = rng.normal(size=solution.value.shape)
    n = sum(int(np.prod(shape)) for shape in problem.parameter_shapes)
    # One row for each number of the answer: (batch, numbers, parameters).
    jacobian = solution.jacobian.reshape(3, -1, n)
    pulled = np.einsum("ij,ijk->ik", weights.reshape(3, -1), jacobian)
    edges = np.cumsum([int(np.prod(shape)) for shape in problem.parameter_shapes])[:-1]
    cotangents = [c.reshape(a.shape) for c, a in zip(np.split(pulled, edges, axis=1), arguments)]
    if named:
        cotangents.append(np.einsum("btn,btn->t", weights, solution.time_derivative))
    return problem, [*arguments, *named.values()], solution.value, weights, cotangents


def called(function, problem, arguments):
    """Call with the output times, which are the last argument, by name."""
    if isinstance(problem, iop.ODE):
        return function(*arguments[:-1], times=arguments[-1])
    return function(*arguments)


def test_value_and_gradient_are_those_of_numpy(way, case):
    tf = pytest.importorskip("tensorflow", reason="needs TensorFlow")
    problem, arguments, expected, weights, cotangents = case

    def both(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = called(problem, problem, tensors)
        return value, tape.gradient(value, tensors, output_gradients=tf.constant(weights))

    value, gradients = way(both)(*map(tf.constant, arguments))
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    for found, cotangent in zip(gradients, cotangents):
        np.testing.assert_allclose(found, cotangent, rtol=1e-12, atol=1e-13)


def test_value_alone_is_that_of_numpy(way, case):
    tf = pytest.importorskip("tensorflow", reason="needs TensorFlow")
    problem, arguments = case[:2]
    found = way(lambda *tensors: called(problem, problem, tensors))(*map(tf.constant, arguments))
    np.testing.assert_allclose(found, called(problem, problem, arguments), rtol=1e-12)


def test_theano_has_the_same_numbers(case):
    pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")
    import theano
    import theano.tensor as tt

    problem, arguments, expected, weights, cotangents = case
    variables = [tt.TensorType("float64", (False,) * a.ndim)() for a in arguments]
    value = called(problem.op("theano"), problem, variables)
    gradients = tt.Lop(value, variables, tt.constant(weights))
    # Optimised, or the value of an ODE would be integrated on its own, without derivatives in the error norm.
    function = theano.function(variables, [value, *gradients], mode=theano.Mode("py", "fast_run"))
    found, *pulled = function(*arguments)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    for one, cotangent in zip(pulled, cotangents):
        np.testing.assert_allclose(one, cotangent, rtol=1e-12, atol=1e-13)


#: Where verify_grad tries each kind.
AT = {
    "scalar root": {"p": [1.0, 2.0], "q": [0.5, 1.5]},
    "system root": {"p": [1.0, 2.0], "q": [0.5, 1.5]},
    "fixed point": {"p": [0.5, 1.0], "q": [0.5, 1.5]},
    "minimum": {"p": [1.0, 2.0], "q": [0.5, 1.5]},
    "initial value problem": {"p": [0.5], "q": [1.5], "times": [[0.5, 1.25]]},
    "integral": {"p": [1.0, 2.0], "q": [0.5, 1.5]},
    "existing code": {"x": [0.5, 1.0], "v": [[1.0, 2.0], [0.5, -1.0]]},
}


@pytest.mark.filterwarnings("ignore::implicitops.errors.SolveWarning")  # the harness tries NaN elements
@pytest.mark.parametrize("name", AT)
def test_implicitops_verifies_the_gradient(name):
    pytest.importorskip("tensorflow", reason="needs TensorFlow")
    # Statements are their own truth, which existing code is not.
    truth = (lambda x, v: (v[0] + v[1]) * mpmath.cos(x)) if name == "existing code" else None
    report = iop.verify_grad(KINDS[name], AT[name], order=1, backends=("tensorflow",), reference=truth)
    assert report.passed, str(report)
