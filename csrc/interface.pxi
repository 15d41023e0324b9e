# What the kernels share: the C interface of implicitops.h, and how a kernel tells an Operation where its function and its
# data are.

from libc.stdint cimport int32_t, int64_t, uintptr_t

cdef extern from "implicitops.h" nogil:
    ctypedef void (*iop_block_function)(int64_t, int64_t, const double *, double *, void *) noexcept nogil
    ctypedef void (*iop_scalar_function)(const double *, double *, void *) noexcept nogil
    ctypedef struct iop_callback:
        iop_block_function block
        iop_scalar_function scalar
        void *ctx
        int32_t n_inputs, n_outputs
    ctypedef struct iop_operation
    ctypedef int64_t (*iop_run_function)(const iop_operation *, int64_t, const double *const *, const int64_t *,
                                         double *const *, int32_t *, int64_t *const *) noexcept nogil
    ctypedef struct iop_operation:
        iop_run_function run
        int32_t n_inputs, n_outputs
        const int64_t *input_sizes
        const int64_t *output_sizes
        const void *data
        int32_t has_derivatives
    enum:
        IOP_ROW
    ctypedef enum iop_status:
        IOP_CONVERGED, IOP_NO_SIGN_CHANGE, IOP_DISCONTINUITY, IOP_MAX_STEPS, IOP_UNDEFINED, IOP_SINGULAR
        IOP_INVALID_INPUT, IOP_STALLED, IOP_INVALID_BRACKET, IOP_NOT_A_MINIMUM, IOP_UNBOUNDED, IOP_NON_SMOOTH
        IOP_DEGENERATE_BOUND, IOP_INVALID_BOUNDS, IOP_EXTERNAL_NAN, IOP_DIVERGENT, IOP_SLOW_TAIL
        IOP_DERIVATIVE_INACCURATE, IOP_INVALID_GUESS


cdef class Kernel:
    """What an Operation runs: a C function and its data, which an instance of a subclass holds."""

    cdef iop_run_function function
    cdef const void *address

    @property
    def run_address(self):
        return <uintptr_t> self.function

    @property
    def data_address(self):
        return <uintptr_t> self.address


cdef inline iop_scalar_function scalar_function(bundle):
    """Machine code of a compiled bundle; NULL for None."""
    return NULL if bundle is None else <iop_scalar_function> <uintptr_t> bundle.scalar_address


cdef inline iop_callback as_callback(bundle):
    """A compiled bundle in both forms, as far as it has them; nothing for None."""
    cdef iop_callback callback
    callback.block = NULL
    callback.scalar = scalar_function(bundle)
    callback.ctx = NULL
    callback.n_inputs = callback.n_outputs = 0
    if bundle is not None:
        callback.block = <iop_block_function> <uintptr_t> bundle.block_address
        callback.n_inputs = bundle.n_inputs
        callback.n_outputs = bundle.n_outputs
    return callback
