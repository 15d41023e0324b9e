"""Promises of the ODE solver about right-hand sides with jumps that no condition shows."""

import numpy as np
import pytest
import sympy as sp
from scipy.integrate import quad

import implicitops as iop
from implicitops.backends.numpy import evaluate
from implicitops.calculus.sensitivities import Adjoint

x, y, z, t, w, tau = sp.symbols("x y z t w tau")
TIGHT = {"rtol": 1e-11, "atol": 1e-13}


def test_a_value_is_right_across_the_cut_of_atan2_and_its_derivative_is_refused():
    problem = iop.ODE({x: -w * y, y: w * x, z: sp.atan2(y, x)}, [w], initial={x: 1, y: 0, z: 0}, t=t)
    # The angle is w t, less 2 pi after half a turn.
    np.testing.assert_allclose(problem(1.0, times=[5.0])[0, 2], 12.5 - 2 * np.pi * (5 - np.pi), rtol=1e-7)
    with pytest.raises(iop.ProblemError, match="atan2"):
        problem.solve(1.0, times=[5.0], derivatives=1)


@pytest.mark.parametrize(
    ("rate", "before", "after"),
    [
        (sp.acot(t - tau), -sp.pi / 2 - sp.atan(t - tau), sp.pi / 2 - sp.atan(t - tau)),
        ((t - tau) / sp.Abs(t - tau), -1 + 0 * t, 1 + 0 * t),
        (sp.sqrt((t - tau) ** 2) / (t - tau), -1 + 0 * t, 1 + 0 * t),
        (sp.arg(t - tau), sp.pi + 0 * t, 0 * t),
    ],
    ids=str,
)
def test_jumps_at_a_time_have_exact_derivatives(rate, before, after, closed_form):
    problem = iop.ODE({z: rate}, [tau], initial={z: 0}, t=t, **TIGHT)
    solution = problem.solve(1.3, times=[0.9, 3.1], derivatives=1)
    s = sp.Symbol("s")
    early = sp.integrate(before.subs(t, s), (s, 0, t))
    late = sp.integrate(before.subs(t, s), (s, 0, tau)) + sp.integrate(after.subs(t, s), (s, tau, t))
    exact = closed_form([sp.Piecewise((early, t < tau), (late, True))], (tau,), t, (1.3,), (0.9, 3.1))
    exact.check(solution, 1e-9)


def test_the_cut_of_atan2_at_a_time_has_an_exact_derivative():
    problem = iop.ODE({z: sp.atan2(tau - t, t - 4)}, [tau], initial={z: 0}, t=t, **TIGHT)
    solution = problem.solve(1.3, times=[3.1], derivatives=1)
    angle = quad(lambda s: np.arctan2(1.3 - s, s - 4), 0, 3.1, points=[1.3], epsabs=1e-12)[0]
    slope = quad(lambda s: (s - 4) / ((s - 4) ** 2 + (1.3 - s) ** 2), 0, 3.1, epsabs=1e-12)[0]
    np.testing.assert_allclose(solution.value, [[angle]], rtol=1e-10)
    np.testing.assert_allclose(solution.jacobian, [[[slope + 2 * np.pi]]], rtol=1e-10)


PASSING = [sp.atan(1 / x), sp.tanh(1 / x), 1 / (1 + sp.exp(1 / x)), sp.Ei(x), sp.log(x**2), sp.atan(z / x)]


@pytest.mark.parametrize("expression", PASSING, ids=str)
@pytest.mark.parametrize("sensitivity", ["forward", "adjoint"])
def test_derivatives_are_given_before_a_pole_is_passed_and_fail_after(expression, sensitivity):
    problem = iop.ODE(
        {x: -w, y: expression, z: 0}, [w], initial={x: 1, y: 0, z: 1}, sensitivity=sensitivity, rtol=1e-10
    )

    def gradient(end):
        if sensitivity == "forward":
            solution = problem.solve(1.0, times=[end], derivatives=1, throw=False)
            return solution.jacobian[0, 1, 0]
        weights = np.array([[0.0, 1.0, 0.0]])
        return evaluate(Adjoint(problem), [np.array(1.0), np.array([end]), weights])[0]

    step = 1e-5
    ahead, behind = (problem(1 + d, times=[0.5])[0, 1] for d in (step, -step))
    np.testing.assert_allclose(gradient(0.5), (ahead - behind) / (2 * step), rtol=1e-5)
    assert np.isnan(gradient(3.0))


def test_a_pole_that_is_passed_is_said_to_be_a_discontinuity():
    problem = iop.ODE({x: -w, y: sp.tanh(1 / x)}, [w], initial={x: 1, y: 0})
    solution = problem.solve([1.0, 0.2], times=[3.0], derivatives=1, throw=False)
    assert solution.status.tolist() == [iop.Status.DISCONTINUITY, iop.Status.CONVERGED]
    np.testing.assert_allclose(problem(1.0, times=[2.0])[0, 1], 0, atol=1e-6)
