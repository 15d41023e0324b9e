"""The TensorFlow op against what one would write by hand: single calls, batches under XLA, and samplers.

Contestants for mu + mu exp(theta mu) = 1 are written in tensorflow_peers.py, the samplers in tensorflow_sampling.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from measure import interleaved, machine, one_core, publish, table
from tensorflow_peers import BATCH_PEERS, PROBLEM, SOLVERS
from tensorflow_sampling import documentation_text, lynx_text, missed

import implicitops as iop


def eager_text() -> str:
    """One theta, op by op: value, and value with gradient."""
    t = tf.constant(0.4, tf.float64)

    def with_gradient(solve: Callable[[Any], Any]) -> Callable[[], Any]:
        def run() -> Any:
            with tf.GradientTape() as tape:
                tape.watch(t)
                x = solve(t)
            return tape.gradient(x, t)

        return run

    called = {**SOLVERS, "tf.exp, for comparison": tf.exp}
    values = interleaved({name: lambda s=solve: s(t) for name, solve in called.items()}, seconds=4.0)
    gradients = interleaved({name: with_gradient(solve) for name, solve in called.items()}, seconds=4.0)
    ours = values["implicitops"]
    rows = [
        [name, f"{1e6 * values[name]:.1f}", f"{values[name] / ours:.1f}", f"{1e6 * gradients[name]:.0f}"]
        for name in called
    ]
    heading = ["", "microseconds", "times implicitops", "with gradient"]
    text = table("One theta, op by op", [heading, *rows])
    return text + f"aim: at most 10 microseconds{missed(1e6 * ours <= 10)}\n"


def compiled(solve: Callable[[Any], Any], t: Any, derivative: bool) -> Callable[[], Any]:
    """Compiled call for a batch."""

    @tf.function(jit_compile=True, autograph=False)
    def run(x: Any) -> Any:
        return tfp.math.value_and_gradient(lambda at: solve(at), x) if derivative else solve(x)

    return lambda: run(t)


def batch_runs(t: Any, derivative: bool) -> dict[str, Callable[[], Any]]:
    """Compiled calls of all contestants."""
    return {name: compiled(solve, t, derivative) for name, solve in BATCH_PEERS.items()}


def batch_text(n: int = 100_000) -> str:
    """A batch under XLA, with one thread and with two."""
    t = tf.constant(np.random.default_rng(0).uniform(0, 5, n))
    rows, text = [["", "threads", "value, ms", "times implicitops", "with gradient, ms", "times implicitops"]], ""
    for threads in (1, 2):
        iop.set_num_threads(threads)
        both = [interleaved(batch_runs(t, derivative), seconds=4.0) for derivative in (False, True)]
        for name in BATCH_PEERS:
            cells = [cell for s in both for cell in (f"{1e3 * s[name]:.2f}", f"{s[name] / s['implicitops']:.2f}")]
            rows.append([name, str(threads), *cells])
        best = min(s[name] / s["implicitops"] for s in both for name in BATCH_PEERS if "Newton" in name)
        text += f"aim with {threads} of our threads: at least as fast as Newton in TensorFlow{missed(best >= 1)}\n"
    iop.set_num_threads(None)
    return table(f"{n:.0e} theta under XLA", rows) + text


def main() -> None:
    """Run and publish."""
    worst = np.abs(SOLVERS["hand-written Newton"](tf.constant([0.4], tf.float64)).numpy() - PROBLEM([0.4])).max()
    if worst > 1e-12:
        raise ArithmeticError(f"the contestants do not agree: {worst:.0e}")
    with one_core():
        text = eager_text()
    text += "\n" + batch_text()
    text += "\n" + documentation_text()
    text += "\n" + lynx_text()
    versions = f"tensorflow {tf.__version__}, tensorflow-probability {tfp.__version__}"
    publish("tensorflow", f"{machine()}, {versions}\n\n{text}")


if __name__ == "__main__":
    main()
