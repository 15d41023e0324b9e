"""What all tests share: random numbers of their own, and problems whose answers have a closed form."""

from __future__ import annotations

import numpy as np
import pytest
from decay import decays  # noqa: F401  a fixture


@pytest.fixture
def rng():
    """Random numbers that no other test draws from, so that the order of the tests does not matter."""
    return np.random.default_rng(1)
