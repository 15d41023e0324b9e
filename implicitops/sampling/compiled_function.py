"""Functions that XLA compiles for the CPU, where the solvers run, whatever other devices the machine has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Function of tensors as one program of XLA for the CPU.

    Parameters
    ----------
    function : callable of tensors or arrays, traced once for each of their shapes
    """

    def placed(*arguments: Any) -> Any:
        with tf.device("CPU:0"):
            return function(*arguments)

    program = tf.function(placed, jit_compile=True, autograph=False)

    def call(*arguments: Any) -> Any:
        with tf.device("CPU:0"):
            return program(*arguments)

    return call
