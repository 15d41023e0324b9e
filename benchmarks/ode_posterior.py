"""The lynx and hare posterior of examples/lynx_hare.py: one chain of 10 000 draws by PyMC3's NUTS.

Published times for 10 000 draws of one chain from a posterior of the same equations, with simulated data, on their
authors' machine: Stan 28 s, DynamicHMC.jl 18 s (SciMLBenchmarks, Bayesian inference of the Lotka-Volterra equations).
They are quoted, not measured here.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from measure import interleaved, machine, publish, table

DRAWS, TUNE = 10_000, 1_000
QUOTED = {"Stan": 28.0, "DynamicHMC.jl": 18.0}


def timed_chain(model: Any) -> tuple[list[list[str]], float, int]:
    """Table rows with seconds and gradients of tuning and of draws, the seconds of both, and divergences."""
    import pymc3 as pm

    marks = [time.perf_counter()]

    def note(trace: Any, draw: Any) -> None:
        # The callback comes after each draw: those of the tuning phase are marked, and the last one ends it.
        if draw.tuning:
            marks[-1] = time.perf_counter()

    with model:
        step = pm.NUTS()
        begin = time.perf_counter()
        trace = pm.sample(
            DRAWS, tune=TUNE, chains=1, cores=1, step=step, random_seed=1, progressbar=False, callback=note,
            discard_tuned_samples=False, compute_convergence_checks=False, return_inferencedata=False,
        )  # fmt: skip
        end = time.perf_counter()
    gradients = np.asarray(trace.get_sampler_stats("tree_size"))
    parts = {"tuning": (TUNE, marks[-1] - begin, gradients[:TUNE]), "draws": (DRAWS, end - marks[-1], gradients[TUNE:])}
    rows = [
        [name, str(count), f"{seconds:.1f}", f"{sizes.sum():.0f}", f"{1e6 * seconds / sizes.sum():.0f}"]
        for name, (count, seconds, sizes) in parts.items()
    ]
    return rows, end - begin, int(trace.get_sampler_stats("diverging")[TUNE:].sum())


def main() -> None:
    """Run and publish."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
    example = import_module("lynx_hare")
    model = example.model()
    function = model.logp_dlogp_function()
    function.set_extra_values({})
    point = function.dict_to_array(model.test_point)
    evaluation = interleaved({"": lambda: function(point)}, seconds=2.0)[""]
    rows, total, divergences = timed_chain(model)
    heading = ["", "number", "seconds", "gradients", "microseconds per gradient"]
    text = table("Lynxes and hares, PyMC3's NUTS, one chain", [heading, *rows])
    text += f"divergences: {divergences}; log density and gradient alone: {1e6 * evaluation:.0f} microseconds\n"
    text += "".join(
        f"{name}, other data and machine, {seconds:g} s as published: {seconds / total:.1f} times our {total:.1f} s\n"
        for name, seconds in QUOTED.items()
    )
    publish("ode_posterior", f"{machine()}\n\n{text}")


if __name__ == "__main__":
    main()
