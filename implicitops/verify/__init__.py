"""Checks that derivatives are right: verify_grad, high-precision references, and a catalogue of problems."""

from implicitops.errors import GradientMismatchError
from implicitops.verify.report import Check, Report
from implicitops.verify.verify_grad import verify_grad

__all__ = ["Check", "GradientMismatchError", "Report", "verify_grad"]
