"""PyMC3's own sampler with one of its step methods, whose failed solves are counted by stage."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from typing import Any

import arviz as az
import numpy as np
import pymc3 as pm
from pymc3.step_methods.hmc import quadpotential

from implicitops.backends.failures import set_stage, stage
from implicitops.errors import ArgumentError
from implicitops.sampling.free_variables import discrete_names
from implicitops.sampling.initial_points import Point, initial_points
from implicitops.sampling.settings import Settings


class _CountsByStage:
    """A step method that says when a chain begins to tune and when it begins to draw, in whatever process it runs."""

    def reset_tuning(self, *args: Any, **options: Any) -> Any:
        set_stage("tuning")
        return super().reset_tuning(*args, **options)  # type: ignore[misc]

    def stop_tuning(self, *args: Any, **options: Any) -> Any:
        set_stage("draws")
        return super().stop_tuning(*args, **options)  # type: ignore[misc]


class NUTS(_CountsByStage, pm.NUTS):
    """PyMC3's NUTS."""


class HamiltonianMC(_CountsByStage, pm.HamiltonianMC):
    """PyMC3's HamiltonianMC."""


class Metropolis(_CountsByStage, pm.Metropolis):
    """PyMC3's Metropolis."""


def sample_on_theano(model: Any, settings: Settings) -> tuple[az.InferenceData, dict[str, Any]]:
    """Sample a model with PyMC3.

    Parameters
    ----------
    model : pymc3.Model
    settings : Settings

    Returns
    -------
    arviz.InferenceData, and attributes: seconds of compilation and of sampling, whether it was interrupted

    Raises
    ------
    ArgumentError : NUTS or HMC of discrete free variables
    InitialEnergyError : a chain has nowhere to start
    """
    discrete = discrete_names(model)
    if discrete and settings.step != "metropolis":
        raise ArgumentError(
            f"step={settings.step!r} moves continuous variables only; {', '.join(discrete)} are discrete. Sum them out "
            "of the model, take step='metropolis', or call pm.sample, which mixes step methods."
        )
    started = time.perf_counter()
    seeds = [int(seed) for seed in settings.seeds]
    with model, stage("tuning"):
        step = _step(model, settings)
        points = initial_points(model, settings.chains, seeds[1], _density_at(model, step), settings.initvals)
        compiled = time.perf_counter()
        found = pm.sample(
            settings.draws,
            tune=settings.tune,
            chains=settings.chains,
            cores=settings.cores,
            mp_ctx=settings.mp_ctx,
            step=step,
            initvals=points,
            random_seed=seeds[2:],
            progressbar=settings.progressbar,
            discard_tuned_samples=not settings.keep_warmup,
            compute_convergence_checks=False,
            return_inferencedata=True,
            idata_kwargs={"log_likelihood": settings.log_likelihood},
        )
    _rename_acceptance(found)
    has_mass = settings.step != "metropolis"
    return found, {
        **({"mass_matrix": settings.mass_matrix or "diagonal"} if has_mass else {}),
        "compile_time": compiled - started,
        "sampling_time": float(found.posterior.attrs["sampling_time"]),
        "was_interrupted": found.posterior.sizes["draw"] < settings.draws,
    }


def _rename_acceptance(inference: az.InferenceData) -> None:
    """Give the acceptance probability of HMC and Metropolis ArviZ's name, one number for each draw."""
    for group in ("sample_stats", "warmup_sample_stats"):
        if hasattr(inference, group) and "accept" in inference[group]:
            rate = inference[group]["accept"].clip(max=1)  # PyMC3 keeps the ratio of the densities
            rate = rate.mean([dim for dim in rate.dims if dim not in ("chain", "draw")])
            setattr(inference, group, inference[group].drop_vars("accept").assign(acceptance_rate=rate))


def _step(model: Any, settings: Settings) -> Any:
    if settings.step == "metropolis":
        return Metropolis(model=model)
    options = {
        "model": model,
        "target_accept": settings.target_accept,
        "potential": _mass_matrix(model, is_dense=settings.mass_matrix == "dense"),
    }
    if settings.step == "nuts":
        return NUTS(max_treedepth=settings.max_treedepth, **options)
    return HamiltonianMC(path_length=settings.path_length, **options)


def _mass_matrix(model: Any, is_dense: bool) -> Any:
    """What "jitter+adapt_full" or "jitter+adapt_diag" of pm.sample takes."""
    centre = model.dict_to_array(model.test_point)
    if not is_dense:
        return quadpotential.QuadPotentialDiagAdapt(model.ndim, centre, np.ones_like(centre), 10)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "QuadPotentialFullAdapt is an experimental feature")
        return quadpotential.QuadPotentialFullAdapt(model.ndim, centre, np.eye(model.ndim), 10)


def _density_at(model: Any, step: Any) -> Any:
    """Log density at points, by the function that the step has compiled where it has one."""
    function = getattr(step, "_logp_dlogp_func", None)
    if function is None:
        compiled = model.fastfn(model.logpt)
        return lambda points: np.array([float(compiled(point)) for point in points])

    def log_densities(points: Sequence[Point]) -> np.ndarray:
        return np.array([float(function(function.dict_to_array(point))[0]) for point in points])

    function.set_extra_values({})
    return log_densities
