"""What an expression means in machine code: arithmetic, logic, names, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from implicitops.codegen import Bundle, UnsupportedExpressionError
from implicitops.codegen.compile import CompiledBundle, compile_artifact

x, y, z = sp.symbols("x y z")
NAN, INF = float("nan"), float("inf")


def compile_all(symbols, *expressions):
    bundle = Bundle(tuple(symbols), tuple(sp.sympify(expression) for expression in expressions))
    return CompiledBundle(compile_artifact(bundle))


def values_of(expression, points):
    return compile_all([x], expression).evaluate([points])[0]


class TestArithmetic:
    @pytest.mark.parametrize("exponent", [0, 1, 2, 3, 7, 12, 31, -1, -2, -5, 40, -33])
    def test_integer_powers_of_either_sign(self, exponent):
        points = np.array([-2.5, -1.0, -0.3, 0.7, 1.0, 1.9])
        values = values_of(sp.Pow(x, exponent, evaluate=False), points)
        np.testing.assert_allclose(values, points ** float(exponent), rtol=2e-16 * (3 + abs(exponent)))

    @pytest.mark.parametrize("half", [1, -1, 3, -3, 7])
    def test_half_integer_powers_go_through_the_square_root(self, half):
        values = values_of(x ** sp.Rational(half, 2), [-1.0, 0.0, -0.0, 2.25, INF, NAN])
        at_zero, at_infinity = (0.0, INF) if half > 0 else (INF, 0.0)
        np.testing.assert_allclose(values, [NAN, at_zero, at_zero, 1.5**half, at_infinity, NAN], rtol=1e-15)

    @pytest.mark.parametrize(
        "exponent", [sp.Rational(1, 3), sp.Rational(1, 4), sp.Rational(-3, 4), sp.pi, sp.Float(0.1)]
    )
    def test_fractional_power_of_a_negative_number_is_nan(self, exponent):
        values = values_of(x**exponent, [-1.0, 2.0])
        assert math.isnan(values[0])
        assert values[1] == pytest.approx(2.0 ** float(exponent), rel=1e-15)

    def test_float_exponents_that_are_whole_or_half_are_exact(self):
        np.testing.assert_array_equal(values_of(x**2.0, [-3.0, 1.5]), [9.0, 2.25])
        np.testing.assert_array_equal(values_of(x**0.5, [4.0, -1.0]), [2.0, NAN])

    def test_symbolic_power_is_real_where_it_can_be(self):
        code = compile_all([x, y], x**y)
        values = code.evaluate([[-2, -2, 0, 0, 2, -2.0], [3, 2, 0, -1, 0.5, 0.5]])[0]
        np.testing.assert_allclose(values, [-8, 4, 1, INF, math.sqrt(2), NAN], rtol=1e-15)

    def test_quotients_and_signs(self):
        code = compile_all([x, y], -x - y, x / y, -x / (2 * y), 2 * x / 3 - y / 7, 1 / (x * sp.sqrt(y)), x - 3)
        a, b = 1.7, 2.9
        expected = [-a - b, a / b, -a / (2 * b), 2 * a / 3 - b / 7, 1 / (a * math.sqrt(b)), a - 3]
        np.testing.assert_allclose(code.evaluate([[a], [b]])[:, 0], expected, rtol=4e-16)

    @pytest.mark.parametrize(
        "constant",
        [sp.Rational(1, 3), sp.Integer(2) ** 53 + 1, sp.Float("0.1", 40), sp.pi, sp.E, sp.EulerGamma,
         sp.GoldenRatio, sp.Catalan, sp.Rational(1, 10**310), sp.Rational(-(10**320), 7 * 10**300),
         sp.Float("1e-320"), sp.Integer(10) ** 400, sp.oo, -sp.oo, sp.Rational(2**60 + 129, 3)],
    )  # fmt: skip
    def test_constants_are_the_nearest_double(self, constant):
        value = compile_all([x], constant).evaluate([[1.0]])[0, 0]
        assert value == (float(constant.evalf(60)) if constant != sp.Integer(10) ** 400 else INF)

    def test_output_may_be_an_input_or_a_number_or_repeated(self):
        code = compile_all([x, y], y, 2, y, x + y, x + y)
        np.testing.assert_array_equal(code.evaluate([[1.0, 2.0], [3.0, 4.0]]), [[3, 4], [2, 2], [3, 4], [4, 6], [4, 6]])

    def test_no_inputs_and_no_lanes(self):
        assert compile_all([], sp.pi).evaluate(np.empty((0, 3))).tolist() == [[math.pi] * 3]
        assert compile_all([x], x).evaluate(np.empty((1, 0))).shape == (1, 0)

    def test_tiny_differences_survive(self):
        points = np.array([1e-18, -1e-12, 1e-5])
        np.testing.assert_allclose(values_of(sp.exp(x) - 1, points), np.expm1(points), rtol=1e-15)
        np.testing.assert_allclose(values_of(1 - sp.exp(x), points), -np.expm1(points), rtol=1e-15)
        np.testing.assert_allclose(values_of(sp.log(1 + x), points), np.log1p(points), rtol=1e-15)
        np.testing.assert_allclose(values_of(1 - sp.cos(x), points), 2 * np.sin(points / 2) ** 2, rtol=1e-15)
        np.testing.assert_allclose(values_of(sp.cos(x) - 1, points), -2 * np.sin(points / 2) ** 2, rtol=1e-15)

    def test_softplus_does_not_overflow(self):
        np.testing.assert_allclose(values_of(sp.log(1 + sp.exp(x)), [800.0, -800.0, 0.0]), [800, 0, math.log(2)])

    def test_tiny_differences_survive_sharing(self):
        code = compile_all([x], sp.exp(x) - 1, sp.exp(x), sp.exp(x) ** 2 + sp.log(1 + x), 1 / (1 + x))
        np.testing.assert_allclose(code.evaluate([[1e-18]])[0], [1e-18], rtol=1e-15)


class TestLogic:
    def test_piecewise_selects_lane_by_lane_and_is_nan_without_a_branch(self):
        piecewise = sp.Piecewise((x**2, x < -1), (sp.log(x), x > 0))
        np.testing.assert_allclose(values_of(piecewise, [-2.0, -1.0, 0.0, 1.0, NAN]), [4, NAN, NAN, 0, NAN])

    def test_first_true_branch_wins(self):
        piecewise = sp.Piecewise((1, x > 2), (2, x > 1), (3, True))
        np.testing.assert_array_equal(values_of(piecewise, [3, 1.5, 0]), [1, 2, 3])

    @pytest.mark.parametrize(
        ("condition", "holds"),
        [
            (sp.And(x > -1, x < 1), lambda v: -1 < v < 1),
            (sp.Or(x < -1, x >= 1), lambda v: v < -1 or v >= 1),
            (sp.Not(sp.And(x > -1, x < 1)), lambda v: not -1 < v < 1),
            (sp.Xor(x > -1, x < 1), lambda v: (v > -1) != (v < 1)),
            (sp.ITE(x > 0, x < 1, x > -1), lambda v: v < 1 if v > 0 else v > -1),
            (sp.Eq(x, 1), lambda v: v == 1),
            (sp.Ne(x, 1), lambda v: v != 1),
            (sp.Implies(x > 0, x > 1), lambda v: v <= 0 or v > 1),
            (sp.Equivalent(x > 0, x > 1), lambda v: (v > 0) == (v > 1)),
            (sp.Contains(x, sp.Interval.open(-1, 1)), lambda v: -1 < v < 1),
            (sp.Nand(x > 0, x < 1), lambda v: not 0 < v < 1),
        ],
    )
    def test_conditions(self, condition, holds):
        points = [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0]
        values = values_of(sp.Piecewise((1, condition), (0, True), evaluate=False), points)
        assert values.tolist() == [float(holds(point)) for point in points]

    def test_branch_that_is_not_taken_does_no_harm(self):
        guarded = sp.Piecewise((sp.sin(x) / x, sp.Ne(x, 0)), (1, True))
        np.testing.assert_array_equal(values_of(guarded, [0.0]), [1.0])


class TestNames:
    def test_symbols_may_have_any_name(self):
        names = ["exp", "in", "out", "%v1", "x y", '"', "@sin", "lambda", "é", "double"]
        symbols = [sp.Symbol(name) for name in names]
        code = compile_all(symbols, sp.Add(*symbols) * sp.exp(symbols[0]), symbols[-1])
        values = code.evaluate(np.arange(10.0)[:, None])
        np.testing.assert_allclose(values[:, 0], [45.0, 9.0])

    def test_same_name_with_other_assumptions_is_another_symbol(self):
        positive = sp.Symbol("x", positive=True)
        np.testing.assert_array_equal(compile_all([x, positive], x - positive).evaluate([[5.0], [3.0]]), [[2.0]])


class TestRefusals:
    f = sp.Function("f")

    @pytest.mark.parametrize(
        ("expression", "named"),
        [
            (sp.I * x, "I"),
            (sp.sqrt(-2) + x, "I"),
            (sp.Pow(-2, sp.Rational(1, 3)) * x, "(-2)**(1/3)"),
            (sp.zoo, "zoo"),
            (sp.nan, "nan"),
            (f(x) + 1, "f(x)"),
            (sp.Function("exp")(x), "exp(x)"),
            (sp.Integral(sp.exp(-(x**2)) / (1 + x), (x, 0, y)), "Integral"),
            (f(x).diff(x), "Derivative"),
            (sp.hyper([1], [2], x), "hyper"),
            (x + sp.Symbol("undeclared"), "undeclared"),
            (sp.Piecewise((1, f(x) > 1), (2, True)), "f(x)"),
            (sp.Piecewise((1, sp.Symbol("flag")), (2, True)), "flag"),
            (sp.hankel1(0, x), "hankel1"),
            (sp.Sum(x, (y, 1, sp.oo)), "Sum"),
        ],
    )
    def test_error_names_what_is_not_supported(self, expression, named):
        with pytest.raises(UnsupportedExpressionError, match="Expected an expression of real") as caught:
            compile_all([x, y], expression)
        assert named in str(caught.value)

    def test_error_says_where_in_the_users_own_terms(self):
        expression = sp.exp(x) + sp.cos(1 + sp.hyper([1], [2], x)) * sp.sin(1 + sp.hyper([1], [2], x))
        with pytest.raises(UnsupportedExpressionError) as caught:
            compile_all([x], expression)
        message = str(caught.value)
        assert "hyper((1,), (2,), x)" in message
        assert "1" in message
        assert "common" not in message
        assert len(message) < 700

    def test_error_survives_pickling(self):
        import pickle

        with pytest.raises(UnsupportedExpressionError) as caught:
            compile_all([x], sp.hyper([1], [2], x))
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


# -- random expressions against a second evaluation, and block against scalar form ---------------------------

_LEAVES = st.sampled_from([x, y, sp.Integer(2), sp.Rational(-1, 3), sp.Float(0.75), sp.pi])


def _nodes(children):
    unary = st.sampled_from(
        [sp.exp, sp.sin, sp.cos, sp.tanh, sp.atan, sp.Abs, sp.floor, sp.sign, lambda u: sp.log(1 + u**2),
         lambda u: sp.sqrt(sp.Abs(u)), lambda u: sp.exp(u) - 1, lambda u: 1 / (2 + sp.cos(u)), lambda u: u**3]
    )  # fmt: skip
    binary = st.sampled_from(
        [lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a - b, sp.Max, sp.Min, sp.atan2,
         lambda a, b: sp.Piecewise((a, a < b), (b, True)), lambda a, b: a / (1 + b**2)]
    )  # fmt: skip
    return st.one_of(
        st.builds(lambda f, a: f(a), unary, children),
        st.builds(lambda f, a, b: f(a, b), binary, children, children),
    )


EXPRESSIONS = st.recursive(_LEAVES, _nodes, max_leaves=12)
COORDINATES = st.floats(-3, 3).filter(lambda v: abs(v) > 1e-3)


@settings(max_examples=40, deadline=None)
@given(EXPRESSIONS, st.lists(st.tuples(COORDINATES, COORDINATES), min_size=1, max_size=19))
def test_block_and_scalar_form_of_any_expression_agree_bit_for_bit(expression, points):
    code = compile_all([x, y], expression, expression.diff(x) if not expression.has(sp.floor, sp.sign) else expression)
    columns = np.array(points).T
    block = code.evaluate(columns)
    scalar = np.array([code.evaluate_scalar(point) for point in points]).T
    assert (
        (block.view(np.int64) == np.ascontiguousarray(scalar).view(np.int64)) | (np.isnan(block) & np.isnan(scalar))
    ).all()


@settings(max_examples=40, deadline=None)
@given(EXPRESSIONS, COORDINATES, COORDINATES)
def test_any_expression_agrees_with_its_value_in_many_digits(expression, a, b):
    exact = expression.subs({x: sp.Float(a, 60), y: sp.Float(b, 60)}).evalf(30)
    nearby = expression.subs({x: sp.Float(a * (1 + 1e-15), 60), y: sp.Float(b * (1 + 1e-15), 60)}).evalf(30)
    if not (exact.is_Float or exact.is_Integer) or abs(float(exact)) > 1e250 or abs(float(nearby)) > 1e250:
        return
    value = float(compile_all([x, y], expression).evaluate([[a], [b]])[0, 0])
    sensitivity = abs(float(exact) - float(nearby))
    if sensitivity > 1e-6 * (1 + abs(float(exact))):
        return  # a jump or an ill-conditioned point
    assert value == pytest.approx(float(exact), rel=1e-12, abs=1e-12 + 100 * sensitivity)
