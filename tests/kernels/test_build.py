"""Handles are built once a process, and a forked process waits for no thread that it does not have."""

from __future__ import annotations

import os
import select
import signal
import threading

import pytest
import sympy as sp

import implicitops as iop
from implicitops.backends import failures
from implicitops.calculus import Operation, Solve
from implicitops.kernels import build, handle_of

x, p = sp.symbols("x p")


class Slow(Operation):
    """An operation whose handle is being built until the test lets it end."""

    name = "slow"
    begun, ended = threading.Event(), threading.Event()


@build.bind.register
def _(operation: Slow):
    Slow.begun.set()
    Slow.ended.wait(60)
    raise iop.ProblemError("there is no such kernel")


def answer_of_child(compute):
    """What a forked child computes, as text; none if it has not answered after half a minute."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, str(compute()).encode())
        finally:
            os._exit(0)
    os.close(write)
    try:
        ready, _, _ = select.select([read], [], [], 30)
        return os.read(read, 100).decode() if ready else None
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read)


def test_equal_problems_share_a_handle():
    first, again = (iop.Root(x**3 + x - p, x, [p], bracket=(-9, 9)) for _ in range(2))
    assert handle_of(Solve(first)) is handle_of(Solve(again))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
class TestForkedChild:
    def test_builds_a_new_problem_while_a_thread_of_its_parent_builds_another(self):
        Slow.begun.clear()
        Slow.ended.clear()
        thread = threading.Thread(target=pytest.raises, args=(iop.ProblemError, handle_of, Slow()))
        thread.start()
        try:
            assert Slow.begun.wait(30)
            new = iop.Root(x**7 + x - p, x, [p], bracket=(-9, 9))
            assert answer_of_child(lambda: new(2.0)) == "1.0"
        finally:
            Slow.ended.set()
            thread.join()

    def test_is_told_of_failures_while_a_thread_of_its_parent_counts_some(self):
        with failures._lock:
            assert answer_of_child(lambda: len(failures.failures()) >= 0) == "True"
