"""Checks that derivatives are right: verify_grad, high-precision references, and a catalogue of problems."""

from implicitops.verify.report import Check, GradientMismatchError, Report
from implicitops.verify.verify_grad import verify_grad

__all__ = ["Check", "GradientMismatchError", "Report", "verify_grad"]
