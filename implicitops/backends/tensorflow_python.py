"""Operations as calls of Python, for want of our TensorFlow op: right, slower, and without what needs a real op.

What is lost: forward mode inside a tf.function (TensorFlow gives zeros there without a word), compilation by XLA except
for what tensorflow_loops.py can do, and saved models in other processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from implicitops.backends import failures
from implicitops.backends.numpy import evaluate
from implicitops.backends.tensorflow_bridge import computing, recall


def make(
    inputs: Sequence[Any], known: Sequence[Any], operation: str, n_outputs: int, n_wanted: int, pickled: bytes = b""
) -> list[Any]:
    """One call, with the arguments of our op; see csrc/tensorflow_op.c."""
    node = recall(operation, pickled)
    n = len(inputs)

    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        computed = computing(node.operation, n_wanted)
        outputs = evaluate(computed, arrays)[:n_wanted]
        failures.record_nans(computed, arrays, outputs[0])
        return [*outputs, *[np.empty(0)] * (n_outputs - n_wanted)]

    @tf.custom_gradient
    def differentiable(*tensors: Any) -> Any:
        from implicitops.backends.tensorflow_rules import Made

        ours, given = tensors[:n], list(tensors[n:])
        found = [tf.identity(x) for x in given]
        if not given:
            found = tf.numpy_function(run, ours, [tf.float64] * n_outputs, stateful=False)

        def pull(*cotangents: Any) -> list[Any]:
            # The outputs once more, but as functions of the inputs: a rule reads them, and is differentiated again.
            outputs = make(ours, found, operation, n_outputs, n_wanted)
            return Made(node, ours, given, outputs, lambda: n_wanted == n_outputs).pull(cotangents)

        return list(found), pull

    found = differentiable(*inputs, *known)
    return list(found) if isinstance(found, (list, tuple)) else [found]
