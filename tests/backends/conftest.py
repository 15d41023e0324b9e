"""Fixtures of the backends' tests: ways of running an op, and a clean slate of failures."""

from __future__ import annotations

import os
import sys

import pytest

from implicitops.backends import failures

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # what TensorFlow says of the processor, in every process


@pytest.fixture(params=["c", "py"])
def linker(request, monkeypatch):
    """Our op runs through its C code, or through perform; all others in Python, so that none need compiling."""
    pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")
    from theano.graph.op import COp

    from implicitops.backends.theano.op import SymbolicOperation
    from implicitops.external.handle import needs_python

    original = COp.make_thunk

    def make_thunk(self, node, storage_map, compute_map, no_recycling, impl=None):
        ours = isinstance(self, SymbolicOperation) and not needs_python(self.operation)
        impl = request.param if ours else "py"
        return original(self, node, storage_map, compute_map, no_recycling, impl=impl)

    monkeypatch.setattr(COp, "make_thunk", make_thunk)
    return request.param


@pytest.fixture(params=["eager", "graph", "jit"])
def way(request):
    """``way(function)``: the function as TensorFlow runs it, op by op, as a graph, or compiled by XLA."""
    tf = pytest.importorskip("tensorflow", reason="needs TensorFlow")
    if request.param == "eager":
        return lambda function: function
    jit = True if request.param == "jit" else None
    return lambda function: tf.function(function, jit_compile=jit, autograph=False)


@pytest.fixture(autouse=True)
def _clean_process():
    if "theano" in sys.modules:  # where PyMC3 was used before, it left this at "raise"
        sys.modules["theano"].config.compute_test_value = "off"
    failures.reset_failures()
    yield
    failures.reset_failures()
