"""The Theano op inside PyMC3 against a graph without any op, and on a long vector against the NumPy face."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from measure import interleaved, machine, publish, table

import implicitops as iop

mu, theta = sp.symbols("mu theta")
EXAMPLE = iop.Root(mu + mu * sp.exp(theta * mu) - 1, mu, [theta], bracket=(0, 1))
# exp(mu) = 1 + exp(-theta) has the closed form log1p(exp(-theta)), so that both graphs have the same posterior.
SOLVABLE = iop.Root(sp.exp(mu) - 1 - sp.exp(-theta), mu, [theta], bracket=(0, 1))


def logp_rows() -> list[list[str]]:
    """Log-density and gradient of the documentation's model: op, closed form, Newton steps written as a graph."""
    import pymc3 as pm
    import theano.tensor as tt

    def newton(t: Any) -> Any:
        x = tt.ones_like(t) * 0.5
        for _ in range(6):
            x = x - 1 + (1 + tt.exp(-t)) * tt.exp(-x)
        return x

    solutions = {
        "op": SOLVABLE,
        "closed form log1p(exp(-theta))": lambda t: tt.log1p(tt.exp(-t)),
        "6 Newton steps as a graph": newton,
    }
    runs = {}
    for name, solution in solutions.items():
        with pm.Model() as model:
            t = pm.HalfNormal("theta", sd=1)
            m = pm.Deterministic("mu", solution(t))
            pm.Normal("y", mu=m, sd=0.1, observed=[0.2, 0.21, 0.3])
        function = model.logp_dlogp_function()
        function.set_extra_values({})
        point = np.array([0.3])
        runs[name] = lambda function=function, point=point: function(point)
    times = interleaved(runs, seconds=6.0)
    closed = times["closed form log1p(exp(-theta))"]
    return [[name, f"{1e6 * s:.2f}", f"{s / closed:.2f}"] for name, s in times.items()]


def vector_rows(n: int = 100_000) -> list[list[str]]:
    """Value and gradient of a long vector, Theano function against NumPy face."""
    import theano
    import theano.tensor as tt

    with theano.config.change_flags(compute_test_value="off"):  # PyMC3 has left it at "raise"
        t = tt.dvector("theta")
        solution = EXAMPLE(t)
        function = theano.function([t], [solution, theano.grad(solution.sum(), t)])
    values = np.random.default_rng(0).uniform(0, 5, n)
    times = interleaved(
        {
            "Theano function": lambda: function(values),
            "solve(derivatives=1)": lambda: EXAMPLE.solve(values, derivatives=1),
        },
        seconds=4.0,
    )
    numpy_time = times["solve(derivatives=1)"]
    return [[name, f"{1e3 * s:.2f}", f"{s / numpy_time:.2f}"] for name, s in times.items()]


def main() -> None:
    """Run and publish."""
    title = "PyMC3's logp and gradient, one scalar parameter"
    text = table(title, [["mu(theta) is", "microseconds", "times closed form"], *logp_rows()])
    title = "Value and gradient for 1e5 theta"
    text += "\n" + table(title, [["", "milliseconds", "times NumPy face"], *vector_rows()])
    publish("theano_op", f"{machine()}\n\n{text}")


if __name__ == "__main__":
    main()
