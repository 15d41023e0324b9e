/* Symmetric positive definite matrices, dense and row-major: A = R'R with R upper triangular.
 *
 * Right-looking, so that the inner loops run along rows (G. H. Golub and C. F. Van Loan, Matrix Computations, 2013,
 * section 4.2).  Only the upper triangle of A is read and only that of R is written.
 */
#ifndef IMPLICITOPS_CHOLESKY_H
#define IMPLICITOPS_CHOLESKY_H

#include "linear.h"

/* R of A + shift * identity.  Returns n, or the first k whose leading minor of order k + 1 is not positive; then
 * `defect` is by how much its last diagonal element is too small. */
static int64_t iop_cholesky(int64_t n, const double *a, double shift, double *r, double *defect) {
    for (int64_t k = 0; k < n; k++) {
        memcpy(r + k * n + k, a + k * n + k, (n - k) * sizeof(double));
        r[k * n + k] += shift;
    }
    for (int64_t k = 0; k < n; k++) {
        double *row = r + k * n;
        if (!(row[k] > 0) || row[k] > DBL_MAX) {
            *defect = -row[k];
            return k;
        }
        row[k] = sqrt(row[k]);
        for (int64_t j = k + 1; j < n; j++) row[j] /= row[k];
        for (int64_t i = k + 1; i < n; i++)
            if (row[i] != 0) iop_subtract(row + i, row[i], r + i * n + i, n - i);
    }
    return n;
}

/* R'Y = B in place, `count` right-hand sides in the rows of b (n, count). */
static void iop_forward(int64_t n, const double *r, double *b, int64_t count) {
    for (int64_t k = 0; k < n; k++) {
        const double *row = r + k * n;
        double *b_k = b + k * count;
        for (int64_t c = 0; c < count; c++) b_k[c] /= row[k];
        for (int64_t i = k + 1; i < n; i++)
            if (row[i] != 0)
                for (int64_t c = 0; c < count; c++) b[i * count + c] -= row[i] * b_k[c];
    }
}

/* R X = Y for the leading `m` rows and columns of R, in place. */
static void iop_backward(int64_t n, int64_t m, const double *r, double *b, int64_t count) {
    for (int64_t k = m - 1; k >= 0; k--) {
        const double *row = r + k * n;
        double *b_k = b + k * count;
        for (int64_t j = k + 1; j < m; j++)
            if (row[j] != 0)
                for (int64_t c = 0; c < count; c++) b_k[c] -= row[j] * b[j * count + c];
        for (int64_t c = 0; c < count; c++) b_k[c] /= row[k];
    }
}

static void iop_cholesky_solve(int64_t n, const double *r, double *b, int64_t count) {
    iop_forward(n, r, b, count);
    iop_backward(n, n, r, b, count);
}

/* Direction v with v'(A + shift)v = -defect, from a factorisation that stopped at k. */
static void iop_negative_direction(int64_t n, const double *r, int64_t k, double *v) {
    memset(v, 0, n * sizeof(double));
    for (int64_t i = 0; i < k; i++) v[i] = -r[i * n + k];
    iop_backward(n, k, r, v, 1);
    v[k] = 1;
}

/* Unit vector z that R'R hardly magnifies, by inverse iteration from a right-hand side of signs chosen to let it grow
 * (J. J. More and D. C. Sorensen, SIAM J. Sci. Stat. Comput. 4 (1983) 553, section 3); returns z'R'Rz. */
static double iop_smallest_direction(int64_t n, const double *r, double *z) {
    memset(z, 0, n * sizeof(double));
    for (int64_t k = 0; k < n; k++) {
        const double *row = r + k * n;
        z[k] = (z[k] > 0 ? z[k] + 1 : z[k] - 1) / row[k];
        for (int64_t i = k + 1; i < n; i++) z[i] -= row[i] * z[k];
    }
    iop_backward(n, n, r, z, 1);
    double square = 0;
    for (int step = 0; step < 2; step++) {
        const double length = sqrt(iop_dot(z, z, n));
        for (int64_t i = 0; i < n; i++) z[i] /= length;
        if (step == 0) iop_cholesky_solve(n, r, z, 1);
    }
    for (int64_t k = 0; k < n; k++) {
        const double component = iop_dot(r + k * n + k, z + k, n - k);
        square += component * component;
    }
    return square;
}

#endif
