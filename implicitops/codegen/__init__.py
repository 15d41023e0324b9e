"""SymPy to machine code: a bundle of expressions becomes a block and a scalar callback."""

from __future__ import annotations

from .bundle import Bundle
from .compile import CompiledBundle, compile_bundle
from .printer import UnsupportedExpressionError

__all__ = ["Bundle", "CompiledBundle", "UnsupportedExpressionError", "compile_bundle"]
