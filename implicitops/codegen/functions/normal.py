"""The normal distribution and scaled error functions, right in relative terms in the tails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mpmath
import sympy as sp

from implicitops.codegen.elementary import normal as formulas
from implicitops.codegen.emitter import Value
from implicitops.codegen.functions.row import NOT_A_NUMBER, Row, at, computed, of_values, with_order
from implicitops.codegen.inner_functions import (
    density_of_erfcinv,
    density_of_ndtri,
    exp_erfc,
    exp_ndtr,
    log_erfc,
    mirrored_erfc,
    normal_density,
    normal_excess,
    normal_hazard,
)
from implicitops.functions import erfcx, log_ndtr, ndtr, ndtri

if TYPE_CHECKING:
    from implicitops.codegen.printer import Printer

_SQRT_2 = sp.sqrt(2)


def _mirrored_erfc(printer: Printer, x: Value) -> Value:
    return printer.call("erfc", -x)


# -- references ----------------------------------------------------------------------------------------------


def _ndtr(z: Any) -> Any:
    return mpmath.erfc(-z / mpmath.sqrt(2)) / 2


def _log_ndtr(z: Any) -> Any:
    return mpmath.log1p(-_ndtr(-z)) if z > 0 else mpmath.log(_ndtr(z))


def _hazard(z: Any) -> Any:
    return mpmath.npdf(z) / _ndtr(z)


def _excess(order: Any, z: Any) -> Any:
    """Quotient of the integrals of t**n/n! exp(z t - t**2/2), which are parabolic cylinder functions (DLMF 12.5.1)."""
    half = mpmath.mpf(1) / 2
    return mpmath.pcfu(int(order) + half, -z) / mpmath.pcfu(int(order) - half, -z)


def _ndtri(p: Any) -> Any:
    """By Newton's method in the logarithm of the tail, where the function is nearly straight."""
    if not 0 <= p <= 1:
        return mpmath.nan
    if p in (0, 1):
        return mpmath.inf if p == 1 else -mpmath.inf
    if p > 0.5:
        return -_ndtri(1 - p)
    z = -mpmath.sqrt(-2 * mpmath.log(2 * p))
    for _ in range(100):
        step = (mpmath.log(_ndtr(z)) - mpmath.log(p)) / _hazard(z)
        z -= step
        if abs(step) <= mpmath.eps * abs(z):
            break
    return z


def inverse_erfc_reference(x: Any) -> Any:
    """The y with erfc(y) = x, by mpmath."""
    return -_ndtri(x / 2) / mpmath.sqrt(2)


_SCORES = at(-37.0, -30.0, -10.0, -2.9, -2.7, -0.7, 1e-8, 0.3, 2.5, 7.0)
_RTOL = (4e-15, 8e-15, 1e-13)

ROWS = (
    Row(ndtr, of_values(formulas.distribution), (normal_density,), _ndtr, _SCORES, rtol=_RTOL),
    Row(
        normal_density,
        of_values(formulas.density),
        (lambda z: -z * normal_density(z),),
        mpmath.npdf,
        at(-37.0, -10.0, -0.7, 1e-3, 0.3, 2.5, 30.0),
    ),
    Row(log_ndtr, of_values(formulas.logarithm_of_distribution), (normal_hazard,), _log_ndtr, _SCORES, rtol=_RTOL),
    Row(
        normal_hazard,
        of_values(formulas.hazard),
        (lambda z: -normal_hazard(z) * normal_excess(1, z),),
        _hazard,
        at(-300.0, -10.0, -2.9, -0.7, 1e-3, 0.3, 2.5, 10.0),
        rtol=(2e-15, 1e-14, 1e-10),
    ),
    Row(
        normal_excess,
        with_order(formulas.excess),
        (
            NOT_A_NUMBER,
            lambda n, z: -normal_excess(n, z) * (n * normal_excess(n, z) - (n + 1) * normal_excess(n + 1, z)),
        ),
        _excess,
        ((1, -300.0), (1, -10.0), (1, -2.9), (1, -0.7), (1, 0.3), (1, 5.0), (2, -10.0), (2, -0.7), (2, 2.5)),
        whole=(0,),
        rtol=(2e-14, 1e-12, 1e-9),
    ),
    Row(
        ndtri,
        of_values(formulas.quantile),
        (lambda p: 1 / density_of_ndtri(p),),
        _ndtri,
        at(1e-300, 1e-100, 1e-12, 0.02, 0.3, 0.6, 0.975, 1 - 1e-12),
    ),
    Row(
        density_of_ndtri,
        of_values(formulas.density_of_quantile),
        (lambda p: -ndtri(p),),
        lambda p: mpmath.npdf(_ndtri(p)),
        at(1e-300, 1e-100, 1e-12, 0.02, 0.3, 0.6, 0.975, 1 - 1e-12),
    ),
    Row(
        density_of_erfcinv,
        of_values(formulas.gaussian_of_inverse_erfc),
        (lambda x: sp.sqrt(sp.pi) * sp.erfcinv(x),),
        lambda x: mpmath.exp(-(inverse_erfc_reference(x) ** 2)),
        at(1e-300, 1e-100, 1e-12, 0.02, 0.3, 0.6, 1.3, 1.975),
    ),
    Row(
        erfcx,
        of_values(formulas.scaled_erfc),
        (lambda x: -_SQRT_2 * erfcx(x) * normal_excess(1, -_SQRT_2 * x),),
        lambda x: mpmath.exp(x * x) * mpmath.erfc(x),
        at(-20.0, -2.5, -0.7, 1e-8, 0.3, 1.9, 2.1, 20.0, 1e5),
        rtol=(5e-14, 1e-13, 2e-13),
    ),
    Row(
        mirrored_erfc,
        computed(_mirrored_erfc),
        (lambda x: 2 * sp.exp(-(x**2)) / sp.sqrt(sp.pi),),
        lambda x: mpmath.erfc(-x),
        at(-20.0, -2.5, -0.7, 1e-8, 0.3, 5.1),
    ),
    Row(
        log_erfc,
        of_values(formulas.logarithm_of_erfc),
        (lambda x: -_SQRT_2 * normal_hazard(-_SQRT_2 * x),),
        lambda x: mpmath.log1p(-mpmath.erf(x)) if x < 1 else mpmath.log(mpmath.erfc(x)),
        at(-5.0, -2.5, -0.7, 1e-8, 0.3, 1.9, 2.1, 20.0, 300.0),
    ),
    Row(
        exp_erfc,
        of_values(formulas.exponential_times_erfc),
        (exp_erfc, lambda v, u: -2 * sp.exp(v - u**2) / sp.sqrt(sp.pi)),
        lambda v, u: mpmath.exp(v) * mpmath.erfc(u),
        ((0.3, 1.7), (-3.0, -2.0), (20.0, 4.5), (30.0, 5.5), (800.0, 30.0)),
        rtol=(3e-13, 3e-13, 1e-12),
    ),
    Row(
        exp_ndtr,
        of_values(formulas.exponential_times_distribution),
        (exp_ndtr, lambda v, z: sp.exp(v - z**2 / 2) / sp.sqrt(2 * sp.pi)),
        lambda v, z: mpmath.exp(v) * _ndtr(z),
        ((0.3, 1.7), (-3.0, -2.0), (20.0, -6.5), (30.0, -7.5), (800.0, -41.0)),
        rtol=(3e-13, 3e-13, 1e-12),
    ),
)
