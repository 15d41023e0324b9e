"""An integral of the catalogue with its exact value. The integrals are in integral_problems.py and its families."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import mpmath
import numpy as np
import sympy as sp

from implicitops.codegen.functions import MPMATH
from implicitops.verify.differences import digits_for, precise_derivatives

#: What the tags mean.
TAGS = {
    "smooth": "analytic around the closed interval, and not peaked: nothing is hard",
    "peak": "most of the value comes from a small part of the interval",
    "kink": "Abs, Max, Piecewise: continuous, smooth only in pieces",
    "jump": "Heaviside, Piecewise: not continuous",
    "endpoint singularity": "the integrand, or a derivative of low order, is infinite at an end",
    "interior singularity": "the same at a breakpoint",
    "moving singularity": "a singularity at a place that depends on the parameters, where differentiating under the "
    "integral sign diverges",
    "removable": "0/0 at an end",
    "infinite": "one limit is infinite",
    "doubly infinite": "both limits are infinite",
    "slow decay": "the integrand decays like a small power",
    "oscillatory": "many periods on the interval",
    "oscillatory tail": "converges at infinity only because its signs alternate, or its derivatives do",
    "moving limit": "a limit depends on the parameters",
    "moving breakpoint": "a kink or a jump is at a place that depends on the parameters",
    "reversed": "the upper limit is below or at the lower one at some of the points",
    "overflow": "a part of the integrand overflows, though the whole does not",
    "multiscale": "values or parameters span many orders of magnitude",
    "cancellation": "the value is far smaller than the integral of the absolute value",
    "flat": "a derivative is zero",
    "special function": "the integrand contains one",
    "vector integrand": "several integrands with the same limits",
    "vector parameter": "has a tuple of Symbols among its parameters",
    "hard": "may be flagged as failed, though the value is finite",
    "divergent": "there is no value: it must be flagged",
    "undefined": "the integrand or a limit is NaN, or the value out of range: it must be flagged",
    "hidden": "something that samples of the integrand do not show, or show only in derivatives",
}

Point = tuple[Any, ...]
Exact = Callable[..., Any]


@dataclass(frozen=True)
class IntegralReference:
    """Exact value and derivatives at one set of parameter values, to 40 digits.

    Parameters
    ----------
    value : object ndarray (m,) of mpf for m integrands
    jacobian : object ndarray (m, p) of mpf, or None
    hessian : object ndarray (m, p, p) of mpf, or None
    """

    value: np.ndarray
    jacobian: np.ndarray | None
    hessian: np.ndarray | None


@dataclass(frozen=True, eq=False)
class IntegralCase:
    """A definite integral with the parameter values at which it is worth computing.

    Parameters
    ----------
    name : str
    integrand : tuple of Expr
    variable : Symbol
    lower, upper : Expr of the params
    params : tuple of Symbols and tuples of Symbols
    points : tuple of points, each with one item for each parameter (a tuple for a vector)
    exact : Expr, tuple of Expr, or callable of mpf parameters returning mpf or a sequence of them; None if there is no
        value
    tags : frozenset of str, keys of :data:`TAGS`
    source : str
    breakpoints : tuple of Expr of the params
    derivatives : int
        Order up to which the integral of the differentiated integrand exists. The exact value has more.
    reason : str, why it must be flagged or is likely to be; empty for what can be integrated
    """

    name: str
    integrand: tuple[sp.Expr, ...]
    variable: sp.Symbol
    lower: sp.Expr
    upper: sp.Expr
    params: tuple[Any, ...]
    points: tuple[Point, ...]
    exact: Any
    tags: frozenset[str]
    source: str
    breakpoints: tuple[sp.Expr, ...] = ()
    derivatives: int = 2
    reason: str = ""

    def __repr__(self) -> str:
        return self.name

    @property
    def flat_params(self) -> tuple[sp.Symbol, ...]:
        """The parameters' Symbols, in the order of the derivatives' last axis."""
        return tuple(s for item in self.params for s in (item if isinstance(item, tuple) else (item,)))

    def problem(self, **options: Any) -> Any:
        """The statement.

        Parameters
        ----------
        **options : of :class:`implicitops.Integral`, such as ``rtol``

        Returns
        -------
        Integral
        """
        from implicitops import Integral  # only those who solve need it: the exact values do without

        integrand = self.integrand[0] if len(self.integrand) == 1 else list(self.integrand)
        limits = (self.variable, self.lower, self.upper)
        if self.breakpoints:
            options.setdefault("breakpoints", self.breakpoints)
        return Integral(integrand, limits, list(self.params), **options)

    def reference(self, point: Point, order: int = 2) -> IntegralReference:
        """Exact value and derivatives.

        Parameters
        ----------
        point : one of the points, or another; the doubles are taken as what they are
        order : 0, 1 or 2, the highest derivative wanted

        Returns
        -------
        IntegralReference

        Raises
        ------
        ValueError : there is no exact value
        """
        if self.exact is None:
            raise ValueError(f"{self.name} has no exact value: {self.reason}.")
        return _reference(self, flattened(point), order)


def flattened(point: Point) -> tuple[float, ...]:
    """A point's numbers, in the order of :attr:`IntegralCase.flat_params`."""
    return tuple(float(v) for item in point for v in (item if isinstance(item, tuple) else (item,)))


@cache
def _reference(case: IntegralCase, point: tuple[float, ...], order: int) -> IntegralReference:
    function = _as_function(case.exact, case.flat_params)
    with mpmath.workdps(digits_for(point)):
        return IntegralReference(*precise_derivatives(lambda there: _as_sequence(function(*there)), point, order))


def _as_function(exact: Any, params: tuple[sp.Symbol, ...]) -> Exact:
    return exact if callable(exact) else sp.lambdify(params, exact, MPMATH)


def _as_sequence(values: Any) -> Sequence[Any]:
    return [mpmath.mpf(v) for v in (values if isinstance(values, (tuple, list)) else [values])]


def integral(
    name: str,
    integrand: str | Sequence[str],
    domain: tuple[str, Any, Any],
    params: str | Sequence[str | tuple[str, ...]],
    points: Sequence[Any],
    exact: str | Sequence[str] | Exact | None,
    tags: str,
    source: str,
    *,
    breakpoints: Sequence[Any] = (),
    derivatives: int = 2,
    reason: str = "",
) -> IntegralCase:
    """Case from formulas that are written out as text.

    Parameters
    ----------
    name : str
    integrand : str, or a sequence of them, in SymPy's notation with exact numbers (1/3, not 0.333)
    domain : the variable and its two limits
    params : names with blanks between them, or a sequence of names and tuples of names
    points : sequence of tuples, or of numbers where there is one parameter
    exact : like ``integrand``, or a callable of mpf parameters, or None
    tags : keys of :data:`TAGS` with commas between them
    source, breakpoints, derivatives, reason : of :class:`IntegralCase`

    Returns
    -------
    IntegralCase

    Raises
    ------
    ValueError : a tag without explanation, or a formula with a symbol that is neither variable nor parameter
    """
    words = frozenset(tag.strip() for tag in tags.split(","))
    if words - set(TAGS):
        raise ValueError(f"{name} has tags that TAGS does not explain: {', '.join(sorted(words - set(TAGS)))}.")
    names = params.split() if isinstance(params, str) else params
    items = tuple(sp.Symbol(n) if isinstance(n, str) else tuple(sp.Symbol(k) for k in n) for n in names)
    known = {str(s): s for item in items for s in (item if isinstance(item, tuple) else (item,))}
    variable = sp.Symbol(domain[0])

    def read(text: Any, **more: Any) -> sp.Expr:
        expression = sp.sympify(text, locals={**known, **more})
        unknown = expression.free_symbols - {*known.values(), *more.values()}
        if unknown:
            raise ValueError(f"{name} has an unknown symbol in {text}: {', '.join(sorted(map(str, unknown)))}.")
        return expression

    integrands = (integrand,) if isinstance(integrand, str) else tuple(integrand)
    if isinstance(exact, str):
        exact = read(exact)
    elif exact is not None and not callable(exact):
        exact = tuple(read(text) for text in exact)
    return IntegralCase(
        name,
        tuple(read(text, **{str(variable): variable}) for text in integrands),
        variable,
        read(domain[1]),
        read(domain[2]),
        items,
        tuple(p if isinstance(p, tuple) else (p,) for p in points),
        exact,
        words,
        source,
        tuple(read(text) for text in breakpoints),
        derivatives,
        reason,
    )
