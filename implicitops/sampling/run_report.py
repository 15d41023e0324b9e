"""What a sampler did, in a few lines of the log, and as attributes of its draws."""

from __future__ import annotations

import logging
import platform
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import arviz as az
import numpy as np

from implicitops.sampling.settings import Settings

logger = logging.getLogger("implicitops")

#: From these on the chains have not mixed: Vehtari, Gelman, Simpson, Carpenter & Buerkner (2021), "Rank-normalization,
#: folding, and localization: an improved R-hat", Bayesian Analysis 16, 667-718.
MOST_R_HAT, LEAST_EFFECTIVE_DRAWS_PER_CHAIN = 1.01, 100


def show_log() -> None:
    """Let the report be seen where nobody has set up logging, as PyMC3 does with its own."""
    if not logging.root.handlers and not logger.handlers:
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)


def report(inference: az.InferenceData) -> None:
    """Log what the sampler did: one line of facts, and one for each thing to worry about.

    Parameters
    ----------
    inference : arviz.InferenceData, with the attributes of :func:`attributes`
    """
    facts, worries = facts_of(inference), worries_of(inference)
    logger.info(facts)
    for worry in worries:
        logger.warning(worry)


def facts_of(inference: az.InferenceData) -> str:
    """One line: sampler, chains and draws, divergences, seconds."""
    posterior, statistics = inference["posterior"], inference["sample_stats"]
    about = posterior.attrs
    line = (
        f"{about['sampler']} on {about['backend']}: {posterior.sizes['chain']} chains of {about['tuning_steps']} "
        f"tuning steps and {posterior.sizes['draw']} draws"
    )
    if "diverging" in statistics:
        line += f", {int(statistics['diverging'].sum())} divergences"
    if "tree_depth" in statistics:
        line += f", deepest tree {int(statistics['tree_depth'].max())}"
    compilation = about.get("compile_time")
    before = f" after {compilation:.1f} s of compilation" if compilation is not None else ""
    return f"{line}, in {about['sampling_time']:.1f} s{before}."


def worries_of(inference: az.InferenceData) -> list[str]:
    """What speaks against using the draws, each with what to do about it."""
    posterior, statistics = inference["posterior"], inference["sample_stats"]
    about, found = posterior.attrs, []
    n_chains, n_draws = posterior.sizes["chain"], posterior.sizes["draw"]
    if about["was_interrupted"]:
        found.append(f"Sampling was interrupted: there are {n_draws} draws of each chain.")
    n_diverging = int(statistics["diverging"].sum()) if "diverging" in statistics else 0
    if n_diverging:
        found.append(
            f"{n_diverging} of {n_chains * n_draws} draws ended in a divergence, near which the posterior may be "
            "missed. Raise target_accept, or reparametrise."
        )
    if "reached_max_treedepth" in statistics:
        n_deep = int(statistics["reached_max_treedepth"].sum())
        if n_deep > 0.05 * n_chains * n_draws:
            found.append(
                f"{n_deep} of {n_chains * n_draws} draws reached max_treedepth: the chains move slowly. Raise "
                "max_treedepth, or rescale or reparametrise."
            )
    if n_draws >= 100:
        found += _of_mixing(posterior, n_chains)
    return found


def _of_mixing(posterior: Any, n_chains: int) -> list[str]:
    found = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of Deterministics that are constant
        if n_chains > 1:
            name, value = _extreme(az.rhat(posterior), np.nanmax)
            if value > MOST_R_HAT:
                found.append(f"R-hat is {value:.3f} for {name}, above {MOST_R_HAT}: the chains disagree. Draw more.")
        name, value = _extreme(az.ess(posterior, method="bulk"), np.nanmin)
        least = LEAST_EFFECTIVE_DRAWS_PER_CHAIN * n_chains
        if value < least:
            found.append(f"There are {value:.0f} effective draws of {name}, less than {least}. Draw more.")
    return found


def _extreme(dataset: Any, which: Any) -> tuple[str, float]:
    values = {name: float(which(array.values)) for name, array in dataset.items() if not np.isnan(array.values).all()}
    if not values:
        return "", float("nan")
    name = next(n for n, v in values.items() if v == which(list(values.values())))
    return str(name), values[name]


def attributes(settings: Settings, backend: str, **more: Any) -> dict[str, Any]:
    """What stands in the attributes of posterior and sample_stats: the sampler and all versions."""
    packages = ["implicitops", "pymc3", "theano-pymc", "numpy", "arviz"]
    packages += ["tensorflow-probability"] * (backend == "tensorflow")
    return {
        "sampler": {"nuts": "NUTS", "hmc": "HMC", "metropolis": "Metropolis"}[settings.step],
        "backend": backend,
        "tuning_steps": settings.tune,
        "random_seed": _as_attribute(settings.entropy),
        "python_version": platform.python_version(),
        **{f"{name.replace('-', '_')}_version": _version(name) for name in packages},
        **({"tensorflow_version": sys.modules["tensorflow"].__version__} if backend == "tensorflow" else {}),
        **more,
    }


def _as_attribute(entropy: int | list[int] | None) -> Any:
    """A seed as files keep it: as text where it has more than the 64 bits of their integers."""
    numbers = entropy if isinstance(entropy, list) else [entropy or 0]
    is_text = entropy is None or max(numbers) > np.iinfo(np.int64).max
    return str(entropy).lower() if is_text else entropy


def add_attributes(inference: az.InferenceData, found: dict[str, Any]) -> None:
    """Write attributes into the groups of draws and statistics."""
    for group in ("posterior", "sample_stats", "warmup_posterior", "warmup_sample_stats"):
        if hasattr(inference, group):
            inference[group].attrs.update(found)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
