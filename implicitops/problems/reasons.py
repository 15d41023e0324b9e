"""What a status means for one kind of problem, where its general text speaks of other kinds as well."""

from __future__ import annotations

from collections.abc import Mapping

from implicitops.status import Status

_ROOT: dict[Status, str] = {
    Status.MAX_STEPS: (
        "the step limit was reached before convergence. Raise max_steps, or give a better bracket or guess"
    ),
    Status.UNDEFINED: (
        "the residual is not a real number (NaN) at the guess, at an end of the bracket or inside it. Narrow the "
        "bracket to where it is defined, give another guess, or look for the unknown or parameter that leaves the "
        "range of a root or logarithm"
    ),
    Status.SINGULAR: (
        "the derivative of the residual vanishes at the solution: a multiple root, a root at infinity or a fold, where "
        "no derivative with respect to the parameters exists. Restate the equation"
    ),
}

_FIXED_POINT: dict[Status, str] = {
    Status.MAX_STEPS: "the step limit was reached before convergence. Raise max_steps, or give a better guess",
    Status.UNDEFINED: (
        "the update g(x) is not a real number (NaN) at the guess or at a point on the way. Give another guess, or look "
        "for the unknown or parameter that leaves the range of a root or logarithm"
    ),
    Status.SINGULAR: (
        "the derivative of x - g(x) vanishes at the fixed point, where no derivative with respect to the parameters "
        "exists. Restate the equation"
    ),
}

_MINIMUM: dict[Status, str] = {
    Status.MAX_STEPS: "the step limit was reached before convergence. Raise max_steps, or give a better guess",
    Status.UNDEFINED: (
        "the objective, or a derivative of it, is not a real number (NaN) at the guess or at a point on the way. Give "
        "another guess or bounds, or look for the unknown or parameter that leaves the range of a root or logarithm"
    ),
    Status.SINGULAR: (
        "the Hessian of the objective is singular at the minimum, where no derivative with respect to the parameters "
        "exists. Restate the objective, or fix an unknown that it does not determine"
    ),
}

_ODE: dict[Status, str] = {
    Status.MAX_STEPS: (
        "the step limit was reached before the last output time. Raise max_steps, loosen the tolerances, or look for a "
        "jump that the states slide along, or for periods that are far too short"
    ),
    Status.UNDEFINED: (
        "the right-hand side, an initial value, an event or a derivative of one of them is not a real number (NaN), or "
        "overflows. Look for the state, parameter or time that leaves the range of a root, a logarithm or the pieces "
        "of a Piecewise"
    ),
    Status.DISCONTINUITY: (
        "the solution passes a point where the right-hand side jumps or is infinite although no condition says so, as "
        "atan(1/x) at x = 0: the value can be computed, its derivatives cannot. Ask for the value alone, or state the "
        "branch that is meant, such as pi/2 - atan(x)"
    ),
    Status.INVALID_INPUT: "a parameter or an output time is NaN or infinite. Look for the operation that produced it",
}

_INTEGRAL: dict[Status, str] = {
    Status.MAX_STEPS: (
        "the step limit was reached before the integral was known well enough. Raise max_steps, loosen the tolerances, "
        "or give the places of peaks, kinks and jumps as break points"
    ),
    Status.UNDEFINED: (
        "the integrand, or a derivative of it that was asked for, is not a real number (NaN) at a point of the range, "
        "or overflows there. Narrow the limits to where it is defined, or look for the variable or parameter that "
        "leaves the range of a root or logarithm"
    ),
}

_EXTERNAL: dict[Status, str] = {
    Status.INVALID_INPUT: "an input is NaN or infinite. Look for the operation that produced it",
}

#: Texts that replace the general ones, by the name of the kind of problem that they are for.
REASONS: Mapping[str, Mapping[Status, str]] = {
    "Root": _ROOT,
    "FixedPoint": _FIXED_POINT,
    "Minimum": _MINIMUM,
    "ODE": _ODE,
    "Integral": _INTEGRAL,
    "External": _EXTERNAL,
}


def reason(problem: object, status: Status) -> str:
    """Why a solve of a problem ended, and what to do.

    Parameters
    ----------
    problem : Problem
    status : Status

    Returns
    -------
    str, the status' own text where it holds for every kind

    Examples
    --------
    >>> import sympy as sp, implicitops as iop
    >>> from implicitops.problems.reasons import reason
    >>> x, k = sp.symbols("x k")
    >>> reason(iop.ODE({x: -k*x}, [k], initial={x: 1}), iop.Status.INVALID_INPUT)
    'a parameter or an output time is NaN or infinite. Look for the operation that produced it'
    """
    return REASONS.get(type(problem).__name__, {}).get(status, status.value)
