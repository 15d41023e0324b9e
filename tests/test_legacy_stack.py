"""The legacy stack, repaired: each promise in a fresh interpreter, since imports can't be undone."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pymc3") is None or importlib.util.find_spec("theano") is None,
    reason="needs Theano-PyMC and PyMC3",
)

BLAS = "import theano; print('blas', repr(theano.config.blas__ldflags))\n"

MINIBATCH = """
import numpy as np
batch = pm.Minibatch(np.arange(40.0), 4)
assert batch.eval().shape == (4,)
rows = pm.Minibatch(np.arange(40.0).reshape(20, 2), [5, None], in_memory_size=[slice(0, 10), None])
assert rows.eval().shape == (5, 2)
assert pm.Minibatch(np.arange(40.0), 4, in_memory_size=10).shared.get_value().shape == (10,)
print('minibatch')
"""

GEMM = """
import numpy as np, theano, theano.tensor as tt
a = tt.dmatrix()
x = np.arange(12.0).reshape(3, 4)
np.testing.assert_allclose(theano.function([a], a.dot(a.T))(x), x @ x.T, rtol=1e-15)
"""

SCAN = """
import theano, theano.tensor as tt
x = tt.dscalar()
powers, _ = theano.scan(lambda last, x: last * x, outputs_info=tt.ones_like(x), non_sequences=x, n_steps=5)
assert theano.function([x], powers[-1])(2.0) == 32.0
assert theano.function([x], theano.grad(powers[-1], x))(2.0) == 80.0
print('scan')
"""


# Imports nothing of ours before the first call, so that a test decides what comes first.
PREPARE = """
def prepare():
    from implicitops import legacy_stack
    legacy_stack.prepare()
"""

# Spares half of the compilation. Not mode=FAST_COMPILE: there Theano does not reach for the C code of scan.
LIGHT = "optimizer=fast_compile"


def interpret(
    code: str, *, theanorc: os.PathLike[str] | None = None, flags: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Outcome of ``code`` in a fresh interpreter with no Theano settings but these."""
    own = ("THEANO_FLAGS", "THEANORC")
    environment = {name: value for name, value in os.environ.items() if name not in own}
    environment["MPLBACKEND"] = "Agg"
    if flags is not None:
        environment["THEANO_FLAGS"] = flags
    if theanorc is not None:
        environment["THEANORC"] = os.fspath(theanorc)
    return subprocess.run(
        [sys.executable, "-c", PREPARE + code],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )


def run(code: str, **settings: Any) -> str:
    """Standard output and error of ``code``, which must succeed."""
    done = interpret(code, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_theano_links_scipys_blas_without_a_warning():
    output = run("prepare()\n" + BLAS + GEMM)
    assert "openblas" in output
    assert "NumPy C-API" not in output


def test_pymc3_imported_after_prepare_gets_the_same_blas():
    assert "openblas" in run("prepare()\nimport pymc3\n" + BLAS)


@pytest.mark.parametrize("value", ["", "-lm"])
def test_blas_flags_of_the_user_win(value):
    assert f"blas {value!r}" in run("prepare()\n" + BLAS, flags=f"blas__ldflags={value}")


def test_theanorc_of_the_user_wins(tmp_path):
    settings = tmp_path / ".theanorc"
    settings.write_text("[blas]\nldflags = -lm\n")
    assert "blas '-lm'" in run("prepare()\n" + BLAS, theanorc=settings)


def test_no_blas_in_scipy_falls_back_in_silence():
    code = "from implicitops import legacy_stack\nlegacy_stack._scipy_blas = dict\nprepare()\n"
    output = run(code + BLAS)
    assert "blas" in output
    assert "WARNING" not in output


def test_failed_import_of_theano_can_be_repeated():
    code = """
try:
    import theano
except AttributeError as error:
    print('failed:', error)
prepare()
"""
    output = run(code + BLAS)
    assert "failed: module 'numpy.distutils.__config__' has no attribute 'blas_opt_info'" in output
    assert "openblas" in output


def test_scan_and_its_gradient_run():
    assert "scan" in run("prepare()\n" + SCAN, flags=LIGHT)


def test_scan_runs_where_theano_was_imported_before():
    assert "scan" in run("import theano\nprepare()\n" + SCAN, flags=LIGHT + ",blas__ldflags=")


@pytest.mark.parametrize(
    "imports", ["prepare()\nimport pymc3 as pm", "import pymc3 as pm\nprepare()"], ids=["after", "before"]
)
def test_minibatch_runs_whether_pymc3_is_imported_after_or_before(imports):
    assert "minibatch" in run(imports + "\n" + MINIBATCH, flags=LIGHT)


@pytest.mark.parametrize("code", [SCAN, MINIBATCH], ids=["scan", "minibatch"])
def test_these_checks_fail_without_the_repair(code, tmp_path):
    # A folder of its own: to read the names of ops of ours in the usual one, Theano imports implicitops.
    done = interpret("import pymc3 as pm\n" + code, flags=f"optimizer=None,base_compiledir={tmp_path}")
    assert done.returncode == 1
    assert "longintrepr.h" in done.stdout + done.stderr or "IndexError" in done.stderr


def test_svgd_runs():
    code = """
prepare()
import pymc3 as pm
with pm.Model():
    pm.Normal('x', 1.0, 0.5)
    posterior = pm.SVGD(n_particles=20, random_seed=1).fit(5, progressbar=False)
assert posterior.sample(10)['x'].shape == (10,)
print('svgd')
"""
    assert "svgd" in run(code, flags=LIGHT)


def test_repaired_module_keeps_its_own_loader():
    run("""
prepare()
import inspect, pymc3.data
assert 'implicitops' not in type(pymc3.data.__loader__).__module__
assert pymc3.data.__spec__.loader is pymc3.data.__loader__
assert 'class Minibatch' in inspect.getsource(pymc3.data)
""")


def test_preparing_again_changes_nothing():
    run("""
import sys
from implicitops.legacy_stack import _RepairingFinder
prepare()
import pymc3 as pm
slices = pm.Minibatch.make_static_slices
prepare()
prepare()
assert sum(isinstance(finder, _RepairingFinder) for finder in sys.meta_path) == 1
assert pm.Minibatch.make_static_slices is slices
""")


def test_preparing_on_many_threads_installs_one_finder():
    run("""
import sys
from concurrent.futures import ThreadPoolExecutor
from implicitops.legacy_stack import _RepairingFinder
with ThreadPoolExecutor(16) as pool:
    list(pool.map(lambda _: prepare(), range(200)))
assert sum(isinstance(finder, _RepairingFinder) for finder in sys.meta_path) == 1
""")


def test_preparing_imports_neither_framework():
    run("""
import sys
prepare()
assert not any(name.split('.')[0] in ('theano', 'pymc3') for name in sys.modules)
""")


def test_a_process_without_theano_keeps_its_finders(monkeypatch):
    from implicitops import legacy_stack

    monkeypatch.setattr(sys, "meta_path", [f for f in sys.meta_path if type(f) is not legacy_stack._RepairingFinder])
    monkeypatch.setattr(legacy_stack, "_has_theano", lambda: False)
    before = list(sys.meta_path)
    legacy_stack.prepare()
    assert sys.meta_path == before
