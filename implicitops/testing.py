"""The old name of :mod:`implicitops.verify`, for one release."""

import warnings

from implicitops.verify import Check, GradientMismatchError, Report, verify_grad

__all__ = ["Check", "GradientMismatchError", "Report", "verify_grad"]

warnings.warn(
    "implicitops.testing is now implicitops.verify: import from there, or verify_grad from implicitops.",
    DeprecationWarning,
    stacklevel=2,
)
