"""SymPy expressions to straight-line IR: numbers, sums, products, logic. Functions are in ``functions/``,
powers in ``powers.py``.

Every symbol stands for a real number. What is not real at a point is NaN there; what is never real, or not
known, is an ``UnsupportedExpressionError`` before any code exists. User names are never printed.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import sympy as sp
from sympy.core.relational import Relational
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import ITE, BooleanFalse, BooleanTrue, Nand, Nor, Xnor

from implicitops.codegen.bundle import Bundle
from implicitops.codegen.elementary import ELEMENTARY, GUARDS
from implicitops.codegen.emitter import TRUTH, Emitter, Operand, Value
from implicitops.codegen.special import c_symbol
from implicitops.codegen.unsupported import expanded
from implicitops.errors import UnsupportedExpressionError


def exact_fraction(number: Any) -> Fraction:
    """The exact value of a SymPy Rational or Float."""
    if isinstance(number, sp.Rational):
        return Fraction(int(number.p), int(number.q))
    sign, mantissa, exponent, _ = number._mpf_
    magnitude = int(mantissa) * Fraction(2) ** int(exponent)
    return -magnitude if sign else magnitude


def nearest_double(value: Fraction) -> float:
    """The double nearest to a fraction, infinite beyond the range."""
    try:
        return value.numerator / value.denominator
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def number_pair(number: Any) -> tuple[float, float]:
    """A real constant as the unevaluated sum of two doubles, the first the nearest double.

    Parameters
    ----------
    number : Expr without symbols, finite and real
    """
    if not isinstance(number, (sp.Rational, sp.Float)):
        number = number.evalf(50)
    exact = exact_fraction(number)
    high = nearest_double(exact)
    low = nearest_double(exact - Fraction(high)) if abs(high) != float("inf") else 0.0
    return high, low


Handler = Callable[["Printer", Any], Value]


class Printer:
    """Emits each distinct subexpression once.

    Parameters
    ----------
    emitter : Emitter        receives the instructions
    inputs : dict of Symbol to Value
    definitions : dict of Symbol to Expr, the common subexpressions, in the order of their use

    Attributes
    ----------
    guards : list of Value
        true where an argument lies beyond the range of the vectorised form of a function
    """

    def __init__(self, emitter: Emitter, inputs: dict[sp.Expr, Value], definitions: dict[sp.Symbol, sp.Expr]) -> None:
        self.emitter = emitter
        self.definitions = definitions
        self.guards: list[Value] = []
        self._values: dict[Any, Value] = dict(inputs)
        self._path: list[Any] = []

    def emit(self, expression: Any) -> Value:
        """The value of a real expression.

        Raises
        ------
        UnsupportedExpressionError : it has no real-valued machine code
        """
        known = self._values.get(expression)
        if known is None:
            self._path.append(expression)
            known = self._handler(expression)(self, expression)
            self._path.pop()
            self._values[expression] = known
        return known

    def resolved(self, expression: Any) -> Any:
        """The expression itself, or what it abbreviates if it is a common subexpression."""
        while expression in self.definitions:
            expression = self.definitions[expression]
        return expression

    def unsupported(self, node: Any, advice: str = "") -> UnsupportedExpressionError:
        """The error that names a node and the expression in which it was met, in the user's terms."""
        within = next((outer for outer in reversed(self._path) if outer != node), None)
        return UnsupportedExpressionError(expanded(node, self.definitions), expanded(within, self.definitions), advice)

    def _handler(self, expression: Any) -> Handler:
        from implicitops.codegen.functions import row_of

        for kind in type(expression).__mro__:
            if kind in _CORE_HANDLERS:
                return _CORE_HANDLERS[kind]
        row = row_of(type(expression))
        return _emit_unknown if row is None else row.emit

    # -- calls -----------------------------------------------------------------------------------------------

    def call(self, name: str, *arguments: Value) -> Value:
        """Call a function by its C99 name: our own if there is one, else the C library's."""
        if name in GUARDS:
            self.guards.append(GUARDS[name](*arguments))
        return self.emitter.call(name if name in ELEMENTARY else c_symbol(name), *arguments)

    # -- truth values ----------------------------------------------------------------------------------------

    def truth(self, condition: Any) -> Value:
        """The value of a condition.

        Raises
        ------
        UnsupportedExpressionError : it is no relation or combination of relations
        """
        condition = self.resolved(condition)
        emitter = self.emitter
        if isinstance(condition, (BooleanTrue, BooleanFalse)):
            return emitter.operand(int(bool(condition)), TRUTH)
        if isinstance(condition, Relational):
            return self._relation(condition)
        if isinstance(condition, sp.Not):
            return ~self.truth(condition.args[0])
        if isinstance(condition, ITE):
            chosen = self.truth(condition.args[0])
            return (chosen & self.truth(condition.args[1])) | (~chosen & self.truth(condition.args[2]))
        if isinstance(condition, sp.Contains):
            return self.truth(condition.args[1].as_relational(condition.args[0]))
        if isinstance(condition, (sp.Implies, sp.Equivalent, Nand, Nor, Xnor)):
            return self.truth(condition.to_nnf(simplify=False))
        return self._combination(condition)

    def _relation(self, relation: Any) -> Value:
        left, right = (self.emit(side) for side in relation.args)
        if isinstance(relation, sp.Eq):
            return left.equals(right)
        if isinstance(relation, sp.Ne):
            return left.differs(right)
        comparisons = {
            sp.StrictLessThan: lambda: left < right,
            sp.LessThan: lambda: left <= right,
            sp.StrictGreaterThan: lambda: left > right,
            sp.GreaterThan: lambda: left >= right,
        }
        return comparisons[relation.func]()

    def _combination(self, condition: Any) -> Value:
        operations: dict[Any, Callable[[Value, Value], Value]] = {
            sp.And: lambda a, b: a & b,
            sp.Or: lambda a, b: a | b,
            sp.Xor: lambda a, b: a ^ b,
        }
        operation = operations.get(getattr(condition, "func", None))
        if operation is None:
            raise self.unsupported(condition, "Use relations such as x < 1, joined by And, Or, Not, Xor or ITE.")
        values = [self.truth(argument) for argument in condition.args]
        result = values[0]
        for value in values[1:]:
            result = operation(result, value)
        return result


# -- handlers: one per class of node -------------------------------------------------------------------------


def _emit_unknown(printer: Printer, node: Any) -> Value:
    raise printer.unsupported(node)


def _emit_symbol(printer: Printer, symbol: Any) -> Value:
    if symbol in printer.definitions:
        return printer.emit(printer.definitions[symbol])
    raise printer.unsupported(symbol, f"Make {symbol} an input, or replace it by a number.")


def _emit_number(printer: Printer, number: Any) -> Value:
    return printer.emitter.real(number_pair(number)[0])


def _emit_not_real(printer: Printer, node: Any) -> Value:
    raise printer.unsupported(node, "The expression is not a real number there; state it for real values only.")


def _emit_infinity(sign: int | float) -> Handler:
    return lambda printer, node: printer.emitter.real(sign * float("inf"))


def _emit_add(printer: Printer, node: Any) -> Value:
    from implicitops.codegen.rewriting import stable_sum

    (negative, value), *rest = sorted(stable_sum(printer, node), key=lambda part: part[0])
    total = -value if negative else value
    for negative, value in rest:
        total = total - value if negative else total + value
    return total


def signed_term(printer: Printer, term: Any) -> tuple[bool, Value]:
    """A term of a sum as (is subtracted, magnitude)."""
    if isinstance(term, sp.Mul) and term.args[0].is_Number and term.args[0].is_negative:
        return True, printer.emit(-term)
    if term.is_Number and term.is_negative:
        return True, printer.emit(-term)
    return False, printer.emit(term)


def _emit_mul(printer: Printer, node: Any) -> Value:
    negative = False
    above: list[Any] = []
    below: list[Any] = []
    for factor in node.args:
        if factor.is_Number and factor.is_negative:
            negative = not negative
            above += [-factor] if factor != -1 else []
        elif isinstance(factor, sp.Pow) and factor.exp.is_Rational and factor.exp.is_negative:
            below.append(sp.Pow(factor.base, -factor.exp, evaluate=False) if factor.exp != -1 else factor.base)
        else:
            above.append(factor)
    result = _product(printer, above)
    if below:
        result = (printer.emitter.real(1.0) if result is None else result) / _product(printer, below)
    assert result is not None
    return -result if negative else result


def _product(printer: Printer, factors: list[Any]) -> Any:
    result: Value | None = None
    for factor in factors:
        value = printer.emit(factor)
        result = value if result is None else result * value
    return result


def _emit_pow(printer: Printer, node: Any) -> Value:
    from implicitops.codegen.powers import emit_power

    return emit_power(printer, node.base, node.exp)


def _emit_piecewise(printer: Printer, node: Any) -> Value:
    result: Operand = float("nan")
    for pair in reversed(node.args):
        assert isinstance(pair, ExprCondPair)
        result = printer.truth(pair.cond).where(printer.emit(pair.expr), result)
    assert isinstance(result, Value)
    return result


_CORE_HANDLERS: dict[type, Handler] = {
    sp.Symbol: _emit_symbol,
    sp.Dummy: _emit_symbol,
    sp.Integer: _emit_number,
    sp.Rational: _emit_number,
    sp.Float: _emit_number,
    sp.NumberSymbol: _emit_number,
    sp.core.numbers.Infinity: _emit_infinity(1),
    sp.core.numbers.NegativeInfinity: _emit_infinity(-1),
    sp.core.numbers.NaN: _emit_not_real,
    sp.core.numbers.ComplexInfinity: _emit_not_real,
    sp.core.numbers.ImaginaryUnit: _emit_not_real,
    sp.Add: _emit_add,
    sp.Mul: _emit_mul,
    sp.Pow: _emit_pow,
    sp.Piecewise: _emit_piecewise,
}


def print_bundle(bundle: Bundle, emitter: Emitter) -> tuple[list[Value], list[Value]]:
    """Emit a bundle; input r is the value ``%in<r>``.

    Parameters
    ----------
    bundle : Bundle
    emitter : Emitter, empty

    Returns
    -------
    outputs : list of Value
    guards : list of Value, see ``Printer``

    Raises
    ------
    UnsupportedExpressionError : an output has no real-valued machine code
    """
    from implicitops.codegen.real_form import real_form
    from implicitops.codegen.stable_form import stable_form

    expressions = [real_form(sp.sympify(output)) for output in bundle.outputs]
    inputs: dict[sp.Expr, Value] = {
        symbol: Value(emitter, f"%in{row}", "double") for row, symbol in enumerate(bundle.inputs)
    }
    if bundle.definitions:
        definitions = {symbol: real_form(expression) for symbol, expression in bundle.definitions}
        reduced = expressions
    else:
        expressions = [stable_form(expression) for expression in expressions]
        abbreviations = sp.numbered_symbols("common", cls=sp.Dummy)
        replacements, reduced = sp.cse(expressions, symbols=abbreviations, order="none", list=True)
        definitions = dict(replacements)
    printer = Printer(emitter, inputs, definitions)
    for symbol, _ in bundle.definitions:  # in order, so that long chains do not nest
        printer.emit(symbol)
    return [printer.emit(expression) for expression in reduced], printer.guards
