"""The scalar root finder on random problems: whatever comes back as CONVERGED is a root, never just a number."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from implicitops import Root, Status
from implicitops.errors import NoReferenceError
from implicitops.verify.reference import RootReference

x, p, q = sp.symbols("x p q")
PROPERTY = settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


moderate = st.floats(-10, 10, width=32).filter(lambda v: v == 0 or abs(v) > 1e-6)


def assert_is_root_or_nan(problem, args, found):
    """The only two possible answers: NaN with a status, or a number that 50-digit arithmetic calls a root."""
    if found.status is not Status.CONVERGED:
        assert np.isnan(found.value)
        assert np.all(np.isnan(found.jacobian))
        return
    flat = [float(v) for a in args for v in np.ravel(a)]
    try:
        point = RootReference(problem).at(flat, float(found.value), order=0)
    except NoReferenceError as error:
        raise AssertionError(f"{found.value!r} is presented as a root at {flat}: {error}") from error
    assert abs(mpmath.mpf(float(found.value)) - point.value[0]) <= point.value_bound[0] + found.error_estimate
    assert not np.any(np.isnan(found.jacobian))


COEFFICIENTS = sp.symbols("c0:5")
QUINTIC = sp.Poly([1, *COEFFICIENTS], x).as_expr()
FROM_BRACKET = Root(QUINTIC, x, [COEFFICIENTS], bracket=(-50, 50))
FROM_GUESS = Root(QUINTIC, x, [COEFFICIENTS, p], guess=p)
FACTORS = sp.symbols("r0:3")
WITH_ROOTS = Root(sp.prod([x - r for r in FACTORS]) * (1 + x**2), x, [FACTORS, p, q], bracket=(p, q))
MONOTONE = {
    "sum": sp.sinh(q * x) + x**3 - p,
    "exponential": sp.exp(q * x) + x - p,
    "logarithm": x + sp.log(1 + sp.exp(q * x)) - p,
    "step": sp.tanh(q * (x - p)) + x / 100,
    "root": sp.sign(x) * sp.sqrt(sp.Abs(x)) + q**2 * x - p - 1000,
}
STARTS = ({"bracket": (-1e8, 1e8)}, {"guess": 1}, {})
MONOTONE_PROBLEMS = {
    name: [Root(residual, x, [p, q], **start) for start in STARTS] for name, residual in MONOTONE.items()
}


class TestProperties:
    @PROPERTY
    @given(st.lists(moderate, min_size=5, max_size=5))
    def test_polynomial_with_random_coefficients(self, coefficients):
        found = FROM_BRACKET.solve(coefficients, derivatives=1, throw=False)
        assert_is_root_or_nan(FROM_BRACKET, [coefficients], found)

    @PROPERTY
    @given(st.lists(moderate, min_size=5, max_size=5), moderate)
    def test_polynomial_from_a_random_guess(self, coefficients, guess):
        found = FROM_GUESS.solve(coefficients, guess, derivatives=1, throw=False)
        assert_is_root_or_nan(FROM_GUESS, [coefficients, guess], found)
        assert found.status is not Status.UNDEFINED

    @PROPERTY
    @given(st.lists(moderate, min_size=3, max_size=3), moderate, moderate)
    def test_polynomial_with_known_roots(self, roots, a, b):
        found = WITH_ROOTS.solve(roots, a, b, derivatives=1, throw=False)
        low, high = min(a, b), max(a, b)
        inside = sorted(r for r in roots if low < r < high)
        gaps = [abs(r - s) for i, r in enumerate(roots) for s in roots[:i]]
        if found.status is Status.CONVERGED:
            assert low <= found.value <= high
            assert min(abs(found.value - r) for r in roots) <= 1e-5
            if min(gaps) > 1e-3:
                assert min(abs(found.value - r) for r in roots) <= 1e-11
        elif a != b and len(inside) % 2 == 1 and min(gaps) > 1e-3 and not {a, b} & set(roots):
            raise AssertionError(f"a simple root in {inside} was not found: {found.status}")

    @pytest.mark.parametrize("name", MONOTONE)
    @PROPERTY
    @given(parameter=st.floats(-600, 600, width=32), rate=st.floats(2.0**-10, 1000, width=32))
    def test_monotone_function_always_has_its_root_found(self, name, parameter, rate):
        for problem in MONOTONE_PROBLEMS[name]:
            found = problem.solve(parameter, rate, derivatives=1, throw=False)
            if problem.bracket is not None:
                assert found.status in (Status.CONVERGED, Status.SINGULAR), found.status
            assert_is_root_or_nan(problem, [parameter, rate], found)

    @PROPERTY
    @given(st.lists(st.floats(), min_size=5, max_size=5))
    def test_any_double_at_all(self, coefficients):
        found = FROM_BRACKET.solve(coefficients, derivatives=1, throw=False)
        if not np.all(np.isfinite(coefficients)):
            assert found.status is Status.INVALID_INPUT
        assert np.isfinite(found.value) == (found.status is Status.CONVERGED)
        if found.status is Status.CONVERGED:
            assert -50 <= found.value <= 50
