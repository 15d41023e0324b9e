"""Functions that XLA compiles for the CPU, where the solvers run, whatever other devices the machine has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


class CompiledFunction:
    """Function of tensors as one program of XLA for the CPU.

    Parameters
    ----------
    function : callable of tensors or arrays, traced once for each of their shapes
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        def placed(*arguments: Any) -> Any:
            with tf.device("CPU:0"):
                return function(*arguments)

        self._program = tf.function(placed, jit_compile=True, autograph=False)

    def __call__(self, *arguments: Any) -> Any:
        """What the function returns."""
        with tf.device("CPU:0"):
            return self._program(*arguments)

    @property
    def n_tracings(self) -> int:
        """How often the function was traced so far."""
        return int(self._program.experimental_get_tracing_count())
