"""The two backends as a fixture's parameters; TensorFlow is imported here, for all that it warns of."""

from __future__ import annotations

import warnings

import pytest

with warnings.catch_warnings():
    # TensorFlow and TensorFlow Probability import what they find installed, deprecated or not.
    warnings.simplefilter("ignore")
    try:
        from implicitops.sampling import hamiltonian

        HAS_TENSORFLOW = hamiltonian is not None
    except ImportError:
        HAS_TENSORFLOW = False

needs_tensorflow = pytest.mark.skipif(not HAS_TENSORFLOW, reason="needs TensorFlow and TensorFlow Probability")
BACKENDS = ["theano", pytest.param("tensorflow", marks=needs_tensorflow)]
