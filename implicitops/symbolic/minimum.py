"""Stationarity of a minimum: the equations F(x, p) = 0 whose root it is. The rules of roots differentiate them.

With gradient G = df/dx, for each unknown

    F_i = x_i - bound_i(p)   at a bound,
    F_i = G_i(x, p)          elsewhere

(A. V. Fiacco, Introduction to Sensitivity and Stability Analysis in Nonlinear Programming, 1983, Theorem 3.2.2). Then
F_x has the Hessian of the free unknowns and the identity of the others on its diagonal. Which case holds follows from
(x, p): the kernel returns a bound exactly, and reports an unknown that is only next to one as degenerate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import sympy as sp

from implicitops.codegen import Bundle
from implicitops.problems.minimum import Minimum
from implicitops.symbolic.canonical_symbols import CanonicalSymbols
from implicitops.symbolic.differentiate import gradient, rounding_scale
from implicitops.symbolic.equations import residuals_of
from implicitops.symbolic.tape import Tape

#: How near to a bound, relative to the terms of the bound's expression, an unknown counts as being at it: far above
#: the rounding error by which two evaluations of the bound can differ.
AT_BOUND = sp.Rational(1, 2**40)


@residuals_of.register(Minimum)
def stationarity(problem: Minimum, statement: CanonicalSymbols) -> tuple[sp.Expr, ...]:
    """F in canonical Symbols."""
    objective = statement.translate(problem.objective)
    results = []
    for x, slope, pair in zip(statement.unknowns, gradient(objective, statement.unknowns), problem.bounds):
        lower, upper = (statement.translate(end) for end in pair)
        cases = []
        if lower != -sp.oo:
            cases.append((x - lower, x - lower <= _nearness(lower)))
        if upper != sp.oo:
            cases.append((x - upper, upper - x <= _nearness(upper)))
        results.append(sp.Piecewise(*cases, (slope, True), evaluate=False) if cases else slope)
    return tuple(results)


def _nearness(bound: sp.Expr) -> sp.Expr:
    return AT_BOUND * rounding_scale(bound)


@dataclass(frozen=True)
class MinimumFunctions:
    """Everything symbolic that the minimiser needs besides its equations.

    Parameters
    ----------
    problem : Minimum
    """

    problem: Minimum

    @cached_property
    def statement(self) -> CanonicalSymbols:
        """Canonical Symbols."""
        return CanonicalSymbols(self.problem, self.problem.unknowns)

    @cached_property
    def objective(self) -> sp.Expr:
        """The objective f in canonical Symbols."""
        return self.statement.translate(self.problem.objective)

    @cached_property
    def slopes(self) -> tuple[sp.Expr, ...]:
        """The gradient G of f."""
        return gradient(self.objective, self.statement.unknowns)

    @cached_property
    def hessian_pattern(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Rows and columns of the Hessian's lower triangle that SymPy does not see to be zero, sorted by row."""
        unknowns = self.statement.unknowns
        found = [(i, j) for i, slope in enumerate(self.slopes) for j in range(i + 1) if slope.has(unknowns[j])]
        return tuple(i for i, _ in found), tuple(j for _, j in found)

    def objective_bundle(self) -> Bundle:
        """(x, p) to f and the scale of its rounding error, the same of G, and the entries of the Hessian."""
        tape, unknowns = Tape(), self.statement.unknowns
        values = [tape.add(expression) for expression in (self.objective, rounding_scale(self.objective))]
        slopes = [tape.add(slope) for slope in self.slopes]
        scales = [tape.add(rounding_scale(slope)) for slope in self.slopes]
        rows = [tape.reverse([(slope, sp.S.One)], unknowns) for slope in slopes]
        entries = [rows[i][j] for i, j in zip(*self.hessian_pattern)]
        return tape.bundle((*unknowns, *self.statement.parameters), (*values, *slopes, *scales, *entries))

    def bounds_bundle(self) -> Bundle:
        """Parameters to lower bounds, upper bounds, and the nearness at which each counts as reached."""
        ends = [*(pair[0] for pair in self.problem.bounds), *(pair[1] for pair in self.problem.bounds)]
        bounds = [self.statement.translate(end) for end in ends]
        nearness = [sp.S.Zero if bound.is_infinite else _nearness(bound) for bound in bounds]
        return Bundle(self.statement.parameters, (*bounds, *nearness))

    def start_bundle(self) -> Bundle:
        """Parameters to the guess."""
        return Bundle(self.statement.parameters, tuple(map(self.statement.translate, self.problem.guess)))
