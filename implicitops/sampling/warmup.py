"""Schedule of a warm-up, and the mass matrix from its draws. No kernel and no framework lives here.

The schedule is Stan's (Stan Reference Manual, "MCMC Sampling", automatic parameter tuning): a first window for the
step size alone, slow windows that double in length and end with a new mass matrix, and a last one for the step size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Lengths of the first window, the first slow one and the last one, where there is room for them.
FIRST, SLOW, LAST = 75, 25, 50


@dataclass(frozen=True)
class Window:
    """Steps of a warm-up with one mass matrix.

    Parameters
    ----------
    length : int
    is_slow : bool, whether its draws give the next mass matrix
    """

    length: int
    is_slow: bool


def windows(tune: int) -> tuple[Window, ...]:
    """Windows of a warm-up.

    Parameters
    ----------
    tune : int, steps altogether

    Returns
    -------
    tuple of Window, whose lengths add up to ``tune``; below 20 steps only the step size is adapted

    Examples
    --------
    >>> [window.length for window in windows(1000)]
    [75, 25, 50, 100, 200, 500, 50]
    """
    if tune < 20:
        return (Window(tune, False),) if tune else ()
    first, slow, last = FIRST, SLOW, LAST
    if first + slow + last > tune:
        first, last = int(0.15 * tune), int(0.1 * tune)
        slow = tune - first - last
    lengths, left = [], tune - first - last
    while left:
        # A window that would leave too little for the next one, twice as long, takes everything.
        length = slow if left >= 3 * slow else left
        lengths.append(length)
        left -= length
        slow *= 2
    return (Window(first, False), *(Window(length, True) for length in lengths), Window(last, False))


def posterior_variance(draws: np.ndarray) -> np.ndarray:
    """Variance of each variable within the chains, pulled towards 1e-3 as Stan does while there are few draws.

    Parameters
    ----------
    draws : ndarray (draws, chains, size)

    Returns
    -------
    ndarray (size,), positive and finite
    """
    n_draws, n_chains, _ = draws.shape
    n = n_draws * n_chains
    within = ((draws - draws.mean(axis=0)) ** 2).sum(axis=(0, 1)) / max(n - n_chains, 1)
    return np.asarray((n * within + 5 * 1e-3) / (n + 5))
