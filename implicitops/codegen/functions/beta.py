"""Quotients of gamma functions, with derivatives that differences of polygamma functions would lose the digits of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import mpmath
import sympy as sp

from implicitops.codegen.emitter import Value
from implicitops.codegen.functions.gamma import digamma
from implicitops.codegen.functions.row import HIGHEST, NOT_A_NUMBER, Handler, Row, arguments, computed
from implicitops.codegen.polygamma import polygamma
from implicitops.functions import RealFunction

if TYPE_CHECKING:
    from implicitops.codegen.printer import Printer


class polygamma_difference(RealFunction):
    """polygamma(n, x + h) - polygamma(n, x), right however small h or x is: polygamma_difference(n, x, h)."""

    nargs = 3


class beta_slope(RealFunction):
    """The derivative of beta(p, q) by p."""

    nargs = 2


class binomial_slope(RealFunction):
    """The derivative of binomial(n, k) by n."""

    nargs = 2


class rising_factorial_slope(RealFunction):
    """The derivative of RisingFactorial(x, k) by x."""

    nargs = 2


class beta_mixed(RealFunction):
    """The second derivative of beta(p, q) by p and q, divided by beta(p, q)."""

    nargs = 2


class gamma_quotient_curvature(RealFunction):
    """The second derivative of gamma(x + h)/gamma(x) by x, divided by it: gamma_quotient_curvature(x, h)."""

    nargs = 2


# -- values --------------------------------------------------------------------------------------------------


def _quotient_of_gammas(own: str, general: str, printer: Printer, first: Value, second: Value) -> Value:
    """SciPy's function of two arguments, except where its logarithms lose digits and our own has a value."""
    better = printer.emitter.call(f"iop:{own}:dd", first, second)
    return better.is_nan().where(printer.emitter.call(f"scipy:{general}:dd", first, second), better)


def _beta_of_values(printer: Printer, p: Value, q: Value) -> Value:
    return _quotient_of_gammas("beta", "beta", printer, p, q)


def _beta(printer: Printer, node: Any) -> Value:
    values = arguments(printer, node)
    return _beta_of_values(printer, values[0], values[-1])


def _binomial(printer: Printer, n: Value, k: Value) -> Value:
    return _quotient_of_gammas("binomial", "binom", printer, n, k)


def _rising_factorial(printer: Printer, x: Value, k: Value) -> Value:
    return _quotient_of_gammas("poch", "poch", printer, x, k)


def _difference(printer: Printer, order: int, x: Value, h: Value) -> Value:
    """By the sum of csrc/polygamma_difference.h; far below 0, and of a high order, as it is written."""
    direct = _polygamma(printer, order, x + h) - _polygamma(printer, order, x)
    if order > HIGHEST:
        return direct
    better = printer.emitter.call(f"iop:polygamma_difference_{order}:dd", x, h)
    return better.is_nan().where(direct, better)


def _polygamma(printer: Printer, order: int, x: Value) -> Value:
    return polygamma(order, x) if order else digamma(printer, x)


def _polygamma_difference(printer: Printer, node: Any) -> Value:
    return _difference(printer, int(printer.resolved(node.args[0])), *(printer.emit(a) for a in node.args[1:]))


def _beta_slope(printer: Printer, p: Value, q: Value) -> Value:
    return -_beta_of_values(printer, p, q) * _difference(printer, 0, p, q)


def _binomial_slope(printer: Printer, n: Value, k: Value) -> Value:
    return _binomial(printer, n, k) * _difference(printer, 0, n - k + 1.0, k)


def _rising_factorial_slope(printer: Printer, x: Value, k: Value) -> Value:
    return _rising_factorial(printer, x, k) * _difference(printer, 0, x, k)


def _or_written(own: str, written: Callable[[Printer, Value, Value], Value]) -> Handler:
    """Our own function of two arguments, and where it has no value the formula that loses digits."""

    def formula(printer: Printer, first: Value, second: Value) -> Value:
        better = printer.emitter.call(f"iop:{own}:dd", first, second)
        return better.is_nan().where(written(printer, first, second), better)

    return computed(formula)


def _mixed_as_written(printer: Printer, p: Value, q: Value) -> Value:
    return _difference(printer, 0, q, p) * _difference(printer, 0, p, q) - polygamma(1, p + q)


def _curvature_as_written(printer: Printer, x: Value, h: Value) -> Value:
    slope = _difference(printer, 0, x, h)
    return slope * slope + _difference(printer, 1, x, h)


# -- derivatives ---------------------------------------------------------------------------------------------


def _logarithmic(n: sp.Expr, k: sp.Expr) -> sp.Expr:
    """The derivative of log(binomial(n, k)) by k."""
    return polygamma_difference(0, k + 1, n - 2 * k)


def _beta_by_first(p: sp.Expr, *q: sp.Expr) -> sp.Expr:
    return beta_slope(p, *q) if q else 2 * beta_slope(p, p)  # beta(p) is beta(p, p)


def _mixed_by_first(p: sp.Expr, q: sp.Expr) -> sp.Expr:
    by_first, by_second = polygamma_difference(0, p, q), polygamma_difference(0, q, p)
    return sp.polygamma(1, p + q) * by_first + by_second * polygamma_difference(1, p, q) - sp.polygamma(2, p + q)


def _curvature_by_first(x: sp.Expr, h: sp.Expr) -> sp.Expr:
    return 2 * polygamma_difference(0, x, h) * polygamma_difference(1, x, h) + polygamma_difference(2, x, h)


def _curvature_by_second(x: sp.Expr, h: sp.Expr) -> sp.Expr:
    return 2 * polygamma_difference(0, x, h) * sp.polygamma(1, x + h) + sp.polygamma(2, x + h)


_RTOL = (1e-13, 1e-12, 1e-11)

ROWS = (
    Row(
        sp.beta,
        _beta,
        (_beta_by_first, lambda p, q: beta_slope(q, p)),
        mpmath.beta,
        ((0.3, 1.7), (0.05, 2.5), (12.0, 40.0)),
        rtol=_RTOL,
        poles=(
            (0.0, 1.5),
            (1.5, 0.0),
        ),
    ),
    Row(
        beta_slope,
        computed(_beta_slope),
        (
            lambda p, q: sp.beta(p, q) * (polygamma_difference(0, p, q) ** 2 - polygamma_difference(1, p, q)),
            lambda p, q: sp.beta(p, q) * beta_mixed(p, q),
        ),
        lambda p, q: mpmath.beta(p, q) * (mpmath.digamma(p) - mpmath.digamma(p + q)),
        ((0.3, 1.7), (0.2, 1.0), (12.0, 40.0)),
        rtol=_RTOL,
        poles=(
            (0.0, 1.5),
            (1.5, 0.0),
        ),
    ),
    Row(
        beta_mixed,
        _or_written("beta_mixed", _mixed_as_written),
        (_mixed_by_first, lambda p, q: _mixed_by_first(q, p)),
        lambda p, q: (
            (mpmath.digamma(p) - mpmath.digamma(p + q)) * (mpmath.digamma(q) - mpmath.digamma(p + q))
            - mpmath.polygamma(1, p + q)
        ),
        ((0.3, 1.7), (0.2, 0.4), (12.0, 40.0)),
        rtol=_RTOL,
    ),
    Row(
        sp.binomial,
        computed(_binomial),
        (binomial_slope, lambda n, k: sp.binomial(n, k) * _logarithmic(n, k)),
        mpmath.binomial,
        ((5.5, 2.0), (0.3, 0.1), (40.0, 12.5), (3.3, 4.6)),
        rtol=_RTOL,
    ),
    Row(
        binomial_slope,
        computed(_binomial_slope),
        (
            lambda n, k: sp.binomial(n, k) * gamma_quotient_curvature(n - k + 1, k),
            lambda n, k: binomial_slope(n, k) * _logarithmic(n, k) + sp.binomial(n, k) * sp.polygamma(1, n - k + 1),
        ),
        lambda n, k: mpmath.binomial(n, k) * (mpmath.digamma(n + 1) - mpmath.digamma(n - k + 1)),
        ((5.5, 2.3), (5.0, 1e-12), (40.0, 12.5), (3.3, 4.6)),
        rtol=_RTOL,
    ),
    Row(
        sp.RisingFactorial,
        computed(_rising_factorial),
        (rising_factorial_slope, lambda x, k: sp.RisingFactorial(x, k) * sp.digamma(x + k)),
        mpmath.rf,
        ((5.5, 2.0), (0.3, 0.1), (40.0, 12.5), (3.3, -1.6)),
        rtol=_RTOL,
    ),
    Row(
        rising_factorial_slope,
        computed(_rising_factorial_slope),
        (
            lambda x, k: sp.RisingFactorial(x, k) * gamma_quotient_curvature(x, k),
            lambda x, k: (
                rising_factorial_slope(x, k) * sp.digamma(x + k) + sp.RisingFactorial(x, k) * sp.polygamma(1, x + k)
            ),
        ),
        lambda x, k: mpmath.rf(x, k) * (mpmath.digamma(x + k) - mpmath.digamma(x)),
        ((5.5, 2.3), (5.0, 1e-12), (40.0, 12.5), (3.3, -1.6)),
        rtol=_RTOL,
    ),
    Row(
        gamma_quotient_curvature,
        _or_written("gamma_quotient_curvature", _curvature_as_written),
        (_curvature_by_first, _curvature_by_second),
        lambda x, h: (
            (mpmath.digamma(x + h) - mpmath.digamma(x)) ** 2 + mpmath.polygamma(1, x + h) - mpmath.polygamma(1, x)
        ),
        ((5.5, 2.0), (0.3, 0.1), (40.0, 12.5), (3.3, -1.6)),
        rtol=_RTOL,
    ),
    Row(
        polygamma_difference,
        _polygamma_difference,
        (
            NOT_A_NUMBER,
            lambda n, x, h: polygamma_difference(n + 1, x, h),
            lambda n, x, h: sp.polygamma(n + 1, x + h),
        ),
        lambda n, x, h: mpmath.polygamma(int(n), x + h) - mpmath.polygamma(int(n), x),
        ((0, 0.3, 1.7), (0, -2.7, 1e-7), (1, 5.0, 1e-9), (1, 2e3, -1.9e3), (2, 1e-3, 30.0), (3, 0.5, 0.4)),
        whole=(0,),
        rtol=_RTOL,
    ),
)
