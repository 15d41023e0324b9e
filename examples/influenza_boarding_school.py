"""Influenza in an English boarding school, 1978: an epidemic model with negative binomial counts, fitted with NUTS.

The model is that of L. Grinsztajn, E. Semenova, C. C. Margossian & J. Riou, "Bayesian workflow for disease
transmission modeling in Stan", Statistics in Medicine 40 (2021) 6209 (also a Stan case study), priors included. They
report a basic reproduction number of about 3 and recovery in about 2 days; PUBLISHED is what their program prints.
The counts are those of R's package outbreaks, influenza_england_1978_school: G. de Vries et al., A Course in
Mathematical Biology (SIAM 2006), read from a figure in British Medical Journal 1 (1978) 587.
"""

from __future__ import annotations

import implicitops as iop  # isort: skip  # before PyMC3, whose Theano it gives a BLAS

import arviz as az
import matplotlib
import numpy as np
import pymc3 as pm
import sympy as sp
from _command_line import chosen_backend, save

from implicitops import sampling

matplotlib.use("Agg")
import matplotlib.pyplot as plt

N_BOYS = 763
IN_BED = np.array([3, 8, 26, 76, 225, 298, 258, 233, 189, 128, 68, 29, 14, 4])  # 22 January to 4 February
DAYS = np.arange(1, IN_BED.size + 1)

# The recovered are not in the way of anybody, so that two states suffice.
susceptible, infected, beta, gamma = sp.symbols("susceptible infected beta gamma")
infection = beta * infected * susceptible / N_BOYS
EPIDEMIC = iop.ODE(
    {susceptible: -infection, infected: infection - gamma * infected},
    [beta, gamma],
    initial={susceptible: N_BOYS - 1, infected: 1},
    times=DAYS,
    outputs=[infected],
)

#: Posterior mean and standard deviation as the authors' Stan program prints them, from 4000 draws in a later run.
PUBLISHED = {"beta": (1.74, 0.05), "gamma": (0.54, 0.05), "R0": (3.22, 0.28), "recovery_time": (1.86, 0.16)}


def model() -> pm.Model:
    """The case study's model: boys in bed are counts with the number of infected as their mean."""
    with pm.Model() as built:
        contact = pm.TruncatedNormal("beta", mu=2, sigma=1, lower=0)
        recovery = pm.TruncatedNormal("gamma", mu=0.4, sigma=0.5, lower=0)
        inverse_dispersion = pm.Exponential("phi_inv", 5)
        ill = EPIDEMIC(contact, recovery)[:, 0]
        pm.NegativeBinomial("in_bed", mu=ill, alpha=1 / inverse_dispersion, observed=IN_BED)
        pm.Deterministic("R0", contact / recovery)
        pm.Deterministic("recovery_time", 1 / recovery)
    return built


def sample(draws: int = 1000, **options: object) -> az.InferenceData:
    """Posterior draws of four chains: by PyMC3, two at a time, or by TensorFlow Probability."""
    options = {"tune": 1000, "chains": 4, "cores": 2, "target_accept": 0.95, "random_seed": 5, **options}
    return sampling.sample(draws, model=model(), **options)


def main() -> None:
    """Sample, compare with the published table, draw."""
    backend = chosen_backend(__doc__)
    inference = sample(backend=backend)
    print(az.summary(inference, round_to=3).to_string())
    for name, (mean, sd) in PUBLISHED.items():
        draws = inference.posterior[name].values
        print(f"{name:13} {draws.mean():.3f} +- {draws.std():.3f}, published {mean} +- {sd}")
    draw(inference.posterior)


def draw(posterior: az.InferenceData) -> None:
    """Boys in bed with their 90 % prediction, and the posterior of the two numbers that matter."""
    rng = np.random.default_rng(6)
    figure, (curve, joint) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    flat = {name: posterior[name].values.ravel() for name in ("beta", "gamma", "phi_inv", "R0", "recovery_time")}
    times = np.linspace(0, 15, 151)
    ill = EPIDEMIC(flat["beta"], flat["gamma"], times=times)[..., 0]
    size = 1 / flat["phi_inv"][:, None]
    counts = rng.poisson(rng.gamma(size, ill / size))  # a negative binomial is a Poisson with a gamma mean
    for values, opacity, label in ((counts, 0.2, "90 %, boys in bed"), (ill, 0.5, "90 %, infected")):
        low, high = np.percentile(values, [5, 95], axis=0)
        curve.fill_between(times, low, high, color="C3", alpha=opacity, lw=0, label=label)
    curve.plot(times, np.median(ill, axis=0), "C3", label="median")
    curve.plot(DAYS, IN_BED, "ko", ms=4, label="in bed")
    curve.set(
        xlabel="day", ylabel="boys", title="Influenza in a school of 763 boys, 1978", xlim=(0, 15), ylim=(0, None)
    )
    curve.legend(frameon=False)
    joint.plot(flat["R0"], flat["recovery_time"], ".", ms=2, alpha=0.4)
    mean = [PUBLISHED[name][0] for name in ("R0", "recovery_time")]
    joint.plot(*mean, "k+", ms=12, label="published mean")
    joint.set(xlabel="basic reproduction number", ylabel="recovery time (days)", title="Posterior")
    joint.legend(frameon=False)
    save(figure, "influenza_boarding_school.png")


if __name__ == "__main__":
    main()
