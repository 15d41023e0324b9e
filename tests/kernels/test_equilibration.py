"""Linear solves do not depend on the units of equations and unknowns, on any route to a derivative."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.backends.numpy import evaluate
from implicitops.calculus import Solve
from implicitops.verify.reference import reference_of

h, oh, hco3, co3, co2, k1, k2, kw, ct, na = sp.symbols("h oh hco3 co3 co2 k1 k2 kw ct na")
CARBONATE = iop.Root(
    [h * oh - kw, h * hco3 - k1 * co2, h * co3 - k2 * hco3, co2 + hco3 + co3 - ct, h + na - oh - hco3 - 2 * co3],
    [h, oh, hco3, co3, co2],
    [k1, k2, kw, ct, na],
    guess=(1e-10, 1e-4, 5e-4, 5e-4, 1e-6),
)
POINT = (4.45e-7, 4.69e-11, 1e-14, 1e-3, 2e-3)

#: The solution is known to 1e-16 only, of which the equations make as much in the derivatives: 1.6e-12 at the double
#: next to it.
RTOL = 5e-12


@pytest.fixture(scope="module")
def truth():
    point = reference_of(CARBONATE).at(list(POINT), CARBONATE(*POINT), 2)
    return point.jacobian.astype(float), point.hessian.astype(float)


def replayed(program, inputs):
    return program.replay(inputs, lambda operation, *arguments: evaluate(operation, arguments))


class TestCarbonate:
    def test_jacobian_and_hessian(self, truth):
        solution = CARBONATE.solve(*POINT, derivatives=2)
        np.testing.assert_allclose(solution.jacobian, truth[0], rtol=RTOL)
        np.testing.assert_allclose(solution.hessian, truth[1], rtol=10 * RTOL)

    @pytest.mark.parametrize("k", range(5))
    def test_reverse_and_forward_rules(self, truth, k):
        value, direction = CARBONATE(*POINT), np.eye(5)[k]
        pulled = replayed(Solve(CARBONATE).vjp(), [*POINT, value, direction])
        np.testing.assert_allclose(np.array(pulled, dtype=float), truth[0][k], rtol=RTOL)
        (pushed,) = replayed(Solve(CARBONATE).jvp(), [*POINT, value, *direction])
        np.testing.assert_allclose(pushed, truth[0][:, k], rtol=RTOL)


@pytest.mark.parametrize("n", [4, 20])
@pytest.mark.parametrize("banded", [False, True])
def test_solution_does_not_depend_on_units(n, banded):
    rng = np.random.default_rng(n + banded)
    matrix = rng.normal(size=(n, n)) + 2 * np.eye(n)
    if banded:
        matrix *= abs(np.subtract.outer(np.arange(n), np.arange(n))) <= 1
    rows, columns = (np.round(rng.uniform(-40, 40, size=n)) for _ in range(2))
    unknowns, a = sp.symbols(f"u0:{n}"), sp.Symbol("a")

    def jacobian(r, c):
        scaled = np.ldexp(matrix, (r[:, None] + c[None, :]).astype(int))
        equations = [
            sum(sp.Float(scaled[i, j]) * unknowns[j] for j in range(n) if scaled[i, j]) - a * sp.Float(2.0 ** r[i])
            for i in range(n)
        ]
        solution = iop.Root(equations, unknowns, [a], guess=[1.0] * n).solve(0.5, derivatives=1)
        return np.ldexp(solution.jacobian[:, 0], c.astype(int))

    expected = np.linalg.solve(matrix, np.ones(n))
    np.testing.assert_allclose(jacobian(rows, columns), expected, rtol=1e-12 * np.linalg.cond(matrix))
    np.testing.assert_allclose(jacobian(0 * rows, 0 * columns), expected, rtol=1e-13 * np.linalg.cond(matrix))


def test_reference_is_what_high_precision_says():
    with mpmath.workdps(50):
        true = reference_of(CARBONATE).at(list(POINT), CARBONATE(*POINT), 0).value
    assert max(abs(float(mpmath.mpf(float(v)) / t - 1)) for v, t in zip(CARBONATE(*POINT), true)) < 3e-16


class TestUnknownsThatTheGuessGivesNoScale:
    """At a guess of 0 nothing but F_x tells how large an unknown is."""

    @pytest.mark.parametrize("n", [2, 3, 6])
    @pytest.mark.parametrize("decades", [6, 12, 18])
    @pytest.mark.parametrize("right", [0.0, 1e-9, 1.0])
    def test_regular_system_has_its_root_in_any_units(self, n, decades, right, rng):
        matrix, units = 0.3 / n * rng.uniform(-1, 1, (n, n)) + np.eye(n), 10.0 ** rng.uniform(-decades, decades, n)
        unknowns, p = sp.symbols(f"x0:{n}"), sp.Symbol("p")
        scaled = [x / sp.Float(unit) for x, unit in zip(unknowns, units)]
        residuals = [sum(m * (z + z**3) for m, z in zip(row, scaled)) - p for row in matrix]
        solution = iop.Root(residuals, unknowns, [p], guess=[0] * n).solve(right, derivatives=1)
        cubic = np.linalg.solve(matrix, np.full(n, right))
        exact = [float(sp.nsolve(sp.Symbol("z") + sp.Symbol("z") ** 3 - c, c, prec=30)) for c in cubic]
        slopes = np.linalg.solve(matrix, np.ones(n)) / (1 + 3 * np.square(exact))
        np.testing.assert_allclose(solution.value / units, exact, rtol=1e-13, atol=1e-15 * right)
        np.testing.assert_allclose(solution.jacobian[:, 0] / units, slopes, rtol=1e-13)

    @pytest.mark.parametrize("unit", [1e-18, 1e-9, 1e9, 1e18])
    def test_singular_system_stays_singular_in_any_units(self, unit):
        x, y, p = sp.symbols("x y p")
        z = y / sp.Float(unit)
        for equations in ([x + z - p, 2 * x + 2 * z - 2 * p], [x - p, z**3], [x + z**2 - p, x - p]):
            found = iop.Root(equations, [x, y], [p], guess=[0, 0]).solve(0.3, throw=False)
            assert found.status in (iop.Status.SINGULAR, iop.Status.STALLED)
            assert np.isnan(found.value).all()
