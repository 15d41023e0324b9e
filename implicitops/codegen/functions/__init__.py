"""The table of functions that an expression may contain: machine code, derivative in every argument, test points.

A function is one row in the file of its family. ``docs/functions.md`` and the tests of values and derivatives follow
the table. Arithmetic and conditions are no functions: ``printer.py`` and ``differentiate.py`` know them.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from implicitops.codegen.functions import (
    bessel,
    beta,
    elementary,
    error,
    gamma,
    incomplete_gamma,
    integrals,
    logistic,
    normal,
    removable,
    steps,
)
from implicitops.codegen.functions.row import Refusal, Row
from implicitops.errors import UnsupportedDerivativeError
from implicitops.functions import RealFunction, mpmath_name

__all__ = ["FUNCTIONS", "MPMATH", "OPEN", "Refusal", "Row", "partial", "row_of"]

#: What stands for an operation that is still to be carried out, or for a function that is known by its series alone.
OPEN = (sp.Derivative, sp.Subs, sp.Integral, sp.Sum, sp.Product, sp.Limit, sp.hyper, sp.meijerg)

#: Every row by its class.
FUNCTIONS: dict[type, Row] = {
    row.kind: row
    for family in (
        elementary,
        steps,
        error,
        gamma,
        beta,
        incomplete_gamma,
        bessel,
        integrals,
        logistic,
        normal,
        removable,
    )
    for row in family.ROWS
}

#: Modules for ``sympy.lambdify``: our own functions under the names that they have in code for mpmath, and mpmath.
MPMATH: list[Any] = [
    {mpmath_name(kind): row.reference for kind, row in FUNCTIONS.items() if issubclass(kind, RealFunction)},
    "mpmath",
]


def row_of(kind: type) -> Row | None:
    """Row of a class of SymPy or of the class that it specialises; None for what is no function of the table."""
    return next((FUNCTIONS[k] for k in kind.__mro__ if k in FUNCTIONS), None)


def partial(node: Any, position: int) -> sp.Expr:
    """Partial derivative of a function of the table with respect to one of its arguments.

    Parameters
    ----------
    node : Expr whose class has a row
    position : int, which argument, from 0

    Returns
    -------
    Expr of the node's arguments

    Raises
    ------
    UnsupportedDerivativeError : no derivative is known
    """
    row = row_of(type(node))
    assert row is not None
    found = row.partial(node, position)
    if isinstance(found, Refusal):
        raise UnsupportedDerivativeError(node, position, found.advice)
    if found.has(*OPEN):
        raise UnsupportedDerivativeError(node, position)
    return found
