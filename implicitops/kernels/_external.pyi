from typing import Any

import numpy as np

class Function:
    run_address: int
    data_address: int
    stat_names: tuple[str, ...]
    def __init__(
        self, address: int, context: int, form: int, n_inputs: int, n_outputs: int, keep: Any = None
    ) -> None: ...
    def evaluate(self, inputs: np.ndarray, outputs: np.ndarray, status: np.ndarray) -> None: ...

class ExternalKernel:
    run_address: int
    data_address: int
    stat_names: tuple[str, ...]
    evaluator: Any
    cause: BaseException | None
    def __init__(self, evaluator: Any) -> None: ...
