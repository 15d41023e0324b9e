"""Fixed points: answers and derivatives of roots, and Anderson acceleration where Newton cannot start."""

import pickle

import mpmath
import numpy as np
import pytest
import sympy as sp

import implicitops as iop

x, y, a = sp.symbols("x y a")
METHODS = ["auto", "newton", "anderson"]


def reference(parameter: float) -> tuple[float, float, float]:
    """Solution of x = cos(a x) and its two derivatives, to 30 digits."""
    with mpmath.workdps(60):

        def solution(p):
            return mpmath.findroot(lambda u: mpmath.cos(p * u) - u, 0.7)

        p = mpmath.mpf(parameter)
        return tuple(float(mpmath.diff(solution, p, k, h=mpmath.mpf(10) ** -15)) for k in range(3))


@pytest.mark.parametrize("method", METHODS)
def test_scalar_value_and_derivatives_match_fifty_digits(method):
    problem = iop.FixedPoint(sp.cos(a * x), x, [a], guess=1, method=method)
    solution = problem.solve(0.8, derivatives=2)
    value, first, second = reference(0.8)
    assert solution.value == pytest.approx(value, rel=1e-15)
    assert solution.jacobian[0] == pytest.approx(first, rel=1e-14)
    assert solution.hessian[0, 0] == pytest.approx(second, rel=1e-13)


@pytest.mark.parametrize("method", METHODS)
def test_a_system_of_updates_has_the_derivative_of_the_root(method):
    updates = [sp.tanh(a * y) + 0.1, sp.cos(x)]
    fixed = iop.FixedPoint(updates, [x, y], [a], guess=[0, 0], method=method).solve([0.3, 0.7], derivatives=2)
    root = iop.Root([updates[0] - x, updates[1] - y], [x, y], [a], guess=[0, 0]).solve([0.3, 0.7], derivatives=2)
    np.testing.assert_allclose(fixed.value, root.value, rtol=1e-14)
    np.testing.assert_allclose(fixed.jacobian, root.jacobian, rtol=1e-13)
    np.testing.assert_allclose(fixed.hessian, root.hessian, rtol=1e-12)


def test_a_map_whose_iteration_diverges_still_has_its_fixed_point():
    solution = iop.FixedPoint(4 - a * x, x, [a], guess=0).solve(3.0, derivatives=1)
    assert solution.value == 1
    assert solution.jacobian[0] == pytest.approx(-0.25)


def test_anderson_acceleration_takes_over_where_newton_cannot_start():
    # |x|**(1/3) has an infinite slope at the guess.
    problem = iop.FixedPoint([sp.Abs(x) ** sp.Rational(1, 3) * a + 0.1, y / 2], [x, y], [a], guess=[0, 1])
    solution = problem.solve(1.0)
    assert solution.stats["fallback"] == 1
    exact = mpmath.findroot(lambda u: mpmath.cbrt(u) + 0.1 - u, 1.1)
    assert solution.value[0] == pytest.approx(float(exact), rel=1e-14)


def test_two_cycles_do_not_trap_the_solver():
    # The logistic map at 3.3 cycles between two values; its fixed point 1 - 1/a is unstable.
    solution = iop.FixedPoint([a * x * (1 - x)], [x], [a], guess=[0.4]).solve(3.3)
    assert solution.value[0] == pytest.approx(1 - 1 / 3.3, rel=1e-14)


def test_no_fixed_point_is_reported():
    problem = iop.FixedPoint([x + sp.exp(x) + a], [x], [a], guess=[0], max_steps=50)
    solution = problem.solve(1.0, throw=False)
    assert np.isnan(solution.value).all()
    assert not solution.converged


def test_a_scalar_and_a_vector_of_one_are_different_problems():
    scalar = iop.FixedPoint(sp.cos(a * x), x, [a], guess=1)
    vector = iop.FixedPoint([sp.cos(a * x)], [x], [a], guess=[1])
    assert scalar.key != vector.key
    assert scalar.equation_key != vector.equation_key
    assert vector(0.8).tolist() == [scalar(0.8)]


def test_statement_survives_pickling_and_names_its_parts():
    problem = iop.FixedPoint([sp.cos(y), sp.sin(a * x)], [x, y], [a], guess=[1, 1])
    assert pickle.loads(pickle.dumps(problem)) == problem
    assert "cos(y)" in repr(problem)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (([x, y], [x], [a]), {"guess": [0]}, "2 updates for 1"),
        ((sp.cos(a * x), x, [a]), {"guess": 1, "method": "picard"}, "method must be one of"),
        ((sp.cos(a * x) + y, x, [a]), {"guess": 1}, "neither an unknown nor a parameter"),
    ],
)
def test_bad_statements_say_why(arguments, options, words):
    with pytest.raises(iop.ProblemError, match=words):
        iop.FixedPoint(*arguments, **options)


def test_the_guess_is_required():
    with pytest.raises(iop.ProblemError, match="guess"):
        iop.FixedPoint(sp.cos(a * x), x, [a])
