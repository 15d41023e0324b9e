"""Functions of a scalar equation F(x, p) = 0 that its solver calls, with the derivatives of the root by their formulas.

They are those of calculus/root_scalar.py, written out up to the second order.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from implicitops.codegen import Bundle
from implicitops.problems.unknowns import ProblemWithUnknowns
from implicitops.symbolic.canonical_symbols import CanonicalSymbols
from implicitops.symbolic.differentiate import rounding_scale
from implicitops.symbolic.equations import residuals_of
from implicitops.symbolic.rounding import running_errors
from implicitops.symbolic.tape import Tape

_LARGEST = sp.Float(sys.float_info.max)


@dataclass(frozen=True)
class RootScalarFunctions:
    """Everything symbolic that a scalar root finder and its derivatives need.

    Parameters
    ----------
    problem : problem with one unknown
    """

    problem: ProblemWithUnknowns

    def residual_bundle(self) -> Bundle:
        """(x, p) to F, F_x and the scale of F's rounding error."""
        symbols, residual, x, _ = scalar_equation(self.problem)
        tape = Tape()
        value, scale = tape.add(residual), tape.add(rounding_scale(residual))
        return tape.bundle(symbols, (value, *tape.reverse([(value, sp.S.One)], (x,)), scale))

    def start_bundle(self) -> Bundle:
        """Parameters to the bracket, or the domain, and the guess if there is one."""
        statement = CanonicalSymbols(self.problem, self.problem.unknowns)
        problem = self.problem
        bracket = getattr(problem, "bracket", None)
        outputs = (*(problem.domain[0] if bracket is None else bracket), *(problem.guess or ()))
        return Bundle(statement.parameters, tuple(statement.translate(e) for e in outputs))

    def finish_bundle(self, derivatives: int) -> Bundle:
        """(x, p) to F, F_x, the scale, F_xx, and the derivatives of the root up to an order."""
        tape = Tape()
        return tape.bundle(scalar_equation(self.problem)[0], tuple(self._finish(tape, derivatives)))

    def error_bundle(self, derivatives: int) -> Bundle:
        """(x, p) to rounding errors of F and of the derivatives of the root up to an order."""
        tape = Tape()
        value, _, _, _, *roots = self._finish(tape, derivatives)
        return tape.bundle(scalar_equation(self.problem)[0], running_errors(tape, [value, *roots]))

    def _finish(self, tape: Tape, derivatives: int) -> list[sp.Expr]:
        _, residual, x, parameters = scalar_equation(self.problem)
        value, scale = tape.add(residual), tape.add(rounding_scale(residual))
        # No derivative that is not asked for: a function may have none in the argument that holds a parameter.
        slope, *slopes = tape.reverse([(value, sp.S.One)], (x, *parameters) if derivatives >= 1 else (x,))
        curvature, *mixed = tape.reverse([(slope, sp.S.One)], (x, *parameters) if derivatives >= 2 else (x,))
        slope = as_divisor(tape, x, slope)
        outputs = [value, slope, scale, curvature]
        first = [tape.add(-derivative / slope) for derivative in slopes]
        if derivatives >= 1:
            outputs.extend(first)
        if derivatives >= 2:
            n = len(parameters)
            second = [tape.reverse([(derivative, sp.S.One)], parameters) for derivative in slopes]
            entries = {}
            for j in range(n):
                for k in range(j + 1):
                    # One product at a time, the large curvature first: S_j S_k alone could underflow.
                    bent = tape.add(tape.add(curvature * first[j]) * first[k])
                    total = tape.add(second[j][k] + mixed[j] * first[k] + mixed[k] * first[j] + bent)
                    entries[j, k] = entries[k, j] = tape.add(-total / slope)
            outputs.extend(entries[j, k] for j in range(n) for k in range(n))
        return outputs


@lru_cache(maxsize=256)
def scalar_equation(
    problem: ProblemWithUnknowns,
) -> tuple[tuple[sp.Symbol, ...], sp.Expr, sp.Symbol, tuple[sp.Symbol, ...]]:
    """Inputs (x, p), F, x and the parameters, in canonical Symbols."""
    statement = CanonicalSymbols(problem, problem.unknowns)
    (x,) = statement.unknowns
    return (x, *statement.parameters), residuals_of(problem, statement)[0], x, statement.parameters


def as_divisor(tape: Tape, x: sp.Symbol, slope: sp.Expr) -> sp.Expr:
    """F_x, by which SymPy must not divide where it is 0 everywhere: no root of a step function is regular."""
    is_zero = slope == 0
    return tape.add(sp.Piecewise((slope, x <= _LARGEST), (x, True), evaluate=False)) if is_zero else slope
