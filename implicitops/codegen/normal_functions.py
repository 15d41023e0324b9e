"""The normal distribution and the scaled error function as SymPy functions, and what their derivatives need.

How they are computed, and the meaning of ``normal_excess``, is in ``elementary_normal.py``.
"""

from __future__ import annotations

from typing import Any

import mpmath
import sympy as sp

from .real_function import RealFunction, RealFunctionOfOne

_SQRT_2 = sp.sqrt(2)


class ndtr(RealFunctionOfOne):  # noqa: N801
    """Distribution function of the standard normal distribution, right in relative terms in the tail.

    Examples
    --------
    >>> import sympy as sp
    >>> from implicitops.codegen.normal_functions import ndtr
    >>> ndtr(-10.0)
    7.61985302416053e-24
    >>> ndtr(sp.Symbol("z")).diff()
    normal_density(z)
    """

    is_positive_everywhere = True
    latex_name = r"\Phi"

    @classmethod
    def eval(cls, z: Any) -> Any:
        """Values at 0 and at infinity."""
        return {sp.S.Zero: sp.S.Half, sp.oo: sp.S.One, -sp.oo: sp.S.Zero}.get(z)

    @classmethod
    def reference(cls, z: Any) -> Any:
        """The value by mpmath."""
        return mpmath.erfc(-z / mpmath.sqrt(2)) / 2

    def slope(self) -> sp.Expr:
        """The density."""
        return normal_density(self.args[0])

    def _eval_rewrite_as_erf(self, z: Any, **_: Any) -> sp.Expr:
        return (1 + sp.erf(z / _SQRT_2)) / 2


class normal_density(RealFunctionOfOne):  # noqa: N801
    """exp(-z**2/2)/sqrt(2*pi)."""

    is_positive_everywhere = True
    latex_name = r"\varphi"

    @classmethod
    def reference(cls, z: Any) -> Any:
        """The value by mpmath."""
        return mpmath.npdf(z)

    def slope(self) -> sp.Expr:
        """-z times the density."""
        return -self.args[0] * self


class log_ndtr(RealFunctionOfOne):  # noqa: N801
    """Logarithm of the standard normal distribution function, right in relative terms in both tails.

    Examples
    --------
    >>> from implicitops.codegen.normal_functions import log_ndtr
    >>> log_ndtr(-100.0)
    -5005.52420869012
    """

    latex_name = r"\log\Phi"

    @classmethod
    def eval(cls, z: Any) -> Any:
        """Values at 0 and at infinity."""
        return {sp.S.Zero: -sp.log(2), sp.oo: sp.S.Zero, -sp.oo: -sp.oo}.get(z)

    @classmethod
    def reference(cls, z: Any) -> Any:
        """The value by mpmath."""
        return mpmath.log1p(-ndtr.reference(-z)) if z > 0 else mpmath.log(ndtr.reference(z))

    def slope(self) -> sp.Expr:
        """Density divided by distribution function."""
        return normal_hazard(self.args[0])


class normal_hazard(RealFunctionOfOne):  # noqa: N801
    """Density of the standard normal distribution divided by its distribution function."""

    is_positive_everywhere = True

    @classmethod
    def reference(cls, z: Any) -> Any:
        """The value by mpmath."""
        return mpmath.npdf(z) / ndtr.reference(z)

    def slope(self) -> sp.Expr:
        """-h (z + h)."""
        return -self * normal_excess(1, self.args[0])


class normal_excess(RealFunctionOfOne):  # noqa: N801
    """sqrt(2) r_n(-z/sqrt(2)) with r_n = i^n erfc / i^(n-1) erfc; of order n = 1 it is z + normal_hazard(z)."""

    is_positive_everywhere = True

    @classmethod
    def reference(cls, order: Any, z: Any) -> Any:
        """The value by mpmath."""

        def integral(n: Any) -> Any:
            weight = mpmath.factorial(n)
            return mpmath.quad(lambda t: t**n / weight * mpmath.exp(t * z - t * t / 2), [0, 1, 3, 10, mpmath.inf])

        return integral(order) / integral(order - 1)

    def slope(self) -> sp.Expr:
        """r_n' = 2 r_n (n r_n - (n + 1) r_(n+1)), times the scale of the argument."""
        order, z = self.args
        return -self * (order * self - (order + 1) * normal_excess(order + 1, z))


class ndtri(RealFunctionOfOne):  # noqa: N801
    """Quantile of the standard normal distribution, the inverse of ``ndtr``.

    Examples
    --------
    >>> from implicitops.codegen.normal_functions import ndtri
    >>> ndtri(0.975)
    1.95996398454005
    """

    latex_name = r"\Phi^{-1}"

    @classmethod
    def eval(cls, p: Any) -> Any:
        """Values at the ends and in the middle."""
        return {sp.S.Zero: -sp.oo, sp.S.One: sp.oo, sp.S.Half: sp.S.Zero}.get(p)

    @classmethod
    def reference(cls, p: Any) -> Any:
        """The value by mpmath, by Newton's method in the logarithm of the tail."""
        if not 0 < p < 1:
            return {0: -mpmath.inf, 1: mpmath.inf}.get(p, mpmath.nan)
        if p > 0.5:
            return -cls.reference(1 - p)
        z = -mpmath.sqrt(-2 * mpmath.log(2 * p))
        for _ in range(200):
            step = (mpmath.log(ndtr.reference(z)) - mpmath.log(p)) / normal_hazard.reference(z)
            z -= step
            if abs(step) <= mpmath.eps * (1 + abs(z)):
                break
        return z

    def slope(self) -> sp.Expr:
        """One over the density at the quantile."""
        return 1 / density_of_ndtri(self.args[0])


class density_of_ndtri(RealFunctionOfOne):  # noqa: N801
    """Density of the standard normal distribution at a quantile of it."""

    is_positive_everywhere = True

    @classmethod
    def reference(cls, p: Any) -> Any:
        """The value by mpmath."""
        return mpmath.npdf(ndtri.reference(p))

    def slope(self) -> sp.Expr:
        """Minus the quantile."""
        return -ndtri(self.args[0])


class erfcx(RealFunctionOfOne):  # noqa: N801
    """Scaled complementary error function exp(x**2)*erfc(x).

    Examples
    --------
    >>> from implicitops.codegen.normal_functions import erfcx
    >>> erfcx(100.0)
    0.00564161378298943
    """

    is_positive_everywhere = True

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Values at 0 and at infinity."""
        return {sp.S.Zero: sp.S.One, sp.oo: sp.S.Zero, -sp.oo: sp.oo}.get(x)

    @classmethod
    def reference(cls, x: Any) -> Any:
        """The value by mpmath."""
        return mpmath.exp(x * x) * mpmath.erfc(x)

    def slope(self) -> sp.Expr:
        """2 x erfcx(x) - 2/sqrt(pi) without its cancellation: -2 r_1(x) erfcx(x)."""
        x = self.args[0]
        return -_SQRT_2 * self * normal_excess(1, -_SQRT_2 * x)

    def _eval_rewrite_as_erfc(self, x: Any, **_: Any) -> sp.Expr:
        return sp.exp(x**2) * sp.erfc(x)


class mirrored_erfc(RealFunctionOfOne):  # noqa: N801
    """erfc(-x), which SymPy would rewrite to 2 - erfc(x)."""

    is_positive_everywhere = True

    @classmethod
    def reference(cls, x: Any) -> Any:
        """The value by mpmath."""
        return mpmath.erfc(-x)

    def slope(self) -> sp.Expr:
        """2 exp(-x**2)/sqrt(pi)."""
        return 2 * sp.exp(-(self.args[0] ** 2)) / sp.sqrt(sp.pi)


class log_erfc(RealFunctionOfOne):  # noqa: N801
    """log(erfc(x)), without underflow."""

    @classmethod
    def reference(cls, x: Any) -> Any:
        """The value by mpmath."""
        return mpmath.log1p(-mpmath.erf(x)) if x < 1 else mpmath.log(mpmath.erfc(x))

    def slope(self) -> sp.Expr:
        """-2/(sqrt(pi) erfcx(x))."""
        return -_SQRT_2 * normal_hazard(-_SQRT_2 * self.args[0])


class exp_erfc(RealFunction):
    """exp(v)*erfc(u), without overflow of the one and underflow of the other."""

    is_positive_everywhere = True

    @classmethod
    def reference(cls, v: Any, u: Any) -> Any:
        """The value by mpmath."""
        return mpmath.exp(v) * mpmath.erfc(u)

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """The function itself, and -2 exp(v - u**2)/sqrt(pi)."""
        v, u = self.args
        return self if argindex == 1 else -2 * sp.exp(v - u**2) / sp.sqrt(sp.pi)


class exp_ndtr(RealFunction):
    """exp(v)*ndtr(z), without overflow of the one and underflow of the other."""

    is_positive_everywhere = True

    @classmethod
    def reference(cls, v: Any, z: Any) -> Any:
        """The value by mpmath."""
        return mpmath.exp(v) * ndtr.reference(z)

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """The function itself, and exp(v - z**2/2)/sqrt(2*pi)."""
        v, z = self.args
        return self if argindex == 1 else sp.exp(v - z**2 / 2) / sp.sqrt(2 * sp.pi)
