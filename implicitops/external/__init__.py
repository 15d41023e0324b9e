"""The runtime of users' own code: calls one by one, executors, finite differences, and the handle that runs them."""

from implicitops.external import handle  # noqa: F401  registers how existing code is bound
