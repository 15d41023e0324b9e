"""Hares and lynxes of Hudson Bay, 1900-1920: the equations of Lotka and Volterra, fitted to pelts with NUTS.

Where the model and the posterior that it is compared with come from is said in hudson_bay.py, with the data; the same
with TensorFlow Probability is lynx_hare_tfp.py.
"""

from __future__ import annotations

import implicitops as iop  # noqa: F401  # isort: skip  # before PyMC3, whose Theano it gives a BLAS

import arviz as az
import numpy as np
import pymc3 as pm
from _command_line import chosen_backend
from hudson_bay import PELTS, POPULATIONS, REFERENCE, comparison, draw, report

from implicitops import sampling

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


def sample(draws: int = 1000, **options: object) -> az.InferenceData:
    """Posterior draws of four chains: by PyMC3, two at a time, or by TensorFlow Probability."""
    options = {"tune": 1000, "chains": 4, "cores": 2, "random_seed": 3, **options}
    return sampling.sample(draws, model=model(), **options)


def main() -> None:
    """Sample, compare with the reference, draw."""
    backend = chosen_backend(__doc__)
    inference = sample(backend=backend)
    report(inference)
    draw(inference.posterior, "lynx_hare.png")


if __name__ == "__main__":
    main()
