"""Functions that are smooth where their formula is 0/0, as SymPy functions; see ``elementary_removable.py``."""

from __future__ import annotations

from typing import Any

import mpmath
import sympy as sp

from .real_function import RealFunctionOfOne


class _Derivative(RealFunctionOfOne):
    """The derivative of a function; the arguments are its order and the variable."""

    @classmethod
    def reference(cls, order: Any, x: Any) -> Any:
        """The value by mpmath, from an integral over smooth functions."""
        n = int(order)
        with mpmath.workdps(mpmath.mp.dps + 15):
            return mpmath.quad(lambda t: cls.integrand(n, x, t), cls.ends(x))

    @classmethod
    def integrand(cls, n: int, x: Any, t: Any) -> Any:
        """Integrand of the n-th derivative."""
        raise NotImplementedError

    @classmethod
    def ends(cls, x: Any) -> Any:
        """Ends of the parts over which is integrated."""
        return mpmath.linspace(0, 1, int(abs(x) / 4) + 2)

    def slope(self) -> sp.Expr:
        """The derivative of the next order."""
        order, x = self.args
        return self.func(order + 1, x)


class sinc_derivative(_Derivative):  # noqa: N801
    """Derivative of sin(x)/x, of an order >= 0."""

    @classmethod
    def integrand(cls, n: int, x: Any, t: Any) -> Any:
        return t**n * mpmath.cos(x * t + n * mpmath.pi / 2)


class sinhc_derivative(_Derivative):  # noqa: N801
    """Derivative of sinh(x)/x, of an order >= 0."""

    @classmethod
    def integrand(cls, n: int, x: Any, t: Any) -> Any:
        return t**n * (mpmath.sinh if n % 2 else mpmath.cosh)(x * t)


class _EllipticDerivative(_Derivative):
    @classmethod
    def ends(cls, x: Any) -> Any:
        return mpmath.linspace(0, mpmath.pi / 2, 8)


def _of_root(n: int, m: Any, sine_square: Any) -> Any:
    """Derivative of 1/sqrt(1 - m sin(t)**2) with respect to m."""
    half = mpmath.mpf(1) / 2
    return mpmath.rf(half, n) * sine_square**n * (1 - m * sine_square) ** (-half - n)


class elliptic_b_derivative(_EllipticDerivative):  # noqa: N801
    """Derivative of the integral of cos(t)**2/sqrt(1 - m sin(t)**2) from 0 to pi/2, of an order >= 0."""

    @classmethod
    def integrand(cls, n: int, x: Any, t: Any) -> Any:
        return mpmath.cos(t) ** 2 * _of_root(n, x, mpmath.sin(t) ** 2)


class elliptic_d_derivative(_EllipticDerivative):  # noqa: N801
    """Derivative of the integral of sin(t)**2/sqrt(1 - m sin(t)**2) from 0 to pi/2, of an order >= 0."""

    @classmethod
    def integrand(cls, n: int, x: Any, t: Any) -> Any:
        return mpmath.sin(t) ** 2 * _of_root(n, x, mpmath.sin(t) ** 2)
