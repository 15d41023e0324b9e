"""Promises of the ODE solver about sudden changes: events and switches at times that have derivatives themselves."""

import itertools

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.problems.ode import METHODS

x, y, t, k, m, d, r, a, b, w, tau, end = sp.symbols("x y t k m d r a b w tau end")
TIGHT = {"rtol": 1e-11, "atol": 1e-13}
P = sp.Piecewise


def dosed(**options):
    """One dose d at tau, washed out at rate k."""
    return iop.ODE({y: -k * y}, [k, d, tau], initial={y: 1}, events=[(tau, {y: y + d})], **{**TIGHT, **options})


DOSED = sp.exp(-k * t) + P((0, t < tau), (d * sp.exp(-k * (t - tau)), True))


def infused(rate, start, since):
    """State at t of y' = rate - k y from y = start at `since`."""
    return rate / k + (start - rate / k) * sp.exp(-k * (t - since))


class TestEvents:
    @pytest.mark.parametrize("method", METHODS)
    def test_amount_and_time_of_a_dose_have_derivatives_to_second_order(self, method, closed_form):
        point, times = (0.6, 2.5, 1.3), (0.5, 1.3, 1.4, 4.0)
        exact = closed_form([DOSED], (k, d, tau), t, point, times)
        exact.check(dosed(method=method).solve(*point, times=times, derivatives=2), 1e-9)

    @pytest.mark.parametrize("time", [0.0, 4.0, 4.5])
    def test_a_dose_at_the_start_or_with_the_last_output_or_after_it(self, time, closed_form):
        point, times = (0.6, 2.5, time), (0.0, 0.5, 4.0)
        exact = closed_form([DOSED], (k, d, tau), t, point, times)
        exact.check(dosed().solve(*point, times=times, derivatives=2), 1e-9)

    def test_at_the_time_of_an_event_the_answer_is_the_one_after_it(self):
        times = [np.nextafter(1.3, 0), 1.3]
        before, after = dosed()(0.6, 2.5, 1.3, times=times)[:, 0]
        assert after - before == pytest.approx(2.5, abs=1e-14)
        assert dosed()(0.6, 2.5, 0.0, times=[0.0])[0, 0] == 3.5

    def test_repeated_doses_may_be_a_vector_of_times_in_any_order(self, closed_form):
        times = sp.symbols("tau0:4")
        problem = iop.ODE(
            {y: -k * y}, [k, d, times], initial={y: 0}, events=[(time, {y: y + d}) for time in times], **TIGHT
        )
        exact = sum(P((0, t < time), (d * sp.exp(-k * (t - time)), True)) for time in times)
        at, asked = (3.0, 0.5, 2.0, 1.0), (0.7, 2.5, 5.0)
        exact = closed_form([exact], (k, d, *times), t, (0.6, 2.5, *at), asked)
        exact.check(problem.solve(0.6, 2.5, at, times=asked, derivatives=2), 1e-9)

    @pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
    def test_events_at_the_same_time_follow_each_other_as_listed(self, order, closed_form):
        changes = [{y: y + d}, {y: a * y}, {y: y**2}]
        problem = iop.ODE({y: -k * y}, [k, d, a], initial={y: 1}, events=[(2, changes[i]) for i in order], **TIGHT)
        at = sp.exp(-2 * k)
        for i in order:
            at = changes[i][y].subs(y, at)
        exact = closed_form([at * sp.exp(-k * (t - 2))], (k, d, a), t, (0.6, 2.5, 0.3), (2.0, 3.0))
        exact.check(problem.solve(0.6, 2.5, 0.3, times=(2.0, 3.0), derivatives=2), 1e-9)

    @pytest.mark.parametrize("method", METHODS)
    def test_new_states_may_depend_on_all_states_the_parameters_and_the_time(self, method, closed_form):
        problem = iop.ODE(
            {x: -k * x, y: -m * y},
            [k, m, a, tau],
            initial={x: 1, y: 2},
            t=t,
            events=[(tau, {y: x**2 * sp.exp(a * y), x: t * y + a})],  # both from the states before
            method=method,
            **TIGHT,
        )
        x_before, y_before = sp.exp(-k * tau), 2 * sp.exp(-m * tau)
        x_after, y_after = tau * y_before + a, x_before**2 * sp.exp(a * y_before)
        exact = [x_after * sp.exp(-k * (t - tau)), y_after * sp.exp(-m * (t - tau))]
        point, times = (0.6, 0.3, 0.8, 1.3), (1.3, 2.0, 4.0)
        exact = closed_form(exact, (k, m, a, tau), t, point, times)
        exact.check(problem.solve(*point, times=times, derivatives=2), 1e-9)

    def test_a_time_may_be_any_expression_of_the_parameters(self, closed_form):
        problem = iop.ODE(
            {y: -k * y},
            [k, a, b],
            initial={y: 1},
            t0=b,
            events=[(b + a**2 * k, {y: 0}), (b + sp.exp(a), {y: y + a})],
            **TIGHT,
        )
        exact = a * sp.exp(-k * (t - b - sp.exp(a)))
        exact = closed_form([exact], (k, a, b), t, (0.6, 0.4, 0.2), (2.0, 3.0))
        exact.check(problem.solve(0.6, 0.4, 0.2, times=(2.0, 3.0), derivatives=2), 1e-9)

    @pytest.mark.parametrize("method", METHODS)
    def test_a_nonlinear_elimination_matches_its_closed_form(self, method, closed_form):
        # Michaelis-Menten kinetics: S. Schnell and C. Mendoza, J. Theor. Biol. 187 (1997) 207.
        half, speed = sp.symbols("half speed")
        problem = iop.ODE(
            {y: -speed * y / (half + y)},
            [speed, half, d, tau],
            initial={y: 2},
            events=[(tau, {y: y + d})],
            method=method,
            **TIGHT,
        )

        def left(start, duration):
            return half * sp.LambertW(start / half * sp.exp((start - speed * duration) / half))

        exact = P((left(2, t), t < tau), (left(left(2, tau) + d, t - tau), True))
        point, times = (0.9, 0.7, 1.5, 1.3), (1.0, 1.3, 3.0, 6.0)
        exact = closed_form([exact], (speed, half, d, tau), t, point, times)
        exact.check(problem.solve(*point, times=times, derivatives=2), 1e-8)

    def test_each_batch_element_has_events_in_its_own_order(self):
        problem = iop.ODE(
            {y: -k * y}, [k, tau, end], initial={y: 1}, events=[(tau, {y: y + 1}), (end, {y: y / 2})], **TIGHT
        )
        first, second = np.array([1.0, 3.0, 2.0, 9.0]), np.array([2.0, 1.0, 2.0, 0.0])
        together = problem.solve(0.5, first, second, times=[0.5, 4.0], derivatives=2)
        for i in range(4):
            alone = problem.solve(0.5, first[i], second[i], times=[0.5, 4.0], derivatives=2)
            np.testing.assert_array_equal(alone.value, together.value[i])
            np.testing.assert_array_equal(alone.hessian, together.hessian[i])
        decay = np.exp(-0.5 * np.array([4.0, 3.0, 1.0, 2.0]))
        expected = [(decay[0] + decay[1]) / 2, decay[0] / 2 + decay[2], (decay[0] + decay[3]) / 2, decay[0] / 2]
        np.testing.assert_allclose(together.value[:, 1, 0], expected, rtol=1e-9)

    def test_outputs_see_the_states_after_the_event(self):
        solution = dosed(outputs=[y**2, P((0, t < tau), (1, True))], t=t).solve(0.6, 2.5, 1.3, times=[1.2, 1.3])
        np.testing.assert_allclose(solution.value[:, 0], [np.exp(-1.44), (np.exp(-0.78) + 2.5) ** 2], rtol=1e-9)
        assert solution.value[:, 1].tolist() == [0, 1]


class TestSwitches:
    """Right-hand sides whose conditions compare the time with the parameters."""

    POINT, TIMES = (0.6, 2.5, 1.3), (0.5, 1.3, 1.4, 4.0)

    FORMS = (
        P((r, t < tau), (0, True)),
        P((r, t <= tau), (0, True)),
        P((0, sp.Not(2 * t < 2 * tau)), (r, True)),
        r * sp.Heaviside(tau - t),
        r * (1 - sp.sign(t - tau)) / 2,
    )

    @pytest.mark.parametrize("form", FORMS, ids=str)
    def test_an_infusion_is_exact_to_second_order_also_in_the_time_of_its_end(self, form, closed_form):
        problem = iop.ODE({y: form - k * y}, [k, r, tau], initial={y: 0}, t=t, **TIGHT)
        there = infused(r, 0, 0).subs(t, tau)
        exact = P((infused(r, 0, 0), t < tau), (there * sp.exp(-k * (t - tau)), True))
        exact = closed_form([exact], (k, r, tau), t, self.POINT, self.TIMES)
        exact.check(problem.solve(*self.POINT, times=self.TIMES, derivatives=2), 1e-9)

    @pytest.mark.parametrize("method", METHODS)
    def test_beginning_and_end_of_an_infusion_may_be_parameters(self, method, closed_form):
        form = P((r, sp.And(t >= tau, t < end)), (0, True))
        problem = iop.ODE({y: form - k * y}, [k, r, tau, end], initial={y: 1}, t=t, method=method, **TIGHT)
        before = sp.exp(-k * t)
        during = infused(r, before.subs(t, tau), tau)
        exact = P((before, t < tau), (during, t < end), (during.subs(t, end) * sp.exp(-k * (t - end)), True))
        point, times = (0.6, 2.5, 1.3, 2.1), (0.5, 1.3, 2.0, 2.1, 4.0)
        exact = closed_form([exact], (k, r, tau, end), t, point, times)
        exact.check(problem.solve(*point, times=times, derivatives=2), 1e-9)

    def test_a_switch_at_the_zero_of_an_affine_function_moves_with_all_its_parameters(self, closed_form):
        problem = iop.ODE({y: P((a, w * t > b), (0, True))}, [w, b, a], initial={y: 0}, t=t, **TIGHT)
        exact = closed_form([P((0, t < b / w), (a * (t - b / w), True))], (w, b, a), t, (2.0, 3.0, 0.7), (1.0, 4.0))
        exact.check(problem.solve(2.0, 3.0, 0.7, times=(1.0, 4.0), derivatives=2), 1e-10)
        # With a negative slope it is the other way round, and with none at all there is no such time.
        values = problem([-2.0, 0.0, 0.0], [-3.0, -1.0, 1.0], 0.7, times=[1.0, 4.0])[..., 0]
        np.testing.assert_allclose(values, [[0.7, 1.05], [0.7, 2.8], [0, 0]], rtol=1e-12)

    def test_a_ramp_has_a_kink_and_is_exact_to_second_order(self, closed_form):
        problem = iop.ODE({y: sp.Max(0, t - tau) ** 2 * a}, [a, tau], initial={y: 0}, t=t, **TIGHT)
        exact = closed_form([P((0, t < tau), (a * (t - tau) ** 3 / 3, True))], (a, tau), t, (0.8, 1.3), (1.0, 3.0))
        exact.check(problem.solve(0.8, 1.3, times=(1.0, 3.0), derivatives=2), 1e-10)

    def test_a_dose_and_a_switch_at_the_same_time_act_together(self, closed_form):
        rate = P((k, t < tau), (m, True))
        for events in ([(tau, {y: y + d})], [(tau, {y: 2 * y}), (tau, {y: y + d})]):
            problem = iop.ODE({y: -rate * y}, [k, m, d, tau], initial={y: 1}, t=t, events=events, **TIGHT)
            exact = (len(events) * sp.exp(-k * tau) + d) * sp.exp(-m * (t - tau))
            point, times = (0.6, 0.2, 2.5, 1.3), (1.3, 2.0, 4.0)
            exact = closed_form([exact], (k, m, d, tau), t, point, times)
            exact.check(problem.solve(*point, times=times, derivatives=2), 1e-9)

    def test_a_switch_before_the_start_is_over(self):
        problem = iop.ODE({y: P((1, t < tau), (2, True))}, [tau], initial={y: 0}, t=t, t0=1, **TIGHT)
        solution = problem.solve([-5.0, 1.0, 2.0, 1e9], times=[3.0], derivatives=1)
        np.testing.assert_allclose(solution.value[:, 0, 0], [4, 4, 3, 2], rtol=1e-12)
        np.testing.assert_allclose(solution.jacobian[:, 0, 0, 0], [0, 0, -1, 0], atol=1e-12)

    def test_the_start_may_move_with_the_parameters_of_a_switch(self, closed_form):
        problem = iop.ODE({y: P((a, t < b + tau), (0, True))}, [a, b, tau], initial={y: 0}, t=t, t0=b, **TIGHT)
        exact = closed_form([a * tau + 0 * t], (a, b, tau), t, (0.7, 0.3, 1.1), (2.0, 3.0))
        exact.check(problem.solve(0.7, 0.3, 1.1, times=(2.0, 3.0), derivatives=2), 1e-11)

    def test_a_stiff_problem_is_taken_up_again_after_each_change(self, closed_form):
        # Both are fast: y follows a level that a switch and a dose change.
        level = P((a, t < tau), (b, True))
        problem = iop.ODE(
            {y: -k * (y - level)}, [k, a, b, tau], initial={y: a}, t=t, events=[(1, {y: y + 1})], rtol=1e-9, atol=1e-11
        )
        at_one = a + sp.exp(-k * (t - 1))
        exact = P((a, t < 1), (at_one, t < tau), (b + (at_one.subs(t, tau) - b) * sp.exp(-k * (t - tau)), True))
        point, times = (1e4, 0.5, 1.5, 2.0), (0.5, 1.0, 1.0002, 1.9, 2.0001, 3.0)
        solution = problem.solve(*point, times=times, derivatives=1)
        assert solution.stats["stiff_steps"] > 0
        exact = closed_form([exact], (k, a, b, tau), t, point, times)
        exact.check(solution, 1e-6)
