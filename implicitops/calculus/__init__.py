"""Derivative rules, and nothing else: problems in, programs of operations out."""

from implicitops.calculus import external, implicit, sensitivities  # noqa: F401  their kinds of problem register
from implicitops.calculus.evaluate import Evaluate
from implicitops.calculus.operation import Operation, Program, Step
from implicitops.calculus.solve import Solve

__all__ = ["Evaluate", "Operation", "Program", "Solve", "Step"]
