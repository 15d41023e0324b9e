"""Builds the Cython kernels and installs the C headers. Everything declarative is in pyproject.toml."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SOURCES = "csrc"
KERNELS = sorted(path.stem for path in (ROOT / SOURCES).glob("*.pyx"))
DEPENDENCIES = sorted(
    f"{SOURCES}/{path.name}" for pattern in ("*.h", "*.pxi") for path in (ROOT / SOURCES).glob(pattern)
)
# The package of a kernel, where it is not implicitops.kernels.
PACKAGES = {"special": "codegen", "ode_methods": "problems"}
# What others include: the C interface, the mark of a failed solve, and the code of Theano's op. They are installed with
# what they include themselves.
PUBLIC_HEADERS = ("implicitops.h", "marked_nan.h", "theano_call.h")

# No -ffast-math: it breaks NaN and, in a shared library, switches the whole process to flush-to-zero.
COMPILE_ARGS = [
    "-O3",
    # A result must not depend on whether the machine has fused multiply-add.
    "-ffp-contract=off",
    # sqrt is one instruction then, without a call that sets errno for negative numbers: nobody reads errno.
    "-fno-math-errno",
    # Both sides of a condition may be evaluated, as nobody reads the exception flags: without it loops with selections
    # are not vectorised (in root_scalar.c 46 loops instead of 54).
    "-fno-trapping-math",
    # "#pragma omp simd" vectorises a loop. No OpenMP runtime: PyMC3 forks.
    "-fopenmp-simd",
    # As many loops are vectorised with it as without, but batches of scalar roots take 15 % longer without it (GCC 12).
    "-fno-thread-jumps",
    # No loop but those: on the short loops of small systems vectors cost more than they save.
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
            depends=DEPENDENCIES,
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
        depends=DEPENDENCIES,
        extra_compile_args=COMPILE_ARGS,
        optional=True,  # without it TensorFlow calls Python, see implicitops/backends/tensorflow/python.py
    )


def installed_headers() -> list[str]:
    """The public headers and all that they include."""
    found = list(PUBLIC_HEADERS)
    for name in found:
        included = re.findall(r'^#include "(.+)"', (ROOT / SOURCES / name).read_text(), flags=re.MULTILINE)
        found += [header for header in included if header not in found]
    return sorted(found)


def copy_headers(package_root: Path) -> None:
    """Puts the headers where a backend compiles against them, implicitops/include, and removes others from there."""
    target = package_root / "implicitops" / "include"
    target.mkdir(parents=True, exist_ok=True)
    names = installed_headers()
    for stale in target.iterdir():
        if stale.name not in names:
            stale.unlink()
    for name in names:
        shutil.copy2(ROOT / SOURCES / name, target / name)


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


extensions = cythonize(kernels(), build_dir="build/cython", include_path=[SOURCES], compiler_directives=DIRECTIVES)

setup(ext_modules=[*extensions, tensorflow_op()], cmdclass={"build_py": BuildPackage, "build_ext": BuildKernels})
