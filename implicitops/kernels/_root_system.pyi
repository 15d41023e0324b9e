from typing import Any

class RootSystemKernel:
    run_address: int
    data_address: int
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
