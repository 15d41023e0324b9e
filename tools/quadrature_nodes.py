"""Where an integral is evaluated: docs/images/integral_nodes.svg.

Two integrands and the nodes of the rules in csrc/integral_rules.h, computed here in Python: a peak, for which the
Gauss-Kronrod pair of 10 and 21 points bisects the range until the estimated errors sum up to the tolerance, and a power
that is infinite at an end, for which bisection is compared with the double exponential substitution. The nodes are
those of the same formulas and error estimate as the kernel's; the kernel also checks for jumps between cells, and
changes from one rule to the other by itself.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parent.parent
FIGURE = ROOT / "docs" / "images" / "integral_nodes.svg"
TOLERANCE = 1e-8
#: Okabe and Ito's colours, which people with colour-blindness can tell apart.
BLUE, RED, GREY = "#0072B2", "#D55E00", "#999999"

Integrand = Callable[[np.ndarray], np.ndarray]
Cell = tuple[float, float]


def table(name: str) -> np.ndarray:
    """Half of a symmetric table of csrc/integral_tables.h, mirrored: from -1 to 1."""
    text = (ROOT / "csrc" / "integral_tables.h").read_text("utf-8")
    match = re.search(rf"{name}\[11\] = \{{(.*?)\}};", text, re.DOTALL)
    if match is None:
        raise ValueError(f"csrc/integral_tables.h has no table {name} of 11 numbers")
    half = np.array(ast.literal_eval(f"[{match[1]}]"))
    return np.concatenate([-half if name.endswith("nodes") else half, half[-2::-1]])


NODES, KRONROD, GAUSS = (table(f"iop_{name}") for name in ("kronrod_nodes", "kronrod_weights", "gauss_weights"))


def gauss_kronrod(f: Integrand, cell: Cell) -> tuple[float, float]:
    """Integral over a cell, and QUADPACK's estimate of its error."""
    half = (cell[1] - cell[0]) / 2
    values = half * f(sum(cell) / 2 + half * NODES)
    high, error = KRONROD @ values, abs((KRONROD - GAUSS) @ values)
    spread = KRONROD @ np.abs(values - high / 2)
    return high, spread * min(1, (200 * error / spread) ** 1.5) if spread > 0 else error


def bisected(f: Integrand, cell: Cell, limit: int = 60) -> tuple[list[Cell], float]:
    """Cells of adaptive bisection, from left to right, and the integral: in each round, those with the worst errors."""
    cells = {cell: gauss_kronrod(f, cell)}
    while len(cells) < limit:
        total, error = np.sum(list(cells.values()), axis=0)
        if error <= TOLERANCE * abs(total):
            break
        worst = max(e for _, e in cells.values())
        for a, b in [c for c, (_, e) in cells.items() if e >= 0.3 * worst]:
            del cells[a, b]
            middle = (a + b) / 2
            cells.update({half: gauss_kronrod(f, half) for half in ((a, middle), (middle, b))})
    return sorted(cells), float(np.sum(list(cells.values()), axis=0)[0])


def double_exponential(f: Integrand) -> tuple[np.ndarray, float]:
    """Nodes x(t) in (0, 1) of the trapezoidal rule in t, whose step is halved to convergence, and the integral."""
    previous = np.inf
    for level in range(1, 10):
        step = 2.0 ** -(level + 1)
        t = np.arange(-6, 6 + step, step)
        x = 1 / (1 + np.exp(-np.pi * np.sinh(t)))
        terms = f(x) * np.pi * np.cosh(t) * x / (1 + np.exp(np.pi * np.sinh(t)))
        counts = np.abs(terms) > 1e-17 * np.abs(terms).sum()
        total = float(step * terms[counts].sum())
        if abs(total - previous) <= TOLERANCE**0.5 * abs(total):  # convergence is quadratic
            break
        previous = total
    return x[counts], total


def peak(x: np.ndarray) -> np.ndarray:
    """A Lorentzian beside a slow wave."""
    return 1e-4 / ((x - 0.3) ** 2 + 1e-4) + 0.2 * np.sin(5 * x)


def power(x: np.ndarray) -> np.ndarray:
    """Infinite at 0, with a finite integral."""
    return x**-0.75 * np.cos(x)


def draw_nodes(axis: Axes, nodes: np.ndarray, color: str) -> None:
    """A short line at each node; all of them are one path."""
    x = np.repeat(nodes[nodes > 1e-16], 3)
    y = np.tile([-0.5, 0.5, np.nan], x.size // 3)
    axis.plot(x, y, color=color, lw=0.6)


def draw_cells(axis: Axes, cells: list[Cell]) -> None:
    """The nodes of all cells, and the cells' ends."""
    draw_nodes(axis, np.concatenate([(a + b) / 2 + (b - a) / 2 * NODES for a, b in cells]), BLUE)
    axis.vlines([end for end in (cells[0][0], *(b for _, b in cells)) if end > 1e-16], -1, 1, color=GREY, lw=0.5)


def prepare(axis: Axes, title: str) -> None:
    """A strip for nodes: no ordinate."""
    axis.set(ylim=(-1, 1), yticks=[])
    axis.set_title(title, fontsize=8, loc="left")
    for side in ("left", "top", "right"):
        axis.spines[side].set_visible(False)


def main() -> None:
    """Compute and draw."""
    plt.rcParams.update({"font.size": 8, "svg.fonttype": "none", "svg.hashsalt": "integral_nodes"})
    figure, axes = plt.subplots(
        3, 2, figsize=(10.5, 4.2), layout="constrained", sharex="col", gridspec_kw={"height_ratios": [4, 1, 1]}
    )
    linear, logarithmic = np.linspace(0, 1, 2001), np.geomspace(1e-16, 1, 400)
    for axis, x, f, name in zip(axes[0], (linear, logarithmic), (peak, power), ("a peak", "x^(-3/4) cos x")):
        axis.plot(x, f(x), "k", lw=1)
        axis.set_title(name, fontsize=9, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][1].set(xscale="log", yscale="log", xlim=(1e-16, 2))
    integrands = (("peak", peak, ""), ("power", power, ", and not there yet"))
    for (name, f, remark), (_, above, below) in zip(integrands, axes.T):
        cells, total = bisected(f, (0.0, 1.0))
        prepare(above, f"Gauss-Kronrod: {len(cells)} cells of 21 nodes{remark}")
        draw_cells(above, cells)
        print(f"{name}: {len(cells)} cells, {total:.10f}")
        nodes, total = double_exponential(f)
        prepare(below, f"double exponential: {nodes.size} nodes")
        draw_nodes(below, nodes, RED)
        print(f"{name}, double exponential: {nodes.size} nodes, {total:.10f}")
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE, metadata={"Date": None})
    print(f"{FIGURE.name}: {FIGURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
