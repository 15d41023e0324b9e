"""The machine that code is generated for: its name, features and LLVM target machine."""

from __future__ import annotations

import contextlib
import functools
import platform
from dataclasses import dataclass
from typing import Any

import llvmlite
import llvmlite.binding as llvm


@dataclass(frozen=True)
class Host:
    """What generated code depends on.

    Parameters
    ----------
    cpu, features : str     LLVM's names
    fused : bool            the processor has a fused multiply-add
    lanes : int             doubles in its widest vectors
    opaque_pointers : bool  LLVM writes ``ptr`` and no longer ``double*``
    versions : tuple of str, of llvmlite and LLVM
    """

    cpu: str
    features: str
    fused: bool
    lanes: int
    opaque_pointers: bool
    versions: tuple[str, str]

    @property
    def fingerprint(self) -> str:
        """One line that differs whenever object code may not be exchanged."""
        return "|".join((platform.machine(), platform.system(), self.cpu, self.features, *self.versions))


@functools.cache
def host() -> Host:
    """The machine this process runs on."""
    _initialize_llvm()
    features = llvm.get_host_cpu_features()
    machine = platform.machine().lower()
    version = tuple(llvm.llvm_version_info)
    return Host(
        cpu=llvm.get_host_cpu_name(),
        features=features.flatten(),
        fused=bool(features.get("fma")) or machine in ("aarch64", "arm64"),
        lanes=8 if features.get("avx512f") else 4 if features.get("avx") else 2,
        opaque_pointers=version[0] >= 15,
        versions=(llvmlite.__version__, ".".join(map(str, version))),
    )


def create_target_machine(level: int = 3) -> Any:
    """A target machine for this host; its code is position independent, as the linker needs."""
    this = host()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=this.cpu, features=this.features, opt=level, reloc="pic", codemodel="small", jit=True
    )


def _initialize_llvm() -> None:
    with contextlib.suppress(RuntimeError):  # newer llvmlite initialises itself and refuses to be asked
        llvm.initialize()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
