"""A Theano graph and the derivative products that Theano itself makes of it: grad (L_op) and Rop (R_op)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from implicitops.errors import NotAvailableError
from implicitops.problems.base import Problem
from implicitops.verify.differentiation.base import Arrays, Differentiable, by_position


class TheanoDifferentiable(Differentiable):
    """Derivative products of a function of Theano variables.

    Parameters
    ----------
    function : callable of Theano variables returning one, or a Theano Op, or a Problem
    example : sequence of ndarray, arguments whose ndim and dtype the variables get
    """

    name = "theano"

    def __init__(self, function: Callable[..., Any], example: Arrays) -> None:
        import theano
        import theano.tensor as tt

        self._theano, self._tt = theano, tt
        self.inputs = [self._variable(a, f"input_{k}") for k, a in enumerate(example)]
        if isinstance(function, Problem):
            function = by_position(function.op("theano"), function)
        output = function(*self.inputs)
        if isinstance(output, (list, tuple)):
            if len(output) != 1:
                raise NotAvailableError(f"an op with one output is needed; this one has {len(output)}. Pick one.")
            output = output[0]
        self.output = tt.as_tensor_variable(output)
        self.tangents = [v.type(f"tangent_{k}") for k, v in enumerate(self.inputs)]
        self.others = [v.type(f"other_{k}") for k, v in enumerate(self.inputs)]
        self.cotangent = self.output.type("cotangent")
        self._compiled: dict[str, Any] = {}

    def _variable(self, example: np.ndarray, name: str) -> Any:
        return self._tt.TensorType(str(example.dtype), (False,) * example.ndim)(name)

    def value(self, arguments: Arrays) -> np.ndarray:
        return np.asarray(self._function("value", lambda: self.output, self.inputs)(*arguments))

    def vjp(self, arguments: Arrays, cotangent: np.ndarray) -> list[np.ndarray]:
        compiled = self._function("vjp", lambda: self._pull(self.output), [*self.inputs, self.cotangent])
        return [np.asarray(a) for a in compiled(*arguments, self._like_output(cotangent))]

    def jvp(self, arguments: Arrays, tangents: Arrays) -> np.ndarray:
        compiled = self._function("jvp", lambda: self._push(self.output), [*self.inputs, *self.tangents])
        return np.asarray(compiled(*arguments, *tangents))

    def second(
        self, mode: str, arguments: Arrays, cotangent: np.ndarray, tangents: Arrays, others: Arrays
    ) -> np.ndarray | list[np.ndarray]:
        variables = [*self.inputs, self.cotangent, *self.tangents, *self.others]
        compiled = self._function(mode, lambda: self._second_graph(mode), variables)
        result = compiled(*arguments, self._like_output(cotangent), *tangents, *others)
        return [np.asarray(a) for a in result] if isinstance(result, list) else np.asarray(result)

    def _like_output(self, cotangent: np.ndarray) -> np.ndarray:
        return np.asarray(cotangent, dtype=self.output.dtype)

    def _second_graph(self, mode: str) -> Any:
        if mode == "ff":
            return self._push(self._push(self.output), self.others)
        if mode == "fr":
            return [self._push(g) for g in self._pull(self.output)]
        if mode == "rf":
            return self._pull(self._push(self.output))
        products = [(g * t).sum() for g, t in zip(self._pull(self.output), self.tangents)]
        return self._gradient(sum(products[1:], products[0]))

    def _pull(self, output: Any) -> list[Any]:
        return self._gradient((output * self.cotangent).sum())

    def _gradient(self, cost: Any) -> list[Any]:
        return list(self._theano.grad(cost, self.inputs, disconnected_inputs="ignore"))

    def _push(self, output: Any, directions: Sequence[Any] | None = None) -> Any:
        directions = self.tangents if directions is None else directions
        try:
            return self._tt.Rop(output, self.inputs, list(directions))
        except NotImplementedError as error:
            raise NotAvailableError(f"forward mode: {str(error) or 'an op in the graph has no R_op'}") from error

    def _function(self, name: str, graph: Callable[[], Any], variables: Sequence[Any]) -> Any:
        if name not in self._compiled:
            self._compiled[name] = self._theano.function(list(variables), graph(), on_unused_input="ignore")
        return self._compiled[name]
