"""Promises of the ODE solver about failing: a status that says why, NaN in value and derivatives, and nothing else."""

import time

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.errors import DifferentiabilityError
from implicitops.problems.ode import METHODS
from implicitops.status import Status

y, z, t, k, a, tau = sp.symbols("y z t k a tau")


def statement(rate, **fields):
    return iop.ODE(**{"rhs": {y: rate}, "params": [k, a], "initial": {y: a}, "t": t, **fields})


def assert_failed(solution, status):
    assert np.atleast_1d(solution.status).tolist() == [status] * np.size(solution.status)
    for numbers in (solution.value, solution.jacobian, solution.hessian, solution.time_derivative):
        assert numbers is None or np.isnan(numbers).all()


class TestEachStatus:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("derivatives", [0, 1])
    @pytest.mark.parametrize("rate", [k * y**2, 1 + k * y**4, sp.exp(k * y), k / (2 - t) ** 2], ids=str)
    def test_a_solution_that_ends_in_finite_time(self, rate, method, derivatives):
        problem = statement(rate, method=method)
        solution = problem.solve(1.0, 1.0, times=[0.1, 3.0], derivatives=derivatives, throw=False)
        assert_failed(solution, Status.BLOW_UP)

    def test_growth_beyond_the_largest_number(self):
        assert_failed(statement(k * y).solve(1.0, 1.0, times=[800.0], derivatives=1, throw=False), Status.BLOW_UP)

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("derivatives", [0, 1, 2])
    def test_the_step_limit(self, method, derivatives):
        problem = statement(-k * y, method=method, max_steps=5)
        solution = problem.solve(1.0, 1.0, times=[10.0], derivatives=derivatives, throw=False)
        assert_failed(solution, Status.MAX_STEPS)
        assert solution.stats["steps"] + solution.stats["rejected"] == 5

    @pytest.mark.parametrize("method", ["tsit5", "dop853"])
    @pytest.mark.parametrize("derivatives", [0, 1])
    def test_a_stiff_problem_and_an_explicit_method(self, method, derivatives):
        fields = {"rate": -k * (y - sp.cos(t)), "rtol": 1e-6, "atol": 1e-8, "max_steps": 2000}
        arguments = {"times": [10.0], "derivatives": derivatives}
        solution = statement(method=method, **fields).solve(1e5, 1.0, throw=False, **arguments)
        assert_failed(solution, Status.STIFF)
        for better in ("auto", "rodas5p"):
            assert statement(method=better, **fields).solve(1e5, 1.0, **arguments).converged

    @pytest.mark.parametrize("method", ["tsit5", "dop853"])
    @pytest.mark.parametrize("derivatives", [0, 1])
    @pytest.mark.parametrize("rtol", [1e-6, 1e-9, 1e-12])
    def test_a_low_order_is_not_stiffness(self, rtol, method, derivatives):
        # A step of Rodas5P over eight explicit ones would hold at first, where the oscillation is slow.
        problem = statement(k * sp.cos(t**2) * y, method=method, rtol=rtol, atol=rtol, max_steps=25)
        assert_failed(problem.solve(1.0, 1.0, times=[20.0], derivatives=derivatives, throw=False), Status.MAX_STEPS)

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("derivatives", [0, 1])
    @pytest.mark.parametrize(
        "rate", [-k * sp.sqrt(y), k * sp.sqrt(1 - t), k * sp.log(1.5 - t), k * sp.asin(y)], ids=str
    )
    def test_a_right_hand_side_that_is_no_real_number_midway(self, rate, method, derivatives):
        solution = statement(rate, method=method).solve(
            1.0, 0.9, times=[0.1, 4.0], derivatives=derivatives, throw=False
        )
        assert_failed(solution, Status.UNDEFINED)

    @pytest.mark.parametrize(
        "fields",
        [
            {"rate": sp.log(k) * y},
            {"rate": y, "initial": {y: sp.log(k)}},
            {"rate": y, "events": [(1, {y: sp.log(k)})]},
            {"rate": y, "events": [(sp.log(k), {y: 0})]},
            {"rate": y, "t0": sp.log(k)},
        ],
        ids=str,
    )
    def test_a_part_of_the_statement_that_is_no_real_number(self, fields):
        assert_failed(statement(**fields).solve(-1.0, 1.0, times=[4.0], derivatives=1, throw=False), Status.UNDEFINED)

    @pytest.mark.parametrize("method", METHODS)
    def test_a_start_from_which_more_than_one_solution_may_begin(self, method):
        problem = statement(k * sp.sqrt(y), method=method)
        for derivatives in (0, 1):
            solution = problem.solve(1.0, 0.0, times=[1.0], derivatives=derivatives, throw=False)
            assert_failed(solution, Status.NOT_LIPSCHITZ)
        np.testing.assert_allclose(problem(1.0, 1e-8, times=[1.0]), (1e-4 + 0.5) ** 2, rtol=1e-6)

    def test_an_event_may_lead_to_such_a_start(self):
        problem = statement(k * sp.sqrt(y), events=[(1, {y: 0})])
        assert_failed(problem.solve(1.0, 1.0, times=[0.5, 2.0], derivatives=1, throw=False), Status.NOT_LIPSCHITZ)
        assert problem.solve(1.0, 1.0, times=[0.5], derivatives=1).converged

    @pytest.mark.parametrize("method", METHODS)
    def test_a_singularity_that_no_state_shows_by_growing(self, method):
        assert_failed(statement(-k / y, method=method).solve(1.0, 1.0, times=[3.0], throw=False), Status.STEP_TOO_SMALL)

    @pytest.mark.parametrize("derivatives", [0, 1, 2])
    def test_an_output_time_or_an_event_before_the_start(self, derivatives):
        problem = statement(-k * y, t0=1, events=[(k, {y: 0})])
        early_output = problem.solve(2.0, 1.0, times=[2.0, 0.5, 3.0], derivatives=derivatives, throw=False)
        early_event = problem.solve(0.5, 1.0, times=[2.0, 3.0], derivatives=derivatives, throw=False)
        assert_failed(early_output, Status.BEFORE_START)
        assert_failed(early_event, Status.BEFORE_START)
        assert problem.solve(1.0, 1.0, times=[1.0], derivatives=derivatives).converged

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_arguments_that_are_not_finite(self, bad):
        problem = iop.ODE({y: -y}, [k, a], initial={y: a}, events=[(k, {y: 0})])
        for arguments in ((bad, 1.0, [1.0]), (1.0, bad, [1.0]), (1.0, 1.0, [1.0, bad])):
            solution = problem.solve(*arguments[:2], times=arguments[2], derivatives=2, throw=False)
            assert_failed(solution, Status.INVALID_INPUT)


class TestJumps:
    """Right-hand sides that jump where the states say so."""

    @pytest.mark.parametrize("method", METHODS)
    def test_states_that_slide_along_a_jump_end_with_a_status_and_soon(self, method):
        started = time.perf_counter()
        solution = statement(k / 3 - k * sp.sign(y), method=method).solve(1.0, 1.0, times=[3.0], throw=False)
        assert_failed(solution, Status.MAX_STEPS)
        assert "slide along" in solution.status.value
        assert time.perf_counter() - started < 10

    @pytest.mark.parametrize("method", METHODS)
    def test_a_state_comes_to_rest_on_a_jump_whose_own_value_is_zero(self, method):
        # sign(0) is 0: what has arrived there stays.
        for rate in (-k * sp.sign(y), sp.Piecewise((-k, y > 0), (k, y < 0), (0, True))):
            values = statement(rate, method=method)(1.0, 1.0, times=[0.5, 3.0])
            assert np.allclose(values[:, 0], [0.5, 0.0], rtol=1e-9, atol=1e-9)

    @pytest.mark.parametrize("method", METHODS)
    def test_a_jump_that_is_crossed_costs_steps_but_no_accuracy(self, method):
        problem = statement(sp.Piecewise((k, y < 2), (3, True)), method=method)
        np.testing.assert_allclose(problem(1.0, 1.0, times=[0.5, 3.0])[:, 0], [1.5, 8], rtol=1e-6)

    @pytest.mark.parametrize("rate", [-k * sp.sign(y), sp.floor(y), sp.Piecewise((k, y < 2), (3, True))], ids=str)
    def test_no_derivative_is_given_that_would_miss_the_jump(self, rate):
        with pytest.raises(DifferentiabilityError, match="value can be computed, this derivative cannot"):
            statement(rate).solve(1.0, 1.0, times=[0.5], derivatives=1)

    def test_a_kink_allows_first_derivatives_and_no_second_ones(self):
        problem = statement(sp.Max(k, y), rtol=1e-10, atol=1e-12)  # y = 1 + t until y = 2, and then 2 exp(t - 1)
        solution = problem.solve(2.0, 1.0, times=[2.0], derivatives=1)
        # The kink is at t = (k - a) / k: y = k exp(t - 1 + a / k).
        value = 2 * np.exp(1.5)
        np.testing.assert_allclose(solution.value, [[value]], rtol=1e-7)
        np.testing.assert_allclose(solution.jacobian, [[[value * (1 / 2 - 1 / 4), value / 2]]], rtol=1e-6)
        with pytest.raises(DifferentiabilityError, match="not continuously differentiable"):
            problem.solve(2.0, 1.0, times=[2.0], derivatives=2)


class TestOneFailureAmongOthers:
    BLOWS_UP = statement(sp.Piecewise((k, t < 0.5), (k * y**2, True)), events=[(1, {y: y / 2})])

    def test_every_status_in_one_batch(self):
        problem = statement(k * sp.sqrt(y - t) + y**2 * a, initial={y: 1 + k**2 - a}, events=[(k, {y: y})])
        batch = np.array([[1.0, 0.1], [-1.0, 0.1], [np.nan, 0.0], [2.0, 9.0], [1.0, 2.0], [3.0, 1.0]])
        solution = problem.solve(*batch.T, times=[0.3, 1.0], derivatives=1, throw=False)
        assert solution.status.tolist() == [
            Status.CONVERGED,
            Status.BEFORE_START,
            Status.INVALID_INPUT,
            Status.UNDEFINED,
            Status.NOT_LIPSCHITZ,
            Status.BLOW_UP,
        ]
        assert solution.converged.tolist() == [True] + [False] * 5
        assert np.isfinite(solution.value[0]).all()
        assert np.isfinite(solution.jacobian[0]).all()
        assert np.isnan(solution.value[1:]).all()
        assert np.isnan(solution.jacobian[1:]).all()
        assert np.isnan(solution.time_derivative[1:]).all()

    @pytest.mark.parametrize("derivatives", [0, 1, 2])
    def test_the_others_are_what_they_are_alone(self, derivatives):
        rates = np.array([0.3, 50.0, 0.3, np.nan, 0.4])
        solution = self.BLOWS_UP.solve(rates, 1.0, times=[0.2, 1.5], derivatives=derivatives, throw=False)
        assert solution.converged.tolist() == [True, False, True, False, True]
        for i in (0, 2, 4):
            alone = self.BLOWS_UP.solve(rates[i], 1.0, times=[0.2, 1.5], derivatives=derivatives)
            np.testing.assert_array_equal(alone.value, solution.value[i])
            if derivatives:
                np.testing.assert_array_equal(alone.jacobian, solution.jacobian[i])

    def test_rows_before_the_failure_are_nan_as_well(self):
        solution = self.BLOWS_UP.solve(50.0, 1.0, times=[0.0, 0.1, 1.5], derivatives=1, throw=False)
        assert_failed(solution, Status.BLOW_UP)

    def test_a_call_raises_and_names_the_element_its_arguments_and_the_reason(self):
        with pytest.raises(
            iop.SolveError, match=r"index \(1,\), k=50, a=1.*beyond all bounds.*Status.BLOW_UP"
        ) as caught:
            self.BLOWS_UP([0.3, 50.0], 1.0, times=[0.2, 1.5])
        assert caught.value.solution.converged.tolist() == [True, False]

    def test_or_returns_nan_if_the_statement_says_so(self):
        quiet = statement(k * y**2, on_failure="nan")
        found = quiet([0.3, 50.0], 1.0, times=[0.2, 1.5])
        assert np.isfinite(found[0]).all()
        assert np.isnan(found[1]).all()
