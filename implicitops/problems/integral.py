"""Integral: a definite integral as a function of the parameters in it. The statement only; solvers are in csrc/."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from implicitops.errors import ProblemError
from implicitops.problems.base import Options, Parameter, Problem, as_parameters
from implicitops.problems.validation import (
    abbreviated,
    as_expression,
    require_distinct,
    require_known_symbols,
    require_symbol,
)

METHODS = ("auto", "gauss_kronrod", "double_exponential")

_SEQUENCES = (list, tuple, sp.Tuple, sp.MatrixBase)
_INFINITE = (sp.oo, -sp.oo)

Limits = tuple[sp.Expr, sp.Expr]


@dataclass(frozen=True, init=False, repr=False)
class Integral(Problem):
    """I(theta), the integral of f(x, theta) over x from a(theta) to b(theta), as a differentiable function of theta.

    Parameters
    ----------
    integrand : Expr, a sequence of n of them, or a sympy.Integral
        What is integrated. An expression gives a scalar answer, a sequence a vector of length n. A sympy.Integral
        brings its limits along, and is followed by ``params``.
    limits : (x, lower, upper), or a sequence of such triples
        The variable of integration and its limits, expressions of the params; ``oo`` and ``-oo`` are allowed. Of
        several triples the first is innermost, as in SymPy: its limits may depend on the variables that follow.
    params : sequence of Symbol or tuple of Symbol
        The arguments of the resulting function, in order; a tuple is one vector argument.
    breakpoints : sequence of Expr
        Where the integrand is not smooth: jumps, kinks, singularities and narrow peaks, expressions of the params.
        Those outside the limits are ignored. Conditions that are affine in x, and the zeros of affine bases of powers
        and logarithms, are found without being named.
    method : "auto", "gauss_kronrod" or "double_exponential"
        Adaptive bisection with a Gauss-Kronrod pair of 10 and 21 points, the trapezoidal rule after a double
        exponential substitution, or what each part of the range needs.
    rtol, atol : float; atol also a sequence, one for each integrand
        Limit ``rtol*abs(I) + atol`` of the estimated error, for I and for each of its derivatives that is asked for.
    max_steps : int
        Limit of subintervals per solve.
    on_failure : "raise" or "nan"
        What a failed solve does outside a graph. Inside a graph it is always NaN.

    Raises
    ------
    ProblemError : the statement cannot be solved as it stands

    Notes
    -----
    The derivative is Leibniz's rule [1]_, f(b) db/dtheta - f(a) da/dtheta + the integral of df/dtheta. It is computed
    as the integral of one derivative along a range that moves with its limits, which holds where f(a) is infinite too.

    References
    ----------
    .. [1] H. Flanders, Differentiation under the integral sign, Amer. Math. Monthly 80 (1973) 615.

    Examples
    --------
    >>> import sympy as sp, implicitops as iop
    >>> x, a, b, k = sp.symbols("x a b k")
    >>> area = iop.Integral(sp.exp(-k*x), (x, a, b), [a, b, k])
    >>> area.solve(0.0, 1.0, 2.0, derivatives=1).jacobian.round(6)
    array([-1.      ,  0.135335, -0.148499])

    A jump at tau, found from the condition, and the tail of a normal distribution:

    >>> tau = sp.Symbol("tau")
    >>> stepped = iop.Integral(sp.Piecewise((1, x < tau), (sp.exp(-x), True)), (x, 0, sp.oo), [tau])
    >>> round(float(stepped(2.0)), 6)
    2.135335
    >>> tail = iop.Integral(sp.Integral(sp.exp(-x**2/2), (x, a, sp.oo)), [a])
    >>> round(float(tail(1.0)), 6)
    0.39769

    The moment of inertia of a disc, an iterated integral:

    >>> y, r = sp.symbols("y r")
    >>> half = sp.sqrt(r**2 - y**2)
    >>> inertia = iop.Integral(x**2 + y**2, [(x, -half, half), (y, -r, r)], [r])
    >>> round(float(inertia(2.0)), 6)
    25.132741
    """

    integrands: tuple[sp.Expr, ...]
    variables: tuple[sp.Symbol, ...]
    limits: tuple[Limits, ...]
    params: tuple[Parameter, ...]
    breakpoints: tuple[sp.Expr, ...]
    is_vector: bool
    options: Options

    def __init__(
        self,
        integrand: Any,
        limits: Any = None,
        params: Any = None,
        *,
        breakpoints: Any = (),
        method: str = "auto",
        rtol: float = 1e-8,
        atol: Any = 0.0,
        max_steps: int = 2000,
        on_failure: str = "raise",
    ) -> None:
        if isinstance(integrand, sp.Integral):
            integrand, limits, params = _parts_of(integrand, limits, params)
        if limits is None or params is None:
            raise ProblemError(
                "Integral needs an integrand, limits and params: Integral(f, (x, lower, upper), [parameters]), or "
                "Integral(sympy_integral, [parameters])."
            )
        parameters = as_parameters(params)
        flat = tuple(s for item in parameters for s in (item if isinstance(item, tuple) else (item,)))
        triples = _as_triples(limits)
        variables = _checked_variables([triple[0] for triple in triples], flat)
        integrands = _as_integrands(integrand, (*variables, *flat))
        kind = f"integrands {abbreviated(integrands)}"
        options = Options.checked(METHODS, len(integrands), method, rtol, atol, max_steps, on_failure, kind)
        if options.rtol == 0 and 0 in options.atol:
            raise ProblemError(f"rtol and atol cannot both be 0: no rule has no error. Got rtol={rtol}, atol={atol}.")
        self._set(
            integrands=integrands,
            variables=variables,
            limits=tuple(_as_limits(triple, k, variables, flat) for k, triple in enumerate(triples)),
            params=parameters,
            breakpoints=_as_breakpoints(breakpoints, variables, flat),
            is_vector=isinstance(integrand, _SEQUENCES),
            options=options,
        )

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Trailing shape of the answer: () for an expression as integrand, (n,) for a sequence."""
        return (len(self.integrands),) if self.is_vector else ()

    def _equation(self) -> str:
        fields = (self.integrands, self.variables, self.limits, self.params, self.breakpoints)
        return "|".join([*map(sp.srepr, fields), str(self.is_vector)])

    def _content(self) -> str:
        return repr(self.options)

    def _formulas(self) -> list[str]:
        ranges = [(x, *pair) for x, pair in zip(self.variables, self.limits)]
        return [f"&{sp.latex(sp.Integral(integrand, *ranges))}" for integrand in self.integrands]

    def __repr__(self) -> str:
        integrand = abbreviated(self.integrands) if self.is_vector else self.integrands[0]
        triples = [f"({x}, {lower}, {upper})" for x, (lower, upper) in zip(self.variables, self.limits)]
        limits = triples[0] if len(triples) == 1 else abbreviated(triples)
        points = f", breakpoints={abbreviated(self.breakpoints)}" if self.breakpoints else ""
        return f"Integral({integrand}, {limits}, {abbreviated(self.params)}{points})"


def _parts_of(integral: sp.Integral, second: Any, params: Any) -> tuple[Any, Any, Any]:
    """Integrand, limits and params of a statement that begins with a sympy.Integral."""
    if params is not None and second is not None:
        raise ProblemError(
            f"{integral} already has limits: write Integral(sympy_integral, params); got {second!r:.200} as well."
        )
    for limit in integral.limits:
        if len(limit) != 3:
            raise ProblemError(
                f"{integral} has no lower or no upper limit for {limit[0]}. Give both: (x, lower, upper)."
            )
    return integral.function, integral.limits, second if params is None else params


def _as_triples(limits: Any) -> list[tuple[Any, Any, Any]]:
    """Triples (variable, lower, upper), from one or from a sequence of them."""
    form = "limits must be (variable, lower, upper), or a sequence of such triples"
    if not isinstance(limits, _SEQUENCES) or isinstance(limits, sp.MatrixBase) or not len(limits):
        raise ProblemError(f"{form}; got {limits!r:.200}.")
    several = all(isinstance(item, (list, tuple, sp.Tuple)) for item in limits)
    triples = list(limits) if several else [limits]
    for triple in triples:
        if len(triple) != 3:
            raise ProblemError(f"{form}; got {triple!r:.200}, which has {len(triple)} items.")
    return [(triple[0], triple[1], triple[2]) for triple in triples]


def _checked_variables(variables: Sequence[Any], params: Sequence[sp.Symbol]) -> tuple[sp.Symbol, ...]:
    for variable in variables:
        require_symbol(variable, "the variable of integration")
        if variable in params:
            raise ProblemError(
                f"{variable} is both the variable of integration and a parameter. Give one of them another name."
            )
    require_distinct([*variables, *params], "variable of integration or parameter")
    return tuple(variables)


def _as_integrands(integrand: Any, known: Sequence[sp.Symbol]) -> tuple[sp.Expr, ...]:
    items = list(integrand) if isinstance(integrand, _SEQUENCES) else [integrand]
    if not items:
        raise ProblemError("the integrand is empty: give an expression, or a sequence of at least one.")
    return tuple(_as_integrand(item, known) for item in items)


def _as_integrand(value: Any, known: Sequence[sp.Symbol]) -> sp.Expr:
    role = "the integrand"
    if isinstance(value, sp.Equality):
        raise ProblemError(f"{role} must be an expression; got the equation {value}. Integrate one of its sides.")
    expression = _require_definite(as_expression(value, role), role)
    if expression.has(sp.DiracDelta):
        raise ProblemError(
            f"{role} contains DiracDelta, which no rule can sample: {expression}. Integrate that term by hand: it is "
            "the value of its factor at the peak."
        )
    if expression.has(sp.oo, -sp.oo):
        raise ProblemError(f"{role} contains infinity: {expression}. Restate it with finite numbers.")
    strange = "neither a variable of integration nor a parameter"
    require_known_symbols(expression, known, role, strange)
    return expression


def _require_definite(expression: sp.Expr, role: str) -> sp.Expr:
    """The expression itself, if it contains nothing that has no number."""
    unknown = expression.atoms(AppliedUndef, sp.Derivative, sp.Integral, sp.Sum, sp.Limit)
    if unknown:
        raise ProblemError(
            f"{role} contains {min(unknown, key=str)}, which has no value here. Write it as an expression of Symbols; "
            "an integral inside an integral becomes a further triple (x, lower, upper)."
        )
    if expression.has(sp.nan, sp.zoo):
        raise ProblemError(f"{role} must be a real number for real Symbols; got {expression}.")
    return expression


def _as_limits(
    triple: tuple[Any, Any, Any], position: int, variables: Sequence[sp.Symbol], params: Sequence[sp.Symbol]
) -> Limits:
    variable, outer = variables[position], variables[position + 1 :]
    lower, upper = (_as_limit(value, variable, variables, (*outer, *params)) for value in triple[1:])
    if lower == upper and lower in _INFINITE:
        raise ProblemError(
            f"both limits of {variable} are {lower}. Give an integral over (-oo, oo) two different ends."
        )
    return lower, upper


def _as_limit(value: Any, variable: sp.Symbol, variables: Sequence[sp.Symbol], known: Sequence[sp.Symbol]) -> sp.Expr:
    role = f"a limit of {variable}"
    expression = _as_point(value, role)
    if variable in expression.free_symbols:
        raise ProblemError(f"{role} contains {variable} itself: {expression}. Give the limit another name.")
    inner = [v for v in variables if v in expression.free_symbols and v not in known]
    if inner:
        raise ProblemError(
            f"{role} depends on {inner[0]}, which is integrated before it. The first triple is innermost: list "
            f"{variable} before {inner[0]}."
        )
    require_known_symbols(expression, known, role, "not a parameter")
    return expression


def _as_point(value: Any, role: str) -> sp.Expr:
    if isinstance(value, sp.Equality):
        raise ProblemError(f"{role} must be an expression; got the equation {value}.")
    expression = _require_definite(as_expression(value, role), role)
    if expression not in _INFINITE and expression.has(sp.oo, -sp.oo):
        raise ProblemError(f"{role} must be finite, oo or -oo; got {expression}, which may be either.")
    return expression


def _as_breakpoints(
    breakpoints: Any, variables: Sequence[sp.Symbol], params: Sequence[sp.Symbol]
) -> tuple[sp.Expr, ...]:
    if not isinstance(breakpoints, _SEQUENCES):
        raise ProblemError(f"breakpoints must be a sequence of expressions of the params; got {breakpoints!r:.200}.")
    if len(breakpoints) and len(variables) > 1:
        raise ProblemError(
            f"breakpoints belong to one variable, and there are {len(variables)}: {', '.join(map(str, variables))}. "
            "Split the range of one of them into two integrals instead."
        )
    points = []
    for value in breakpoints:
        expression = _as_point(value, "a break point")
        if expression in _INFINITE:
            raise ProblemError(f"a break point must be finite; got {expression}.")
        if variables[0] in expression.free_symbols:
            raise ProblemError(f"a break point contains the variable of integration {variables[0]}: {expression}.")
        require_known_symbols(expression, params, "a break point", "not a parameter")
        points.append(expression)
    return tuple(points)
