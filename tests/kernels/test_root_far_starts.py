"""Roots far from where the iteration starts: a linear equation never fails, and no answer is wrong."""

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops import Status

x, y, a = sp.symbols("x y a")
positive = sp.Symbol("x", positive=True)

INTEGERS = np.unique(
    np.concatenate(
        [
            np.round(10 ** np.random.default_rng(12).uniform(0, 15.9, 500)),
            np.arange(1, 100),
            np.arange(1000001, 1000289, 3),
        ]
    )
)
DECADES = 10.0 ** np.arange(-300, 301, 4)
POSITIVE = np.concatenate([INTEGERS, DECADES])
REAL = np.concatenate([POSITIVE, -POSITIVE])
GUESSES = [0.0, 1.0, -1.0, 7.0, 1e5, -1e-5, 1e-300, 5e-324, 1e300, -1e300, 1.7e308]


def is_close(found, expected, rtol=1e-14):
    return abs(found - expected) <= rtol * abs(expected)


@pytest.mark.parametrize("guess", GUESSES)
@pytest.mark.parametrize("problem", [iop.Root(x - a, x, [a], guess=0), iop.FixedPoint((x + a) / 2, x, [a], guess=0)])
def test_linear_equation_is_solved_from_any_guess(problem, guess):
    solution = problem.solve(REAL, guess=guess, derivatives=1)
    assert np.all(is_close(solution.value, REAL))
    assert np.all(solution.jacobian == 1)


@pytest.mark.parametrize("guess", GUESSES[:-1])  # at the last one x + y overflows
def test_linear_system_is_solved_from_any_guess(guess):
    solution = iop.Root([x - a, x + y], [x, y], [a], guess=(0, 0)).solve(REAL, guess=[guess, guess])
    assert np.all(is_close(solution.value, np.stack([REAL, -REAL], axis=-1)))


@pytest.mark.parametrize("guess", [0.0, 1.0, -1e-5, 1e-300, 1e5])
def test_minimum_of_a_parabola_is_found_from_any_guess(guess):
    where = REAL[(abs(REAL) < 1e75) & (abs(REAL) > 1e-75)]  # beyond, its square has no digits left beside the guess's
    solution = iop.Minimum((x - a) ** 2, x, [a], guess=0).solve(where, guess=guess)
    assert np.all(is_close(solution.value, where))


@pytest.mark.parametrize("bracket", [(-sp.oo, sp.oo), (0, sp.oo), (-sp.oo, 0)])
def test_search_reaches_every_magnitude(bracket):
    where = {(-sp.oo, sp.oo): REAL, (0, sp.oo): POSITIVE, (-sp.oo, 0): -POSITIVE}[bracket]
    assert np.all(is_close(iop.Root(x - a, x, [a], bracket=bracket)(where), where))


CURVED = {
    "cube": (x**3 - a, x, REAL, np.cbrt),
    "square": (positive**2 - a, positive, POSITIVE, np.sqrt),
    "square root": (sp.sqrt(positive) - sp.sqrt(a), positive, POSITIVE, lambda p: p),
    "logarithm": (sp.log(positive) - a, positive, np.linspace(-690, 690, 461), np.exp),
    "exponential": (sp.exp(x) - a, x, POSITIVE[POSITIVE != 1], np.log),
    "arc tangent": (sp.atan(x - a), x, REAL, lambda p: p),
}


@pytest.mark.parametrize("name", CURVED)
def test_curved_equation_is_solved_from_common_guesses(name):
    residual, unknown, where, truth = CURVED[name]
    # The logarithm's conditioning is its argument; 1e-250 is more than 200 halvings from 7.
    where = where[truth(where) > -np.inf]
    for guess in (1.0, 7.0, 1e5):
        solution = iop.Root(residual, unknown, [a], guess=1).solve(where, guess=guess, throw=False)
        expected = truth(where)
        near = abs(expected) > 1e-130
        assert np.all(solution.converged[near])
        assert np.all(is_close(solution.value[near], expected[near], 1e-13))


@pytest.mark.parametrize("name", CURVED)
def test_curved_equation_is_never_solved_wrongly_from_strange_guesses(name):
    residual, unknown, where, truth = CURVED[name]
    for guess in GUESSES:
        if unknown is positive and guess <= 0:
            continue
        solution = iop.Root(residual, unknown, [a], guess=1).solve(where, guess=guess, throw=False)
        good = solution.converged
        assert np.all(is_close(solution.value[good], truth(where)[good], 1e-13))
        assert np.all(np.isnan(solution.value[~good]))


@pytest.mark.parametrize(
    "residual", [x**2 - a, sp.cosh(x) - a, sp.exp(x) - a, x**2 / (1 + x**2) - a, x**4 - a, sp.Abs(x) - a]
)
@pytest.mark.parametrize("guess", [1.0, -5.0, 3.3, 1e4])
def test_equation_without_a_root_is_called_stalled(residual, guess):
    solution = iop.Root(residual, x, [a], guess=1).solve([-1.0, -2.345, -1e6, -1e-6], guess=guess, throw=False)
    assert set(solution.status) == {Status.STALLED}


def test_guess_at_a_pole_or_at_the_root():
    poles = np.array([0.0, 1.0, 1e6, -3.0])
    assert np.all(is_close(iop.Root(1 / (x - a) - 1, x, [a], guess=a)(poles), poles + 1))
    assert np.array_equal(iop.Root(x**2 - a**2, x, [a], guess=a)([1.0, -3.0, 1e-100]), [1.0, -3.0, 1e-100])


def test_guess_of_the_update_of_an_accelerated_fixed_point_may_be_given():
    problem = iop.FixedPoint(sp.cos(a * x), x, [a], guess=0, method="anderson")
    assert problem.solve(1.0, guess=0.7).value == pytest.approx(0.7390851332151607, rel=1e-15)


LOGARITHMS = np.linspace(-700, 700, 2001)
INVERTED = {
    "log": (sp.log(x), LOGARITHMS, np.exp),
    "exp": (sp.exp(x), np.exp(LOGARITHMS[LOGARITHMS != 0]), np.log),
    **{
        str(p): (x**p, np.exp(min(float(p), 1) * LOGARITHMS), lambda a, p=p: a ** (1 / float(p)))
        for p in (sp.Rational(1, 10), sp.Rational(1, 2), sp.Rational(3, 2), sp.Integer(3))
    },
}


@pytest.mark.parametrize("kind", INVERTED)
def test_inverse_function_is_found_from_1_over_hundreds_of_magnitudes(kind):
    function, values, inverse = INVERTED[kind]
    values = np.asarray(values, dtype=float)
    solution = iop.Root(function - a, x, [a], guess=1).solve(values, derivatives=1)
    # of the power 1/10 the exact inverse magnifies the rounding of a tenfold
    assert np.all(is_close(solution.value, inverse(values), 1e-12))


@pytest.mark.parametrize("power", [sp.Integer(-1), sp.Rational(-1, 2)])
def test_root_that_is_found_beyond_a_pole_is_right(power):
    values = np.exp(LOGARITHMS * float(-power))
    solution = iop.Root(x**power - a, x, [a], guess=1).solve(values, throw=False)
    found = solution.status == Status.CONVERGED
    assert found.sum() > 1000
    assert np.all(is_close(solution.value[found], values[found] ** float(1 / power), 1e-13))
    assert np.all(np.isnan(solution.value[~found]))
