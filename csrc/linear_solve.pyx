"""Factorisation of F_x on a batch, and linear solves with it: LinSolve of {Solve, Eval, LinSolve}.

The factorisation is data of its own (rows of L and U, then pivots, as doubles), so that every derivative at one
point, forward or reverse and of any order, shares it. Where derivatives are inaccurate it is NaN.
"""

from libc.float cimport DBL_EPSILON
from libc.math cimport NAN, fabs, isfinite
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

import numpy as np


include "interface.pxi"

cdef extern from "linear.h" nogil:
    ctypedef struct iop_matrix_shape:
        int64_t n, lower, upper, banded
    int64_t iop_matrix_width(const iop_matrix_shape *)
    double *iop_row(const iop_matrix_shape *, double *, int64_t)
    int iop_factorise(const iop_matrix_shape *, double *, int32_t *, double *)
    void iop_solve(const iop_matrix_shape *, const double *, const int32_t *, double *, int64_t)
    void iop_solve_transposed(const iop_matrix_shape *, const double *, const int32_t *, double *)

include "derivative_judge.pxi"

cdef extern from "derivative_judge.h" nogil:
    ctypedef struct iop_equations:
        iop_matrix_shape shape
        int64_t n_params, n_entries, n_parameter_entries
        const int32_t *rows
        const int32_t *columns
        const int32_t *parameter_rows
        const int32_t *parameter_columns
    int64_t iop_doubt_size(const iop_equations *)
    double iop_system_doubt(const iop_equations *, const double *lu, const int32_t *pivot, const double *point,
                            const double *values, double *memory)
    double iop_second_doubt(const iop_equations *, const double *lu, const int32_t *pivot, double *errors,
                            const double *size)


cdef struct Data:
    iop_callback entries        # of F_x and F_theta, F, and the errors of all three; or, of large systems, apart ...
    iop_callback residual       # ... F, the scale of its rounding error, and the entries of F_x ...
    iop_callback parameter      # ... and the entries of F_theta
    iop_callback second_errors  # of F's second derivative along two directions
    iop_equations equations
    int64_t transposed
    iop_judge *judge


cdef inline bint has_nan(const double *x, int64_t n) noexcept nogil:
    cdef int64_t i
    for i in range(n):
        if x[i] != x[i]:
            return True
    return False


cdef struct Workspace:
    int64_t n_point
    double *memory
    double *point   # x, parameters
    double *values  # outputs of the callback
    double *scales  # 2 n
    double *doubt   # see iop_system_doubt()
    double *second  # inputs and outputs of second_errors: 3 (n + p) + 2 n, n
    int32_t *pivot


cdef bint begin(const Data *d, Workspace *w) noexcept nogil:
    """Gets memory; whether there is any."""
    cdef const iop_equations *e = &d.equations
    cdef int64_t n = e.shape.n, n_point = n + e.n_params
    cdef int64_t n_values = 2 * (e.n_entries + e.n_parameter_entries + n)
    cdef int64_t size = n_point + n_values + 2 * n + iop_doubt_size(e) + 3 * n_point + 3 * n
    w.memory = <double *> malloc(size * sizeof(double) + n * sizeof(int32_t))
    w.n_point = n_point
    w.point = w.memory
    w.values = w.point + n_point
    w.scales = w.values + n_values
    w.doubt = w.scales + 2 * n
    w.second = w.doubt + iop_doubt_size(e)
    w.pivot = <int32_t *> (w.second + 3 * n_point + 3 * n)
    return w.memory != NULL


cdef void evaluate_apart(const Data *d, const Workspace *w) noexcept nogil:
    """What the callback for all would write, with errors that are a few units of rounding of each number."""
    cdef const iop_equations *e = &d.equations
    cdef int64_t n = e.shape.n, n_entries = e.n_entries + e.n_parameter_entries, k
    cdef double *residual = w.values + n_entries
    cdef double *errors = residual + n
    d.residual.scalar(w.point, residual, d.residual.ctx)
    memcpy(w.values, errors + n, e.n_entries * sizeof(double))
    d.parameter.scalar(w.point, w.values + e.n_entries, d.parameter.ctx)
    for k in range(n):
        errors[k] *= 4 * DBL_EPSILON
    for k in range(n_entries):
        errors[n + k] = 4 * DBL_EPSILON * fabs(w.values[k])


cdef bint evaluate(const Data *d, const Workspace *w, const iop_operation *operation, int32_t n_arguments, int64_t i,
                   const double *const *inputs, const int64_t *input_strides) noexcept nogil:
    """Runs the callback at element i of inputs that begin with the parameters and x; whether that is a point."""
    cdef int64_t n = d.equations.shape.n, at = n, j
    cdef int32_t k
    cdef bint is_finite = True
    # The callback wants x, the last of the arguments, first.
    for k in range(n_arguments - 1):
        memcpy(w.point + at, inputs[k] + i * input_strides[k], operation.input_sizes[k] * sizeof(double))
        at += operation.input_sizes[k]
    memcpy(w.point, inputs[n_arguments - 1] + i * input_strides[n_arguments - 1], n * sizeof(double))
    if d.entries.scalar != NULL:
        d.entries.scalar(w.point, w.values, d.entries.ctx)
    else:
        evaluate_apart(d, w)
    # Where the solve failed x is NaN, of which a constant matrix knows nothing.
    for j in range(w.n_point):
        is_finite &= isfinite(w.point[j]) != 0
    return is_finite


cdef bint is_inaccurate(const Data *d, int64_t i, const double *const *inputs, const int64_t *input_strides,
                        double doubt) noexcept nogil:
    return iop_is_doubtful(doubt) and judged(d.judge, i, inputs, input_strides, NULL) == IOP_DERIVATIVE_INACCURATE


cdef int64_t run_factorise(const iop_operation *operation, int64_t n_batch, const double *const *inputs,
                           const int64_t *input_strides, double *const *outputs, int32_t *status,
                           int64_t *const *stats) noexcept nogil:
    """(theta ..., x) to the factorisation of F_x; NaN where F_x is singular, the point is none, or derivatives are
    inaccurate."""
    cdef const Data *d = <const Data *> operation.data
    cdef const iop_equations *e = &d.equations
    cdef int64_t n = e.shape.n, size = n * iop_matrix_width(&e.shape), i, j, k, failed = 0
    cdef Workspace w
    cdef bint is_point
    cdef double lost
    cdef double *target
    if not begin(d, &w):
        return -1
    for i in range(n_batch):
        is_point = evaluate(d, &w, operation, operation.n_inputs, i, inputs, input_strides)
        target = outputs[0] + i * (size + n)
        memset(target, 0, size * sizeof(double))
        for k in range(e.n_entries):
            iop_row(&e.shape, target, e.rows[k])[e.columns[k]] = w.values[k]
        lost = 0
        if not is_point or iop_factorise(&e.shape, target, w.pivot, w.scales) != 0:
            lost = NAN
        elif is_inaccurate(d, i, inputs, input_strides,
                           iop_system_doubt(e, target, w.pivot, w.point, w.values, w.doubt)):
            lost = iop_marked(IOP_DERIVATIVE_INACCURATE)
        if lost == 0:
            for j in range(n):
                target[size + j] = w.pivot[j]
        else:
            failed += is_point  # where the point is none, the solve has failed before
            for j in range(size + n):
                target[j] = lost
    free(w.memory)
    return failed


cdef double second_doubt(const Data *d, const Workspace *w, const double *lu) noexcept nogil:
    """Doubt of second derivatives at the point where the callback was evaluated."""
    cdef const iop_equations *e = &d.equations
    cdef int64_t n = e.shape.n
    cdef int64_t k
    cdef double first = iop_system_doubt(e, lu, w.pivot, w.point, w.values, w.doubt), second
    cdef double *at = w.second
    cdef double *lost = w.second + 3 * w.n_point + 2 * n
    if iop_is_doubtful(first):
        return first
    memcpy(at, w.point, w.n_point * sizeof(double))
    memcpy(at + w.n_point, w.doubt + 2 * n, w.n_point * sizeof(double))
    memcpy(at + 2 * w.n_point, w.doubt + 2 * n, w.n_point * sizeof(double))
    for k in range(n):
        at[3 * w.n_point + k] = at[3 * w.n_point + n + k] = fabs(w.doubt[n + k])
    d.second_errors.scalar(at, lost, d.second_errors.ctx)
    second = iop_second_doubt(e, lu, w.pivot, lost, w.doubt)
    return second if second > first or second != second else first


cdef int64_t run_second(const iop_operation *operation, int64_t n_batch, const double *const *inputs,
                        const int64_t *input_strides, double *const *outputs, int32_t *status,
                        int64_t *const *stats) noexcept nogil:
    """(theta ..., x, factorisation) to the same factorisation; NaN where second derivatives are inaccurate."""
    cdef const Data *d = <const Data *> operation.data
    cdef int32_t which = operation.n_inputs - 1
    cdef int64_t n = d.equations.shape.n, size = n * iop_matrix_width(&d.equations.shape), i, j, failed = 0
    cdef Workspace w
    cdef double *target
    if not begin(d, &w):
        return -1
    for i in range(n_batch):
        target = outputs[0] + i * (size + n)
        memcpy(target, inputs[which] + i * input_strides[which], (size + n) * sizeof(double))
        if target[size] != target[size]:
            continue
        for j in range(n):
            w.pivot[j] = <int32_t> target[size + j]
        evaluate(d, &w, operation, which, i, inputs, input_strides)
        if is_inaccurate(d, i, inputs, input_strides, second_doubt(d, &w, target)):
            failed += 1
            for j in range(size + n):
                target[j] = iop_marked(IOP_DERIVATIVE_INACCURATE)
    free(w.memory)
    return failed


cdef int64_t run_solve(const iop_operation *operation, int64_t n_batch, const double *const *inputs,
                       const int64_t *input_strides, double *const *outputs, int32_t *status,
                       int64_t *const *stats) noexcept nogil:
    """(factorisation, b) to the solution; the operation's other inputs only define the matrix."""
    cdef const Data *d = <const Data *> operation.data
    cdef int64_t n = d.equations.shape.n, size = n * iop_matrix_width(&d.equations.shape), i, j, failed = 0
    cdef int32_t which = operation.n_inputs - 2
    cdef bint lost
    cdef const double *lu
    cdef double *target
    cdef int32_t *pivot = <int32_t *> malloc(n * sizeof(int32_t))
    if pivot == NULL:
        return -1
    for i in range(n_batch):
        lu = inputs[which] + i * input_strides[which]
        target = outputs[0] + i * n
        memcpy(target, inputs[which + 1] + i * input_strides[which + 1], n * sizeof(double))
        if lu[size] != lu[size]:
            for j in range(n):
                target[j] = NAN
            continue
        for j in range(n):
            pivot[j] = <int32_t> lu[size + j]
        if d.transposed:
            iop_solve_transposed(&d.equations.shape, lu, pivot, target)
        else:
            iop_solve(&d.equations.shape, lu, pivot, target, 1)
        lost = False
        for j in range(n):
            if not isfinite(target[j]):
                lost = True
        for j in range(n):
            lost &= isfinite(inputs[which + 1][i * input_strides[which + 1] + j]) != 0
        failed += lost
    free(pivot)
    return failed


cdef class _Linear(Kernel):
    cdef Data data
    cdef tuple keep

    def __init__(self, n, bandwidths):
        self.data.equations.shape.n = n
        self.data.equations.shape.banded = bandwidths is not None
        self.data.equations.shape.lower, self.data.equations.shape.upper = (
            bandwidths if bandwidths is not None else (n - 1, n - 1)
        )
        self.address = &self.data


cdef class FactoriseKernel(_Linear):
    """Factorisation of a Jacobian: what an Operation (theta ..., x) needs to run it.

    With ``second_errors`` it is a factorisation (theta ..., x, factorisation) that is at hand, for second derivatives.

    Parameters
    ----------
    entries : compiled bundle (x, theta) -> entries of F_x and F_theta, F, errors of F and of both; None for a large system
    residual : compiled bundle (x, theta) -> F, the scale of its rounding error, entries of F_x; where ``entries`` is None
    parameter : compiled bundle (x, theta) -> entries of F_theta; where ``entries`` is None
    second_errors : compiled bundle (x, theta, u, a, v, b, errors of u, v) -> errors of D2F[(u, a), (v, b)], or None
    pattern, parameter_pattern : int32 arrays (2, count), rows and columns of the entries
    n, n_params : int
    bandwidths : (lower, upper) for banded storage, or None for dense
    judge : Judge of derivatives
    """

    def __init__(self, *, entries, residual, parameter, second_errors, pattern, parameter_pattern, int64_t n,
                 int64_t n_params, bandwidths, Judge judge not None):
        super().__init__(n, bandwidths)
        pattern = np.ascontiguousarray(pattern, dtype=np.int32)
        parameter_pattern = np.ascontiguousarray(parameter_pattern, dtype=np.int32)
        self.keep = (entries, residual, parameter, second_errors, pattern, parameter_pattern, judge)
        self.data.entries = as_callback(entries)
        self.data.residual = as_callback(residual)
        self.data.parameter = as_callback(parameter)
        self.data.second_errors = as_callback(second_errors)
        self.data.equations.n_params = n_params
        self.data.equations.n_entries = pattern.shape[1]
        self.data.equations.n_parameter_entries = parameter_pattern.shape[1]
        self.data.equations.rows = <const int32_t *> <uintptr_t> pattern[0].ctypes.data
        self.data.equations.columns = <const int32_t *> <uintptr_t> pattern[1].ctypes.data
        self.data.equations.parameter_rows = <const int32_t *> <uintptr_t> parameter_pattern[0].ctypes.data
        self.data.equations.parameter_columns = <const int32_t *> <uintptr_t> parameter_pattern[1].ctypes.data
        self.data.judge = &judge.data
        self.function = run_factorise if second_errors is None else run_second


cdef class LinearSolveKernel(_Linear):
    """Linear solve with a factorisation: what an Operation (..., factorisation, b) needs to run it.

    Parameters
    ----------
    n : int
    bandwidths : (lower, upper) for banded storage, or None for dense
    transposed : bool, solve with the transposed matrix
    """

    def __init__(self, *, int64_t n, bandwidths, bint transposed):
        super().__init__(n, bandwidths)
        self.data.transposed = transposed
        self.function = run_solve
