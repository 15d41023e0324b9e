"""An expression in terms of functions that neither overflow on the way nor cancel, before it is differentiated.

exp(u)/(1 + exp(u))**2 is finite everywhere, but its parts are not: computed part by part it is inf/inf. The rules below
find such families, however they are written, and put one function in their place whose derivatives are of the same
kind. Each holds for all real arguments. What has no member of a family comes back as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import sympy as sp
from sympy.codegen import cfunctions

from implicitops.codegen.exponential_sums import logarithm_of_sum, power_of_sum
from implicitops.codegen.inner_functions import (
    exp_erfc,
    exp_ndtr,
    exponential_quotient,
    langevin_derivative,
    log_cosh,
    log_erfc,
    log_sinh,
    log_sum_of_exponentials,
    log_tanh,
    logistic_density,
    mirrored_erfc,
)
from implicitops.codegen.stable_products import stable_product
from implicitops.functions import expit, log_expit, log_ndtr, ndtr, softplus

_SQRT_2 = sp.sqrt(2)

#: An expression without any of these has no member of a family.
_SOURCES = (
    *(sp.exp, sp.log, sp.erf, sp.erfc, sp.sin, sp.cos),
    *(sp.tanh, sp.coth, sp.sinh, sp.cosh, sp.sech, sp.csch),
    *(expit, softplus, log_expit, ndtr, mirrored_erfc),
)


@functools.lru_cache(maxsize=4096)
def stable_form(expression: sp.Basic) -> sp.Basic:
    """The expression with the families of this module in their stable form.

    Parameters
    ----------
    expression : Expr, Relational or Boolean in real Symbols

    Returns
    -------
    the same object if nothing had to be done

    Examples
    --------
    >>> import sympy as sp
    >>> x, m, s = sp.symbols("x m s", real=True)
    >>> stable_form(1/(1 + sp.exp((x - m)/s)))
    expit((m - x)/s)
    >>> stable_form(sp.exp(x)/(1 + sp.exp(x))**2)
    logistic_density(x)
    >>> stable_form(sp.erfc(-x/sp.sqrt(2))/2)
    ndtr(x)
    """
    if expression.is_Atom or not (expression.has(*_SOURCES) or _has_power_of_number(expression)):
        return expression
    return _rewritten(expression, {})


def _has_power_of_number(expression: sp.Basic) -> bool:
    return any(power.base.is_number and not power.exp.is_number for power in expression.atoms(sp.Pow))


def _rewritten(node: sp.Basic, known: dict[sp.Basic, sp.Basic]) -> sp.Basic:
    """From the leaves up; shared parts once."""
    if node.is_Atom or isinstance(node, (sp.Derivative, sp.Subs, sp.Integral, sp.Sum)):
        return node
    found = known.get(node)
    if found is None:
        arguments = [_rewritten(argument, known) for argument in node.args]
        if all(new is old for new, old in zip(arguments, node.args)):
            found = node
        elif isinstance(node, sp.Piecewise):
            found = node.func(*arguments, evaluate=False)
        else:
            found = node.func(*arguments)
        if found.func is not node.func:
            known[node] = found = _rewritten(found, known)
            return found
        rule = _RULES.get(found.func)
        again = found if rule is None else rule(found)
        known[node] = found = found if again == found else _rewritten(again, known)
    return found


# -- powers --------------------------------------------------------------------------------------------------

_RECIPROCALS = {sp.cosh: sp.sech, sp.sinh: sp.csch, sp.tanh: sp.coth}


def _power(node: sp.Pow) -> sp.Expr:
    base, power = node.base, node.exp
    if power.is_Float and power == int(power):
        power = sp.Integer(int(power))
    if base.is_Add and not (power.is_Integer and power > 0):
        return power_of_sum(base, power) or node
    if base.func in _RECIPROCALS and power.is_Integer and power < 0:
        return _RECIPROCALS[base.func](*base.args) ** -power
    if isinstance(base, exponential_quotient) and power.is_Integer:
        w, q, *terms = base.args
        return exponential_quotient(power * w, power * q, *terms)
    return node


# -- logarithms ----------------------------------------------------------------------------------------------

#: Logarithms of functions that are positive everywhere, and of those that are positive for positive arguments.
_LOGARITHMS: dict[type, Callable[..., sp.Expr]] = {
    sp.exp: lambda u: u,
    expit: log_expit,
    logistic_density: lambda u: log_expit(u) + log_expit(-u),
    ndtr: log_ndtr,
    sp.erfc: log_erfc,
    mirrored_erfc: lambda u: log_erfc(-u),
    exp_erfc: lambda v, u: v + log_erfc(u),
    exp_ndtr: lambda v, z: v + log_ndtr(z),
    sp.cosh: log_cosh,
    sp.sech: lambda u: -log_cosh(u),
}
_LOGARITHMS_OF_SIGNED: dict[type, Callable[..., sp.Expr]] = {
    sp.sinh: log_sinh,
    sp.csch: lambda u: -log_sinh(u),
    sp.tanh: log_tanh,
    sp.coth: lambda u: -log_tanh(u),
    exponential_quotient: lambda w, q, *terms: w + q * log_sum_of_exponentials(*terms),
}


def _logarithm(node: sp.log) -> sp.Expr:
    if len(node.args) != 1:
        return node
    argument = node.args[0]
    if argument.is_Add:
        return logarithm_of_sum(argument) or node
    total, rest = sp.S.Zero, []
    for factor in sp.Mul.make_args(argument):
        base, power = factor.as_base_exp() if factor.is_Pow and not isinstance(factor, sp.exp) else (factor, 1)
        rule = _LOGARITHMS.get(base.func)
        if rule is None:
            rest.append(factor)
        else:
            total += power * rule(*base.args)
    signed = [factor for factor in rest if factor.func in _LOGARITHMS_OF_SIGNED]
    if len(signed) == 1 and all(factor.is_positive for factor in rest if factor is not signed[0]):
        rest.remove(signed[0])
        total += _LOGARITHMS_OF_SIGNED[signed[0].func](*signed[0].args)
    return node if total == 0 else total + sp.log(sp.Mul(*rest))


def _logarithm_of_one_plus(node: sp.Expr) -> sp.Expr:
    return logarithm_of_sum(1 + node.args[0]) or node


# -- sums ----------------------------------------------------------------------------------------------------


def _sum(node: sp.Add) -> sp.Expr:
    """Sums of a constant c, or of another term, with c f(u) that cancel."""
    terms = list(node.args)
    for position, term in enumerate(terms):
        others = terms[:position] + terms[position + 1 :]
        for factor in sp.Mul.make_args(term):
            rules = _SUMS.get(factor.func) or (_SUMS_OF_SQUARES.get(factor.base.func) if _is_square(factor) else None)
            if rules is None:
                continue
            weight = term / factor
            argument = factor.base.args[0] if _is_square(factor) else factor.args[0]
            for partner, result in rules:
                rest = _without(sp.expand(weight * partner(argument), deep=False), others)
                if rest is not None:
                    return sp.Add(weight * result(argument), *rest)
    return node


def _without(partner: sp.Expr, others: list[sp.Expr]) -> list[sp.Expr] | None:
    """The other terms less those of the partner; None if it is not among them."""
    rest = list(others)
    for term in sp.Add.make_args(partner):
        found = _equal_term(term, rest)
        if found is None:
            return None
        rest.remove(found)
    return rest


def _equal_term(term: sp.Expr, others: list[sp.Expr]) -> sp.Expr | None:
    """The one that is equal; 1 and 1.0 are."""
    if term in others:
        return term
    return next((other for other in others if other.is_Number and term.is_Number and (other - term).is_zero), None)


def _is_square(factor: sp.Expr) -> bool:
    return bool(factor.is_Pow and factor.exp == 2)


_Pairs = tuple[tuple[Callable[[sp.Expr], sp.Expr], Callable[[sp.Expr], sp.Expr]], ...]

#: For a function f pairs (g, h): f(u) + g(u) = h(u).
_SUMS: dict[type, _Pairs] = {
    expit: (
        (lambda u: sp.S.NegativeOne, lambda u: -expit(-u)),
        (lambda u: -sp.S.Half, lambda u: sp.tanh(u / 2) / 2),
        (lambda u: expit(-u), lambda u: sp.S.One),
        (lambda u: -expit(-u), lambda u: sp.tanh(u / 2)),
    ),
    sp.tanh: (
        (lambda u: sp.S.One, lambda u: 2 * expit(2 * u)),
        (lambda u: sp.S.NegativeOne, lambda u: -2 * expit(-2 * u)),
    ),
    sp.exp: (
        (lambda u: sp.exp(-u), lambda u: 2 * sp.cosh(u)),
        (lambda u: -sp.exp(-u), lambda u: 2 * sp.sinh(u)),
    ),
    ndtr: (
        (lambda z: sp.S.NegativeOne, lambda z: -ndtr(-z)),
        (lambda z: -sp.S.Half, lambda z: sp.erf(z / _SQRT_2) / 2),
        (lambda z: ndtr(-z), lambda z: sp.S.One),
    ),
    sp.coth: ((lambda u: -1 / u, lambda u: langevin_derivative(0, u)),),
    sp.cosh: (
        (lambda u: sp.S.One, lambda u: 2 * sp.cosh(u / 2) ** 2),
        (lambda u: sp.S.NegativeOne, lambda u: 2 * sp.sinh(u / 2) ** 2),
    ),
    softplus: ((lambda u: -u, lambda u: softplus(-u)),),
    log_expit: ((lambda u: -u, lambda u: log_expit(-u)),),
    sp.erf: (
        (lambda u: sp.S.One, lambda u: _erfc_of_negative(u)),
        (lambda u: sp.S.NegativeOne, lambda u: -_erfc(sp.erfc(u))),
    ),
    sp.erfc: (
        (lambda u: -sp.Integer(2), lambda u: -_erfc_of_negative(u)),
        (lambda u: sp.S.NegativeOne, lambda u: -sp.erf(u)),
    ),
}
_SUMS_OF_SQUARES: dict[type, _Pairs] = {
    sp.tanh: ((lambda u: sp.S.NegativeOne, lambda u: -(sp.sech(u) ** 2)),),
    sp.sech: ((lambda u: sp.S.NegativeOne, lambda u: -(sp.tanh(u) ** 2)),),
    sp.coth: ((lambda u: sp.S.NegativeOne, lambda u: sp.csch(u) ** 2),),
    sp.cosh: (
        (lambda u: sp.S.NegativeOne, lambda u: sp.sinh(u) ** 2),
        (lambda u: -(sp.sinh(u) ** 2), lambda u: sp.S.One),
    ),
}


# -- the normal distribution ---------------------------------------------------------------------------------


def _standard_score(u: sp.Expr) -> sp.Expr | None:
    """sqrt(2) u where u has the factor sqrt(2), as in erf(z/sqrt(2))."""
    return _SQRT_2 * u if any(factor in (_SQRT_2, 1 / _SQRT_2) for factor in sp.Mul.make_args(u)) else None


def _erfc(node: sp.erfc) -> sp.Expr:
    z = _standard_score(node.args[0])
    return node if z is None else 2 * ndtr(-z)


def _erfc_of_negative(u: sp.Expr) -> sp.Expr:
    z = _standard_score(u)
    return mirrored_erfc(u) if z is None else 2 * ndtr(z)


_RULES: dict[type, Callable[..., sp.Expr]] = {
    sp.Pow: _power,
    sp.Mul: stable_product,
    sp.Add: _sum,
    sp.log: _logarithm,
    cfunctions.log1p: _logarithm_of_one_plus,
    sp.erfc: _erfc,
}
