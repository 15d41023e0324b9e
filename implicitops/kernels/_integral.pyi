from typing import Any

class IntegralKernel:
    data_address: int
    run_address: int
    def __init__(self, **kwargs: Any) -> None: ...
