from collections.abc import Sequence
from typing import Any

import numpy as np

N_STATS: int

class Handle:
    kernel: Any
    input_sizes: tuple[int, ...]
    output_sizes: tuple[int, ...]
    grain: int
    address: int
    is_free: bool
    def __init__(
        self,
        kernel: Any,
        input_sizes: Sequence[int],
        output_sizes: Sequence[int],
        grain: int = ...,
        *,
        has_derivatives: int = ...,
    ) -> None: ...
    def with_length(self, length: int | None) -> Handle: ...
    def run(
        self,
        n: int,
        first: int,
        inputs: Sequence[np.ndarray],
        strides: Sequence[int],
        outputs: Sequence[np.ndarray | None],
        status: np.ndarray | None,
        stats: np.ndarray | None,
        marked: bool = ...,
    ) -> int: ...
    def solve_scalars(self, arguments: tuple[Any, ...]) -> np.float64 | None: ...

def register(name: str, handle: Handle) -> None: ...
def registered(name: str) -> Handle | None: ...
