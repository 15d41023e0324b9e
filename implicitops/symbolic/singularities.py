"""Where each function is not analytic although its arguments can go on: one table, and what follows for expressions.

A function that is undefined (NaN) beyond a point needs no row of its own: no solution passes there. One that is
infinite at a point, but real on both sides of it, is passed where it stands inside another function that stays finite
(atan(1/x) jumps), or where its integral does (log(Abs(x))). Functions by cases, and those with a cut that real
arguments can cross, are in :mod:`implicitops.symbolic.cases`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import sympy as sp


def _nowhere(*arguments: sp.Expr) -> tuple[sp.Expr, ...]:
    return ()


@dataclass(frozen=True)
class Behaviour:
    """How a function behaves where it is not analytic.

    Parameters
    ----------
    poles : function of the arguments to the expressions at whose zeros it is infinite, and real on both sides
    is_integrable : bool, it grows so slowly there, as a logarithm, that a solution passes
    at_infinity : "infinite", "essential" or "finite"
        Where an argument is infinite, on one side and on the other: infinite on both, infinite on one side only, or
        finite on both, with different values as a rule.
    """

    poles: Callable[..., tuple[sp.Expr, ...]] = _nowhere
    is_integrable: bool = False
    at_infinity: str = "finite"


_SMOOTH = Behaviour()
_INFINITE = Behaviour(at_infinity="infinite")
_ESSENTIAL = Behaviour(at_infinity="essential")


def _pole(zero: Callable[..., sp.Expr], is_integrable: bool = False) -> Behaviour:
    return Behaviour(lambda *arguments: (zero(*arguments),), is_integrable)


def _gamma_poles(*arguments: sp.Expr) -> tuple[sp.Expr, ...]:
    """At 0 and the negative whole numbers."""
    return tuple(sp.sin(sp.pi * u) for u in arguments if not u.is_positive)


_AT_ZERO = _pole(lambda u: u)

#: Behaviour of each function by the name of its class; those by cases are in ``cases.py``.
BEHAVIOURS: dict[str, Behaviour] = {
    **dict.fromkeys(("exp", "exp2", "erfi", "besseli", "airyai", "airybi", "airyaiprime", "airybiprime"), _ESSENTIAL),
    **dict.fromkeys(("expm1", "softplus", "logaddexp", "log_expit", "log_ndtr", "erfcx"), _ESSENTIAL),
    **dict.fromkeys(
        ("log", "log1p", "log2", "log10", "Sqrt", "hypot", "fma", "sinh", "cosh", "asinh", "acosh"), _INFINITE
    ),
    **dict.fromkeys(("Shi", "re", "conjugate", "im"), _INFINITE),
    **dict.fromkeys(("sin", "cos", "sinc", "asin", "acos", "atan", "asec", "acsc", "tanh", "sech", "atanh"), _SMOOTH),
    **dict.fromkeys(("acoth", "asech", "erf", "erfc", "erf2", "erfinv", "erfcinv", "expit", "ndtr", "ndtri"), _SMOOTH),
    **dict.fromkeys(("Si", "Ci", "Chi", "expint", "fresnels", "fresnelc", "elliptic_k", "elliptic_f"), _SMOOTH),
    **dict.fromkeys(("elliptic_e", "besselj", "bessely", "besselk", "loggamma", "gammainc", "gammaincc"), _SMOOTH),
    **dict.fromkeys(("lowergamma", "uppergamma", "LambertW"), _SMOOTH),
    "Cbrt": _INFINITE,
    "tan": _pole(sp.cos),
    "sec": _pole(sp.cos),
    "cot": _pole(sp.sin),
    "csc": _pole(sp.sin),
    "coth": _AT_ZERO,
    "csch": _AT_ZERO,
    "acsch": _pole(lambda u: u, is_integrable=True),
    "Ei": _pole(lambda u: u, is_integrable=True),
    "li": _pole(lambda u: u - 1, is_integrable=True),
    "zeta": _pole(lambda s, *rest: s - 1),
    "gamma": Behaviour(_gamma_poles),
    "digamma": Behaviour(_gamma_poles),
    "polygamma": Behaviour(lambda order, u: _gamma_poles(u)),
    "harmonic": Behaviour(lambda u, *rest: _gamma_poles(u + 1)),
    "factorial": Behaviour(lambda u: _gamma_poles(u + 1)),
    "beta": Behaviour(_gamma_poles),
    "binomial": Behaviour(lambda n, k: _gamma_poles(n + 1)),
    "RisingFactorial": Behaviour(lambda x, k: _gamma_poles(x + k)),
    **dict.fromkeys(("beta_slope", "beta_mixed"), Behaviour(_gamma_poles)),
    "binomial_slope": Behaviour(lambda n, k: _gamma_poles(n + 1, n - k + 1)),
    "rising_factorial_slope": Behaviour(lambda x, k: _gamma_poles(x, x + k)),
    "gamma_quotient_curvature": Behaviour(lambda x, h: _gamma_poles(x, x + h)),
    "polygamma_difference": Behaviour(lambda order, x, h: _gamma_poles(x, x + h)),
}


def behaviour_of(function: sp.Basic) -> Behaviour | None:
    """Behaviour of a function of the table; None for one that is not known."""
    return BEHAVIOURS.get(type(function).__name__)


def with_moduli(expression: sp.Expr) -> sp.Expr:
    """Expression with sqrt(u**2) as the modulus that it is for real u, and u/Abs(u) as the sign.

    Examples
    --------
    >>> import sympy as sp
    >>> from implicitops.symbolic.singularities import with_moduli
    >>> x, y = sp.symbols("x y", real=True)
    >>> with_moduli(sp.sqrt(x**2 - 2*x*y + y**2, evaluate=False) * x / (x - y))
    x*sign(x - y)
    """
    powers = [p for p in expression.atoms(sp.Pow) if p.exp.is_Rational and not p.exp.is_Integer and p.base.free_symbols]
    if powers:
        expression = expression.xreplace({power: _as_modulus(power) for power in powers})
    if expression.has(sp.Abs):
        products = {p: _as_sign(p) for p in expression.atoms(sp.Mul) if p.has(sp.Abs)}
        expression = expression.xreplace(products)
    return expression


def _as_sign(product: sp.Mul) -> sp.Expr:
    """Product in which powers of u and Abs(u), one of them a denominator, are one power of Abs(u) and a sign."""
    powers: dict[sp.Expr, sp.Expr] = dict(factor.as_base_exp() for factor in product.args)
    for modulus in [base for base in powers if isinstance(base, sp.Abs)]:
        for base, exponent in powers.items():
            both = exponent + powers[modulus]
            if not (exponent.is_Integer and powers[modulus].is_Integer and exponent * powers[modulus] < 0):
                continue
            side = next((side for side in (1, -1) if sp.expand(base - side * modulus.args[0]) == 0), None)
            if side is None:
                continue
            factor = base**exponent * modulus ** powers[modulus]
            sign = side * sp.sign(modulus.args[0]) if exponent % 2 == 1 else sp.S.One
            rest = sp.Mul(product / factor, sign, modulus**both)
            return _as_sign(rest) if rest.is_Mul else rest
    return product


def _as_modulus(power: sp.Pow) -> sp.Expr:
    base = with_moduli(power.base)
    factored = sp.factor(base) if base.is_polynomial(*base.free_symbols) else base
    moduli, rest = [], []
    for factor in sp.Mul.make_args(factored):
        root, exponent = factor.as_base_exp()
        if exponent.is_Integer and exponent % 2 == 0 and root.free_symbols:
            moduli.append(sp.Pow(sp.Abs(root, evaluate=False), exponent * power.exp, evaluate=False))
        else:
            rest.append(factor)
    if not moduli:
        return power if base == power.base else sp.Pow(base, power.exp, evaluate=False)
    return sp.Mul(*moduli, sp.Mul(*rest) ** power.exp)


class Passages:
    """Expressions at whose zeros a solution would pass a jump or an infinite value, though no condition is in sight.

    Parameters
    ----------
    moves : function of an expression, whether its zeros are at times that depend on states or parameters
    """

    def __init__(self, moves: Callable[[sp.Expr], bool]) -> None:
        self.moves = moves
        self.found: dict[sp.Expr, None] = {}

    def of(self, expressions: Iterable[sp.Expr]) -> tuple[sp.Expr, ...]:
        """Those of some right-hand sides, each once."""
        for expression in expressions:
            self._singular(expression)
        return tuple(self.found)

    def _singular(self, node: sp.Basic) -> tuple[set[sp.Expr], set[sp.Expr]]:
        """Where an expression is infinite on both sides, and where on one side alone."""
        poles: set[sp.Expr] = set()
        essential: set[sp.Expr] = set()
        if not node.args or not self.moves(node):
            return poles, essential
        for argument in node.args:
            inside = self._singular(argument)
            poles |= inside[0]
            essential |= inside[1]
        if isinstance(node, sp.Pow) and node.base != sp.E:
            return self._of_power(node, poles, essential)
        if not isinstance(node, (sp.Function, sp.Pow)):
            return poles, essential
        behaviour = _ESSENTIAL if isinstance(node, sp.Pow) else behaviour_of(node) or _INFINITE
        own = {zero for zero in behaviour.poles(*node.args) if self._may_vanish(zero)}
        if behaviour.is_integrable:
            self._pass(own)
        if behaviour.at_infinity == "finite":
            self._pass(poles | essential)
            return own, set()
        return (set(), poles | essential) if behaviour.at_infinity == "essential" else (poles | own, essential)

    def _of_power(
        self, node: sp.Pow, poles: set[sp.Expr], essential: set[sp.Expr]
    ) -> tuple[set[sp.Expr], set[sp.Expr]]:
        base, exponent = node.args
        if not (exponent.is_number and exponent.is_negative):
            return poles, essential
        # The reciprocal of a pole is a zero, that of what is infinite on one side alone a jump.
        self._pass(essential)
        own = {base} if exponent.is_Integer and self._may_vanish(base) else set()
        return own, set()

    def _may_vanish(self, expression: sp.Expr) -> bool:
        return self.moves(expression) and not expression.is_nonzero

    def _pass(self, zeros: set[sp.Expr]) -> None:
        self.found.update(dict.fromkeys(sorted(zeros, key=sp.default_sort_key)))
