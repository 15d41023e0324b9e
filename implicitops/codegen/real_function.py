"""The base of the functions that implicitops adds to SymPy's: real, smooth, and with a numerical value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import sympy as sp
from sympy.core.function import ArgumentIndexError

_EXTRA_DIGITS = 15


class RealFunction(sp.Function):
    """A function that is real for real arguments; a subclass gives ``reference`` and ``fdiff``."""

    #: Whether every value is positive.
    is_positive_everywhere = False
    #: The name in LaTeX, if the Python name is not the usual one.
    latex_name: str | None = None

    @classmethod
    def reference(cls, *arguments: Any) -> Any:
        """The value by mpmath, to its working precision."""
        raise NotImplementedError

    def _eval_is_extended_real(self) -> bool | None:
        return True if all(argument.is_extended_real for argument in self.args) else None

    def _eval_is_extended_nonnegative(self) -> bool | None:
        return True if self.is_positive_everywhere and self._eval_is_extended_real() else None

    def _eval_mpmath(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        def carefully(*arguments: Any) -> Any:
            with mpmath.extradps(_EXTRA_DIGITS):
                return self.reference(*arguments)

        return carefully, self.args

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        escaped = type(self).__name__.replace("_", r"\_")
        name = self.latex_name or rf"\operatorname{{{escaped}}}"
        inside = ", ".join(printer._print(argument) for argument in self.args)
        whole = rf"{name}\left({inside}\right)"
        return whole if exp is None else rf"\left({whole}\right)^{{{exp}}}"


class RealFunctionOfOne(RealFunction):
    """One whose last argument is the only one with a derivative, which a subclass gives as ``slope``."""

    def slope(self) -> sp.Expr:
        """The derivative with respect to the last argument."""
        raise NotImplementedError

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """See ``slope``."""
        if argindex != len(self.args):
            raise ArgumentIndexError(self, argindex)
        return self.slope()
