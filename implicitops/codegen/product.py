"""A product taken apart into exponentials, powers and the rest, for the rules of the stable forms."""

from __future__ import annotations

from collections.abc import Iterable

import sympy as sp

from implicitops.codegen.exponential_sums import exponent_of


class Product:
    """A product as exp(exponent) times powers of functions times what is neither.

    Parameters
    ----------
    node : Mul
    """

    def __init__(self, node: sp.Expr) -> None:
        self.exponent = sp.S.Zero
        self.n_exponentials = 0
        self.powers: dict[sp.Expr, sp.Expr] = {}
        for factor in sp.Mul.make_args(node):
            exponent = exponent_of(factor)
            if exponent is not None:
                self.exponent += exponent
                self.n_exponentials += 1
            else:
                base, power = factor.as_base_exp() if factor.is_Pow else (factor, sp.S.One)
                self.multiply(base, power)

    def multiply(self, base: sp.Expr, power: sp.Expr = sp.S.One) -> None:
        """Multiply by base**power."""
        self.powers[base] = self.powers.get(base, sp.S.Zero) + power

    def multiply_out(self, factor: sp.Expr) -> None:
        """Multiply by a product, factor by factor, so that they cancel."""
        for part in sp.Mul.make_args(factor):
            self.multiply(*(part.as_base_exp() if part.is_Pow else (part, sp.S.One)))

    def of(self, *kinds: type) -> list[tuple[sp.Expr, int]]:
        """Functions of these kinds with positive whole powers."""
        return [(b, int(p)) for b, p in self.powers.items() if isinstance(b, kinds) and p.is_Integer and p > 0]

    def grows_with(self, arguments: Iterable[sp.Expr]) -> bool:
        """Whether the exponential may be large where functions of these arguments are small."""
        symbols = self.exponent.free_symbols
        return any(not symbols.isdisjoint(argument.free_symbols) for argument in arguments)

    def expression(self) -> sp.Expr:
        """The product as a SymPy expression."""
        return sp.Mul(sp.exp(self.exponent), *(base**power for base, power in self.powers.items()))
