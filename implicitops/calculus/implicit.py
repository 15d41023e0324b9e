"""Rules of problems whose answer is the root of equations: of one equation, or of a system."""

from __future__ import annotations

from implicitops.calculus.operation import Program, single_step
from implicitops.calculus.root_scalar import RootScalarPullback, RootScalarPushforward
from implicitops.calculus.root_system import system_jvp, system_vjp
from implicitops.calculus.rules import Rules, rules_of
from implicitops.problems.fixed_point import FixedPoint
from implicitops.problems.minimum import Minimum
from implicitops.problems.root import Root
from implicitops.problems.unknowns import ProblemWithUnknowns
from implicitops.symbolic import minimum  # noqa: F401  registers the equations of minima


class ImplicitRules(Rules[ProblemWithUnknowns]):
    """Rules by the implicit function theorem."""

    estimates_derivatives = True

    def vjp(self, problem: ProblemWithUnknowns) -> Program:
        """Reverse rule: (p, x, xbar) to pbar."""
        if problem.output_shape:
            return system_vjp(problem)
        rule = RootScalarPullback(problem)
        return single_step(rule, len(rule.input_shapes), range(len(rule.input_shapes)))

    def jvp(self, problem: ProblemWithUnknowns) -> Program:
        """Forward rule: (p, x, p') to x'."""
        if problem.output_shape:
            return system_jvp(problem)
        rule = RootScalarPushforward(problem)
        return single_step(rule, len(rule.input_shapes), range(len(rule.input_shapes)))


@rules_of.register(Root)
@rules_of.register(FixedPoint)
@rules_of.register(Minimum)
def _implicit_rules(problem: ProblemWithUnknowns) -> ImplicitRules:
    return ImplicitRules()
