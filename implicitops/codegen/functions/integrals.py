"""Exponential, trigonometric, Fresnel and elliptic integrals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mpmath
import sympy as sp

from implicitops.codegen.elementary import elliptic as formulas
from implicitops.codegen.emitter import Value
from implicitops.codegen.functions.row import (
    NOT_A_NUMBER,
    Refusal,
    Row,
    arguments,
    at,
    computed,
    not_below_zero,
    scipy,
    scipy_output,
)
from implicitops.codegen.inner_functions import (
    elliptic_b_derivative,
    elliptic_d_derivative,
    elliptic_moment,
    sinhc_derivative,
)

if TYPE_CHECKING:
    from implicitops.codegen.printer import Printer

_WHOLE_ORDER = "The order of expint must be a whole number, such as expint(1, x)."


def _expint(printer: Printer, node: Any) -> Value:
    order = printer.resolved(node.args[0])
    if not (order.is_Integer and order >= 0):
        raise printer.unsupported(node, _WHOLE_ORDER)
    return printer.emitter.call("scipy:expn:dd", *arguments(printer, node))


def _li(printer: Printer, x: Value) -> Value:
    return printer.emitter.call("scipy:expi:d", printer.call("log", x))


def _elliptic_e(printer: Printer, node: Any) -> Value:
    values = arguments(printer, node)
    symbol = "scipy:ellipe:d" if len(values) == 1 else "scipy:ellipeinc:dd"
    return printer.emitter.call(symbol, *values)


def _elliptic_e_first(x: sp.Expr, m: sp.Expr | None = None) -> sp.Expr:
    if m is None:
        return -elliptic_d_derivative(0, x) / 2
    return sp.sqrt(1 - m * sp.sin(x) ** 2)


def _elliptic_e_by_parameter(z: sp.Expr, m: sp.Expr) -> sp.Expr:
    return -elliptic_moment(1, 1, z, m) / 2


def _elliptic_moment(printer: Printer, node: Any) -> Value:
    p, q = (int(printer.resolved(order)) for order in node.args[:2])
    return formulas.elliptic_moment(p, q, *(printer.emit(argument) for argument in node.args[2:]))


def _moment_by_angle(p: sp.Expr, q: sp.Expr, z: sp.Expr, m: sp.Expr) -> sp.Expr:
    return sp.sin(z) ** (2 * p) / sp.sqrt(1 - m * sp.sin(z) ** 2) ** q


def _moment_by_parameter(p: sp.Expr, q: sp.Expr, z: sp.Expr, m: sp.Expr) -> sp.Expr | Refusal:
    following = (int(p) + 1, int(q) + 2)
    if following not in formulas.MOMENTS:
        return Refusal("Only derivatives up to the second by the parameter are known.")
    return q * elliptic_moment(*following, z, m) / 2


def _moment_reference(p: Any, q: Any, z: Any, m: Any) -> Any:
    def integrand(t: Any) -> Any:
        return mpmath.sin(t) ** (2 * int(p)) * (1 - m * mpmath.sin(t) ** 2) ** (-mpmath.mpf(int(q)) / 2)

    return mpmath.quad(integrand, [0, z])


_LINE = at(-9.5, -0.4, -1e-8, 1e-12, 0.3, 3.1, 11.3)
_WAVES = at(-9.5, -0.4, 0.3, 3.1, 11.3)
_POSITIVE = at(1e-6, 0.3, 3.1, 12.0, 30.0)
_MODULUS = at(-30.0, -0.6, -0.4, -1e-8, 1e-12, 0.3, 0.55, 0.95, 1 - 1e-9)

ROWS = (
    Row(
        sp.expint,
        _expint,
        (Refusal(_WHOLE_ORDER), lambda n, x: -sp.expint(n - 1, x)),
        mpmath.expint,
        ((1, 0.3), (1, 1e-6), (1, 30.0), (2, 0.7), (3, 2.5), (5, 12.0)),
        whole=(0,),
        poles=((1, 0.0),),
    ),
    Row(sp.Ei, scipy("expi"), None, mpmath.ei, at(-9.5, -0.4, 0.3, 3.1, 12.0, 300.0), poles=at(0.0)),
    Row(sp.li, computed(_li), None, mpmath.li, at(1e-3, 0.3, 1.2, 3.1, 1e9), rtol=(1e-14, 1e-13, 1e-12), poles=at(1.0)),
    Row(sp.Si, scipy_output("sici", 2, 0), (sp.sinc,), mpmath.si, _LINE),
    Row(
        sp.Ci,
        not_below_zero(scipy_output("sici", 2, 1)),
        None,
        mpmath.ci,
        _POSITIVE,
        rtol=(5e-14, 1e-13, 1e-12),
        poles=at(0.0),
    ),
    Row(sp.Shi, scipy_output("shichi", 2, 0), (lambda x: sinhc_derivative(0, x),), mpmath.shi, _LINE),
    Row(
        sp.Chi,
        not_below_zero(scipy_output("shichi", 2, 1)),
        None,
        mpmath.chi,
        _POSITIVE,
        rtol=(5e-14, 1e-13, 1e-12),
        poles=at(0.0),
    ),
    Row(sp.fresnels, scipy_output("fresnel", 2, 0), None, mpmath.fresnels, _WAVES),
    Row(sp.fresnelc, scipy_output("fresnel", 2, 1), None, mpmath.fresnelc, _WAVES),
    Row(
        sp.elliptic_k,
        scipy("ellipk"),
        (lambda m: elliptic_b_derivative(0, m) / (2 * (1 - m)),),
        mpmath.ellipk,
        _MODULUS,
        poles=at(1.0),
    ),
    Row(
        sp.elliptic_f,
        scipy("ellipkinc", 2),
        (
            lambda z, m: 1 / sp.sqrt(1 - m * sp.sin(z) ** 2),
            lambda z, m: elliptic_moment(1, 3, z, m) / 2,
        ),
        mpmath.ellipf,
        ((0.5, 0.3), (1.4, 0.9), (-0.7, -3.0), (2.5, 0.6), (0.5, 1e-12), (2.5, -1e-8)),
    ),
    Row(
        sp.elliptic_e,
        _elliptic_e,
        (_elliptic_e_first, _elliptic_e_by_parameter),
        mpmath.ellipe,
        (
            (0.5, 0.3),
            (1.4, 0.9),
            (-0.7, -3.0),
            (2.5, 0.6),
            (0.5, 1e-12),
            (2.5, -1e-8),
            (-30.0,),
            (-1e-8,),
            (1e-12,),
            (0.3,),
            (-3.0,),
            (0.95,),
        ),
    ),
    Row(
        elliptic_moment,
        _elliptic_moment,
        (NOT_A_NUMBER, NOT_A_NUMBER, _moment_by_angle, _moment_by_parameter),
        _moment_reference,
        ((2, 5, 0.5, 0.3), (2, 3, 1.2, -3.0)),
        whole=(0, 1),
        rtol=(1e-13, 1e-12, 1e-11),
    ),
)
