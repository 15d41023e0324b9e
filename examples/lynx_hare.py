"""Hares and lynxes of Hudson Bay, 1900-1920: the equations of Lotka and Volterra, fitted to pelts with NUTS.

Where the model and the posterior that it is compared with come from is said in hudson_bay.py, with the data; the same
with TensorFlow Probability is lynx_hare_tfp.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import implicitops as iop  # noqa: F401  # isort: skip  # before PyMC3, whose Theano it gives a BLAS

import arviz as az
import numpy as np
import pymc3 as pm
from hudson_bay import PELTS, POPULATIONS, REFERENCE, comparison, draw, report

from implicitops import sampling

FIGURE = Path(__file__).resolve().parent.parent / "output" / "lynx_hare.png"

__all__ = ["PELTS", "POPULATIONS", "REFERENCE", "comparison", "model", "sample"]


def model() -> pm.Model:
    """The case study's model. Pelts are in thousands, and their errors log-normal."""
    with pm.Model() as built:
        a, c = (pm.TruncatedNormal(name, mu=1, sigma=0.5, lower=0) for name in ("alpha", "gamma"))
        b, d = (pm.TruncatedNormal(name, mu=0.05, sigma=0.05, lower=0) for name in ("beta", "delta"))
        starts = [pm.Lognormal(name, np.log(10), 1) for name in ("hare0", "lynx0")]
        sigmas = [pm.Lognormal(name, -1, 1) for name in ("sigma_hare", "sigma_lynx")]
        populations = POPULATIONS(a, b, c, d, *starts)
        pm.Lognormal("pelts", pm.math.log(populations), pm.math.stack(sigmas), observed=PELTS)
    return built


def sample(draws: int = 1000, backend: str = "theano", **options: object) -> az.InferenceData:
    """Posterior draws of four chains: PyMC3's, two at a time, or TensorFlow Probability's, side by side."""
    options = {"tune": 1000, "chains": 4, "cores": 2, "random_seed": 3, **options}
    with model():
        if backend == "tensorflow":
            return sampling.sample(draws, backend=backend, **options)
        return pm.sample(draws, return_inferencedata=True, **options)


def main() -> None:
    """Sample, compare with the reference, draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", choices=("theano", "tensorflow"), default="theano")
    backend = parser.parse_args().backend
    inference = sample(backend=backend)
    report(inference)
    draw(inference.posterior, FIGURE)


if __name__ == "__main__":
    main()
