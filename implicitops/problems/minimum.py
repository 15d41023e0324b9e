"""Minimum: unknowns that minimise an objective. The statement only; the solver is in csrc/."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from implicitops.errors import ProblemError
from implicitops.problems.base import Options, Parameter, as_parameters
from implicitops.problems.unknowns import ProblemWithUnknowns
from implicitops.problems.validation import (
    abbreviated,
    as_expression,
    as_guess,
    as_items,
    as_start,
    as_unknowns,
    domain_of,
    require_well_posed,
)

METHODS = ("auto", "newton")

Bounds = tuple[tuple[sp.Expr, sp.Expr], ...]


@dataclass(frozen=True, init=False, repr=False)
class Minimum(ProblemWithUnknowns):
    """Unknowns x that minimise f(x, theta), as a differentiable function of theta: a proper local minimum.

    Parameters
    ----------
    objective : Expr
        What is minimised, twice differentiable around the minimum.
    unknown : Symbol, or a sequence of n Symbols
        What is solved for. A Symbol gives a scalar answer, a sequence a vector of length n.
    params : sequence of Symbol or tuple of Symbol
        The arguments of the resulting function, in order; a tuple is one vector argument.
    guess : Expr, or a sequence of n
        Start of the iteration, expressions of the parameters. Of several minima it selects the one that a descent
        from it reaches; it has no influence on the derivative. A guess beyond a bound is moved to the bound.
    bounds : (lower, upper), or a sequence of n such pairs, optional
        Closed bounds of the unknowns, expressions of the parameters; None or an infinity where there is none.
        They replace an unknown's SymPy assumptions, which without bounds are kept: the iterates of a
        ``positive=True`` unknown stay above 0, and one that is only ``nonnegative=True`` has the lower bound 0.
    method : "auto" or "newton"
        Both are Newton's method in a trust region.
    rtol, atol : float; atol also a sequence, one for each unknown
        The trust region is left when a Newton step is below ``rtol*abs(x) + atol``; Newton steps on the unknowns
        that are not at a bound always follow, until the gradient is rounding error.
    max_steps : int
        Limit of iterations per solve.
    on_failure : "raise" or "nan"
        What a failed solve does outside a graph. Inside a graph it is always NaN.

    Raises
    ------
    ProblemError : the statement cannot be solved as it stands

    Notes
    -----
    At a minimum the gradient G = df/dx of the unknowns that are not at a bound is zero, and their Hessian H is
    positive definite. So ``dx/dtheta = -inverse(H) dG/dtheta`` [1]_; an unknown at a bound moves with the bound [2]_.
    Saddle points, maxima and points where H is singular or the derivative is one-sided are reported by the status.

    References
    ----------
    .. [1] S. G. Krantz and H. R. Parks, The Implicit Function Theorem (2002), Theorem 3.3.1.
    .. [2] A. V. Fiacco, Introduction to Sensitivity and Stability Analysis in Nonlinear Programming (1983), Theorem
       3.2.2.

    Examples
    --------
    >>> import sympy as sp, implicitops as iop
    >>> x, y, a, b = sp.symbols("x y a b")
    >>> valley = iop.Minimum((a - x)**2 + b*(y - x**2)**2, [x, y], [a, b], guess=(0, 0))
    >>> valley(3.0, 100.0).round(6)
    array([3., 9.])

    The price that a seller with unit cost c asks, who may not ask more than m:

    >>> price, c, m = sp.symbols("price c m", positive=True)
    >>> best = iop.Minimum(-(price - c)*sp.exp(-price), price, [c, m], guess=c, bounds=(c, m))
    >>> best(1.0, [3.0, 1.5])
    array([2. , 1.5])
    """

    objective: sp.Expr
    unknowns: tuple[sp.Symbol, ...]
    params: tuple[Parameter, ...]
    guess: tuple[sp.Expr, ...]
    bounds: Bounds
    is_vector: bool
    options: Options

    def __init__(
        self,
        objective: Any,
        unknown: Any,
        params: Any,
        *,
        guess: Any = None,
        bounds: Any = None,
        method: str = "auto",
        rtol: float = 1e-8,
        atol: Any = 0.0,
        max_steps: int = 200,
        on_failure: str = "raise",
    ) -> None:
        parameters = as_parameters(params)
        is_vector = not isinstance(unknown, sp.Symbol)
        unknowns = as_unknowns(unknown)
        options = Options.checked(METHODS, len(unknowns), method, rtol, atol, max_steps, on_failure)
        expression = _as_objective(objective)
        flat = [s for item in parameters for s in (item if isinstance(item, tuple) else (item,))]
        require_well_posed([expression], unknowns, flat, "the objective")
        pairs = _as_bounds(bounds, unknowns, flat, is_vector)
        bounded = {x: _without_sign(x) for x, pair in zip(unknowns, pairs) if pair != (-sp.oo, sp.oo)}
        self._set(
            objective=expression.xreplace(bounded),
            unknowns=tuple(bounded.get(x, x) for x in unknowns),
            params=parameters,
            guess=as_guess(guess, unknowns, flat, is_vector),
            bounds=pairs,
            is_vector=is_vector,
            options=options,
        )

    @property
    def is_bounded(self) -> bool:
        """Does any unknown have a bound?"""
        return any(pair != (-sp.oo, sp.oo) for pair in self.bounds)

    def _equation(self) -> str:
        fields = (self.objective, self.unknowns, self.params, self.bounds)
        return "|".join([*map(sp.srepr, fields), str(self.is_vector)])

    def _content(self) -> str:
        return f"{sp.srepr(self.guess)}|{self.options!r}"

    def _formulas(self) -> list[str]:
        unknowns = ", ".join(map(sp.latex, self.unknowns))
        rows = [rf"{unknowns} &= \operatorname*{{arg\,min}}\; {sp.latex(self.objective)}"]
        for x, pair in zip(self.unknowns, self.bounds):
            if pair != (-sp.oo, sp.oo):
                rows.append(rf"{sp.latex(pair[0])} &\leq {sp.latex(x)} \leq {sp.latex(pair[1])}")
        return rows

    def __repr__(self) -> str:
        unknowns, guess, bounds = abbreviated(self.unknowns), abbreviated(self.guess), abbreviated(self.bounds)
        if not self.is_vector:
            unknowns, guess, bounds = str(self.unknown), str(self.guess[0]), str(self.bounds[0])
        limits = f", bounds={bounds}" if self.is_bounded else ""
        return f"Minimum({self.objective}, {unknowns}, {abbreviated(self.params)}, guess={guess}{limits})"


def _as_objective(objective: Any) -> sp.Expr:
    if isinstance(objective, (list, tuple, sp.Tuple, sp.MatrixBase)):
        raise ProblemError(
            f"Minimum needs one objective; got a sequence of {len(objective)}. "
            "Give their sum, or the sum of their squares."
        )
    if isinstance(objective, sp.Equality):
        raise ProblemError(
            f"the objective must be an expression; got the equation {objective}. "
            "Use Root for an equation, or minimise the square of its residual."
        )
    return as_expression(objective, "the objective")


def _as_bounds(bounds: Any, unknowns: Sequence[sp.Symbol], params: Sequence[sp.Symbol], is_vector: bool) -> Bounds:
    if bounds is None:
        return tuple(_assumed_bounds(symbol) for symbol in unknowns)
    items = as_items(bounds) if is_vector else None
    pairs = (bounds,) if items is None else items
    if len(pairs) != len(unknowns):
        raise ProblemError(
            f"bounds must have one pair (lower, upper) for each of the {len(unknowns)} unknowns "
            f"{', '.join(map(str, unknowns))}; got {bounds!r:.200}."
        )
    return tuple(_as_pair(pair, symbol, params) for pair, symbol in zip(pairs, unknowns))


def _as_pair(pair: Any, symbol: sp.Symbol, params: Sequence[sp.Symbol]) -> tuple[sp.Expr, sp.Expr]:
    if pair is None:
        return _assumed_bounds(symbol)
    ends = as_items(pair)
    if ends is None or len(ends) != 2:
        raise ProblemError(f"the bounds of {symbol} must be a pair (lower, upper); got {pair!r:.80}.")
    defaults = (-sp.oo, sp.oo)
    lower, upper = (
        default if end is None else as_start(end, params, f"a bound of {symbol}")
        for end, default in zip(ends, defaults)
    )
    if lower is sp.nan or upper is sp.nan or (lower - upper).is_nonnegative or lower is sp.oo or upper is -sp.oo:
        raise ProblemError(f"the lower bound of {symbol} must be below the upper; got ({lower}, {upper}).")
    return lower, upper


def _assumed_bounds(symbol: sp.Symbol) -> tuple[sp.Expr, sp.Expr]:
    """A closed bound at 0 where the assumptions allow 0 itself; an open one is the problem's domain."""
    is_open = symbol.is_positive or symbol.is_negative
    return (-sp.oo, sp.oo) if is_open else domain_of(symbol)


def _without_sign(symbol: sp.Symbol) -> sp.Symbol:
    """Symbol that assumes nothing of its sign, lest SymPy decide by itself whether a bound is reached."""
    has_sign = symbol.is_nonnegative or symbol.is_nonpositive
    return sp.Symbol(symbol.name, real=True) if has_sign else symbol
