"""Checks of derivative products in any backend: reverse, forward, against each other, second order, and Taylor's.

Each takes a Case and returns a Check; none knows what kind of problem or which framework it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np

from implicitops.errors import NotAvailableError
from implicitops.verify.case import Case, compare, compare_to
from implicitops.verify.differentiation.base import MODES
from implicitops.verify.report import Check

EPS = np.finfo(np.float64).eps
#: Steps of the Taylor ladder, 1/2 to 2**-40.
N_STEPS = 40
Checker = Callable[[Case, np.random.Generator], Check]


def value(case: Case, rng: np.random.Generator) -> Check:
    """Value against the reference."""
    return compare(case, "value", case.flat_output(case.differentiable.value(case.arguments)), "value")


def reverse(case: Case, rng: np.random.Generator) -> Check:
    """Full Jacobian, one row for each output, by reverse mode."""
    return compare(case, "vjp", reverse_jacobian(case), "jacobian")


def forward(case: Case, rng: np.random.Generator) -> Check:
    """Full Jacobian, one column for each variable, by forward mode."""
    return compare(case, "jvp", forward_jacobian(case), "jacobian")


def reverse_jacobian(case: Case) -> np.ndarray:
    """Jacobian (n, m, p) by reverse mode."""
    shape = np.shape(case.differentiable.value(case.arguments))
    rows = []
    for k in range(case.n_outputs):
        cotangent = np.zeros((case.n_points, case.n_outputs))
        cotangent[:, k] = 1
        rows.append(case.flat(case.differentiable.vjp(case.arguments, cotangent.reshape(shape))))
    return np.stack(rows, axis=1)


def forward_jacobian(case: Case) -> np.ndarray:
    """Jacobian (n, m, p) by forward mode."""
    columns = []
    for tangent in np.eye(sum(case.sizes)):
        tangents = case.shaped(np.tile(tangent, (case.n_points, 1)))
        columns.append(case.flat_output(case.differentiable.jvp(case.arguments, tangents)))
    return np.stack(columns, axis=2)


def dot_product(case: Case, rng: np.random.Generator) -> Check:
    """<u, J v> = <J^T u, v> for random u and v: forward and reverse are one linear map and its transpose."""
    name = f"{case.differentiable.name}: dot product"
    u, v, _ = _directions(case, rng)
    shape = np.shape(case.differentiable.value(case.arguments))
    pushed = case.flat_output(case.differentiable.jvp(case.arguments, case.shaped(v)))
    pulled = case.flat(case.differentiable.vjp(case.arguments, u.reshape(shape)))
    left, right = (u * pushed).sum(axis=1), (pulled * v).sum(axis=1)
    size = (abs(u) * abs(pushed)).sum(axis=1) + (abs(pulled) * abs(v)).sum(axis=1)
    size = np.where(size > 0, size, 1)
    bounds = case.stacked("jacobian_bound").astype(float) * abs(u[:, :, None]) * abs(v[:, None, :])
    rounding = 8 * EPS * (case.n_outputs + sum(case.sizes)) * _float32_factor(case)
    tolerance = rounding + bounds.sum(axis=(1, 2)) / size
    error = abs(left - right) / size
    worst = int(np.argmax(np.where(np.isnan(error), np.inf, error / tolerance)))
    passed = bool(error[worst] <= tolerance[worst])
    reason = "" if passed else f"<u, J v> = {float(left[worst])!r}, but <J^T u, v> = {float(right[worst])!r}"
    return Check(name, passed, float(error[worst]), float(tolerance[worst]), case.label((worst,)), reason)


def second_order(mode: str) -> Checker:
    """Check of the second derivative in random directions, composed by one of ff, fr, rf, rr."""

    def check(case: Case, rng: np.random.Generator) -> Check:
        u, v, w = _directions(case, rng)
        shape = np.shape(case.differentiable.value(case.arguments))
        result = case.differentiable.second(mode, case.arguments, u.reshape(shape), case.shaped(v), case.shaped(w))
        true, bound = case.stacked("hessian"), case.stacked("hessian_bound")
        rounding = 16 * EPS
        if isinstance(result, list):
            u, v = u[:, :, None, None], v[:, None, None, :]
            terms, bounds = true * u * v, bound * abs(u) * abs(v)
            computed, axes = case.flat(result), (1, 3)
        else:
            v, w = v[:, None, :, None], w[:, None, None, :]
            terms, bounds = true * v * w, bound * abs(v) * abs(w)
            computed, axes = case.flat_output(result), (2, 3)
        true = terms.sum(axis=axes)
        bounds = bounds.sum(axis=axes) + rounding * abs(terms).sum(axis=axes)
        return compare_to(case, f"order 2, {mode}", computed, true, bounds)

    return check


def _directions(case: Case, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random cotangents (n, m) and two sets of tangents (n, p) that are neither small nor orthogonal to an axis."""
    n, m, p = case.n_points, case.n_outputs, sum(case.sizes)
    u, v, w = (rng.uniform(0.5, 1.5, (n, k)) * rng.choice([-1.0, 1.0], (n, k)) for k in (m, p, p))
    return u, v, w


def _float32_factor(case: Case) -> float:
    return 2.0**29 if any(a.dtype == np.float32 for a in case.arguments) else 1.0


def taylor(order: int) -> Checker:
    """Check of the Taylor remainder: with right derivatives it falls with the power order + 1 of the step.

    It needs no reference, only values; steps whose remainder is near the value's own error are left out, and so are
    points at which the derivatives are those from one side.
    """

    def check(case: Case, rng: np.random.Generator) -> Check:
        name = f"{case.differentiable.name}: Taylor slope, order {order}"
        slopes = _taylor_slopes(case, rng, order)
        usable = np.flatnonzero(~np.isnan(slopes))
        if usable.size == 0:
            one_sided = all(reference.one_sided for reference in case.references)
            cause = "derivatives are those from one side" if one_sided else "remainder is rounding error at every step"
            return Check(name, None, reason=f"the {cause}: nothing to fit")
        worst = int(usable[np.argmin(slopes[usable])])
        shortfall, tolerance = order + 1 - float(slopes[worst]), 0.4
        passed = shortfall <= tolerance
        reason = "" if passed else f"the remainder falls with the power {slopes[worst]:.2f} of the step"
        return Check(name, passed, max(shortfall, 0.0), tolerance, case.label((worst,)), reason)

    return check


def _taylor_slopes(case: Case, rng: np.random.Generator, order: int) -> np.ndarray:
    """Power of the step with which the remainder falls at each point; NaN where it is rounding error."""
    base = case.flat(case.arguments)
    direction = _directions(case, rng)[1] * np.where(base != 0, abs(base), 1.0)
    direction = np.where(_is_defined(case, base, direction)[:, None], direction, -direction)
    centre = case.flat_output(case.differentiable.value(case.arguments))
    first = np.einsum("nmp,np->nm", reverse_jacobian(case), direction)
    bend = np.zeros_like(first)
    if order == 2:  # in high precision: a second derivative may be outside the range of a double
        precise = direction.astype(object) * mpmath.mpf(1)
        outer = precise[:, None, :, None] * precise[:, None, None, :]
        bend = (case.stacked("hessian") * outer).sum(axis=(2, 3)).astype(float)
    rounding = EPS * _float32_factor(case) * abs(centre)
    # An integration's bound is far above its usual error as it is.
    noise = np.maximum(100 * rounding, (1 if case.integrated else 100) * case.stacked("value_bound").astype(float))
    remainders = []
    for k in range(1, N_STEPS + 1):
        h = 2.0**-k
        moved = base + h * direction
        there = case.flat_output(case.differentiable.value(case.shaped(moved)))
        remainder = abs(there - centre - h * first - h**2 / 2 * bend)
        if case.integrated:  # one that is sensitive enough goes elsewhere by any step that its tolerances let it feel
            remainder = np.where(_is_near(case, there - centre, h * direction)[:, None], remainder, 0.0)
        remainders.append(np.where(np.isfinite(remainder), remainder, 0.0))
    slopes = np.full(case.n_points, np.nan)
    for i in range(case.n_points):
        if case.references[i].one_sided:
            continue
        clear = [k for k, r in enumerate(remainders) if np.max(r[i]) > np.max(noise[i])]
        last = clear[-1] if clear else 0
        # Three steps in a row that stand clear of the noise: the asymptotic end of the ladder.
        if last >= 4 and {last - 1, last - 2} <= set(clear):
            slopes[i] = np.log2(np.max(remainders[last - 2][i]) / np.max(remainders[last][i])) / 2
    return slopes


def _is_near(case: Case, change: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Whether the true Jacobian explains the change of each point's outputs, but for a part of it."""
    jacobian = case.stacked("jacobian").astype(float)
    linear = np.einsum("nmp,np->nm", jacobian, moved)
    size = np.einsum("nmp,np->nm", abs(jacobian), abs(moved)).max(axis=1)
    return np.asarray(abs(change - linear).max(axis=1) <= size / 2)


def _is_defined(case: Case, base: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Whether the function has values a short way along a direction: it may be at the edge of its domain."""
    there = case.flat_output(case.differentiable.value(case.shaped(base + 2.0**-20 * direction)))
    return np.asarray(np.isfinite(there).all(axis=1))


def determinism(case: Case, rng: np.random.Generator) -> Check:
    """The same bits when asked twice."""
    name = f"{case.differentiable.name}: determinism"
    ones = np.ones_like(case.differentiable.value(case.arguments))
    first, second = (
        [case.differentiable.value(case.arguments), *case.differentiable.vjp(case.arguments, ones)] for _ in range(2)
    )
    passed = all(same_bits(a, b) for a, b in zip(first, second))
    return Check(name, passed, reason="" if passed else "two calls with equal arguments differ")


def dtype_and_shape(case: Case, rng: np.random.Generator) -> Check:
    """Derivatives have their argument's shape and dtype, and the tangent that of the value."""
    name = f"{case.differentiable.name}: dtype and shape"
    output = case.differentiable.value(case.arguments)
    pulled = case.differentiable.vjp(case.arguments, np.ones_like(output))
    for label, a, g in zip(case.names, case.arguments, pulled):
        if np.shape(g) != np.shape(a) or np.asarray(g).dtype != a.dtype:
            got = f"{np.asarray(g).dtype} {np.shape(g)}"
            return Check(name, False, reason=f"the vjp of {label} must be {a.dtype} {np.shape(a)}; got {got}")
    expected = (case.n_points,) if case.batched else ()
    if np.shape(output)[: len(expected)] != expected:
        return Check(name, False, reason=f"the value must have the batch shape {expected}; got {np.shape(output)}")
    return Check(name, True)


def batch_equals_loop(case: Case, rng: np.random.Generator) -> Check:
    """Value and vjp of each element alone are those of the batch, to the last bit, and failed elements are NaN."""
    name = f"{case.differentiable.name}: batch equals loop"
    if not case.batched:
        return Check(name, None, reason="this function has no batch axis")
    arguments = [np.concatenate([a[:1], np.full_like(a[:1], np.nan), a]) for a in case.arguments]
    ones = np.ones_like(case.differentiable.value(arguments))
    batch = [case.differentiable.value(arguments), *case.differentiable.vjp(arguments, ones)]
    for row in (0, *range(1, len(ones))):
        alone = [a[row : row + 1] for a in arguments]
        single = [case.differentiable.value(alone), *case.differentiable.vjp(alone, ones[row : row + 1])]
        if row == 1 and not all(np.all(np.isnan(b[row])) for b in batch):
            return Check(name, False, reason="a parameter is NaN, but value or derivative are not")
        if not all(same_bits(b[row : row + 1], s) for b, s in zip(batch, single)):
            where = case.label((max(row - 2, 0),)) if row != 1 else "the NaN element"
            return Check(name, False, where=where, reason="an element alone differs from the same one in a batch")
    return Check(name, True)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal to the last bit, with NaN equal to NaN."""
    return np.array_equal(a, b, equal_nan=True)


FIRST_ORDER: dict[str, Checker] = {
    "value": value,
    "vjp": reverse,
    "jvp": forward,
    "dot product": dot_product,
    "Taylor slope, order 1": taylor(1),
    "batch equals loop": batch_equals_loop,
    "dtype and shape": dtype_and_shape,
    "determinism": determinism,
}
SECOND_ORDER: dict[str, Checker] = {
    **{f"order 2, {mode}": second_order(mode) for mode in MODES},
    "Taylor slope, order 2": taylor(2),
}


def run(case: Case, order: int, seed: int) -> list[Check]:
    """All checks up to an order; one that the backend cannot make is marked as skipped."""
    checks = []
    for name, check in {**FIRST_ORDER, **(SECOND_ORDER if order >= 2 else {})}.items():
        try:
            checks.append(check(case, np.random.default_rng(seed)))
        except NotAvailableError as missing:
            checks.append(Check(f"{case.differentiable.name}: {name}", None, reason=f"not available: {missing}"))
    return checks
