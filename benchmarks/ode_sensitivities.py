"""Forward against adjoint derivatives, our own, as the number of parameters grows, and where "auto" changes over.

Two families: cells in a row with logistic growth, each with a rate of its own, and diffusion between neighbours, which
have as many states as parameters; and one pendulum driven by a sum of sines, whose amplitudes are the parameters, which
has two states. What is timed is what a sampler needs: a Theano function of the parameters that returns a misfit at 20
output times and its gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import sympy as sp
from measure import interleaved, machine, one_core, publish, table

import implicitops as iop

SIZES = (10, 25, 50, 75, 100, 150, 200, 400)
TIMES = np.linspace(0.25, 5.0, 20)
TOLERANCE = 1e-6
#: Forward and adjoint gradients must agree to this, relative to the largest element.
AGREEMENT = 1e-3


def cells(count: int, **options: Any) -> iop.ODE:
    """As many states as parameters."""
    u, rates = sp.symbols(f"u0:{count}"), sp.symbols(f"k0:{count}")
    ends = (u[0], *u, u[-1])
    rhs = {
        u[i]: rates[i] * u[i] * (1 - u[i]) + sp.Rational(1, 2) * (ends[i] - 2 * ends[i + 1] + ends[i + 2])
        for i in range(count)
    }
    initial = {u[i]: sp.Rational(1, 10) + sp.Rational(i % 7, 20) for i in range(count)}
    return iop.ODE(rhs, [rates], initial=initial, **options)


def pendulum(count: int, **options: Any) -> iop.ODE:
    """Two states."""
    x, v, t = sp.symbols("x v t")
    amplitudes = sp.symbols(f"a0:{count}")
    drive = sp.Add(*(a * sp.sin((1 + sp.Rational(k, count)) * t) for k, a in enumerate(amplitudes))) / count
    return iop.ODE({x: v, v: drive - sp.sin(x)}, [amplitudes], initial={x: 1, v: 0}, t=t, **options)


FAMILIES = {"cells with a rate each, n = p states": cells, "driven pendulum, 2 states": pendulum}


def gradient(family: Callable[..., iop.ODE], count: int, sensitivity: str) -> Callable[[], Any]:
    """Misfit and gradient at parameters around 1, compiled."""
    import theano
    import theano.tensor as tt

    with theano.config.change_flags(compute_test_value="off"):
        params = tt.dvector("params")
        problem = family(count, sensitivity=sensitivity, times=TIMES, method="dop853", rtol=TOLERANCE, atol=1e-8)
        misfit = ((problem(params) - 0.5) ** 2).sum()
        function = theano.function([params], [misfit, theano.grad(misfit, params)])
    return partial(function, np.random.default_rng(0).uniform(0.5, 1.5, count))


def rows(family: Callable[..., iop.ODE]) -> tuple[list[list[str]], int | None]:
    """Table rows, and the first number of parameters at which the adjoint is faster."""
    lines, crossover = [], None
    for count in SIZES:
        runs = {sensitivity: gradient(family, count, sensitivity) for sensitivity in ("forward", "adjoint")}
        forward, adjoint = (np.asarray(run()[1]) for run in runs.values())
        difference = np.abs(forward - adjoint).max() / np.abs(forward).max()
        if not difference <= AGREEMENT:
            raise ArithmeticError(f"{count} parameters: the gradients differ by {difference:.0e}")
        times = interleaved(runs, seconds=1.0)
        ratio = times["forward"] / times["adjoint"]
        if ratio > 1 and crossover is None:
            crossover = count
        automatic = family(count).sensitivity_method
        lines.append(
            [str(count), *(f"{1e3 * s:.3f}" for s in times.values()), f"{ratio:.2f}", automatic, f"{difference:.0e}"]
        )
    return lines, crossover


def main() -> None:
    """Run and publish."""
    heading = ["parameters", "forward, ms", "adjoint, ms", "forward / adjoint", "auto takes", "difference"]
    parts = []
    for name, family in FAMILIES.items():
        with one_core():
            lines, crossover = rows(family)
        text = table(f"A misfit and its gradient, tolerance {TOLERANCE:g}: {name}", [heading, *lines])
        where = "nowhere in this table" if crossover is None else f"from {crossover} parameters on"
        parts.append(text + f"the adjoint is faster {where}\n")
    publish("ode_sensitivities", "\n".join([f"{machine()}\n", *parts]))


if __name__ == "__main__":
    main()
