/* Linear systems of the Newton methods: LU factorisation with partial pivoting, dense or banded, row-major.
 *
 * One layout serves both: row i of the matrix is stored from column first(i) on, `width` entries long.  Dense:
 * first = 0, width = n.  Banded with kl sub- and ku superdiagonals: first = i - kl, width = 2 kl + ku + 1, because
 * pivoting widens the upper band by kl (G. H. Golub and C. F. Van Loan, Matrix Computations, 2013, section 4.3).
 */
#ifndef IMPLICITOPS_LINEAR_H
#define IMPLICITOPS_LINEAR_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "lanes.h"

typedef struct {
    int64_t n;
    int64_t lower;  /* kl; n - 1 if dense */
    int64_t upper;  /* ku; n - 1 if dense */
    int64_t banded; /* 0: dense storage */
} iop_matrix_shape;

static inline int64_t iop_matrix_width(const iop_matrix_shape *m) {
    return m->banded ? 2 * m->lower + m->upper + 1 : m->n;
}

static inline int64_t iop_matrix_first(const iop_matrix_shape *m, int64_t i) { return m->banded ? i - m->lower : 0; }

static inline int64_t iop_least(int64_t a, int64_t b) { return a < b ? a : b; }

static inline int64_t iop_most(int64_t a, int64_t b) { return a > b ? a : b; }

static inline int64_t iop_greatest(int64_t a, int64_t b) { return a > b ? a : b; }

/* Element (i, j) is row(i)[j]. */
static inline double *iop_row(const iop_matrix_shape *m, double *a, int64_t i) {
    return a + i * iop_matrix_width(m) - iop_matrix_first(m, i);
}

static inline const double *iop_const_row(const iop_matrix_shape *m, const double *a, int64_t i) {
    return a + i * iop_matrix_width(m) - iop_matrix_first(m, i);
}

/* Last column of row i that elimination can fill. */
static inline int64_t iop_row_end(const iop_matrix_shape *m, int64_t i) {
    return m->banded ? iop_least(m->n - 1, i + m->upper + m->lower) : m->n - 1;
}

/* y -= factor * x and x . y, the loops where all the time goes. Short ones are not worth a call. */
IOP_VECTORISED_SHORT
static void iop_subtract_long(const double *restrict x, double factor, double *restrict y, int64_t count) {
#pragma omp simd
    for (int64_t j = 0; j < count; j++) y[j] -= factor * x[j];
}

IOP_VECTORISED_SHORT
static double iop_dot_long(const double *x, const double *y, int64_t count) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < count; j++) sum += x[j] * y[j];
    return sum;
}

static inline void iop_subtract(const double *restrict x, double factor, double *restrict y, int64_t count) {
    if (count >= 12) {
        iop_subtract_long(x, factor, y, count);
        return;
    }
    for (int64_t j = 0; j < count; j++) y[j] -= factor * x[j];
}

static inline double iop_dot(const double *x, const double *y, int64_t count) {
    if (count >= 12) return iop_dot_long(x, y, count);
    double sum = 0;
    for (int64_t j = 0; j < count; j++) sum += x[j] * y[j];
    return sum;
}

/* y -= sum_k a[k] X[columns[k]], or X[k] without `columns`, for `width` of the `count` columns of X.  The sums stay in
 * registers, and every order of vectors subtracts in the same order. */
static inline __attribute__((always_inline)) void iop_subtract_columns(const double *a, const int32_t *columns, int64_t m,
                                                                       const double *x, int64_t count, double *y,
                                                                       const int width) {
    double sum[8];
    for (int c = 0; c < width; c++) sum[c] = y[c];
    for (int64_t k = 0; k < m; k++) {
        const double factor = a[k], *from = x + (columns != NULL ? columns[k] : k) * count;
        for (int c = 0; c < width; c++) sum[c] -= factor * from[c];
    }
    for (int c = 0; c < width; c++) y[c] = sum[c];
}

static inline __attribute__((always_inline)) void iop_subtract_all_columns(const double *a, const int32_t *columns,
                                                                           int64_t m, const double *x, int64_t count,
                                                                           double *y) {
    int64_t c = 0;
    for (; c + 8 <= count; c += 8) iop_subtract_columns(a, columns, m, x + c, count, y + c, 8);
    if (count - c >= 4) {
        iop_subtract_columns(a, columns, m, x + c, count, y + c, 4);
        c += 4;
    }
    if (count - c == 3) iop_subtract_columns(a, columns, m, x + c, count, y + c, 3);
    if (count - c == 2) iop_subtract_columns(a, columns, m, x + c, count, y + c, 2);
    if (count - c == 1) iop_subtract_columns(a, columns, m, x + c, count, y + c, 1);
}

/* y -= a X for a row `a` of m numbers and X (m, count). */
IOP_VECTORISED_SHORT
static void iop_subtract_row(const double *a, int64_t m, const double *x, int64_t count, double *y) {
    iop_subtract_all_columns(a, NULL, m, x, count, y);
}

static inline void iop_swap(double *x, double *y, int64_t count) {
    for (int64_t j = 0; j < count; j++) {
        const double swapped = x[j];
        x[j] = y[j];
        y[j] = swapped;
    }
}

static inline double iop_reciprocal_scale(double size) { return size > DBL_MIN && size < 1 / DBL_MIN ? 1 / size : 1; }

/* Scales that equilibrate A: diag(rows) A diag(columns) has no entry above one, and one in each row.  They do not depend
 * on the units of equations or unknowns but for the entries' own pattern. */
IOP_VECTORISED_SHORT
static void iop_equilibrate(const iop_matrix_shape *m, const double *a, double *restrict rows, double *restrict columns) {
    const int64_t n = m->n;
    memset(columns, 0, n * sizeof(double));
    for (int64_t i = 0; i < n; i++) {
        const int64_t first = iop_greatest(0, iop_matrix_first(m, i)), end = iop_least(n - 1, i + m->upper) + 1;
        const double *row = iop_const_row(m, a, i);
        double largest = 0;
#pragma omp simd reduction(max : largest)
        for (int64_t j = first; j < end; j++) largest = fabs(row[j]) > largest ? fabs(row[j]) : largest;
        const double scale = rows[i] = iop_reciprocal_scale(largest);
#pragma omp simd
        for (int64_t j = first; j < end; j++) {
            const double size = fabs(row[j]) * scale;
            columns[j] = size > columns[j] ? size : columns[j];
        }
    }
    for (int64_t j = 0; j < n; j++) columns[j] = iop_reciprocal_scale(columns[j]);
    for (int64_t i = 0; i < n; i++) {
        const int64_t first = iop_greatest(0, iop_matrix_first(m, i)), end = iop_least(n - 1, i + m->upper) + 1;
        const double *row = iop_const_row(m, a, i);
        double largest = 0;
#pragma omp simd reduction(max : largest)
        for (int64_t j = first; j < end; j++) {
            const double size = fabs(row[j]) * columns[j];
            largest = size > largest ? size : largest;
        }
        rows[i] = iop_reciprocal_scale(largest);
    }
}

/* P A = L U in place, unit lower L; pivot[k] is the row exchanged with row k.  A dense matrix exchanges whole rows; in a
 * banded one the multipliers stay where they are, and the solves apply exchanges and multipliers in turn.  Returns 0, or
 * 1 if a pivot is zero or not finite.
 *
 * Pivots are those of the equilibrated matrix.  Its elimination differs from that of A in nothing else: scaling by powers
 * of two is exact, and leaves every relative rounding error of the factors as it is (R. D. Skeel, J. ACM 26 (1979) 494).
 * `scales` holds those of the rows, and is used up. */
static int iop_factorise_scaled(const iop_matrix_shape *m, double *a, int32_t *pivot, double *scales) {
    const int64_t n = m->n;
    for (int64_t k = 0; k < n; k++) {
        const int64_t last_row = m->banded ? iop_least(n - 1, k + m->lower) : n - 1;
        const int64_t last_column = iop_row_end(m, k), first_column = m->banded ? k : 0;
        int64_t p = k;
        double *row_k = iop_row(m, a, k), largest = fabs(row_k[k]) * scales[k];
        for (int64_t i = k + 1; i <= last_row; i++) {
            const double candidate = fabs(iop_row(m, a, i)[k]) * scales[i];
            if (candidate > largest) {
                largest = candidate;
                p = i;
            }
        }
        pivot[k] = (int32_t)p;
        if (!(largest > 0) || !(fabs(iop_row(m, a, p)[k]) <= DBL_MAX)) return 1;
        if (p != k) {
            iop_swap(row_k + first_column, iop_row(m, a, p) + first_column, last_column - first_column + 1);
            scales[p] = scales[k];
        }
        const double inverse = 1 / row_k[k];
        for (int64_t i = k + 1; i <= last_row; i++) {
            double *row_i = iop_row(m, a, i);
            if (row_i[k] == 0) continue;
            row_i[k] *= inverse;
            iop_subtract(row_k + k + 1, row_i[k], row_i + k + 1, last_column - k);
        }
    }
    return 0;
}

/* The same with scales of its own; `scales` holds 2 n doubles of work. */
static int iop_factorise(const iop_matrix_shape *m, double *a, int32_t *pivot, double *scales) {
    iop_equilibrate(m, a, scales, scales + m->n);
    return iop_factorise_scaled(m, a, pivot, scales);
}

/* inverse(L) P b for `count` right-hand sides in the rows of b (n, count), in place. */
static void iop_solve_lower(const iop_matrix_shape *m, const double *lu, const int32_t *pivot, double *b, int64_t count) {
    const int64_t n = m->n;
    if (!m->banded) {
        for (int64_t k = 0; k < n; k++)
            if (pivot[k] != k) iop_swap(b + k * count, b + pivot[k] * count, count);
        for (int64_t i = 1; i < n; i++) {
            const double *row = lu + i * n;
            if (count == 1)
                b[i] -= iop_dot(row, b, i);
            else
                iop_subtract_row(row, i, b, count, b + i * count);
        }
        return;
    }
    for (int64_t k = 0; k < n; k++) {
        const int64_t last_row = iop_least(n - 1, k + m->lower);
        if (pivot[k] != k) iop_swap(b + k * count, b + pivot[k] * count, count);
        for (int64_t i = k + 1; i <= last_row; i++)
            iop_subtract(b + k * count, iop_const_row(m, lu, i)[k], b + i * count, count);
    }
}

/* A X = B for `count` right-hand sides in the rows of b (n, count), in place. */
static void iop_solve(const iop_matrix_shape *m, const double *lu, const int32_t *pivot, double *b, int64_t count) {
    iop_solve_lower(m, lu, pivot, b, count);
    for (int64_t i = m->n - 1; i >= 0; i--) {
        const double *row = iop_const_row(m, lu, i);
        const int64_t end = iop_row_end(m, i);
        if (count == 1) {
            b[i] = (b[i] - iop_dot(row + i + 1, b + i + 1, end - i)) / row[i];
            continue;
        }
        iop_subtract_row(row + i + 1, end - i, b + (i + 1) * count, count, b + i * count);
        for (int64_t c = 0; c < count; c++) b[i * count + c] /= row[i];
    }
}

/* transpose(A) x = b for one right-hand side, in place. */
static void iop_solve_transposed(const iop_matrix_shape *m, const double *lu, const int32_t *pivot, double *b) {
    const int64_t n = m->n;
    for (int64_t i = 0; i < n; i++) {
        const double *row = iop_const_row(m, lu, i);
        b[i] /= row[i];
        iop_subtract(row + i + 1, b[i], b + i + 1, iop_row_end(m, i) - i);
    }
    if (!m->banded) {
        for (int64_t i = n - 1; i > 0; i--) iop_subtract(lu + i * n, b[i], b, i);
        for (int64_t k = n - 1; k >= 0; k--)
            if (pivot[k] != k) iop_swap(b + k, b + pivot[k], 1);
        return;
    }
    for (int64_t k = n - 1; k >= 0; k--) {
        const int64_t last_row = iop_least(n - 1, k + m->lower);
        for (int64_t i = k + 1; i <= last_row; i++) b[k] -= iop_const_row(m, lu, i)[k] * b[i];
        if (pivot[k] != k) iop_swap(b + k, b + pivot[k], 1);
    }
}

/* Lower estimate of the one-norm of inverse(diag(columns)) inverse(A) diag(rows): how much a relative error of the
 * equations is magnified in the unknowns, both in their own scales.  W. W. Hager, SIAM J. Sci. Stat. Comput. 5 (1984)
 * 311.  `work` holds 2 n doubles; its first n are left as the unscaled direction inverse(A) diag(rows) x of largest
 * magnification. */
static double iop_inverse_norm(const iop_matrix_shape *m, const double *lu, const int32_t *pivot, const double *rows,
                               const double *columns, double *work) {
    const int64_t n = m->n;
    double *x = work, *z = work + n, estimate = 0;
    int64_t best = -1;
    for (int64_t i = 0; i < n; i++) x[i] = rows[i] / n;
    for (int step = 0; step < 4; step++) {
        iop_solve(m, lu, pivot, x, 1);
        double norm = 0;
        for (int64_t i = 0; i < n; i++) {
            norm += fabs(x[i] / columns[i]);
            z[i] = (x[i] < 0 ? -1.0 : 1.0) / columns[i];
        }
        if (!(norm > estimate)) break;
        estimate = norm;
        iop_solve_transposed(m, lu, pivot, z);
        int64_t largest = 0;
        for (int64_t i = 1; i < n; i++)
            if (fabs(z[i] * rows[i]) > fabs(z[largest] * rows[largest])) largest = i;
        if (largest == best) break;
        best = largest;
        memset(x, 0, n * sizeof(double));
        x[largest] = rows[largest];
    }
    if (best >= 0) {
        memset(x, 0, n * sizeof(double));
        x[best] = rows[best];
        iop_solve(m, lu, pivot, x, 1);
    }
    return estimate;
}

#endif
