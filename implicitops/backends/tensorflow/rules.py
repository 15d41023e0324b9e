"""Derivatives of the TensorFlow op, by replaying the calculus: reverse mode, forward mode, vectorisation over a loop.

A rule reads the inputs and outputs of a node, so that it is itself differentiable, to any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2

from implicitops.backends.tensorflow import anchor, xla
from implicitops.backends.tensorflow.bridge import NAME_ATTRIBUTE, Missing, Node, node_of, recall
from implicitops.backends.tensorflow.op import OP
from implicitops.backends.tensorflow.routes import apply, for_xla, make
from implicitops.calculus import Operation, Program, Solve
from implicitops.calculus.operation import Shape
from implicitops.calculus.sensitivities import Sensitivities
from implicitops.errors import DerivativeError


@dataclass(frozen=True)
class Made:
    """A node as it is in a graph or on a tape, to be differentiated.

    Parameters
    ----------
    node : Node
    inputs, known, outputs : sequences of tensors
    want_all : callable that has the outputs computed that so far are not, and says whether they are
    is_attached : bool, it computed nothing, but gives all outputs their derivatives
    """

    node: Node
    inputs: Sequence[Any]
    known: Sequence[Any]
    outputs: Sequence[Any]
    want_all: Callable[[], bool]
    is_attached: bool

    @property
    def is_value(self) -> bool:
        """Whether only the first output has a derivative: the others were computed to express it."""
        operation = self.node.operation
        return isinstance(operation, Sensitivities) and operation.order == 1 and not self.is_attached

    def pull(self, cotangents: Sequence[Any]) -> list[Any]:
        """Cotangents of the inputs; None where a derivative is zero."""
        value = self._value_node()
        outputs = self.outputs[: len(value.output_shapes)]
        seeds = [tf.zeros_like(y) if c is None else _dense(c) for y, c in zip(outputs, cotangents)]
        try:
            program = value.vjp
        except DerivativeError as error:
            return [*_missing(error, self.inputs), *[None] * len(self.known)]
        results = self._replay(program, [*self.inputs, *outputs, *seeds])
        constant = value.operation.constant_inputs
        found = [
            summed_to(r, x) if r is not None else tf.zeros_like(x) if k in constant else None
            for k, (r, x) in enumerate(zip(results, self.inputs))
        ]
        return [*found, *[None] * len(self.known)]

    def push(self, tangents: Sequence[Any]) -> list[Any]:
        """Tangents of the outputs; None where a derivative is zero."""
        value = self._value_node()
        outputs = self.outputs[: len(value.output_shapes)]
        seeds = [tf.zeros_like(x) if t is None else t for x, t in zip(self.inputs, tangents)]
        try:
            program = value.jvp
        except DerivativeError as error:
            return _missing(error, self.outputs)
        results = self._replay(program, [*self.inputs, *outputs, *seeds])
        return [*results, *[None] * (len(self.outputs) - len(results))]

    def _value_node(self) -> Node:
        return node_of(Solve(self.node.operation.problem)) if self.is_value else self.node  # type: ignore[attr-defined]

    def _replay(self, program: Program, values: Sequence[Any]) -> list[Any]:
        shared = self.node.operation if self.is_value else None

        def step(operation: Operation, *arguments: Any) -> list[Any]:
            same = operation == shared and all(a is b for a, b in zip(arguments, self.inputs))
            if same and self.want_all():
                return make(self.node, self.inputs, known=self.outputs)
            return apply(node_of(operation), arguments)

        return program.replay(values, step)


def summed_to(gradient: Any, x: Any) -> Any:
    """Cotangent of a tensor from that of its broadcast self."""
    if gradient.shape.is_fully_defined() and gradient.shape == x.shape:
        return gradient
    axes, _ = tf.raw_ops.BroadcastGradientArgs(s0=tf.shape(x), s1=tf.shape(gradient))
    return tf.reshape(tf.reduce_sum(gradient, axes), tf.shape(x))


def _missing(error: DerivativeError, likes: Sequence[Any]) -> list[Any]:
    """What stands for derivatives that do not exist: an error as soon as a graph needs one."""
    if tf.executing_eagerly():
        raise error
    (value,) = make(node_of(Missing(str(error))), [tf.zeros([], tf.float64)])
    return [tf.zeros_like(x) + value for x in likes]


def _dense(cotangent: Any) -> Any:
    return tf.convert_to_tensor(cotangent)  # slices of an array, which tf.gather's gradient is, become the array


# -- what TensorFlow tells of a node -----------------------------------------------------------------------------------


def made(op: Any) -> Made:
    """Describe a node of our op to its gradient function, which gets a tf.Operation or a tape's stand-in for one."""
    is_in_graph = isinstance(op, tf.Operation)
    node = recall(_text(op.get_attr("operation")), op.get_attr("pickled") if is_in_graph else b"")
    n, inputs = len(node.input_shapes), list(op.inputs)

    def want_all() -> bool:
        if op.get_attr("n_wanted") < node.n_outputs:
            if not is_in_graph:
                return False
            op._set_attr("n_wanted", attr_value_pb2.AttrValue(i=node.n_outputs))
        return True

    return Made(node, inputs[:n], inputs[n:], list(op.outputs), want_all, len(inputs) > n)


def made_for_xla(outputs: Sequence[Any], inputs: Sequence[Any]) -> Made:
    """Describe a custom call of XLA to its gradient function. The first input of the call is its ticket."""
    op = outputs[0].op
    node = xla.node_in(op)
    n = 1 + len(node.input_shapes)
    want_all = partial(xla.want_all, op, node.n_outputs)
    return Made(node, inputs[1:n], inputs[n:], outputs, want_all, len(inputs) > n)


def made_elsewhere(name: str, n_wanted: int, inputs: Sequence[Any], outputs: Sequence[Any]) -> Made:
    """Describe an anchor: it passes on results that TensorFlow or Python computed, and takes their inputs too."""
    node = recall(name)
    n = len(node.input_shapes)
    return Made(node, inputs[:n], inputs[n:], outputs[n:], lambda: n_wanted == node.n_outputs, n_wanted < 0)


def made_from_attributes(attributes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> Made:
    """Describe a node of our op to forward mode, which sees no graph and cannot ask for outputs that were left out."""
    pairs = _attributes(attributes)
    node = recall(_text(pairs["operation"]), pairs.get("pickled", b""))
    n, wanted = len(node.input_shapes), int(pairs["n_wanted"])
    return Made(node, inputs[:n], inputs[n:], outputs, lambda: wanted == node.n_outputs, len(inputs) > n)


def _attributes(attributes: Sequence[Any]) -> dict[str, Any]:
    """Attributes on a tape, where names and values alternate."""
    return dict(zip(attributes[::2], attributes[1::2]))


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


# -- reverse mode and forward mode -------------------------------------------------------------------------------------


@tf.RegisterGradient(OP)
def _pull(op: Any, *cotangents: Any) -> list[Any]:
    return made(op).pull(cotangents)


@tf.RegisterGradient(xla.OP)
def _pull_for_xla(op: Any, *cotangents: Any) -> list[Any]:
    with for_xla():
        return [None, *made_for_xla(list(op.outputs), list(op.inputs)).pull(cotangents)]


def register_for_xla() -> None:
    """Have graphs find our rule for custom calls of ours; another library's rule for its own stays in force."""
    from tensorflow.python.framework import ops

    name, registry = "XlaCustomCallV2", ops.gradient_registry
    try:
        foreign = registry.lookup(name)
    except LookupError:
        foreign = None

    def pull(op: Any, *cotangents: Any) -> Any:
        if xla.is_ours(op):
            return _pull_for_xla(op, *cotangents)
        if foreign is None:
            raise LookupError(f"No gradient is defined for {op.name}, a custom call of XLA that is not of implicitops.")
        return foreign(op, *cotangents)

    if foreign is not None:
        del registry._registry[name]
    registry.register(pull, name)


register_for_xla()


@tf.RegisterGradient(anchor.OP)
def _pull_elsewhere(op: Any, *cotangents: Any) -> list[Any]:
    if op is None:
        raise NotImplementedError(
            "tf.saved_model.save cannot save this derivative: implicitops could not use its compiled code where the "
            "function was made. Pass options=tf.saved_model.SaveOptions(experimental_custom_gradients=False)."
        )
    if isinstance(op, tf.Operation):
        name, wanted = op.get_attr(NAME_ATTRIBUTE).decode(), op.get_attr(anchor.WANTED_ATTRIBUTE)
    else:
        attributes = _attributes(op.attrs)
        name, wanted = attributes["operation"], attributes["n_wanted"]
    there = made_elsewhere(name, wanted, list(op.inputs), list(op.outputs))
    return there.pull(cotangents[len(there.inputs) :])


def _push(attributes: Any, inputs: Any, outputs: Any, tangents: Any) -> list[Any]:
    return made_from_attributes(attributes, inputs, outputs).push(tangents)


def _push_for_xla(attributes: Any, inputs: Any, outputs: Any, tangents: Any) -> list[Any]:
    return made_from_attributes(attributes, inputs[1:], outputs).push(tangents[1:])


def _push_elsewhere(attributes: Any, inputs: Any, outputs: Any, tangents: Any) -> list[Any]:
    pairs = _attributes(attributes)
    there = made_elsewhere(pairs["operation"], pairs["n_wanted"], inputs, outputs)
    return [*[None] * len(there.inputs), *there.push(tangents[: len(there.inputs)])]


def register_forward_mode() -> None:
    """Have TensorFlow use our forward rule; otherwise it transposes the reverse rule, which is right but longer.

    The table of special cases is the regular place, but what is in it runs inside a tf.function of its own, whose own
    derivatives are transposed again: that would need one order of derivative more than there is to compute.
    """
    rules = {OP: _push, xla.OP: _push_for_xla, anchor.OP: _push_elsewhere}
    try:
        from tensorflow.python import pywrap_tfe
        from tensorflow.python.eager import forwardprop

        others = forwardprop._jvp_dispatch
        forwardprop._SPECIAL_CASES.update(rules)

        def dispatch(
            op: str, attributes: Any, inputs: Any, outputs: Any, tangents: Any, use_batch: bool = False
        ) -> Any:
            if op in rules and not use_batch:
                return rules[op](attributes, inputs, outputs, tangents)
            return others(op, attributes, inputs, outputs, tangents, use_batch)

        pywrap_tfe.TFE_Py_RegisterJVPFunction(dispatch)
    except (ImportError, AttributeError):
        pass


register_forward_mode()


# -- vectorisation over a loop: tf.vectorized_map, GradientTape.jacobian -----------------------------------------------


def with_loop_axis(tensors: Sequence[Any], is_stacked: Sequence[bool], cores: Sequence[Shape]) -> list[Any]:
    """Inputs of a node in a loop, as inputs of one node for the whole loop, whose axis is the first batch axis.

    Parameters
    ----------
    tensors : sequence of tensors; those that differ from iteration to iteration have the loop's axis in front
    is_stacked : sequence of bool, which these are
    cores : sequence of trailing shapes, one for each tensor
    """
    ranks = [tf.rank(t) - len(core) - int(s) for t, s, core in zip(tensors, is_stacked, cores)]
    static = [tf.get_static_value(rank) for rank in ranks]
    is_static = all(rank is not None for rank in static)
    highest = max(static) if is_static else tf.reduce_max(tf.stack(ranks))
    aligned = []
    for tensor, stacked, rank in zip(tensors, is_stacked, static if is_static else ranks):
        if not stacked or (is_static and rank == highest):
            aligned.append(tensor)
        elif is_static:
            for _ in range(highest - rank):
                tensor = tf.expand_dims(tensor, 1)
            aligned.append(tensor)
        else:
            shape = tf.shape(tensor)
            ones = tf.ones([highest - rank], dtype=tf.int32)
            aligned.append(tf.reshape(tensor, tf.concat([shape[:1], ones, shape[1:]], axis=0)))
    return aligned


def _in_a_loop(pfor_input: Any) -> list[Any]:
    attribute = pfor_input.get_attr
    node = recall(_text(attribute("operation")), attribute("pickled"))
    inputs, known = _stacked(node, pfor_input, 0)
    return make(node, inputs, known=known, n_wanted=attribute("n_wanted"))


def _in_a_loop_for_xla(pfor_input: Any) -> list[Any]:
    node, wanted = xla.node_in(pfor_input.op), xla.n_wanted_in(pfor_input.op)
    inputs, known = _stacked(node, pfor_input, 1)
    return make(node, inputs, known=known, n_wanted=None if wanted in (None, -1) else wanted)


def _stacked(node: Node, pfor_input: Any, first: int) -> tuple[list[Any], list[Any]]:
    n, last = len(node.input_shapes), pfor_input.num_inputs
    if last > first + n:  # what is known differs with the inputs
        pfor_input.stack_inputs(list(range(first, last)))
    pairs = [pfor_input.input(k)[:2] for k in range(first, last)]
    tensors, is_stacked = [t for t, _ in pairs], [s for _, s in pairs]
    return with_loop_axis(tensors[:n], is_stacked[:n], node.input_shapes), tensors[n:]


def _in_a_loop_elsewhere(pfor_input: Any) -> list[Any]:
    node = recall(pfor_input.op.get_attr(NAME_ATTRIBUTE).decode())
    inputs, known = _stacked(node, pfor_input, 0)
    wanted = pfor_input.op.get_attr(anchor.WANTED_ATTRIBUTE)
    return [*inputs, *anchor.anchored(node, inputs, known, wanted)]


def register_vectorisation() -> None:
    """Have loops run as one batch; where TensorFlow refuses, they stay loops, which is right but slow."""
    try:
        from tensorflow.python.ops.parallel_for import pfor

        converters, wrap, refused = pfor._pfor_converter_registry, pfor.wrap, pfor.ConversionNotImplementedError
    except (ImportError, AttributeError):
        return

    def register(op: str, convert: Callable[[Any], list[Any]], is_ours: Callable[[Any], bool]) -> None:
        foreign = converters.get(op)

        def converter(pfor_input: Any, *more: Any) -> Any:
            if is_ours(pfor_input.op):
                return [wrap(output, True) for output in convert(pfor_input)]
            if foreign is not None:
                return foreign(pfor_input, *more)
            raise refused(f"{op} of another library: implicitops vectorises its own alone.")

        converters[op] = converter

    register(OP, _in_a_loop, lambda op: True)
    register("XlaCustomCallV2", _in_a_loop_for_xla, xla.is_ours)
    register("IdentityN", _in_a_loop_elsewhere, xla.is_ours)


register_vectorisation()


# -- AutoGraph ---------------------------------------------------------------------------------------------------------


def register_as_library() -> None:
    """Keep AutoGraph from rewriting our source; where it does all the same, graphs only take longer to make."""
    try:
        from tensorflow.python.autograph.core import config, config_lib

        config.CONVERSION_RULES = (config_lib.DoNotConvert("implicitops"), *config.CONVERSION_RULES)
    except (ImportError, AttributeError):
        pass


register_as_library()
