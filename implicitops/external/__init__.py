"""The runtime of users' own code: calls one by one, executors, finite differences. Only kernels call it."""
