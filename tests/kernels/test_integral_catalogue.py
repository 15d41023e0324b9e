"""Every integral of the catalogue: it converges to the exact value, or says that it does not; its error is honest."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from catalogue.integral_case import flattened
from catalogue.integral_problems import failing_integrals, integral_catalogue
from scipy.integrate import quad

from implicitops.errors import DifferentiabilityError
from implicitops.status import Status

CATALOGUE = integral_catalogue()
FAILING = failing_integrals()

#: Relative error allowed, in units of rtol.
SAFETY = 10

#: Rounding errors, in units of what one rounding of the parameters and of the integrand does.
ROUNDING = 16 * np.finfo(float).eps

#: Places of peaks far from 0 are measured in their widths.
WIDTHS = {"Gaussian far away": "s", "Lorentzian": "g"}

#: Peaks that are so narrow beside their distance from 0 that rounding of a node, or of the place, moves it by a part of
#: the width that counts: place and width.
NARROW = {"narrow Gaussian": ("p", "w"), "smooth with a narrow Gaussian": ("p", "w")}

#: Statuses that are about derivatives only.
VALUE_IS_RIGHT = (Status.DERIVATIVE_UNDEFINED, Status.DERIVATIVE_INACCURATE)

#: What is not right yet, by case and order of the derivatives asked for: empty, and meant to stay so.
EXPECTED_FAILURES: dict[tuple[str, int], str] = {}


def expected(case, order, request, strict=True):
    reason = EXPECTED_FAILURES.get((case.name, order))
    if reason:
        request.applymarker(pytest.mark.xfail(reason=reason, strict=strict))


def solved(case, order, **options):
    """Solution at all points in one call, or None where the statement has no derivatives of this order."""
    arguments = [np.array([point[k] for point in case.points]) for k in range(len(case.params))]
    try:
        return case.problem(**options).solve(*arguments, derivatives=order, throw=False)
    except DifferentiabilityError:
        return None


def sizes(case, point):
    """How far the parameters may move for an effect of order 1."""
    size = np.array([abs(v) or 1.0 for v in flattened(point)])
    width = WIDTHS.get(case.name, NARROW.get(case.name, (None, None))[1])
    if width is not None:
        size[:] = size[[str(s) for s in case.flat_params].index(width)]
    return size


def rounding_of(case, point):
    """One rounding of everything, relative to effects of order 1."""
    if case.name not in NARROW:
        return ROUNDING
    place, width = (flattened(point)[[str(s) for s in case.flat_params].index(name)] for name in NARROW[case.name])
    return ROUNDING * abs(place / width)


def integral_of_the_absolute_value(case, point):
    """To a few digits, where it is far above the value's own; 0 otherwise."""
    if "cancellation" not in case.tags:
        return 0.0
    values = dict(zip(case.flat_params, flattened(point)))
    ends = [float(e.subs(values)) for e in (case.lower, case.upper)]
    functions = [sp.lambdify(case.variable, abs(f.subs(values)), "scipy") for f in case.integrand]
    with np.errstate(over="ignore"):
        return max(quad(f, *ends, full_output=1)[0] for f in functions)


def compared(case, solution, order):
    """For each point its status, and errors, exact results and rounding errors by order of derivative."""
    n_integrands = len(case.integrand)
    results = [solution.value, solution.jacobian, solution.hessian][: order + 1]
    for i, point in enumerate(case.points):
        reference = case.reference(point)
        exact = [r.astype(float) for r in (reference.value, reference.jacobian, reference.hessian)]
        size = sizes(case, point)
        # A change of each parameter by itself changes the value, or some other integrand's, by as much as this.
        scale = max(np.max(abs(exact[0])), np.max(abs(exact[1]) * size), integral_of_the_absolute_value(case, point))
        scales = [scale, scale / size, scale / np.outer(size, size)]
        found = [np.reshape(r[i], exact[k].shape) for k, r in enumerate(results)]
        assert np.shape(solution.value[i]) == ((n_integrands,) if n_integrands > 1 else ())
        yield (
            solution.status[i],
            [
                (
                    values,
                    abs(values - exact[k]),
                    abs(exact[k]),
                    rounding_of(case, point) * np.broadcast_to(scales[k], values.shape),
                )
                for k, values in enumerate(found)
            ],
        )


def assert_right_or_flagged(case, solution, order, rtol=1e-8):
    for status, comparisons in compared(case, solution, order):
        for k, (values, error, exact, rounding) in enumerate(comparisons):
            right = error <= SAFETY * rtol * exact + 100 * rounding
            if status is Status.CONVERGED or (k == 0 and status in VALUE_IS_RIGHT):
                assert np.all(right)
            elif status is Status.DERIVATIVE_UNDEFINED:
                assert np.all(right | np.isnan(values))
            elif status is not Status.DERIVATIVE_INACCURATE:  # whose error the estimate is about
                assert np.all(np.isnan(values))


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("case", CATALOGUE, ids=repr)
def test_value_jacobian_and_hessian_converge_to_the_exact_ones(case, order, request):
    expected(case, order, request)
    solution = solved(case, order)
    hard = "hard" in case.tags or order > case.derivatives
    assert solution is not None or hard
    if solution is not None:
        assert_right_or_flagged(case, solution, order)
        assert np.all(solution.converged) or hard


@pytest.mark.parametrize("case", CATALOGUE, ids=repr)
def test_error_estimate_is_honest_and_within_the_tolerance(case, request):
    expected(case, 0, request)
    solution = solved(case, 0)
    for i, (status, ((value, error, _, rounding),)) in enumerate(compared(case, solution, 0)):
        estimate = np.reshape(solution.error_estimate[i], value.shape)
        if status is Status.CONVERGED:
            assert np.all(error <= estimate)
            assert np.all(estimate <= 1e-8 * abs(value) + 10 * rounding)


@pytest.mark.parametrize("case", [*CATALOGUE, *(case for case in FAILING if case.exact is not None)], ids=repr)
def test_errors_of_derivatives_are_at_most_the_estimates(case):
    solution = solved(case, 2)
    if solution is None:
        return
    estimates = (solution.error_estimate, solution.jacobian_error, solution.hessian_error)
    for i, (_, comparisons) in enumerate(compared(case, solution, 2)):
        for (values, error, _, _), estimate in zip(comparisons, estimates):
            found = np.reshape(estimate[i], values.shape)
            known = np.isfinite(values)
            assert np.all(error[known] <= found[known])
            assert np.array_equal(known, np.isfinite(found))


def test_estimates_of_derivatives_are_mostly_within_a_thousand_of_their_errors():
    close = []
    for case in CATALOGUE:
        solution = solved(case, 2)
        if solution is None:
            continue
        for i, (_, comparisons) in enumerate(compared(case, solution, 2)):
            for (values, error, exact, _), estimate in zip(
                comparisons[1:], (solution.jacobian_error, solution.hessian_error)
            ):
                known = np.isfinite(values)
                found = np.reshape(estimate[i], values.shape)[known]
                close.extend(found <= 1000 * np.maximum(error, np.finfo(float).eps * exact)[known])
    assert np.mean(close) > 0.7


@pytest.mark.parametrize("rtol", [1e-3, 1e-5, 1e-11])
@pytest.mark.parametrize("case", CATALOGUE, ids=repr)
def test_other_tolerances_are_kept(case, rtol, request):
    expected(case, 0, request, strict=False)  # a loose tolerance may be kept by chance
    assert_right_or_flagged(case, solved(case, 0, rtol=rtol), 0, rtol)


@pytest.mark.parametrize("case", [case for case in FAILING if case.exact is None], ids=repr)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_what_has_no_value_is_flagged(case, order, request):
    expected(case, order, request)
    solution = solved(case, order)
    if solution is not None:
        for result in (solution.value, solution.jacobian, solution.hessian)[: order + 1]:
            assert np.all(np.isnan(result))
        assert all(status is not Status.CONVERGED for status in solution.status)


@pytest.mark.parametrize("case", [case for case in FAILING if case.exact is not None], ids=repr)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_what_is_hidden_is_right_or_flagged(case, order, request):
    expected(case, order, request)
    solution = solved(case, order)
    if solution is not None:
        assert_right_or_flagged(case, solution, order)


def test_expected_failures_are_of_the_catalogue():
    assert {name for name, _ in EXPECTED_FAILURES} <= {case.name for case in (*CATALOGUE, *FAILING)}
