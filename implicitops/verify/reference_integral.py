"""The true value of an integral's own SymPy statement, its derivatives, and the error that its tolerances allow.

The trapezoidal rule after a double exponential substitution sums the integrand itself with 110 digits, on stretches
between the points where it is not smooth. Derivatives are differences of that sum, not of any formula.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

import mpmath
import numpy as np
import sympy as sp

from implicitops.codegen.python_functions import in_mpmath
from implicitops.errors import NoReferenceError
from implicitops.problems.integral import Integral
from implicitops.verify.differences import digits_for, precise_derivatives
from implicitops.verify.reference import Reference, ReferencePoint, reference_of, within_tolerances

#: Digits of the arithmetic, so many because an integrand may cancel next to a singular end.
DIGITS = 110
#: Terms that are smaller than this part of the largest are left out at the ends.
NEGLIGIBLE = mpmath.mpf(10) ** -55
#: Two levels that agree to this part of the sum of absolute terms: the error of the second is the square of that.
AGREEMENT = mpmath.mpf(10) ** -27
#: A sum that is a smaller part of that of absolute terms is zero.
ZERO = mpmath.mpf(10) ** -80
#: Relative steps of the differences.
STEP = mpmath.mpf(10) ** -12
#: Steps 2**-level of the trapezoidal rule that are tried.
LEVELS = range(3, 10)
#: The substituted variable always runs at least so far, and never further.
RANGE = (3.6, 9)
#: Rounding errors in units of 2**-52 times the sum of absolute terms.
ROUNDING = 256 * mpmath.mpf(2) ** -52


class IntegralReference:
    """Reference values of an :class:`~implicitops.Integral` with one variable.

    The range is split at the limits, at the break points, and at the zeros in x of what decides (conditions, Abs, Max)
    and of bases and arguments of powers and logarithms, where they are affine. On each stretch x is the distance to an
    end of it, so that an infinite end costs no digits.

    Parameters
    ----------
    problem : Integral

    Examples
    --------
    >>> import mpmath, sympy as sp, implicitops as iop
    >>> from implicitops.verify.reference_integral import IntegralReference
    >>> x, p = sp.symbols("x p")
    >>> reference = IntegralReference(iop.Integral(1 / sp.sqrt(x - p), (x, p, 1), [p]))
    >>> mpmath.nstr(reference.at([0.75], order=1).jacobian[0, 0], 20)
    '-2.0'
    """

    def __init__(self, problem: Integral) -> None:
        if len(problem.variables) > 1:
            raise NoReferenceError(
                f"there is no high-precision reference for integrals over {len(problem.variables)} variables. Pass "
                "reference=, the true value as a function of the parameters."
            )
        named = (problem.variables[0], *problem.parameter_symbols)
        self.symbols = tuple(sp.Dummy(s.name, real=True, positive=s.is_positive) for s in named)
        names = dict(zip(named, self.symbols))
        x = self.symbols[0]
        self.integrands = [e.xreplace(names).rewrite(sp.Heaviside, sp.Piecewise) for e in problem.integrands]
        self.limits = tuple(limit.xreplace(names) for limit in problem.limits[0])
        finite = [limit for limit in self.limits if not limit.is_infinite] or [sp.S.Zero]
        stated = [point.xreplace(names) for point in problem.breakpoints]
        self.points = list(dict.fromkeys([*finite, *stated, *_found_points(self.integrands, x)]))
        self._point_values = in_mpmath(self.symbols[1:], self.points)
        self._at_distance: Callable[[int], Any] = cache(self._make_at_distance)

    def at(self, variables: Sequence[float], near: Any = None, order: int = 1) -> ReferencePoint:
        """Reference at one set of parameters; ``near`` is ignored.

        Raises
        ------
        NoReferenceError : the rule does not converge
        KinkError : the integral has no derivative there
        """
        with mpmath.workdps(digits_for(variables, DIGITS)):
            point = [mpmath.mpf(float(v)) for v in variables]
            stretches = self._stretches(point)
            level, magnitude = self._converged(stretches, point)
            terms: dict[tuple[Any, ...], np.ndarray] = {}

            def total(there: Sequence[Any]) -> list[Any]:
                found = terms[tuple(there)] = self._terms(stretches, there, level)
                sums = found.sum(axis=0)
                # What rounding leaves of a sum that is zero is no number to look for kinks in.
                return list(np.where(abs(sums) > ZERO * abs(found).sum(axis=0), sums, mpmath.mpf(0)))

            value, jacobian, hessian = precise_derivatives(total, point, max(order, 1), STEP)
            slopes = self._magnitudes(terms, point)
        units = np.array([abs(v) if v != 0 else mpmath.mpf(1) for v in point], dtype=object)
        second = None
        if hessian is not None:
            across = slopes[:, :, None] / units
            second = ROUNDING * (across + np.swapaxes(across, 1, 2) + abs(hessian))
        return ReferencePoint(value, ROUNDING * magnitude, jacobian, ROUNDING * slopes, hessian, second)

    def _stretches(self, point: Sequence[Any]) -> list[tuple[int | None, int | None, int]]:
        """From end to end in the direction of the integral: positions of the points or None, and the direction."""
        values = list(map(_real, self._point_values(*point)))
        lower, upper = (
            mpmath.mpf(str(limit).replace("oo", "inf")) if limit.is_infinite else values[self.points.index(limit)]
            for limit in self.limits
        )
        direction = 1 if lower <= upper else -1
        low, high = min(lower, upper), max(lower, upper)
        ends = [None if limit.is_infinite else self.points.index(limit) for limit in self.limits]
        inside = [k for k, v in enumerate(values) if low <= v <= high and k not in ends]
        chain = [ends[0], *sorted(inside, key=lambda k: direction * values[k]), ends[1]]
        return [(a, b, direction) for a, b in itertools.pairwise(chain)]

    def _make_at_distance(self, position: int) -> Any:
        """Integrands as functions of the distance to a point and the parameters."""
        distance = sp.Dummy("distance", real=True)
        moved = [e.xreplace({self.symbols[0]: self.points[position] + distance}) for e in self.integrands]
        return in_mpmath((distance, *self.symbols[1:]), moved, _GUARDED)

    def _term(self, stretch: tuple[int | None, int | None, int], t: Any, point: Sequence[Any]) -> np.ndarray:
        """What one node of the trapezoidal rule contributes, per unit of its step."""
        a, b, direction = stretch
        values = self._point_values(*point)
        if a is None or b is None:
            position = a if b is None else b
            size, weight = _half_line_node(t)
            distance, weight = (direction if b is None else -direction) * size, direction * weight
        else:
            length = values[b] - values[a]
            size, weight = _interval_node(-abs(t))
            position, distance, weight = (a if t <= 0 else b), (1 if t <= 0 else -1) * length * size, length * weight
        assert position is not None
        try:
            found = self._at_distance(position)(distance, *point)
        except (ZeroDivisionError, ValueError, OverflowError, TypeError) as error:
            raise NoReferenceError(f"the integrand has no value next to a point: {error}") from None
        return np.array([_real(v) * weight for v in found], dtype=object)

    def _terms(self, stretches: Sequence[Any], point: Sequence[Any], level: dict[int, list[Any]]) -> np.ndarray:
        """All terms (n, m), of nodes that were chosen at the centre of the differences."""
        return np.array([self._term(s, t, point) * h for k, s in enumerate(stretches) for t, h in level[k]])

    def _converged(self, stretches: Sequence[Any], point: Sequence[Any]) -> tuple[dict[int, list[Any]], np.ndarray]:
        """Nodes and steps of each stretch at which the sum has converged, and the sum of absolute terms."""
        chosen, sums = {}, []
        for k, stretch in enumerate(stretches):
            chosen[k], size = self._converged_stretch(stretch, point)
            sums.append(size)
        return chosen, np.sum(sums, axis=0)

    def _converged_stretch(self, stretch: Any, point: Sequence[Any]) -> tuple[list[Any], np.ndarray]:
        known: dict[Any, np.ndarray] = {}

        def term(t: Any) -> np.ndarray:
            if t not in known:
                known[t] = self._term(stretch, t, point)
            return known[t]

        before = None
        for level in LEVELS:
            h = mpmath.mpf(2) ** -level
            nodes = list(_nodes(term, h))
            terms = np.array([term(t) for t in nodes]) * h
            total, size = terms.sum(axis=0), abs(terms).sum(axis=0)
            if before is not None and all(abs(total - before) <= AGREEMENT * size):
                return [(t, h) for t in nodes], size
            before = total
        raise NoReferenceError(
            f"the trapezoidal rule with steps of 2**-{LEVELS[-1]} does not converge to {-int(mpmath.log10(AGREEMENT))} "
            "digits: the integrand oscillates or has a narrow peak, a singularity or a kink that is no break point. "
            "Name it in breakpoints=, or pass reference=, the true value as a function of the parameters."
        )

    @staticmethod
    def _magnitudes(terms: dict[tuple[Any, ...], np.ndarray], point: Sequence[Any]) -> np.ndarray:
        """Sum of absolute terms of each derivative (m, p)."""
        columns = []
        for k, v in enumerate(point):
            step = STEP * (abs(v) if v != 0 else 1)
            moved = [(*point[:k], v + sign * step, *point[k + 1 :]) for sign in (1, -1)]
            above, below = (terms[there] for there in moved)
            columns.append(abs(above - below).sum(axis=0) / (2 * step))
        return np.stack(columns, axis=-1)


def _nodes(term: Callable[[Any], np.ndarray], h: Any) -> Iterator[Any]:
    """Nodes from the middle outward in both directions, until their terms don't count."""
    largest = abs(term(mpmath.mpf(0)))
    yield mpmath.mpf(0)
    for sign in (1, -1):
        k = quiet = 0
        while quiet < 4:
            k += 1
            t = sign * k * h
            if abs(t) > RANGE[1]:
                raise NoReferenceError(
                    "the integrand does not fall fast enough towards an end. Pass reference=, the true value as a "
                    "function of the parameters."
                )
            here = abs(term(t))
            largest = np.maximum(largest, here)
            quiet = quiet + 1 if abs(t) > RANGE[0] and all(here <= NEGLIGIBLE * largest) else 0
            yield t


@lru_cache(maxsize=20_000)
def _interval_node(t: Any) -> tuple[Any, Any]:
    """Part of the length of an interval for t <= 0, and its derivative: 1/(1 + exp(-pi sinh t))."""
    e = mpmath.exp(mpmath.pi * mpmath.sinh(t))
    return e / (1 + e), mpmath.pi * mpmath.cosh(t) * e / (1 + e) ** 2


@lru_cache(maxsize=20_000)
def _half_line_node(t: Any) -> tuple[Any, Any]:
    """Distance to the end of a half line, and its derivative: exp(pi/2 sinh t)."""
    e = mpmath.exp(mpmath.pi / 2 * mpmath.sinh(t))
    return e, mpmath.pi / 2 * mpmath.cosh(t) * e


def _guarded_exp(x: Any) -> Any:
    """Exponential that doesn't compute a number whose exponent fills the memory."""
    return mpmath.exp(x) if abs(x) < 1e15 else mpmath.mpf(0 if x < 0 else "inf")


_GUARDED = {"exp": _guarded_exp}


def _real(value: Any) -> Any:
    number = mpmath.mpmathify(value)
    if isinstance(number, mpmath.mpc) or not mpmath.isfinite(number):
        if not isinstance(number, mpmath.mpc) or number.imag != 0:
            raise NoReferenceError(f"the integrand or a point is {mpmath.nstr(number, 6)}")
        number = number.real
    return number


def _found_points(integrands: Sequence[sp.Expr], x: sp.Symbol) -> list[sp.Expr]:
    """Zeros of what decides between branches and of what may be singular, where it is affine in x."""
    deciding: list[sp.Expr] = []
    for expression in integrands:
        relations = expression.atoms(sp.core.relational.Relational)
        deciding += [relation.lhs - relation.rhs for relation in relations]
        deciding += [f.args[0] for f in expression.atoms(sp.Abs, sp.sign, sp.log)]
        for extreme in expression.atoms(sp.Max, sp.Min):
            deciding += [a - b for k, a in enumerate(extreme.args) for b in extreme.args[:k]]
        deciding += [power.base for power in expression.atoms(sp.Pow) if not power.exp.is_nonnegative]
        deciding += [power.base for power in expression.atoms(sp.Pow) if not power.exp.is_integer]
    points = []
    for expression in deciding:
        slope = sp.expand(sp.diff(expression, x))
        if x in expression.free_symbols and slope != 0 and x not in slope.free_symbols:
            points.append(sp.simplify(-expression.xreplace({x: sp.S.Zero}) / slope))
    return points


class AllowedError:
    """A reference for an integral whose bounds allow for its ``rtol`` and ``atol``.

    They limit the error of each derivative as they limit that of the value: ``rtol*abs(d) + atol``. Rounding errors,
    relative to the value's largest change for a relative change of a parameter, are added.

    Parameters
    ----------
    problem : Integral
    truth : Reference
    """

    def __init__(self, problem: Integral, truth: Reference) -> None:
        self.problem, self.truth = problem, truth

    def at(self, variables: Sequence[float], near: Any, order: int = 1) -> ReferencePoint:
        """Reference at one set of parameters."""
        point = self.truth.at(variables, near, order)
        units = np.array([mpmath.mpf(abs(float(v)) or 1.0) for v in variables], dtype=object)
        rtol, atol = mpmath.mpf(self.problem.options.rtol), np.array(self.problem.options.atol, dtype=object)
        size = abs(point.value)
        if point.jacobian is not None:
            size = size + (abs(point.jacobian) * units).sum(axis=-1)
        changes: dict[str, Any] = {}
        for field, unit in (("value", 1), ("jacobian", units), ("hessian", np.multiply.outer(units, units))):
            true, bound = getattr(point, field), getattr(point, f"{field}_bound")
            if true is not None:
                axes = (slice(None), *[None] * (true.ndim - 1))
                changes[f"{field}_bound"] = bound + rtol * abs(true) + atol[axes] + ROUNDING * size[axes] / unit
        return replace(point, **changes)


@reference_of.register(Integral)
def _(problem: Integral) -> IntegralReference:
    return IntegralReference(problem)


@within_tolerances.register(Integral)
def _(problem: Integral, truth: Reference) -> Reference:
    return AllowedError(problem, truth)
