"""Estimated errors of values and derivatives against fifty digits: never too small, and seldom far too large.

The catalogue of roots, fixed points, systems that are ill-conditioned on purpose, and minima.
"""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp
from catalogue.problems import catalogue

import implicitops as iop
from implicitops.functions import gammainc
from implicitops.verify.reference import reference_of

EPS = 2.0**-52
x, y, z, a, b = sp.symbols("x y z a b")


def flattened(point):
    return [float(v) for item in point for v in (item if isinstance(item, tuple) else (item,))]


def judged(problem, point, order=2):
    """Of every number of value, Jacobian and Hessian: (order, true error, estimate, magnitude)."""
    solution = problem.solve(*point, derivatives=order, throw=False)
    near = solution.value if np.ndim(solution.value) else float(solution.value)
    reference = reference_of(problem).at(flattened(point), near, order)
    fields = (
        (solution.value, solution.error_estimate, reference.value),
        (solution.jacobian, solution.jacobian_error, reference.jacobian),
        (solution.hessian, solution.hessian_error, reference.hessian),
    )
    found = []
    # The reference calls a second derivative 0 that is 1e-20 of what one of order 1 would be on the parameters' scale.
    least = min((abs(v) for v in flattened(point) if v != 0), default=1.0)
    called_zero = 1e-20 * float(np.max(np.abs(reference.jacobian))) / least if order > 1 else 0.0
    for k, (numbers, errors, truth) in enumerate(fields[: order + 1]):
        assert errors.shape == numbers.shape
        for number, error, true in zip(np.ravel(numbers), np.ravel(errors), np.ravel(truth)):
            if np.isfinite(number) and not (k == 2 and true == 0 and abs(number) < called_zero):
                found.append((k, float(abs(mpmath.mpf(float(number)) - true)), float(error), abs(float(true))))
    return solution, found


def assert_honest(found):
    for k, true, estimate, _ in found:
        # Nothing is promised below the normal numbers.
        assert true <= estimate + 1e-300, f"order {k}: true error {true}, estimate {estimate}"


def useful(found, order):
    """Share of the numbers whose estimate is within 1000 of the true error, or of the spacing of doubles."""
    of_order = [(t, e, size) for k, t, e, size in found if k == order and size > 1e-300]
    return np.mean([e <= 1000 * max(t, EPS * size) for t, e, size in of_order])


#: What is solved in every run of the tests; the slow test takes all.
QUICK = {
    "square root",
    "Kepler",
    "Lambert W",
    "Colebrook",
    "bond yield",
    "weak acid pH",
    "epidemic final size",
    "step",
    "almost triple",
}


@pytest.fixture(scope="module")
def found_in_catalogue():
    return {
        known.name: [judged(known.problem, point) for point in known.points]
        for known in catalogue()
        if known.name in QUICK
    }


class TestCatalogue:
    def test_no_true_error_is_larger_than_its_estimate(self, found_in_catalogue):
        for solved in found_in_catalogue.values():
            for _, found in solved:
                assert_honest(found)

    @pytest.mark.parametrize(("order", "share"), [(1, 0.9), (2, 0.8)])
    def test_most_estimates_are_within_a_thousand_of_the_error(self, found_in_catalogue, order, share):
        found = [item for solved in found_in_catalogue.values() for _, more in solved for item in more]
        assert useful(found, order) >= share

    def test_first_derivatives_raise_no_alarm(self):
        for known in catalogue():
            points = [np.array([point[k] for point in known.points]) for k in range(len(known.problem.params))]
            solution = known.problem.solve(*points, derivatives=1, throw=False)
            assert solution.converged.all(), (known.name, solution.status)


@pytest.mark.slow
def test_whole_catalogue_has_honest_and_mostly_useful_estimates():
    found = [item for known in catalogue() for point in known.points for item in judged(known.problem, point)[1]]
    assert_honest(found)
    assert useful(found, 1) >= 0.95
    assert useful(found, 2) >= 0.9


def linear(matrix):
    n = len(matrix)
    unknowns = sp.symbols(f"u0:{n}")
    rows = [sum(matrix[i][j] * unknowns[j] for j in range(n)) - a * sp.Float(np.cos(3 * i)) - b for i in range(n)]
    return iop.Root(rows, unknowns, [a, b], guess=[1.0] * n)


def hilbert(n):
    return [[sp.Rational(1, i + j + 1) for j in range(n)] for i in range(n)]


def vandermonde(n):
    return [[sp.Float((i + 1) / n) ** j for j in range(n)] for i in range(n)]


def random_with_condition(n, condition):
    rng = np.random.default_rng(n)
    left, _ = np.linalg.qr(rng.normal(size=(n, n)))
    right, _ = np.linalg.qr(rng.normal(size=(n, n)))
    return [[sp.Float(v) for v in row] for row in left @ np.diag(np.geomspace(1, 1 / condition, n)) @ right]


LINEAR = {
    **{f"Hilbert {n}": hilbert(n) for n in (3, 6, 9)},
    **{f"Vandermonde {n}": vandermonde(n) for n in (4, 8)},
    **{f"condition {c:g}": random_with_condition(7, c) for c in (1e2, 1e6, 1e10)},
}


@pytest.mark.parametrize("name", LINEAR)
def test_ill_conditioned_linear_systems_have_honest_and_useful_estimates(name):
    problem = linear(LINEAR[name])
    found = [item for t in (1.3, 2.7, 0.1) for item in judged(problem, (t, 0.7), order=1)[1]]
    assert_honest(found)
    assert min(useful(found, 0), useful(found, 1)) >= 0.75


h, oh, hco3, co3, co2, k1, k2, kw, ct, na = sp.symbols("h oh hco3 co3 co2 k1 k2 kw ct na")
#: Unknowns of 1e-11 to 1e-3: unscaled pivots make the Jacobian wrong by 5e-5.
CARBONATE = iop.Root(
    [h * oh - kw, h * hco3 - k1 * co2, h * co3 - k2 * hco3, co2 + hco3 + co3 - ct, h + na - oh - hco3 - 2 * co3],
    [h, oh, hco3, co3, co2],
    [k1, k2, kw, ct, na],
    guess=(1e-10, 1e-4, 5e-4, 5e-4, 1e-6),
)

OTHERS = {
    "fixed point": (
        iop.FixedPoint([sp.cos(x * y) / 2 + a, sp.sin(x) * b], [x, y], [a, b], guess=[0.5, 0.5]),
        (0.3, 0.8),
    ),
    "scalar fixed point": (iop.FixedPoint(sp.cos(a * x), x, [a], guess=0.5), (0.9,)),
    "Anderson": (iop.FixedPoint(sp.cos(a * x), x, [a], guess=0.5, method="anderson"), (0.9,)),
    "Rosenbrock": (iop.Minimum((a - x) ** 2 + b * (y - x**2) ** 2, [x, y], [a, b], guess=[-1.2, 1]), (1.5, 40.0)),
    "entropy": (
        iop.Minimum(x * sp.log(x) + y * sp.log(y) + a * x * y - b * (x + y), [x, y], [a, b], guess=[0.5, 0.4]),
        (0.3, 0.7),
    ),
    "carbonate": (CARBONATE, (4.45e-7, 4.69e-11, 1e-14, 1e-3, 2e-3)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_fixed_points_systems_and_minima_have_honest_estimates(name):
    problem, point = OTHERS[name]
    solution, found = judged(problem, point)
    assert solution.status is iop.Status.CONVERGED
    assert_honest(found)
    assert useful(found, 1) >= 0.5


@pytest.mark.parametrize("bound", [0, 1])
def test_minimum_at_a_bound_has_honest_estimates(bound):
    problem = iop.Minimum(
        (x - a) ** 2 + (y - b * x) ** 2 + x * y / 3, [x, y], [a, b], guess=[0.6, 0.5], bounds=[(0, b), None]
    )
    alpha, beta = (mpmath.mpf(v) for v in ((3.0, 0.7) if bound else (0.3, 0.7)))
    solution = problem.solve(float(alpha), float(beta), derivatives=1)
    if bound:
        true_x, dx = beta, (0, 1)
        true_y, dy = beta**2 - beta / 6, (0, 2 * beta - mpmath.mpf(1) / 6)
    else:
        # y = b x - x/6; x (1 + b (b - (b - 1/6)) ...) from the two linear equations
        with mpmath.workdps(40):

            def solved(p, q):
                return mpmath.lu_solve(
                    mpmath.matrix([[2 + 2 * q**2, mpmath.mpf(1) / 3 - 2 * q], [mpmath.mpf(1) / 3 - 2 * q, 2]]),
                    mpmath.matrix([2 * p, 0]),
                )

            true_x, true_y = solved(alpha, beta)
            dx, dy = zip(
                *(
                    [
                        mpmath.diff(
                            lambda t, k=k, i=i: solved(*((t, beta) if i == 0 else (alpha, t)))[k], (alpha, beta)[i]
                        )
                        for k in (0, 1)
                    ]
                    for i in (0, 1)
                )
            )
    for k, (value, row) in enumerate([(true_x, dx), (true_y, dy)]):
        assert abs(mpmath.mpf(float(solution.value[k])) - value) <= solution.error_estimate[k]
        for j in (0, 1):
            error = solution.jacobian_error[k, j]
            assert abs(mpmath.mpf(float(solution.jacobian[k, j])) - row[j]) <= error <= 1e-12


class TestInaccurate:
    #: A root near 1 whose residual cancels; a = 3e-12 is little more than its rounding error.
    EXPANDED = iop.Root(sp.expand((x - 1) ** 7) - a, x, [a], bracket=(0, 2))

    @pytest.mark.parametrize("order", [1, 2])
    def test_derivatives_of_an_expanded_polynomial_are_flagged(self, order):
        solution = self.EXPANDED.solve(3e-12, derivatives=order, throw=False)
        with mpmath.workdps(30):
            power = mpmath.mpf(3e-12) ** (mpmath.mpf(1) / 7)
            true = [power / 7 / 3e-12, -6 * power / 49 / mpmath.mpf(3e-12) ** 2]
        got = [(solution.jacobian, solution.jacobian_error), (solution.hessian, solution.hessian_error)][order - 1]
        assert 1e-3 * abs(true[order - 1]) < abs(got[0].item() - true[order - 1]) <= got[1].item()
        assert solution.status is iop.Status.DERIVATIVE_INACCURATE
        assert not solution.converged
        assert abs(solution.value - 1 - power) <= solution.error_estimate

    def test_error_names_the_derivative_and_its_size(self):
        with pytest.raises(iop.SolveError, match=r"first derivative with respect to a, .* \+- ") as caught:
            self.EXPANDED.solve(np.array([0.5, 3e-12]), derivatives=1)
        assert "index (1,)" in str(caught.value)
        assert caught.value.solution.converged.tolist() == [True, False]

    def test_value_alone_converges(self):
        assert self.EXPANDED.solve(3e-12).status is iop.Status.CONVERGED

    def test_entry_that_is_zero_raises_no_alarm_beside_large_ones(self):
        problem = iop.Root([x - a * y, y - b, z - (x - a * y)], [x, y, z], [a, b], guess=[1.0, 1.0, 1.0])
        solution = problem.solve(0.1, 1e8, derivatives=2)
        assert solution.status is iop.Status.CONVERGED


@pytest.mark.parametrize(
    ("function", "reference", "points"),
    [
        (sp.besselj(a, b), mpmath.besselj, ((2.3, 10.0), (7.5, 7.5), (0.0, 2.404825557695773))),
        (sp.bessely(a, b), mpmath.bessely, ((7.5, 7.5), (0.0, 0.8935769662791675))),
        (gammainc(a, b), lambda s, t: mpmath.gammainc(s, 0, t, regularized=True), ((50.0, 50.0), (1e4, 1e4))),
    ],
)
def test_estimates_hold_near_zeros_of_special_functions_and_of_their_derivatives(function, reference, points):
    problem = iop.Root(y - function, y, [a, b], guess=1)
    for point in points:
        solution = problem.solve(*point, derivatives=2)
        with mpmath.workdps(40):
            exact = tuple(map(mpmath.mpf, point))
            for i in range(2):
                counts = [0, 0]
                counts[i] += 1
                true = mpmath.diff(reference, exact, tuple(counts))
                assert abs(true - mpmath.mpf(float(solution.jacobian[i]))) <= solution.jacobian_error[i]
                counts[i] += 1
                true = mpmath.diff(reference, exact, tuple(counts))
                assert abs(true - mpmath.mpf(float(solution.hessian[i, i]))) <= solution.hessian_error[i, i]
