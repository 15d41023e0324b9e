"""Definite integrals: gather the parameters of a batch element, integrate, scatter value and derivatives. See integral.h."""

from libc.float cimport DBL_EPSILON
from libc.math cimport NAN, fabs, isfinite
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

import numpy as np


include "interface.pxi"

cdef extern from "integral.h" nogil:
    enum:
        IOP_NODE_ROW
    ctypedef struct iop_integral:
        const iop_callback *forms
        iop_callback moments
        iop_callback vanishing
        iop_callback watched
        const iop_integral *const *inside
        int64_t n_forms
        const int64_t *switch_points
        int64_t n, n_parameters, n_derivatives, n_constants
        int64_t n_points, n_stated, n_switches, n_centers
        int64_t lower, upper
        int64_t order, max_steps, method
        int64_t oscillates
        double rtol
        const double *atol
    ctypedef struct iop_stretch:
        double *length
        double *pace
        double *regimes
        double *vanishes
    ctypedef struct iop_cell:
        pass
    ctypedef struct iop_integral_work:
        const iop_integral *integral
        int64_t first
        int64_t second
        int64_t size
        int64_t rows
        double *parameters
        double *moments
        iop_stretch *stretches
        int64_t n_stretches
        int64_t *chain
        int64_t *place
        double *block "in"
        double *out
        double *node
        double *distance
        double *away
        double *factor
        double *total
        double *error
        double *magnitude
        double *tolerance
        double *residue
        double *noise
        double *parts
        double *scratch
        double *tail
        double *chained
        double *largest
        iop_cell *cells
        double *cell_data
        iop_cell **ordered
        int64_t n_cells
        int64_t capacity
        int64_t evaluations
        int64_t subintervals
        double failed_at
        int64_t double_exponential
        int64_t extrapolated
        int out_of_memory
        iop_integral_work *inside
    int64_t iop_pair(int64_t w, int64_t a, int64_t b)

cdef extern from "integral_solve.h" nogil:
    int iop_integrate(iop_integral_work *, int outermost)

cdef double *take(double **memory, int64_t count) noexcept nogil:
    """Next `count` doubles of a block; with a block that begins at NULL, only counts them."""
    cdef double *taken = memory[0]
    memory[0] += count
    return taken


cdef int64_t doubles_of(int64_t n_bytes) noexcept nogil:
    return (n_bytes + sizeof(double) - 1) // sizeof(double)


cdef double *lay_out(iop_integral_work *w, const iop_integral *q, double *memory, bint counting) noexcept nogil:
    """Divides a block among the vectors of a level and of those inside, and returns its end; with `counting` into
    the first level of them all, only to know where that is."""
    cdef int64_t d = q.n_derivatives if q.order >= 1 else 0, pairs = d * (d + 1) // 2 if q.order >= 2 else 0
    cdef int64_t lengths = 1 + d + pairs, size = q.n * lengths, regimes = q.n_switches + q.n_constants, j
    cdef double *m = memory
    cdef iop_integral_work unused
    w.integral = q
    w.first = d
    w.second = pairs
    w.size = w.rows = size
    w.parameters = take(&m, q.n_parameters + q.n_constants)
    w.moments = take(&m, (q.n_points + 1) * lengths + 2 * q.n_switches + q.n_centers)
    w.stretches = <iop_stretch *> take(&m, doubles_of((q.n_points + 1) * sizeof(iop_stretch)))
    for j in range(q.n_points + 1):
        if not counting:
            w.stretches[j].length = m
            w.stretches[j].pace = m + lengths
            w.stretches[j].regimes = m + 2 * lengths
            w.stretches[j].vanishes = m + 2 * lengths + regimes
        take(&m, 2 * lengths + regimes + q.n)
    w.chain = <int64_t *> take(&m, q.n_points + 2)
    w.place = <int64_t *> take(&m, q.n_points + 1)
    w.block = take(&m, (1 + lengths + q.n_parameters + regimes) * IOP_NODE_ROW)
    w.out = take(&m, (size + q.watched.n_outputs) * IOP_NODE_ROW)
    w.node = take(&m, IOP_NODE_ROW)
    w.distance = take(&m, IOP_NODE_ROW)
    w.away = take(&m, IOP_NODE_ROW)
    w.factor = take(&m, IOP_NODE_ROW)
    w.total = take(&m, size)
    w.error = take(&m, size)
    w.magnitude = take(&m, size)
    w.tolerance = take(&m, size)
    w.residue = take(&m, size)
    w.noise = take(&m, size)
    w.parts = take(&m, size)
    w.scratch = take(&m, 2 * size + 1 + q.n_parameters + regimes)
    w.tail = take(&m, size)
    w.chained = take(&m, size + lengths)
    w.largest = take(&m, q.n)
    w.cells = NULL
    w.cell_data = NULL
    w.ordered = NULL
    w.n_cells = w.capacity = w.out_of_memory = 0
    w.inside = NULL
    if q.inside != NULL:
        w.inside = <iop_integral_work *> take(&m, doubles_of(q.n_forms * sizeof(iop_integral_work)))
        for j in range(q.n_forms):
            if q.inside[j] != NULL:
                m = lay_out(&unused if counting else &w.inside[j], q.inside[j], m, counting)
    return m


cdef void begin(iop_integral_work *w) noexcept nogil:
    """Sets the counters of a level and of those inside to 0."""
    cdef int64_t j
    w.evaluations = w.subintervals = w.double_exponential = w.extrapolated = 0
    w.failed_at = NAN
    if w.inside != NULL:
        for j in range(w.integral.n_forms):
            if w.integral.inside[j] != NULL:
                begin(&w.inside[j])


cdef int64_t evaluations_of(const iop_integral_work *w) noexcept nogil:
    """Nodes of the innermost level."""
    cdef int64_t j, total = 0
    if w.inside == NULL:
        return w.evaluations
    for j in range(w.integral.n_forms):
        if w.integral.inside[j] != NULL:
            total += evaluations_of(&w.inside[j])
    return total


cdef void release(iop_integral_work *w) noexcept nogil:
    """Frees the cells of a level and of those inside."""
    cdef int64_t j
    free(w.cells)
    free(w.cell_data)
    free(w.ordered)
    if w.inside != NULL:
        for j in range(w.integral.n_forms):
            if w.integral.inside[j] != NULL:
                release(&w.inside[j])


cdef void take_components(iop_integral_work *w, int order) noexcept nogil:
    """What a level and those inside are to find: values, and derivatives up to an order."""
    cdef int64_t j
    w.size = w.integral.n * (1 + (w.first if order >= 1 else 0) + (w.second if order >= 2 else 0))
    if w.inside != NULL:
        for j in range(w.integral.n_forms):
            if w.integral.inside[j] != NULL:
                take_components(&w.inside[j], order)


cdef int integrate(iop_integral_work *w) noexcept nogil:
    """Value and derivatives; NaN for those of an order whose integrals diverge or are undefined where the value is not."""
    cdef int order = w.integral.order, code = iop_integrate(w, 1), whole = code
    cdef int64_t c
    if code == IOP_CONVERGED:
        add_rounding_of_parameters(w)
    while order > 0 and code in (IOP_UNDEFINED, IOP_DIVERGENT, IOP_SLOW_TAIL):
        order -= 1
        take_components(w, order)
        code = iop_integrate(w, 1)
        if code == IOP_CONVERGED:
            for c in range(w.size, w.rows):
                w.total[c] = w.error[c] = w.noise[c] = NAN
    take_components(w, w.integral.order)
    return code if code < 0 or code == IOP_CONVERGED else whole


cdef double error_of(const iop_integral_work *w, int64_t c) noexcept nogil:
    """Estimated error of a component: of the rules, of the nodes, and of its last digit."""
    return w.error[c] + w.noise[c] + DBL_EPSILON * fabs(w.total[c])


cdef void add_rounding_of_parameters(iop_integral_work *w) noexcept nogil:
    """Adds to w.noise what rounding of the parameters amounts to, as a stand-in for that inside the integrand: for I the
    sum of half an epsilon of p_a dI/dp_a, and so for each derivative from the next ones. For the highest order, whose
    next ones are not known, it is twenty times as large in relation as that of the order below."""
    cdef int64_t n = w.integral.n, d = w.first, i, a, b, c
    cdef double value, share, largest
    for i in range(n if d > 0 else 0):
        value = 0
        for a in range(d):
            value += fabs(w.parameters[a] * w.total[n + i * d + a])
        largest = value / w.magnitude[i] if w.magnitude[i] > 0 else 0
        w.noise[i] += 0.5 * DBL_EPSILON * value
        for a in range(d):
            c = n + i * d + a
            share = 20 * largest * fabs(w.total[c])
            if w.second > 0:
                share = 0
                for b in range(d):
                    share += fabs(w.parameters[b] * w.total[n * (1 + d) + i * w.second + iop_pair(d, a, b)])
                value = share / w.magnitude[c] if w.magnitude[c] > 0 else 0
                largest = value if value > largest else largest
            w.noise[c] += 0.5 * DBL_EPSILON * share
        for b in range(w.second):
            c = n * (1 + d) + i * w.second + b
            w.noise[c] += 10 * DBL_EPSILON * largest * fabs(w.total[c])


cdef bint is_inaccurate(const iop_integral_work *w) noexcept nogil:
    """Whether a derivative has an error above a thousandth of it, and above a millionth of what cancels in it: one that
    vanishes by symmetry is as accurate as its parts."""
    cdef int64_t c
    for c in range(w.integral.n, w.rows):
        if error_of(w, c) > 1e-3 * fabs(w.total[c]) and error_of(w, c) > 1e-6 * (w.magnitude[c] + w.parts[c]):
            return True
    return False


cdef void scatter(const iop_integral_work *w, int64_t i, const int64_t *sizes, double *const *outputs, int code) noexcept nogil:
    """Writes the outputs of batch element i: value, Jacobian, Hessian and the estimated errors of all three."""
    cdef int64_t k, j, a, b, n = w.integral.n, d = w.first
    cdef double *target
    cdef double *errors
    cdef int64_t c
    if code != IOP_CONVERGED:
        for k in range(6):
            if outputs[k] != NULL:
                for j in range(sizes[k]):
                    outputs[k][i * sizes[k] + j] = NAN
        return
    if outputs[0] != NULL:
        for j in range(n):
            outputs[0][i * n + j] = w.total[j]
    if outputs[1] != NULL:
        for j in range(sizes[1]):
            outputs[1][i * sizes[1] + j] = w.total[n + j]
    for j in range(n if w.second > 0 else 0):
        for a in range(d):
            target = outputs[2] + i * sizes[2] + (j * d + a) * d if outputs[2] != NULL else NULL
            errors = outputs[5] + i * sizes[5] + (j * d + a) * d if outputs[5] != NULL and sizes[5] > 0 else NULL
            for b in range(d):
                c = n * (1 + d) + j * w.second + iop_pair(d, a, b)
                if target != NULL:
                    target[b] = w.total[c]
                if errors != NULL:
                    errors[b] = error_of(w, c)
    if outputs[3] != NULL:
        for j in range(sizes[3]):
            outputs[3][i * n + j] = error_of(w, j)
    if outputs[4] != NULL:
        for j in range(sizes[4]):
            outputs[4][i * sizes[4] + j] = error_of(w, n + j)


cdef int gather(iop_integral_work *w, const iop_operation *operation, int64_t i, const double *const *inputs,
                const int64_t *strides) noexcept nogil:
    """Parameters of batch element i; 0 if all are finite."""
    cdef int64_t j, at = 0, bad = 0
    cdef int32_t k
    for k in range(operation.n_inputs):
        for j in range(operation.input_sizes[k]):
            w.parameters[at] = inputs[k][i * strides[k] + j]
            bad += not isfinite(w.parameters[at])
            at += 1
    return bad > 0


cdef int64_t run(const iop_operation *operation, int64_t n_batch, const double *const *inputs,
                 const int64_t *input_strides, double *const *outputs, int32_t *status,
                 int64_t *const *stats) noexcept nogil:
    cdef const iop_integral *q = <const iop_integral *> operation.data
    cdef iop_integral_work w
    cdef int64_t size = (<char *> lay_out(&w, q, NULL, True) - <char *> NULL) // sizeof(double), i, failed = 0
    cdef double *memory = <double *> malloc((size + 1) * sizeof(double))
    cdef int code = IOP_CONVERGED
    if memory == NULL:
        return -1
    memset(memory, 0, size * sizeof(double))
    lay_out(&w, q, memory, False)
    for i in range(n_batch):
        begin(&w)
        code = IOP_INVALID_INPUT if gather(&w, operation, i, inputs, input_strides) else integrate(&w)
        if code < 0:
            break
        scatter(&w, i, operation.output_sizes, outputs, code)
        if code == IOP_CONVERGED and is_inaccurate(&w):
            code = IOP_DERIVATIVE_INACCURATE
        failed += code != IOP_CONVERGED
        if status != NULL:
            status[i] = code
        if stats != NULL:
            stats[0][i] = evaluations_of(&w)
            stats[1][i] = w.subintervals
            stats[2][i] = w.double_exponential
            stats[3][i] = w.extrapolated
            memcpy(&stats[4][i], &w.failed_at, sizeof(double))
    release(&w)
    free(memory)
    return -1 if code < 0 else failed


# -- Python face ------------------------------------------------------------------------------------------

cdef class IntegralKernel(Kernel):
    """A definite integral bound to its callbacks: what an Operation needs to run it.

    Parameters
    ----------
    forms : sequence of compiled bundles or None, see symbolic/integral.py
    moments : compiled bundle
    vanishing, watched : compiled bundle or None
    inside : sequence of Quadrature or None, for each form the integral that is integrated; empty for the innermost
    switch_points : int64 array, the point of each switch
    n, n_parameters, n_derivatives, n_constants, n_points, n_stated, n_centers : int
    limits : pair of int, points or -1 for minus infinity and -2 for infinity
    oscillates : bool
    order, max_steps, method : int
    rtol : float
    atol : float64 array (n,)
    """

    cdef iop_integral data
    cdef iop_callback *forms
    cdef const iop_integral **inside
    cdef tuple keep
    #: Counters of one solve: nodes, applications of a rule, parts with a double exponential substitution, oscillating
    #: tails that were extrapolated. The nodes are those of the innermost integral.
    #: The last says where it ended if it failed: the bits of the place.
    stat_names = ("evaluations", "subintervals", "double_exponential", "extrapolated", "failed_at")

    def __cinit__(self):
        self.forms = NULL
        self.inside = NULL

    def __init__(self, *, forms, moments, vanishing, watched, inside, switch_points, int64_t n, int64_t n_parameters,
                 int64_t n_derivatives, int64_t n_constants, int64_t n_points, int64_t n_stated, int64_t n_centers,
                 limits,
                 bint oscillates, int64_t order, int64_t max_steps, int64_t method, double rtol, atol):
        cdef int64_t k
        switch_points = np.ascontiguousarray(switch_points, dtype=np.int64)
        atol = np.ascontiguousarray(atol, dtype=np.float64)
        self.keep = (tuple(forms), moments, vanishing, watched, tuple(inside), switch_points, atol)
        self.forms = <iop_callback *> malloc((len(forms) + 1) * sizeof(iop_callback))
        self.inside = <const iop_integral **> malloc((len(inside) + 1) * sizeof(iop_integral *))
        if self.forms == NULL or self.inside == NULL:
            raise MemoryError
        for k, form in enumerate(forms):
            self.forms[k] = as_callback(form)
        for k, level in enumerate(inside):
            self.inside[k] = NULL if level is None else &(<IntegralKernel> level).data
        self.data.forms = self.forms
        self.data.moments = as_callback(moments)
        self.data.vanishing = as_callback(vanishing)
        self.data.watched = as_callback(watched)
        self.data.inside = self.inside if len(inside) else NULL
        self.data.n_forms = len(inside)
        self.data.switch_points = <const int64_t *> <uintptr_t> switch_points.ctypes.data
        self.data.n = n
        self.data.n_parameters = n_parameters
        self.data.n_derivatives = n_derivatives
        self.data.n_constants = n_constants
        self.data.n_points = n_points
        self.data.n_stated = n_stated
        self.data.n_centers = n_centers
        self.data.n_switches = len(switch_points)
        self.data.lower, self.data.upper = limits
        self.data.order = order
        self.data.max_steps = max_steps
        self.data.method = method
        self.data.oscillates = oscillates
        self.data.rtol = rtol
        self.data.atol = <const double *> <uintptr_t> atol.ctypes.data
        self.function = run
        self.address = &self.data

    def __dealloc__(self):
        free(self.forms)
        free(self.inside)
