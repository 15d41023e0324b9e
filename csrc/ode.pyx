"""The Python face of the ODE solver. What runs is in ode_run.h, and what is set here in ode_setup.h."""

from libc.stdlib cimport free, malloc

import numpy as np


include "interface.pxi"

cdef extern from "ode_setup.h" nogil:
    ctypedef struct iop_map:
        pass
    ctypedef struct iop_ode:
        pass
    ctypedef struct iop_ode_member:
        const char *name
    const iop_ode_member *iop_ode_functions
    const iop_ode_member *iop_ode_integers
    const iop_ode_member *iop_ode_reals
    int iop_ode_set_number(iop_ode *, const char *, double)
    int iop_ode_set_function(iop_ode *, const char *, iop_scalar_function)
    int iop_set_method(iop_ode *, const char *)
    void iop_ode_set_states(iop_ode *, int64_t, const double *, int, int64_t, int64_t)
    void iop_ode_set_maps(iop_ode *, const iop_map *, int64_t, const iop_map *, const iop_map *)
    void iop_set_map(iop_map *, iop_scalar_function, iop_scalar_function, iop_scalar_function, int64_t, int64_t,
                     const int32_t *, int64_t, const int32_t *)
    int64_t iop_ode_run(const iop_operation *, int64_t, const double *const *, const int64_t *, double *const *, int32_t *,
                        int64_t *const *) noexcept
    int64_t iop_ode_run_adjoint(const iop_operation *, int64_t, const double *const *, const int64_t *, double *const *,
                                int32_t *, int64_t *const *) noexcept


cdef frozenset names(const iop_ode_member *table):
    cdef set found = set()
    while table.name != NULL:
        found.add(table.name.decode())
        table += 1
    return frozenset(found)


#: Names of all that an ODE has to be given.
FUNCTIONS = names(iop_ode_functions)
NUMBERS = names(iop_ode_integers) | names(iop_ode_reals)


cdef class Map:
    """A function of (t, y, q) bound to its callbacks: right-hand side, outputs, or what an event makes of the states.

    Parameters
    ----------
    value, first, second : compiled bundles; second None where it is zero or not wanted
    n_rows : int
    entries, parameter_entries : int32 arrays (2, count), rows and columns of the derivatives by y and by p
    """

    cdef iop_map data
    cdef tuple keep

    def __init__(self, *, value, first, second, int64_t n_rows, entries, parameter_entries):
        entries = np.ascontiguousarray(entries, dtype=np.int32)
        parameter_entries = np.ascontiguousarray(parameter_entries, dtype=np.int32)
        self.keep = (value, first, second, entries, parameter_entries)
        iop_set_map(
            &self.data, scalar_function(value), scalar_function(first), scalar_function(second), n_rows,
            entries.shape[1], <const int32_t *> <uintptr_t> entries.ctypes.data,
            parameter_entries.shape[1], <const int32_t *> <uintptr_t> parameter_entries.ctypes.data)


cdef class ODEKernel(Kernel):
    """An ODE solver bound to its callbacks: what an Operation needs to run it.

    Parameters
    ----------
    rhs : Map
    changes : sequence of Map, the start and then each event
    outputs : Map or None
    functions : dict of compiled bundle or None, by the names of ``FUNCTIONS``, see ode.h
    numbers : dict of number, by the names of ``NUMBERS``, see ode.h
    method : str
    bandwidths : (lower, upper) for banded storage, or None for dense
    atol : float64 array (n,)
    adjoint : bool, solve for the gradient of a weighted sum of the outputs instead of the outputs

    Raises
    ------
    ValueError : a name that the solver does not know, or one that is missing
    """

    cdef iop_ode data
    cdef iop_map *changes
    cdef tuple keep
    #: Counters of one solve; stiff_steps are those by Rodas5P, switches the changes of method under "auto". The last two
    #: say where it ended if it failed: the bits of the time, and the index of a state or guard, or -1.
    stat_names = ("steps", "rejected", "evaluations", "factorisations", "stiff_steps", "switches", "failed_at", "failed_in")

    def __cinit__(self):
        self.changes = NULL

    def __init__(self, *, Map rhs, changes, outputs, functions, numbers, method, bandwidths, atol, bint adjoint=False):
        cdef int64_t n = len(atol), k
        cdef Map change
        atol = np.ascontiguousarray(atol, dtype=np.float64)
        self.keep = (rhs, tuple(changes), outputs, tuple(functions.values()), atol)
        for given, known in ((functions, FUNCTIONS), (numbers, NUMBERS)):
            if given.keys() != known:
                raise ValueError(f"the ODE solver takes {sorted(known)}; got {sorted(given)}. The names are in csrc/ode.h.")
        for name, bundle in functions.items():
            iop_ode_set_function(&self.data, name.encode(), scalar_function(bundle))
        for name, value in numbers.items():
            iop_ode_set_number(&self.data, name.encode(), value)
        if iop_set_method(&self.data, method.encode()):
            raise ValueError(f"the ODE solver has no method {method!r}: csrc/runge_kutta_tableaus.h lists the explicit ones.")
        lower, upper = bandwidths if bandwidths is not None else (n - 1, n - 1)
        iop_ode_set_states(&self.data, n, <const double *> <uintptr_t> atol.ctypes.data, bandwidths is not None, lower, upper)
        self.changes = <iop_map *> malloc(len(changes) * sizeof(iop_map))
        if self.changes == NULL:
            raise MemoryError
        for k, change in enumerate(changes):
            self.changes[k] = change.data
        iop_ode_set_maps(
            &self.data, &rhs.data, len(changes), self.changes, NULL if outputs is None else &(<Map> outputs).data)
        self.function = iop_ode_run_adjoint if adjoint else iop_ode_run
        self.address = &self.data

    def __dealloc__(self):
        free(self.changes)
