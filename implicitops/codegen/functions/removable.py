"""Functions that are smooth where their formula is 0/0, and their derivatives of any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import mpmath

from implicitops.codegen.elementary import removable as formulas
from implicitops.codegen.elementary.quotients import divided_difference_of_exp, quotient_derivative
from implicitops.codegen.emitter import Value
from implicitops.codegen.functions.row import NOT_A_NUMBER, Row, with_order
from implicitops.codegen.inner_functions import (
    bernoulli_derivative,
    elliptic_b_derivative,
    elliptic_d_derivative,
    exp_difference,
    langevin_derivative,
    log1pc_derivative,
    sinc_derivative,
    sinhc_derivative,
    tanhc_derivative,
)

if TYPE_CHECKING:
    from implicitops.codegen.printer import Printer


def _elliptic(position: int) -> Callable[[int, Value], Value]:
    return lambda order, m: formulas.elliptic_bd(order, m)[position]


# -- references: integrals of a derivative of the integrand in closed form, of n >= 0 -------------------------


def _moment(n: int, z: Any) -> Any:
    """Integral of t**n exp(z t) over t from 0 to 1 (DLMF 13.4.1)."""
    return mpmath.hyp1f1(n + 1, n + 2, z) / (n + 1)


def _sinc(n: Any, x: Any) -> Any:
    return mpmath.re(mpmath.mpc(0, 1) ** int(n) * _moment(int(n), mpmath.mpc(0, x)))


def _sinhc(n: Any, x: Any) -> Any:
    return (_moment(int(n), x) + (-1) ** int(n) * _moment(int(n), -x)) / 2


def _elliptic_reference(powers: tuple[int, int]) -> Callable[[Any, Any], Any]:
    """Integral of sin(t)**2p cos(t)**2q times the n-th derivative of 1/sqrt(1 - m sin(t)**2), by DLMF 15.6.1."""
    p, q = powers

    def reference(order: Any, m: Any) -> Any:
        n, half = int(order), mpmath.mpf(1) / 2
        first, second = n + p + half, q + half
        weight = mpmath.rf(half, n) * mpmath.beta(first, second) / 2
        return weight * mpmath.hyp2f1(n + half, first, first + second, m)

    return reference


def _divided_difference(p: Any, q: Any, a: Any, b: Any) -> Any:
    p, q = int(p) + 1, int(q) + 1
    return mpmath.exp(b) * mpmath.beta(p, q) * mpmath.hyp1f1(p, p + q, a - b)


def _quotient(kind: type, name: str, function: Callable[[Any], Any], points: tuple[float, ...]) -> Row:
    """Row of a function of ``elementary_quotients.py``, tested at order 0."""
    return Row(
        kind,
        with_order(lambda order, x: quotient_derivative(name, order, x)),
        (NOT_A_NUMBER, lambda n, x: kind(n + 1, x)),
        lambda n, x: function(x),
        tuple((0, point) for point in points),
        whole=(0,),
        rtol=(1e-14, 1e-13, 1e-12),
    )


def _exp_difference(printer: Printer, node: Any) -> Value:
    p, q = (int(printer.resolved(order)) for order in node.args[:2])
    return divided_difference_of_exp(p, q, *(printer.emit(argument) for argument in node.args[2:]))


_NEAR_AND_FAR = tuple((n, x) for n in (0, 1, 2) for x in (-20.0, -3.1, -0.7, 1e-3, 0.3, 2.9))
_MODULUS = tuple((n, m) for n in (0, 1) for m in (-30.0, -0.6, -0.4, 1e-3, 0.3, 0.55, 0.95))

ROWS = (
    Row(
        sinc_derivative,
        with_order(formulas.sinc_derivative),
        (NOT_A_NUMBER, lambda n, x: sinc_derivative(n + 1, x)),
        _sinc,
        _NEAR_AND_FAR,
        whole=(0,),
        rtol=(1e-14, 1e-13, 1e-12),
    ),
    Row(
        sinhc_derivative,
        with_order(formulas.sinhc_derivative),
        (NOT_A_NUMBER, lambda n, x: sinhc_derivative(n + 1, x)),
        _sinhc,
        _NEAR_AND_FAR,
        whole=(0,),
        rtol=(1e-14, 1e-13, 1e-12),
    ),
    Row(
        elliptic_b_derivative,
        with_order(_elliptic(0)),
        (NOT_A_NUMBER, lambda n, m: elliptic_b_derivative(n + 1, m)),
        _elliptic_reference((0, 1)),
        _MODULUS,
        whole=(0,),
        rtol=(4e-14, 1e-12, 1e-11),
    ),
    Row(
        elliptic_d_derivative,
        with_order(_elliptic(1)),
        (NOT_A_NUMBER, lambda n, m: elliptic_d_derivative(n + 1, m)),
        _elliptic_reference((1, 0)),
        _MODULUS,
        whole=(0,),
        rtol=(4e-14, 1e-12, 1e-11),
    ),
    _quotient(tanhc_derivative, "tanhc", lambda x: mpmath.tanh(x) / x, (-20.0, -1.1, -0.7, 0.3, 0.8, 5.0)),
    _quotient(log1pc_derivative, "log1pc", lambda x: mpmath.log1p(x) / x, (-0.9, -0.45, 0.3, 0.6, 5.0, 1e5)),
    _quotient(bernoulli_derivative, "bernoulli", lambda x: x / mpmath.expm1(x), (-20.0, -3.3, -0.7, 0.3, 2.9, 20.0)),
    _quotient(langevin_derivative, "langevin", lambda x: mpmath.coth(x) - 1 / x, (-20.0, -1.6, -0.7, 0.3, 1.4, 9.0)),
    Row(
        exp_difference,
        _exp_difference,
        (
            NOT_A_NUMBER,
            NOT_A_NUMBER,
            lambda p, q, a, b: exp_difference(p + 1, q, a, b),
            lambda p, q, a, b: exp_difference(p, q + 1, a, b),
        ),
        _divided_difference,
        ((0, 0, 0.3, 0.7), (0, 0, 0.3, 0.3000001), (0, 0, -2.5, 1.5), (0, 0, 20.0, -20.0), (1, 0, 0.3, 2.7)),
        whole=(0, 1),
        rtol=(1e-14, 1e-13, 1e-12),
    ),
)
