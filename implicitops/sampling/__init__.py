"""PyMC3 models with implicit nodes: sampling on Theano or TensorFlow."""

from typing import TYPE_CHECKING, Any

from implicitops.errors import BackendError, InitialEnergyError, ModelChangedError
from implicitops.sampling.density import LogDensity, logp_function
from implicitops.sampling.failure_report import FailureReport, failure_report
from implicitops.sampling.sample import sample

if TYPE_CHECKING:
    from implicitops.sampling.penalty import finite_solution, penalised

__all__ = [
    "BackendError",
    "FailureReport",
    "InitialEnergyError",
    "LogDensity",
    "ModelChangedError",
    "failure_report",
    "finite_solution",
    "logp_function",
    "penalised",
    "sample",
]


def __getattr__(name: str) -> Any:
    if name in ("finite_solution", "penalised"):  # an Op of Theano, which is imported when somebody asks for it
        from implicitops.sampling import penalty

        return getattr(penalty, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
