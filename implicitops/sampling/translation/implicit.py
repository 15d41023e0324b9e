"""Implicit nodes of a model: our Theano op becomes the op of our TensorFlow backend, derivatives and XLA included."""

from __future__ import annotations

from typing import Any

from implicitops.backends import (
    tensorflow,  # noqa: F401  registers what saved graphs need
    tensorflow_op,
)
from implicitops.backends.tensorflow_bridge import node_of
from implicitops.backends.theano_op import SymbolicOperation
from implicitops.sampling.translation.dispatch import register


@register(SymbolicOperation)
def symbolic_operation(op: Any, node: Any, *tensors: Any) -> list[Any]:
    """Any operation of the calculus: a solve or what a derivative consists of."""
    return tensorflow_op.apply(node_of(op.operation), tensors)
