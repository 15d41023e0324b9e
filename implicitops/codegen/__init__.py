"""SymPy to machine code: a bundle of expressions becomes a block and a scalar callback."""

from __future__ import annotations

from .bundle import Bundle
from .compile import CompiledBundle, compile_bundle
from .differentiate import differentiate
from .unsupported import UnsupportedDerivativeError, UnsupportedExpressionError

__all__ = [
    "Bundle",
    "CompiledBundle",
    "UnsupportedDerivativeError",
    "UnsupportedExpressionError",
    "compile_bundle",
    "differentiate",
]
