"""FixedPoint: unknowns that an update leaves unchanged. The statement only; solvers are in csrc/."""

from __future__ import annotations

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
    as_unknowns,
    require_well_posed,
)

METHODS = ("auto", "newton", "anderson")


@dataclass(frozen=True, init=False, repr=False)
class FixedPoint(ProblemWithUnknowns):
    """Solution x of x = g(x, theta) as a differentiable function of theta, for one unknown or a system.

    Parameters
    ----------
    update : Expr, or a sequence of n
        The map g.
    unknown : Symbol, or a sequence of n Symbols
        What the map leaves unchanged. A Symbol gives a scalar answer, a sequence a vector of length n.
    params : sequence of Symbol or tuple of Symbol
        The arguments of the resulting function, in order; a tuple is one vector argument.
    guess : Expr, or a sequence of n
        Start of the iteration, expressions of the parameters. It has no influence on the derivative.
    method : "auto", "newton" or "anderson"
        "newton" solves g(x) - x = 0 by damped Newton steps, "anderson" iterates the map with Anderson
        acceleration [2]_ and ends with Newton steps, "auto" is Newton's method with Anderson acceleration where
        Newton fails.
    rtol, atol : float; atol also a sequence, one for each unknown
        The iteration stops when a Newton step is below ``rtol*abs(x) + atol``; a further step always follows.
    max_steps : int
        Limit of iterations per solve.
    on_failure : "raise" or "nan"
        What a failed solve does outside a graph. Inside a graph it is always NaN.

    Raises
    ------
    ProblemError : the statement cannot be solved as it stands

    Notes
    -----
    A fixed point is a root of F = g(x, theta) - x, and its derivative that of the root,
    ``dx/dtheta = inverse(1 - g_x) g_theta`` [1]_. It exists whether or not the plain iteration x <- g(x)
    converges.

    References
    ----------
    .. [1] S. G. Krantz and H. R. Parks, The Implicit Function Theorem (2002), Theorem 3.3.1.
    .. [2] H. F. Walker and P. Ni, Anderson acceleration for fixed-point iterations, SIAM J. Numer. Anal. 49
       (2011) 1715.

    Examples
    --------
    >>> import sympy as sp, implicitops as iop
    >>> x, a = sp.symbols("x a")
    >>> iop.FixedPoint(sp.cos(a*x), x, [a], guess=1)(1.0).round(6)
    0.739085
    """

    updates: tuple[sp.Expr, ...]
    unknowns: tuple[sp.Symbol, ...]
    params: tuple[Parameter, ...]
    guess: tuple[sp.Expr, ...]
    is_vector: bool
    options: Options

    def __init__(
        self,
        update: Any,
        unknown: Any,
        params: Any,
        *,
        guess: Any = None,
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
        items = update if isinstance(update, (list, tuple, sp.Tuple, sp.MatrixBase)) else [update]
        updates = tuple(as_expression(item, "the update") for item in items)
        if len(updates) != len(unknowns):
            raise ProblemError(
                f"FixedPoint needs one update for each unknown: got {len(updates)} updates for {len(unknowns)} "
                f"unknowns {', '.join(map(str, unknowns))}."
            )
        flat = [s for item in parameters for s in (item if isinstance(item, tuple) else (item,))]
        require_well_posed([g - x for g, x in zip(updates, unknowns)], unknowns, flat)
        self._set(
            updates=updates,
            unknowns=unknowns,
            params=parameters,
            guess=as_guess(guess, unknowns, flat, is_vector),
            is_vector=is_vector,
            options=options,
        )

    @property
    def residuals(self) -> tuple[sp.Expr, ...]:
        """The equations g(x) - x = 0."""
        return tuple(g - x for g, x in zip(self.updates, self.unknowns))

    def _equation(self) -> str:
        return "|".join([*map(sp.srepr, (self.updates, self.unknowns, self.params)), str(self.is_vector)])

    def _content(self) -> str:
        return f"{sp.srepr(self.guess)}|{self.options!r}"

    def _formulas(self) -> list[str]:
        return [f"{sp.latex(x)} &= {sp.latex(g)}" for x, g in zip(self.unknowns, self.updates)]

    def __repr__(self) -> str:
        if not self.is_vector:
            return f"FixedPoint({self.updates[0]}, {self.unknown}, {abbreviated(self.params)}, guess={self.guess[0]})"
        items = map(abbreviated, (self.updates, self.unknowns, self.params, self.guess))
        return "FixedPoint({}, {}, {}, guess={})".format(*items)
