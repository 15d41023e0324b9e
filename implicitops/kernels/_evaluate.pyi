from collections.abc import Callable, Sequence
from typing import Any

class Judge:
    def __init__(self, ends: Sequence[float], make: Callable[[], Any]) -> None: ...

class EvaluateKernel:
    run_address: int
    data_address: int
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
