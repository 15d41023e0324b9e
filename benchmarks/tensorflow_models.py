"""Effective draws per second of the same models by PyMC3 on Theano and by ``implicitops.sampling`` on TensorFlow.

PyMC3 runs as it does by default, with a diagonal mass matrix, and with a dense one, which is what ours adapts.

Every run has a process of its own. On Theano the first one fills an empty compile directory with a few draws, so that
the second finds all C code compiled, as a user does who runs a model again. Usage, for one model alone:
python benchmarks/tensorflow_models.py NAME
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import numpy as np
from measure import machine, publish, table

DRAWS, TUNE, CHAINS, CORES, SEED = 1000, 1000, 4, 2, 20
AIM, AIM_MODELS, MOST_ERRORS = 5.0, 6, 4.0
#: From here on chains disagree, and effective draws mean nothing.
MOST_R_HAT = 1.05

Result = dict[str, Any]


# -- one run, in a process of its own ---------------------------------------------------------------------------------


def run_on_theano(model: Any, case: Any, draws: int, tune: int, init: str = "auto") -> tuple[Any, float, float]:
    """Draws, seconds from the model to the trace, and those of sampling alone."""
    import arviz as az
    import pymc3 as pm

    begin = time.perf_counter()
    with model:
        trace = pm.sample(
            draws, tune=tune, chains=CHAINS, cores=CORES, init=init, random_seed=SEED,
            target_accept=case.target_accept, progressbar=False, compute_convergence_checks=False,
            return_inferencedata=False,
        )  # fmt: skip
    seconds = time.perf_counter() - begin
    return az.from_pymc3(trace, model=model, log_likelihood=False), seconds, float(trace.report.t_sampling)


def run_on_theano_dense(model: Any, case: Any, draws: int, tune: int) -> tuple[Any, float, float]:
    """The same with a dense mass matrix."""
    return run_on_theano(model, case, draws, tune, init="jitter+adapt_full")


def run_on_tensorflow(model: Any, case: Any, draws: int, tune: int) -> tuple[Any, float, float]:
    """The same of our sampler; importing TensorFlow is not counted, as importing Theano is not."""
    import tensorflow_probability  # noqa: F401

    from implicitops.sampling import sample

    begin = time.perf_counter()
    inference = sample(
        draws, tune, CHAINS, model=model, backend="tensorflow", random_seed=SEED, target_accept=case.target_accept,
        progressbar=False,
    )  # fmt: skip
    return inference, time.perf_counter() - begin, float(inference.posterior.attrs["sampling_time"])


def summary(inference: Any, names: list[str]) -> dict[str, list[float]]:
    """Mean, its Monte Carlo standard error and bulk effective draws of each number of each parameter."""
    import arviz as az

    rows = {}
    for name in names:
        values = inference.posterior[name].values
        flat = values.reshape(*values.shape[:2], -1)
        for k in range(flat.shape[-1]):
            draws = flat[..., k]
            label = f"{name}[{k}]" if flat.shape[-1] > 1 else name
            error, effective = az.mcse(draws, method="mean"), az.ess(draws, method="bulk")
            rows[label] = [float(draws.mean()), float(error), float(effective)]
    return rows


def largest_r_hat(inference: Any, names: list[str]) -> float:
    """Largest R-hat of the parameters: near 1 where the chains agree."""
    import arviz as az

    return max(float(az.rhat(inference.posterior[name])[name].max()) for name in names)


def parameters_of(model: Any) -> list[str]:
    """Names of the parameters as the model states them."""
    from pymc3.util import get_untransformed_name, is_transformed_name

    return [get_untransformed_name(v.name) if is_transformed_name(v.name) else v.name for v in model.free_RVs]


def one_run(name: str, backend: str, draws: int, tune: int, file: Path) -> None:
    """Sample a model and write what the parent process wants to know."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    from models import CASES

    case = CASES[name]
    run = {"theano": run_on_theano, "dense": run_on_theano_dense, "tensorflow": run_on_tensorflow}[backend]
    model = case.build()
    inference, seconds, sampling = run(model, case, draws, tune)
    found: Result = {"seconds": seconds, "sampling": sampling}
    if draws == DRAWS:
        if backend != "dense":
            _, found["repeated"], found["repeated sampling"] = run(model, case, draws, tune)
        names = parameters_of(model)
        found["parameters"] = summary(inference, names)
        found["r_hat"] = largest_r_hat(inference, names)
        found["diverging"] = int(inference.sample_stats["diverging"].sum())
    file.write_text(json.dumps(found))


# -- all runs ---------------------------------------------------------------------------------------------------------


def in_a_process(name: str, backend: str, folder: Path, draws: int = DRAWS, tune: int = TUNE) -> Result:
    """Result of :func:`one_run`, whose Theano compiles into ``folder``."""
    file = folder.with_suffix(".json")
    flags = f"base_compiledir={folder}"
    environment = {**os.environ, "THEANO_FLAGS": flags, "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    environment.pop("PYMC_SYMB_BACKEND", None)
    command = [sys.executable, __file__, name, backend, str(draws), str(tune), str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} on {backend} failed:\n{done.stdout}{done.stderr}")
    return json.loads(file.read_text())


def measured(name: str, folder: Path) -> dict[str, Result]:
    """Results of a model on Theano, twice, and on TensorFlow; Theano's first has its first compilation too."""
    theano_folder = folder / name
    shutil.copytree(folder / "installed", theano_folder)
    first = in_a_process(name, "theano", theano_folder, draws=2, tune=2)
    found = in_a_process(name, "theano", theano_folder)
    found["first"] = first["seconds"] + found["sampling"]
    others = {backend: in_a_process(name, backend, theano_folder) for backend in ("dense", "tensorflow")}
    return {"theano": found, **others}


def least_effective(result: Result) -> float:
    """Effective draws of the parameter that has fewest."""
    return min(effective for _, _, effective in result["parameters"].values())


def rate(result: Result) -> float:
    """Effective draws per second of sampling, tuning included."""
    return least_effective(result) / result["sampling"]


def agrees(result: Result) -> bool:
    """Whether the chains have found the same posterior."""
    return bool(result["r_hat"] < MOST_R_HAT)


def largest_difference(results: Mapping[str, Result]) -> tuple[float, str]:
    """Largest difference of two posterior means in Monte Carlo standard errors, and whose it is."""
    ours, theirs = results["tensorflow"]["parameters"], results["theano"]["parameters"]
    differences = {
        name: abs(mean - theirs[name][0]) / np.hypot(error, theirs[name][1]) for name, (mean, error, _) in ours.items()
    }
    name = max(differences, key=differences.__getitem__)
    return float(differences[name]), name


def compared(titles: Mapping[str, str], results: Mapping[str, Mapping[str, Result]]) -> str:
    """The three tables and whether the aims are met."""
    kinds = ("Theano", "Theano dense", "TensorFlow")
    speed = [["model"]]
    for quantity in ("draws/s", "ESS", "ESS/s"):
        speed[0] += [f"{quantity}: {kinds[0]}", *kinds[1:]]
    speed[0] += ["times Theano", "times Theano dense"]
    whole = [["model"]]
    for quantity in ("compile etc., s", "whole run, s"):
        whole[0] += [f"{quantity}: Theano, first", "again", "repeated", "TensorFlow", "repeated"]
    whole[0].append("TensorFlow is faster than first, again; repeated")
    right = [["model", "largest difference", "of", "divergences: Theano", "TensorFlow", "R-hat: Theano", "TensorFlow"]]
    n_fast, n_right = [0, 0], 0
    for name, found in results.items():
        theano, dense, tensorflow = (found[kind] for kind in ("theano", "dense", "tensorflow"))
        both, three = (theano, tensorflow), (theano, dense, tensorflow)
        ratios = [rate(tensorflow) / rate(r) if agrees(r) and agrees(tensorflow) else None for r in (theano, dense)]
        n_fast = [n + (ratio is not None and ratio >= AIM) for n, ratio in zip(n_fast, ratios)]
        speed.append([titles[name], *(f"{CHAINS * DRAWS / r['sampling']:.0f}" for r in three)])
        speed[-1] += [f"{least_effective(r):.0f}" for r in three]
        speed[-1] += [f"{rate(r):.0f}" if agrees(r) else "chains disagree" for r in three]
        speed[-1] += ["" if ratio is None else f"{ratio:.1f}" + " (loss)" * (ratio < 1) for ratio in ratios]
        wholes = [theano["first"], theano["seconds"], theano["repeated"], tensorflow["seconds"], tensorflow["repeated"]]
        samplings = [theano["sampling"], theano["sampling"], theano["repeated sampling"]]
        samplings += [tensorflow["sampling"], tensorflow["repeated sampling"]]
        gains = [wholes[0] / wholes[3], wholes[1] / wholes[3], wholes[2] / wholes[4]]
        first, again, repeated = (f"{gain:.1f} times" + " (loss)" * (gain < 1) for gain in gains)
        told = f"{first}, {again}; {repeated}"
        whole.append([titles[name], *(f"{w - s:.1f}" for w, s in zip(wholes, samplings))])
        whole[-1] += [f"{w:.1f}" for w in wholes] + [told]
        difference, where = largest_difference(found)
        n_right += difference < MOST_ERRORS
        right.append([titles[name], f"{difference:.1f}", where, *(str(r["diverging"]) for r in both)])
        right[-1] += [f"{r['r_hat']:.3f}" for r in both]
    return "\n".join(
        [
            table(f"NUTS, {CHAINS} chains of {TUNE} tuning steps and {DRAWS} draws; seconds are those of both", speed),
            f"aim, {AIM:g} times PyMC3's default on {AIM_MODELS} models: {n_fast[0]} of {len(results)}; "
            f"{AIM:g} times PyMC3's dense: {n_fast[1]}\n",
            table(
                "The whole run, from a model to its draws; first: with an empty compile directory, again: in a new "
                "process, repeated: in the same process",
                whole,
            ),
            table("Posterior means, differences in Monte Carlo standard errors", right),
            f"aim, less than {MOST_ERRORS:g}: {n_right} of {len(results)} models\n",
        ]
    )


def main(names: list[str] | None = None) -> None:
    """Run and publish; with names only those models, printed and not saved."""
    from models import CASES

    results = {}
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        # What Theano compiles once for an installation is no model's cost.
        flags = f"base_compiledir={folder / 'installed'}"
        environment = {**os.environ, "THEANO_FLAGS": flags}
        code = "import implicitops, pymc3, theano; x = theano.tensor.dscalar(); theano.function([x], x + 1)(1.0)"
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        for name in names or CASES:
            print(f"{name} ...", file=sys.stderr, flush=True)
            results[name] = measured(name, folder)
    installed = {package.lower() for package in packages_distributions().get("tensorflow", ())}
    packages = [*sorted(installed & {"tensorflow", "tensorflow-cpu"}), "tensorflow-probability", "arviz"]
    heading = ", ".join([machine(), *(f"{package} {version(package)}" for package in packages)])
    heading += f"; {os.cpu_count()} cores; Theano: {CORES} processes at a time, TensorFlow: one"
    heading += " process, TF_NUM_INTRAOP_THREADS=1"
    text = f"{heading}\n\n{compared({name: CASES[name].title for name in results}, results)}"
    if names:
        print(text)
    else:
        publish("sampling", text)


if __name__ == "__main__":
    if len(sys.argv) == 6:
        one_run(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
    else:
        main(sys.argv[1:])
