/* Blocks of lanes: how a batch becomes structure of arrays and back, shared by the elementwise kernels. */
#ifndef IMPLICITOPS_LANES_H
#define IMPLICITOPS_LANES_H

#include <string.h>

#include "implicitops.h"

/* The inner loops are compiled once per vector width and the widest that the processor has is chosen when the
 * library is loaded.  -ffp-contract=off (setup.py) keeps all versions, and every lane position, bit-identical.
 * Their loops carry `#pragma omp simd` (-fopenmp-simd: no OpenMP runtime), without which GCC gives up on selects. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define IOP_VECTORISED __attribute__((target_clones("avx512f", "avx2", "default")))
/* For loops of some tens of steps, whose remainder would be as long as the rest in wider vectors. */
#define IOP_VECTORISED_SHORT __attribute__((target_clones("avx2", "default")))
#else
#define IOP_VECTORISED
#define IOP_VECTORISED_SHORT
#endif

/* Lanes of a block of `rows` rows: as many as IOP_LANES, fewer if n is small or the block would leave the cache. */
static inline int64_t iop_lanes_per_block(int64_t n, int64_t rows) {
    const int64_t doubles_in_cache = 1 << 15;
    int64_t lanes = doubles_in_cache / (rows > 0 ? rows : 1);
    if (lanes > IOP_LANES) lanes = IOP_LANES;
    if (lanes < 8) lanes = 8;
    return n < lanes ? (n > 0 ? n : 1) : lanes;
}

/* Lanes that are computed for n elements.  Vectors of eight take less time than three or more single numbers, so that a
 * remainder of as many is filled up. */
static inline int64_t iop_filled_lanes(int64_t n) { return n % 8 > 2 ? (n + 7) / 8 * 8 : n; }

/* Fills the lanes from n on of `rows` rows with copies of the one before. */
static inline void iop_fill_lanes(int64_t n, int64_t rows, int64_t stride, double *block) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = n; i < iop_filled_lanes(n); i++) block[r * stride + i] = block[r * stride + n - 1];
}

/* Doubles from row to row of a block with that many lanes. */
static inline int64_t iop_row_stride(int64_t lanes) { return lanes < 16 ? lanes : lanes + IOP_ROW - IOP_LANES; }

/* Copies elements first ... first + n - 1 of all inputs into consecutive rows of `block`. */
static inline void iop_gather(const iop_operation *operation, int64_t first, int64_t n, int64_t stride,
                              const double *const *inputs, const int64_t *input_strides, double *block) {
    for (int32_t k = 0; k < operation->n_inputs; k++) {
        const int64_t step = input_strides[k];
        for (int64_t j = 0; j < operation->input_sizes[k]; j++, block += stride) {
            const double *source = inputs[k] + first * step + j;
            if (step == 1)
                memcpy(block, source, n * sizeof(double));
            else
                for (int64_t i = 0; i < n; i++) block[i] = source[i * step];
        }
    }
}

/* Copies `size` rows of a block to elements first ... first + n - 1 of an output of that size. */
static inline void iop_scatter(const double *block, int64_t stride, int64_t first, int64_t n, int64_t size,
                               double *output) {
    double *target = output + first * size;
    if (size == 1) {
        memcpy(target, block, n * sizeof(double));
        return;
    }
    for (int64_t j = 0; j < size; j++)
        for (int64_t i = 0; i < n; i++) target[i * size + j] = block[j * stride + i];
}

/* Whether all numbers in rows of a block are finite. */
IOP_VECTORISED
static int iop_rows_are_finite(int64_t rows, int64_t n, int64_t stride, const double *block) {
    double sum = 0;
    for (int64_t r = 0; r < rows; r++) {
        const double *row = block + r * stride;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < n; i++) sum += row[i] * 0;
    }
    return sum == 0;
}

/* How many of n lanes have finite inputs and an output that is not: that output becomes NaN, whatever it was. */
static inline int64_t iop_lost_lanes(int64_t n_in, int64_t n_out, int64_t n, int64_t stride, const double *in, double *out) {
    int64_t lost = 0;
    if (iop_rows_are_finite(n_out, n, stride, out)) return 0;
    for (int64_t i = 0; i < n; i++) {
        double inputs = 0;
        int is_lost = 0;
        for (int64_t r = 0; r < n_in; r++) inputs += in[r * stride + i] * 0;
        for (int64_t r = 0; inputs == 0 && r < n_out; r++) {
            double *number = out + r * stride + i;
            if (*number * 0 == 0) continue;
            *number = *number - *number;
            is_lost = 1;
        }
        lost += is_lost;
    }
    return lost;
}

#endif
