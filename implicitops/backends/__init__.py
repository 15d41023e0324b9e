"""Which framework a call belongs to, found from its arguments' types; no framework is imported here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from implicitops import external  # noqa: F401  registers how existing code is run
from implicitops.backends import numpy as numpy_backend
from implicitops.errors import ArgumentError
from implicitops.problems.base import Faces, Problem, give_faces
from implicitops.problems.validation import did_you_mean

#: Frameworks by the name of the module that a user imports; each has an adapter of the same name here.
FRAMEWORKS = ("theano", "tensorflow")

#: Everything that a problem can be computed by, plain numbers first.
BACKENDS = ("numpy", *FRAMEWORKS)

#: The frameworks that a PyMC3 model can be sampled on, the default first.
SAMPLERS = ("theano", "tensorflow")

_owner_by_type: dict[type, str | None] = {}
_modules: dict[str, ModuleType] = {}


def owner(argument: Any) -> str | None:
    """Name of the framework that an argument, or what it lists, belongs to; None for numbers and arrays."""
    kind = type(argument)
    if kind is list or kind is tuple:  # one item of each type tells whom they belong to
        items = dict(zip(map(type, argument), argument))
        is_nested = list in items or tuple in items
        return next(filter(None, map(owner, argument if is_nested else items.values())), None)
    if kind not in _owner_by_type:
        _owner_by_type[kind] = next(
            (name for name in FRAMEWORKS if name in sys.modules and backend_named(name).owns(argument)), None
        )
    return _owner_by_type[kind]


def backend_named(name: str) -> ModuleType:
    """Adapter of a framework by name."""
    if name in _modules:
        return _modules[name]
    if name not in BACKENDS:
        raise ArgumentError(
            f"backend must be one of {', '.join(map(repr, BACKENDS))}; got {name!r}.{did_you_mean(str(name), BACKENDS)}"
        )
    return _modules.setdefault(name, import_module(f"implicitops.backends.{name}"))


def apply(problem: Problem, arguments: Sequence[Any], *, start_given: bool = False) -> Any:
    """Solve with the framework that the arguments belong to; the last of them may be start values."""
    owners = set(map(owner, arguments))
    owners.discard(None)
    if len(owners) > 1:
        names = " and ".join(sorted(map(str, owners)))
        raise ArgumentError(f"the arguments belong to two frameworks, {names}. Convert them to one of them.")
    name = owners.pop() if owners else None
    backend = numpy_backend if name is None else backend_named(name)
    return backend.apply(problem, arguments, start_given=start_given)


give_faces(Faces(apply=apply, solve=numpy_backend.solve, backend_named=backend_named))
