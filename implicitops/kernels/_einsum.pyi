import numpy as np

class EinsumKernel:
    run_address: int
    data_address: int
    def __init__(self, terms: np.ndarray, loops: np.ndarray, size: int) -> None: ...
