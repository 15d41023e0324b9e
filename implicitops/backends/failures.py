"""Solves that failed inside graphs, where nothing can be raised: counted, with one warning per problem."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from implicitops.backends import failure_journal
from implicitops.backends.marked_nan import SOLVES
from implicitops.backends.numpy import arguments_text, place_counters
from implicitops.backends.places import place
from implicitops.calculus import Operation
from implicitops.calculus.operation import Shape
from implicitops.calculus.rules import is_propagated
from implicitops.calculus.sensitivities import Adjoint
from implicitops.calculus.status_of import MARK, MARKED_STATUS
from implicitops.errors import SolveWarning
from implicitops.problems.base import Problem
from implicitops.problems.reasons import reason
from implicitops.status import Status

#: How many failures of a problem are kept with their parameters.
KEPT = 3

_lock = threading.Lock()
_failures: dict[Problem, Failures] = {}
_stage = ""


def _renew_lock() -> None:
    """In a forked child nobody is left to open a lock that another thread held."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@dataclass(frozen=True)
class Failure:
    """One failed solve.

    Parameters
    ----------
    parameters : dict from each parameter's name to its value
    status : Status
    reason : str, what the status means for this problem, and where it happened
    """

    parameters: dict[str, Any]
    status: Status
    reason: str = ""

    def __str__(self) -> str:
        return f"at {arguments_text(self.parameters)}: {self.reason or self.status.value} ({self.status!r})"


@dataclass(frozen=True)
class Failures:
    """All failed solves of a problem in the graphs of this process.

    Parameters
    ----------
    count : int
    first : tuple of Failure, the first few of them
    by_stage : mapping from what was going on ("tuning", "draws", or "" where nobody said) to the count in it
    """

    count: int
    first: tuple[Failure, ...]
    by_stage: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Failures) -> Failures:
        stages = {name: self.by_stage.get(name, 0) + n for name, n in other.by_stage.items()}
        return Failures(self.count + other.count, (*self.first, *other.first)[:KEPT], {**self.by_stage, **stages})


def failures() -> dict[Problem, Failures]:
    """Failed solves in the graphs of this process since it began, or since :func:`reset_failures`.

    A graph cannot raise for one bad element of a batch, so a failed solve is NaN there. Samplers take NaN for
    "impossible", which silently cuts a posterior off where the solver fails.

    Returns
    -------
    dict from each problem that failed to its Failures; processes that a sampler starts have their own, which
    :func:`implicitops.sampling.failure_report` collects
    """
    with _lock:
        return dict(_failures)


def reset_failures() -> None:
    """Forget all failures; each problem warns again when it fails next."""
    with _lock:
        _failures.clear()


def add_failures(found: Mapping[Problem, Failures]) -> None:
    """Count failures that another process has reported."""
    with _lock:
        for problem, more in found.items():
            _failures[problem] = _failures[problem] + more if problem in _failures else more


def set_stage(name: str) -> None:
    """What failures are counted under from now on: "tuning", "draws" or ""."""
    global _stage
    _stage = name


@contextmanager
def stage(name: str) -> Iterator[None]:
    """In this context failures are counted under a name, see :func:`set_stage`."""
    before = _stage
    set_stage(name)
    try:
        yield
    finally:
        set_stage(before)


@contextmanager
def unrecorded() -> Iterator[None]:
    """Neither count failures nor warn about them: for those who fail a solve on purpose, as verify_grad does."""
    before = failures()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SolveWarning)
            yield
    finally:
        with _lock:
            _failures.clear()
            _failures.update(before)


def record(
    problem: Problem,
    count: int,
    failed: Callable[[], Iterable[tuple[Sequence[Any], Status]]],
    *,
    start_given: bool = False,
) -> None:
    """Count failed solves of a problem and warn if they are its first, unless a report will sum them up.

    Parameters
    ----------
    problem : Problem
    count : int, how many batch elements failed
    failed : callable that returns the arguments and the status of each of them, asked only while few are known
    start_given : bool, the last arguments are start values
    """
    known = _failures.get(problem)
    found = _explain(problem, failed(), start_given) if known is None or len(known.first) < KEPT else ()
    more = Failures(count, found, {_stage: count})
    add_failures({problem: more})
    if failure_journal.is_open():
        failure_journal.note(problem, more)
    elif known is None and found:
        # Without a registry, so that Python's own "once per place" does not hide it after reset_failures().
        warnings.warn_explicit(_message(problem, found[0]), SolveWarning, "implicitops", 0, "implicitops")


def record_nans(operation: Operation, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
    """Count the NaNs of an operation's outputs, if it solves a problem or is part of a derivative of one.

    A derivative has failed where it is NaN although its inputs are finite; else something before it has.

    Parameters
    ----------
    operation : Operation
    inputs : sequence of ndarray, whose leading axes broadcast to those of the outputs
    outputs : sequence of ndarray, the first of the operation's; empty where they were not computed
    """
    solves = isinstance(operation, SOLVES)
    problem: Problem | None = getattr(operation, "problem" if solves else "differentiated", None)
    if problem is None:
        return
    found = [_has_nan(x, shape) for x, shape in zip(outputs, operation.output_shapes) if x.size]
    if not found:
        return
    failed = np.logical_or.reduce(found)
    if isinstance(operation, Adjoint):  # a cotangent that is NaN is the failure of something else
        failed &= ~_has_nan(inputs[-1], operation.input_shapes[-1])
    elif not solves:
        for x, shape in zip(inputs, operation.input_shapes):
            failed &= np.isfinite(x).all(axis=tuple(range(-len(shape), 0)))
    where = np.argwhere(failed)
    if not len(where):
        return
    start_given = getattr(operation, "start_given", False)
    shapes = operation.input_shapes if start_given else problem.argument_shapes
    arrays = [np.broadcast_to(x, failed.shape + x.shape[x.ndim - len(s) :]) for x, s in zip(inputs, shapes)]
    present = [x for x in outputs if x.size]
    elements = (
        ([np.array(x[tuple(i)]) for x in arrays], _status_in([x[tuple(i)] for x in present], solves)) for i in where
    )
    record(problem, len(where), lambda: elements, start_given=start_given)


def _status_in(outputs: Sequence[np.ndarray], solves: bool) -> Status:
    """Status that the first NaN of an element carries: that of the very solve that failed."""
    numbers = np.concatenate([np.ravel(output) for output in outputs])
    bits = int(numbers[np.isnan(numbers)][:1].view(np.int64)[0])
    if bits & ~MARKED_STATUS == MARK:
        return Status.from_code(bits & MARKED_STATUS)
    return Status.UNDEFINED if solves else Status.DERIVATIVE_UNDEFINED


def _has_nan(array: np.ndarray, core: Shape) -> np.ndarray:
    """Whether each batch element contains a NaN."""
    return np.asarray(np.isnan(array).any(axis=tuple(range(-len(core), 0))))


def _explain(
    problem: Problem, failed: Iterable[tuple[Sequence[Any], Status]], start_given: bool
) -> tuple[Failure, ...]:
    explained = []
    names = (*problem.argument_names, *(problem.start_argument_names if start_given else ()))
    for (values, status), _ in zip(failed, range(KEPT)):
        why = f"{reason(problem, status)}{_place(problem, status, values)}"
        explained.append(Failure(dict(zip(names, values)), status, why))
    return tuple(explained)


def _place(problem: Problem, status: Status, values: Sequence[Any]) -> str:
    """Where a solve failed, if one with or without derivatives fails in the same way outside the graph."""
    if not is_propagated(problem):
        return place(problem, status, values, {})
    for derivatives in (0, 1):
        code, counters = place_counters(problem, values, derivatives)
        if Status.from_code(code) is status:
            return place(problem, status, values, counters)
    return ""


def _message(problem: Problem, failure: Failure) -> str:
    has_value = failure.status in (Status.DERIVATIVE_UNDEFINED, Status.DERIVATIVE_INACCURATE)
    lost = "the derivative is" if has_value else "the value and its derivatives are"
    return (
        f"{problem!r} failed {failure}. Inside a graph {lost} NaN there, which a "
        "sampler takes for impossible. Further failures of this problem are counted without a warning: see "
        "implicitops.failures()."
    )
