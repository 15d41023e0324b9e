"""Scalar roots, many at a time: the driver of the lockstep iteration. Lane updates are in root_scalar.h.

A block passes through: start (bracket, guess or search) -> iteration -> finish (polishing Newton steps,
verification that the point is a root, derivatives of the root).
"""

from libc.float cimport DBL_MAX
from libc.math cimport INFINITY, NAN, exp2, fabs, floor, fmax, fmin, isfinite, isinf, isnan, ldexp
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy


include "interface.pxi"
include "lanes.pxi"

cdef extern from "root_scalar.h" nogil:
    enum:
        IOP_PENDING, IOP_START_BRACKET, IOP_START_GUESS, IOP_START_BOTH, IOP_F, IOP_FX, IOP_SCALE, IOP_FXX, IOP_N_FINISH
    ctypedef struct iop_root_scalar:
        iop_callback residual
        iop_callback start
        iop_callback finish
        iop_callback errors
        int64_t start_kind, n_params, n_derivatives, n_jacobian, max_steps
        double rtol, atol
    ctypedef struct iop_root_lanes:
        double *x
        double *negative
        double *positive
        double *step
        double *step_before
        double *previous
        double *iterations
        double *bisections
        int64_t *lane
        int64_t n_stuck
    double iop_rounding(double scale, double fx, double x)
    int64_t iop_root_step(iop_root_lanes *s, int64_t n, const double *f, const double *fx, const double *scale,
                          double rtol, double atol)
    void iop_root_reset(iop_root_lanes *s, int64_t n, int64_t n_params, int64_t stride, const double *theta,
                        double *ended, double *initial, int64_t *code)
    void iop_root_order_ends(int64_t n, const double *first, const double *second, double *lower, double *upper,
                             int64_t *code)
    int64_t iop_root_move_undefined_ends(int64_t n, const double *f, const double *lower, const double *upper,
                                         int64_t attempt, const int64_t *code, double *end)
    void iop_root_error(int64_t n, const double *f, const double *fx, const double *scale, const double *x,
                        double *error)
    void iop_root_noise(int64_t n, const double *f, const double *fx, const double *scale, const double *noise,
                        const double *x, double *error, double *step)
    void iop_root_move(int64_t n, const double *x, const double *step, double *moved)
    int64_t iop_root_turn_back(int64_t n, int64_t rows, int64_t stride, const double *moved, double *step)
    void iop_root_add_change(int64_t n, const double *here, const double *moved, const double *error,
                             const double *step, double *total)
    void iop_root_report(int64_t n, const int64_t *code, int32_t *status)
    int64_t iop_root_open_brackets(iop_root_lanes *s, int64_t n, const double *low, const double *f_low,
                                const double *fx_low, const double *high, const double *f_high,
                                const double *fx_high, double *initial, int64_t *code)
    int64_t iop_root_polish(int64_t n, const double *f, const double *fx, const double *scale, const double *lower,
                            const double *upper, const int64_t *code, double *polished, double *x)
    int64_t iop_root_verify(int64_t n, const double *f, const double *fx, const double *scale, const double *fxx,
                            const double *initial, const double *ended, double atol, double *x,
                            int64_t *code)
    int64_t iop_root_help_stuck(iop_root_lanes *s, int64_t n, const double *f, int64_t remaining)
    void iop_root_retire(const iop_root_lanes *s, int64_t count, double *x, double *negative, double *positive,
                         int64_t *iterations)
    int64_t iop_root_resume(iop_root_lanes *s, int64_t n, const double *negative, const double *positive,
                            const int64_t *iterations, int64_t *code)
    int64_t iop_root_compact(iop_root_lanes *s, int64_t n, int64_t rows, int64_t stride, const double *source,
                             double *target)


cdef enum:
    FEW = 1024  # doubles of a workspace that lies on the stack


cdef struct Workspace:
    iop_root_lanes *lanes
    double *block        # row 0: x, then the parameters, then trailing start values
    double *compacted    # the same rows of the lanes that still iterate
    double *out          # outputs of the last callback
    double *lower        # domain, and what the start callback said
    double *upper
    double *guess
    double *final        # x where the iteration of each lane ended
    double *initial      # |F| at the start, in block order
    double *ended        # 1 if the iteration ended by itself, 0 at the step limit
    double *negative     # ends of the bracket where the iteration of each lane ended
    double *positive
    double *polished     # |F| at the last Newton step but one of the finish
    int64_t code[IOP_ROW]
    int64_t iterations[IOP_ROW]
    int64_t evaluations
    int64_t stride
    int64_t n_rows


cdef inline void evaluate(const iop_callback *callback, Workspace *w, int64_t n, const double *block) noexcept nogil:
    """Callback on a block whose first row is x."""
    callback.block(n, w.stride, block, w.out, callback.ctx)
    w.evaluations += 1


cdef inline void evaluate_at(const iop_callback *callback, Workspace *w, int64_t n, const double *x) noexcept nogil:
    """Callback at another x, on the block in its original order."""
    memcpy(w.block, x, n * sizeof(double))
    evaluate(callback, w, n, w.block)


cdef int64_t run(const iop_operation *operation, int64_t n, const double *const *inputs,
                 const int64_t *input_strides, double *const *outputs, int32_t *status,
                 int64_t *const *stats) noexcept nogil:
    cdef const iop_root_scalar *root = <const iop_root_scalar *> operation.data
    cdef Workspace w
    cdef iop_root_lanes state
    cdef double few[FEW]
    cdef int64_t k, first, count, filled, size, found, failed = 0, n_out, lanes
    w.n_rows = 1
    for k in range(operation.n_inputs):
        w.n_rows += operation.input_sizes[k]
    n_out = IOP_N_FINISH + root.n_derivatives
    lanes = iop_lanes_per_block(n, w.n_rows + n_out)
    w.stride = iop_row_stride(iop_filled_lanes(lanes))
    w.lanes = &state
    size = (2 * w.n_rows + n_out + 9) * w.stride
    cdef double *memory = few
    if size > FEW:
        memory = <double *> malloc(size * sizeof(double))
    if memory == NULL:
        return -1
    w.block = memory
    w.compacted = w.block + w.n_rows * w.stride
    w.out = w.compacted + w.n_rows * w.stride
    w.lower = w.out + n_out * w.stride
    w.upper = w.lower + w.stride
    w.guess = w.upper + w.stride
    w.final = w.guess + w.stride
    w.initial = w.final + w.stride
    w.ended = w.initial + w.stride
    w.polished = w.ended + w.stride
    w.negative = w.polished + w.stride
    w.positive = w.negative + w.stride
    first = 0
    while first < n:
        count = lanes if n - first > lanes else n - first
        iop_gather(operation, first, count, w.stride, inputs, input_strides, w.block + w.stride)
        iop_fill_lanes(count, w.n_rows - 1, w.stride, w.block + w.stride)
        filled = iop_filled_lanes(count)
        w.evaluations = 0
        start(root, &w, filled)
        iterate(root, &w, filled, root.rtol, root.atol)
        found = finish(root, &w, filled, count, first, outputs, status, stats)
        if found < 0:
            failed = -1
            break
        failed += found
        first += count
    if memory != few:
        free(memory)
    return failed


include "root_scalar_start.pxi"


# -- iteration --------------------------------------------------------------------------------------------

cdef void iterate(const iop_root_scalar *root, Workspace *w, int64_t n, double rtol, double atol) noexcept nogil:
    """Lockstep steps until every lane has ended; once it is worth the copying, lanes that have are dropped."""
    cdef int64_t k, i, remaining = 0, count = n
    cdef iop_root_lanes *s = w.lanes
    cdef double *block = w.block
    cdef double *f = w.out + IOP_F * w.stride
    cdef double *fx = w.out + IOP_FX * w.stride
    cdef double *scale = w.out + IOP_SCALE * w.stride
    for i in range(n):
        remaining += s.bisections[i] >= 0
    for k in range(root.max_steps):
        if remaining == 0:
            break
        if k >= 5 and 3 * remaining <= count and count > 8:
            iop_root_retire(s, count, w.final, w.negative, w.positive, w.iterations)
            count = iop_root_compact(s, count, w.n_rows, w.stride, block, w.compacted)
            block = w.compacted
        evaluate(&root.residual, w, count, s.x)
        remaining = iop_root_step(s, count, f, fx, scale, rtol, atol)
        if s.n_stuck > 0:
            remaining = iop_root_help_stuck(s, count, f, remaining)
    iop_root_retire(s, count, w.final, w.negative, w.positive, w.iterations)
    if remaining > 0:
        for i in range(count):
            if s.bisections[i] >= 0:
                w.ended[s.lane[i]] = 0


# -- finish -----------------------------------------------------------------------------------------------

cdef int64_t conclude(const iop_root_scalar *root, Workspace *w, int64_t n) noexcept nogil:
    """Polishes and verifies the pending lanes; returns how many of all have failed."""
    cdef int64_t i, r
    cdef double *f = w.out + IOP_F * w.stride
    cdef double *fx = w.out + IOP_FX * w.stride
    cdef double *scale = w.out + IOP_SCALE * w.stride
    for i in range(n):
        w.polished[i] = w.initial[i] if w.ended[i] != 0 else 0.0
    for r in range(9):
        evaluate_at(&root.finish, w, n, w.final)
        if r == 8 or iop_root_polish(n, f, fx, scale, w.lower, w.upper, w.code, w.polished, w.final) == 0:
            break
    return iop_root_verify(n, f, fx, scale, w.out + IOP_FXX * w.stride, w.initial, w.ended, root.atol, w.final,
                           w.code)


cdef int64_t finish(const iop_root_scalar *root, Workspace *w, int64_t filled, int64_t n, int64_t first,
                    double *const *outputs, int32_t *status, int64_t *const *stats) noexcept nogil:
    """Polishes, verifies, differentiates and writes the outputs of the first n lanes; returns how many of them failed,
    or -1 without memory.

    The outputs belong to the point where the finish callback was evaluated last.
    """
    cdef int64_t i, r, failed
    cdef double *f = w.out + IOP_F * w.stride
    cdef double *fx = w.out + IOP_FX * w.stride
    cdef double *scale = w.out + IOP_SCALE * w.stride
    cdef double *derivatives = w.out + IOP_N_FINISH * w.stride
    failed = conclude(root, w, filled)
    if failed > 0:
        # A bracket that still has a sign change inside is narrowed down to the last digit, whatever the tolerance.
        memcpy(w.block, w.final, filled * sizeof(double))
        w.lanes.x = w.block
        if iop_root_resume(w.lanes, filled, w.negative, w.positive, w.iterations, w.code) > 0:
            iterate(root, w, filled, 0.0, 0.0)
            failed = conclude(root, w, filled)
    if failed > 0:
        failed = 0
        for i in range(n):
            if w.code[i] != IOP_CONVERGED:
                failed += 1
                for r in range(root.n_derivatives):
                    derivatives[r * w.stride + i] = NAN
    if outputs[0] != NULL:
        iop_scatter(w.final, w.stride, first, n, 1, outputs[0])
    if outputs[1] != NULL:
        iop_scatter(derivatives, w.stride, first, n, root.n_jacobian, outputs[1])
    if outputs[2] != NULL:
        iop_scatter(derivatives + root.n_jacobian * w.stride, w.stride, first, n,
                    root.n_derivatives - root.n_jacobian, outputs[2])
    if outputs[3] != NULL:
        iop_root_error(n, f, fx, scale, w.final, outputs[3] + first)
    if root.n_derivatives > 0 and (outputs[4] != NULL or outputs[5] != NULL):
        if errors(root, w, filled, n, first, outputs) < 0:
            return -1
    if status != NULL:
        iop_root_report(n, w.code, status + first)
    if stats != NULL:
        memcpy(stats[0] + first, w.iterations, n * sizeof(int64_t))
        for i in range(n):
            stats[1][first + i] = w.evaluations
    return failed


cdef int errors(const iop_root_scalar *root, Workspace *w, int64_t filled, int64_t n, int64_t first,
                double *const *outputs) noexcept nogil:
    """Writes the estimated errors of the root and of its derivatives of the first n lanes; -1 without memory.

    The error of x counts by the change of the derivatives over a short step from x that is longer than the error, to the one
    side or, where they are not defined there, the other.
    """
    cdef int64_t r, rows = 1 + root.n_derivatives
    cdef double *derivatives = w.out + IOP_N_FINISH * w.stride
    cdef double *memory = <double *> malloc((2 * rows + IOP_N_FINISH + 2) * w.stride * sizeof(double))
    cdef double *total = memory
    cdef double *x_error = memory + rows * w.stride
    cdef double *step = x_error + w.stride
    cdef double *moved = step + w.stride
    if memory == NULL:
        return -1
    memcpy(w.block, w.final, filled * sizeof(double))
    root.errors.block(filled, w.stride, w.block, total, root.errors.ctx)
    iop_root_noise(filled, w.out + IOP_F * w.stride, w.out + IOP_FX * w.stride, w.out + IOP_SCALE * w.stride, total,
                   w.final, x_error, step)
    for r in range(2):
        iop_root_move(filled, w.final, step, w.block)
        root.finish.block(filled, w.stride, w.block, moved, root.finish.ctx)
        if iop_root_turn_back(filled, root.n_derivatives, w.stride, moved + IOP_N_FINISH * w.stride, step) == 0:
            break
    for r in range(root.n_derivatives):
        iop_root_add_change(n, derivatives + r * w.stride, moved + (IOP_N_FINISH + r) * w.stride, x_error, step,
                            total + (1 + r) * w.stride)
    if outputs[3] != NULL:
        iop_scatter(x_error, w.stride, first, n, 1, outputs[3])
    if outputs[4] != NULL:
        iop_scatter(total + w.stride, w.stride, first, n, root.n_jacobian, outputs[4])
    if outputs[5] != NULL:
        iop_scatter(total + (1 + root.n_jacobian) * w.stride, w.stride, first, n,
                    root.n_derivatives - root.n_jacobian, outputs[5])
    free(memory)
    return 0


# -- Python face ------------------------------------------------------------------------------------------

cdef class RootScalarKernel(Kernel):
    """A scalar root finder bound to its callbacks: what an Operation needs to run it.

    Parameters
    ----------
    residual, finish : compiled bundles (x, theta) -> F, F_x, scale [, F_xx, derivatives of the root]
    errors : compiled bundle (x, theta) -> rounding errors of F and of the derivatives of the root, or None without derivatives
    start : compiled bundle theta -> lower, upper [, guess], or None if they are trailing inputs
    start_kind : "bracket", "guess", or "both" for a guess inside a bracket
    n_params : int, number of parameters, flattened
    n_jacobian, n_hessian : int, rows of derivatives that ``finish`` returns
    rtol, atol : float
    max_steps : int
    """

    cdef iop_root_scalar data
    cdef object keep
    #: Counters of one solve, in the order in which the kernel writes them.
    stat_names = ("iterations", "evaluations")

    def __init__(self, *, residual, start, finish, errors, str start_kind, int64_t n_params, int64_t n_jacobian,
                 int64_t n_hessian, double rtol, double atol, int64_t max_steps):
        self.keep = (residual, start, finish, errors)
        self.data.residual = as_callback(residual)
        self.data.finish = as_callback(finish)
        self.data.errors = as_callback(errors)
        self.data.start = as_callback(start)
        kinds = {"bracket": IOP_START_BRACKET, "guess": IOP_START_GUESS, "both": IOP_START_BOTH}
        self.data.start_kind = kinds[start_kind]
        self.data.n_params = n_params
        self.data.n_jacobian = n_jacobian
        self.data.n_derivatives = n_jacobian + n_hessian
        self.data.rtol = rtol
        self.data.atol = atol
        self.data.max_steps = max_steps
        self.function = run
        self.address = &self.data
