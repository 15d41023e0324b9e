"""Graphs inside of Ops: loops by theano.scan, conditions by ifelse, and OpFromGraph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import tensorflow as tf
from theano.compile.builders import OpFromGraph
from theano.ifelse import IfElse
from theano.scan.op import Scan

from implicitops.sampling.translation.dispatch import (
    Translated,
    as_tensor,
    cast,
    known_value,
    missing_inside,
    register,
    translate,
)
from implicitops.sampling.translation.reverse import run_loop
from implicitops.sampling.translation.shapes import known_axis, lengths


@register(OpFromGraph, requires=lambda op, node: missing_inside(op.local_inputs, op.local_outputs))
def op_from_graph(op: Any, node: Any, *tensors: Any) -> list[Any]:
    """The graph inside; TensorFlow differentiates it, whatever gradient was given to the Op."""
    return translate(op.local_inputs, op.local_outputs)(*tensors)


@register(IfElse)
def if_else(op: Any, node: Any, condition: Any, *branches: Any) -> list[Any]:
    """One of two lists of results."""
    dtypes = [v.dtype for v in node.outputs]
    yes = [cast(t, d) for t, d in zip(branches[: op.n_outs], dtypes)]
    no = [cast(t, d) for t, d in zip(branches[op.n_outs :], dtypes)]
    return list(tf.nest.flatten(tf.cond(cast(condition, tf.bool), lambda: yes, lambda: no)))


# -- scan -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Inputs:
    """What a Scan node receives, sorted by its use; a buffer's first axis is the time."""

    n_steps: Any
    sequences: list[Any]
    updated: list[Any]  # buffers of which several elements are read and written: "mit_mot"
    recurrent: list[Any]  # buffers that begin with initial values: "mit_sot" and "sit_sot"
    shared: list[Any]
    lengths: list[Any]  # how many results are kept of outputs that don't recur: "nit_sot"
    constant: list[Any]


def _sorted_inputs(op: Any, tensors: Sequence[Any]) -> _Inputs:
    groups, rest = [], list(tensors[1:])
    for n in (op.n_seqs, op.n_mit_mot, op.n_mit_sot + op.n_sit_sot, op.n_shared_outs, op.n_nit_sot):
        groups.append(rest[:n])
        rest = rest[n:]
    sequences, updated, recurrent, shared, kept = groups
    return _Inputs(tensors[0], sequences, updated, recurrent, shared, kept, rest)


#: Loops of so many steps are written out.
UNROLLED_STEPS = 32


@lru_cache(maxsize=64)
def _translated(op: Any) -> Translated:
    return translate(op.inputs, op.outputs)


@register(Scan, requires=lambda op, node: missing_inside(op.inputs, op.outputs))
def scan(op: Any, node: Any, *tensors: Any) -> list[Any]:
    """Loop whose results of each step are kept; under XLA the number of steps has to be known when tracing.

    The state that a step needs is carried in full (buffers) or as its last few values (histories).
    """
    return _Loop(op, _sorted_inputs(op, tensors)).run()


class _Loop:
    """A Scan at given inputs."""

    def __init__(self, op: Any, inputs: _Inputs) -> None:
        self.op, self.inputs = op, inputs
        n_steps = known_axis(inputs.n_steps)
        self.n_steps = n_steps if isinstance(n_steps, int) else tf.cast(n_steps, tf.int32)
        for sequence in inputs.sequences:
            n = sequence.shape[0]
            if isinstance(n, int) and isinstance(self.n_steps, int) and n < self.n_steps:
                raise ValueError(
                    f"a scan of {self.n_steps} steps needs sequences of that length; got one of length {n}."
                )
        self.memory = [-int(min(taps)) for taps in op.tap_array[op.n_mit_mot : op.n_outs]]
        kept = [lengths(buffer)[0] for buffer in inputs.recurrent] + [known_axis(n) for n in inputs.lengths]
        self.kept = [n if isinstance(n, int) else tf.cast(n, tf.int32) for n in kept]
        # What the loop need not see as a tensor stays an array, for the shapes that depend on it.
        self.constant = [t if known_value(t) is None else known_value(t) for t in inputs.constant]
        #: Outputs that are written out step by step: those of which more is kept than the history.
        memory = self.memory + [0] * op.n_nit_sot
        self.written = [k for k, (n, m) in enumerate(zip(self.kept, memory)) if not (isinstance(n, int) and n <= m)]

    def run(self) -> list[Any]:
        op, inputs = self.op, self.inputs
        histories = tuple(buffer[:m] for buffer, m in zip(inputs.recurrent, self.memory))
        state = (tuple(inputs.updated), histories, tuple(inputs.shared))
        known = isinstance(self.n_steps, int) and all(t.shape.is_fully_defined() for t in tf.nest.flatten(state))
        if op.as_while or not known:
            rows, (updated, last, shared) = self._looped(state)
        elif self.n_steps <= UNROLLED_STEPS:
            rows, (updated, last, shared) = self._unrolled(state)
        else:
            rows, (updated, last, shared) = self._with_own_derivative(state)
        outputs = list(last) + [None] * op.n_nit_sot
        for k, y in zip(self.written, rows):
            outputs[k] = y if k >= len(histories) else tf.concat([histories[k], y], axis=0)
        return [*updated, *(self._kept(y, n) for y, n in zip(outputs, self.kept)), *shared]

    def _unrolled(self, state: Any) -> tuple[list[Any], Any]:
        """Results and last state, each step written out."""
        rows: list[list[Any]] = [[] for _ in self.written]
        for i in range(self.n_steps):
            results, _, state = self._step(i, [s[i] for s in self.inputs.sequences], state, self.constant)
            for k, kept in zip(self.written, rows):
                kept.append(results[k])
        return [tf.stack(kept) for kept in rows], state

    def _looped(self, state: Any) -> tuple[list[Any], Any]:
        """Results and last state by a loop."""
        sequences = [self._unstacked(s) for s in self.inputs.sequences]

        def body(i: Any, goes_on: Any, state: Any, arrays: Any) -> Any:
            results, stops, state = self._step(i, [a.read(i) for a in sequences], state, self.constant)
            arrays = [array.write(i, results[k]) for k, array in zip(self.written, arrays)]
            return i + 1, tf.logical_not(cast(stops, tf.bool)) if self.op.as_while else goes_on, state, arrays

        i, _, state, arrays = tf.while_loop(
            lambda i, goes_on, *_: tf.logical_and(i < self.n_steps, goes_on) if self.op.as_while else i < self.n_steps,
            body,
            (tf.constant(0), tf.constant(True), state, self._arrays(state)),
            maximum_iterations=self.n_steps if isinstance(self.n_steps, int) else None,
        )
        rows = [array.stack() for array in arrays]
        return [y[:i] for y in rows] if self.op.as_while else rows, state

    def _with_own_derivative(self, state: Any) -> tuple[list[Any], Any]:
        """The same by a loop whose derivative is written here, see reverse.py."""

        def step(i: Any, elements: Any, state: Any, constant: Any) -> tuple[list[Any], Any]:
            results, _, state = self._step(i, elements, state, constant)
            return [results[k] for k in self.written], state

        shapes = self._shapes_of_results(state) if self.written else []
        return run_loop(step, self.n_steps, self.inputs.sequences, state, self.constant, shapes)

    def _unstacked(self, sequence: Any) -> Any:
        array = tf.TensorArray(sequence.dtype, size=self.n_steps, element_shape=sequence.shape[1:])
        return array.unstack(sequence[: self.n_steps])

    def _kept(self, rows: Any, n: Any) -> Any:
        """Last n rows of those that there are, with zeros after them if there are fewer."""
        available = rows.shape[0]
        if isinstance(n, int) and isinstance(available, int):
            if n <= available:
                return rows[available - n :]
            if not self.op.as_while:
                return tf.pad(rows, [[0, n - available]] + [[0, 0]] * (rows.shape.rank - 1))
        rows = rows[tf.maximum(tf.shape(rows)[0] - n, 0) :]
        if self.op.as_while:  # which returns as many rows as it has
            return rows
        return tf.pad(rows, [[0, tf.maximum(n - tf.shape(rows)[0], 0)]] + [[0, 0]] * (rows.shape.rank - 1))

    def _arrays(self, state: Any) -> list[Any]:
        """Empty TensorArrays, with the shapes that XLA wants to know."""
        found = self._shapes_of_results(state) if self.written else []
        return [tf.TensorArray(dtype, size=self.n_steps, element_shape=shape) for dtype, shape in found]

    def _shapes_of_results(self, state: Any) -> list[tuple[Any, Any]]:
        def results(elements: Any, state: Any, given: Any) -> list[Any]:
            tensors = iter(given)
            constant = [next(tensors) if tf.is_tensor(t) else t for t in self.constant]
            found = self._inner(0, elements, state, constant)[1]
            return [found[k] for k in self.written]

        elements = [tf.TensorSpec(s.shape[1:], s.dtype) for s in self.inputs.sequences]
        specs = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), state)
        given = [tf.TensorSpec(t.shape, t.dtype) for t in self.constant if tf.is_tensor(t)]
        traced = tf.function(results, autograph=False).get_concrete_function(elements, specs, given)
        return [(t.dtype, t.shape) for t in traced.outputs]

    def _step(self, i: Any, elements: Any, state: Any, constant: Any) -> Any:
        """Results of one step, whether the loop ends, and the state after it."""
        updated, histories, shared = state
        slices, results, shared_results, stops = self._inner(i, elements, state, constant)
        histories = tuple(
            _like(tf.concat([history[1:], tf.expand_dims(y, 0)], axis=0), history)
            for history, y in zip(histories, results)
        )
        shared = tuple(_like(new, old) for new, old in zip(shared_results, shared))
        return results, stops, (self._write(updated, slices, i), histories, shared)

    def _inner(self, i: Any, elements: Any, state: Any, constant: Any) -> Any:
        """One evaluation of the inner graph: slices of updated buffers, results, shared results, condition."""
        op, taps = self.op, self.op.tap_array
        updated, histories, shared = state
        from_buffers = [
            tf.gather(buffer, (i - int(min(taps[j])) + t) % _length(buffer), axis=0)
            for j, buffer in enumerate(updated)
            for t in taps[j]
        ]
        from_histories = [
            history[m + t]
            for history, m, times in zip(histories, self.memory, taps[op.n_mit_mot : op.n_outs])
            for t in times
        ]
        results = _translated(op)(*elements, *from_buffers, *from_histories, *shared, *constant)
        n_slices, n_results = op.n_mit_mot_outs, op.n_mit_sot + op.n_sit_sot + op.n_nit_sot
        after = n_slices + n_results
        shared_results = results[after : after + op.n_shared_outs]
        return results[:n_slices], results[n_slices:after], shared_results, results[-1]

    def _write(self, updated: Any, slices: Sequence[Any], i: Any) -> Any:
        """Buffers with what a step wrote to them."""
        new, remaining = [], iter(slices)
        for j, buffer in enumerate(updated):
            old = buffer
            for t in self.op.mit_mot_out_slices[j]:
                row = (i - int(min(self.op.tap_array[j])) + t) % _length(buffer)
                here = tf.reshape(tf.equal(tf.range(_length(buffer)), row), [-1] + [1] * (buffer.shape.rank - 1))
                buffer = tf.where(here, tf.expand_dims(next(remaining), 0), buffer)
            new.append(_like(buffer, old))
        return tuple(new)


def _length(buffer: Any) -> Any:
    n = buffer.shape[0]
    return tf.shape(buffer)[0] if n is None else n


def _like(new: Any, old: Any) -> Any:
    """Tensor with the static shape that the loop began with."""
    return tf.ensure_shape(as_tensor(new), old.shape)
