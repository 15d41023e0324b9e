"""C functions on batches: every form and wrapping, derivatives, failures, and no interpreter lock."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
import time

import numpy as np
import pytest
import scipy.special
import scipy.special.cython_special
from scipy import LowLevelCallable

from implicitops import External, Status

_A_V = np.random.default_rng(1).uniform(0.5, 2.0, 18)
A, V = _A_V[:6], _A_V[6:].reshape(6, 2)

SOURCE = """
#include <math.h>
void block(const double *in, double *out, void *context) {
    double scale = context ? *(double *)context : 1.0;
    out[0] = scale * in[0] * in[1];
    out[1] = in[0] < 0 ? NAN : in[2];
}
void forgetful(const double *in, double *out, void *context) { out[0] = in[0]; }
void block_jacobian(const double *in, double *out, void *context) {
    out[0] = in[1]; out[1] = in[0]; out[2] = 0; out[3] = 0; out[4] = 0; out[5] = 1;
}
double total(int n, double *x) { double s = 0; for (int i = 0; i < n; i++) { s += x[i]; x[i] = 7; } return s; }
double total_of(int n, double *x, void *context) { return *(double *)context * total(n, x); }
double scaled(double x, void *context) { return *(double *)context * x; }
double four(double a, double b, double c, double d) { return a + 10 * b + 100 * c + 1000 * d; }
double slow(double x) { volatile double s = 0; for (long i = 0; i < 200000000L; i++) s += x; return s; }
"""

DOUBLE, POINTER = ctypes.c_double, ctypes.POINTER(ctypes.c_double)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which(os.environ.get("CC", "gcc"))
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("c")
    (folder / "code.c").write_text(SOURCE)
    target = folder / "code.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", str(folder / "code.c"), "-o", str(target), "-lm"], check=True)
    loaded = ctypes.CDLL(str(target))
    for name in ("block", "block_jacobian", "forgetful"):
        getattr(loaded, name).argtypes, getattr(loaded, name).restype = [POINTER, POINTER, ctypes.c_void_p], None
    for name, argtypes in {
        "total": [ctypes.c_int, POINTER],
        "total_of": [ctypes.c_int, POINTER, ctypes.c_void_p],
        "scaled": [DOUBLE, ctypes.c_void_p],
        "four": [DOUBLE] * 4,
        "slow": [DOUBLE],
    }.items():
        getattr(loaded, name).argtypes, getattr(loaded, name).restype = argtypes, DOUBLE
    return loaded


class TestCFunctions:
    def block(self, function, **options):
        return External(function, inputs={"a": (), "v": (2,)}, outputs=(2,), **options)

    @pytest.mark.parametrize("timeout", [None, 30.0])
    def test_block_form_by_pointer_and_by_address(self, library, timeout):
        address = ctypes.cast(library.block, ctypes.c_void_p).value
        expected = np.column_stack([A * V[:, 0], V[:, 1]])
        for function in (library.block, address):
            np.testing.assert_array_equal(self.block(function, timeout=timeout)(A, V), expected)

    def test_context_is_passed_on(self, library):
        number = ctypes.c_double(3.0)
        context = ctypes.addressof(number)
        assert self.block(library.block, context=context)(2.0, [5.0, 1.0]).tolist() == [30.0, 1.0]
        scalar = {"inputs": {"x": ()}, "outputs": ()}
        assert External(library.scaled, **scalar, context=context)(2.0) == 6.0
        low_level = LowLevelCallable(library.scaled, ctypes.c_void_p(context))
        assert External(low_level, **scalar)(2.0) == 6.0

    def test_array_forms_may_change_their_input(self, library):
        vector = {"inputs": {"v": (2,)}, "outputs": ()}
        number = ctypes.c_double(2.0)
        vectors = V.copy()
        np.testing.assert_array_equal(External(library.total, **vector)(vectors), V.sum(axis=1))
        doubled = External(library.total_of, **vector, context=ctypes.addressof(number))
        np.testing.assert_array_equal(doubled(vectors), 2 * V.sum(axis=1))
        np.testing.assert_array_equal(vectors, V)

    def test_several_scalars(self, library):
        problem = External(library.four, inputs=dict.fromkeys("abcd", ()), outputs=())
        assert problem(1.0, 2.0, 3.0, d=4.0) == 4321.0

    @pytest.mark.parametrize(("name", "n"), [("gammaln", 1), ("betaln", 2)])
    def test_cython_functions_of_scipy(self, name, n):
        function = LowLevelCallable.from_cython(scipy.special.cython_special, name)
        problem = External(function, inputs=dict.fromkeys("xy"[:n], ()), outputs=())
        arguments = (A, V[:, 0])[:n]
        np.testing.assert_allclose(problem(*arguments), getattr(scipy.special, name)(*arguments), rtol=1e-14)

    def test_jacobian_in_c_and_in_python(self, library):
        for jacobian in (library.block_jacobian, lambda a, v: [[v[0], a, 0.0], [0.0, 0.0, 1.0]]):
            solution = self.block(library.block, jacobian=jacobian).solve(2.0, [3.0, 4.0], derivatives=1)
            assert solution.jacobian.tolist() == [[3.0, 2.0, 0.0], [0.0, 0.0, 1.0]]

    def test_differences(self, library):
        solution = self.block(library.block, differences="richardson").solve(2.0, [3.0, 4.0], derivatives=1)
        np.testing.assert_allclose(solution.jacobian, [[3.0, 2.0, 0.0], [0.0, 0.0, 1.0]], atol=1e-12)

    def test_failures_are_those_of_their_elements(self, library):
        solution = self.block(library.block).solve([1.0, -1.0, np.nan], [1.0, 2.0], throw=False)
        assert list(solution.status) == [Status.CONVERGED, Status.EXTERNAL_NAN, Status.INVALID_INPUT]
        assert np.isnan(solution.value[1:]).all()
        assert solution.value[0].tolist() == [1.0, 2.0]

    def test_output_that_is_not_written_is_a_failure(self, library):
        assert self.block(library.forgetful).solve(1.0, [1.0, 2.0], throw=False).status is Status.EXTERNAL_NAN

    def test_loop_without_the_interpreter_lock(self, library):
        problem = External(library.slow, inputs={"x": ()}, outputs=())
        thread = threading.Thread(target=problem, args=(1.0,))
        thread.start()
        ticks = 0
        while thread.is_alive():
            time.sleep(0.001)
            ticks += 1
        assert ticks > 5

    def test_timeout(self, library):
        problem = External(library.slow, inputs={"x": ()}, outputs=(), timeout=0.01)
        assert problem.solve(1.0, throw=False).status is Status.EXTERNAL_TIMEOUT
