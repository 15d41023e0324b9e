"""Promises of max_step= and breakpoints=: narrow inputs are seen, and nothing else changes."""

import math

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.backends.numpy import evaluate
from implicitops.calculus.sensitivities import Adjoint
from implicitops.problems.ode import METHODS

y, t, k, centre, width = sp.symbols("y t k centre width")


def bump(**options):
    """A Gaussian input into a state that decays; long after it y(s) = sqrt(pi) w exp(k^2 w^2 / 4 - k (s - c))."""
    rate = sp.exp(-(((t - centre) / width) ** 2)) - k * y
    return iop.ODE({y: rate}, [k, centre, width], initial={y: 0}, t=t, sensitivity="adjoint", **options)


def after(decay, at, wide, time):
    return math.sqrt(math.pi) * wide * math.exp(decay**2 * wide**2 / 4 - decay * (time - at))


@pytest.mark.parametrize("method", METHODS)
class TestNarrowInputs:
    @pytest.mark.parametrize(
        "options", [{"max_step": 0.2}, {"breakpoints": [centre]}, {"breakpoints": [7, centre - width / 3]}], ids=str
    )
    def test_an_input_that_steps_would_pass_over(self, options, method):
        point, time = (0.01, 50.0, 0.1), 51.0
        assert bump(method=method)(*point, times=[time])[0, 0] < 1e-6  # which is why the options exist
        problem, exact = bump(method=method, **options), after(*point, time)
        solution = problem.solve(*point, times=[time], derivatives=2)
        assert math.isclose(problem(*point, times=[time])[0, 0], exact, rel_tol=1e-6)
        assert math.isclose(solution.value[0, 0], exact, rel_tol=1e-7)
        assert np.allclose(
            solution.jacobian[0, 0], exact * np.array([0.01 * 0.005 - 1, 0.01, 10 + 0.1 * 5e-5]), rtol=1e-6
        )
        assert math.isclose(solution.hessian[0, 0, 1, 1], exact * 1e-4, rel_tol=1e-5)
        by_parameters = evaluate(Adjoint(problem), [*point, np.array([time]), np.ones((1, 1))])[:3]
        assert np.allclose(by_parameters, solution.jacobian[0, 0], rtol=1e-6)

    def test_no_step_is_longer_than_max_step(self, method):
        problem = iop.ODE({y: -k * y}, [k], initial={y: 1}, method=method, max_step=0.25, rtol=1e-3)
        solution = problem.solve(1e-3, times=[100.0])
        assert 400 <= solution.stats["steps"] <= 410
        assert math.isclose(solution.value[0, 0], math.exp(-0.1), rel_tol=1e-6)

    def test_breakpoints_that_are_never_have_no_effect(self, method):
        plain = iop.ODE({y: -k * y}, [k], initial={y: 1}, t0=1, method=method)
        for time in (sp.log(-k), 1 / (k - 1), 0, 1, 9):
            problem = plain.replaced(breakpoints=(sp.sympify(time),))
            assert problem(1.0, times=[1.0, 3.0]).tolist() == plain(1.0, times=[1.0, 3.0]).tolist()

    def test_breakpoints_are_those_of_each_batch_element(self, method):
        problem, centres = bump(method=method, breakpoints=[centre]), np.array([5.0, 20.0, 40.0])
        values = problem(0.01, centres, 0.1, times=[45.0])[:, 0, 0]
        assert np.allclose(values, [after(0.01, c, 0.1, 45.0) for c in centres], rtol=1e-6)

    def test_a_break_point_at_an_event_and_an_output(self, method):
        problem = iop.ODE(
            {y: -k * y}, [k], initial={y: 1}, events=[(1, {y: y + 1})], breakpoints=[1, 1, 2], method=method
        )
        values = problem(1.0, times=[1.0, 2.0])[:, 0]
        assert np.allclose(values, [math.exp(-1) + 1, math.exp(-2) + math.exp(-1)], rtol=1e-8)
