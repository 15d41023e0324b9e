"""Promises of the ODE solver: right values and derivatives, at the times asked for, in batches as in single calls."""

import numpy as np
import pytest
import sympy as sp
from catalogue.ode_problems import case_named

import implicitops as iop
from implicitops.backends.numpy import evaluate
from implicitops.calculus.sensitivities import Sensitivities
from implicitops.problems.ode import METHODS
from implicitops.symbolic.ode import ode_functions_of

x, y, z, t, k, a, b, s = sp.symbols("x y z t k a b s")
TIGHT = {"rtol": 1e-11, "atol": 1e-13}

#: y' = t - k y with y(t0) = b and t0 = a k, whose solution depends on all of them.
LATE = iop.ODE({y: t - k * y}, [k, a, b], initial={y: b}, t=t, t0=a * k, **TIGHT)
LATE_EXACT = (b - a + 1 / k**2) * sp.exp(-k * (t - a * k)) + t / k - 1 / k**2

DECAY = iop.ODE({y: -k * y}, [k, b], initial={y: b})


class TestValuesAndDerivatives:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("name", ["decay", "logistic", "forced oscillator"])
    def test_closed_forms_are_met_to_second_order(self, name, method, closed_form):
        case = case_named(name)
        exact = closed_form([case.exact[u] for u in case.states], case.flat_params, case.t, case.flat_point, case.times)
        solution = case.problem(method=method, **TIGHT).solve(*case.point, times=case.times, derivatives=2)
        exact.check(solution, 1e-9)

    @pytest.mark.parametrize("method", METHODS)
    def test_the_initial_time_has_derivatives_like_any_parameter(self, method, closed_form):
        problem = iop.ODE(
            {y: t - k * y}, [k, a, b], initial={y: b}, t=t, t0=a * k, method=method, rtol=1e-11, atol=1e-13
        )
        point, times = (0.8, 0.5, 2.0), (0.4, 1.0, 3.0)
        exact = closed_form([LATE_EXACT], (k, a, b), t, point, times)
        exact.check(problem.solve(*point, times=times, derivatives=2), 1e-9)

    def test_initial_values_may_be_any_expression_of_the_parameters(self, closed_form):
        problem = iop.ODE({y: -k * y}, [k, b], initial={y: sp.exp(b) / k}, **TIGHT)
        exact = closed_form([sp.exp(b - k * t) / k], (k, b), t, (0.8, 0.3), (0, 1, 2))
        exact.check(problem.solve(0.8, 0.3, times=[0, 1, 2], derivatives=2), 1e-10)

    def test_the_derivative_by_the_output_time_is_the_right_hand_side(self):
        case = case_named("Lotka-Volterra")
        solution = case.problem(**TIGHT).solve(*case.point, times=case.times, derivatives=1)
        rhs = sp.lambdify((*case.states, *case.flat_params), [case.rhs[u] for u in case.states])
        expected = [rhs(*row, *case.flat_point) for row in solution.value]
        np.testing.assert_allclose(solution.time_derivative, expected, rtol=1e-13)

    def test_second_derivatives_include_those_by_the_output_time(self, closed_form):
        point, times = (0.8, 0.5, 2.0), np.array([0.4, 1.0, 3.0])
        unused, columns = sp.Symbol("unused"), (k, a, b, t)
        exact = [closed_form([LATE_EXACT], columns, unused, (*point, time), [0.0]) for time in times]
        _, jacobian, hessian = evaluate(Sensitivities(LATE, 2), [*point, times])
        np.testing.assert_allclose(jacobian, np.concatenate([e.jacobian for e in exact]), rtol=1e-9)
        np.testing.assert_allclose(hessian, np.concatenate([e.hessian for e in exact]), rtol=1e-9, atol=1e-10)

    @pytest.mark.parametrize("derivatives", [0, 1, 2])
    def test_outputs_are_functions_of_states_parameters_and_time(self, derivatives, closed_form):
        outputs = [sp.sin(y) * t, k**2, y**2 + b]
        problem = iop.ODE({y: -k * y}, [k, b], initial={y: b}, t=t, outputs=outputs, **TIGHT)
        exact = closed_form([e.subs(y, b * sp.exp(-k * t)) for e in outputs], (k, b), t, (0.8, 0.3), (0.5, 1, 2))
        solution = problem.solve(0.8, 0.3, times=[0.5, 1, 2], derivatives=derivatives)
        assert solution.value.shape == (3, 3)
        exact.check(solution, 1e-9)

    def test_vector_parameters_are_flattened_in_order(self, closed_form):
        rates = sp.symbols("r0:3")
        problem = iop.ODE({x: -rates[0] * x + rates[2], y: -rates[1] * y}, [a, rates], initial={x: a, y: a**2}, **TIGHT)
        rest = rates[2] / rates[0]
        expressions = [(a - rest) * sp.exp(-rates[0] * t) + rest, a**2 * sp.exp(-rates[1] * t)]
        exact = closed_form(expressions, (a, *rates), t, (1.5, 0.3, 0.7, 0.2), (1, 2))
        exact.check(problem.solve(1.5, [0.3, 0.7, 0.2], times=[1, 2], derivatives=2), 1e-9)

    def test_a_constant_right_hand_side_and_an_unused_parameter_are_no_special_case(self):
        solution = iop.ODE({y: 2, z: 0}, [a, b], initial={y: a, z: 1}).solve(3.0, 1.0, times=[0, 4], derivatives=2)
        np.testing.assert_allclose(solution.value, [[3, 1], [11, 1]], rtol=1e-14)
        np.testing.assert_allclose(solution.jacobian, [[[1, 0], [0, 0]]] * 2)
        assert not solution.hessian.any()

    def test_values_are_the_same_within_the_tolerance_whatever_the_order(self):
        case = case_named("Lotka-Volterra")
        values = [case.problem().solve(*case.point, times=case.times, derivatives=d).value for d in (0, 1, 2)]
        np.testing.assert_allclose(values[1], values[0], rtol=1e-6)
        np.testing.assert_allclose(values[2], values[0], rtol=1e-6)


class TestTimes:
    def test_answers_come_in_the_order_asked_also_for_repeated_times(self):
        times = [3.0, 0.0, 1.0, 3.0, 0.5, 1.0, 0.0]
        together = DECAY.solve(0.7, 2.0, times=times, derivatives=2)
        ordered = DECAY.solve(0.7, 2.0, times=sorted(set(times)), derivatives=2)
        position = [sorted(set(times)).index(time) for time in times]
        for name in ("value", "jacobian", "hessian", "time_derivative"):
            np.testing.assert_array_equal(getattr(together, name), getattr(ordered, name)[position])

    def test_at_the_initial_time_the_answer_is_the_initial_value(self):
        solution = DECAY.solve(0.7, 2.0, times=[0.0], derivatives=2)
        assert solution.value.tolist() == [[2.0]]
        assert solution.jacobian.tolist() == [[[0.0, 1.0]]]
        assert solution.time_derivative.tolist() == [[-1.4]]
        assert not solution.hessian.any()
        assert solution.stats["steps"] == 0

    def test_no_times_are_an_empty_answer(self):
        assert DECAY(0.7, 2.0, times=[]).shape == (0, 1)
        assert DECAY.solve(0.7, 2.0, times=[], derivatives=2).hessian.shape == (0, 1, 2, 2)

    def test_steps_do_not_depend_on_the_output_times(self):
        few, many = (DECAY.solve(0.7, 2.0, times=times) for times in ([5.0], np.linspace(0, 5, 200)))
        assert few.stats["steps"] == many.stats["steps"]
        np.testing.assert_array_equal(few.value[-1], many.value[-1])

    @pytest.mark.parametrize("method", METHODS)
    def test_answers_between_steps_are_as_accurate_as_at_their_ends(self, method):
        case = case_named("forced oscillator")
        times = np.linspace(0, 6, 301)
        solution = case.problem(method=method, rtol=1e-8, atol=1e-8).solve(*case.point, times=times, derivatives=1)
        exact = sp.lambdify((case.t, *case.flat_params), [case.exact[u] for u in case.states])
        assert np.abs(solution.value - np.transpose(exact(times, *case.flat_point))).max() < 1e-6
        right = [[case.exact[u].diff(p) for p in case.flat_params] for u in case.states]
        slopes = sp.lambdify((case.t, *case.flat_params), right)
        exact = np.array([[np.broadcast_to(v, times.shape) for v in row] for row in slopes(times, *case.flat_point)])
        assert np.abs(solution.jacobian - np.moveaxis(exact, 2, 0)).max() < 1e-5

    def test_times_far_from_zero_lose_only_their_own_digits(self):
        late = iop.ODE({y: -k * y}, [k, s], initial={y: 1}, t0=s, **TIGHT)
        np.testing.assert_allclose(late(0.7, 1e6, times=[1e6 + 2.0]), np.exp(-1.4), rtol=1e-9)


class TestTolerances:
    def test_each_state_has_its_own_absolute_tolerance(self):
        fast, slow = sp.symbols("fast slow")
        start = {fast: 1, slow: 1}
        for atol in ([1e-12, 1e-2], [1e-2, 1e-12]):
            problem = iop.ODE(
                {fast: sp.cos(9 * t), slow: sp.cos(k * t)}, [k], initial=start, t=t, rtol=0, atol=atol, method="tsit5"
            )
            error = np.abs(problem(1.0, times=[2.0])[0] - [1 + np.sin(18.0) / 9, 1 + np.sin(2.0)])
            assert (error < 10 * np.array(atol)).all()

    def test_a_state_that_stays_zero_needs_no_absolute_tolerance(self):
        problem = iop.ODE({x: -k * x, y: k * x}, [k], initial={x: 0, y: 1}, atol=0)
        assert problem.solve(0.5, times=[1.0], derivatives=1).value.tolist() == [[0.0, 1.0]]

    def test_the_error_of_a_sensitivity_is_controlled_where_the_state_does_not_need_it(self):
        # x stays at rest, so the step for the states alone is as long as it likes; dx/db = cos(k t).
        problem = iop.ODE({x: y, y: -(k**2) * x}, [k, b], initial={x: b, y: 0})
        solution = problem.solve(3.0, 0.0, times=[20.0], derivatives=1)
        assert solution.value.tolist() == [[0.0, 0.0]]
        assert solution.jacobian[0, 0, 1] == pytest.approx(np.cos(60.0), abs=1e-6)


class TestBatches:
    @pytest.mark.parametrize("method", METHODS)
    def test_a_batch_equals_a_loop_bit_for_bit_also_with_failing_rows(self, method):
        problem = case_named("logistic").problem(method=method)
        capacity = np.array([10.0, np.nan, 3.0, -1.0, np.inf, 0.2])  # a negative one lets it blow up
        together = problem.solve(1.3, capacity, 0.5, times=[1.0, 5.0], derivatives=2, throw=False)
        assert together.converged.tolist() == [True, False, True, False, False, True]
        for i, value in enumerate(capacity):
            alone = problem.solve(1.3, value, 0.5, times=[1.0, 5.0], derivatives=2, throw=False)
            assert alone.status is together.status[i]
            for name in ("value", "jacobian", "hessian", "time_derivative"):
                np.testing.assert_array_equal(getattr(alone, name), getattr(together, name)[i])
            assert all(alone.stats[name] == counter[i] for name, counter in together.stats.items())

    def test_each_element_may_have_its_own_times(self):
        times = np.array([[0.0, 1.0], [2.0, 0.5], [1.0, 1.0]])
        rates = np.array([0.5, 0.7, 0.9])
        solution = DECAY.solve(rates, 2.0, times=times, derivatives=1)
        np.testing.assert_allclose(solution.value[..., 0], 2 * np.exp(-rates[:, None] * times), rtol=1e-8)
        for i in range(3):
            alone = DECAY.solve(rates[i], 2.0, times=times[i], derivatives=1)
            np.testing.assert_array_equal(alone.jacobian, solution.jacobian[i])

    def test_leading_axes_broadcast(self):
        value = DECAY(np.full((3, 1), 0.7), np.ones(4), times=np.arange(5.0))
        assert value.shape == (3, 4, 5, 1)
        assert DECAY(0.7, 2.0, times=np.arange(10.0).reshape(2, 5)).shape == (2, 5, 1)
        assert DECAY.solve(np.empty(0), 2.0, times=[1.0], derivatives=2).hessian.shape == (0, 1, 1, 2, 2)

    def test_the_number_of_threads_does_not_matter(self):
        case = case_named("Lotka-Volterra")
        rates = np.linspace(0.4, 0.7, 40)
        solutions = []
        try:
            for threads in (1, 3):
                iop.set_num_threads(threads)
                solutions.append(case.problem().solve(rates, *case.point[1:], times=case.times, derivatives=2))
        finally:
            iop.set_num_threads(None)
        for name in ("value", "jacobian", "hessian", "status_code"):
            np.testing.assert_array_equal(*(getattr(solution, name) for solution in solutions))
        np.testing.assert_array_equal(*(solution.stats["evaluations"] for solution in solutions))

    @pytest.mark.parametrize("method", METHODS)
    def test_the_same_call_gives_the_same_bits(self, method):
        case = case_named("Robertson")
        problem = case.problem(method=method, rtol=1e-4, atol=1e-8)
        first, again = (problem.solve(*case.point, times=[0.4, 4.0], derivatives=2) for _ in range(2))
        for name in ("value", "jacobian", "hessian"):
            np.testing.assert_array_equal(getattr(first, name), getattr(again, name))


class TestLinearAlgebra:
    @pytest.mark.parametrize("derivatives", [0, 1, 2])
    def test_a_step_factorises_once_whatever_the_number_of_sensitivities(self, derivatives):
        case = case_named("Lotka-Volterra")
        stats = case.problem(method="rodas5p").solve(*case.point, times=case.times, derivatives=derivatives).stats
        assert stats["factorisations"] == stats["steps"] + stats["rejected"]

    def test_where_the_steps_are_the_same_so_are_the_factorisations(self):
        # Parameters that do nothing have sensitivities without an error.
        counts = []
        for unused in (0, 30):
            extra = sp.symbols(f"u0:{unused + 1}")
            problem = iop.ODE({y: -(y**3)}, [b, extra], initial={y: b}, method="rodas5p")
            counts.append(problem.solve(2.0, np.ones(unused + 1), times=[1.0], derivatives=1).stats)
        assert counts[0] == counts[1]
        assert counts[0]["factorisations"] == counts[0]["steps"] + counts[0]["rejected"]

    def test_explicit_methods_factorise_nothing(self):
        case = case_named("Lotka-Volterra")
        for method in ("tsit5", "dop853"):
            stats = case.problem(method=method).solve(*case.point, times=case.times, derivatives=2).stats
            assert stats["factorisations"] == stats["stiff_steps"] == stats["switches"] == 0

    def test_banded_and_dense_jacobians_give_the_same_solution(self):
        case = case_named("Brusselator 10")
        banded = case.problem(method="rodas5p", rtol=1e-6, atol=1e-8)
        states = case.states[::2] + case.states[1::2]  # all u, then all v: no band
        dense = iop.ODE(
            {u: case.rhs[u] for u in states}, case.params, initial=case.initial, method="rodas5p", rtol=1e-6, atol=1e-8
        )
        assert ode_functions_of(banded).bandwidths == (2, 2)
        assert ode_functions_of(dense).bandwidths is None
        first, second = (p.solve(*case.point, times=case.times, derivatives=1) for p in (banded, dense))
        order = [states.index(u) for u in case.states]
        np.testing.assert_allclose(first.value, second.value[:, order], rtol=1e-9)
        np.testing.assert_allclose(first.jacobian, second.jacobian[:, order], rtol=1e-8, atol=1e-9)
        assert first.stats == second.stats
