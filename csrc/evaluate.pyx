"""Explicit expressions on a batch: gather a block, one callback, scatter.

An expression at the solution of a solve that failed is NaN, also where the solution does not appear in it. One that is a
derivative has failed itself where it is not finite although its inputs are.
"""

from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uintptr_t
from libc.stdlib cimport free, malloc


cdef extern from "implicitops.h" nogil:
    ctypedef void (*iop_block_function)(int64_t, int64_t, const double *, double *, void *) noexcept nogil
    ctypedef struct iop_callback:
        iop_block_function block
        void *ctx
    ctypedef struct iop_operation:
        const int64_t *input_sizes
        const int64_t *output_sizes
        int32_t n_inputs
        int32_t n_outputs
        const void *data

cdef extern from "lanes.h" nogil:
    int64_t iop_lanes_per_block(int64_t n, int64_t rows)
    int64_t iop_row_stride(int64_t lanes)
    int64_t iop_filled_lanes(int64_t n)
    void iop_fill_lanes(int64_t n, int64_t rows, int64_t stride, double *block)
    void iop_gather(const iop_operation *operation, int64_t first, int64_t n, int64_t stride,
                    const double *const *inputs, const int64_t *input_strides, double *block)
    int64_t iop_lost_lanes(int64_t n_in, int64_t n_out, int64_t n, int64_t stride, const double *inputs, double *out)
    void iop_scatter(const double *block, int64_t stride, int64_t first, int64_t n, int64_t size, double *output)


cdef struct Data:
    iop_callback callback
    int64_t solution_begin  # rows of the block that hold the solution of a solve, if any
    int64_t solution_end
    int64_t is_derivative


cdef int64_t run(const iop_operation *operation, int64_t n, const double *const *inputs,
                 const int64_t *input_strides, double *const *outputs, int32_t *status,
                 int64_t *const *stats) noexcept nogil:
    """An expression that is undefined somewhere is NaN there; only a derivative has failed then."""
    cdef const Data *data = <const Data *> operation.data
    cdef int64_t n_in = 0, n_out = 0, first = 0, count, lanes, stride, i, row, r, failed = 0
    cdef int32_t k
    cdef double *out
    for k in range(operation.n_inputs):
        n_in += operation.input_sizes[k]
    for k in range(operation.n_outputs):
        n_out += operation.output_sizes[k]
    lanes = iop_lanes_per_block(n, n_in + n_out)
    stride = iop_row_stride(iop_filled_lanes(lanes))
    cdef double *block = <double *> malloc((n_in + n_out) * stride * sizeof(double))
    if block == NULL:
        return -1
    while first < n:
        count = lanes if n - first > lanes else n - first
        iop_gather(operation, first, count, stride, inputs, input_strides, block)
        iop_fill_lanes(count, n_in, stride, block)
        out = block + n_in * stride
        data.callback.block(iop_filled_lanes(count), stride, block, out, data.callback.ctx)
        for row in range(data.solution_begin, data.solution_end):
            for i in range(count):
                if block[row * stride + i] != block[row * stride + i]:
                    for r in range(n_out):
                        out[r * stride + i] = NAN
        if data.is_derivative:
            failed += iop_lost_lanes(n_in, n_out, count, stride, block, out)
        for k in range(operation.n_outputs):
            if outputs[k] != NULL:
                iop_scatter(out, stride, first, count, operation.output_sizes[k], outputs[k])
            out += operation.output_sizes[k] * stride
        first += count
    if status != NULL:
        for first in range(n):
            status[first] = 0
    free(block)
    return failed


cdef class Evaluate:
    """Compiled expressions: what an Operation needs to evaluate them.

    Parameters
    ----------
    bundle : CompiledBundle, inputs and outputs in the order of the operation's, flattened
    solution : (begin, end), positions among the flattened inputs of a solve's solution, whose NaN makes all NaN
    is_derivative : bool, an element has failed where an output is not finite although its inputs are
    """

    cdef Data data
    cdef object keep

    def __init__(self, bundle, solution=(0, 0), is_derivative=False):
        self.keep = bundle
        self.data.callback.block = <iop_block_function> <uintptr_t> bundle.block_address
        self.data.callback.ctx = NULL
        self.data.solution_begin, self.data.solution_end = solution
        self.data.is_derivative = is_derivative

    @property
    def run_address(self):
        return <uintptr_t> &run

    @property
    def data_address(self):
        return <uintptr_t> &self.data
