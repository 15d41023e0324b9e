"""``sample``: one call for both backends, from a PyMC3 model to InferenceData and a report."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from implicitops.errors import SolveWarning
from implicitops.sampling.choice_of_backend import chosen_backend
from implicitops.sampling.failure_report import failure_report
from implicitops.sampling.free_variables import free_variables_of, model_in_context
from implicitops.sampling.settings import Settings

if TYPE_CHECKING:
    import arviz as az


def sample(
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    step: str = "nuts",
    backend: str | None = None,
    model: Any = None,
    random_seed: int | Sequence[int] | None = None,
    progressbar: bool = True,
    *,
    target_accept: float = 0.8,
    max_treedepth: int = 10,
    path_length: float = 2.0,
    mass_matrix: str | None = None,
    chain_method: str | None = None,
    initvals: Mapping[str, Any] | None = None,
    keep_warmup: bool = False,
    log_likelihood: bool = False,
    cores: int | None = None,
    mp_ctx: str | None = None,
) -> az.InferenceData:
    """Draw from the posterior of a PyMC3 model, with PyMC3's sampler or with TensorFlow Probability's.

    On Theano this is ``pm.sample`` with the step method asked for. On TensorFlow the model's graph is translated, and
    the chains run in code that XLA compiles, with Stan's warm-up windows for step size and mass matrix. What is
    compiled stays with the model for the next call. What the sampler did is logged, and failed solves are summed up in
    one warning.

    Parameters
    ----------
    draws, tune, chains : int, draws and tuning steps of each chain
    step : "nuts", "hmc" or "metropolis"
    backend : "theano" or "tensorflow"; by default what ``PYMC_SYMB_BACKEND`` says, then Theano
    model : pymc3.Model; by default that of the ``with`` statement
    random_seed : int or sequence of int; equal seeds give equal draws on the same backend and machine
    progressbar : bool
    target_accept : float, mean acceptance probability that NUTS and HMC adapt their step size to
    max_treedepth : int, of NUTS
    path_length : float, of HMC: step size times number of steps
    mass_matrix : "diagonal" or "dense", of NUTS and HMC. By default diagonal on Theano, as in PyMC3; on TensorFlow
        dense up to 50 variables, which takes fewer steps where variables are correlated
    chain_method : "parallel" or "vectorized", of TensorFlow: each chain in calls of its own, on threads, or all in
        step in one call. By default parallel if there are two threads or more, at most four chains for each, and no
        External that is called in this process, since it may not be thread-safe
    initvals : mapping from names to values around which the chains start, instead of the model's test values
    keep_warmup : bool, whether the tuning steps are returned too, as groups of their own
    log_likelihood : bool, whether to compute the log likelihood of each observation, for ``az.loo`` and ``az.compare``
    cores : int, how many chains run at a time: in processes on Theano, on threads on TensorFlow
    mp_ctx : on Theano, how processes are started: "fork" or "spawn"

    Returns
    -------
    arviz.InferenceData
        posterior (free variables as the model states them, and Deterministics), sample_stats, observed_data and
        constant_data, with sampler, versions and seconds as attributes. After Ctrl-C: what was drawn until then

    Raises
    ------
    ArgumentError : no model, no free variable, discrete variables with NUTS or HMC, an unknown backend or option
    BackendError : the backend isn't installed
    TranslationError : an Op of the model has no translation to TensorFlow
    InitialEnergyError : the log density isn't finite where a chain should start; it says of which variable

    Warns
    -----
    SolveWarning : solves failed, which cuts the posterior off there

    References
    ----------
    Hoffman & Gelman (2014), "The No-U-Turn Sampler", Journal of Machine Learning Research 15, 1593-1623.

    Examples
    --------
    >>> import pymc3 as pm
    >>> from implicitops.sampling import sample
    >>> with pm.Model():
    ...     x = pm.Normal("x", 0, 1)
    ...     inference = sample(200, tune=200, chains=2, backend="tensorflow", random_seed=1, progressbar=False)
    >>> inference.posterior["x"].shape
    (2, 200)
    """
    backend = chosen_backend(backend)
    model = model_in_context(model)
    settings = Settings(
        draws=draws,
        tune=tune,
        chains=chains,
        step=step,
        random_seed=random_seed,
        progressbar=progressbar,
        target_accept=target_accept,
        max_treedepth=max_treedepth,
        path_length=path_length,
        mass_matrix=mass_matrix,
        chain_method=chain_method,
        initvals=initvals,
        keep_warmup=keep_warmup,
        log_likelihood=log_likelihood,
        cores=cores,
        mp_ctx=mp_ctx,
    )
    free = free_variables_of(model)
    # Where PyMC3 is not installed, the errors above have said so.
    from implicitops.sampling import run_report

    if progressbar:
        run_report.show_log()
    with failure_report(warn=False) as failed:
        if backend == "theano":
            from implicitops.sampling.theano_sampler import sample_on_theano

            inference, about = sample_on_theano(model, settings)
        else:
            from implicitops.sampling.compiled_model import compiled_model
            from implicitops.sampling.inference_data import inference_data
            from implicitops.sampling.tensorflow_sampler import check_continuous, sample_on_tensorflow

            check_continuous(model)
            compiled = compiled_model(model, free)
            sampled = sample_on_tensorflow(compiled, settings)
            inference = inference_data(compiled, sampled, settings)
            about = {
                "compile_time": sampled.compile_seconds,
                "sampling_time": sampled.sampling_seconds,
                "was_interrupted": sampled.was_interrupted,
                **sampled.attributes,
            }
    about["failed_solves"] = failed.count
    about["was_interrupted"] = int(about["was_interrupted"])  # netCDF has no bool
    run_report.add_attributes(inference, run_report.attributes(settings, backend, **about))
    run_report.report(inference)
    if failed.failures:
        warnings.warn(str(failed), SolveWarning, stacklevel=2)
    return inference
