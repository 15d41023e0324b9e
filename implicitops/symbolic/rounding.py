"""Bounds of the rounding errors of expressions on a tape, as expressions that are evaluated with them.

With u = 2**-53, the error of a definition d = f(a, b, ...) is at most

    e_d = sum |df/da| e_a + c_f u |d|        (a sum of more than two terms: (n - 1) u sum |a|),

to first order in u: the running error analysis of J. H. Wilkinson (Rounding Errors in Algebraic Processes, 1963; N. J.
Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.3), done symbolically once and numerically where
the expressions are evaluated. c_f is what the implementation of f loses itself.

A function whose derivative is not at hand is evaluated a second time at a + e_a, which also sees a jump
that the error of an argument may cross.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sympy as sp

from implicitops.codegen.functions.bessel import besselj_by_order, bessely_by_order
from implicitops.codegen.functions.beta import gamma_quotient_curvature
from implicitops.codegen.functions.gamma import zeta_derivative
from implicitops.codegen.functions.incomplete_gamma import gammainc_by_shape, lowergamma_by_shape, uppergamma_by_shape
from implicitops.symbolic.tape import Tape

UNIT = sp.Float(2.0**-53)

#: Units in the last place that an elementary function and one of SciPy's special functions may lose.
ELEMENTARY, SPECIAL = 4, 128

#: Functions that change their sign: near a zero they are right to a change of the last argument by so many units, not
#: to so many of the value.
OSCILLATING = (
    *(sp.besselj, sp.bessely, besselj_by_order, bessely_by_order),
    *(sp.airyai, sp.airybi, sp.airyaiprime, sp.airybiprime),
    *(sp.digamma, sp.polygamma, sp.zeta, zeta_derivative, gamma_quotient_curvature),
    *(gammainc_by_shape, lowergamma_by_shape, uppergamma_by_shape),
)
OSCILLATING_UNITS = 64

#: Smallest normal number, which keeps a quotient of zeros a number.
TINY = sp.Float(2.0**-1022)

#: Magnitude of the derivative of a function of one argument, from the argument and the value.
SLOPES: dict[type, Callable[[sp.Expr, sp.Expr], sp.Expr]] = {
    sp.exp: lambda a, d: d,
    sp.log: lambda a, d: 1 / sp.Abs(a),
    sp.sin: lambda a, d: sp.Abs(sp.cos(a)),
    sp.cos: lambda a, d: sp.Abs(sp.sin(a)),
    sp.tan: lambda a, d: 1 + d**2,
    sp.sinh: lambda a, d: sp.cosh(a),
    sp.cosh: lambda a, d: sp.Abs(sp.sinh(a)),
    sp.tanh: lambda a, d: 1 / sp.cosh(a) ** 2,
    sp.atan: lambda a, d: 1 / (1 + a**2),
    sp.asinh: lambda a, d: 1 / sp.sqrt(1 + a**2),
    sp.Abs: lambda a, d: sp.S.One,
}


def running_errors(
    tape: Tape, values: Sequence[sp.Expr], known: Mapping[sp.Symbol, sp.Expr] | None = None
) -> list[sp.Expr]:
    """Bounds of the errors of values on a tape, themselves on the tape.

    Parameters
    ----------
    tape : Tape
    values : sequence of values on the tape
    known : mapping of Symbols to the errors that they come with, values on the tape; other inputs are exact

    Returns
    -------
    list of Expr, one for each value; NaN where a bound overflows
    """
    return _Errors(tape, dict(known or {})).of(values)


class _Errors:
    def __init__(self, tape: Tape, known: dict[sp.Symbol, sp.Expr]) -> None:
        self.tape, self.errors = tape, known

    def of(self, values: Sequence[sp.Expr]) -> list[sp.Expr]:
        """Bounds of the errors of values on the tape."""
        for symbol in self.tape.dependencies([v for v in values if isinstance(v, sp.Symbol)]):
            if symbol in self.tape.definitions and symbol not in self.errors:
                self.errors[symbol] = self.tape.add(self._of_definition(symbol, self.tape.definitions[symbol]))
        return [self._error(value) for value in values]

    def _error(self, value: sp.Expr) -> sp.Expr:
        if isinstance(value, sp.Symbol):
            return self.errors.get(value, sp.S.Zero)
        return sp.S.Zero if _is_exact(value) else self.tape.add(UNIT * sp.Abs(value))

    def _of_definition(self, symbol: sp.Symbol, definition: sp.Expr) -> sp.Expr:
        if definition.is_Add:
            return self._of_sum(symbol, definition)
        if definition.is_Mul:
            return self._of_product(symbol, definition)
        if definition.is_Pow and not definition.exp.free_symbols:
            return self._of_power(symbol, definition)
        if isinstance(definition, sp.log) and len(definition.args) == 1:
            return self._of_logarithm(symbol, definition.args[0])
        if isinstance(definition, (sp.Max, sp.Min)):
            return sp.Max(*(self._error(a) for a in definition.args))
        if isinstance(definition, sp.Piecewise):
            return self._of_choice(definition)
        slope = SLOPES.get(definition.func) if len(definition.args) == 1 else None
        if slope is None:
            return self._of_anything(symbol, definition)
        (a,) = definition.args
        error = self._error(a)
        units = 0 if isinstance(definition, sp.Abs) else ELEMENTARY
        own = units * UNIT * sp.Abs(symbol)
        return own if error == 0 else error * self.tape.add(slope(a, symbol)) + own

    def _of_sum(self, symbol: sp.Symbol, definition: sp.Expr) -> sp.Expr:
        terms = list(definition.args)
        carried = [self._without_cancellation(terms, unit) for unit in (sp.S.One, sp.S.NegativeOne)]
        carried += [self._error(term) for term in terms]
        n = len(terms) + sum(1 for error in carried[:2] if error != 0)
        if n <= 2:
            return sp.Add(*carried, UNIT * sp.Abs(symbol))
        sizes = sp.Add(*(sp.Abs(term) for term in definition.args))
        return sp.Add(*carried, (n - 1) * UNIT * self.tape.add(sizes))

    def _without_cancellation(self, terms: list[sp.Expr], unit: sp.Expr) -> sp.Expr:
        """Error of exp(u) - 1 or 1 - cos(u), which machine code computes without one (codegen/rewriting.py).

        The two terms are taken out of the list.
        """
        if unit not in terms:
            return sp.S.Zero
        for term in terms:
            function = self._resolved(term)
            if unit is sp.S.One:
                is_negative = function.is_Mul and len(function.args) == 2 and function.args[0] is sp.S.NegativeOne
                function = self._resolved(function.args[1]) if is_negative else sp.S.Zero
            if isinstance(function, (sp.exp, sp.cos)):
                terms.remove(term)
                terms.remove(unit)
                (u,) = function.args
                small, slope = (
                    (sp.exp(u) - 1, sp.exp(u)) if isinstance(function, sp.exp) else (1 - sp.cos(u), sp.sin(u))
                )
                return self.tape.add(
                    self._error(u) * sp.Abs(slope) + 2 * ELEMENTARY * UNIT * sp.Abs(self.tape.add(small))
                )
        return sp.S.Zero

    def _of_product(self, symbol: sp.Symbol, definition: sp.Expr) -> sp.Expr:
        factors = definition.args
        parts = []
        for k, factor in enumerate(factors):
            error = self._error(factor)
            if error != 0:
                others = (sp.Abs(other) for j, other in enumerate(factors) if j != k)
                parts.append(sp.Mul(error, *others))
        rounded = len([f for f in factors if not _is_power_of_two(f)]) - 1
        return sp.Add(*parts, max(rounded, 0) * UNIT * sp.Abs(symbol))

    def _of_power(self, symbol: sp.Symbol, definition: sp.Expr) -> sp.Expr:
        base, exponent = definition.args
        error, size = self._error(base), sp.Abs(symbol)
        own = (ELEMENTARY if not exponent.is_Integer else min(abs(int(exponent)), 64)) * UNIT * size
        if error == 0:
            return own
        if exponent == sp.Rational(1, 2):  # at most error / sqrt(base), and sqrt(error) near zero
            return error / sp.Max(size, sp.sqrt(error), TINY) + own
        if exponent.is_Integer and exponent > 0:
            return error * self.tape.add(exponent * sp.Abs(base) ** (exponent - 1)) + own
        # The quotient first, because the power may be near the limits of the numbers.
        relative = self.tape.add(self.tape.add(error / sp.Abs(base)) * sp.Abs(exponent))
        return self._unless_exact(error, relative * size) + own

    def _of_logarithm(self, symbol: sp.Symbol, argument: sp.Expr) -> sp.Expr:
        own = ELEMENTARY * UNIT * sp.Abs(symbol)
        inner = self._resolved(argument)
        if not (inner.is_Add and sp.S.One in inner.args):
            error = self._error(argument)
            return own if error == 0 else error / sp.Abs(argument) + own
        rest = [term for term in inner.args if term is not sp.S.One]
        exponential = self._resolved(rest[0])
        if len(rest) == 1 and isinstance(exponential, sp.exp):
            (u,) = exponential.args
            return self._error(u) / (1 + self.tape.add(sp.exp(-u))) + 2 * own
        sizes = (len(rest) - 1) * UNIT * sp.Add(*map(sp.Abs, rest))
        return (sp.Add(*(self._error(term) for term in rest)) + sizes) / sp.Abs(argument) + own

    def _of_choice(self, definition: sp.Expr) -> sp.Expr:
        """The error of the piece that is chosen; the pieces are no definitions of the tape's own."""
        pieces = [self.tape.add(piece) for piece, _ in definition.args]
        errors = self.of(pieces)
        conditions = [condition for _, condition in definition.args]
        return sp.Piecewise(*zip(errors, conditions), evaluate=False)

    def _of_anything(self, symbol: sp.Symbol, definition: sp.Expr) -> sp.Expr:
        """The change of the value when each argument moves by its error, to the side where there is one."""
        parts = [SPECIAL * UNIT * sp.Abs(symbol)]
        for argument in sorted(definition.free_symbols, key=str):
            error = self._error(argument)
            if definition.func in OSCILLATING and argument == definition.args[-1]:
                error = error + OSCILLATING_UNITS * UNIT * sp.Abs(argument)
            if error == 0:
                continue
            error = self.tape.add(error)
            above, below = (
                self.tape.add(sp.Abs(self.tape.add(definition.xreplace({argument: moved})) - symbol))
                for moved in (self.tape.add(argument + error), self.tape.add(argument - error))
            )
            choice = sp.Piecewise((above, above >= 0), (below, below >= 0), (sp.S.Zero, True), evaluate=False)
            parts.append(self._unless_exact(error, self.tape.add(choice)))
        return sp.Add(*parts)

    def _unless_exact(self, error: sp.Expr, change: sp.Expr) -> sp.Expr:
        """The change, which may be 0 times infinity, where the error is not 0."""
        change = self.tape.add(change)
        return self.tape.add(sp.Piecewise((change, error > 0), (sp.S.Zero, True), evaluate=False))

    def _resolved(self, value: sp.Expr) -> sp.Expr:
        return self.tape.definitions.get(value, value) if isinstance(value, sp.Symbol) else value


def _is_exact(number: sp.Expr) -> bool:
    """Whether a number is a double."""
    if number.is_Integer:
        return abs(int(number)) <= 2**53
    return bool(number.is_Float or (number.is_Rational and _is_power_of_two(number.q) and abs(number.p) <= 2**53))


def _is_power_of_two(number: object) -> bool:
    value = abs(sp.sympify(number))
    return bool(value.is_Rational and all(n > 0 and n & (n - 1) == 0 for n in (int(value.p), int(value.q))))
