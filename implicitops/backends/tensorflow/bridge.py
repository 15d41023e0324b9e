"""What the C code of the TensorFlow op asks of Python: operations by name, threads, failures, the text of errors.

TensorFlow itself is not imported here.
"""

from __future__ import annotations

import pickle
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from implicitops.backends import failures
from implicitops.backends.batches import batch_rule, core_rule, fits, length_rule
from implicitops.backends.marked_nan import SOLVES, run_marked
from implicitops.calculus import Operation, Program, Solve
from implicitops.calculus.operation import FREE, Shape, content_name, resolved
from implicitops.calculus.rules import is_propagated
from implicitops.calculus.sensitivities import Sensitivities
from implicitops.errors import ArgumentError, DerivativeError, ProblemError, SolveWarning
from implicitops.kernels import _external, handle_of, register

#: Flags of an operation, as in csrc/tensorflow_call.h.
FLAG_SOLVES, FLAG_NEEDS_PYTHON = 1, 2

#: Attribute that holds the operation's name in a node whose op is TensorFlow's own.
NAME_ATTRIBUTE = "_implicitops_operation"

_by_name: dict[str, Node] = {}


@dataclass(frozen=True)
class Missing(Operation):
    """Stands in a graph for a derivative that does not exist, and is an error if the graph needs it.

    TensorFlow makes derivatives of one order more than anybody asked for, and leaves them out afterwards.

    Parameters
    ----------
    message : str, of the DerivativeError
    """

    message: str

    @property
    def name(self) -> str:
        return content_name("missing", self.message)

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return ((),)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return ((),)

    def vjp(self) -> Program:
        """No rule."""
        raise DerivativeError(self.message)

    def jvp(self) -> Program:
        """No rule."""
        raise DerivativeError(self.message)


class Node:
    """An operation with what every node of a graph that holds it needs to know, computed once.

    Attributes
    ----------
    operation : Operation
    name : str, its content name
    input_shapes, output_shapes : tuples of trailing shapes
    """

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.name = operation.name
        self.input_shapes = operation.input_shapes
        self.output_shapes = operation.output_shapes
        self.n_outputs = len(self.output_shapes)

    @cached_property
    def is_plain(self) -> bool:
        """Whether nothing is computed together with something else."""
        computes_more = isinstance(self.operation, Sensitivities) and self.operation.order == 1
        return not computes_more and self.sensitivities is None

    @cached_property
    def input_names(self) -> tuple[str, ...]:
        """What an error calls each input."""
        return self.operation.input_names

    @cached_property
    def pickled(self) -> bytes:
        """The operation, compressed, for a graph that another process may open; empty if it has no pickle."""
        try:
            return zlib.compress(pickle.dumps(self.operation))
        except Exception:  # existing code may be anything: a lambda, a method of an open file, ...
            return b""

    @cached_property
    def vjp(self) -> Program:
        """Reverse rule."""
        return self.operation.vjp()

    @cached_property
    def jvp(self) -> Program:
        """Forward rule."""
        return self.operation.jvp()

    @cached_property
    def sensitivities(self) -> Operation | None:
        """Where this is a value that an integration may return together with its derivatives: that integration."""
        operation: Any = self.operation
        if not isinstance(operation, Solve) or operation.start_given or not is_propagated(operation.problem):
            return None
        try:
            steps = self.vjp.steps
        except DerivativeError:
            return None
        return next((s.operation for s in steps if s.operation == Sensitivities(operation.problem, 1)), None)

    @cached_property
    def has_sensitivities(self) -> bool:
        """Whether :attr:`sensitivities` can be computed; where not, whoever asks for a derivative is told why."""
        try:
            return self.sensitivities is not None and handle_of(self.sensitivities) is not None
        except ProblemError:
            return False


def node_of(operation: Operation) -> Node:
    """Node of an operation; equal operations share one."""
    name = operation.name
    node = _by_name.get(name)
    if node is None:
        node = _by_name.setdefault(name, Node(operation))
    return node


def recall(name: str, pickled: bytes = b"") -> Node:
    """Node of an operation that this process may not know.

    Parameters
    ----------
    name : str, content name
    pickled : bytes, what :attr:`Node.pickled` was where the graph was made

    Raises
    ------
    ProblemError : the process does not know the operation, and the graph does not say how to make it
    """
    node = _by_name.get(name)
    if node is not None:
        return node
    if not pickled:
        raise ProblemError(
            f"this graph holds the operation {name}, which could not be pickled when the graph was made (existing code "
            "that is no importable function, for example). Call the same problem on a tensor in this process first."
        )
    try:
        operation = pickle.loads(zlib.decompress(pickled))
    except Exception as error:
        raise ProblemError(
            f"this graph holds the operation {name}, which cannot be made in this process: {type(error).__name__}: "
            f"{error}. It needs the modules that the operation's functions come from, and versions of implicitops and "
            "SymPy that can read the pickle."
        ) from error
    return _by_name.setdefault(name, Node(operation))


# -- called from C ----------------------------------------------------------------------------------------------------


def describe(name: str, pickled: bytes, n_wanted: int) -> tuple[str, bytes]:
    """Register what computes an operation's first outputs; its name there, and what csrc/tensorflow_call.h reads."""
    node = recall(name, pickled)
    if isinstance(node.operation, Missing):
        raise DerivativeError(node.operation.message)
    computed = computing(node.operation, n_wanted)
    handle = handle_of(computed)
    flags = FLAG_SOLVES * isinstance(computed, SOLVES)
    flags += FLAG_NEEDS_PYTHON * isinstance(handle.kernel, _external.ExternalKernel)
    shapes = (*node.input_shapes, *node.output_shapes)
    counts = (len(node.input_shapes), len(node.output_shapes), flags, 2 * handle.grain)
    numbers = [*counts, *map(len, shapes), *(n for shape in shapes for n in shape)]
    return register(computed), np.array(numbers, dtype=np.int64).tobytes()


def computing(operation: Operation, n_wanted: int) -> Operation:
    """Operation that computes only the first outputs of another."""
    if isinstance(operation, Sensitivities) and n_wanted <= operation.order:
        return Sensitivities(operation.problem, n_wanted - 1) if n_wanted > 1 else Solve(operation.problem)
    return operation


def shape_message(name: str, shapes: Sequence[Shape]) -> str:
    """What is wrong with the shapes of an operation's inputs."""
    try:
        check_shapes(recall(name), shapes)
    except ArgumentError as error:
        return str(error)
    return f"the inputs of {name} have the wrong shapes: {shapes}"


def run_on_threads(
    name: str,
    n: int,
    length: int,
    inputs: Sequence[memoryview],
    strides: Sequence[int],
    outputs: Sequence[memoryview],
) -> int:
    """Run a batch over several threads; how many elements failed."""
    operation = recall(name).operation
    targets = [_array(view) if view.nbytes else None for view in outputs]
    sources = [_array(view) for view in inputs]
    return run_marked(operation, handle_of(operation).with_length(length), n, sources, strides, targets)


def report_failures(
    name: str,
    n: int,
    length: int,
    inputs: Sequence[memoryview],
    strides: Sequence[int],
    outputs: Sequence[memoryview],
) -> int:
    """Count the failed solves of a batch."""
    operation = recall(name).operation
    arrays = [
        _array(view).reshape(((n,) if stride else ()) + resolved(shape, length))
        for view, stride, shape in zip(inputs, strides, operation.input_shapes)
    ]
    found = [_array(view) for view in outputs]
    computed = [
        array.reshape((n, *resolved(shape, length))) if array.size else array
        for array, shape in zip(found, operation.output_shapes)
    ]
    failures.record_nans(operation, arrays, computed)
    return 0


def warn(name: str, error: str) -> None:
    """Say what went wrong where nothing can be raised."""
    message = f"{name}: {error}. Its results are NaN, because code that XLA compiled cannot raise."
    warnings.warn_explicit(message, SolveWarning, "implicitops", 0, "implicitops")


def _array(view: memoryview) -> np.ndarray:
    return np.asarray(view.cast("d")) if view.nbytes else np.empty(0)


# -- shapes -----------------------------------------------------------------------------------------------------------


def check_shapes(node: Node, shapes: Sequence[Any]) -> None:
    """Raise ArgumentError, naming the argument, unless the shapes that are known can fit.

    Parameters
    ----------
    node : Node
    shapes : a sequence of int or None, or None, for each input
    """
    lengths: dict[str, int] = {}
    for name, shape, core in zip(node.input_names, shapes, node.input_shapes):
        if shape is None:
            continue
        if not fits(shape, core):
            raise ArgumentError(f"{name}: {core_rule(core)}; got an array of shape {_text(shape)}.")
        if core[:1] == (FREE,) and shape[len(shape) - len(core)] is not None:
            lengths[name] = shape[len(shape) - len(core)]
    if len(set(lengths.values())) > 1:
        raise ArgumentError(length_rule(lengths))
    if batch_shape(node, shapes) is False:
        known = [k for k, shape in enumerate(shapes) if shape is not None]
        names, given, cores = node.input_names, shapes, node.input_shapes
        raise ArgumentError(batch_rule([names[k] for k in known], [given[k] for k in known], [cores[k] for k in known]))


def batch_shape(node: Node, shapes: Sequence[Any]) -> Any:
    """Common batch shape as far as it is known: a tuple of int or None. None: its rank is not. False: there is none.

    Parameters
    ----------
    node : Node
    shapes : a sequence of int or None, or None, for each input
    """
    if any(shape is None for shape in shapes):
        return None
    leading = [tuple(s[: len(s) - len(core)]) for s, core in zip(shapes, node.input_shapes)]
    rank = max(map(len, leading))
    batch: list[int | None] = []
    for axis in zip(*((1,) * (rank - len(lead)) + lead for lead in leading)):
        lengths = {n for n in axis if n not in (1, None)}
        if len(lengths) > 1:
            return False
        batch.append(lengths.pop() if lengths else None if None in axis else 1)
    return tuple(batch)


def known_length(node: Node, shapes: Sequence[Any]) -> int | None:
    """Length of the free axes, if it is known and there are any."""
    for shape, core in zip(shapes, node.input_shapes):
        if core[:1] == (FREE,) and shape is not None and shape[len(shape) - len(core)] is not None:
            return int(shape[len(shape) - len(core)])
    return None


def _text(shape: Sequence[int | None]) -> str:
    return str(tuple(shape))
