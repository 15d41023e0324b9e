"""Compiled bundles in use: keys, pickles, processes, threads, memory."""

from __future__ import annotations

import gc
import mmap
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sympy as sp

from implicitops.codegen import Bundle, compile_bundle
from implicitops.codegen import compile as compilation

x, y = sp.symbols("x y")


def _evaluate(code):
    return code.evaluate([[0.5, 2.0]]).tolist()


def _compile_in_child(pipe):
    code = compile_bundle("made in a child", lambda: Bundle((x,), (sp.sinh(x) + 17,)))
    pipe.send(code.evaluate([[0.0]]).tolist())
    pipe.close()


def _printed_by(script, folder):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestKeys:
    def test_a_key_is_compiled_once(self):
        calls = []

        def make():
            calls.append(1)
            return Bundle((x,), (x + 1,))

        first = compile_bundle("once", make)
        assert compile_bundle("once", make) is first
        assert len(calls) == 1

    def test_code_that_nobody_holds_is_freed(self, monkeypatch, compiled):
        monkeypatch.setattr(compilation, "_RECENT", compilation.collections.deque(maxlen=1))
        reference = weakref.ref(compiled([x], x + 2))
        compiled([x], x + 3)
        gc.collect()
        assert reference() is None
        assert not compilation._DISCARDED

    def test_counts_and_addresses(self, compiled):
        code = compiled([x, y], x, x * y, y)
        assert (code.n_inputs, code.n_outputs) == (2, 3)
        assert code.block_address
        assert code.scalar_address
        assert code.block_address != code.scalar_address

    def test_block_respects_a_stride_longer_than_the_block(self, compiled):
        import ctypes

        code = compiled([x, y], x + sp.exp(y), x * y)
        inputs, outputs = np.random.default_rng(0).random((2, 50)), np.full((2, 50), -1.0)
        integer, pointer = ctypes.c_int64, ctypes.c_void_p
        block = ctypes.CFUNCTYPE(None, integer, integer, pointer, pointer, pointer)(code.block_address)
        block(37, 50, inputs.ctypes.data, outputs.ctypes.data, None)
        assert (outputs[:, :37] == code.evaluate(inputs)[:, :37]).all()
        assert (outputs[:, 37:] == -1).all()

    def test_wrong_shapes_are_refused(self, compiled):
        code = compiled([x, y], x + y)
        with pytest.raises(ValueError, match=r"shape \(2, n\)"):
            code.evaluate([[1.0]])
        with pytest.raises(ValueError, match=r"shape \(2,\)"):
            code.evaluate_scalar([1.0])

    def test_blocks_beyond_the_vectorised_range_are_redone_with_care(self, compiled):
        code = compiled([x, y], sp.sin(x) + sp.exp(y), sp.Mod(x, y), y)
        inputs = np.array([[1.0, 1e22, -3e15, 2.0, np.inf] * 5, [0.3, 0.4, 0.5, 0.7, 0.9] * 5])
        values = code.evaluate(inputs)
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(values[0], np.sin(inputs[0]) + np.exp(inputs[1]), rtol=1e-15)
            np.testing.assert_array_equal(values[1], np.mod(inputs[0], inputs[1]))


class TestVectorisation:
    """The block form uses the widest vectors of the host, whatever the bundle calls."""

    @pytest.mark.parametrize(
        "expressions",
        [
            (x + x * sp.exp(x * y) - 1,),
            (sp.log(x) * sp.sin(y), sp.cos(y) / x, sp.tan(x)),
            (x**y, sp.cbrt(x), sp.Mod(x, y), sp.atan2(x, y)),
            (
                sp.tanh(x) + sp.asin(y),
                sp.acosh(x),
                sp.Max(x, y, 1),
                sp.Piecewise((x, x < y), (sp.sqrt(y), True)),
            ),
            (sp.erf(x) * sp.exp(y), sp.besselj(y, x), sp.airyai(x) + sp.polygamma(1, x)),
        ],
    )
    def test_loop_over_lanes_is_vectorised(self, expressions):
        from implicitops.codegen.host import create_target_machine, host
        from implicitops.codegen.module import BLOCK, module_text

        text = module_text(Bundle((x, y), expressions), host()).text
        optimized = str(compilation.optimized_module(text, create_target_machine()))
        block = optimized[optimized.index(f"@{BLOCK}(") :]
        assert f"store <{host().lanes} x double>" in block


class TestProcesses:
    def test_pickle_holds_object_code_and_links_again(self, compiled):
        code = compiled([x], sp.exp(x), sp.erfinv(x / 4))
        copy = pickle.loads(pickle.dumps(code))
        assert copy.block_address != code.block_address
        assert _evaluate(copy) == _evaluate(code)

    def test_code_for_another_processor_is_not_linked(self, compiled):
        import dataclasses

        foreign = dataclasses.replace(compiled([x], x).artifact, fingerprint="another processor")
        with pytest.raises(RuntimeError, match="another processor"):
            compilation.CompiledBundle(foreign)

    def test_pickle_works_in_a_spawned_process(self, compiled, tmp_path):
        code = compiled([x], sp.exp(x) + sp.digamma(x))
        (tmp_path / "code.pickle").write_bytes(pickle.dumps(code))
        script = (
            "import pickle, pathlib; code = pickle.loads(pathlib.Path('code.pickle').read_bytes());"
            "print(code.evaluate([[0.5, 2.0]]).tolist())"
        )
        assert _printed_by(script, tmp_path) == str(_evaluate(code))

    @pytest.mark.skipif(sys.platform != "linux", reason="lays out the address space of Linux")
    def test_code_stays_near_its_constants_in_a_process_with_large_mappings(self, tmp_path):
        code = compile_bundle(
            "several pages", lambda: Bundle((x,), tuple(sp.log(x + k) * sp.exp(k * x / 7) for k in range(1, 40)))
        )
        assert len(code.artifact.object_code) > 8 * mmap.PAGESIZE
        (tmp_path / "code.pickle").write_bytes(pickle.dumps(code))
        # Afterwards gaps of a few pages, which would take the constants, are gigabytes away from room for the code.
        script = """
import ctypes, mmap, pathlib, pickle
pickled = pathlib.Path("code.pickle").read_bytes()
pickle.loads(pickled)
reserve = ctypes.CDLL(None).mmap
reserve.restype = ctypes.c_size_t
reserve.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
PROT_NONE, MAP_NORESERVE = 0, 0x4000
def reserved(size):
    return reserve(None, size, PROT_NONE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
below = reserved(4 << 30)
while reserved(4 * mmap.PAGESIZE) > below:
    pass
print(pickle.loads(pickled).evaluate([[0.5, 2.0]]).tolist())
"""
        assert _printed_by(script, tmp_path) == str(_evaluate(code))

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
    def test_forked_child_can_compile_while_the_parent_compiles(self):
        stop = threading.Event()

        def keep_compiling():
            count = 0
            while not stop.is_set():
                compile_bundle(f"busy {count}", lambda count=count: Bundle((x,), (sp.exp(x) + count,)))
                count += 1

        workers = [threading.Thread(target=keep_compiling) for _ in range(3)]
        for worker in workers:
            worker.start()
        try:
            context = multiprocessing.get_context("fork")
            for _ in range(4):
                receiver, sender = context.Pipe(duplex=False)
                child = context.Process(target=_compile_in_child, args=(sender,))
                child.start()
                assert receiver.poll(30), "the child hangs"
                assert receiver.recv() == [[17.0]]
                child.join(30)
        finally:
            stop.set()
            for worker in workers:
                worker.join()


class TestThreads:
    def test_sixteen_threads_share_one_compilation_of_a_key(self):
        calls = []

        def make():
            calls.append(1)
            return Bundle((x,), (sp.tanh(x),))

        with ThreadPoolExecutor(16) as pool:
            codes = list(pool.map(lambda _: compile_bundle("shared", make), range(16)))
        assert len(calls) == 1
        assert all(code is codes[0] for code in codes)

    def test_sixteen_threads_compile_different_keys(self):
        def work(k):
            return compile_bundle(f"thread {k}", lambda: Bundle((x,), (sp.log(x) * k + k,))).evaluate([[1.0]])[0, 0]

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(work, range(32))) == list(range(32))

    def test_failure_of_one_compilation_leaves_the_key_usable(self):
        def fail():
            raise KeyError("no bundle")

        with pytest.raises(KeyError):
            compile_bundle("retry", fail)
        assert compile_bundle("retry", lambda: Bundle((x,), (x,))).n_outputs == 1

    def test_compilation_may_need_another_compilation(self):
        def make():
            inner = compile_bundle("inner", lambda: Bundle((x,), (x * 3,)))
            return Bundle((x,), (x + int(inner.evaluate([[2.0]])[0, 0]),))

        assert compile_bundle("outer", make).evaluate([[1.0]])[0, 0] == 7.0
