"""Theophylline in twelve subjects: absorption and elimination after an oral dose, a hierarchical model with NUTS.

The dose enters the gut at time 0 (an event), is absorbed at rate ka and eliminated from the volume V with clearance
CL. This has a closed form, the one that R's ``SSfol`` evaluates; here it is integrated numerically, all subjects in
one batch, each with times of its own, and the closed form checks value and derivatives.

ln ka, ln CL and ln V vary between subjects with an unrestricted covariance. They are linear in ln ke = ln CL - ln V,
ln ka and ln CL, so that this is the model fm1Theo.nlme of J. C. Pinheiro & D. M. Bates, Mixed-Effects Models in S and
S-PLUS (Springer 2000), section 8.2. Their estimates, PUBLISHED, maximise an approximate likelihood; posterior means of
standard deviations between only twelve subjects are larger. The data are R's datasets::Theoph, of A. J. Boeckmann,
L. B. Sheiner & S. L. Beal, NONMEM Users Guide, Part V (1994).
"""

from __future__ import annotations

from pathlib import Path

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

HERE = Path(__file__).resolve().parent
TABLE = np.loadtxt(HERE / "data" / "theophylline.csv", delimiter=",", skiprows=4).reshape(12, 11, 5)
DOSES, TIMES, CONCENTRATIONS = TABLE[:, 0, 2], TABLE[..., 3], TABLE[..., 4]  # mg/kg, h, mg/l

gut, blood = sp.symbols("gut blood")  # mg/kg
ka, CL, V, dose = sp.symbols("ka CL V dose")  # 1/h, l/h/kg, l/kg, mg/kg
KINETICS = iop.ODE(
    {gut: -ka * gut, blood: ka * gut - CL / V * blood},
    [ka, CL, V, dose],
    initial={gut: 0, blood: 0},
    events=[(0, {gut: gut + dose})],
    outputs=[blood / V],
    rtol=1e-6,  # measurements are off by a tenth
    atol=1e-8,
)

#: fm1Theo.nlme: fixed effects, standard deviations between subjects, and of the residuals.
PUBLISHED = {
    "ln ke": -2.433,
    "ln ka": 0.451,
    "ln CL": -3.214,
    "sd ln ke": 0.131,
    "sd ln ka": 0.638,
    "sd ln CL": 0.251,
    "sigma": 0.682,
}


def check_against_closed_form() -> float:
    """Largest relative difference of concentrations and derivatives from the closed form, at plausible parameters."""
    time, ke = sp.Symbol("time"), CL / V
    formula = dose * ka / (V * (ka - ke)) * (sp.exp(-ke * time) - sp.exp(-ka * time))
    arguments = [ka, CL, V, dose]
    exact = sp.lambdify([*arguments, time], [formula, *(sp.diff(formula, x) for x in arguments)])
    at = np.array([1.5, 0.04, 0.45])
    solution = KINETICS.solve(*at, DOSES, times=TIMES, derivatives=1)
    found = np.concatenate([solution.value[..., None], solution.jacobian], axis=-1)[:, :, 0]
    expected = np.stack(exact(*at, DOSES[:, None], TIMES), axis=-1)
    scale = np.abs(expected).max(axis=(0, 1))
    return float((np.abs(found - expected) / scale).max())


def model() -> pm.Model:
    """Non-centred hierarchy; residuals are normal with the same standard deviation for all, as in fm1Theo.nlme."""
    with pm.Model() as built:
        typical = pm.Normal("typical", mu=np.log([1.5, 0.04, 0.5]), sigma=1.0, shape=3)
        spread = pm.HalfNormal.dist(sigma=1.0)
        cholesky, _, _ = pm.LKJCholeskyCov("between", n=3, eta=1.0, sd_dist=spread, compute_corr=True)
        standard = pm.Normal("standard", 0, 1, shape=(12, 3))
        rates = pm.math.exp(typical + pm.math.dot(standard, cholesky.T))
        individual = pm.Deterministic("individual", rates)
        sigma = pm.HalfNormal("sigma", 2.0)
        expected = KINETICS(individual[:, 0], individual[:, 1], individual[:, 2], DOSES, times=TIMES)[..., 0]
        pm.Normal("concentration", mu=expected, sigma=sigma, observed=CONCENTRATIONS)
        pm.Deterministic("ln ke", typical[1] - typical[2])
        pm.Deterministic("ln ka", typical[0])
        pm.Deterministic("ln CL", typical[1])
        covariance = pm.math.dot(cholesky, cholesky.T)
        pm.Deterministic("sd ln ke", pm.math.sqrt(covariance[1, 1] + covariance[2, 2] - 2 * covariance[1, 2]))
        pm.Deterministic("sd ln ka", pm.math.sqrt(covariance[0, 0]))
        pm.Deterministic("sd ln CL", pm.math.sqrt(covariance[1, 1]))
    return built


def sample(draws: int = 500, **options: object) -> az.InferenceData:
    """Posterior draws of two chains: by PyMC3, two at a time, or by TensorFlow Probability."""
    options = {"tune": 500, "chains": 2, "cores": 2, "target_accept": 0.9, "random_seed": 7, **options}
    return sampling.sample(draws, model=model(), **options)


def main() -> None:
    """Check the integration, sample, compare with the published estimates, draw."""
    backend = chosen_backend(__doc__)
    print(f"largest relative difference from the closed form: {check_against_closed_form():.1e}")
    inference = sample(backend=backend)
    print(az.summary(inference, var_names=list(PUBLISHED), round_to=3).to_string())
    for name, published in PUBLISHED.items():
        draws = inference.posterior[name].values
        difference = (draws.mean() - published) / draws.std()
        print(f"{name:8} {draws.mean():7.3f}, published {published:6.3f}, difference in sd {difference:5.2f}")
    draw(inference.posterior)


def draw(posterior: az.InferenceData) -> None:
    """Concentrations of each subject with 90 % bands: of the concentration, and of its measurement."""
    rng = np.random.default_rng(8)
    individual = posterior["individual"].values.reshape(-1, 12, 3)
    chosen = rng.choice(len(individual), 500, replace=False)
    parameters = np.moveaxis(individual[chosen], -1, 0)
    times = np.concatenate([np.linspace(0, 4, 41), np.linspace(4.25, 25, 84)])
    curves = KINETICS(*parameters, DOSES, times=times)[..., 0]
    sigma = posterior["sigma"].values.ravel()[chosen, None, None]
    measured = curves + sigma * rng.standard_normal(curves.shape)
    figure, axes = plt.subplots(3, 4, figsize=(11, 7), sharex=True, sharey=True, layout="constrained")
    for i, axis in enumerate(axes.flat):
        for values, opacity, label in ((measured, 0.2, "90 %, measurement"), (curves, 0.5, "90 %, concentration")):
            low, high = np.percentile(values[:, i], [5, 95], axis=0)
            axis.fill_between(times, low, high, color="C0", alpha=opacity, lw=0, label=label)
        axis.plot(times, np.median(curves[:, i], axis=0), "C0", label="median")
        axis.plot(TIMES[i], CONCENTRATIONS[i], "ko", ms=3, label="measured")
        axis.set_title(f"subject {i + 1}, {DOSES[i]:g} mg/kg", fontsize="medium")
    axes[0, 0].legend(frameon=False, fontsize="x-small")
    axes[0, 0].set(xlim=(0, 25), ylim=(0, 13))
    figure.supxlabel("time after the dose (h)")
    figure.supylabel("theophylline (mg/l)")
    save(figure, "theophylline.png")


if __name__ == "__main__":
    main()
