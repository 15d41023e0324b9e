"""Gives what was computed by TensorFlow or Python the derivatives of an operation. How, is not known here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2

from implicitops.backends.tensorflow.bridge import NAME_ATTRIBUTE, Node

#: Name under which TensorFlow finds the derivative.
OP = "ImplicitopsAnchor"

#: Attribute of a node: so many of the outputs were computed, -1 if all were known before.
WANTED_ATTRIBUTE = "_implicitops_wanted"


def anchored(node: Node, inputs: Sequence[Any], outputs: Sequence[Any], n_wanted: int) -> list[Any]:
    """Outputs with the derivatives of a node, whatever they were computed with.

    They pass through an IdentityN together with the inputs. Attributes of it say that its derivative, and what it is in
    a vectorised loop, are ours and not TensorFlow's own.

    Parameters
    ----------
    node : Node
    inputs : sequence of float64 tensors
    outputs : sequence of tensors, computed from them where no tape saw it
    n_wanted : int, how many of the outputs were computed; -1 if they were known before
    """
    from tensorflow.python.eager import execute

    operands = [captured(x) for x in (*inputs, *outputs)]
    with off_tape():
        passed = tf.identity_n(operands)
    if not tf.executing_eagerly():
        kept: dict[str, str | int] = {"_gradient_op_type": OP, NAME_ATTRIBUTE: node.name, WANTED_ATTRIBUTE: n_wanted}
        set_attributes(passed[0].op, kept)
    execute.record_gradient(OP, operands, ("operation", node.name, "n_wanted", n_wanted), passed)
    return list(passed[len(inputs) :])


def captured(tensor: Any) -> Any:
    """A tensor in the graph that is being made; what comes from elsewhere enters it here, where tapes see it."""
    is_here = tf.executing_eagerly() or getattr(tensor, "graph", None) is tf.compat.v1.get_default_graph()
    return tensor if is_here else tf.identity(tensor)


def set_attributes(op: Any, attributes: Mapping[str, str | int]) -> None:
    """Keep something with an op of a graph, also of one that is saved."""
    for name, value in attributes.items():
        kept = {"s": value.encode()} if isinstance(value, str) else {"i": value}
        op._set_attr(name, attr_value_pb2.AttrValue(**kept))


def off_tape() -> Any:
    """What is made in this context is on no tape."""
    try:
        from tensorflow.python.eager.record import stop_recording
    except ImportError:  # before TensorFlow 2.13
        from tensorflow.python.eager.tape import stop_recording
    return stop_recording()
