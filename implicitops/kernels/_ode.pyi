from typing import Any

FUNCTIONS: frozenset[str]
NUMBERS: frozenset[str]

class Map:
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

class ODEKernel:
    run_address: int
    data_address: int
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
