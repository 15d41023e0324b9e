# What the kernels of several unknowns share: derivative_error.h, how an element is read, and what a failure leaves.

from libc.math cimport NAN, fabs

cdef extern from "derivative_status.h" nogil:
    enum:
        IOP_N_SOLVE_OUTPUTS

cdef extern from "derivative_error.h" nogil:
    ctypedef struct iop_linear_system:
        int64_t n, n_entries
        const int32_t *rows
        const int32_t *columns
        const double *entries
        void (*solve)(const iop_linear_system *, double *, int64_t) noexcept nogil
        const void *factors
        double *inverse
    ctypedef struct iop_derivatives:
        iop_linear_system system
        int64_t p, n_parameter_entries
        const int32_t *parameter_rows
        const int32_t *parameter_columns
        iop_callback parameter, second, errors, second_errors
        const double *(*move)(iop_derivatives *, const double *) noexcept nogil
        const void *problem
        double *slack
    int64_t iop_derivatives_size(int64_t, int64_t, int64_t, int64_t, int64_t)
    void iop_derivatives_lay_out(iop_derivatives *, double *, int64_t)
    void iop_write_derivatives(iop_derivatives *, const double *, const double *, int64_t, int64_t, double *const *)


cdef void read_element(const iop_operation *operation, int64_t n, int64_t p, int64_t i, const double *const *inputs,
                       const int64_t *input_strides, double *parameters, double *guess) noexcept nogil:
    """The parameters; then, if the guess is given, it is the last n inputs."""
    cdef int64_t total = 0, at = 0, k, j
    for k in range(operation.n_inputs):
        total += operation.input_sizes[k]
    for k in range(operation.n_inputs):
        for j in range(operation.input_sizes[k]):
            if at < p:
                parameters[at] = inputs[k][i * input_strides[k] + j]
            elif at >= total - n:
                guess[at - total + n] = inputs[k][i * input_strides[k] + j]
            at += 1


cdef void set_nan(const iop_operation *operation, int64_t i, double *const *outputs) noexcept nogil:
    """The outputs of an element that failed."""
    cdef int64_t k, j
    for k in range(IOP_N_SOLVE_OUTPUTS):
        if outputs[k] != NULL:
            for j in range(operation.output_sizes[k]):
                outputs[k][i * operation.output_sizes[k] + j] = NAN


cdef double weight_of(double guess, double mean) noexcept nogil:
    """Scale of an unknown. A guess that is all but zero says nothing of it, and its square underflows."""
    return fabs(guess) if fabs(guess) > 1e-100 else (mean if mean > 1e-100 else 1.0)
