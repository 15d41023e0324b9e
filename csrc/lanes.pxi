# Blocks of lanes: what the elementwise kernels use of lanes.h.

cdef extern from "lanes.h" nogil:
    int64_t iop_lanes_per_block(int64_t n, int64_t rows)
    int64_t iop_row_stride(int64_t lanes)
    int64_t iop_filled_lanes(int64_t n)
    void iop_fill_lanes(int64_t n, int64_t rows, int64_t stride, double *block)
    void iop_gather(const iop_operation *operation, int64_t first, int64_t n, int64_t stride,
                    const double *const *inputs, const int64_t *input_strides, double *block)
    int64_t iop_lost_lanes(int64_t n_in, int64_t n_out, int64_t n, int64_t stride, const double *inputs, double *out)
    void iop_scatter(const double *block, int64_t stride, int64_t first, int64_t n, int64_t size, double *output)
