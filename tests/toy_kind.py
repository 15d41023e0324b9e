"""A kind of problem in one module outside the package: the larger root of a quadratic, by its formula.

What makes it a kind stands here in the order of CONTRIBUTING's recipe, and nothing else knows of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import mpmath
import sympy as sp

from implicitops.calculus import Evaluate, Solve
from implicitops.calculus.rules import Rules, rules_of
from implicitops.kernels import _evaluate
from implicitops.kernels.build import bound, solves
from implicitops.kernels.bundles import compiled
from implicitops.problems.base import Options, Problem
from implicitops.symbolic.canonical_symbols import CanonicalSymbols
from implicitops.verify.reference import reference_of
from implicitops.verify.reference_function import FunctionReference


@dataclass(frozen=True)
class LargerRoot(Problem):
    """Larger x with x**2 + b x + c = 0, for expressions b and c of the parameters."""

    b: sp.Expr
    c: sp.Expr
    params: tuple
    options: Options = field(default_factory=Options)

    @property
    def output_shape(self):
        return ()

    @property
    def formula(self):
        """The root as an expression of the parameters."""
        return sp.sqrt(self.b**2 / 4 - self.c) - self.b / 2

    def _equation(self):
        return "|".join(map(sp.srepr, (self.b, self.c, self.params)))

    def _content(self):
        return repr(self.options)


@dataclass(frozen=True)
class Formula(Evaluate):
    """The root and its derivatives up to an order as an explicit function of the parameters."""

    problem: LargerRoot
    derivatives: int = 0

    @property
    def name(self):
        return f"larger_root_{self.problem.equation_key}_formula{self.derivatives}"

    @property
    def input_shapes(self):
        return self.problem.parameter_shapes

    @property
    def output_shapes(self):
        p = len(self.problem.parameter_symbols)
        return ((), (p,), (p, p))[: self.derivatives + 1]

    @property
    def groups(self):
        return CanonicalSymbols(self.problem, ()).group(self.problem)

    def write(self, tape):
        statement = CanonicalSymbols(self.problem, ())
        outputs = [[tape.add(statement.translate(self.problem.formula))]]
        for _ in range(self.derivatives):
            rows = [tape.reverse([(value, sp.S.One)], statement.parameters) for value in outputs[-1]]
            outputs.append([entry for row in rows for entry in row])
        return outputs


class LargerRootRules(Rules[LargerRoot]):
    """Rules of an explicit function, which has no estimate of its error."""

    def vjp(self, problem):
        return Formula(problem).vjp()

    def jvp(self, problem):
        return Formula(problem).jvp()

    def error_shapes(self, problem, order):
        return (0,), (0,), (0,)


@rules_of.register(LargerRoot)
def _rules(problem):
    return LargerRootRules()


@solves(LargerRoot)
def larger_root_handle(operation: Solve[LargerRoot]):
    """Handle of an operation."""
    formula = Formula(operation.problem, operation.derivatives)
    return bound(operation, _evaluate.EvaluateKernel(compiled(formula.name, formula.bundle), is_derivative=True))


@reference_of.register(LargerRoot)
def _reference(problem):
    def true(*parameters):
        flat = [p for value in parameters for p in (value if hasattr(value, "__len__") else (value,))]
        b, c = (sp.lambdify(problem.parameter_symbols, e, "mpmath")(*flat) for e in (problem.b, problem.c))
        return -2 * c / (b + mpmath.sqrt(b**2 - 4 * c))  # the other way to write it

    return FunctionReference(true, problem.parameter_shapes)
