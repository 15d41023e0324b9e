"""What tests of samplers share: the folder on the path, a clean slate, quiet tuning, ways to run without a compiler."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

import implicitops as iop
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


@pytest.fixture
def in_python(monkeypatch):
    """All of Theano's Ops run in Python, ours too, so that a short test need not wait for a compiler."""
    from theano.graph.op import COp

    make_thunk = COp.make_thunk
    monkeypatch.setattr(COp, "make_thunk", lambda *args, **options: make_thunk(*args, **{**options, "impl": "py"}))


@pytest.fixture
def quiet_tuning():
    """While it tunes, NUTS tries parameters that nothing can be solved for: nothing is said of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", iop.SolveWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


@pytest.fixture
def interrupt_after(monkeypatch):
    """Function that lets the bar of a run on TensorFlow raise KeyboardInterrupt once so many steps are done."""
    from implicitops.sampling.progress import Progress

    def arrange(n_steps):
        advance = Progress.advance

        def interrupted(self, n, comment):
            advance(self, n, comment)
            if self.done > n_steps:
                raise KeyboardInterrupt

        monkeypatch.setattr(Progress, "advance", interrupted)

    return arrange
