"""Which backend a model is sampled on: an argument, an environment variable, then Theano."""

from __future__ import annotations

import os
from importlib.util import find_spec

from implicitops.backends import SAMPLERS
from implicitops.errors import ArgumentError, BackendError
from implicitops.problems.validation import did_you_mean

#: Environment variable that names the backend where no argument does.
VARIABLE = "PYMC_SYMB_BACKEND"


def chosen_backend(backend: str | None = None) -> str:
    """Name of the backend to use.

    Parameters
    ----------
    backend : "theano", "tensorflow" or None; None takes ``PYMC_SYMB_BACKEND``, and Theano where that isn't set

    Returns
    -------
    str, one of :data:`implicitops.backends.SAMPLERS`

    Raises
    ------
    ArgumentError : the name is none of them
    BackendError : TensorFlow is asked for and it, or TensorFlow Probability, isn't installed

    Examples
    --------
    >>> from implicitops.sampling.choice_of_backend import chosen_backend
    >>> chosen_backend("theano")
    'theano'
    """
    source = "backend"
    if backend is None:
        backend, source = os.environ.get(VARIABLE) or SAMPLERS[0], f"the environment variable {VARIABLE}"
    if backend not in SAMPLERS:
        choices = " or ".join(map(repr, SAMPLERS))
        raise ArgumentError(f"{source} must be {choices}; got {backend!r}.{did_you_mean(str(backend), SAMPLERS)}")
    if backend == "tensorflow":
        missing = [name for name in ("tensorflow", "tensorflow_probability") if not _is_installed(name)]
        if missing:
            raise BackendError(
                f"{source} is 'tensorflow', but {' and '.join(missing)} cannot be found. Install it with "
                "pip install 'implicitops[tensorflow]', or sample with backend='theano'."
            )
    return backend


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # a stand-in in sys.modules that has no spec
        return False
