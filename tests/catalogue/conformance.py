"""What every backend promises of its op: shapes, dtypes, broadcasting, order 2, failures, large batches.

Each check takes a backend as a callable ``(function, arguments) -> Differentiable``: the function takes the
framework's own variables, one for each of the example arguments; a problem is such a function. A backend's
tests run all of :data:`CHECKS`; ``verify_grad`` compares the numbers with 50-digit arithmetic.
"""

from __future__ import annotations

import math
import pickle
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy as sp

from implicitops.calculus.operation import resolved
from implicitops.errors import SolveWarning
from implicitops.problems import ODE, External, FixedPoint, Integral, Minimum, Root
from implicitops.problems.base import FREE, Problem
from implicitops.verify.differentiation import Differentiable

Backend = Callable[[Callable[..., Any], Sequence[np.ndarray]], Differentiable]
Arrays = Sequence[np.ndarray]

RTOL = 1e-12
LARGE = 40_000


@dataclass(frozen=True)
class ClosedForm:
    """A problem whose solution is also known as expressions of its parameters.

    Parameters
    ----------
    problem : Problem
    solution : tuple of Expr, one for each unknown, or for each output of an ODE, of its parameters and its ``t``
    scale : tuple of float, for each argument the largest value at which it is tried
    rtol, atol : float, error that the problem's own tolerances allow
    large : int, batch elements that are shared by several threads
    length : int, output times of an ODE
    """

    problem: Problem
    solution: tuple[sp.Expr, ...]
    scale: tuple[float, ...]
    rtol: float = RTOL
    atol: float = 0.0
    large: int = LARGE
    length: int = 3

    @property
    def is_timed(self) -> bool:
        """Whether the problem has output times."""
        return self.problem.output_shape[:1] == (FREE,)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Trailing shape of each argument."""
        return [resolved(shape, self.length) for shape in self.problem.argument_shapes]

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Trailing shape of the answer."""
        return resolved(self.problem.output_shape, self.length)

    @property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """What the solution depends on, in the order of the arguments' numbers."""
        times = sp.symbols(f"time0:{self.length}") if self.is_timed else ()
        return (*self.problem.parameter_symbols, *times)

    @property
    def expressions(self) -> list[sp.Expr]:
        """The solution, one for each of the answer's numbers."""
        if not self.is_timed:
            return list(self.solution)
        t, times = self.problem.t, self.symbols[len(self.problem.parameter_symbols) :]  # type: ignore[attr-defined]
        return [e.xreplace({t: time}) for time in times for e in self.solution]

    def arguments(self, *batches: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
        """Random arguments, one batch shape for each."""
        rng = np.random.default_rng(seed)
        return [rng.uniform(0.2, 1.0, b + s) * scale for b, s, scale in zip(batches, self.shapes, self.scale)]

    def same_batch(self, *batch: int, seed: int = 0) -> list[np.ndarray]:
        """Random arguments of one batch shape."""
        return self.arguments(*[batch] * len(self.scale), seed=seed)

    def cotangent(self, value: np.ndarray) -> np.ndarray:
        """A cotangent for that value, no two elements alike."""
        return np.linspace(-1.0, 2.0, value.size).reshape(value.shape)

    def value(self, arguments: Arrays) -> np.ndarray:
        """Solution: the batch shape, then an axis for a vector of unknowns."""
        return self._joined(self._evaluate(self.expressions, arguments), self.output_shape)

    def vjp(self, arguments: Arrays, cotangent: np.ndarray) -> list[np.ndarray]:
        """Cotangent times Jacobian, summed over the axes along which an argument was broadcast."""
        weighted = list(zip(self._split(cotangent, self.output_shape), self.expressions))
        columns = [
            sum(c * d for (c, _), d in zip(weighted, self._evaluate([sp.diff(e, s) for _, e in weighted], arguments)))
            for s in self.symbols
        ]
        return self._grouped(columns, arguments)

    def second(self, arguments: Arrays, cotangent: np.ndarray, tangents: Arrays) -> list[np.ndarray]:
        """Cotangent times second derivative times tangents, for arguments of one batch shape."""
        directions = self._rows(tangents)
        weights = self._split(cotangent, self.output_shape)
        columns: list[Any] = []
        for s in self.symbols:
            terms = [
                c * t * self._evaluate([sp.diff(e, s, r)], arguments)[0]
                for c, e in zip(weights, self.expressions)
                for r, t in zip(self.symbols, directions)
            ]
            columns.append(sum(terms))
        return self._grouped(columns, arguments)

    def _rows(self, arguments: Arrays) -> list[np.ndarray]:
        pairs = zip(arguments, self.shapes)
        return [row for array, shape in pairs for row in self._split(array, shape)]

    def _evaluate(self, expressions: Sequence[sp.Expr], arguments: Arrays) -> list[np.ndarray]:
        rows = self._rows(arguments)
        batch = np.broadcast_shapes(*(row.shape for row in rows))
        values = sp.lambdify(self.symbols, list(expressions), "numpy")(*rows)
        return [np.broadcast_to(v, batch).astype(np.float64) for v in values]

    def _grouped(self, columns: Sequence[np.ndarray], arguments: Arrays) -> list[np.ndarray]:
        remaining, grouped = iter(columns), []
        for array, shape in zip(arguments, self.shapes):
            parts = [_summed_to(next(remaining), row.shape) for row in self._split(array, shape)]
            grouped.append(self._joined(parts, shape))
        return grouped

    @staticmethod
    def _split(array: Any, shape: tuple[int, ...]) -> list[np.ndarray]:
        array = np.asarray(array)
        flat = array.reshape((*array.shape[: array.ndim - len(shape)], math.prod(shape)))
        return list(np.moveaxis(flat, -1, 0))

    @staticmethod
    def _joined(parts: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        return np.stack(parts, axis=-1).reshape((*parts[0].shape, *shape))


def _summed_to(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    array = array.sum(axis=tuple(range(array.ndim - len(shape))))
    axes = tuple(d for d, n in enumerate(shape) if n == 1 and array.shape[d] != 1)
    return array.sum(axis=axes, keepdims=True)


def closed_forms() -> dict[str, ClosedForm]:
    """Problems of every kind, with scalar and vector parameters, with one unknown and with two."""
    x, y, p, q = sp.symbols("x y p q")
    a, b, c = sp.symbols("a b c")
    square = Root(x**2 - p, x, [p], bracket=(0, 1 + p))
    quadratic = Root(p * x**2 + q * x - 1, x, [p, q], bracket=(0, 1 + 1 / q))
    logarithm = Root(a * sp.exp(q * x) - b**2 - c, x, [q, (a, b, c)], guess=0)
    system = Root([x * y - p, x - q * y], [x, y], [p, q], guess=(1, 1))
    babylonian = FixedPoint((x + p / x) / 2, x, [p], guess=1 + p)
    two_updates = FixedPoint([p / y, x / q], [x, y], [p, q], guess=(1, 1))
    cheapest = Minimum(sp.exp(x) - p * x, x, [p], guess=0)
    at_a_bound = Minimum(
        (x - p) ** 2 + (y - x * q) ** 2, [x, y], [p, q], guess=(0, 0), bounds=[(p + q, None), (None, None)]
    )
    product = External(
        _product, inputs={"p": (), "q": ()}, outputs=(), jacobian=_product_jacobian, hessian=_product_hessian
    )
    return {
        **_in_time(),
        **_integrals(),
        "one scalar": ClosedForm(square, (sp.sqrt(p),), (50.0,)),
        "two scalars": ClosedForm(quadratic, ((sp.sqrt(q**2 + 4 * p) - q) / (2 * p),), (3.0, 2.0)),
        "scalar and vector": ClosedForm(logarithm, (sp.log((b**2 + c) / a) / q,), (2.0, 3.0)),
        "two unknowns": ClosedForm(system, (sp.sqrt(p * q), sp.sqrt(p / q)), (4.0, 3.0)),
        "fixed point": ClosedForm(babylonian, (sp.sqrt(p),), (50.0,)),
        "two updates": ClosedForm(two_updates, (sp.sqrt(p * q), sp.sqrt(p / q)), (4.0, 3.0)),
        "minimum": ClosedForm(cheapest, (sp.log(p),), (5.0,)),
        "minimum at a bound": ClosedForm(at_a_bound, (p + q, q * (p + q)), (4.0, 3.0)),
        "existing code": ClosedForm(product, (p * q,), (4.0, 3.0)),
    }


def _in_time() -> dict[str, ClosedForm]:
    """Initial value problems: t0, initial values, the times of events and of outputs are all arguments."""
    x, v, t, k, x0, t0, tau, dose, drive, force = sp.symbols("x v t k x0 t0 tau dose Omega F")
    # Answers are promised to GLOBAL times rtol (ode_tolerance.py), where they don't grow.
    strict: Any = {"t": t, "rtol": 1e-12, "atol": 1e-14}
    loose: Any = {"rtol": 1e-10, "atol": 1e-10, "large": 400}
    washout = sp.exp(-k * t)
    second = [(tau, {x: x + dose})]
    proper = drive + 1  # frequency
    gain = force / (proper**2 - drive**2)
    position = (1 - gain) * sp.cos(proper * t) + gain * sp.cos(drive * t)
    decay: Any = ({x: -k * x}, [k, (x0, t0)])
    decaying = x0 * sp.exp(-k * (t - t0))
    drug = ODE({x: -k * x}, [k, tau, dose], initial={x: 1}, events=second, **strict)
    oscillator = ODE(
        {x: v, v: force * sp.cos(drive * t) - proper**2 * x}, [drive, force], initial={x: 1, v: 0}, **strict
    )
    return {
        "decay": ClosedForm(ODE(*decay, initial={x: x0}, t0=t0, **strict), (decaying,), (1.0, 0.3, 2.0), **loose),
        "decay, backwards": ClosedForm(
            ODE(*decay, initial={x: x0}, t0=t0, sensitivity="adjoint", **strict), (decaying,), (1.0, 0.3, 2.0), **loose
        ),
        "event": ClosedForm(
            drug,
            (sp.Piecewise((washout, t < tau), (washout + dose * sp.exp(-k * (t - tau)), True)),),
            (1.0, 1.0, 2.0, 2.0),
            **loose,
        ),
        "forced oscillator": ClosedForm(oscillator, (position, sp.diff(position, t)), (1.5, 2.0, 2.0), **loose),
    }


def _integrals() -> dict[str, ClosedForm]:
    """Moving limits, an infinite range, and two integrands on the whole line."""
    x, a, b, k = sp.symbols("x a b k")
    strict: Any = {"rtol": 1e-12, "atol": 1e-14}
    loose: Any = {"rtol": 1e-10, "atol": 1e-12, "large": 2000}
    window = Integral(sp.exp(-k * x), (x, a, a + b), [k, (a, b)], **strict)
    tail = Integral(x * sp.exp(-k * x), (x, a, sp.oo), [a, k], **strict)
    weight = sp.exp(b * x - k * x**2)
    whole = sp.sqrt(sp.pi / k) * sp.exp(b**2 / (4 * k))
    moments = Integral([weight, x * weight], (x, -sp.oo, sp.oo), [b, k], **strict)
    return {
        "window": ClosedForm(window, (sp.exp(-k * a) * (1 - sp.exp(-k * b)) / k,), (2.0, 1.0), **loose),
        "tail": ClosedForm(tail, ((a * k + 1) * sp.exp(-a * k) / k**2,), (2.0, 3.0), **loose),
        "moments": ClosedForm(moments, (whole, b / (2 * k) * whole), (2.0, 1.0), **loose),
    }


def _product(p: float, q: float) -> float:
    return p * q


def _product_jacobian(p: float, q: float) -> list[float]:
    return [q, p]


def _product_hessian(p: float, q: float) -> list[list[float]]:
    return [[0.0, 1.0], [1.0, 0.0]]


def check_value_and_first_order(backend: Backend, case: ClosedForm) -> None:
    """Value, reverse and forward mode agree with the closed form and with each other."""
    arguments, tangents = case.same_batch(7), case.same_batch(7, seed=1)
    f = backend(case.problem, arguments)
    value = f.value(arguments)
    np.testing.assert_allclose(value, case.value(arguments), rtol=case.rtol, atol=case.atol)
    cotangent = case.cotangent(value)
    pulled = f.vjp(arguments, cotangent)
    for ours, true in zip(pulled, case.vjp(arguments, cotangent)):
        np.testing.assert_allclose(ours, true, rtol=case.rtol, atol=case.rtol)
    forward = float(np.sum(cotangent * f.jvp(arguments, tangents)))
    reverse = float(sum(np.sum(g * t) for g, t in zip(pulled, tangents)))
    np.testing.assert_allclose(forward, reverse, rtol=case.rtol, atol=case.atol)


def check_second_order(backend: Backend, case: ClosedForm) -> None:
    """Forward and reverse mode over each other give the closed form's second derivatives."""
    arguments, tangents, others = (case.same_batch(3, seed=seed) for seed in range(3))
    cotangent = case.cotangent(case.value(arguments))
    f = backend(case.problem, arguments)
    true = case.second(arguments, cotangent, tangents)
    for mode in f.modes:
        computed = f.second(mode, arguments, cotangent, tangents, others)
        if mode == "ff":
            expected = sum(np.sum(g * t) for g, t in zip(true, others))
            np.testing.assert_allclose(np.sum(cotangent * np.asarray(computed)), expected, rtol=100 * case.rtol)
            continue
        for ours, row in zip(computed, true):
            np.testing.assert_allclose(ours, row, rtol=100 * case.rtol, atol=max(1e-12, 100 * case.atol), err_msg=mode)


def check_scalars_batches_and_broadcasting(backend: Backend, case: ClosedForm) -> None:
    """Leading axes broadcast as in NumPy, and gradients have the shapes of the arguments."""
    n = len(case.scale)
    mixed = [((4, 3), (3,))[(n - 1 - k) % 2] for k in range(n)]
    for batches in ([()] * n, [(5,)] * n, [(2, 3)] * n, [(0,)] * n, mixed, [((2, 1, 3), ())[k % 2] for k in range(n)]):
        arguments = case.arguments(*batches)
        f = backend(case.problem, arguments)
        value, expected = f.value(arguments), case.value(arguments)
        assert value.shape == expected.shape
        assert value.dtype == np.float64
        np.testing.assert_allclose(value, expected, rtol=case.rtol, atol=case.atol)
        cotangent = np.ones_like(expected)
        pulled, true = f.vjp(arguments, cotangent), case.vjp(arguments, cotangent)
        assert [g.shape for g in pulled] == [a.shape for a in arguments]
        for ours, theirs in zip(pulled, true):
            np.testing.assert_allclose(ours, theirs, rtol=10 * case.rtol, atol=10 * case.rtol)


def check_narrow_dtypes(backend: Backend, case: ClosedForm) -> None:
    """float32 and integers are accepted, computed in float64, and a gradient has its argument's dtype."""
    for dtype in (np.float32, np.int64):
        arguments = [np.ceil(a).astype(dtype) for a in case.same_batch(4)]
        f = backend(case.problem, arguments)
        value = f.value(arguments)
        assert value.dtype == np.float64
        np.testing.assert_allclose(
            value, case.value([a.astype(np.float64) for a in arguments]), rtol=case.rtol, atol=case.atol
        )
        if dtype == np.float32:
            assert {g.dtype for g in f.vjp(arguments, np.ones_like(value))} == {np.dtype(np.float32)}


def check_failure_is_nan_for_its_element_alone(backend: Backend, case: ClosedForm) -> None:
    """A NaN parameter makes value and derivative of that element NaN and leaves the others right."""
    arguments = case.same_batch(5)
    good = np.array([True, False, True, True, False])
    arguments[0][~good] = np.nan
    f = backend(case.problem, arguments)
    cotangent = case.cotangent(case.value(arguments))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SolveWarning)
        value, pulled = f.value(arguments), f.vjp(arguments, cotangent)
    assert np.isnan(value[~good]).all()
    np.testing.assert_allclose(value[good], case.value([a[good] for a in arguments]), rtol=case.rtol, atol=case.atol)
    for ours, true in zip(pulled, case.vjp([a[good] for a in arguments], cotangent[good])):
        assert np.isnan(ours[~good]).all()
        np.testing.assert_allclose(ours[good], true, rtol=case.rtol, atol=case.rtol)


def check_large_batch_equals_its_parts(backend: Backend, case: ClosedForm) -> None:
    """A batch that is split over threads has bit for bit the values and gradients of its parts."""
    arguments = case.same_batch(case.large)
    f = backend(case.problem, arguments)
    value = f.value(arguments)
    pulled = f.vjp(arguments, np.ones_like(value))
    for part in (slice(0, 1), slice(case.large // 2 - 3, case.large // 2 + 3), slice(case.large - 300, case.large)):
        piece = [np.ascontiguousarray(a[part]) for a in arguments]
        assert np.array_equal(f.value(piece), value[part])
        for ours, whole in zip(f.vjp(piece, np.ones_like(value[part])), pulled):
            assert np.array_equal(ours, whole[part])


def check_other_numbers_of_times(backend: Backend, case: ClosedForm) -> None:
    """Each call chooses how many output times there are, none included."""
    if not case.is_timed:
        return
    f = backend(case.problem, case.same_batch(5))
    for length in (1, 8):
        other = replace(case, length=length)
        arguments = other.same_batch(5)
        value, expected = f.value(arguments), other.value(arguments)
        np.testing.assert_allclose(value, expected, rtol=case.rtol, atol=case.atol)
        cotangent = case.cotangent(expected)
        for ours, true in zip(f.vjp(arguments, cotangent), other.vjp(arguments, cotangent)):
            np.testing.assert_allclose(ours, true, rtol=10 * case.rtol, atol=10 * case.rtol)
    none = replace(case, length=0).same_batch(5)
    value = f.value(none)
    assert value.shape == (5, 0, len(case.solution))
    pulled = f.vjp(none, np.zeros_like(value))
    assert [g.shape for g in pulled] == [a.shape for a in none]
    assert not any(np.any(g) for g in pulled)


def check_start_values_have_no_derivative(backend: Backend, case: ClosedForm) -> None:
    """A guess that is given with the call, a variable like the parameters, has the derivative zero, not none."""
    problem = case.problem
    if "guess" not in problem.start_names:
        return
    arguments = case.same_batch(5)
    expected = case.value(arguments)
    everything = [*arguments, 1.01 * expected]
    f = backend(lambda *values: problem(*values[:-1], guess=values[-1]), everything)
    np.testing.assert_allclose(f.value(everything), expected, rtol=case.rtol, atol=case.atol)
    *pulled, of_guess = f.vjp(everything, case.cotangent(expected))
    for ours, true in zip(pulled, case.vjp(arguments, case.cotangent(expected))):
        np.testing.assert_allclose(ours, true, rtol=case.rtol, atol=case.rtol)
    assert np.array_equal(of_guess, np.zeros_like(expected))
    pushed = f.jvp(everything, [*map(np.zeros_like, arguments), np.ones_like(expected)])
    assert np.array_equal(pushed, np.zeros_like(expected))


def check_pickled_problem_is_the_same(backend: Backend, case: ClosedForm) -> None:
    """A problem that was pickled has bit for bit the values and gradients of the original."""
    arguments = case.same_batch(5)
    original, other = (backend(p, arguments) for p in (case.problem, pickle.loads(pickle.dumps(case.problem))))
    value = original.value(arguments)
    assert np.array_equal(other.value(arguments), value)
    for ours, theirs in zip(*(f.vjp(arguments, np.ones_like(value)) for f in (original, other))):
        assert np.array_equal(ours, theirs)


#: All checks: each is called with a backend and a member of :func:`closed_forms`.
CHECKS: tuple[Callable[[Backend, ClosedForm], None], ...] = (
    check_value_and_first_order,
    check_second_order,
    check_scalars_batches_and_broadcasting,
    check_narrow_dtypes,
    check_failure_is_nan_for_its_element_alone,
    check_large_batch_equals_its_parts,
    check_other_numbers_of_times,
    check_start_values_have_no_derivative,
    check_pickled_problem_is_the_same,
)
