"""The logistic function and its kin as SymPy functions. How they are computed is in ``elementary_logistic.py``."""

from __future__ import annotations

from typing import Any

import mpmath
import sympy as sp
from sympy.core.function import ArgumentIndexError

from .real_function import RealFunction, RealFunctionOfOne

_LN2 = sp.log(2)


class expit(RealFunctionOfOne):  # noqa: N801
    """The logistic function 1/(1 + exp(-x)), without overflow.

    Examples
    --------
    >>> import sympy as sp
    >>> from implicitops.codegen.logistic_functions import expit
    >>> expit(sp.Symbol("x")).diff()
    logistic_density(x)
    >>> expit(-800.0)
    3.66976649225508e-348
    """

    is_positive_everywhere = True

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Values at 0 and at infinity."""
        return {sp.S.Zero: sp.S.Half, sp.oo: sp.S.One, -sp.oo: sp.S.Zero}.get(x)

    @classmethod
    def reference(cls, x: Any) -> Any:
        """The value by mpmath."""
        return 1 / (1 + mpmath.exp(-x))

    def slope(self) -> sp.Expr:
        """The logistic density."""
        return logistic_density(self.args[0])

    def _eval_rewrite_as_exp(self, x: Any, **_: Any) -> sp.Expr:
        return 1 / (1 + sp.exp(-x))


class logistic_density(RealFunctionOfOne):  # noqa: N801
    """The derivative exp(x)/(1 + exp(x))**2 of the logistic function."""

    is_positive_everywhere = True

    @classmethod
    def reference(cls, x: Any) -> Any:
        """The value by mpmath."""
        falling = mpmath.exp(-abs(x))
        return falling / (1 + falling) ** 2

    def slope(self) -> sp.Expr:
        """Minus the density times tanh(x/2), which is right near 0 too."""
        return -logistic_density(self.args[0]) * sp.tanh(self.args[0] / 2)


class log_expit(RealFunctionOfOne):  # noqa: N801
    """The logarithm of the logistic function, -log(1 + exp(-x)), without overflow or cancellation.

    Examples
    --------
    >>> import sympy as sp
    >>> from implicitops.codegen.logistic_functions import log_expit
    >>> log_expit(sp.Symbol("x")).diff()
    expit(-x)
    """

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Values at 0 and at infinity."""
        return {sp.S.Zero: -_LN2, sp.oo: sp.S.Zero, -sp.oo: -sp.oo}.get(x)

    @classmethod
    def reference(cls, x: Any) -> Any:
        """The value by mpmath."""
        return -softplus.reference(-x)

    def slope(self) -> sp.Expr:
        """The logistic function of -x."""
        return expit(-self.args[0])

    def _eval_rewrite_as_exp(self, x: Any, **_: Any) -> sp.Expr:
        return -sp.log(1 + sp.exp(-x))


class softplus(RealFunctionOfOne):  # noqa: N801
    """log(1 + exp(x)), without overflow.

    Examples
    --------
    >>> import sympy as sp
    >>> from implicitops.codegen.logistic_functions import softplus
    >>> softplus(sp.Symbol("x")).diff()
    expit(x)
    """

    is_positive_everywhere = True

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Values at 0 and at infinity."""
        return {sp.S.Zero: _LN2, sp.oo: sp.oo, -sp.oo: sp.S.Zero}.get(x)

    @classmethod
    def reference(cls, x: Any) -> Any:
        """The value by mpmath."""
        return max(x, mpmath.mpf(0)) + mpmath.log1p(mpmath.exp(-abs(x)))

    def slope(self) -> sp.Expr:
        """The logistic function."""
        return expit(self.args[0])

    def _eval_rewrite_as_exp(self, x: Any, **_: Any) -> sp.Expr:
        return sp.log(1 + sp.exp(x))


class logaddexp(RealFunction):  # noqa: N801
    """log(exp(x) + exp(y)), without overflow; nest it for more terms.

    Examples
    --------
    >>> import sympy as sp
    >>> from implicitops.codegen.logistic_functions import logaddexp
    >>> x, y = sp.symbols("x y")
    >>> logaddexp(x, y).diff(x)
    expit(x - y)
    """

    @classmethod
    def eval(cls, x: Any, y: Any) -> Any:
        """The other argument where one is minus infinity."""
        if x == -sp.oo:
            return y
        return x if y == -sp.oo else None

    @classmethod
    def reference(cls, x: Any, y: Any) -> Any:
        """The value by mpmath."""
        return max(x, y) + mpmath.log1p(mpmath.exp(-abs(x - y)))

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """The logistic function of the difference."""
        x, y = self.args
        if argindex not in (1, 2):
            raise ArgumentIndexError(self, argindex)
        return expit(x - y) if argindex == 1 else expit(y - x)

    def _eval_rewrite_as_exp(self, x: Any, y: Any, **_: Any) -> sp.Expr:
        return sp.log(sp.exp(x) + sp.exp(y))


class reciprocal_expm1(RealFunctionOfOne):  # noqa: N801
    """1/(exp(x) - 1), the mean occupation of Bose and Einstein."""

    @classmethod
    def reference(cls, x: Any) -> Any:
        """The value by mpmath."""
        return 1 / mpmath.expm1(x)

    def slope(self) -> sp.Expr:
        """-exp(x)/(exp(x) - 1)**2."""
        return -(sp.csch(self.args[0] / 2) ** 2) / 4


class log_expm1(RealFunctionOfOne):  # noqa: N801
    """log(exp(x) - 1) for x > 0, the inverse of softplus."""

    @classmethod
    def reference(cls, x: Any) -> Any:
        """The value by mpmath."""
        return x + mpmath.log(-mpmath.expm1(-x))

    def slope(self) -> sp.Expr:
        """1/(1 - exp(-x))."""
        return -reciprocal_expm1(-self.args[0])


class log1mexp(RealFunctionOfOne):  # noqa: N801
    """log(1 - exp(x)) for x < 0."""

    @classmethod
    def reference(cls, x: Any) -> Any:
        """The value by mpmath."""
        return mpmath.log(-mpmath.expm1(x)) if x > -1 else mpmath.log1p(-mpmath.exp(x))

    def slope(self) -> sp.Expr:
        """1/(1 - exp(-x))."""
        return -reciprocal_expm1(-self.args[0])


class log_tanh(RealFunctionOfOne):  # noqa: N801
    """log(tanh(x)) for x > 0."""

    @classmethod
    def reference(cls, x: Any) -> Any:
        """The value by mpmath."""
        return mpmath.log(mpmath.tanh(x)) if x < 1 else mpmath.log1p(-2 / (mpmath.exp(2 * x) + 1))

    def slope(self) -> sp.Expr:
        """2/sinh(2 x)."""
        return 2 * sp.csch(2 * self.args[0])


class log_cosh(RealFunctionOfOne):  # noqa: N801
    """log(cosh(x)), without overflow."""

    @classmethod
    def reference(cls, x: Any) -> Any:
        """The value by mpmath."""
        if abs(x) < 1:
            return mpmath.log1p(2 * mpmath.sinh(x / 2) ** 2)
        return abs(x) + mpmath.log1p(mpmath.exp(-2 * abs(x))) - mpmath.log(2)

    def slope(self) -> sp.Expr:
        """tanh(x)."""
        return sp.tanh(self.args[0])


class log_sinh(RealFunctionOfOne):  # noqa: N801
    """log(sinh(x)) for x > 0, without overflow."""

    @classmethod
    def reference(cls, x: Any) -> Any:
        """The value by mpmath."""
        return x + mpmath.log(-mpmath.expm1(-2 * x)) - mpmath.log(2)

    def slope(self) -> sp.Expr:
        """coth(x)."""
        return sp.coth(self.args[0])


class exponential_quotient(RealFunction):  # noqa: N801
    """exp(w) * (c_0 exp(u_0) + c_1 exp(u_1) + ...)**q, without overflow on the way.

    The arguments are w, q, c_0, u_0, c_1, u_1, ... Derivatives are of the same kind:

        d/dw = f,   d/dc_i = q f(w + u_i, q - 1, ...),   d/du_i = c_i d/dc_i.
    """

    @classmethod
    def reference(cls, w: Any, q: Any, *terms: Any) -> Any:
        """The value by mpmath."""
        return mpmath.exp(w) * mpmath.power(_sum_of_exponentials(terms), q)

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """See the class."""
        w, q, *terms = self.args
        if argindex == 1:
            return self
        if argindex == 2:
            return self * log_sum_of_exponentials(*terms)
        position = (argindex - 3) // 2
        weight, exponent = terms[2 * position : 2 * position + 2]
        slope = q * exponential_quotient(w + exponent, q - 1, *terms)
        return slope if argindex % 2 else weight * slope


class log_sum_of_exponentials(RealFunction):  # noqa: N801
    """log(c_0 exp(u_0) + c_1 exp(u_1) + ...), without overflow; the arguments are c_0, u_0, c_1, u_1, ..."""

    @classmethod
    def reference(cls, *terms: Any) -> Any:
        """The value by mpmath."""
        return mpmath.log(_sum_of_exponentials(terms))

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """See ``exponential_quotient``."""
        weight, exponent = self.args[(argindex - 1) // 2 * 2 :][:2]
        slope = exponential_quotient(exponent, -1, *self.args)
        return slope if argindex % 2 else weight * slope


def _sum_of_exponentials(terms: Any) -> Any:
    return sum(weight * mpmath.exp(exponent) for weight, exponent in zip(terms[::2], terms[1::2]))
