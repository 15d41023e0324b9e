"""Minima, one batch element after the other: the driver. Steps are in minimum.h, verification in minimum_verify.h.

An element passes through: start -> descent in a trust region -> Newton steps on the free unknowns -> verification ->
derivatives from the Cholesky factor at the minimum.
"""

from libc.float cimport DBL_EPSILON, DBL_MAX
from libc.math cimport INFINITY
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

import numpy as np


include "interface.pxi"

cdef extern from "cholesky.h" nogil:
    void iop_cholesky_solve(int64_t n, const double *r, double *b, int64_t count)

cdef extern from "trust_region.h" nogil:
    ctypedef struct iop_trust_region:
        double *matrix
        double *gradient
        double *step
        double *factor
        double *direction
        double negligible
        int64_t factorisations

cdef extern from "minimum.h" nogil:
    ctypedef struct iop_minimum:
        iop_callback start, bounds, objective, parameter, second, errors, second_errors
        int64_t n, n_params, n_entries, n_parameter_entries, n_stationary_entries, derivatives, max_steps
        const int32_t *stationary_rows
        const int32_t *stationary_columns
        const int32_t *rows
        const int32_t *columns
        const int32_t *parameter_rows
        const int32_t *parameter_columns
        const double *domain_lower
        const double *domain_upper
        const double *atol
        double rtol
    ctypedef struct iop_minimum_workspace:
        double *point
        double *trial
        double *values
        double *trial_values
        double *guess
        double *lower
        double *upper
        double *near_lower
        double *near_upper
        double *weight
        double *noise
        double *hessian
        double *factor
        double *step
        double *other
        double *slope
        iop_trust_region region
        int32_t *active
        int32_t *hit
        int32_t *moving
        double guess_value
        int undefined
        int64_t iterations, evaluations, factorisations, refused
    int64_t iop_value_count(const iop_minimum *)
    int iop_are_finite(const double *, int64_t)
    void iop_take_hessian(const iop_minimum *, iop_minimum_workspace *)
    void iop_evaluate_objective(const iop_minimum *, iop_minimum_workspace *, const double *, double *)
    iop_status iop_descend(const iop_minimum *, iop_minimum_workspace *)
    void iop_polish(const iop_minimum *, iop_minimum_workspace *)

include "several_unknowns.pxi"

cdef extern from "minimum_verify.h" nogil:
    iop_status iop_verify_minimum(const iop_minimum *, iop_minimum_workspace *)
    int iop_runs_away(const iop_minimum *, iop_minimum_workspace *)


cdef int64_t doubles_needed(const iop_minimum *s) noexcept nogil:
    cdef int64_t n = s.n, p = s.n_params
    return (2 * (n + p) + 2 * iop_value_count(s) + 13 * n + 4 * n * n + s.n_stationary_entries
            + iop_derivatives_size(n, p, s.n_stationary_entries, s.n_parameter_entries, s.derivatives))


cdef void lay_out(const iop_minimum *s, iop_minimum_workspace *w, iop_derivatives *d, double *memory) noexcept nogil:
    """Divides one allocation into the arrays of the workspace."""
    cdef int64_t n = s.n, p = s.n_params
    w.point = memory
    w.trial = w.point + n + p
    w.values = w.trial + n + p
    w.trial_values = w.values + iop_value_count(s)
    w.guess = w.trial_values + iop_value_count(s)
    w.lower = w.guess + n
    w.upper = w.lower + n
    w.near_lower = w.upper + n
    w.near_upper = w.near_lower + n
    w.weight = w.near_upper + n
    w.noise = w.weight + n
    w.step = w.noise + n
    w.other = w.step + n
    w.slope = w.other + n
    w.region.gradient = w.slope + n
    w.region.step = w.region.gradient + n
    w.region.direction = w.region.step + n
    w.region.matrix = w.region.direction + n
    w.factor = w.region.factor = w.region.matrix + n * n
    w.hessian = w.factor + n * n
    d.system.entries = w.hessian + n * n
    d.system.inverse = <double *> d.system.entries + s.n_stationary_entries
    d.p = p
    d.system.n = n
    d.system.n_entries = s.n_stationary_entries
    d.system.rows = s.stationary_rows
    d.system.columns = s.stationary_columns
    d.system.solve = &solve_stationarity
    d.system.factors = w
    d.n_parameter_entries = s.n_parameter_entries
    d.parameter_rows = s.parameter_rows
    d.parameter_columns = s.parameter_columns
    d.parameter = s.parameter
    d.second = s.second
    d.errors = s.errors
    d.second_errors = s.second_errors
    d.move = &move
    d.problem = s
    iop_derivatives_lay_out(d, d.system.inverse + n * n, s.derivatives)
    w.active = <int32_t *> (d.system.inverse + n * n
                            + iop_derivatives_size(n, p, s.n_stationary_entries, s.n_parameter_entries, s.derivatives))
    w.hit = w.active + n
    w.moving = w.hit + n


cdef int64_t run(const iop_operation *operation, int64_t n_batch, const double *const *inputs,
                 const int64_t *input_strides, double *const *outputs, int32_t *status,
                 int64_t *const *stats) noexcept nogil:
    cdef const iop_minimum *s = <const iop_minimum *> operation.data
    cdef int64_t i, failed = 0
    cdef double *memory = <double *> malloc(doubles_needed(s) * sizeof(double) + 3 * s.n * sizeof(int32_t))
    cdef iop_minimum_workspace w
    cdef iop_derivatives derivatives
    cdef int code
    if memory == NULL:
        return -1
    lay_out(s, &w, &derivatives, memory)
    for i in range(n_batch):
        read_element(operation, s.n, s.n_params, i, inputs, input_strides, w.point + s.n, w.guess)
        memcpy(w.trial + s.n, w.point + s.n, s.n_params * sizeof(double))
        w.iterations = w.evaluations = w.factorisations = w.region.factorisations = w.refused = 0
        code = solve(s, &w)
        if code == IOP_CONVERGED:
            write_derivatives(s, &w, &derivatives, i, outputs)
        else:
            failed += 1
            set_nan(operation, i, outputs)
        if status != NULL:
            status[i] = code
        if stats != NULL:
            stats[0][i] = w.iterations
            stats[1][i] = w.evaluations
            stats[2][i] = w.factorisations + w.region.factorisations
            stats[3][i] = w.refused
    free(memory)
    return failed


cdef int begin(const iop_minimum *s, iop_minimum_workspace *w) noexcept nogil:
    """Puts the guess, moved into the bounds, into the workspace and evaluates there."""
    cdef int64_t n = s.n, i
    cdef double mean = 0
    cdef double *theta = w.point + n
    if not iop_are_finite(theta, s.n_params):
        return IOP_INVALID_INPUT
    if s.start.scalar != NULL:
        s.start.scalar(theta, w.guess, s.start.ctx)
    if not iop_are_finite(w.guess, n):
        return IOP_INVALID_GUESS
    for i in range(n):
        w.lower[i], w.upper[i] = -INFINITY, INFINITY
        w.near_lower[i] = w.near_upper[i] = 0
    if s.bounds.scalar != NULL:
        # lower, upper, near_lower and near_upper lie side by side, as the callback writes them.
        s.bounds.scalar(theta, w.lower, s.bounds.ctx)
    for i in range(n):
        if not w.upper[i] - w.lower[i] > 4 * (w.near_lower[i] + w.near_upper[i]):
            return IOP_INVALID_BOUNDS
        w.guess[i] = min(max(w.guess[i], w.lower[i]), w.upper[i])
        if not s.domain_lower[i] < w.guess[i] < s.domain_upper[i]:
            return IOP_UNDEFINED
        mean += fabs(w.guess[i]) / n
    memcpy(w.point, w.guess, n * sizeof(double))
    for i in range(n):
        w.weight[i] = weight_of(w.guess[i], mean)
    iop_evaluate_objective(s, w, w.point, w.values)
    w.guess_value = w.values[0]
    w.undefined = 0
    if not fabs(w.guess_value) <= DBL_MAX:
        return IOP_UNDEFINED
    return IOP_CONVERGED if iop_are_finite(w.values, iop_value_count(s)) else IOP_NON_SMOOTH


cdef int solve(const iop_minimum *s, iop_minimum_workspace *w) noexcept nogil:
    """Brings the workspace to a proper minimum, or says why not."""
    cdef int code = begin(s, w)
    if code != IOP_CONVERGED:
        return code
    code = iop_descend(s, w)
    if code == IOP_CONVERGED:
        iop_polish(s, w)
    if code == IOP_CONVERGED or code == IOP_NOT_A_MINIMUM:
        code = iop_verify_minimum(s, w)
    if code != IOP_CONVERGED and code != IOP_DEGENERATE_BOUND and iop_runs_away(s, w):
        code = IOP_UNBOUNDED
    return code


cdef void solve_stationarity(const iop_linear_system *system, double *b, int64_t count) noexcept nogil:
    """F_x X = B in place: rows of active unknowns are their solution, H_FF X_F = B_F - H_FA X_A for the others."""
    cdef const iop_minimum_workspace *w = <const iop_minimum_workspace *> system.factors
    cdef int64_t n = system.n, i, j, k
    for i in range(n):
        for j in range(n):
            if w.active[j] and not w.active[i] and w.hessian[i * n + j] != 0:
                for k in range(count):
                    b[i * count + k] -= w.hessian[i * n + j] * b[j * count + k]
    iop_cholesky_solve(n, w.factor, b, count)


cdef void take_entries(const iop_minimum *s, iop_minimum_workspace *w, iop_derivatives *d) noexcept nogil:
    """Entries of F_x from the Hessian and the unknowns that a bound holds."""
    cdef double *entries = <double *> d.system.entries
    cdef int64_t k
    cdef int32_t i, j
    for k in range(d.system.n_entries):
        i, j = d.system.rows[k], d.system.columns[k]
        entries[k] = (i == j) if w.active[i] else w.hessian[i * s.n + j]


cdef const double *move(iop_derivatives *d, const double *point) noexcept nogil:
    """Entries of F_x at another point, NULL if they are not defined there.

    Corrections of solutions there have zeros for active unknowns, so that nothing multiplies the old Hessian's columns.
    """
    cdef const iop_minimum *s = <const iop_minimum *> d.problem
    cdef iop_minimum_workspace *w = <iop_minimum_workspace *> d.system.factors
    s.objective.scalar(point, w.values, s.objective.ctx)
    if not iop_are_finite(w.values, iop_value_count(s)):
        return NULL
    iop_take_hessian(s, w)
    take_entries(s, w, d)
    return d.system.entries


cdef void write_derivatives(const iop_minimum *s, iop_minimum_workspace *w, iop_derivatives *d, int64_t i,
                            double *const *outputs) noexcept nogil:
    """Writes value, derivatives and their errors from the factorisation at the minimum."""
    cdef int64_t n = s.n, j
    take_entries(s, w, d)
    for j in range(n):
        # An unknown at a bound is there exactly.
        d.slack[j] = 0 if w.active[j] else fabs(w.values[2 + j])
        w.slope[j] = 0 if w.active[j] else 4 * DBL_EPSILON * w.values[2 + n + j]
    iop_write_derivatives(d, w.point, w.slope, s.derivatives, i, outputs)


# -- Python face ------------------------------------------------------------------------------------------

cdef class MinimumKernel(Kernel):
    """A minimiser bound to its callbacks: what an Operation needs to run it.

    Parameters
    ----------
    objective : compiled bundle (x, theta) -> f, its rounding scale, G, its scale, lower triangle of the Hessian
    bounds : compiled bundle theta -> lower, upper, nearness of each, or None without bounds
    parameter : compiled bundle (x, theta) -> entries of F_theta, or None without derivatives
    second : compiled bundle (x, theta, u, a, v, b) -> D2F[(u, a), (v, b)], or None below order 2
    errors : compiled bundle (x, theta) -> rounding errors of F, of the entries of F_x and of F_theta, or None
    second_errors : compiled bundle (x, theta, u, a, v, b, errors of u, v) -> errors of ``second``, or None
    start : compiled bundle theta -> guess, or None if the guess is the trailing input
    entries, parameter_entries, stationary_entries : int32 arrays (2, count), rows and columns of the Hessian's lower
        triangle, of F_theta and of F_x, sorted by row
    lower, upper, atol : float64 arrays (n,); lower and upper are the open domain
    rtol : float
    max_steps, derivatives : int
    """

    cdef iop_minimum data
    cdef tuple keep
    #: Counters of one solve, in the order in which the kernel writes them; refused counts steps that did not reduce
    #: the objective enough.
    stat_names = ("iterations", "evaluations", "factorisations", "refused")

    def __init__(self, *, objective, bounds, parameter, second, errors, second_errors, start, entries, parameter_entries,
                 stationary_entries, int64_t n_params,
                 lower, upper, atol, double rtol, int64_t max_steps, int64_t derivatives):
        entries = np.ascontiguousarray(entries, dtype=np.int32)
        parameter_entries = np.ascontiguousarray(parameter_entries, dtype=np.int32)
        stationary_entries = np.ascontiguousarray(stationary_entries, dtype=np.int32)
        lower, upper, atol = (np.ascontiguousarray(a, dtype=np.float64) for a in (lower, upper, atol))
        self.keep = (objective, bounds, parameter, second, errors, second_errors, start, entries, parameter_entries,
                     stationary_entries, lower, upper, atol)
        self.data.objective = as_callback(objective)
        self.data.bounds = as_callback(bounds)
        self.data.parameter = as_callback(parameter)
        self.data.second = as_callback(second)
        self.data.errors = as_callback(errors)
        self.data.second_errors = as_callback(second_errors)
        self.data.start = as_callback(start)
        self.data.n = len(atol)
        self.data.n_params = n_params
        self.data.n_stationary_entries = stationary_entries.shape[1]
        self.data.stationary_rows = <const int32_t *> <uintptr_t> stationary_entries[0].ctypes.data
        self.data.stationary_columns = <const int32_t *> <uintptr_t> stationary_entries[1].ctypes.data
        self.data.n_entries = entries.shape[1]
        self.data.rows = <const int32_t *> <uintptr_t> entries[0].ctypes.data
        self.data.columns = <const int32_t *> <uintptr_t> entries[1].ctypes.data
        self.data.n_parameter_entries = parameter_entries.shape[1]
        self.data.parameter_rows = <const int32_t *> <uintptr_t> parameter_entries[0].ctypes.data
        self.data.parameter_columns = <const int32_t *> <uintptr_t> parameter_entries[1].ctypes.data
        self.data.domain_lower = <const double *> <uintptr_t> lower.ctypes.data
        self.data.domain_upper = <const double *> <uintptr_t> upper.ctypes.data
        self.data.atol = <const double *> <uintptr_t> atol.ctypes.data
        self.data.rtol = rtol
        self.data.max_steps = max_steps
        self.data.derivatives = derivatives
        self.function = run
        self.address = &self.data
