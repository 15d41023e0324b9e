"""Operations that TensorFlow computes by calling Python where our op cannot be loaded: right, but slower.

XLA cannot compile them, and saved models that hold them work in this process alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from implicitops.backends import failures
from implicitops.backends.numpy import evaluate
from implicitops.backends.tensorflow.anchor import anchored, captured, off_tape
from implicitops.backends.tensorflow.bridge import Node, computing, recall


def make(
    inputs: Sequence[Any], known: Sequence[Any], operation: str, n_outputs: int, n_wanted: int, pickled: bytes = b""
) -> list[Any]:
    """One call, with the arguments of our op; see csrc/tensorflow_op.c."""
    node = recall(operation, pickled)
    inputs = [captured(x) for x in inputs]
    if known:
        return anchored(node, inputs, known, -1)
    with off_tape():
        outputs = _computed(node, inputs, n_wanted)
    return anchored(node, inputs, outputs, n_wanted)


def _computed(node: Node, inputs: Sequence[Any], n_wanted: int) -> list[Any]:
    computed = computing(node.operation, n_wanted)

    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        outputs = evaluate(computed, arrays)[:n_wanted]
        failures.record_nans(computed, arrays, outputs)
        return [*outputs, *[np.empty(0)] * (node.n_outputs - n_wanted)]

    if tf.executing_eagerly():
        return [tf.constant(output) for output in run(*(x.numpy() for x in inputs))]
    found = tf.numpy_function(run, list(inputs), [tf.float64] * node.n_outputs, stateful=False)
    return list(found)
