"""Nodes of graphs that XLA compiles for the CPU: a custom call to the function in csrc/tensorflow_xla.c.

The op is TensorFlow's own ``XlaCustomCallV2``, told apart from other libraries' by its target and by attributes of its
own. A custom call says its shapes when the graph is made; where the batch is not known by then, a loop makes one call
for each element. Derivatives are in rules.py.
"""

from __future__ import annotations

import ctypes
import math
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2

from implicitops.backends.tensorflow.anchor import anchored, captured, off_tape, set_attributes
from implicitops.backends.tensorflow.bridge import NAME_ATTRIBUTE, Node, batch_shape, known_length, recall
from implicitops.backends.tensorflow.op import library, set_shapes, shape_of
from implicitops.calculus.operation import FREE, Shape, resolved
from implicitops.errors import ArgumentError

#: Name under which XLA finds our function, and name under which tapes find its derivative.
TARGET = "implicitops_call_v1"
OP = "ImplicitopsXla"

_REGISTRY = "_ZN3xla24CustomCallTargetRegistry6GlobalEv"
_REGISTER = "_ZN3xla24CustomCallTargetRegistry8RegisterERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEPvS8_"

#: Numbers of a ticket before the strides.
_HEADER = 8


class _String(ctypes.Structure):
    """A std::string of libstdc++, as much of it as somebody who only reads it looks at."""

    _fields_ = (("data", ctypes.c_char_p), ("size", ctypes.c_size_t), ("capacity", ctypes.c_char * 16))

    @classmethod
    def of(cls, text: bytes) -> _String:
        return cls(text, len(text))


@lru_cache(maxsize=1)
def registered() -> bool:
    """Register the function with XLA; whether this TensorFlow has what that needs."""
    found = library()
    compiler = Path(tf.sysconfig.get_lib()) / "libtensorflow_cc.so.2"
    if found is None or not compiler.exists():
        return False
    try:
        xla = ctypes.CDLL(str(compiler))
        registry, register = getattr(xla, _REGISTRY), getattr(xla, _REGISTER)
        address = ctypes.cast(ctypes.CDLL(str(found[1])).implicitops_xla, ctypes.c_void_p)
        from tensorflow.compiler.tf2xla.ops.gen_xla_ops import xla_custom_call_v2  # noqa: F401
    except (OSError, AttributeError, ImportError):
        return False
    registry.restype = ctypes.c_void_p
    register.argtypes = [ctypes.c_void_p, ctypes.POINTER(_String), ctypes.c_void_p, ctypes.POINTER(_String)]
    register.restype = None
    target, platform = _String.of(TARGET.encode()), _String.of(b"Host")
    register(registry(), ctypes.byref(target), address, ctypes.byref(platform))
    return True


def is_for_cpu() -> bool:
    """Whether the graph that is being made will run on the CPU."""
    device = tf.no_op().device
    if device:
        return "CPU" in device.upper()
    return not any(tf.config.list_logical_devices(kind) for kind in ("GPU", "TPU"))


def make(node: Node, inputs: Sequence[Any], known: Sequence[Any], n_wanted: int) -> list[Any]:
    """One node; see :func:`implicitops.backends.tensorflow.routes.make`.

    Raises
    ------
    ArgumentError : the graph has no way to call us: what is missing, and what to do
    """
    shapes = [shape_of(x) for x in inputs]
    batch, length = batch_shape(node, shapes), known_length(node, shapes)
    _require_reachable(node, shapes, length)
    if None in batch:
        return _element_by_element(node, inputs, known, n_wanted, length)
    cores = [resolved(core, length) for core in node.input_shapes]
    arranged = [_arranged(x, batch, core) for x, core in zip(inputs, cores)]
    results = [[*batch, *resolved(core, length)] for core in node.output_shapes]
    ticket = ticket_of(node, -1 if known else n_wanted, batch, 1 if length is None else length, arranged, cores)
    return _custom_call(node, ticket, [*arranged, *known], results)


def _require_reachable(node: Node, shapes: Sequence[Any], length: int | None) -> None:
    """Raise ArgumentError unless code that XLA compiles can call us with what is known now."""
    what = f"{getattr(node.operation, 'problem', node.operation)!r} cannot be compiled by XLA"
    if not is_for_cpu():
        raise ArgumentError(
            f"{what} for a device that is no CPU, on which its machine code runs. Call it under "
            "tf.device('CPU:0') in a function of its own, or leave jit_compile away: TensorFlow then places it itself."
        )
    if not registered():
        raise ArgumentError(
            f"{what}: this TensorFlow lacks XLA's registry of custom calls, or the op of implicitops could not be "
            "loaded. Leave jit_compile away."
        )
    advice = "Call tf.ensure_shape on the argument, give its shape in input_signature, or leave jit_compile away."
    open_rank = [name for name, shape in zip(node.input_names, shapes) if shape is None]
    if open_rank:
        raise ArgumentError(
            f"{what}: not even the rank of {', '.join(open_rank)} is known while the function is traced. {advice}"
        )
    cores = (*node.input_shapes, *node.output_shapes)
    if length is None and any(FREE in core for core in cores):
        free = [name for name, core in zip(node.input_names, node.input_shapes) if FREE in core]
        raise ArgumentError(
            f"{what}: the length of {', '.join(free)} is not known while the function is traced. {advice}"
        )


def _element_by_element(
    node: Node, inputs: Sequence[Any], known: Sequence[Any], n_wanted: int, length: int | None
) -> list[Any]:
    """One custom call for each element of a batch whose size XLA knows only later."""
    inputs = [captured(x) for x in inputs]
    if known:
        return anchored(node, inputs, known, -1)
    with off_tape():
        outputs = _looped(node, inputs, n_wanted, length)
    outputs = anchored(node, inputs, outputs, n_wanted)
    set_shapes(node, [shape_of(x) for x in inputs], outputs)
    return outputs


def _looped(node: Node, inputs: Sequence[Any], n_wanted: int, length: int | None) -> list[Any]:
    from tensorflow.compiler.tf2xla.ops.gen_xla_ops import xla_dynamic_update_slice

    cores = [resolved(core, length) for core in node.input_shapes]
    results = [list(resolved(core, length)) for core in node.output_shapes]
    batch = tf.zeros([0], tf.int32)
    for x, core in zip(inputs, cores):
        batch = tf.broadcast_dynamic_shape(batch, tf.shape(x)[: x.shape.rank - len(core)])
    n = tf.reduce_prod(batch)

    def full(core: Sequence[int]) -> Any:
        return tf.concat([batch, tf.constant(core, tf.int32, [len(core)])], axis=0)

    # XLA compiles the body for an empty batch too, where there is nothing to read: one row more, which nobody uses.
    rows = [tf.reshape(tf.broadcast_to(x, full(core)), [-1, *core]) for x, core in zip(inputs, cores)]
    rows = [tf.concat([row, tf.zeros([1, *core], tf.float64)], axis=0) for row, core in zip(rows, cores)]

    def solve_next(i: Any, *solved: Any) -> tuple[Any, ...]:
        element = [tf.gather(row, i) for row in rows]
        ticket = ticket_of(node, n_wanted, (), 1 if length is None else length, element, cores)
        found = _custom_call(node, ticket, element, results)
        placed = [
            xla_dynamic_update_slice(all_of_it, value[None], tf.stack([i, *[0] * len(core)]))
            for all_of_it, value, core in zip(solved, found, results)
        ]
        return (i + 1, *placed)

    start = (tf.constant(0), *(tf.zeros([n + 1, *core], tf.float64) for core in results))
    invariants = (tf.TensorShape([]), *(tf.TensorShape([None, *core]) for core in results))
    _, *solved = tf.while_loop(lambda i, *_: i < n, solve_next, start, shape_invariants=invariants)
    return [tf.reshape(values[:n], full(core)) for values, core in zip(solved, results)]


def _arranged(x: Any, batch: Shape, core: Shape) -> Any:
    """An input that one stride walks through: one element for all, or one for each."""
    lead = x.shape.as_list()[: x.shape.rank - len(core)]
    is_repeated = math.prod(lead) not in (1, math.prod(batch))
    return tf.broadcast_to(x, [*batch, *core]) if is_repeated else x


def ticket_of(
    node: Node, n_wanted: int, batch: Shape, length: int, inputs: Sequence[Any], cores: Sequence[Shape]
) -> np.ndarray:
    """The constant that tells the C function what to do; its form is described there.

    Parameters
    ----------
    node : Node
    n_wanted : int, so many of the outputs are computed; -1 if they are known and follow the inputs
    batch : tuple of int
    length : int, of the free axes
    inputs, cores : sequences of tensors and their trailing shapes
    """
    name, n = node.name.encode() + b"\0", math.prod(batch)
    sizes = [math.prod(core) for core in cores]
    elements = [math.prod(x.shape.as_list()[: x.shape.rank - len(core)]) for x, core in zip(inputs, cores)]
    strides = [0 if count == 1 else size for count, size in zip(elements, sizes)]
    outputs = [math.prod(resolved(core, length)) for core in node.output_shapes]
    sized = [n_wanted, n, length, len(inputs), len(outputs), len(name), len(node.pickled)]
    header = [*sized, zlib.crc32(name), *strides, *outputs]
    text = b"".join(part.ljust((len(part) + 7) // 8 * 8, b"\0") for part in (name, node.pickled))
    return np.concatenate([np.array(header, dtype=np.int64), np.frombuffer(text, dtype=np.int64)])


def _custom_call(node: Node, ticket: np.ndarray, operands: Sequence[Any], shapes: Sequence[Sequence[int]]) -> list[Any]:
    from tensorflow.compiler.tf2xla.ops.gen_xla_ops import xla_custom_call_v2
    from tensorflow.python.eager import execute

    operands = [tf.constant(ticket), *map(captured, operands)]
    with off_tape():
        outputs = xla_custom_call_v2(
            operands=operands,
            call_target_name=TARGET,
            backend_config="",
            has_side_effect=False,
            result_dtypes=[tf.float64] * len(shapes),
            result_shapes=shapes,
        )
    set_attributes(outputs[0].op, {NAME_ATTRIBUTE: node.name})
    for output, shape in zip(outputs, shapes):
        output.set_shape(shape)
    execute.record_gradient(OP, operands, ("operation", node.name, "n_wanted", int(ticket[0])), outputs)
    return list(outputs)


# -- reading a node that was made -------------------------------------------------------------------------------------


def node_in(op: Any) -> Node:
    """Node that an op of a graph was made for."""
    name = op.get_attr(NAME_ATTRIBUTE).decode()
    ticket = _ticket(op)
    if ticket is None:
        return recall(name)
    start = (_HEADER + ticket[3] + ticket[4]) * 8 + (ticket[5] + 7) // 8 * 8
    return recall(name, ticket.tobytes()[start : start + ticket[6]])


def n_wanted_in(op: Any) -> int | None:
    """How many outputs it computes, -1 for known ones; None if that cannot be told."""
    ticket = _ticket(op)
    return None if ticket is None else int(ticket[0])


def want_all(op: Any, n_outputs: int) -> bool:
    """Have all outputs computed; whether they are."""
    wanted = n_wanted_in(op)
    if wanted is not None and 0 < wanted < n_outputs:
        constant = op.inputs[0].op
        if constant.type != "Const":
            return False
        ticket = _ticket(op)
        ticket[0] = n_outputs
        constant._set_attr("value", attr_value_pb2.AttrValue(tensor=tf.make_tensor_proto(ticket)))
    return wanted is not None


def _ticket(op: Any) -> Any:
    constant = op.inputs[0].op
    if constant.type == "Const":
        return np.array(tf.make_ndarray(constant.get_attr("value")))
    return tf.get_static_value(op.inputs[0])


def is_ours(op: Any) -> bool:
    """Whether an op of TensorFlow, which other libraries may use too, was made here."""
    return NAME_ATTRIBUTE in op.node_def.attr
