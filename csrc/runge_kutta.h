/* One step of an explicit Runge-Kutta pair, its error, its interpolant, and whether it meets a stiff system.
 *
 * The coefficients and their sources are in runge_kutta_tableaus.h.
 */
#ifndef IMPLICITOPS_RUNGE_KUTTA_H
#define IMPLICITOPS_RUNGE_KUTTA_H

#include "ode.h"
#include "runge_kutta_tableaus.h"

typedef struct {
    int64_t stages;       /* the last of them is evaluated at the solution */
    int64_t dense_stages; /* more of them for the interpolant */
    int64_t row;          /* length of a row of weights */
    double order;         /* of the error estimate, plus one */
    double stability;     /* length of the stability region along the negative real axis */
    const double *nodes, *weights;
} iop_pair;

static const iop_pair iop_tsit5 = {7, 0, 7, 5, 3.3, iop_tsit5_nodes, iop_tsit5_weights[0]};
static const iop_pair iop_dop853 = {13, 3, 16, 8, 6.1, iop_dop853_nodes, iop_dop853_weights[0]};

/* Stages that memory is laid out for. */
enum { IOP_MOST_STAGES = 16 };

/* result += sum of weights[j] h K_j, for stages with a weight. Four stages are added in one pass over memory. */
IOP_VECTORISED_SHORT
static void iop_add_stages(int64_t size, double h, const double *weights, int64_t stages, const double *k,
                           double *restrict result) {
    const double *used[IOP_MOST_STAGES];
    double factor[IOP_MOST_STAGES];
    int64_t count = 0, j = 0;
    for (int64_t s = 0; s < stages; s++) {
        if (weights[s] == 0) continue;
        used[count] = k + s * size;
        factor[count++] = h * weights[s];
    }
    for (; j + 4 <= count; j += 4) {
        const double *restrict k0 = used[j], *restrict k1 = used[j + 1], *restrict k2 = used[j + 2];
        const double *restrict k3 = used[j + 3];
        const double f0 = factor[j], f1 = factor[j + 1], f2 = factor[j + 2], f3 = factor[j + 3];
#pragma omp simd
        for (int64_t i = 0; i < size; i++) result[i] += (f0 * k0[i] + f1 * k1[i]) + (f2 * k2[i] + f3 * k3[i]);
    }
    for (; j < count; j++) {
        const double *restrict k0 = used[j];
        const double f0 = factor[j];
#pragma omp simd
        for (int64_t i = 0; i < size; i++) result[i] += f0 * k0[i];
    }
}

static void iop_stage(const iop_pair *pair, iop_flow *flow, int64_t s, double t, double h, const double *z,
                      double *state, double *k) {
    memcpy(state, z, flow->size * sizeof(double));
    iop_add_stages(flow->size, h, pair->weights + s * pair->row, s, k, state);
    flow->evaluate(flow, t + pair->nodes[s] * h, state, k + s * flow->size);
}

/* Tries a step from z, whose derivative is the first row of k, to z_new. Returns the norm of its error, infinite where a
 * stage is not defined.  `work` holds one z; *stiffness becomes h times the estimate of Hairer and Wanner (Solving ODEs
 * II, section IV.2) of the largest eigenvalue. */
static double iop_explicit_step(const iop_pair *pair, iop_flow *flow, double t, double h, const double *z, double *z_new,
                                double *k, double *work, double *stiffness) {
    const int64_t size = flow->size, last = pair->stages - 1;
    for (int64_t s = 1; s < last; s++) iop_stage(pair, flow, s, t, h, z, work, k);
    iop_stage(pair, flow, last, t, h, z, z_new, k);
    if (!iop_finite(z_new, size) || !iop_finite(k + last * size, size)) return INFINITY;
    /* The last two stages are at t + h both. */
    for (int64_t i = 0; i < flow->primary; i++) work[i] -= z_new[i];
    const double distance = iop_scaled_length(flow, work, z_new);
    for (int64_t i = 0; i < flow->primary; i++) work[i] = k[last * size + i] - k[(last - 1) * size + i];
    *stiffness = distance > 0 ? h * iop_scaled_length(flow, work, z_new) / distance : 0;
    memset(work, 0, size * sizeof(double));
    if (pair == &iop_tsit5) {
        iop_add_stages(size, h, iop_tsit5_error, 7, k, work);
        return flow->norm(flow, work, z, z_new);
    }
    iop_add_stages(size, h, iop_dop853_error5, 13, k, work);
    const double fifth = flow->norm(flow, work, z, z_new);
    memset(work, 0, size * sizeof(double));
    iop_add_stages(size, h, iop_dop853_error3, 13, k, work);
    const double third = flow->norm(flow, work, z, z_new);
    return fifth == 0 ? 0 : fifth * fifth / sqrt(fifth * fifth + 0.01 * third * third);
}

/* Coefficients of the interpolant over an accepted step, from which iop_explicit_interpolate() works: seven rows of z for
 * DOP853; Tsit5 needs nothing but its stages. */
static void iop_explicit_dense(const iop_pair *pair, iop_flow *flow, double t, double h, const double *z,
                               const double *z_new, double *k, double *work, double *dense) {
    const int64_t size = flow->size;
    if (pair == &iop_tsit5) return;
    for (int64_t s = pair->stages; s < pair->stages + pair->dense_stages; s++) iop_stage(pair, flow, s, t, h, z, work, k);
    const double *restrict first = k, *restrict last = k + 12 * size;
    for (int64_t i = 0; i < size; i++) {
        const double difference = z_new[i] - z[i];
        dense[i] = difference;
        dense[size + i] = h * first[i] - difference;
        dense[2 * size + i] = 2 * difference - h * (last[i] + first[i]);
    }
    memset(dense + 3 * size, 0, 4 * size * sizeof(double));
    for (int64_t m = 0; m < 4; m++) iop_add_stages(size, h, iop_dop853_interpolant[m], 16, k, dense + (3 + m) * size);
}

/* result = z(t + x h) for 0 <= x <= 1, its first `size` components of `stride`. */
static void iop_explicit_interpolate(const iop_pair *pair, int64_t size, double h, double x, const double *z,
                                     const double *k, const double *dense, double *result) {
    if (pair == &iop_tsit5) {
        double weights[7];
        for (int64_t j = 0; j < 7; j++) {
            const double *c = iop_tsit5_interpolant[j];
            weights[j] = x * (c[0] + x * (c[1] + x * (c[2] + x * c[3])));
        }
        memcpy(result, z, size * sizeof(double));
        iop_add_stages(size, h, weights, 7, k, result);
        return;
    }
    const double y = 1 - x;
    for (int64_t i = 0; i < size; i++) {
        const double *d = dense + i;
        result[i] = z[i] + x * (d[0] + y * (d[size] + x * (d[2 * size] + y * (d[3 * size]
                    + x * (d[4 * size] + y * (d[5 * size] + x * d[6 * size]))))));
    }
}

#endif
