"""Finite differences with error estimates, on a batch of points. What is differentiated is the caller's business.

Nothing is assumed of the scale on which a function varies. Differences at steps over many decades say where it is
smooth, and only there are they extrapolated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

#: Values (k, n) of a function at points (k, p), which are batch elements ``rows`` (k,); NaN where it has none.
Function = Callable[[np.ndarray, np.ndarray], np.ndarray]

EPS = float(np.finfo(np.float64).eps)

#: The longest step is about a tenth of the variable, or of 1 at 0.
FIRST_STEP = 0.09871934
#: Ratio of the steps by which the scale is looked for, and how many they are: the shortest is 1e-13 of the variable.
#: With multiples of the golden section, a period that divides one step divides no other.
GOLDEN = (1 + 5**0.5) / 2
COARSE_RATIO = 20 * GOLDEN
N_COARSE = 9
#: Ratios of the longest step at which a function is smooth to those that are extrapolated along with it.
FINE_RATIOS = (GOLDEN**1.5, GOLDEN**3, GOLDEN**4.5)
#: Steps of "central": the one that gives the result, relative to the variable.
CENTRAL_STEP = float(np.cbrt(EPS))

#: From one coarse step to the next the truncation error of a smooth function falls by a factor of a thousand, beside a
#: kink by 32. It must fall by this one.
FALL = 1e-2
#: Rounding errors of a value by which the search for the scale lets differences be wrong, and estimates do.
LENIENT, ROUNDING = 16.0, 2.0
#: The most that errors of values are likely to be, by the few that are seen.
NOISE = 3.0
#: An extrapolation is not believed to be better than its neighbours by more than this factor.
GAIN = 1e-3
#: Bars above this part of a derivative that are not due to rounding are worth steps that are shorter by one level.
CONVERGED = 1e-9
#: Values that are equal at many short steps are rounded if they change by that many times their smallest change at long
#: ones, or if the smallest change is less than this part of them.
QUANTA = 30.0
ROUNDED = 1e-5
#: Steps become longer than a tenth of a small variable where rounding would cost more digits than this.
NOISY = 1e-9

#: A derivative is trusted up to this error, relative to it or to the slope of the function around the point, ...
TRUSTED = 1e-3
#: ... or to the value divided by the variable, for one that is nothing but rounding.
NEGLIGIBLE = 1e-7

#: Most calls of the function for each variable, besides one at the point itself. For "richardson" 12 are the rule; that
#: many are made where each component of a long answer varies on a scale of its own.
CALLS = {"central": 4, "richardson": 2 * (N_COARSE * (1 + len(FINE_RATIOS)) + 6)}


@dataclass(frozen=True)
class Differences:
    """Derivatives of a batch.

    Parameters
    ----------
    jacobian, error : ndarrays (m, n, p); NaN where the function has no values around the point
    trusted : bool ndarray (m, n, p), False where the error is too large a part of the derivative, or unknown
    """

    jacobian: np.ndarray
    error: np.ndarray
    trusted: np.ndarray


def differentiate(
    function: Function,
    points: np.ndarray,
    rows: np.ndarray,
    n: int,
    method: str,
    values: np.ndarray | None = None,
    steps: np.ndarray | None = None,
) -> Differences:
    """Jacobian by finite differences.

    Parameters
    ----------
    function : callable (points (k, p), rows (k,)) returning values (k, n)
    points : ndarray (m, p)
    rows : int ndarray (m,), the batch elements that the points belong to
    n : int
    method : "central", two steps of which the smaller gives the result; or "richardson"
    values : ndarray (m, n), optional, the function at the points; called for if not given
    steps : ndarray (p,), optional, longest step for each variable; NaN where it is to be found

    Returns
    -------
    Differences
    """
    m, p = points.shape
    jacobian, error, trusted = np.full((m, n, p), np.nan), np.full((m, n, p), np.nan), np.zeros((m, n, p), bool)
    centre = function(points, rows) if values is None else values
    rule, relative = (_central, CENTRAL_STEP) if method == "central" else (_extrapolated, FIRST_STEP)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        for j in range(p):
            step = np.nan if steps is None else float(steps[j])
            found = rule(_Line(function, points, rows, j, centre, relative, step))
            jacobian[:, :, j], error[:, :, j], trusted[:, :, j] = found
    return Differences(jacobian, error, trusted)


@dataclass(frozen=True)
class _Rung:
    """Differences at one step h (m,) about x: odd (f(x+h) - f(x-h)) / 2h, even (f(x+h) + f(x-h)) / 2 - f(x).

    Both are power series in h**2. The even one must vanish with h, and tells what the odd one cannot: that steps are
    far longer than the width of a peak, at whose centre and feet all differences are 0.
    """

    step: np.ndarray
    odd: np.ndarray
    even: np.ndarray
    size: np.ndarray

    @property
    def is_blank(self) -> np.ndarray:
        """Where the values at both sides are those at x to the last bit, which is no evidence of anything; (m, n)."""
        return (self.odd == 0) & (self.even == 0)

    @property
    def change(self) -> np.ndarray:
        """Larger change of the values from x to one side, (m, n)."""
        return np.asarray(np.abs(self.odd) * self.step[:, None] + np.abs(self.even))

    def over(self, other: _Rung, index: np.ndarray) -> _Rung:
        """These differences at some points (bool (m,)), others elsewhere."""
        parts = (("step", index), *((name, index[:, None]) for name in ("odd", "even", "size")))
        return _Rung(**{name: np.where(here, getattr(self, name), getattr(other, name)) for name, here in parts})

    def at(self, index: np.ndarray) -> _Rung:
        return _Rung(self.step[index], self.odd[index], self.even[index], self.size[index])


class _Line:
    """Differences along one variable."""

    def __init__(
        self,
        function: Function,
        points: np.ndarray,
        rows: np.ndarray,
        j: int,
        centre: np.ndarray,
        relative: float,
        step: float,
    ) -> None:
        self.function, self.points, self.rows, self.j, self.centre = function, points, rows, j, centre
        self.x = points[:, j]
        self.is_given = not np.isnan(step)
        #: Size of the variable, and the longest step at each point, (m,).
        self.unit = np.where(self.x == 0, 1.0, np.abs(self.x))
        self.first = relative * self.unit
        if self.is_given:
            self.unit, self.first = np.full(len(points), step / FIRST_STEP), np.full(len(points), step)

    def rung(self, active: np.ndarray, step: np.ndarray) -> _Rung:
        """Differences of the active points (bool (m,)) at a step for each; NaN elsewhere, and for infinite values."""
        shape = self.centre.shape
        result = _Rung(np.full(shape[0], np.nan), *(np.full(shape, np.nan) for _ in range(3)))
        index = np.flatnonzero(active)
        x = self.x[index]
        h = (np.abs(x) + step[index]) - np.abs(x)  # x + h and x - h are exact
        sides = []
        for sign in (1.0, -1.0):
            points = self.points[index].copy()
            points[:, self.j] = x + sign * h
            values = self.function(points, self.rows[index])
            sides.append(np.where(np.isfinite(values), values, np.nan))
        above, below = sides
        centre = self.centre[index]
        result.step[index] = h
        result.odd[index] = (above - below) / (2 * h[:, None])
        result.even[index] = (above - centre) / 2 + (below - centre) / 2
        result.size[index] = np.maximum(np.abs(centre), np.maximum(np.abs(above), np.abs(below)))
        return result


def _central(line: _Line) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differences D(h), whose error is estimated from those at a second step and from what is not smooth."""
    everywhere, ratio = np.ones(len(line.x), dtype=bool), FINE_RATIOS[0]
    fine, coarse = line.rung(everywhere, line.first), line.rung(everywhere, ratio * line.first)
    not_smooth = np.abs(fine.even - coarse.even / ratio**2)  # of the order of h**4, if the function is smooth
    rounding = ROUNDING * (EPS * fine.size + not_smooth) / fine.step[:, None]
    error = np.abs(coarse.odd - fine.odd) / (ratio**2 - 1) + rounding
    return fine.odd, error, _is_trusted(fine.odd, error, fine, line.unit)


@dataclass(frozen=True)
class _Scales:
    """Coarse differences, and the longest step of them at which each component is smooth.

    Parameters
    ----------
    ladder : differences by level, where 0 is the first step and each level divides it by COARSE_RATIO
    level : int ndarray (m, n)
    noise : ndarray (m, n), errors of the values, 0 where they are not known to be more than rounding
    exact : bool ndarray (m, n), whether the function was found to be smooth down to rounding
    """

    ladder: dict[int, _Rung]
    level: np.ndarray
    noise: np.ndarray
    exact: np.ndarray


def _extrapolated(line: _Line) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differences extrapolated to step 0, from the longest steps at which the function is smooth."""
    shape = line.centre.shape
    derivative, error, trusted = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    scales = _given_scale(line) if line.is_given else _scales(line)
    ladder, level = scales.ladder, scales.level.copy()
    for k in range(int(level.min()), int(level.max()) + 3):
        chosen = level == k
        active = chosen.any(axis=1)
        if not active.any():
            continue
        coarse = [_at_level(line, ladder, i, active) for i in (k, k + 1, k + 2)]
        fine = [line.rung(active, coarse[0].step / ratio) for ratio in FINE_RATIOS]
        table = [rung.at(active) for rung in (coarse[0], *fine, *coarse[1:])]
        chosen, noise = chosen[active], scales.noise[active]
        best, bar, rounding = _best(table, noise)
        bar = _checked(best, bar, table[-2], table[-1], noise)
        reliable = _is_trusted(best, bar, table[0], line.unit[active], scales.exact[active])
        better = chosen & ~(np.isnan(bar) | (bar >= error[active]))
        for whole, part in ((derivative, best), (error, bar), (trusted, reliable)):
            whole[active] = np.where(better, part, whole[active])
        # Steps that are too long for a good extrapolation are followed by shorter ones, twice if it is bad.
        good = (bar <= 4 * rounding) | (bar <= CONVERGED * np.abs(best)) | line.is_given
        shorter = chosen & np.where(scales.level[active] == k, ~good, ~reliable & (scales.level[active] == k - 1))
        level[active] = np.where(shorter, k + 1, level[active])
    return derivative, error, trusted


def _at_level(line: _Line, ladder: dict[int, _Rung], k: int, active: np.ndarray) -> _Rung:
    """Differences at a level, at more points than before if need be."""
    missing = active & np.isnan(ladder[k].step) if k in ladder else active
    if missing.any():
        more = line.rung(missing, line.first / COARSE_RATIO**k)
        ladder[k] = more.over(ladder[k], missing) if k in ladder else more
    return ladder[k]


def _given_scale(line: _Line) -> _Scales:
    everywhere, shape = np.ones(len(line.x), dtype=bool), line.centre.shape
    ladder = {0: line.rung(everywhere, line.first)}
    return _Scales(ladder, np.zeros(shape, dtype=int), np.zeros(shape), np.zeros(shape, dtype=bool))


def _scales(line: _Line) -> _Scales:
    """Find the scales of a function.

    Steps are too long for a function whose differences do not fall as they become shorter. This is decided from the
    longest step on, so that the shortest, at which rounding is all that there is, are not reached without need.
    """
    shape = line.centre.shape
    ladder: dict[int, _Rung] = {}
    level, noise = np.full(shape, N_COARSE - 3), np.zeros(shape)
    unknown = np.ones(shape, dtype=bool)
    for k in range(N_COARSE):
        ladder[k] = line.rung(unknown.any(axis=1), line.first / COARSE_RATIO**k)
        if k >= 2:
            found = unknown & _is_smooth(ladder[k - 2], ladder[k - 1], ladder[k])
            found &= ~(_is_blank_by_rounding(ladder, k - 1) | _is_blank_by_rounding(ladder, k))
            level[found] = k - 2
            noise[found] = np.abs(ladder[k].even[found])
            unknown &= ~found
            if not unknown.any():
                break
    exact = ~unknown
    if (level > 0).any():
        noise, exact = _allow_noise(ladder, level, noise, unknown)
    else:
        noise = np.zeros(shape)
    _lengthen(line, ladder, level)
    return _Scales(ladder, level, noise, exact)


def _is_blank_by_rounding(ladder: dict[int, _Rung], k: int) -> np.ndarray:
    """Where values do not change at all, although by the differences at longer steps they should; bool (m, n)."""
    blank, short = ladder[k].is_blank, ladder[k].step[:, None]
    expected = np.zeros(blank.shape)
    for rung in (ladder[i] for i in range(k)) if blank.any() else ():
        ratio = short / rung.step[:, None]
        expected = np.fmax(expected, np.abs(rung.odd) * short + np.abs(rung.even) * ratio**2)
    return np.asarray(blank & (expected > 2 * EPS * ladder[k].size))


def _allow_noise(
    ladder: dict[int, _Rung], level: np.ndarray, noise: np.ndarray, unknown: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lower levels to the longest steps at which the function is smooth but for errors of its values.

    How large these errors are is told by even differences at steps so short that nothing else is left of them. Values
    that do not change at all over many steps are those of a function that is constant there, or rounded to few digits.

    Returns
    -------
    noise, exact : ndarrays (m, n), as in _Scales
    """
    flat = [ladder[k].is_blank & ladder[k + 1].is_blank & ladder[k + 2].is_blank for k in range(len(ladder) - 2)]
    is_flat = unknown & np.any(flat, axis=0)
    noise = np.where(is_flat, 2 * _smallest_change(ladder), np.where(unknown, _noise(ladder), noise))
    is_noisy = np.zeros_like(unknown)
    for k in range(len(ladder) - 2):
        found = ~is_noisy & (unknown | (k < level)) & _is_smooth(ladder[k], ladder[k + 1], ladder[k + 2], noise)
        found &= ~is_flat | (ladder[k].change > QUANTA * noise)
        level[found] = k
        is_noisy |= found
    constant = is_flat & ~is_noisy
    level[constant] = np.argmax(flat, axis=0)[constant]
    constant &= noise > ROUNDED * np.abs(ladder[0].size)
    exact = ~is_noisy & (~unknown | constant)
    return np.where(exact, 0.0, noise), exact


def _lengthen(line: _Line, ladder: dict[int, _Rung], level: np.ndarray) -> None:
    """Add longer steps, at lower levels, where a variable is small and rounding takes too much of its short steps."""
    k = 0
    while True:
        known = ladder[k]
        noisy = EPS * known.size / known.step[:, None] > NOISY * np.abs(known.odd)
        active = (noisy & (level == k)).any(axis=1) & (known.step * COARSE_RATIO <= FIRST_STEP)
        if not active.any():
            return
        k -= 1
        ladder[k] = line.rung(active, line.first * COARSE_RATIO**-k)
        level[(level == k + 1) & _is_smooth(ladder[k], ladder[k + 1], ladder[k + 2])] = k


def _is_smooth(long: _Rung, middle: _Rung, short: _Rung, noise: np.ndarray | float = 0.0) -> np.ndarray:
    """Whether differences fall from step to step as those of a smooth function do, down to rounding; bool (m, n)."""
    rounding = LENIENT * EPS * middle.size + NOISE * noise
    odd = np.abs(middle.odd - short.odd) <= FALL * np.abs(long.odd - middle.odd) + rounding / short.step[:, None]
    even = np.abs(middle.even) <= FALL * np.abs(long.even) + rounding
    return odd & even & (np.abs(short.even) <= FALL * np.abs(middle.even) + rounding)


def _noise(ladder: dict[int, _Rung]) -> np.ndarray:
    """Error of the values: the largest even difference at the three shortest steps that have any."""
    noise = np.zeros(ladder[0].even.shape)
    seen = np.zeros(noise.shape, dtype=int)
    for k in sorted(ladder, reverse=True):
        even = np.nan_to_num(np.abs(ladder[k].even))
        noise = np.where(seen < 3, np.maximum(noise, even), noise)
        seen += even > 0
    return noise


def _smallest_change(ladder: dict[int, _Rung]) -> np.ndarray:
    """The change of the values at the shortest step at which there is one."""
    smallest = np.zeros(ladder[0].even.shape)
    for k in sorted(ladder, reverse=True):
        smallest = np.where(smallest > 0, smallest, np.nan_to_num(ladder[k].change))
    return smallest


def _best(table: Sequence[_Rung], noise: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The extrapolation with the least error bar, from differences at steps that become shorter.

    Neville's scheme in h**2. The bar of an entry is its larger distance from the two that it was made of, but no less
    than a thousandth of theirs, and what errors of the values do to it. These are at least rounding errors; the
    extrapolated even differences, which should be 0, show others. No entry is taken that has not three steps.

    Returns
    -------
    best, bar, rounding : ndarrays (m, n); the last is what the bar would be by rounding alone
    """
    n_rungs = len(table)
    odd, even = [rung.odd for rung in table], [rung.even for rung in table]
    weights = [1 / rung.step[:, None] for rung in table]
    smallest = [np.maximum(ROUNDING * EPS * rung.size, noise) / rung.step[:, None] for rung in table]
    bars = [np.zeros_like(noise) for _ in table]
    entries, residuals = [], [np.full(noise.shape, np.inf) for _ in table]
    for k in range(1, n_rungs):
        for s in range(n_rungs - k):
            a = 1 / ((table[s].step / table[s + k].step)[:, None] ** 2 - 1)
            newer = odd[s + 1] + a * (odd[s + 1] - odd[s])
            distance = np.maximum(np.abs(newer - odd[s]), np.abs(newer - odd[s + 1]))
            bars[s] = np.maximum(distance, GAIN * np.maximum(bars[s], bars[s + 1]))
            odd[s], even[s] = newer, even[s + 1] + a * (even[s + 1] - even[s])
            for terms in (weights, smallest):
                terms[s] = (1 + a) * terms[s + 1] + a * terms[s]
            if k >= 2:
                # What is left has mostly the error at the shortest step; the more steps, the less besides.
                residuals[s + k] = np.fmin(residuals[s + k], np.abs(even[s]))
                entries.append((odd[s], bars[s], smallest[s], weights[s]))
    seen = np.max([np.where(np.isfinite(r), r, 0.0) for r in residuals[-3:]], axis=0)
    best, least, rounding = np.full((3, *noise.shape), np.nan)
    for value, distance, own, weight in entries:
        bar = distance + np.maximum(own, NOISE * weight * seen)
        better = ~(np.isnan(bar) | (bar >= least))
        for whole, part in ((best, value), (least, bar), (rounding, own)):
            whole[better] = part[better]
    return best, least, rounding


def _checked(best: np.ndarray, bar: np.ndarray, middle: _Rung, short: _Rung, noise: np.ndarray) -> np.ndarray:
    """Error bar, wider where much shorter steps, extrapolated by themselves, say otherwise."""
    independent = short.odd + (short.odd - middle.odd) / (COARSE_RATIO**2 - 1)
    margin = (LENIENT * EPS * short.size + NOISE * noise) / short.step[:, None] + np.abs(independent - short.odd)
    distance = np.abs(best - independent)
    return np.where(distance > bar + margin, distance, bar)


def _is_trusted(
    derivative: np.ndarray, error: np.ndarray, rung: _Rung, unit: np.ndarray, exact: np.ndarray | bool = False
) -> np.ndarray:
    """Whether an error is small beside the derivative, the slope around the point, or what rounding leaves of a 0."""
    step = rung.step[:, None]
    slope = rung.change / step
    negligible = NEGLIGIBLE * rung.size / np.where(exact, step, unit[:, None])
    return np.asarray(error <= np.maximum(TRUSTED * np.maximum(np.abs(derivative), slope), negligible))
