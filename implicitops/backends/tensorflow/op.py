"""Our TensorFlow op for every operation of the calculus: the library that holds it, and shapes of its nodes.

The op itself is in csrc/tensorflow_op.c.
"""

from __future__ import annotations

import ctypes
import os
import warnings
from collections.abc import Sequence
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import tensorflow as tf

from implicitops.backends.tensorflow.bridge import Node, batch_shape, known_length
from implicitops.calculus.operation import resolved
from implicitops.errors import BackendWarning

#: Type of a tensor outside any graph.
with tf.init_scope(), tf.device("CPU:0"):  # a graph may be in the making, for any device, while this is imported
    EAGER = type(tf.constant(0.0))

#: Type of the op in a graph.
OP = "ImplicitopsApply"

_LIBRARY = Path(__file__).parents[1] / "_tensorflow_op"


@lru_cache(maxsize=1)
def library() -> tuple[Any, Path] | None:
    """Functions that make our op, and the file that they come from; None, with a warning, where it cannot be loaded."""
    found = [path for path in map(_LIBRARY.with_suffix, EXTENSION_SUFFIXES) if path.exists()]
    try:
        if not found:
            raise OSError(f"{_LIBRARY}{EXTENSION_SUFFIXES[0]} was not built")
        # TensorFlow keeps its symbols to itself unless asked again for all to see.
        framework = Path(tf.sysconfig.get_lib()) / "libtensorflow_framework.so.2"
        if framework.exists():
            ctypes.CDLL(str(framework), mode=ctypes.RTLD_GLOBAL | getattr(os, "RTLD_NOLOAD", 0))
        return tf.load_op_library(str(found[0])), found[0]
    except (OSError, tf.errors.OpError) as error:
        warnings.warn(
            f"the TensorFlow op of implicitops could not be loaded ({error}). Python is called instead: right, but "
            "slower by tens of microseconds a call, without jit_compile, and without saved models "
            "for other processes. Install implicitops where there is a C compiler.",
            BackendWarning,
            stacklevel=2,
        )
        return None


def shape_of(tensor: Any) -> list[int | None] | None:
    """Static shape as far as it is known."""
    shape = tensor.shape
    return None if shape.rank is None else shape.as_list()


def set_shapes(node: Node, shapes: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Say in a graph what is known of the outputs' shapes."""
    batch, length = batch_shape(node, shapes), known_length(node, shapes)
    if batch is None:
        return
    for output, core in zip(outputs, node.output_shapes):
        output.set_shape([*batch, *(None if n < 0 else n for n in resolved(core, length))])
