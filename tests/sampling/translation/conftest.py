"""What the tests of the translation share: Theano as the reference, without its C compiler, and PyMC3's models."""

import sys
from pathlib import Path

import numpy as np
import pytest

from implicitops import legacy_stack

legacy_stack.prepare()
sys.path.append(str(Path(__file__).parent))  # for distribution_cases

import tensorflow as tf  # noqa: E402
import theano  # noqa: E402
from theano.compile.mode import Mode  # noqa: E402

from implicitops.sampling.translation import translate  # noqa: E402


@pytest.fixture(autouse=True)
def _theano_in_python():
    """Nothing is compiled by C, and PyMC3's demand for test values is not imposed on the tests' own graphs."""
    python = {"cxx": "", "compute_test_value": "off", "mode": Mode(linker="py", optimizer=None)}
    # Theano computes both branches of a switch, of which NumPy warns.
    with theano.config.change_flags(**python), np.errstate(all="ignore"):
        yield


@pytest.fixture
def reference():
    """``reference(inputs, outputs, values)``: what Theano computes, unoptimised, by each Op's Python code."""

    def compute(inputs, outputs, values, **options):
        mode = Mode(linker="py", optimizer=None)
        function = theano.function(inputs, outputs, mode=mode, on_unused_input="ignore", **options)
        return function(*values)

    return compute


@pytest.fixture
def agrees(reference):
    """``agrees(inputs, outputs, values)``: TensorFlow computes what Theano does, eagerly, in a graph and under XLA.

    Dtypes and shapes are the same too, and so is the gradient of a weighted sum of the floating outputs.
    """

    def check(inputs, outputs, values, rtol=1e-12, atol=1e-14, gradient=True, xla=True, grad_rtol=1e-10):
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        expected = reference(inputs, outputs, values)
        translated = translate(inputs, outputs)
        tensors = [tf.constant(np.asarray(v, dtype=i.dtype)) for v, i in zip(values, inputs)]
        ways = {"eager": translated, "graph": tf.function(translated, autograph=False)}
        if xla:
            ways["xla"] = tf.function(translated, jit_compile=True, autograph=False)
        for way, function in ways.items():
            for found, wanted in zip(function(*tensors), expected):
                assert found.dtype.name == np.asarray(wanted).dtype.name, way
                assert found.shape == np.shape(wanted), way
                np.testing.assert_allclose(found.numpy(), wanted, rtol=rtol, atol=atol, err_msg=way)
        if gradient:
            _same_gradient(reference, translated, inputs, outputs, values, tensors, grad_rtol)

    return check


def _same_gradient(reference, translated, inputs, outputs, values, tensors, rtol):
    rng = np.random.default_rng(0)
    chosen = [k for k, v in enumerate(outputs) if "float" in v.dtype]
    wanted = [k for k, v in enumerate(inputs) if "float" in v.dtype]
    shapes = [np.shape(o) for o in reference(inputs, outputs, values)]
    weights = {k: rng.normal(size=shapes[k]) for k in chosen}
    cost = sum((outputs[k] * weights[k].astype(outputs[k].dtype)).sum() for k in chosen)
    gradients = theano.grad(cost, [inputs[k] for k in wanted], disconnected_inputs="ignore")
    expected = reference(inputs, gradients, values)
    sources = [tensors[k] for k in wanted]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        found = translated(*tensors)
        total = sum(tf.reduce_sum(found[k] * tf.cast(weights[k], found[k].dtype)) for k in chosen)
    found = tape.gradient(total, sources, unconnected_gradients="zero")
    for f, e in zip(found, expected):
        f = tf.convert_to_tensor(f).numpy()
        scale = np.max(np.abs(e), initial=1e-3)
        np.testing.assert_allclose(f, e, rtol=rtol, atol=rtol * scale)
