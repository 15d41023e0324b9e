"""What the tolerances of an ODE allow: how far its answer and derivatives may be from the truth.

A step may be wrong by ``rtol*abs(z) + atol``, where z is a state or a derivative of one (of a derivative atol counts
in units of its parameters). What such errors amount to at an output depends on the problem, which may damp them or let
them grow. So errors of random sign and of that size are made along the way, in an integration of its own in double
precision, and their effects are measured.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import mpmath
import numpy as np

from implicitops.problems.ode import ODE
from implicitops.testing.extrapolation import Step, TooManySteps, chosen_steps, repeated
from implicitops.testing.ode_path import Path, Stop
from implicitops.testing.reference import NoReferenceError, Reference, ReferencePoint, within_tolerances

#: Covers that the effects are estimated from a sample, and that an answer is interpolated within a step.
SAFETY = 2
#: Random signs that are tried.
N_SAMPLES = 16
#: Relative size of the errors that are made, so small that their effects are proportional to them.
KICK = 1e-5
#: Relative step of a parameter for derivatives of these effects.
STEP = 1e-4
#: Few columns make short steps, and one error belongs to each.
COLUMNS = (5, 8)
MAX_EVALUATIONS = 20_000
#: Steps of a solver that does not say how many it took.
UNKNOWN_STEPS = 1000
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Derivatives:
    """Value and derivatives row by row, or errors of them: (T, m), (T, m, q), (T, m, q, q), with the own time last."""

    value: np.ndarray
    jacobian: np.ndarray
    hessian: np.ndarray | None


class Stencil:
    """Points around a centre at which a function is evaluated, and the differences that are its derivatives.

    Parameters
    ----------
    steps : ndarray (q,)
    order : 1 or 2
    """

    def __init__(self, steps: np.ndarray, order: int) -> None:
        q = len(steps)
        pairs = list(itertools.combinations(range(q), 2)) if order >= 2 else []
        moves = [np.zeros(q), *(sign * row for row in np.eye(q) for sign in (1, -1))]
        moves += [sign * (np.eye(q)[a] + np.eye(q)[b]) for a, b in pairs for sign in (1, -1)]
        self.offsets = np.array(moves) * steps
        n = len(moves)
        self.first, self.second = np.zeros((q, n)), np.zeros((q, q, n))
        for a in range(q):
            above, below = 1 + 2 * a, 2 + 2 * a
            self.first[a, [above, below]] = 0.5, -0.5
            self.second[a, a, [0, above, below]] = -2, 1, 1
        for k, (a, b) in enumerate(pairs):
            weights = np.zeros(n)
            weights[[1 + 2 * q + 2 * k, 2 + 2 * q + 2 * k, 0]] = 0.5, 0.5, 1
            weights[[1 + 2 * a, 2 + 2 * a, 1 + 2 * b, 2 + 2 * b]] = -0.5
            self.second[a, b] = self.second[b, a] = weights
        self.first /= steps[:, None]
        self.second /= (steps[:, None] * steps)[:, :, None]
        self.order = order

    def derivatives(self, values: np.ndarray) -> Derivatives:
        """Derivatives of values (..., points)."""
        second = np.einsum("...k,abk->...ab", values, self.second) if self.order >= 2 else None
        return Derivatives(values[..., 0], values @ self.first.T, second)


class WithinTolerances:
    """A reference for an ODE whose bounds are what its ``rtol`` and ``atol`` allow.

    With N the steps that the solver took and n the states, the bound on an element is ``2 sqrt(n) N s / sqrt(m)``. Here
    s is the root mean square effect of errors as large as the tolerances, of random sign, in each of m places along the
    way; so N errors that all act in the same direction are covered. The factor sqrt(n) is there because the tolerances
    bound the root mean square of the states' errors. Where this cannot be worked out, the problem being stiff for the
    explicit method that is used, errors are taken to be damped: s / sqrt(m) is then ``rtol*max(abs(z)) + atol``, with
    the maximum over the output times so far.

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
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore", RuntimeWarning)
                effects = _Experiment(self.problem, parameters, times, order).effects()
        except (NoReferenceError, TooManySteps, FloatingPointError):
            effects = None
        if effects is None or not np.isfinite(effects.value).all():
            effects = self._damped(point, parameters, times)
        factor = SAFETY * math.sqrt(len(self.problem.states)) * self._steps(parameters, times, order)
        return _widened(point, effects, factor, len(times))

    def _steps(self, parameters: np.ndarray, times: np.ndarray, order: int) -> int:
        arguments = _grouped(self.problem, parameters)
        solution = self.problem.solve(*arguments, times=times, derivatives=order, throw=False)
        return max(1, int(solution.stats.get("steps", UNKNOWN_STEPS)))

    def _damped(self, point: ReferencePoint, parameters: np.ndarray, times: np.ndarray) -> Derivatives:
        """What one step's error amounts to if it neither grows nor is felt for long."""
        rows, p = len(times), len(parameters)
        so_far = [np.flatnonzero(times <= t) for t in times]
        found = _rows(point, rows, p)
        unit = np.append(_units(parameters), 0)

        def damped(derivative: np.ndarray, units: Any) -> np.ndarray:
            size = np.array([abs(derivative[earlier]).max(axis=0) for earlier in so_far])
            rtol, atol = _tolerances(self.problem)
            return rtol * size + np.max(atol) * units

        value = damped(found.value, 1.0)
        speed = self._speed(found.value, value, parameters, times)
        jacobian = damped(found.jacobian, unit)
        jacobian[..., -1] += speed * value
        if found.hessian is None:
            return Derivatives(value, jacobian, None)
        hessian = damped(found.hessian, np.outer(unit, unit))
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
        self.stencil = Stencil(STEP / units, order)
        self.units = np.append(units[:-1], 0.0)  # no error is made in a derivative by an output time
        self.rtol, self.atol = _tolerances(problem)
        self.rng = np.random.default_rng(0)
        self.n_kicks = 0
        centre = np.append(parameters, 0.0)[:, None] + self.stencil.offsets.T
        self.parameters, self.shift = centre[:-1], centre[-1]

    def effects(self) -> Derivatives:
        """Root mean square effect of the errors, each divided by the square root of their number so far."""
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
                seen = y + scale * self._errors(y)
                rows[stop.index] = self.path.output(t, seen, self.parameters) / math.sqrt(n_kicks + 1)
        # Derivatives are taken before the samples are compared, so that those of the stencil's points cancel.
        found = self.stencil.derivatives(np.array([row - row[:, :1] for row in rows])[:, :, 1:])

        def root_mean_square(effects: np.ndarray) -> np.ndarray:
            return np.sqrt(np.mean(effects**2, axis=2)) / scale

        second = None if found.hessian is None else root_mean_square(found.hessian)
        return Derivatives(root_mean_square(found.value), root_mean_square(found.jacobian), second)

    def _steps(self) -> tuple[list[list[Step]], np.ndarray]:
        """Steps at the centre of the stencil, and the largest value of each state on the way."""
        parameters = self.parameters[:, 0]
        moments, y = self.path.moments(parameters), self.path.initial(parameters)
        t, largest, allowance, guess = moments[0], abs(y), [MAX_EVALUATIONS], np.inf
        steps = []
        for stop in self.stops:
            then = self._moment(stop, moments, 0)
            rate = self._rate(stop, parameters)
            found, y = chosen_steps(rate, t, y, then - t, guess, 1e-7, allowance, COLUMNS)
            guess = 2 * found[-1].length * abs(float(then - t)) or guess
            t, largest = then, np.maximum(largest, abs(y))
            if stop.kind == "event":
                y = self.path.change(stop.index, t, y, parameters)
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
        result = errors[..., None] + (first[:, None] * signs[..., 1 : 1 + q]) @ self.stencil.offsets.T
        if found.hessian is not None:
            second = self.rtol * abs(found.hessian) + self.atol[:, None, None] * np.outer(self.units, self.units)
            second[:, self.units == 0] = second[:, :, self.units == 0] = 0
            curved = second[:, None] * signs[..., 1 + q :].reshape(n, -1, q, q)
            result += np.einsum("isab,ka,kb->isk", curved, self.stencil.offsets, self.stencil.offsets) / 2
        return result

    def _rate(self, stop: Stop, parameters: np.ndarray) -> Any:
        function = self.path.rate(stop.truths)
        return lambda t, y: function(t, y, parameters)

    def _moment(self, stop: Stop, moments: np.ndarray, shift: Any = None) -> Any:
        return self.path.moment(stop, moments, self.times, self.shift if shift is None else shift)


def _tolerances(problem: ODE) -> tuple[float, np.ndarray]:
    return max(problem.options.rtol, 4 * EPS), np.array(problem.options.atol)


def _units(parameters: np.ndarray) -> np.ndarray:
    sizes = abs(parameters)
    return 1 / np.where(sizes > 0, sizes, 1.0)


def _grouped(problem: ODE, parameters: np.ndarray) -> list[Any]:
    sizes = [math.prod(shape) for shape in problem.parameter_shapes]
    parts = np.split(parameters, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, problem.parameter_shapes)]


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
