"""What the tolerances of an ODE allow: how far its answer and derivatives may be from the truth.

A step may be wrong by ``rtol*abs(z) + atol``, where z is a state or a derivative of one (of a derivative atol counts
in units of its parameters). What such errors amount to at an output depends on the problem, which may damp them or let
them grow. So errors of random sign and of that size are made along the way, in an integration of its own in double
precision, and their effects are measured.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import mpmath
import numpy as np

from implicitops.errors import NoReferenceError, TooManySteps
from implicitops.problems.ode import ODE
from implicitops.verify.extrapolation import Control, Step, chosen_steps, repeated
from implicitops.verify.ode_path import Path, Stop
from implicitops.verify.reference import Reference, ReferencePoint, within_tolerances
from implicitops.verify.stencil import Derivatives, Stencil

#: The global error in units of the effect of one error, times the square root of the number of states, because it is
#: their root mean square error that the tolerances limit. Over the problems of ode_problems.py that are neither stiff
#: nor sensitive, with each method and rtol from 1e-4 to 1e-10, it reaches 4 in values and 1.4 in derivatives.
GLOBAL = 20
#: Relative change of an answer, for a relative change of a parameter, above which errors of ``KICK`` are not small.
SENSITIVE = 1e3
#: Random signs that are tried.
N_SAMPLES = 16
#: Relative size of the errors that are made, so small that their effects are proportional to them.
KICK = 1e-5
#: Relative step of a parameter for derivatives of these effects.
STEP = 1e-4
#: Error of a step of these integrations, relative to each state or its derivatives, whichever is larger.
PRECISION = 1e-5
#: Few columns make short steps, and one error belongs to each.
COLUMNS = (5, 8)
MAX_EVALUATIONS = 20_000
EPS = float(np.finfo(np.float64).eps)


class WithinTolerances:
    """A reference for an ODE whose bounds are what its ``rtol`` and ``atol`` allow.

    The bound on an element is ``GLOBAL*sqrt(n)`` times the root mean square effect of one error as large as the
    tolerances, made somewhere along the way, for n states. That effect is measured with random errors in m places,
    whose sum is sqrt(m) times as large.

    Where it cannot be measured, because the problem is stiff for the explicit method that is used or so sensitive that
    small errors grow large, it is taken to be ``(1 + g)*(rtol*max(abs(z)) + atol)`` with the maximum over the output
    times so far, and g the largest relative change of a state for a relative change of a parameter.

    Parameters
    ----------
    problem : ODE
    truth : Reference
    """

    def __init__(self, problem: ODE, truth: Reference) -> None:
        self.problem, self.truth = problem, truth

    def at(self, variables: Sequence[float], near: Any, order: int = 1) -> ReferencePoint:
        """Reference at one point: the parameters, then the output times."""
        point = self.truth.at(variables, near, order)
        p = len(self.problem.parameter_symbols)
        parameters, times = np.array(variables[:p], dtype=float), np.array(variables[p:], dtype=float)
        growth = _growth(point, parameters, times)
        effects = self._measured(parameters, times, order) if growth.max() < SENSITIVE else None
        if effects is None:
            point = replace(point, estimated=True)
            effects = self._estimated(point, parameters, times, growth)
        point = _widened(point, effects, GLOBAL * math.sqrt(len(self.problem.states)), len(times))
        return together(point, parameters) if self.problem.sensitivity_method == "adjoint" else point

    def _measured(self, parameters: np.ndarray, times: np.ndarray, order: int) -> Derivatives | None:
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore", RuntimeWarning)
                effects = _Experiment(self.problem, parameters, times, order).effects()
        except (NoReferenceError, TooManySteps):
            return None
        every = (effects.value, effects.jacobian, 0.0 if effects.hessian is None else effects.hessian)
        return effects if all(np.isfinite(effect).all() for effect in every) else None

    def _estimated(
        self, point: ReferencePoint, parameters: np.ndarray, times: np.ndarray, growth: np.ndarray
    ) -> Derivatives:
        """What one error amounts to if it grows as the sensitivities do."""
        rows, p = len(times), len(parameters)
        so_far = [np.flatnonzero(times <= t) for t in times]
        found = _rows(point, rows, p)
        unit = np.append(_units(parameters), 0)

        def estimated(derivative: np.ndarray, units: Any) -> np.ndarray:
            size = np.array([abs(derivative[earlier]).max(axis=0) for earlier in so_far])
            effect: np.ndarray = rtol * size + np.max(atol) * units
            return effect * (1 + growth).reshape(-1, *[1] * (effect.ndim - 1))

        rtol, atol = _tolerances(self.problem)
        value = estimated(found.value, 1.0)
        speed = self._speed(found.value, value, parameters, times)
        jacobian = estimated(found.jacobian, unit)
        jacobian[..., -1] += speed * value
        if found.hessian is None:
            return Derivatives(value, jacobian, None)
        hessian = estimated(found.hessian, np.outer(unit, unit))
        hessian[..., -1] += speed[..., None] * jacobian
        hessian[..., -1, :] += speed[..., None] * jacobian
        return Derivatives(value, jacobian, hessian)

    def _speed(self, values: np.ndarray, errors: np.ndarray, parameters: np.ndarray, times: np.ndarray) -> np.ndarray:
        """How much larger than its own error that of each output's rate can be, (T, m)."""
        path = Path(self.problem, precise=False)
        rates = {s.index: path.rate(s.truths) for s in path.stops(parameters, times)[0] if s.kind == "output"}
        speed = np.zeros_like(values)
        for k, t in enumerate(times):
            if self.problem.outputs is not None:
                speed[k] = np.inf  # the states are not known, so that nothing can be said
                continue
            here = rates[k](t, values[k], parameters)
            for i, error in enumerate(errors[k]):
                there = values[k].copy()
                there[i] += error
                speed[k] += abs(rates[k](t, there, parameters) - here) / errors[k]
        return speed


@within_tolerances.register(ODE)
def _(problem: ODE, truth: Reference) -> WithinTolerances:
    return WithinTolerances(problem, truth)


class _Experiment:
    """Integrations with errors of the size of the tolerances, at all points of a stencil and with many random signs."""

    def __init__(self, problem: ODE, parameters: np.ndarray, times: np.ndarray, order: int) -> None:
        self.problem, self.times = problem, times
        self.path = Path(problem, precise=False)
        self.stops, _ = self.path.stops(parameters, times)
        moments = self.path.moments(parameters)
        units = np.append(_units(parameters), 1 / (np.max(times, initial=moments[0] + EPS) - moments[0] or 1.0))
        self.scales = 1 / units
        self.stencil = Stencil(STEP * self.scales, order)
        self.units = np.append(units[:-1], 0.0)  # no error is made in a derivative by an output time
        self.rtol, self.atol = _tolerances(problem)
        self.rng = np.random.default_rng(0)
        centre = np.append(parameters, 0.0)[:, None] + self.stencil.offsets
        self.parameters, self.shift = centre[:-1], centre[-1]

    def effects(self) -> Derivatives:
        """Root mean square effect of one error."""
        steps, largest = self._steps()
        # The largest error is KICK, relative to the largest value of its state.
        scale = KICK / float(np.max(self.rtol + self.atol / np.where(largest > 0, largest, 1.0)))
        moments, (y, n_kicks) = self.path.moments(self.parameters), (self.path.initial(self.parameters), 0)
        t, y = moments[0], np.repeat(y[:, None], 1 + N_SAMPLES, axis=1)
        rows: list[Any] = [None] * len(self.times)
        for stop, stretch in zip(self.stops, steps):
            then, rate = self._moment(stop, moments), self._rate(stop, self.parameters)
            for step in stretch:
                y = repeated(rate, t, y, then - t, [step])
                if step.columns:
                    y, n_kicks = y + scale * self._errors(y), n_kicks + 1
            t = then
            if stop.kind == "event":
                y = self.path.change(stop.index, t, y, self.parameters)
            elif stop.kind == "output":
                # Errors are made at times that stay where they are; only the look at the answer comes later.
                seen = repeated(rate, t, y + scale * self._errors(y), self.shift, [Step(0.0, 1.0, 2)])
                rows[stop.index] = self.path.output(t + self.shift, seen, self.parameters) / math.sqrt(n_kicks + 1)
        # Derivatives are taken before the samples are compared, so that those of the stencil's points cancel.
        found = self.stencil.derivatives(np.array([row - row[:, :1] for row in rows])[:, :, 1:])

        def root_mean_square(effects: np.ndarray) -> np.ndarray:
            return np.sqrt(np.mean(effects**2, axis=2)) / scale

        second = None if found.hessian is None else root_mean_square(found.hessian)
        return Derivatives(root_mean_square(found.value), root_mean_square(found.jacobian), second)

    def _steps(self) -> tuple[list[list[Step]], np.ndarray]:
        """Steps of the whole stencil without errors, and the largest value of each state on the way."""
        moments, y = self.path.moments(self.parameters), self.path.initial(self.parameters)
        t, largest, steps = moments[0], abs(y[:, 0]), []
        control = Control(lambda y: self.stencil.scaled(y, self.scales), PRECISION, MAX_EVALUATIONS, COLUMNS)
        for stop in self.stops:
            then = self._moment(stop, moments)
            found, y = chosen_steps(self._rate(stop, self.parameters), t, y, then - t, control)
            t, largest = then, np.maximum(largest, abs(y[:, 0]))
            if stop.kind == "event":
                y = self.path.change(stop.index, t, y, self.parameters)
            steps.append(found)
        return steps, largest

    def _errors(self, y: np.ndarray) -> np.ndarray:
        """Errors (n, 1 + samples, points) that the tolerances allow at states y; none in the first sample."""
        found = self.stencil.derivatives(y[:, 0])
        n, q = found.jacobian.shape
        signs = self.rng.choice([-1.0, 1.0], (n, 1 + N_SAMPLES, 1 + q + q * q))
        signs[:, 0] = 0
        errors = (self.rtol * abs(found.value) + self.atol)[:, None] * signs[..., 0]
        first = self.rtol * abs(found.jacobian) + self.atol[:, None] * self.units
        first[:, self.units == 0] = 0
        result = errors[..., None] + (first[:, None] * signs[..., 1 : 1 + q]) @ self.stencil.offsets
        if found.hessian is not None:
            second = self.rtol * abs(found.hessian) + self.atol[:, None, None] * np.outer(self.units, self.units)
            second[:, self.units == 0] = second[:, :, self.units == 0] = 0
            curved = second[:, None] * signs[..., 1 + q :].reshape(n, -1, q, q)
            result += np.einsum("isab,ak,bk->isk", curved, self.stencil.offsets, self.stencil.offsets) / 2
        return result

    def _rate(self, stop: Stop, parameters: np.ndarray) -> Any:
        function = self.path.rate(stop.truths)
        return lambda t, y: function(t, y, parameters)

    def _moment(self, stop: Stop, moments: np.ndarray) -> Any:
        return self.path.moment(stop, moments, self.times, 0.0)


def _tolerances(problem: ODE) -> tuple[float, np.ndarray]:
    return max(problem.options.rtol, 4 * EPS), np.array(problem.options.atol)


def _units(parameters: np.ndarray) -> np.ndarray:
    sizes = abs(parameters)
    return 1 / np.where(sizes > 0, sizes, 1.0)


def together(point: ReferencePoint, parameters: np.ndarray) -> ReferencePoint:
    """The same with the largest of its bounds for all parameters, in units of each: the adjoint method has one error.

    Parameters
    ----------
    point : ReferencePoint with a Jacobian
    parameters : ndarray (p,)
    """
    assert point.jacobian_bound is not None
    units, bound = _units(parameters), point.jacobian_bound.copy()
    largest = (bound[:, : len(units)] / units).max(axis=1, initial=mpmath.mpf(0))
    bound[:, : len(units)] = largest[:, None] * units
    return replace(point, jacobian_bound=bound)


def _growth(point: ReferencePoint, parameters: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Largest relative change of an answer so far for a relative change of a parameter, (T,)."""
    found = _rows(point, len(times), len(parameters))
    moved = abs(found.jacobian[..., :-1] * parameters).max(axis=-1, initial=0.0)
    size = abs(found.value).max(axis=0)
    relative = (moved / np.where(size > 0, size, 1.0)).max(axis=-1)
    return np.array([relative[times <= t].max() for t in times])


def _rows(point: ReferencePoint, rows: int, p: int) -> Derivatives:
    """Inverse of :func:`spread`, in double precision."""
    value = point.value.astype(float).reshape(rows, -1)
    m = value.shape[1]
    own = [[*range(p), p + k] for k in range(rows)]

    def gathered(derivative: np.ndarray | None) -> np.ndarray:
        assert derivative is not None
        blocks = derivative.astype(float).reshape(rows, m, *derivative.shape[1:])
        return np.array([block[np.ix_(range(m), *[c] * (block.ndim - 1))] for block, c in zip(blocks, own)])

    second = None if point.hessian is None else gathered(point.hessian)
    return Derivatives(value, gathered(point.jacobian), second)


def spread(derivative: np.ndarray, rows: int) -> np.ndarray:
    """Derivatives (T m, q, ...) whose last column is each row's own time, with a column for each of the times instead.

    Parameters
    ----------
    derivative : object ndarray, its rows first
    rows : int, output times
    """
    m, p = len(derivative) // max(rows, 1), derivative.shape[1] - 1
    result = np.empty((len(derivative), *[p + rows] * (derivative.ndim - 1)), dtype=object)
    result[...] = mpmath.mpf(0)
    for k in range(rows):
        own, columns = range(k * m, (k + 1) * m), [*range(p), p + k]
        result[np.ix_(own, *[columns] * (derivative.ndim - 1))] = derivative[k * m : (k + 1) * m]
    return result


def _widened(point: ReferencePoint, effects: Derivatives, factor: float, rows: int) -> ReferencePoint:
    def bound(old: Any, effect: np.ndarray) -> np.ndarray:
        flat = np.empty(effect.shape, dtype=object)
        for index, number in np.ndenumerate(factor * effect):
            flat[index] = mpmath.mpf(float(number)) if math.isfinite(number) else mpmath.inf
        flat = flat.reshape(-1, *effect.shape[2:])
        return old + (spread(flat, rows) if flat.ndim > 1 else flat)

    bounds: dict[str, Any] = {"value_bound": bound(point.value_bound, effects.value)}
    if point.jacobian is not None:
        bounds["jacobian_bound"] = bound(point.jacobian_bound, effects.jacobian)
    if point.hessian is not None:
        assert effects.hessian is not None
        bounds["hessian_bound"] = bound(point.hessian_bound, effects.hessian)
    return replace(point, **bounds)
