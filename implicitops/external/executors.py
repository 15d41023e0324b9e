"""Batches over any concurrent.futures.Executor: chunks out, results back, and nothing lost without a status.

What a chunk does is the task's business. Nothing here knows one kind of executor from another, except that
process pools cannot be started by daemonic processes.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import threading
import traceback
import uuid
import warnings
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from typing import Any

import numpy as np

from implicitops.errors import CallTimeoutError, ExecutorWarning, LostResultError, TransferError, WorkerTraceback
from implicitops.external.calls import KEPT, Outcome
from implicitops.problems.callables import identity_of
from implicitops.problems.external import External
from implicitops.status import Status

#: Seconds that workers may take to start, besides their calls, before a batch with a time limit is given up.
GRACE = 30.0

#: Chunks for each worker of an executor, so that an unequal load evens out.
CHUNKS_PER_WORKER = 4

_pools: dict[str, Executor] = {}
_inherited: list[Executor] = []
_lock = threading.Lock()


class Workers:
    """Where a problem's calls are made, and what is done about workers that die or never return.

    Parameters
    ----------
    problem : External
    """

    def __init__(self, problem: External) -> None:
        self.problem = problem
        self._pool = identity_of(problem.executor)  # problems with the same callable share its executor
        self._warned = False

    def run(self, task: Any, inputs: Sequence[np.ndarray]) -> Outcome:
        """Outcome of a task for inputs (m, size), put together from chunks."""
        executor = self._executor()
        if executor is None:
            return task(inputs)
        return _Batch(self, task, inputs).run(executor)

    def _executor(self) -> Executor | None:
        """Executor to use, or None where calls are made in this process."""
        problem = self.problem
        if problem.executor is None:
            return None
        is_instance = isinstance(problem.executor, Executor)
        if isinstance(problem.executor, str) or (is_instance and problem.process != os.getpid()):  # ELSEWHERE
            self._warn("its executor belongs to the process that made it. Pass a callable that returns one")
            return None
        executor = problem.executor if is_instance else self._made()
        if isinstance(executor, ProcessPoolExecutor) and multiprocessing.current_process().daemon:
            self._warn("this process is daemonic and may not start others. Sample with cores=1")
            return None
        return executor

    def _made(self) -> Executor:
        """Executor of this process that the problem's callable makes, or has made."""
        with _lock:
            executor = _pools.get(self._pool)
            if executor is None:
                executor = self.problem.executor()
                if not isinstance(executor, Executor):
                    raise TypeError(
                        f"the executor of {self.problem!r} must be a concurrent.futures.Executor; "
                        f"{self.problem.executor!r:.80} returned {executor!r:.80}."
                    )
                _pools[self._pool] = executor
        return executor

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.problem!r} calls its function in this process, one call after the other: {reason}.",
                ExecutorWarning,
                stacklevel=3,
            )

    def replacement(self, executor: Executor) -> Executor | None:
        """Executor in the place of one that is broken or stuck, if the problem knows how to make one."""
        if isinstance(self.problem.executor, Executor):
            return None
        with _lock:
            if _pools.get(self._pool) is executor:
                del _pools[self._pool]
        processes = list((getattr(executor, "_processes", None) or {}).values())
        executor.shutdown(wait=False)
        for process in processes:  # Python waits for them at its end, for ever if one is stuck
            process.terminate()
        return self._made()

    def chunk_size(self, executor: Executor, m: int) -> int:
        """Batch elements for each submission."""
        if self.problem.chunk_size is not None:
            return self.problem.chunk_size
        n_workers = getattr(executor, "num_workers", None) or getattr(executor, "_max_workers", None) or os.cpu_count()
        return max(1, math.ceil(m / (CHUNKS_PER_WORKER * (n_workers or 1))))


class _Batch:
    """One batch on its way through an executor. Every element counts as lost until its result is here."""

    def __init__(self, workers: Workers, task: Any, inputs: Sequence[np.ndarray]) -> None:
        m = len(inputs[0])
        self.workers, self.task, self.inputs, self.m = workers, task, inputs, m
        self.outputs = [np.full((m, size), np.nan) for size in task.output_sizes]
        self.status = np.full(m, Status.WORKER_DIED.code, dtype=np.int32)
        self.calls = np.zeros(m, dtype=np.int64)
        self.causes: dict[int, BaseException] = {}
        self.is_sent = False  # whether a result of the task has come back
        self.stumbles: list[tuple[np.ndarray, Exception]] = []  # what the round's end explains

    def run(self, executor: Executor) -> Outcome:
        """Submit everything, then what was lost again, in the end element by element."""
        size = self.workers.chunk_size(executor, self.m)
        chunks = [np.arange(k, min(k + size, self.m)) for k in range(0, self.m, size)]
        lost, current = self._round(executor, chunks)
        for retries_left in reversed(range(self.workers.problem.retries)):
            singles = [np.array([row]) for chunk in lost for row in chunk]
            # The last time one at a time: a worker's death is then known to be that element's own.
            rounds = [singles] if retries_left else [[single] for single in singles]
            lost = []
            for chunks in rounds if current is not None else ():
                if current is not None:
                    left, current = self._round(current, chunks)
                    lost.extend(left)
        return Outcome(self.outputs, self.status, self.calls, self.causes)

    def _round(self, executor: Executor, chunks: list[np.ndarray]) -> tuple[list[np.ndarray], Executor | None]:
        """Chunks whose worker died, and the executor that is there now, if any."""
        futures: dict[Future[Outcome], np.ndarray] = {}
        lost: list[np.ndarray] = []
        usable = True
        try:
            for chunk in chunks:
                try:
                    inputs = [a[chunk] for a in self.inputs]
                    futures[executor.submit(run_chunk, self.task, inputs, uuid.uuid4().hex)] = chunk
                except Exception as error:
                    usable &= self._not_run(chunk, error, lost)
            remaining = set(futures)
            while remaining:
                done, remaining = wait(remaining, self._patience(max(map(len, chunks))), FIRST_COMPLETED)
                for future in done:
                    usable &= self._take(future, futures[future], lost)
                if not done:
                    self._give_up([futures[future] for future in remaining])
                    usable = False
                    break
        finally:
            for future in futures:  # of those that are not done: after Ctrl-C or too long a time
                future.cancel()
        self._explain_stumbles(lost)
        return lost, executor if usable else self.workers.replacement(executor)

    def _take(self, future: Future[Outcome], chunk: np.ndarray, lost: list[np.ndarray]) -> bool:
        """Store what a chunk returned; False if the executor is of no further use."""
        try:
            outcome = future.result()
        except Exception as error:
            return self._not_run(chunk, error, lost)
        self.is_sent = True
        for target, output in zip(self.outputs, outcome.outputs):
            target[chunk] = output
        self.status[chunk] = outcome.status
        self.calls[chunk] += outcome.calls
        for row in chunk:
            self.causes.pop(int(row), None)
        for k, (cause, text) in outcome.causes.items():
            cause.__cause__ = WorkerTraceback(f"in the worker\n{text}")
            self.causes[int(chunk[k])] = cause
        return True

    def _not_run(self, chunk: np.ndarray, error: Exception, lost: list[np.ndarray]) -> bool:
        """Note why a chunk has no result; False if the executor is of no further use."""
        if isinstance(error, (pickle.PicklingError, AttributeError, TypeError)):
            self.stumbles.append((chunk, error))
            return True
        self._lose(chunk, error, lost)
        return not isinstance(error, (BrokenExecutor, RuntimeError))  # RuntimeError: it was shut down

    def _explain_stumbles(self, lost: list[np.ndarray]) -> None:
        """Tell a task that cannot be sent from a worker that died, after which executors raise the same exceptions.

        Known at the end of a round only, as results come in any order: where one has come, the task can be sent.
        """
        for chunk, error in self.stumbles:
            if self.is_sent:
                self._lose(chunk, error, lost)
                continue
            cause = TransferError(
                f"the function cannot be sent to a worker ({error}). Define it with def at the top level of a module "
                "that workers can import, or use an executor of threads."
            )
            self._fail(chunk, Status.EXTERNAL_ERROR, cause, error)
        self.stumbles = []

    def _lose(self, chunk: np.ndarray, error: Exception, lost: list[np.ndarray]) -> None:
        self._fail(chunk, Status.WORKER_DIED, LostResultError(f"{type(error).__name__}: {error}"), error)
        lost.append(chunk)

    def _give_up(self, chunks: list[np.ndarray]) -> None:
        cause = CallTimeoutError("no worker has returned a result in time; all of them may be stuck.")
        for chunk in chunks:
            self._fail(chunk, Status.EXTERNAL_TIMEOUT, cause)

    def _fail(self, chunk: np.ndarray, status: Status, cause: Exception, reason: Exception | None = None) -> None:
        cause.__cause__ = reason
        self.status[chunk] = status.code
        for row in chunk[:KEPT]:
            self.causes[int(row)] = cause

    def _patience(self, chunk_size: int) -> float | None:
        """Seconds that may pass without any result."""
        timeout = self.workers.problem.timeout
        return None if timeout is None else GRACE + timeout * chunk_size * self.task.code.calls_limit


def run_chunk(task: Any, inputs: Sequence[np.ndarray], submission: str) -> Outcome:
    """Run a task in a worker; exceptions come back with their tracebacks as text, which survives the way.

    Dask takes equal arguments for the same call, whose failure it repeats without making it: ``submission`` differs.
    """
    outcome = task(inputs)
    outcome.causes = {row: _portable(cause) for row, cause in outcome.causes.items()}
    return outcome


def _portable(cause: BaseException) -> tuple[BaseException, str]:
    text = "".join(traceback.format_exception(type(cause), cause, cause.__traceback__))
    try:
        copy = pickle.loads(pickle.dumps(cause))
    except Exception:  # an exception class may be anything
        copy = None
    return copy if type(copy) is type(cause) else RuntimeError(f"{type(cause).__name__}: {cause}"), text


def shutdown_executors() -> None:
    """Shut down every executor that was made from a callable in this process; the next batch makes a new one."""
    with _lock:
        made = list(_pools.values())
        _pools.clear()
    for executor in made:
        executor.shutdown()


def _forget_pools() -> None:
    """In a forked child the pools' threads do not exist. The objects are kept, as their end would be heard here."""
    global _lock
    _lock = threading.Lock()
    _inherited.extend(_pools.values())
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)
