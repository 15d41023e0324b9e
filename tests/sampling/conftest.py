"""What tests of samplers share: the folder on the path, a clean slate, and a way to run without a compiler."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from implicitops.backends import failures

# For `import pymc3_models`, in the processes that a sampler starts too.
sys.path.append(str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _clean_process():
    failures.reset_failures()
    yield
    failures.reset_failures()
    if "theano" in sys.modules:
        sys.modules["theano"].config.compute_test_value = "off"  # PyMC3 leaves it at "raise" in the whole process


@pytest.fixture
def uncompiled():
    """Ops other than ours run in Python, so that short tests need not wait for a compiler."""
    from pymc3_models import compiling_only_ours

    with compiling_only_ours():
        yield
