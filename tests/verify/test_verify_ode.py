"""verify_grad of initial value problems: what is right passes, and what is wrong in one way is caught."""

from __future__ import annotations

from dataclasses import replace

import mpmath
import numpy as np
import pytest
import sympy as sp
from catalogue.ode_problems import case_named
from catalogue.stored_reference import StoredReference

import implicitops as iop
from implicitops.errors import NoReferenceError
from implicitops.verify import checks_ode, verify_grad
from implicitops.verify.differentiation import numpy as replay

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


class TestWhatIsRightPasses:
    @pytest.mark.parametrize("sensitivity", ["forward", "adjoint"])
    @pytest.mark.parametrize("name", PROBLEMS)
    def test_both_orders_of_every_kind(self, name, sensitivity):
        problem, at = PROBLEMS[name]
        report = verify_grad(problem.replaced(options=replace(problem.options, sensitivity=sensitivity)), at, order=2)
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
