/* One step of an explicit Runge-Kutta pair, its error, its interpolant, and whether it meets a stiff system.
 *
 * What tells the pairs apart, coefficients and functions, is in the table of runge_kutta_tableaus.h.
 */
#ifndef IMPLICITOPS_RUNGE_KUTTA_H
#define IMPLICITOPS_RUNGE_KUTTA_H

#include "ode.h"

/* Limits of all pairs: stages with those of the interpolant, estimates of the error, combinations that an interpolant is
 * prepared from.  A pair that needs more of them does not compile. */
enum { IOP_MOST_STAGES = 16, IOP_MOST_ERRORS = 2, IOP_MOST_PREPARED = 4 };

typedef struct iop_combinations iop_combinations;

struct iop_pair {
    const char *name;      /* by which a statement asks for it */
    int64_t order;         /* of the solution; step control takes the error of a step to be of this order in h */
    int64_t stages;        /* the last of them is evaluated at the solution */
    int64_t all_stages;    /* with those for the interpolant alone; length of a row of weights */
    int64_t n_errors;      /* estimates of the error */
    int64_t n_prepared;    /* combinations of all stages that the interpolant is prepared from */
    int64_t n_kept;        /* vectors of z that the interpolant works from */
    double stability;      /* length of the stability region along the negative real axis */
    const double *nodes;   /* (all_stages) */
    const double *weights; /* (all_stages, all_stages) */
    const double *errors[IOP_MOST_ERRORS]; /* weights of the stages in each estimate */
    const double *prepared;                /* (n_prepared, all_stages) */
    /* The error of a step from the norms of several estimates; NULL: there is one. */
    double (*error)(const double *norms);
    /* Writes the n_kept vectors that the interpolant over an accepted step works from; NULL: it works from the stages. */
    void (*prepare)(const iop_pair *pair, const iop_combinations *c, iop_flow *flow, double t, double h, const double *z,
                    const double *z_new, double *k, double *work, double *dense);
    /* result = the first `count` components of z(t + x h) for 0 <= x <= 1. */
    void (*interpolate)(int64_t size, int64_t count, double h, double x, const double *z, const double *kept,
                        double *result);
};

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

/* All combinations of stages that a pair needs, for vectors of one size. */
struct iop_combinations {
    iop_combination stages[IOP_MOST_STAGES], errors[IOP_MOST_ERRORS], prepared[IOP_MOST_PREPARED];
};

static void iop_set_pair(iop_combinations *c, const iop_pair *pair, int64_t size) {
    for (int64_t s = 0; s < pair->all_stages; s++)
        iop_set_combination(&c->stages[s], pair->weights + s * pair->all_stages, s, size);
    for (int64_t e = 0; e < pair->n_errors; e++) iop_set_combination(&c->errors[e], pair->errors[e], pair->stages, size);
    for (int64_t m = 0; m < pair->n_prepared; m++)
        iop_set_combination(&c->prepared[m], pair->prepared + m * pair->all_stages, pair->all_stages, size);
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
    double norms[IOP_MOST_ERRORS];
    for (int64_t e = 0; e < pair->n_errors; e++) {
        iop_combine(&c->errors[e], size, h, k, NULL, work);
        norms[e] = flow->norm(flow, work, z, z_new);
        if (!(norms[e] <= DBL_MAX)) return INFINITY;
    }
    return pair->error == NULL ? norms[0] : pair->error(norms);
}

#endif
