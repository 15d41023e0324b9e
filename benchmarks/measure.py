"""Timing that is fair to all: the contestants take turns, and each is judged by its best round."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import implicitops as iop

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "benchmark-results"


def interleaved(contestants: Mapping[str, Callable[[], object]], *, seconds: float = 3.0) -> dict[str, float]:
    """Best wall time of each contestant, in seconds, over rounds in which they take turns.

    Parameters
    ----------
    contestants : mapping of a name to a function without arguments
    seconds : time for all rounds together; at least three rounds are run

    Returns
    -------
    dict of name to seconds per call
    """
    repeats = {}
    for name, function in contestants.items():
        function()
        # A burst of at least a millisecond, so that neither the clock's resolution matters nor what the contestant
        # before has left in the caches. The first calls of all may be slower than the rest.
        single = min(_seconds(function) for _ in range(5))
        repeats[name] = max(1, int(1e-3 / max(single, 1e-9)))
    best = dict.fromkeys(contestants, float("inf"))
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < 3 or time.perf_counter() < end:
        for name, function in contestants.items():
            begin = time.perf_counter()
            for _ in range(repeats[name]):
                function()
            best[name] = min(best[name], (time.perf_counter() - begin) / repeats[name])
        rounds += 1
    return best


def _seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


@contextmanager
def one_core() -> Iterator[None]:
    """Everybody on one core, also the threads that JAX starts meanwhile (where the system can do that)."""
    iop.set_num_threads(1)
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if cores:
        os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        if cores:
            os.sched_setaffinity(0, cores)
        iop.set_num_threads(None)


def table(title: str, rows: Sequence[Sequence[str]]) -> str:
    """Rows of text in aligned columns under a title; the first row is the heading."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([title, "-" * len(title), lines[0], "  ".join("-" * w for w in widths), *lines[1:], ""])


def machine() -> str:
    """Processor and the versions that matter, one line."""
    try:
        info = Path("/proc/cpuinfo").read_text()
        processor = next(line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor()
    names = ("numpy", "scipy", "sympy", "llvmlite", "Theano-PyMC", "pymc3", "jax", "optimistix")
    versions = []
    for name in names:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{name} not installed")
    return f"{processor}; Python {sys.version.split()[0]}; " + ", ".join(versions)


def publish(name: str, text: str) -> None:
    """Print a result and save it where the documentation shows it."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.txt").write_text(text + "\n")
    print(text, flush=True)
