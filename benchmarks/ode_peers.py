"""The contestants of benchmarks/ode.py: each is a function of a tolerance that returns values and sensitivities."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import sympy as sp
from ode_tasks import Answer, Augmented, Task
from scipy.integrate import solve_ivp

Solver = Callable[[float], Answer]

# A linear solve that fails in a trial step of diffrax gives NaN, upon which the step is rejected, and no exception.
os.environ.setdefault("EQX_ON_ERROR", "nan")


class Implicitops:
    """Ours, through the NumPy face: one kernel call for values and sensitivities."""

    def __init__(
        self,
        task: Task,
        method: str = "auto",
        batch: int | None = None,
        *,
        max_steps: int = 10**7,
        throw: bool = True,
    ) -> None:
        self.task, self.method, self._max_steps, self._throw = task, method, max_steps, throw
        self._problems: dict[float, Any] = {}
        point = task.params if batch is None else varied(task, batch).T
        self._arguments, position = [], 0
        for item in task.case.params:
            width = len(item) if isinstance(item, tuple) else 1
            part = np.moveaxis(point[position : position + width], 0, -1)
            self._arguments.append(part if isinstance(item, tuple) else part[..., 0])
            position += width
        self.stats: dict[str, Any] = {}

    def __call__(self, tolerance: float) -> Answer:
        if tolerance not in self._problems:
            atol = self.task.atol(tolerance).tolist()
            self._problems[tolerance] = self.task.case.problem(
                method=self.method, rtol=tolerance, atol=atol, sensitivity="forward", max_steps=self._max_steps
            )
        problem = self._problems[tolerance]
        solution = problem.solve(*self._arguments, times=self.task.times, derivatives=1, throw=self._throw)
        self.stats = solution.stats
        return solution.value, solution.jacobian


def varied(task: Task, batch: int) -> np.ndarray:
    """Parameter sets (batch, p) within 2 % of the task's; the first is the task's own."""
    factors = np.random.default_rng(0).uniform(0.98, 1.02, (batch, task.p))
    factors[0] = 1
    return task.params * factors


def first(solver: Callable[[float], Answer]) -> Solver:
    """The answer to the first element of a batch, by which its error is measured."""

    def one(tolerance: float) -> Answer:
        values, sensitivities = solver(tolerance)
        return values[0], sensitivities[0]

    return one


def scipy_solver(task: Task, method: str) -> Solver:
    """SciPy's solve_ivp on the states and variational equations, with the Jacobian where the method takes one."""
    system = Augmented(task)
    options: dict[str, Any] = {}
    if method in ("Radau", "BDF"):
        options["jac"] = system.full
    elif method == "LSODA" and "stiff" in task.case.tags:
        if system.is_large:
            size = system.start.size
            raise NotImplementedError(f"no sparse Jacobian ({size} x {size}); with the diagonal blocks it does not end")
        options["jac"] = system.full

    def solve(tolerance: float) -> Answer:
        span = (task.case.t0, task.times[-1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rtol below 100 eps, and what LSODA prints
            result = solve_ivp(
                system.rhs, span, system.start, method, task.times,
                rtol=tolerance, atol=system.atol(tolerance), **options,
            )  # fmt: skip
        if result.status != 0:
            raise ArithmeticError(result.message)
        return system.answer(result.y.T)

    return solve


def sundae_solver(task: Task, method: str) -> Solver:
    """CVODE through scikit-sundae on the states and variational equations; of large ones the diagonal blocks alone."""
    from sksundae.cvode import CVODE

    system = Augmented(task)
    n = system.n
    blocks = [slice(k * n, (k + 1) * n) for k in range(1 + system.p)]

    def rhs(t: float, z: np.ndarray, rate: np.ndarray) -> None:
        rate[:] = system.rhs(t, z)

    def jacobian(t: float, z: np.ndarray, rate: np.ndarray, result: np.ndarray) -> None:
        if not system.is_large:
            result[:] = system.full(t, z)
            return
        block = system.jacobian(t, z)
        for part in blocks:
            result[part, part] = block

    def solve(tolerance: float) -> Answer:
        solver = CVODE(
            rhs, method=method, rtol=tolerance, atol=system.atol(tolerance), max_num_steps=10**6, jacfn=jacobian,
            **({"linsolver": "band", "lband": n - 1, "uband": n - 1} if system.is_large else {}),
        )  # fmt: skip
        result = solver.solve(np.concatenate([[task.case.t0], task.times]), system.start)
        if not result.success:
            raise ArithmeticError(result.message)
        return system.answer(result.y[1:])

    return solve


def diffrax_augmented(task: Task, method: str, batch: int | None = None) -> Solver:
    """Diffrax on the states and variational equations, jitted; with a batch, vmapped."""
    import diffrax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    n, p, e = task.n, task.p, task.expressions
    f = sp.lambdify(e.arguments, e.rhs, modules=[jnp], cse=True)
    start = sp.lambdify(e.arguments[1 + n :], [sp.sympify(task.case.initial[y]) for y in task.case.states], [jnp])
    solver = getattr(diffrax, method)()
    unit = jnp.concatenate([task.size[:, None], task.unit], axis=1)

    def initial(q: Any) -> Any:
        return jnp.stack([jnp.asarray(v, dtype=float) for v in start(*q)])

    def rate(t: Any, z: Any, q: Any) -> Any:
        def states(y: Any, q: Any) -> Any:
            return jnp.stack(f(t, *y, *q))

        along = jax.vmap(lambda dy, dq: jax.jvp(states, (z[:, 0], q), (dy, dq))[1], (1, 0), 1)
        return jnp.concatenate([states(z[:, 0], q)[:, None], along(z[:, 1:], jnp.eye(p))], axis=1)

    def one(q: Any, tolerance: Any) -> Any:
        z = jnp.concatenate([initial(q)[:, None], jax.jacfwd(initial)(q)], axis=1)
        controller = diffrax.PIDController(rtol=tolerance, atol=1e-2 * tolerance * unit)
        saved = diffrax.SaveAt(ts=jnp.asarray(task.times))
        span = (task.case.t0, float(task.times[-1]))
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(rate), solver, *span, None, z, q,
            saveat=saved, stepsize_controller=controller, max_steps=None,
        )  # fmt: skip
        return solution.ys[..., 0], solution.ys[..., 1:]

    return _run_jax(task, one, batch)


def diffrax_stiff(task: Task) -> Solver:
    """Diffrax's Kvaerno5, jitted, with forward derivatives through the solver (jacfwd)."""
    import diffrax
    import jax
    import jax.numpy as jnp
    from diffrax._adjoint import _inner_loop, _outer_loop

    class ForwardMode(diffrax.DirectAdjoint):
        """As in newer versions: the plain loop, which DirectAdjoint uses only without a limit of steps."""

        def loop(self, *, throw: Any, passed_solver_state: Any, passed_controller_state: Any, **given: Any) -> Any:
            loops = {"inner_while_loop": _inner_loop, "outer_while_loop": _outer_loop}
            return self._loop(**given, **{name: partial(loop, kind="lax") for name, loop in loops.items()})

    jax.config.update("jax_enable_x64", True)
    n, e = task.n, task.expressions
    f = sp.lambdify(e.arguments, e.rhs, modules=[jnp], cse=True)
    start = sp.lambdify(e.arguments[1 + n :], [sp.sympify(task.case.initial[y]) for y in task.case.states], [jnp])

    def values(q: Any, tolerance: Any) -> Any:
        y = jnp.stack([jnp.asarray(v, dtype=float) for v in start(*q)])
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, q: jnp.stack(f(t, *y, *q))),
            diffrax.Kvaerno5(scan_kind="lax"), task.case.t0, float(task.times[-1]), 1e-6, y, q,
            saveat=diffrax.SaveAt(ts=jnp.asarray(task.times)), max_steps=50_000, adjoint=ForwardMode(),
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=1e-2 * tolerance * jnp.asarray(task.size)),
            throw=False,
        )  # fmt: skip
        return solution.ys, solution.ys

    def both(q: Any, tolerance: Any) -> Any:
        sensitivities, value = jax.jacfwd(values, has_aux=True)(q, tolerance)
        return value, sensitivities

    return _run_jax(task, both, None)


def _run_jax(task: Task, one: Callable[..., Any], batch: int | None) -> Solver:
    import jax

    point = task.params if batch is None else varied(task, batch)
    compiled = jax.jit(one if batch is None else jax.vmap(one, (0, None)))
    return lambda tolerance: tuple(map(np.asarray, jax.block_until_ready(compiled(point, tolerance))))


def pymc3_ode(task: Task) -> Callable[[], Any]:
    """pymc3.ode for Lotka and Volterra: values, sensitivities and a gradient of a sum, one Theano function."""
    import theano
    import theano.tensor as tt
    from pymc3.ode import DifferentialEquation

    def rates(y: Any, t: Any, p: Any) -> Any:
        return [(p[0] - p[1] * y[1]) * y[0], (p[3] * y[0] - p[2]) * y[1]]

    with theano.config.change_flags(compute_test_value="off"):
        start, theta = tt.dvectors("start", "theta")
        op = DifferentialEquation(func=rates, times=task.times, n_states=2, n_theta=4, t0=0)
        states, sensitivities = op(start, theta, return_sens=True)
        gradients = theano.grad(states.sum(), [start, theta])
        function = theano.function([start, theta], [states, sensitivities, *gradients])
    return partial(function, task.params[4:], task.params[:4])


def implicitops_in_theano(task: Task, tolerance: float) -> Callable[[], Any]:
    """The same with our op: values and a gradient of their sum with respect to all parameters."""
    import theano
    import theano.tensor as tt

    with theano.config.change_flags(compute_test_value="off"):
        params = tt.dscalars(task.p)
        problem = task.case.problem(rtol=tolerance, atol=task.atol(tolerance).tolist(), times=task.times.tolist())
        states = problem(*params)
        function = theano.function(params, [states, *theano.grad(states.sum(), params)])
    return partial(function, *task.params)
