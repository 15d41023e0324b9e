class StatusOf:
    run_address: int
    data_address: int
