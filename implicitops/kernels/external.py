"""Calling existing code on a batch: what it returns is checked, and a failure is that of one batch element.

How batches reach other threads and processes is in executors.py; which derivatives exist is in calculus/.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from implicitops.kernels import _external
from implicitops.kernels.differences import CALLS, differentiate
from implicitops.problems.callables import BLOCK, CFunction
from implicitops.problems.external import External
from implicitops.status import Status

Shape = tuple[int, ...]

#: C signatures in the order of ``Form`` in csrc/external.pyx.
FORMS = (
    BLOCK,
    *(f"double ({', '.join(['double'] * n)})" for n in range(1, 5)),
    *(f"double ({', '.join(['double'] * n)}, int)" for n in range(1, 5)),
    "double (double, void *)",
    "double (int, double *)",
    "double (int, double *, void *)",
)

#: Exceptions kept for each part of a batch.
KEPT = 3


class WrongResultError(TypeError):
    """Existing code returned something else than was stated."""


class NoResultError(ArithmeticError):
    """Existing code returned NaN."""


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
    causes: dict[int, BaseException] = field(default_factory=dict)


@dataclass(frozen=True)
class Code:
    """A user's functions and how they are called; what a worker process receives.

    Parameters
    ----------
    function, jacobian, vjp, hessian, differences, timeout, retries, vectorized : as in External
    input_shapes, output_shape : shapes
    """

    function: Any
    jacobian: Any
    vjp: Any
    hessian: Any
    differences: str | None
    timeout: float | None
    retries: int
    vectorized: bool
    input_shapes: tuple[Shape, ...]
    output_shape: Shape

    @classmethod
    def of(cls, problem: External) -> Code:
        """Code of a problem, without the executor that it runs on."""
        names = ("function", "jacobian", "vjp", "hessian", "differences", "timeout", "retries", "vectorized")
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
        each = CALLS[self.differences] * self.p if self.differences else 0
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

    def jacobian(self, points: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Jacobian (m, n, p), and its error estimate if it comes from differences."""
        code, m = self.code, len(points)
        if code.jacobian is not None:
            shape = (*code.output_shape, code.p)
            return self.run(code.jacobian, code.split(points), "jacobian", shape).reshape(m, code.n, code.p), None
        if code.vjp is not None:
            rows = [self.vjp(points, values, np.tile(unit, (m, 1))) for unit in np.eye(code.n)]
            return np.stack(rows, axis=1), None
        return self.differences(points, code.n, lambda calls, there: calls.values(there))

    def vjp(self, points: np.ndarray, values: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """Cotangents (m, p) of the inputs."""
        code = self.code
        if code.vjp is None:
            return np.einsum("mij,mi->mj", self.jacobian(points, values)[0], cotangents)
        n_inputs = len(code.input_shapes)
        outputs = [a.reshape(len(a), *code.output_shape) for a in (values, cotangents)]
        return self.run(
            lambda *a: code.vjp(a[:n_inputs], *a[n_inputs:]), [*code.split(points), *outputs], "vjp", (code.p,)
        )

    def hessian(self, points: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Second derivative (m, n, p, p), and its error estimate if it comes from differences."""
        code, m = self.code, len(points)
        shape = (m, code.n, code.p, code.p)
        if code.hessian is not None:
            own_shape = (*code.output_shape, code.p, code.p)
            return self.run(code.hessian, code.split(points), "hessian", own_shape).reshape(shape), None

        def jacobian(calls: Calls, there: np.ndarray) -> np.ndarray:
            values = calls.values(there) if code.jacobian is None else there
            return calls.jacobian(there, values)[0].reshape(len(there), -1)

        hessian, error = self.differences(points, code.n * code.p, jacobian)
        return tuple((a.reshape(shape) + a.reshape(shape).swapaxes(2, 3)) / 2 for a in (hessian, error))  # type: ignore[return-value]

    def differences(
        self, points: np.ndarray, n: int, function: Callable[[Calls, np.ndarray], np.ndarray]
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
        jacobian[live], error[live] = differentiate(at, points[live], live, n, str(self.code.differences))
        for row in live[np.isnan(jacobian[live]).any(axis=(1, 2))]:
            code, cause = known.get(int(row), (Status.EXTERNAL_NAN.code, None))
            self.fail(row, Status.from_code(code), cause)
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
            called = _as_python(function, self.code.p, results.shape[1], shape)
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
        self, function: Any, arguments: list[Any], role: str, shape: Shape, rows: Any, results: np.ndarray, quiet: bool = False
    ) -> bool:
        """Call a function, again if it raises and may be; False if ``quiet`` and the call raised."""
        code = self.code
        for attempts_left in range(0 if quiet else code.retries, -1, -1):
            self.calls[rows] += 1
            try:
                answer = function(*arguments) if code.timeout is None else _timed(function, arguments, code.timeout)
                results[rows] = _checked(answer, role, shape, code).reshape(results[rows].shape)
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


class CallTimeoutError(TimeoutError):
    """Existing code did not return in time."""


def _timed(function: Any, arguments: list[Any], timeout: float) -> Any:
    """Result of a call on a thread of its own, which is abandoned when the time is up."""
    box: list[Any] = []

    def call() -> None:
        try:
            box.append((function(*arguments), None))
        except BaseException as error:
            box.append((None, error))

    thread = threading.Thread(target=call, name="implicitops-timed-call", daemon=True)
    thread.start()
    thread.join(timeout)
    if not box:
        raise CallTimeoutError(f"no result within {timeout:g} s; the call goes on in the background.")
    result, error = box[0]
    if error is not None:
        raise error
    return result


def _as_python(function: Any, n_inputs: int, n_outputs: int, shape: Shape) -> Any:
    """A C function as a Python one that takes a batch element; any other as it is."""
    if not isinstance(function, CFunction):
        return function
    kernel = c_kernel(function, n_inputs, n_outputs)

    def call(*arguments: Any) -> np.ndarray:
        points = np.concatenate([np.ravel(a) for a in arguments])[None]
        values = np.empty((1, n_outputs))
        kernel.evaluate(points, values, np.empty(1, dtype=np.int32))
        return values.reshape(shape)

    return call


def c_kernel(function: CFunction, n_inputs: int, n_outputs: int) -> Any:
    """Kernel that calls a C function."""
    form = FORMS.index(function.signature)
    return _external.Function(function.address, function.context, form, n_inputs, n_outputs, function)


def _checked(answer: Any, role: str, shape: Shape, code: Code) -> np.ndarray:
    """Result as a float64 array of the right shape, or WrongResultError."""
    if role == "vjp" and (isinstance(answer, (tuple, list)) or len(code.input_shapes) == 1):
        blocks = answer if isinstance(answer, (tuple, list)) else (answer,)
        return _joined(blocks, role, shape[:-1], code)
    if role == "jacobian" and isinstance(answer, tuple):
        return _joined(answer, role, shape[:-1], code)
    return _real_array(answer, role, shape)


def _joined(blocks: Sequence[Any], role: str, leading: Shape, code: Code) -> np.ndarray:
    """Blocks of shape ``leading + input shape``, joined along a last axis of length p."""
    if len(blocks) != len(code.input_shapes):
        raise WrongResultError(f"{role} must return one array for each of {len(code.input_shapes)} inputs; got {len(blocks)}.")
    arrays = [
        _real_array(block, f"block {k} of {role}", (*leading, *shape))
        for k, (block, shape) in enumerate(zip(blocks, code.input_shapes))
    ]
    return np.concatenate([a.reshape(*leading, size) for a, size in zip(arrays, code.input_sizes)], axis=-1)


def _real_array(answer: Any, role: str, shape: Shape) -> np.ndarray:
    try:
        array = np.asarray(answer)
    except ValueError as error:
        raise WrongResultError(f"{role} must return an array of shape {shape}; got {answer!r:.80}: {error}") from None
    if array.dtype.kind not in "fiub" or array.shape != shape:
        raise WrongResultError(
            f"{role} must return real numbers of shape {shape}; got dtype {array.dtype}, shape {array.shape}: {answer!r:.80}."
        )
    return array.astype(np.float64, copy=False)


@dataclass(frozen=True)
class Task:
    """One operation on existing code; a picklable function of a batch.

    Parameters
    ----------
    code : Code
    kind : str, "solve0", "solve1", "solve2" or a contraction of calculus.external
    """

    code: Code
    kind: str

    def __call__(self, inputs: Sequence[np.ndarray]) -> Outcome:
        """Outcome for inputs (m, size), one array for each input of the operation."""
        m = len(inputs[0])
        calls = Calls(self.code, m)
        calls.fail(~np.isfinite(np.concatenate(inputs, axis=1)).all(axis=1), Status.INVALID_INPUT)
        n_inputs = len(self.code.input_shapes)
        points, rest = np.concatenate(inputs[:n_inputs], axis=1), list(inputs[n_inputs:])
        if self.kind.startswith("solve"):
            outputs = _solved(calls, points, int(self.kind[-1]))
        else:
            outputs = [_contracted(calls, self.kind, points, rest.pop(0), rest)]
        for output in outputs:
            lost = np.isnan(output.reshape(m, -1)).any(axis=1) & (calls.status == 0)
            calls.fail(lost, Status.EXTERNAL_NAN)
        for output in outputs:
            output[calls.status != 0] = np.nan
        if self.kind.startswith("vjp"):
            outputs = [part.reshape(m, -1) for part in self.code.split(outputs[0])]
        return Outcome(outputs, calls.status, calls.calls, calls.causes)


def _solved(calls: Calls, points: np.ndarray, order: int) -> list[np.ndarray]:
    """Value, Jacobian, Hessian and error estimate, up to an order; empty arrays beyond it."""
    nothing = np.empty((len(points), 0))
    values, jacobian, hessian, error = calls.values(points), nothing, nothing, None
    if order >= 1:
        jacobian, error = calls.jacobian(points, values)
    if order >= 2:
        hessian, error = calls.hessian(points, values)
    return [values, jacobian, hessian, nothing if error is None else error]


def _contracted(
    calls: Calls, kind: str, points: np.ndarray, values: np.ndarray, directions: list[np.ndarray]
) -> np.ndarray:
    """A derivative applied to directions: (m, p) for the kinds that begin with vjp, (m, n) for jvp."""
    code = calls.code
    letters = {"vjp": "Y", "jvp": "P", "vjp_vjp": "YP", "vjp_jvp": "YPY", "jvp_jvp": "PPP"}[kind]
    parts = iter(directions)
    n_inputs = len(code.input_shapes)
    vectors = [
        next(parts) if letter == "Y" else np.concatenate([next(parts) for _ in range(n_inputs)], axis=1)
        for letter in letters
    ]
    if kind == "vjp":
        return calls.vjp(points, values, vectors[0])
    if kind == "jvp":
        return np.einsum("mij,mj->mi", calls.jacobian(points, values)[0], vectors[0])
    hessian, _ = calls.hessian(points, values)
    if kind == "vjp_vjp":
        return np.einsum("mijk,mi,mk->mj", hessian, *vectors)
    if kind == "vjp_jvp":
        w, t, v = vectors
        return np.einsum("mijk,mi,mk->mj", hessian, w, t) + calls.vjp(points, values, v)
    t, s, r = vectors
    jacobian, _ = calls.jacobian(points, values)
    return np.einsum("mijk,mj,mk->mi", hessian, t, s) + np.einsum("mij,mj->mi", jacobian, r)
