"""Factorisation of F_x on a batch, and linear solves with it: LinSolve of {Solve, Eval, LinSolve}.

The factorisation is data of its own (rows of L and U, then pivots, as doubles), so that every derivative at one
point, forward or reverse and of any order, shares it.
"""

from libc.math cimport NAN, isfinite
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
        int32_t n_inputs
        const void *data

cdef extern from "linear.h" nogil:
    ctypedef struct iop_matrix_shape:
        int64_t n, lower, upper, banded
    int64_t iop_matrix_width(const iop_matrix_shape *)
    double *iop_row(const iop_matrix_shape *, double *, int64_t)
    int iop_factorise(const iop_matrix_shape *, double *, int32_t *, double *)
    void iop_solve(const iop_matrix_shape *, const double *, const int32_t *, double *, int64_t)
    void iop_solve_transposed(const iop_matrix_shape *, const double *, const int32_t *, double *)


cdef struct Data:
    iop_callback entries
    iop_matrix_shape shape
    int64_t n_entries
    int64_t transposed
    const int32_t *rows
    const int32_t *columns


cdef inline bint has_nan(const double *x, int64_t n) noexcept nogil:
    cdef int64_t i
    for i in range(n):
        if x[i] != x[i]:
            return True
    return False


cdef int64_t run_factorise(const iop_operation *operation, int64_t n_batch, const double *const *inputs,
                           const int64_t *input_strides, double *const *outputs, int32_t *status,
                           int64_t *const *stats) noexcept nogil:
    """(theta ..., x) to the factorisation of F_x; NaN where F_x is singular, or the point is none."""
    cdef const Data *d = <const Data *> operation.data
    cdef int64_t n = d.shape.n, size = n * iop_matrix_width(&d.shape), n_in = 0, i, j, k, at, failed = 0
    cdef int finite
    cdef double *target
    for k in range(operation.n_inputs):
        n_in += operation.input_sizes[k]
    cdef double *memory = <double *> malloc((n_in + d.n_entries + 2 * n) * sizeof(double) + n * sizeof(int32_t))
    cdef double *entries = memory + n_in
    cdef double *scales = entries + d.n_entries
    cdef int32_t *pivot = <int32_t *> (scales + 2 * n)
    if memory == NULL:
        return -1
    for i in range(n_batch):
        # The callback wants x, the last input, first.
        at = n
        for k in range(operation.n_inputs - 1):
            memcpy(memory + at, inputs[k] + i * input_strides[k], operation.input_sizes[k] * sizeof(double))
            at += operation.input_sizes[k]
        k = operation.n_inputs - 1
        memcpy(memory, inputs[k] + i * input_strides[k], n * sizeof(double))
        d.entries.scalar(memory, entries, d.entries.ctx)
        target = outputs[0] + i * (size + n)
        memset(target, 0, size * sizeof(double))
        for k in range(d.n_entries):
            iop_row(&d.shape, target, d.rows[k])[d.columns[k]] = entries[k]
        # Where the solve failed x is NaN, of which a constant matrix knows nothing.
        finite = 1
        for j in range(n_in):
            finite &= isfinite(memory[j]) != 0
        if finite and iop_factorise(&d.shape, target, pivot, scales) == 0:
            for j in range(n):
                target[size + j] = pivot[j]
        else:
            failed += finite  # where the point is none, the solve has failed before
            for j in range(size + n):
                target[j] = NAN
    free(memory)
    return failed


cdef int64_t run_solve(const iop_operation *operation, int64_t n_batch, const double *const *inputs,
                       const int64_t *input_strides, double *const *outputs, int32_t *status,
                       int64_t *const *stats) noexcept nogil:
    """(factorisation, b) to the solution; the operation's other inputs only define the matrix."""
    cdef const Data *d = <const Data *> operation.data
    cdef int64_t n = d.shape.n, size = n * iop_matrix_width(&d.shape), i, j, failed = 0
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
            iop_solve_transposed(&d.shape, lu, pivot, target)
        else:
            iop_solve(&d.shape, lu, pivot, target, 1)
        lost = False
        for j in range(n):
            if not isfinite(target[j]):
                lost = True
        for j in range(n):
            lost &= isfinite(inputs[which + 1][i * input_strides[which + 1] + j]) != 0
        failed += lost
    free(pivot)
    return failed


cdef class _Linear:
    cdef Data data
    cdef tuple keep

    def __init__(self, entries, pattern, n, bandwidths, transposed):
        pattern = np.ascontiguousarray(pattern, dtype=np.int32)
        self.keep = (entries, pattern)
        self.data.entries.scalar = NULL
        if entries is not None:
            self.data.entries.scalar = <iop_scalar_function> <uintptr_t> entries.scalar_address
        self.data.entries.ctx = NULL
        self.data.shape.n = n
        self.data.shape.banded = bandwidths is not None
        self.data.shape.lower, self.data.shape.upper = bandwidths if bandwidths is not None else (n - 1, n - 1)
        self.data.n_entries = pattern.shape[1]
        self.data.rows = <const int32_t *> <uintptr_t> pattern[0].ctypes.data
        self.data.columns = <const int32_t *> <uintptr_t> pattern[1].ctypes.data
        self.data.transposed = transposed

    @property
    def data_address(self):
        return <uintptr_t> &self.data


cdef class Factorise(_Linear):
    """Factorisation of a Jacobian: what an Operation (theta ..., x) needs to run it.

    Parameters
    ----------
    entries : compiled bundle (x, theta) -> entries of F_x
    pattern : int32 array (2, count), their rows and columns
    n : int
    bandwidths : (lower, upper) for banded storage, or None for dense
    """

    def __init__(self, *, entries, pattern, int64_t n, bandwidths):
        super().__init__(entries, pattern, n, bandwidths, 0)

    @property
    def run_address(self):
        return <uintptr_t> &run_factorise


cdef class LinearSolve(_Linear):
    """Linear solve with a factorisation: what an Operation (..., factorisation, b) needs to run it.

    Parameters
    ----------
    n : int
    bandwidths : (lower, upper) for banded storage, or None for dense
    transposed : bool, solve with the transposed matrix
    """

    def __init__(self, *, int64_t n, bandwidths, bint transposed):
        super().__init__(None, np.empty((2, 0)), n, bandwidths, transposed)

    @property
    def run_address(self):
        return <uintptr_t> &run_solve
