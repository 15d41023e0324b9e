"""Scalar roots, many at a time: the driver of the lockstep iteration. Lane updates are in root_scalar.h.

A block passes through: start (bracket, guess or search) -> iteration -> finish (polishing Newton steps,
verification that the point is a root, derivatives of the root).
"""

from libc.float cimport DBL_MIN
from libc.math cimport INFINITY, NAN, exp2, fabs, fmax, fmin, isfinite, isinf, isnan
from libc.stdint cimport int32_t, int64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy


cdef extern from "implicitops.h" nogil:
    ctypedef void (*iop_block_function)(int64_t, int64_t, const double *, double *, void *) noexcept nogil
    ctypedef struct iop_callback:
        iop_block_function block
        void *ctx
    ctypedef struct iop_operation:
        const int64_t *input_sizes
        const int64_t *output_sizes
        int32_t n_inputs
        const void *data
    enum:
        IOP_ROW
        IOP_CONVERGED, IOP_NO_SIGN_CHANGE, IOP_DISCONTINUITY, IOP_MAX_STEPS, IOP_UNDEFINED, IOP_SINGULAR
        IOP_INVALID_INPUT, IOP_STALLED, IOP_INVALID_BRACKET

cdef extern from "lanes.h" nogil:
    int64_t iop_lanes_per_block(int64_t n, int64_t rows)
    int64_t iop_row_stride(int64_t lanes)
    void iop_gather(const iop_operation *operation, int64_t first, int64_t n, int64_t stride,
                    const double *const *inputs, const int64_t *input_strides, double *block)
    void iop_scatter(const double *block, int64_t stride, int64_t first, int64_t n, int64_t size, double *output)

cdef extern from "root_scalar.h" nogil:
    enum:
        IOP_PENDING, IOP_START_BRACKET, IOP_START_GUESS, IOP_F, IOP_FX, IOP_SCALE, IOP_FXX, IOP_N_FINISH
    ctypedef struct iop_root_scalar:
        iop_callback residual
        iop_callback start
        iop_callback finish
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
    cdef int64_t k, first, count, failed = 0, n_out, lanes
    w.n_rows = 1
    for k in range(operation.n_inputs):
        w.n_rows += operation.input_sizes[k]
    n_out = IOP_N_FINISH + root.n_derivatives
    lanes = iop_lanes_per_block(n, w.n_rows + n_out)
    w.stride = iop_row_stride(lanes)
    cdef double *memory = <double *> malloc((2 * w.n_rows + n_out + 9) * w.stride * sizeof(double))
    w.lanes = <iop_root_lanes *> malloc(sizeof(iop_root_lanes))
    if memory == NULL or w.lanes == NULL:
        free(memory)
        free(w.lanes)
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
        w.evaluations = 0
        start(root, &w, count)
        iterate(root, &w, count, root.rtol, root.atol)
        failed += finish(root, &w, count, first, outputs, status, stats)
        first += count
    free(memory)
    free(w.lanes)
    return failed


# -- start ------------------------------------------------------------------------------------------------

cdef void start(const iop_root_scalar *root, Workspace *w, int64_t n) noexcept nogil:
    """Brings every lane to a bracket, to a solution, or to a status that says why there is none."""
    cdef int64_t i
    cdef iop_root_lanes *s = w.lanes
    cdef double *theta = w.block + w.stride
    cdef double *given
    s.x = w.block
    iop_root_reset(s, n, root.n_params, w.stride, theta, w.ended, w.initial, w.code)
    if root.start.block == NULL:
        given = theta + root.n_params * w.stride
    else:
        root.start.block(n, w.stride, theta, w.out, root.start.ctx)
        given = w.out
    iop_root_order_ends(n, given, given + w.stride, w.lower, w.upper, w.code)
    if root.start_kind == IOP_START_GUESS:
        memcpy(w.guess, given + 2 * w.stride, n * sizeof(double))
        for i in range(n):
            if not isfinite(w.guess[i]) and w.code[i] == IOP_PENDING:
                w.code[i] = IOP_INVALID_INPUT
        start_from_guess(root, w, n)
        search(root, w, n)
    elif start_from_bracket(root, w, n) > 0:
        for i in range(n):
            w.guess[i] = NAN
        search(root, w, n)


cdef inline void set_bracket(Workspace *w, int64_t i, double x1, double f1, double fx1, double x2, double f2,
                             double fx2) noexcept nogil:
    """Gives lane i a bracket and a first iterate: a Newton step from the better end, or the middle."""
    cdef iop_root_lanes *s = w.lanes
    cdef double x
    s.negative[i] = x1 if f1 < 0 else x2
    s.positive[i] = x2 if f1 < 0 else x1
    s.step[i] = fabs(x2 - x1)
    s.step_before[i] = s.step[i]
    w.initial[i] = fmin(fabs(f1), fabs(f2))
    s.previous[i] = w.initial[i]
    s.bisections[i] = 0
    x = x1 - f1 / fx1 if fabs(f1) < fabs(f2) else x2 - f2 / fx2
    if not (fmin(x1, x2) < x < fmax(x1, x2)):
        x = 0.5 * x1 + 0.5 * x2
    s.x[i] = x


cdef inline void set_solution(Workspace *w, int64_t i, double x) noexcept nogil:
    w.lanes.x[i] = x
    w.lanes.bisections[i] = -1
    w.initial[i] = INFINITY


cdef int64_t start_from_bracket(const iop_root_scalar *root, Workspace *w, int64_t n) noexcept nogil:
    """Evaluates both ends; returns how many lanes have an infinite end and are left to the search.

    An end at which the residual is undefined moves inwards by up to 2**-10 of the bracket.
    """
    cdef int64_t attempt
    cdef iop_root_lanes *s = w.lanes
    cdef double *f = w.out + IOP_F * w.stride
    cdef double *fx = w.out + IOP_FX * w.stride
    cdef double f_lower[IOP_ROW]
    cdef double fx_lower[IOP_ROW]
    cdef double low[IOP_ROW]
    cdef double high[IOP_ROW]
    memcpy(low, w.lower, n * sizeof(double))
    memcpy(high, w.upper, n * sizeof(double))
    for attempt in range(9):
        evaluate_at(&root.residual, w, n, low)
        if iop_root_move_undefined_ends(n, f, w.lower, w.upper, attempt, w.code, low) == 0:
            break
    memcpy(f_lower, f, n * sizeof(double))
    memcpy(fx_lower, fx, n * sizeof(double))
    for attempt in range(9):
        evaluate_at(&root.residual, w, n, high)
        if iop_root_move_undefined_ends(n, f, w.upper, w.lower, attempt, w.code, high) == 0:
            break
    return iop_root_open_brackets(s, n, low, f_lower, fx_lower, high, f, fx, w.initial, w.code)


cdef void start_from_guess(const iop_root_scalar *root, Workspace *w, int64_t n) noexcept nogil:
    """Newton's method with step halving until it converges, brackets a sign change or stalls.

    A step is accepted if |F| falls (Armijo's rule, J. Nocedal and S. J. Wright, Numerical Optimization, 2006,
    section 3.1); it never leaves the domain that the unknown's assumptions allow. While the steps hardly become
    shorter, they are doubled: exp(x) = 1 is a thousand Newton steps of length one from x = 1000.
    """
    cdef int64_t i, k, remaining
    cdef iop_root_lanes *s = w.lanes
    cdef double *f = w.out + IOP_F * w.stride
    cdef double *fx = w.out + IOP_FX * w.stride
    cdef double *scale = w.out + IOP_SCALE * w.stride
    cdef double base[IOP_ROW]
    cdef double f_base[IOP_ROW]
    cdef double fx_base[IOP_ROW]
    cdef double newton[IOP_ROW]
    cdef double fraction[IOP_ROW]
    cdef double reach[IOP_ROW]
    cdef double trying[IOP_ROW]
    cdef double x, length, step
    cdef bint slow, converging
    for i in range(n):
        trying[i] = w.code[i] == IOP_PENDING
        s.x[i] = fmin(fmax(w.guess[i], w.lower[i]), w.upper[i])
        base[i] = NAN
        f_base[i] = INFINITY
        fraction[i] = 1
        reach[i] = 1
    for k in range(root.max_steps):
        evaluate(&root.residual, w, n, s.x)
        remaining = 0
        for i in range(n):
            if trying[i] == 0:
                continue
            s.iterations[i] += 1
            x = s.x[i]
            if k == 0:
                if isnan(f[i]):
                    w.code[i] = IOP_UNDEFINED
                    trying[i] = 0
                    continue
                w.initial[i] = fabs(f[i])
            elif (f[i] < 0 and f_base[i] > 0) or (f[i] > 0 and f_base[i] < 0):
                set_bracket(w, i, base[i], f_base[i], fx_base[i], x, f[i], fx[i])
                trying[i] = 0
                continue
            if k == 0 or fabs(f[i]) <= fabs(f_base[i]) * (1 - 1e-4 * fmin(fraction[i], 1.0)):
                step = -f[i] / fx[i]
                slow = k > 0 and fraction[i] >= 1 and fabs(step) > 0.5 * fabs(newton[i])
                converging = k > 0 and fabs(step) <= 0.1 * fabs(newton[i])
                reach[i] = fmin(2 * reach[i], 1024.0) if slow else 1
                base[i] = x
                f_base[i] = f[i]
                fx_base[i] = fx[i]
                fraction[i] = reach[i]
                newton[i] = step
                if f[i] == 0 or (isfinite(scale[i]) and fabs(f[i]) <= iop_rounding(scale[i], 0, x) * 0.25):
                    trying[i] = 0
                    continue
                # A short step is convergence only after a longer one: it is short on a plateau beside a steep step.
                converging = converging or fabs(f[i]) <= iop_rounding(scale[i], fx[i], x)
                if converging and isfinite(fx[i]) and fabs(step) <= root.rtol * fabs(x) + root.atol:
                    s.x[i] = fmin(fmax(x + step, w.lower[i]), w.upper[i])
                    trying[i] = 0
                    continue
                if not isfinite(f[i]) or not isfinite(fx[i]) or not isfinite(step):
                    # Overflow: downhill by the sign of the slope, if it has one.
                    newton[i] = 0.1 * fmax(fabs(x), 1.0) * (1.0 if f[i] * fx[i] < 0 else -1.0)
                length = 100 * fmax(fabs(x), 1.0)
                newton[i] = fmin(fmax(newton[i], -length), length)
            else:
                reach[i] = 1
                fraction[i] *= 0.5 if f[i] == f[i] else 0.25
                fraction[i] = fmin(fraction[i], 1.0)
                if fraction[i] < 1e-9:
                    trying[i] = 0
                    # No step helps: the root is as good as rounding allows, or it is left to the search.
                    s.x[i] = base[i] if fabs(newton[i]) <= 1e-10 * fabs(base[i]) else NAN
                    continue
            s.x[i] = base[i] + fraction[i] * newton[i]
            if s.x[i] <= w.lower[i]:
                s.x[i] = base[i] - 0.9 * (base[i] - w.lower[i])
            elif s.x[i] >= w.upper[i]:
                s.x[i] = base[i] + 0.9 * (w.upper[i] - base[i])
            remaining += 1
        if remaining == 0:
            break
    for i in range(n):
        if trying[i] != 0 and w.code[i] == IOP_PENDING:
            w.ended[i] = 0
            s.x[i] = base[i]


# -- search -----------------------------------------------------------------------------------------------

cdef inline double search_point(double lower, double upper, double guess, double exponent, bint upwards) noexcept nogil:
    """Point number `exponent` of an outward search; NaN where there is none."""
    cdef double centre, unit
    if isfinite(lower) and isfinite(upper):
        return NAN
    if isfinite(lower):
        unit = guess - lower if guess > lower else 1.0
        return lower + unit * exp2(exponent if upwards else -exponent)
    if isfinite(upper):
        unit = upper - guess if guess < upper else 1.0
        return upper - unit * exp2(exponent if not upwards else -exponent)
    centre = 0.0 if isnan(guess) else guess
    unit = fmax(fabs(centre), 1.0) * exp2(exponent)
    return centre + unit if upwards else centre - unit

cdef inline double search_exponent(int64_t k, bint fine, bint half_line) noexcept nogil:
    """Exponent k of a coarse scan (from 2**-6, or 2**0 on a half line, to overflow), or of a fine one."""
    if fine:
        return 0.125 * (k + 1) if half_line else 0.125 * (k + 1) - 12
    if half_line:
        return k + 1 if k < 4 else fmin(exp2(0.5 * k), 1023.0)
    return k - 6 if k < 10 else fmin(exp2(0.5 * (k - 6)), 1023.0)


cdef void search(const iop_root_scalar *root, Workspace *w, int64_t n) noexcept nogil:
    """Looks for a sign change outwards from the guess, or from the middle of the domain, on both sides."""
    cdef int64_t i, pending = 0
    cdef bint lacking[IOP_ROW]
    for i in range(n):
        lacking[i] = w.code[i] == IOP_PENDING and w.ended[i] != 0 and w.lanes.bisections[i] < 0 and isnan(w.lanes.x[i])
        pending += lacking[i]
    if pending == 0:
        return
    # The scan evaluates elsewhere, so the iterates move out of the block meanwhile.
    memcpy(w.final, w.block, n * sizeof(double))
    w.lanes.x = w.final
    pending = scan(root, w, n, lacking, False)
    if pending > 0:
        pending = scan(root, w, n, lacking, True)
    for i in range(n):
        if lacking[i]:
            w.code[i] = IOP_STALLED if root.start_kind == IOP_START_GUESS else IOP_NO_SIGN_CHANGE
    memcpy(w.block, w.final, n * sizeof(double))
    w.lanes.x = w.block


cdef int64_t scan(const iop_root_scalar *root, Workspace *w, int64_t n, bint *lacking, bint fine) noexcept nogil:
    cdef int64_t i, k, pending = 0, n_points = 200 if fine else 27
    cdef int side
    cdef bint half_line
    cdef double x, value
    cdef double *f = w.out + IOP_F * w.stride
    cdef double *fx = w.out + IOP_FX * w.stride
    cdef double points[IOP_ROW]
    cdef double last_x[2][IOP_ROW]
    cdef double last_f[2][IOP_ROW]
    cdef double last_fx[2][IOP_ROW]
    for i in range(n):
        half_line = isfinite(w.lower[i]) or isfinite(w.upper[i])
        if half_line:
            points[i] = search_point(w.lower[i], w.upper[i], w.guess[i], 0.0, True)
        else:
            points[i] = 0.0 if isnan(w.guess[i]) else w.guess[i]
    evaluate_at(&root.residual, w, n, points)
    for i in range(n):
        for side in range(2):
            last_x[side][i] = points[i]
            last_f[side][i] = f[i]
            last_fx[side][i] = fx[i]
        if lacking[i] and f[i] == 0:
            set_solution(w, i, points[i])
            lacking[i] = False
        pending += lacking[i]
    for k in range(n_points):
        for side in range(2):
            if pending == 0:
                return 0
            for i in range(n):
                half_line = isfinite(w.lower[i]) or isfinite(w.upper[i])
                points[i] = search_point(w.lower[i], w.upper[i], w.guess[i],
                                         search_exponent(k, fine, half_line), side == 0)
            evaluate_at(&root.residual, w, n, points)
            for i in range(n):
                x = points[i]
                value = f[i]
                if not lacking[i] or not isfinite(x):
                    continue
                if value == 0:
                    set_solution(w, i, x)
                elif (value < 0 and last_f[side][i] > 0) or (value > 0 and last_f[side][i] < 0):
                    set_bracket(w, i, last_x[side][i], last_f[side][i], last_fx[side][i], x, value, fx[i])
                else:
                    last_x[side][i] = x
                    last_f[side][i] = value
                    last_fx[side][i] = fx[i]
                    continue
                lacking[i] = False
                pending -= 1
    return pending


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
        if k >= 8 and 4 * remaining <= count and count > 8:
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


cdef int64_t finish(const iop_root_scalar *root, Workspace *w, int64_t n, int64_t first,
                    double *const *outputs, int32_t *status, int64_t *const *stats) noexcept nogil:
    """Polishes, verifies, differentiates and writes the outputs; returns how many lanes failed.

    The outputs belong to the point where the finish callback was evaluated last.
    """
    cdef int64_t i, r, failed
    cdef double *f = w.out + IOP_F * w.stride
    cdef double *fx = w.out + IOP_FX * w.stride
    cdef double *scale = w.out + IOP_SCALE * w.stride
    cdef double *derivatives = w.out + IOP_N_FINISH * w.stride
    failed = conclude(root, w, n)
    if failed > 0:
        # A bracket that still has a sign change inside is narrowed down to the last digit, whatever the tolerance.
        memcpy(w.block, w.final, n * sizeof(double))
        w.lanes.x = w.block
        if iop_root_resume(w.lanes, n, w.negative, w.positive, w.iterations, w.code) > 0:
            iterate(root, w, n, 0.0, 0.0)
            failed = conclude(root, w, n)
    if failed > 0:
        for i in range(n):
            if w.code[i] != IOP_CONVERGED:
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
    if status != NULL:
        iop_root_report(n, w.code, status + first)
    if stats != NULL:
        memcpy(stats[0] + first, w.iterations, n * sizeof(int64_t))
        for i in range(n):
            stats[1][first + i] = w.evaluations
    return failed


# -- Python face ------------------------------------------------------------------------------------------

cdef class RootScalar:
    """A scalar root finder bound to its callbacks: what an Operation needs to run it.

    Parameters
    ----------
    residual, finish : compiled bundles (x, theta) -> F, F_x, scale [, F_xx, derivatives of the root]
    start : compiled bundle theta -> lower, upper [, guess], or None if they are trailing inputs
    start_kind : "bracket" or "guess"
    n_params : int, number of parameters, flattened
    n_jacobian, n_hessian : int, rows of derivatives that ``finish`` returns
    rtol, atol : float
    max_steps : int
    """

    cdef iop_root_scalar data
    cdef object keep
    #: Counters of one solve, in the order in which the kernel writes them.
    stat_names = ("iterations", "evaluations")

    def __init__(self, *, residual, start, finish, str start_kind, int64_t n_params, int64_t n_jacobian,
                 int64_t n_hessian, double rtol, double atol, int64_t max_steps):
        self.keep = (residual, start, finish)
        self.data.residual.block = <iop_block_function> <uintptr_t> residual.block_address
        self.data.residual.ctx = NULL
        self.data.finish.block = <iop_block_function> <uintptr_t> finish.block_address
        self.data.finish.ctx = NULL
        self.data.start.block = NULL
        self.data.start.ctx = NULL
        if start is not None:
            self.data.start.block = <iop_block_function> <uintptr_t> start.block_address
        self.data.start_kind = {"bracket": IOP_START_BRACKET, "guess": IOP_START_GUESS}[start_kind]
        self.data.n_params = n_params
        self.data.n_jacobian = n_jacobian
        self.data.n_derivatives = n_jacobian + n_hessian
        self.data.rtol = rtol
        self.data.atol = atol
        self.data.max_steps = max_steps

    @property
    def run_address(self):
        return <uintptr_t> &run

    @property
    def data_address(self):
        return <uintptr_t> &self.data
