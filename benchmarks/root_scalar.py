"""One scalar equation for many parameter values: mu + mu exp(theta mu) = 1, value and derivative.

Contestants differ in what they do, which the table says: whether they return the derivative, keep a bracket,
test convergence, report a status.
"""

from __future__ import annotations

import ctypes
import math
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
from measure import interleaved, machine, one_core, publish, table
from scipy import optimize

import implicitops as iop

mu, theta = sp.symbols("mu theta")
PROBLEM = iop.Root(mu + mu * sp.exp(theta * mu) - 1, mu, [theta], bracket=(0, 1))

Run = Callable[[], Any]


def residual(x: Any, t: Any, exp: Any = np.exp) -> Any:
    """The equation."""
    return x + x * exp(t * x) - 1


def slope(x: Any, t: Any, exp: Any = np.exp) -> Any:
    """Its derivative with respect to the unknown."""
    return 1 + exp(t * x) * (1 + t * x)


def hand_written(folder: Path) -> Any:
    """The C program of hand_written_newton.c, compiled for this machine."""
    source = Path(__file__).with_name("hand_written_newton.c")
    library, compiled = folder / "newton.so", folder / "newton.o"
    flags = ["-O3", "-march=native", "-ffast-math", "-fPIC", "-c"]
    subprocess.run(["gcc", *flags, str(source), "-o", str(compiled)], check=True)
    # -ffast-math must not reach the linker: there it would switch the process to flush-to-zero.
    subprocess.run(["gcc", "-shared", str(compiled), "-o", str(library), "-lmvec", "-lm"], check=True)
    function = ctypes.CDLL(str(library)).hand_written_newton
    pointer = np.ctypeslib.ndpointer(np.float64, flags="C")
    function.argtypes = [ctypes.c_int64, pointer, pointer, pointer]
    function.restype = None
    return function


def jax_newton() -> Callable[[np.ndarray], Any] | None:
    """Jitted Newton iteration until every element has converged, with the implicit derivative; None without JAX."""
    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)

    @jax.jit
    def solve(t: Any) -> Any:
        def body(state: Any) -> Any:
            x, _ = state
            step = residual(x, t, jnp.exp) / slope(x, t, jnp.exp)
            return x - step, jnp.max(jnp.abs(step))

        x, _ = jax.lax.while_loop(lambda s: s[1] > 1e-10, body, (jnp.full_like(t, 0.5), jnp.inf))
        return x, -(x**2) * jnp.exp(t * x) / slope(x, t, jnp.exp)

    def run(t: np.ndarray) -> Any:
        return jax.block_until_ready(solve(t))

    return run


def contestants(n: int, c_newton: Any) -> dict[str, Run]:
    """Functions that solve for n values of theta."""
    t = np.random.default_rng(0).uniform(0, 5, n)
    x, dx = np.empty(n), np.empty(n)
    runs: dict[str, Run] = {
        "implicitops": lambda: PROBLEM.solve(t, derivatives=1),
        "hand-written C, SIMD": lambda: c_newton(n, t, x, dx),
        "scipy.optimize.newton": lambda: optimize.newton(residual, np.full(n, 0.5), slope, (t,), tol=1e-10),
    }
    solve = jax_newton()
    if solve is not None:
        runs["JAX Newton, jit"] = lambda: solve(t)
    return runs


DOES = {
    "implicitops": "derivative, bracket, status",
    "hand-written C, SIMD": "derivative, 8 fixed steps",
    "scipy.optimize.newton": "value only",
    "JAX Newton, jit": "derivative",
}


def batch_rows(n: int, c_newton: Any) -> list[list[str]]:
    """Table rows for one batch size, one thread."""
    runs = contestants(n, c_newton)
    times = interleaved(runs, seconds=6.0)
    ours = times["implicitops"]
    return [
        [f"{n:.0e}", name, DOES[name], f"{1e9 * seconds / n:.1f}", f"{seconds / ours:.2f}"]
        for name, seconds in times.items()
    ]


def thread_rows(n: int = 1_000_000) -> list[list[str]]:
    """Table rows for one and two threads."""
    t = np.random.default_rng(0).uniform(0, 5, n)

    def with_threads(k: int) -> Run:
        def run() -> None:
            iop.set_num_threads(k)
            PROBLEM.solve(t, derivatives=1)

        return run

    times = interleaved({"1 thread": with_threads(1), "2 threads": with_threads(2)}, seconds=4.0)
    iop.set_num_threads(None)
    return [[name, f"{1e9 * s / n:.1f}", f"{times['1 thread'] / s:.2f}"] for name, s in times.items()]


def single_rows() -> list[list[str]]:
    """Table rows for one theta from Python."""
    runs: dict[str, Run] = {
        "implicitops, value": lambda: PROBLEM(0.4),
        "scipy.optimize.brentq": lambda: optimize.brentq(residual, 0, 1, (0.4, math.exp)),
        "scipy.optimize.newton": lambda: optimize.newton(residual, 0.5, slope, (0.4,), tol=1e-10),
        "implicitops, solve(derivatives=1)": lambda: PROBLEM.solve(0.4, derivatives=1),
    }
    times = interleaved(runs, seconds=3.0)
    ours = times["implicitops, value"]
    return [[name, f"{1e6 * s:.2f}", f"{s / ours:.1f}"] for name, s in times.items()]


def main() -> None:
    """Run and publish."""
    with tempfile.TemporaryDirectory() as folder:
        c_newton = hand_written(Path(folder))
        rows = [["batch", "contestant", "does", "ns per solve", "times implicitops"]]
        with one_core():
            for n in (5_000, 1_000_000):
                rows += batch_rows(n, c_newton)
    text = table("Batches, one core: value and derivative", rows)
    text += "\n" + table("Threads, batch of 1e6", [["", "ns per solve", "speed-up"], *thread_rows()])
    text += "\n" + table("One theta from Python", [["", "microseconds", "times implicitops"], *single_rows()])
    publish("root_scalar", f"{machine()}\n\n{text}")


if __name__ == "__main__":
    main()
