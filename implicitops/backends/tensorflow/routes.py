"""How a node of the calculus is made, in one place: a call of our op or of Python, its node in a graph, or one for XLA.

No solver and no derivative rule lives here; derivatives are in rules.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import tensorflow as tf

from implicitops.backends.tensorflow import python, xla
from implicitops.backends.tensorflow.bridge import Node, check_shapes, node_of
from implicitops.backends.tensorflow.op import EAGER, OP, library, set_shapes, shape_of
from implicitops.calculus import Operation

executing_eagerly = tf.executing_eagerly  # looked up once, since eager calls are counted in microseconds

_for_xla: ContextVar[bool] = ContextVar("implicitops_for_xla", default=False)


def call(operation: Operation, *inputs: Any) -> list[Any]:
    """Outputs of an operation on float64 tensors, with a derivative of any order that the calculus has.

    Parameters
    ----------
    operation : Operation
    *inputs : float64 tensors; leading axes broadcast

    Returns
    -------
    list of tensors, batch shape followed by each of ``operation.output_shapes``
    """
    return apply(node_of(operation), inputs)


def apply(node: Node, inputs: Sequence[Any]) -> list[Any]:
    """Outputs of a node's operation; where derivatives are watched, a value is integrated together with them."""
    if node.is_plain:
        return make(node, inputs)
    if node.sensitivities is not None:
        together = node_of(node.sensitivities)
        wanted = 2 if is_watched(inputs) and node.has_sensitivities else 1
        return make(together, inputs, n_wanted=wanted)[:1]
    # First what computes it, whose only derivative is that of the value; then what gives the rest a derivative.
    return make(node, inputs, known=make(node, inputs))


def make(node: Node, inputs: Sequence[Any], known: Sequence[Any] = (), n_wanted: int | None = None) -> list[Any]:
    """One node of a graph, or one call of the op.

    Parameters
    ----------
    node : Node
    inputs : sequence of float64 tensors
    known : the outputs, if they were computed before; then only their derivative is defined
    n_wanted : int, so many of the first outputs are computed; all by default
    """
    n_wanted = node.n_outputs if n_wanted is None else n_wanted
    if executing_eagerly():
        return _called(node, inputs, known, n_wanted, b"")
    shapes = [shape_of(x) for x in inputs]
    check_shapes(node, shapes)
    if is_for_xla():
        return xla.make(node, inputs, known, n_wanted)
    outputs = _called(node, inputs, known, n_wanted, node.pickled)
    set_shapes(node, shapes, outputs[:n_wanted])
    return outputs


def _called(node: Node, inputs: Sequence[Any], known: Sequence[Any], n_wanted: int, pickled: bytes) -> list[Any]:
    try:
        return _maker()(
            inputs=inputs,
            known=known,
            operation=node.name,
            n_outputs=node.n_outputs,
            n_wanted=n_wanted,
            pickled=pickled,
        )
    except tf.errors.InvalidArgumentError:
        check_shapes(node, [shape_of(x) for x in inputs])  # says the same in the words of the other backends
        raise


def eager_call(node: Node) -> Callable[[tuple[Any, ...]], Any] | None:
    """Function from float64 tensors to a node's only output, outside any graph, as fast as TensorFlow's own ops.

    It returns None for arguments that are anything else, or if something is wrong: then :func:`apply` does the same,
    and says what. Without our op, or without what TensorFlow's own functions call, there is no such function.
    """
    try:
        from tensorflow.python.eager.context import context
        from tensorflow.python.pywrap_tfe import TFE_Py_FastPathExecute as execute
    except ImportError:
        return None
    if library() is None or not node.is_plain or node.n_outputs != 1:
        return None
    eager, float64, name, n_inputs = EAGER, tf.float64.as_datatype_enum, node.name, len(node.input_shapes)

    def call(arguments: tuple[Any, ...]) -> Any:
        if len(arguments) != n_inputs:
            return None
        for argument in arguments:
            if type(argument) is not eager or argument._datatype_enum() != float64:
                return None
        now = context()
        if not now.executing_eagerly():
            return None
        try:
            return execute(now, OP, None, [*arguments], [], "operation", name, "n_outputs", 1)[0]
        except Exception:
            return None

    return call


@lru_cache(maxsize=1)
def _maker() -> Callable[..., Any]:
    """What makes a node: our op, or Python where the op cannot be loaded."""
    found = library()
    if found is not None:
        return found[0].implicitops_apply
    return python.make


def is_for_xla() -> bool:
    """Whether the graph that is being made will be compiled by XLA."""
    from tensorflow.python.framework import ops
    from tensorflow.python.ops import control_flow_util

    return _for_xla.get() or bool(control_flow_util.GraphOrParentsInXlaContext(ops.get_default_graph()))


@contextmanager
def for_xla() -> Iterator[None]:
    """In this context nodes are made for XLA, whatever the graph says.

    That of the derivative of a function that was loaded does not know what it will be compiled by.
    """
    token = _for_xla.set(True)
    try:
        yield
    finally:
        _for_xla.reset(token)


def is_watched(tensors: Sequence[Any]) -> bool:
    """Whether a tape or an accumulator of tangents records what is computed from these tensors."""
    try:
        from tensorflow.python.ops.gradients_util import PossibleTapeGradientTypes
    except ImportError:
        return True
    return int(PossibleTapeGradientTypes(tensors)) > 0
