"""Checks of Integral.solve: value and derivatives within the tolerances, by every method, with honest errors.

These belong to the NumPy face alone; derivative products, which every backend has, are in checks_derivatives.py.
"""

from __future__ import annotations

from dataclasses import replace

import mpmath
import numpy as np

from implicitops.errors import NotAvailableError
from implicitops.problems.base import Problem
from implicitops.problems.integral import METHODS, Integral
from implicitops.status import Solution
from implicitops.verify import checks_solve
from implicitops.verify.case import Case, compare_to
from implicitops.verify.checks_derivatives import same_bits
from implicitops.verify.differentiation import by_position
from implicitops.verify.report import Check

#: rtol of the tolerance ladder, as far as it is not stricter than a hundredth of the statement's; atol keeps its ratio.
LADDER = (1e-4, 1e-6, 1e-8, 1e-10)


def _solve(problem: Problem, case: Case, order: int) -> Solution:
    return by_position(problem.solve, problem)(*case.arguments, derivatives=order, throw=False)


def _compared(name: str, solution: Solution, case: Case, factor: float = 1) -> Check:
    """The worst comparison of all that a solution has with the truth, whose bounds may be made larger."""
    checks = []
    for field in ("value", "jacobian", "hessian"):
        computed = getattr(solution, field)
        if computed is not None:
            true, bound = case.stacked(field), factor * case.stacked(f"{field}_bound")
            checks.append(compare_to(case, name, computed.reshape(true.shape), true, bound))
    return next((check for check in checks if not check.passed), checks[-1])


def symmetry(problem: Problem, case: Case, order: int) -> Check:
    """The Hessian equals its transpose, to the last bit: one of the two is integrated."""
    computed = _solve(problem, case, 2).hessian
    assert computed is not None
    passed = same_bits(computed, np.swapaxes(computed, -1, -2))
    return Check("numpy: hessian symmetric", passed, reason="" if passed else "it differs from its transpose")


def orders_agree(problem: Problem, case: Case, order: int) -> Check:
    """Value and Jacobian are as good whichever derivatives are asked for."""
    for k in range(order + 1):
        check = _compared("orders agree", _solve(problem, case, k), case)
        if not check.passed:
            return replace(check, reason=f"solve(derivatives={k}): {check.reason}")
    return check


def tolerance_ladder(problem: Integral, case: Case, order: int) -> Check:
    """Value and derivatives within what each tolerance allows."""
    options = problem.options
    for rtol in LADDER:
        factor = rtol / (options.rtol or LADDER[-2])
        if factor < 0.99e-2:
            break  # the bounds, made smaller, would no longer allow for rounding
        changed = replace(options, rtol=rtol if options.rtol else 0.0, atol=tuple(a * factor for a in options.atol))
        solution = _solve(problem.replaced(options=changed), case, order)
        if not np.all(solution.converged):
            raise NotAvailableError(
                f"no solution at rtol={rtol}: {np.ravel(solution.status)[~solution.converged][0]!r}"
            )
        check = _compared("tolerance ladder", solution, case, factor)
        if not check.passed:
            return replace(check, reason=f"rtol={rtol}: {check.reason}")
    return check


def methods_agree(problem: Integral, case: Case, order: int) -> Check:
    """Each method that finds an answer finds the right one."""
    last = Check("numpy: methods agree", None, reason="no other method finds an answer")
    for method in METHODS:
        solution = _solve(problem.replaced(options=replace(problem.options, method=method)), case, order)
        if method == problem.options.method or not np.all(solution.converged):
            continue
        last = _compared("methods agree", solution, case)
        if not last.passed:
            return replace(last, reason=f"{method}: {last.reason}")
    return last


def reversed_limits(problem: Integral, case: Case, order: int) -> Check:
    """The integral from b to a is minus the integral from a to b."""
    limits = ((problem.limits[0][1], problem.limits[0][0]), *problem.limits[1:])
    solution = _solve(problem.replaced(limits=limits), case, order)
    if not np.all(solution.converged):
        raise NotAvailableError("no solution with reversed limits")
    first, second = (None if array is None else -array for array in (solution.jacobian, solution.hessian))
    negative = replace(solution, value=-solution.value, jacobian=first, hessian=second)
    return _compared("reversed limits", negative, case)


def error_estimate(problem: Problem, case: Case, order: int) -> Check:
    """The true error is at most the error estimate, or is rounding error."""
    solution = _solve(problem, case, 0)
    if solution.error_estimate is None:
        raise NotAvailableError("there is no error estimate")
    true, bound = case.stacked("value"), np.empty((case.n_points, case.n_outputs), dtype=object)
    allowed = case.stacked("value_bound") * mpmath.mpf(10) ** -6  # a millionth of what the tolerance allows is nothing
    for index, e in np.ndenumerate(case.flat_output(solution.error_estimate)):
        bound[index] = mpmath.mpf(float(e))
    return compare_to(case, "error estimate", case.flat_output(solution.value), true, bound + allowed)


FIRST_ORDER: tuple[checks_solve.Checker, ...] = (
    checks_solve.value,
    error_estimate,
    checks_solve.jacobian,
    orders_agree,
    tolerance_ladder,
    methods_agree,
    reversed_limits,
    checks_solve.batch_equals_loop,
    checks_solve.dtype_and_shape,
    checks_solve.determinism,
)
SECOND_ORDER: tuple[checks_solve.Checker, ...] = (checks_solve.hessian, symmetry)


@checks_solve.run.register(Integral)
def run(problem: Integral, case: Case, order: int) -> list[Check]:
    """All checks of solve() up to an order."""
    return checks_solve.made((*FIRST_ORDER, *(SECOND_ORDER if order >= 2 else ())), problem, case, order)
