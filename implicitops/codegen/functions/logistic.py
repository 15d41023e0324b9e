"""The logistic function and its kin, powers and logarithms of sums with exponentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mpmath
import sympy as sp

from implicitops.codegen.elementary.logistic import scaled_sum
from implicitops.codegen.emitter import Value
from implicitops.codegen.exponential_sums import power_as_share
from implicitops.codegen.functions.row import Row, at, plain
from implicitops.codegen.inner_functions import (
    exponential_quotient,
    log1mexp,
    log_cosh,
    log_expm1,
    log_sinh,
    log_sum_of_exponentials,
    log_tanh,
    logistic_density,
    reciprocal_expm1,
)
from implicitops.codegen.powers import integer_power
from implicitops.functions import expit, log_expit, logaddexp, softplus

if TYPE_CHECKING:
    from implicitops.codegen.printer import Printer


def _exponential_quotient(printer: Printer, node: Any) -> Value:
    """exp(w) (c_0 exp(u_0) + ...)**q as exp(w + q m) s**q."""
    w, q, *terms = node.args
    weights, exponents = ([printer.emit(part) for part in parts] for parts in (terms[::2], terms[1::2]))
    power = printer.resolved(q)
    k = _steps(printer, w, terms, power)
    if k is not None:
        return _of_two(printer, weights, exponents[1], k, -int(power))
    largest, total, _ = scaled_sum(weights, exponents)
    factor = printer.call("exp", printer.emit(w) + printer.emit(q) * largest)
    if power.is_Integer and power < 0:
        return factor / integer_power(total, -int(power))
    return factor * printer.call("pow", total, printer.emit(q))


def _steps(printer: Printer, w: Any, terms: list[Any], power: Any) -> int | None:
    """The whole k from 0 to n for exp(k u)/(c_0 + c_1 exp(u))**n; None for anything else."""
    if len(terms) != 4 or printer.resolved(terms[1]) != 0 or not (power.is_Integer and power < 0):
        return None
    u, w = printer.resolved(terms[3]), printer.resolved(w)
    if w == 0:
        return 0
    if w.is_Mul and len(w.args) == 2 and w.args[0].is_Integer:
        k, rest = int(w.args[0]), printer.resolved(w.args[1])
    else:
        k, rest = 1, w
    return k if rest == u and 0 <= k <= -power else None


def _of_two(printer: Printer, weights: list[Value], u: Value, k: int, n: int) -> Value:
    """With one exponential: e = exp(-|u|), e**k / (c_0 + c_1 e)**n for u < 0, e**(n - k) / (c_0 e + c_1)**n else."""
    falling = printer.call("exp", -abs(u))
    above = u > 0.0
    total = weights[0] * above.where(falling, 1.0) + weights[1] * above.where(1.0, falling)
    one = printer.emitter.real(1.0)
    below_power = integer_power(falling, k) if k else one
    above_power = integer_power(falling, n - k) if n > k else one
    return above.where(above_power, below_power) / integer_power(total, n)


def _log_sum_of_exponentials(printer: Printer, node: Any) -> Value:
    """log(c_0 exp(u_0) + ...) as m + log(s), where s is 1 + ... if the first term is the largest and has weight 1."""
    terms = node.args
    weights, exponents = ([printer.emit(part) for part in parts] for parts in (terms[::2], terms[1::2]))
    largest, total, parts = scaled_sum(weights, exponents)
    rest = parts[1]
    for part in parts[2:]:
        rest = rest + part
    is_one = parts[0].equals(1.0)
    return largest + is_one.where(printer.call("log1p", rest), printer.call("log", total))


# -- derivatives ---------------------------------------------------------------------------------------------


class _VariadicRow(Row):
    """A row for any number of arguments, with one rule for all of them."""

    def partial(self, node: Any, position: int) -> sp.Expr:
        """Partial derivative of a node with respect to one of its arguments."""
        assert self.partials is not None
        rule: Any = self.partials[0]
        return sp.sympify(rule(position, *node.args))


def _quotient_partial(position: int, w: sp.Expr, q: sp.Expr, *terms: sp.Expr) -> sp.Expr:
    if position == 0:
        return exponential_quotient(w, q, *terms)
    if position == 1:
        return exponential_quotient(w, q, *terms) * log_sum_of_exponentials(*terms)
    weight, exponent = terms[(position - 2) // 2 * 2 :][:2]
    slope = q * exponential_quotient(w + exponent, q - 1, *terms)
    return weight * slope if position % 2 else slope


def _log_sum_partial(position: int, *terms: sp.Expr) -> sp.Expr:
    weight, exponent = terms[position // 2 * 2 :][:2]
    slope = power_as_share(exponent, sp.S.NegativeOne, *terms)
    return weight * slope if position % 2 else slope


def _bose_slope(x: sp.Expr) -> sp.Expr:
    return -reciprocal_expm1(-x)


# -- references ----------------------------------------------------------------------------------------------


def _softplus(x: Any) -> Any:
    return max(x, mpmath.mpf(0)) + mpmath.log1p(mpmath.exp(-abs(x)))


def _density(x: Any) -> Any:
    falling = mpmath.exp(-abs(x))
    return falling / (1 + falling) ** 2


def _log_cosh(x: Any) -> Any:
    return mpmath.log1p(2 * mpmath.sinh(x / 2) ** 2)


def _total(terms: Any) -> Any:
    return sum(weight * mpmath.exp(exponent) for weight, exponent in zip(terms[::2], terms[1::2]))


_LINE = at(-40.0, -20.0, -0.7, 0.3, 2.5, 20.0, 40.0)
_POSITIVE = at(1e-8, 0.3, 0.9, 2.5, 20.0)
_RTOL = (1e-15, 2e-15, 4e-15)

ROWS = (
    Row(expit, plain("expit"), (logistic_density,), lambda x: 1 / (1 + mpmath.exp(-x)), _LINE, rtol=_RTOL),
    Row(
        logistic_density,
        plain("logistic_density"),
        (lambda x: -logistic_density(x) * sp.tanh(x / 2),),
        _density,
        at(-700.0, -20.0, -0.7, -1e-3, 0.3, 2.5, 20.0, 300.0),
    ),
    Row(log_expit, plain("log_expit"), (lambda x: expit(-x),), lambda x: -_softplus(-x), _LINE, rtol=_RTOL),
    Row(softplus, plain("softplus"), (expit,), _softplus, _LINE, rtol=_RTOL),
    Row(
        logaddexp,
        plain("logaddexp"),
        (lambda x, y: expit(x - y), lambda x, y: expit(y - x)),
        lambda x, y: max(x, y) + mpmath.log1p(mpmath.exp(-abs(x - y))),
        ((0.3, 1.7), (800.0, 799.0), (-840.0, -800.0), (1e5, 99999.0), (-20.0, 20.0)),
    ),
    Row(
        reciprocal_expm1,
        plain("reciprocal_expm1"),
        (lambda x: -(sp.csch(x / 2) ** 2) / 4,),
        lambda x: 1 / mpmath.expm1(x),
        at(-40.0, -0.7, -1e-8, 1e-8, 0.3, 2.5, 20.0, 700.0),
    ),
    Row(log_expm1, plain("log_expm1"), (_bose_slope,), lambda x: x + mpmath.log(-mpmath.expm1(-x)), _POSITIVE),
    Row(
        log1mexp,
        plain("log1mexp"),
        (_bose_slope,),
        lambda x: mpmath.log(-mpmath.expm1(x)) if x > -1 else mpmath.log1p(-mpmath.exp(x)),
        at(-700.0, -20.0, -2.5, -0.69, -0.3, -1e-8),
    ),
    Row(
        log_tanh,
        plain("log_tanh"),
        (lambda x: 2 * sp.csch(2 * x),),
        lambda x: mpmath.log1p(-2 / (mpmath.exp(2 * x) + 1)),
        at(1e-8, 0.3, 0.9, 2.5, 20.0, 300.0),
    ),
    Row(log_cosh, plain("log_cosh"), (sp.tanh,), _log_cosh, at(-20.0, -0.7, 1e-3, 0.3, 2.5, 20.0)),
    Row(
        log_sinh,
        plain("log_sinh"),
        (sp.coth,),
        lambda x: x + mpmath.log(-mpmath.expm1(-2 * x)) - mpmath.log(2),
        _POSITIVE,
    ),
    _VariadicRow(
        exponential_quotient,
        _exponential_quotient,
        (_quotient_partial,),
        lambda w, q, *terms: mpmath.exp(w) * mpmath.power(_total(terms), q),
        (
            (0.3, -2.0, 1.5, 0.7, -0.4, 1.1),
            (0.3, -1.0, 1.5, 0.0, 2.5, 3.1),
            (900.0, -1.0, 0.5, 0.0, 2.0, 905.0, 1.0, 3.0),
        ),
        rtol=(4e-13, 1e-12, 1e-11),
    ),
    _VariadicRow(
        log_sum_of_exponentials,
        _log_sum_of_exponentials,
        (_log_sum_partial,),
        lambda *terms: mpmath.log(_total(terms)),
        ((1.5, 0.7, -0.4, 1.1), (1.0, 0.0, 2.5, -3.0), (0.5, 0.0, 2.0, 905.0, 1.0, 3.0)),
        rtol=(4e-15, 1e-12, 1e-11),
    ),
)
