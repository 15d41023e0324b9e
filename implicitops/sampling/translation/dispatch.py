"""The table from Theano Op classes to TensorFlow functions, and the walk over a graph. No Op is translated here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from theano.compile.sharedvalue import SharedVariable
from theano.graph.basic import Apply, Constant, Variable
from theano.scalar import Scalar

from implicitops.errors import TranslationError

#: A translated Op: ``function(op, node, *tensors)`` returns a tensor, or a list of tensors for several outputs.
Function = Callable[..., Any]

#: What an Op lacks before it can be translated: the class that has no entry, and where it occurs.
Missing = tuple[type, str]


@dataclass(frozen=True)
class Entry:
    """A row of the table.

    Attributes
    ----------
    function : callable, ``function(op, node, *tensors)``
    requires : callable, ``requires(op, node)`` yields what is missing inside the Op; None if nothing can be
    is_deterministic : bool, whether equal inputs give equal outputs, so that constants may be computed beforehand
    """

    function: Function
    requires: Callable[[Any, Any], Iterable[Missing]] | None = None
    is_deterministic: bool = True


_table: dict[type, Entry] = {}


def register(
    *classes: type,
    requires: Callable[[Any, Any], Iterable[Missing]] | None = None,
    is_deterministic: bool = True,
) -> Callable[[Function], Function]:
    """Decorator that gives Op classes, and their subclasses without an entry of their own, a TensorFlow function.

    Parameters
    ----------
    *classes : subclasses of theano.graph.op.Op, or of theano.scalar.ScalarOp for what Elemwise applies
    requires : callable, optional
        ``requires(op, node)`` yields what has no translation inside the Op, for an Op that holds a graph
    is_deterministic : bool, whether equal inputs give equal outputs

    Returns
    -------
    decorator for ``function(op, node, *tensors)``, which returns a tensor, or a list where ``node`` has several
    outputs. A result is cast to the dtype that ``node`` states; a NumPy array stands for what is known when tracing

    Raises
    ------
    TypeError : something other than a class is registered

    Examples
    --------
    >>> import numpy as np, tensorflow as tf, theano
    >>> from implicitops.sampling.translation import register
    >>> class Sinc(theano.scalar.UnaryScalarOp):
    ...     def impl(self, x):
    ...         return 1.0 if x == 0 else np.sin(x) / x
    >>> @register(Sinc)
    ... def sinc(op, node, x):
    ...     return tf.where(x == 0, 1.0, tf.sin(x) / tf.where(x == 0, 1.0, x))
    """
    if not classes or not all(isinstance(c, type) for c in classes):
        raise TypeError(f"register needs classes of Theano Ops, as in @register(theano.tensor.Dot); got {classes}.")

    def decorate(function: Function) -> Function:
        for op_class in classes:
            _table[op_class] = Entry(function, requires, is_deterministic)
        return function

    return decorate


def registered() -> Mapping[type, Entry]:
    """The table: an entry for each Op class that was registered."""
    return dict(_table)


def entry_of(op: Any) -> Entry | None:
    """Entry of an Op's class, or of the nearest class that it inherits from."""
    return next((_table[c] for c in type(op).__mro__ if c in _table), None)


def missing_of(op: Any, node: Any) -> list[Missing]:
    """What prevents the translation of an Op at a node; empty if nothing does."""
    entry = entry_of(op)
    if entry is None:
        return [(type(op), _place(op, node))]
    return [] if entry.requires is None else list(entry.requires(op, node))


def missing_inside(inputs: Sequence[Any], outputs: Sequence[Any]) -> Iterable[Missing]:
    """What prevents the translation of a graph that an Op holds."""
    nodes, _ = sorted_nodes(inputs, outputs)
    return (m for node in nodes for m in missing_of(node.op, node))


def _place(op: Any, node: Any) -> str:
    names = ", ".join(str(v.name or v) for v in node.inputs)
    return f"{op}({names:.120})"


# -- translating a graph ----------------------------------------------------------------------------------------------


def translate(inputs: Sequence[Any], outputs: Sequence[Any]) -> Translated:
    """TensorFlow function that computes what a Theano graph computes.

    Parameters
    ----------
    inputs : sequence of Theano variables, which may be intermediate results: what they depend on is left out
    outputs : sequence of Theano variables

    Returns
    -------
    Translated
        ``translated(*tensors)`` returns a list of tensors of the outputs' dtypes

    Raises
    ------
    TranslationError : Ops without an entry, all of them at once, or an input that was not given

    Examples
    --------
    >>> import tensorflow as tf, theano.tensor as tt
    >>> from implicitops.sampling.translation import translate
    >>> x = tt.dvector("x")
    >>> translate([x], [tt.exp(x).sum()])(tf.constant([0.0, 0.0], tf.float64))[0].numpy()
    2.0
    """
    for what, variables in (("inputs", inputs), ("outputs", outputs)):
        for v in variables:
            if not isinstance(v, Variable):
                raise TypeError(f"the {what} of translate must be Theano variables; got {v!r:.80}.")
    if len(set(inputs)) != len(inputs):
        raise ValueError("the inputs of translate must differ from each other; got the same variable twice.")
    nodes, roots = sorted_nodes(inputs, outputs)
    unknown = [v for v in roots if not isinstance(v, (Constant, SharedVariable))]
    if unknown:
        listing = ", ".join(str(v) for v in unknown)
        raise TranslationError(f"the outputs depend on {listing}, which the inputs of translate don't contain. Add it.")
    missing = [m for node in nodes for m in missing_of(node.op, node)]
    if missing:
        raise TranslationError(_missing_message(missing))
    shared = tuple(v for v in roots if isinstance(v, SharedVariable))
    return Translated(tuple(inputs), tuple(outputs), shared, tuple(nodes))


def sorted_nodes(inputs: Sequence[Any], outputs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Apply nodes in an order of evaluation, and variables without an owner, in order of appearance."""
    done: set[Any] = set(inputs)
    nodes: list[Any] = []
    roots: list[Any] = []
    stack: list[Any] = list(reversed(outputs))
    while stack:
        item = stack.pop()
        if item in done:
            continue
        if isinstance(item, Apply):
            before = [v for v in item.inputs if v not in done]
        else:
            before = [item.owner] if item.owner is not None and item.owner not in done else []
        if before:
            stack.append(item)
            stack.extend(reversed(before))
            continue
        done.add(item)
        if isinstance(item, Apply):
            nodes.append(item)
        elif item.owner is None:
            roots.append(item)
    return nodes, roots


def _missing_message(missing: Sequence[Missing]) -> str:
    places: dict[type, str] = {}
    for op_class, place in missing:
        places.setdefault(op_class, place)
    lines = [f"  {c.__module__}.{c.__qualname__}, at {place}" for c, place in places.items()]
    first = next(iter(places))
    return (
        f"no translation to TensorFlow is known for {len(places)} kind{'s' * (len(places) > 1)} of Theano Op:\n"
        + "\n".join(lines)
        + "\nRegister one:\n"
        "  from implicitops.sampling.translation import register\n"
        f"  @register({first.__name__})\n"
        "  def function(op, node, *tensors): ...  # returns a tensor, or a list of tensors for several outputs"
    )


class Translated:
    """A Theano graph as a function of tensors; made by :func:`translate`.

    Attributes
    ----------
    inputs, outputs : tuples of Theano variables
    shared : tuple of the graph's shared variables, in order of appearance
    """

    def __init__(self, inputs: tuple[Any, ...], outputs: tuple[Any, ...], shared: tuple[Any, ...], nodes: Any) -> None:
        self.inputs, self.outputs, self.shared = inputs, outputs, shared
        self._nodes = nodes
        self._constants: dict[Any, Any] | None = None

    def __call__(self, *tensors: Any, shared: Sequence[Any] | None = None) -> list[Any]:
        """Outputs for values of the inputs.

        Parameters
        ----------
        *tensors : one for each of ``inputs``, of its dtype and rank
        shared : sequence, optional
            values for ``self.shared``; by default those that the variables have now (in a ``tf.function``, when it is
            traced), as constants

        Returns
        -------
        list of tf.Tensor, in the order of ``outputs``

        Raises
        ------
        TypeError : the number of tensors, a dtype or a rank is wrong
        """
        for what, given, wanted in (("input", tensors, self.inputs), ("shared value", shared, self.shared)):
            if given is not None and len(given) != len(wanted):
                listing = ", ".join(str(v) for v in wanted)
                raise TypeError(f"expected {len(wanted)} {what}s ({listing}); got {len(given)}.")
        values = dict(self._constant_values())
        if shared is None:
            values.update((v, _known(v, v.get_value(borrow=False))) for v in self.shared)
        else:
            values.update((v, _as_input(v, t)) for v, t in zip(self.shared, shared))
        values.update((v, _as_input(v, t)) for v, t in zip(self.inputs, tensors))
        for node in self._nodes:
            if not all(v in values for v in node.outputs):
                values.update((v, t) for v, t in zip(node.outputs, apply(node, values)) if v not in values)
        return [as_tensor(values[v]) for v in self.outputs]

    def _constant_values(self) -> dict[Any, Any]:
        """Values of everything that depends on constants alone, computed once."""
        if self._constants is None:
            constants = {v: _known(v, v.data) for v in self._roots() if isinstance(v, Constant)}
            for node in self._nodes:
                if all(v in constants for v in node.inputs):
                    results = apply(node, constants)
                    if all(not tf.is_tensor(r) for r in results):
                        constants.update(zip(node.outputs, results))
            for v in self.inputs:
                constants.pop(v, None)
            self._constants = constants
        return self._constants

    def _roots(self) -> Iterable[Any]:
        yield from (v for node in self._nodes for v in node.inputs if v.owner is None)
        yield from (v for v in self.outputs if v.owner is None)


# -- values -----------------------------------------------------------------------------------------------------------


def apply(node: Any, values: Mapping[Any, Any]) -> list[Any]:
    """Outputs of a node: arrays where all inputs are known when tracing, tensors otherwise."""
    entry, inputs = entry_of(node.op), [values[v] for v in node.inputs]
    if entry is None:
        raise TranslationError(_missing_message(missing_of(node.op, node)))
    if entry.is_deterministic and not any(map(tf.is_tensor, inputs)):
        try:
            with tf.init_scope(), tf.device("CPU:0"):
                return [_as_known(t) for t in _run(entry, node, inputs)]
        except tf.errors.OpError:
            pass  # a matrix that is not positive definite, say: the error belongs to where the graph runs
    return _run(entry, node, inputs)


def _run(entry: Entry, node: Any, inputs: Sequence[Any]) -> list[Any]:
    results = entry.function(node.op, node, *map(as_tensor, inputs))
    if not isinstance(results, (list, tuple)):
        results = [results]
    if len(results) != len(node.outputs):
        raise TranslationError(
            f"the function registered for {type(node.op).__name__} must return {len(node.outputs)} tensors; "
            f"got {len(results)}."
        )
    return [_conforming(v, t) for v, t in zip(node.outputs, results)]


def _conforming(variable: Any, result: Any) -> Any:
    """Result in the dtype that Theano states, with what Theano knows of its shape."""
    dtype = getattr(variable.type, "dtype", None)
    if dtype is None or result is None:
        return result
    if not tf.is_tensor(result):
        return np.asarray(result, dtype=dtype)
    result = cast(result, dtype)
    broadcastable = getattr(variable.type, "broadcastable", None)
    if broadcastable is None or isinstance(variable.type, Scalar):
        return result  # inside Elemwise a scalar stands for every element
    if not result.shape.is_fully_defined():
        result.set_shape([1 if b else None for b in broadcastable])
    if result.shape.rank != len(broadcastable):
        raise TranslationError(
            f"the function registered for {type(variable.owner.op).__name__} must return a tensor of rank "
            f"{len(broadcastable)}; got shape {result.shape} at {_place(variable.owner.op, variable.owner)}."
        )
    return result


def cast(tensor: Any, dtype: Any) -> Any:
    """Tensor of a dtype; itself if it has it."""
    dtype = tf.as_dtype(dtype)
    return tensor if tensor.dtype == dtype else tf.cast(tensor, dtype)


def _known(variable: Any, value: Any) -> Any:
    dtype = getattr(variable.type, "dtype", None)
    return value if dtype is None else np.asarray(value, dtype=dtype)


def _as_known(result: Any) -> Any:
    return result.numpy() if tf.is_tensor(result) else result


def as_tensor(value: Any) -> Any:
    """Tensor of a value that may be an array; what is neither, such as a slice, stays itself."""
    return tf.constant(value) if isinstance(value, (np.ndarray, np.generic)) else value


def _as_input(variable: Any, value: Any) -> Any:
    dtype = getattr(variable.type, "dtype", None)
    if dtype is None:
        return value
    if not tf.is_tensor(value) and not isinstance(value, tf.Variable):
        value = np.asarray(value)
        if not np.can_cast(value.dtype, dtype, "same_kind"):
            raise TypeError(f"{variable} is of dtype {dtype}; got values of dtype {value.dtype}.")
        if value.ndim != variable.ndim:
            raise TypeError(f"{variable} has {variable.ndim} axes; got an array of shape {value.shape}.")
        return value.astype(dtype)
    tensor = tf.convert_to_tensor(value)
    if tensor.dtype != tf.as_dtype(dtype):
        raise TypeError(f"{variable} is of dtype {dtype}; got a tensor of dtype {tensor.dtype.name}. Cast it.")
    if tensor.shape.rank not in (None, variable.ndim):
        raise TypeError(f"{variable} has {variable.ndim} axes; got a tensor of shape {tensor.shape}.")
    return tensor


def known_value(tensor: Any) -> Any:
    """Value of an integer, or of an integer or boolean tensor, if it is known when tracing, else None.

    That of a floating tensor is never asked for: what is computed from it would have no derivative.
    """
    if not tf.is_tensor(tensor):
        return None if tensor is None else np.asarray(tensor)
    if tensor.dtype.is_floating or tensor.dtype.is_complex:
        return None
    return tf.get_static_value(tensor)
