"""Promises of the estimated errors of an ODE's values and derivatives: honest, and not much larger than the errors."""

import pickle

import numpy as np
import pytest
import sympy as sp
from catalogue.ode_problems import case_named, ode_catalogue

import implicitops as iop
from implicitops.backends.numpy import evaluate
from implicitops.calculus.sensitivities import Sensitivities
from implicitops.problems.ode import METHODS
from implicitops.status import Status

x, y, t, k, a, h, tau = sp.symbols("x y t k a h tau")


def methods_of(case):
    return ("auto", "rodas5p") if "stiff" in case.tags else METHODS


def assert_honest(estimate, found, right, known):
    """Whether an estimate is at least the error, as far as the reference is known; returns how many are close to it."""
    unknown = (known + 1e-15) * np.abs(right)
    error = np.abs(found - right)
    assert (error <= estimate + unknown).all()
    return estimate <= 1000 * (error + unknown)


class TestCatalogue:
    @pytest.mark.parametrize(
        "case", [case for case in ode_catalogue() if case.name not in ("Pleiades", "Brusselator 50")], ids=str
    )
    def test_estimates_are_honest(self, case):
        reference, close = case.reference(), []
        for method in methods_of(case):
            for rtol in (1e-3, 1e-5, 1e-7, 1e-8, 1e-10):
                atol = rtol * (1e-6 if "multiscale" in case.tags else 1)
                solution = case.problem(method=method, rtol=rtol, atol=atol).solve(*case.point, derivatives=1)
                pairs = (
                    (solution.error_estimate, solution.value, reference.values, reference.value_error),
                    (solution.jacobian_error, solution.jacobian, reference.sensitivities, reference.sensitivity_error),
                )
                close += [assert_honest(*pair).ravel() for pair in pairs]
        assert np.concatenate(close).mean() > 0.49

    @pytest.mark.parametrize("name", ["Lotka-Volterra", "Van der Pol 1", "Oregonator"])
    def test_estimates_of_second_derivatives_are_honest(self, name):
        case = case_named(name)
        exact = case.problem(method="rodas5p", rtol=1e-11, atol=1e-13).solve(*case.point, derivatives=2).hessian
        for rtol in (1e-3, 1e-5, 1e-7):
            solution = case.problem(rtol=rtol, atol=rtol).solve(*case.point, derivatives=2)
            assert (np.abs(solution.hessian - exact) <= solution.hessian_error).all()
            assert np.median(solution.hessian_error / np.abs(solution.hessian - exact)) < 3000


@pytest.mark.parametrize("method", METHODS)
class TestWhatHappensOnTheWay:
    def test_events_switches_and_crossings(self, method):
        rhs = {x: sp.Piecewise((k, t < tau), (-k * x, True)), y: sp.Max(x - h, 0)}
        problem = iop.ODE(rhs, [k, h, tau], initial={x: 0, y: 0}, t=t, events=[(tau + 1, {x: 3 * x})], method=method)

        def at(rtol):
            same_states = iop.ODE({x: 0, y: 0}, [k], initial={x: 0, y: 0}, method=method, rtol=rtol, atol=rtol / 100)
            return problem.replaced(options=same_states.options)

        point, times = (1.1, 0.5, 1.0), [4.0, 0.2, 2.0, 0.9]
        exact = at(1e-13).solve(*point, times=times, derivatives=1)
        for rtol in (1e-3, 1e-6):
            solution = at(rtol).solve(*point, times=times, derivatives=1)
            assert (np.abs(solution.value - exact.value) <= solution.error_estimate + 1e-13).all()
            assert (np.abs(solution.jacobian - exact.jacobian) <= solution.jacobian_error + 1e-12).all()
            assert (solution.jacobian_error < 1e4 * rtol).all()

    def test_shapes_are_those_of_the_derivatives(self, method):
        problem = iop.ODE({x: -k * x}, [k, a], initial={x: a}, outputs=[x, x**2, k], method=method)
        solution = problem.solve([0.5, 1.0], 1.0, times=[1.0, 2.0], derivatives=2)
        assert solution.error_estimate.shape == (2, 2, 3)
        assert solution.jacobian_error.shape == (2, 2, 3, 2)
        assert solution.hessian_error.shape == (2, 2, 3, 2, 2)
        assert problem.solve(0.5, 1.0, times=[1.0], derivatives=1).hessian_error is None
        alone = problem.solve(1.0, 1.0, times=[1.0, 2.0], derivatives=2)
        assert np.array_equal(solution.jacobian_error[1], alone.jacobian_error)

    def test_estimates_change_no_answer(self, method):
        problem = iop.ODE({x: -k * x}, [k], initial={x: 1}, method=method)
        solution = problem.solve(0.5, times=[1.0, 2.0], derivatives=1)
        value, jacobian = evaluate(Sensitivities(problem, 1), [0.5, np.array([1.0, 2.0])])
        assert np.array_equal(solution.value, value)
        assert np.array_equal(solution.jacobian, jacobian[..., :1])

    def test_a_loose_tolerance_is_no_failure(self, method):
        problem = iop.ODE(
            {x: k * x * (1 - x)}, [k], initial={x: sp.Rational(1, 1000)}, method=method, rtol=1e-2, atol=1e-2
        )
        assert problem.solve(1.0, times=[7.0], derivatives=1).status is Status.CONVERGED

    def test_a_derivative_that_overflows_leaves_the_value(self, method):
        problem = iop.ODE({x: -k * x}, [k], initial={x: 1}, method=method)
        solution = problem.solve(1e-160, times=[1e160], derivatives=2, throw=False)
        assert solution.status is Status.DERIVATIVE_UNDEFINED
        assert np.isclose(solution.value[0, 0], np.exp(-1), rtol=1e-7)
        assert np.isclose(solution.jacobian[0, 0, 0], -1e160 * np.exp(-1), rtol=1e-7)

    def test_values_alone_have_an_estimate_too(self, method):
        solution = iop.ODE({x: -k * x}, [k], initial={x: 1}, method=method).solve(0.5, times=[1.0, 2.0])
        assert (np.abs(solution.value[:, 0] - np.exp([-0.5, -1.0])) <= solution.error_estimate[:, 0]).all()
        assert (solution.error_estimate < 1e-4).all()
        assert solution.jacobian_error is solution.hessian_error is None

    def test_estimates_are_those_of_the_inputs_that_were_solved_for(self, method):
        problem = iop.ODE({x: -k * x}, [k], initial={x: 1}, method=method)
        rates = np.array([0.5, 0.7])
        solution = problem.solve(rates, times=[1.0], derivatives=1)
        rates[:] = 1e6
        expected = problem.solve([0.5, 0.7], times=[1.0], derivatives=1)
        assert np.array_equal(solution.jacobian_error, expected.jacobian_error)

    def test_estimates_travel_with_a_pickled_solution(self, method):
        problem = iop.ODE({x: -k * x}, [k], initial={x: 1}, method=method)
        solution = problem.solve(0.5, times=[1.0], derivatives=1)
        opened = pickle.loads(pickle.dumps(solution))
        assert np.array_equal(opened.jacobian_error, solution.jacobian_error)
        assert np.array_equal(opened.value, solution.value)
