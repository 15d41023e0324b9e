"""Models whose posterior is Gaussian and known in closed form, though their mean goes through an implicit node.

The mean of the observations is the straight line a + b t, with a, b ~ Normal(0, 1). Each `Line` computes it from the
solution of a nonlinear problem, so that a wrong solution or derivative is a wrong posterior; the explicit one is an
ordinary expression of Theano. What the tests promise of each kind of problem is declared with `feature`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import arviz as az
import numpy as np
import pymc3 as pm
import pytest
import scipy.stats
import sympy as sp
import theano.tensor as tt
from theano.graph.op import COp

import implicitops as iop
from implicitops.backends.theano.op import SymbolicOperation, needs_python

QUIET = {"progressbar": False, "return_inferencedata": False, "compute_convergence_checks": False}
SIGMA = 0.5
TIMES = np.linspace(0.0, 2.0, 9)
OBSERVED = 0.4 + 0.7 * TIMES + SIGMA * np.random.default_rng(1).standard_normal(9)
# Another data set, of another length.
LATER_TIMES = np.linspace(0.5, 3.0, 14)
LATER_OBSERVED = -0.3 + 0.2 * LATER_TIMES + SIGMA * np.random.default_rng(2).standard_normal(14)

a, b, t, s, x, y = sp.symbols("a b t s x y")
PROBLEMS = {
    "root": iop.Root(x * sp.exp(x) - sp.exp(a + b * t), x, [a, b, t], bracket=(0, sp.exp(a + b * t))),
    "system": iop.Root([x * y - sp.exp(a + b * t), x - y * sp.exp(a - b * t)], [x, y], [a, b, t], guess=[1, 1]),
    "ode": iop.ODE({x: b * x}, [a, b], initial={x: sp.exp(a)}, rtol=1e-10, atol=1e-12),
    "integral": iop.Integral(sp.exp(a + s), (s, 0, b * t), [a, b, t], rtol=1e-12, atol=0),
}


@dataclass(frozen=True)
class Line:
    """a + b t as a function of Theano's variables a, b and t, by way of a problem; None is the expression itself."""

    kind: str
    mean: Callable[[Any, Any, Any], Any]

    @property
    def problem(self) -> Any:
        return PROBLEMS[self.kind]

    def __call__(self, a: Any, b: Any, t: Any) -> Any:
        return self.mean(a, b, t)

    def __repr__(self) -> str:
        return self.kind


def _by_root(a: Any, b: Any, t: Any) -> Any:
    solution = PROBLEMS["root"](a, b, t)
    return solution + tt.log(solution)


def _by_integral(a: Any, b: Any, t: Any) -> Any:
    return tt.log(tt.exp(a) + PROBLEMS["integral"](a, b, t))


LINES = {
    "root": Line("root", _by_root),
    "system": Line("system", lambda a, b, t: tt.log(PROBLEMS["system"](a, b, t)).sum(axis=-1)),
    "ode": Line("ode", lambda a, b, t: tt.log(PROBLEMS["ode"](a, b, times=t)[..., 0])),
    "integral": Line("integral", _by_integral),
}
EXPLICIT = Line("explicit", lambda a, b, t: a + b * t)


def feature(name: str, *, quick: str = "", slow: str = "", against: str) -> Callable[[Any], Any]:
    """Parametrise a test of a feature of PyMC3 over kinds of problems; `line` is its argument.

    The table of docs/pymc3.md is made of these declarations, see `pymc3_features`.

    Parameters
    ----------
    name : str, the row of the table
    quick, slow : str, kinds of problems separated by blanks; the slow ones are for ``make test-slow``
    against : str, what the result is compared with
    """
    quickly = [pytest.param(LINES[kind], id=kind) for kind in quick.split()]
    slowly = [pytest.param(LINES[kind], id=kind, marks=pytest.mark.slow) for kind in slow.split()]

    def declare(test: Any) -> Any:
        test.feature = (name, {*quick.split(), *slow.split()}, against)
        return pytest.mark.parametrize("line", quickly + slowly)(test)

    return declare


def model_of(line: Line, times: Any = TIMES, observed: Any = OBSERVED, **options: Any) -> Any:
    """PyMC3 model of observations around a line."""
    with pm.Model() as model:
        # One variable of two elements, since the order of several may change from one process to the next.
        coefficients = pm.Normal("ab", 0.0, 1.0, shape=2)
        mean = pm.Deterministic("mean", line(coefficients[0], coefficients[1], times))
        pm.Normal("y", mean, SIGMA, observed=observed, **options)
    return model


@dataclass(frozen=True)
class Gaussian:
    """Exact posterior of (a, b), and the logarithm of the evidence."""

    mean: np.ndarray
    covariance: np.ndarray
    log_evidence: float

    @property
    def precision(self) -> np.ndarray:
        return np.linalg.inv(self.covariance)

    @property
    def sd(self) -> np.ndarray:
        return np.sqrt(np.diag(self.covariance))

    def check(self, draws: np.ndarray, errors: float = 4.0) -> None:
        """Means, standard deviations and the correlation are right within Monte Carlo errors of (chain, draw, 2)."""
        standardised = (draws - self.mean) @ np.linalg.cholesky(self.precision)
        for k in range(2):
            z = np.ascontiguousarray(standardised[..., k])
            assert abs(z.mean()) < errors * az.mcse(z, method="mean")
            assert abs(z.std() - 1) < errors * az.mcse(z, method="sd")
        product = np.ascontiguousarray(standardised.prod(axis=-1))
        assert abs(product.mean()) < errors * az.mcse(product, method="mean")


def posterior_of(times: np.ndarray = TIMES, observed: np.ndarray = OBSERVED) -> Gaussian:
    """Posterior of Bayesian linear regression with known noise: Bishop (2006), equations 3.50, 3.51 and 3.86."""
    design = np.stack([np.ones_like(times), times], axis=1)
    covariance = np.linalg.inv(np.eye(2) + design.T @ design / SIGMA**2)
    marginal = np.eye(len(times)) * SIGMA**2 + design @ design.T
    evidence = scipy.stats.multivariate_normal(np.zeros(len(times)), marginal).logpdf(observed)
    return Gaussian(covariance @ design.T @ observed / SIGMA**2, covariance, float(evidence))


def draws_of(trace: Any) -> np.ndarray:
    """Draws of (a, b) by chain: (chain, draw, 2)."""
    return np.array(trace.get_values("ab", combine=False, squeeze=False))


def lines_of(draws: np.ndarray, times: np.ndarray = TIMES) -> np.ndarray:
    """a + b t for draws of (a, b): (..., 2) to (..., time)."""
    return draws[..., :1] + draws[..., 1:] * times


@contextmanager
def compiling_only_ours() -> Any:
    """Ops other than ours run in Python, so that short tests need not wait for a compiler."""
    original = COp.make_thunk

    def make_thunk(
        self: Any, node: Any, storage_map: Any, compute_map: Any, no_recycling: Any, impl: Any = None
    ) -> Any:
        is_compiled = isinstance(self, SymbolicOperation) and not needs_python(self.operation)
        impl = "c" if is_compiled else "py"
        return original(self, node, storage_map, compute_map, no_recycling, impl=impl)

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(COp, "make_thunk", make_thunk)
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, where C code says nothing: log(0)
        yield
