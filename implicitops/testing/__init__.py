"""Checks that derivatives are right: verify_grad, high-precision references, and a catalogue of problems."""

from implicitops.testing.report import Check, GradientMismatchError, Report
from implicitops.testing.verify_grad import verify_grad

__all__ = ["Check", "GradientMismatchError", "Report", "verify_grad"]
