"""Derivatives of large sets of expressions by forward and reverse accumulation over shared subexpressions.

Differentiating an expression tree copies it; accumulated over a tape, every derivative is a few operations on values
that are there already (A. Griewank and A. Walther, Evaluating Derivatives, 2008, chapters 3 and 4). All derivatives
are exact and symbolic; the tape is only a way to write them down once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import sympy as sp
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import Boolean

from implicitops.codegen import Bundle, UnsupportedExpressionError, differentiate
from implicitops.codegen.functions import OPEN
from implicitops.codegen.real_form import real_form
from implicitops.codegen.stable_form import stable_form
from implicitops.codegen.unsupported import expanded

#: Functions whose value may be a number where an argument is NaN.
_CHOICES = (sp.Piecewise, sp.Max, sp.Min, sp.Heaviside, sp.sign, sp.DiracDelta)


class Tape:
    """Expressions as a list of elementary definitions, each in terms of Symbols defined before it.

    Attributes
    ----------
    definitions : dict of Symbol to Expr, in order
    """

    def __init__(self) -> None:
        self.definitions: dict[sp.Symbol, sp.Expr] = {}
        self._symbols: dict[sp.Expr, sp.Symbol] = {}
        self._arguments: dict[sp.Symbol, tuple[sp.Symbol, ...]] = {}
        self._partials: dict[tuple[sp.Symbol, sp.Symbol], sp.Expr] = {}
        self._known: dict[sp.Basic, sp.Expr] = {}
        self._constants: set[sp.Symbol] = set()

    def add(self, expression: sp.Expr) -> sp.Expr:
        """Write an expression on the tape; returns the Symbol or number that stands for it.

        Raises
        ------
        UnsupportedExpressionError : it contains an operation that cannot be carried out, or arguments of a function
            that are no numbers
        """
        known = self._known.get(expression)
        if known is None:
            known = self._known[expression] = self._write(stable_form(expression))
        return known

    def _write(self, expression: sp.Expr) -> sp.Expr:
        known = self._known.get(expression)
        if known is None:
            known = self._known[expression] = self._add(expression)
        return known

    def _add(self, expression: sp.Expr) -> sp.Expr:
        if expression.is_Atom:
            return expression
        if isinstance(expression, OPEN):  # whose arguments are no values: a variable of integration is no input
            return self.add(real_form(expression))
        # A Piecewise is one definition, differentiated piece by piece: the chain rule through its pieces would
        # multiply a piece that is undefined here by the zero that switches it off.
        if not any(map(_is_condition, expression.args)):
            expression = expression.func(*(self._write(argument) for argument in expression.args))
        if expression.is_Atom:
            return expression
        symbol = self._symbols.get(expression)
        if symbol is None:
            symbol = self._symbols[expression] = sp.Symbol(f"_{len(self.definitions)}", real=True)
            self.definitions[symbol] = expression
            self._arguments[symbol] = tuple(sorted(expression.free_symbols, key=_name))
        return symbol

    def constant(self, expression: sp.Expr) -> sp.Expr:
        """Write an expression as a value of its own, which is a constant to all derivatives."""
        value = self.add(expression)
        symbol = sp.Symbol(f"_{len(self.definitions)}", real=True)
        self.definitions[symbol] = value
        self._arguments[symbol] = tuple(sorted(value.free_symbols, key=_name))
        self._constants.add(symbol)
        return symbol

    def partial(self, symbol: sp.Symbol, argument: sp.Symbol) -> sp.Expr:
        """Partial derivative of a definition with respect to a Symbol in it, on the tape; made when it is asked for.

        Raises
        ------
        UnsupportedExpressionError : a function has no derivative in this argument
        """
        found = self._partials.get((symbol, argument))
        if found is None:
            try:
                found = self._write(self._partial(self.definitions[symbol], argument))
            except UnsupportedExpressionError as error:
                raise error.rewritten(lambda item: expanded(item, self.definitions)) from None
            self._partials[symbol, argument] = found
        return found

    @staticmethod
    def _partial(definition: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
        others = [argument for argument in definition.args if argument != symbol]
        # What is not split into definitions may contain the symbol once more.
        if len(others) < len(definition.args) and not any(symbol in other.free_symbols for other in others):
            if definition.is_Add:
                return sp.Integer(len(definition.args) - len(others))
            if definition.is_Mul and len(others) == len(definition.args) - 1:
                return sp.Mul(*others)
        return differentiate(definition, symbol)

    def reverse(self, seeds: Iterable[tuple[sp.Expr, sp.Expr]], inputs: Sequence[sp.Symbol]) -> list[sp.Expr]:
        """Derivative of a weighted sum of values with respect to each input.

        Parameters
        ----------
        seeds : pairs of a value on the tape and its weight
        inputs : sequence of Symbol

        Returns
        -------
        list of Expr on the tape, one for each input
        """
        terms: dict[sp.Symbol, list[sp.Expr]] = {}
        for value, weight in seeds:
            if isinstance(value, sp.Symbol):
                terms.setdefault(value, []).append(self.add(weight))
        totals = {}
        order = self.dependencies(list(terms))
        active = self._depending_on(inputs, order)
        for symbol in reversed(order):
            if symbol not in terms or symbol not in active:
                continue
            totals[symbol] = total = self.add(sp.Add(*terms[symbol]))
            if symbol in self.definitions and symbol not in self._constants and total != 0:
                for argument in self._arguments[symbol]:
                    partial = self.partial(symbol, argument) if argument in active else sp.S.Zero
                    if partial != 0:
                        terms.setdefault(argument, []).append(self.add(total * partial))
        return [totals.get(symbol, sp.S.Zero) for symbol in inputs]

    def forward(self, values: Sequence[sp.Expr], tangents: Mapping[sp.Symbol, sp.Expr]) -> list[sp.Expr]:
        """Derivatives of values on the tape along a direction of the inputs.

        Parameters
        ----------
        values : sequence of values on the tape
        tangents : mapping of an input Symbol to its component of the direction; others are constant

        Returns
        -------
        list of Expr on the tape, one for each value
        """
        directional: dict[sp.Expr, sp.Expr] = dict(tangents)
        for symbol in self.dependencies([v for v in values if isinstance(v, sp.Symbol)]):
            if symbol in self.definitions and symbol not in self._constants:
                parts = [
                    self.partial(symbol, argument) * directional[argument]
                    for argument in self._arguments[symbol]
                    if directional.get(argument, sp.S.Zero) != 0
                ]
                directional[symbol] = self.add(sp.Add(*(self.add(part) for part in parts)))
        return [directional.get(value, sp.S.Zero) for value in values]

    def _depending_on(self, inputs: Sequence[sp.Symbol], order: Sequence[sp.Symbol]) -> set[sp.Symbol]:
        """Those of some Symbols, each after its arguments, that depend on inputs. Others need no derivative."""
        active = set(inputs)
        for symbol in order:
            if symbol not in self._constants and not active.isdisjoint(self._arguments.get(symbol, ())):
                active.add(symbol)
        return active

    def dependencies(self, symbols: Iterable[sp.Symbol]) -> list[sp.Symbol]:
        """All Symbols that given ones depend on, and themselves, in an order in which each follows its arguments."""
        order: list[sp.Symbol] = []
        seen: set[sp.Symbol] = set()
        stack = [(symbol, False) for symbol in symbols]
        while stack:
            symbol, expanded = stack.pop()
            if expanded:
                order.append(symbol)
            elif symbol not in seen:
                seen.add(symbol)
                stack.append((symbol, True))
                stack.extend((s, False) for s in self._arguments.get(symbol, ()) if s not in seen)
        return order

    def makes_nan_of(self, symbol: sp.Symbol, value: sp.Expr) -> bool:
        """Whether a value on the tape is surely NaN where a Symbol is: it contains it, and no comparison chooses."""
        if not isinstance(value, sp.Symbol):
            return False
        needed = self.dependencies([value])
        return symbol in needed and not any(self.definitions.get(s, s).has(*_CHOICES) for s in needed)

    def bundle(self, inputs: Sequence[sp.Symbol], outputs: Sequence[sp.Expr]) -> Bundle:
        """What the code generator needs to compute values on the tape."""
        needed = set(self.dependencies([s for output in outputs for s in sorted(output.free_symbols, key=_name)]))
        definitions = tuple((s, e) for s, e in self.definitions.items() if s in needed)
        return Bundle(tuple(inputs), tuple(outputs), definitions)


def _name(symbol: sp.Symbol) -> str:
    return str(symbol.name)


def _is_condition(argument: sp.Basic) -> bool:
    # A Symbol is both an Expr and a Boolean to SymPy.
    return isinstance(argument, ExprCondPair) or (isinstance(argument, Boolean) and not isinstance(argument, sp.Expr))
