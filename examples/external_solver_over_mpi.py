"""An existing solver inside a PyMC3 model, its runs spread over MPI ranks.

    python examples/external_solver_over_mpi.py
    mpiexec -n 2 python -m mpi4py.futures examples/external_solver_over_mpi.py

The solver is a finite-volume code for the temperature of a cooling fin. It knows nothing of PyMC3 and is given as it
is: `implicitops.External` wraps it in the lines marked below. Six experiments with known heating power share the
conductivity and the heat loss that are inferred; each evaluation of the model is a batch of six runs.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from scipy.linalg import solve_banded

import implicitops as iop

N_CELLS = 400
SENSORS = [20, 120, 220, 380]
POWERS = np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
CONDUCTIVITY, LOSS, NOISE = 0.8, 1.7, 0.05  # what the measurements are simulated with
OUTPUT = Path(__file__).resolve().parents[1] / "output"


# -- the existing code ----------------------------------------------------------------------------------------------


def fin_matrix(conductivity, loss):
    """Tridiagonal matrix of -k u'' + c u with insulated ends, on N_CELLS cells of a fin of length 1."""
    h = 1 / N_CELLS
    bands = np.zeros((3, N_CELLS))
    bands[0, 1:] = bands[2, :-1] = -conductivity / h**2
    bands[1] = loss + 2 * conductivity / h**2
    bands[1, [0, -1]] -= conductivity / h**2
    return bands


def fin_temperature(conductivity, loss, power):
    """Temperature at the sensors when the first cell is heated."""
    heat = np.zeros(N_CELLS)
    heat[0] = power * N_CELLS
    return solve_banded((1, 1), fin_matrix(conductivity, loss), heat)[SENSORS]


def fin_jacobian(conductivity, loss, power):
    """Its derivatives: A u = b gives A du = db - dA u, one more solve with three right-hand sides."""
    heat = np.zeros(N_CELLS)
    heat[0] = power * N_CELLS
    bands = fin_matrix(conductivity, loss)
    u = solve_banded((1, 1), bands, heat)
    stiffness_u = (heat - loss * u) / conductivity
    changes = np.column_stack([-stiffness_u, -u, heat / power])
    return solve_banded((1, 1), bands, changes)[SENSORS]


# -- wrapped --------------------------------------------------------------------------------------------------------


def wrapped(executor):
    return iop.External(
        fin_temperature,
        inputs={"conductivity": (), "loss": (), "power": ()},
        outputs=(len(SENSORS),),
        jacobian=fin_jacobian,
        executor=executor,
        chunk_size=3,
    )


# -- the model ------------------------------------------------------------------------------------------------------


def mpi_executor():
    """Executor over the other ranks, or None without mpiexec."""
    if not {"PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS"} & set(os.environ):
        print("One process. For two MPI ranks: mpiexec -n 2 python -m mpi4py.futures", Path(__file__).name)
        return None
    from mpi4py import MPI
    from mpi4py.futures import MPIPoolExecutor

    print(f"{MPI.COMM_WORLD.Get_size()} MPI ranks, of which all but this one run the solver.")
    return MPIPoolExecutor()


def main():
    import matplotlib

    matplotlib.use("Agg")
    import arviz as az
    import matplotlib.pyplot as plt
    import pymc3 as pm

    from implicitops.backends.failures import failures

    executor = mpi_executor()
    temperature = wrapped(executor)
    rng = np.random.default_rng(1)
    exact = wrapped(None)(CONDUCTIVITY, LOSS, POWERS)
    measured = exact + NOISE * rng.normal(size=exact.shape)
    draws = int(os.environ.get("IMPLICITOPS_EXAMPLE_DRAWS", "400"))
    with pm.Model():
        conductivity = pm.Lognormal("conductivity", 0.0, 0.5)
        loss = pm.Lognormal("loss", 0.0, 0.5)
        expected = temperature(conductivity, loss, POWERS)
        pm.Normal("temperature", mu=expected, sigma=NOISE, observed=measured)
        trace = pm.sample(
            draws,
            tune=draws,
            chains=2,
            cores=1,  # processes of PyMC3's own could not use the ranks
            init="adapt_diag",
            random_seed=1,
            return_inferencedata=True,
            progressbar=False,
        )
    print(az.summary(trace))
    print("failed solves:", sum(f.count for f in failures().values()))

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), constrained_layout=True)
    axes[0].plot(POWERS, measured, "o")
    axes[0].plot(POWERS, exact, "k-", linewidth=0.8)
    axes[0].set(xlabel="power", ylabel="temperature at the sensors")
    posterior = trace.posterior
    axes[1].plot(posterior["conductivity"].values.ravel(), posterior["loss"].values.ravel(), ".", markersize=2)
    axes[1].plot(CONDUCTIVITY, LOSS, "k+", markersize=12)
    axes[1].set(xlabel="conductivity", ylabel="heat loss")
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / "external_solver_over_mpi.png", dpi=120)
    print("figure:", OUTPUT / "external_solver_over_mpi.png")
    if executor is not None:
        executor.shutdown()


if __name__ == "__main__":
    main()
