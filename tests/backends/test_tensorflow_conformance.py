"""The promises that all backends share, kept by the TensorFlow op: op by op, in graphs, and compiled by XLA."""

from __future__ import annotations

from functools import partial

import pytest

from implicitops.testing import conformance
from implicitops.testing.differentiation.tensorflow import WAYS, TensorflowDifferentiable

pytest.importorskip("tensorflow", reason="needs TensorFlow")

CASES = conformance.closed_forms()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("check", conformance.CHECKS)
def test_tensorflow_keeps_the_promise(check, case, way):
    check(partial(TensorflowDifferentiable, way=way), case)
