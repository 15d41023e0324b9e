"""Where the chains start: the test point with a jitter of its own for each, where the density is finite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from implicitops.errors import ArgumentError, InitialEnergyError
from implicitops.problems.validation import did_you_mean

#: How often a chain's jitter is drawn again before its start is an error; PyMC3 does the same.
RETRIES = 10

Point = dict[str, np.ndarray]


def initial_points(
    model: Any,
    n_chains: int,
    seed: int,
    log_densities: Callable[[Sequence[Point]], np.ndarray],
    initvals: Mapping[str, Any] | None = None,
) -> list[Point]:
    """A start for each chain, uniform within 1 of the test point in the unconstrained space, as in PyMC3.

    Parameters
    ----------
    model : pymc3.Model
    n_chains : int
    seed : int
    log_densities : callable, log density at each of several points
    initvals : mapping from names, transformed or not, to values that replace those of the test point

    Returns
    -------
    list of dict from each free variable to its value; discrete ones have no jitter

    Raises
    ------
    InitialEnergyError : the density isn't finite, for a chain, at any of its points that were tried
    ArgumentError : a name in ``initvals`` is no free variable
    """
    centre = _centre(model, initvals or {})
    generator = np.random.default_rng(seed)
    points = [_jittered(centre, generator) for _ in range(n_chains)]
    for attempt in range(RETRIES + 1):
        values = np.asarray(log_densities(points))
        failed = np.flatnonzero(~np.isfinite(values))
        if not failed.size:
            return points
        if attempt < RETRIES:
            for chain in failed:
                points[chain] = _jittered(centre, generator)
    raise InitialEnergyError(_explanation(model, int(failed[0]), points[failed[0]]))


def _centre(model: Any, initvals: Mapping[str, Any]) -> Point:
    import pymc3 as pm

    names = [v.name for v in model.free_RVs]
    known = [*names, *(pm.util.get_untransformed_name(n) for n in names if pm.util.is_transformed_name(n))]
    for name in initvals:
        if name not in known:
            raise ArgumentError(
                f"initvals: {name!r} is no free variable of the model, which has {', '.join(known)}."
                f"{did_you_mean(str(name), known)}"
            )
    values = dict(initvals)
    pm.util.update_start_vals(values, model.test_point, model)
    return {v.name: np.asarray(values[v.name], dtype=v.dtype) for v in model.free_RVs}


def _jittered(centre: Point, generator: np.random.Generator) -> Point:
    moved = {}
    for name, value in centre.items():
        jitter = generator.uniform(-1, 1, value.shape)
        moved[name] = (value + jitter).astype(value.dtype) if np.issubdtype(value.dtype, np.floating) else value
    return moved


def _explanation(model: Any, chain: int, point: Point) -> str:
    terms = log_density_terms(model, point)
    bad = [f"{name} ({value})" for name, value in terms.items() if not np.isfinite(value)]
    where = ", ".join(f"{name}={np.array2string(value, threshold=6, precision=4)}" for name, value in point.items())
    return (
        f"the log density is not finite where chain {chain} should start, nor at {RETRIES} other points around it. "
        f"Not finite: the term of {', '.join(bad) or 'no single variable, only their sum'}. At {where}. Look for "
        "observed values outside the range of their distribution, for a solve that fails there "
        "(implicitops.failures()), or give a start with initvals=."
    )


def log_density_terms(model: Any, point: Point) -> dict[str, float]:
    """Log density of each random variable and each potential at a point; their sum is the model's.

    Parameters
    ----------
    model : pymc3.Model
    point : dict from each free variable to its value

    Returns
    -------
    dict from names to numbers
    """
    import theano
    import theano.tensor as tt

    with model:
        terms = {v.name: tt.sum(v.logpt) for v in model.basic_RVs}
        terms |= {v.name or f"potential {k}": tt.sum(v) for k, v in enumerate(model.potentials)}
    # Evaluated once, so that nothing is worth compiling.
    mode = theano.compile.mode.Mode(linker="py", optimizer=None)
    function = theano.function(model.free_RVs, list(terms.values()), mode=mode, on_unused_input="ignore")
    with np.errstate(all="ignore"):
        values = function(*(point[v.name] for v in model.free_RVs))
    return {name: float(value) for name, value in zip(terms, values)}
