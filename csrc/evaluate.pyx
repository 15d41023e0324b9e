"""Explicit expressions on a batch: gather a block, one callback, scatter.

An expression at the solution of a solve that failed is NaN, also where the solution does not appear in it. One that is a
derivative has failed itself where it is not finite although its inputs are, or where rounding has spoilt it.
"""

from libc.math cimport NAN
from libc.stdlib cimport free, malloc

import numpy as np


include "interface.pxi"
include "lanes.pxi"

include "derivative_judge.pxi"


cdef struct Data:
    iop_callback callback
    int64_t solution_begin  # rows of the block that hold the solution of a solve, if any
    int64_t solution_end
    int64_t is_derivative
    iop_judge *judge  # NULL if nothing is judged; else the callback's last output is a doubt
    int64_t order     # of the derivative
    const int64_t *output_parameters  # by which each output is a derivative; NULL: along a direction of all


cdef int64_t judge(const Data *data, int64_t n_in, int64_t n_out, int64_t stride, int64_t lane, const double *block,
                   double *out, int64_t element, const double *const *inputs,
                   const int64_t *input_strides) noexcept nogil:
    """Marks what is inaccurate in a lane that is in doubt; returns whether anything is.

    The inputs are the parameters, x, and seeds. A first derivative by single parameters loses those entries that are
    inaccurate, one along a direction is lost if that leads along such a parameter, and of a second derivative all is lost.
    """
    cdef int64_t r, j, n_params = data.solution_begin, is_lost = 0
    cdef double sum = 0
    cdef bint is_hit
    cdef double *seeds = <double *> block + (n_params + 1) * stride + lane
    cdef int64_t *inaccurate
    for r in range(n_in):
        sum += block[r * stride + lane] * 0
    for r in range(n_out):
        sum += out[r * stride + lane] * 0
    if sum != 0:  # the lane has failed before
        return 0
    inaccurate = <int64_t *> malloc(n_params * sizeof(int64_t))
    if inaccurate == NULL:
        return 0
    if judged(data.judge, element, inputs, input_strides, inaccurate) == IOP_DERIVATIVE_INACCURATE:
        for r in range(n_out):
            for j in range(n_params):
                if data.order > 1:
                    is_hit = True
                elif data.output_parameters == NULL:
                    is_hit = inaccurate[j] and seeds[j * stride] != 0
                else:
                    is_hit = inaccurate[j] and j == data.output_parameters[r] and seeds[0] != 0
                if is_hit:
                    out[r * stride + lane] = iop_marked(IOP_DERIVATIVE_INACCURATE)
                    is_lost = 1
    free(inaccurate)
    return is_lost


cdef int64_t run(const iop_operation *operation, int64_t n, const double *const *inputs,
                 const int64_t *input_strides, double *const *outputs, int32_t *status,
                 int64_t *const *stats) noexcept nogil:
    """An expression that is undefined somewhere is NaN there; only a derivative has failed then."""
    cdef const Data *data = <const Data *> operation.data
    cdef int64_t n_in = 0, n_out = 0, first = 0, count, lanes, stride, i, row, rows, r, failed = 0
    cdef int32_t k
    cdef double *out
    for k in range(operation.n_inputs):
        n_in += operation.input_sizes[k]
    for k in range(operation.n_outputs):
        n_out += operation.output_sizes[k]
    rows = n_in + n_out + (data.judge != NULL)
    lanes = iop_lanes_per_block(n, rows)
    stride = iop_row_stride(iop_filled_lanes(lanes))
    cdef double *block = <double *> malloc(rows * stride * sizeof(double))
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
        if data.judge != NULL:
            for i in range(count):
                if iop_is_doubtful(out[n_out * stride + i]):
                    failed += judge(data, n_in, n_out, stride, i, block, out, first + i, inputs, input_strides)
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


cdef class EvaluateKernel(Kernel):
    """Compiled expressions: what an Operation needs to evaluate them.

    Parameters
    ----------
    bundle : CompiledBundle, inputs and outputs in the order of the operation's, flattened
    solution : (begin, end), positions among the flattened inputs of a solve's solution, whose NaN makes all NaN
    is_derivative : bool, an element has failed where an output is not finite although its inputs are
    judge : Judge, or None; with it the bundle's last output is the doubt whether the derivative is accurate
    order : int, of the derivative that is judged
    output_parameters : sequence of int, position of the parameter by which each output is a derivative, or None for one
        along a direction of all of them, which are the last inputs
    """

    cdef Data data
    cdef object keep

    def __init__(self, bundle, solution=(0, 0), is_derivative=False, Judge judge=None, order=0,
                 output_parameters=None):
        parameters = None if output_parameters is None else np.array(output_parameters, dtype=np.int64)
        self.keep = (bundle, judge, parameters)
        self.data.callback = as_callback(bundle)
        self.data.solution_begin, self.data.solution_end = solution
        self.data.is_derivative = is_derivative
        self.data.judge = NULL if judge is None else &judge.data
        self.data.order = order
        self.data.output_parameters = NULL
        if parameters is not None:
            self.data.output_parameters = <const int64_t *> <uintptr_t> parameters.ctypes.data
        self.function = run
        self.address = &self.data
