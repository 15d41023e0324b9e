"""Draws of TensorFlow's chains as ArviZ InferenceData, with the names, dims and data of the PyMC3 model."""

from __future__ import annotations

import warnings
from typing import Any

import arviz as az
import numpy as np

from implicitops.sampling.compiled_model import CompiledModel
from implicitops.sampling.settings import Sampled, Settings


def inference_data(compiled: CompiledModel, sampled: Sampled, settings: Settings) -> az.InferenceData:
    """Groups of a run: posterior, sample_stats, data, and what was asked for besides.

    Parameters
    ----------
    compiled : CompiledModel
    sampled : Sampled
    settings : Settings

    Returns
    -------
    arviz.InferenceData; the posterior has the variables as the model states them, and its Deterministics
    """
    model = compiled.model
    dims = {name: list(names) for name, names in model.RV_dims.items()}
    coords = {name: values for name, values in model.coords.items() if values is not None}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "More chains", UserWarning)  # a trace may be that short
        groups: dict[str, Any] = {
            "posterior": posterior_values(compiled, sampled.vectors),
            "sample_stats": sampled.statistics,
        }
        if settings.keep_warmup and sampled.warmup_vectors.shape[1]:
            groups["warmup_posterior"] = posterior_values(compiled, sampled.warmup_vectors)
            groups["warmup_sample_stats"] = sampled.warmup_statistics
        if settings.log_likelihood:
            groups["log_likelihood"] = log_likelihood_values(compiled, sampled.vectors)
        found = az.from_dict(**groups, coords=coords, dims=dims, save_warmup=settings.keep_warmup)
        # ArviZ reads the observations of a PyMC3 model only together with draws of some kind; these are left out again.
        data = az.from_pymc3(posterior_predictive={"none": np.zeros((1, 1))}, model=model)
        constants = {name: v.get_value() for name, v in model.named_vars.items() if hasattr(v, "get_value")}
        if constants:
            data.extend(az.from_dict(constant_data=constants, coords=coords, dims=dims))
    for group in ("observed_data", "constant_data"):
        if hasattr(data, group):
            found.add_groups({group: data[group]})
    return found


def posterior_values(compiled: CompiledModel, vectors: np.ndarray) -> dict[str, np.ndarray]:
    """The model's variables, transformed back, and its Deterministics at all draws.

    Parameters
    ----------
    compiled : CompiledModel
    vectors : ndarray (chains, draws, size)

    Returns
    -------
    dict from each name to an ndarray (chains, draws, ...), in PyMC3's order
    """
    import pymc3 as pm

    model, free_values = compiled.model, compiled.free.to_point(vectors)
    wanted = pm.util.get_default_varnames([v.name for v in model.unobserved_RVs], include_transformed=False)
    followers = {name: model[name] for name in wanted if name not in free_values}
    found = compiled.other_variables(followers, vectors)
    return {name: free_values[name] if name in free_values else found[name] for name in wanted}


def log_likelihood_values(compiled: CompiledModel, vectors: np.ndarray) -> dict[str, np.ndarray]:
    """Log density of each observation at all draws; NaN where the observation is missing."""
    model = compiled.model
    with model:
        terms = {f"log density of {v.name}": v.logp_elemwiset for v in model.observed_RVs}
    values = compiled.other_variables(terms, vectors)
    found = dict(zip((v.name for v in model.observed_RVs), values.values()))
    for variable in model.observed_RVs:
        if getattr(variable, "missing_values", None) is not None:
            mask = np.ma.getmaskarray(variable.observations)
            found[variable.name] = np.where(mask, np.nan, found[variable.name])
    return found
