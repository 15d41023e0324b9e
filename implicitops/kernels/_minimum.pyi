from typing import Any

class MinimumKernel:
    run_address: int
    data_address: int
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
