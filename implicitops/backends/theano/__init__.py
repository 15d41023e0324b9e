"""The Theano face: symbolic variables in, a symbolic variable out. The op is in op.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import theano.tensor as tt
from theano.graph.basic import Variable

from implicitops.backends.theano import rewrites  # noqa: F401  registers them
from implicitops.backends.theano.op import SymbolicOperation, without_demanding_test_values
from implicitops.calculus import Solve
from implicitops.calculus.status_of import StatusOf
from implicitops.kernels import handle_of
from implicitops.problems.base import Problem


def owns(argument: Any) -> bool:
    """True for every symbolic variable of Theano: tensors, constants, shared variables."""
    return isinstance(argument, Variable)


def apply(problem: Problem, arguments: Sequence[Any], *, status: bool = False, start_given: bool = False) -> Any:
    """Symbolic solution of a problem: a float64 variable that broadcasts as in NumPy.

    Parameters
    ----------
    problem : Problem
    arguments : Theano variables, numbers or arrays
    status : bool, return the code of each solve's status too, an int32 of the batch shape
    start_given : bool, the last arguments are start values, see :meth:`Problem.bind_all`

    Returns
    -------
    TensorVariable, or the pair with the status; a solve that fails gives NaN when the graph runs, see
    :mod:`implicitops.backends.failures`

    Raises
    ------
    ArgumentError : an argument has the wrong type or rank
    UnsupportedExpressionError : an expression contains a function that has no machine code
    """
    operation = Solve(problem, start_given=start_given)
    handle_of(operation)  # whatever cannot be compiled is said here, not when a function is made
    with without_demanding_test_values():
        value = SymbolicOperation(operation)(*arguments)
        if not status:
            return value
        return value, tt.cast(SymbolicOperation(StatusOf(problem.output_shape))(value), "int32")
