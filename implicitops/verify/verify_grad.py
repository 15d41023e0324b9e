"""verify_grad: one harness for problems in every backend and for users' own ops. The checks are in checks_*.py."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from implicitops.backends import BACKENDS
from implicitops.backends.failures import unrecorded
from implicitops.calculus.rules import is_propagated
from implicitops.errors import ArgumentError, KinkError, NoReferenceError, NotAvailableError
from implicitops.problems.base import Problem
from implicitops.problems.reasons import reason as why
from implicitops.problems.validation import did_you_mean
from implicitops.verify import (
    checks_derivatives,
    checks_integral,  # noqa: F401  registers its checks
    checks_ode,  # noqa: F401  registers its checks
    checks_solve,
    reference_integral,  # noqa: F401  registers its references
    reference_ode,  # noqa: F401  registers its references
    reference_system,  # noqa: F401  registers its references
)
from implicitops.verify.case import Case
from implicitops.verify.differentiation import Differentiable, by_position
from implicitops.verify.points import function_points, problem_arguments
from implicitops.verify.reference import Reference, ReferencePoint, reference_of, within_tolerances
from implicitops.verify.reference_function import FunctionReference
from implicitops.verify.report import Check, Report


def verify_grad(
    target: Any,
    at: Any,
    *,
    order: int = 1,
    backends: Sequence[str] | None = None,
    reference: Callable[..., Any] | Reference | None = None,
    rtol: float | None = None,
    seed: int = 0,
    throw: bool = True,
) -> Report:
    """Check the value and the derivatives of a problem or an op against the truth.

    Every element is compared relatively, with a tolerance that follows from the conditioning at its point (see
    :class:`implicitops.verify.reference.RootReference`), so that a derivative of 8e-10 is checked to as many
    digits as one of 0.1. Of an ODE it follows from ``rtol`` and ``atol`` (see
    :class:`implicitops.verify.ode_tolerance.WithinTolerances`), and the error must fall as they do; of an Integral it
    is ``rtol*abs(d) + atol`` for the value and each derivative d.

    Parameters
    ----------
    target : Problem, or a Theano Op, or a function of Theano variables or of TensorFlow tensors that returns one
        The truth for a problem is a 50-digit solution of its own SymPy statement; for an ODE one of 20 digits,
        for an Integral a sum of its integrand.
    at : mapping or sequence, where to check
        By name, {"theta": [0.2, 1e5]}, or as a sequence of points, [0.2, 1e5] or [(1.0, 0.3), (2.0, 0.5)]. For a
        problem arrays are batches; for any other target an array is one argument. The output times of an ODE are
        one of its arguments, {"theta": 0.2, "times": [0.5, 1]}, or those of the statement.
    order : 1 or 2
        Highest order of derivative.
    backends : sequence of str
        Some of "numpy", "theano", "tensorflow". By default ("numpy",) for a problem and ("theano",) for anything
        else; a function of tensors is checked with ("tensorflow",).
    reference : callable or Reference, optional
        True value as a function of the arguments, an ODE's times the last of them, instead of the problem's own
        statement. With mpmath functions it is differentiated with 120 digits, otherwise by extrapolated differences
        with an error bar; so is the op itself where there is no reference. A stiff ODE needs one, as the integrator
        of the truth is explicit: a closed form, or an object whose method ``at`` returns a
        :class:`~implicitops.verify.reference.ReferencePoint`, such as one that looks up stored solutions.
    rtol : float, optional
        Relative tolerance of all comparisons with the truth, instead of the derived ones.
    seed : int
        Of the random directions.
    throw : bool
        Raise if a check fails.

    Returns
    -------
    Report, with one Check for each promise; print it

    Raises
    ------
    GradientMismatchError : a value or derivative is wrong; the message is the report
    SolveError : the solver had no answer at some of the points, but nothing was wrong at the others
    ArgumentError : an argument is not one of the above

    Examples
    --------
    >>> import sympy as sp, implicitops as iop
    >>> mu, theta = sp.symbols("mu theta")
    >>> mu_of = iop.Root(mu + mu*sp.exp(theta*mu) - 1, mu, [theta], bracket=(0, 1))
    >>> report = iop.verify_grad(mu_of, {"theta": [0.2, 1e-5, 1e5]}, order=2)
    >>> report.passed
    True

    An ODE, at its output times, of which one is that of an event:

    >>> x, k, dose, tau = sp.symbols("x k dose tau")
    >>> drug = iop.ODE({x: -k * x}, [k, dose, tau], initial={x: dose}, events=[(tau, {x: x + dose})])
    >>> iop.verify_grad(drug, {"k": 0.5, "dose": 1.0, "tau": 2.0, "times": [1, 2, 3]}, order=2).passed
    True
    """
    if order not in (1, 2) or isinstance(order, bool):
        raise ArgumentError(f"order must be 1 or 2; got {order!r}.")
    is_problem = isinstance(target, Problem)
    backends = _validated(backends, is_problem)
    with unrecorded():
        if is_problem:
            checks = _problem_checks(target, at, order, backends, reference, rtol, seed)
        else:
            if reference is not None and not callable(reference):
                raise ArgumentError(f"reference must be a function of the arguments of the op; got {reference!r:.80}.")
            checks = _function_checks(target, at, order, backends[0], reference, rtol, seed)
    report = Report(repr(target) if is_problem else _name_of(target), tuple(checks))
    if throw:
        report.raise_if_failed()
    return report


def _validated(backends: Sequence[str] | None, is_problem: bool) -> tuple[str, ...]:
    if backends is None:
        return ("numpy",) if is_problem else ("theano",)
    if isinstance(backends, str):
        raise ArgumentError(
            f"backends must be a sequence of names; got the string {backends!r}. Write ({backends!r},)."
        )
    for name in backends:
        if name not in BACKENDS:
            raise ArgumentError(
                f"backends must be some of {', '.join(map(repr, BACKENDS))}; got {name!r}."
                f"{did_you_mean(str(name), BACKENDS)}"
            )
    if not is_problem and tuple(backends) not in (("theano",), ("tensorflow",)):
        raise ArgumentError(
            "an op or a function of variables is checked in its own framework, ('theano',) or ('tensorflow',); got "
            f"{backends!r}."
        )
    return tuple(backends)


# -- problems ---------------------------------------------------------------------------------------------------


def _problem_checks(
    problem: Problem,
    at: Any,
    order: int,
    backends: Sequence[str],
    reference: Callable[..., Any] | Reference | None,
    rtol: float | None,
    seed: int,
) -> list[Check]:
    arguments = problem_arguments(problem, at)
    try:
        truth = _truth(problem, reference, [a.shape[1:] for a in arguments])
    except NoReferenceError as error:
        raise ArgumentError(str(error)) from None
    solution = by_position(problem.solve, problem)(*arguments, throw=False)
    checks: list[Check] = []
    references: dict[int, ReferencePoint] = {}
    rows = np.concatenate([a.reshape(len(a), -1) for a in arguments], axis=1)
    for i, status in enumerate(np.ravel(solution.status)):
        where = ", ".join(f"{name}={a[i].tolist()!r}" for name, a in zip(problem.argument_names, arguments))
        if not solution.converged[i]:
            reason = f"no solution: {why(problem, status)} ({status!r})"
            checks.append(Check(f"solver at point {i}", False, where=where, reason=reason, solver_failure=True))
            continue
        found = _reference_or_check(partial(truth.at, list(rows[i]), solution.value[i], order), f"point {i}", where)
        if isinstance(found, Check):
            checks.append(found)
        else:
            references[i] = found
    if not references:
        return checks
    good = tuple(np.ascontiguousarray(a[list(references)]) for a in arguments)
    points = tuple(references.values())
    for backend in backends:
        differentiable = _differentiable(problem, backend, good)
        integrated = is_propagated(problem)
        case = Case(differentiable, good, problem.argument_names, True, points, rtol, integrated)
        if backend == "numpy":
            checks.extend(checks_solve.run(problem, case, order))
        checks.extend(checks_derivatives.run(case, order, seed))
    return checks


def _truth(problem: Problem, reference: Any, shapes: Sequence[tuple[int, ...]]) -> Reference:
    if reference is None:
        return within_tolerances(problem, reference_of(problem))
    is_function = not hasattr(reference, "at")
    return within_tolerances(problem, FunctionReference(reference, shapes) if is_function else reference)


def _differentiable(problem: Problem, backend: str, arguments: tuple[np.ndarray, ...]) -> Differentiable:
    if backend == "numpy":
        from implicitops.verify.differentiation.numpy import NumpyDifferentiable

        return NumpyDifferentiable(problem)
    return _in_framework(backend, problem, arguments)


def _in_framework(backend: str, function: Callable[..., Any], arguments: Sequence[np.ndarray]) -> Differentiable:
    if backend == "tensorflow":
        from implicitops.verify.differentiation.tensorflow import TensorflowDifferentiable

        return TensorflowDifferentiable(function, arguments)
    from implicitops.verify.differentiation.theano import TheanoDifferentiable

    return TheanoDifferentiable(function, arguments)


def _reference_or_check(make: Callable[[], ReferencePoint], name: str, where: str) -> ReferencePoint | Check:
    try:
        return make()
    except KinkError as error:
        return Check(f"reference at {name}", None, where=where, reason=f"{error}; nothing is compared there")
    except NoReferenceError as error:
        return Check(f"reference at {name}", False, where=where, reason=str(error))


# -- ops and functions ------------------------------------------------------------------------------------------


def _function_checks(
    target: Any,
    at: Any,
    order: int,
    backend: str,
    reference: Callable[..., Any] | None,
    rtol: float | None,
    seed: int,
) -> list[Check]:
    if not callable(target):
        raise ArgumentError(
            f"target must be a Problem, a Theano Op or a function of variables; got {target!r:.80} of type "
            f"{type(target).__name__}."
        )
    names = _argument_names(target)
    points = function_points(at, names)
    names = names or tuple(f"argument {k}" for k in range(len(points[0])))
    try:
        differentiable = _in_framework(backend, target, points[0])
    except NotAvailableError as error:
        raise ArgumentError(str(error)) from None
    shapes = [a.shape for a in points[0]]
    truth = FunctionReference(reference or _values_of(differentiable, points[0]), shapes)
    checks: list[Check] = []
    for i, arguments in enumerate(points):
        variables = [float(v) for a in arguments for v in np.ravel(a)]
        where = ", ".join(f"{name}={a!r}" for name, a in zip(names, arguments))
        found = _reference_or_check(partial(truth.at, variables, None, order), f"point {i}", where)
        if isinstance(found, Check):
            checks.append(found)
            continue
        case = Case(differentiable, arguments, names, False, (found,), rtol)
        checks.extend(checks_derivatives.run(case, order, seed))
    return _worst_by_name(checks)


def _values_of(differentiable: Differentiable, example: Sequence[np.ndarray]) -> Callable[..., np.ndarray]:
    """The op itself as a function of floats, for want of anything better."""

    def function(*arguments: Any) -> np.ndarray:
        arrays = [np.asarray(a) for a in arguments]
        if any(a.dtype == object for a in arrays) or not all(isinstance(a, (float, np.ndarray)) for a in arguments):
            raise TypeError("an op computes in double precision")
        return differentiable.value([a.astype(e.dtype) for a, e in zip(arrays, example)])

    return function


def _worst_by_name(checks: list[Check]) -> list[Check]:
    """Of the checks with one name the failed one, else the one with the largest error in units of its tolerance."""

    def badness(check: Check) -> tuple[float, float]:
        ratio = check.error / check.tolerance if check.tolerance > 0 else 0.0
        return (1.0 if check.passed is False else 0.0 if check.passed else -1.0), (ratio if ratio == ratio else 0.0)

    worst: dict[str, Check] = {}
    for check in checks:
        if check.name not in worst or badness(check) > badness(worst[check.name]):
            worst[check.name] = check
    return list(worst.values())


def _argument_names(target: Any) -> tuple[str, ...]:
    if not inspect.isfunction(target):
        return ()
    parameters = inspect.signature(target).parameters.values()
    if any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
        return ()
    return tuple(p.name for p in parameters if p.default is p.empty)


def _name_of(target: Any) -> str:
    return str(getattr(target, "__name__", target))
