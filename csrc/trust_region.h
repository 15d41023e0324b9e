/* The trust-region step: least value of a quadratic model in a ball.
 *
 *     minimise  g'p + p'Bp / 2   subject to  |p| <= radius
 *
 * p solves it if and only if (B + shift) p = -g with B + shift positive semidefinite, shift >= 0, and shift = 0 unless
 * |p| = radius.  Newton's method on 1/|p(shift)| - 1/radius = 0 between safeguards, and a direction of smallest
 * curvature where no such p is long enough (the hard case; g = 0 at a saddle point is one).
 * J. J. More and D. C. Sorensen, Computing a Trust Region Step, SIAM J. Sci. Stat. Comput. 4 (1983) 553, algorithm
 * 3.14.
 */
#ifndef IMPLICITOPS_TRUST_REGION_H
#define IMPLICITOPS_TRUST_REGION_H

#include "cholesky.h"

/* How far |p| may be from the radius, and the model's value from its least, in relative terms. */
#define IOP_RADIUS_TOLERANCE 0.1
#define IOP_MODEL_TOLERANCE 0.2

typedef struct {
    int64_t n;
    double *matrix;    /* B, upper triangle, row stride n */
    double *gradient;
    double *step;      /* out: p */
    double *factor;    /* n x n */
    double *direction; /* work */
    double negligible; /* change of the model that does not matter */
    int64_t factorisations;
} iop_trust_region;

/* Interval that contains the shift, from Gershgorin's discs. */
static void iop_shift_bounds(const iop_trust_region *t, double radius, double *low, double *high) {
    const int64_t n = t->n;
    const double slope = sqrt(iop_dot(t->gradient, t->gradient, n)) / radius;
    double least = INFINITY, largest = -INFINITY, diagonal = INFINITY, *sums = t->direction;
    memset(sums, 0, n * sizeof(double));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++) {
            sums[i] += fabs(t->matrix[i * n + j]);
            sums[j] += fabs(t->matrix[i * n + j]);
        }
    for (int64_t i = 0; i < n; i++) {
        diagonal = fmin(diagonal, t->matrix[i * n + i]);
        least = fmin(least, t->matrix[i * n + i] - sums[i]);
        largest = fmax(largest, t->matrix[i * n + i] + sums[i]);
    }
    *low = fmax(0, fmax(-diagonal, slope - largest));
    /* A little more, because at the very end the shifted matrix may be singular. */
    *high = fmax(0, slope - least) + 0.01 * (slope + fmax(fabs(least), fabs(largest)));
}

/* Lengthens p along the direction of smallest curvature to the radius, if that changes the model's value little. */
static int iop_hard_case(iop_trust_region *t, double radius, double shift, double *curvature) {
    const int64_t n = t->n;
    double *z = t->direction;
    *curvature = iop_smallest_direction(n, t->factor, z);
    const double along = iop_dot(t->step, z, n), square = iop_dot(t->step, t->step, n);
    const double missing = (radius - sqrt(square)) * (radius + sqrt(square));
    const double tau = missing / (along + (along < 0 ? -1 : 1) * sqrt(along * along + missing));
    const double value = -iop_dot(t->gradient, t->step, n) + shift * radius * radius;
    if (!(tau * tau * *curvature <= fmax(IOP_MODEL_TOLERANCE * value, t->negligible))) return 0;
    for (int64_t i = 0; i < n; i++) t->step[i] += tau * z[i];
    return 1;
}

/* Computes p and returns the shift: 0 if p is the Newton step. */
static double iop_trust_region_step(iop_trust_region *t, double radius) {
    const int64_t n = t->n;
    double low, high, defect, next;
    iop_shift_bounds(t, radius, &low, &high);
    double shift = low > 0 ? fmax(sqrt(low * high), low + 0.01 * (high - low)) : 0;
    int64_t order = 0;
    for (int attempt = 0; attempt < 60 && low <= high; attempt++) {
        order = iop_cholesky(n, t->matrix, shift, t->factor, &defect);
        t->factorisations++;
        next = -1;
        if (order < n) {
            iop_negative_direction(n, t->factor, order, t->direction);
            low = fmax(low, shift + defect / iop_dot(t->direction, t->direction, n));
            if (shift == 0 && high == 0) break;
        } else {
            for (int64_t i = 0; i < n; i++) t->step[i] = -t->gradient[i];
            iop_cholesky_solve(n, t->factor, t->step, 1);
            const double length = sqrt(iop_dot(t->step, t->step, n));
            if ((length <= radius && shift == 0) || fabs(length - radius) <= IOP_RADIUS_TOLERANCE * radius) return shift;
            if (length > 0) {
                memcpy(t->direction, t->step, n * sizeof(double));
                iop_forward(n, t->factor, t->direction, 1);
                const double ratio = length * length / iop_dot(t->direction, t->direction, n);
                next = shift + ratio * (length - radius) / radius;
            }
            if (length < radius) {
                double curvature;
                high = shift;
                if (iop_hard_case(t, radius, shift, &curvature)) return shift;
                low = fmax(low, shift - curvature);
            } else {
                low = shift;
            }
        }
        shift = next > low && next < high ? next : fmax(sqrt(low * high), low + 0.01 * (high - low));
    }
    if (order < n) memset(t->step, 0, n * sizeof(double));
    return shift > 0 ? shift : DBL_MIN;
}

#endif
