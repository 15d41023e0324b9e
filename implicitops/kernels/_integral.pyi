from typing import Any

class Quadrature:
    data_address: int
    run_address: int
    def __init__(self, **kwargs: Any) -> None: ...
