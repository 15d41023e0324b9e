"""Expressions as functions of Python, for references and error texts: the one place that calls ``sympy.lambdify``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy as sp

from implicitops.codegen.functions import MPMATH

Function = Callable[..., Any]


def in_mpmath(arguments: Sequence[sp.Symbol], expressions: Any, own: Mapping[str, Any] | None = None) -> Function:
    """Function of mpmath numbers, with our own functions by their references.

    Parameters
    ----------
    arguments : sequence of Symbol
    expressions : Expr, condition, or sequence of them; a piece of a Piecewise is evaluated only where it holds
    own : mapping, optional
        Functions that take precedence, by the names that they have in code for mpmath
    """
    return sp.lambdify(arguments, expressions, [{**MPMATH[0], **(own or {})}, "mpmath"])


def in_numbers(arguments: Sequence[sp.Symbol], expressions: Any, own: Mapping[str, Any]) -> Function:
    """Function of numbers of another kind, by the given functions; common parts are computed once."""
    return sp.lambdify(arguments, expressions, [dict(own), "mpmath"], cse=True)


def in_scipy(arguments: Any, expressions: Any) -> Function:
    """Function of arrays of doubles, by the functions of SciPy and NumPy."""
    return sp.lambdify(arguments, expressions, ["scipy", "numpy"], cse=True)
