"""Every problem of the catalogue: it is solved to rounding error, and its error estimate is honest."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from catalogue.problems import TAGS, catalogue

from implicitops.verify import verify_grad
from implicitops.verify.differences import precise_derivatives
from implicitops.verify.reference import RootReference

CATALOGUE = catalogue()

#: What is not right yet, by problem: meant to become empty.
EXPECTED_FAILURES: dict[str, str] = {}


def flattened(point):
    return [float(v) for item in point for v in (item if isinstance(item, tuple) else (item,))]


def arguments(known):
    return [np.array([point[k] for point in known.points]) for k in range(len(known.problem.params))]


@pytest.mark.parametrize("known", CATALOGUE, ids=repr)
def test_value_jacobian_and_hessian_converge_to_the_reference(known, request):
    if known.name in EXPECTED_FAILURES:
        request.applymarker(pytest.mark.xfail(reason=EXPECTED_FAILURES[known.name], strict=True))
    assert verify_grad(known.problem, list(known.points), order=2).passed


@pytest.mark.parametrize(("name", "point"), [("Wright omega", -300.0), ("inverse softplus", 300.0)])
def test_hessian_where_a_power_of_the_slope_is_out_of_range(name, point):
    (known,) = (k for k in CATALOGUE if k.name == name)
    assert verify_grad(known.problem, [point], order=2).passed


@pytest.mark.parametrize("known", CATALOGUE, ids=repr)
def test_error_estimate_is_honest_and_not_useless(known):
    solution = known.problem.solve(*arguments(known), throw=False)
    for i, point in enumerate(known.points):
        reference = RootReference(known.problem).at(flattened(point), float(solution.value[i]), order=0)
        error = abs(mpmath.mpf(float(solution.value[i])) - reference.value[0])
        estimate = float(solution.error_estimate[i])
        assert error <= estimate + 1e-300  # nothing is promised below the normal numbers
        assert estimate <= 1e4 * float(reference.value_bound[0])


@pytest.mark.parametrize("known", [k for k in CATALOGUE if k.exact], ids=repr)
def test_reference_agrees_with_the_closed_form_to_forty_digits(known):
    solution = known.problem.solve(*arguments(known), throw=False)
    for i, point in enumerate(known.points):
        found = RootReference(known.problem).at(flattened(point), float(solution.value[i]), order=1)
        with mpmath.workdps(700 if "multiscale" in known.tags else 150):
            values = [mpmath.mpf(v) for v in flattened(point)]
            value, jacobian, _ = precise_derivatives(lambda there: [known.exact(*there)], values, 1)
            for a, b in zip([*value, *jacobian[0]], [*found.value, *found.jacobian[0]]):
                assert abs(a - b) <= mpmath.mpf(10) ** -40 * max(abs(a), mpmath.mpf(10) ** -20)


def test_catalogue_has_enough_of_everything():
    assert len(CATALOGUE) >= 25
    assert len({known.name for known in CATALOGUE}) == len(CATALOGUE)
    for tag in TAGS:
        assert sum(tag in known.tags for known in CATALOGUE) >= 2, tag
    assert sum(known.exact is not None for known in CATALOGUE) >= 15
