"""Batches over threads: large ones are split into equal parts that run without the GIL."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from implicitops.kernels._operation import N_STATS

#: Smallest part of a batch of scalar solves that is worth a thread, whose start costs some 20 microseconds.
GRAIN = 8192

_pool: ThreadPoolExecutor | None = None
_n_threads: int | None = None


def get_num_threads() -> int:
    """Number of threads that a large batch is split over: all processors that this process may use.

    The environment variable ``IMPLICITOPS_NUM_THREADS`` or :func:`set_num_threads` says otherwise.
    """
    if _n_threads is not None:
        return _n_threads
    setting = os.environ.get("IMPLICITOPS_NUM_THREADS", "")
    if setting.isdigit() and int(setting) > 0:
        return int(setting)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_num_threads(n_threads: int | None) -> None:
    """Set how many threads a large batch is split over.

    Parameters
    ----------
    n_threads : int, or None for the default

    Examples
    --------
    >>> import implicitops as iop
    >>> iop.set_num_threads(1)
    >>> iop.get_num_threads()
    1
    >>> iop.set_num_threads(None)
    """
    global _n_threads, _pool
    if n_threads is not None and (isinstance(n_threads, bool) or not isinstance(n_threads, int) or n_threads < 1):
        raise ValueError(f"n_threads must be a positive integer or None; got {n_threads!r}.")
    _n_threads, _pool = n_threads, None


@contextmanager
def num_threads(n_threads: int) -> Iterator[None]:
    """In this context large batches are split over so many threads: for those who use the others themselves."""
    before = _n_threads
    set_num_threads(n_threads)
    try:
        yield
    finally:
        set_num_threads(before)


def run(
    handle: Any,
    n: int,
    inputs: Sequence[np.ndarray],
    strides: Sequence[int],
    outputs: Sequence[np.ndarray | None],
    status: np.ndarray | None = None,
    stats: bool = False,
    marked: bool = False,
) -> tuple[int, dict[str, np.ndarray]]:
    """Run a kernel on a batch, over several threads if it is large; the result does not depend on how many.

    Parameters
    ----------
    handle : of :func:`implicitops.kernels.handle_of`
    n : int, batch elements
    inputs : float64 arrays
    strides : doubles between batch elements of each input, 0 to repeat one element
    outputs : C-contiguous float64 arrays, or None where not wanted
    status : int32 ndarray (n,), optional
    stats : bool, return the kernel's work counters
    marked : bool, NaN of failed solves carries their status, as in graphs; not with status or stats

    Returns
    -------
    failed : int, how many elements failed
    stats : dict of a counter's name to an int64 ndarray (n,), empty unless asked for
    """
    parts = 1 if n < 2 * handle.grain else min(get_num_threads(), n // handle.grain)
    edges = [n * k // parts for k in range(parts + 1)]
    counters = np.zeros((N_STATS, n), dtype=np.int64) if stats else None

    def run_part(k: int) -> int:
        begin, end = edges[k], edges[k + 1]
        return int(handle.run(end - begin, begin, inputs, strides, outputs, status, counters, marked))

    futures = [_executor().submit(run_part, k) for k in range(1, parts)]
    failed = run_part(0) + sum(future.result() for future in futures)
    names = getattr(handle.kernel, "stat_names", ())
    return failed, {} if counters is None else dict(zip(names, counters))


def _executor() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(max_workers=get_num_threads(), thread_name_prefix="implicitops")
    return _pool


def _forget_pool() -> None:
    global _pool
    _pool = None


# A forked child (PyMC3 makes them) inherits the pool but none of its threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
