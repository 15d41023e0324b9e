"""What a harness needs to know of a backend: how to get values and derivative products out of it."""

from implicitops.errors import NotAvailableError
from implicitops.verify.differentiation.base import Differentiable, by_position

__all__ = ["Differentiable", "NotAvailableError", "by_position"]
