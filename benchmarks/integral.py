"""Definite integrals, value and derivatives by parameters and limits, at equal achieved error: SciPy and quadax.

Every contestant gets the loosest tolerance at which its largest relative error, of a value or of a derivative, over
some of the parameter sets is at most the target; the truth is computed in this run, with 110 digits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sympy as sp
from integral_peers import (
    N_REFERENCES,
    Maker,
    Task,
    implicitops,
    quad_of_c,
    quad_of_python,
    quad_vec_of_python,
    quadax,
)
from measure import interleaved, machine, one_core, publish, table
from ode_tuning import HEADING, Tuned, rows_of, tuned, verdict

BATCH = 10_000
#: So many of a batch are solved by those who do it one by one, and by quadax, which is slow in batches of any size.
SOME = {"scipy": 10, "quadax": 250}
TARGET = 1e-8
HEADS = [*HEADING[:3], "of derivatives", *HEADING[4:]]
TARGETS = (
    ("scipy quad, Python integrand", 50),
    ("scipy quad, C integrand", 5),
    ("quadax, jit", 5),
)
ABSENT = (
    "scipy.integrate.tanhsinh: newer than this SciPy",
    "scipy.integrate.quadrature, romberg, fixed_quad: no infinite range, no endpoint singularity",
    "torchquad, vegas: fixed grids or random points, which don't reach this error at a tolerance",
)


def tasks() -> tuple[Task, ...]:
    """A smooth integrand, one that is infinite at a limit that moves, and one with an infinite range."""
    x, a, b, k, m, c, s = sp.symbols("x a b k m c s", positive=True)
    decay = sp.exp(-k * x) / (1 + c * x**2)
    smooth = Task(
        "smooth", decay * sp.cos(m * x), x, a, b, (k, m, c), (0.5, 0.5, 0.5, 0.1, 0.9), (1.5, 1.0, 1.0, 0.3, 1.3)
    )
    singular = Task(
        "endpoint singularity", (x - a) ** (s - 1) * decay, x, a, b, (s, k, c), (0.4, 0.5, 0.5, 0.1, 1.0),
        (0.7, 1.5, 1.0, 0.3, 2.0), is_mapped=True,
    )  # fmt: skip
    infinite = Task("infinite range", x**s * decay, x, a, sp.oo, (s, k, c), (0.4, 0.5, 0.5, 0.1), (0.9, 1.5, 1.0, 0.5))
    return smooth, singular, infinite


def contestants(task: Task, folder: Path) -> tuple[dict[str, Maker], list[str]]:
    """Those that can be made, and a line for each that cannot."""
    rule = "quadts" if task.is_mapped else "quadgk"
    makers: dict[str, Callable[[], Maker]] = {
        "implicitops": lambda: implicitops(task),
        "scipy quad, Python integrand": lambda: quad_of_python(task),
        "scipy quad, C integrand": lambda: quad_of_c(task, folder),
        "scipy quad_vec, Python integrand": lambda: quad_vec_of_python(task),
        f"quadax {rule}, jit, jacfwd": lambda: quadax(task, rule, through=True),
        f"quadax {rule}, jit, derivatives along": lambda: quadax(task, rule, through=False),
    }
    found, absent = {}, []
    for name, make in makers.items():
        try:
            found[name] = make()
        except ImportError as error:
            absent.append(f"{name}: {error}")
    return found, absent


def race(
    task: Task, makers: Mapping[str, Maker], found: Mapping[str, Tuned | None], n: int, seconds: float
) -> tuple[list[list[str]], dict[str, float]]:
    """Rows of a table for n parameter sets, and seconds per solve by name."""
    runs: dict[str, Any] = {}
    solves = {}
    for name, make in makers.items():
        tuning = found[name]
        if tuning is not None:
            solves[name] = min(n, SOME.get(name.split()[0], n))
            solver = make(task.points(solves[name]))
            runs[name] = lambda solver=solver, tolerance=tuning.tolerance: solver(tolerance)
    times = {name: t / solves[name] for name, t in interleaved(runs, seconds=seconds).items()}
    return rows_of(found, times, digits=2), times


def verdicts(times: dict[str, float]) -> str:
    """The targets; of quadax's two ways the faster counts."""
    ways = [times[name] for name in times if name.startswith("quadax")]
    judged = {**times, **({"quadax, jit": min(ways)} if ways else {})}
    return "".join(verdict(judged, peer, "implicitops", factor) + "\n" for peer, factor in TARGETS)


def task_text(task: Task, folder: Path) -> str:
    """Both tables of a task."""
    makers, absent = contestants(task, folder)
    sample = task.points(N_REFERENCES)
    # A task has the method `errors` that `tuned` asks for; it knows nothing else of it.
    found = {name: tuned(task, make(sample), TARGET) for name, make in makers.items()}  # type: ignore[arg-type]
    n_limits = len(task.arguments) - len(task.params)
    what = f"{task.name}, {len(task.params)} parameters and {n_limits} limit{'s' * (n_limits > 1)}"
    parts = []
    for n, each in ((1, "one solve"), (BATCH, f"each of {BATCH} in one call")):
        rows, times = race(task, makers, found, n, 3.0)
        title = f"Integral, {what}, errors at most {TARGET:g}: {each}"
        parts.append(table(title, [HEADS, *rows]) + "".join(line + "\n" for line in absent) + verdicts(times))
    return "\n".join(parts)


def main() -> None:
    """Run and publish."""
    with tempfile.TemporaryDirectory() as name, one_core():
        text = "\n".join(task_text(task, Path(name)) for task in tasks())
    text += "\nNot in the tables:\n" + "".join(f"  {line}\n" for line in ABSENT)
    publish("integral", f"{machine()}\n\n{text}")


if __name__ == "__main__":
    main()
