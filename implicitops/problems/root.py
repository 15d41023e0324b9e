"""Root: unknowns defined by equations. The statement only; solvers are in csrc/."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from implicitops.errors import ArgumentError, ProblemError
from implicitops.problems.base import Options, Parameter, as_parameters
from implicitops.problems.unknowns import ProblemWithUnknowns
from implicitops.problems.validation import (
    abbreviated,
    as_expression,
    as_guess,
    as_items,
    as_start,
    as_unknowns,
    require_well_posed,
)

METHODS = ("auto", "newton")


@dataclass(frozen=True, init=False, repr=False)
class Root(ProblemWithUnknowns):
    """Solution x of F(x, theta) = 0 as a differentiable function of theta, for one unknown or a system.

    Parameters
    ----------
    residual : Expr or Eq, or a sequence of n of them
        The equations; an expression stands for "expression = 0".
    unknown : Symbol, or a sequence of n Symbols
        What is solved for. A Symbol gives a scalar answer, a sequence a vector of length n.
    params : sequence of Symbol or tuple of Symbol
        The arguments of the resulting function, in order; a tuple is one vector argument.
    bracket : (lower, upper), optional, scalar unknown only
        Expressions of the parameters (``oo`` allowed) between which the residual changes sign. The iteration
        never leaves it.
    guess : Expr, or a sequence of n, optional for a scalar unknown
        Start of a damped Newton iteration, when no bracket is known; with a bracket, in which it must lie, the first
        iterate. Of several roots it selects the one that
        Newton's method reaches from it; it has no influence on the derivative. With neither, the solver searches
        for a sign change where the unknown's SymPy assumptions allow one: (0, oo) for ``positive=True``, the real
        line without assumptions. Iterates never leave that domain.
    method : "auto" or "newton"
        Both are Newton's method: safeguarded by a bracket for a scalar unknown; damped, with Levenberg-Marquardt
        steps where damping fails, for a system.
    rtol, atol : float; atol also a sequence, one for each unknown
        The iteration stops when a Newton step is below ``rtol*abs(x) + atol``; a further Newton step always
        follows, up to the rounding error of the residual.
    max_steps : int
        Limit of iterations per solve.
    on_failure : "raise" or "nan"
        What a failed solve does outside a graph. Inside a graph it is always NaN.

    Raises
    ------
    ProblemError : the statement cannot be solved as it stands

    Notes
    -----
    The derivative is that of the implicit function theorem, ``dx/dtheta = -inverse(F_x) F_theta`` at the root
    [1]_; where F_x is singular, value and derivative are NaN.

    References
    ----------
    .. [1] S. G. Krantz and H. R. Parks, The Implicit Function Theorem (2002), Theorem 3.3.1.

    Examples
    --------
    >>> import sympy as sp, implicitops as iop
    >>> mu, theta = sp.symbols("mu theta")
    >>> mu_of = iop.Root(mu + mu*sp.exp(theta*mu) - 1, mu, [theta], bracket=(0, 1))
    >>> round(float(mu_of(0.4)), 6)
    0.454659

    A circle and a line, with two roots of which the guess selects one:

    >>> x, y, r = sp.symbols("x y r")
    >>> crossing = iop.Root([x**2 + y**2 - r**2, x - 2*y], [x, y], [r], guess=[r, r])
    >>> crossing(5.0).round(6)
    array([4.472136, 2.236068])
    """

    residuals: tuple[sp.Expr, ...]
    unknowns: tuple[sp.Symbol, ...]
    params: tuple[Parameter, ...]
    bracket: tuple[sp.Expr, sp.Expr] | None
    guess: tuple[sp.Expr, ...] | None
    is_vector: bool
    options: Options

    start_names = ("guess", "bracket")

    def __init__(
        self,
        residual: Any,
        unknown: Any,
        params: Any,
        *,
        bracket: Any = None,
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
        residuals = _as_residuals(residual, unknowns)
        flat = [s for item in parameters for s in (item if isinstance(item, tuple) else (item,))]
        require_well_posed(residuals, unknowns, flat)
        if is_vector and bracket is not None:
            raise ProblemError("a system has no bracket: give guess=, one expression for each unknown.")
        if is_vector and guess is None:
            raise ProblemError(
                f"a system needs guess=, one expression of the parameters for each of {', '.join(map(str, unknowns))}."
            )
        values = {
            "residuals": residuals,
            "unknowns": unknowns,
            "params": parameters,
            "bracket": None if bracket is None else _as_bracket(bracket, flat),
            "guess": None if guess is None else as_guess(guess, unknowns, flat, is_vector),
            "is_vector": is_vector,
            "options": options,
        }
        self._set(**values)

    def with_start(self, *, guess: Any = None, bracket: Any = None) -> tuple[Root, tuple[Any, ...]]:
        """Same equation whose start is given with each call, and the start values as arguments.

        Parameters
        ----------
        guess : array-like or symbolic variable (...), or (..., n) for a system
        bracket : pair of array-likes or symbolic variables (...)

        Returns
        -------
        problem : Root, with Symbols that stand for the start values
        arguments : lower and upper end, then the guess, if they were given
        """
        if guess is None and bracket is None:
            raise ArgumentError("guess= and bracket= are both None. Give one of them, or leave both out.")
        ends = None
        if bracket is not None:
            if self.is_vector:
                raise ArgumentError("a system has no bracket: give guess=.")
            ends = None if isinstance(bracket, (str, bytes)) else as_items(bracket)
            if ends is None or len(ends) != 2:
                raise ArgumentError(f"bracket must be a pair (lower, upper); got {bracket!r:.80}.")
        problem = self._with_placeholders(guess=guess is not None, bracket=bracket is not None)
        return problem, self._start_arguments(guess, ends)

    def _equation(self) -> str:
        return "|".join([*map(sp.srepr, (self.residuals, self.unknowns, self.params)), str(self.is_vector)])

    def _content(self) -> str:
        return f"{sp.srepr(self.bracket)}|{sp.srepr(self.guess)}|{self.options!r}"

    def _formulas(self) -> list[str]:
        rows = [f"{sp.latex(residual)} &= 0" for residual in self.residuals]
        if self.bracket:
            lower, upper = map(sp.latex, self.bracket)
            rows.append(rf"{sp.latex(self.unknowns[0])} &\in \left[{lower}, {upper}\right]")
        return rows

    def __repr__(self) -> str:
        residuals, unknowns = self.residuals[0], self.unknowns[0]
        if self.is_vector:
            residuals, unknowns = abbreviated(self.residuals), abbreviated(self.unknowns)
        start = f", bracket={self.bracket}" if self.bracket else ""
        if self.guess is not None:
            start += f", guess={abbreviated(self.guess) if self.is_vector else self.guess[0]}"
        return f"Root({residuals}, {unknowns}, {abbreviated(self.params)}{start})"


def _as_residuals(residual: Any, unknowns: Sequence[sp.Symbol]) -> tuple[sp.Expr, ...]:
    items = residual if isinstance(residual, (list, tuple, sp.Tuple, sp.MatrixBase)) else [residual]
    residuals = tuple(as_expression(item, "the residual") for item in items)
    if len(residuals) != len(unknowns):
        raise ProblemError(
            f"Root needs as many residuals as unknowns: got {len(residuals)} residuals "
            f"({', '.join(map(str, residuals[:4]))}) for {len(unknowns)} unknowns {', '.join(map(str, unknowns))}. "
            "Add or remove an equation, or make an unknown a parameter."
        )
    return residuals


def _as_bracket(bracket: Any, params: Sequence[sp.Symbol]) -> tuple[sp.Expr, sp.Expr]:
    ends = None if isinstance(bracket, (str, bytes)) else as_items(bracket)
    if ends is None or len(ends) != 2:
        raise ProblemError(f"bracket must be a pair (lower, upper); got {bracket!r}.")
    lower, upper = (as_start(end, params, "an end of the bracket") for end in ends)
    if lower == upper:
        raise ProblemError(f"the ends of the bracket are equal ({lower}). Give two different ends.")
    return lower, upper
