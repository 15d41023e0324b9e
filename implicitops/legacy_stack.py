"""Repairs Theano-PyMC 1.1.2 and PyMC3 3.11.6 on today's NumPy and Python. Nothing here imports either."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

_lock = threading.Lock()


def prepare() -> None:
    """Makes Theano and PyMC3 work, whether they are imported before this call or after it.

    Three things are broken in every model, with or without an op of ours:

    * ``import theano`` fails on NumPy >= 1.22 wheels (it reads ``blas_opt_info``, which is gone) unless PyMC3
      was imported first. It gets the OpenBLAS inside SciPy's wheel, or nothing at all. Theano asks for this
      default only where neither THEANO_FLAGS nor .theanorc sets ``blas__ldflags``, so a user's choice stands.
    * ``theano.scan`` fails on Python 3.11, whose C interface its C code doesn't know. It gets told that
      the C code isn't there, and takes its Python loop.
    * ``pymc3.Minibatch`` fails on NumPy >= 1.23, which no longer takes a list of slices for an index.

    What is not imported yet is repaired when it is, by a finder at the head of ``sys.meta_path``, which only processes
    have that could import Theano: the call
    itself costs microseconds and may stand in any process, any number of times, on any thread. Where Theano
    is imported already, its BLAS setting is left alone. An ``import theano`` that failed before this call can
    be repeated after it.
    """
    with _lock:
        if not any(isinstance(finder, _RepairingFinder) for finder in sys.meta_path) and _has_theano():
            sys.meta_path.insert(0, _RepairingFinder())
    if "theano" in sys.modules:
        _use_python_scan()
    data = sys.modules.get("pymc3.data")
    if data is not None:
        _repair_minibatch(data)


def _has_theano() -> bool:
    """Whether Theano is installed, or imported already."""
    return "theano" in sys.modules or find_spec("theano") is not None


class _RepairingFinder(MetaPathFinder):
    """Finds nothing itself: repairs just before Theano or PyMC3 loads and just after ``pymc3.data`` has."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in ("theano", "pymc3") and "theano" not in sys.modules:
            _forget_failed_import()
            _choose_blas()
            _use_python_scan()
        elif fullname == "pymc3.data":
            return self._with_repair(fullname, path, target)
        return None

    def _with_repair(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in sys.meta_path:
            if isinstance(finder, _RepairingFinder):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _RepairingLoader(spec.loader)
                return spec
        return None


class _RepairingLoader(Loader):
    """Loads ``pymc3.data`` with its own loader, then repairs it. The module keeps no trace of this one."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _repair_minibatch(module)


def _forget_failed_import() -> None:
    # Python drops the package that failed but not its submodules, and those make every later import fail too.
    for name in [name for name in sys.modules if name.startswith("theano.")]:
        del sys.modules[name]


def _choose_blas() -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # numpy.distutils announces its own end
            import numpy.distutils
    except ImportError:
        return  # Python >= 3.12, where Theano-PyMC cannot be imported at all
    config: Any = getattr(numpy.distutils, "__config__", None)
    if config is None or hasattr(config, "blas_opt_info"):
        return  # an older NumPy that knows its BLAS, or PyMC3 has filled it in
    config.blas_opt_info = _scipy_blas()
    if not config.blas_opt_info:
        # Theano now tries -lblas, then goes through NumPy's own BLAS, which is no slower for matrix products.
        logging.getLogger("theano.tensor.blas").addFilter(lambda record: "NumPy C-API" not in record.getMessage())


def _scipy_blas() -> dict[str, list[str]]:
    """Link settings of the OpenBLAS in SciPy's wheel; empty if there is none that Theano can link to."""
    import scipy

    folder = Path(scipy.__file__).parents[1] / "scipy.libs"
    if any(character.isspace() for character in str(folder)):
        return {}  # Theano splits link flags at blanks
    # "64_" in the name means 64-bit integers and symbols of other names.
    names = [path.stem[3:] for path in sorted(folder.glob("libopenblas*.so")) if "64_" not in path.stem]
    if not names:
        return {}
    # The library finds libgfortran beside itself through the program's RPATH only, not through its RUNPATH.
    rpath = f"-Wl,--disable-new-dtags,-rpath,{folder}"
    return {"library_dirs": [str(folder)], "libraries": [names[-1]], "extra_link_args": [rpath]}


def _use_python_scan() -> None:
    # None in sys.modules makes the import an ImportError, which Theano's fallback waits for; failing to compile the C
    # code raises a plain Exception instead.
    sys.modules.setdefault("theano.scan.scan_perform_ext", None)  # type: ignore[arg-type]


def _repair_minibatch(data: ModuleType) -> None:
    minibatch = getattr(data, "Minibatch", None)
    if minibatch is None:  # another thread is loading it, through the finder
        return
    slices_of = minibatch.make_static_slices
    if getattr(slices_of, "repaired_by_implicitops", False):
        return

    def make_static_slices(user_size: Any) -> Any:
        slices = slices_of(user_size)
        return tuple(slices) if isinstance(slices, list) else slices

    make_static_slices.repaired_by_implicitops = True  # type: ignore[attr-defined]
    minibatch.make_static_slices = staticmethod(make_static_slices)
