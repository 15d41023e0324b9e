"""Checks of Problem.solve: that its answer is a root, the right one, with an honest error and the right status.

These belong to the NumPy face alone; derivative products, which every backend has, are in checks_derivatives.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any

import mpmath
import numpy as np
import sympy as sp

from implicitops.calculus.operation import resolved
from implicitops.errors import NotAvailableError
from implicitops.kernels.parallel import get_num_threads, set_num_threads
from implicitops.problems.base import Problem
from implicitops.problems.root import Root
from implicitops.problems.unknowns import ProblemWithUnknowns
from implicitops.status import Solution
from implicitops.verify.case import Case, compare, compare_to
from implicitops.verify.checks_derivatives import same_bits
from implicitops.verify.differentiation import by_position
from implicitops.verify.reference import RootReference
from implicitops.verify.report import Check

#: A check of one kind of problem, or of all.
Checker = Callable[[Any, Case, int], Check]

#: rtol of the tolerance ladder; the Newton steps after the last iteration make most rungs equally good.
LADDER = (1e-3, 1e-13)
#: Batch elements that are shared by several threads.
LARGE = 20_000
#: The same of an ODE.
LARGE_INTEGRATED = 60


def _solve(problem: Problem, case: Case, order: int = 0, **start: Any) -> Solution:
    return by_position(problem.solve, problem)(*case.arguments, derivatives=order, throw=False, **start)


def value(problem: Problem, case: Case, order: int) -> Check:
    """Value of solve() against the reference."""
    return compare(case, "solve value", case.flat_output(_solve(problem, case).value), "value")


def jacobian(problem: Problem, case: Case, order: int) -> Check:
    """Jacobian of solve() against the reference."""
    computed = _solve(problem, case, 1).jacobian
    assert computed is not None
    return compare(case, "solve jacobian", computed.reshape(case.n_points, case.n_outputs, -1), "jacobian")


def hessian(problem: Problem, case: Case, order: int) -> Check:
    """Hessian of solve() against the reference."""
    return compare(case, "solve hessian", _hessian(problem, case), "hessian")


def symmetry(problem: Problem, case: Case, order: int) -> Check:
    """The Hessian equals its transpose, as far as the accuracy of both allows."""
    computed = _hessian(problem, case)
    # Whether an entry may be NaN at all is for the check of the entries; here it has to be NaN on both sides.
    computed = np.where(np.isnan(computed) & np.isnan(np.swapaxes(computed, -1, -2)), 0.0, computed)
    transposed = np.swapaxes(computed, -1, -2).astype(object) * mpmath.mpf(1)
    check = compare_to(case, "hessian symmetric", computed, transposed, case.stacked("hessian_bound"))
    reason = "" if check.passed else "it differs from its transpose"
    return Check(check.name, check.passed, check.error, check.tolerance, check.where, reason)


def _hessian(problem: Problem, case: Case) -> np.ndarray:
    computed, p = _solve(problem, case, 2).hessian, sum(case.sizes)
    assert computed is not None
    return computed.reshape(case.n_points, case.n_outputs, p, p)


def residual(problem: Problem, case: Case, order: int) -> Check:
    """Residual at the computed root, evaluated with 60 digits, against what rounding explains."""
    reference = RootReference(_as_root(problem))
    values, rows = case.flat_output(_solve(problem, case).value), case.flat(case.arguments)
    worst = (mpmath.mpf(-1), mpmath.mpf(0), mpmath.mpf(1), 0)
    for i in range(case.n_points):
        amount, bound = reference.residual_at(values[i, 0], list(rows[i]))
        ratio = mpmath.inf if mpmath.isnan(amount) else abs(amount) / bound
        worst = max(worst, (ratio, abs(amount), 4 * bound, i), key=lambda w: w[0])
    ratio, amount, bound, i = worst
    passed = bool(ratio <= 4)
    reason = "" if passed else "the residual at the returned value is larger than rounding explains: not a root"
    return Check("numpy: residual", passed, float(amount), float(bound), case.label((i,)), reason)


def inside(problem: Problem, case: Case, order: int) -> Check:
    """The root lies in the stated bracket, or where the unknown's assumptions allow it."""
    root = _as_root(problem)
    ends = root.bracket if root.bracket is not None else root.domain[0]
    symbols = root.parameter_symbols
    values, rows = case.flat_output(_solve(problem, case).value), case.flat(case.arguments)
    for i in range(case.n_points):
        here = {s: sp.Float(v, 40) for s, v in zip(symbols, rows[i])}
        low, high = sorted(sp.N(sp.sympify(end).xreplace(here), 40) for end in ends)
        x = values[i, 0]
        slack = sp.Float(4 * np.finfo(float).eps * abs(x))
        if not bool(low - slack <= sp.Float(x, 40)) or not bool(sp.Float(x, 40) <= high + slack):
            reason = f"the value {float(x)!r} is outside [{float(low):.17g}, {float(high):.17g}]"
            return Check("numpy: inside the bracket", False, where=case.label((i,)), reason=reason)
    return Check("numpy: inside the bracket", True)


def error_estimate(problem: Problem, case: Case, order: int) -> Check:
    """The true error is at most the error estimate."""
    solution = _solve(problem, case)
    estimate = solution.error_estimate
    if estimate is None:
        return Check("numpy: error estimate", None, reason="this method has none")
    true, bounds = case.stacked("value"), np.empty((case.n_points, case.n_outputs), dtype=object)
    for index, e in np.ndenumerate(case.flat_output(estimate)):
        bounds[index] = mpmath.mpf(float(e))
    check = compare_to(case, "error estimate", case.flat_output(solution.value), true, bounds)
    reason = "" if check.passed else "the true error is larger than Solution.error_estimate"
    return Check(check.name, check.passed, check.error, check.tolerance, check.where, reason)


def orders_agree(problem: Problem, case: Case, order: int) -> Check:
    """Value and Jacobian do not depend on which derivatives are asked for."""
    plain, first, second = (_solve(problem, case, k) for k in range(3))
    assert first.jacobian is not None
    assert second.jacobian is not None
    passed = same_bits(plain.value, first.value) and same_bits(plain.value, second.value)
    bound = 2 * case.stacked("jacobian_bound").astype(float).reshape(first.jacobian.shape)
    passed = passed and bool(np.all(abs(first.jacobian - second.jacobian) <= bound))
    reason = "" if passed else "solve(derivatives=0), 1 and 2 give different values or Jacobians"
    return Check("numpy: orders agree", passed, reason=reason)


def batch_equals_loop(problem: Problem, case: Case, order: int) -> Check:
    """Each element alone gives the bits of the batch, and an element that fails is NaN without disturbing others."""
    name = "numpy: solve batch equals loop"
    arguments = [np.concatenate([a[:1], np.full_like(a[:1], np.nan), a]) for a in case.arguments]
    solve = by_position(problem.solve, problem)
    batch = solve(*arguments, derivatives=order, throw=False)
    for row in range(len(arguments[0])):
        alone = solve(*(a[row] for a in arguments), derivatives=order, throw=False)
        for field in ("value", "jacobian", "hessian", "status_code", "error_estimate", "time_derivative"):
            whole, single = getattr(batch, field), getattr(alone, field)
            if whole is None:
                continue
            if row == 1 and field != "status_code" and not np.all(np.isnan(whole[row])):
                return Check(name, False, reason=f"a parameter is NaN, but the {field} is {whole[row]}")
            if not same_bits(whole[row], single):
                where = "the NaN element" if row == 1 else case.label((max(0, row - 2),))
                return Check(name, False, where=where, reason=f"{field} alone {single}, in a batch {whole[row]}")
    return Check(name, bool(batch.status_code[1] != 0))


def start_has_no_influence(problem: Problem, case: Case, order: int) -> Check:
    """A narrower bracket or another guess gives the same solution and Jacobian: their derivative is zero."""
    name = "numpy: derivative of the start is zero"
    if not isinstance(problem, ProblemWithUnknowns):
        raise NotAvailableError("this check is for problems that are solved from a guess or a bracket")
    found = _solve(problem, case).value
    values = case.flat_output(found)
    # Wide enough for a sign change beyond rounding, narrow enough to leave a neighbouring root outside.
    width = np.where(values != 0, 1e-6 * abs(values), 1e-6) + 1e3 * case.stacked("value_bound").astype(float)
    if isinstance(problem, Root) and problem.bracket is not None:
        start: dict[str, Any] = {"bracket": tuple((values + end * width).reshape(found.shape) for end in (-1, 0.7))}
    else:
        start = {"guess": (values + width).reshape(found.shape)}
    solution = _solve(problem, case, 1, **start)
    if not np.all(solution.converged):
        return Check(name, None, reason=f"no solution from the other start: {np.ravel(solution.status)}")
    assert solution.jacobian is not None
    slopes = solution.jacobian.reshape(*values.shape, -1)
    computed = np.concatenate([case.flat_output(solution.value)[:, :, None], slopes], axis=-1)
    true, bound = (
        np.concatenate([case.stacked("value" + end)[:, :, None], case.stacked("jacobian" + end)], axis=-1)
        for end in ("", "_bound")
    )
    check = compare_to(case, "start", computed, true, bound)
    return Check(name, check.passed, check.error, check.tolerance, reason=check.reason)


def dtype_and_shape(problem: Problem, case: Case, order: int) -> Check:
    """float64 out, whatever comes in; batch shapes broadcast; a batch of length 0 is no error."""
    name = "numpy: solve dtype and shape"
    p, core = len(problem.parameter_symbols), resolved(problem.output_shape, _length(case))
    shapes = {"value": core, "jacobian": (*core, p), "hessian": (*core, p, p)}
    batches: dict[tuple[int, ...], list[np.ndarray]] = {
        (): [a[0] for a in case.arguments],
        (0,): [a[:0] for a in case.arguments],
        (2, 3): [np.broadcast_to(a[0], (2, 3, *a.shape[1:])) for a in case.arguments],
        (1, case.n_points): [a[None] for a in case.arguments],
    }
    for batch, arguments in batches.items():
        highest = order if case.integrated else 2  # one more may not exist for the right-hand side
        solution = by_position(problem.solve, problem)(*arguments, derivatives=highest, throw=False)
        for field, shape in list(shapes.items())[: 1 + highest]:
            got = getattr(solution, field)
            if np.shape(got) != batch + shape or got.dtype != np.float64:
                reason = f"{field} must be float64 {batch + shape}; got {got.dtype} {np.shape(got)}"
                return Check(name, False, reason=reason)
    return Check(name, True)


def _length(case: Case) -> int | None:
    """Output times of an integration."""
    return case.arguments[-1].shape[-1] if case.integrated else None


def determinism(problem: Problem, case: Case, order: int) -> Check:
    """The same bits when asked again, and however many threads share a large batch."""
    name = "numpy: solve determinism"
    repeats = -(-(LARGE_INTEGRATED if case.integrated else LARGE) // case.n_points)
    arguments = [np.tile(a, (repeats, *[1] * (a.ndim - 1))) for a in case.arguments]
    before = get_num_threads()
    results = []
    try:
        for n_threads in (1, 3, 3):
            set_num_threads(n_threads)
            results.append(by_position(problem.solve, problem)(*arguments, derivatives=1, throw=False))
    finally:
        set_num_threads(None)
        if get_num_threads() != before:
            set_num_threads(before)
    for other in results[1:]:
        if not (same_bits(results[0].value, other.value) and same_bits(results[0].jacobian, other.jacobian)):
            return Check(name, False, reason="one thread and three threads differ")
    return Check(name, True)


def tolerance_ladder(problem: Problem, case: Case, order: int) -> Check:
    """Value and Jacobian within rtol of the truth at every rtol, and at rounding error at the last."""
    root = _as_root(problem)
    last = Check("numpy: tolerance ladder", True)
    for rtol in LADDER:
        guess = root.guess[0] if root.guess else None
        other = Root(root.residuals[0], root.unknown, root.params, bracket=root.bracket, guess=guess, rtol=rtol)
        solution = _solve(other, case, 1)
        assert solution.jacobian is not None
        for field, computed in (("value", solution.value[:, None]), ("jacobian", solution.jacobian[:, None])):
            true, bound = case.stacked(field), case.stacked(f"{field}_bound")
            check = compare_to(case, f"tolerance ladder, {field}", computed, true, bound + rtol / 10 * abs(true))
            if not check.passed:
                return Check(
                    last.name, False, check.error, check.tolerance, check.where, f"rtol={rtol}: {check.reason}"
                )
            last = Check(last.name, True, check.error, check.tolerance, check.where)
    return last


def _as_root(problem: Problem) -> Root:
    if not isinstance(problem, Root) or problem.is_vector:
        raise NotAvailableError("this check is for a scalar Root")
    return problem


FIRST_ORDER: tuple[Checker, ...] = (
    value,
    residual,
    inside,
    error_estimate,
    jacobian,
    orders_agree,
    batch_equals_loop,
    start_has_no_influence,
    tolerance_ladder,
    dtype_and_shape,
    determinism,
)
SECOND_ORDER: tuple[Checker, ...] = (hessian, symmetry)


@singledispatch
def run(problem: Problem, case: Case, order: int) -> list[Check]:
    """All checks of solve() up to an order; one that does not fit the kind of problem is marked as skipped.

    A kind of problem with checks of its own registers them.
    """
    return made((*FIRST_ORDER, *(SECOND_ORDER if order >= 2 else ())), problem, case, order)


def made(checkers: Sequence[Checker], problem: Problem, case: Case, order: int) -> list[Check]:
    """Outcomes of some checks; one that does not fit the problem is marked as skipped."""
    checks = []
    for check in checkers:
        try:
            checks.append(check(problem, case, order))
        except (NotAvailableError, NotImplementedError) as missing:  # of existing code a derivative may be missing
            checks.append(Check(f"numpy: solve, {check.__name__.replace('_', ' ')}", None, reason=str(missing)))
    return checks
