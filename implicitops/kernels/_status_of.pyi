class StatusOfKernel:
    run_address: int
    data_address: int
