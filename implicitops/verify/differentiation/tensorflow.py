"""A function of tensors and the derivative products that TensorFlow itself makes of it: tapes and accumulators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from implicitops.errors import NotAvailableError
from implicitops.problems.base import Problem
from implicitops.verify.differentiation.base import Arrays, Differentiable, by_position

#: How TensorFlow runs a function: op by op, as a graph whose shapes are open, or compiled by XLA.
WAYS = ("eager", "graph", "jit")


class TensorflowDifferentiable(Differentiable):
    """Derivative products of a function of tensors.

    Parameters
    ----------
    function : callable of tensors returning one, or a Problem
    example : sequence of ndarray, arguments whose ndim and dtype are those of all calls
    way : str, one of :data:`WAYS`
    """

    name = "tensorflow"

    def __init__(self, function: Callable[..., Any], example: Arrays, way: str = "eager") -> None:
        import tensorflow as tf

        if isinstance(function, Problem):
            function = by_position(function.op("tensorflow"), function)
        self._tf, self.function, self.way = tf, function, way
        self.n = len(example)
        self._compiled: dict[str, Any] = {}

    def value(self, arguments: Arrays) -> np.ndarray:
        return np.asarray(self._run("value", self.function, arguments))

    def vjp(self, arguments: Arrays, cotangent: np.ndarray) -> list[np.ndarray]:
        return list(map(np.asarray, self._run("vjp", self._pull, [*arguments, cotangent])))

    def jvp(self, arguments: Arrays, tangents: Arrays) -> np.ndarray:
        return np.asarray(self._run("jvp", self._push, [*arguments, *tangents]))

    def second(
        self, mode: str, arguments: Arrays, cotangent: np.ndarray, tangents: Arrays, others: Arrays
    ) -> np.ndarray | list[np.ndarray]:
        product = getattr(self, f"_{mode}")
        result = self._run(mode, product, [*arguments, cotangent, *tangents, *others])
        return list(map(np.asarray, result)) if isinstance(result, (list, tuple)) else np.asarray(result)

    def _run(self, name: str, product: Callable[..., Any], arrays: Sequence[np.ndarray]) -> Any:
        tensors = [self._tf.constant(a) for a in arrays]
        if self.way == "eager":
            return product(*tensors)
        if name not in self._compiled:
            # One graph for all shapes, but XLA needs one for each.
            open_shapes = [self._tf.TensorSpec([None] * t.ndim, t.dtype) for t in tensors]
            self._compiled[name] = self._tf.function(
                product,
                autograph=False,
                jit_compile=True if self.way == "jit" else None,
                input_signature=None if self.way == "jit" else open_shapes,
            )
        return self._compiled[name](*tensors)

    # -- products, as TensorFlow composes them ---------------------------------------------------------------------

    def _gradient(self, tape: Any, target: Any, inputs: Sequence[Any], cotangent: Any = None) -> list[Any]:
        found = tape.gradient(target, inputs, output_gradients=cotangent)
        return [self._tf.zeros_like(x) if g is None else g for g, x in zip(found, inputs)]

    def _pull(self, *tensors: Any) -> list[Any]:
        *inputs, cotangent = tensors
        with self._tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            output = self.function(*inputs)
        return self._gradient(tape, output, inputs, cotangent)

    def _along(self, function: Callable[..., Any], inputs: Sequence[Any], tangents: Sequence[Any]) -> Any:
        with self._tf.autodiff.ForwardAccumulator(list(inputs), list(tangents)) as accumulator:
            outputs = function(*inputs)
        unconnected = self._tf.UnconnectedGradients.ZERO
        try:
            return accumulator.jvp(outputs, unconnected_gradients=unconnected)
        except NotImplementedError as error:
            raise NotAvailableError(f"forward mode: {error}") from error

    def _push(self, *tensors: Any) -> Any:
        return self._along(self.function, tensors[: self.n], tensors[self.n :])

    def _ff(self, *tensors: Any) -> Any:
        inputs, _, tangents, others = self._split(tensors)
        return self._along(lambda *x: self._along(self.function, x, tangents), inputs, others)

    def _fr(self, *tensors: Any) -> Any:
        inputs, cotangent, tangents, _ = self._split(tensors)
        return self._along(lambda *x: self._pull(*x, cotangent), inputs, tangents)

    def _rf(self, *tensors: Any) -> Any:
        inputs, cotangent, tangents, _ = self._split(tensors)
        with self._tf.GradientTape() as tape:
            tape.watch(inputs)
            moved = self._along(self.function, inputs, tangents)
        return self._gradient(tape, moved, inputs, cotangent)

    def _rr(self, *tensors: Any) -> Any:
        inputs, cotangent, tangents, _ = self._split(tensors)
        with self._tf.GradientTape() as tape:
            tape.watch(inputs)
            pulled = self._pull(*inputs, cotangent)
            products = [self._tf.reduce_sum(g * t) for g, t in zip(pulled, tangents)]
            total = self._tf.add_n(products)
        return self._gradient(tape, total, inputs)

    def _split(self, tensors: Sequence[Any]) -> tuple[list[Any], Any, list[Any], list[Any]]:
        n = self.n
        return (
            list(tensors[:n]),
            tensors[n],
            list(tensors[n + 1 : 2 * n + 1]),
            list(tensors[2 * n + 1 :]),
        )
