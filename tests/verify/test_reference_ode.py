"""The truth of initial value problems, from their statements alone, and what their tolerances allow."""

from __future__ import annotations

from dataclasses import replace

import mpmath
import numpy as np
import pytest
import sympy as sp
from catalogue.ode_problems import case_named

import implicitops as iop
from implicitops.verify import GradientMismatchError, verify_grad
from implicitops.verify.decimals import as_decimal, as_mpf, compiled, digits
from implicitops.verify.ode_tolerance import WithinTolerances
from implicitops.verify.reference import ReferencePoint
from implicitops.verify.reference_ode import ODEReference

x, v, t, k, a, b = sp.symbols("x v t k a b")
x0, t0, tau, dose, w = sp.symbols("x0 t0 tau dose w")

DECAY = iop.ODE({x: -k * x}, [k, x0, t0], initial={x: x0}, t0=t0)
DRUG = iop.ODE({x: -k * x}, [k, dose, tau], initial={x: dose}, events=[(tau, {x: x + dose * tau})])
INFUSION = iop.ODE({x: sp.Piecewise((a, t < tau), (0, True)) - b * x}, [a, b, tau], initial={x: 0}, t=t)
LYNXES = iop.ODE(
    {x: (a - b * v) * x, v: (k * x - w) * v}, [a, b, k, w], initial={x: 30, v: 6}, times=[0.0, 1.0, 2.5, 5.0]
)
LYNXES_AT = (0.55, 0.028, 0.026, 0.84)


def derivatives_of(function, variables):
    """Value, Jacobian and Hessian of one number, with 60 digits."""
    p = len(variables)
    orders = np.eye(p, dtype=int)
    with mpmath.workdps(60):
        point = [mpmath.mpf(float(value)) for value in variables]
        jacobian = [mpmath.diff(function, point, tuple(map(int, row))) for row in orders]
        hessian = [[mpmath.diff(function, point, tuple(map(int, r + s))) for r in orders] for s in orders]
        return function(*point), jacobian, hessian


class TestTheTruth:
    @pytest.mark.parametrize(
        ("problem", "point", "closed"),
        [
            (DECAY, [0.7, 2.0, 0.25, 2.5], lambda k, x0, t0, t: x0 * mpmath.exp(-k * (t - t0))),
            (
                DRUG,
                [0.5, 1.5, 1.25, 3.0],
                lambda k, dose, tau, t: dose * (mpmath.exp(-k * t) + tau * mpmath.exp(-k * (t - tau))),
            ),
            (
                INFUSION,
                [2.0, 0.5, 1.3, 4.0],
                lambda a, b, tau, t: a / b * (mpmath.exp(b * tau) - 1) * mpmath.exp(-b * t),
            ),
        ],
        ids=["t0", "event", "switch"],
    )
    def test_twenty_digits_of_all_derivatives(self, problem, point, closed):
        found = ODEReference(problem).at(point, order=2)
        value, jacobian, hessian = derivatives_of(closed, point)
        with mpmath.workdps(60):
            assert abs(found.value[0] / value - 1) < 1e-20
            for ours, true in zip(found.jacobian[0], jacobian):
                assert abs(ours - true) < mpmath.mpf(10) ** -19 * (1 + abs(true))
            for ours, true in zip(found.hessian[0].ravel(), np.ravel(np.array(hessian, dtype=object))):
                assert abs(ours - true) < mpmath.mpf(10) ** -18 * (1 + abs(true))

    def test_it_is_the_stored_solution_of_the_catalogue(self):
        case = case_named("logistic")
        found = ODEReference(case.problem()).at([*case.flat_point, *case.times])
        stored, p = case.reference(), len(case.flat_point)
        np.testing.assert_array_equal(found.value.astype(float), stored.values.ravel())
        jacobian = found.jacobian[:, :p].astype(float)
        np.testing.assert_allclose(jacobian, stored.sensitivities.reshape(-1, p), rtol=1e-15)

    def test_steps_are_short_enough_for_the_derivatives_of_a_solution_that_stays_where_it_is(self):
        resting = iop.ODE({x: x - b}, [a, b], initial={x: a})
        found = ODEReference(resting).at([1.0, 1.0, 5.0])
        np.testing.assert_allclose(found.jacobian[0].astype(float), [np.exp(5), 1 - np.exp(5), 0], rtol=1e-15)

    def test_a_row_does_not_depend_on_other_output_times(self):
        jacobian = ODEReference(DRUG).at([0.5, 1.5, 1.25, 1.0, 2.0], order=1).jacobian
        assert jacobian[0, 4] == 0
        assert jacobian[1, 3] == 0
        assert jacobian[1, 4] < 0

    def test_at_the_time_of_an_event_it_is_what_comes_after(self):
        found = ODEReference(DRUG).at([0.5, 1.5, 1.25, 1.25], order=1)
        after = 1.5 * (np.exp(-0.5 * 1.25) + 1.25)
        np.testing.assert_allclose(float(found.value[0]), after, rtol=1e-15)
        # by tau: dose + dose tau k, by the time: -k x
        np.testing.assert_allclose(
            found.jacobian[0, 2:].astype(float), [1.5 + 1.5 * 1.25 / 2, -0.5 * after], rtol=1e-15
        )
        assert found.one_sided

    def test_functions_of_decimal_numbers(self):
        expressions = [
            sp.sin(100 * x), sp.cos(x - 50), sp.exp(-x) / 3, sp.log(x), x ** sp.Rational(5, 2), x**a, 0.1 * x,
            sp.sqrt(2) * sp.pi, sp.tanh(x), sp.besselj(0, x), sp.Max(x, a), sp.Piecewise((x, x < a), (a, True)),
        ]  # fmt: skip
        exact = {x: sp.Rational(3, 4), a: sp.Rational(5, 4)}
        with digits(60):
            rows = compiled([x, a], expressions)(np.array([as_decimal(0.75), as_decimal(2)]), as_decimal(1.25))
            for row, expression in zip(rows, expressions):
                true = mpmath.mpf(str(sp.N(sp.nsimplify(expression, rational=True).subs(exact), 70)))
                double = 1e-16 if expression.atoms(sp.Float) else mpmath.mpf(10) ** -57
                assert abs(as_mpf(row[0]) - true) <= double * (1 + abs(true)), expression

    @pytest.mark.parametrize(
        ("problem", "at", "words"),
        [
            (iop.ODE({x: -k * x}, [k], initial={x: 1}), {"k": 1e6, "times": [1.0]}, "stiff, long or not smooth"),
            (
                iop.ODE({x: sp.Piecewise((1, sp.sin(t) > 0), (0, True)) * k}, [k], initial={x: 1}, t=t),
                {"k": 1.0, "times": [1.0]},
                "not affine",
            ),
        ],
        ids=["stiff", "condition"],
    )
    def test_where_there_is_none_it_asks_for_a_reference(self, problem, at, words):
        with pytest.raises((GradientMismatchError, iop.ArgumentError), match=rf"{words}.*reference="):
            verify_grad(problem, at)


class TestWhatTolerancesAllow:
    def bounds(self, problem, *variables, order=1):
        return WithinTolerances(problem, ODEReference(problem)).at(list(variables), None, order)

    def test_it_is_proportional_to_the_tolerances(self):
        loose, strict = (iop.ODE({x: -k * x}, [k], initial={x: 1}, rtol=rtol, atol=rtol / 100) for rtol in (1e-5, 1e-9))
        first, second = (self.bounds(problem, 0.5, 1.0, 4.0, order=2) for problem in (loose, strict))
        for name in ("value_bound", "jacobian_bound", "hessian_bound"):
            ours, theirs = (getattr(point, name).astype(float) for point in (first, second))
            np.testing.assert_allclose(ours, 1e4 * theirs, rtol=1e-3)

    def test_errors_grow_where_the_problem_lets_them(self):
        growing, decaying = (
            self.bounds(iop.ODE({x: sign * k * (x - 1)}, [k], initial={x: 1}), 2.0, 0.1, 5.0).value_bound.astype(float)
            for sign in (1, -1)
        )
        assert growing[1] > np.exp(2 * 4) * growing[0]
        assert decaying[1] < 10 * decaying[0]

    @pytest.mark.parametrize("method", ["tsit5", "dop853", "rodas5p"])
    @pytest.mark.parametrize("rtol", [1e-4, 1e-9])
    def test_what_the_solver_does_is_well_within(self, method, rtol):
        options = replace(LYNXES.options, method=method, rtol=rtol, atol=(rtol / 100,) * 2)
        problem, point = LYNXES.replaced(options=options), LYNXES_AT
        found = self.bounds(problem, *point, *LYNXES.times, order=2)
        solution = problem.solve(*point, derivatives=2)
        for name, computed in (("value", solution.value), ("hessian", solution.hessian)):
            true, bound = (getattr(found, name + end).astype(float) for end in ("", "_bound"))
            if name == "hessian":
                true, bound = true[:, :4, :4], bound[:, :4, :4]
            ratio = abs(computed.reshape(true.shape) - true) / bound
            assert np.nanmax(ratio) < 0.3

    def test_of_a_stiff_problem_it_is_an_estimate(self):
        problem = iop.ODE({x: -k * (x - sp.cos(t))}, [k], initial={x: 1}, t=t)
        point = WithinTolerances(problem, self.SlowPart()).at([1e7, 1.0], None, 1)
        assert point.estimated
        assert 1e-8 * np.cos(1.0) < float(point.value_bound[0]) < 1e-5

    class SlowPart:
        def at(self, variables, near, order=1):
            time = mpmath.mpf(variables[1])
            value = np.array([mpmath.cos(time)], dtype=object)
            jacobian = np.array([[mpmath.mpf(0), -mpmath.sin(time)]], dtype=object)
            return ReferencePoint(value, 0 * value, jacobian, 0 * jacobian)

    def test_of_a_sensitive_problem_too(self):
        problem = iop.ODE({x: x - b}, [a, b], initial={x: a})
        assert not self.bounds(problem, 1.0, 1.0, 5.0).estimated
        assert self.bounds(problem, 1.0, 1.0, 8.0).estimated

    def test_a_loose_tolerance_says_that_little_was_checked(self):
        problem = iop.ODE({x: -k * x}, [k], initial={x: 1}, rtol=1e-4, atol=1e-6)
        report = verify_grad(problem, {"k": 0.5, "times": [1.0, 2.0]})
        assert "rtol and atol allow a relative error of" in report["numpy: vjp"].reason
