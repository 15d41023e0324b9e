# How a lane of the scalar root finder gets a bracket: from its ends, by Newton's method from a guess, or by a search.
# Part of root_scalar.pyx.

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
    if root.start_kind != IOP_START_BRACKET:
        take_guess(root, w, n, given + 2 * w.stride)
    if root.start_kind == IOP_START_GUESS:
        start_from_guess(root, w, n)
        search(root, w, n)
    elif start_from_bracket(root, w, n) > 0:
        if root.start_kind == IOP_START_BRACKET:
            for i in range(n):
                w.guess[i] = NAN
        search(root, w, n)


cdef void take_guess(const iop_root_scalar *root, Workspace *w, int64_t n, const double *given) noexcept nogil:
    """Guess of every lane; one beside its bracket is refused, not moved."""
    cdef int64_t i
    memcpy(w.guess, given, n * sizeof(double))
    for i in range(n):
        if w.code[i] == IOP_PENDING and not (
            isfinite(w.guess[i])
            and (root.start_kind == IOP_START_GUESS or w.lower[i] <= w.guess[i] <= w.upper[i])
        ):
            w.code[i] = IOP_INVALID_GUESS


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

    An end at which the residual is undefined moves inwards by up to 2**-10 of the bracket. If there is a guess too, it is
    the first iterate.
    """
    cdef int64_t attempt, infinite, i
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
    infinite = iop_root_open_brackets(s, n, low, f_lower, fx_lower, high, f, fx, w.initial, w.code)
    if root.start_kind == IOP_START_BOTH:
        for i in range(n):
            if s.bisections[i] >= 0 and low[i] < w.guess[i] < high[i]:
                s.x[i] = w.guess[i]
    return infinite


cdef struct Descent:
    # Newton's method from a guess: the last point that was accepted, and the step from it that is being tried.
    double base[IOP_ROW]
    double f[IOP_ROW]
    double fx[IOP_ROW]
    double newton[IOP_ROW]    # the step, cut to a hundred times the size of x
    double full[IOP_ROW]      # its length before that, infinite if it is unknown
    double fraction[IOP_ROW]  # multiple of it that is tried
    double reach[IOP_ROW]     # multiple that the next step begins with
    double kept[IOP_ROW]      # share of the distance to a bound that a step beyond it leaves
    double halfway[IOP_ROW]   # |F| after half of all steps
    bint trying[IOP_ROW]
    bint to_zero[IOP_ROW]     # x = 0 is tried next
    bint at_zero[IOP_ROW]     # it is tried, or has been


cdef inline bint accept(const iop_root_scalar *root, Workspace *w, Descent *d, int64_t i, bint first) noexcept nogil:
    """Makes the present point the base and computes the step from it; whether there is one to take."""
    cdef double x = w.lanes.x[i], f = w.out[IOP_F * w.stride + i], fx = w.out[IOP_FX * w.stride + i]
    cdef double scale = w.out[IOP_SCALE * w.stride + i], step = -f / fx, length
    cdef bint overflow = not (isfinite(f) and isfinite(fx) and isfinite(step)), slow, converging
    # Among steps that have been doubled already it takes a much shorter one to end that.
    slow = overflow or fabs(step) > (0.49 if d.fraction[i] == 1 else 0.1) * fabs(d.newton[i])
    d.reach[i] = fmin(2 * d.reach[i], 1024.0) if slow and not first and d.fraction[i] >= 1 else 1
    # A short step is convergence only after a longer one: it is short on a plateau beside a steep step.
    converging = (not first and fabs(step) <= 0.1 * fabs(d.newton[i])) or fabs(f) <= iop_rounding(scale, fx, x)
    d.base[i], d.f[i], d.fx[i] = x, f, fx
    d.fraction[i] = d.reach[i]
    d.newton[i] = step
    if f == 0 or (isfinite(scale) and fabs(f) <= iop_rounding(scale, 0, x) * 0.25):
        return False
    if converging and isfinite(fx) and fabs(step) <= root.rtol * fabs(x) + root.atol:
        w.lanes.x[i] = fmin(fmax(x + step, w.lower[i]), w.upper[i])
        return False
    d.full[i] = fabs(step)
    if overflow:
        # Downhill by the sign of the slope, if it has one; nothing is known of how far.
        d.full[i] = INFINITY
        d.newton[i] = 0.1 * fmax(fabs(x), 1.0) * (1.0 if f * fx < 0 else -1.0)
    length = 100 * fmax(fabs(x), 1.0)
    d.newton[i] = fmin(fmax(d.newton[i], -length), length)
    return True


cdef inline bint refuse(Workspace *w, Descent *d, int64_t i) noexcept nogil:
    """Shortens the step that led to the present point; whether it is worth trying."""
    cdef double f = w.out[IOP_F * w.stride + i]
    d.reach[i] = 1
    d.kept[i] = 0.1
    d.to_zero[i] = f != f and w.lanes.x[i] / d.base[i] <= 0
    d.fraction[i] = fmin(d.fraction[i] * (0.5 if f == f else 0.25), 1.0)
    if d.fraction[i] >= 1e-9:
        return True
    # No step helps: the root is as good as rounding allows, or it is left to the search.
    w.lanes.x[i] = d.base[i] if fabs(d.newton[i]) <= 1e-10 * fabs(d.base[i]) else NAN
    return False


cdef inline void advance(Workspace *w, Descent *d, int64_t i) noexcept nogil:
    """Moves to the end of the step, or towards the bound beyond which it leads: ever closer, if that goes on.

    0 is tried once where F is undefined beyond it, as a logarithm is, and where the steps towards it have not ended: if F
    changes its sign there, the bracket is bisected by exponents, which a root near 0 needs.
    """
    cdef double x = d.base[i] + d.fraction[i] * d.newton[i], kept = d.kept[i]
    x = fmin(fmax(x, -DBL_MAX), DBL_MAX)
    if d.to_zero[i] and not d.at_zero[i] and w.lower[i] < 0 < w.upper[i]:
        x = 0
        d.at_zero[i] = True
    d.kept[i] = fmax(kept * kept, 1e-32)
    if x <= w.lower[i]:
        x = w.lower[i] + kept * (d.base[i] - w.lower[i])
    elif x >= w.upper[i]:
        x = w.upper[i] - kept * (w.upper[i] - d.base[i])
    else:
        d.kept[i] = 0.1
    w.lanes.x[i] = x


cdef inline bint descend(const iop_root_scalar *root, Workspace *w, Descent *d, int64_t i, bint first) noexcept nogil:
    """One step of a lane from what was evaluated at its point; whether it goes on."""
    cdef double x = w.lanes.x[i], f = w.out[IOP_F * w.stride + i], share
    if first:
        if isnan(f):
            w.code[i] = IOP_UNDEFINED
            return False
        w.initial[i] = fabs(f)
    elif (f < 0 and d.f[i] > 0) or (f > 0 and d.f[i] < 0):
        set_bracket(w, i, d.base[i], d.f[i], d.fx[i], x, f, w.out[IOP_FX * w.stride + i])
        return False
    share = 0 if first else fmin(fabs(x - d.base[i]) / d.full[i], 1.0)
    if first or (isinf(d.f[i]) and f == f) or fabs(f) < fabs(d.f[i]) * (1 - 1e-4 * share):
        if not accept(root, w, d, i, first):
            return False
    elif not refuse(w, d, i):
        return False
    advance(w, d, i)
    return True


cdef void start_from_guess(const iop_root_scalar *root, Workspace *w, int64_t n) noexcept nogil:
    """Newton's method with step halving until it converges, brackets a sign change or stalls.

    A step is accepted if |F| falls (Armijo's rule, J. Nocedal and S. J. Wright, Numerical Optimization, 2006,
    section 3.1: by a share of what the Newton step promises, of which a step that was cut short promises its own part
    only); it never leaves the domain that the unknown's assumptions allow. While the steps hardly become shorter, they
    are doubled: exp(x) = 1 is a thousand Newton steps of length one from x = 1000.
    """
    cdef int64_t i, k, remaining
    cdef iop_root_lanes *s = w.lanes
    cdef Descent d
    for i in range(n):
        d.trying[i] = w.code[i] == IOP_PENDING
        s.x[i] = fmin(fmax(w.guess[i], w.lower[i]), w.upper[i])
        d.base[i] = NAN
        d.f[i] = INFINITY
        d.newton[i] = d.fraction[i] = d.reach[i] = 1
        d.kept[i] = 0.1
        d.to_zero[i] = d.at_zero[i] = False
    for k in range(root.max_steps):
        evaluate(&root.residual, w, n, s.x)
        remaining = 0
        if k == root.max_steps // 2:
            for i in range(n):
                d.halfway[i] = fabs(d.f[i])
                d.to_zero[i] = d.newton[i] / d.base[i] < 0
        for i in range(n):
            if d.trying[i]:
                s.iterations[i] += 1
                d.trying[i] = descend(root, w, &d, i, k == 0)
                remaining += d.trying[i]
        if remaining == 0:
            break
    for i in range(n):
        if d.trying[i] and w.code[i] == IOP_PENDING:
            # What has hardly fallen in half of all steps has a minimum there, and more steps would not help.
            if fabs(d.f[i]) > 0.5 * d.halfway[i]:
                s.x[i] = NAN
                continue
            w.ended[i] = 0
            s.x[i] = d.base[i]


# -- search -----------------------------------------------------------------------------------------------

cdef inline double search_point(double lower, double upper, double guess, double exponent, bint upwards) noexcept nogil:
    """Point number `exponent` of an outward search; NaN where there is none."""
    cdef double centre, unit
    if isfinite(lower) and isfinite(upper):
        return NAN
    if isfinite(lower):
        unit = guess - lower if guess > lower else 1.0
        return lower + scaled(unit, exponent if upwards else -exponent)
    if isfinite(upper):
        unit = upper - guess if guess < upper else 1.0
        return upper - scaled(unit, exponent if not upwards else -exponent)
    centre = 0.0 if isnan(guess) else guess
    unit = scaled(fmax(fabs(centre), 1.0), exponent)
    return fmin(centre + unit, DBL_MAX) if upwards else fmax(centre - unit, -DBL_MAX)


cdef inline double scaled(double unit, double exponent) noexcept nogil:
    """unit * 2**exponent, at most the largest number."""
    cdef double whole
    if fabs(exponent) <= 1000:
        return fmin(unit * exp2(exponent), DBL_MAX)
    whole = floor(exponent)  # 2**exponent alone would overflow, the product need not
    return fmin(ldexp(unit * exp2(exponent - whole), <int> whole), DBL_MAX)


cdef inline double search_exponent(int64_t k, bint fine, bint half_line) noexcept nogil:
    """Exponent k of a coarse scan (from 2**-6, or 2**0 on a half line, to overflow), or of a fine one."""
    if fine:
        return 0.125 * (k + 1) if half_line else 0.125 * (k + 1) - 12
    if half_line:
        return k + 1 if k < 4 else fmin(exp2(0.5 * k), 2100.0)
    return k - 6 if k < 10 else fmin(exp2(0.5 * (k - 6)), 2100.0)


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
    cdef double x, value, half, full
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
        half, full = search_exponent(k, fine, True), search_exponent(k, fine, False)
        for side in range(2):
            if pending == 0:
                return 0
            for i in range(n):
                half_line = isfinite(w.lower[i]) or isfinite(w.upper[i])
                points[i] = search_point(w.lower[i], w.upper[i], w.guess[i], half if half_line else full, side == 0)
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
