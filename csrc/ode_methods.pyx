"""Names of the methods of an ODE, read from the tables of ode_methods.h, and nothing else.

Statements have to know the names, and know nothing of kernels: this becomes implicitops.problems._ode_methods.
"""

from libc.stdint cimport int64_t

cdef extern from "ode_methods.h" nogil:
    ctypedef struct iop_named_method:
        const char *name
        int64_t order
    iop_named_method iop_method(int64_t)
    enum:
        IOP_N_METHODS

#: Order of each method by its name; 0 for one that chooses among the others.
ORDERS = {iop_method(k).name.decode(): iop_method(k).order for k in range(IOP_N_METHODS)}
