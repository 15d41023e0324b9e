"""Why each solve ended, read from its value: NaN carries the status (marked_nan.h), a number means converged."""



include "interface.pxi"

cdef extern from "marked_nan.h" nogil:
    int32_t iop_status_in(double number)


cdef int64_t run(const iop_operation *operation, int64_t n, const double *const *inputs, const int64_t *input_strides,
                 double *const *outputs, int32_t *status, int64_t *const *stats) noexcept nogil:
    """Status of each element's first NaN, as a double."""
    cdef int64_t i, k, size = operation.input_sizes[0]
    cdef const double *value
    cdef int32_t code
    if outputs[0] == NULL:
        return 0
    for i in range(n):
        value = inputs[0] + i * input_strides[0]
        code = 0
        for k in range(size):
            code = iop_status_in(value[k])
            if code != 0:
                break
        outputs[0][i] = code
    return 0


cdef class StatusOfKernel(Kernel):
    """What an Operation needs to run it: nothing but the function."""

    def __cinit__(self):
        self.function = run
        self.address = NULL
