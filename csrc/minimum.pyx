"""Minima, one batch element after the other: the driver. Steps are in minimum.h, verification in minimum_verify.h.

An element passes through: start -> descent in a trust region -> Newton steps on the free unknowns -> verification ->
derivatives from the Cholesky factor at the minimum.
"""

from libc.float cimport DBL_EPSILON, DBL_MAX
from libc.math cimport INFINITY, NAN, fabs
from libc.stdint cimport int32_t, int64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

import numpy as np


cdef extern from "implicitops.h" nogil:
    ctypedef void (*iop_scalar_function)(const double *, double *, void *) noexcept nogil
    ctypedef struct iop_callback:
        iop_scalar_function scalar
        void *ctx
    ctypedef struct iop_operation:
        const int64_t *input_sizes
        const int64_t *output_sizes
        int32_t n_inputs
        const void *data
    ctypedef enum iop_status:
        IOP_CONVERGED, IOP_UNDEFINED, IOP_SINGULAR, IOP_INVALID_INPUT, IOP_INVALID_GUESS, IOP_NOT_A_MINIMUM, IOP_UNBOUNDED
        IOP_NON_SMOOTH, IOP_DEGENERATE_BOUND, IOP_INVALID_BOUNDS

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
        iop_callback start, bounds, objective, parameter, second
        int64_t n, n_params, n_entries, n_parameter_entries, derivatives, max_steps
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
    void iop_evaluate_objective(const iop_minimum *, iop_minimum_workspace *, const double *, double *)
    iop_status iop_descend(const iop_minimum *, iop_minimum_workspace *)
    void iop_polish(const iop_minimum *, iop_minimum_workspace *)

cdef extern from "minimum_verify.h" nogil:
    iop_status iop_verify_minimum(const iop_minimum *, iop_minimum_workspace *)
    int iop_runs_away(const iop_minimum *, iop_minimum_workspace *)


cdef struct Element:
    # What one element needs beyond the workspace of the minimiser.
    double *sensitivity   # (n, p)
    double *parameter     # entries of F_theta
    double *seed          # x, theta, u, a, v, b: input of the second-derivative callback
    double *columns       # (n, p) right-hand sides of a row of the Hessian


cdef int64_t doubles_needed(const iop_minimum *s) noexcept nogil:
    cdef int64_t n = s.n, p = s.n_params
    return (2 * (n + p) + 2 * iop_value_count(s) + 13 * n + 3 * n * n
            + 2 * n * p + s.n_parameter_entries + 3 * (n + p))


cdef void lay_out(const iop_minimum *s, iop_minimum_workspace *w, Element *e, double *memory) noexcept nogil:
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
    e.sensitivity = w.hessian + n * n
    e.columns = e.sensitivity + n * p
    e.parameter = e.columns + n * p
    e.seed = e.parameter + s.n_parameter_entries
    w.active = <int32_t *> (e.seed + 3 * (n + p))
    w.hit = w.active + n
    w.moving = w.hit + n


cdef int64_t run(const iop_operation *operation, int64_t n_batch, const double *const *inputs,
                 const int64_t *input_strides, double *const *outputs, int32_t *status,
                 int64_t *const *stats) noexcept nogil:
    cdef const iop_minimum *s = <const iop_minimum *> operation.data
    cdef int64_t i, j, k, failed = 0
    cdef double *memory = <double *> malloc(doubles_needed(s) * sizeof(double) + 3 * s.n * sizeof(int32_t))
    cdef iop_minimum_workspace w
    cdef Element e
    cdef int code
    if memory == NULL:
        return -1
    lay_out(s, &w, &e, memory)
    for i in range(n_batch):
        read_inputs(s, &w, operation, inputs, input_strides, i)
        w.iterations = w.evaluations = w.factorisations = w.region.factorisations = w.refused = 0
        code = solve(s, &w)
        if code == IOP_CONVERGED:
            code = finish(s, &w, &e, i, outputs)
        if code != IOP_CONVERGED:
            failed += 1
            for k in range(6):
                if outputs[k] != NULL:
                    for j in range(operation.output_sizes[k]):
                        outputs[k][i * operation.output_sizes[k] + j] = NAN
        if status != NULL:
            status[i] = code
        if stats != NULL:
            stats[0][i] = w.iterations
            stats[1][i] = w.evaluations
            stats[2][i] = w.factorisations + w.region.factorisations
            stats[3][i] = w.refused
    free(memory)
    return failed


cdef void read_inputs(const iop_minimum *s, iop_minimum_workspace *w, const iop_operation *operation,
                      const double *const *inputs, const int64_t *input_strides, int64_t i) noexcept nogil:
    """The parameters; then, if the guess is given, it is the last n inputs."""
    cdef int64_t n = s.n, p = s.n_params, total = 0, at = 0, k, j
    for k in range(operation.n_inputs):
        total += operation.input_sizes[k]
    for k in range(operation.n_inputs):
        for j in range(operation.input_sizes[k]):
            if at < p:
                w.point[n + at] = inputs[k][i * input_strides[k] + j]
            elif at >= total - n:
                w.guess[at - total + n] = inputs[k][i * input_strides[k] + j]
            at += 1
    memcpy(w.trial + n, w.point + n, p * sizeof(double))


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
        # A guess that is all but zero says nothing of the unknown's scale, and its square underflows.
        w.weight[i] = fabs(w.guess[i]) if fabs(w.guess[i]) > 1e-100 else (mean if mean > 1e-100 else 1.0)
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


cdef int finish(const iop_minimum *s, iop_minimum_workspace *w, Element *e, int64_t i,
                double *const *outputs) noexcept nogil:
    """Writes value, derivatives and error estimate from the factorisation at the minimum."""
    cdef int64_t n = s.n, p = s.n_params, j, k
    if outputs[0] != NULL:
        memcpy(outputs[0] + i * n, w.point, n * sizeof(double))
    if outputs[3] != NULL:
        # The Newton correction that is left, and what the factorisation makes of rounding in G.
        for j in range(n):
            outputs[3][i * n + j] = fabs(w.step[j]) + fabs(w.slope[j]) + 4 * DBL_EPSILON * fabs(w.point[j])
    if s.derivatives < 1:
        return IOP_CONVERGED
    s.parameter.scalar(w.point, e.parameter, s.parameter.ctx)
    memset(e.sensitivity, 0, n * p * sizeof(double))
    for k in range(s.n_parameter_entries):
        e.sensitivity[s.parameter_rows[k] * p + s.parameter_columns[k]] = -e.parameter[k]
    solve_stationarity(s, w, e.sensitivity)
    if not iop_are_finite(e.sensitivity, n * p):
        return IOP_SINGULAR
    if outputs[1] != NULL:
        memcpy(outputs[1] + i * n * p, e.sensitivity, n * p * sizeof(double))
    if s.derivatives >= 2 and outputs[2] != NULL:
        second_order(s, w, e, outputs[2] + i * n * p * p)
    return IOP_CONVERGED


cdef void solve_stationarity(const iop_minimum *s, iop_minimum_workspace *w, double *b) noexcept nogil:
    """F_x X = B in place: rows of active unknowns are their solution, H_FF X_F = B_F - H_FA X_A for the others."""
    cdef int64_t n = s.n, p = s.n_params, i, j, k
    for i in range(n):
        for j in range(n):
            if w.active[j] and not w.active[i] and w.hessian[i * n + j] != 0:
                for k in range(p):
                    b[i * p + k] -= w.hessian[i * n + j] * b[j * p + k]
    iop_cholesky_solve(n, w.factor, b, p)


cdef void second_order(const iop_minimum *s, iop_minimum_workspace *w, Element *e, double *target) noexcept nogil:
    """x_jk from F_x x_jk = -D2F[(S_j, e_j), (S_k, e_k)], one row of right-hand sides at a time."""
    cdef int64_t n = s.n, p = s.n_params, i, j, k
    cdef double *u = e.seed + n + p
    cdef double *v = u + n + p
    memcpy(e.seed, w.point, (n + p) * sizeof(double))
    for j in range(p):
        memset(u + n, 0, p * sizeof(double))
        u[n + j] = 1
        for i in range(n):
            u[i] = e.sensitivity[i * p + j]
        for k in range(p):
            memset(v + n, 0, p * sizeof(double))
            v[n + k] = 1
            for i in range(n):
                v[i] = e.sensitivity[i * p + k]
            s.second.scalar(e.seed, w.step, s.second.ctx)
            for i in range(n):
                e.columns[i * p + k] = -w.step[i]
        solve_stationarity(s, w, e.columns)
        for i in range(n):
            for k in range(p):
                target[(i * p + j) * p + k] = e.columns[i * p + k]


# -- Python face ------------------------------------------------------------------------------------------

cdef class Minimum:
    """A minimiser bound to its callbacks: what an Operation needs to run it.

    Parameters
    ----------
    objective : compiled bundle (x, theta) -> f, its rounding scale, G, its scale, lower triangle of the Hessian
    bounds : compiled bundle theta -> lower, upper, nearness of each, or None without bounds
    parameter : compiled bundle (x, theta) -> entries of F_theta, or None without derivatives
    second : compiled bundle (x, theta, u, a, v, b) -> D2F[(u, a), (v, b)], or None below order 2
    start : compiled bundle theta -> guess, or None if the guess is the trailing input
    entries, parameter_entries : int32 arrays (2, count), rows and columns
    lower, upper, atol : float64 arrays (n,); lower and upper are the open domain
    rtol : float
    max_steps, derivatives : int
    """

    cdef iop_minimum data
    cdef tuple keep
    #: Counters of one solve, in the order in which the kernel writes them; refused counts steps that did not reduce
    #: the objective enough.
    stat_names = ("iterations", "evaluations", "factorisations", "refused")

    def __init__(self, *, objective, bounds, parameter, second, start, entries, parameter_entries, int64_t n_params,
                 lower, upper, atol, double rtol, int64_t max_steps, int64_t derivatives):
        entries = np.ascontiguousarray(entries, dtype=np.int32)
        parameter_entries = np.ascontiguousarray(parameter_entries, dtype=np.int32)
        lower, upper, atol = (np.ascontiguousarray(a, dtype=np.float64) for a in (lower, upper, atol))
        self.keep = (objective, bounds, parameter, second, start, entries, parameter_entries, lower, upper, atol)
        self.data.objective = as_callback(objective)
        self.data.bounds = as_callback(bounds)
        self.data.parameter = as_callback(parameter)
        self.data.second = as_callback(second)
        self.data.start = as_callback(start)
        self.data.n = len(atol)
        self.data.n_params = n_params
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

    @property
    def run_address(self):
        return <uintptr_t> &run

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
