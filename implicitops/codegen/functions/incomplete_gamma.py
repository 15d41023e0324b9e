"""Incomplete gamma functions, with their derivatives by the shape from csrc/incomplete_gamma.h."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mpmath
import sympy as sp

from implicitops.codegen.emitter import Value
from implicitops.codegen.functions.row import (
    HIGHEST,
    NOT_A_NUMBER,
    TOO_HIGH,
    Handler,
    Partial,
    Refusal,
    Row,
    arguments,
    derivative,
    imported,
    scipy,
)
from implicitops.functions import RealFunction, gammainc, gammaincc

if TYPE_CHECKING:
    from implicitops.codegen.printer import Printer


class gamma_density(RealFunction):
    """x**(a-1) exp(-x) / Gamma(a), without overflow: gamma_density(a, x)."""

    nargs = 2


class gamma_integrand(RealFunction):
    """x**(a-1) exp(-x), without overflow: gamma_integrand(a, x)."""

    nargs = 2


class log_less_digamma(RealFunction):
    """log(x) - digamma(a), without cancellation: log_less_digamma(x, a)."""

    nargs = 2


class gammainc_by_shape(RealFunction):
    """The n-th derivative of P(a, x) by a: gammainc_by_shape(n, a, x)."""

    nargs = 3


class lowergamma_by_shape(RealFunction):
    """The n-th derivative of lowergamma(a, x) by a: lowergamma_by_shape(n, a, x)."""

    nargs = 3


class uppergamma_by_shape(RealFunction):
    """The n-th derivative of uppergamma(a, x) by a: uppergamma_by_shape(n, a, x)."""

    nargs = 3


def _incomplete(regularised: str, function: str) -> Handler:
    """From SciPy's regularised function where the shape is a number, and from ours where it may be anything."""

    def handler(printer: Printer, node: Any) -> Value:
        a, x = arguments(printer, node)
        shape = printer.resolved(node.args[0])
        if shape.is_number and 0 < shape < 160:  # Gamma(a) is finite
            return printer.emitter.call(f"scipy:{regularised}:dd", a, x) * printer.call("tgamma", a)
        return printer.emitter.call(f"iop:{function}_0:dd", a, x)

    return handler


def _by_shape(kind: type) -> Partial:
    """Partial derivative by the shape of an n-th derivative by the shape."""
    return lambda n, a, x: kind(n + 1, a, x) if n < HIGHEST else TOO_HIGH


def _density_by_shape(n: sp.Expr, a: sp.Expr, x: sp.Expr) -> sp.Expr | Refusal:
    """The n-th derivative of the density by the shape."""
    first, second, third = log_less_digamma(x, a), -sp.polygamma(1, a), -sp.polygamma(2, a)
    moments = {1: first, 2: first**2 + second, 3: first**3 + 3 * first * second + third}
    return gamma_density(a, x) * moments[int(n)]


def _lower(a: Any, x: Any) -> Any:
    return mpmath.gammainc(a, 0, x)


def _regularised(a: Any, x: Any) -> Any:
    if x < a:
        return mpmath.gammainc(a, 0, x, regularized=True)
    return 1 - mpmath.gammainc(a, x, regularized=True)


_POINTS = ((0.3, 1.7), (3.5, 1e-3), (12.0, 40.0), (0.01, 0.3), (250.5, 240.0), (400.0, 1.5))
_FEW = ((1, 0.3, 1.7), (1, 180.0, 175.0))
_RTOL = (1e-13, 2e-13, 1e-12)

ROWS = (
    Row(
        gammainc,
        scipy("gammainc", 2),
        (lambda a, x: gammainc_by_shape(1, a, x), gamma_density),
        _regularised,
        _POINTS[:-1],
        rtol=_RTOL,
    ),
    Row(
        gammaincc,
        scipy("gammaincc", 2),
        (lambda a, x: -gammainc_by_shape(1, a, x), lambda a, x: -gamma_density(a, x)),
        lambda a, x: mpmath.gammainc(a, x, regularized=True),
        (*_POINTS[:-1], (2.5, 300.0)),
        rtol=_RTOL,
    ),
    Row(
        sp.lowergamma,
        _incomplete("gammainc", "lowergamma"),
        (lambda a, x: lowergamma_by_shape(1, a, x), gamma_integrand),
        _lower,
        (*_POINTS[:-2], _POINTS[-1]),
        rtol=_RTOL,
    ),
    Row(
        sp.uppergamma,
        _incomplete("gammaincc", "uppergamma"),
        (lambda a, x: uppergamma_by_shape(1, a, x), lambda a, x: -gamma_integrand(a, x)),
        lambda a, x: mpmath.gammainc(a, x),
        (*_POINTS[:-2], (0.001, 0.01), (200.0, 1500.0)),
        rtol=_RTOL,
        poles=((0.0, 0.0),),
    ),
    Row(
        gamma_density,
        imported("iop", "gamma_density", 2),
        (
            lambda a, x: gamma_density(a, x) * log_less_digamma(x, a),
            lambda a, x: gamma_density(a, x) * ((a - 1 - x) / x),
        ),
        lambda a, x: x ** (a - 1) * mpmath.exp(-x) / mpmath.gamma(a),
        ((0.3, 1.7), (3.5, 1e-3), (1e4, 1.03e4)),
        rtol=(1e-13, 1e-12, 1e-11),
    ),
    Row(
        gamma_integrand,
        imported("iop", "gamma_integrand", 2),
        (
            lambda a, x: gamma_integrand(a, x) * sp.log(x),
            lambda a, x: gamma_integrand(a, x) * ((a - 1 - x) / x),
        ),
        lambda a, x: x ** (a - 1) * mpmath.exp(-x),
        ((0.3, 1.7), (3.5, 1e-3), (200.0, 2000.0)),
        rtol=(1e-13, 1e-12, 1e-11),
    ),
    Row(
        log_less_digamma,
        imported("iop", "log_less_psi", 2),
        (lambda x, a: 1 / x, lambda x, a: -sp.polygamma(1, a)),
        lambda x, a: mpmath.log(x) - mpmath.digamma(a),
        ((0.3, 1.7), (3.5, 1e-3), (1.03e4, 1e4)),
        rtol=(1e-14, 1e-13, 1e-12),
    ),
    Row(
        gammainc_by_shape,
        derivative("gammainc", 2),
        (NOT_A_NUMBER, _by_shape(gammainc_by_shape), _density_by_shape),
        lambda n, a, x: mpmath.diff(lambda shape: _regularised(shape, x), a, int(n)),
        _FEW,
        whole=(0,),
        rtol=(1e-13, 1e-12, 1e-11),
    ),
    Row(
        lowergamma_by_shape,
        derivative("lowergamma", 2),
        (
            NOT_A_NUMBER,
            _by_shape(lowergamma_by_shape),
            lambda n, a, x: gamma_integrand(a, x) * sp.log(x) ** n,
        ),
        lambda n, a, x: mpmath.diff(lambda shape: _lower(shape, x), a, int(n)),
        ((1, 0.3, 1.7), (1, 180.0, 17.0)),
        whole=(0,),
        rtol=(1e-13, 1e-12, 1e-11),
    ),
    Row(
        uppergamma_by_shape,
        derivative("uppergamma", 2),
        (
            NOT_A_NUMBER,
            _by_shape(uppergamma_by_shape),
            lambda n, a, x: -gamma_integrand(a, x) * sp.log(x) ** n,
        ),
        lambda n, a, x: mpmath.diff(lambda shape: mpmath.gammainc(shape, x), a, int(n)),
        ((1, 0.3, 1.7), (1, 180.0, 1700.0)),
        whole=(0,),
        rtol=(1e-13, 1e-12, 1e-11),
    ),
)
