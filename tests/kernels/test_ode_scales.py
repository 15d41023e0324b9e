"""Promises of the ODE solver at the ends of the range of doubles: no norm and no step size is lost there."""

import math

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.backends.numpy import evaluate
from implicitops.calculus.sensitivities import Adjoint
from implicitops.problems.ode import METHODS

y, z, t, k, a = sp.symbols("y z t k a")


def gradient(problem, *point, times, weight=1.0):
    """Derivatives of the weighted last output by the adjoint method."""
    weights = np.zeros((len(times), 1))
    weights[-1] = weight
    return evaluate(Adjoint(problem), [*point, np.array(times), weights])


@pytest.mark.parametrize("method", METHODS)
class TestScales:
    @pytest.mark.parametrize("unit", [1e-200, 1e-150, 1e150, 1e200])
    def test_states_in_any_unit(self, method, unit):
        problem = iop.ODE({y: -k * y}, [k, a], initial={y: a}, method=method, atol=1e-10 * unit)
        solution = problem.solve(1.0, unit, times=[1.0, 2.0], derivatives=2)
        exact = unit * np.exp([-1.0, -2.0])
        assert np.allclose(solution.value[:, 0] / exact, 1, rtol=0, atol=1e-7)
        assert np.allclose(solution.jacobian[:, 0, 0] / exact, [-1, -2], rtol=1e-7)
        assert np.allclose(solution.hessian[:, 0, 0, 0] / exact, [1, 4], rtol=1e-7)
        by_k, by_a, _ = gradient(problem, 1.0, unit, times=[2.0], weight=1 / unit)
        assert math.isclose(by_k, -2 * math.exp(-2), rel_tol=1e-7)
        assert math.isclose(by_a * unit, math.exp(-2), rel_tol=1e-7)

    @pytest.mark.parametrize("unit", [1e-200, 1e-100, 1e100, 1e200])
    def test_times_in_any_unit(self, method, unit):
        problem = iop.ODE({y: -k * y}, [k, a], initial={y: a}, method=method)
        solution = problem.solve(1 / unit, 1.0, times=[unit, 2 * unit], derivatives=1)
        exact = np.exp([-1.0, -2.0])
        assert np.allclose(solution.value[:, 0], exact, rtol=1e-7)
        assert np.allclose(solution.jacobian[:, 0, 0] / unit, [-1, -2] * exact, rtol=1e-7)
        by_k, by_a, _ = gradient(problem, 1 / unit, 1.0, times=[2 * unit])
        assert math.isclose(by_k / unit, -2 * math.exp(-2), rel_tol=1e-7)
        assert math.isclose(by_a, math.exp(-2), rel_tol=1e-7)

    @pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-10])
    def test_an_error_whose_square_is_zero(self, method, rtol):
        # Far from its centre the input, and with it every error, is smaller than 1e-162.
        bump = k * sp.exp(-100 * (t - 5) ** 2)
        problem = iop.ODE({y: bump}, [k], initial={y: 0}, t=t, method=method, rtol=rtol)
        (by_k, _) = gradient(problem, 2.0, times=[10.0])
        assert math.isclose(by_k, math.sqrt(math.pi) / 10, rel_tol=100 * rtol)

    def test_a_state_that_decays_to_nothing_needs_no_absolute_tolerance(self, method):
        problem = iop.ODE({y: -k * y, z: k}, [k], initial={y: 1, z: 0}, method=method, atol=0)
        solution = problem.solve(1.0, times=[700.0, 1000.0], derivatives=1)
        assert math.isclose(solution.value[0, 0], math.exp(-700), rel_tol=1e-5)
        assert abs(solution.value[1, 0]) < 1e-300
        assert np.allclose(solution.value[:, 1], [700, 1000], rtol=1e-9)
