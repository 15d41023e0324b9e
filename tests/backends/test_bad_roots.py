"""What is no root, or none with a derivative, has the same status on every route of every backend."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops import Status

pytestmark = pytest.mark.filterwarnings("ignore::implicitops.SolveWarning")

x, y, p = sp.symbols("x y p")
jump = sp.Piecewise((-1, x < p), (1, True))

#: Problem, parameter, and what it is.
BAD = [
    (iop.Root(1 / (x - p), x, [p], bracket=(0, 1)), 0.3, Status.DISCONTINUITY),
    (iop.Root(jump, x, [p], bracket=(0, 1)), 0.3, Status.DISCONTINUITY),
    (iop.Root(sp.tan(x) - p, x, [p], bracket=(1, 3)), 0.3, Status.DISCONTINUITY),
    (iop.Root((x - p) ** 3, x, [p], bracket=(0, 1)), 0.3, Status.SINGULAR),
    (iop.Root((x - p) ** 2, x, [p], guess=1), 0.3, Status.SINGULAR),
    (iop.Root(x**2 - p, x, [p], bracket=(-1, 1)), 1e-300, Status.NO_SIGN_CHANGE),
    (iop.Root(x**2 - p, x, [p], bracket=(0, 2)), -1.0, Status.NO_SIGN_CHANGE),
    (iop.Root(x**2 - p, x, [p], bracket=(0, sp.oo)), -1.0, Status.NO_SIGN_CHANGE),
    (iop.Root(x**2 - p, x, [p], guess=3), -1.0, Status.STALLED),
    (iop.Root(sp.log(x) - p, x, [p], guess=-1), 0.3, Status.UNDEFINED),
    (iop.Root(sp.sqrt(x - p), x, [p], bracket=(-2, 0)), 0.3, Status.UNDEFINED),
    (iop.Root(x - p, x, [p], bracket=(0, 1)), np.nan, Status.INVALID_INPUT),
    (iop.Root(x - p, x, [p], bracket=(p, 2 * p)), 0.0, Status.INVALID_BRACKET),
    (iop.Root(x - p, x, [p], bracket=(0, sp.log(p))), -1.0, Status.INVALID_BRACKET),
    (iop.Root(x - p, x, [p], guess=sp.log(p)), -1.0, Status.INVALID_GUESS),
    (iop.Root(x - p, x, [p], bracket=(0, 1), guess=p), 2.0, Status.INVALID_GUESS),
    (iop.Root(sp.exp(x) - p, x, [p], bracket=(0, p), max_steps=1), 50.0, Status.MAX_STEPS),
    (iop.Root([p * x + p * y - p] * 2, [x, y], [p], guess=(0, 0)), 0.3, Status.SINGULAR),
    (iop.Root([x**2 - p, y - x], [x, y], [p], guess=(1, sp.log(p))), -1.0, Status.INVALID_GUESS),
    (iop.Root([sp.log(x) - p, y - x], [x, y], [p], guess=(-1, 0)), 0.3, Status.UNDEFINED),
    (iop.FixedPoint(x + sp.exp(x) * p, x, [p], guess=0), 0.3, Status.SINGULAR),
    (iop.FixedPoint(x + x**2 + p, x, [p], guess=1), 0.3, Status.STALLED),
    (iop.FixedPoint(x + (x - p) ** 3, x, [p], guess=0), 0.3, Status.SINGULAR),
    (iop.Minimum((x - p) ** 4, x, [p], guess=0), 0.3, Status.SINGULAR),
    (iop.Minimum(-((x - p) ** 2), x, [p], guess=0), 0.3, Status.UNBOUNDED),
    (iop.Minimum((x - p) ** 2, x, [p], guess=sp.log(p)), -1.0, Status.INVALID_GUESS),
]
GOOD = (iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p)), 4.0, Status.CONVERGED)
TABLE = [*BAD, GOOD]


def assert_as_wanted(values, codes, gradients, table=TABLE):
    assert [Status.from_code(int(np.ravel(code)[0])).name for code in codes] == [status.name for *_, status in table]
    for found in (values, gradients):
        assert [bool(np.isnan(v).any()) for v in found] == [True] * (len(table) - 1) + [False]


def test_numpy():
    solutions = [problem.solve(value, derivatives=1, throw=False) for problem, value, _ in TABLE]
    codes, jacobians = [s.status_code for s in solutions], [s.jacobian for s in solutions]
    assert_as_wanted([s.value for s in solutions], codes, jacobians)


def test_theano(linker):
    import theano
    import theano.tensor as tt

    parameters = [tt.dscalar() for _ in TABLE]
    pairs = [problem.op("theano", status=True)(v) for (problem, _, _), v in zip(TABLE, parameters)]
    gradients = [theano.grad(value.sum(), v) for (value, _), v in zip(pairs, parameters)]
    outputs = [*(value for value, _ in pairs), *(code for _, code in pairs), *gradients]
    found = theano.function(parameters, outputs)(*(value for _, value, _ in TABLE))
    n = len(TABLE)
    assert_as_wanted(found[:n], found[n : 2 * n], found[2 * n :])


def all_of_tensorflow(tf, table, vectors):
    values, codes, gradients = [], [], []
    for (problem, _, _), v in zip(table, vectors):
        with tf.GradientTape() as tape:
            tape.watch(v)
            value, code = problem.op("tensorflow", status=True)(v)
            total = tf.reduce_sum(value)
        values.append(value)
        codes.append(code)
        gradients.append(tape.gradient(total, v))
    return values, codes, gradients


ROUTES = ["eager", "graph", "custom call", "custom call for each element", "Python", "Python in a graph"]


@pytest.mark.parametrize("route", ROUTES)
def test_tensorflow(route, monkeypatch):
    tf = pytest.importorskip("tensorflow", reason="needs TensorFlow")
    from implicitops.backends.tensorflow import python, routes

    if route.startswith("Python"):
        monkeypatch.setattr(routes, "_maker", lambda: python.make)
    # The loop around the custom call, which takes long to compile, does not look at the problem.
    table = [*BAD[::3], GOOD] if route.endswith("each element") else TABLE
    vectors = [tf.constant([value], tf.float64) for _, value, _ in table]
    size = None if route.endswith("each element") else 1

    def run(*vectors):
        return all_of_tensorflow(tf, table, vectors)

    if route not in ("eager", "Python"):
        spec = [tf.TensorSpec([size], tf.float64)] * len(table)
        jit = True if route.startswith("custom") else None
        run = tf.function(run, jit_compile=jit, autograph=False, input_signature=spec)
    assert_as_wanted(*run(*vectors), table)
