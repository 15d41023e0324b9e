"""How the processes of a sampler tell their parent of failed solves: one pair of files for each, in a folder.

An environment variable names the folder, so that forked and spawned processes find it alike. A process appends to its
own files only, unbuffered, so that what it has written stays when it is killed. What is counted lives in failures.py.
"""

from __future__ import annotations

import os
import pickle
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from implicitops.problems.base import Problem

#: Environment variable, "<process that opened the journal>:<folder>".
VARIABLE = "IMPLICITOPS_FAILURE_JOURNAL"

# Number of the problem in this process, of the stage, and how many solves failed.
_COUNT = struct.Struct("<iiq")

_writer: _Writer | None = None


class _Writer:
    """Files of this process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.process = folder, os.getpid()
        self._counts: BinaryIO = open(folder / f"{self.process}.counts", "ab", buffering=0)  # noqa: SIM115
        self._entries: BinaryIO = open(folder / f"{self.process}.entries", "ab", buffering=0)  # noqa: SIM115
        self._problems: dict[Any, int] = {}
        self._stages: dict[str, int] = {}

    def note(self, problem: Problem, more: Any) -> None:
        if problem not in self._problems:
            self._problems[problem] = len(self._problems)
            try:
                pickled = pickle.dumps(problem)
            except Exception:  # existing code may be anything: a lambda, a method of an open file, ...
                pickled = b""
            self._write(("problem", pickled, repr(problem)))
        k = self._problems[problem]
        if more.first:
            self._write(("first", k, more.first))
        for name, count in more.by_stage.items():
            if name not in self._stages:
                self._stages[name] = len(self._stages)
                self._write(("stage", name))
            self._counts.write(_COUNT.pack(k, self._stages[name], count))

    def _write(self, entry: tuple[Any, ...]) -> None:
        self._entries.write(pickle.dumps(entry))


def is_open() -> bool:
    """Whether a report is being made that will sum up the failures of this process."""
    return VARIABLE in os.environ


def note(problem: Problem, more: Any) -> None:
    """Tell the process that opened the journal of failures; nothing if it is this one, which has counted them.

    Parameters
    ----------
    problem : Problem
    more : Failures, those since the last call
    """
    global _writer
    owner, _, folder = os.environ[VARIABLE].partition(":")
    if owner == str(os.getpid()):
        return
    try:
        if _writer is None or _writer.process != os.getpid() or str(_writer.folder) != folder:
            _writer = _Writer(Path(folder))
        _writer.note(problem, more)
    except OSError:  # the report is finished, and its folder gone
        _writer = None


@contextmanager
def opened() -> Iterator[Path]:
    """Folder of a new journal, for this process and those that it starts meanwhile."""
    before = os.environ.get(VARIABLE)
    with tempfile.TemporaryDirectory(prefix="implicitops-") as folder:
        os.environ[VARIABLE] = f"{os.getpid()}:{folder}"
        try:
            yield Path(folder)
        finally:
            if before is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = before


def entries(folder: Path) -> Iterator[tuple[Any, str, tuple[Any, ...], dict[str, int]]]:
    """What other processes have written.

    Parameters
    ----------
    folder : Path

    Yields
    ------
    problem (None if it has no pickle), its representation, the first failures, and counts by stage; one for each
    problem and process
    """
    for path in sorted(folder.glob("*.entries")):
        problems: list[tuple[bytes, str]] = []
        stages: list[str] = []
        first: dict[int, tuple[Any, ...]] = {}
        for kind, *content in _pickles(path):
            if kind == "problem":
                problems.append((content[0], content[1]))
            elif kind == "stage":
                stages.append(content[0])
            else:
                first[content[0]] = (*first.get(content[0], ()), *content[1])
        totals: list[dict[str, int]] = [{} for _ in problems]
        data = path.with_suffix(".counts").read_bytes()
        for k, s, count in _COUNT.iter_unpack(data[: len(data) - len(data) % _COUNT.size]):
            totals[k][stages[s]] = totals[k].get(stages[s], 0) + count
        for k, (pickled, text) in enumerate(problems):
            yield (pickle.loads(pickled) if pickled else None), text, first.get(k, ()), totals[k]


def _pickles(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        while True:
            try:
                yield pickle.load(file)
            except (EOFError, pickle.UnpicklingError):  # the end, or where the process was killed
                return
