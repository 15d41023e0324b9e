"""Initial value problems with sensitivities at equal achieved error, against diffrax, SUNDIALS, SciPy and pymc3.ode.

Every solver gets the loosest tolerance at which its largest error, of a value or of a sensitivity, is at most the
target; errors are measured in this run, against references of 50-digit arithmetic (for the many output times of the
first problem against SciPy at a tolerance of 1e-13, which is checked against those).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from measure import interleaved, machine, one_core, publish, table
from ode_catalogue import case_named
from ode_cvodes import Cvodes
from ode_peers import (
    Implicitops,
    diffrax_augmented,
    diffrax_stiff,
    first,
    implicitops_in_theano,
    pymc3_ode,
    scipy_solver,
    sundae_solver,
)
from ode_tasks import Augmented, Task
from ode_tuning import HEADING, race, tuned, verdict
from scipy.integrate import solve_ivp

BATCH = 200
TARGET, STIFF_TARGET = 1e-8, 1e-6
STIFF_CASES = ("Robertson", "HIRES", "pollution")
METHOD_CASES = ("Robertson", "HIRES", "Van der Pol 1000", "pollution")


def lotka_volterra() -> Task:
    """Lotka and Volterra with 51 outputs; the reference is SciPy's at a tolerance of 1e-13."""
    case = case_named("Lotka-Volterra")
    times = np.linspace(0, 20, 52)[1:]
    every = np.union1d(times, case.times)
    exact = Task.of(case)
    wide = Task(case, every, exact.values, exact.sensitivities)
    system = Augmented(wide)
    found = solve_ivp(
        system.rhs, (0, 20), system.start, "DOP853", every, rtol=1e-13, atol=system.atol(1e-13)
    ).y.T  # fmt: skip
    values, sensitivities = system.answer(found)
    there = np.isin(every, case.times)
    error = max(exact.errors((values[there], sensitivities[there])))
    if error > 1e-2 * TARGET:
        raise ArithmeticError(f"the reference with 51 output times has an error of {error:.0e}")
    wanted = np.isin(every, times)
    return Task(case, times, values[wanted], sensitivities[wanted])


def tasks(names: Sequence[str]) -> Iterator[tuple[str, Task]]:
    """The catalogue's cases, with a message for each that has no reference."""
    for name in names:
        try:
            yield name, Task.of(case_named(name))
        except KeyError as error:
            print(f"left out: {error.args[0]}", flush=True)


def available(makers: dict[str, Callable[[], Any]]) -> tuple[dict[str, Any], list[str]]:
    """The contestants that can be made, and a line for each that cannot: not installed, or not made for this."""
    contestants, absent = {}, []
    for name, make in makers.items():
        try:
            contestants[name] = make()
        except (ImportError, NotImplementedError) as error:
            absent.append(f"{name}: {error}")
    return contestants, absent


def nonstiff_text(folder: Path) -> str:
    """Lotka and Volterra: single solves, a batch, and one Theano function for values and gradient."""
    task = lotka_volterra()
    contestants, absent = available(
        {
            "implicitops": lambda: Implicitops(task),
            "implicitops, tsit5": lambda: Implicitops(task, "tsit5"),
            "diffrax Tsit5, jit": lambda: diffrax_augmented(task, "Tsit5"),
            "diffrax Dopri8, jit": lambda: diffrax_augmented(task, "Dopri8"),
            "CVODES in C, Adams": lambda: Cvodes(task, "Adams", folder),
            "CVODES in C, BDF": lambda: Cvodes(task, "BDF", folder),
            "CVODE in Python, Adams": lambda: sundae_solver(task, "Adams"),
            "CVODE in Python, BDF": lambda: sundae_solver(task, "BDF"),
            "SciPy DOP853": lambda: scipy_solver(task, "DOP853"),
            "SciPy LSODA": lambda: scipy_solver(task, "LSODA"),
        }
    )
    rows, times = race(task, contestants, TARGET, seconds=8.0)
    what = f"Lotka and Volterra, 6 sensitivities, 51 outputs, errors at most {TARGET:g}"
    text = table(f"{what}: one solve", [HEADING, *rows]) + "\n".join(absent)
    text += _verdicts(
        times, ("diffrax Tsit5, jit", 20), ("diffrax Dopri8, jit", 20), ("CVODE in Python, Adams", 90),
        ("CVODE in Python, BDF", 90),
    )  # fmt: skip

    contestants, _ = available(
        {
            "implicitops": lambda: Implicitops(task, batch=BATCH),
            "diffrax Tsit5, jit, vmap": lambda: diffrax_augmented(task, "Tsit5", BATCH),
            "diffrax Dopri8, jit, vmap": lambda: diffrax_augmented(task, "Dopri8", BATCH),
        }
    )
    rows, times = race(task, contestants, TARGET, judged_by=first, solves=BATCH, seconds=6.0)
    text += "\n" + table(f"{what}: each of {BATCH} in one call", [HEADING, *rows])
    text += _verdicts(times, ("diffrax Tsit5, jit, vmap", 5), ("diffrax Dopri8, jit, vmap", 5))
    return text + "\n" + theano_text(task)


def _verdicts(times: dict[str, float], *targets: tuple[str, float]) -> str:
    return "\n".join(verdict(times, peer, "implicitops", factor) for peer, factor in targets) + "\n"


def theano_text(task: Task) -> str:
    """One Theano function for values and the gradient of their sum: our op and pymc3.ode's."""
    found = tuned(task, Implicitops(task), TARGET)
    if found is None:
        raise ArithmeticError("no tolerance reaches the target")
    # pymc3.ode puts the initial values before the parameters, and has no tolerances to set.
    peer = pymc3_ode(task)
    values, sensitivities = peer()[:2]
    errors = task.errors((values, np.concatenate([sensitivities[..., 2:], sensitivities[..., :2]], axis=-1)))
    times = interleaved({"implicitops": implicitops_in_theano(task, found.tolerance), "pymc3.ode": peer}, seconds=4.0)
    ours = times["implicitops"]
    rows = [HEADING]
    for name, tolerance, given in (
        ("implicitops", f"{found.tolerance:.1e}", (found.value_error, found.sensitivity_error)),
        ("pymc3.ode", "its own", errors),
    ):
        shown = (f"{e:.0e}" for e in given)
        rows.append([name, tolerance, *shown, f"{1e6 * times[name]:.1f}", f"{times[name] / ours:.2f}"])
    text = table("The same as a Theano function of all parameters: values and the gradient of their sum", rows)
    return text + _verdicts(times, ("pymc3.ode", 100))


def stiff_text(folder: Path) -> str:
    """Stiff problems with all sensitivities."""
    parts = []
    for name, task in tasks(STIFF_CASES):
        contestants, absent = available(
            {
                "implicitops": lambda task=task: Implicitops(task),
                "implicitops, rodas5p": lambda task=task: Implicitops(task, "rodas5p"),
                "diffrax Kvaerno5, jit, jacfwd": lambda task=task: diffrax_stiff(task),
                "CVODES in C, BDF": lambda task=task: Cvodes(task, "BDF", folder),
                "CVODE in Python, BDF": lambda task=task: sundae_solver(task, "BDF"),
                "SciPy Radau": lambda task=task: scipy_solver(task, "Radau"),
                "SciPy BDF": lambda task=task: scipy_solver(task, "BDF"),
                "SciPy LSODA": lambda task=task: scipy_solver(task, "LSODA"),
            }
        )
        rows, times = race(task, contestants, STIFF_TARGET, seconds=6.0)
        title = f"{name}, {task.n} states, {task.n * task.p} sensitivities, errors at most {STIFF_TARGET:g}"
        text = table(title, [HEADING, *rows]) + "".join(line + "\n" for line in absent)
        parts.append(text + _verdicts(times, ("diffrax Kvaerno5, jit, jacfwd", 10), ("CVODES in C, BDF", 2)))
    return "\n".join(parts)


def method_rows() -> list[list[str]]:
    """Values alone: steps, evaluations and factorisations at equal achieved error."""
    rows = []
    for name, task in tasks(METHOD_CASES):
        counted: dict[str, tuple[int, ...]] = {}
        contestants = {"Rodas5P (implicitops)": values_by_rodas(task, counted)}
        contestants |= {f"SciPy {m}": values_by_scipy(task, m, counted) for m in ("Radau", "BDF")}
        for method, solver in contestants.items():
            found = tuned(task, solver, STIFF_TARGET)
            if found is None:
                rows.append([name, method, "none reaches it", "", "", "", "", "", ""])
                continue
            solver(found.tolerance)
            seconds = interleaved({method: lambda s=solver, t=found.tolerance: s(t)}, seconds=0.5)[method]
            numbers = [str(count) for count in counted[method]]
            error = f"{found.value_error:.0e}"
            rows.append([name, method, f"{found.tolerance:.1e}", error, *numbers, f"{1e6 * seconds:.0f}"])
    return rows


def values_by_rodas(task: Task, counted: dict[str, tuple[int, ...]]) -> Callable[[float], Any]:
    """Our Rodas5P without sensitivities, judged by its values only."""
    problems: dict[float, Any] = {}

    def solve(tolerance: float) -> Any:
        if tolerance not in problems:
            atol = task.atol(tolerance).tolist()
            problems[tolerance] = task.case.problem(method="rodas5p", rtol=tolerance, atol=atol, max_steps=10**7)
        solution = problems[tolerance].solve(*task.case.point)
        names = ("steps", "rejected", "evaluations", "factorisations")
        counted["Rodas5P (implicitops)"] = tuple(int(solution.stats[name]) for name in names)
        return solution.value, task.sensitivities

    return solve


def values_by_scipy(task: Task, method: str, counted: dict[str, tuple[int, ...]]) -> Callable[[float], Any]:
    """SciPy's solver with the analytic Jacobian and without sensitivities, judged by its values only."""
    system = Augmented(task)
    rhs = system.states_function()

    def solve(tolerance: float) -> Any:
        result = solve_ivp(
            rhs, (task.case.t0, task.times[-1]), system.start[: task.n], method, rtol=tolerance,
            atol=task.atol(tolerance), jac=system.jacobian, dense_output=True,
        )  # fmt: skip
        if result.status != 0:
            raise ArithmeticError(result.message)
        # SciPy doesn't say how many of its steps were rejected.
        counted[f"SciPy {method}"] = (len(result.t) - 1, -1, result.nfev, result.nlu)
        return result.sol(task.times).T, task.sensitivities

    return solve


def main() -> None:
    """Run and publish."""
    with tempfile.TemporaryDirectory() as name, one_core():
        folder = Path(name)
        text = nonstiff_text(folder) + "\n" + stiff_text(folder)
        heading = [
            "problem", "method", "tolerance", "error", "steps", "rejected", "evaluations", "factorisations",
            "microseconds",
        ]  # fmt: skip
        title = f"Methods for stiff problems: values alone, errors at most {STIFF_TARGET:g}"
        text += "\n" + table(title, [heading, *[["" if c == "-1" else c for c in row] for row in method_rows()]])
        text += "Radau factorises a real and a complex matrix each time; both are counted.\n"
    peers = ", ".join(f"{name} {version(name)}" for name in ("diffrax", "equinox", "scikit-sundae"))
    publish("ode", f"{machine()}, {peers}\n\n{text}")


if __name__ == "__main__":
    main()
