"""Builds the Cython kernels and installs the C header. Everything declarative is in pyproject.toml."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SOURCES = "csrc"
KERNELS = sorted(path.stem for path in (ROOT / SOURCES).glob("*.pyx"))
HEADERS = sorted(path for pattern in ("*.h", "*.pxd", "*.pxi") for path in (ROOT / SOURCES).glob(pattern))
# The package of a kernel, where it is not implicitops.kernels.
PACKAGES = {"special": "codegen", "ode_methods": "problems"}
# Where Cython looks for `cimport`: csrc/X.pxd lies here under its kernel's name, implicitops/kernels/_X.pxd.
DECLARATIONS = "build/declarations"

# No -ffast-math: it breaks NaN and, in a shared library, switches the whole process to flush-to-zero.
# No contraction: a result must not depend on whether the machine has fused multiply-add.
# No OpenMP runtime (PyMC3 forks), only its simd pragma.
if sys.platform == "win32":
    COMPILE_ARGS = ["/O2", "/fp:precise"]
else:
    COMPILE_ARGS = [
        "-O3",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-fopenmp-simd",
        "-fno-thread-jumps",
        "-fno-tree-vectorize",
    ]

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "embedsignature": True,
}


def kernels() -> list[Extension]:
    """One extension ``implicitops.kernels._X``, or in the package of ``PACKAGES``, for each ``csrc/X.pyx``."""
    return [
        Extension(
            f"implicitops.{PACKAGES.get(name, 'kernels')}._{name}",
            [f"{SOURCES}/{name}.pyx"],
            include_dirs=[SOURCES],
            depends=[f"{SOURCES}/{header.name}" for header in HEADERS],
            extra_compile_args=COMPILE_ARGS,
        )
        for name in KERNELS
    ]


def tensorflow_op() -> Extension:
    """The library that TensorFlow loads. It is no Python module, and needs nothing of TensorFlow to be built."""
    return Extension(
        "implicitops.backends._tensorflow_op",
        [f"{SOURCES}/tensorflow_op.c", f"{SOURCES}/tensorflow_xla.c"],
        include_dirs=[SOURCES],
        depends=[f"{SOURCES}/{header.name}" for header in HEADERS],
        extra_compile_args=COMPILE_ARGS,
        optional=True,  # without it TensorFlow calls Python, see implicitops/backends/tensorflow/python.py
    )


def stage_declarations() -> None:
    """Lays out ``csrc/X.pxd`` so that ``from implicitops.kernels._X cimport`` works in another kernel."""
    package = ROOT / DECLARATIONS / "implicitops" / "kernels"
    shutil.rmtree(ROOT / DECLARATIONS, ignore_errors=True)
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.pxd").touch()
    for header in HEADERS:
        if header.suffix == ".pxd" and header.stem in KERNELS:
            shutil.copy2(header, package / f"_{header.name}")


def copy_headers(package_root: Path) -> None:
    """Puts headers and shared declarations where a backend compiles against them: implicitops/include."""
    target = package_root / "implicitops" / "include"
    target.mkdir(parents=True, exist_ok=True)
    for header in HEADERS:
        if header.stem not in KERNELS and header.suffix != ".pxi":
            shutil.copy2(header, target / header.name)


class BuildPackage(build_py):
    """build_py that also installs the headers."""

    def run(self) -> None:
        super().run()
        in_place = getattr(self, "editable_mode", False)
        copy_headers(ROOT if in_place else Path(self.build_lib))


class BuildKernels(build_ext):
    """build_ext that also leaves the headers in the source tree with ``--inplace``."""

    def run(self) -> None:
        super().run()
        if self.inplace:
            copy_headers(ROOT)


extensions = kernels()
if extensions:
    stage_declarations()
    extensions = cythonize(
        extensions,
        build_dir="build/cython",
        include_path=[DECLARATIONS, SOURCES],
        compiler_directives=DIRECTIVES,
    )

if sys.platform != "win32":
    extensions = [*extensions, tensorflow_op()]

setup(ext_modules=extensions, cmdclass={"build_py": BuildPackage, "build_ext": BuildKernels})
