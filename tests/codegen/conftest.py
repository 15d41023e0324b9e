"""Fixtures of the code generator's tests: a private code cache, and compilation under throwaway keys."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp

from implicitops.codegen import Bundle, CompiledBundle, cache, compile_bundle

_KEYS = itertools.count()


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    """A code cache of its own for every test, and warnings that count from zero."""
    folder = tmp_path / "code-cache"
    monkeypatch.setenv("IMPLICITOPS_CACHE_DIR", str(folder))
    monkeypatch.setattr(cache, "_warned", set())
    return folder


@pytest.fixture
def compiled() -> Callable[..., CompiledBundle]:
    """Compile outputs of input symbols, never from the memory cache."""

    def compile_outputs(inputs: Any, *outputs: Any) -> CompiledBundle:
        bundle = Bundle(tuple(inputs), tuple(sp.sympify(output) for output in outputs))
        return compile_bundle(f"test {next(_KEYS)}", lambda: bundle)

    return compile_outputs


@pytest.fixture
def same_bits() -> Callable[[Any, Any], bool]:
    """Whether two arrays agree bit for bit; any NaN equals any other."""

    def compare(a: np.ndarray, b: np.ndarray) -> bool:
        a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
        equal = (a.view(np.int64) == b.view(np.int64)) | (np.isnan(a) & np.isnan(b))
        return bool(equal.all())

    return compare
