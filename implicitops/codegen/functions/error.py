"""The error function and its kin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mpmath
import sympy as sp

from implicitops.codegen.elementary.normal import inverse_erf, inverse_erfc
from implicitops.codegen.emitter import Value
from implicitops.codegen.functions.normal import inverse_erfc_reference
from implicitops.codegen.functions.row import Row, at, computed, of_values, plain, scipy
from implicitops.codegen.inner_functions import density_of_erfcinv

if TYPE_CHECKING:
    from implicitops.codegen.printer import Printer


def _erf2(printer: Printer, x: Value, y: Value) -> Value:
    """erf(y) - erf(x), as a difference of tails where both are in the same one."""
    above, below = (x > 0.5) & (y > 0.5), (x < -0.5) & (y < -0.5)
    near = printer.call("erf", y) - printer.call("erf", x)
    start, end = below.where(-y, x), below.where(-x, y)
    return (above | below).where(printer.call("erfc", start) - printer.call("erfc", end), near)


ROWS = (
    Row(sp.erf, plain("erf"), None, mpmath.erf, at(-5.5, -0.4, 1e-9, 0.3, 3.1)),
    Row(sp.erfc, plain("erfc"), None, mpmath.erfc, at(-5.5, -0.4, 1e-9, 0.3, 3.1, 26.0)),
    Row(sp.erfi, scipy("erfi"), None, mpmath.erfi, at(-5.5, -0.4, 1e-9, 0.3, 3.1, 26.0), rtol=(5e-14, 1e-12, 1e-12)),
    Row(
        sp.erfinv,
        of_values(inverse_erf),
        None,
        mpmath.erfinv,
        at(-1 + 1e-12, -0.999, -0.4, -1e-8, 2e-7, 0.3, 0.51, 0.95, 1 - 1e-15),
        poles=at(-1.0, 1.0),
    ),
    Row(
        sp.erfcinv,
        of_values(inverse_erfc),
        (lambda x: -sp.sqrt(sp.pi) / (2 * density_of_erfcinv(x)),),
        inverse_erfc_reference,
        at(1e-300, 1e-9, 0.3, 0.51, 0.95, 1 - 1e-9, 1.3, 1.7),
        poles=at(0.0, 2.0),
    ),
    Row(
        sp.erf2,
        computed(_erf2),
        None,
        lambda x, y: mpmath.erf(y) - mpmath.erf(x),
        ((0.3, 1.7), (-2.0, 0.5), (1.5, 0.1), (5.0, 6.0), (-6.0, -4.0)),
    ),
)
