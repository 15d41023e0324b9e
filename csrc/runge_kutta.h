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

/* Four doubles that the compiler keeps in a vector register, and from memory of any alignment. */
typedef double iop_four __attribute__((vector_size(32)));

static inline iop_four iop_load_four(const double *x) {
    iop_four four;
    memcpy(&four, x, sizeof four);
    return four;
}

static inline void iop_store_four(double *x, iop_four four) { memcpy(x, &four, sizeof four); }

/* A linear combination of stages: those with a weight, where they begin, and the weights. */
typedef struct {
    int64_t count, offsets[IOP_MOST_STAGES];
    double weights[IOP_MOST_STAGES];
} iop_combination;

static void iop_set_combination(iop_combination *c, const double *weights, int64_t stages, int64_t size) {
    c->count = 0;
    for (int64_t s = 0; s < stages; s++) {
        c->offsets[c->count] = s * size;
        c->weights[c->count] = weights[s];
        c->count += weights[s] != 0;
    }
}

/* result = base + h sum of weights[j] K_j; base NULL: 0.  Each part of the result stays in registers while all stages are
 * added: the vectors are short, and loads and stores would cost more than arithmetic. */
IOP_VECTORISED_SHORT
static void iop_combine(const iop_combination *c, int64_t size, double h, const double *k, const double *base,
                        double *result) {
    int64_t i = 0;
    for (; i + 16 <= size; i += 16) {
        iop_four s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
        for (int64_t j = 0; j < c->count; j++) {
            const double *x = k + c->offsets[j] + i, weight = c->weights[j];
            s0 += weight * iop_load_four(x);
            s1 += weight * iop_load_four(x + 4);
            s2 += weight * iop_load_four(x + 8);
            s3 += weight * iop_load_four(x + 12);
        }
        const double *b = base != NULL ? base + i : NULL;
        iop_store_four(result + i, b != NULL ? iop_load_four(b) + h * s0 : h * s0);
        iop_store_four(result + i + 4, b != NULL ? iop_load_four(b + 4) + h * s1 : h * s1);
        iop_store_four(result + i + 8, b != NULL ? iop_load_four(b + 8) + h * s2 : h * s2);
        iop_store_four(result + i + 12, b != NULL ? iop_load_four(b + 12) + h * s3 : h * s3);
    }
    for (; i + 4 <= size; i += 4) {
        iop_four sum = {0};
        for (int64_t j = 0; j < c->count; j++) sum += c->weights[j] * iop_load_four(k + c->offsets[j] + i);
        iop_store_four(result + i, base != NULL ? iop_load_four(base + i) + h * sum : h * sum);
    }
    for (; i < size; i++) {
        double sum = 0;
        for (int64_t j = 0; j < c->count; j++) sum += c->weights[j] * k[c->offsets[j] + i];
        result[i] = base != NULL ? base[i] + h * sum : h * sum;
    }
}

/* All combinations of stages that a pair and Rodas5P need, for vectors of one size. */
typedef struct {
    iop_combination stages[IOP_MOST_STAGES], errors[2], interpolant[4];
    iop_combination rodas_state[8], rodas_rate[8], rodas_dense[3];
} iop_combinations;

static void iop_set_pair(iop_combinations *c, const iop_pair *pair, int64_t size) {
    for (int64_t s = 0; s < pair->stages + pair->dense_stages; s++)
        iop_set_combination(&c->stages[s], pair->weights + s * pair->row, s, size);
    if (pair->stages == 7) {
        iop_set_combination(&c->errors[0], iop_tsit5_error, 7, size);
        return;
    }
    iop_set_combination(&c->errors[0], iop_dop853_error5, 13, size);
    iop_set_combination(&c->errors[1], iop_dop853_error3, 13, size);
    for (int64_t m = 0; m < 4; m++) iop_set_combination(&c->interpolant[m], iop_dop853_interpolant[m], 16, size);
}

static void iop_stage(const iop_pair *pair, const iop_combinations *c, iop_flow *flow, int64_t s, double t, double h,
                      const double *z, double *state, double *k) {
    iop_combine(&c->stages[s], flow->size, h, k, z, state);
    flow->evaluate(flow, t + pair->nodes[s] * h, state, k + s * flow->size);
}

/* Tries a step from z, whose derivative is the first row of k, to z_new. Returns the norm of its error, infinite where a
 * stage is not defined.  `work` holds one z; *stiffness becomes h times the estimate of Hairer and Wanner (Solving ODEs
 * II, section IV.2) of the largest eigenvalue. */
static double iop_explicit_step(const iop_pair *pair, const iop_combinations *c, iop_flow *flow, double t, double h,
                                const double *z, double *z_new, double *k, double *work, double *stiffness) {
    const int64_t size = flow->size, last = pair->stages - 1;
    for (int64_t s = 1; s < last; s++) iop_stage(pair, c, flow, s, t, h, z, work, k);
    iop_stage(pair, c, flow, last, t, h, z, z_new, k);
    if (!iop_finite(z_new, size) || !iop_finite(k + last * size, size)) return INFINITY;
    /* The last two stages are at t + h both. */
    for (int64_t i = 0; i < flow->primary; i++) work[i] -= z_new[i];
    const double distance = iop_scaled_length(flow, work, z_new);
    for (int64_t i = 0; i < flow->primary; i++) work[i] = k[last * size + i] - k[(last - 1) * size + i];
    *stiffness = distance > 0 ? h * iop_scaled_length(flow, work, z_new) / distance : 0;
    if (pair == &iop_tsit5) {
        iop_combine(&c->errors[0], size, h, k, NULL, work);
        return flow->norm(flow, work, z, z_new);
    }
    iop_combine(&c->errors[0], size, h, k, NULL, work);
    const double fifth = flow->norm(flow, work, z, z_new);
    iop_combine(&c->errors[1], size, h, k, NULL, work);
    const double third = flow->norm(flow, work, z, z_new);
    if (!(third <= DBL_MAX)) return INFINITY;
    /* fifth^2 / sqrt(fifth^2 + (third / 10)^2), without squares that leave the range of doubles. */
    return fifth == 0 ? 0 : fifth * (fifth / hypot(fifth, 0.1 * third));
}

/* Coefficients of the interpolant over an accepted step, from which iop_explicit_interpolate() works: seven rows of z for
 * DOP853; Tsit5 needs nothing but its stages. */
static void iop_explicit_dense(const iop_pair *pair, const iop_combinations *c, iop_flow *flow, double t, double h,
                               const double *z, const double *z_new, double *k, double *work, double *dense) {
    const int64_t size = flow->size;
    if (pair == &iop_tsit5) return;
    for (int64_t s = pair->stages; s < pair->stages + pair->dense_stages; s++) iop_stage(pair, c, flow, s, t, h, z, work, k);
    const double *restrict first = k, *restrict last = k + 12 * size;
    for (int64_t i = 0; i < size; i++) {
        const double difference = z_new[i] - z[i];
        dense[i] = difference;
        dense[size + i] = h * first[i] - difference;
        dense[2 * size + i] = 2 * difference - h * (last[i] + first[i]);
    }
    for (int64_t m = 0; m < 4; m++) iop_combine(&c->interpolant[m], size, h, k, NULL, dense + (3 + m) * size);
}

/* result = the first `count` components of z(t + x h) for 0 <= x <= 1. */
static void iop_explicit_interpolate(const iop_pair *pair, int64_t size, int64_t count, double h, double x,
                                     const double *z, const double *k, const double *dense, double *result) {
    if (pair == &iop_tsit5) {
        double weights[7];
        for (int64_t j = 0; j < 7; j++) {
            const double *c = iop_tsit5_interpolant[j];
            weights[j] = x * (c[0] + x * (c[1] + x * (c[2] + x * c[3])));
        }
        iop_combination now;
        iop_set_combination(&now, weights, 7, size);
        iop_combine(&now, count, h, k, z, result);
        return;
    }
    const double y = 1 - x;
    for (int64_t i = 0; i < count; i++) {
        const double *d = dense + i;
        result[i] = z[i] + x * (d[0] + y * (d[size] + x * (d[2 * size] + y * (d[3 * size]
                    + x * (d[4 * size] + y * (d[5 * size] + x * d[6 * size]))))));
    }
}

#endif
