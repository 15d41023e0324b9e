"""What a row of the table of functions says, and the handlers that several families of functions share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sympy as sp

from implicitops.codegen.emitter import Value

if TYPE_CHECKING:
    from implicitops.codegen.printer import Printer

Handler = Callable[["Printer", Any], Value]


@dataclass(frozen=True)
class Refusal:
    """A partial derivative that is not known here, and what to do instead."""

    advice: str


#: The highest derivative that our own functions in csrc/special.pyx have, and what is said of any beyond it.
HIGHEST = 3
TOO_HIGH = Refusal("Only derivatives up to the third are known.")

#: Of the argument that says which derivative a function is.
NOT_A_NUMBER = Refusal("It is a whole number.")

Partial = Callable[..., sp.Expr | Refusal] | Refusal


@dataclass(frozen=True)
class Row:
    """One function: how it is computed, its derivative in every argument, and what it is tested against.

    Parameters
    ----------
    kind : class of SymPy whose instances are the function
    emit : callable of the Printer and the node, returns the value
    partials : for each argument by position a callable of all arguments that returns the partial derivative, or a
        Refusal; None where SymPy's own ``fdiff`` is right in every argument
    reference : callable of mpmath numbers, the function itself, to any number of digits
    points : tuples of arguments at which value and derivatives are tested: generic, near 0, far out, near poles
    poles : tuples of arguments at which value and derivatives are infinite or undefined, and must not be numbers
    whole : positions of the arguments that must be whole numbers, such as an order
    rtol : relative errors of value, first and second derivative at these points
    """

    kind: type
    emit: Handler
    partials: tuple[Partial, ...] | None = None
    reference: Callable[..., Any] | None = None
    points: tuple[tuple[float, ...], ...] = ()
    whole: tuple[int, ...] = ()
    poles: tuple[tuple[float, ...], ...] = ()
    rtol: tuple[float, float, float] = (4e-15, 1e-13, 1e-12)

    def partial(self, node: Any, position: int) -> sp.Expr | Refusal:
        """Partial derivative of a node with respect to one of its arguments, as an expression of its arguments."""
        if self.partials is None:
            return node.fdiff(position + 1)
        rule = self.partials[position]
        found = rule if isinstance(rule, Refusal) else rule(*node.args)
        return found if isinstance(found, Refusal) else sp.sympify(found)


def at(*points: float) -> tuple[tuple[float, ...], ...]:
    """Test points of a function of one argument."""
    return tuple((point,) for point in points)


# -- handlers ------------------------------------------------------------------------------------------------


def arguments(printer: Printer, node: Any) -> list[Value]:
    """Values of a node's arguments."""
    return [printer.emit(argument) for argument in node.args]


def plain(name: str) -> Handler:
    """A function that is called by this C99 name on the node's arguments."""
    return lambda printer, node: printer.call(name, *arguments(printer, node))


def imported(origin: str, function: str, n_arguments: int) -> Handler:
    """A function of a library, see ``special.py``, all doubles."""
    symbol = f"{origin}:{function}:{'d' * n_arguments}"

    def handler(printer: Printer, node: Any) -> Value:
        if len(node.args) != n_arguments:
            raise printer.unsupported(node)
        return printer.emitter.call(symbol, *arguments(printer, node))

    return handler


def derivative(function: str, n_arguments: int) -> Handler:
    """The n-th derivative of one of our own functions; the node's first argument is n, the others are its arguments."""

    def handler(printer: Printer, node: Any) -> Value:
        order = int(printer.resolved(node.args[0]))
        values = [printer.emit(argument) for argument in node.args[1:]]
        return printer.emitter.call(f"iop:{function}_{order}:{'d' * n_arguments}", *values)

    return handler


def scipy(function: str, n_arguments: int = 1) -> Handler:
    """A function of scipy.special, all doubles."""
    return imported("scipy", function, n_arguments)


def scipy_output(function: str, n_outputs: int, chosen: int) -> Handler:
    """One of the numbers that a function of scipy.special writes through pointers."""
    symbol = f"scipy:{function}:d{'p' * n_outputs}"
    return lambda printer, node: printer.emitter.call(f"{symbol}#{chosen}", *arguments(printer, node))


def not_below_zero(handler: Handler) -> Handler:
    """NaN for a negative first argument, where the function of SymPy is complex but the one called is not."""
    return lambda printer, node: (printer.emit(node.args[0]) < 0.0).where(float("nan"), handler(printer, node))


def computed(formula: Callable[..., Value]) -> Handler:
    """A function of the printer and the argument values."""
    return lambda printer, node: formula(printer, *arguments(printer, node))


def reciprocal(name: str) -> Handler:
    """One divided by a function of a C99 name."""
    return computed(lambda printer, x: 1.0 / printer.call(name, x))


def of_reciprocal(name: str) -> Handler:
    """A function of a C99 name, of one divided by the argument."""
    return computed(lambda printer, x: printer.call(name, 1.0 / x))


def of_values(formula: Callable[..., Value]) -> Handler:
    """A function of the argument values alone."""
    return lambda printer, node: formula(*arguments(printer, node))


def with_order(formula: Callable[[int, Value], Value]) -> Handler:
    """A function of an order, which is a whole number when code is made, and a value."""
    return lambda printer, node: formula(int(printer.resolved(node.args[0])), printer.emit(node.args[1]))
