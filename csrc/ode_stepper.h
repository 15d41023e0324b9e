/* One integration: its data, a step by the method at work, and the interpolant over it. */
#ifndef IMPLICITOPS_ODE_STEPPER_H
#define IMPLICITOPS_ODE_STEPPER_H

#include "ode_moments.h"
#include "rodas5p.h"

/* Returned in the place of a status where a step could not be recorded, and where the solution met a surface. */
enum { IOP_NO_MEMORY = -1, IOP_SURFACE = -2 };

typedef struct iop_stepper iop_stepper;
typedef struct iop_surfaces iop_surfaces;
typedef struct iop_plan iop_plan;

/* One integration. Vectors of one z unless it says otherwise. */
struct iop_stepper {
    iop_flow *flow;
    iop_ode_method method;
    const iop_pair *pair;
    iop_combinations combinations;
    iop_rodas_combinations rodas;
    int64_t is_stiff;  /* Rodas5P is at work */
    int64_t max_steps;
    double max_step;
    double t, h;       /* h = 0: to be chosen */
    double previous;   /* error norm of the last accepted step */
    int64_t evidence, counter_evidence;
    int64_t suspicion, patience; /* explicit steps that may be too short, and how many of them before a trial */
    double limited; /* share of the last twenty or so explicit steps that were about as long as stability allows */
    double *z, *z_new, *stages, *work, *dense, *interpolated; /* stages, dense: see iop_stage_rows() */
    double *power;     /* primary + primary: a vector that turns towards the dominant eigenvector, and its image */
    /* Keeps an accepted step of length h with its interpolant; NULL: not wanted. Returns 1 if there is no memory. */
    int (*record)(iop_stepper *m, double h);
    void *recorder;
    iop_surfaces *surfaces; /* where the right-hand side changes its form; NULL: nowhere */
    iop_plan *plan;         /* steps to write down, or to take again; NULL: neither */
};

/* Vectors of z that `stages` holds, and those that `dense` holds or that are recorded of an interpolant: whichever of the
 * pair and Rodas5P needs more of them. */
static inline int64_t iop_stage_rows(const iop_pair *pair) {
    return pair->all_stages > IOP_RODAS_STAGES ? pair->all_stages : IOP_RODAS_STAGES;
}

static inline int64_t iop_dense_rows(const iop_pair *pair) {
    return pair->n_kept > IOP_RODAS_KEPT ? pair->n_kept : IOP_RODAS_KEPT;
}

/* What the pair's interpolant works from, once it is prepared. */
static inline const double *iop_explicit_kept(const iop_stepper *m) {
    return m->pair->prepare != NULL ? m->dense : m->stages;
}

/* Order of the method at work. */
static inline double iop_order(const iop_stepper *m) { return m->is_stiff ? IOP_RODAS_ORDER : (double)m->pair->order; }

/* Prepares what depends on the pair and the length of z alone. */
static void iop_set_combinations(iop_stepper *m) {
    iop_set_pair(&m->combinations, m->pair, m->flow->size);
    iop_set_rodas(&m->rodas, m->flow->size);
}

/* Receives z at an output time. */
typedef struct iop_sink iop_sink;
struct iop_sink {
    double next; /* time of the next output, infinite after the last */
    void (*emit)(iop_sink *sink, double t, const double *z);
};

/* Tries a step of length h from z to z_new and returns the norm of its error. */
static inline double iop_try_step(iop_stepper *m, double h, double *stiffness) {
    if (m->is_stiff)
        return iop_rodas_step(&m->rodas, m->flow, m->t, h, m->z, m->dense, m->z_new, m->stages, m->work);
    return iop_explicit_step(m->pair, &m->combinations, m->flow, m->t, h, m->z, m->z_new, m->stages, m->work, stiffness);
}

/* Coefficients of the interpolant over the last step that was tried, of length h. */
static void iop_prepare_interpolant(iop_stepper *m, double h) {
    const int64_t size = m->flow->size;
    if (m->is_stiff)
        iop_rodas_prepare(&m->rodas, size, m->stages, m->dense + size);
    else if (m->pair->prepare != NULL)
        m->pair->prepare(m->pair, &m->combinations, m->flow, m->t, h, m->z, m->z_new, m->stages, m->work, m->dense);
}

/* m->interpolated = the first `count` components of z(t + x h), once the interpolant is prepared. */
static void iop_interpolate(iop_stepper *m, int64_t count, double h, double x) {
    const int64_t size = m->flow->size;
    if (m->is_stiff)
        iop_rodas_interpolate(size, count, x, m->z, m->z_new, m->dense + size, m->interpolated);
    else
        m->pair->interpolate(size, count, h, x, m->z, iop_explicit_kept(m), m->interpolated);
}

#endif
