"""References for the catalogue of initial value problems: states and sensitivities in 50-digit arithmetic.

Independent of the solvers that they judge: SymPy's derivatives, numbers of 170 bits (gmpy2) and one method for all,
collocation at the nodes of Radau IIA with many stages, for the states and for the variational equations

    y' = f(t, y, p),    S' = f_y S + f_p,    S(t0) = dy0/dp.

The step is chosen by the size of what the polynomial of the stages leaves out. Every case is integrated twice, with
other numbers of stages and tolerances. What is stored is the second result, rounded to float64, and the largest
relative difference of an element between the two.

    python -m pip install gmpy2
    python tools/ode_references.py [name of a case ...]

References
----------
Hairer & Wanner, Solving Ordinary Differential Equations II (1996), sections IV.5 and IV.8.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gmpy2
import mpmath
import numpy as np
import sympy as sp
from gmpy2 import mpfr
from scipy.linalg import lu_factor, lu_solve

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from catalogue.ode_case import OdeCase
from catalogue.ode_problems import case_named, ode_catalogue

gmpy2.get_context().precision = 170
FUNCTIONS = {name: getattr(gmpy2, name) for name in ("sin", "cos", "exp", "log", "sqrt")}
STORE = Path(__file__).resolve().parent.parent / "tests" / "catalogue" / "ode_references.json"
#: A correction of this relative size is the last: what it leaves is smaller by the iteration's contraction.
LAST_CORRECTION = 1e-28
#: The refinement of the sensitivities need not see an element that is smaller than this, relative to its column.
NEGLIGIBLE = 1e-18
#: A parameter that moves a state by less than this, relatively, when it changes by 100 % does not move it.
NO_INFLUENCE = 1e-22
#: A step that must be shorter than this part of the interval is a failure.
SHORTEST = 1e-30
#: Below this many unknowns the stages' matrix is factorised in 80 bits, above in 64 (for speed).
SMALL = 400


@dataclass(frozen=True)
class Run:
    """How one integration is done: the number of stages and the size of what their polynomial leaves out."""

    stages: int
    tolerance: float


RUNS = Run(15, 1e-17), Run(17, 1e-19)
RUNS_OF_A_LARGE_CASE = Run(9, 1e-15), Run(10, 1e-17)


class StepFailed(Exception):
    """The step was too long for Newton's iteration."""


def number(value: Any) -> Any:
    """A constant of the problem; a Float counts as the double that it is."""
    expression = sp.sympify(value)
    return mpfr(float(expression)) if expression.is_Float else mpfr(str(sp.N(expression, 60)))


def compiled(arguments: Sequence[sp.Symbol], expressions: Sequence[Any]) -> Callable[..., list[Any]]:
    """A function of mpfr numbers, whose constants are mpfr numbers too: a Python 3/2 or 0.1 would be a double."""
    expressions = [sp.sympify(e) for e in expressions]
    atoms = set().union(*(e.atoms(sp.Number, sp.NumberSymbol) for e in expressions))
    constants = sorted((a for a in atoms if not a.is_Integer), key=sp.default_sort_key)
    names = {c: sp.Symbol(f"constant_{k}") for k, c in enumerate(constants)}
    function = sp.lambdify(
        [*arguments, *names.values()], [e.xreplace(names) for e in expressions], modules=[FUNCTIONS], cse=True
    )
    values = [number(c) for c in constants]
    return lambda *given: [mpfr(v) for v in function(*given, *values)]


class Equations:
    """A case's right-hand side, its derivatives and the initial values, in mpfr numbers."""

    def __init__(self, case: OdeCase) -> None:
        states, params = case.states, case.flat_params
        self.point = [mpfr(v) for v in case.flat_point]
        self.n, self.p = len(states), len(params)
        arguments = [case.t or sp.Symbol("time"), *states, *params]
        rhs = [sp.sympify(case.rhs[y]) for y in states]
        self._rhs = compiled(arguments, rhs)
        self._slopes = self._sparse(arguments, rhs, [*states, *params])
        initial = [sp.sympify(case.initial[y]) for y in states]
        self._initial = compiled(params, initial)
        self._initial_slopes = self._sparse(list(params), initial, params)

    @staticmethod
    def _sparse(arguments: Sequence[sp.Symbol], rows: Sequence[Any], columns: Sequence[sp.Symbol]) -> Any:
        free = [row.free_symbols for row in rows]
        places = [(i, j) for i in range(len(rows)) for j, s in enumerate(columns) if s in free[i]]
        function = compiled(arguments, [sp.diff(rows[i], columns[j]) for i, j in places]) if places else None

        def matrix(*given: Any) -> np.ndarray:
            dense = np.full((len(rows), len(columns)), mpfr(0), dtype=object)
            for place, value in zip(places, function(*given) if function else ()):
                dense[place] = value
            return dense

        return matrix

    def rhs(self, t: Any, y: np.ndarray) -> np.ndarray:
        return np.array(self._rhs(t, *y, *self.point), dtype=object)

    def slopes(self, t: Any, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        both = self._slopes(t, *y, *self.point)
        return both[:, : self.n], both[:, self.n :]

    def start(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self._initial(*self.point), dtype=object), self._initial_slopes(*self.point)


@dataclass(frozen=True)
class Collocation:
    """Nodes, Runge-Kutta matrix, and the change from values at the nodes to Legendre coefficients."""

    nodes: np.ndarray
    matrix: np.ndarray
    to_legendre: np.ndarray

    def extended(self, slopes: np.ndarray, ratio: Any) -> np.ndarray:
        """What the last step's polynomial of the slopes gives at the nodes of a next step, ``ratio`` times as long."""
        x = 1 + 2 * ratio * self.nodes
        basis = [np.full(len(x), mpfr(1), dtype=object), x]
        for k in range(1, len(x) - 1):
            basis.append(((2 * k + 1) * x * basis[k] - k * basis[k - 1]) / (k + 1))
        return np.array(basis).T @ (self.to_legendre @ slopes)


@cache
def collocation(stages: int) -> Collocation:
    """The Radau IIA method: nodes where P_s = P_(s-1), which include the step's end."""
    guesses = np.polynomial.legendre.legroots([0] * (stages - 1) + [-1, 1])
    with mpmath.workdps(150):
        roots = [
            mpmath.findroot(lambda x: mpmath.legendre(stages, x) - mpmath.legendre(stages - 1, x), mpmath.mpf(g))
            for g in sorted(guesses)[:-1]
        ] + [mpmath.mpf(1)]
        nodes = [(x + 1) / 2 for x in roots]
        powers = mpmath.matrix([[c**j for j in range(stages)] for c in nodes])
        integrals = mpmath.matrix([[c ** (j + 1) / (j + 1) for j in range(stages)] for c in nodes])
        legendre = mpmath.matrix([[mpmath.legendre(j, x) for j in range(stages)] for x in roots])
        matrices = integrals * powers**-1, legendre**-1
        dense = [[[mpfr(mpmath.nstr(v, 60)) for v in row] for row in m.tolist()] for m in ([*matrices])]
        nodes = [mpfr(mpmath.nstr(c, 60)) for c in nodes]
    return Collocation(np.array(nodes, dtype=object), *(np.array(d, dtype=object) for d in dense))


def extended_double(numbers: np.ndarray) -> np.ndarray:
    """Mpfr numbers rounded to 80 bits: NumPy alone would round them to 64."""
    high = numbers.astype(float)
    low = (numbers - high.astype(object)).astype(float)
    return high.astype(np.longdouble) + low


class Factors:
    """LU factors of I - h A J: rough ones, since every solve is refined against exact residuals."""

    def __init__(self, step: Any, method: Collocation, jacobians: list[np.ndarray], scale: np.ndarray) -> None:
        stages, n = len(jacobians), len(scale)
        self._scale = scale.astype(np.longdouble)
        a = extended_double(step * method.matrix)
        blocks = np.array([extended_double(j) for j in jacobians]) * self._scale / self._scale[:, None]
        matrix = -np.einsum("ij,jkl->ikjl", a, blocks).reshape(stages * n, stages * n)
        matrix[np.diag_indices(stages * n)] += 1
        self._dense = lu_factor(matrix.astype(float)) if stages * n > SMALL else None
        if self._dense is None:
            self._lu, self._order = self._factorised(matrix)

    @staticmethod
    def _factorised(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size = len(matrix)
        order = np.arange(size)
        for k in range(size):
            pivot = k + int(np.argmax(np.abs(matrix[k:, k])))
            matrix[[k, pivot]], order[[k, pivot]] = matrix[[pivot, k]], order[[pivot, k]]
            matrix[k + 1 :, k] /= matrix[k, k]
            matrix[k + 1 :, k + 1 :] -= np.outer(matrix[k + 1 :, k], matrix[k, k + 1 :])
        return matrix, order

    def solve(self, residual: np.ndarray) -> np.ndarray:
        """The correction for residuals (stages, n) or (stages, n, p)."""
        scale = self._scale.reshape(1, -1, *[1] * (residual.ndim - 2))
        flat = (residual.astype(float) / scale).reshape(residual.shape[0] * residual.shape[1], -1)
        if self._dense is not None:
            x = lu_solve(self._dense, flat.astype(float)).astype(np.longdouble)
        else:
            x = flat[self._order]
            for k in range(len(x)):
                x[k] -= self._lu[k, :k] @ x[:k]
            for k in reversed(range(len(x))):
                x[k] = (x[k] - self._lu[k, k + 1 :] @ x[k + 1 :]) / self._lu[k, k]
        return exact(x.reshape(residual.shape) * scale)


def exact(numbers: np.ndarray) -> np.ndarray:
    """The same numbers as mpfr; what a double cannot hold of them is dropped."""
    flat = [mpfr(float(v)) for v in numbers.reshape(-1)]
    return np.array(flat, dtype=object).reshape(numbers.shape)


def size_of(states: np.ndarray) -> np.ndarray:
    """The largest magnitude of every state over the stages, as float; 1 where a state is zero."""
    largest = np.abs(states).max(axis=0).astype(float)
    return np.where(largest > 0, largest, 1.0)


class Integrator:
    """Steps of one run."""

    def __init__(self, case: OdeCase, run: Run) -> None:
        self.equations, self.run, self.method = Equations(case), run, collocation(run.stages)
        self.t = mpfr(case.t0)
        self.y, self.s = self.equations.start()
        self.step = mpfr(case.times[0]) * mpfr(2) ** -50
        self.last: tuple[Any, np.ndarray] | None = None
        self.count = 0

    def advance(self, end: Any) -> None:
        """Steps up to the time ``end``, which the last one meets exactly."""
        while self.t < end:
            remaining = end - self.t
            landing = self.step * 1.02 >= remaining
            step = remaining if landing else self.step
            try:
                stages, slopes, error = self._stages(step)
            except StepFailed:
                self.step = step / 4
                if self.step < SHORTEST * end:
                    raise
                continue
            change = 0.9 * (self.run.tolerance / max(error, 1e-300)) ** (1 / self.run.stages)
            if error > 30 * self.run.tolerance:
                self.step = step * mpfr(max(0.2, min(change, 0.9)))
                continue
            self.s = self._sensitivities(step, stages)
            self.y, self.last, self.t = stages[-1], (step, slopes), end if landing else self.t + step
            # A step that was cut short to land says little about the next.
            longer = step * mpfr(max(0.2, min(change, 4.0)))
            self.step = max(longer, self.step) if landing and change >= 1 else longer
            self.count += 1

    def _slopes(self, step: Any, stages: np.ndarray) -> np.ndarray:
        return np.array([self.equations.rhs(self.t + c * step, y) for c, y in zip(self.method.nodes, stages)])

    def _residual(self, step: Any, stages: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        return self.y + step * (self.method.matrix @ slopes) - stages

    def _guess(self, step: Any) -> np.ndarray:
        """The last step's polynomial, or a constant where that is better."""
        constant = np.array([self.y] * self.run.stages)
        if self.last is None:
            return constant
        slopes = self.method.extended(self.last[1], step / self.last[0])
        extended = self.y + step * (self.method.matrix @ slopes)
        misfits = [
            float(np.max(np.abs(self._residual(step, g, self._slopes(step, g)).astype(float)) / size_of(constant)))
            for g in (extended, constant)
        ]
        return extended if misfits[0] < misfits[1] else constant

    def _linearised(self, step: Any, stages: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        pairs = [self.equations.slopes(self.t + c * step, y) for c, y in zip(self.method.nodes, stages)]
        return [j for j, _ in pairs], [p for _, p in pairs]

    def _stages(self, step: Any) -> tuple[np.ndarray, np.ndarray, float]:
        """The stages by Newton's method, their slopes, and the relative size of the polynomial's last terms."""
        stages, correction = self._guess(step), np.inf
        # A growing correction is no reason to give up: a state that starts at zero has no size yet.
        for _ in range(12):
            if correction > 1e-8:
                self._factors = Factors(step, self.method, self._linearised(step, stages)[0], size_of(stages))
            delta = self._factors.solve(self._residual(step, stages, self._slopes(step, stages)))
            stages = stages + delta
            correction = float(np.max(np.abs(delta).astype(float) / size_of(stages)))
            if correction < LAST_CORRECTION:
                slopes = self._slopes(step, stages)
                left_out = np.abs(step * (self.method.to_legendre[-2:] @ slopes)).astype(float)
                return stages, slopes, float(np.max(left_out / size_of(stages)))
            if not np.isfinite(correction):
                break
        raise StepFailed

    def _sensitivities(self, step: Any, stages: np.ndarray) -> np.ndarray:
        jacobians, forcing = self._linearised(step, stages)
        scale = size_of(stages)
        constant = self.s + step * np.tensordot(self.method.matrix, np.array(forcing), 1)
        found = np.array([self.s] * self.run.stages)
        for _ in range(12):
            products = np.array([j @ s for j, s in zip(jacobians, found)])
            delta = self._factors.solve(constant + step * np.tensordot(self.method.matrix, products, 1) - found)
            found = found + delta
            if relative(delta, found, scale) < LAST_CORRECTION:
                return found[-1]
        raise ArithmeticError(f"The refinement of the sensitivities stalled at t = {float(self.t)}.")


def relative(difference: np.ndarray, whole: np.ndarray, scale: np.ndarray) -> float:
    """The largest relative size of an element of the sensitivities (stages or times, n, p)."""
    if whole.shape[-1] == 0:
        return 0.0
    largest = np.abs(whole).max(axis=0).astype(float)
    floor = NEGLIGIBLE * scale[:, None] * np.max(largest / scale[:, None], axis=0)
    return float(np.max(np.abs(difference).astype(float) / np.maximum(np.maximum(largest, floor), 1e-300)))


def integrated(case: OdeCase, run: Run) -> tuple[np.ndarray, np.ndarray, int]:
    """States and sensitivities at the case's times, and the number of steps."""
    integrator = Integrator(case, run)
    values, sensitivities = [], []
    for end in case.times:
        integrator.advance(mpfr(end))
        values.append(integrator.y)
        sensitivities.append(integrator.s)
    return np.array(values), np.array(sensitivities), integrator.count


def record(case: OdeCase) -> dict[str, Any]:
    """What is stored for a case."""
    started = time.time()
    runs = RUNS_OF_A_LARGE_CASE if len(case.states) > 50 else RUNS
    (values, sensitivities, _), (y, s, steps) = (integrated(case, run) for run in runs)
    value_error = float(np.max(np.abs((values - y) / y).astype(float)))
    sizes = np.array([abs(v) or 1.0 for v in case.flat_point])
    absent = np.abs(s).astype(float) * sizes < NO_INFLUENCE * np.abs(y).astype(float)[..., None]
    s = np.where(absent, mpfr(0), s)
    errors = np.abs(sensitivities - s).astype(float) / np.where(absent, np.inf, np.abs(s)).astype(float)
    print(
        f"{case.name:20} {steps:6} steps {time.time() - started:7.1f} s"
        f"  values {value_error:.1e}  sensitivities {np.max(errors):.1e}  zeros {np.sum(absent)}",
        flush=True,
    )
    return {
        "times": list(case.times),
        "point": list(case.flat_point),
        "value_error": float(f"{value_error:.1e}"),
        "sensitivity_error": float(f"{np.max(errors):.1e}"),
        "values": y.astype(float).tolist(),
        "sensitivities": s.astype(float).tolist(),
    }


def main(names: Sequence[str]) -> None:
    for case in [case_named(name) for name in names] or ode_catalogue():
        made = record(case)
        # Read again: another process may have stored a case meanwhile.
        stored = json.loads(STORE.read_text(encoding="utf-8")) if STORE.exists() else {}
        stored[case.name] = made
        ordered = [c.name for c in ode_catalogue() if c.name in stored]
        lines = [f"{json.dumps(n)}: {json.dumps(stored[n], separators=(',', ':'))}" for n in ordered]
        STORE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
