"""Roots of systems, one batch element after the other: the driver. Newton's method itself is in root_system.h.

An element passes through: start -> damped Newton -> (on failure, from the start again, in turn: Anderson acceleration of
a fixed point; Newton for the logarithms of positive unknowns; Levenberg-Marquardt) -> verification -> derivatives from the factorisation at the root.
"""

from libc.float cimport DBL_EPSILON
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

import numpy as np


include "interface.pxi"

cdef extern from "linear.h" nogil:
    ctypedef struct iop_matrix_shape:
        int64_t n, lower, upper, banded
    int64_t iop_matrix_width(const iop_matrix_shape *)
    void iop_solve(const iop_matrix_shape *, const double *lu, const int32_t *pivot, double *b, int64_t count)

cdef extern from "root_system.h" nogil:
    ctypedef struct iop_root_system:
        iop_callback start, residual, parameter, second, errors, second_errors
        iop_matrix_shape shape
        int64_t n_params, n_entries, n_parameter_entries, derivatives, max_steps, fixed_point
        const int32_t *rows
        const int32_t *columns
        const int32_t *parameter_rows
        const int32_t *parameter_columns
        const double *lower
        const double *upper
        const double *atol
        double rtol
    ctypedef struct iop_root_workspace:
        double *point
        double *trial
        double *values
        double *trial_values
        double *matrix
        double *step
        double *simplified
        double *weight
        double *normal
        double *gradient
        double *scales
        double *work
        int32_t *pivot
        const iop_matrix_shape *shape
        int64_t logarithmic, iterations, evaluations, factorisations, fallback
    void iop_evaluate_system(const iop_root_system *, iop_root_workspace *, const double *, double *)
    int iop_factorise_system(const iop_root_system *, iop_root_workspace *, const double *, int)
    int iop_all_finite(const double *, int64_t)
    int iop_correction_is_small(const iop_root_system *, const double *, const double *, double)
    int iop_residual_is_rounding(const iop_root_system *, const double *, const double *, double, double *)
    void iop_correction(const iop_root_system *, iop_root_workspace *, const double *, double *)
    iop_status iop_damped_newton(const iop_root_system *, iop_root_workspace *)
    iop_status iop_levenberg_marquardt(const iop_root_system *, iop_root_workspace *, double, double *)
    int iop_is_regular(const iop_root_system *, iop_root_workspace *)

include "several_unknowns.pxi"

cdef extern from "anderson.h" nogil:
    int64_t iop_anderson_memory(int64_t)
    iop_status iop_anderson(const iop_root_system *, iop_root_workspace *, double *)


cdef struct Element:
    # What one element needs beyond the workspace of Newton's method.
    double *guess
    double *anderson
    iop_derivatives derivatives


cdef int64_t run(const iop_operation *operation, int64_t n_batch, const double *const *inputs,
                 const int64_t *input_strides, double *const *outputs, int32_t *status,
                 int64_t *const *stats) noexcept nogil:
    cdef const iop_root_system *s = <const iop_root_system *> operation.data
    cdef int64_t n = s.shape.n, p = s.n_params, n_values = 2 * n + s.n_entries, i, failed = 0
    cdef int64_t n_matrix = n * (iop_matrix_width(&s.shape) if iop_matrix_width(&s.shape) > n else n)
    cdef int64_t n_derivatives = iop_derivatives_size(n, p, s.n_entries, s.n_parameter_entries, s.derivatives)
    cdef int64_t size = (2 * (n + p) + 2 * n_values + 2 * n_matrix + 9 * n + n_derivatives
                         + iop_anderson_memory(n))
    cdef double *memory = <double *> malloc(size * sizeof(double) + n * sizeof(int32_t))
    cdef iop_root_workspace w
    cdef Element e
    cdef int code
    if memory == NULL:
        return -1
    w.point = memory
    w.trial = w.point + n + p
    w.values = w.trial + n + p
    w.trial_values = w.values + n_values
    w.matrix = w.trial_values + n_values
    w.normal = w.matrix + n_matrix
    w.step = w.normal + n_matrix
    w.simplified = w.step + n
    w.weight = w.simplified + n
    w.gradient = w.weight + n
    w.scales = w.gradient + n
    w.work = w.scales + n
    e.guess = w.work + 2 * n
    e.anderson = e.guess + 2 * n
    bind_derivatives(s, &w, &e.derivatives, e.anderson + iop_anderson_memory(n))
    w.pivot = <int32_t *> (e.anderson + iop_anderson_memory(n) + n_derivatives)
    for i in range(n_batch):
        read_element(operation, n, p, i, inputs, input_strides, w.point + n, e.guess)
        memcpy(w.trial + n, w.point + n, p * sizeof(double))
        w.iterations = w.evaluations = w.factorisations = w.fallback = w.logarithmic = 0
        code = solve(s, &w, &e)
        if code == IOP_CONVERGED:
            write_derivatives(s, &w, &e.derivatives, i, outputs)
        else:
            failed += 1
            set_nan(operation, i, outputs)
        if status != NULL:
            status[i] = code
        if stats != NULL:
            stats[0][i] = w.iterations
            stats[1][i] = w.evaluations
            stats[2][i] = w.factorisations
            stats[3][i] = w.fallback
    free(memory)
    return failed


cdef void bind_derivatives(const iop_root_system *s, iop_root_workspace *w, iop_derivatives *d,
                           double *memory) noexcept nogil:
    """Gives the derivatives their system, callbacks and memory."""
    d.p = s.n_params
    d.system.n = s.shape.n
    d.system.n_entries = s.n_entries
    d.system.rows = s.rows
    d.system.columns = s.columns
    d.system.solve = &solve_factorised
    d.system.factors = w
    d.system.inverse = w.normal
    d.n_parameter_entries = s.n_parameter_entries
    d.parameter_rows = s.parameter_rows
    d.parameter_columns = s.parameter_columns
    d.parameter = s.parameter
    d.second = s.second
    d.errors = s.errors
    d.second_errors = s.second_errors
    d.move = &move
    d.problem = s
    iop_derivatives_lay_out(d, memory, s.derivatives)
    w.shape = &s.shape


cdef int begin(const iop_root_system *s, iop_root_workspace *w, Element *e) noexcept nogil:
    """Puts the guess into the workspace and evaluates there."""
    cdef int64_t n = s.shape.n, i
    cdef double mean = 0
    for i in range(n):
        w.point[i] = e.guess[i]
        mean += fabs(e.guess[i]) / n
    for i in range(n):
        w.weight[i] = weight_of(e.guess[i], mean)
    iop_evaluate_system(s, w, w.point, w.values)
    return IOP_CONVERGED if iop_all_finite(w.values, n) else IOP_UNDEFINED


cdef int solve(const iop_root_system *s, iop_root_workspace *w, Element *e) noexcept nogil:
    """Brings the workspace to a root, or says why not."""
    cdef int code
    if not iop_all_finite(w.point + s.shape.n, s.n_params):
        return IOP_INVALID_INPUT
    if s.start.scalar != NULL:
        s.start.scalar(w.point + s.shape.n, e.guess, s.start.ctx)
    if not iop_all_finite(e.guess, s.shape.n):
        return IOP_INVALID_GUESS
    code = begin(s, w, e)
    if code != IOP_CONVERGED:
        return code
    if s.fixed_point < 2:
        code = newton(s, w)
        if code == IOP_CONVERGED or code == IOP_SINGULAR:
            return code
    if s.fixed_point:
        w.fallback = 1
        if begin(s, w, e) == IOP_CONVERGED and iop_anderson(s, w, e.anderson) == IOP_CONVERGED:
            code = newton(s, w)
            if code == IOP_CONVERGED or code == IOP_SINGULAR:
                return code
    if has_positive_unknown(s):
        w.fallback = 2
        w.logarithmic = 1
        if begin(s, w, e) == IOP_CONVERGED:
            code = newton(s, w)
            if code == IOP_CONVERGED or code == IOP_SINGULAR:
                return code
        w.logarithmic = 0
    w.fallback = 3
    code = begin(s, w, e)
    if code == IOP_CONVERGED:
        code = iop_levenberg_marquardt(s, w, 1e-8, w.simplified)
    if code == IOP_CONVERGED:
        code = newton(s, w)
        # Equations that depend on each other stop Newton's method near a solution, which deserves to be called singular.
        if code == IOP_STALLED:
            iop_levenberg_marquardt(s, w, 1e-24, w.simplified)
            code = newton(s, w)
    return code


cdef bint has_positive_unknown(const iop_root_system *s) noexcept nogil:
    cdef int64_t i
    for i in range(s.shape.n):
        if s.lower[i] == 0:
            return True
    return False


cdef int newton(const iop_root_system *s, iop_root_workspace *w) noexcept nogil:
    """Damped Newton and verification; SINGULAR only if the point where it ended solves the equations."""
    cdef int code = iop_damped_newton(s, w)
    if code == IOP_CONVERGED:
        return verify(s, w)
    if code == IOP_SINGULAR and not iop_residual_is_rounding(s, w.point, w.values, 16, w.work):
        return IOP_STALLED
    return code


cdef int verify(const iop_root_system *s, iop_root_workspace *w) noexcept nogil:
    """Factorises F_x at the point and decides whether it is a root, regular to working precision.

    It is one if every residual is rounding error or the Newton correction is within the tolerance.
    """
    cdef int64_t n = s.shape.n
    if not iop_all_finite(w.values, 2 * n + s.n_entries):
        return IOP_UNDEFINED
    if iop_factorise_system(s, w, w.values, 0):
        return IOP_SINGULAR
    iop_correction(s, w, w.values, w.step)
    if not iop_all_finite(w.step, n):
        return IOP_SINGULAR
    if not (iop_residual_is_rounding(s, w.point, w.values, 16, w.work)
            or iop_correction_is_small(s, w.point, w.step, 1)):
        return IOP_STALLED
    if not iop_is_regular(s, w):
        return IOP_SINGULAR
    return IOP_CONVERGED


cdef void solve_factorised(const iop_linear_system *system, double *b, int64_t count) noexcept nogil:
    """F_x X = B in place, with the factorisation at the root."""
    cdef const iop_root_workspace *w = <const iop_root_workspace *> system.factors
    iop_solve(w.shape, w.matrix, w.pivot, b, count)


cdef const double *move(iop_derivatives *d, const double *point) noexcept nogil:
    """Entries of F_x at another point, NULL if they are not defined there."""
    cdef const iop_root_system *s = <const iop_root_system *> d.problem
    cdef iop_root_workspace *w = <iop_root_workspace *> d.system.factors
    s.residual.scalar(point, w.trial_values, s.residual.ctx)
    if not iop_all_finite(w.trial_values, 2 * s.shape.n + s.n_entries):
        return NULL
    return w.trial_values + 2 * s.shape.n


cdef void write_derivatives(const iop_root_system *s, iop_root_workspace *w, iop_derivatives *d, int64_t i,
                            double *const *outputs) noexcept nogil:
    """Writes value, derivatives and their errors from the factorisation at the root."""
    cdef int64_t n = s.shape.n, j
    d.system.entries = w.values + 2 * n
    for j in range(n):
        d.slack[j] = fabs(w.values[j])
        w.gradient[j] = 4 * DBL_EPSILON * w.values[n + j]
    iop_write_derivatives(d, w.point, w.gradient, s.derivatives, i, outputs)


# -- Python face ------------------------------------------------------------------------------------------

cdef class RootSystemKernel(Kernel):
    """A root finder for systems bound to its callbacks: what an Operation needs to run it.

    Parameters
    ----------
    residual : compiled bundle (x, theta) -> F, rounding scale, entries of F_x sorted by row
    parameter : compiled bundle (x, theta) -> entries of F_theta, or None without derivatives
    second : compiled bundle (x, theta, u, a, v, b) -> D2F[(u, a), (v, b)], or None below order 2
    errors : compiled bundle (x, theta) -> rounding errors of F, of the entries of F_x and of F_theta, or None
    second_errors : compiled bundle (x, theta, u, a, v, b, errors of u, v) -> errors of ``second``, or None
    start : compiled bundle theta -> guess, or None if the guess is the trailing input
    entries, parameter_entries : int32 arrays (2, count), rows and columns
    bandwidths : (lower, upper) for banded storage, or None for dense
    lower, upper, atol : float64 arrays (n,)
    rtol : float
    max_steps, derivatives : int
    fixed_point : 0, or 1 if F = g(x) - x, or 2 if Anderson acceleration of g goes first
    """

    cdef iop_root_system data
    cdef tuple keep
    #: Counters of one solve, in the order in which the kernel writes them; fallback is 1 if Anderson acceleration
    #: was needed, 2 if Newton's method for the logarithms of positive unknowns, 3 if Levenberg-Marquardt steps.
    stat_names = ("iterations", "evaluations", "factorisations", "fallback")

    def __init__(self, *, residual, parameter, second, errors, second_errors, start, entries, parameter_entries, bandwidths, int64_t n_params,
                 lower, upper, atol, double rtol, int64_t max_steps, int64_t derivatives,
                 int64_t fixed_point=0):
        cdef int64_t n = len(atol)
        entries = np.ascontiguousarray(entries, dtype=np.int32)
        parameter_entries = np.ascontiguousarray(parameter_entries, dtype=np.int32)
        lower, upper, atol = (np.ascontiguousarray(a, dtype=np.float64) for a in (lower, upper, atol))
        self.keep = (residual, parameter, second, errors, second_errors, start, entries, parameter_entries, lower, upper, atol)
        self.data.residual = as_callback(residual)
        self.data.parameter = as_callback(parameter)
        self.data.second = as_callback(second)
        self.data.errors = as_callback(errors)
        self.data.second_errors = as_callback(second_errors)
        self.data.start = as_callback(start)
        self.data.shape.n = n
        self.data.shape.banded = bandwidths is not None
        self.data.shape.lower, self.data.shape.upper = bandwidths if bandwidths is not None else (n - 1, n - 1)
        self.data.n_params = n_params
        self.data.n_entries = entries.shape[1]
        self.data.rows = <const int32_t *> <uintptr_t> entries[0].ctypes.data
        self.data.columns = <const int32_t *> <uintptr_t> entries[1].ctypes.data
        self.data.n_parameter_entries = parameter_entries.shape[1]
        self.data.parameter_rows = <const int32_t *> <uintptr_t> parameter_entries[0].ctypes.data
        self.data.parameter_columns = <const int32_t *> <uintptr_t> parameter_entries[1].ctypes.data
        self.data.lower = <const double *> <uintptr_t> lower.ctypes.data
        self.data.upper = <const double *> <uintptr_t> upper.ctypes.data
        self.data.atol = <const double *> <uintptr_t> atol.ctypes.data
        self.data.rtol = rtol
        self.data.max_steps = max_steps
        self.data.derivatives = derivatives
        self.data.fixed_point = fixed_point
        self.function = run
        self.address = &self.data
