"""Why a solve ended and what it returned. No numerics lives here; the errors that say so are in errors.py."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np

from implicitops.tables import html_table

__all__ = ["Estimates", "Solution", "Status"]


class Status(enum.Enum):
    """Why the solve of one batch element ended; the value of each member is its message.

    Examples
    --------
    >>> from implicitops import Status
    >>> Status.SINGULAR.value.split(":")[0]
    'the derivative of the residual vanishes at the solution'
    """

    CONVERGED = "converged"
    NO_SIGN_CHANGE = (
        "no sign change was found: the residual has the same sign at both ends of the bracket, or at every "
        "point of the search. Give a bracket whose ends have residuals of opposite signs, or a guess"
    )
    DISCONTINUITY = (
        "the residual changes sign without passing through zero: a pole or a jump, not a root. "
        "Give a bracket that excludes it, or multiply the equation by its denominator"
    )
    MAX_STEPS = (
        "the step limit was reached before convergence. Raise max_steps, or give a better bracket or guess; of an "
        "ODE, look for a jump that its states slide along"
    )
    UNDEFINED = (
        "the residual or objective is not a real number (NaN) at the guess, at an end of the bracket or inside it, "
        "or the right-hand side of an ODE along its solution. Narrow the bracket to where it is defined, give "
        "another guess, or look for the state or parameter that leaves the range of a root or logarithm"
    )
    SINGULAR = (
        "the derivative of the residual vanishes at the solution: a multiple root, a root at infinity, a fold "
        "or a minimum with a singular Hessian, where no derivative with respect to the parameters exists. "
        "Restate the equation"
    )
    INVALID_INPUT = "a parameter is NaN or infinite. Look for the operation that produced it"
    STALLED = (
        "no step reduces the residual, which has a local minimum that is not zero, and no root was found around it. "
        "The equation may have no root here; give another guess, or a bracket"
    )
    INVALID_BRACKET = "an end of the bracket is NaN, or the two ends are equal. Give two different ends"
    NOT_A_MINIMUM = (
        "the gradient vanishes, but the point is a saddle point or a maximum from which no descent was found. Give"
        " another guess"
    )
    UNBOUNDED = (
        "the objective falls without limit, or towards a limit that it reaches nowhere, along a line from the "
        "guess. Give bounds, or look for a sign error or a missing penalty in the objective"
    )
    NON_SMOOTH = (
        "the objective has a kink or a jump where it is least, or no second derivative at the guess. Give a smooth"
        " objective, such as sqrt(x**2 + e) for Abs(x), or move the kink into bounds"
    )
    DEGENERATE_BOUND = (
        "an unknown is at a bound that does not hold it back, so that its derivative differs from side to side. "
        "Look for a parameter at the edge of its meaning, or give wider bounds"
    )
    INVALID_BOUNDS = (
        "a bound is NaN, or a lower bound is not below the upper bound. Give bounds that leave room between them"
    )
    EXTERNAL_ERROR = (
        "the external function raised an exception, which the error quotes. Call it with these inputs yourself to "
        "see where"
    )
    EXTERNAL_TIMEOUT = (
        "the external function did not return within timeout=. Raise the limit, or look for what keeps the function "
        "from ending"
    )
    EXTERNAL_SHAPE = (
        "the external function, or a derivative of it, returned something other than real numbers of the stated shape. "
        "Correct the function or outputs="
    )
    EXTERNAL_NAN = (
        "the external function, or a derivative of it, returned NaN. Look in it for the operation that produced it"
    )
    WORKER_DIED = (
        "the executor's worker died before it returned a result: a crash, a kill, or too little memory. Look for what "
        "ended it, or make such calls again with retries="
    )
    BLOW_UP = (
        "a state grows beyond all bounds before the last output time: a solution that ends in finite time, or a "
        "wrong sign in the right-hand side. Ask for earlier times, or look for what should limit the growth"
    )
    STEP_TOO_SMALL = (
        "steps became too short to move on: the right-hand side jumps, is not smooth or has a singularity there. "
        "Give the time of a jump as an event, or state a smooth right-hand side"
    )
    STIFF = (
        "the step limit was reached by an explicit method whose steps are limited by stability: the problem is "
        "stiff. Use method='auto' or 'rodas5p'"
    )
    NOT_LIPSCHITZ = (
        "the derivative of the right-hand side by the states is infinite at the start or after an event, such as "
        "that of sqrt(y) at y = 0: more than one solution may begin there. Start beside that point, or restate the "
        "equation"
    )
    BEFORE_START = (
        "an output time or an event lies before t0, where the solution does not exist. Leave it out, or start earlier"
    )
    DIVERGENT = (
        "the integral has no finite value, or converges too slowly to tell: the integrand, or a derivative of it "
        "that was asked for, grows too fast at a point or falls too slowly towards infinity. Look for a pole in the"
        " range"
    )
    SLOW_TAIL = (
        "the integrand, or a derivative of it that was asked for, oscillates towards infinity and falls off too "
        "slowly or too irregularly to extrapolate its integral. Look for a missing decay, or give finite limits"
    )
    PEAK_MISSED = (
        "the integrand is 0 wherever it was evaluated, though not everywhere: all of it lies in a peak too narrow "
        "to find. Give the place of the peak as a break point, or narrower limits"
    )
    ROUGH = (
        "the integrand jumps or is singular at a point inside the range that is not known beforehand. Give the "
        "point as a break point"
    )
    INVALID_LIMITS = (
        "a limit of integration or a break point is not a finite number at these parameters. Look for the "
        "expression that is undefined there; a limit that is always infinite is stated as oo"
    )
    DERIVATIVE_UNDEFINED = (
        "the value is a solution, but a derivative of it is not a finite number: it does not exist there, or its "
        "expression overflows or is 0/0. Ask for the value alone, or restate the equation so that its derivatives "
        "are numbers there"
    )
    DERIVATIVE_INACCURATE = (
        "the value is a solution, but rounding errors may change a derivative of it by more than a thousandth of it. "
        "Look for terms that cancel (an expanded polynomial, say) or a nearly singular system, or use "
        "solve(..., throw=False) with jacobian_error and hessian_error"
    )
    INVALID_GUESS = (
        "the guess is not a finite number, although all parameters are, or it lies outside the bracket that was given "
        "with it. Look for the expression in guess= that is undefined there, or give another guess"
    )

    def __repr__(self) -> str:
        return f"Status.{self.name}"

    @classmethod
    def from_code(cls, code: int) -> Status:
        """Status of a kernel's integer code (the order of ``iop_status`` in csrc/implicitops.h)."""
        return _BY_CODE[code]

    @property
    def code(self) -> int:
        """Integer by which kernels and graphs name this status."""
        return _BY_CODE.index(self)


_BY_CODE = tuple(Status)
_MEMBERS = np.array(_BY_CODE, dtype=object)


@dataclass(frozen=True)
class Estimates:
    """Estimated absolute errors of a :class:`Solution`, each None where the method has none.

    Parameters
    ----------
    value : ndarray of the shape of the value; for the finite differences of ``External``, of the highest derivative
    jacobian : ndarray of the shape of the Jacobian
    hessian : ndarray of the shape of the Hessian
    """

    value: np.ndarray | None = None
    jacobian: np.ndarray | None = None
    hessian: np.ndarray | None = None


@dataclass(frozen=True)
class Solution:
    """Result of :meth:`Problem.solve`: the answer, its derivatives and why each solve ended.

    Parameters
    ----------
    value : ndarray (...), or (..., n) for a vector unknown; NaN where the solve failed. With a status
        DERIVATIVE_UNDEFINED or DERIVATIVE_INACCURATE it is a solution
    jacobian : ndarray (..., p) or (..., n, p), or None if not asked for
        Derivative with respect to the parameters, flattened in the order of ``problem.params``.
    hessian : ndarray (..., p, p) or (..., n, p, p), or None if not asked for
    status_code : int32 ndarray (...), codes of :class:`Status`
    estimates : Estimates, or a function that makes them when they are first looked at
    stats : mapping of a counter's name to an int64 ndarray (...)
    time_derivative : ndarray of the shape of ``value``, or None
        Derivative of each row with respect to its own output time, along with the Jacobian of an ODE.
    """

    value: np.ndarray
    jacobian: np.ndarray | None
    hessian: np.ndarray | None
    status_code: np.ndarray
    estimates: Estimates | Callable[[], Estimates] = field(default=Estimates(), repr=False)
    stats: Mapping[str, np.ndarray] = field(default_factory=dict)
    time_derivative: np.ndarray | None = None

    @property
    def error_estimate(self) -> np.ndarray | None:
        """Estimated absolute error of the value, or None where the method has none.

        For the finite differences of ``External`` it is that of the derivative, with the shape of ``jacobian``. That of
        an ``ODE`` takes a second integration, which is made when an estimate is first looked at.
        """
        return self._estimates.value

    @property
    def jacobian_error(self) -> np.ndarray | None:
        """Estimated absolute error of each entry of the Jacobian, or None where the method has none.

        It is that of rounding and of what the error of the value makes of the derivative; NaN where it is not known.
        """
        return self._estimates.jacobian

    @property
    def hessian_error(self) -> np.ndarray | None:
        """Estimated absolute error of each entry of the Hessian, or None where the method has none."""
        return self._estimates.hessian

    @cached_property
    def _estimates(self) -> Estimates:
        return self.estimates() if callable(self.estimates) else self.estimates

    def __getstate__(self) -> dict[str, Any]:
        # What would make the estimates holds compiled code: they go along themselves.
        return {f.name: self._estimates if f.name == "estimates" else getattr(self, f.name) for f in fields(self)}

    def _repr_html_(self) -> str:
        """Table for notebooks: the first batch elements, and the message of each status among all of them."""
        batch, most = self.status_code.shape, 20
        count = self.status_code.size
        rows = []
        # Estimates that would have to be computed first are left out.
        errors = self.estimates.value if isinstance(self.estimates, Estimates) else None
        for index in list(np.ndindex(*batch))[:most]:
            row = [", ".join(map(str, index)) or "-", _numbers(self.value[index])]
            row += [] if self.jacobian is None else [_numbers(self.jacobian[index])]
            row += [] if errors is None else [_numbers(errors[index])]
            rows.append([*row, Status.from_code(int(self.status_code[index])).name])
        header = ["element", "value", *(["Jacobian"] if self.jacobian is not None else [])]
        header += [*(["error estimate"] if errors is not None else []), "status"]
        statuses = [Status.from_code(int(code)) for code in np.unique(self.status_code)]
        notes = [f"{count - most} more elements are not shown."] if count > most else []
        notes += [f"{status.name}: {status.value}." for status in statuses if status is not Status.CONVERGED]
        title = f"Solution: {np.count_nonzero(self.status_code == 0)} of {count} converged"
        return html_table(title, header, rows, notes)

    @property
    def status(self) -> Any:
        """:class:`Status` of each batch element: one member, or an object array of members."""
        return _MEMBERS[self.status_code]

    @property
    def converged(self) -> Any:
        """Boolean of each batch element: True where ``value`` is a solution, and so are the derivatives asked for."""
        return self.status_code == 0


def _numbers(values: np.ndarray) -> str:
    """A number or an array in few digits, shortened where it is long."""
    return np.array2string(np.asarray(values), precision=6, threshold=12, edgeitems=2, separator=", ")
