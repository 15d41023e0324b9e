"""The error function and its kin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mpmath
import sympy as sp

from ..emitter import Value
from .row import Row, at, computed, plain, scipy

if TYPE_CHECKING:
    from ..printer import Printer


def _erf2(printer: Printer, x: Value, y: Value) -> Value:
    """From the complement where both arguments lie on one side of 0, where erf is close to 1 or -1."""
    one_side = x * y > 0.0
    sign = printer.emitter.copysign(1.0, x)
    complement = sign * (printer.call("erfc", abs(x)) - printer.call("erfc", abs(y)))
    return one_side.where(complement, printer.call("erf", y) - printer.call("erf", x))


ROWS = (
    Row(sp.erf, plain("erf"), None, mpmath.erf, at(-5.5, -0.4, 1e-9, 0.3, 3.1)),
    Row(sp.erfc, plain("erfc"), None, mpmath.erfc, at(-5.5, -0.4, 1e-9, 0.3, 3.1, 26.0)),
    Row(sp.erfi, scipy("erfi"), None, mpmath.erfi, at(-5.5, -0.4, 1e-9, 0.3, 3.1, 26.0), rtol=(5e-14, 1e-12, 1e-12)),
    Row(sp.erfinv, scipy("erfinv"), None, mpmath.erfinv, at(-0.999, -0.4, 0.3, 0.95), poles=at(-1.0, 1.0)),
    Row(
        sp.erfcinv, scipy("erfcinv"), None, lambda x: mpmath.erfinv(1 - x), at(1e-9, 0.3, 0.95, 1.7), poles=at(0.0, 2.0)
    ),
    Row(
        sp.erf2,
        computed(_erf2),
        None,
        lambda x, y: mpmath.erf(y) - mpmath.erf(x),
        ((0.3, 1.7), (-2.0, 0.5), (1.5, 0.1), (5.0, 6.0), (-6.0, -5.0)),
    ),
)
