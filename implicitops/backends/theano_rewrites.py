"""What Theano's optimiser may do with our op: leave out what nobody uses, and not write out what repeats."""

from __future__ import annotations

from typing import Any

from theano.graph.opt import local_optimizer
from theano.tensor.basic import Alloc
from theano.tensor.opt import register_specialize

from implicitops.backends.theano_op import SymbolicOperation, call, padded
from implicitops.calculus import Evaluate
from implicitops.calculus.selection import Selection


@register_specialize
@local_optimizer([SymbolicOperation])
def local_unwanted_outputs(fgraph: Any, node: Any) -> Any:
    """Evaluation without the outputs that nobody uses, such as derivatives with respect to data."""
    operation = node.op.operation
    wanted = tuple(k for k, output in enumerate(node.outputs) if fgraph.clients[output])
    if len(wanted) == len(node.outputs) or not isinstance(operation, Evaluate):
        return False
    smaller = call(Selection(operation, wanted), *node.inputs)
    return dict(zip((node.outputs[k] for k in wanted), smaller))


@register_specialize
@local_optimizer([SymbolicOperation])
def local_repeated_inputs(fgraph: Any, node: Any) -> Any:
    """Op on the repeated value itself instead of an array full of it, such as the cotangent of a sum."""
    inputs = [_without_alloc(variable, node.op.batch_rank(node.inputs)) for variable in node.inputs]
    if inputs == node.inputs:
        return False
    outputs = node.op.make_node(*inputs).outputs
    # Of equal type: the other inputs still say how long each axis is.
    return outputs if all(new.type == old.type for new, old in zip(outputs, node.outputs)) else False


def _without_alloc(variable: Any, n_batch: int) -> Any:
    if variable.owner is None or not isinstance(variable.owner.op, Alloc):
        return variable
    value = padded(variable.owner.inputs[0], variable.ndim)
    same_core = value.broadcastable[n_batch:] == variable.broadcastable[n_batch:]
    return value if same_core else variable
