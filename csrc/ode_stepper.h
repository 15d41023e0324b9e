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
    int64_t method;    /* the one asked for; the pair of auto is `pair` */
    const iop_pair *pair;
    iop_combinations combinations;
    int64_t is_stiff;  /* Rodas5P is at work */
    int64_t max_steps;
    double max_step;
    double t, h;       /* h = 0: to be chosen */
    double previous;   /* error norm of the last accepted step */
    int64_t evidence, counter_evidence;
    int64_t suspicion, patience; /* explicit steps that may be too short, and how many of them before a trial */
    double limited; /* share of the last twenty or so explicit steps that were about as long as stability allows */
    double *z, *z_new, *stages /* 16 z */, *work, *dense /* 7 z */, *interpolated;
    double *power;     /* primary + primary: a vector that turns towards the dominant eigenvector, and its image */
    /* Keeps an accepted step of length h with its interpolant; NULL: not wanted. Returns 1 if there is no memory. */
    int (*record)(iop_stepper *m, double h);
    void *recorder;
    iop_surfaces *surfaces; /* where the right-hand side changes its form; NULL: nowhere */
    iop_plan *plan;         /* steps to write down, or to take again; NULL: neither */
};

/* Prepares what depends on the pair and the length of z alone. */
static void iop_set_combinations(iop_stepper *m) {
    iop_set_pair(&m->combinations, m->pair, m->flow->size);
    iop_set_rodas(&m->combinations, m->flow->size);
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
        return iop_rodas_step(&m->combinations, m->flow, m->t, h, m->z, m->dense, m->z_new, m->stages, m->work);
    return iop_explicit_step(m->pair, &m->combinations, m->flow, m->t, h, m->z, m->z_new, m->stages, m->work, stiffness);
}

/* Coefficients of the interpolant over the last step that was tried, of length h. */
static void iop_prepare_interpolant(iop_stepper *m, double h) {
    const int64_t size = m->flow->size;
    if (m->is_stiff)
        iop_rodas_prepare(&m->combinations, size, m->stages, m->dense + size);
    else
        iop_explicit_dense(m->pair, &m->combinations, m->flow, m->t, h, m->z, m->z_new, m->stages, m->work, m->dense);
}

/* m->interpolated = the first `count` components of z(t + x h), once the interpolant is prepared. */
static void iop_interpolate(iop_stepper *m, int64_t count, double h, double x) {
    const int64_t size = m->flow->size;
    if (m->is_stiff)
        iop_rodas_interpolate(size, count, x, m->z, m->z_new, m->dense + size, m->interpolated);
    else
        iop_explicit_interpolate(m->pair, size, count, h, x, m->z, m->stages, m->dense, m->interpolated);
}

#endif
