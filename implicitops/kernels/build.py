"""From an operation of the calculus to its handle, a kernel bound to machine code. Each is built once a process.

Which kernel it is stands beside that kernel: each class of operations registers with :data:`bind`, and each kind of
problem, of which Solve and Adjoint are operations, with :func:`solves`.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from functools import singledispatch
from typing import Any, TypeVar

from implicitops.calculus.operation import Operation
from implicitops.calculus.sensitivities import Adjoint, Sensitivities
from implicitops.calculus.solve import Solve
from implicitops.codegen import UnsupportedExpressionError
from implicitops.kernels import _operation
from implicitops.kernels.bundles import sizes
from implicitops.kernels.parallel import GRAIN
from implicitops.problems.base import Problem
from implicitops.symbolic.canonical_symbols import CanonicalSymbols
from implicitops.symbolic.doubt import restarted

Solver = Callable[[Any], _operation.Handle]
Registered = TypeVar("Registered", bound=Solver)

#: What binds the operations that solve a problem, by kind of problem; see :func:`solves`.
SOLVERS: dict[type[Problem], Solver] = {}

_built: dict[str, _operation.Handle] = {}
_lock = threading.RLock()


@singledispatch
def bind(operation: Operation) -> _operation.Handle:
    """New handle of an operation; a class of operations registers its own.

    Raises
    ------
    TypeError : nobody has registered one
    """
    raise TypeError(
        f"there is no kernel for {type(operation).__name__}. Register what makes one with "
        "implicitops.kernels.build.bind.register."
    )


def solves(*kinds: type[Problem]) -> Callable[[Registered], Registered]:
    """Decorator of what binds the operations that solve problems of these kinds, Solve and Adjoint.

    Parameters
    ----------
    *kinds : classes of problems; classes derived from them are solved in the same way
    """

    def register_solver(solver: Registered) -> Registered:
        SOLVERS.update(dict.fromkeys(kinds, solver))
        return solver

    return register_solver


@bind.register(Solve)
@bind.register(Adjoint)
def _bind_solver(operation: Solve | Adjoint) -> _operation.Handle:
    for kind in type(operation.problem).__mro__:
        if kind in SOLVERS:
            return SOLVERS[kind](operation)
    raise TypeError(
        f"no kernel solves {type(operation.problem).__name__} problems. Register what makes one with "
        "implicitops.kernels.build.solves."
    )


@bind.register(Sensitivities)
def _bind_sensitivities(operation: Sensitivities) -> _operation.Handle:
    return handle_of(Solve(operation.problem, operation.order))  # whose first outputs are the same


def bound(operation: Operation, kernel: Any) -> _operation.Handle:
    """Handle of an operation with the shapes that the operation says; for kernels of one answer for each element."""
    is_solve = isinstance(operation, Solve)
    outputs = operation.kernel_output_shapes if isinstance(operation, Solve) else operation.output_shapes
    inputs = sizes(operation.input_shapes)
    return _operation.Handle(kernel, inputs, sizes(outputs), _grain(operation), has_derivatives=is_solve)


def judge_of(kind: Any, problem: Any, order: int) -> Any:
    """Who decides on derivatives of a problem's answer that are in doubt; None where there is no order.

    Parameters
    ----------
    kind : class Judge of the kernel that asks
    problem : Problem that can be started at a given point, or None
    order : 0, 1 or 2, highest order of the derivatives in question
    """
    if order == 0:
        return None
    other, ends = restarted(problem)
    return kind(ends, lambda: handle_of(Solve(other, order, start_given=True)))


def handle_of(operation: Operation) -> _operation.Handle:
    """Handle of an operation's compiled kernel, from memory, from the disk cache, or new.

    Parameters
    ----------
    operation : Operation

    Returns
    -------
    implicitops.kernels._operation.Handle

    Raises
    ------
    UnsupportedExpressionError : an expression contains a function that has no machine code
    """
    handle = _built.get(operation.name)
    if handle is None:
        with _lock:
            handle = _built.get(operation.name)
            if handle is None:
                handle = _built[operation.name] = _build_in_users_terms(operation)
    return handle


def _renew_lock() -> None:
    """In a forked child nobody is left to open a lock that another thread held for its own build."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _build_in_users_terms(operation: Operation) -> _operation.Handle:
    """New handle of an operation, or an error in the Symbols of the problem's statement."""
    try:
        return bind(operation)
    except UnsupportedExpressionError as error:
        part: Any = operation
        while not hasattr(part, "problem") and hasattr(part, "parent"):
            part = part.parent
        raise CanonicalSymbols.of(part.problem).named(part.problem, error) from None


def register(operation: Operation) -> str:
    """Make an operation callable from C by name, and return the name."""
    _operation.register(operation.name, handle_of(operation))
    return operation.name


def _grain(operation: Operation) -> int:
    """Batch elements that keep a thread busy for about a tenth of a millisecond, its start costing a fifth of that."""
    n = math.prod(operation.output_shapes[0])
    return GRAIN if n <= 1 else max(1, 2048 // n**2)
