"""Checks of ODE.solve: answer and derivatives within the tolerances, falling as they do, by both methods.

These belong to the NumPy face alone; derivative products, which every backend has, are in checks_derivatives.py.
"""

from __future__ import annotations

import math
from dataclasses import replace

import mpmath
import numpy as np

from implicitops.errors import NotAvailableError
from implicitops.problems.base import Problem
from implicitops.problems.ode import ODE
from implicitops.status import Solution
from implicitops.verify import checks_solve
from implicitops.verify.case import Case, compare, compare_to
from implicitops.verify.checks_derivatives import reverse_jacobian, same_bits
from implicitops.verify.differentiation import by_position
from implicitops.verify.ode_tolerance import spread, together
from implicitops.verify.report import Check

#: rtol of the tolerance ladder; atol keeps its ratio to it.
LADDER = (1e-4, 1e-6, 1e-8, 1e-10)
#: Least power of the tolerance with which errors fall. A method whose error estimate has order q and whose answer has
#: order p >= q - 1 has the power p/q, which is 1 for those that there are; few steps make it uncertain. An error that
#: does not depend on the tolerance has the power 0.
LEAST_POWER = 0.5
#: Errors that are a smaller part of what the last tolerance allows say nothing: the problem is easier than it might be.
EASY = 0.01


def _solve(problem: Problem, case: Case, order: int) -> Solution:
    return by_position(problem.solve, problem)(*case.arguments, derivatives=order, throw=False)


def all_columns(solution: Solution, case: Case) -> np.ndarray:
    """Jacobian (points, outputs, p + T) of a solution, the columns of the output times last."""
    assert solution.jacobian is not None
    assert solution.time_derivative is not None
    rows = case.arguments[-1].shape[-1]
    own = np.concatenate([solution.jacobian, solution.time_derivative[..., None]], axis=-1)
    own = own.reshape(case.n_points, case.n_outputs, -1)
    return np.stack([spread(point.astype(object), rows).astype(float) for point in own])


def jacobian(problem: Problem, case: Case, order: int) -> Check:
    """Jacobian and time derivative of solve() against the reference."""
    return compare(case, "solve jacobian", all_columns(_solve(problem, case, 1), case), "jacobian")


def hessian(problem: Problem, case: Case, order: int) -> Check:
    """Hessian of solve(), by the parameters alone, against the reference."""
    return compare_to(case, "solve hessian", *_hessians(problem, case))


def symmetry(problem: Problem, case: Case, order: int) -> Check:
    """The Hessian equals its transpose, to the last bit: one of the two is integrated."""
    computed = _hessians(problem, case)[0]
    passed = same_bits(computed, np.swapaxes(computed, -1, -2))
    return Check("numpy: hessian symmetric", passed, reason="" if passed else "it differs from its transpose")


def _hessians(problem: Problem, case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hessian of solve(), the true one, and its bound."""
    computed, p = _solve(problem, case, 2).hessian, len(problem.parameter_symbols)
    assert computed is not None
    true, bound = (case.stacked(name)[..., :p, :p] for name in ("hessian", "hessian_bound"))
    return computed.reshape(case.n_points, case.n_outputs, p, p), true, bound


def orders_agree(problem: Problem, case: Case, order: int) -> Check:
    """Value and Jacobian do not depend on which derivatives are asked for, beyond what the tolerances allow."""
    solutions = [_solve(problem, case, k) for k in range(3 if order >= 2 else 2)]
    true, bound = (2 * case.stacked("value_bound"), 2 * case.stacked("jacobian_bound"))
    for other in solutions[1:]:
        pairs = [(case.flat_output(other.value), case.flat_output(solutions[0].value), true)]
        pairs.append((all_columns(other, case), all_columns(solutions[1], case), bound))
        for computed, expected, allowed in pairs:
            check = compare_to(case, "orders agree", computed, expected.astype(object) * mpmath.mpf(1), allowed)
            if not check.passed:
                return replace(check, reason="solve(derivatives=0), 1 and 2 give different values or Jacobians")
    return replace(check, reason="")


def order_of_times(problem: Problem, case: Case, order: int) -> Check:
    """Output times in another order, or given twice, have the same answers to the last bit."""
    name, times = "numpy: order of times", case.arguments[-1]
    rows = [*reversed(range(times.shape[-1])), 0]
    moved = replace(case, arguments=(*case.arguments[:-1], np.ascontiguousarray(times[:, rows])))
    there, here = _solve(problem, moved, 1), _solve(problem, case, 1)
    assert there.jacobian is not None
    assert here.jacobian is not None
    passed = same_bits(there.value, here.value[:, rows]) and same_bits(there.jacobian, here.jacobian[:, rows])
    return Check(name, passed, reason="" if passed else "an answer depends on the position of its output time")


def fewer_times(problem: Problem, case: Case, order: int) -> Check:
    """An answer does not depend on which other output times there are, beyond what the tolerances allow."""
    half = (case.arguments[-1].shape[-1] + 1) // 2
    m = case.n_outputs // case.arguments[-1].shape[-1]
    arguments = (*case.arguments[:-1], np.ascontiguousarray(case.arguments[-1][:, :half]))
    solution = _solve(problem, replace(case, arguments=arguments), 0)
    true, bound = (case.stacked(name)[:, : half * m] for name in ("value", "value_bound"))
    return compare_to(case, "fewer times", solution.value.reshape(case.n_points, -1), true, bound)


def tolerance_ladder(problem: Problem, case: Case, order: int) -> Check:
    """Value and derivatives within what each tolerance allows, with errors that fall as the tolerances do."""
    found = [_ladder_errors(problem, case, order, rtol) for rtol in LADDER]
    for rtol, checks in zip(LADDER, found):
        for check, _ in checks.values():
            if not check.passed:
                return replace(check, name="numpy: tolerance ladder", reason=f"rtol={rtol}: {check.reason}")
    least, worst = math.inf, ""
    for quantity in found[0]:
        power = _power([checks[quantity][1] for checks in found])
        if power < least:
            least, worst = power, quantity
    if least == math.inf:
        return Check("numpy: tolerance ladder", True, 0.0, 1 - LEAST_POWER)
    shortfall, passed = max(0.0, 1 - least), least >= LEAST_POWER
    reason = "" if passed else f"the error of the {worst} falls with the power {least:.2f} of the tolerance"
    return Check("numpy: tolerance ladder", passed, shortfall, 1 - LEAST_POWER, reason=reason)


def _ladder_errors(problem: Problem, case: Case, order: int, rtol: float) -> dict[str, tuple[Check, float]]:
    """For value and derivatives the comparison at one tolerance, and the largest error in units of the last's bound."""
    options = problem.options
    factor = rtol / (options.rtol or LADDER[-2])
    atol = tuple(a * factor for a in options.atol)
    other = problem.replaced(options=replace(options, rtol=rtol if options.rtol else 0.0, atol=atol))
    solution = _solve(other, case, order)
    if not np.all(solution.converged):
        raise NotAvailableError(f"no solution at rtol={rtol}: {np.ravel(solution.status)[~solution.converged][0]!r}")
    computed = {
        "value": (case.flat_output(solution.value), case.stacked("value"), case.stacked("value_bound")),
        "jacobian": (all_columns(solution, case), case.stacked("jacobian"), case.stacked("jacobian_bound")),
    }
    if order >= 2:
        computed["hessian"] = _hessians(other, case)
    result = {}
    for quantity, (numbers, true, bound) in computed.items():
        check = compare_to(case, f"tolerance ladder, {quantity}", numbers, true, bound * factor)
        error, units = abs(numbers - true.astype(float)), bound.astype(float) * factor * LADDER[-1] / rtol
        result[quantity] = (check, float(np.max(error[units > 0] / units[units > 0], initial=0.0)))
    return result


def _power(errors: list[float]) -> float:
    """Power of the tolerance with which errors fall from the largest on; infinite if there are not three to compare.

    A short solution may be better at a loose tolerance than at a stricter one, its first steps being short anyway.
    """
    first = next(k for k, error in enumerate(errors) if error >= max(errors) / 2)
    clear = [k for k, error in enumerate(errors) if k >= first and error > EASY]
    if len(clear) < 3:
        return math.inf
    x, y = np.log([LADDER[k] for k in clear]), np.log([errors[k] for k in clear])
    return float(np.polyfit(x, y, 1)[0])


def methods_agree(problem: ODE, case: Case, order: int) -> Check:
    """Derivatives integrated forward and backward, which are separate code, both agree with the reference."""
    from implicitops.verify.differentiation.numpy import NumpyDifferentiable

    other = "forward" if problem.sensitivity_method == "adjoint" else "adjoint"
    differentiable = NumpyDifferentiable(problem.replaced(options=replace(problem.options, sensitivity=other)))
    computed = reverse_jacobian(replace(case, differentiable=differentiable))
    if np.isnan(computed).any():
        raise NotAvailableError(f"the {other} method found no answer")
    sizes = case.flat(case.arguments[:-1])
    references = (together(reference, parameters) for reference, parameters in zip(case.references, sizes))
    return compare(replace(case, references=tuple(references)), f"{other} sensitivities", computed, "jacobian")


FIRST_ORDER: tuple[checks_solve.Checker, ...] = (
    checks_solve.value,
    jacobian,
    orders_agree,
    order_of_times,
    fewer_times,
    tolerance_ladder,
    methods_agree,
    checks_solve.batch_equals_loop,
    checks_solve.dtype_and_shape,
    checks_solve.determinism,
)
SECOND_ORDER: tuple[checks_solve.Checker, ...] = (hessian, symmetry)


@checks_solve.run.register(ODE)
def run(problem: ODE, case: Case, order: int) -> list[Check]:
    """All checks of solve() up to an order."""
    return checks_solve.made((*FIRST_ORDER, *(SECOND_ORDER if order >= 2 else ())), problem, case, order)
