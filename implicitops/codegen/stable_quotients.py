"""Quotients that are 0/0 where the function is smooth, such as sin(x)/x, as one function each."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from implicitops.codegen.exponential_sums import terms_of
from implicitops.codegen.inner_functions import (
    bernoulli_derivative,
    exp_difference,
    log1pc_derivative,
    reciprocal_expm1,
    sinhc_derivative,
    tanhc_derivative,
)
from implicitops.codegen.product import Product

#: Divisors with more operations than these are not compared with the argument of a function.
_MAX_OPERATIONS = 40

#: What f(u)/u is for functions f with f(0) = 0.
_DIVIDED: dict[type, Callable[[sp.Expr], sp.Expr]] = {
    sp.sin: sp.sinc,
    sp.sinh: lambda u: sinhc_derivative(0, u),
    sp.tanh: lambda u: tanhc_derivative(0, u),
}


def take_quotients(product: Product) -> bool:
    """Put a function in the place of each f(u)/u; whether there was any."""
    divisors = [base for base, power in product.powers.items() if power.is_negative and base.free_symbols]
    changed = _bernoulli(product)
    if not divisors:
        return changed
    for base, power in list(product.powers.items()):
        if power.is_Integer and power > 0:
            for rule in (_function, _logarithm, _versine, _difference):
                if rule(product, base, divisors):
                    changed = True
                    break
    return changed


def _divides(divisor: sp.Expr, u: sp.Expr) -> bool:
    """Whether u is 0 where a divisor of the product is."""
    if not divisor.free_symbols <= u.free_symbols:
        return False
    if divisor == u or divisor in sp.Mul.make_args(u):
        return True
    if not divisor.is_Add or divisor.count_ops() + u.count_ops() > _MAX_OPERATIONS:
        return False
    return not sp.denom(sp.cancel(u / divisor)).free_symbols & divisor.free_symbols


def _vanishing_divisor(u: sp.Expr, divisors: list[sp.Expr]) -> sp.Expr | None:
    return next((divisor for divisor in divisors if _divides(divisor, u)), None)


def _multiply_by_quotient(product: Product, u: sp.Expr, divisor: sp.Expr) -> None:
    """Multiply by u such that it cancels the divisor."""
    if divisor in sp.Mul.make_args(u):
        product.multiply_out(u)
    else:
        product.multiply(divisor)
        product.multiply_out(sp.cancel(u / divisor))


def _function(product: Product, base: sp.Expr, divisors: list[sp.Expr]) -> bool:
    divided = _DIVIDED.get(base.func)
    if divided is None or (isinstance(base, sp.sinh) and (product.exponent != 0 or product.of(sp.sech, sp.csch))):
        return False  # a growing factor is taken together with a vanishing one
    u = base.args[0]
    divisor = _vanishing_divisor(u, divisors)
    if divisor is None:
        return False
    product.multiply(base, sp.S.NegativeOne)
    product.multiply(divided(u))
    _multiply_by_quotient(product, u, divisor)
    return True


def _logarithm(product: Product, base: sp.Expr, divisors: list[sp.Expr]) -> bool:
    """log(1 + u)/u."""
    if not isinstance(base, sp.log):
        return False
    u = base.args[0] - 1
    divisor = _vanishing_divisor(u, divisors)
    if divisor is None:
        return False
    product.multiply(base, sp.S.NegativeOne)
    product.multiply(log1pc_derivative(0, u))
    _multiply_by_quotient(product, u, divisor)
    return True


def _versine(product: Product, base: sp.Expr, divisors: list[sp.Expr]) -> bool:
    """c (1 - cos(u)) = c u**2/2 sinc(u/2)**2."""
    if not (base.is_Add and len(base.args) == 2):
        return False
    cosine = next((f for term in base.args for f in sp.Mul.make_args(term) if isinstance(f, sp.cos)), None)
    if cosine is None:
        return False
    weight = sp.Add(*(term for term in base.args if not term.has(cosine)))
    u = cosine.args[0]
    divisor = _vanishing_divisor(u, divisors)
    if divisor is None or base != weight - weight * cosine:
        return False
    product.multiply(base, sp.S.NegativeOne)
    product.multiply_out(weight / 2)
    product.multiply(sp.sinc(u / 2), sp.Integer(2))
    for _ in range(2):
        _multiply_by_quotient(product, u, divisor)
    return True


def _difference(product: Product, base: sp.Expr, divisors: list[sp.Expr]) -> bool:
    """c (exp(a) - exp(b))/(a - b)."""
    terms = terms_of(base) if base.is_Add else None
    if terms is None or len(terms) != 2 or terms[0].weight + terms[1].weight != 0:
        return False
    (weight, a), (_, b) = terms
    divisor = _vanishing_divisor(sp.factor_terms(a - b), divisors)
    # Frullani's (exp(-a*x) - exp(-b*x))/x stays as it is: its mixed derivative is 0, and would be rounding noise.
    if divisor is None or (a != 0 and b != 0 and _divides(divisor, a) and _divides(divisor, b)):
        return False
    product.multiply(base, sp.S.NegativeOne)
    product.multiply_out(weight)
    product.multiply(exp_difference(0, 0, a + product.exponent, b + product.exponent))
    product.exponent = sp.S.Zero
    _multiply_by_quotient(product, sp.factor_terms(a - b), divisor)
    return True


def _bernoulli(product: Product) -> bool:
    """u/(exp(u) - 1)."""
    for base, n in product.of(reciprocal_expm1):
        u = base.args[0]
        parts = [part for part in sp.Mul.make_args(u) if not part.is_number]
        powers = [product.powers.get(part, sp.S.Zero) for part in parts]
        if n == 1 and all(power.is_Integer and power > 0 for power in powers):
            product.multiply(base, sp.S.NegativeOne)
            product.multiply(bernoulli_derivative(0, u))
            for part in parts:
                product.multiply(part, sp.S.NegativeOne)
            product.multiply_out(sp.Mul(*parts) / u)
            return True
    return False
