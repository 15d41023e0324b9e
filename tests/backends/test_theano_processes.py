"""Ops in other processes: pickled, copied, forked, spawned, and where there is no C++ compiler."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import sympy as sp

import implicitops as iop

pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")

import theano
import theano.tensor as tt

x, p = sp.symbols("x p")

AT = [4.0, 9.0, 0.25]
EXPECTED = [2.0, 3.0, 0.5]

PROGRAM = """
import multiprocessing
import sys

import implicitops as iop
import sympy as sp
import theano
import theano.tensor as tt

def main():
    x, p = sp.symbols("x p")
    root = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))
    v = tt.dvector()
    y = root(v)
    function = theano.function([v], [y, theano.grad(y.sum(), v)])
    for method in sys.argv[1:]:
        with multiprocessing.get_context(method).Pool(1) as pool:
            print([a.tolist() for a in pool.apply(function, ([4.0, 9.0],))])
    print([a.tolist() for a in function([4.0, 9.0])])

if __name__ == "__main__":
    main()
"""
RESULT = "[[2.0, 3.0], [0.25, 0.16666666666666666]]\n"


def run_program(tmp_path, *arguments, flags=""):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    inherited = os.environ.get("THEANO_FLAGS", "")
    done = subprocess.run(
        [sys.executable, str(program), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "THEANO_FLAGS": ",".join(f for f in (inherited, flags) if f)},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def compiled():
    v = tt.dvector()
    y = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))(v)
    return theano.function([v], [y, theano.grad(y.sum(), v)])


@pytest.mark.parametrize(
    "duplicate", [lambda f: pickle.loads(pickle.dumps(f)), copy.copy, copy.deepcopy, lambda f: f.copy()]
)
@pytest.mark.usefixtures("linker")
def test_copy_of_a_compiled_function_works(duplicate):
    value, gradient = duplicate(compiled())(AT)
    np.testing.assert_array_equal(value, EXPECTED)
    np.testing.assert_allclose(gradient, 0.5 / value, rtol=1e-15)


def test_pickled_graph_compiles_again():
    v = tt.dvector("v")
    y = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))(v)
    inputs, output = pickle.loads(pickle.dumps(([v], y)))
    np.testing.assert_array_equal(theano.function(inputs, output)(AT), EXPECTED)


def test_compiled_function_works_in_forked_and_spawned_processes(tmp_path):
    assert run_program(tmp_path, "fork", "spawn") == 3 * RESULT


def test_no_compiler_falls_back_to_perform(tmp_path):
    assert run_program(tmp_path, "spawn", flags="cxx=") == 2 * RESULT


def test_compiled_module_serves_the_next_process(tmp_path):
    def ours():
        sources = (tmp_path / "compiledir").rglob("mod.cpp")
        return {source for source in sources if "Op class SymbolicOperation" in source.read_text()}

    flags = f"base_compiledir={tmp_path / 'compiledir'}"
    assert run_program(tmp_path, flags=flags) == RESULT
    compiled_modules = ours()
    assert len(compiled_modules) == 2
    assert run_program(tmp_path, flags=flags) == RESULT
    assert ours() == compiled_modules
