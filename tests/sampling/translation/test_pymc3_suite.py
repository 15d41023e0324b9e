"""PyMC3's own tests of log densities hold for the translation, as far as they hold for Theano."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "tools" / "pymc3_own_tests.py"


def known_failures():
    """Names that the script explains; it is read, not imported, as it sets up Theano."""
    tree = ast.parse(SCRIPT.read_text())
    (known,) = [n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "KNOWN"]
    return ast.literal_eval(known).keys()


@pytest.mark.slow
def test_no_test_of_pymc3_fails_on_the_translation_alone(tmp_path):
    # A process of its own: PyMC3's tests bring their own configuration of pytest and of Theano.
    path = tmp_path / "results.json"
    done = subprocess.run([sys.executable, SCRIPT, "--json", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads(path.read_text())
    assert len(results) > 200, done.stdout[-2000:]
    alone = {n: r["error"] for n, r in results.items() if not r["passed"] and r["passed_on_theano"]}
    assert alone.keys() == known_failures(), alone
