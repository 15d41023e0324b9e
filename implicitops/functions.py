"""Functions that SymPy lacks, under the names they have in SciPy, for use in statements.

Each is a SymPy function: it prints, substitutes and evaluates to any number of digits. Its machine code and its
derivatives are a row of the table in ``implicitops/codegen/functions``, like those of SymPy's own functions.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

__all__ = ["gammainc", "gammaincc"]


class RealFunction(sp.Function):
    """A function of real arguments that is real, evaluated by mpmath and differentiated by the table of functions."""

    def _eval_is_extended_real(self) -> bool | None:
        return True if all(argument.is_extended_real for argument in self.args) else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Partial derivative with respect to an argument, counted from 1."""
        from implicitops.codegen.functions import partial

        if not 1 <= argindex <= len(self.args):
            raise sp.ArgumentIndexError(self, argindex)
        return partial(self, argindex - 1)

    def _eval_evalf(self, prec: int) -> Any:
        from mpmath import workprec

        from implicitops.codegen.functions import FUNCTIONS

        reference = FUNCTIONS[type(self)].reference
        numbers = [argument._to_mpmath(prec + 5) for argument in self.args]
        if reference is None:
            return None
        with workprec(prec + 5):
            return sp.Float._new(sp.sympify(reference(*numbers))._mpf_, prec)


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
