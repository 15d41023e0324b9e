"""Initial value problems, one batch element after the other: the driver. What it drives is in ode_solve.h."""

from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

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
    cdef int64_t first = largest_map(ode), moments = 1 + ode.n_events + ode.n_switches + 2 * ode.n_periodic
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
    w.crossing = take(&m, p + p * (p + 1) // 2)
    w.stops = take(&m, moments + ode.n_breakpoints)
    w.queue = <int64_t *> take(&m, 2 * (moments + ode.n_breakpoints))
    w.s.surface_values = take(&m, ode.n_surfaces)
    w.surfaces.next = take(&m, ode.n_surfaces)
    w.surfaces.samples = take(&m, (IOP_STRETCHES + 1) * ode.n_surfaces)
    w.zero = take(&m, q + q_pairs)
    w.values = take(&m, first + 2 * (ode.n_switches + ode.n_periodic))
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
    w.stepper.max_step = ode.max_step
    # The pair of order 8 needs fewer evaluations except where next to no accuracy is asked for.
    w.stepper.pair = &iop_tsit5 if ode.method == TSIT5 or (ode.method == AUTO and ode.rtol > 1e-4) else &iop_dop853
    w.stepper.record = NULL
    w.stepper.plan = NULL
    w.trajectory = NULL
    w.n_times = n_times
    # The end of a vector that belongs to no state stays zero throughout.
    memset(w.stepper.z, 0, (20 + 7) * w.s.flow.size * sizeof(double))
    memset(w.zero, 0, (q + q * (q + 1) // 2) * sizeof(double))
    w.zero[ode.p] = 1
    iop_ode_bind(w)


cdef void set_targets(iop_ode_work *w, int64_t i, double *const *outputs, const int64_t *sizes) noexcept nogil:
    """Where the answers for batch element i go."""
    w.value = outputs[0] + i * sizes[0] if outputs[0] != NULL else NULL
    w.jacobian = outputs[1] + i * sizes[1] if outputs[1] != NULL else NULL
    w.hessian = outputs[2] + i * sizes[2] if outputs[2] != NULL else NULL


cdef int estimate(iop_ode_work *w, double *halved, int64_t i, double *const *outputs, const int64_t *sizes) noexcept nogil:
    """Repeats a solve with halved steps and writes estimates of its errors. Returns IOP_NO_MEMORY or another code."""
    cdef double *targets[3]
    cdef iop_ode_counts counts = w.counts
    cdef int code
    cdef int64_t k, j, rows = w.s.ode.n_outputs
    for k in range(3):
        targets[k] = halved if outputs[k] != NULL else NULL
        halved += sizes[k]
    w.stepper.plan.is_repeated = 1
    w.stepper.plan.position = 0
    set_targets(w, 0, targets, sizes)
    code = iop_ode_solve_times(w)
    w.counts = counts
    w.stepper.plan.is_repeated = 0
    for k in range(3):
        if outputs[3 + k] == NULL or targets[k] == NULL:
            continue
        if code == IOP_CONVERGED:
            iop_estimate_errors(k, w.s.ode.p + 1, rows, w.n_times, counts.steps, w.order, outputs[k] + i * sizes[k], targets[k], halved,
                                outputs[3 + k] + i * sizes[k])
        else:
            for j in range(sizes[k]):
                outputs[3 + k][i * sizes[k] + j] = NAN
    return code


cdef int lower_order(const iop_ode_work *w, int64_t order) noexcept nogil:
    """Integrates with derivatives of this order what could not be integrated with higher ones. Returns the code of that."""
    cdef iop_ode plain = w.s.ode[0]
    cdef iop_ode_work v
    cdef double *memory
    cdef int code
    plain.order = order
    memory = <double *> malloc((<char *> lay_out(&v, &plain, w.n_times, NULL) - <char *> NULL) + sizeof(double))
    if memory == NULL:
        return -1
    lay_out(&v, &plain, w.n_times, memory)
    begin(&v, &plain, w.n_times)
    memcpy(v.s.point + 1 + plain.n, w.s.point + 1 + plain.n, plain.p * sizeof(double))
    v.times = w.times
    v.value = w.value
    v.jacobian = w.jacobian if order > 0 else NULL
    v.hessian = NULL
    code = iop_ode_solve_times(&v)
    free(memory)
    return code


cdef void set_nan(int32_t first, int64_t i, double *const *outputs, const int64_t *sizes) noexcept nogil:
    """All outputs of batch element i from one on."""
    cdef int64_t j
    cdef int32_t k
    for k in range(first, 6):
        for j in range(sizes[k] if outputs[k] != NULL else 0):
            outputs[k][i * sizes[k] + j] = NAN


cdef int64_t run(const iop_operation *operation, int64_t n_batch, const double *const *inputs,
                 const int64_t *input_strides, double *const *outputs, int32_t *status,
                 int64_t *const *stats) noexcept nogil:
    cdef const iop_ode *ode = <const iop_ode *> operation.data
    cdef int32_t last = operation.n_inputs - 1
    cdef int64_t n_times = operation.input_sizes[last], i, j, k, at, failed = 0
    cdef iop_ode_work w
    cdef iop_plan plan
    cdef const int64_t *sizes = operation.output_sizes
    cdef bint is_estimated = outputs[3] != NULL or outputs[4] != NULL or outputs[5] != NULL
    cdef int64_t size = (<char *> lay_out(&w, ode, n_times, NULL) - <char *> NULL) // sizeof(double)
    cdef int64_t q = ode.p + 1, more = sizes[0] + sizes[1] + sizes[2] + (ode.n_outputs + 1) * q * q if is_estimated else 0
    cdef double *memory = <double *> malloc((size + more + 1) * sizeof(double))
    cdef int code = IOP_CONVERGED, again
    if memory == NULL:
        return -1
    lay_out(&w, ode, n_times, memory)
    begin(&w, ode, n_times)
    plan.rows = NULL
    plan.width = 3 + ode.n_surfaces
    plan.count = plan.capacity = plan.is_repeated = plan.position = 0
    if is_estimated:
        w.stepper.plan = &plan
    for i in range(n_batch):
        at = 1 + ode.n
        for k in range(last):
            for j in range(operation.input_sizes[k]):
                w.s.point[at] = inputs[k][i * input_strides[k] + j]
                at += 1
        w.times = inputs[last] + i * input_strides[last]
        set_targets(&w, i, outputs, sizes)
        plan.count = 0
        code = iop_ode_solve_times(&w)
        if code == IOP_CONVERGED and is_estimated:
            again = estimate(&w, memory + size, i, outputs, sizes)
            code = again if again < 0 else code
        elif ode.order > 0 and (code == IOP_UNDEFINED or code == IOP_BLOW_UP or code == IOP_STEP_TOO_SMALL):
            # A sensitivity may be what grows beyond all numbers.
            set_nan(1, i, outputs, sizes)
            again = lower_order(&w, 1) if ode.order > 1 else code
            if again > IOP_CONVERGED:
                again = lower_order(&w, 0)
            code = again if again <= IOP_CONVERGED else code
        if code < 0:
            break
        if code != IOP_CONVERGED:
            failed += 1
            set_nan(0, i, outputs, sizes)
        if status != NULL:
            status[i] = code
        if stats != NULL:
            stats[0][i] = w.counts.steps
            stats[1][i] = w.counts.rejected
            stats[2][i] = w.counts.evaluations
            stats[3][i] = w.counts.factorisations
            stats[4][i] = w.counts.stiff_steps
            stats[5][i] = w.counts.switches
            memcpy(&stats[6][i], &w.stepper.t, sizeof(double))
            stats[7][i] = w.failed_in
    free(plan.rows)
    free(memory)
    return -1 if code < 0 else failed


cdef double *lay_out_adjoint(iop_adjoint *a, iop_trajectory *trajectory, const iop_ode *ode, int64_t n_times,
                             double *memory) noexcept nogil:
    """Divides a block among the vectors of the way back and returns its end; from NULL, its length in doubles."""
    cdef int64_t n = ode.n, p = ode.p, size = n + p, first = largest_map(ode), states = (n + 3) // 4 * 4
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
    trajectory.steps = trajectory.kept = NULL
    trajectory.passages = NULL
    trajectory.n_steps = trajectory.capacity = trajectory.n_passages = trajectory.passage_capacity = 0
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
    free(trajectory.passages)
    free(trajectory.kept)
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
    directional, variational, third, moments, breakpoints, regimes, surfaces : compiled bundles or None, see ode.h
    bandwidths : (lower, upper) for banded storage, or None for dense
    n_params, n_switches, n_periodic, n_surfaces, n_guards, n_breakpoints : int
    atol : float64 array (n,)
    rtol, max_step : float
    max_steps, method, order : int
    adjoint : bool, solve for the gradient of a weighted sum of the outputs instead of the outputs
    """

    cdef iop_ode data
    cdef iop_map *changes
    cdef tuple keep
    cdef bint adjoint
    #: Counters of one solve; stiff_steps are those by Rodas5P, switches the changes of method under "auto". The last two
    #: say where it ended if it failed: the bits of the time, and the index of a state or guard, or -1.
    stat_names = ("steps", "rejected", "evaluations", "factorisations", "stiff_steps", "switches", "failed_at", "failed_in")

    def __cinit__(self):
        self.changes = NULL

    def __init__(self, *, Map rhs, changes, outputs, directional, variational, third, moments, breakpoints, regimes,
                 surfaces, bandwidths, int64_t n_params, int64_t n_switches, int64_t n_periodic, int64_t n_surfaces,
                 int64_t n_guards, int64_t n_breakpoints, atol, double rtol, double max_step, int64_t max_steps, int64_t method,
                 int64_t order, bint adjoint=False):
        cdef int64_t n = len(atol), k
        cdef Map change
        atol = np.ascontiguousarray(atol, dtype=np.float64)
        self.keep = (
            rhs, tuple(changes), outputs, directional, variational, third, moments, breakpoints, regimes, surfaces, atol
        )
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
        self.data.breakpoints = as_callback(breakpoints)
        self.data.regimes = as_callback(regimes)
        self.data.surfaces = as_callback(surfaces)
        self.data.shape.n = n
        self.data.shape.banded = bandwidths is not None
        self.data.shape.lower, self.data.shape.upper = bandwidths if bandwidths is not None else (n - 1, n - 1)
        self.adjoint = adjoint
        self.data.n = n
        self.data.p = n_params
        self.data.n_regimes = n_switches + n_periodic + n_surfaces
        self.data.n_switches = n_switches
        self.data.n_periodic = n_periodic
        self.data.n_surfaces = n_surfaces
        self.data.n_guards = n_guards
        self.data.n_breakpoints = n_breakpoints
        self.data.n_events = len(changes) - 1
        self.data.n_outputs = n if outputs is None else (<Map> outputs).data.n_rows
        self.data.order = order
        self.data.max_steps = max_steps
        self.data.method = method
        self.data.rtol = rtol
        self.data.max_step = max_step
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
