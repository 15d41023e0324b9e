"""The TensorFlow face: tensors in, a tensor out. Nodes are made in routes.py, derivatives in rules.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import tensorflow as tf

from implicitops.backends.batches import as_float64
from implicitops.backends.tensorflow import (
    op,
    routes,
    rules,  # noqa: F401  registers them
    xla,
)
from implicitops.backends.tensorflow.bridge import Node, node_of
from implicitops.calculus import Solve
from implicitops.calculus.status_of import StatusOf
from implicitops.errors import ArgumentError
from implicitops.kernels import handle_of
from implicitops.problems.base import Problem

# Graphs that were saved find the op and its custom call once this module is imported.
op.library()
xla.registered()

_FLOAT64 = tf.float64.as_datatype_enum


def owns(argument: Any) -> bool:
    """True for tensors, variables, and what Keras stands in for them."""
    return bool(tf.is_tensor(argument)) or _is_of_keras(argument)


def apply(problem: Problem, arguments: Sequence[Any], *, status: bool = False, start_given: bool = False) -> Any:
    """Solution of a problem as a tensor: float64, of a shape that broadcasts as in NumPy.

    Parameters
    ----------
    problem : Problem
    arguments : tensors, numbers or arrays; those of other real dtypes are computed in float64
    status : bool, return the code of each solve's status too, an int32 of the batch shape
    start_given : bool, the last arguments are start values, see :meth:`Problem.bind_all`

    Returns
    -------
    tf.Tensor, or the pair with the status; a solve that fails gives NaN, see :mod:`implicitops.backends.failures`

    Raises
    ------
    ArgumentError : an argument has the wrong type or shape
    UnsupportedExpressionError : an expression contains a function that has no machine code
    """
    name = "_tensorflow_node_with_start" if start_given else "_tensorflow_node"
    node: Node | None = problem.__dict__.get(name)
    if node is None:
        operation = Solve(problem, start_given=start_given)
        handle_of(operation)  # whatever cannot be compiled is said here, not when a graph runs
        node = problem.__dict__[name] = node_of(operation)
        shortcut = None if start_given else routes.eager_call(node)
        if shortcut is not None:
            problem.__dict__.setdefault("_shortcuts", {})[op.EAGER] = shortcut
    if not all(map(_is_ready, arguments)):
        if any(map(_is_of_keras, arguments)):
            return _keras_layer(problem, arguments, status, start_given)
        named = zip(arguments, node.input_shapes, node.input_names)
        arguments = [_as_tensor(a, shape, name) for a, shape, name in named]
    value = routes.apply(node, arguments)[0]
    if not status:
        return value
    (code,) = routes.apply(_status_node(problem.output_shape), [value])
    return value, tf.raw_ops.Cast(x=code, DstT=tf.int32)


@lru_cache
def _status_node(shape: tuple[int, ...]) -> Node:
    return node_of(StatusOf(shape))


def _is_ready(argument: Any) -> bool:
    """Whether it is a float64 tensor outside any graph, which is asked so that it takes no time."""
    return type(argument) is op.EAGER and argument._datatype_enum() == _FLOAT64


def _is_of_keras(argument: Any) -> bool:
    """Whether it stands for a tensor while a model is made; of Keras 3 TensorFlow itself does not know that."""
    return type(argument).__name__ == "KerasTensor"


def _keras_layer(problem: Problem, arguments: Sequence[Any], status: bool, start_given: bool) -> Any:
    """Output of a layer that solves the problem; of the same Keras as its inputs, of which there may be two."""
    positions = [k for k, argument in enumerate(arguments) if _is_of_keras(argument)]
    keras = sys.modules[type(arguments[positions[0]]).__module__.partition(".")[0]]

    def solved(tensors: Sequence[Any]) -> Any:
        known = dict(zip(positions, tensors))
        found = [known.get(k, argument) for k, argument in enumerate(arguments)]
        return apply(problem, found, status=status, start_given=start_given)

    return keras.layers.Lambda(solved)([arguments[k] for k in positions])


def _as_tensor(argument: Any, shape: tuple[int, ...], name: str) -> Any:
    if isinstance(argument, (list, tuple)) and any(map(tf.is_tensor, tf.nest.flatten(argument))):
        try:
            return tf.stack([_as_tensor(item, (), name) for item in argument])
        except ArgumentError:
            raise
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            raise ArgumentError(f"{name}: the tensors of a list must have the same shape: {error}") from None
    if not tf.is_tensor(argument):
        return tf.constant(as_float64(argument, shape, name))
    try:
        tensor = tf.convert_to_tensor(argument)
    except Exception as error:  # TensorFlow raises TypeError, ValueError and more
        raise ArgumentError(f"{name} must be a dense tensor; got {argument!r:.80}: {error}") from None
    if not (tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool):
        raise ArgumentError(f"{name} must be real numbers; got a tensor of dtype {tensor.dtype.name}.")
    return tensor if tensor.dtype == tf.float64 else tf.cast(tensor, tf.float64)
