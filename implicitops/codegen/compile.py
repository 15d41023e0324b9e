"""LLVM IR to linked machine code, and the bundles that are compiled once per process.

Everything that touches LLVM happens under one lock, which is also held while the process forks: a child
therefore never inherits a compiler in the middle of its work.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from implicitops.codegen import cache
from implicitops.codegen.artifact import Artifact, installed_scipy_version
from implicitops.codegen.bundle import Bundle
from implicitops.codegen.host import create_target_machine, host
from implicitops.codegen.module import BLOCK, SCALAR, module_text
from implicitops.codegen.special import address_of


class CompiledBundle:
    """Machine code of a bundle, alive as long as this object.

    Parameters
    ----------
    artifact : Artifact

    Attributes
    ----------
    block_address, scalar_address : int, functions of the types in csrc/implicitops.h
    n_inputs, n_outputs : int
    """

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.n_inputs = artifact.n_inputs
        self.n_outputs = artifact.n_outputs
        tracker = _link(artifact)
        self.block_address = int(tracker[BLOCK])
        self.scalar_address = int(tracker[SCALAR])
        weakref.finalize(self, _discard, tracker).atexit = False

    def __reduce__(self) -> tuple[Any, ...]:
        return CompiledBundle, (self.artifact,)

    def evaluate(self, inputs: Any) -> np.ndarray:
        """The outputs for many parameter sets, through the block form.

        Parameters
        ----------
        inputs : array_like (n_inputs, n) float64

        Returns
        -------
        ndarray (n_outputs, n)
        """
        values = np.ascontiguousarray(inputs, dtype=np.float64)
        if values.ndim != 2 or values.shape[0] != self.n_inputs:
            raise ValueError(
                f"evaluate needs inputs of shape ({self.n_inputs}, n); got shape {values.shape}. "
                "Stack one row per input symbol."
            )
        n = values.shape[1]
        outputs = np.empty((self.n_outputs, n))
        integer, pointer = ctypes.c_int64, ctypes.c_void_p
        block = ctypes.CFUNCTYPE(None, integer, integer, pointer, pointer, pointer)(self.block_address)
        block(n, n, values.ctypes.data, outputs.ctypes.data, None)
        return outputs

    def evaluate_scalar(self, inputs: Any) -> np.ndarray:
        """The outputs for one parameter set, through the scalar form.

        Parameters
        ----------
        inputs : array_like (n_inputs,) float64

        Returns
        -------
        ndarray (n_outputs,)
        """
        values = np.ascontiguousarray(inputs, dtype=np.float64)
        if values.shape != (self.n_inputs,):
            raise ValueError(f"evaluate_scalar needs shape ({self.n_inputs},); got {values.shape}. Pass one set.")
        outputs = np.empty(self.n_outputs)
        pointer = ctypes.c_void_p
        scalar = ctypes.CFUNCTYPE(None, pointer, pointer, pointer)(self.scalar_address)
        scalar(values.ctypes.data, outputs.ctypes.data, None)
        return outputs


def compile_bundle(key: str, make_bundle: Callable[[], Bundle]) -> CompiledBundle:
    """Machine code for a bundle: from memory, else from disk, else compiled now.

    Parameters
    ----------
    key : str, determines the bundle's content; derived from the user's input, so that a hit needs no SymPy
    make_bundle : called without arguments if the code is in neither cache

    Returns
    -------
    CompiledBundle, one object per key as long as anybody holds it

    Raises
    ------
    UnsupportedExpressionError : an output has no real-valued machine code
    """
    with _key_lock(key):
        compiled = _COMPILED.get(key)
        if compiled is None:
            name = cache.entry_name(key, host().fingerprint)
            artifact = cache.load(name)
            if artifact is None:
                artifact = compile_artifact(make_bundle())
                cache.store(name, artifact)
            compiled = CompiledBundle(artifact)
            _COMPILED[key] = compiled
            _RECENT.append(compiled)
        return compiled


def compile_artifact(bundle: Bundle) -> Artifact:
    """Compile without any cache.

    Parameters
    ----------
    bundle : Bundle

    Raises
    ------
    UnsupportedExpressionError : an output has no real-valued machine code
    """
    this = host()
    module = module_text(bundle, this)
    with _LLVM_LOCK:
        object_code = _object_code(module.text, 1 if module.is_large else 3)
    return Artifact(
        object_code,
        len(bundle.inputs),
        len(bundle.outputs),
        module.imports,
        this.fingerprint,
        installed_scipy_version(module.imports),
    )


# -- LLVM, all of it under one lock --------------------------------------------------------------------------

_LLVM_LOCK = threading.RLock()
_LINKER: Any = None
_LIBRARY_NAMES = itertools.count()
_DISCARDED: collections.deque[Any] = collections.deque()


def optimized_module(text: str, target_machine: Any, level: int = 3) -> Any:
    """An LLVM module after the -O pipeline of a level, with loop vectorisation, without SLP vectorisation."""
    module = llvm.parse_assembly(text)
    module.triple = target_machine.triple
    module.data_layout = str(target_machine.target_data)
    if hasattr(llvm, "create_pass_builder"):
        options = llvm.create_pipeline_tuning_options(speed_level=level)
        options.loop_vectorization = True
        options.loop_interleaving = True
        options.slp_vectorization = False
        builder = llvm.create_pass_builder(target_machine, options)
        builder.getModulePassManager().run(module, builder)
    else:
        legacy = llvm.create_pass_manager_builder()
        legacy.opt_level, legacy.loop_vectorize, legacy.slp_vectorize = level, True, False
        legacy.inlining_threshold = 225  # without one, nothing is inlined
        manager = llvm.create_module_pass_manager()
        target_machine.add_analysis_passes(manager)
        legacy.populate(manager)
        manager.run(module)
    return module


def _object_code(text: str, level: int) -> bytes:
    target_machine = create_target_machine(level)
    return bytes(target_machine.emit_object(optimized_module(text, target_machine, level)))


def _link(artifact: Artifact) -> Any:
    """The resource tracker of an artifact made executable; it knows the addresses."""
    global _LINKER
    here = host().fingerprint
    if artifact.fingerprint != here:
        raise RuntimeError(
            f"Object code needs the host that it was compiled for ({artifact.fingerprint}); this is {here}. "
            "Compile the bundle here instead of unpickling it."
        )
    addresses = {symbol: address_of(symbol) for symbol in artifact.imports}
    with _LLVM_LOCK:
        if _LINKER is None:
            # RuntimeDyld, the older linker, maps each section of an object on its own. In a process with gigabytes of
            # mappings code then lies too far from its constants for a 32-bit offset, which ends the process. JITLink
            # maps an object as one block.
            _LINKER = llvm.create_lljit_compiler(create_target_machine(), use_jit_link=True)
        _DISCARDED.clear()
        library = llvm.JITLibraryBuilder().add_object_img(artifact.object_code).add_current_process()
        for symbol, address in addresses.items():
            library.import_symbol(symbol, address)
        library.export_symbol(BLOCK).export_symbol(SCALAR)
        return library.link(_LINKER, f"bundle{next(_LIBRARY_NAMES)}")


def _discard(tracker: Any) -> None:
    """Free machine code: now if LLVM is idle, else before the next link; collection must never wait."""
    _DISCARDED.append(tracker)
    del tracker
    if _LLVM_LOCK.acquire(blocking=False):
        try:
            _DISCARDED.clear()
        finally:
            _LLVM_LOCK.release()


# -- memory cache --------------------------------------------------------------------------------------------

#: So many bundles stay compiled although nobody holds them.
RETAINED = 128

_REGISTRY_LOCK = threading.Lock()
_COMPILED: weakref.WeakValueDictionary[str, CompiledBundle] = weakref.WeakValueDictionary()
_RECENT: collections.deque[CompiledBundle] = collections.deque(maxlen=RETAINED)
_KEY_LOCKS: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()


@contextlib.contextmanager
def _key_lock(key: str) -> Iterator[None]:
    """One compilation per key at a time; other keys do not wait."""
    with _REGISTRY_LOCK:
        lock = _KEY_LOCKS.get(key)
        if lock is None:
            lock = _KEY_LOCKS[key] = threading.RLock()
    with lock:
        yield


def _before_fork() -> None:
    _LLVM_LOCK.acquire()
    _REGISTRY_LOCK.acquire()


def _after_fork_in_parent() -> None:
    _REGISTRY_LOCK.release()
    _LLVM_LOCK.release()


def _after_fork_in_child() -> None:
    """Only the forking thread lives on: locks of other threads' compilations would never open again."""
    _KEY_LOCKS.clear()
    _after_fork_in_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
