"""Implicit functions stated in SymPy as native batched solvers with exact derivatives."""

from typing import TYPE_CHECKING, Any

from implicitops import errors, functions
from implicitops.backends.failures import failures, reset_failures
from implicitops.errors import *  # noqa: F403  (all that errors.__all__ names)
from implicitops.kernels.parallel import get_num_threads, set_num_threads
from implicitops.legacy_stack import prepare as _prepare_legacy_stack
from implicitops.problems import ODE, External, FixedPoint, Integral, Minimum, Root
from implicitops.status import Solution, Status

if TYPE_CHECKING:
    from implicitops.verify.verify_grad import verify_grad

__version__ = "0.1.0"

# Imports no framework: it repairs theano-pymc and PyMC3 if and when they are imported.
_prepare_legacy_stack()

__all__ = [
    "ODE",
    "External",
    "FixedPoint",
    "Integral",
    "Minimum",
    "Root",
    "Solution",
    "Status",
    "errors",
    "failures",
    "functions",
    "get_num_threads",
    "reset_failures",
    "set_num_threads",
    "verify_grad",
]
__all__ += errors.__all__


def __getattr__(name: str) -> Any:
    if name == "verify_grad":  # the harness is loaded when somebody asks for it
        from implicitops.verify.verify_grad import verify_grad

        return verify_grad
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
