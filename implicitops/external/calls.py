"""Calls of existing code for the elements of a batch, which fail one by one.

One call is in external_call.py, what is computed from the results in external.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from implicitops.errors import CallTimeoutError, NoResultError, UncertainDifferencesError, WrongResultError
from implicitops.external.call import as_python, c_kernel, checked, timed
from implicitops.external.differences import CALLS, differentiate
from implicitops.problems.callables import CFunction
from implicitops.problems.external import External
from implicitops.status import Status

Shape = tuple[int, ...]

#: Exceptions kept for each part of a batch.
KEPT = 3


@dataclass
class Outcome:
    """What became of a batch.

    Parameters
    ----------
    outputs : list of ndarray (m, ...), NaN where a call failed
    status : int32 ndarray (m,), codes of Status
    calls : int64 ndarray (m,), how often the user's code was called
    causes : dict from a batch element to the exception behind its failure, for the first few
    """

    outputs: list[np.ndarray]
    status: np.ndarray
    calls: np.ndarray
    causes: dict[int, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Code:
    """A user's functions and how they are called; what a worker process receives.

    Parameters
    ----------
    function, jacobian, vjp, hessian, differences, step, timeout, retries, vectorized : as in External
    input_shapes, output_shape : shapes
    """

    function: Any
    jacobian: Any
    vjp: Any
    hessian: Any
    differences: str | None
    step: tuple[float, ...] | None
    timeout: float | None
    retries: int
    vectorized: bool
    input_shapes: tuple[Shape, ...]
    output_shape: Shape

    @classmethod
    def of(cls, problem: External) -> Code:
        """Code of a problem, without the executor that it runs on."""
        names = ("function", "jacobian", "vjp", "hessian", "differences", "step", "timeout", "retries", "vectorized")
        own = {name: getattr(problem, name) for name in names}
        return cls(**own, input_shapes=problem.parameter_shapes, output_shape=problem.output_shape)

    @cached_property
    def input_sizes(self) -> list[int]:
        """Numbers in each input."""
        return [math.prod(shape) for shape in self.input_shapes]

    @property
    def n(self) -> int:
        """Numbers in the answer."""
        return math.prod(self.output_shape)

    @property
    def p(self) -> int:
        """Numbers in all inputs."""
        return sum(self.input_sizes)

    @property
    def calls_limit(self) -> int:
        """Most calls that one batch element can need, for a limit of time."""
        each = 1 + CALLS[self.differences] * self.p if self.differences else 0
        first = 1 if self.jacobian else self.n + 1 if self.vjp else each
        second = 1 if self.hessian else each * (first + 1)
        return (1 + first + second) * (1 + self.retries)

    def split(self, points: np.ndarray) -> list[np.ndarray]:
        """Inputs (m, *shape) from points (m, p)."""
        edges = np.cumsum([0, *self.input_sizes])
        parts = zip(edges[:-1], edges[1:], self.input_shapes)
        return [points[:, i:j].reshape(len(points), *shape) for i, j, shape in parts]


class Calls:
    """Calls of the user's functions for the elements of one batch, which fail one by one.

    Parameters
    ----------
    code : Code
    m : int, batch elements
    """

    def __init__(self, code: Code, m: int) -> None:
        self.code = code
        self.status = np.zeros(m, dtype=np.int32)
        self.calls = np.zeros(m, dtype=np.int64)
        self.causes: dict[int, BaseException] = {}

    def fail(self, rows: Any, status: Status, cause: BaseException | None = None) -> None:
        """Mark batch elements as failed."""
        self.status[rows] = status.code
        for row in np.atleast_1d(rows):
            if cause is not None and len(self.causes) < KEPT:
                self.causes[int(row)] = cause

    # -- the functions ------------------------------------------------------------------------------------

    def values(self, points: np.ndarray) -> np.ndarray:
        """Answers (m, n) at points (m, p)."""
        return self.run(self.code.function, self.code.split(points), "function", self.code.output_shape)

    def jacobian(self, points: np.ndarray, values: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Jacobian (m, n, p), and its error estimate if it comes from differences; only a VJP needs the answers."""
        code, m = self.code, len(points)
        if code.jacobian is not None:
            shape = (*code.output_shape, code.p)
            return self.run(code.jacobian, code.split(points), "jacobian", shape).reshape(m, code.n, code.p), None
        if code.vjp is not None:
            rows = [self.vjp(points, values, np.tile(unit, (m, 1))) for unit in np.eye(code.n)]
            return np.stack(rows, axis=1), None
        return self.differences(points, code.n, lambda calls, there: calls.values(there), values)

    def vjp(self, points: np.ndarray, values: Any, cotangents: np.ndarray) -> np.ndarray:
        """Cotangents (m, p) of the inputs."""
        code = self.code
        if code.vjp is None:
            return np.einsum("mij,mi->mj", self.jacobian(points, values)[0], cotangents)
        n_inputs = len(code.input_shapes)
        outputs = [a.reshape(len(a), *code.output_shape) for a in (values, cotangents)]
        return self.run(
            lambda *a: code.vjp(a[:n_inputs], *a[n_inputs:]), [*code.split(points), *outputs], "vjp", (code.p,)
        )

    def hessian(self, points: np.ndarray, values: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Second derivative (m, n, p, p), and its error estimate if it comes from differences."""
        code, m = self.code, len(points)
        shape = (m, code.n, code.p, code.p)
        if code.hessian is not None:
            own_shape = (*code.output_shape, code.p, code.p)
            return self.run(code.hessian, code.split(points), "hessian", own_shape).reshape(shape), None

        def jacobian(calls: Calls, there: np.ndarray) -> np.ndarray:
            values = calls.values(there) if code.jacobian is None else None
            return calls.jacobian(there, values)[0].reshape(len(there), -1)

        full, error = self.differences(points, code.n * code.p, jacobian)
        return _symmetric(full.reshape(shape)), _symmetric(error.reshape(shape))

    def differences(
        self,
        points: np.ndarray,
        n: int,
        function: Callable[[Calls, np.ndarray], np.ndarray],
        values: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Finite differences (m, n, p) of a function, and their error; a failed one fails its batch element."""
        known: dict[int, tuple[int, BaseException | None]] = {}

        def at(there: np.ndarray, rows: np.ndarray) -> np.ndarray:
            calls = Calls(self.code, len(there))
            late = [k for k, row in enumerate(rows) if known.get(row, (0, None))[0] == Status.EXTERNAL_TIMEOUT.code]
            calls.status[late] = Status.EXTERNAL_TIMEOUT.code  # once is enough
            values = function(calls, there)
            self.calls[rows] += calls.calls
            for k in np.flatnonzero(calls.status):
                known.setdefault(int(rows[k]), (int(calls.status[k]), calls.causes.get(int(k))))
            return values

        live = np.flatnonzero(self.status == 0)
        jacobian, error = np.full((2, len(points), n, points.shape[1]), np.nan)
        code = self.code
        steps = None if code.step is None else np.array(code.step)
        centre = None if values is None else values[live]
        found = differentiate(at, points[live], live, n, str(code.differences), centre, steps)
        jacobian[live], error[live] = found.jacobian, found.error
        missing = np.isnan(found.jacobian).any(axis=(1, 2))
        for row in live[missing]:
            reason, cause = known.get(int(row), (Status.EXTERNAL_NAN.code, None))
            self.fail(row, Status.from_code(reason), cause)
        for k in np.flatnonzero(~missing & ~found.trusted.all(axis=(1, 2))):
            cause = _uncertain(found.jacobian[k], found.error[k], found.trusted[k])
            self.fail(live[k], Status.DERIVATIVE_INACCURATE, cause)
        return jacobian, error

    # -- one function on a batch --------------------------------------------------------------------------

    def run(self, function: Any, arguments: Sequence[np.ndarray], role: str, shape: Shape) -> np.ndarray:
        """Results (m, size) of one function for every element that has not failed; NaN elsewhere."""
        results = np.full((len(self.status), math.prod(shape)), np.nan)
        live = np.flatnonzero(self.status == 0)
        if isinstance(function, CFunction) and self.code.timeout is None:
            self._run_c(function, arguments, live, results)
        elif self.code.vectorized and len(live):
            self._run_vectorized(function, arguments, role, shape, live, results)
        else:
            called = as_python(function, self.code.p, results.shape[1], shape)
            for row in live:
                # Copies, which the function may keep or change.
                own = [a[row].copy() if a.ndim > 1 else float(a[row]) for a in arguments]
                self._attempt(called, own, role, shape, row, results)
        missing = np.isnan(results).any(axis=1) & (self.status == 0)
        for row in np.flatnonzero(missing):
            self.fail(row, Status.EXTERNAL_NAN, NoResultError(f"{role} returned NaN."))
        results[self.status != 0] = np.nan
        return results

    def _run_c(
        self, function: CFunction, arguments: Sequence[np.ndarray], live: np.ndarray, results: np.ndarray
    ) -> None:
        kernel = c_kernel(function, self.code.p, results.shape[1])
        points = np.concatenate([a[live].reshape(len(live), -1) for a in arguments], axis=1)
        values, status = np.empty((len(live), results.shape[1])), np.empty(len(live), dtype=np.int32)
        kernel.evaluate(np.ascontiguousarray(points), values, status)
        results[live], self.status[live] = values, status
        self.calls[live] += 1

    def _run_vectorized(
        self, function: Any, arguments: Sequence[np.ndarray], role: str, shape: Shape, live: np.ndarray, results: Any
    ) -> None:
        full_shape = (len(live), *shape)
        own = [a[live] for a in arguments]
        if self._attempt(function, own, role, full_shape, live, results, quiet=len(live) > 1):
            return
        for row in live:  # one after the other, to know which failed
            self._attempt(function, [a[[row]] for a in arguments], role, (1, *shape), row, results)

    def _attempt(
        self,
        function: Any,
        arguments: list[Any],
        role: str,
        shape: Shape,
        rows: Any,
        results: np.ndarray,
        quiet: bool = False,
    ) -> bool:
        """Call a function, again if it raises and may be; False if ``quiet`` and the call raised."""
        code = self.code
        for attempts_left in range(0 if quiet else code.retries, -1, -1):
            self.calls[rows] += 1
            try:
                answer = function(*arguments) if code.timeout is None else timed(function, arguments, code.timeout)
                results[rows] = checked(answer, role, shape, code.input_shapes).reshape(results[rows].shape)
                return True
            except CallTimeoutError as error:
                self.fail(rows, Status.EXTERNAL_TIMEOUT, error)
                return True
            except WrongResultError as error:
                self.fail(rows, Status.EXTERNAL_SHAPE, error)
                return True
            except (Exception, SystemExit) as error:
                if quiet:
                    return False
                if not attempts_left:
                    self.fail(rows, Status.EXTERNAL_ERROR, error)
        return True


def _uncertain(jacobian: np.ndarray, error: np.ndarray, trusted: np.ndarray) -> UncertainDifferencesError:
    """What is said of differences (n, p) that cannot be trusted."""
    i, j = np.argwhere(~trusted)[0]
    return UncertainDifferencesError(
        f"differences of output {i} by input {j} (counted from 0, all numbers one after the other) give "
        f"{jacobian[i, j]:.6g} with an error of {error[i, j]:.2g}: the function jumps, has a kink, is noisy or varies "
        "on a scale that was not found. Pass step=, a distance over which it is smooth and changes by much more than "
        "its noise, or jacobian="
    )


def _symmetric(matrices: np.ndarray) -> np.ndarray:
    symmetric: np.ndarray = (matrices + matrices.swapaxes(-1, -2)) / 2
    return symmetric
