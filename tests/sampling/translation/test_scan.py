"""Loops by theano.scan, with gradients, and the other Ops that hold a graph."""

import numpy as np
import pytest
import tensorflow as tf
import theano
import theano.tensor as tt
from theano.compile.builders import OpFromGraph
from theano.ifelse import ifelse
from theano.scan.utils import until

from implicitops.sampling.translation import scan, translate

RATE, START = tt.dscalar("rate"), tt.dscalar("start")
SERIES = tt.dvector("series")


@pytest.fixture(autouse=True, params=[0, 32], ids=["loop", "written_out"])
def _number_of_steps_written_out(request, monkeypatch):
    monkeypatch.setattr(scan, "UNROLLED_STEPS", request.param)


def looped(step, n_steps=6, **options):
    outputs, updates = theano.scan(step, n_steps=n_steps, **options)
    assert not updates
    return outputs


def test_state_with_one_tap(agrees):
    y = looped(lambda x, a: a * x + 0.1, outputs_info=START, non_sequences=RATE)
    agrees([START, RATE], [y, y[-1]], [0.3, 0.8])


def test_states_with_several_taps_and_a_second_output(agrees, rng):
    initial = tt.stack([START, 2 * START, START**2])
    y, z = looped(
        lambda s, x3, x1, a: (a * x3 - x1 * s, x1 + s),
        sequences=SERIES,
        outputs_info=[{"initial": initial, "taps": [-3, -1]}, None],
        non_sequences=RATE,
    )
    agrees([START, RATE, SERIES], [y, z], [0.3, 0.8, rng.normal(size=8)])


def test_sequences_with_taps(agrees, rng):
    y = looped(
        lambda before, now, a: before * now + a,
        n_steps=None,
        sequences={"input": SERIES, "taps": [-2, 0]},
        non_sequences=RATE,
    )
    agrees([RATE, SERIES], y, [0.8, rng.normal(size=7)])


def test_matrices_as_state(agrees, rng):
    m = tt.dmatrix("m")
    y = looped(lambda x, a: tt.tanh(tt.dot(a, x)), n_steps=3, outputs_info=tt.eye(3), non_sequences=m)
    agrees([m], y, [rng.normal(size=(3, 3))])


def test_backwards_and_map_and_reduce(agrees, rng):
    y = looped(lambda s, x: x + s**2, n_steps=None, sequences=SERIES, outputs_info=START, go_backwards=True)
    squares, _ = theano.map(lambda s: s**2, SERIES)
    total, _ = theano.reduce(lambda s, x: x + s**3, SERIES, START)
    agrees([START, SERIES], [y, squares, total], [0.3, rng.normal(size=5)])


def test_integers_as_state(agrees):
    y = looped(lambda x: 3 * x + 1, outputs_info=tt.constant(np.int64(1)))
    agrees([], y, [], gradient=False)


def test_integers_and_floats_as_state_with_a_gradient(agrees, rng):
    k, y, z = looped(
        lambda s, k, x, a: (k + 1, x * a + s * k, x**2),
        sequences=SERIES,
        outputs_info=[tt.constant(np.int64(1)), START, None],
        non_sequences=RATE,
    )
    agrees([START, RATE, SERIES], [k, y, z, y[-1] * k[-1]], [0.3, 0.8, rng.normal(size=6)])


def test_scan_in_a_scan(agrees):
    def outer(x, a):
        inner = looped(lambda y, b: y * b, n_steps=3, outputs_info=x, non_sequences=a)
        return inner.sum()

    y = looped(outer, n_steps=3, outputs_info=START, non_sequences=RATE)
    agrees([START, RATE], y, [0.3, 0.4])


def test_loop_that_ends_on_a_condition(agrees):
    y = looped(lambda x, a: (x * a, until(x * a > 5.0)), n_steps=50, outputs_info=START, non_sequences=RATE)
    agrees([START, RATE], [y, y[-1]], [0.3, 1.8], xla=False)


def test_sequence_that_is_too_short_is_an_error():
    y = looped(lambda s: s**2, n_steps=7, sequences=SERIES)
    with pytest.raises(ValueError, match="7 steps needs sequences of that length; got one of length 6"):
        translate([SERIES], [y])(tf.zeros(6, tf.float64))


def test_number_of_steps_that_is_an_input(agrees):
    n = tt.lscalar("n")
    y = looped(lambda x, a: a * x, n_steps=n, outputs_info=START, non_sequences=RATE)
    agrees([START, RATE, n], y, [0.3, 0.8, 4], xla=False)


@pytest.mark.parametrize("optimizer", [None, "fast_compile", "fast_run"])
def test_gradient_that_theano_makes_is_a_loop_too(optimizer, rng):
    y = looped(
        lambda s, x2, x1, a: a * x2 * x1 + s,
        sequences=SERIES,
        outputs_info={"initial": tt.stack([START, START]), "taps": [-2, -1]},
        non_sequences=RATE,
    )
    inputs = [START, RATE, SERIES]
    gradients = theano.grad((y**2).sum(), inputs)
    mode = theano.compile.mode.Mode(linker="py", optimizer=optimizer)
    function = theano.function(inputs, gradients, mode=mode.excluding("inplace"))
    graph = function.maker.fgraph
    values = [np.array(0.3), np.array(0.8), rng.normal(size=6)]
    translated = translate(graph.inputs, graph.outputs)
    for found, expected in zip(translated(*map(tf.constant, values)), function(*values)):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_loop_and_its_gradient_are_mapped_over_chains(compiled, rng):
    y = looped(lambda s, x, a: a * x + s, sequences=SERIES, outputs_info=START, non_sequences=RATE)
    translated = translate([START, RATE, SERIES], [y[-1]])
    series = tf.constant(rng.normal(size=6))

    def density(point):
        with tf.GradientTape() as tape:
            tape.watch(point)
            value = translated(point[0], point[1], series)[0]
        return value, tape.gradient(value, point)

    points = tf.constant(rng.uniform(size=(5, 2)))
    mapped = tf.function(
        lambda p: tf.vectorized_map(density, p, fallback_to_while_loop=False), jit_compile=compiled, autograph=False
    )
    for found, expected in zip(mapped(points), zip(*[density(p) for p in points])):
        np.testing.assert_allclose(found, np.stack(expected), rtol=1e-12)


def test_op_from_graph(agrees):
    x, y = tt.dscalars("x", "y")
    op = OpFromGraph([x, y], [x * tt.exp(y), x - y])
    agrees([START, RATE], op(START, RATE**2), [0.3, 0.8])


@pytest.mark.parametrize("value", [0.3, -0.3])
def test_condition_chooses_a_branch(agrees, value):
    agrees([START, RATE], ifelse(START > 0, RATE**2, RATE**3), [value, 0.8])
