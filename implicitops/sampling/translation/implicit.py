"""Implicit nodes of a model: our Theano op becomes the op of our TensorFlow backend, derivatives and XLA included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from theano.compile.builders import OpFromGraph
from theano.scan.op import Scan

from implicitops.backends.tensorflow.bridge import node_of
from implicitops.backends.tensorflow.routes import apply
from implicitops.backends.theano.op import SymbolicOperation
from implicitops.problems.base import Problem
from implicitops.sampling.translation.dispatch import register, sorted_nodes


@register(SymbolicOperation)
def symbolic_operation(op: Any, node: Any, *tensors: Any) -> list[Any]:
    """Any operation of the calculus: a solve or what a derivative consists of."""
    return apply(node_of(op.operation), tensors)


def problems_in(inputs: Sequence[Any], outputs: Sequence[Any]) -> Iterator[Problem]:
    """Problems that a Theano graph solves, those of graphs that its Ops hold included.

    Parameters
    ----------
    inputs, outputs : sequences of Theano variables
    """
    for node in sorted_nodes(inputs, outputs)[0]:
        if isinstance(node.op, SymbolicOperation):
            problem = getattr(node.op.operation, "problem", None)
            if problem is not None:
                yield problem
        elif isinstance(node.op, Scan):
            yield from problems_in(node.op.inputs, node.op.outputs)
        elif isinstance(node.op, OpFromGraph):
            yield from problems_in(node.op.local_inputs, node.op.local_outputs)
