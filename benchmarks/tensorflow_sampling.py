"""NUTS of TensorFlow Probability on two models, with the op, with what one would write by hand, and by PyMC3."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from measure import table
from tensorflow_peers import PROBLEM, in_numpy, newton

CHAINS = 4
HEADING = ["", "draws", "first call, s", "seconds", "draws/s", "effective draws/s", "mean"]
tfd = tfp.distributions


def missed(met: bool) -> str:
    """What a line with an aim ends with."""
    return ": met" if met else ": MISSED"


def timed(run: Callable[[int], np.ndarray], rounds: int) -> tuple[float, float, np.ndarray]:
    """Seconds of the first call, of the best later one (the first if there is no other), and its draws by chain."""
    begin = time.perf_counter()
    draws = run(0)
    first = best = time.perf_counter() - begin
    for k in range(rounds):
        begin = time.perf_counter()
        draws = run(1 + k)
        seconds = time.perf_counter() - begin
        best = min(best, seconds) if k else seconds
    return first, best, draws


def row(name: str, first: float, seconds: float, draws: np.ndarray, overhead: float = 0.0) -> list[str]:
    """A line of a table; the time that counts leaves an overhead out."""
    used = seconds - overhead
    rates = [f"{draws.size / used:.0f}", f"{az.ess(draws) / used:.0f}"]
    return [name, str(draws.size), f"{first:.1f}", f"{used:.3g}", *rates, f"{draws.mean():.4f}"]


# -- the documentation's model ----------------------------------------------------------------------------------------


def documentation_sampler(solve: Callable[[Any], Any], draws: int, tune: int, jit: bool) -> Callable[[int], np.ndarray]:
    """Function of a seed: NUTS on theta ~ HalfNormal(1), y ~ Normal(mu(theta), 0.1), four chains at once."""
    one = tf.constant(1, tf.float64)

    def log_density(t: Any) -> Any:
        likelihood = tfd.Normal(solve(t)[..., None], 0.1 * one).log_prob([0.2, 0.21, 0.3])
        return tfd.HalfNormal(one).log_prob(t) + tf.reduce_sum(likelihood, axis=-1)

    @tf.function(jit_compile=jit, autograph=False)
    def run(seed: Any) -> Any:
        kernel = tfp.mcmc.NoUTurnSampler(log_density, step_size=0.3 * one)
        kernel = tfp.mcmc.TransformedTransitionKernel(kernel, tfp.bijectors.Exp())
        kernel = tfp.mcmc.DualAveragingStepSizeAdaptation(kernel, int(0.8 * tune), target_accept_prob=0.8)
        start = tf.constant([0.5, 1, 1.5, 2], tf.float64)
        return tfp.mcmc.sample_chain(draws, start, kernel=kernel, num_burnin_steps=tune, trace_fn=None, seed=seed)

    return lambda seed: run(tf.constant([1, seed])).numpy().T


def pymc3_draws(model: Any, name: str, draws: int, tune: int) -> tuple[float, float, np.ndarray]:
    """Seconds until the first draw (tuning is in them), seconds of the draws of all chains, and the draws."""
    import pymc3 as pm

    marks: list[float] = []

    def note(trace: Any, draw: Any) -> None:
        if not draw.tuning:
            marks.append(time.perf_counter())

    begin = time.perf_counter()
    with model:
        step = pm.NUTS()
    compiled = time.perf_counter() - begin
    begin, seconds, chains = time.perf_counter(), 0.0, []
    for seed in range(CHAINS):
        with model:
            trace = pm.sample(
                draws, tune=tune, chains=1, cores=1, step=step, random_seed=seed, progressbar=False, callback=note,
                compute_convergence_checks=False, return_inferencedata=False,
            )  # fmt: skip
        seconds += marks[-1] - marks[0]
        marks.clear()
        chains.append(trace[name])
    return compiled, seconds, np.array(chains)


def documentation_pymc3(draws: int, tune: int) -> list[str]:
    """PyMC3's line for the documentation's model."""
    import pymc3 as pm

    with pm.Model() as model:
        t = pm.HalfNormal("theta", sd=1)
        pm.Normal("y", mu=PROBLEM(t), sd=0.1, observed=[0.2, 0.21, 0.3])
    return row("PyMC3, one core", *pymc3_draws(model, "theta", draws, tune))


def documentation_text(draws: int = 10_000, tune: int = 1_000) -> str:
    """Draws of theta per second; warm-up is in the time of the compiled samplers."""
    cases = {
        "implicitops, jit": (PROBLEM, draws, tune, True, 20),
        "hand-written Newton, jit": (newton, draws, tune, True, 20),
        "implicitops, tf.function": (PROBLEM, 300, 200, False, 1),
        "numpy_function, tf.function": (in_numpy, 300, 200, False, 1),
        "hand-written Newton, tf.function": (newton, 300, 200, False, 1),
    }
    rows, rates = [HEADING], {}
    for name, (solve, n, warm_up, jit, rounds) in cases.items():
        first, seconds, found = timed(documentation_sampler(solve, n, warm_up, jit), rounds)
        # Warm-up steps are as long as draws, and there are too few draws outside XLA to leave them out.
        used = seconds * n / (n + warm_up)
        rates[name] = found.size / used
        rows.append(row(name, first, used, found))
    rows.append(documentation_pymc3(1000, 500))
    text = table("NUTS, the documentation's model, four chains", rows)
    ours = rates["implicitops, jit"]
    graph, python = (ours / rates[name] for name in ("hand-written Newton, jit", "numpy_function, tf.function"))
    text += f"{graph:.2f} times the hand-written graph's draws/s, aim 0.8{missed(graph >= 0.8)}\n"
    return text + f"{python:.0f} times numpy_function's draws/s, aim 100{missed(python >= 100)}\n"


# -- lynxes and hares -------------------------------------------------------------------------------------------------


def by_tfp(example: Any, tolerance: float) -> Callable[..., Any]:
    """The populations by tfp.math.ode.DormandPrince, a function with the arguments of the problem."""
    times = example.constant(np.arange(1.0, 21.0))

    def sizes(alpha: Any, beta: Any, gamma: Any, delta: Any, hare0: Any, lynx0: Any) -> Any:
        def rates(_: Any, state: Any, alpha: Any, beta: Any, gamma: Any, delta: Any) -> Any:
            hare, lynx = tf.unstack(state, axis=-1)
            return tf.stack([(alpha - beta * lynx) * hare, (delta * hare - gamma) * lynx], axis=-1)

        start = tf.stack([hare0, lynx0], axis=-1)
        constants = {"alpha": alpha, "beta": beta, "gamma": gamma, "delta": delta}
        found = tfp.math.ode.DormandPrince(rtol=tolerance, atol=tolerance).solve(
            rates, example.constant(0), start, times, constants=constants
        )
        return tf.concat([start[None], found.states], axis=0)

    return sizes


def lynx_text(draws: int = 2_500, tune: int = 500) -> str:
    """Draws of alpha per second in lynx_hare_tfp.py and lynx_hare.py; warm-up is in the time under XLA."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
    example = import_module("lynx_hare_tfp")
    example.coordinates()

    def sampler(problem: Any, n: int, warm_up: int) -> Callable[[int], np.ndarray]:
        run = example.sampler(example.model(problem), n, warm_up)
        return lambda seed: np.exp(run(tf.constant([1, seed]))[0][..., 0].numpy().T)

    first, seconds, found = timed(sampler(example.SIZES, draws, tune), 2)
    rows = [HEADING, row("implicitops, jit", first, seconds, found)]
    exact = import_module("hudson_bay").POPULATIONS
    rows.append(row("implicitops, default tolerances, jit", *timed(sampler(exact, draws, tune), 1)))
    peer, few, few_tune = "tfp.math.ode.DormandPrince, jit", 50, 50
    note = ""
    try:
        rows.append(row(peer, *timed(sampler(by_tfp(example, 1e-6), few, few_tune), 1)))
        note = f"DormandPrince: {few} draws of a chain after {few_tune}, because it takes long.\n"
    except (tf.errors.OpError, ValueError, TypeError) as error:
        note = f"{peer}: {str(error).splitlines()[0]:.100}\n"
    pymc3_rows = pymc3_draws(import_module("lynx_hare").model(), "alpha", 500, 500)
    rows.append(row("PyMC3, default tolerances, one core", *pymc3_rows))
    text = table("NUTS, lynxes and hares, four chains", rows) + note
    return text + f"{found.size} draws and warm-up in {seconds:.1f} s, aim 5{missed(seconds < 5)}\n"
