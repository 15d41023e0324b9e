"""Schedule of a warm-up, and the mass matrix from its draws. No kernel and no framework lives here.

The schedule is Stan's (Stan Reference Manual, "MCMC Sampling", automatic parameter tuning): a first window for the
step size alone, slow windows that double in length and end with a new mass matrix, and a last one for the step size.
"""

from __future__ import annotations

from dataclasses import dataclass

import arviz as az
import numpy as np

#: Draws for each variable from which on their correlations are believed.
DRAWS_PER_VARIABLE = 10

#: Largest R-hat of chains that agree well enough for their covariances to mean something; the draws themselves are
#: judged by run_report.py. Gelman & Rubin (1992), "Inference from iterative simulation using multiple sequences",
#: Statistical Science 7, 457-472; each chain counts as two.
LOOSE_R_HAT = 1.1

#: Least draws of each half of a chain of which R-hat says something.
LEAST_DRAWS = 10

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


def posterior_covariance(draws: np.ndarray) -> np.ndarray:
    """Covariance within the chains; diagonal where the draws are too few to tell more, or the chains disagree.

    Chains that have not found the same place give correlations of their ways there, and steps that suit these would
    keep a chain from ever leaving a mode of little weight. The diagonal is :func:`posterior_variance`; the correlations
    are pulled towards zero as much as Stan pulls covariances, so that the matrix is positive definite whatever the
    scales of the variables.

    Parameters
    ----------
    draws : ndarray (draws, chains, size)

    Returns
    -------
    ndarray (size, size), positive definite
    """
    for part in (draws, draws[len(draws) // 2 :]):  # a chain may have come late
        if part[..., 0].size >= DRAWS_PER_VARIABLE * part.shape[-1] and _agree(part):
            return _with_correlations(part)
    return np.diag(posterior_variance(draws))


def _with_correlations(draws: np.ndarray) -> np.ndarray:
    variance = posterior_variance(draws)
    deviations = (draws - draws.mean(axis=0)).reshape(-1, len(variance))
    standard = deviations / np.sqrt((deviations**2).sum(axis=0))
    n = len(deviations)
    correlation = n / (n + 5) * standard.T @ standard
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(correlation * np.sqrt(np.outer(variance, variance)))


def _agree(draws: np.ndarray) -> bool:
    """Whether every variable has moved, and the halves of all chains are alike in it."""
    half = len(draws) // 2
    if half < LEAST_DRAWS:
        return False
    halves = np.concatenate([draws[:half], draws[-half:]], axis=1)
    r_hat = az.rhat(az.convert_to_dataset(np.moveaxis(halves, 0, 1)), method="identity")["x"]
    return bool((r_hat < LOOSE_R_HAT).all())
