# What Cython knows of derivative_error.h, for the kernels of several unknowns.

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
