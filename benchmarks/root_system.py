"""Systems of n equations for many parameter sets: value, and Jacobian with respect to three parameters.

The dense family is x_i + a sin(sum_j w_ij x_j) = b (i + 1)/n + c x_i^2 with w_ij = 1/(n (1 + |i - j|)); the
tridiagonal one is Bratu's boundary value problem u'' + lambda exp(u) = 0.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import sympy as sp
from measure import interleaved, machine, one_core, publish, table
from scipy import optimize

import implicitops as iop

Run = Callable[[], Any]


def weights(n: int) -> np.ndarray:
    """Matrix w of the dense family."""
    i = np.arange(n)
    return 1 / (n * (1.0 + np.abs(i[:, None] - i)))


@lru_cache
def dense_problem(n: int) -> iop.Root:
    """The dense family in SymPy."""
    a, b, c = sp.symbols("a b c")
    x, w = sp.symbols(f"x0:{n}"), weights(n)
    equations = [
        x[i]
        + a * sp.sin(sp.Add(*(float(w[i, j]) * x[j] for j in range(n))))
        - b * sp.Rational(i + 1, n)
        - c * x[i] ** 2
        for i in range(n)
    ]
    return iop.Root(equations, x, [a, b, c], guess=[0.5] * n)


def parameters(batch: int) -> np.ndarray:
    """Parameter sets (batch, 3)."""
    return np.random.default_rng(0).uniform([0.1, 0.2, 0.0], [0.9, 0.9, 0.2], (batch, 3))


def residual(x: Any, p: Any, w: Any, xp: Any = np) -> Any:
    """The dense family for arrays."""
    n = w.shape[0]
    return x + p[0] * xp.sin(w @ x) - p[1] * (xp.arange(n) + 1) / n - p[2] * x**2


def scipy_root(p: np.ndarray, w: np.ndarray) -> Any:
    """MINPACK's hybrid method with the analytic Jacobian, then the implicit function theorem."""
    n = w.shape[0]

    def jacobian(x: np.ndarray, p: np.ndarray) -> np.ndarray:
        return p[0] * np.cos(w @ x)[:, None] * w + np.diag(1 - 2 * p[2] * x)

    def one(q: np.ndarray) -> Any:
        x = optimize.root(lambda x: residual(x, q, w), np.full(n, 0.5), jac=lambda x: jacobian(x, q), tol=1e-10).x
        right = np.stack([-np.sin(w @ x), (np.arange(n) + 1) / n, x**2], axis=1)
        return x, np.linalg.solve(jacobian(x, q), right)

    return [one(q) for q in p]


def optimistix_root(w: np.ndarray) -> Callable[[np.ndarray], Any] | None:
    """Jitted and vmapped optimistix Newton with its implicit derivative; None without optimistix."""
    try:
        import jax
        import jax.numpy as jnp
        import optimistix
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)
    solver = optimistix.Newton(rtol=1e-10, atol=1e-10)

    def solve(p: Any) -> Any:
        guess = jnp.full(w.shape[0], 0.5)
        return optimistix.root_find(lambda x, q: residual(x, q, w, jnp), solver, guess, args=p).value

    both = jax.jit(jax.vmap(lambda p: (solve(p), jax.jacfwd(solve)(p))))
    return lambda p: jax.block_until_ready(both(p))


def hand_written(folder: Path) -> Any:
    """The C program of hand_written_system.c, linked to the LAPACK that SciPy brings."""
    libraries = Path(scipy.__file__).resolve().parent.parent / "scipy.libs"
    lapack = next(path for path in sorted(libraries.glob("libopenblas*.so")) if "64_" not in path.name)
    source, library = Path(__file__).with_name("hand_written_system.c"), folder / "system.so"
    link = [str(lapack), "-Wl,--disable-new-dtags,-rpath," + str(libraries), "-Wl,--allow-shlib-undefined"]
    command = ["gcc", "-O3", "-march=native", "-fPIC", "-shared", str(source), "-o", str(library), *link, "-lm"]
    subprocess.run(command, check=True)
    function = ctypes.CDLL(str(library)).hand_written_system
    pointer = np.ctypeslib.ndpointer(np.float64, flags="C")
    function.argtypes = [ctypes.c_int, ctypes.c_int64, pointer, pointer, pointer, pointer]
    function.restype = None
    return function


def rows(n: int, batch: int, c_newton: Any) -> list[list[str]]:
    """Table rows for one size and batch, one thread; the answers are compared first."""
    problem, w, p = dense_problem(n), weights(n), parameters(batch)
    x, s = np.empty((batch, n)), np.empty((batch, n, 3))
    some = p[: 10 if batch > 10 else batch]
    runs: dict[str, Run] = {
        "implicitops": lambda: problem.solve(p[:, 0], p[:, 1], p[:, 2], derivatives=1),
        "hand-written C, LAPACK": lambda: c_newton(n, batch, w, p, x, s),
        "scipy.optimize.root": lambda: scipy_root(some, w),
    }
    solve = optimistix_root(w)
    if solve is not None:
        runs["optimistix Newton, jit, vmap"] = lambda: solve(p)
    ours = runs["implicitops"]()
    runs["hand-written C, LAPACK"]()
    np.testing.assert_allclose(ours.value, x, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.jacobian, s, rtol=1e-6, atol=1e-9)
    times = interleaved(runs, seconds=4.0)
    solved = {name: len(some) if name.startswith("scipy") else batch for name in times}
    each = {name: seconds / solved[name] for name, seconds in times.items()}
    return [
        [str(n), str(batch), name, f"{1e6 * seconds:.2f}", f"{seconds / each['implicitops']:.2f}"]
        for name, seconds in each.items()
    ]


def mean_field(n: int) -> iop.Root:
    """Equations that are coupled through their mean square: a dense Jacobian from short expressions."""
    x, strength = sp.symbols(f"x0:{n}"), sp.Symbol("strength")
    mean = sp.Add(*(symbol**2 for symbol in x)) / n
    return iop.Root(
        [x[i] * (1 + strength * mean) - sp.Rational(i + 1, n) for i in range(n)], x, [strength], guess=[1] * n
    )


def bratu(n: int) -> iop.Root:
    """Bratu's problem with n interior points, tridiagonal."""
    u, strength = sp.symbols(f"u0:{n}"), sp.Symbol("strength")
    step = 1.0 / (n + 1)
    ends = (sp.S.Zero, *u, sp.S.Zero)
    equations = [ends[i] - 2 * ends[i + 1] + ends[i + 2] + step**2 * strength * sp.exp(ends[i + 1]) for i in range(n)]
    return iop.Root(equations, u, [strength], guess=[0] * n)


def scaling_rows() -> list[list[str]]:
    """How the time of one solve with Jacobian grows with n, dense and tridiagonal."""
    lines = []
    for n in (10, 20, 50, 100, 200):
        problem = mean_field(n)
        seconds = interleaved({"": lambda problem=problem: problem.solve(0.5, derivatives=1)}, seconds=1)[""]
        lines.append(["dense", str(n), f"{1e6 * seconds:.1f}", f"{1e9 * seconds / n**3:.2f}", ""])
    for n in (10, 100, 1000):
        problem = bratu(n)
        seconds = interleaved({"": lambda problem=problem: problem.solve(1.0, derivatives=1)}, seconds=1)[""]
        lines.append(["tridiagonal", str(n), f"{1e6 * seconds:.1f}", "", f"{1e9 * seconds / n:.1f}"])
    return lines


def main() -> None:
    """Run and publish."""
    lines = [["n", "batch", "contestant", "microseconds per solve", "times implicitops"]]
    with tempfile.TemporaryDirectory() as folder, one_core():
        c_newton = hand_written(Path(folder))
        for n in (2, 5, 20, 50):
            for batch in (1, 10_000 if n < 50 else 1_000):
                lines += rows(n, batch, c_newton)
    text = table("Systems, one core: value and Jacobian with respect to 3 parameters", lines)
    heading = ["", "n", "microseconds", "ns / n^3", "ns / n"]
    with one_core():
        text += "\n" + table("Scaling: one solve with Jacobian, from Python", [heading, *scaling_rows()])
    publish("root_system", f"{machine()}\n\n{text}")


if __name__ == "__main__":
    main()
