"""The promises that all backends share, kept by the TensorFlow op: op by op, in graphs, and compiled by XLA."""

from __future__ import annotations

from functools import partial

import pytest
from catalogue import conformance

from implicitops.verify.differentiation.tensorflow import WAYS, TensorflowDifferentiable

pytest.importorskip("tensorflow", reason="needs TensorFlow")

CASES = conformance.closed_forms()

#: Checks of what happens before a node is made, or inside it, whatever runs it.
SAME_IN_ALL_WAYS = (
    conformance.check_narrow_dtypes,
    conformance.check_large_batch_equals_its_parts,
    conformance.check_pickled_problem_is_the_same,
)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize(
    ("check", "way"),
    [(check, way) for check in conformance.CHECKS for way in (WAYS[:1] if check in SAME_IN_ALL_WAYS else WAYS)],
)
def test_tensorflow_keeps_the_promise(check, case, way):
    check(partial(TensorflowDifferentiable, way=way), case)
