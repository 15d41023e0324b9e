"""Products in which one factor may overflow while another underflows, as one function each."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from implicitops.codegen.exponential_sums import multiple, power_as_share, terms_of
from implicitops.codegen.inner_functions import (
    exp_erfc,
    exp_ndtr,
    exponential_quotient,
    logistic_density,
    mirrored_erfc,
    reciprocal_expm1,
)
from implicitops.codegen.product import Product
from implicitops.codegen.stable_quotients import take_quotients
from implicitops.functions import erfcx, expit, ndtr

_SQRT_2 = sp.sqrt(2)
#: Functions that vanish like an exponential, so that a growing factor beside one has to be looked at.
_VANISHING = (expit, logistic_density, exponential_quotient, reciprocal_expm1, sp.sech, sp.csch)
_GROWING = (sp.sinh, sp.cosh)
#: A sum or a power with more terms than these is not multiplied out.
_MAX_TERMS = 6

#: Products of two functions of one argument, and what they are.
_PAIRS: dict[tuple[type, type], Callable[..., sp.Expr]] = {
    (sp.sinh, sp.sech): sp.tanh,
    (sp.cosh, sp.csch): sp.coth,
    (sp.cosh, sp.sech): lambda u: sp.S.One,
    (sp.sinh, sp.csch): lambda u: sp.S.One,
    (sp.tanh, sp.coth): lambda u: sp.S.One,
    (sp.tanh, sp.cosh): sp.sinh,
    (sp.coth, sp.sinh): sp.cosh,
}


def stable_product(node: sp.Expr) -> sp.Expr:
    """A product with the families in it as one function each; the product itself if there are none."""
    product = Product(node)
    has_exponential = product.exponent != 0
    vanishing = product.of(*_VANISHING)
    changed = take_quotients(product)
    changed = _take_pairs(product) or changed or product.n_exponentials > 1
    has_exponential = product.exponent != 0
    if has_exponential or vanishing:
        growing = _growing_factor(product, bool(vanishing))
        if growing is not None:
            return _distributed(product, growing)
    if has_exponential:
        for rule in (_hyperbolic, _logistic, _bose, _quotient, _error_function):
            changed = rule(product) or changed
    changed = _logistic_pair(product) or changed
    return product.expression() if changed else node


def _take_pairs(product: Product) -> bool:
    changed = False
    for (first, second), combined in _PAIRS.items():
        for base, power in product.of(first):
            partner = second(*base.args)
            other = product.powers.get(partner, sp.S.Zero)
            if other.is_Integer and other > 0:
                both = min(sp.Integer(power), other)
                product.multiply(base, -both)
                product.multiply(partner, -both)
                product.multiply(combined(*base.args), both)
                changed = True
    return changed


# -- factors that grow: multiplied out -----------------------------------------------------------------------


def _growing_factor(product: Product, has_vanishing: bool) -> sp.Expr | None:
    """A sum with exponentials, or cosh or sinh, that has to be taken together with a vanishing factor."""
    for base, power in product.powers.items():
        if not (power.is_Integer and 0 < power <= _MAX_TERMS):
            continue
        shares = has_vanishing or product.grows_with(base.args)
        if isinstance(base, _GROWING) and shares:
            return base
        if base.is_Add and power == 1 and shares:
            terms = terms_of(base)
            if terms is not None and len(terms) <= _MAX_TERMS:
                return base
    return None


def _distributed(product: Product, growing: sp.Expr) -> sp.Expr:
    power = int(product.powers.pop(growing))
    rest = product.expression()
    if isinstance(growing, _GROWING):
        u = growing.args[0]
        addends = [sp.binomial(power, k) * sp.exp((power - 2 * k) * u) / 2**power for k in range(power + 1)]
        sign = sp.tanh(u) ** power if isinstance(growing, sp.sinh) else sp.S.One
    else:
        terms = terms_of(growing) or []
        addends, sign = [c * sp.exp(u) for c, u in terms], sp.S.One
        if len(terms) == 2 and terms[0].weight + terms[1].weight == 0:  # exp(a) - exp(b) without cancellation
            sign = sp.tanh((terms[0].exponent - terms[1].exponent) / 2)
            addends = [terms[0].weight * sp.exp(u) for _, u in terms]
    return sign * sp.Add(*(stable_product(addend * rest) for addend in addends))


# -- rules for exp(w) times a vanishing function -------------------------------------------------------------


def _hyperbolic(product: Product) -> bool:
    """sech(a) = 2 exp(-a) expit(2 a), csch(a) = coth(a) sech(a)."""
    found = [(b, sp.Integer(n)) for b, n in product.of(sp.sech, sp.csch) if product.grows_with(b.args)]
    for base, n in found:
        a = base.args[0]
        product.multiply(base, -n)
        product.multiply(sp.Integer(2), n)
        product.multiply(expit(2 * a), n)
        product.exponent -= n * a
        if isinstance(base, sp.csch):
            product.multiply(sp.coth(a), n)
    return bool(found)


def _logistic(product: Product) -> bool:
    """exp(-j v) expit(v)**n = expit(-v)**j expit(v)**(n - j)."""
    changed = False
    for base, n in product.of(expit):
        if product.exponent == 0 or not product.grows_with(base.args):
            continue
        v = base.args[0]
        found = multiple(product.exponent, v)
        if found is not None and found[0] > 0:
            continue
        product.multiply(base, sp.Integer(-n))
        if found is not None and found[0].is_Integer:
            j = min(n, -int(found[0]))
            product.multiply(base, sp.Integer(n - j))
            product.multiply(expit(-v), sp.Integer(j))
            product.multiply(sp.exp(found[1]))
            product.exponent = (int(found[0]) + j) * v
        elif found is not None and 2 * found[0] == -n:  # exp(-v/2) expit(v) = sech(v/2) / 2
            product.multiply(sp.sech(v / 2) / 2, sp.Integer(n))
            product.multiply(sp.exp(found[1]))
            product.exponent = sp.S.Zero
        else:
            quotient = exponential_quotient(product.exponent, -n, 1, 0, 1, -v)
            product.multiply(quotient)
            product.exponent = sp.S.Zero
        changed = True
    return changed


def _bose(product: Product) -> bool:
    """exp(j v)/(exp(v) - 1)**n = (1 - exp(-v))**(-j) (exp(v) - 1)**(j - n)."""
    changed = False
    for base, n in product.of(reciprocal_expm1):
        v = base.args[0]
        found = None if product.exponent == 0 else multiple(product.exponent, v)
        if found is None or not found[0].is_Integer or found[0] < 0:
            continue
        j = min(n, int(found[0]))
        product.multiply(base, sp.Integer(-j))
        product.multiply(-reciprocal_expm1(-v), sp.Integer(j))
        product.multiply(sp.exp(found[1]))
        product.exponent = (int(found[0]) - j) * v
        changed = True
    return changed


def _quotient(product: Product) -> bool:
    """exp(w) times a quotient is another quotient."""
    for base, n in product.of(exponential_quotient):
        if product.exponent != 0 and product.grows_with(base.args):
            w, *rest = base.args
            product.multiply(base, sp.Integer(-n))
            for factor in _as_logistic(n * w + product.exponent, n * rest[0], *rest[1:]):
                product.multiply(*factor)
            product.exponent = sp.S.Zero
            return True
    return False


def _as_logistic(w: sp.Expr, q: sp.Expr, *terms: sp.Expr) -> list[tuple[sp.Expr, sp.Expr]]:
    """A quotient as factors with powers: logistic functions if it is exp(k u)/(1 + exp(u))**n with k from 0 to n."""
    if len(terms) == 4 and terms[:3] == (1, 0, 1) and q.is_Integer and q < 0:
        u = terms[3]
        found = multiple(w, u)
        if found is not None and found[0].is_Integer and 0 <= found[0] <= -q:
            return [(expit(u), found[0]), (expit(-u), -q - found[0]), (sp.exp(found[1]), sp.S.One)]
    return [(power_as_share(w, q, *terms), sp.S.One)]


def _error_function(product: Product) -> bool:
    """exp(v) erfc(u), where u is large for large v."""
    for base, n in product.of(sp.erfc, ndtr, mirrored_erfc):
        if n != 1 or product.exponent == 0:
            continue
        v, u = product.exponent, base.args[0]
        if isinstance(base, ndtr):
            is_scaled = sp.expand(v - u**2 / 2) == 0
            combined = erfcx(-u / _SQRT_2) / 2 if is_scaled else exp_ndtr(v, u)
        else:
            u = -u if isinstance(base, mirrored_erfc) else u
            combined = erfcx(u) if sp.expand(v - u**2) == 0 else exp_erfc(v, u)
        product.multiply(base, sp.S.NegativeOne)
        product.multiply(combined)
        product.exponent = sp.S.Zero
        return True
    return False


def _logistic_pair(product: Product) -> bool:
    """expit(v) expit(-v) is the density."""
    found = product.of(expit)
    for position, (first, n) in enumerate(found):
        for second, m in found[position + 1 :]:
            if sp.expand(first.args[0] + second.args[0]) == 0:
                both = sp.Integer(min(n, m))
                product.multiply(first, -both)
                product.multiply(second, -both)
                product.multiply(logistic_density(first.args[0]), both)
                return True
    return False
