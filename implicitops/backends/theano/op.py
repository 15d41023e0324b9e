"""One Theano op for every operation of the calculus. No solver and no derivative rule lives here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import theano
import theano.tensor as tt
from theano.gradient import DisconnectedType
from theano.graph.basic import Apply, Variable
from theano.graph.op import COp
from theano.graph.type import generic

from implicitops.backends import failures
from implicitops.backends.batches import as_float64, batch_rule, core_rule, fits, free_length
from implicitops.backends.marked_nan import SOLVES, run_marked
from implicitops.backends.numpy import evaluate
from implicitops.backends.theano import c_code
from implicitops.calculus import Operation, Solve
from implicitops.calculus.operation import FREE, Shape, free_position, resolved
from implicitops.errors import ArgumentError, DerivativeError
from implicitops.external.handle import needs_python
from implicitops.kernels import handle_of, register
from implicitops.real_arrays import real_array


class SymbolicOperation(COp):
    """An operation of the calculus as a Theano op; ops of equal content are equal.

    Value and derivative are separate nodes that share the solution, so nothing is solved twice, and a graph
    that asks for the value alone computes no derivative.

    Parameters
    ----------
    operation : Operation
    """

    __props__ = ("operation",)
    params_type = generic

    def __init__(self, operation: Operation) -> None:
        self.operation = operation

    def __str__(self) -> str:
        return repr(self.operation.problem) if isinstance(self.operation, Solve) else self.operation.name

    # -- types and shapes ---------------------------------------------------------------------------------

    def make_node(self, *inputs: Any) -> Any:
        """Node whose inputs are float64 and of equal batch rank."""
        shapes, names = self.operation.input_shapes, self.operation.input_names
        variables = [_as_variable(x, shape, name) for x, shape, name in zip(inputs, shapes, names)]
        n_batch = max(v.ndim - len(shape) for v, shape in zip(variables, shapes))
        variables = [padded(v, n_batch + len(shape)) for v, shape in zip(variables, shapes)]
        batch = tuple(all(v.broadcastable[d] for v in variables) for d in range(n_batch))
        # A free axis has length 1 for certain where one of the inputs says so.
        free = (v.broadcastable[n_batch] for v, shape in zip(variables, shapes) if shape[:1] == (FREE,))
        length = 1 if any(free) else None
        outputs = [
            tt.TensorType("float64", batch + tuple(n == 1 for n in resolved(shape, length)))()
            for shape in self.operation.output_shapes
        ]
        return Apply(self, variables, outputs)

    def infer_shape(self, fgraph: Any, node: Any, shapes: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Shapes of the outputs from those of the inputs, without running anything."""
        batch = tuple(
            next((shape[d] for v, shape in zip(node.inputs, shapes) if not v.broadcastable[d]), 1)
            for d in range(self.batch_rank(node.inputs))
        )
        k, n_batch = free_position(self.operation.input_shapes), self.batch_rank(node.inputs)
        length = None if k is None else shapes[k][n_batch]
        return [batch + resolved(shape, length) for shape in self.operation.output_shapes]

    def batch_rank(self, inputs: Sequence[Any]) -> int:
        """Number of leading axes over which a node's inputs are mapped."""
        return int(inputs[0].ndim) - len(self.operation.input_shapes[0])

    # -- derivatives --------------------------------------------------------------------------------------

    def connection_pattern(self, node: Any) -> list[list[bool]]:
        """Whether a cotangent flows to each input; none to a matrix's factors, which repeat it."""
        n_outputs = len(self.operation.output_shapes)
        try:
            results: Sequence[int | None] = self.operation.vjp().results
        except DerivativeError:  # which is said if somebody asks for it, not where a cost merely contains it
            results = (0,) * len(self.operation.input_shapes)
        constant = self.operation.constant_inputs  # a gradient with respect to them may be asked for: it is zero
        return [[result is not None or k in constant] * n_outputs for k, result in enumerate(results)]

    def L_op(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """Cotangents of the inputs: the operation's reverse rule, summed over broadcast axes."""
        with without_demanding_test_values():
            seeds = self._with_zeros(inputs, cotangents, self.operation.output_shapes)
            results = self.operation.vjp().replay([*inputs, *outputs, *seeds], call)
            constant = self.operation.constant_inputs
            return [
                _summed_to(r, x) if r is not None else tt.zeros_like(x) if k in constant else DisconnectedType()()
                for k, (r, x) in enumerate(zip(results, inputs))
            ]

    def R_op(self, inputs: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
        """Tangents of the outputs: the operation's forward rule."""
        if all(_is_absent(t) for t in tangents):
            return [None] * len(self.operation.output_shapes)
        with without_demanding_test_values():
            outputs = call(self.operation, *inputs)
            seeds = self._with_zeros(inputs, tangents, self.operation.input_shapes)
            return self.operation.jvp().replay([*inputs, *outputs, *seeds], call)

    def _with_zeros(self, inputs: Sequence[Any], directions: Sequence[Any], shapes: Sequence[Shape]) -> list[Any]:
        k, n_batch = free_position(self.operation.input_shapes), self.batch_rank(inputs)
        length = None if k is None else inputs[k].shape[n_batch]
        batch = (1,) * n_batch
        return [
            _zeros(batch + resolved(shape, length)) if _is_absent(direction) else direction
            for direction, shape in zip(directions, shapes)
        ]

    # -- computation --------------------------------------------------------------------------------------

    def prepare_node(self, node: Any, storage_map: Any, compute_map: Any, impl: Any) -> None:
        """Compile the operation's kernel in this process, also where the graph came from another one."""
        handle_of(self.operation)

    def perform(self, node: Any, inputs: Sequence[Any], output_storage: Any, params: Any = None) -> None:
        """Compute the outputs through the NumPy face; failed solves are NaN."""
        if not self._fit(node, inputs):
            self.raise_shape_error(inputs, ())
        inputs = [x if type(x) is np.ndarray else self.unmasked(x) for x in inputs]
        outputs = evaluate(self.operation, inputs)
        for storage, output in zip(output_storage, outputs):
            storage[0] = output
        self.report_failures(inputs, outputs)

    def _fit(self, node: Any, inputs: Sequence[np.ndarray]) -> bool:
        n_batch, shapes = self.batch_rank(inputs), self.operation.input_shapes
        length = free_length(inputs, shapes)
        cores_fit = all(x.shape[n_batch:] == resolved(shape, length) for x, shape in zip(inputs, shapes))
        return cores_fit and all(
            len({x.shape[d] for v, x in zip(node.inputs, inputs) if not v.broadcastable[d]}) <= 1
            for d in range(n_batch)
        )

    def raise_shape_error(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """Say which inputs do not fit; called from C code too."""
        shapes, names = self.operation.input_shapes, self.operation.input_names
        length = free_length(inputs, shapes)
        for name, x, shape in zip(names, inputs, shapes):
            if x.shape[x.ndim - len(shape) :] != resolved(shape, length):
                rule = core_rule(resolved(shape, length))
                raise ArgumentError(f"{name}: {rule}; got an array of shape {x.shape}.")
        raise ArgumentError(
            f"{batch_rule(names, [x.shape for x in inputs], shapes)} An axis of length 1 is broadcast only if its type "
            "says so: see theano.tensor.addbroadcast."
        )

    def unmasked(self, array: np.ndarray) -> np.ndarray:
        """An array that is more than that, as a plain one with NaN where it is masked; called from C code too."""
        return np.ascontiguousarray(real_array(array), dtype=np.float64)

    def run_on_threads(
        self, n: int, inputs: Sequence[np.ndarray], strides: Sequence[int], outputs: Sequence[np.ndarray]
    ) -> int:
        """Run a large batch for C code, and return how many elements failed."""
        handle = handle_of(self.operation).with_length(free_length(inputs, self.operation.input_shapes))
        return run_marked(self.operation, handle, n, inputs, strides, outputs)

    def report_failures(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """Count the NaNs of a solve; called from C code too."""
        failures.record_nans(self.operation, inputs, outputs)

    # -- C code -------------------------------------------------------------------------------------------

    def get_params(self, node: Any) -> tuple[SymbolicOperation, tuple[tuple[bool, ...], ...]]:
        """What the C code of a node receives: the op, whose methods it calls, and what makes the node special."""
        n_batch = self.batch_rank(node.inputs)
        return self, tuple(v.broadcastable[:n_batch] for v in node.inputs)

    def describe(self, broadcastable: Sequence[Sequence[bool]]) -> tuple[str, bool, int, bytes]:
        """Register the operation in this process; name, whether it solves, what batch threads pay for, node shapes."""
        operation = self.operation
        shapes = c_code.layout(broadcastable, operation.input_shapes, operation.output_shapes)
        return register(operation), isinstance(operation, SOLVES), 2 * handle_of(operation).grain, shapes

    def c_headers(self, **kwargs: Any) -> list[str]:
        """What all nodes share."""
        return list(c_code.HEADERS)

    def c_header_dirs(self, **kwargs: Any) -> list[str]:
        """Where it is installed."""
        return [str(c_code.INCLUDE)]

    def c_support_code_struct(self, node: Any, name: str) -> str:
        """Member of a compiled node."""
        return c_code.struct_declaration(name)

    def c_init_code_struct(self, node: Any, name: str, sub: dict[str, str]) -> str:
        """C code that a compiled node runs when a function is made."""
        return c_code.struct_initialisation(name, sub["params"], sub["fail"])

    def c_cleanup_code_struct(self, node: Any, name: str) -> str:
        """C code that a compiled node runs when a function is forgotten."""
        return c_code.struct_cleanup(name)

    def c_code(self, node: Any, name: str, inputs: Sequence[str], outputs: Sequence[str], sub: dict[str, str]) -> str:
        """C code that a compiled node runs when a function is called."""
        if needs_python(self.operation):
            raise NotImplementedError("perform() does it")
        return c_code.application(name, sub["fail"], inputs, outputs)

    def c_code_cache_version(self) -> tuple[int, ...]:
        """Version of the code, for Theano's cache of compiled modules."""
        return c_code.cache_version()


def call(operation: Operation, *inputs: Any) -> list[Any]:
    """Outputs of an operation on variables."""
    outputs: list[Any] = SymbolicOperation(operation)(*inputs, return_list=True)
    return outputs


def padded(variable: Any, ndim: int) -> Any:
    """Variable with broadcastable axes in front, as many as it lacks."""
    missing = ndim - variable.ndim
    return variable.dimshuffle(*["x"] * missing, *range(variable.ndim)) if missing else variable


def without_demanding_test_values() -> AbstractContextManager[Any]:
    """Test values are computed wherever those of the inputs exist, and not demanded.

    PyMC3 leaves ``compute_test_value`` at "raise" for the whole process, where nobody can then build a graph
    from variables without test values.
    """
    mode = theano.config.compute_test_value
    mode = "ignore" if mode == "raise" else mode
    return theano.config.change_flags(compute_test_value=mode)


def _as_variable(argument: Any, shape: tuple[int, ...], name: str) -> Any:
    if isinstance(argument, tt.TensorConstant) and type(argument.data) is not np.ndarray:
        argument = argument.data  # which may be masked
    if not _has_variable(argument):
        return tt.constant(as_float64(argument, shape, name))
    try:
        variable = tt.as_tensor_variable(argument)
    except Exception as error:  # Theano raises its own, TypeError, NotImplementedError, ...
        raise ArgumentError(f"{name} must be a tensor; Theano cannot make one of {argument!r:.80}: {error}") from None
    if "complex" in variable.dtype:
        raise ArgumentError(f"{name} must be real; got {variable} of dtype {variable.dtype}.")
    if not fits([1 if b else None for b in variable.broadcastable], shape):
        raise ArgumentError(f"{name}: {core_rule(shape)}; got {variable} of type {variable.type}.")
    return variable if variable.dtype == "float64" else _to_float64(variable)


def _has_variable(argument: Any) -> bool:
    if isinstance(argument, (list, tuple)):
        return any(map(_has_variable, argument))
    return isinstance(argument, Variable)


def _zeros(shape: Sequence[Any]) -> Any:
    is_known = all(isinstance(n, int) for n in shape)
    return tt.constant(np.zeros(shape)) if is_known else tt.alloc(np.float64(0), *shape)


class ToFloat64(theano.scalar.Cast):
    """Cast whose gradient has the argument's dtype; that of Theano's own cast stays float64."""

    def __init__(self, o_type: Any = theano.scalar.float64, name: str | None = None) -> None:
        super().__init__(o_type, name)

    def grad(self, inputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """Cotangent of the argument."""
        (x,), (cotangent,) = inputs, cotangents
        return [theano.scalar.cast(cotangent, x.dtype) if x.type in theano.scalar.float_types else cotangent]


_to_float64 = tt.Elemwise(ToFloat64(), name="to_float64")


def _summed_to(variable: Any, target: Any) -> Any:
    axes = [d for d in range(target.ndim) if target.broadcastable[d] and not variable.broadcastable[d]]
    summed = variable.sum(axis=axes, keepdims=True) if axes else variable
    return tt.patternbroadcast(summed, target.broadcastable)


def _is_absent(direction: Any) -> bool:
    return direction is None or isinstance(getattr(direction, "type", None), DisconnectedType)
