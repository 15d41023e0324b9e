"""The Hubble diagram of type Ia supernovae: matter density and Hubble constant of a flat universe, with NUTS.

Light that arrives with redshift z has come from the distance c/H0 times the integral from 0 to z of
1/sqrt(Omega_m (1 + z')^3 + 1 - Omega_m), in a flat universe of matter and a cosmological constant (D. W. Hogg,
arXiv:astro-ph/9905116, equations 14-16 and 25). The integral is elliptic. Its upper limit is data, one for each
supernova, and Omega_m is a parameter. The data are simulated with the values of Planck (2018 results VI, Astronomy &
Astrophysics 641 (2020) A6, abstract): Omega_m = 0.315, H0 = 67.4 km/s/Mpc. The brightness of a supernova is taken
as known; if it were not, it could not be told from H0.
"""

from __future__ import annotations

import implicitops as iop  # isort: skip  # before PyMC3, whose Theano it gives a BLAS

import arviz as az
import matplotlib
import numpy as np
import pymc3 as pm
import scipy.integrate
import sympy as sp
from _command_line import chosen_backend, save

from implicitops import sampling

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SPEED_OF_LIGHT = 299_792.458  # km/s
TRUTH = {"Omega_m": 0.315, "H0": 67.4}
SCATTER = 0.15  # of one supernova, in magnitudes

z, redshift, Omega_m = sp.symbols("z redshift Omega_m", positive=True)
#: Comoving distance in units of c/H0.
DISTANCE = iop.Integral(1 / sp.sqrt(Omega_m * (1 + z) ** 3 + 1 - Omega_m), (z, 0, redshift), [redshift, Omega_m])


def distance_by_scipy(redshift: float, matter: float) -> float:
    """The same integral with SciPy's quadrature."""
    integrand = lambda x: 1 / np.sqrt(matter * (1 + x) ** 3 + 1 - matter)  # noqa: E731
    return scipy.integrate.quad(integrand, 0, redshift, epsabs=0, epsrel=1e-12)[0]


def modulus(distance: object, redshifts: np.ndarray, hubble: object, log: object = np.log) -> object:
    """Distance modulus: apparent minus absolute magnitude. ``log`` is NumPy's, or that of a framework."""
    megaparsecs = (1 + redshifts) * distance * SPEED_OF_LIGHT / hubble
    return 5 / np.log(10) * log(megaparsecs) + 25


def simulated(n: int = 40, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Redshifts between 0.01 and 1.2, and moduli with scatter, from SciPy's quadrature."""
    rng = np.random.default_rng(seed)
    redshifts = np.sort(rng.uniform(0.01, 1.2, n))
    distances = np.array([distance_by_scipy(value, TRUTH["Omega_m"]) for value in redshifts])
    return redshifts, modulus(distances, redshifts, TRUTH["H0"]) + SCATTER * rng.standard_normal(n)


def model(redshifts: np.ndarray, moduli: np.ndarray) -> pm.Model:
    """Flat universe: a uniform prior of the matter density, a wide one of the Hubble constant."""
    with pm.Model() as built:
        matter = pm.Uniform("Omega_m", 0, 1)
        hubble = pm.Normal("H0", 70, 10)
        expected = modulus(DISTANCE(redshifts, matter), redshifts, hubble, pm.math.log)
        pm.Normal("moduli", expected, SCATTER, observed=moduli)
    return built


def sample(draws: int = 1000, **options: object) -> az.InferenceData:
    """Posterior draws of four chains: by PyMC3, two at a time, or by TensorFlow Probability."""
    options = {"tune": 1000, "chains": 4, "cores": 2, "random_seed": 6, **options}
    return sampling.sample(draws, model=model(*simulated()), **options)


def main() -> None:
    """Sample, compare with the truth, draw."""
    backend = chosen_backend(__doc__)
    posterior = sample(backend=backend).posterior
    print(az.summary(posterior, round_to=4).to_string())
    print("parameter       mean        sd      truth  difference in sd")
    for name, truth in TRUTH.items():
        mean, sd = float(posterior[name].mean()), float(posterior[name].std())
        print(f"{name:10} {mean:9.4f} {sd:9.4f} {truth:10.4f} {(mean - truth) / sd:17.2f}")
    draw(posterior)


def draw(posterior: az.InferenceData) -> None:
    """Hubble diagram with a 90 % band, and the two parameters against each other."""
    redshifts, moduli = simulated()
    matter, hubble = (posterior[name].values.ravel() for name in TRUTH)
    grid = np.geomspace(0.01, 1.3, 80)
    curves = modulus(DISTANCE(grid, matter[:, None]), grid, hubble[:, None])
    low, median, high = np.percentile(curves, [5, 50, 95], axis=0)
    truth = modulus(DISTANCE(grid, TRUTH["Omega_m"]), grid, TRUTH["H0"])
    figure = plt.figure(figsize=(11, 4.5), layout="constrained")
    grid_of_axes = figure.add_gridspec(2, 2, height_ratios=[2, 1], width_ratios=[1.6, 1])
    top, bottom, right = (figure.add_subplot(grid_of_axes[place]) for place in ((0, 0), (1, 0), (slice(None), 1)))
    for axis, below in ((top, 0), (bottom, truth)):
        axis.fill_between(grid, low - below, high - below, color="C0", alpha=0.35, lw=0, label="90 %")
        axis.plot(grid, median - below, "C0", label="median")
        axis.plot(grid, truth - below, "k--", lw=0.8, label="truth")
    residuals = moduli - np.interp(redshifts, grid, truth)
    top.errorbar(redshifts, moduli, SCATTER, fmt="k.", ms=4, lw=0.7, label="supernovae")
    bottom.errorbar(redshifts, residuals, SCATTER, fmt="k.", ms=4, lw=0.7)
    top.set(ylabel="distance modulus")
    top.legend(frameon=False, fontsize="small")
    bottom.set(xlabel="redshift", ylabel="minus truth", ylim=(-0.5, 0.5))
    right.plot(matter, hubble, "C0.", ms=1.5, alpha=0.5)
    right.plot(*TRUTH.values(), "k+", ms=14, mew=2, label="truth")
    right.set(xlabel="matter density", ylabel="Hubble constant, km/s/Mpc")
    right.legend(frameon=False)
    save(figure, "supernova_distances.png")


if __name__ == "__main__":
    main()
