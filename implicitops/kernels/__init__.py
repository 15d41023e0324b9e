"""The typed Python face of csrc/: operations of the calculus become compiled kernels and run on arrays."""

from implicitops.kernels import einsum, evaluate, integral, linear, minimum, ode, root  # noqa: F401  they register
from implicitops.kernels.build import handle_of, register
from implicitops.kernels.parallel import get_num_threads, run, set_num_threads

__all__ = ["get_num_threads", "handle_of", "register", "run", "set_num_threads"]
