"""What is said of an expression that has no real-valued machine code, or of a derivative that is not known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from implicitops.status import ProblemError

_SUPPORTED = "docs/functions.md lists what is supported"

_ADVICE: dict[type, str] = {
    AppliedUndef: "Give the function a definition, or make it an input symbol.",
    sp.hyper: "Expand it with sympy.hyperexpand, or state the integral or ODE that defines it.",
    sp.meijerg: "Expand it with sympy.hyperexpand, or state the integral or ODE that defines it.",
    sp.Integral: "SymPy finds no closed form of it: state it as an implicitops.Integral, with its value as input.",
    sp.Sum: "Its limits must be whole numbers, at most 1000 terms apart, or SymPy must find a closed form of it.",
    sp.Product: "Its limits must be whole numbers, at most 1000 factors apart, or SymPy must find a closed form of it.",
    sp.Derivative: "It can be taken with respect to Symbols only, of functions whose derivative is known.",
    sp.Subs: "It stands for a derivative that SymPy cannot take; write the derivative out.",
}


def _advice(node: Any) -> str:
    known = (_ADVICE[kind] for kind in type(node).__mro__ if kind in _ADVICE)
    return next(known, f"Rewrite it with supported functions ({_SUPPORTED}).")


class UnsupportedExpressionError(ProblemError, NotImplementedError):
    """An expression contains something that has no real-valued machine code.

    Parameters
    ----------
    node : what is not supported
    within : the smallest expression around it that says where it is
    advice : what to do about it
    """

    def __init__(self, node: Any, within: Any = None, advice: str = "") -> None:
        self.node = node
        self.within = within
        self.advice = advice or _advice(node)
        super().__init__(node, within, advice)

    def rewritten(self, rewrite: Callable[[Any], Any]) -> UnsupportedExpressionError:
        """The same error in other Symbols, such as the user's instead of those of the generated code."""
        return type(self)(*(rewrite(item) if isinstance(item, sp.Basic) else item for item in self.args))

    def __str__(self) -> str:
        kind = type(self.node).__name__
        where = f" in {shortened(self.within)}" if self.within is not None and self.within != self.node else ""
        return (
            "Expected an expression of real numbers and supported functions; "
            f"got {kind} {shortened(self.node)}{where}. {self.advice}"
        )


class UnsupportedDerivativeError(UnsupportedExpressionError):
    """A derivative is asked for with respect to an argument in which a function has none that is known.

    Parameters
    ----------
    node : the function with its arguments
    position : int, which of its arguments, from 0
    advice : what to do about it
    """

    def __init__(self, node: Any, position: int, advice: str = "") -> None:
        super().__init__(node, position, advice)

    def __str__(self) -> str:
        argument = self.node.args[self.args[1]]
        symbols = ", ".join(sorted(map(str, argument.free_symbols)))
        return (
            f"The derivative of {shortened(self.node)} with respect to its argument {shortened(argument)} is not "
            f"known, and a derivative with respect to {symbols} needs it. {self.advice} Values alone need none: "
            "solve(..., derivatives=0), or a graph without a gradient."
        )


def expanded(item: Any, definitions: Mapping[Any, Any]) -> Any:
    """An expression with all that is defined written out; anything else as it is."""
    while isinstance(item, sp.Basic) and item.free_symbols & definitions.keys():
        item = item.xreplace(dict(definitions))
    return item


def shortened(expression: Any, length: int = 200) -> str:
    """An expression as a text that fits into an error message."""
    text = str(expression)
    return text if len(text) <= length else text[: length - 1] + "…"
