"""What an error shows of an expression that is not supported. The errors themselves are in implicitops/errors.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp


def expanded(item: Any, definitions: Mapping[Any, Any]) -> Any:
    """An expression with all that is defined written out; anything else as it is."""
    while isinstance(item, sp.Basic) and item.free_symbols & definitions.keys():
        item = item.xreplace(dict(definitions))
    return item
