"""CVODES of SUNDIALS from C: hand_written_cvodes.c with a problem's functions, compiled by gcc.

No wheel brings CVODES in a form that a program can use: scikit-sundae has CVODE, without sensitivities, and CasADi's
copy lacks the dense linear solver and the headers. Debian's package is compiled without optimisation, which makes it
several times slower. So it is built from source, of SUNDIALS or of a distribution's package, which takes a minute:

    export CFLAGS="-O3 -march=native"
    cmake -S sundials-6.4.1 -B build -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=$PWD/sundials
    cmake --build build --target install
    SUNDIALS=$PWD/sundials python benchmarks/run.py ode

Without SUNDIALS= the library is looked for where the system has its libraries.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from ctypes.util import find_library
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
from ode_tasks import Answer, Expressions, Task

METHODS = {"Adams": 1, "BDF": 2}


def library() -> str | None:
    """The CVODES library, or None."""
    folder = os.environ.get("SUNDIALS")
    if folder:
        found = sorted(Path(folder).rglob("libsundials_cvodes.so*"))
        return str(found[0].resolve()) if found else None
    return find_library("sundials_cvodes")


def source(task: Task) -> str:
    """C functions of a problem: what hand_written_cvodes.c declares."""
    e = task.expressions
    places = {"state": e.by_state, "parameter": e.by_parameter}
    lines = [f"const int sizes[4] = {{{task.n}, {task.p}, {len(e.by_state)}, {len(e.by_parameter)}}};"]
    for name, entries in places.items():
        for axis, word in enumerate(("rows", "columns")):
            numbers = ", ".join(str(entry[axis]) for entry in entries)
            lines.append(f"const int {name}_{word}[] = {{{numbers}}};")
    lines.append("void problem_rhs(double t, const double *y, const double *p, double *rate) {")
    lines += _assignments(task, e, [(f"rate[{k}]", f) for k, f in enumerate(e.rhs)])
    head = (
        "void problem_derivatives(double t, const double *y, const double *p, double *by_state, double *by_parameter)"
    )
    lines.append(head + " {")
    targets = [(f"by_{name}[{k}]", entry[2]) for name, entries in places.items() for k, entry in enumerate(entries)]
    return "\n".join([*lines, *_assignments(task, e, targets), ""])


def _assignments(task: Task, e: Expressions, targets: list[tuple[str, sp.Expr]]) -> list[str]:
    """The body of a function: common subexpressions, then the results."""
    names = ["t", *(f"y[{i}]" for i in range(task.n)), *(f"p[{j}]" for j in range(task.p))]
    renamed = dict(zip(e.arguments, map(sp.Symbol, names)))
    shared, results = sp.cse([expression.xreplace(renamed) for _, expression in targets], sp.numbered_symbols("c_"))
    lines = [f"    const double {symbol} = {sp.ccode(expression)};" for symbol, expression in shared]
    return [*lines, *(f"    {name} = {sp.ccode(r)};" for (name, _), r in zip(targets, results)), "}"]


class Cvodes:
    """A problem compiled with CVODES.

    Parameters
    ----------
    task : Task
    method : "Adams" or "BDF"
    folder : Path, for the source and the library
    """

    def __init__(self, task: Task, method: str, folder: Path) -> None:
        self.task, self._method = task, METHODS[method]
        sundials = library()
        if sundials is None:
            raise ImportError("SUNDIALS CVODES was not found; benchmarks/ode_cvodes.py says how to get it")
        name = "".join(c for c in task.case.name if c.isalnum())
        program, compiled = folder / f"{name}.c", folder / f"{name}.so"
        program.write_text(Path(__file__).with_name("hand_written_cvodes.c").read_text() + "\n" + source(task))
        link = ["-Wl,--allow-shlib-undefined", sundials, f"-Wl,-rpath,{Path(sundials).parent}", "-lm"]
        command = ["gcc", "-O3", "-march=native", "-fPIC", "-shared", str(program), "-o", str(compiled), *link]
        subprocess.run(command, check=True)
        self._solve = ctypes.CDLL(str(compiled)).solve_by_cvodes
        array = np.ctypeslib.ndpointer(np.float64, flags="C")
        number, size = ctypes.c_double, ctypes.c_int
        counts = np.ctypeslib.ndpointer(np.int64, flags="C")
        self._solve.argtypes = [
            size, number, size, array, array, array, array, number, array, array, array, counts,
        ]  # fmt: skip
        e = task.expressions
        self._start = np.ascontiguousarray(e.initial), np.ascontiguousarray(e.initial_slope.T)
        self._params, self._times = task.params.copy(), np.ascontiguousarray(task.times)
        self.counts = np.zeros(3, dtype=np.int64)

    def __call__(self, tolerance: float) -> Answer:
        """Solve at a tolerance."""
        task = self.task
        values, sensitivities = np.empty((len(task.times), task.n)), np.empty((len(task.times), task.p, task.n))
        arguments: tuple[Any, ...] = (self._method, task.case.t0, len(task.times), self._times, *self._start)
        given = (self._params, tolerance, task.atol(tolerance), values, sensitivities, self.counts)
        failed = self._solve(*arguments, *given)
        if failed:
            raise ArithmeticError(f"CVODES returned {failed}")
        return values, np.moveaxis(sensitivities, 1, 2)
