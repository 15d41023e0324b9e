ORDERS: dict[str, int]
