"""The promises that all backends share, kept by the Theano op through its C code and through perform."""

from __future__ import annotations

import pytest

from implicitops.testing import conformance

CASES = conformance.closed_forms()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("check", conformance.CHECKS)
@pytest.mark.usefixtures("linker")
def test_theano_keeps_the_promise(check, case):
    from implicitops.testing.differentiation.theano import TheanoDifferentiable

    check(TheanoDifferentiable, case)
