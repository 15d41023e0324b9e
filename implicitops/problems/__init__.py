"""Statements of what is solved: expressions, unknowns, parameters and options, without numerics."""

from implicitops.problems.base import Options, Problem
from implicitops.problems.external import External
from implicitops.problems.fixed_point import FixedPoint
from implicitops.problems.integral import Integral
from implicitops.problems.minimum import Minimum
from implicitops.problems.ode import ODE
from implicitops.problems.root import Root

__all__ = ["ODE", "External", "FixedPoint", "Integral", "Minimum", "Options", "Problem", "Root"]
