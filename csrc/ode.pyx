"""Initial value problems, one batch element after the other: the driver. What it drives is in ode_solve.h."""

from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

import numpy as np


include "ode_declarations.pxi"


cdef enum:
    AUTO = 0
    TSIT5 = 1


cdef double *take(double **memory, int64_t count) noexcept nogil:
    """Next `count` doubles of a block; with a block that begins at NULL, only counts them."""
    cdef double *taken = memory[0]
    memory[0] += count
    return taken


cdef int64_t largest_map(const iop_ode *ode) noexcept nogil:
    """Doubles that the largest `first` of all maps returns."""
    cdef int64_t largest = iop_map_first_size(&ode.rhs), k, size
    for k in range(1 + ode.n_events):
        size = iop_map_first_size(&ode.changes[k])
        largest = size if size > largest else largest
    if ode.outputs != NULL:
        size = iop_map_first_size(ode.outputs)
        largest = size if size > largest else largest
    return largest


cdef double *lay_out(iop_ode_work *w, const iop_ode *ode, int64_t n_times, double *memory) noexcept nogil:
    """Divides a block among the vectors of a solve and returns its end; from NULL, its length in doubles."""
    cdef int64_t n = ode.n, p = ode.p, q = p + 1, rows = ode.n_outputs if ode.n_outputs > n else n
    cdef int64_t pairs = p * (p + 1) // 2 if ode.order > 1 else 0, columns = p if ode.order > 0 else 0
    cdef int64_t size = (n * (1 + columns + pairs) + 3) // 4 * 4, width = 1 + n + p, q_pairs = q * (q + 1) // 2
    cdef int64_t first = largest_map(ode), moments = 1 + ode.n_events + ode.n_switches
    cdef double *m = memory
    w.s.p = columns
    w.s.pairs = pairs
    w.s.flow.size = size
    w.s.flow.primary = n
    w.s.point = take(&m, width + ode.n_regimes + 2 * width + 1 + 3 * n + n * p)
    w.s.values = take(&m, first)
    w.s.base = take(&m, first)
    w.s.base_point = take(&m, 1 + n)
    w.s.change = take(&m, first)
    w.s.matrix = take(&m, n * (iop_matrix_width(&ode.shape) if iop_matrix_width(&ode.shape) > n else n))
    w.s.row = take(&m, rows)
    w.s.sums = take(&m, 1 + columns + pairs)
    w.s.scale = take(&m, 1 + columns + pairs)
    w.s.pivot = <int32_t *> take(&m, n)
    w.s.scales = take(&m, 2 * n)
    w.stepper.z = take(&m, size)
    w.stepper.z_new = take(&m, size)
    w.stepper.work = take(&m, size)
    w.stepper.interpolated = take(&m, size)
    w.stepper.stages = take(&m, 16 * size)
    w.stepper.dense = take(&m, 7 * size)
    w.stepper.power = take(&m, 2 * n)
    w.moments = take(&m, moments * (1 + p + p * (p + 1) // 2))
    w.queue = <int64_t *> take(&m, 2 * moments)
    w.zero = take(&m, q + q_pairs)
    w.values = take(&m, first + 2 * ode.n_switches)
    w.rate = take(&m, size)
    w.changed = take(&m, size + 1 + p)
    w.first = take(&m, n * q)
    w.second = take(&m, n * q_pairs if pairs else 0)
    w.result = take(&m, rows)
    w.result_first = take(&m, rows * q)
    w.result_second = take(&m, rows * q_pairs if pairs else 0)
    w.order = <int64_t *> take(&m, 2 * n_times)
    return m


cdef void begin(iop_ode_work *w, const iop_ode *ode, int64_t n_times) noexcept nogil:
    """Fills in what all batch elements share."""
    cdef int64_t q = ode.p + 1
    w.s.ode = ode
    w.s.flow.counts = &w.counts
    w.stepper.flow = &w.s.flow
    w.stepper.method = ode.method
    w.stepper.max_steps = ode.max_steps
    # The pair of order 8 needs fewer evaluations except where next to no accuracy is asked for.
    w.stepper.pair = &iop_tsit5 if ode.method == TSIT5 or (ode.method == AUTO and ode.rtol > 1e-4) else &iop_dop853
    w.stepper.record = NULL
    w.trajectory = NULL
    w.n_times = n_times
    # The end of a vector that belongs to no state stays zero throughout.
    memset(w.stepper.z, 0, (20 + 7) * w.s.flow.size * sizeof(double))
    memset(w.zero, 0, (q + q * (q + 1) // 2) * sizeof(double))
    w.zero[ode.p] = 1
    iop_ode_bind(w)


cdef int64_t run(const iop_operation *operation, int64_t n_batch, const double *const *inputs,
                 const int64_t *input_strides, double *const *outputs, int32_t *status,
                 int64_t *const *stats) noexcept nogil:
    cdef const iop_ode *ode = <const iop_ode *> operation.data
    cdef int32_t last = operation.n_inputs - 1
    cdef int64_t n_times = operation.input_sizes[last], i, j, k, at, failed = 0
    cdef iop_ode_work w
    cdef int64_t size = (<char *> lay_out(&w, ode, n_times, NULL) - <char *> NULL) // sizeof(double)
    cdef double *memory = <double *> malloc((size + 1) * sizeof(double))
    cdef int code = IOP_CONVERGED
    if memory == NULL:
        return -1
    lay_out(&w, ode, n_times, memory)
    begin(&w, ode, n_times)
    for i in range(n_batch):
        at = 1 + ode.n
        for k in range(last):
            for j in range(operation.input_sizes[k]):
                w.s.point[at] = inputs[k][i * input_strides[k] + j]
                at += 1
        w.times = inputs[last] + i * input_strides[last]
        w.value = outputs[0] + i * operation.output_sizes[0] if outputs[0] != NULL else NULL
        w.jacobian = outputs[1] + i * operation.output_sizes[1] if outputs[1] != NULL else NULL
        w.hessian = outputs[2] + i * operation.output_sizes[2] if outputs[2] != NULL else NULL
        code = iop_ode_solve_times(&w)
        if code < 0:
            break
        if code != IOP_CONVERGED:
            failed += 1
            for k in range(6):
                if outputs[k] != NULL:
                    for j in range(operation.output_sizes[k]):
                        outputs[k][i * operation.output_sizes[k] + j] = NAN
        if status != NULL:
            status[i] = code
        if stats != NULL:
            stats[0][i] = w.counts.steps
            stats[1][i] = w.counts.rejected
            stats[2][i] = w.counts.evaluations
            stats[3][i] = w.counts.factorisations
            stats[4][i] = w.counts.stiff_steps
            stats[5][i] = w.counts.switches
    free(memory)
    return -1 if code < 0 else failed


cdef double *lay_out_adjoint(iop_adjoint *a, iop_trajectory *trajectory, const iop_ode *ode, int64_t n_times,
                             double *memory) noexcept nogil:
    """Divides a block among the vectors of the way back and returns its end; from NULL, its length in doubles."""
    cdef int64_t n = ode.n, p = ode.p, size = n + p, k, first = largest_map(ode)
    cdef int64_t moments = 1 + ode.n_events + ode.n_switches, states = (n + 3) // 4 * 4
    cdef double *m = memory
    a.y = take(&m, states)
    a.base = take(&m, first)
    a.base_slope = take(&m, size)
    a.atol = take(&m, 2 * n)
    a.extent = take(&m, size)
    a.values = take(&m, first)
    a.contracted = take(&m, size)
    a.gradient = take(&m, p)
    a.stepper.z = take(&m, size)
    a.stepper.z_new = take(&m, size)
    a.stepper.work = take(&m, size)
    a.stepper.interpolated = take(&m, size)
    a.stepper.stages = take(&m, 16 * size)
    a.stepper.dense = take(&m, 7 * size)
    a.stepper.power = take(&m, 2 * n)
    trajectory.outputs = take(&m, n * n_times)
    trajectory.row = 3 + 8 * states
    trajectory.passages = <iop_passage *> take(&m, moments * sizeof(iop_passage) // sizeof(double))
    for k in range(moments):
        if memory != NULL:
            trajectory.passages[k].before = m
            trajectory.passages[k].after = m + n
        take(&m, 2 * n)
    return m


cdef int64_t run_adjoint(const iop_operation *operation, int64_t n_batch, const double *const *inputs,
                         const int64_t *input_strides, double *const *outputs, int32_t *status,
                         int64_t *const *stats) noexcept nogil:
    """Inputs are the parameters, the times and the weights of the outputs; outputs the gradients by the first two."""
    cdef const iop_ode *ode = <const iop_ode *> operation.data
    cdef int32_t last = operation.n_inputs - 2
    cdef int64_t n_times = operation.input_sizes[last], i, j, k, at, failed = 0
    cdef iop_ode_work w
    cdef iop_adjoint a
    cdef iop_trajectory trajectory
    cdef int64_t size = (<char *> lay_out(&w, ode, n_times, NULL) - <char *> NULL) // sizeof(double)
    cdef int64_t more = (<char *> lay_out_adjoint(&a, &trajectory, ode, n_times, NULL) - <char *> NULL) // sizeof(double)
    cdef double *memory = <double *> malloc((size + more + n_times + 1) * sizeof(double))
    cdef int code = IOP_CONVERGED
    if memory == NULL:
        return -1
    trajectory.steps = NULL
    trajectory.n_steps = trajectory.capacity = 0
    a.forward = &w
    lay_out(&w, ode, n_times, memory)
    a.times_gradient = lay_out_adjoint(&a, &trajectory, ode, n_times, memory + size)
    begin(&w, ode, n_times)
    w.trajectory = &trajectory
    w.value = w.jacobian = w.hessian = NULL
    iop_adjoint_bind(&a)
    for i in range(n_batch):
        at = 1 + ode.n
        for k in range(last):
            for j in range(operation.input_sizes[k]):
                w.s.point[at] = inputs[k][i * input_strides[k] + j]
                at += 1
        w.times = inputs[last] + i * input_strides[last]
        a.weights = inputs[last + 1] + i * input_strides[last + 1]
        code = iop_adjoint_solve_times(&a)
        if code < 0:
            break
        failed += code != IOP_CONVERGED
        at = 0
        for k in range(last + 1):
            for j in range(operation.output_sizes[k]):
                if outputs[k] != NULL:
                    outputs[k][i * operation.output_sizes[k] + j] = (
                        NAN if code != IOP_CONVERGED else a.gradient[at] if k < last else a.times_gradient[j])
                at += 1
        if status != NULL:
            status[i] = code
    free(trajectory.steps)
    free(memory)
    return -1 if code < 0 else failed


# -- Python face ------------------------------------------------------------------------------------------

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
        self.data.value = as_callback(value)
        self.data.first = as_callback(first)
        self.data.second = as_callback(second)
        self.data.n_rows = n_rows
        self.data.n_entries = entries.shape[1]
        self.data.n_parameter_entries = parameter_entries.shape[1]
        self.data.rows = <const int32_t *> <uintptr_t> entries[0].ctypes.data
        self.data.columns = <const int32_t *> <uintptr_t> entries[1].ctypes.data
        self.data.parameter_rows = <const int32_t *> <uintptr_t> parameter_entries[0].ctypes.data
        self.data.parameter_columns = <const int32_t *> <uintptr_t> parameter_entries[1].ctypes.data


cdef class InitialValueProblem:
    """An ODE solver bound to its callbacks: what an Operation needs to run it.

    Parameters
    ----------
    rhs : Map
    changes : sequence of Map, the start and then each event
    outputs : Map or None
    directional, variational, third, moments, regimes : compiled bundles or None, see ode.h
    bandwidths : (lower, upper) for banded storage, or None for dense
    n_params, n_switches : int
    atol : float64 array (n,)
    rtol : float
    max_steps, method, order : int
    adjoint : bool, solve for the gradient of a weighted sum of the outputs instead of the outputs
    """

    cdef iop_ode data
    cdef iop_map *changes
    cdef tuple keep
    cdef bint adjoint
    #: Counters of one solve; stiff_steps are those by Rodas5P, switches the changes of method under "auto".
    stat_names = ("steps", "rejected", "evaluations", "factorisations", "stiff_steps", "switches")

    def __cinit__(self):
        self.changes = NULL

    def __init__(self, *, Map rhs, changes, outputs, directional, variational, third, moments, regimes, bandwidths,
                 int64_t n_params, int64_t n_switches, atol, double rtol, int64_t max_steps, int64_t method,
                 int64_t order, bint adjoint=False):
        cdef int64_t n = len(atol), k
        cdef Map change
        atol = np.ascontiguousarray(atol, dtype=np.float64)
        self.keep = (rhs, tuple(changes), outputs, directional, variational, third, moments, regimes, atol)
        self.changes = <iop_map *> malloc(len(changes) * sizeof(iop_map))
        if self.changes == NULL:
            raise MemoryError
        for k, change in enumerate(changes):
            self.changes[k] = change.data
        self.data.rhs = rhs.data
        self.data.changes = self.changes
        self.data.outputs = NULL if outputs is None else &(<Map> outputs).data
        self.data.directional = as_callback(directional)
        self.data.variational = as_callback(variational)
        self.data.third = as_callback(third)
        self.data.moments = as_callback(moments)
        self.data.regimes = as_callback(regimes)
        self.data.shape.n = n
        self.data.shape.banded = bandwidths is not None
        self.data.shape.lower, self.data.shape.upper = bandwidths if bandwidths is not None else (n - 1, n - 1)
        self.adjoint = adjoint
        self.data.n = n
        self.data.p = n_params
        self.data.n_regimes = n_switches
        self.data.n_switches = n_switches
        self.data.n_events = len(changes) - 1
        self.data.n_outputs = n if outputs is None else (<Map> outputs).data.n_rows
        self.data.order = order
        self.data.max_steps = max_steps
        self.data.method = method
        self.data.rtol = rtol
        self.data.atol = <const double *> <uintptr_t> atol.ctypes.data

    def __dealloc__(self):
        free(self.changes)

    @property
    def run_address(self):
        return <uintptr_t> &run_adjoint if self.adjoint else <uintptr_t> &run

    @property
    def data_address(self):
        return <uintptr_t> &self.data


cdef iop_callback as_callback(bundle):
    cdef iop_callback callback
    callback.scalar = NULL
    callback.ctx = NULL
    if bundle is not None:
        callback.scalar = <iop_scalar_function> <uintptr_t> bundle.scalar_address
    return callback
