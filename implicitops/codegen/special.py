"""Addresses of the scalar functions that machine code imports: the C library's, scipy.special's and our own.

A symbol is named ``c:<function>:<arguments>``, or with ``scipy`` or ``iop`` in the place of ``c``, with a letter for
each argument: ``d`` for a double, ``p`` for a double that the function writes. The name is all that object code
stores, so that it can be linked again in another process, where everything lies elsewhere.
"""

from __future__ import annotations

import ctypes
import functools
import re
import sys
from typing import Any

from implicitops.codegen import _special

_capsule_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
_capsule_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)

_SCIPY_TYPES = {"d": "double", "p": "double *"}

#: Functions of the C99 library, by SymPy-side name, all double to double.
C_FUNCTIONS = {
    "exp": 1, "expm1": 1, "exp2": 1, "log": 1, "log1p": 1, "log2": 1, "log10": 1, "pow": 2, "cbrt": 1,
    "hypot": 2, "sin": 1, "cos": 1, "tan": 1, "asin": 1, "acos": 1, "atan": 1, "atan2": 2, "sinh": 1,
    "cosh": 1, "tanh": 1, "asinh": 1, "acosh": 1, "atanh": 1, "erf": 1, "erfc": 1, "tgamma": 1,
    "lgamma": 1, "fmod": 2,
}  # fmt: skip


def c_symbol(function: str) -> str:
    """The symbol of a C library function.

    >>> c_symbol("atan2")
    'c:atan2:dd'
    """
    return f"c:{function}:{'d' * C_FUNCTIONS[function]}"


def is_scipy(symbol: str) -> bool:
    """Whether a symbol belongs to scipy.special."""
    return symbol.startswith("scipy:")


@functools.cache
def address_of(symbol: str) -> int:
    """Address of an imported function in this process.

    Parameters
    ----------
    symbol : str, ``c:…``, ``scipy:…`` or ``iop:…``

    Raises
    ------
    ImportError : the library or a function of this signature is missing
    """
    origin, function, arguments = symbol.split(":")
    if origin == "c":
        return _c_address(function)
    if origin == "iop":
        return _special.addresses()[function]
    return _scipy_address(function, arguments)


@functools.cache
def _c_library() -> ctypes.CDLL:
    process = ctypes.CDLL(None)
    if hasattr(process, "erfc"):
        return process
    return ctypes.CDLL("libm.dylib" if sys.platform == "darwin" else "libm.so.6")


def _c_address(function: str) -> int:
    address = ctypes.cast(getattr(_c_library(), function), ctypes.c_void_p).value
    if address is None:
        raise ImportError(f"The C library should provide {function}(); got no address. Check the C runtime.")
    return address


@functools.cache
def _scipy_capsules() -> dict[tuple[str, str], Any]:
    """Every exported C function of scipy.special, by plain name and exact signature."""
    from scipy.special import cython_special

    capsules = {}
    for exported, capsule in cython_special.__pyx_capi__.items():
        function = re.sub(r"^__pyx_fuse_\d+", "", exported)
        signature = _capsule_name(capsule).decode().replace(", int __pyx_skip_dispatch", "")
        capsules[function, signature] = capsule
    return capsules


def _scipy_address(function: str, arguments: str) -> int:
    returned = "void" if "p" in arguments else "double"
    signature = f"{returned} ({', '.join(_SCIPY_TYPES[code] for code in arguments)})"
    try:
        capsule = _scipy_capsules()[function, signature]
    except KeyError:
        import scipy

        raise ImportError(
            f"cython_special should export {function} as '{signature}'; scipy {scipy.__version__} "
            "does not. Install another scipy, or rewrite the expression without this function."
        ) from None
    return int(_capsule_pointer(capsule, _capsule_name(capsule)))
