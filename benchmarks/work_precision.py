"""Work-precision diagrams of our ODE methods: docs/images/ode_tolerance.svg and docs/images/ode_work_precision.svg.

For tolerances from 1e-3 to 1e-12: the largest errors of the values and of the sensitivities, relative to the largest of
each over time, against the tolerance asked for, and against the time of a solve with all sensitivities. The references
are those of 50-digit arithmetic of the catalogue.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator
from measure import interleaved, one_core
from ode_catalogue import case_named
from ode_peers import Implicitops
from ode_tasks import Task

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
CASES = (
    "Lotka-Volterra", "Arenstorf", "Pleiades", "Van der Pol 1", "Brusselator 10", "Van der Pol 1000", "Robertson",
    "HIRES", "Oregonator", "Brusselator 50", "Prothero-Robinson",
)  # fmt: skip
METHODS = ("tsit5", "dop853", "rodas5p", "auto")
TOLERANCES = tuple(10.0**-k for k in range(3, 13))
#: Okabe and Ito's colours, which people with colour-blindness can tell apart; auto is drawn below the others, wide.
STYLE = {
    "tsit5": {"color": "#56B4E9", "marker": "o", "linewidth": 1.2, "markersize": 3},
    "dop853": {"color": "#0072B2", "marker": "s", "linewidth": 1.2, "markersize": 3},
    "rodas5p": {"color": "#D55E00", "marker": "^", "linewidth": 1.2, "markersize": 3},
    "auto": {"color": "#BBBBBB", "linewidth": 5, "zorder": 1, "solid_capstyle": "round"},
}
#: An explicit method that needs more steps than this for a stiff problem isn't drawn.
MAX_STEPS = 100_000

#: (tolerance, error of values, error of sensitivities, seconds)
Point = tuple[float, float, float, float]


def points(task: Task, method: str) -> list[Point]:
    """The points of one curve."""
    found = []
    for tolerance in TOLERANCES:
        solver = Implicitops(task, method, max_steps=MAX_STEPS, throw=False)
        errors = task.errors(solver(tolerance))
        if not all(map(math.isfinite, errors)):
            continue
        seconds = interleaved({"": lambda s=solver, t=tolerance: s(t)}, seconds=0.02)[""]
        found.append((tolerance, *errors, seconds))
    return found


def draw(curves: dict[str, dict[str, list[Point]]], across: int, label: str, path: Path) -> None:
    """Small multiples of errors against one column of the points."""
    plt.rcParams.update({"font.size": 7, "svg.fonttype": "none", "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(4, 6, figsize=(10.5, 7.2), constrained_layout=True, sharey=True, squeeze=False)
    for k, (name, methods) in enumerate(curves.items()):
        row, column = divmod(k, 6)
        pair = axes[2 * row][column], axes[2 * row + 1][column]
        for axis, which, what in zip(pair, (1, 2), ("values", "sensitivities")):
            if across == 0:
                axis.plot([1e-12, 1e-3], [1e-12, 1e-3], color="#999999", linewidth=0.6, linestyle=":")
            for method, found in methods.items():
                axis.plot([p[across] for p in found], [p[which] for p in found], **STYLE[method])
            axis.set(xscale="log", yscale="log", ylim=(1e-14, 10))
            axis.minorticks_off()
            axis.yaxis.set_major_locator(LogLocator(numticks=5))
            axis.xaxis.set_major_locator(LogLocator(numticks=4))
            axis.grid(True, which="major", color="#EEEEEE", linewidth=0.5)
            if across == 0:
                axis.set_xlim(3e-3, 3e-13)
            if column == 0:
                axis.set_ylabel(f"error of {what}")
        pair[0].set_title(name, fontsize=8, loc="left")
        if row == 1 or k + 6 >= len(curves):
            pair[1].set_xlabel(label)
    _legend(axes, len(curves))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def _legend(axes: Any, count: int) -> None:
    """The methods' names in their colours where the last panel would be."""
    row, column = divmod(count, 6)
    for axis in (axes[2 * row][column], axes[2 * row + 1][column]):
        axis.axis("off")
    for k, method in enumerate(METHODS):
        style = {name: value for name, value in STYLE[method].items() if name != "zorder"}
        top = axes[2 * row][column]
        top.plot([0.05, 0.25], [0.8 - 0.2 * k] * 2, transform=top.transAxes, **style)
        top.text(0.32, 0.8 - 0.2 * k, method, transform=top.transAxes, va="center", fontsize=9)


def main() -> None:
    """Measure and draw."""
    curves: dict[str, dict[str, list[Point]]] = {}
    with one_core():
        for name in CASES:
            task = Task.of(case_named(name))
            title = f"{name.split(' 10')[0].split(' 50')[0]}, n = {task.n}" if "Brusselator" in name else name
            curves[title] = {method: points(task, method) for method in METHODS}
            worst = {m: f"{max(p[2] / p[0] for p in c):.0f}" for m, c in curves[title].items() if c}
            print(f"{title}: largest error of a sensitivity over tolerance: {worst}", flush=True)
    draw(curves, 0, "tolerance", IMAGES / "ode_tolerance.svg")
    draw(curves, 3, "seconds", IMAGES / "ode_work_precision.svg")


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
