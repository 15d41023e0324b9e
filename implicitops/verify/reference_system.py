"""The true solution of systems, fixed points and minima, to 50 digits, and of existing code by differences.

The equations are evaluated by mpmath and solved anew next to the solution in double precision; derivatives are
differences of that solution, not of any formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import sympy as sp

from implicitops.codegen.python_functions import in_mpmath
from implicitops.errors import NoReferenceError
from implicitops.problems.external import External
from implicitops.problems.fixed_point import FixedPoint
from implicitops.problems.minimum import Minimum
from implicitops.problems.root import Root
from implicitops.problems.unknowns import ProblemWithUnknowns
from implicitops.verify.reference import SAFETY, ReferencePoint, RootReference, reference_of
from implicitops.verify.reference_function import ALLOWANCE, EPS, FunctionReference
from implicitops.verify.rounding import UNIT, rounding_error


class SystemReference:
    """Reference solutions of n equations F(x, p) = 0 in n unknowns.

    The tolerances are those of :class:`~implicitops.verify.reference_function.FunctionReference`, which allow for
    a relative error of some eps in each parameter, times the largest ratio, if above 1, of 4 |inverse(F_x)| E(F) to the
    value's tolerance, where E(F) is the running error bound of the residuals; and to a derivative's 64 eps of the
    largest derivative of the same unknown, because linear solves mix them.

    Parameters
    ----------
    problem : Root, FixedPoint or Minimum
    residuals : sequence of Expr, F

    Examples
    --------
    >>> import mpmath, sympy as sp, implicitops as iop
    >>> from implicitops.verify.reference_system import SystemReference
    >>> x, y, a = sp.symbols("x y a")
    >>> problem = iop.Root([x + y - a, x - y], [x, y], [a], guess=[1, 1])
    >>> reference = SystemReference(problem, problem.residuals).at([3.0], near=[1.5, 1.5])
    >>> mpmath.nstr(reference.jacobian[0, 0], 20)
    '0.5'
    """

    def __init__(self, problem: ProblemWithUnknowns, residuals: Sequence[sp.Expr]) -> None:
        named = (*problem.unknowns, *problem.parameter_symbols)
        self.symbols = tuple(sp.Dummy(s.name, real=True, positive=s.is_positive) for s in named)
        self.n = len(problem.unknowns)
        self.shapes = problem.parameter_shapes
        self.residuals = [sp.sympify(r).xreplace(dict(zip(named, self.symbols))) for r in residuals]
        self._evaluate = in_mpmath(self.symbols, self.residuals)

    def at(self, parameters: Sequence[float], near: Any, order: int = 1) -> ReferencePoint:
        """Reference at one parameter set, for the solution next to one in double precision.

        Parameters
        ----------
        parameters : sequence of p float
        near : float or sequence of n float
        order : 0, 1 or 2

        Raises
        ------
        NoReferenceError : no solution near ``near``
        KinkError : the solution has no derivative there
        """
        start = [mpmath.mpf(float(v)) for v in np.ravel(near)]

        def solution(*arguments: Any) -> np.ndarray:
            point = [v for argument in arguments for v in np.ravel(np.asarray(argument, dtype=object))]
            return np.array(self._solution(point, start), dtype=object)

        reference = FunctionReference(solution, self.shapes, precise=True).at(parameters, None, order)
        with mpmath.workdps(60):
            factor = self._rounding_factor([mpmath.mpf(float(v)) for v in parameters], reference)
        scaled: dict[str, Any] = {"value_bound": reference.value_bound * factor}
        for name in ("jacobian", "hessian"):
            derivative, bound = getattr(reference, name), getattr(reference, f"{name}_bound")
            if derivative is not None and bound is not None:
                largest = abs(derivative).max(axis=tuple(range(1, derivative.ndim)), keepdims=True)
                scaled[f"{name}_bound"] = bound * factor + ALLOWANCE * EPS * largest
        return replace(reference, **scaled)

    def _solution(self, point: Sequence[Any], start: Sequence[Any]) -> list[Any]:
        """Newton's method with a Jacobian of differences, until the step is far below the working precision."""
        if not all(isinstance(v, mpmath.mpf) for v in point):
            point = [mpmath.mpf(v) for v in point]
        x = list(start)
        tolerance = mpmath.mpf(10) ** (15 - mpmath.mp.dps)
        for _ in range(100):
            values = mpmath.matrix(self._evaluate(*x, *point))
            step = mpmath.lu_solve(self._jacobian(x, point), -values)
            x = [v + s for v, s in zip(x, step)]
            if all(abs(s) <= tolerance * (abs(v) + tolerance) for v, s in zip(x, step)):
                break
        else:
            raise NoReferenceError("the reference iteration did not converge: a singular solution?")
        scale = max(abs(v) for v in start) or mpmath.mpf(1)
        if any(abs(v - w) > 1e-5 * scale for v, w in zip(x, start)):
            raise NoReferenceError(f"there is no solution near {[mpmath.nstr(v, 6) for v in start]}")
        return x

    def _jacobian(self, x: Sequence[Any], point: Sequence[Any]) -> Any:
        matrix = mpmath.matrix(self.n, self.n)
        for j in range(self.n):
            step = (abs(x[j]) if x[j] != 0 else mpmath.mpf(1)) * mpmath.mpf(10) ** -(mpmath.mp.dps // 3)
            ends = [self._evaluate(*x[:j], x[j] + sign * step, *x[j + 1 :], *point) for sign in (1, -1)]
            for i in range(self.n):
                matrix[i, j] = (ends[0][i] - ends[1][i]) / (2 * step)
        return matrix

    def _rounding_factor(self, point: Sequence[Any], reference: ReferencePoint) -> Any:
        """How much larger than the value's tolerance the effect of rounding in the residuals can be."""
        x = [mpmath.mpf(v) for v in reference.value]
        exact = dict(zip(self.symbols, ((v, mpmath.mpf(0)) for v in (*x, *point))))
        errors = []
        for residual in self.residuals:
            terms = mpmath.fsum(abs(rounding_error(t, exact)[0]) for t in sp.Add.make_args(residual))
            errors.append(rounding_error(residual, exact)[1] + 4 * UNIT * terms)
        inverse = self._jacobian(x, point) ** -1
        factor = mpmath.mpf(1)
        for i, bound in enumerate(reference.value_bound):
            moved = SAFETY * mpmath.fsum(abs(inverse[i, j]) * error for j, error in enumerate(errors))
            factor = max(factor, moved / (bound + mpmath.mpf(2) ** -1074))
        return factor


class ExternalReference:
    """Reference for existing code: its own values, differentiated by extrapolated differences with an error bar.

    Parameters
    ----------
    problem : External
    """

    def __init__(self, problem: External) -> None:
        def function(*arguments: Any) -> np.ndarray:
            arrays = [np.asarray(argument) for argument in arguments]
            if any(array.dtype == object for array in arrays):
                raise TypeError("existing code computes in double precision")
            return np.asarray(problem(*arrays))

        self._reference = FunctionReference(function, problem.parameter_shapes)

    def at(self, parameters: Sequence[float], near: Any, order: int = 1) -> ReferencePoint:
        """Reference at one parameter set; ``near`` is ignored."""
        return self._reference.at(parameters, None, order)


@reference_of.register(Root)
def _(problem: Root) -> RootReference | SystemReference:
    return SystemReference(problem, problem.residuals) if problem.is_vector else RootReference(problem)


@reference_of.register(FixedPoint)
def _(problem: FixedPoint) -> SystemReference:
    return SystemReference(problem, problem.residuals)


@reference_of.register(Minimum)
def _(problem: Minimum) -> SystemReference:
    if problem.is_bounded:
        raise NoReferenceError("there is no high-precision reference for a minimum with bounds. Pass reference=.")
    return SystemReference(problem, [sp.diff(problem.objective, symbol) for symbol in problem.unknowns])


@reference_of.register(External)
def _(problem: External) -> ExternalReference:
    return ExternalReference(problem)
