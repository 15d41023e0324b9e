"""However a member of a family is written, its value and derivatives are right to some units in the last place.

The reference is the literal expression and SymPy's derivatives of it, with so many digits that nothing is lost.
"""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from sympy import cosh, erf, erfc, exp, log, sinh, sqrt, tanh

import implicitops as iop
from implicitops import functions
from implicitops.codegen.compile import CompiledBundle, compile_artifact
from implicitops.codegen.stable_form import stable_form
from implicitops.symbolic.tape import Tape

a, b, m, p, s, x, z = sp.symbols("a b m p s x z", real=True)
third = sp.Rational(1, 3)

LINE = [0.0, 1e-12, -1e-8, 0.3, -0.7, 20.0, -20.0, 300.0, -300.0, 800.0, -800.0]
POSITIVE = [1e-12, 1e-8, 0.3, 2.5, 20.0, 300.0, 800.0]
SCORES = [0.0, 1e-12, -1e-8, 0.3, -2.7, 5.0, -5.0, 10.0, -10.0, 20.0, -20.0, -30.0, 30.0]

ON_THE_LINE = [
    1 / (exp(p) + 2 + exp(-p)),
    1 / (exp(p) + 1 + exp(-p)),
    (2 + cosh(p)) ** sp.Rational(-5, 2),
    log(3 + 2 * cosh(p)),
    p + log(1 + exp(-p)),
    exp(2 * p) / (1 + exp(p) + exp(2 * p)),
    1 / (1 + exp(p) + exp(2 * p)),
    log(1 + exp(p) + exp(2 * p)),
    3 * p - 3 * log(1 + exp(p)),
    1 / (1 + exp(p)),
    1.0 / (1.0 + exp(-1.0 * p)),
    exp(p) / (1 + exp(p)),
    exp(p) / (1 + exp(p)) ** 2,
    3 / (2 + 2 * exp(-p)) ** 2,
    1 / sqrt(1 + exp(p)),
    1 / (2 + 3 * exp(p)),
    exp(p) / (exp(p) + exp(-p)),
    exp(p / 2) / (1 + exp(p)),
    1 / (1 + 10 ** (2 * (1 - p))),
    1 - 1 / (1 + exp(-p)),
    log(1 + exp(p)),
    log(1 / (1 + exp(-p))),
    log(exp(2 * p) + exp(-p)),
    tanh(p),
    1 - tanh(p),
    1 - tanh(p) ** 2,
    sinh(p) / cosh(p),
    (exp(p) - exp(-p)) / (exp(p) + exp(-p)),
    1 / cosh(p) ** 2,
    log(cosh(p)),
    sp.sech(p),
    sp.atan(p),
    sp.asinh(p),
]
ON_THE_POSITIVE_LINE = [
    1 / (exp(p) - 1),
    p**3 / (exp(p) - 1),
    exp(p) / (exp(p) - 1) ** 2,
    log(exp(p) - 1),
    log(1 - exp(-p)),
    log(tanh(p)),
    log(sinh(p)),
    sp.coth(p),
    sp.csch(p),
]
OF_SCORES = [
    erfc(-p / sqrt(2)) / 2,
    (1 + erf(p / sqrt(2))) / 2,
    log(erfc(-p / sqrt(2)) / 2),
    1 - erf(p),
    erfc(-p),
    log(erfc(p)),
]


def compiled(expression, symbols):
    """Value, gradient and Hessian of an expression, as machine code."""
    tape = Tape()
    value = tape.add(expression)
    slopes = tape.reverse([(value, sp.S.One)], symbols)
    rows = [tape.reverse([(slope, sp.S.One)], symbols) for slope in slopes]
    outputs = (value, *slopes, *(entry for row in rows for entry in row))
    return CompiledBundle(compile_artifact(tape.bundle(symbols, outputs)))


def assert_right(expression, symbols, points, rtol=1e-13):
    """All of it, at all points, in both forms of the machine code, is what many digits give."""
    code = compiled(expression, symbols)
    first = [sp.diff(expression, symbol) for symbol in symbols]
    literal = [expression, *first, *(sp.diff(slope, symbol) for slope in first for symbol in symbols)]
    exact = [sp.lambdify(symbols, derivative, "mpmath") for derivative in literal]
    points = np.array(points, dtype=float).reshape(len(points), len(symbols))
    together = code.evaluate(np.ascontiguousarray(points.T)).T
    for point, row in zip(points, together):
        alone = code.evaluate_scalar(point)
        np.testing.assert_array_equal(alone, row)
        with mp.workdps(100 + int(2.2 * min(abs(point).max(), 900.0) + min(abs(point).max(), 40.0) ** 2)):
            for function, value in zip(exact, row):
                right = function(*map(mp.mpf, point))
                error = abs(mp.mpf(float(value)) - right)
                assert error <= rtol * abs(right) + 1e-307, (
                    f"{expression} at {point}: {value}, not {mp.nstr(right, 17)}"
                )


@pytest.mark.parametrize("expression", ON_THE_LINE, ids=str)
def test_sigmoid_functions_are_right_on_the_whole_line(expression):
    assert_right(expression, (p,), LINE)


@pytest.mark.parametrize("expression", ON_THE_POSITIVE_LINE, ids=str)
def test_functions_with_a_pole_at_zero_are_right_for_all_positive_arguments(expression):
    assert_right(expression, (p,), POSITIVE)


@pytest.mark.parametrize("expression", OF_SCORES, ids=str)
def test_the_normal_distribution_is_right_in_its_tails(expression):
    assert_right(expression, (p,), SCORES)


def test_scaled_and_shifted_sigmoids_are_right_in_every_parameter():
    hot, cold, far = (0.3, 1.1, 0.2), (1e-3, 1.1, 0.01), (-250.0, 50.0, 0.5)
    assert_right(a / (1 + exp((p - m) / s)), (p, m, s, a), [(*point, 2.5) for point in (hot, cold, far)], 1e-12)
    assert_right(1 / (1 + exp((p - m) / s)) ** a, (p, m, s, a), [(*point, 2.5) for point in (hot, cold, far)], 1e-12)
    logistic_growth = a / (1 + (a - b) / b * exp(-p * x))
    assert_right(logistic_growth, (a, b, p, x), [(2.5, 0.1, 0.3, 2.0), (2.5, 0.1, 3.0, -300.0)], 1e-12)
    same = a * b * exp(p * x) / (a + b * (exp(p * x) - 1))
    assert_right(same, (a, b, p, x), [(2.5, 0.1, 0.3, 2.0)], 1e-12)
    values = compiled(same, (a, b, p, x)).evaluate_scalar([2.5, 0.1, 3.0, 400.0])
    np.testing.assert_allclose(values[:5], [2.5, 1.0, 0.0, 0.0, 0.0], atol=1e-14)


def test_shares_of_exponentials_do_not_overflow():
    share = exp(a) / (exp(a) + 2 * exp(b) + exp(m))
    assert_right(share, (a, b, m), [(0.3, -0.7, 1.1), (900.0, 899.0, -3.0), (-900.0, -899.5, -902.0)], 1e-12)
    total = log(exp(a) + 2 * exp(b) + exp(m))
    assert_right(total, (a, b, m), [(0.3, -0.7, 1.1), (900.0, 899.0, 10.0), (-900.0, -899.5, -902.0)], 1e-12)


def test_quotients_of_hyperbolic_functions_do_not_overflow():
    for quotient in (cosh(a * x) / cosh(a), sinh(a * x) / sinh(a)):
        assert_right(quotient, (a, x), [(0.7, 0.3), (300.0, 0.9), (800.0, 0.95), (800.0, 0.2)], 1e-11)


def test_a_product_of_an_exponential_with_erfc_does_not_overflow():
    assert_right(exp(p) * erfc(z), (p, z), [(0.3, 0.7), (20.0, 3.0), (850.0, 29.0), (30.0, 5.5)], 1e-12)
    assert_right(exp(p**2) * erfc(p), (p,), [-5.0, -0.3, 0.0, 1e-8, 1.9, 2.1, 20.0, 29.0], 1e-12)


QUOTIENTS = {
    sp.sin(p) / p: (1, 0, -third),
    sp.sinh(p) / p: (1, 0, third),
    tanh(p) / p: (1, 0, -2 * third),
    (exp(p) - 1) / p: (1, 0.5, third),
    p / (1 - exp(-p)): (1, 0.5, third / 2),
    log(1 + p) / p: (1, -0.5, 2 * third),
    (1 - sp.cos(p)) / p**2: (0.5, 0, -third / 4),
    sp.coth(p) - 1 / p: (0, third, 0),
}


@pytest.mark.parametrize("expression", QUOTIENTS, ids=str)
def test_quotients_are_right_up_to_the_point_where_they_are_zero_by_zero(expression):
    far = [] if expression.has(log) else [-0.99, -20.0]
    assert_right(expression, (p,), [1e-12, -1e-8, 1e-3, 0.3, -0.45, 0.7, 1.4, 20.0, *far], 1e-12)
    at_zero = compiled(expression, (p,)).evaluate_scalar([0.0])
    np.testing.assert_allclose(at_zero, [float(v) for v in QUOTIENTS[expression]], rtol=1e-15)


def test_absorption_and_elimination_may_be_equally_fast():
    concentration = a / (a - b) * (exp(-b * x) - exp(-a * x))
    symbols = (a, b, x)
    assert_right(concentration, symbols, [(0.3, 0.3000001, 2.0), (1.1, 0.2, 3.0), (0.2, 1.1, 700.0)], 1e-11)
    equal = compiled(concentration, symbols).evaluate_scalar([0.3, 0.3, 2.0])
    limit = a * x * exp(-a * x)
    np.testing.assert_allclose(equal[0], float(limit.subs({a: 0.3, x: 2.0})), rtol=1e-15)
    np.testing.assert_allclose(equal[1] + equal[2], float(limit.diff(a).subs({a: 0.3, x: 2.0})), rtol=1e-14)


def test_what_has_no_member_of_a_family_comes_back_as_it_is():
    for expression in (x * exp(p * x) + x - 1, exp(-(x**2) / 2) * p, p * sp.sin(x) + sp.besselj(1, x), x**p + 1):
        assert stable_form(expression) is expression


def test_signs_of_conditions_and_pieces_survive_the_rewriting():
    expression = sp.Piecewise((1 / (1 + exp(p)), p > 0), (tanh(p), p > -1), (2, True))
    values = compiled(expression, (p,)).evaluate([[800.0, -0.5, -3.0]])
    np.testing.assert_allclose(values[:2], [[0.0, np.tanh(-0.5), 2.0], [0.0, np.cosh(0.5) ** -2, 0.0]], rtol=1e-15)


@pytest.mark.parametrize(
    ("expression", "at_zero"),
    [
        (sp.sinc(p), (1, 0, -third)),
        (sp.Si(p), (0, 1, 0)),
        (sp.Shi(p), (0, 1, 0)),
        (sp.elliptic_k(p), (sp.pi / 2, sp.pi / 8, 9 * sp.pi / 64)),
        (sp.elliptic_e(p), (sp.pi / 2, -sp.pi / 8, -3 * sp.pi / 64)),
        (sp.fresnelc(p), (0, 1, 0)),
        (sp.erfinv(p), (0, sqrt(sp.pi) / 2, 0)),
        (sp.atanh(p), (0, 1, 0)),
    ],
    ids=str,
)
def test_derivatives_at_a_removable_singularity_are_finite(expression, at_zero):
    values = compiled(expression, (p,)).evaluate([[0.0, 1e-12, -1e-12]])
    for column in values.T:
        np.testing.assert_allclose(column, [float(v) for v in at_zero], rtol=1e-15, atol=3e-12)


def test_inverse_error_functions_are_right_to_two_units_in_the_last_place():
    points = [1e-300, 1e-17, 2e-7, 1.368655756985658e-07, 0.3, 0.4999, 0.5001, 0.9, 1 - 1e-8, 1 - 1e-15]
    with mp.workdps(40):
        right = [float(mp.erfinv(mp.mpf(point))) for point in points]
    np.testing.assert_allclose(compiled(sp.erfinv(p), (p,)).evaluate([points])[0], right, rtol=4.5e-16)
    np.testing.assert_allclose(
        compiled(sp.erfcinv(p), (p,)).evaluate([1 - np.array(points[4:8])])[0], right[4:8], rtol=4e-15
    )


# -- in statements -------------------------------------------------------------------------------------------


def test_a_statement_of_each_kind_takes_a_steep_logistic_function():
    u, k, t, T = sp.symbols("u k t T")
    occupied = iop.Integral(1 / (1 + exp((x - m) / T)), (x, 0, 10), [m, T])
    solution = occupied.solve(1.0, 0.01, derivatives=2)
    np.testing.assert_allclose(solution.value, 1.0, rtol=1e-12)
    np.testing.assert_allclose(solution.jacobian, [1.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(solution.hessian, np.zeros((2, 2)), atol=1e-9)
    switched = iop.ODE({u: 1 - u / (1 + exp(-k * u))}, [k], initial={u: 2}, t=t)
    solution = switched.solve(800.0, times=[3.0], derivatives=2)
    np.testing.assert_allclose(solution.value, [[1 + np.exp(-3.0)]], rtol=1e-5)
    np.testing.assert_array_equal([solution.jacobian.item(), solution.hessian.item()], [0.0, 0.0])
    root = iop.Root(x + 1 / (1 + exp(-k * (x - 1))) - 2, x, [k], bracket=(0, 3))
    steepness = np.array([1.0, 1e4, 1e6])
    found = root(steepness)
    np.testing.assert_allclose(found + 1 / (1 + np.exp(-steepness * (found - 1))), 2.0, rtol=1e-9)


def test_debye_and_planck_integrals_end_far_out():
    energy = iop.Integral(x**3 / (exp(a * x) - 1), (x, 0, s), [a, s]).solve(1.0, 2000.0, derivatives=2)
    whole = np.pi**4 / 15
    np.testing.assert_allclose(energy.value, whole, rtol=1e-12)
    np.testing.assert_allclose(energy.jacobian, [-4 * whole, 0.0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(energy.hessian[0, 0], 20 * whole, rtol=1e-8)
    heat = iop.Integral(x**4 * exp(x) / (exp(x) - 1) ** 2, (x, 0, s), [s]).solve(2000.0, derivatives=1)
    np.testing.assert_allclose(heat.value, 4 * whole, rtol=1e-12)


def test_implied_volatility_is_right_deep_out_of_the_money():
    strike, price, sigma = sp.symbols("K c sigma", positive=True)
    first = (log(1 / strike) + sigma**2 / 2) / sigma

    def distribution(score):
        return erfc(-score / sqrt(2)) / 2

    call = distribution(first) - strike * distribution(first - sigma)
    volatility = iop.Root(log(call / price), sigma, [strike, price], bracket=(0.01, 2))
    with mp.workdps(50):

        def exact(strike, sigma):
            first = (-mp.log(strike) + sigma**2 / 2) / sigma
            return mp.ncdf(first) - strike * mp.ncdf(first - sigma)

        for strike_value, sigma_value in [(1.5, 0.04), (3.0, 0.1), (1.1, 0.2)]:
            target = float(exact(mp.mpf(strike_value), mp.mpf(sigma_value)))
            found = volatility.solve(strike_value, target, derivatives=1)
            vega = mp.diff(exact, (mp.mpf(strike_value), mp.mpf(sigma_value)), (0, 1))
            np.testing.assert_allclose(found.value, sigma_value, rtol=1e-12)
            np.testing.assert_allclose(found.jacobian[1], float(1 / vega), rtol=1e-9)


def test_new_functions_evaluate_print_and_pickle():
    import pickle

    for name in functions.__all__:
        kind = getattr(functions, name)
        arguments = (sp.Float("0.3"), sp.Float("0.7"))[: kind.nargs.args[0]]
        assert kind(*arguments).evalf(30).is_Float, name
        node = kind(*sp.symbols("u v")[: len(arguments)])
        assert pickle.loads(pickle.dumps(node)) == node
        assert sp.latex(node**2)
    assert sp.latex(functions.log_ndtr(z)) == r"\log\Phi\left(z\right)"
    assert str(functions.expit(-800.0)) == "3.66787458417769e-348"
