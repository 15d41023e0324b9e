"""Compiled bundles of derivative rules, cached under a key that changes when a rule does."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from implicitops import calculus, symbolic
from implicitops.codegen import Bundle, compile_bundle
from implicitops.codegen.compile import CompiledBundle


@lru_cache(maxsize=1)
def _rules_version() -> str:
    """Digest of the derivative rules' source, so that code cached on disk by older rules is not used."""
    sources = [p for room in (calculus, symbolic) for p in sorted(Path(str(room.__file__)).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()[:16]


def compiled(key: str, make_bundle: Callable[[], Bundle]) -> CompiledBundle:
    """Machine code of a bundle, see :func:`implicitops.codegen.compile_bundle`.

    Parameters
    ----------
    key : str, determines the bundle's content for given rules
    make_bundle : called without arguments if the code is in no cache
    """
    return compile_bundle(f"{_rules_version()}/{key}", make_bundle)


def sizes(shapes: tuple[tuple[int, ...], ...]) -> list[int]:
    """Doubles per batch element of arrays with given trailing shapes.

    A free axis is -1, so that the product says how many doubles there are for each unit of its length.
    """
    return [math.prod(shape) for shape in shapes]
