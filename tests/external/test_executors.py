"""Batches over executors: results in order, failures that stay with their element, workers that die or never return."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import implicitops as iop
from implicitops import SolveError, Status
from implicitops.external import executors
from implicitops.external.executors import shutdown_executors

HERE = Path(__file__).parent
BATCH = np.arange(10.0)
TWO_PROCESSES = functools.partial(ProcessPoolExecutor, 2)


@pytest.fixture(autouse=True)
def _no_orphans():
    """Processes of pytest-xdist end without waiting for their pools, whose workers would then wait for ever."""
    yield
    shutdown_executors()


@pytest.fixture
def code(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import existing_code

    return existing_code


def scalar(function, **options):
    return iop.External(function, inputs={"x": ()}, outputs=(), **options)


class TestEveryExecutor:
    @pytest.fixture(params=["threads", "processes", "factory of threads", "factory of processes"])
    def executor(self, request):
        if request.param.startswith("factory"):
            yield functools.partial(ThreadPoolExecutor, 2) if "threads" in request.param else TWO_PROCESSES
            return
        with (ThreadPoolExecutor if request.param == "threads" else ProcessPoolExecutor)(2) as executor:
            yield executor

    def test_results_are_those_of_a_loop_in_order(self, code, executor):
        batch = np.arange(100.0).reshape(4, 25)
        np.testing.assert_array_equal(scalar(code.square, executor=executor)(batch), batch**2)

    def test_single_and_empty_batch(self, code, executor):
        problem = scalar(code.square, executor=executor)
        assert problem(3.0) == 9.0
        assert problem(np.empty((0, 2))).shape == (0, 2)

    def test_derivatives(self, code, executor):
        problem = iop.External(
            code.line, inputs={"a": (), "v": (2,)}, outputs=(2,), jacobian=code.line_jacobian, executor=executor
        )
        solution = problem.solve(BATCH, [3.0, 4.0], derivatives=1)
        expected = [[[3.0, a, 0.0], [4.0, 0.0, a]] for a in BATCH]
        np.testing.assert_array_equal(solution.jacobian, expected)

    def test_exception_is_that_of_one_element_and_is_chained(self, code, executor):
        problem = scalar(code.raises_at_three, executor=executor)
        solution = problem.solve(BATCH, throw=False)
        assert np.flatnonzero(~solution.converged).tolist() == [3]
        assert solution.status[3] is Status.EXTERNAL_ERROR
        with pytest.raises(SolveError, match=r"ValueError: three is refused") as caught:
            problem(BATCH)
        assert isinstance(caught.value.__cause__, ValueError)
        assert "in raises_at_three" in str(caught.value.__cause__.__cause__)

    def test_call_that_never_returns_is_that_of_one_element(self, code, executor):
        started = time.monotonic()
        solution = scalar(code.sleeps_at_three, executor=executor, timeout=0.5).solve(BATCH, throw=False)
        assert np.flatnonzero(~solution.converged).tolist() == [3]
        assert solution.status[3] is Status.EXTERNAL_TIMEOUT
        assert time.monotonic() - started < 20

    @pytest.mark.parametrize("chunk_size", [1, 3, 1000])
    def test_chunk_size_changes_nothing(self, code, executor, chunk_size):
        problem = scalar(code.square, executor=executor, chunk_size=chunk_size)
        np.testing.assert_array_equal(problem(BATCH), BATCH**2)


def test_work_is_done_by_the_workers(code):
    processes = set(scalar(code.process_of, executor=TWO_PROCESSES)(BATCH))
    assert os.getpid() not in processes
    assert 1 <= len(processes) <= 2


class TestWorkerDies:
    def test_error_says_so_and_what_is_done_is_kept(self, code):
        with ProcessPoolExecutor(1) as executor:
            solution = scalar(code.dies_at_three, executor=executor, chunk_size=1).solve(BATCH, throw=False)
        assert solution.value[:3].tolist() == [0.0, 1.0, 4.0]
        assert np.isnan(solution.value[3:]).all()
        assert set(solution.status[3:]) == {Status.WORKER_DIED}

    def test_error_quotes_what_the_executor_said(self, code):
        with pytest.raises(SolveError, match=r"worker died before it returned .* BrokenProcessPool"):
            scalar(code.dies_at_three, executor=TWO_PROCESSES)(BATCH)

    @pytest.mark.parametrize("retries", [1, 2])
    def test_with_retries_only_the_culprit_fails(self, code, retries):
        solution = scalar(code.dies_at_three, executor=TWO_PROCESSES, retries=retries).solve(BATCH, throw=False)
        assert np.flatnonzero(~solution.converged).tolist() == [3]
        np.testing.assert_array_equal(np.delete(solution.value, 3), np.delete(BATCH**2, 3))

    def test_retry_gets_the_result_if_the_death_was_an_accident(self, code, tmp_path):
        function = functools.partial(code.dies_once_at_three, marker=str(tmp_path / "died"))
        np.testing.assert_array_equal(scalar(function, executor=TWO_PROCESSES, retries=1)(BATCH), BATCH**2)

    @pytest.mark.parametrize("position", [0, 4, 9])
    def test_any_exception_of_an_executor_that_has_returned_results_is_a_lost_one(self, code, position):
        class Stumbling(ThreadPoolExecutor):
            n_submitted = 0

            def submit(self, *args):
                self.n_submitted += 1
                if self.n_submitted == position + 1:
                    return super().submit(getattr, None, "lost")
                return super().submit(*args)

        with Stumbling(1) as executor:
            problem = scalar(code.square, executor=executor, chunk_size=1, retries=1)
            np.testing.assert_array_equal(problem(BATCH), BATCH**2)
            assert executor.n_submitted == 11
        with Stumbling(1) as executor:
            solution = scalar(code.square, executor=executor, chunk_size=1).solve(BATCH, throw=False)
        assert solution.status[position] is Status.WORKER_DIED

    def test_broken_executor_is_replaced_if_a_callable_made_it(self, code):
        scalar(code.dies_at_three, executor=TWO_PROCESSES).solve(BATCH, throw=False)
        np.testing.assert_array_equal(scalar(code.square, executor=TWO_PROCESSES)(BATCH), BATCH**2)

    def test_executor_that_was_shut_down_is_a_clear_error(self, code):
        executor = ThreadPoolExecutor(1)
        executor.shutdown()
        with pytest.raises(SolveError, match="cannot schedule new futures after shutdown"):
            scalar(code.square, executor=executor)(BATCH)


def test_worker_that_cannot_time_itself_out_is_given_up(code, monkeypatch):
    monkeypatch.setattr(executors, "GRACE", 1.0)
    started = time.monotonic()
    problem = scalar(code.holds_the_lock_at_three, executor=TWO_PROCESSES, timeout=0.2, chunk_size=1)
    solution = problem.solve(BATCH, throw=False)
    assert time.monotonic() - started < 20
    assert np.flatnonzero(~solution.converged).tolist() == [3]
    assert solution.status[3] is Status.EXTERNAL_TIMEOUT
    assert problem(4.0) == 16.0  # with new processes


def test_function_that_cannot_be_sent_is_a_clear_error():
    with pytest.raises(SolveError, match=r"cannot be sent to a worker .* Define it with def at the top level"):
        scalar(lambda x: x, executor=TWO_PROCESSES)(BATCH)


def test_callable_that_makes_no_executor_is_a_clear_error(code):
    with pytest.raises(TypeError, match=r"must be a concurrent.futures.Executor; .* returned 3"):
        scalar(code.square, executor=_three)(BATCH)


def _three():
    return 3


def true_in_forked_child(check):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if check() else 1
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_forked_process_calls_the_function_itself_instead_of_waiting_for_ever(code, kind):
    with kind(2) as executor:
        problem = scalar(code.square, executor=executor)
        problem(BATCH)

        def check():
            with pytest.warns(RuntimeWarning, match="belongs to the process that made it"):
                return np.array_equal(problem(BATCH), BATCH**2)

        assert true_in_forked_child(check)


def test_forked_process_makes_its_own_executor_from_a_callable(code):
    problem = scalar(code.square, executor=functools.partial(ThreadPoolExecutor, 2))
    problem(BATCH)
    assert true_in_forked_child(lambda: np.array_equal(problem(BATCH), BATCH**2))


# -- executors of other packages, in processes of their own -----------------------------------------------------

DASK = """
import json, os
import dask
import numpy as np
from distributed import Client, LocalCluster
import existing_code, implicitops as iop

def scalar(function, **options):
    return iop.External(function, inputs={"x": ()}, outputs=(), executor=executor, **options)

if __name__ == "__main__":
    dask.config.set({"distributed.scheduler.allowed-failures": 1})  # fewer than by default, to save time
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    with cluster, Client(cluster) as client:
        executor = client.get_executor(retries=0)
        batch = np.arange(10.0)
        raises = scalar(existing_code.raises_at_three).solve(batch, throw=False)
        dies = scalar(existing_code.dies_at_three, chunk_size=1, retries=1).solve(batch, throw=False)
        late = scalar(existing_code.sleeps_at_three, timeout=0.5).solve(batch, throw=False)
        print(json.dumps({
            "value": scalar(existing_code.square)(batch).tolist(),
            "processes": scalar(existing_code.process_of, chunk_size=1)(batch).tolist(),
            "own": os.getpid(),
            "raises": [status.name for status in raises.status],
            "dies": [status.name for status in dies.status],
            "late": [status.name for status in late.status],
        }))
"""

MPI = """
import json
import numpy as np
from mpi4py import MPI
from mpi4py.futures import MPIPoolExecutor
import existing_code, implicitops as iop

def rank(x):
    return float(MPI.COMM_WORLD.Get_rank())

def scalar(function, **options):
    return iop.External(function, inputs={"x": ()}, outputs=(), executor=executor, **options)

if __name__ == "__main__":
    with MPIPoolExecutor() as executor:
        batch = np.arange(10.0)
        raises = scalar(existing_code.raises_at_three).solve(batch, throw=False)
        late = scalar(existing_code.sleeps_at_three, timeout=0.5).solve(batch, throw=False)
        print(json.dumps({
            "value": scalar(existing_code.square)(batch).tolist(),
            "ranks": scalar(rank)(batch).tolist(),
            "size": MPI.COMM_WORLD.Get_size(),
            "raises": [status.name for status in raises.status],
            "late": [status.name for status in late.status],
        }))
"""

ONLY_THREE_FAILS = ["CONVERGED"] * 3 + ["{}"] + ["CONVERGED"] * 6


def run_script(text, tmp_path, *launcher):
    script = tmp_path / "script.py"
    script.write_text(text)
    path = os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*launcher, str(script)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def only_three(name):
    return [status.format(name) for status in ONLY_THREE_FAILS]


@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="needs dask and distributed")
def test_dask_cluster(tmp_path):
    result = run_script(DASK, tmp_path, sys.executable)
    assert result["value"] == (BATCH**2).tolist()
    assert result["own"] not in result["processes"]
    assert result["raises"] == only_three("EXTERNAL_ERROR")
    assert result["dies"] == only_three("WORKER_DIED")
    assert result["late"] == only_three("EXTERNAL_TIMEOUT")


def mpiexec():
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


@pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None or mpiexec() is None, reason="needs mpi4py and mpiexec")
def test_two_mpi_ranks(tmp_path):
    launcher = (mpiexec(), "-n", "2", sys.executable, "-m", "mpi4py.futures")
    result = run_script(MPI, tmp_path, *launcher)
    assert result["size"] == 2
    assert result["value"] == (BATCH**2).tolist()
    assert set(result["ranks"]) == {1.0}
    assert result["raises"] == only_three("EXTERNAL_ERROR")
    assert result["late"] == only_three("EXTERNAL_TIMEOUT")
