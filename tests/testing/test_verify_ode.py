"""verify_grad of initial value problems: the truth, what tolerances allow, and mutants that are caught."""

from __future__ import annotations

from dataclasses import replace

import mpmath
import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.testing import GradientMismatchError, checks_ode, verify_grad
from implicitops.testing.differentiation import numpy as replay
from implicitops.testing.ode_problems import case_named
from implicitops.testing.ode_tolerance import WithinTolerances
from implicitops.testing.reference import NoReferenceError
from implicitops.testing.reference_ode import InitialValueReference, StoredReference

x, v, t, k, a, b = sp.symbols("x v t k a b")
x0, v0, t0, tau, dose, w = sp.symbols("x0 v0 t0 tau dose w")
th = sp.symbols("th0:2")

DECAY = iop.ODE({x: -k * x}, [k, x0, t0], initial={x: x0}, t0=t0)
DECAY_AT = {"k": [0.7, 0.4], "x0": 2.0, "t0": 0.25, "times": [0.25, 1.0, 2.5]}
DRUG = iop.ODE({x: -k * x}, [k, dose, tau], initial={x: dose}, events=[(tau, {x: x + dose * tau})])
DRUG_AT = {"k": 0.5, "dose": 1.5, "tau": 1.25, "times": [1.0, 2.0, 3.0]}
LYNXES = iop.ODE(
    {x: (a - b * v) * x, v: (k * x - w) * v}, [a, b, k, w], initial={x: 30, v: 6}, times=[0.0, 1.0, 2.5, 5.0]
)
LYNXES_AT = [(0.55, 0.028, 0.026, 0.84), (0.5, 0.03, 0.025, 0.8)]

PROBLEMS = {
    "t0 and initial value": (DECAY, DECAY_AT),
    "t0 in everything": (
        iop.ODE({x: -a * x * t}, [a, x0, t0], initial={x: x0 + t0}, t=t, t0=t0),
        {"a": 0.4, "x0": 1.0, "t0": 0.3, "times": [0.3, 1.0, 2.0]},
    ),
    "event": (DRUG, DRUG_AT),
    "event at an output time": (DRUG, {**DRUG_AT, "times": [1.0, 1.25, 3.0]}),
    "two events": (
        iop.ODE(
            {x: -a * x}, [a, tau, b], initial={x: 1}, events=[(tau, {x: x * b + 1}), (2 * tau, {x: x**2 + a * t})], t=t
        ),
        {"a": 0.4, "tau": 0.7, "b": 1.5, "times": [0.5, 1.0, 2.0]},
    ),
    "infusion": (
        iop.ODE({x: sp.Piecewise((a, t < tau), (0, True)) - b * x}, [a, b, tau], initial={x: 0}, t=t),
        {"a": 2.0, "b": 0.5, "tau": 1.3, "times": [0.0, 0.5, 1.0, 2.0, 4.0]},
    ),
    "step and kink": (
        iop.ODE({x: sp.Heaviside(t - tau) * a - b * x + sp.Max(t - 1, 0)}, [a, b, tau], initial={x: a}, t=t),
        {"a": 2.0, "b": 0.5, "tau": 1.3, "times": [0.5, 2.0, 4.0]},
    ),
    "vector and outputs": (
        iop.ODE(
            {x: v, v: -th[0] * x - th[1] * v + sp.cos(w * t)},
            [th, w],
            initial={x: 1, v: th[0]},
            t=t,
            outputs=[x + v, sp.exp(x) * w, t * x],
        ),
        {"th": [[1.2, 0.1], [2.0, 0.3]], "w": 1.4, "times": [0.5, 1.0, 3.0]},
    ),
    "unstable": (
        iop.ODE({x: v, v: a * x}, [a, b], initial={x: b, v: -b}),
        {"a": 1.0, "b": 1.0, "times": [1.0, 5.0, 10.0]},
    ),
    "derivatives that are zero": (
        iop.ODE({x: -a * x + b * v, v: -a * v}, [a, b], initial={x: 0, v: 1}),
        {"a": 0.0, "b": 1.0, "times": [0.0, 1.0, 5.0]},
    ),
    "populations": (LYNXES, LYNXES_AT),
}


def failed_names(report):
    return {check.name.removeprefix("numpy: ").removeprefix("theano: ") for check in report.failures}


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
                PROBLEMS["infusion"][0],
                [2.0, 0.5, 1.3, 4.0],
                lambda a, b, tau, t: a / b * (mpmath.exp(b * tau) - 1) * mpmath.exp(-b * t),
            ),
        ],
        ids=["t0", "event", "switch"],
    )
    def test_twenty_digits_of_all_derivatives(self, problem, point, closed):
        found = InitialValueReference(problem).at(point, order=2)
        value, jacobian, hessian = derivatives_of(closed, point)
        with mpmath.workdps(60):
            assert abs(found.value[0] / value - 1) < 1e-20
            for ours, true in zip(found.jacobian[0], jacobian):
                assert abs(ours - true) < mpmath.mpf(10) ** -19 * (1 + abs(true))
            for ours, true in zip(found.hessian[0].ravel(), np.ravel(np.array(hessian, dtype=object))):
                assert abs(ours - true) < mpmath.mpf(10) ** -18 * (1 + abs(true))

    def test_it_is_the_stored_solution_of_the_catalogue(self):
        case = case_named("logistic")
        found = InitialValueReference(case.problem()).at([*case.flat_point, *case.times])
        stored, p = case.reference(), len(case.flat_point)
        np.testing.assert_array_equal(found.value.astype(float), stored.values.ravel())
        jacobian = found.jacobian[:, :p].astype(float)
        np.testing.assert_allclose(jacobian, stored.sensitivities.reshape(-1, p), rtol=1e-15)

    def test_a_row_does_not_depend_on_other_output_times(self):
        jacobian = InitialValueReference(DRUG).at([0.5, 1.5, 1.25, 1.0, 2.0], order=1).jacobian
        assert jacobian[0, 4] == 0
        assert jacobian[1, 3] == 0
        assert jacobian[1, 4] < 0

    def test_at_the_time_of_an_event_it_is_what_comes_after(self):
        found = InitialValueReference(DRUG).at([0.5, 1.5, 1.25, 1.25], order=1)
        after = 1.5 * (np.exp(-0.5 * 1.25) + 1.25)
        np.testing.assert_allclose(float(found.value[0]), after, rtol=1e-15)
        # by tau: dose + dose tau k, by the time: -k x
        np.testing.assert_allclose(
            found.jacobian[0, 2:].astype(float), [1.5 + 1.5 * 1.25 / 2, -0.5 * after], rtol=1e-15
        )
        assert found.one_sided

    def test_functions_of_decimal_numbers(self):
        from implicitops.testing.decimals import as_decimal, as_mpf, compiled, digits

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
        return WithinTolerances(problem, InitialValueReference(problem)).at(list(variables), None, order)

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
        problem, point = LYNXES.replaced(options=options), LYNXES_AT[0]
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
            from implicitops.testing.reference import ReferencePoint

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


class TestWhatIsRightPasses:
    @pytest.mark.parametrize("sensitivity", ["forward", "adjoint"])
    @pytest.mark.parametrize("name", PROBLEMS)
    def test_both_orders_of_every_kind(self, name, sensitivity):
        problem, at = PROBLEMS[name]
        report = verify_grad(problem.replaced(sensitivity=sensitivity), at, order=2)
        skipped = {check.name for check in report if check.passed is None}
        assert skipped <= ({f"numpy: Taylor slope, order {k}" for k in (1, 2)} if "output time" in name else set())

    @pytest.mark.parametrize("method", ["tsit5", "rodas5p"])
    def test_every_method(self, method):
        problem = LYNXES.replaced(options=replace(LYNXES.options, method=method))
        assert verify_grad(problem, LYNXES_AT, order=2).passed

    def test_in_theano(self, monkeypatch):
        mode = pytest.importorskip("theano.compile.mode")
        monkeypatch.setattr(mode, "instantiated_default_mode", mode.Mode(linker="py", optimizer="fast_compile"))
        report = verify_grad(DRUG, DRUG_AT, order=2, backends=("theano",))
        assert not [check.name for check in report if check.passed is None]

    def test_a_kink_of_the_states_allows_first_order(self):
        problem = iop.ODE({x: v, v: -a * sp.Max(x, 0)}, [a, b], initial={x: b, v: 1})
        assert verify_grad(problem, {"a": 1.0, "b": 0.5, "times": [0.5, 1.0]}).passed

    def test_a_closed_form_is_the_truth_of_a_stiff_problem(self):
        problem = iop.ODE({x: -k * (x - a)}, [k, a], initial={x: 2 * a})

        def closed(k, a, times):
            return [a * (1 + mpmath.exp(-k * t)) for t in times]

        at = {"k": 1e5, "a": 3.0, "times": [1e-5, 1.0]}
        assert verify_grad(problem, at, order=2, reference=closed).passed
        wrong = verify_grad(problem, at, reference=lambda k, a, times: closed(k, a * (1 + 1e-4), times), throw=False)
        assert "solve value" in failed_names(wrong)
        assert "pass rtol=" in wrong["numpy: solve value"].reason

    def test_a_stored_solution_is_the_truth_of_a_case_of_the_catalogue(self):
        case = case_named("Robertson")
        at = dict(zip(case.problem().parameter_names, case.point))
        assert verify_grad(case.problem(), at, reference=StoredReference(case)).passed

    def test_a_stored_solution_knows_nothing_else(self):
        stored = StoredReference(case_named("Robertson"))
        point = [*stored.case.flat_point, *stored.case.times]
        with pytest.raises(NoReferenceError, match="knows nothing of second derivatives"):
            stored.at(point, order=2)
        with pytest.raises(NoReferenceError, match="knows nothing of another point"):
            stored.at([0.05, *point[1:]])

    def test_a_failed_solve_is_no_mismatch(self):
        problem = iop.ODE({x: a * x**2}, [a], initial={x: 1})
        report = verify_grad(problem, {"a": [0.5, 2.0], "times": [1.0]}, throw=False)
        (failure,) = report.solver_failures
        assert "BLOW_UP" in failure.reason
        assert not report.failures

    def test_at_needs_an_output_time(self):
        with pytest.raises(iop.ArgumentError, match="at least one point, and one output time"):
            verify_grad(DECAY, {**DECAY_AT, "times": []})


# -- mutants: each is wrong in one way ---------------------------------------------------------------------------

Right = replay.NumpyDifferentiable


def derivative_of(other, extra=lambda arguments: []):
    """A vjp that is that of another problem, which has further parameters in front of the times."""

    def vjp(self, arguments, cotangent):
        *parameters, times = arguments
        pulled = Right.vjp(Right(other), [*parameters, *extra(arguments), times], cotangent)
        return [*pulled[: len(parameters)], pulled[-1]]

    return vjp


def negated(position):
    def vjp(self, arguments, cotangent):
        pulled = Right.vjp(self, arguments, cotangent)
        pulled[position] = -pulled[position]
        return pulled

    return vjp


frozen = sp.Symbol("frozen")
ROTATION = iop.ODE({x: 0.3 * x + v, v: -0.5 * x}, [x0, v0], initial={x: x0, v: v0}, times=[0.5, 2.0])
TRANSPOSED = iop.ODE({x: 0.3 * x - 0.5 * v, v: x}, [x0, v0], initial={x: x0, v: v0}, times=[0.5, 2.0])
FILLING = iop.ODE({x: -k * x + a}, [k, a], initial={x: k}, times=[0.5, 2.0])
WITHOUT_F_P = iop.ODE({x: -frozen * x + a}, [k, a, frozen], initial={x: k}, times=[0.5, 2.0])
WITHOUT_SALTATION = iop.ODE(
    {x: -k * x}, [k, dose, tau, frozen], initial={x: dose}, events=[(frozen, {x: x + dose * tau})]
)


class TestMutantsAreCaught:
    def caught(self, monkeypatch, problem, at, order=1, **methods):
        monkeypatch.setattr(replay, "NumpyDifferentiable", type("Mutant", (Right,), methods))
        return failed_names(verify_grad(problem, at, order=order, throw=False))

    @pytest.mark.parametrize("position", range(4), ids=["k", "x0", "t0", "times"])
    def test_wrong_sign_of_one_argument(self, monkeypatch, position):
        caught = self.caught(monkeypatch, DECAY, DECAY_AT, vjp=negated(position))
        assert {"vjp", "dot product", "Taylor slope, order 1"} <= caught

    def test_missing_derivative_of_the_right_hand_side_by_a_parameter(self, monkeypatch):
        wrong = derivative_of(WITHOUT_F_P, lambda arguments: [arguments[0]])
        caught = self.caught(monkeypatch, FILLING, (0.7, 0.4), vjp=wrong)
        assert {"vjp", "dot product", "Taylor slope, order 1"} <= caught

    def test_missing_jump_of_the_sensitivities_at_an_event(self, monkeypatch):
        wrong = derivative_of(WITHOUT_SALTATION, lambda arguments: [arguments[2]])
        caught = self.caught(monkeypatch, DRUG, DRUG_AT, vjp=wrong)
        assert {"vjp", "dot product", "Taylor slope, order 1"} <= caught

    def test_transposed_jacobian(self, monkeypatch):
        caught = self.caught(monkeypatch, ROTATION, (0.7, 0.4), vjp=derivative_of(TRANSPOSED))
        assert {"vjp", "dot product", "Taylor slope, order 1"} <= caught

    def test_wrong_adjoint_with_right_forward_sensitivities(self, monkeypatch):
        def vjp(self, arguments, cotangent):
            pulled = Right.vjp(self, arguments, cotangent)
            is_adjoint = self.operation.problem.sensitivity_method == "adjoint"
            return [g * (1 + 1e-5 * is_adjoint) for g in pulled]

        assert self.caught(monkeypatch, LYNXES, LYNXES_AT, vjp=vjp) == {"adjoint sensitivities"}

    def test_missing_curvature(self, monkeypatch):
        def second(self, mode, *arguments):
            result = Right.second(self, mode, *arguments)
            return [1.001 * g for g in result] if isinstance(result, list) else 1.001 * result

        caught = self.caught(monkeypatch, LYNXES, LYNXES_AT, order=2, second=second)
        assert caught == {f"order 2, {mode}" for mode in ("ff", "fr", "rf", "rr")}

    def test_gradient_of_another_batch_element(self, monkeypatch):
        def vjp(self, arguments, cotangent):
            return [np.roll(g, 1, axis=0) for g in Right.vjp(self, arguments, cotangent)]

        assert {"vjp", "batch equals loop"} <= self.caught(monkeypatch, LYNXES, LYNXES_AT, vjp=vjp)


class Wrong(iop.ODE):
    """An ODE whose solve() answers with something else."""

    def solve(self, *args, derivatives=0, **kwargs):
        solution = super().solve(*args, derivatives=derivatives, **kwargs)
        return replace(solution, **self.change(solution, derivatives, lambda other: self.other(other, args, kwargs)))

    def other(self, options, args, kwargs):
        problem = iop.ODE.replaced(self, options=replace(self.options, **options))
        return iop.ODE.solve(problem, *args, derivatives=1, **kwargs)


def wrong(change, rtol=1e-8):
    kind = type("Wrong", (Wrong,), {"change": staticmethod(change)})
    problem = kind(dict(zip(LYNXES.states, LYNXES.rhs)), LYNXES.params, initial={x: 30, v: 6}, times=[0.5, 2.0, 3.0])
    return problem.replaced(options=replace(problem.options, rtol=rtol, atol=(rtol / 100,) * 2))


class TestWrongSolveIsCaught:
    def caught(self, problem, order=1):
        return failed_names(verify_grad(problem, LYNXES_AT[0], order=order, throw=False))

    def test_sensitivities_at_a_tolerance_of_their_own(self):
        def change(solution, derivatives, other):
            return {"jacobian": other({"rtol": 1e-3, "atol": (1e-5,) * 2}).jacobian} if derivatives else {}

        # At the statement's own tolerance nothing is wrong with them.
        assert self.caught(wrong(change, rtol=1e-4)) == {"tolerance ladder"}

    def test_error_that_stops_falling(self):
        errors = [30.0, 0.3, 0.28, 0.29]
        assert checks_ode._power(errors[1:]) < checks_ode.LEAST_POWER < checks_ode._power([30.0, 0.3, 0.02, 0.001])

    def test_hessian(self):
        def change(solution, derivatives, other):
            return {"hessian": solution.hessian * (1 + 1e-4)} if derivatives == 2 else {}

        assert "solve hessian" in self.caught(wrong(change), order=2)

    def test_hessian_that_is_not_symmetric(self):
        def change(solution, derivatives, other):
            if derivatives < 2:
                return {}
            hessian = solution.hessian.copy()
            hessian[..., 0, 1] *= 1 + 1e-15
            return {"hessian": hessian}

        assert self.caught(wrong(change), order=2) == {"hessian symmetric"}

    def test_derivative_by_the_output_time(self):
        def change(solution, derivatives, other):
            return {"time_derivative": -solution.time_derivative} if derivatives else {}

        assert "solve jacobian" in self.caught(wrong(change))

    def test_value_that_depends_on_the_order_of_derivatives(self):
        def change(solution, derivatives, other):
            return {} if derivatives else {"value": solution.value * (1 + 1e-5)}

        assert "orders agree" in self.caught(wrong(change))

    def test_rows_in_the_order_of_time(self):
        def change(solution, derivatives, other):
            return {"value": np.sort(solution.value, axis=-2)}

        assert "order of times" in self.caught(wrong(change))
