"""Saved models in other processes, and what works where our op cannot be loaded."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from catalogue import conformance

import implicitops as iop
from implicitops.verify.differentiation.tensorflow import TensorflowDifferentiable

pytest.importorskip("tensorflow", reason="needs TensorFlow")

import tensorflow as tf

from implicitops.backends.tensorflow import op as tensorflow_op
from implicitops.backends.tensorflow import routes
from implicitops.backends.tensorflow import xla as tensorflow_xla

x, p, k = sp.symbols("x p k")

SAVING = """
import implicitops as iop
import sympy as sp
import sys
import tensorflow as tf

x, p, k = sp.symbols("x p k")
root = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))
decay = iop.ODE({x: -k * x}, [k], initial={x: 1})
double = iop.External(lambda x: 2 * x, inputs={"x": ()}, outputs=())
many, three, one = (tf.TensorSpec(shape, tf.float64) for shape in ([None], [3], []))

class Model(tf.Module):
    @tf.function(input_signature=[many])
    def root(self, v):
        return root(v)

    @tf.function(input_signature=[three], jit_compile=True)
    def compiled(self, v):
        with tf.GradientTape() as tape:
            tape.watch(v)
            y = root(v)
        return tape.gradient(y, v)

    @tf.function(input_signature=[one])
    def decay(self, v):
        with tf.GradientTape() as tape:
            tape.watch(v)
            y = decay(v, times=[1.0])
        return tape.gradient(y, v)

    @tf.function(input_signature=[one])
    def without_pickle(self, v):
        return double(v)

tf.saved_model.save(Model(), sys.argv[1])
"""

LOADING = """
import implicitops.backends.tensorflow
import sys
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
v, one = tf.constant([1.0, 4.0, 16.0], tf.float64), tf.constant(0.5, tf.float64)
with tf.GradientTape() as outer:
    outer.watch(v)
    with tf.GradientTape() as tape:
        tape.watch(v)
        y = model.root(v)
    first = tape.gradient(y, v)
print(y.numpy().tolist(), first.numpy().tolist(), outer.gradient(first, v).numpy().tolist())
with tf.GradientTape() as tape:
    tape.watch(v)
    first = model.compiled(v)
print(first.numpy().tolist(), tape.gradient(first, v).numpy().tolist())
print(abs(model.decay(one).numpy() + 0.6065306597) < 1e-7)
try:
    model.without_pickle(one)
except tf.errors.InvalidArgumentError as error:
    print("could not be pickled" in str(error))
"""

FIRST, SECOND = [0.5, 0.25, 0.125], [-0.25, -0.03125, -0.00390625]
LOADED = [f"[1.0, 2.0, 4.0] {FIRST} {SECOND}", f"{FIRST} {SECOND}", "True", "True"]


def test_saved_model_works_in_another_process(tmp_path):
    """It was not told what the problems are: the graph says it."""
    for program in (SAVING, LOADING):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "model")], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == LOADED


ENVIRONMENTS = {".venv": ".venv-modern", ".venv-modern": ".venv"}


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["saved here", "saved there"])
def test_saved_model_works_in_another_version_of_tensorflow(tmp_path, direction):
    """In both directions between the environments of `make env` and `make test-modern`, whose NumPys differ too."""
    other = Path(__file__).parents[2] / ENVIRONMENTS.get(Path(sys.prefix).name, "no-environment") / "bin" / "python"
    if not other.exists():
        pytest.skip("needs .venv and .venv-modern: make env, make test-modern")
    pythons = [sys.executable, str(other)]
    for python, program in zip(pythons if direction == "saved here" else pythons[::-1], (SAVING, LOADING)):
        done = subprocess.run(
            [python, "-c", program, str(tmp_path / "model")],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONSAFEPATH": "1"},  # the package of each environment, not the source tree
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == LOADED


# -- without our op, and without custom calls -------------------------------------------------------------------------

CASES = conformance.closed_forms()


@pytest.fixture
def no_op(monkeypatch, tmp_path):
    """TensorFlow as it is where implicitops was built without a C compiler."""
    caches = (tensorflow_op.library, routes._maker, tensorflow_xla.registered)
    monkeypatch.setattr(tensorflow_op, "_LIBRARY", tmp_path / "nothing")
    for cache in caches:
        cache.cache_clear()
    with pytest.warns(tensorflow_op.BackendWarning, match="Python is called instead"):
        tensorflow_op.library()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def no_custom_calls(monkeypatch):
    """XLA as it is for an accelerator, or in a version of TensorFlow without the registry of custom calls."""
    monkeypatch.setattr(tensorflow_xla, "registered", lambda: False)


FIRST_CHECKS = conformance.CHECKS[:2]


@pytest.mark.usefixtures("no_op")
@pytest.mark.parametrize("name", ["two scalars", "two unknowns", "existing code", "decay"])
@pytest.mark.parametrize("check", FIRST_CHECKS)
@pytest.mark.parametrize("running", ["eager", "graph"])
def test_without_our_op_values_and_derivatives_are_the_same(check, name, running):
    def backend(function, example):
        return TensorflowDifferentiable(function, example, way=running)

    check(backend, CASES[name])


@pytest.mark.usefixtures("no_op")
def test_without_our_op_vectorised_maps_keep_their_derivatives():
    root = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))
    v = tf.constant([4.0, 16.0], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(v)
        y = tf.vectorized_map(root, v)
    np.testing.assert_array_equal(y, [2.0, 4.0])
    np.testing.assert_allclose(tape.gradient(y, v), [0.25, 0.125], rtol=1e-15)


@pytest.mark.usefixtures("no_custom_calls")
def test_without_custom_calls_xla_is_refused_and_the_error_says_what_to_do():
    for problem in (
        iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p)),
        iop.Root([x**2 - p], [x], [p], guess=[1]),
        iop.Minimum(sp.exp(x) - p * x, x, [p], guess=0),
    ):
        with pytest.raises(iop.ArgumentError, match=r"lacks XLA's registry of custom calls.* Leave jit_compile away\."):
            tf.function(problem, jit_compile=True)(tf.constant(1.0, tf.float64))


# -- compilation by XLA -----------------------------------------------------------------------------------------------


MANY = [tf.TensorSpec([None], tf.float64)]
OPEN = {
    "bracket": iop.Root(x**3 + x - p, x, [p], bracket=(0, 1 + p)),
    "gamma function": iop.Root(sp.gamma(x) - p, x, [p], bracket=(2, 20)),
    "system": iop.Root([x + k - p, x - k], [x, k], [p], guess=(0, 0)),
    "minimum": iop.Minimum(sp.exp(x) - p * x, x, [p], guess=0),
    "fixed point": iop.FixedPoint((x + p / x) / 2, x, [p], guess=1 + p),
    "integral": iop.Integral(sp.exp(-k * p), (k, 0, 1), [p]),
}


@pytest.mark.parametrize("name", OPEN)
def test_batch_of_unknown_size_is_solved_by_the_same_kernels(name):
    problem = OPEN[name]

    @tf.function(jit_compile=True, input_signature=MANY, autograph=False)
    def value_and_gradients(v):
        with tf.GradientTape() as second:
            second.watch(v)
            with tf.GradientTape() as first:
                first.watch(v)
                value = problem(v)
                total = tf.reduce_sum(value**3)
            gradient = first.gradient(total, v)
        return value, gradient, second.gradient(gradient, v)

    for values in (np.array([1.5, 2.0, 4.0]), np.array([3.0]), np.empty(0)):
        solution = problem.solve(values, derivatives=2)
        shape = (len(values), *(problem.output_shape or (1,)))
        z, s, h = (np.reshape(a, shape) for a in (solution.value, solution.jacobian, solution.hessian))
        value, gradient, second = value_and_gradients(values)
        np.testing.assert_array_equal(value, solution.value)
        np.testing.assert_allclose(gradient, (3 * z**2 * s).sum(axis=1), rtol=1e-13)
        np.testing.assert_allclose(second, (6 * z * s**2 + 3 * z**2 * h).sum(axis=1), rtol=1e-11)


def test_batch_of_unknown_size_broadcasts_and_has_forward_mode_and_vectorised_maps():
    root = iop.Root(x**3 + k * x - p, x, [p, k], bracket=(0, 1 + p))
    one, two = np.array([1.0, 2.0, 5.0]), np.array([[0.5], [1.5]])

    @tf.function(jit_compile=True, autograph=False)
    def all_of_it(one, two):
        with tf.autodiff.ForwardAccumulator(one, tf.ones_like(one)) as accumulator:
            value = root(one, two)
        mapped = tf.vectorized_map(lambda v: root(v, 0.5), one)
        return value, accumulator.jvp(value), mapped

    running = all_of_it.get_concrete_function(*MANY, tf.TensorSpec([None, 1], tf.float64))
    solution = root.solve(one, two, derivatives=1)
    value, tangent, mapped = running(tf.constant(one), tf.constant(two))
    np.testing.assert_array_equal(value, solution.value)
    np.testing.assert_allclose(tangent, solution.jacobian[..., 0], rtol=1e-14)
    np.testing.assert_array_equal(mapped, solution.value[0])


def test_graph_for_another_device_is_refused_when_it_is_made():
    root = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))

    @tf.function(jit_compile=True, autograph=False)
    def solve(v):
        with tf.device("GPU:0"):
            return root(v)

    with pytest.raises(iop.ArgumentError, match=r"for a device that is no CPU.* tf\.device\('CPU:0'\)"):
        solve(tf.constant([4.0], tf.float64))


def test_open_shapes_under_xla_with_a_gradient_leave_the_process_alive():
    code = """
        import implicitops as iop, numpy as np, sympy as sp, tensorflow as tf
        x, y, p = sp.symbols("x y p")
        problem = iop.Root([x + y - p, x - y], [x, y], [p], guess=(0, 0))
        @tf.function(jit_compile=True, input_signature=[tf.TensorSpec([None], tf.float64)], autograph=False)
        def gradient(v):
            with tf.GradientTape() as tape:
                tape.watch(v)
                total = tf.reduce_sum(problem(v))
            return tape.gradient(total, v)
        print(gradient(np.array([1.0, 2.0])).numpy())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["[1.", "1.]"]


def test_custom_calls_of_others_are_left_alone():
    from tensorflow.compiler.tf2xla.ops.gen_xla_ops import xla_custom_call_v2

    with tf.Graph().as_default():
        v = tf.constant(1.0)
        (foreign,) = xla_custom_call_v2(
            operands=[v],
            call_target_name="somebody_else",
            backend_config="",
            has_side_effect=False,
            result_dtypes=[tf.float32],
            result_shapes=[[]],
        )
        with pytest.raises(LookupError, match="a custom call of XLA that is not of implicitops"):
            tf.gradients(foreign, v)


def test_sampling_is_compiled_as_a_whole():
    tfp = pytest.importorskip("tensorflow_probability", reason="needs TensorFlow Probability")
    mu, theta = sp.symbols("mu theta")
    mu_of = iop.Root(mu + mu * sp.exp(theta * mu) - 1, mu, [theta], bracket=(0, 1))
    one, sd = tf.constant(1.0, tf.float64), tf.constant(0.1, tf.float64)

    def log_density(t):
        likelihood = tfp.distributions.Normal(mu_of(t)[..., None], sd).log_prob([0.2, 0.21, 0.3])
        return tfp.distributions.HalfNormal(one).log_prob(t) + tf.reduce_sum(likelihood, axis=-1)

    @tf.function(jit_compile=True, autograph=False)
    def sample():
        kernel = tfp.mcmc.HamiltonianMonteCarlo(log_density, step_size=0.4 * one, num_leapfrog_steps=3)
        kernel = tfp.mcmc.TransformedTransitionKernel(kernel, tfp.bijectors.Exp())
        seed = tf.constant([1, 2])
        start = tf.ones(4, tf.float64)
        return tfp.mcmc.sample_chain(20_000, start, kernel=kernel, num_burnin_steps=500, trace_fn=None, seed=seed)

    draws = sample().numpy()
    # By quadrature: see examples/documentation_model.py.
    np.testing.assert_allclose(draws.mean(), 1.932, atol=0.03)
    np.testing.assert_allclose(draws.std(), 0.621, atol=0.03)
