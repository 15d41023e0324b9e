"""Start values given with calls: numbers or symbolic variables, scalars, systems, in every backend; derivative zero."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops import ArgumentError, Status
from implicitops.backends import failures

x, y, p = sp.symbols("x y p")
ROOT = iop.Root(x**2 - p, x, [p], guess=1)
ALL = {
    "root": ROOT,
    "fixed point": iop.FixedPoint((x + p / x) / 2, x, [p], guess=1),
    "accelerated fixed point": iop.FixedPoint((x + p / x) / 2, x, [p], guess=1, method="anderson"),
    "minimum": iop.Minimum((x**2 - p) ** 2, x, [p], guess=1),
    "system": iop.Root([x**2 - p, y - 2 * x], [x, y], [p], guess=np.ones(2)),
    "vector fixed point": iop.FixedPoint([(x + p / x) / 2, 2 * x], [x, y], [p], guess=(1, 1)),
    "vector minimum": iop.Minimum((x**2 - p) ** 2 + (y - 2 * x) ** 2, [x, y], [p], guess=(1, 1)),
}


def expected(name, sign=-1.0):
    """Value and derivative at 4 of the branch with a sign."""
    value, slope = sign * 2.0, sign * 0.25
    is_vector = name == "system" or name.startswith("vector")
    return (np.array([value, 2 * value]), 3 * slope) if is_vector else (np.float64(value), slope)


def guess_of(name, sign=-1.0):
    return expected(name, sign)[0] * 0.6


@pytest.mark.parametrize("name", ALL)
def test_numpy(name):
    problem = ALL[name]
    value = problem(4.0, guess=guess_of(name))
    np.testing.assert_allclose(value, expected(name)[0], rtol=1e-14)
    batch = problem([4.0, 9.0], guess=np.stack([guess_of(name), 1.5 * guess_of(name, 1.0)]))
    np.testing.assert_allclose(batch, [expected(name)[0], -1.5 * expected(name)[0]], rtol=1e-14)
    solution = problem.solve(4.0, guess=guess_of(name), derivatives=2)
    np.testing.assert_allclose(solution.jacobian.sum(), expected(name)[1], rtol=1e-14)


@pytest.mark.parametrize("name", ALL)
def test_theano_has_a_zero_gradient(name, linker):
    theano = pytest.importorskip("theano")
    import theano.tensor as tt

    problem, guess = ALL[name], guess_of(name)
    a, start = tt.dscalar("a"), tt.TensorType("float64", (False,) * guess.ndim)("start")
    for arguments, given in (((a, start), start), ((a,), guess), ((start,), start)):
        value = problem(a if a in arguments else 4.0, guess=given)
        gradients = theano.grad(value.sum(), list(arguments))
        found = theano.function(arguments, [value, *gradients])(*(4.0 if v is a else guess for v in arguments))
        np.testing.assert_allclose(found[0], expected(name)[0], rtol=1e-14)
        for variable, gradient in zip(arguments, found[1:]):
            if variable is a:
                np.testing.assert_allclose(gradient, expected(name)[1], rtol=1e-14)
            else:
                np.testing.assert_array_equal(gradient, np.zeros_like(guess))


def test_theano_second_order_and_forward_mode(linker):
    theano = pytest.importorskip("theano")
    import theano.tensor as tt

    a, start = tt.dvector("a"), tt.dscalar("start")
    value = ROOT(a, guess=start)
    gradient = theano.grad(value.sum(), a)
    second = theano.grad(gradient.sum(), [a, start])
    tangent = theano.gradient.Rop(value, [a, start], [tt.ones_like(a), tt.ones_like(start)])
    found = theano.function([a, start], [*second, tangent])([4.0, 9.0], -1.0)
    np.testing.assert_allclose(found[0], [1 / 32, 1 / 108], rtol=1e-14)
    assert found[1] == 0
    np.testing.assert_allclose(found[2], [-1 / 4, -1 / 6], rtol=1e-14)


@pytest.mark.parametrize("name", ALL)
def test_tensorflow_has_a_zero_gradient(name, way):
    tf = pytest.importorskip("tensorflow")
    problem, guess = ALL[name], guess_of(name)

    def run(a, start):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([a, start])
            values = [problem(a, guess=start), problem(a, guess=guess), problem(4.0, guess=start)]
            totals = [tf.reduce_sum(value) for value in values]
        return (
            values,
            tape.gradient(totals[0], [a, start]),
            tape.gradient(totals[1], a),
            tape.gradient(totals[2], start),
        )

    values, (by_a, by_start), by_a_alone, by_start_alone = way(run)(
        tf.constant(4.0, tf.float64), tf.constant(guess, tf.float64)
    )
    for value in values:
        np.testing.assert_allclose(value, expected(name)[0], rtol=1e-14)
    np.testing.assert_allclose([by_a, by_a_alone], [expected(name)[1]] * 2, rtol=1e-14)
    np.testing.assert_array_equal([by_start, by_start_alone], np.zeros((2, *guess.shape)))


def test_tensorflow_second_order_forward_mode_and_vectorised_maps(way):
    tf = pytest.importorskip("tensorflow")

    def run(a, start):
        with tf.GradientTape() as outer:
            outer.watch([a, start])
            with tf.GradientTape() as inner:
                inner.watch(a)
                total = tf.reduce_sum(ROOT(a, guess=start))
            gradient = inner.gradient(total, a)
        second = outer.gradient(gradient, [a, start])
        with tf.autodiff.ForwardAccumulator([a, start], [tf.ones_like(a), tf.ones_like(start)]) as accumulator:
            value = ROOT(a, guess=start)
        mapped = tf.vectorized_map(lambda v: ROOT(4.0, guess=v), tf.stack([start, -start]))
        return second, accumulator.jvp(value), mapped

    second, tangent, mapped = way(run)(tf.constant([4.0, 9.0], tf.float64), tf.constant(-1.0, tf.float64))
    np.testing.assert_allclose(second[0], [1 / 32, 1 / 108], rtol=1e-14)
    assert second[1].numpy() == 0
    np.testing.assert_allclose(tangent, [-1 / 4, -1 / 6], rtol=1e-14)
    np.testing.assert_array_equal(mapped, [-2.0, 2.0])


def test_brackets_and_guesses_inside_them_in_graphs(linker):
    theano = pytest.importorskip("theano")
    import theano.tensor as tt

    a, low = tt.dscalar("a"), tt.dscalar("low")
    values = [ROOT(a, bracket=(low, 0)), ROOT(a, bracket=(low, 0), guess=low / 3), ROOT(a, bracket=[low, tt.zeros(2)])]
    found = theano.function([a, low], [*values, *theano.grad(values[1], [a, low])])(4.0, -6.0)
    assert found[0] == found[1] == -2.0
    np.testing.assert_array_equal(found[2], [-2.0, -2.0])
    assert (found[3], found[4]) == (-0.25, 0.0)


@pytest.mark.filterwarnings("ignore::implicitops.SolveWarning")
def test_status_and_failures_are_those_of_the_start_that_was_given():
    value, code = ROOT.op("numpy", status=True)([4.0, 4.0], guess=[-1.0, np.nan])
    np.testing.assert_array_equal(value, [-2.0, np.nan])
    assert [Status.from_code(k) for k in code] == [Status.CONVERGED, Status.INVALID_GUESS]
    tf = pytest.importorskip("tensorflow")
    value, code = ROOT.op("tensorflow", status=True)(4.0, guess=tf.constant([-1.0, np.nan], tf.float64))
    np.testing.assert_array_equal(value, [-2.0, np.nan])
    np.testing.assert_array_equal(code, [0, Status.INVALID_GUESS.code])
    ((_, found),) = failures.failures().items()
    assert found.count == 1
    assert found.first[0].status is Status.INVALID_GUESS
    assert np.isnan(found.first[0].parameters["guess"])


def test_errors_quote_the_start_values_that_were_given():
    with pytest.raises(iop.SolveError, match=r"guess=guess\) failed at p=4, guess=nan: the guess is not a finite"):
        ROOT(4.0, guess=np.nan)
    with pytest.raises(iop.SolveError, match=r"failed at p=-4, lower=0, upper=3, guess=1: no sign change"):
        ROOT(-4.0, guess=1.0, bracket=(0, 3))
    with pytest.raises(iop.SolveError, match=r"failed at p=4, guess=\[1.0, inf\]: the guess is not a finite"):
        ALL["system"](4.0, guess=[1.0, np.inf])


def test_a_problem_without_start_values_says_so():
    with pytest.raises(ArgumentError, match="unknown keyword 'guess'"):
        iop.Integral(x * p, (x, 0, 1), [p])(1.0, guess=2.0)
    with pytest.raises(ArgumentError, match=r"a system has no bracket: give guess="):
        ALL["system"](4.0, bracket=(0, 1))
    with pytest.raises(ArgumentError, match=r"guess is a vector parameter: its last axis must have length 2"):
        ALL["system"](4.0, guess=[1.0])


def test_keras_tensors_take_start_values():
    tf = pytest.importorskip("tensorflow")
    keras = tf.keras
    inputs = keras.Input(shape=(), dtype="float64")
    model = keras.Model(inputs, ROOT(inputs, guess=-1.0))
    np.testing.assert_array_equal(model(tf.constant([4.0, 9.0], tf.float64)), [-2.0, -3.0])
