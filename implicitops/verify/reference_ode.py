"""The true solution of an ODE's own SymPy statement, its derivatives, and the error that its tolerances allow.

The states are integrated with 60 digits; derivatives are differences of that solution, not of any formula. What the
tolerances allow is worked out in ode_tolerance.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from implicitops.errors import NoReferenceError, TooManySteps
from implicitops.problems.ode import ODE
from implicitops.verify.decimals import as_decimal, as_mpf, digits
from implicitops.verify.differences import digits_for
from implicitops.verify.extrapolation import Control, chosen_steps
from implicitops.verify.ode_path import Path, Stop
from implicitops.verify.ode_tolerance import spread
from implicitops.verify.reference import ReferencePoint, reference_of
from implicitops.verify.stencil import Derivatives, Stencil

DIGITS = 60
#: Steps of the differences, relative to the variable: derivatives are exact to the square of that.
STEP = "1e-16"
#: Error of a step of the reference, relative to each state, and to its derivatives where those are larger.
TRUNCATION = "1e-22"
#: Evaluations of the right-hand side for one solution: a second or so, for a few states.
MAX_EVALUATIONS = 40_000


class ODEReference:
    """Reference solutions of an :class:`~implicitops.ODE`.

    Extrapolation integrates the states from moment to moment (start, events, switches, output times), each time from 0
    to 1, so that the solution is a smooth function of the parameters whatever the moments depend on. Neighbouring
    parameters take the same steps, which are as short as the derivatives need them. An output at the very time of an
    event is the one after it, and its derivatives are those from that side.

    Parameters
    ----------
    problem : ODE

    Examples
    --------
    >>> import mpmath, sympy as sp, implicitops as iop
    >>> from implicitops.verify.reference_ode import ODEReference
    >>> x, k = sp.symbols("x k")
    >>> reference = ODEReference(iop.ODE({x: -k * x}, [k], initial={x: 1}))
    >>> mpmath.nstr(reference.at([2.0, 0.5], order=1).jacobian[0, 0], 20)
    '-0.1839397205857211608'
    """

    def __init__(self, problem: ODE) -> None:
        self.path = Path(problem, precise=True)

    def at(self, variables: Sequence[float], near: Any = None, order: int = 1) -> ReferencePoint:
        """Reference at one point: the parameters, then the output times; ``near`` is ignored.

        Raises
        ------
        NoReferenceError : the problem is stiff, or otherwise needs too many explicit steps
        """
        p = self.path.n_parameters
        point, times = [float(v) for v in variables[:p]], [float(v) for v in variables[p:]]
        with digits(digits_for(point, DIGITS)):
            solution = _Solution(self.path, point, times)
            found = solution.derivatives(max(order, 1))
            value, jacobian, hessian = (
                None if d is None else _as_mpf(d.reshape(-1, *d.shape[2:]))
                for d in (found.value, found.jacobian, found.hessian)
            )
        rows = len(times)
        fields = {
            "value": value,
            "jacobian": None if jacobian is None else spread(jacobian, rows),
            "hessian": None if hessian is None else spread(hessian, rows),
        }
        bounds = {f"{name}_bound": None if array is None else 0 * array for name, array in fields.items()}
        return ReferencePoint(**fields, **bounds, one_sided=solution.one_sided)  # type: ignore[arg-type]


class _Solution:
    """Outputs at all times as a function of the parameters and of a shift of all times.

    Each row depends on its own output time alone, so that one shift moves each row by its own.
    """

    def __init__(self, path: Path, point: Sequence[float], times: Sequence[float]) -> None:
        self.path, self.times = path, [as_decimal(t) for t in times]
        self.point = np.array([*map(as_decimal, point), Decimal(0)], dtype=object)
        self.stops, self.one_sided = path.stops(self.point[:-1], times)

    def derivatives(self, order: int) -> Derivatives:
        """Value (T, m), Jacobian and Hessian, by the parameters and the shift."""
        units = np.array([abs(v) or Decimal(1) for v in self.point])
        stencil = Stencil(units * Decimal(STEP), order)
        control = Control(lambda y: stencil.scaled(y, units), Decimal(TRUNCATION), MAX_EVALUATIONS)
        return stencil.derivatives(self._run(self.point[:, None] + stencil.offsets, control))

    def _run(self, variables: np.ndarray, control: Control) -> np.ndarray:
        parameters, shift = variables[:-1], variables[-1]
        moments = self.path.moments(parameters)
        t, y = moments[0], self.path.initial(parameters)
        rows: list[Any] = [None] * len(self.times)
        for stop in self.stops:
            then = self.path.moment(stop, moments, self.times, shift)
            try:
                _, y = chosen_steps(self._rate(stop, parameters), t, y, then - t, control)
            except TooManySteps:
                raise _too_long(np.ravel(t)[0]) from None
            t = then
            if stop.kind == "event":
                y = self.path.change(stop.index, t, y, parameters)
            elif stop.kind == "output":
                rows[stop.index] = self.path.output(t, y, parameters)
        return np.array(rows, dtype=object)

    def _rate(self, stop: Stop, parameters: np.ndarray) -> Any:
        function = self.path.rate(stop.truths)
        return lambda t, y: function(t, y, parameters)


def _as_mpf(array: np.ndarray) -> np.ndarray:
    result = np.empty(array.shape, dtype=object)
    for index, value in np.ndenumerate(array):
        result[index] = as_mpf(value)
    return result


def _too_long(t: Any) -> NoReferenceError:
    return NoReferenceError(
        f"the reference, an explicit method, needs more than {MAX_EVALUATIONS} evaluations and came to t = "
        f"{float(t):.6g}: the problem is stiff, long or not smooth. Pass reference=, the true value as a function of "
        "the parameters and the times, or an object whose method at returns a ReferencePoint; or "
        "check at earlier times."
    )


@reference_of.register(ODE)
def _(problem: ODE) -> ODEReference:
    return ODEReference(problem)
