"""The references that verify_grad compares with, and the bounds on what rounding explains."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.errors import KinkError, NoReferenceError
from implicitops.verify.differences import extrapolated_derivatives, precise_derivatives
from implicitops.verify.reference import RootReference
from implicitops.verify.reference_function import FunctionReference
from implicitops.verify.rounding import rounding_error

x, p = sp.symbols("x p")


class TestReference:
    def test_derivatives_of_a_known_root_to_forty_digits(self):
        with mpmath.workdps(60):
            point = RootReference(iop.Root(x**3 - p, x, [p], bracket=(0, 1 + p))).at([2.0], 1.26, order=2)
            third = mpmath.mpf(1) / 3
            expected = mpmath.mpf(2) ** third, third * mpmath.mpf(2) ** (-2 * third), -2 * third**2 * 2 ** (-5 * third)
            found = point.value[0], point.jacobian[0, 0], point.hessian[0, 0, 0]
            for a, b in zip(found, expected):
                assert abs(a / b - 1) < mpmath.mpf(10) ** -40

    @pytest.mark.parametrize("scale", [1e-200, 1e-8, 1.0, 1e200])
    def test_accuracy_does_not_depend_on_the_size_of_the_parameter(self, scale):
        with mpmath.workdps(60):
            reference = RootReference(iop.Root(x - sp.sqrt(1 + p**2), x, [p], bracket=(0, 2 + sp.Abs(p))))
            found = reference.at([scale], math.hypot(1, scale)).jacobian[0, 0]
            s = mpmath.mpf(scale)
            assert abs(found / (s / mpmath.sqrt(1 + s**2)) - 1) < mpmath.mpf(10) ** -40

    @pytest.mark.parametrize(
        ("residual", "near"), [(1 / (x - p), 1.0), (sp.sign(x - p) + sp.Rational(1, 2), 1.0), (x**2 + p, 0.1)]
    )
    def test_pole_jump_and_nothing_are_no_roots(self, residual, near):
        with pytest.raises(NoReferenceError):
            RootReference(iop.Root(residual, x, [p], bracket=(0, 2))).at([1.0], near * (1 + 1e-12))

    @pytest.mark.parametrize("near", [0.0, -2.7e-17, 2.9e-16])
    def test_root_at_zero_that_rounding_missed(self, near):
        point = RootReference(iop.Root(sp.exp(x) + x - p, x, [p], guess=1)).at([1.0], near, order=1)
        assert abs(point.value[0]) < 1e-50
        assert abs(point.jacobian[0, 0] - 0.5) < 1e-40
        assert 1e-17 < point.value_bound[0] < 1e-14

    def test_bound_grows_as_the_root_becomes_double(self):
        reference = RootReference(iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p)))
        shifted = RootReference(iop.Root((x - 1) ** 2 - p, x, [p], bracket=(1, 2 + p)))
        relative = reference.at([1e-20], 1e-10).value_bound[0] / mpmath.mpf(1e-10)
        absolute = shifted.at([1e-20], 1 + 1e-10).value_bound[0]
        assert relative < 1e-14
        assert 1e-16 < absolute < 1e-13

    def test_kink_is_an_error_with_both_slopes(self):
        with pytest.raises(KinkError, match=r"-1\.0 from the left, 1\.0 from the right"), mpmath.workdps(120):
            precise_derivatives(lambda v: [abs(v[0])], [0], 1)

    def test_float_function_gets_an_error_bar_that_covers_its_error(self):
        point = FunctionReference(lambda a, b: math.exp(a) * b**2, [(), ()]).at([0.3, 2.0], order=2)
        true = np.exp(0.3) * np.array([4.0, 4.0])
        error = abs(point.jacobian[0].astype(float) - true)
        assert np.all(error <= point.jacobian_bound[0].astype(float))
        assert np.all(point.jacobian_bound[0].astype(float) < 1e-8)
        hessian = np.exp(0.3) * np.array([[4.0, 4.0], [4.0, 2.0]])
        assert np.all(abs(point.hessian[0].astype(float) - hessian) <= point.hessian_bound[0].astype(float))

    @pytest.mark.parametrize("noise", [1e-12, 1e-9, 1e-7])
    def test_bar_is_honest_for_a_noisy_function(self, noise):
        rng = np.random.default_rng(1)
        for _ in range(20):
            derivative, bar = extrapolated_derivatives(
                lambda v: np.sin(v) + noise * rng.standard_normal(1), np.ones(1), 1
            )
            assert abs(derivative[0, 0] - np.cos(1)) <= 2 * bar[0, 0] < 1e5 * noise

    @pytest.mark.parametrize("at", [1.5842827116307445, np.pi / 2, 1000.0, 1e6, 1e-8])
    def test_bar_covers_rounding_where_the_derivative_is_small(self, at):
        reference = FunctionReference(lambda v: float(np.sin(v)), [()]).at([at], order=2)
        with mpmath.workdps(40):
            true = mpmath.cos(mpmath.mpf(at)), -mpmath.sin(mpmath.mpf(at))
            assert abs(reference.jacobian[0, 0] - true[0]) <= reference.jacobian_bound[0, 0] < 1e-8
            assert abs(reference.hessian[0, 0, 0] - true[1]) <= reference.hessian_bound[0, 0, 0] < 1e-5

    def test_steps_of_a_float_function_follow_from_its_own_scale(self):
        def line(v):
            return math.exp(-(((v - 6562.8) / 0.3) ** 2))

        found = FunctionReference(line, [()]).at([6562.9], order=1)
        true = -2 * 0.1 / 0.09 * line(6562.9)
        assert abs(float(found.jacobian[0, 0]) - true) <= 1e-9
        assert float(found.jacobian_bound[0, 0]) < 1e-7

    def test_kink_of_a_float_function_is_an_error(self):
        with pytest.raises(KinkError, match="not smooth there"):
            FunctionReference(lambda v: abs(float(v)), [()]).at([0.0], order=1)


class TestRoundingError:
    @pytest.mark.parametrize(
        "expression",
        [
            x**2 - p,
            sp.exp(x * p) - x,
            (x + p) - p * sp.cos(p * 1e3),
            sp.log(1 + x) / x - p,
            sp.Piecewise((x**3, x < 1), (p, True)),
            sp.sqrt(x) * sp.Abs(x - p) + sp.Max(x, p),
        ],
    )
    def test_covers_what_double_precision_does(self, expression):
        function = sp.lambdify((x, p), expression, "numpy")
        rng = np.random.default_rng(0)
        with mpmath.workdps(50):
            for a, b in rng.uniform(0.1, 3.0, (50, 2)):
                true, bound = rounding_error(expression, {x: (a, 0), p: (b, 0)})
                error = abs(mpmath.mpf(float(function(a, b))) - true)
                assert error <= bound
                assert bound <= 1e-9

    def test_carries_the_error_of_its_inputs(self):
        with mpmath.workdps(50):
            _, bound = rounding_error(sp.exp(10 * x), {x: (mpmath.mpf(1), mpmath.mpf("1e-10"))})
        assert 0.9e-9 * math.exp(10) < bound < 1.1e-9 * math.exp(10)
