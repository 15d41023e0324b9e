"""One batch of points at which one backend is compared with its references, and the comparison itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

from implicitops.verify.differentiation import Differentiable
from implicitops.verify.reference import ReferencePoint
from implicitops.verify.report import Check

#: Above this relative tolerance a passed check says little, and its reason says so.
LOOSE = 1e-4
#: Below the smallest normal double, relative accuracy is promised nowhere.
TINY = mpmath.mpf(2) ** -1022
LARGEST = mpmath.mpf(2) ** 1024


@dataclass(frozen=True)
class Case:
    """A backend's function, arguments, and the truth at each of them.

    Parameters
    ----------
    differentiable : Differentiable
    arguments : tuple of ndarray; with the batch axis in front where ``batched``
    names : tuple of str, of the arguments
    batched : bool, the function maps over the leading axis of every argument
    references : tuple of ReferencePoint, one for each batch element
    rtol : float or None, relative tolerance that replaces the derived ones
    integrated : bool, the bounds of the references are what the tolerances of an integration allow, not rounding
    """

    differentiable: Differentiable
    arguments: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    batched: bool
    references: tuple[ReferencePoint, ...]
    rtol: float | None = None
    integrated: bool = False

    @property
    def n_points(self) -> int:
        """Batch elements."""
        return len(self.references)

    @property
    def n_outputs(self) -> int:
        """Numbers that the function returns for one batch element."""
        return len(self.references[0].value)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers in each argument for one batch element."""
        return tuple(a.size // self.n_points for a in self.arguments)

    def flat(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Arrays shaped like the arguments as one row of p numbers for each batch element."""
        rows = [np.asarray(a, dtype=np.float64).reshape(self.n_points, -1) for a in arrays]
        return np.concatenate(rows, axis=1)

    def shaped(self, rows: np.ndarray) -> list[np.ndarray]:
        """Inverse of :meth:`flat`, in the arguments' shapes and dtypes."""
        parts = np.split(rows, np.cumsum(self.sizes)[:-1], axis=1)
        return [part.reshape(a.shape).astype(a.dtype) for part, a in zip(parts, self.arguments)]

    def flat_output(self, output: np.ndarray) -> np.ndarray:
        """Output, or something of its shape, as one row of m numbers for each batch element."""
        return np.asarray(output, dtype=np.float64).reshape(self.n_points, -1)

    def stacked(self, name: str) -> np.ndarray:
        """One field of all references: (n, ...) object array."""
        return np.stack([getattr(r, name) for r in self.references])

    def label(self, index: tuple[int, ...]) -> str:
        """Parameters of a batch element and the derivative's variables, for a person."""
        point, variables = index[0], [k for k in index[2:] if k < sum(self.sizes)]
        values = ", ".join(
            f"{name}={_short(a[point] if self.batched else a)}" for name, a in zip(self.names, self.arguments)
        )
        output = f", output {index[1]}" if len(index) > 1 and self.n_outputs > 1 else ""
        return values + output + "".join(f", d/d{self.variable(k)}" for k in variables)

    def variable(self, k: int) -> str:
        """Name of variable number k of all arguments in a row."""
        for name, size in zip(self.names, self.sizes):
            if k < size:
                return name if size == 1 else f"{name}[{k}]"
            k -= size
        raise IndexError(k)


def _short(value: Any) -> str:
    array = np.asarray(value)
    return f"{array:.9g}" if array.ndim == 0 else np.array2string(array, precision=6, threshold=6)


def compare(case: Case, name: str, computed: np.ndarray, field: str) -> Check:
    """Check of computed numbers (n, ...) against a field of the references, at the element furthest out."""
    return compare_to(case, name, computed, case.stacked(field), case.stacked(f"{field}_bound"))


def compare_to(case: Case, name: str, computed: np.ndarray, true: np.ndarray, bounds: np.ndarray) -> Check:
    """Check of computed numbers (n, ...) against true ones, at the element that is worst for its bound."""
    name = f"{case.differentiable.name}: {name}"
    computed = np.asarray(computed, dtype=np.float64)
    if computed.shape != true.shape:
        return Check(name, False, reason=f"the shape must be {true.shape} (points first); got {computed.shape}")
    worst: tuple[Any, ...] = (-1.0,)
    for index in np.ndindex(*true.shape):
        error = _error(float(computed[index]), true[index])
        bound = (bounds[index] if case.rtol is None else mpmath.mpf(case.rtol) * abs(true[index])) + TINY
        ratio = mpmath.inf if mpmath.isnan(error) else error / bound
        if ratio > worst[0]:
            worst = (ratio, error, bound, index)
    if len(worst) == 1:
        return Check(name, None, reason="there is nothing to compare")
    ratio, error, bound, index = worst
    # High-precision differences leave 1e-60 where the true number is zero; there errors are absolute.
    unit = abs(true[index]) if abs(true[index]) > 1e-25 * bound else mpmath.mpf(1)
    tolerance, passed = float(bound / unit), bool(ratio <= 1)
    return Check(
        name,
        passed,
        math.inf if mpmath.isnan(error) else float(error / unit),
        tolerance,
        case.label(index),
        _explanation(passed, computed[index], true[index], tolerance, case, index[0]),
    )


def _error(computed: float, true: Any) -> Any:
    """Distance to the truth; none if the truth is beyond what a double holds and the computed number says so.

    A derivative that overflows is NaN, and its status DERIVATIVE_UNDEFINED.
    """
    if abs(true) > LARGEST and (math.isnan(computed) or (math.isinf(computed) and (computed > 0) == (true > 0))):
        return mpmath.mpf(0)
    return abs(mpmath.mpf(computed) - true)


def _explanation(passed: bool, computed: float, true: Any, tolerance: float, case: Case, point: int) -> str:
    if not passed:
        doubt = (
            ". The problem is stiff or sensitive, so that what its tolerances allow is an estimate: pass rtol= if it "
            "is ill-conditioned"
        )
        message = f"got {float(computed)!r}, but the true number is {mpmath.nstr(true, 17)}"
        return message + (doubt if case.references[point].estimated and case.rtol is None else "")
    if case.rtol is not None or tolerance <= LOOSE:
        return ""
    if case.integrated:
        return (
            f"the problem's rtol and atol allow a relative error of {tolerance:.0e} here, so that the check says "
            "little. Give smaller ones, or check at another point"
        )
    return (
        f"badly conditioned: rounding alone explains a relative error of {tolerance:.0e} here, so that the "
        "check says little. Restate the equation, or check at another point"
    )
