"""penalised: fits that a NaN ends go through, and find what they find where no solve fails."""

from __future__ import annotations

import contextlib
import warnings

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import sympy as sp
from sampling_backends import BACKENDS

import implicitops as iop
from implicitops.backends.failures import failures
from implicitops.sampling import failure_report, finite_solution, logp_function, penalised

pm = pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")
import theano  # noqa: E402
import theano.tensor as tt  # noqa: E402

pytestmark = pytest.mark.usefixtures("uncompiled")

x, y, p, q = sp.symbols("x y p q")
square_root = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))


def model_of(solution):
    """sqrt(v) is observed to be 1.2 with sd 0.1, and nothing below v = 0 has a solution."""
    with pm.Model() as model:
        v = pm.Normal("v", 1, 1)
        pm.Normal("y", solution(v), 0.1, observed=1.2)
    return model


def moments():
    def density(v):
        return scipy.stats.norm.pdf(v, 1, 1) * scipy.stats.norm.pdf(1.2, np.sqrt(v), 0.1)

    total = scipy.integrate.quad(density, 0, 8)[0]
    mean = scipy.integrate.quad(lambda v: v * density(v), 0, 8)[0] / total
    return mean, np.sqrt(scipy.integrate.quad(lambda v: (v - mean) ** 2 * density(v), 0, 8)[0] / total)


def test_value_is_finite_and_the_derivative_is_that_of_the_elements_that_were_solved():
    a = tt.dscalar("a")
    with failure_report(warn=False):
        solution, failed = finite_solution(square_root, a * np.array([4.0, -1.0, 9.0]), replacement=0.5)
        value, bad, gradient = theano.function([a], [solution, failed, tt.grad(solution.sum(), a)])(1.0)
    np.testing.assert_array_equal(value, [2.0, 0.5, 3.0])
    np.testing.assert_array_equal(bad, [False, True, False])
    np.testing.assert_allclose(gradient, 4 / (2 * 2) + 9 / (2 * 3), rtol=1e-14)


def test_a_parameter_shared_by_a_batch_keeps_the_derivative_of_the_elements_that_were_solved():
    # x y = p, x = q y: x = sqrt(p q), which exists for positive q; p is one number for all of them.
    system = iop.Root([x * y - p, x - q * y], [x, y], [p, q], guess=[1, 1])
    a = tt.dscalar("a")
    with failure_report(warn=False):
        solution, failed = finite_solution(system, a, np.array([1.0, -1.0, 4.0]))
        value, bad, gradient = theano.function([a], [solution, failed, tt.grad(solution[:, 0].sum(), a)])(4.0)
    np.testing.assert_allclose(value[:, 0], [2.0, 0.0, 4.0], rtol=1e-14)
    np.testing.assert_array_equal(bad, [False, True, False])
    np.testing.assert_allclose(gradient, (1 + 2) / (2 * 2), rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_log_density_is_penalised_on_both_backends(backend):
    function = logp_function(model_of(lambda v: penalised(square_root, v, replacement=0.7, potential=-1e3)), backend)
    with failure_report(warn=False):
        value, gradient = function([-0.5])
    exact = scipy.stats.norm.logpdf(-0.5, 1, 1) + scipy.stats.norm.logpdf(1.2, 0.7, 0.1) - 1e3
    np.testing.assert_allclose(value, exact, rtol=1e-14)
    np.testing.assert_allclose(gradient, [1.5], rtol=1e-14)  # that of the prior alone


@pytest.mark.parametrize("method", ["advi", pytest.param("svgd", marks=pytest.mark.slow)])
def test_fits_that_die_of_a_nan_find_the_posterior_with_a_penalty(method):
    mean, sd = moments()
    options = {"n": 150, "inf_kwargs": {"n_particles": 100}} if method == "svgd" else {"n": 5000}
    optimizer = pm.adam(learning_rate=0.05 if method == "svgd" else 0.005)
    options |= {"method": method, "random_seed": 2, "progressbar": False, "obj_optimizer": optimizer}
    with failure_report(warn=False) as report, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        died = True
        with model_of(square_root), contextlib.suppress(FloatingPointError):
            died = not np.isfinite(pm.fit(**options).sample(50)["v"]).all()
        assert died
        with model_of(lambda v: penalised(square_root, v, replacement=0.7)):
            draws = pm.fit(**options).sample(4000)["v"]
    assert report.count > 0
    # The families of both fits are approximations: the tolerance is a part of the posterior's width.
    assert abs(draws.mean() - mean) < 0.15 * sd
    assert failures()[square_root].count >= report.count


def test_penalty_and_replacement_that_are_not_finite_are_errors():
    with pm.Model():
        v = pm.Normal("v", 1, 1)
        with pytest.raises(iop.ArgumentError, match="finite and negative; got -inf"):
            penalised(square_root, v, potential=-np.inf)
        with pytest.raises(iop.ArgumentError, match="replacement must be finite"):
            penalised(square_root, v, replacement=np.nan)
        with pytest.raises(iop.ArgumentError, match=r"needs 1 parameters \(p\); got 2"):
            penalised(square_root, v, v)
    with pytest.raises(TypeError, match="context"):
        penalised(square_root, 1.0)
