"""Doubt whether rounding has spoilt a derivative of a scalar root, and whom to ask. csrc/derivative_judge.h decides.

That header says what a doubt is. Here it is an expression, which operations evaluate with the derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy as sp

from implicitops.symbolic.rounding import UNIT, running_errors
from implicitops.symbolic.tape import Tape

#: Weight of the error of the solution; the same as in csrc/derivative_judge.h.
OF_SOLUTION = 100


def scalar_doubt(tape: Tape, residual: sp.Expr, x: sp.Symbol, parameters: Sequence[sp.Symbol], order: int) -> sp.Expr:
    """Write the doubt of the derivatives of a root x on a tape.

    Parameters
    ----------
    tape : Tape
    residual : Expr, F(x, p)
    x : Symbol
    parameters : sequence of Symbol
    order : 1 or 2, highest order of the derivatives in question

    Returns
    -------
    Expr on the tape; infinite or NaN where nothing is known
    """
    value = tape.add(residual)
    slope, *slopes = tape.reverse([(value, sp.S.One)], (x, *parameters))
    if slope == 0:
        return sp.S.Zero  # no root of it is regular
    known = rounded_solution(tape, [x])
    lost, slope_lost, *slopes_lost = running_errors(tape, [value, slope, *slopes], known)
    scales = [tape.add(sp.Piecewise((sp.Abs(p), p**2 > 0), (sp.S.One, True), evaluate=False)) for p in parameters]
    changes = tape.add(sp.Add(*(scale * sp.Abs(derivative) for scale, derivative in zip(scales, slopes))))
    size = tape.add(sp.Abs(x * slope) + changes)
    off = OF_SOLUTION * (sp.Abs(value) + lost) + sp.Add(*(scale * error for scale, error in zip(scales, slopes_lost)))
    doubt = tape.add(off / size) + tape.add(slope_lost / sp.Abs(slope))
    if order >= 2:
        along = [tape.constant(changes / slope), *map(tape.constant, scales)]
        direction = dict(zip((x, *parameters), along))
        (twice,) = tape.forward(tape.forward([value], direction), direction)
        (twice_lost,) = running_errors(tape, [twice], {**known, along[0]: doubt * sp.Abs(along[0])})
        doubt = doubt + tape.add(twice_lost / size)
    return tape.add(doubt)


def rounded_solution(tape: Tape, unknowns: Sequence[sp.Symbol]) -> dict[sp.Symbol, sp.Expr]:
    """What unknowns lose by being doubles, which derivatives that vary within so little depend on."""
    return {x: tape.add(2 * UNIT * sp.Abs(x)) for x in unknowns}


def restarted(problem: Any) -> tuple[Any, tuple[float, ...]]:
    """The same problem started at a point that is given, and the arguments of a call between parameters and point."""
    other, arguments = problem.with_start(guess=np.zeros(problem.output_shape))
    return other, tuple(map(float, arguments[:-1]))
