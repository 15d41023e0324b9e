"""Theano's portable generator MRG31k3p, draw for draw. NumPy's generators (RandomStream) have no translation."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import tensorflow as tf
from theano.sandbox.rng_mrg import DotModulo, mrg_uniform

from implicitops.sampling.translation.dispatch import cast, register
from implicitops.sampling.translation.shapes import as_shape

# L'Ecuyer & Touzin, Fast combined multiple recursive generators with multipliers of the form a = +-2^q +-2^r,
# Winter Simulation Conference 2000: two moduli, and one multiplier of the second component.
_M1, _M2, _MULTIPLIER = 2**31 - 1, 2**31 - 21069, 21069


@register(DotModulo)
def dot_modulo(op: Any, node: Any, a: Any, s: Any, m: Any, a2: Any, s2: Any, m2: Any) -> Any:
    """Two products of matrix and vector, each modulo a number, one after the other."""
    halves = []
    for matrix, vector, modulus in ((a, s, m), (a2, s2, m2)):
        modulus = cast(modulus, tf.int64)
        terms = tf.math.floormod(cast(matrix, tf.int64) * cast(vector, tf.int64), modulus)
        halves.append(tf.math.floormod(tf.reduce_sum(terms, axis=1), modulus))
    return tf.concat(halves, axis=0)


@register(mrg_uniform)
def uniform(op: Any, node: Any, state: Any, size: Any) -> list[Any]:
    """States after the draws, and uniform numbers: element k comes from stream k modulo the number of streams."""
    # Half precision has another scale, which nobody asked for so far.
    shape = as_shape(tf.unstack(size, num=node.outputs[1].ndim)) if node.outputs[1].ndim else []
    count = tf.reduce_prod(tf.cast(tf.constant(shape, tf.int64) if isinstance(shape, list) else shape, tf.int64))
    known = tf.get_static_value(count) if not isinstance(shape, list) else prod(shape)
    n_streams = state.shape[0] if state.shape[0] is not None else tf.shape(state, out_type=tf.int64)[0]
    states = cast(state, tf.int64)
    if known is not None and isinstance(n_streams, int) and known <= n_streams:
        states, draws = _advanced(states, known, n_streams)
        numbers = draws[:known]
    else:
        states, numbers = _in_rounds(states, count, tf.cast(n_streams, tf.int64))
    dtype = node.outputs[1].dtype
    # Theano's factor is rounded to single precision where the numbers are, so that none of them becomes 1.
    numbers = tf.cast(numbers, tf.float64) * (float(np.float32(4.6566126e-10)) if dtype == "float32" else 2.0**-31)
    return [states, tf.reshape(cast(numbers, dtype), shape)]


def _in_rounds(states: Any, count: Any, n_streams: Any) -> tuple[Any, Any]:
    """Draws of more numbers than there are streams, or of a number that is not known when tracing."""
    n_rounds = tf.cast((count + n_streams - 1) // n_streams, tf.int32)
    arrays = tf.TensorArray(tf.int64, size=n_rounds, element_shape=states.shape[:1])

    def one_round(k: Any, now: Any, array: Any) -> Any:
        now, draws = _advanced(now, count - tf.cast(k, tf.int64) * n_streams, n_streams)
        return k + 1, now, array.write(k, draws)

    _, states, arrays = tf.while_loop(lambda k, *_: k < n_rounds, one_round, (tf.constant(0), states, arrays))
    return states, tf.reshape(arrays.stack(), [-1])[:count]


def _advanced(states: Any, wanted: Any, n_streams: Any) -> tuple[Any, Any]:
    """States of which the first ``wanted`` are advanced, and a draw of each stream."""
    new, draws = _next(states)
    moves = tf.range(tf.cast(n_streams, tf.int64)) < tf.cast(wanted, tf.int64)
    return tf.where(moves[:, None], new, states), draws


def _next(states: Any) -> tuple[Any, Any]:
    x11, x12, x13, x21, x22, x23 = tf.unstack(states, num=6, axis=1)
    # 2^22 x12 + (2^7 + 1) x13 modulo 2^31 - 1, where shifted-out bits return at the other end
    first = _reduced(_rotated(x12, 22) + _rotated(x13, 7), _M1)
    first = _reduced(first + x13, _M1)
    # 2^15 x21 + (2^15 + 1) x23 modulo 2^31 - 21069
    second = _reduced(_folded(x21), _M2)
    third = _reduced(_folded(x23), _M2)
    third = _reduced(third + x23, _M2)
    second = _reduced(third + second, _M2)
    difference = first - second
    numbers = tf.where(first <= second, difference + _M1, difference)
    return tf.stack([first, x11, x12, second, x21, x22], axis=1), numbers


def _rotated(x: Any, bits: int) -> Any:
    low = 2 ** (31 - bits)
    return (x % low) * 2**bits + x // low


def _folded(x: Any) -> Any:
    return (x % 2**16) * 2**15 + _MULTIPLIER * (x // 2**16)


def _reduced(x: Any, modulus: int) -> Any:
    return tf.where(x >= modulus, x - modulus, x)
