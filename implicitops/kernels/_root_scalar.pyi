from typing import Any

class RootScalarKernel:
    run_address: int
    data_address: int
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
