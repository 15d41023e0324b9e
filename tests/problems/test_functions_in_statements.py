"""Functions whose derivatives SymPy does not know: right in every kind of problem, or refused when they are needed."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.codegen import UnsupportedDerivativeError, UnsupportedExpressionError
from implicitops.codegen.functions.gamma import zeta_derivative
from implicitops.functions import gammainc, gammaincc

x, y, p, q, k = sp.symbols("x y p q k")
ZETA = [float(mp.zeta(2.0, 1, n)) for n in range(3)]  # at 2, with its derivatives
#: Derivative of the first zero of J_p, pi, at p = 1/2, and of the integral of x**p K_p(x) from 0 to 1 at 1.3.
BESSEL = -mp.diff(lambda p: mp.besselj(p, mp.pi), 0.5) / mp.besselj(0.5, mp.pi, derivative=1)
MOMENT = 0.6529138720307214589  # mpmath, quadrature in 25 digits


def stated(function):
    """Statements of every kind whose answer is a function of p, as (problem, by which its answer is the function)."""
    return {
        "scalar root": iop.Root(y - function, y, [p], guess=1),
        "system": iop.Root([x + y - 2 * function, x - y], [x, y], [p], guess=[1, 1]),
        "fixed point": iop.FixedPoint(y / 2 + function / 2, y, [p], guess=1),
        "minimum": iop.Minimum((y - function) ** 2, y, [p], guess=1),
        "ODE": iop.ODE({y: function + 0 * y}, [p], initial={y: 0}, times=[1.0]),
        "integral": iop.Integral(2 * x * function, (x, 0, 1), [p]),
    }


KINDS = list(stated(p))


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_of_zeta_are_right_in_every_kind_of_problem(kind):
    solution = stated(sp.zeta(p))[kind].solve(2.0, derivatives=2)
    for found, expected in zip((solution.value, solution.jacobian, solution.hessian), ZETA):
        np.testing.assert_allclose(np.ravel(found), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_needs_no_derivative_and_a_derivative_that_is_not_known_is_refused_by_name(kind):
    third = stated(zeta_derivative(3, p))[kind]
    value = third.solve(2.0).value
    np.testing.assert_allclose(np.ravel(value), float(mp.zeta(2.0, 1, 3)), rtol=1e-12)
    with pytest.raises(UnsupportedDerivativeError) as caught:
        third.solve(2.0, derivatives=1)
    message = str(caught.value)
    assert "derivative of zeta_derivative(3, p) with respect to its argument p is not known" in message
    assert "derivatives=0" in message
    with pytest.raises(UnsupportedExpressionError, match=r"hyper\(\(p,\), \(2,\), p/4\)"):
        stated(sp.hyper([p], [2], p / 4))[kind].solve(2.0)


@pytest.mark.parametrize(
    ("problem", "at", "expected"),
    [
        (iop.Root(sp.besselj(p, y), y, [p], bracket=(2, 4)), [0.5], [float(BESSEL)]),
        (iop.Integral(x**p * sp.besselk(p, x), (x, 0, 1), [p]), [1.3], [MOMENT]),
        (iop.Root(y - sp.rf(p, q), y, [p, q], guess=1), [5.5, 2.0], [12.0, 35.75 * float(mp.digamma(7.5))]),
        (iop.Root(x - p + sp.Derivative(x**2, x), x, [p], bracket=(-10, 10)), [3.0], [1 / 3]),
        (iop.Root(y - sp.Derivative(sp.zeta(p), p), y, [p], guess=1), [2.0], [ZETA[2]]),
        (iop.Root(y - sp.Sum(p**k / k, (k, 1, 3)), y, [p], guess=1), [2.0], [7.0]),
        (iop.Root(y - sp.Sum(p**k, (k, 0, 50)), y, [p], guess=1), [0.5], [4.0]),
        (iop.Root(y - sp.Product(p + k, (k, 1, 3)), y, [p], guess=1), [0.5], [17.75]),
        (iop.Root(y - sp.Integral(sp.exp(-k * p), (k, 0, 1)), y, [p], guess=1), [2.0], [(3 * np.exp(-2) - 1) / 4]),
        (
            iop.Root(y - sp.Subs(sp.Derivative(sp.sin(k * p), k), k, 2), y, [p], guess=1),
            [3.0],
            [np.cos(6) - 6 * np.sin(6)],
        ),
    ],
    ids=str,
)
def test_what_sympy_leaves_standing_is_carried_out(problem, at, expected):
    np.testing.assert_allclose(problem.solve(*at, derivatives=1).jacobian, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        (sp.Sum(p**k, (k, 0, sp.oo)), "Sum"),
        (sp.Sum(sp.sin(p * k**2), (k, 0, 5000)), "5000"),
        (sp.Integral(sp.exp(-(k**3) * p - k), (k, 0, 1)), "implicitops.Integral"),
        (sp.meijerg([[1], []], [[p], []], 2), "meijerg"),
        (sp.polygamma(p, 2 + y), "whole number"),
        (sp.expint(p, 2 + y), "whole number"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_with_advice_in_the_users_symbols(expression, named):
    with pytest.raises(UnsupportedExpressionError, match=named) as caught:
        iop.Root([x + y - expression, x - y], [x, y], [p], guess=[1, 1]).solve(0.5)
    assert "p" in str(caught.value)
    assert "x0" not in str(caught.value)
    assert "_1" not in str(caught.value)


def test_a_quantile_of_a_gamma_distribution_has_derivatives_by_its_shape():
    """Of a Poisson number of events and the time of the last of them: P(a, x) = 1 - sum of x**j exp(-x) / j!."""
    quantile = iop.Root(gammainc(p, y) - q, y, [p, q], bracket=(0, 10 + 10 * p))
    solution = quantile.solve(3.0, 0.3, derivatives=2)
    with mp.workdps(40):

        def inverse(shape, level):
            return mp.findroot(lambda t: mp.gammainc(shape, 0, t, regularized=True) - level, mp.mpf("1.9"))

        at = (mp.mpf(3), mp.mpf(0.3))
        value = inverse(*at)
        first = [mp.diff(inverse, at, n) for n in ((1, 0), (0, 1))]
        second = [mp.diff(inverse, at, n) for n in ((2, 0), (1, 1), (0, 2))]
    np.testing.assert_allclose(solution.value, float(value), rtol=1e-15)
    np.testing.assert_allclose(solution.jacobian, np.array(first, float), rtol=1e-13)
    np.testing.assert_allclose(solution.hessian[np.triu_indices(2)], np.array(second, float), rtol=1e-12)


def test_a_large_shape_does_not_overflow():
    survival = iop.Root(y - gammaincc(p, q), y, [p, q], bracket=(-1, 2)).solve(1000.0, 1030.0, derivatives=1)
    with mp.workdps(40):
        by_shape = mp.diff(lambda a: mp.gammainc(a, 1030, regularized=True), 1000)
    np.testing.assert_allclose(survival.jacobian[0], float(by_shape), rtol=1e-12)


def test_functions_evaluate_to_many_digits_and_differentiate_in_sympy():
    assert gammainc(2.5, 3).evalf(30) == sp.Float(mp_digits(lambda: mp.gammainc(2.5, 0, 3, regularized=True)), 30)
    assert gammaincc(p, q).diff(q) == -gammainc(p, q).diff(q)
    assert gammainc(sp.Symbol("a", positive=True), sp.Symbol("t", positive=True)).is_extended_real


#: Responses with an exponent to estimate, at a dose or a time of 0: their slopes by the exponent are 0, not 0 * inf.
POWERS = {
    "Hill": x**q / (k**q + x**q),
    "Weibull": sp.exp(-((x / k) ** q)),
    "power with its normalisation": q * x ** (q - 1) * k ** (-q),
}


@pytest.mark.parametrize("name", POWERS)
def test_a_power_of_zero_has_derivatives_by_its_exponent(name):
    function = POWERS[name]
    solution = iop.Root(y - function, y, [x, q, k], guess=1).solve(0.0, 3.5, 2.0, derivatives=2)
    assert solution.converged
    tiny = {x: sp.Float("1e-200", 30), q: sp.Rational(7, 2), k: 2}  # where mpmath has the limit
    slopes = [function.diff(s) for s in (x, q, k)]
    np.testing.assert_allclose(solution.jacobian, [float(d.evalf(30, tiny)) for d in slopes], atol=1e-190)
    second = [[float(d.diff(s).evalf(30, tiny)) for s in (x, q, k)] for d in slopes]
    np.testing.assert_allclose(solution.hessian, second, atol=1e-90)


def test_a_power_of_zero_whose_slope_by_the_exponent_is_infinite_has_none():
    solution = iop.Root(y - x**q, y, [x, q], guess=1).solve(0.0, [0.0, 2.0], derivatives=1, throw=False)
    assert solution.status.tolist() == [iop.Status.DERIVATIVE_UNDEFINED, iop.Status.CONVERGED]
    np.testing.assert_array_equal(np.isnan(solution.jacobian[:, 1]), [True, False])


def test_an_uncertain_exponent_is_no_obstacle_to_an_ode_that_starts_at_zero():
    growth = iop.ODE({y: k + p * y**q - y}, [p, q, k], initial={y: 0}, times=[1.0])
    solution = growth.solve(0.5, 2.5, 1.0, derivatives=1)
    step = 1e-5
    by_differences = (growth(0.5, 2.5 + step, 1.0) - growth(0.5, 2.5 - step, 1.0)) / (2 * step)
    np.testing.assert_allclose(solution.jacobian[0, 0, 1], by_differences[0, 0], rtol=1e-3)


def mp_digits(function):
    with mp.workdps(40):
        return mp.nstr(function(), 35)
