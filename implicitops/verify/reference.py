"""The true solution of a problem's own SymPy statement, to 50 digits: value, derivatives, and what rounding explains.

Independent of the code under test: the residual is evaluated by mpmath, the root is found anew from it, and
derivatives are differences of that root, not of any formula. Only the tolerances use symbolic derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, singledispatch
from typing import Any, Protocol

import mpmath
import numpy as np
import sympy as sp

from implicitops.codegen import differentiate
from implicitops.codegen.python_functions import in_mpmath
from implicitops.errors import NoReferenceError
from implicitops.problems.base import Problem
from implicitops.problems.root import Root
from implicitops.verify.differences import STEP, digits_for, precise_derivatives
from implicitops.verify.rounding import UNIT, rounding_error

#: The bounds of rounding.py are of first order and count functions as accurate to two units in the last place.
SAFETY = 4
#: Where the bounds cannot be made, what a derivative in double precision is trusted to.
FALLBACK = 1e-9


@dataclass(frozen=True)
class ReferencePoint:
    """True value and derivatives at one point, and the error that double precision may have there.

    Parameters
    ----------
    value, value_bound : object ndarrays (m,) of mpf
    jacobian, jacobian_bound : object ndarrays (m, p), or None
    hessian, hessian_bound : object ndarrays (m, p, p), or None
    one_sided : bool, the derivatives are those from one side, where the function jumps
    estimated : bool, the bounds are no more than an estimate
    """

    value: np.ndarray
    value_bound: np.ndarray
    jacobian: np.ndarray | None = None
    jacobian_bound: np.ndarray | None = None
    hessian: np.ndarray | None = None
    hessian_bound: np.ndarray | None = None
    one_sided: bool = False
    estimated: bool = False


class Reference(Protocol):
    """What knows the truth at any point."""

    def at(self, variables: Sequence[float], near: Any, order: int = 1) -> ReferencePoint:
        """Reference at one point, given as all variables in a row, for the solution next to a computed one."""
        ...


class RootReference:
    """Reference solutions of a scalar :class:`~implicitops.Root`.

    The tolerances follow from the conditioning of the root. With E(e) the running error bound of rounding.py for
    an expression e, and eps = 2**-52,

        |dx|    <= 4 ((E(F) + 2 eps |terms of F|) / |F_x| + eps |x|)
        |dS_j|  <= 4 (E(-F_j / F_x) + 2 eps |S_j|), where x carries the error above
        |dS_jk| <= 4 (E(-(F_jk + F_xj S_k + F_xk S_j + F_xx S_j S_k) / F_x) + 2 eps |terms|), likewise;

    what is added to E allows for the same derivative in another form.

    Parameters
    ----------
    problem : Root

    Examples
    --------
    >>> import mpmath, sympy as sp, implicitops as iop
    >>> from implicitops.verify.reference import RootReference
    >>> x, p = sp.symbols("x p")
    >>> reference = RootReference(iop.Root(x**2 - p, x, [p], bracket=(0, p + 1)))
    >>> mpmath.nstr(reference.at([2.0], near=1.4142135, order=1).jacobian[0, 0], 30)
    '0.353553390593273762200422181052'
    """

    def __init__(self, problem: Root) -> None:
        # Real Symbols, so that SymPy can differentiate Abs and its kind for the tolerances.
        named = (problem.unknown, *problem.parameter_symbols)
        self.symbols = tuple(sp.Dummy(s.name, real=True, positive=s.is_positive) for s in named)
        self.residual = problem.residuals[0].xreplace(dict(zip(named, self.symbols)))
        self._evaluate = in_mpmath(self.symbols, self.residual)

    def at(self, parameters: Sequence[float], near: float, order: int = 1) -> ReferencePoint:
        """Reference at one parameter set, for the root next to a solution in double precision.

        Parameters
        ----------
        parameters : sequence of p float
        near : float
        order : 0, 1 or 2

        Raises
        ------
        NoReferenceError : no root near ``near``
        KinkError : the root has no derivative there
        """
        point = [mpmath.mpf(float(v)) for v in parameters]
        with mpmath.workdps(digits_for(parameters)):
            root = self._root_near(point, near)
            slope = self._slope(root, point)
        with mpmath.workdps(self._digits(point, root, slope) if order > 0 else 120):
            value, jacobian, hessian = precise_derivatives(
                lambda there: [self._follow(there, root, slope)], point, order
            )
        with mpmath.workdps(60):
            error = self._step_bound(root, slope, point)
            bounds = self._bounds(root, error, point, jacobian, hessian)
        return ReferencePoint(value, np.array([SAFETY * error], dtype=object), jacobian, bounds[0], hessian, bounds[1])

    def residual_at(self, x: float, parameters: Sequence[float]) -> tuple[Any, Any]:
        """Residual of a solution in double precision, exactly evaluated, and the bound that rounding explains."""
        with mpmath.workdps(60):
            point = [mpmath.mpf(float(v)) for v in parameters]
            here = mpmath.mpf(x)
            slope = self._slope(here, point)
            return self._at(here, point), self._step_bound(here, slope, point) * abs(slope)

    def _digits(self, point: Sequence[Any], root: Any, slope: Any) -> int:
        """Digits at which the root's answer to the smallest step of a parameter is far above rounding."""
        ratio = mpmath.mpf(1)
        with mpmath.workdps(digits_for([float(v) for v in point], 500)):
            for k, v in enumerate(point):
                step = STEP * (abs(v) if v != 0 else 1)
                ends = [self._at(root, [*point[:k], v + sign * step, *point[k + 1 :]]) for sign in (1, -1)]
                moved = abs((ends[0] - ends[1]) / slope)
                if moved > 0:
                    ratio = max(ratio, abs(root) * STEP / moved)
        # A derivative that is smaller than 1e-600 of x/p is zero in double precision.
        return digits_for([float(v) for v in point]) + 2 * int(min(mpmath.log10(ratio), 600))

    def _at(self, x: Any, point: Sequence[Any]) -> Any:
        try:
            value = self._evaluate(x, *point)
        except (ZeroDivisionError, ValueError, OverflowError):
            return mpmath.nan
        return (
            value.real
            if isinstance(value, mpmath.mpc) and value.imag == 0
            else (mpmath.nan if isinstance(value, mpmath.mpc) else mpmath.mpf(value))
        )

    def _root_near(self, point: Sequence[Any], near: float) -> Any:
        """Root in the smallest interval around ``near`` at whose ends the residual has two signs."""
        centre = mpmath.mpf(near)
        if self._at(centre, point) == 0:
            return centre
        width = abs(centre) * mpmath.mpf(2) ** -54 if centre != 0 else mpmath.mpf(10) ** -320
        # Near zero a root is found to an absolute, not to a relative accuracy.
        slope = self._slope(centre, point)
        error = self._step_bound(centre, slope, point) if slope != 0 else mpmath.nan
        widest = max(abs(centre) / 4, 16 * error if mpmath.isfinite(error) else 0)
        while width < widest:
            low, high = centre - width, centre + width
            f_low, f_high = self._at(low, point), self._at(high, point)
            if f_low * f_high < 0:
                root = self._bracketed_secant(point, low, f_low, high, f_high)
                self._require_root(point, root, width)
                return root
            width *= 8
        raise NoReferenceError(f"the residual has no root near {near!r}: it does not change its sign around it")

    def _bracketed_secant(self, point: Sequence[Any], a: Any, f_a: Any, b: Any, f_b: Any) -> Any:
        """Illinois method until the iterates agree to the working precision, less ten digits."""
        tolerance = mpmath.mpf(10) ** (10 - mpmath.mp.dps)
        for _ in range(20 * mpmath.mp.dps):
            x = b - f_b * (b - a) / (f_b - f_a)
            f = self._at(x, point)
            if f == 0 or abs(x - b) <= tolerance * abs(x):
                return x
            if f * f_b < 0:
                a, f_a = b, f_b
            else:
                f_a = f_a / 2
            b, f_b = x, f
        raise NoReferenceError("the reference iteration did not converge: a multiple root?")

    def _require_root(self, point: Sequence[Any], root: Any, width: Any) -> None:
        """Sign change at 1e-45 of the root, with a residual that has shrunk in proportion (no pole, no jump)."""
        small = max(abs(root), width) * mpmath.mpf(10) ** -45
        below, above = self._at(root - small, point), self._at(root + small, point)
        far = max(abs(self._at(root - width, point)), abs(self._at(root + width, point)))
        if not (below * above < 0 and max(abs(below), abs(above)) < far * mpmath.mpf(10) ** -20):
            raise NoReferenceError(f"what is near {mpmath.nstr(root, 17)} is a pole or a jump, not a root")

    def _slope(self, x: Any, point: Sequence[Any]) -> Any:
        third = mpmath.mpf(10) ** -(mpmath.mp.dps // 3)
        step = (abs(x) if x != 0 else mpmath.mpf(1)) * third
        terms = self._size_of_terms(self._exact(x, point))
        while True:
            difference = self._at(x + step, point) - self._at(x - step, point)
            # A root at zero is known to an absolute accuracy only: a step relative to it would drown in rounding.
            if abs(difference) >= terms * third**2 * mpmath.sqrt(third) or step >= third:
                return difference / (2 * step)
            step = min(step / third, third)

    def _follow(self, point: Sequence[Any], start: Any, slope: Any) -> Any:
        """Root at parameters next to those of ``start``, by the secant method."""
        tolerance = mpmath.mpf(10) ** (5 - mpmath.mp.dps)
        previous, f_previous = start, self._at(start, point)
        if f_previous == 0:
            return start
        x = start - f_previous / slope
        for _ in range(60):
            f = self._at(x, point)
            if f == 0 or f == f_previous or abs(x - previous) <= tolerance * abs(x):
                return x
            previous, f_previous, x = x, f, x - f * (x - previous) / (f - f_previous)
        raise NoReferenceError("the reference iteration did not converge next to the point: a fold or its edge?")

    def _exact(self, x: Any, point: Sequence[Any]) -> dict[sp.Symbol, tuple[Any, Any]]:
        """Values of the symbols, none of which has an error."""
        return dict(zip(self.symbols, ((v, 0) for v in (x, *point))))

    def _size_of_terms(self, exact: dict[sp.Symbol, tuple[Any, Any]]) -> Any:
        """Sum of the absolute values of the residual's terms, which cancel at a root."""
        return mpmath.fsum(abs(rounding_error(t, exact)[0]) for t in sp.Add.make_args(self.residual))

    def _step_bound(self, x: Any, slope: Any, point: Sequence[Any]) -> Any:
        """Bound on the error of a root in double precision, without the safety factor."""
        exact = self._exact(x, point)
        _, error = rounding_error(self.residual, exact)
        return (error + 4 * UNIT * self._size_of_terms(exact)) / abs(slope) + 2 * UNIT * abs(x) + mpmath.mpf(2) ** -1022

    def _bounds(
        self, root: Any, error: Any, point: Sequence[Any], jacobian: np.ndarray | None, hessian: np.ndarray | None
    ) -> list[np.ndarray | None]:
        values = dict(zip(self.symbols, [(root, error), *((v, mpmath.mpf(0)) for v in point)]))
        first, second = self._derivative_expressions
        return [
            None if jacobian is None else _bounds_of(first, values, jacobian),
            None if hessian is None else _bounds_of(second, values, hessian),
        ]

    @cached_property
    def _derivative_expressions(self) -> tuple[np.ndarray, np.ndarray]:
        """Terms of each derivative's formula, for tolerances only."""
        x, *parameters = self.symbols
        p = len(parameters)
        first, second = np.empty((1, p), dtype=object), np.empty((1, p, p), dtype=object)
        slope = differentiate(self.residual, x)
        for j, q in enumerate(parameters):
            first[0, j] = (-differentiate(self.residual, q) / slope,)
        for j, q in enumerate(parameters):
            for k, r in enumerate(parameters):
                s_j, s_k = first[0, j][0], first[0, k][0]
                second[0, j, k] = (
                    -differentiate(differentiate(self.residual, q), r) / slope,
                    -differentiate(slope, r) * s_j / slope,
                    -differentiate(slope, q) * s_k / slope,
                    -differentiate(slope, x) * s_j * s_k / slope,
                )
        return first, second


def _bounds_of(terms: np.ndarray, values: Any, reference: np.ndarray) -> np.ndarray:
    """Error bound of each derivative; FALLBACK where its formula cannot be evaluated or is not the reference."""
    bounds = np.empty(reference.shape, dtype=object)
    for index, true in np.ndenumerate(reference):
        try:
            total, error = rounding_error(sp.Add(*terms[index]), values)
            size = mpmath.fsum(abs(rounding_error(term, values)[0]) for term in terms[index])
        except (TypeError, ValueError, NameError, ZeroDivisionError, KeyError):
            total, error, size = mpmath.nan, mpmath.nan, mpmath.nan
        bound = SAFETY * (error + 4 * UNIT * size)
        agrees = abs(total - true) <= mpmath.mpf(10) ** -15 * abs(true) + bound
        bounds[index] = bound + mpmath.mpf(2) ** -1074 if agrees else FALLBACK * abs(true)
    return bounds


@singledispatch
def reference_of(problem: Problem) -> Any:
    """Reference solutions of a problem's own statement; a new kind of problem registers its own.

    Raises
    ------
    NoReferenceError : there is none for this kind of problem
    """
    raise NoReferenceError(
        f"there is no high-precision reference for {type(problem).__name__} problems. Pass reference=, the true "
        "value as a function of the parameters."
    )


@singledispatch
def within_tolerances(problem: Problem, truth: Reference) -> Reference:
    """A reference with the bounds that belong to a kind of problem; most are solved to rounding error anyway.

    Parameters
    ----------
    problem : Problem
    truth : Reference whose bounds allow for rounding
    """
    return truth
