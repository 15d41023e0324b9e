"""SymPy to machine code: a bundle of expressions becomes a block and a scalar callback."""

from __future__ import annotations

from implicitops.codegen.bundle import Bundle
from implicitops.codegen.compile import CompiledBundle, compile_bundle
from implicitops.codegen.differentiate import differentiate
from implicitops.errors import UnsupportedDerivativeError, UnsupportedExpressionError

__all__ = [
    "Bundle",
    "CompiledBundle",
    "UnsupportedDerivativeError",
    "UnsupportedExpressionError",
    "compile_bundle",
    "differentiate",
]
