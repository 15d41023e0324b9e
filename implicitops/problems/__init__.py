"""Statements of what is solved: expressions, unknowns, parameters and options, without numerics."""

from implicitops.problems.base import Options, Problem
from implicitops.problems.root import Root

__all__ = ["Options", "Problem", "Root"]
