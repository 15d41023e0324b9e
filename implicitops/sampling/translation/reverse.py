"""A loop of known length with its own reverse derivative: XLA compiles it also where it is mapped over chains.

TensorFlow's derivative of a while loop keeps intermediate results in lists, which XLA does not have once
``tf.vectorized_map`` has mapped them. Here states are kept in arrays, and a second loop runs backwards over them,
computing each step again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

#: ``step(i, elements, state, constant)`` returns results and the next state.
Step = Callable[[Any, Any, Any, Any], tuple[list[Any], Any]]


def run_loop(
    step: Step,
    n_steps: int,
    sequences: Sequence[Any],
    state: Any,
    constant: Sequence[Any],
    shapes: Sequence[tuple[Any, Any]],
) -> tuple[list[Any], Any]:
    """Results of all steps, stacked, and the last state.

    Parameters
    ----------
    step : callable
    n_steps : int
    sequences : tensors (n, ...), of which step i receives element i
    state : nest of tensors
    constant : tensors, or arrays of what is known when tracing, which have no derivative
    shapes : dtype and shape of each of a step's results
    """
    sequences = [s[:n_steps] for s in sequences]
    nest = (state, list(sequences), [t if tf.is_tensor(t) else None for t in constant])
    flat = tf.nest.flatten(nest)
    moving = [k for k, t in enumerate(flat) if tf.is_tensor(t) and t.dtype.is_floating]

    def packed(floats: Sequence[Any]) -> Any:
        """State, sequences and constants with these floating tensors."""
        whole = list(flat)
        for k, t in zip(moving, floats):
            whole[k] = t
        state, sequences, tensors = tf.nest.pack_sequence_as(nest, whole)
        return state, sequences, [c if t is None else t for t, c in zip(tensors, constant)]

    @tf.custom_gradient  # type: ignore[untyped-decorator, unused-ignore]
    def compute(*floats: Any) -> Any:
        state, sequences, constant = packed(floats)
        rows, states, last = _forwards(step, n_steps, sequences, state, constant, shapes)

        def derivative(*cotangents: Any) -> list[Any]:
            return _backwards(step, n_steps, sequences, states, constant, len(rows), cotangents)

        return (*rows, *tf.nest.flatten(last)), derivative

    found = list(compute(*(flat[k] for k in moving)))
    return found[: len(shapes)], tf.nest.pack_sequence_as(state, found[len(shapes) :])


def _forwards(
    step: Step, n_steps: int, sequences: Any, state: Any, constant: Any, shapes: Any
) -> tuple[list[Any], Any, Any]:
    """Results, states before each step, and the last state."""

    def body(i: Any, state: Any, states: Any, rows: Any) -> Any:
        states = tf.nest.map_structure(lambda kept, now: _written(kept, i, now), states, state)
        results, state = step(i, [tf.gather(s, i) for s in sequences], state, constant)
        return i + 1, state, states, [_written(kept, i, y) for kept, y in zip(rows, results)]

    rows = [tf.zeros([n_steps, *shape], dtype) for dtype, shape in shapes]
    states = tf.nest.map_structure(lambda t: tf.zeros([n_steps, *t.shape], t.dtype), state)
    start = (tf.constant(0), state, states, rows)
    _, last, states, rows = tf.while_loop(lambda i, *_: i < n_steps, body, start, maximum_iterations=n_steps)
    return rows, states, last


def _backwards(
    step: Step, n_steps: int, sequences: Any, states: Any, constant: Any, n_rows: int, cotangents: Sequence[Any]
) -> list[Any]:
    """Cotangents of the floating tensors among initial state, sequences and constants."""
    of_rows, of_last = list(cotangents[:n_rows]), _floating(cotangents[n_rows:])
    start = (
        tf.constant(n_steps - 1),
        of_last,
        [tf.zeros_like(s) for s in _floating(sequences)],
        [tf.zeros_like(c) for c in _floating(constant)],
    )

    def body(i: Any, of_state: Any, of_sequences: Any, of_constant: Any) -> Any:
        state = tf.nest.map_structure(lambda kept: tf.gather(kept, i), states)
        elements = [tf.gather(s, i) for s in sequences]
        sources = [_floating(state), _floating(elements), _floating(constant)]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            results, new_state = step(i, elements, state, constant)
        pairs = [(y, tf.gather(c, i)) for y, c in zip(results, of_rows) if y.dtype.is_floating]
        pairs += list(zip(_floating(new_state), of_state))
        targets, seeds = zip(*pairs)
        found = tape.gradient(list(targets), sources, list(seeds), unconnected_gradients="zero")
        of_state, of_elements, more = tf.nest.map_structure(tf.convert_to_tensor, found)
        of_sequences = [_written(kept, i, c) for kept, c in zip(of_sequences, of_elements)]
        return i - 1, of_state, of_sequences, [c + m for c, m in zip(of_constant, more)]

    _, of_state, of_sequences, of_constant = tf.while_loop(
        lambda i, *_: i >= 0, body, start, maximum_iterations=n_steps
    )
    return [*of_state, *of_sequences, *of_constant]


def _floating(nest: Any) -> list[Any]:
    return [t for t in tf.nest.flatten(nest) if tf.is_tensor(t) and t.dtype.is_floating]


def _written(kept: Any, i: Any, value: Any) -> Any:
    """Array with row i replaced."""
    return tf.ensure_shape(tf.tensor_scatter_nd_update(kept, [[i]], tf.expand_dims(value, 0)), kept.shape)
