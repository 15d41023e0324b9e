"""The harness: what is right passes, relatively; what is wrong is caught, whatever is wrong with it."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.status import Estimates
from implicitops.verify import Check, GradientMismatchError, Report, verify_grad
from implicitops.verify.differentiation import numpy as replay

mu, theta = sp.symbols("mu theta")
x, p, q = sp.symbols("x p q")
DOCUMENTATION = iop.Root(mu + mu * sp.exp(theta * mu) - 1, mu, [theta], bracket=(0, 1))
SINE = iop.Root(q * sp.sin(x) - p, x, [p, q], bracket=(5 * sp.pi / 2, 7 * sp.pi / 2))
POINTS = [0.2, 1e-5, 1e5]


def failed_names(report):
    return {check.name.removeprefix("numpy: ").removeprefix("theano: ") for check in report.failures}


class TestWhatIsRightPasses:
    def test_documentation_example_passes_relatively_at_order_2(self):
        report = verify_grad(DOCUMENTATION, {"theta": POINTS}, order=2)
        assert report.passed
        assert not [check.name for check in report if check.passed is None]

    @pytest.mark.parametrize("theta", POINTS)
    def test_tolerances_are_relative_to_each_derivative(self, theta):
        report = verify_grad(DOCUMENTATION, [theta])
        assert report["numpy: vjp"].tolerance < 1e-12
        assert report["numpy: vjp"].error <= report["numpy: vjp"].tolerance

    def test_points_can_be_written_in_several_ways(self):
        for at in ({"p": [0.3, 0.4], "q": 1.0}, [(0.3, 1.0), (0.4, 1.0)], (0.3, 1.0)):
            assert verify_grad(SINE, at).passed
        assert verify_grad(DOCUMENTATION, 0.2).passed

    def test_vector_parameters_are_checked_component_by_component(self):
        c = sp.symbols("c0:3")
        line = iop.Root(c[0] + c[1] * x + c[2] * x**3, x, [c], bracket=(-5, 5))
        assert verify_grad(line, [[-1.0, 2.0, 0.5], [0.5, 1.0, 1.0]], order=2).passed

    def test_a_reference_in_closed_form_replaces_the_statement(self):
        root = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))
        assert verify_grad(root, [2.0, 1e-8], reference=mpmath.sqrt).passed
        with pytest.raises(GradientMismatchError):
            verify_grad(root, [2.0], reference=lambda p: mpmath.sqrt(p) * (1 + mpmath.mpf(10) ** -9))

    @pytest.mark.parametrize(
        "residual",
        [
            x - p - 1,  # its derivative is a constant, and must be NaN all the same where the solve fails
            x * sp.Piecewise((1, x < 1), (x, True)) + x * p - q,  # x once more inside the Piecewise
            sp.Piecewise((x - p, q < 1), (sp.sqrt(x - 20), True)) * 2,  # the other piece is undefined here
            sp.Max(x, p) + x - 3 * q,
        ],
    )
    def test_derivatives_that_a_chain_rule_gets_wrong(self, residual):
        problem = iop.Root(residual, x, [p, q], bracket=(-10, 10))
        assert verify_grad(problem, {"p": [0.4, 2.0], "q": [0.9, 0.7]}, order=2).passed

    def test_public_name_is_the_harness(self):
        assert iop.verify_grad is verify_grad


# -- mutants: each is wrong in one way ---------------------------------------------------------------------------


def mutant(**methods):
    """NumPy derivative products with some of them replaced."""
    return type("Mutant", (replay.NumpyDifferentiable,), methods)


def scaled_vjp(factor):
    def vjp(self, arguments, cotangent):
        return [factor * g for g in replay_vjp(self, arguments, cotangent)]

    return vjp


replay_vjp, replay_jvp = replay.NumpyDifferentiable.vjp, replay.NumpyDifferentiable.jvp
replay_second, replay_value = replay.NumpyDifferentiable.second, replay.NumpyDifferentiable.value


def dropped_term(self, arguments, cotangent):
    # F_x of the documentation's example without theta mu exp(theta mu)
    (t,) = arguments
    m = self.value(arguments)
    return [-cotangent * m**2 * np.exp(t * m) / (1 + np.exp(t * m))]


def neighbouring_root(self, arguments, cotangent):
    # the root 3 pi - arcsin(p/q) has the opposite slope of the next one, 2 pi + arcsin(p/q)
    a, b = arguments
    slope = 1 / np.sqrt(b**2 - a**2)
    return [cotangent * slope, -cotangent * slope * a / b]


def transposed(self, arguments, cotangent):
    return list(reversed(replay_vjp(self, arguments, cotangent)))


def rolled(self, arguments, cotangent):
    return [np.roll(g, 1) for g in replay_vjp(self, arguments, cotangent)]


def missing_curvature(self, mode, arguments, cotangent, tangents, others):
    result = replay_second(self, mode, arguments, cotangent, tangents, others)
    return [0.999 * g for g in result] if isinstance(result, list) else result


def not_nan_where_failed(self, arguments, cotangent):
    return [np.nan_to_num(g) for g in replay_vjp(self, arguments, cotangent)]


def single_precision(self, arguments, cotangent):
    return [g.astype(np.float32) for g in replay_vjp(self, arguments, cotangent)]


def fickle(self, arguments, cotangent):
    self.calls = getattr(self, "calls", 0) + 1
    return [g * (1 + (self.calls % 2) * 2e-16) for g in replay_vjp(self, arguments, cotangent)]


class TestMutantsAreCaught:
    @pytest.fixture
    def check(self, monkeypatch):
        def run(problem, at, order=1, **methods):
            monkeypatch.setattr(replay, "NumpyDifferentiable", mutant(**methods))
            with pytest.raises(GradientMismatchError) as caught:
                verify_grad(problem, at, order=order)
            return failed_names(caught.value.report)

        return run

    @pytest.mark.parametrize("theta", POINTS)
    def test_wrong_sign(self, check, theta):
        caught = check(DOCUMENTATION, [theta], vjp=scaled_vjp(-1))
        assert {"vjp", "dot product"} <= caught
        if theta != 1e5:  # there the step's remainder is rounding error of the root
            assert "Taylor slope, order 1" in caught

    @pytest.mark.parametrize("theta", POINTS)
    def test_gradient_scaled_by_one_in_a_million(self, check, theta):
        assert {"vjp", "dot product"} <= check(DOCUMENTATION, [theta], vjp=scaled_vjp(1 + 1e-6))

    def test_zero_gradient_where_the_derivative_is_tiny(self, check):
        assert "vjp" in check(DOCUMENTATION, [1e5], vjp=scaled_vjp(0))

    @pytest.mark.parametrize("theta", POINTS)
    def test_dropped_term(self, check, theta):
        assert "vjp" in check(DOCUMENTATION, [theta], vjp=dropped_term)

    def test_derivative_of_a_neighbouring_root(self, check):
        assert "vjp" in check(SINE, [(0.3, 1.0)], vjp=neighbouring_root)

    def test_missing_transpose(self, check):
        assert {"vjp", "dot product"} <= check(SINE, [(0.3, 1.0)], vjp=transposed)

    def test_gradient_of_another_batch_element(self, check):
        assert {"vjp", "batch equals loop"} <= check(DOCUMENTATION, [0.2, 0.3, 0.4], vjp=rolled)

    def test_wrong_forward_mode_with_right_reverse_mode(self, check):
        caught = check(
            DOCUMENTATION, [0.2], jvp=lambda self, arguments, tangents: -replay_jvp(self, arguments, tangents)
        )
        assert caught == {"jvp", "dot product"}

    def test_wrong_second_order_with_right_first_order(self, check):
        caught = check(SINE, [(0.3, 1.0)], order=2, second=missing_curvature)
        assert caught == {"order 2, fr", "order 2, rf", "order 2, rr"}

    def test_value_that_is_off_by_a_few_ulp_more_than_rounding(self, check):
        caught = check(SINE, [(0.3, 1.0)], value=lambda self, arguments: replay_value(self, arguments) * (1 + 1e-13))
        assert "value" in caught

    def test_derivative_that_is_a_number_where_the_solve_failed(self, check):
        assert check(DOCUMENTATION, [0.2, 0.3], vjp=not_nan_where_failed) == {"batch equals loop"}

    def test_gradient_of_another_dtype(self, check):
        assert "dtype and shape" in check(DOCUMENTATION, [0.5], vjp=single_precision)

    def test_gradient_that_changes_from_call_to_call(self, check):
        assert "determinism" in check(DOCUMENTATION, [0.2], vjp=fickle)


class Wrong(iop.Root):
    """A root whose solve() answers with something else."""

    def solve(self, *args, derivatives=0, throw=True, **kwargs):
        solution = super().solve(*args, derivatives=derivatives, throw=throw, **kwargs)
        fields = {name: getattr(solution, name) for name in solution.__dataclass_fields__}
        fields.update(self.change(fields))
        return iop.Solution(**fields)


def wrong(change):
    kind = type("Wrong", (Wrong,), {"change": staticmethod(change)})
    return kind(p - q * sp.sin(x), x, [p, q], bracket=(5 * sp.pi / 2, 7 * sp.pi / 2))


class TestWrongSolveIsCaught:
    def caught(self, problem, order=2):
        report = verify_grad(problem, {"p": [0.3, 0.5], "q": 1.0}, order=order, throw=False)
        return failed_names(report)

    def test_jacobian(self):
        def change(fields):
            return {"jacobian": None if fields["jacobian"] is None else fields["jacobian"] * (1 + 1e-6)}

        assert "solve jacobian" in self.caught(wrong(change))

    def test_hessian_and_its_symmetry(self):
        def change(fields):
            if fields["hessian"] is None:
                return {}
            hessian = np.array(fields["hessian"])
            hessian[..., 0, 1] *= 1.001
            return {"hessian": hessian}

        assert {"solve hessian", "hessian symmetric"} <= self.caught(wrong(change))

    def test_root_outside_the_bracket(self):
        # 3 pi - a is inside, 5 pi - a is the same kind of root one turn further
        caught = self.caught(wrong(lambda fields: {"value": fields["value"] + 2 * np.pi}))
        assert "inside the bracket" in caught

    def test_error_estimate_that_is_too_small(self):
        too_small = wrong(lambda fields: {"estimates": Estimates(fields["value"] * 1e-18)})
        assert "error estimate" in self.caught(too_small)

    def test_number_that_is_no_root_at_all(self):
        report = verify_grad(
            wrong(lambda fields: {"value": fields["value"] * 0 + 10.9}), {"p": 0.3, "q": 1.0}, throw=False
        )
        assert [check.reason for check in report.failures if "not change its sign" in check.reason]


# -- outcomes ----------------------------------------------------------------------------------------------------


class TestOutcomes:
    def test_solver_failure_is_its_own_outcome_and_no_mismatch(self):
        with pytest.raises(iop.SolveError, match="no solution") as caught:
            verify_grad(SINE, {"p": [0.3, 2.0], "q": 1.0})
        assert not isinstance(caught.value, GradientMismatchError)

    def test_points_beside_a_solver_failure_are_still_checked(self):
        report = verify_grad(SINE, {"p": [0.3, 2.0, 0.5], "q": 1.0}, throw=False)
        assert len(report.solver_failures) == 1
        assert "p=2.0" in report.solver_failures[0].where
        assert not report.failures
        assert report["numpy: vjp"].passed
        assert not report.passed

    def test_kink_is_reported_and_not_failed(self):
        root = iop.Root(x - sp.Abs(p) - 1, x, [p], bracket=(0, 10))
        report = verify_grad(root, [0.0, 2.0], throw=False)
        (kink,) = (check for check in report if check.name.startswith("reference"))
        assert kink.passed is None
        assert "kink" in kink.reason

    def test_ill_conditioned_point_passes_and_says_so(self):
        double = iop.Root((x - 1) ** 2 * (x - 3) - p, x, [p], bracket=(1, 2))
        report = verify_grad(double, [-1e-26], throw=False)
        if report.solver_failures:
            assert "SINGULAR" in report.solver_failures[0].reason
        else:
            assert "badly conditioned" in report["numpy: vjp"].reason

    def test_report_is_a_table_with_the_worst_element(self):
        report = verify_grad(DOCUMENTATION, {"theta": POINTS})
        text = str(report)
        assert text.splitlines()[1].split() == ["check", "outcome", "error", "tolerance", "worst", "at"]
        assert "theta=" in report["numpy: vjp"].where
        assert "d/dtheta" in report["numpy: vjp"].where

    def test_failed_report_names_what_failed_and_where(self):
        report = Report("f", (Check("numpy: vjp", False, 2.0, 1e-14, "p=1", "got 1.0, but the true number is -1"),))
        with pytest.raises(GradientMismatchError, match=r"FAILED in numpy: vjp.*\n.*\n.*p=1") as caught:
            report.raise_if_failed()
        assert isinstance(caught.value, AssertionError)
        assert caught.value.report is report

    def test_skipped_check_is_no_failure(self):
        assert Report("f", (Check("a", True), Check("b", None, reason="not available"))).passed

    def test_unknown_check_is_a_key_error(self):
        with pytest.raises(KeyError, match="no check is called"):
            Report("f", ())["numpy: vjp"]


class TestArguments:
    @pytest.mark.parametrize(
        ("keywords", "words"),
        [
            ({"order": 3}, "order must be 1 or 2; got 3"),
            ({"backends": "numpy"}, r"Write \('numpy',\)"),
            ({"backends": ("theanno",)}, "Did you mean 'theano'"),
        ],
    )
    def test_bad_option(self, keywords, words):
        with pytest.raises(iop.ArgumentError, match=words):
            verify_grad(DOCUMENTATION, [0.2], **keywords)

    def test_misspelt_parameter(self):
        with pytest.raises(iop.ArgumentError, match="Did you mean 'theta'"):
            verify_grad(DOCUMENTATION, {"thta": 0.2})

    def test_point_with_too_few_items(self):
        with pytest.raises(iop.ArgumentError, match=r"needs 2 item\(s\), one for each of p, q"):
            verify_grad(SINE, [(0.3,)])

    def test_no_point_at_all(self):
        with pytest.raises(iop.ArgumentError, match="at least one point"):
            verify_grad(DOCUMENTATION, {"theta": []})

    def test_target_of_no_known_kind(self):
        with pytest.raises(iop.ArgumentError, match="target must be"):
            verify_grad("x**2", [1.0])

    def test_op_is_not_checked_with_numpy(self):
        with pytest.raises(iop.ArgumentError, match="checked in its own framework"):
            verify_grad(lambda v: v, [1.0], backends=("numpy",))
