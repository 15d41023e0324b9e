"""What every backend promises of its op: shapes, dtypes, broadcasting, order 2, failures, large batches.

Each check takes a backend as a callable ``(function, arguments) -> Differentiable``: the function takes the
framework's own variables, one for each of the example arguments; a problem is such a function. A backend's
tests run all of :data:`CHECKS`; ``verify_grad`` compares the numbers with 50-digit arithmetic.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from implicitops.problems import External, FixedPoint, Minimum, Root
from implicitops.problems.base import Problem
from implicitops.status import SolveWarning
from implicitops.testing.differentiation import Differentiable

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
    solution : tuple of Expr, one for each unknown
    scale : tuple of float, for each argument the largest value at which it is tried
    """

    problem: Problem
    solution: tuple[sp.Expr, ...]
    scale: tuple[float, ...]

    def arguments(self, *batches: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
        """Random arguments, one batch shape for each."""
        rng = np.random.default_rng(seed)
        shapes = self.problem.parameter_shapes
        return [rng.uniform(0.2, 1.0, b + s) * scale for b, s, scale in zip(batches, shapes, self.scale)]

    def same_batch(self, *batch: int, seed: int = 0) -> list[np.ndarray]:
        """Random arguments of one batch shape."""
        return self.arguments(*[batch] * len(self.scale), seed=seed)

    def cotangent(self, value: np.ndarray) -> np.ndarray:
        """A cotangent for that value, no two elements alike."""
        return np.linspace(-1.0, 2.0, value.size).reshape(value.shape)

    def value(self, arguments: Arrays) -> np.ndarray:
        """Solution: the batch shape, then an axis for a vector of unknowns."""
        return self._joined(self._evaluate(self.solution, arguments), self.problem.output_shape)

    def vjp(self, arguments: Arrays, cotangent: np.ndarray) -> list[np.ndarray]:
        """Cotangent times Jacobian, summed over the axes along which an argument was broadcast."""
        weighted = list(zip(self._split(cotangent, self.problem.output_shape), self.solution))
        columns = [
            sum(c * d for (c, _), d in zip(weighted, self._evaluate([sp.diff(e, s) for _, e in weighted], arguments)))
            for s in self.problem.parameter_symbols
        ]
        return self._grouped(columns, arguments)

    def second(self, arguments: Arrays, cotangent: np.ndarray, tangents: Arrays) -> list[np.ndarray]:
        """Cotangent times second derivative times tangents, for arguments of one batch shape."""
        symbols = self.problem.parameter_symbols
        directions = self._rows(tangents)
        weights = self._split(cotangent, self.problem.output_shape)
        columns: list[Any] = []
        for s in symbols:
            terms = [
                c * t * self._evaluate([sp.diff(e, s, r)], arguments)[0]
                for c, e in zip(weights, self.solution)
                for r, t in zip(symbols, directions)
            ]
            columns.append(sum(terms))
        return self._grouped(columns, arguments)

    def _rows(self, arguments: Arrays) -> list[np.ndarray]:
        pairs = zip(arguments, self.problem.parameter_shapes)
        return [row for array, shape in pairs for row in self._split(array, shape)]

    def _evaluate(self, expressions: Sequence[sp.Expr], arguments: Arrays) -> list[np.ndarray]:
        rows = self._rows(arguments)
        batch = np.broadcast_shapes(*(row.shape for row in rows))
        values = sp.lambdify(self.problem.parameter_symbols, list(expressions), "numpy")(*rows)
        return [np.broadcast_to(v, batch).astype(np.float64) for v in values]

    def _grouped(self, columns: Sequence[np.ndarray], arguments: Arrays) -> list[np.ndarray]:
        remaining, grouped = iter(columns), []
        for array, shape in zip(arguments, self.problem.parameter_shapes):
            parts = [_summed_to(next(remaining), row.shape) for row in self._split(array, shape)]
            grouped.append(self._joined(parts, shape))
        return grouped

    @staticmethod
    def _split(array: Any, shape: tuple[int, ...]) -> list[np.ndarray]:
        return list(np.moveaxis(np.asarray(array), -1, 0)) if shape else [np.asarray(array)]

    @staticmethod
    def _joined(parts: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        return np.stack(parts, axis=-1) if shape else parts[0]


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
    np.testing.assert_allclose(value, case.value(arguments), rtol=RTOL)
    cotangent = case.cotangent(value)
    pulled = f.vjp(arguments, cotangent)
    for ours, true in zip(pulled, case.vjp(arguments, cotangent)):
        np.testing.assert_allclose(ours, true, rtol=RTOL, atol=RTOL)
    forward = float(np.sum(cotangent * f.jvp(arguments, tangents)))
    reverse = float(sum(np.sum(g * t) for g, t in zip(pulled, tangents)))
    np.testing.assert_allclose(forward, reverse, rtol=RTOL)


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
            np.testing.assert_allclose(np.sum(cotangent * np.asarray(computed)), expected, rtol=1e-10)
            continue
        for ours, row in zip(computed, true):
            np.testing.assert_allclose(ours, row, rtol=1e-10, atol=1e-12, err_msg=mode)


def check_scalars_batches_and_broadcasting(backend: Backend, case: ClosedForm) -> None:
    """Leading axes broadcast as in NumPy, and gradients have the shapes of the arguments."""
    n = len(case.scale)
    for batches in ([()] * n, [(5,)] * n, [(2, 3)] * n, [(0,)] * n, [(3,), (4, 3)][-n:], [(2, 1, 3), ()][:n]):
        arguments = case.arguments(*batches)
        f = backend(case.problem, arguments)
        value, expected = f.value(arguments), case.value(arguments)
        assert value.shape == expected.shape
        assert value.dtype == np.float64
        np.testing.assert_allclose(value, expected, rtol=RTOL)
        cotangent = np.ones_like(expected)
        pulled, true = f.vjp(arguments, cotangent), case.vjp(arguments, cotangent)
        assert [g.shape for g in pulled] == [a.shape for a in arguments]
        for ours, theirs in zip(pulled, true):
            np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


def check_narrow_dtypes(backend: Backend, case: ClosedForm) -> None:
    """float32 and integers are accepted, computed in float64, and a gradient has its argument's dtype."""
    for dtype in (np.float32, np.int64):
        arguments = [np.ceil(a).astype(dtype) for a in case.same_batch(4)]
        f = backend(case.problem, arguments)
        value = f.value(arguments)
        assert value.dtype == np.float64
        np.testing.assert_allclose(value, case.value([a.astype(np.float64) for a in arguments]), rtol=RTOL)
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
    np.testing.assert_allclose(value[good], case.value([a[good] for a in arguments]), rtol=RTOL)
    for ours, true in zip(pulled, case.vjp([a[good] for a in arguments], cotangent[good])):
        assert np.isnan(ours[~good]).all()
        np.testing.assert_allclose(ours[good], true, rtol=RTOL, atol=RTOL)


def check_large_batch_equals_its_parts(backend: Backend, case: ClosedForm) -> None:
    """A batch that is split over threads has bit for bit the values and gradients of its parts."""
    arguments = case.same_batch(LARGE)
    f = backend(case.problem, arguments)
    value = f.value(arguments)
    pulled = f.vjp(arguments, np.ones_like(value))
    for part in (slice(0, 1), slice(LARGE // 2 - 3, LARGE // 2 + 3), slice(LARGE - 300, LARGE)):
        piece = [np.ascontiguousarray(a[part]) for a in arguments]
        assert np.array_equal(f.value(piece), value[part])
        for ours, whole in zip(f.vjp(piece, np.ones_like(value[part])), pulled):
            assert np.array_equal(ours, whole[part])


#: All checks: each is called with a backend and a member of :func:`closed_forms`.
CHECKS: tuple[Callable[[Backend, ClosedForm], None], ...] = (
    check_value_and_first_order,
    check_second_order,
    check_scalars_batches_and_broadcasting,
    check_narrow_dtypes,
    check_failure_is_nan_for_its_element_alone,
    check_large_batch_equals_its_parts,
)
