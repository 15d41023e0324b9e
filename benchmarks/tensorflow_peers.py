"""The equation mu + mu exp(theta mu) = 1 as TensorFlow functions: by implicitops, and as one would write it by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import optimize

import implicitops as iop

mu, theta = sp.symbols("mu theta")
PROBLEM = iop.Root(mu + mu * sp.exp(theta * mu) - 1, mu, [theta], bracket=(0, 1))


def slope(x: Any, t: Any) -> Any:
    """Derivative of the root with respect to theta, from the root."""
    e = tf.exp(t * x)
    return -(x**2) * e / (1 + e * (1 + t * x))


def with_slope(solve: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A solver with the derivative of the implicit function theorem, which may be differentiated again."""

    @tf.custom_gradient
    def solution(t: Any) -> Any:
        return solve(t), lambda upstream: upstream * slope(solution(t), t)

    return solution


def _newton_loop(t: Any) -> Any:
    """Newton's method, until all elements have converged, or for 30 steps."""

    def step(x: Any, _: Any) -> Any:
        e = tf.exp(t * x)
        change = (x + x * e - 1) / (1 + e * (1 + t * x))
        return x - change, tf.reduce_max(tf.abs(change))

    start = (tf.fill(tf.shape(t), tf.constant(0.5, tf.float64)), tf.constant(np.inf, tf.float64))
    return tf.while_loop(lambda _, change: change > 1e-10, step, start, maximum_iterations=30)[0]


def _brentq(t: Any) -> Any:
    roots = [
        optimize.brentq(lambda x, v=v: x + x * np.exp(v * x) - 1, 0, 1, xtol=1e-14) for v in np.ravel(np.asarray(t))
    ]
    return np.reshape(roots, np.shape(t))


def _secant(t: Any) -> Any:
    return tfp.math.find_root_secant(
        lambda x: x + x * tf.exp(t * x) - 1, tf.fill(tf.shape(t), tf.constant(0.3, tf.float64)),
        position_tolerance=1e-10, value_tolerance=1e-10, max_iterations=30,
    ).estimated_root  # fmt: skip


def _in_numpy(t: Any) -> Any:
    found = tf.numpy_function(lambda v: np.asarray(PROBLEM(v), order="C"), [t], tf.float64, stateful=False)
    found.set_shape(t.shape)
    return found


def _in_python(t: Any) -> Any:
    found = tf.py_function(_brentq, [t], tf.float64)
    found.set_shape(t.shape)
    return found


newton = with_slope(_newton_loop)
in_numpy = with_slope(_in_numpy)

SOLVERS: dict[str, Callable[[Any], Any]] = {
    "implicitops": PROBLEM,
    "numpy_function, hand-written": in_numpy,
    "brentq in py_function": with_slope(_in_python),
    "hand-written Newton": newton,
}
BATCH_PEERS: dict[str, Callable[[Any], Any]] = {
    "implicitops": PROBLEM,
    "hand-written Newton": newton,
    "tfp.math.find_root_secant": with_slope(_secant),
}
