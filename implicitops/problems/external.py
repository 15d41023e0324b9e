"""External: existing code as a problem. The statement only; the code is called in kernels/."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import sympy as sp

from implicitops.errors import ProblemError
from implicitops.problems.base import Options, Parameter, Problem
from implicitops.problems.callables import CFunction, as_code, identity_of, token_of
from implicitops.problems.validation import did_you_mean

DIFFERENCES = ("central", "richardson")

#: Replaces the executor in the copy of a problem that another process unpickles.
ELSEWHERE = "elsewhere"


@dataclass(frozen=True, init=False, repr=False, eq=False)
class External(Problem):
    """Answer of existing code as a differentiable function of its inputs.

    Parameters
    ----------
    function : callable, C function or scipy.LowLevelCallable
        Python: called with one argument for each input, a float or an array of shape (k,), and returns real
        numbers of the shape ``outputs``. C: a ctypes function pointer with argtypes and restype, a
        ``scipy.LowLevelCallable``, or the address of a
        ``void f(const double *inputs, double *output, void *context)`` that reads all inputs one after the other.
        Besides that form, ``double (double, ...)``, ``double (double, void *)``, ``double (int, double *)`` and
        ``double (int, double *, void *)`` are understood.
    inputs : mapping of a name to a shape, () or (k,)
        The arguments, in order.
    outputs : shape of the answer, () or (n,)
    jacobian : callable, optional
        Called like ``function``. Returns an array of shape ``outputs + (p,)``, p numbers being all inputs one after
        the other, or a tuple with a block of shape ``outputs + input shape`` for each input. May be a C function.
    vjp : callable (inputs, output, cotangent), optional
        Cotangent of each input from the tuple of inputs, the answer there, and the answer's cotangent: a
        tuple, or the array alone if there is one input.
    hessian : callable, optional
        Called like ``function``, returns an array of shape ``outputs + (p, p)``.
    differences : "central" or "richardson", optional
        Finite differences for the derivative that is not given: central ones with one step, or extrapolated ones
        [1]_ whose step follows from the scale on which the function varies. Never used unless named here. Their error
        estimate is ``Solution.error_estimate``; where it is too large, the status is DERIVATIVE_INACCURATE. Together
        with ``jacobian`` or ``vjp`` they give the second derivative.
    step : float, or mapping of an input's name to a float or one for each of its numbers, optional
        Longest step of the differences, for those who know over what distance the function is smooth; an input that is
        not named has its own found. It saves calls.
    executor : concurrent.futures.Executor, or a callable that returns one, optional
        Batches are mapped over it. An executor itself serves in the process that made it; a callable such as
        ``functools.partial(ProcessPoolExecutor, 4)`` also in others, and its executor is replaced when it breaks.
    chunk_size : int, optional
        Batch elements sent to the executor at a time; by default a quarter of each worker's share.
    timeout : float, optional
        Seconds after which one call is given up. See Notes.
    retries : int
        How often a call that raised, or whose worker died, is made again.
    vectorized : bool
        The Python functions take and return arrays with a leading batch axis, and map over it.
    context : int, optional
        Address passed to a C function as ``void *``.
    on_failure : "raise" or "nan"
        What a failed call does outside a graph. Inside a graph it is always NaN.

    Raises
    ------
    ProblemError : the statement is incomplete or contradicts itself

    Notes
    -----
    A call that raises, does not return in time, or returns NaN or another shape makes its own batch element NaN, with a
    status that says which; the others are not affected.

    With ``timeout``, each call runs on a thread of its own that is abandoned when time is up. Python cannot stop a
    thread: the abandoned call goes on using its processor until it returns or its process ends, and one that never
    releases the interpreter lock can only be given up from outside, with a process executor.

    A problem can be pickled if its functions can: those that a module's name and their own lead to. A lambda or
    a local function works in this process and in those forked from it; ``cloudpickle`` can send it further.

    References
    ----------
    .. [1] C. J. F. Ridders, Accurate computation of F'(x) and F'(x) F''(x), Advances in Engineering Software 4
       (1982), 75-76; the choice of the step is that of implicitops/external/differences.py.

    Examples
    --------
    >>> import numpy as np, implicitops as iop
    >>> def orbit(period, mass):
    ...     return (mass * period**2) ** (1 / 3)
    >>> axis_of = iop.External(orbit, inputs={"period": (), "mass": ()}, outputs=(), differences="richardson")
    >>> axis_of([1.0, 8.0], 1.0)
    array([1., 4.])
    >>> axis_of.solve(1.0, 1.0, derivatives=1).jacobian.round(6)
    array([0.666667, 0.333333])
    """

    function: Any
    params: tuple[Parameter, ...]
    names: tuple[str, ...]
    outputs: tuple[int, ...]
    jacobian: Any
    vjp: Any
    hessian: Any
    differences: str | None
    step: tuple[float, ...] | None
    executor: Any
    chunk_size: int | None
    timeout: float | None
    retries: int
    vectorized: bool
    options: Options
    identity: str
    process: int

    calls_existing_code: ClassVar[bool] = True

    def __init__(
        self,
        function: Any,
        *,
        inputs: Mapping[str, Any],
        outputs: Any,
        jacobian: Any = None,
        vjp: Any = None,
        hessian: Any = None,
        differences: str | None = None,
        step: Any = None,
        executor: Any = None,
        chunk_size: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        vectorized: bool = False,
        context: int | None = None,
        on_failure: str = "raise",
    ) -> None:
        names, shapes = _as_inputs(inputs)
        code = as_code(function, "function", context)
        values: dict[str, Any] = {
            "function": code,
            "params": tuple(_symbols(name, shape) for name, shape in zip(names, shapes)),
            "names": names,
            "outputs": _as_shape(outputs, "outputs"),
            "jacobian": None if jacobian is None else as_code(jacobian, "jacobian", context),
            "vjp": vjp,
            "hessian": hessian,
            "differences": differences,
            "step": None if step is None else _as_steps(step, dict(zip(names, shapes)), differences),
            "executor": executor,
            "chunk_size": chunk_size,
            "timeout": None if timeout is None else _as_timeout(timeout),
            "retries": retries,
            "vectorized": vectorized,
            "options": Options.checked(("auto",), 1, "auto", 1e-8, 0.0, 200, on_failure),
            "process": os.getpid(),
        }
        named = (code, values["jacobian"], vjp, hessian)
        values["identity"] = " ".join([*map(identity_of, named), _executor_identity(executor)])
        for name, value in values.items():
            object.__setattr__(self, name, value)
        _require_consistent(self)

    @property
    def is_thread_safe(self) -> bool:
        """Whether an executor keeps the calls apart; of code that is called here, nobody knows."""
        return self.executor is not None

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Trailing shape of the answer, as stated."""
        return self.outputs

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return self.names

    def __eq__(self, other: object) -> bool:
        return isinstance(other, External) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if isinstance(self.executor, Executor):
            state["executor"] = ELSEWHERE  # an executor's threads and connections stay in its process
        return state

    def _equation(self) -> str:
        return f"{self.identity}|{self.names}|{self.parameter_shapes}|{self.outputs}"

    def _content(self) -> str:
        policy = (self.differences, self.step, self.chunk_size, self.timeout, self.retries, self.vectorized)
        return f"{policy!r}|{self.options!r}"

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", None) or getattr(self.function, "symbol", None)
        inputs = ", ".join(n if s == () else f"{n} {s}" for n, s in zip(self.names, self.parameter_shapes))
        step = f", step={_listed_steps(self)}" if self.step is not None else ""
        return f"External({name or type(self.function).__name__}, inputs=({inputs}), outputs={self.outputs}{step})"


def _as_inputs(inputs: Any) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    if not isinstance(inputs, Mapping) or not inputs:
        raise ProblemError(
            "inputs must be a mapping of each input's name to its shape, such as {'rate': (), 'start': (3,)}; "
            f"got {inputs!r:.80}."
        )
    for name in inputs:
        if not isinstance(name, str) or not name.isidentifier():
            raise ProblemError(f"the name of an input must be a Python identifier; got {name!r}.")
    return tuple(inputs), tuple(_as_shape(shape, f"the shape of input {name}") for name, shape in inputs.items())


def _as_shape(shape: Any, role: str) -> tuple[int, ...]:
    items = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    valid = all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in items)
    if len(items) > 1 or not valid:
        raise ProblemError(
            f"{role} must be () for a number or (n,) for a vector of n > 0 numbers; got {shape!r}. "
            "Flatten an array of more axes in the function."
        )
    return items


def _symbols(name: str, shape: tuple[int, ...]) -> Parameter:
    return tuple(sp.Symbol(f"{name}_{k}") for k in range(shape[0])) if shape else sp.Symbol(name)


def _as_steps(step: Any, shapes: Mapping[str, tuple[int, ...]], differences: Any) -> tuple[float, ...]:
    """Step for each number of the inputs, NaN where none is given."""
    if differences is None:
        raise ProblemError(
            f"step= is that of finite differences, which were not asked for: add differences=; got {step!r:.80}."
        )
    if not isinstance(step, Mapping):
        step = dict.fromkeys(shapes, step)
    for name in step:
        if name not in shapes:
            raise ProblemError(f"step names {name!r}, which is no input.{did_you_mean(str(name), shapes)}")
    steps: list[float] = []
    for name, shape in shapes.items():
        size, value = math.prod(shape), step.get(name, math.nan)
        is_listed = isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) == 1
        values = list(value) if is_listed else [value] * size
        if len(values) != size or (is_listed and not shape):
            raise ProblemError(
                f"the step of {name} must be a number{f', or {size} of them' if shape else ''}; got {value!r:.80}."
            )
        if name in step and not all(map(_is_step, values)):
            raise ProblemError(f"the step of {name} must be a positive finite number; got {value!r:.80}.")
        steps.extend(map(float, values))
    return tuple(steps)


def _is_step(value: Any) -> bool:
    is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return is_number and 0 < value < math.inf


def _listed_steps(problem: External) -> str:
    """Steps as they are given: one number, or a mapping of each input that has one."""
    values = iter(problem.step or ())
    parts = {n: [next(values) for _ in range(math.prod(s))] for n, s in zip(problem.names, problem.parameter_shapes)}
    known = {name: part for name, part in parts.items() if not math.isnan(part[0])}
    distinct = {value for part in known.values() for value in part}
    if len(distinct) == 1 and len(known) == len(parts):
        return f"{distinct.pop():g}"
    return "{" + ", ".join(f"{n}: {p[0]:g}" if len(set(p)) == 1 else f"{n}: {p}" for n, p in known.items()) + "}"


def _as_timeout(timeout: Any) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:
        raise ProblemError(f"timeout must be a positive number of seconds, or None; got {timeout!r}.")
    return float(timeout)


def _executor_identity(executor: Any) -> str:
    if executor is None:
        return "none"
    if isinstance(executor, Executor):
        return token_of(executor)
    if callable(executor):
        return identity_of(executor)
    raise ProblemError(
        "executor must be a concurrent.futures.Executor, or a callable without arguments that returns one; got "
        f"{executor!r:.80}. A Dask client has Client.get_executor()."
    )


def _require_consistent(problem: External) -> None:
    if problem.differences not in (None, *DIFFERENCES):
        raise ProblemError(f"differences must be 'central', 'richardson' or None; got {problem.differences!r}.")
    for name, least in (("retries", 0), ("chunk_size", 1)):
        value = getattr(problem, name)
        if not (name == "chunk_size" and value is None) and (type(value) is not int or value < least):
            raise ProblemError(f"{name} must be an integer of at least {least}; got {value!r}.")
    if not isinstance(problem.vectorized, bool):
        raise ProblemError(f"vectorized must be True or False; got {problem.vectorized!r}.")
    for name in ("vjp", "hessian"):
        code = getattr(problem, name)
        if code is not None and not callable(code):
            raise ProblemError(f"{name} must be a Python callable; got {code!r:.80} of type {type(code).__name__}.")
    p = len(problem.parameter_symbols)
    n = math.prod(problem.outputs)
    _require_callable_with(problem, "function", n)
    _require_callable_with(problem, "jacobian", n * p)
    _require_callable_with(problem, "hessian", n * p * p)


def _require_callable_with(problem: External, role: str, n_results: int) -> None:
    """Raise ProblemError if a function cannot take the inputs, or a C function not return the results."""
    code = getattr(problem, role)
    if isinstance(code, CFunction):
        _require_c_function_fits(problem, code, role, n_results)
    elif code is not None:
        try:
            signature = inspect.signature(code)
        except (TypeError, ValueError):
            return  # built-in functions have none
        try:
            signature.bind(*problem.names)
        except TypeError as error:
            raise ProblemError(
                f"{role} must take the {len(problem.names)} input(s) {', '.join(problem.names)} by position; "
                f"{getattr(code, '__qualname__', code)}{signature} does not: {error}."
            ) from None


def _require_c_function_fits(problem: External, code: CFunction, role: str, n_results: int) -> None:
    if problem.vectorized:
        raise ProblemError(
            f"vectorized=True is for Python functions; {role} is a C function, which needs no such help."
        )
    if not code.is_block and n_results != 1:
        raise ProblemError(
            f"{role} must return {n_results} numbers, but {code.signature!r} returns one. "
            "Use void f(const double *inputs, double *output, void *context)."
        )
    shapes = problem.parameter_shapes
    if code.n_scalars and shapes != ((),) * code.n_scalars:
        raise ProblemError(
            f"{role} is {code.signature!r}, for {code.n_scalars} scalar input(s); the inputs have shapes {shapes}. "
            "A function that takes an array of all inputs has the signature 'double (int, double *)'."
        )
