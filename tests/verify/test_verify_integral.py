"""verify_grad of definite integrals: what is right passes, and what is wrong in one way is caught."""

from __future__ import annotations

from dataclasses import replace

import mpmath
import numpy as np
import pytest
import sympy as sp
from catalogue.integral_case import flattened
from catalogue.integral_problems import integral_named

import implicitops as iop
from implicitops.errors import NoReferenceError
from implicitops.status import Estimates
from implicitops.verify import verify_grad
from implicitops.verify.differentiation import numpy as replay
from implicitops.verify.reference_integral import IntegralReference

x, y, a, b, k, s, tau, frozen = sp.symbols("x y a b k s tau frozen")
theta = sp.symbols("theta0:2")

MOVING = iop.Integral(sp.exp(-k * x) / (1 + x**2), (x, a, b), [a, b, k])
MOVING_AT = [(0.2, 1.7, 1.3), (1.0, -0.5, 0.7)]
STEP = iop.Integral(sp.Piecewise((k * sp.exp(-x), x < tau), (sp.cos(x), True)), (x, 0, b), [b, k, tau])
STEP_AT = [(1.7, 1.3, 0.9)]

PROBLEMS = {
    "moving limits": (MOVING, MOVING_AT),
    "jump": (STEP, STEP_AT),
    "limits that are functions": (iop.Integral(sp.exp(-a * x), (x, a**2, sp.sin(b)), [a, b]), [(0.5, 1.0)]),
    "half line": (iop.Integral(x ** (s - 1) * sp.exp(-k * x), (x, a, sp.oo), [a, s, k]), [(0.3, 0.5, 1.1)]),
    "whole line, vectors": (
        iop.Integral(
            [sp.exp(theta[0] * x - theta[1] * x**2), x * sp.exp(-theta[1] * x**2)], (x, -sp.oo, sp.oo), [theta]
        ),
        {"theta": [[0.5, 0.7]]},
    ),
    "singular at a moving end": (iop.Integral((x - a) ** (-s) * sp.cos(x), (x, a, b), [a, b, s]), [(0.3, 1.5, 0.4)]),
    "kink and break point": (
        iop.Integral(sp.Abs(x - a) * sp.log(sp.Abs(x - b)), (x, 0, 2), [a, b], breakpoints=[a]),
        [(0.6, 1.4)],
    ),
}

#: Of the catalogue, one of each kind of difficulty.
CASES = (
    "QUADPACK, power times logarithm",
    "upper incomplete gamma",
    "from minus infinity",
    "Gumbel",
    "two kinks of a parabola with breakpoints",
    "logarithm at the lower limit",
)


def failed_names(report):
    return {check.name.removeprefix("numpy: ").removeprefix("theano: ") for check in report.failures}


class TestReference:
    @pytest.mark.parametrize("name", CASES)
    def test_it_has_twenty_digits_of_a_closed_form(self, name):
        case = integral_named(name)
        exact = case.reference(case.points[0])
        found = IntegralReference(case.problem()).at(flattened(case.points[0]), order=case.derivatives)
        for field, digits in (("value", 30), ("jacobian", 20), ("hessian", 19))[: 1 + case.derivatives]:
            true = getattr(exact, field)
            scale = 1 + abs(true)
            assert np.all(abs(getattr(found, field) - true) <= mpmath.mpf(10) ** -digits * scale), field

    def test_an_oscillatory_tail_asks_for_a_reference(self):
        problem = iop.Integral(sp.sin(k * x) / x, (x, 1, sp.oo), [k])
        with pytest.raises(NoReferenceError, match="ass reference="):
            IntegralReference(problem).at([2.0])

    def test_an_iterated_integral_asks_for_a_reference(self):
        problem = iop.Integral(x * y, [(x, 0, y), (y, 0, a)], [a])
        with pytest.raises(iop.ArgumentError, match="over 2 variables"):
            verify_grad(problem, [1.5])
        assert verify_grad(problem, [1.5], order=2, reference=lambda a: a**4 / 8).passed


class TestWhatIsRightPasses:
    @pytest.mark.parametrize("name", PROBLEMS)
    def test_both_orders(self, name):
        problem, at = PROBLEMS[name]
        report = verify_grad(problem, at, order=2)
        assert not [check.name for check in report if check.passed is None and "Taylor" not in check.name]

    @pytest.mark.parametrize("name", ["moving limits"])
    def test_in_theano(self, name, monkeypatch):
        mode = pytest.importorskip("theano.compile.mode")
        monkeypatch.setattr(mode, "instantiated_default_mode", mode.Mode(linker="py", optimizer="fast_compile"))
        problem, at = PROBLEMS[name]
        report = verify_grad(problem, at, order=2, backends=("theano",))
        assert not [check.name for check in report if check.passed is None and "Taylor" not in check.name]

    def test_a_closed_form_is_the_truth_of_an_oscillatory_tail(self):
        problem = iop.Integral(sp.sin(k * x) / x, (x, a, sp.oo), [a, k])

        def closed(a, k):
            return mpmath.pi / 2 - mpmath.si(a * k)

        assert verify_grad(problem, [(1.0, 2.0)], reference=closed).passed
        wrong = verify_grad(problem, [(1.0, 2.0)], reference=lambda a, k: closed(a, k * (1 + 1e-6)), throw=False)
        assert {"solve value", "solve jacobian"} <= failed_names(wrong)

    def test_a_limit_at_a_kink_is_reported_and_not_failed(self):
        problem = iop.Integral(sp.Heaviside(x - 1), (x, 0, b), [b])
        report = verify_grad(problem, [1.0, 2.0], throw=False)
        assert "kink" in report["reference at point 0"].reason
        assert report.passed


# -- mutants: each is wrong in one way ---------------------------------------------------------------------------

Right = replay.NumpyDifferentiable
FROZEN_LIMIT = iop.Integral(sp.exp(-k * x) / (1 + x**2), (x, a, frozen), [a, b, k, frozen])
FROZEN_STEP = iop.Integral(
    sp.Piecewise((k * sp.exp(-x), x < frozen), (sp.cos(x), True)), (x, 0, b), [b, k, tau, frozen]
)
FROZEN_RATE = iop.Integral(sp.exp(-frozen * x) / (1 + x**2), (x, a, b), [a, b, k, frozen])


def without_derivative_by(position, other):
    """A vjp that is that of another problem, with the argument in ``position`` replaced by a constant."""

    def vjp(self, arguments, cotangent):
        return Right.vjp(Right(other), [*arguments, arguments[position]], cotangent)[:-1]

    return vjp


def changed(position, factor):
    def vjp(self, arguments, cotangent):
        pulled = Right.vjp(self, arguments, cotangent)
        pulled[position] = factor * pulled[position]
        return pulled

    return vjp


class TestMutantsAreCaught:
    def caught(self, monkeypatch, problem, at, order=1, **methods):
        monkeypatch.setattr(replay, "NumpyDifferentiable", type("Mutant", (Right,), methods))
        return failed_names(verify_grad(problem, at, order=order, throw=False))

    @pytest.mark.parametrize(
        ("problem", "at", "vjp"),
        [
            pytest.param(MOVING, MOVING_AT, without_derivative_by(1, FROZEN_LIMIT), id="upper limit taken as constant"),
            pytest.param(MOVING, MOVING_AT, changed(0, -1), id="wrong sign at the lower limit"),
            pytest.param(MOVING, MOVING_AT, without_derivative_by(2, FROZEN_RATE), id="integrand taken as constant"),
            pytest.param(STEP, STEP_AT, without_derivative_by(2, FROZEN_STEP), id="missed jump"),
        ],
    )
    def test_missing_term(self, monkeypatch, problem, at, vjp):
        caught = self.caught(monkeypatch, problem, at, vjp=vjp)
        assert {"vjp", "dot product", "Taylor slope, order 1"} <= caught

    def test_derivative_that_is_off_by_ten_times_the_tolerance(self, monkeypatch):
        assert "vjp" in self.caught(monkeypatch, MOVING, MOVING_AT, vjp=changed(2, 1 + 1e-7))

    def test_wrong_second_order(self, monkeypatch):
        def second(self, mode, *arguments):
            result = Right.second(self, mode, *arguments)
            return [1.001 * g for g in result] if isinstance(result, list) else 1.001 * result

        caught = self.caught(monkeypatch, MOVING, MOVING_AT, order=2, second=second)
        assert caught == {f"order 2, {mode}" for mode in ("ff", "fr", "rf", "rr")}


class Wrong(iop.Integral):
    """An integral whose solve() answers with something else."""

    def solve(self, *args, derivatives=0, **kwargs):
        solution = super().solve(*args, derivatives=derivatives, **kwargs)
        return replace(solution, **self.change(solution, derivatives, self.options))


def wrong(change, rtol=1e-8):
    kind = type("Wrong", (Wrong,), {"change": staticmethod(change)})
    return kind(MOVING.integrands[0], (x, a, b), MOVING.params, rtol=rtol)


class TestWrongSolveIsCaught:
    def caught(self, problem, order=1):
        return failed_names(verify_grad(problem, MOVING_AT, order=order, throw=False))

    def test_error_that_does_not_fall_with_the_tolerance(self):
        def change(solution, derivatives, options):
            return {"value": solution.value * (1 + 5e-6)}

        assert {"tolerance ladder", "error estimate"} <= self.caught(wrong(change, rtol=1e-5))

    def test_error_estimate_that_is_too_small(self):
        def change(solution, derivatives, options):
            return {"value": solution.value * (1 + 1e-11), "estimates": Estimates(0 * solution.value)}

        assert self.caught(wrong(change)) == {"error estimate"}

    def test_method_that_is_wrong(self):
        def change(solution, derivatives, options):
            return {"value": solution.value * 1.001} if options.method == "double_exponential" else {}

        assert self.caught(wrong(change)) == {"methods agree"}

    def test_hessian_that_is_not_symmetric(self):
        def change(solution, derivatives, options):
            if derivatives < 2:
                return {}
            hessian = solution.hessian.copy()
            hessian[..., 0, 1] *= 1 + 1e-15
            return {"hessian": hessian}

        assert self.caught(wrong(change), order=2) == {"hessian symmetric"}

    def test_value_that_depends_on_the_order_of_derivatives(self):
        def change(solution, derivatives, options):
            return {"value": solution.value * (1 + 1e-6)} if derivatives == 1 else {}

        assert "orders agree" in self.caught(wrong(change))
