"""The promises that all backends share, kept by the calculus' programs replayed with NumPy."""

from __future__ import annotations

import pytest
from catalogue import conformance

from implicitops.verify.differentiation.numpy import NumpyDifferentiable

CASES = conformance.closed_forms()

# Broadcasting an argument's gradient and keeping its dtype belong to a framework.
CHECKS = (
    conformance.check_value_and_first_order,
    conformance.check_second_order,
    conformance.check_failure_is_nan_for_its_element_alone,
    conformance.check_large_batch_equals_its_parts,
    conformance.check_other_numbers_of_times,
    conformance.check_pickled_problem_is_the_same,
)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("check", CHECKS)
def test_replayed_programs_keep_the_promise(check, case):
    check(lambda problem, _: NumpyDifferentiable(problem), case)
