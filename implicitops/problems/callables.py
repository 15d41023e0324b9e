"""Existing code as data: what names it, whether it survives pickling, and how a C function is called.

Nothing is called here.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import pickle
import re
import sys
import types
import uuid
import weakref
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import LowLevelCallable

from implicitops.errors import ProblemError

#: The form of C function that takes any inputs and returns any output: one set of inputs, contiguous.
BLOCK = "void (const double *, double *, void *)"

#: Other forms that take an array. Those that take up to ``MAX_SCALARS`` numbers, ``double (double, ...)``, follow.
ARRAY_SIGNATURES = ("double (int, double *)", "double (int, double *, void *)")

MAX_SCALARS = 4

#: The base of ctypes function pointers, which has no public name.
_FUNCTION_POINTER: Any = ctypes.CFUNCTYPE(None).__mro__[1]

_tokens: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


# -- identity -------------------------------------------------------------------------------------------------


def identity_of(code: Any) -> str:
    """Text that names a function by content, equal in every process for what can be imported by name.

    A function that its module and qualified name lead to is known by these and a digest of its code. Anything
    else (a lambda, a local function, an instance, a bound method) may depend on state that nobody can see, so each such
    object has an identity of its own, which problems carry along when they are pickled.
    """
    if code is None:
        return "none"
    if isinstance(code, CFunction):
        return code.identity
    if isinstance(code, functools.partial) and _is_plain((code.args, tuple(code.keywords.items()))):
        return f"partial {identity_of(code.func)} {code.args!r} {sorted(code.keywords.items())!r}"
    name = _import_name(code)
    return f"{name} {_digest(code)}" if name else token_of(code)


def token_of(code: Any) -> str:
    """Name of one object, as long as it lives, that no other object in any process has."""
    try:
        return _tokens.setdefault(code, uuid.uuid4().hex)
    except TypeError:  # no weak reference or no hash
        return uuid.uuid4().hex


def _import_name(code: Any) -> str | None:
    module, name = getattr(code, "__module__", None), getattr(code, "__qualname__", None)
    if isinstance(code, np.ufunc):
        return f"ufunc {pickle.dumps(code)!r}"
    found = sys.modules.get(module) if isinstance(module, str) else None
    for part in name.split(".") if isinstance(name, str) else [""]:
        found = getattr(found, part, None)
    return f"{module}:{name}" if found is code and found is not None else None


def _digest(code: Any) -> str:
    function = getattr(code, "__wrapped__", code)
    if not isinstance(function, types.FunctionType):
        return ""
    defaults = (function.__defaults__, tuple((function.__kwdefaults__ or {}).items()))
    text = f"{_code_text(function.__code__)} {defaults!r}" if _is_plain(defaults) else _code_text(function.__code__)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _code_text(code: types.CodeType) -> str:
    constants = [_code_text(c) if isinstance(c, types.CodeType) else _ordered(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {constants} {code.co_names} {code.co_varnames} {code.co_freevars}"


def _ordered(constant: Any) -> str:
    # A set's repr follows its hashes, which differ from process to process.
    return repr(sorted(map(repr, constant))) if isinstance(constant, frozenset) else repr(constant)


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, bytes))


# -- C functions ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CFunction:
    """A C function by address, signature, and the library and symbol that lead to it in another process.

    Parameters
    ----------
    address : int
    signature : str, "double (double)", "double (int, double *, void *)", ..., or that of :data:`BLOCK`
    context : int, address that is passed as ``void *``
    library, symbol : str, or empty where the address belongs to none
    keep : object that has to live as long as the address is used
    """

    address: int
    signature: str
    context: int = 0
    library: str = ""
    symbol: str = ""
    identity: str = ""
    keep: Any = field(default=None, compare=False, repr=False)

    @property
    def n_scalars(self) -> int:
        """Number of scalar arguments; 0 for the forms that take an array."""
        return 0 if "*, " in self.signature or "double *)" in self.signature else self.signature.count("double") - 1

    @property
    def is_block(self) -> bool:
        """True for the form that writes an array."""
        return self.signature == BLOCK

    def __getstate__(self) -> dict[str, Any]:
        if not self.symbol or self.context:
            what = "has a context pointer" if self.context else "is no exported symbol of a shared library"
            raise pickle.PicklingError(
                f"the C function at {self.address:#x} {what}, so another process cannot find it. "
                "Export it from a shared library, or run it with threads instead of processes."
            )
        return {**self.__dict__, "address": 0, "keep": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        library = ctypes.CDLL(state["library"])
        address = ctypes.cast(getattr(library, state["symbol"]), ctypes.c_void_p).value
        self.__dict__.update(state, address=address, keep=library)


def as_code(code: Any, role: str, context: int | None) -> Any:
    """Python callable as it is, or a CFunction for whatever is an address.

    Parameters
    ----------
    code : callable, int, ctypes function pointer or scipy.LowLevelCallable
    role : str, the argument's name for errors
    context : int, address passed to a C function as ``void *``, or None

    Raises
    ------
    ProblemError : it is none of these, or has a signature that is not understood
    """
    if isinstance(code, LowLevelCallable):
        capsule = tuple.__getitem__(code, 0)
        address, own_context = _capsule_pointers(capsule)
        return _c_function(address, code.signature, own_context or context or 0, role, code)
    if isinstance(code, _FUNCTION_POINTER):
        address = ctypes.cast(code, ctypes.c_void_p).value or 0
        return _c_function(address, _ctypes_signature(code, role), context or 0, role, code)
    if isinstance(code, (int, np.integer)) and not isinstance(code, bool):
        if code < 4096:
            raise ProblemError(f"{role} must be the address of a C function; got {code!r}, which is none.")
        return _c_function(int(code), BLOCK, context or 0, role, None)
    if not callable(code):
        raise ProblemError(
            f"{role} must be a Python callable, the address of a C function, a ctypes function pointer or a "
            f"scipy.LowLevelCallable; got {code!r:.80} of type {type(code).__name__}."
        )
    return code


def _c_function(address: int, signature: str, context: int, role: str, keep: Any) -> CFunction:
    normal = _normal_signature(signature)
    if normal is None:
        raise ProblemError(
            f"{role} has the C signature {signature!r}, which is not understood. Known are 'double (double)' with "
            f"up to {MAX_SCALARS} doubles, 'double (double, void *)', {', '.join(map(repr, ARRAY_SIGNATURES))} "
            f"and {BLOCK!r}."
        )
    library, symbol = _exported_name(address, str(getattr(keep, "__name__", "")))
    if symbol and not context:
        stat = os.stat(library) if os.path.exists(library) else None
        identity = f"{library}:{symbol}:{(stat.st_mtime_ns, stat.st_size) if stat else ''}:{normal}"
    else:
        identity = f"{normal} {token_of(keep) if keep is not None else hex(address) + uuid.uuid4().hex}"
    return CFunction(address, normal, context, library, symbol, identity, keep)


def _normal_signature(signature: str) -> str | None:
    text = re.sub(r"\bconst\b|__pyx_skip_dispatch", "", signature)
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"\s*([(),*])\s*", r"\1", text)
    scalars = re.fullmatch(r"double\(((?:double,)*double)(,int|,void\*)?\)", text)
    if scalars:
        n, extra = scalars[1].count("double"), scalars[2] or ""
        if n > (1 if "void" in extra else MAX_SCALARS):
            return None
        return f"double ({', '.join(['double'] * n)}{extra.replace(',', ', ').replace('void*', 'void *')})"
    known = {_packed(s): s for s in (*ARRAY_SIGNATURES, BLOCK)}
    return known.get(text)


def _packed(signature: str) -> str:
    return re.sub(r"\s*([(),*])\s*", r"\1", signature.replace("const ", ""))


def _ctypes_signature(function: Any, role: str) -> str:
    if function.argtypes is None:
        raise ProblemError(
            f"{role} is a ctypes function without argtypes, so its signature is unknown. Set argtypes and restype, "
            f"or pass its address, ctypes.cast(function, ctypes.c_void_p).value, if it is {BLOCK!r}."
        )
    double_pointer = ctypes.POINTER(ctypes.c_double)
    names = {ctypes.c_double: "double", ctypes.c_int: "int", double_pointer: "double *", ctypes.c_void_p: "void *"}
    names[None] = "void"
    parts = [names.get(kind, getattr(kind, "__name__", str(kind))) for kind in function.argtypes]
    return f"{names.get(function.restype, str(function.restype))} ({', '.join(parts)})"


def _capsule_pointers(capsule: Any) -> tuple[int, int]:
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    api.PyCapsule_GetContext.restype = ctypes.c_void_p
    api.PyCapsule_GetContext.argtypes = [ctypes.py_object]
    name = api.PyCapsule_GetName(capsule)
    return api.PyCapsule_GetPointer(capsule, name), api.PyCapsule_GetContext(capsule) or 0


class _SymbolInformation(ctypes.Structure):
    _fields_ = [
        ("library", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    ]


def _exported_name(address: int, likely: str) -> tuple[str, str]:
    """Library and symbol of an address, by the dynamic linker; empty where it has none.

    The likely symbol is tried for functions that the library chooses when it is loaded, such as libm's ``sin``.
    """
    dladdr = getattr(ctypes.CDLL(None), "dladdr", None) if os.name == "posix" else None
    found = _SymbolInformation()
    if dladdr is None or not dladdr(ctypes.c_void_p(address), ctypes.byref(found)):
        return "", ""
    if not found.library:
        return "", ""
    library = os.path.realpath(os.fsdecode(found.library))
    if found.symbol and found.address == address:
        return library, found.symbol.decode()
    try:
        chosen = ctypes.cast(getattr(ctypes.CDLL(library), likely), ctypes.c_void_p).value if likely else None
    except (OSError, AttributeError):  # the program itself, or a name of Python's
        chosen = None
    return (library, likely) if chosen == address else ("", "")
