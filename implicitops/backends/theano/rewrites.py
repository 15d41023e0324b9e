"""What Theano's optimiser may do with our op: leave out what nobody uses, and not write out what repeats."""

from __future__ import annotations

from typing import Any

from theano.graph.opt import local_optimizer
from theano.tensor.basic import Alloc
from theano.tensor.opt import register_canonicalize, register_specialize

from implicitops.backends.theano.op import SymbolicOperation, call, padded
from implicitops.calculus import Evaluate, Operation, Solve
from implicitops.calculus.rules import is_propagated
from implicitops.calculus.selection import Selection
from implicitops.calculus.sensitivities import Sensitivities


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


@register_canonicalize("fast_compile")
@register_specialize
@local_optimizer([SymbolicOperation])
def local_one_integration(fgraph: Any, node: Any) -> Any:
    """Values from the node that computes the most derivatives of the same problem at the same inputs."""
    problem, order = _integration(node.op.operation)
    if problem is None:
        return False
    best = None
    for other, _ in fgraph.clients[node.inputs[0]]:
        if other == "output" or not isinstance(other.op, SymbolicOperation) or other.inputs != node.inputs:
            continue
        other_problem, other_order = _integration(other.op.operation)
        # Unless its derivative is unused, when it is about to become a node of lower order.
        if other_problem == problem and other_order > order and fgraph.clients[other.outputs[other_order]]:
            best, order = other, other_order
    return False if best is None else best.outputs[: len(node.outputs)]


@register_canonicalize("fast_compile")
@register_specialize
@local_optimizer([SymbolicOperation])
def local_unwanted_derivatives(fgraph: Any, node: Any) -> Any:
    """No derivatives are integrated along with a value that alone is used."""
    if not isinstance(node.op.operation, Sensitivities):
        return False
    problem, order = _integration(node.op.operation)
    wanted = max((k for k, output in enumerate(node.outputs) if fgraph.clients[output]), default=order)
    if wanted == order:
        return False
    smaller = call(Sensitivities(problem, wanted) if wanted else Solve(problem), *node.inputs)
    return dict(zip(node.outputs, smaller))


def _integration(operation: Operation) -> tuple[Any, int]:
    """Problem that an operation integrates, and the order of its derivatives; None if it does not do that."""
    if isinstance(operation, Sensitivities):
        return operation.problem, operation.order
    if isinstance(operation, Solve) and is_propagated(operation.problem) and not operation.start_given:
        return operation.problem, 0
    return None, 0


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
