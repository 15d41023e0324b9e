"""C code of a Theano node: the names of its variables, filled in where it calls csrc/theano_call.h, and nothing else.

It depends on the numbers of inputs and outputs alone, so that most problems share one compiled module.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

INCLUDE = Path(__file__).resolve().parents[2] / "include"
HEADERS = ("theano_call.h",)

Shape = tuple[int, ...]


@lru_cache(maxsize=1)
def cache_version() -> tuple[int, ...]:
    """Checksums of this code and of all that it is compiled with, for Theano's module cache."""
    sources = (Path(__file__), *sorted(INCLUDE.glob("*.h")))
    return tuple(zlib.crc32(source.read_bytes()) for source in sources)


def struct_declaration(name: str) -> str:
    """Member of a compiled node that holds what was found for it."""
    return f"iop_target target_{name};"


def struct_initialisation(name: str, params: str, fail: str) -> str:
    """Code that runs when a function is made."""
    return f"if (iop_find_target({params}, &target_{name}) != 0) {{ {fail} }}"


def struct_cleanup(name: str) -> str:
    """Code that runs when a function is forgotten."""
    return f"Py_CLEAR(target_{name}.description);"


def application(name: str, fail: str, inputs: Sequence[str], outputs: Sequence[str]) -> str:
    """Code that runs a node.

    Parameters
    ----------
    name, fail : str, of the node in the generated code
    inputs, outputs : sequences of str, variables of type ``PyArrayObject *``
    """
    return f"""
    {{
        PyArrayObject *inputs[] = {{ {", ".join(inputs)} }};
        PyArrayObject **outputs[] = {{ {", ".join(f"&{output}" for output in outputs)} }};
        if (iop_apply(&target_{name}, inputs, outputs) != 0) {{ {fail} }}
    }}
    """


def layout(
    broadcastable: Sequence[Sequence[bool]], input_shapes: Sequence[Shape], output_shapes: Sequence[Shape]
) -> bytes:
    """Shapes of a node in the form that ``iop_find_target`` reads.

    Parameters
    ----------
    broadcastable : for each input, whether each batch axis is
    input_shapes, output_shapes : core shapes
    """
    shapes = (*input_shapes, *output_shapes)
    counts = (len(broadcastable[0]), len(input_shapes), len(output_shapes))
    flags = (int(flag) for axes in broadcastable for flag in axes)
    numbers = [*counts, *flags, *map(len, shapes), *(n for shape in shapes for n in shape)]
    return np.array(numbers, dtype=np.int64).tobytes()
