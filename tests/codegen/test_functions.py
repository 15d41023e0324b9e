"""Every SymPy function that has machine code agrees with mpmath, and is NaN where it is not real."""

from __future__ import annotations

import cmath

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

from implicitops.codegen import Bundle
from implicitops.codegen.compile import CompiledBundle, compile_artifact
from implicitops.symbolic.tape import Tape

x, y = sp.symbols("x y")
POINTS = np.array([-3.7, -2.5, -1.3, -0.9, -0.4, 0.1, 0.3, 0.5, 0.7, 0.95, 1.2, 1.46, 2.1, 3.3, 5.6, 9.1, 14.2, 25.3])

#: Relative error that the implementation below us has; ours are accurate to some ulp.
EXPRESSIONS = {
    **{
        name: (getattr(sp, name)(x), 3e-15)
        for name in [
            "coth",
            "sech",
            "csch",
            "asech",
            "acsch",
            "acoth",
            "asec",
            "acsc",
            "acot",
            "cot",
            "sec",
            "csc",
            "sinc",
            "erf",
            "erfc",
            "gamma",
            "loggamma",
            "factorial",
            "Ei",
            "li",
            "Si",
            "Shi",
            "Chi",
            "fresnels",
            "fresnelc",
            "elliptic_k",
            "elliptic_e",
            "frac",
            "sign",
            "Abs",
            "floor",
            "ceiling",
        ]
    },
    **{
        name: (getattr(sp, name)(x), 5e-14)
        for name in [
            "erfi",
            "digamma",
            "harmonic",
            "zeta",
            "airyai",
            "airybi",
            "airyaiprime",
            "airybiprime",
            "Ci",
        ]
    },
    **{f"polygamma {order}": (sp.polygamma(order, x), 2e-13) for order in (1, 2, 3, 5)},
    **{
        f"{name} {order}": (getattr(sp, name)(order, x), 1e-13)
        for name in ("besselj", "bessely", "besseli", "besselk")
        for order in (0, 1, 2, sp.Rational(1, 3))
    },
    **{f"expint {order}": (sp.expint(order, x), 3e-15) for order in (1, 2, 5)},
    "lowergamma": (sp.lowergamma(sp.Rational(7, 3), x), 1e-14),
    "uppergamma": (sp.uppergamma(sp.Rational(7, 3), x), 1e-14),
    "rising factorial": (sp.rf(x, sp.Rational(5, 2)), 1e-13),
    "derivative of gamma": (sp.gamma(x).diff(x), 1e-13),
    "derivative of loggamma": (sp.loggamma(x).diff(x, 2), 1e-13),
    "derivative of Max": (sp.Max(x**2, x).diff(x), 1e-15),
    "log with a base": (sp.log(x, 7), 1e-15),
}


def compile_one(expression):
    return CompiledBundle(compile_artifact(Bundle((x,), (expression,))))


def reference(expression, point):
    """The value as a float, NaN where it is not real, None where SymPy cannot tell."""
    value = expression.subs(x, sp.Float(point, 30)).evalf(20)
    if value.is_Number is False and not value.is_number:
        return None
    try:
        value = complex(value)
    except TypeError:
        return None
    if cmath.isnan(value):
        return float("nan")
    return value.real if abs(value.imag) <= 1e-15 * abs(value) else float("nan")


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_value_agrees_with_sympy_at_twenty_digits(name):
    expression, tolerance = EXPRESSIONS[name]
    values = compile_one(expression).evaluate(POINTS[None])[0]
    compared = 0
    for point, value in zip(POINTS, values):
        expected = reference(expression, point)
        if expected is None:
            continue
        compared += not np.isnan(expected)
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=1e-300, err_msg=f"{name} at {point}")
    assert compared >= 3


@pytest.mark.parametrize(
    ("expression", "function"),
    [
        (sp.erfinv(x), mp.erfinv),
        (sp.binomial(x, sp.Rational(5, 2)), lambda v: mp.binomial(v, 2.5)),
        (sp.erfcinv(x), lambda v: mp.erfinv(1 - v)),
        (sp.erf2(x, sp.Rational(3, 2)), lambda v: mp.erf(1.5) - mp.erf(v)),
        (sp.beta(x, sp.Rational(5, 2)), lambda v: mp.beta(v, 2.5)),
        (sp.elliptic_f(sp.Rational(1, 2), x), lambda v: mp.ellipf(0.5, v)),
        (sp.elliptic_e(sp.Rational(1, 2), x), lambda v: mp.ellipe(0.5, v)),
    ],
)
def test_value_agrees_with_mpmath_inside_the_unit_interval(expression, function):
    points = np.array([0.1, 0.35, 0.6, 0.9])
    expected = [float(function(point)) for point in points]
    np.testing.assert_allclose(compile_one(expression).evaluate(points[None])[0], expected, rtol=3e-15)


@pytest.mark.parametrize(
    ("function", "reference", "first"),
    [
        (sp.beta, mp.beta, (1e-9, 0.3, 3.3, 40.0, 168.0, 300.0, 1e5, 1e9)),
        (sp.binomial, mp.binomial, (1e-9, 1e-5, 0.3, 40.0, 171.5, 300.0, 1e5, 1e9)),
        (sp.RisingFactorial, mp.rf, (1e-9, 0.3, 3.3, 40.0, 110.0, 300.0, 1e5, 1e9)),
    ],
)
def test_quotients_of_gamma_functions_keep_their_digits_where_their_logarithms_are_large(function, reference, first):
    second = (1e-9, 0.5, 2.0, 2.5, 9.99, 19.0, 25.0, 150.0, 333.25, 1000.0, 1e5)
    pairs = [(a, b) for a in first for b in second]
    a, b = sp.symbols("a b", real=True)
    tape = Tape()
    compiled = CompiledBundle(compile_artifact(tape.bundle((a, b), [tape.add(function(a, b, evaluate=False))])))
    values = compiled.evaluate(np.array(pairs).T)[0]
    compared = 0
    for pair, value in zip(pairs, values):
        with mp.workdps(40):
            expected = reference(*map(mp.mpf, pair))
        if 1e-280 < abs(expected) < 1e280:
            np.testing.assert_allclose(value, float(expected), rtol=3e-13, err_msg=str(pair))
            compared += 1
    assert compared > 55


def test_polygamma_is_nan_at_its_poles_and_exact_towards_infinity():
    values = compile_one(sp.polygamma(1, x)).evaluate([[0.0, -1.0, -2.0, 1e10, float("inf"), 1e300]])[0]
    assert values[0] == np.inf
    assert np.isnan(values[1:3]).all()
    np.testing.assert_allclose(values[3:], [1e-10, 0.0, 1e-300], rtol=1e-9)


@pytest.mark.parametrize(
    ("expression", "points", "expected"),
    [
        (sp.sign(x), [-2, -0.0, 0, 3, np.nan, np.inf], [-1, 0, 0, 1, np.nan, 1]),
        (sp.Heaviside(x), [-2, 0, 3, np.nan], [0, 0.5, 1, np.nan]),
        (sp.Heaviside(x, 1), [-2, 0, -0.0, 3], [0, 1, 1, 1]),
        (sp.DiracDelta(x), [-2, 0, -0.0, 3, np.nan, np.inf], [0, np.nan, np.nan, 0, np.nan, 0]),
        (sp.DiracDelta(x, 1), [-2, 0, 3], [0, np.nan, 0]),
        (sp.Max(x, 1), [-2, 3, np.nan], [1, 3, np.nan]),
        (sp.Min(1, x), [-2, 3, np.nan], [-2, 1, np.nan]),
        (sp.sinc(x), [0, -0.0, np.inf, np.nan], [1, 1, 0, np.nan]),
        (sp.acot(x), [0, np.inf], [np.pi / 2, 0]),
        (sp.frac(x), [-0.25, 2.75, 3], [0.75, 0.75, 0]),
        (sp.arg(x), [-2, 3], [np.pi, 0]),
        (sp.re(x) + sp.im(x) + sp.conjugate(x), [-2, 3], [-4, 6]),
        (
            sp.gamma(x),
            [0.0, -1.0, 171.0, 172.0, np.inf],
            [np.inf, np.nan, 7.257415615307994e306, np.inf, np.inf],
        ),
        (sp.loggamma(x), [0.0, -0.5, 1, 2], [np.inf, np.nan, 0, 0]),
        (sp.erf(x), [-np.inf, 0, np.inf], [-1, 0, 1]),
    ],
)
def test_value_at_steps_and_edges(expression, points, expected):
    values = compile_one(expression).evaluate([points])[0]
    np.testing.assert_allclose(values, expected, rtol=2e-15, atol=0)


@pytest.mark.parametrize(
    ("expression", "derivative"),
    [
        (sp.Abs(x**3), 3 * x**2 * sp.sign(x**3)),
        (sp.floor(x**2), 0),
        (sp.ceiling(x) * x, sp.ceiling(x)),
        (sp.frac(x**2), 2 * x),
        (sp.Mod(x**2, 2), 2 * x),
        (x**2 * sp.sign(x - 1), 2 * x * sp.sign(x - 1)),
        (sp.re(x**2), 2 * x),
        (sp.arg(x), 0),
        (sp.Abs(x) * sp.sin(x), sp.sign(x) * sp.sin(x) + sp.Abs(x) * sp.cos(x)),
    ],
)
def test_derivatives_that_sympy_leaves_open_are_taken(expression, derivative):
    values = compile_one(expression.diff(x)).evaluate(POINTS[None])[0]
    expected = compile_one(derivative + 0 * x).evaluate(POINTS[None])[0]
    np.testing.assert_allclose(values, expected, rtol=3e-16, atol=1e-16)


def test_derivative_of_a_step_is_nan_at_the_step():
    step = compile_one(sp.Heaviside(x).diff(x)).evaluate([[-1, 0, 1]])[0]
    np.testing.assert_array_equal(step, [0, np.nan, 0])
    second = compile_one(sp.Abs(x).diff(x, 2)).evaluate([[-1, 0, 1]])[0]
    np.testing.assert_array_equal(second, [0, np.nan, 0])
