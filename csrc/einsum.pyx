"""Sums of products of two arrays over named indices, elementwise over a batch: loops with strides.

NaN times zero is NaN here as everywhere: no product is left out because a factor is zero.
"""

from libc.string cimport memset

import numpy as np


include "interface.pxi"

cdef extern from "linear.h" nogil:
    double iop_dot(const double *x, const double *y, int64_t count)
    void iop_subtract(const double *x, double factor, double *y, int64_t count)

cdef enum:
    MAX_INDICES = 4

# One product: the loops of implicitops/kernels/einsum.py, innermost last.
cdef struct Loops:
    int64_t size[MAX_INDICES]
    int64_t output[MAX_INDICES]
    int64_t left[MAX_INDICES]
    int64_t right[MAX_INDICES]

cdef struct Data:
    int64_t n_terms
    int64_t size
    const int64_t *terms  # two inputs each
    const Loops *loops


cdef inline void multiply_add(int64_t n, double *out, int64_t out_step, const double *left, int64_t left_step,
                              const double *right, int64_t right_step) noexcept nogil:
    """The innermost loop; the cases of contiguous rows are those that matter."""
    cdef int64_t j
    cdef double total = 0
    if out_step == 0:
        if left_step == 1 and right_step == 1:
            out[0] += iop_dot(left, right, n)
            return
        for j in range(n):
            total += left[j * left_step] * right[j * right_step]
        out[0] += total
    elif out_step == 1 and left_step == 1 and right_step == 0:
        iop_subtract(left, -right[0], out, n)
    elif out_step == 1 and left_step == 0 and right_step == 1:
        iop_subtract(right, -left[0], out, n)
    else:
        for j in range(n):
            out[j * out_step] += left[j * left_step] * right[j * right_step]


cdef void add_term(const Loops *l, double *out, const double *left, const double *right) noexcept nogil:
    cdef int64_t i, j, k
    for i in range(l.size[0]):
        for j in range(l.size[1]):
            for k in range(l.size[2]):
                multiply_add(
                    l.size[3],
                    out + i * l.output[0] + j * l.output[1] + k * l.output[2], l.output[3],
                    left + i * l.left[0] + j * l.left[1] + k * l.left[2], l.left[3],
                    right + i * l.right[0] + j * l.right[1] + k * l.right[2], l.right[3],
                )


cdef int64_t run(const iop_operation *operation, int64_t n, const double *const *inputs,
                 const int64_t *input_strides, double *const *outputs, int32_t *status,
                 int64_t *const *stats) noexcept nogil:
    """Never fails."""
    cdef const Data *d = <const Data *> operation.data
    cdef int64_t i, term, left, right
    cdef double *out
    if outputs[0] == NULL:
        return 0
    for i in range(n):
        out = outputs[0] + i * d.size
        memset(out, 0, d.size * sizeof(double))
        for term in range(d.n_terms):
            left, right = d.terms[2 * term], d.terms[2 * term + 1]
            add_term(
                &d.loops[term], out, inputs[left] + i * input_strides[left], inputs[right] + i * input_strides[right]
            )
    return 0


cdef class EinsumKernel(Kernel):
    """Sum of products: what an Operation needs to run it.

    Parameters
    ----------
    terms : int array (count, 2), the inputs of each product
    loops : int array (count, 4, MAX_INDICES): sizes, then strides of output, left and right input
    size : int, numbers in the output
    """

    cdef Data data
    cdef tuple keep

    def __init__(self, terms, loops, int64_t size):
        terms = np.ascontiguousarray(terms, dtype=np.int64).reshape(-1, 2)
        loops = np.ascontiguousarray(loops, dtype=np.int64).reshape(len(terms), 4, MAX_INDICES)
        self.keep = (terms, loops)
        self.data.n_terms = len(terms)
        self.data.size = size
        self.data.terms = <const int64_t *> <uintptr_t> terms.ctypes.data
        self.data.loops = <const Loops *> <uintptr_t> loops.ctypes.data
        self.function = run
        self.address = &self.data
