"""The contestants of benchmarks/integral.py: each makes, of parameter sets, a function of a tolerance.

That function returns an array (n, 1 + p): value and derivatives, of the parameters and then of the finite limits.
"""

from __future__ import annotations

import ctypes
import math
import os
import subprocess
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
from scipy import LowLevelCallable
from scipy.integrate import quad, quad_vec

import implicitops as iop
from implicitops.verify.reference_integral import IntegralReference

Solver = Callable[[float], np.ndarray]
Maker = Callable[[np.ndarray], Solver]

N_REFERENCES = 6

# A value that is not finite in a trial of quadax gives NaN, and no exception.
os.environ.setdefault("EQX_ON_ERROR", "nan")


@dataclass(frozen=True, eq=False)
class Task:
    """An integral over x with parameters and limits, its parameter sets, and the formulas that peers need.

    Parameters
    ----------
    name : str
    integrand : Expr
    x : Symbol
    lower, upper : Symbol, or infinite
    params : tuple of Symbol, without the limits
    low, high : ranges of the parameters, then of the finite limits
    is_mapped : bool
        Peers integrate over u from 0 to 1 with x = a + (b - a) u, because the integrand is infinite at a limit, where
        Leibniz's rule for moving limits fails.
    """

    name: str
    integrand: sp.Expr
    x: sp.Symbol
    lower: Any
    upper: Any
    params: tuple[sp.Symbol, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    is_mapped: bool = False

    @property
    def arguments(self) -> tuple[sp.Symbol, ...]:
        """Parameters and finite limits."""
        return (*self.params, *(limit for limit in (self.lower, self.upper) if not limit.is_infinite))

    def points(self, n: int) -> np.ndarray:
        """Parameter sets (n, p); the first ones are always the same."""
        return np.random.default_rng(0).uniform(self.low, self.high, (n, len(self.low)))

    def problem(self, rtol: float = 1e-8) -> iop.Integral:
        """Our statement."""
        return iop.Integral(self.integrand, (self.x, self.lower, self.upper), self.arguments, rtol=rtol)

    @cached_property
    def integrals(self) -> list[sp.Expr]:
        """What has to be integrated: the value, and each derivative that is an integral."""
        if not self.is_mapped:
            return [self.integrand, *(sp.diff(self.integrand, p) for p in self.params)]
        length = self.upper - self.lower
        mapped = length * self.integrand.subs(self.x, self.lower + length * self.x)
        return [mapped, *(sp.diff(mapped, p) for p in self.arguments)]

    @cached_property
    def range(self) -> tuple[sp.Expr, sp.Expr]:
        """Limits of :attr:`integrals`."""
        return (sp.S.Zero, sp.S.One) if self.is_mapped else (self.lower, self.upper)

    @cached_property
    def ends(self) -> list[sp.Expr]:
        """The other derivatives: Leibniz's terms of the finite limits."""
        if self.is_mapped:
            return []
        pairs = ((-1, self.lower), (1, self.upper))
        return [sign * self.integrand.subs(self.x, limit) for sign, limit in pairs if not limit.is_infinite]

    @cached_property
    def reference(self) -> np.ndarray:
        """True values and derivatives (N_REFERENCES, 1 + p) of the first parameter sets."""
        reference = IntegralReference(self.problem())
        found = (reference.at(point.tolist()) for point in self.points(N_REFERENCES))
        return np.array([[*r.value, *r.jacobian[0]] for r in found if r.jacobian is not None], dtype=float)

    def errors(self, answer: np.ndarray) -> tuple[float, float]:
        """Largest relative error of a value, and of a derivative."""
        relative = np.abs(answer[:N_REFERENCES] - self.reference) / np.abs(self.reference)
        return float(np.max(relative[:, 0])), float(np.max(relative[:, 1:]))


def numbers(limits: Sequence[sp.Expr], arguments: Sequence[sp.Symbol]) -> Callable[..., Any]:
    """Limits as floats of the arguments."""
    return sp.lambdify(arguments, [math.inf if limit is sp.oo else limit for limit in limits], "math")


def implicitops(task: Task) -> Maker:
    """Ours, through the NumPy face: one kernel call for value and derivatives of all parameter sets."""
    problems: dict[float, Any] = {}

    def make(points: np.ndarray) -> Solver:
        columns = tuple(points.T.copy()) if len(points) > 1 else tuple(points[0])

        def solve(tolerance: float) -> np.ndarray:
            if tolerance not in problems:
                problems[tolerance] = task.problem(tolerance)
            solution = problems[tolerance].solve(*columns, derivatives=1, throw=False)
            return np.concatenate([np.reshape(solution.value, (-1, 1)), np.atleast_2d(solution.jacobian)], axis=1)

        return solve

    return make


def _one_by_one(task: Task, integrate: Callable[..., Sequence[float]]) -> Maker:
    """Each parameter set on its own, with Leibniz's terms of the limits added."""
    limits = numbers(task.range, task.arguments)
    ends = sp.lambdify(task.arguments, task.ends, "math")

    def make(points: np.ndarray) -> Solver:
        rows = [tuple(row) for row in points.tolist()]

        def solve(tolerance: float) -> np.ndarray:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a tolerance that is not reached
                return np.array([[*integrate(*limits(*row), row, tolerance), *ends(*row)] for row in rows])

        return solve

    return make


def quad_of_python(task: Task) -> Maker:
    """scipy.integrate.quad once for each integral, with Python functions made by SymPy."""
    functions = [sp.lambdify((task.x, *task.arguments), e, "math", cse=True) for e in task.integrals]
    return _one_by_one(task, partial(_quads, functions))


def _quads(functions: Sequence[Any], lower: float, upper: float, row: Any, tolerance: float) -> list[float]:
    return [quad(f, lower, upper, row, epsabs=0, epsrel=tolerance, limit=200)[0] for f in functions]


def quad_of_c(task: Task, folder: Path) -> Maker:
    """scipy.integrate.quad once for each integral, with C functions as LowLevelCallable."""
    names = {s: sp.Symbol(f"v[{k}]") for k, s in enumerate((task.x, *task.arguments))}
    lines = ["#include <math.h>"]
    for k, expression in enumerate(task.integrals):
        shared, (result,) = sp.cse(expression.xreplace(names), sp.numbered_symbols("c_"))
        body = [f"    const double {symbol} = {sp.ccode(value)};" for symbol, value in shared]
        lines += [f"double component_{k}(int n, double *v) {{", *body, f"    return {sp.ccode(result)};", "}"]
    stem = folder / task.name.replace(" ", "_")
    stem.with_suffix(".c").write_text("\n".join([*lines, ""]))
    command = ["gcc", "-O3", "-march=native", "-fPIC", "-shared", f"{stem}.c", "-o", f"{stem}.so", "-lm"]
    subprocess.run(command, check=True)
    library, functions = ctypes.CDLL(f"{stem}.so"), []
    for k in range(len(task.integrals)):
        function = getattr(library, f"component_{k}")
        function.restype, function.argtypes = ctypes.c_double, (ctypes.c_int, ctypes.POINTER(ctypes.c_double))
        functions.append(LowLevelCallable(function))
    return _one_by_one(task, partial(_quads, functions))


def quad_vec_of_python(task: Task) -> Maker:
    """scipy.integrate.quad_vec, all integrals at once, with a Python function made by SymPy."""
    function = sp.lambdify((task.x, *task.arguments), task.integrals, "math", cse=True)

    def integrate(lower: float, upper: float, row: Any, tolerance: float) -> Any:
        def integrand(x: float) -> np.ndarray:
            return np.array(function(x, *row))

        return quad_vec(integrand, lower, upper, epsabs=0, epsrel=tolerance, norm="max", limit=500)[0]

    return _one_by_one(task, integrate)


def quadax(task: Task, rule: str, *, through: bool) -> Maker:
    """Quadax, jitted and vmapped: derivatives through the rule by jacfwd, or integrated along with the value."""
    import jax
    import jax.numpy as jnp
    import quadax

    jax.config.update("jax_enable_x64", True)
    method = getattr(quadax, rule)
    names = (task.x, *task.arguments)
    components = sp.lambdify(names, task.integrals, [jnp], cse=True)
    limits = sp.lambdify(task.arguments, [jnp.inf if e is sp.oo else e for e in task.range], [jnp])
    ends = sp.lambdify(task.arguments, task.ends, [jnp])

    def interval(q: Any) -> Any:
        return jnp.stack([jnp.asarray(end, dtype=float) for end in limits(*q)])

    def value(q: Any, tolerance: Any) -> Any:
        found = method(
            lambda x: components(x, *q)[0], interval(q), epsabs=0.0, epsrel=tolerance, max_ninter=100
        )  # fmt: skip
        return found[0], found[0]

    def derivatives_through(q: Any, tolerance: Any) -> Any:
        gradient, found = jax.jacfwd(value, has_aux=True)(q, tolerance)
        return jnp.concatenate([found[None], gradient])

    def along(q: Any, tolerance: Any) -> Any:
        found = method(
            lambda x: jnp.stack(components(x, *q)), interval(q), epsabs=0.0, epsrel=tolerance, max_ninter=100
        )  # fmt: skip
        return jnp.concatenate([found[0], jnp.stack(ends(*q))]) if task.ends else found[0]

    one = jax.jit(derivatives_through if through else along)
    many = jax.jit(jax.vmap(derivatives_through if through else along, (0, None)))

    def make(points: np.ndarray) -> Solver:
        if len(points) == 1:
            return lambda tolerance: np.asarray(jax.block_until_ready(one(points[0], tolerance)))[None]
        return lambda tolerance: np.asarray(jax.block_until_ready(many(points, tolerance)))

    return make
