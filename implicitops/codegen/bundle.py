"""What is compiled: a tuple of expressions in a tuple of input symbols. Nothing here generates code."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp


@dataclass(frozen=True)
class Bundle:
    """Expressions that are evaluated together, sharing their common subexpressions.

    Parameters
    ----------
    inputs : tuple of Symbol, in the order in which a callback receives them
    outputs : tuple of Expr, real valued, in the order in which a callback returns them
    definitions : tuple of (Symbol, Expr), intermediate values in terms of the inputs and earlier definitions. With
        any, the expressions are taken as they are; without, common subexpressions are looked for
    """

    inputs: tuple[sp.Symbol, ...]
    outputs: tuple[sp.Expr, ...]
    definitions: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()
