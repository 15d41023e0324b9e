"""Functions that SymPy lacks, under the names they have in SciPy, for use in statements.

Each is a SymPy function: it prints, substitutes and evaluates to any number of digits. Its machine code and its
derivatives are a row of the table in ``implicitops/codegen/functions``, like those of SymPy's own functions.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

__all__ = [
    "erfcx",
    "expit",
    "gammainc",
    "gammaincc",
    "log_expit",
    "log_ndtr",
    "logaddexp",
    "ndtr",
    "ndtri",
    "softplus",
]


def mpmath_name(kind: type) -> str:
    """Name of one of our functions in code that SymPy writes for mpmath."""
    return f"implicitops_{kind.__name__}"


class RealFunction(sp.Function):
    """A function of real arguments that is real, evaluated by mpmath and differentiated by the table of functions."""

    #: The name in LaTeX, where it is not the name in Python.
    latex_name: str | None = None

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        escaped = type(self).__name__.replace("_", r"\_")
        name = self.latex_name or rf"\operatorname{{{escaped}}}"
        arguments = ", ".join(printer._print(argument) for argument in self.args)
        whole = rf"{name}\left({arguments}\right)"
        return whole if exp is None else rf"\left({whole}\right)^{{{exp}}}"

    def _eval_is_extended_real(self) -> bool | None:
        return True if all(argument.is_extended_real for argument in self.args) else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Partial derivative with respect to an argument, counted from 1."""
        from implicitops.codegen.functions import partial

        if not 1 <= argindex <= len(self.args):
            raise sp.ArgumentIndexError(self, argindex)
        return partial(self, argindex - 1)

    def _mpmathcode(self, printer: Any) -> str:
        # mpmath may have another function of this name. Who evaluates the code has to provide this one.
        return f"{mpmath_name(type(self))}({', '.join(map(printer._print, self.args))})"

    def _eval_evalf(self, prec: int) -> Any:
        from mpmath import workprec

        from implicitops.codegen.functions import FUNCTIONS

        reference = FUNCTIONS[type(self)].reference
        numbers = [argument._to_mpmath(prec + 5) for argument in self.args]
        if reference is None:
            return None
        with workprec(prec + 5):
            return sp.Float._new(sp.sympify(reference(*numbers))._mpf_, prec)


class PositiveFunction(RealFunction):
    """A function whose values are positive; 0 where that is too small for a number."""

    def _eval_is_extended_nonnegative(self) -> bool | None:
        return self._eval_is_extended_real()


class gammainc(RealFunction):
    """Regularised lower incomplete gamma function P(a, x), the distribution function of a gamma distribution.

    Parameters
    ----------
    a : Expr, the shape, positive
    x : Expr, not negative

    References
    ----------
    DLMF 8.2.4.

    Examples
    --------
    >>> import sympy as sp, implicitops as iop
    >>> from implicitops.functions import gammainc
    >>> a, q, x = sp.symbols("a q x", positive=True)
    >>> quantile = iop.Root(gammainc(a, x) - q, x, [a, q], bracket=(0, 10 + 10*a))
    >>> round(float(quantile(2.5, 0.5)), 6)
    2.175730
    """

    nargs = 2


class gammaincc(RealFunction):
    """Regularised upper incomplete gamma function Q(a, x) = 1 - P(a, x), the survival function of a gamma distribution.

    Parameters
    ----------
    a : Expr, the shape, positive
    x : Expr, not negative

    References
    ----------
    DLMF 8.2.4.

    Examples
    --------
    >>> from implicitops.functions import gammaincc
    >>> gammaincc(2.5, 1000.0).evalf(5)
    1.7939e-430
    """

    nargs = 2


class expit(PositiveFunction):
    """The logistic function 1/(1 + exp(-x)).

    Examples
    --------
    >>> from implicitops.functions import expit
    >>> expit(-800.0)
    3.66787458417769e-348
    """

    nargs = 1

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Values at 0 and at infinity."""
        return {sp.S.Zero: sp.S.Half, sp.oo: sp.S.One, -sp.oo: sp.S.Zero}.get(x)

    def _eval_rewrite_as_exp(self, x: Any, **_: Any) -> sp.Expr:
        return 1 / (1 + sp.exp(-x))


class log_expit(RealFunction):
    """Logarithm of the logistic function, -log(1 + exp(-x)).

    Examples
    --------
    >>> from implicitops.functions import log_expit
    >>> log_expit(40.0)
    -4.24835425529159e-18
    """

    nargs = 1

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Values at 0 and at infinity."""
        return {sp.S.Zero: -sp.log(2), sp.oo: sp.S.Zero, -sp.oo: -sp.oo}.get(x)

    def _eval_rewrite_as_exp(self, x: Any, **_: Any) -> sp.Expr:
        return -sp.log(1 + sp.exp(-x))


class softplus(PositiveFunction):
    """The smooth positive part log(1 + exp(x)).

    Examples
    --------
    >>> import sympy as sp
    >>> from implicitops.functions import softplus
    >>> softplus(sp.Symbol("x")).diff()
    expit(x)
    """

    nargs = 1

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Values at 0 and at infinity."""
        return {sp.S.Zero: sp.log(2), sp.oo: sp.oo, -sp.oo: sp.S.Zero}.get(x)

    def _eval_rewrite_as_exp(self, x: Any, **_: Any) -> sp.Expr:
        return sp.log(1 + sp.exp(x))


class logaddexp(RealFunction):
    """log(exp(x) + exp(y)); nested, it takes more terms.

    Examples
    --------
    >>> from implicitops.functions import logaddexp
    >>> logaddexp(800.0, 800.0)
    800.693147180560
    """

    nargs = 2

    @classmethod
    def eval(cls, x: Any, y: Any) -> Any:
        """The other argument where one is minus infinity."""
        if x == -sp.oo:
            return y
        return x if y == -sp.oo else None

    def _eval_rewrite_as_exp(self, x: Any, y: Any, **_: Any) -> sp.Expr:
        return sp.log(sp.exp(x) + sp.exp(y))


class ndtr(PositiveFunction):
    """Distribution function of the standard normal distribution.

    Examples
    --------
    >>> from implicitops.functions import ndtr
    >>> ndtr(-10.0)
    7.61985302416053e-24
    """

    nargs = 1
    latex_name = r"\Phi"

    @classmethod
    def eval(cls, z: Any) -> Any:
        """Values at 0 and at infinity."""
        return {sp.S.Zero: sp.S.Half, sp.oo: sp.S.One, -sp.oo: sp.S.Zero}.get(z)

    def _eval_rewrite_as_erf(self, z: Any, **_: Any) -> sp.Expr:
        return (1 + sp.erf(z / sp.sqrt(2))) / 2


class log_ndtr(RealFunction):
    """Logarithm of the distribution function of the standard normal distribution.

    Examples
    --------
    >>> from implicitops.functions import log_ndtr
    >>> log_ndtr(-100.0)
    -5005.52420869421
    """

    nargs = 1
    latex_name = r"\log\Phi"

    @classmethod
    def eval(cls, z: Any) -> Any:
        """Values at 0 and at infinity."""
        return {sp.S.Zero: -sp.log(2), sp.oo: sp.S.Zero, -sp.oo: -sp.oo}.get(z)

    def _eval_rewrite_as_erf(self, z: Any, **_: Any) -> sp.Expr:
        return sp.log((1 + sp.erf(z / sp.sqrt(2))) / 2)


class ndtri(RealFunction):
    """Quantile of the standard normal distribution, the inverse of ``ndtr``.

    Examples
    --------
    >>> from implicitops.functions import ndtri
    >>> ndtri(0.975)
    1.95996398454005
    """

    nargs = 1
    latex_name = r"\Phi^{-1}"

    @classmethod
    def eval(cls, p: Any) -> Any:
        """Values at the ends and in the middle."""
        return {sp.S.Zero: -sp.oo, sp.S.One: sp.oo, sp.S.Half: sp.S.Zero}.get(p)

    def _eval_rewrite_as_erfinv(self, p: Any, **_: Any) -> sp.Expr:
        return sp.sqrt(2) * sp.erfinv(2 * p - 1)


class erfcx(PositiveFunction):
    """Scaled complementary error function exp(x**2)*erfc(x).

    Examples
    --------
    >>> from implicitops.functions import erfcx
    >>> erfcx(100.0)
    0.00564161378298943
    """

    nargs = 1

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Values at 0 and at infinity."""
        return {sp.S.Zero: sp.S.One, sp.oo: sp.S.Zero, -sp.oo: sp.oo}.get(x)

    def _eval_rewrite_as_erfc(self, x: Any, **_: Any) -> sp.Expr:
        return sp.exp(x**2) * sp.erfc(x)
