"""``problem.op(backend, status=True)``: the value with why each solve ended, from the same solve, in every backend."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops import Status
from implicitops.backends.failures import failures

x, y, p, q, k, t = sp.symbols("x y p q k t")

ROOT = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))


def logarithm(x):
    if x < 0:
        raise ValueError("x is negative")
    return np.log(x)


#: A problem, the batch of its first parameter, other arguments, and what SciPy or a pencil says of each element.
MIXED = {
    "scalar root": (ROOT, [4.0, -0.5, np.nan, 9.0], {}, ["CONVERGED", "NO_SIGN_CHANGE", "INVALID_INPUT", "CONVERGED"]),
    "system": (
        iop.Root([x * y - p, x - y], [x, y], [p], guess=(1, 1)),
        [4.0, np.inf],
        {},
        ["CONVERGED", "INVALID_INPUT"],
    ),
    "fixed point": (iop.FixedPoint(sp.cos(p * x), x, [p], guess=1), [1.0, np.nan], {}, ["CONVERGED", "INVALID_INPUT"]),
    "minimum": (
        iop.Minimum(p * x**2 + x, x, [p], guess=1),
        [1.0, -1.0],
        {},
        ["CONVERGED", "UNBOUNDED"],
    ),
    # y' = p y^2 from 1 ends at 1 / p.
    "initial value problem": (
        iop.ODE({y: p * y**2}, [p], initial={y: 1}),
        [0.5, 2.0, np.nan],
        {"times": [0.25, 1.0]},
        ["CONVERGED", "BLOW_UP", "INVALID_INPUT"],
    ),
    # x^(p - 1) has an integral over (0, 1) where p > 0.
    "integral": (iop.Integral(x ** (p - 1), (x, 0, 1), [p]), [2.0, -1.0], {}, ["CONVERGED", "DIVERGENT"]),
    "existing code": (
        iop.External(logarithm, inputs={"x": ()}, outputs=(), jacobian=lambda x: [1 / x]),
        [1.0, -1.0],
        {},
        ["CONVERGED", "EXTERNAL_ERROR"],
    ),
}


@pytest.fixture(params=MIXED.values(), ids=MIXED)
def mixed(request):
    problem, batch, rest, names = request.param
    return problem, np.array(batch), rest, [Status[name] for name in names]


def check(problem, batch, rest, expected, found):
    value, code = map(np.asarray, found)
    assert code.dtype == np.int32
    assert [Status.from_code(c) for c in code] == expected
    alone = [problem.solve(element, **rest, throw=False) for element in batch]
    assert [solution.status for solution in alone] == expected
    np.testing.assert_array_equal(value, np.stack([solution.value for solution in alone]))


def test_codes_are_the_order_of_the_enum():
    assert [Status.from_code(k) for k in range(len(Status))] == list(Status)
    assert [status.code for status in Status] == list(range(len(Status)))


def test_marks_are_the_same_in_python_and_in_c():
    from pathlib import Path

    from implicitops.backends.theano.c_code import INCLUDE
    from implicitops.calculus.status_of import MARK

    assert f"UINT64_C(0x{MARK:X})" in Path(INCLUDE / "marked_nan.h").read_text()
    assert np.isnan(np.array([MARK]).view(np.float64))


def test_numpy_returns_value_and_status(mixed):
    problem, batch, rest, expected = mixed
    check(problem, batch, rest, expected, problem.op("numpy", status=True)(batch, **rest))


def test_numpy_gives_one_code_for_one_solve():
    value, code = ROOT.op("numpy", status=True)(-0.5)
    assert np.isnan(value)
    assert Status.from_code(code) is Status.NO_SIGN_CHANGE


@pytest.mark.parametrize("backend", ["numpy", "theano", "tensorflow"])
def test_unknown_options_of_an_op_are_an_error(backend):
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        ROOT.op(backend, statuses=True)


# -- TensorFlow -------------------------------------------------------------------------------------------------------


@pytest.fixture
def tf():
    return pytest.importorskip("tensorflow", reason="needs TensorFlow")


@pytest.mark.filterwarnings("ignore::implicitops.errors.SolveWarning")
def test_tensorflow_returns_value_and_status(tf, way, mixed):
    problem, batch, rest, expected = mixed
    op = problem.op("tensorflow", status=True)
    check(problem, batch, rest, expected, way(lambda v: op(v, **rest))(tf.constant(batch)))


@pytest.mark.filterwarnings("ignore::implicitops.errors.SolveWarning")
def test_vectorised_map_is_one_batch_of_statuses(tf, way):
    op = ROOT.op("tensorflow", status=True)

    def mapped(v):
        return tf.vectorized_map(op, v, fallback_to_while_loop=False)

    _, code = way(mapped)(tf.constant([4.0, -0.5, 9.0], tf.float64))
    np.testing.assert_array_equal(code, [0, Status.NO_SIGN_CHANGE.code, 0])


@pytest.mark.filterwarnings("ignore::implicitops.errors.SolveWarning")
def test_status_has_no_derivative_and_leaves_that_of_the_value_alone(tf, way):
    def derivatives(v):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(v)
            value, code = ROOT.op("tensorflow", status=True)(v)
            also = tf.cast(code, tf.float64)
            total = tf.reduce_sum(value) + tf.reduce_sum(also)
        return code, tape.gradient(total, v), tf.constant(tape.gradient(also, v) is None)

    code, gradient, has_none = way(derivatives)(tf.constant([4.0, -0.5, 9.0], tf.float64))
    np.testing.assert_array_equal(code, [0, Status.NO_SIGN_CHANGE.code, 0])
    np.testing.assert_allclose(gradient, [1 / 4, np.nan, 1 / 6], rtol=1e-15)
    assert has_none


@pytest.mark.filterwarnings("ignore::implicitops.errors.SolveWarning")
def test_status_and_forward_mode(tf, way):
    def along(v):
        with tf.autodiff.ForwardAccumulator(v, tf.ones_like(v)) as accumulator:
            value, code = ROOT.op("tensorflow", status=True)(v)
        return accumulator.jvp(value), code

    tangent, code = way(along)(tf.constant([4.0, -0.5], tf.float64))
    np.testing.assert_allclose(tangent, [1 / 4, np.nan], rtol=1e-15)
    np.testing.assert_array_equal(code, [0, Status.NO_SIGN_CHANGE.code])


@pytest.mark.filterwarnings("ignore::implicitops.errors.SolveWarning")
@pytest.mark.parametrize(("rate", "status"), [(0.3, Status.CONVERGED), (-1.0, Status.MAX_STEPS)])
def test_status_value_and_gradient_integrate_once(tf, way, decays, rate, status):
    def all_three(rate):
        with tf.GradientTape() as tape:
            tape.watch(rate)
            value, code = decays.problem().op("tensorflow", status=True)(rate, [2.0, -1.0], 0.1, times=[0.5, 1.0])
        return value, code, tape.gradient(value, rate)

    value, code, gradient = way(all_three)(tf.constant(rate, tf.float64))
    # A failed solve is made again for the text of the warning.
    assert [operation.derivatives for operation, _ in decays.calls] == [1, 0][: 1 + (rate < 0)]
    assert Status.from_code(int(code)) is status
    assert np.isnan(value).all() == np.isnan(gradient) == (rate < 0)


@pytest.mark.filterwarnings("ignore::implicitops.errors.SolveWarning")
def test_failures_are_still_counted(tf, way):
    way(ROOT.op("tensorflow", status=True))(tf.constant([-0.5, 4.0], tf.float64))
    assert failures()[ROOT].count == 1


@pytest.mark.filterwarnings("ignore::implicitops.errors.SolveWarning")
def test_status_of_large_batches_that_run_on_threads(tf, way):
    from implicitops.kernels import parallel

    v = np.linspace(-1.0, 4.0, 2 * parallel.GRAIN + 1)
    iop.set_num_threads(2)
    try:
        _, code = way(ROOT.op("tensorflow", status=True))(tf.constant(v))
    finally:
        iop.set_num_threads(None)
    np.testing.assert_array_equal(code, ROOT.solve(v, throw=False).status_code)


def test_status_of_a_nan_that_somebody_else_made_is_undefined(tf, way):
    from implicitops.backends.tensorflow.routes import call
    from implicitops.calculus.status_of import StatusOf

    (code,) = way(lambda v: call(StatusOf(()), v))(tf.constant([1.0, np.nan], tf.float64))
    np.testing.assert_array_equal(code, [0, Status.UNDEFINED.code])


# -- Theano -----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::implicitops.errors.SolveWarning")
def test_theano_returns_value_and_status(mixed, linker):
    import theano
    import theano.tensor as tt

    problem, batch, rest, expected = mixed
    v = tt.dvector()
    value, code = problem.op("theano", status=True)(v, **rest)
    assert code.dtype == "int32"
    assert code.ndim == 1
    with np.errstate(all="ignore"):
        check(problem, batch, rest, expected, theano.function([v], [value, code])(batch))


@pytest.mark.filterwarnings("ignore::implicitops.errors.SolveWarning")
def test_theano_status_has_no_derivative_and_leaves_that_of_the_value_alone(linker):
    import theano
    import theano.tensor as tt

    v = tt.dvector()
    value, code = ROOT.op("theano", status=True)(v)
    gradient = tt.grad((value + code).sum(), v)
    tangent = tt.Rop(value, v, tt.ones_like(v))
    codes, *found = theano.function([v], [code, gradient, tangent])(np.array([4.0, -0.5]))
    np.testing.assert_array_equal(codes, [0, Status.NO_SIGN_CHANGE.code])
    for derivative in found:
        np.testing.assert_allclose(derivative, [1 / 4, np.nan], rtol=1e-15)


def test_theano_status_of_a_large_batch_and_of_a_scalar(linker):
    import theano
    import theano.tensor as tt

    for variable, batch in ((tt.dvector(), np.linspace(-1.0, 4.0, 20_001)), (tt.dscalar(), -0.5)):
        function = theano.function([variable], ROOT.op("theano", status=True)(variable)[1])
        with pytest.warns(iop.SolveWarning):
            np.testing.assert_array_equal(function(batch), ROOT.solve(batch, throw=False).status_code)
        iop.reset_failures()
