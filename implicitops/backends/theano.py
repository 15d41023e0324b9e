"""The Theano face: symbolic variables in, a symbolic variable out. The op is in theano_op.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from theano.graph.basic import Variable

from implicitops.backends import theano_rewrites  # noqa: F401  registers them
from implicitops.backends.theano_op import SymbolicOperation, without_demanding_test_values
from implicitops.calculus import Solve
from implicitops.kernels import kernel_of
from implicitops.problems.base import Problem


def owns(argument: Any) -> bool:
    """True for every symbolic variable of Theano: tensors, constants, shared variables."""
    return isinstance(argument, Variable)


def apply(problem: Problem, arguments: Sequence[Any]) -> Any:
    """Symbolic solution of a problem: a float64 variable that broadcasts as in NumPy.

    Parameters
    ----------
    problem : Problem
    arguments : Theano variables, numbers or arrays

    Returns
    -------
    TensorVariable; a solve that fails gives NaN when the graph runs, see :mod:`implicitops.backends.failures`

    Raises
    ------
    ArgumentError : an argument has the wrong type or rank
    UnsupportedExpressionError : an expression contains a function that has no machine code
    """
    operation = Solve(problem)
    kernel_of(operation)  # whatever cannot be compiled is said here, not when a function is made
    with without_demanding_test_values():
        return SymbolicOperation(operation)(*arguments)
