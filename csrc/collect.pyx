"""Between arguments and rows of columns: copy each parameter into every row, and sum every column over the rows.

With output times, which are the last argument, there is one row for each, whose last column is that time. Without,
there is one row.
"""

from libc.string cimport memcpy, memset


include "interface.pxi"

cdef struct Data:
    int64_t timed


cdef int64_t run_collect(const iop_operation *operation, int64_t n, const double *const *inputs,
                         const int64_t *input_strides, double *const *outputs, int32_t *status,
                         int64_t *const *stats) noexcept nogil:
    """Arguments to rows."""
    cdef int64_t timed = (<const Data *> operation.data).timed, i, row, k, n_rows = 1
    cdef int64_t last = operation.n_inputs - timed
    cdef double *target = outputs[0]
    if timed:
        n_rows = operation.input_sizes[last]
    if target == NULL:
        return 0
    for i in range(n):
        for row in range(n_rows):
            for k in range(last):
                memcpy(target, inputs[k] + i * input_strides[k], operation.input_sizes[k] * sizeof(double))
                target += operation.input_sizes[k]
            if timed:
                target[0] = inputs[last][i * input_strides[last] + row]
                target += 1
    return 0


cdef int64_t run_distribute(const iop_operation *operation, int64_t n, const double *const *inputs,
                            const int64_t *input_strides, double *const *outputs, int32_t *status,
                            int64_t *const *stats) noexcept nogil:
    """Rows to arguments."""
    cdef int64_t timed = (<const Data *> operation.data).timed, i, row, j, k, size, n_columns = timed, n_rows = 1
    cdef int64_t last = operation.n_outputs - timed
    cdef const double *source
    cdef double *target
    for k in range(last):
        n_columns += operation.output_sizes[k]
    if timed:
        n_rows = operation.output_sizes[last]
    for i in range(n):
        source = inputs[0] + i * input_strides[0]
        for k in range(last):
            size = operation.output_sizes[k]
            if outputs[k] != NULL:
                target = outputs[k] + i * size
                memset(target, 0, size * sizeof(double))
                for row in range(n_rows):
                    for j in range(size):
                        target[j] += source[row * n_columns + j]
            source += size
        if timed and outputs[last] != NULL:
            for row in range(n_rows):
                outputs[last][i * n_rows + row] = source[row * n_columns]
    return 0


cdef class _Columns(Kernel):
    """What an Operation needs to run it.

    Parameters
    ----------
    timed : bool, the last argument is the output times
    """

    cdef Data data

    def __init__(self, bint timed):
        self.data.timed = timed
        self.address = &self.data


cdef class CollectKernel(_Columns):
    """Arguments to rows."""

    def __cinit__(self, bint timed):
        self.function = run_collect


cdef class DistributeKernel(_Columns):
    """Rows to arguments."""

    def __cinit__(self, bint timed):
        self.function = run_distribute
