# The memory of one solve by ode.pyx, forwards and back, and what all batch elements share.

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
    w.surfaces.noise = take(&m, ode.n_surfaces)
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
