"""A compiled loop over the steps of chains that keeps what each step finds. No kernel lives here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf


def recorded(
    step: Callable[[Any, Any], tuple[Any, Mapping[str, Any]]],
    state: Any,
    likes: Mapping[str, Any],
    n_steps: Any,
    capacity: int,
) -> tuple[Any, dict[str, Any]]:
    """Take some steps of a number that need not be known when tracing.

    Parameters
    ----------
    step : callable, ``step(i, state)`` returns the next state and what it has found by name
    state : nest of tensors
    likes : mapping from each name to a tensor of the dtype and shape of what a step finds
    n_steps : scalar int32 tensor
    capacity : int, most steps

    Returns
    -------
    the last state, and a dict from each name to a tensor (capacity, ...) of which the first ``n_steps`` rows count
    """
    arrays = {n: tf.TensorArray(v.dtype, size=capacity, element_shape=v.shape) for n, v in likes.items()}

    def body(i: Any, state: Any, arrays: Any) -> Any:
        state, found = step(i, state)
        return i + 1, state, {name: arrays[name].write(i, value) for name, value in found.items()}

    _, state, arrays = tf.while_loop(
        lambda i, *_: i < n_steps, body, (tf.constant(0), state, arrays), parallel_iterations=1
    )
    return state, {name: values.stack() for name, values in arrays.items()}
