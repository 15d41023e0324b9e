/* One initial value problem from its start through all events to the last output time. */
#ifndef IMPLICITOPS_ODE_SOLVE_H
#define IMPLICITOPS_ODE_SOLVE_H

#include <stddef.h>

#include "ode_steps.h"

/* What happened at a time: a moment, or -1 for a surface or a break point, and how many steps came before. */
typedef struct {
    int64_t moment, steps;
    double time;
} iop_passage;

/* The accepted steps of an integration of the states alone, each with what its interpolant needs, and all moments. */
typedef struct {
    double *steps; /* of `row` doubles: t, h, kind of interpolant (0, 1: the pairs, 2: Rodas5P), y, at most eight vectors */
    int64_t n_steps, capacity, row;
    iop_passage *passages; /* the start, then all that happened on the way */
    double *kept;          /* a row for each: the regimes before it and whether they followed, the states before and after */
    int64_t n_passages, passage_capacity;
    double *outputs; /* states at the output times */
} iop_trajectory;

/* Memory for one solve, and where its answer goes. */
typedef struct {
    iop_ode_flow s;
    iop_stepper stepper;
    iop_ode_counts counts;
    iop_sink sink;
    iop_surfaces surfaces;
    double *moments;   /* times and derivatives of all moments */
    double *stops;     /* times of all moments and then of all break points */
    int64_t *queue;    /* events, switches and break points still to come, by time */
    int64_t n_queued;
    double *zero;      /* the derivatives of the time of an output by the parameters and by itself */
    double *values;    /* output of `first` of a map */
    double *rate;      /* one z */
    double *changed;   /* one z */
    double *first, *second, *result, *result_first, *result_second;
    /* Output times of this element in ascending order, and how far it came. */
    const double *times;
    int64_t *order;
    int64_t n_times, position;
    double *value, *jacobian, *hessian;
    iop_trajectory *trajectory; /* what the adjoint method keeps of the integration; else NULL */
} iop_ode_work;

static iop_moment iop_moment_of(const iop_ode_work *w, int64_t k) {
    const iop_ode *ode = w->s.ode;
    const int64_t count = 1 + ode->n_events + ode->n_switches;
    const iop_moment moment = {w->moments[k], w->moments + count + k * ode->p,
                               w->moments + count * (1 + ode->p) + k * iop_pairs(ode->p)};
    return moment;
}

/* What is kept of a passage. */
static inline double *iop_passage_regimes(const iop_ode *ode, const iop_trajectory *trajectory, int64_t passage) {
    return trajectory->kept + passage * (ode->n_regimes + 1 + 2 * ode->n);
}

static inline double *iop_states_before(const iop_ode *ode, const iop_trajectory *trajectory, int64_t passage) {
    return iop_passage_regimes(ode, trajectory, passage) + ode->n_regimes + 1;
}

static inline double *iop_states_after(const iop_ode *ode, const iop_trajectory *trajectory, int64_t passage) {
    return iop_states_before(ode, trajectory, passage) + ode->n;
}

/* Notes that something is about to happen, if a trajectory is kept. Returns 1 if there is no memory. */
static int iop_note_passage(iop_ode_work *w, int64_t moment, double time) {
    const iop_ode *ode = w->s.ode;
    iop_trajectory *trajectory = w->trajectory;
    if (trajectory == NULL) return 0;
    if (trajectory->n_passages == trajectory->passage_capacity) {
        const int64_t capacity = 2 * trajectory->passage_capacity + 8, row = ode->n_regimes + 1 + 2 * ode->n;
        void *passages = realloc(trajectory->passages, capacity * sizeof(iop_passage));
        if (passages != NULL) trajectory->passages = (iop_passage *)passages;
        void *kept = realloc(trajectory->kept, capacity * row * sizeof(double));
        if (kept != NULL) trajectory->kept = (double *)kept;
        if (passages == NULL || kept == NULL) return 1;
        trajectory->passage_capacity = capacity;
    }
    const int64_t j = trajectory->n_passages++;
    const iop_passage passage = {moment, trajectory->n_steps, time};
    trajectory->passages[j] = passage;
    double *regimes = iop_passage_regimes(ode, trajectory, j);
    memcpy(regimes, w->s.point + 1 + ode->n + ode->p, ode->n_regimes * sizeof(double));
    regimes[ode->n_regimes] = (double)w->s.follows;
    memcpy(iop_states_before(ode, trajectory, j), w->stepper.z, ode->n * sizeof(double));
    return 0;
}

/* The states after what was noted last. */
static void iop_note_states(iop_ode_work *w) {
    const iop_trajectory *trajectory = w->trajectory;
    if (trajectory == NULL) return;
    double *after = iop_states_after(w->s.ode, trajectory, trajectory->n_passages - 1);
    memcpy(after, w->stepper.z, w->s.ode->n * sizeof(double));
}

static void iop_emit(iop_sink *sink, double t, const double *z) {
    iop_ode_work *w = (iop_ode_work *)((char *)sink - offsetof(iop_ode_work, sink));
    iop_ode_flow *s = &w->s;
    const iop_ode *ode = s->ode;
    const int64_t row = w->order[w->position++], rows = ode->n_outputs, q = ode->p + 1;
    const int64_t order = s->pairs > 0 ? 2 : s->p > 0;
    sink->next = w->position < w->n_times ? w->times[w->order[w->position]] : INFINITY;
    if (w->trajectory != NULL) memcpy(w->trajectory->outputs + row * ode->n, z, ode->n * sizeof(double));
    const double *result = z, *first = w->first, *second = w->second;
    if (order > 0) iop_extend_by_time(s, t, z, w->rate, w->first, w->second);
    if (ode->outputs != NULL) {
        const iop_moment own = {t, w->zero, w->zero + q};
        iop_map_chain(s, ode->outputs, &own, q, order, z, first, second, w->values, w->result, w->result_first,
                      w->result_second);
        result = w->result;
        first = w->result_first;
        second = w->result_second;
    }
    if (w->value != NULL) memcpy(w->value + row * rows, result, rows * sizeof(double));
    if (w->jacobian != NULL && order > 0) memcpy(w->jacobian + row * rows * q, first, rows * q * sizeof(double));
    if (w->hessian != NULL && order > 1) iop_spread_pairs(rows, q, second, w->hessian + row * rows * q * q);
}

/* Indices 0 ... n - 1 in the order of their keys, equal ones as they come (a merge sort; most lists are sorted). */
static void iop_sort(const double *keys, int64_t n, int64_t *order) {
    int64_t *source = order, *target = order + n, sorted = 1;
    for (int64_t i = 0; i < n; i++) {
        order[i] = i;
        if (i > 0 && keys[i] < keys[i - 1]) sorted = 0;
    }
    if (sorted) return;
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t begin = 0; begin < n; begin += 2 * width) {
            const int64_t middle = iop_least(begin + width, n), end = iop_least(begin + 2 * width, n);
            int64_t a = begin, b = middle;
            for (int64_t i = begin; i < end; i++)
                target[i] = a < middle && (b >= end || keys[source[a]] <= keys[source[b]]) ? source[a++] : source[b++];
        }
        int64_t *swapped = source;
        source = target;
        target = swapped;
    }
    if (source != order) memcpy(order, source, n * sizeof(int64_t));
}

/* Changes the states and their derivatives at a moment: w = change(y). */
static void iop_apply_change(iop_ode_work *w, const iop_map *map, const iop_moment *moment, double *z) {
    iop_ode_flow *s = &w->s;
    const int64_t n = s->ode->n, p = s->p, order = s->pairs > 0 ? 2 : p > 0;
    double *new_first = w->changed + n, *new_second = new_first + n * p;
    iop_map_chain(s, map, moment, p, order, z, z + n, z + n * (1 + p), w->values, w->changed, new_first, new_second);
    memcpy(z, w->changed, n * (1 + p + s->pairs) * sizeof(double));
}

/* Which piece is in force just after t0. */
static void iop_first_regimes(iop_ode_work *w, double t0) {
    iop_ode_flow *s = &w->s;
    const iop_ode *ode = s->ode;
    double *regime = s->point + 1 + ode->n + ode->p, *now = w->values, *later = w->values + ode->n_switches;
    double *point = w->changed;
    if (ode->n_switches == 0) return;
    point[0] = t0;
    memcpy(point + 1, s->point + 1 + ode->n, ode->p * sizeof(double));
    ode->regimes.scalar(point, now, ode->regimes.ctx);
    point[0] = t0 + 1 + fabs(t0);
    ode->regimes.scalar(point, later, ode->regimes.ctx);
    for (int64_t k = 0; k < ode->n_switches; k++) {
        const double slope = later[k] - now[k], at = w->moments[1 + ode->n_events + k];
        /* Before its zero an affine function has the sign against its slope, after it that of the slope. */
        const int moves = slope != 0 && fabs(at) <= DBL_MAX;
        regime[k] = (moves ? (at > t0 ? -slope : slope) : now[k]) > 0;
    }
}

/* Evaluates all moments and break points, and queues those after t0. */
static iop_status iop_queue_moments(iop_ode_work *w) {
    const iop_ode *ode = w->s.ode;
    const int64_t count = 1 + ode->n_events + ode->n_switches;
    const double *parameters = w->s.point + 1 + ode->n;
    ode->moments.scalar(parameters, w->moments, ode->moments.ctx);
    memcpy(w->stops, w->moments, count * sizeof(double));
    if (ode->n_breakpoints > 0) ode->breakpoints.scalar(parameters, w->stops + count, ode->breakpoints.ctx);
    const double t0 = w->moments[0];
    if (!iop_finite(w->moments, 1 + ode->n_events)) return IOP_UNDEFINED;
    iop_sort(w->stops, count + ode->n_breakpoints, w->queue);
    w->n_queued = 0;
    for (int64_t i = 0; i < count + ode->n_breakpoints; i++) {
        const int64_t k = w->queue[i];
        if (k == 0) continue;
        if (k <= ode->n_events && w->stops[k] < t0) return IOP_BEFORE_START;
        /* A switch at or before the start is part of the first regime, and one that is never (NaN, infinite) of all. */
        if (k > ode->n_events && !(w->stops[k] > t0 && w->stops[k] <= DBL_MAX)) continue;
        w->queue[w->n_queued++] = k;
    }
    return IOP_CONVERGED;
}

/* Sets the regimes of surfaces to those of the states that a start or an event leaves. */
static void iop_enter_regimes(iop_ode_work *w, double t) {
    if (w->s.ode->n_surfaces == 0) return;
    iop_reset_surfaces(&w->surfaces);
    iop_set_point(&w->s, t, w->stepper.z);
    iop_read_regimes(&w->s);
}

/* Goes over to the regimes beyond a surface. Returns a status, or IOP_NO_MEMORY. */
static int iop_pass_surface(iop_ode_work *w) {
    iop_ode_flow *s = &w->s;
    if (iop_note_passage(w, -1, w->stepper.t)) return IOP_NO_MEMORY;
    memcpy(iop_surface_regimes(s), w->surfaces.next, s->ode->n_surfaces * sizeof(double));
    s->follows = w->surfaces.follows;
    return IOP_CONVERGED;
}

/* Lets happen what stop k stands for. Returns a status, or IOP_NO_MEMORY. */
static int iop_pass_moment(iop_ode_work *w, int64_t k) {
    iop_ode_flow *s = &w->s;
    const iop_ode *ode = s->ode;
    const int is_breakpoint = k > ode->n_events + ode->n_switches;
    double *z = w->stepper.z;
    if (iop_note_passage(w, is_breakpoint ? -1 : k, w->stops[k])) return IOP_NO_MEMORY;
    w->stepper.h = 0;
    if (is_breakpoint) return IOP_CONVERGED;
    const iop_moment moment = iop_moment_of(w, k);
    iop_along_moment(s, &moment, 1, z, w->rate);
    if (k <= ode->n_events) {
        iop_apply_change(w, &ode->changes[k], &moment, z);
    } else {
        double *regime = s->point + 1 + ode->n + ode->p + (k - 1 - ode->n_events);
        *regime = 1 - *regime;
    }
    iop_enter_regimes(w, moment.time);
    iop_along_moment(s, &moment, -1, z, w->rate);
    iop_note_states(w);
    return IOP_CONVERGED;
}

/* Whether integration can go on from here: everything finite, f_y too. */
static iop_status iop_check_start(iop_ode_work *w) {
    iop_ode_flow *s = &w->s;
    const iop_map *f = &s->ode->rhs;
    if (!iop_finite(w->stepper.z, s->flow.size)) return IOP_UNDEFINED;
    iop_set_point(s, w->stepper.t, w->stepper.z);
    f->first.scalar(s->point, s->values, f->first.ctx);
    if (!iop_finite(s->values, f->n_rows)) return IOP_UNDEFINED;
    if (!iop_finite(iop_map_jacobian(f, s->values), f->n_entries)) return IOP_NOT_LIPSCHITZ;
    return IOP_CONVERGED;
}

/* Units of each column for the absolute tolerances: those of y over those of its parameters. */
static void iop_scale_columns(iop_ode_flow *s) {
    const double *parameters = s->point + 1 + s->ode->n;
    double *scale = s->scale + 1, *pair = scale + s->p;
    s->scale[0] = 1;
    /* Finite, so that atol = 0 stays 0 in every unit. */
    for (int64_t a = 0; a < s->p; a++) scale[a] = parameters[a] != 0 ? fmin(1 / fabs(parameters[a]), DBL_MAX) : 1;
    for (int64_t a = 0; s->pairs > 0 && a < s->p; a++)
        for (int64_t b = a; b < s->p; b++) *pair++ = fmin(scale[a] * scale[b], DBL_MAX);
}

static void iop_reset(iop_stepper *m, double t) {
    m->t = t;
    m->h = 0;
    m->previous = 1e-4;
    m->is_stiff = m->method == IOP_ODE_RODAS5P;
    m->evidence = m->counter_evidence = m->suspicion = 0;
    m->limited = 0;
    m->patience = 5;
    for (int64_t i = 0; i < m->flow->primary; i++) m->power[i] = 1;
}

/* Returns a status, or IOP_NO_MEMORY. */
static int iop_ode_solve_times(iop_ode_work *w) {
    iop_ode_flow *s = &w->s;
    const iop_ode *ode = s->ode;
    iop_stepper *m = &w->stepper;
    int64_t passed = 0;
    memset(&w->counts, 0, sizeof w->counts);
    s->follows = 0;
    if (w->trajectory != NULL) w->trajectory->n_steps = w->trajectory->n_passages = 0;
    if (!iop_finite(s->point + 1 + ode->n, ode->p) || !iop_finite(w->times, w->n_times)) return IOP_INVALID_INPUT;
    int status = iop_queue_moments(w);
    if (status != IOP_CONVERGED) return status;
    const iop_moment start = iop_moment_of(w, 0);
    iop_sort(w->times, w->n_times, w->order);
    if (w->n_times == 0) return IOP_CONVERGED;
    w->position = 0;
    w->sink.next = w->times[w->order[0]];
    if (w->sink.next < start.time) return IOP_BEFORE_START;
    const double end = w->times[w->order[w->n_times - 1]];
    iop_scale_columns(s);
    iop_first_regimes(w, start.time);
    iop_reset(m, start.time);
    memset(m->z, 0, s->flow.size * sizeof(double));
    if (iop_note_passage(w, 0, start.time)) return IOP_NO_MEMORY;
    iop_apply_change(w, &ode->changes[0], &start, m->z);
    iop_enter_regimes(w, start.time);
    iop_along_moment(s, &start, -1, m->z, w->rate);
    iop_note_states(w);
    for (;;) {
        while (passed < w->n_queued && w->stops[w->queue[passed]] <= m->t)
            if ((status = iop_pass_moment(w, w->queue[passed++])) != IOP_CONVERGED) return status;
        if (m->h == 0 && (status = iop_check_start(w)) != IOP_CONVERGED) return status;
        while (w->sink.next <= m->t) iop_emit(&w->sink, m->t, m->z);
        if (w->position == w->n_times) return IOP_CONVERGED;
        const double next = passed < w->n_queued ? w->stops[w->queue[passed]] : INFINITY;
        status = iop_integrate(m, next < end ? next : end, &w->sink);
        if (status == IOP_SURFACE) status = iop_pass_surface(w);
        if (status != IOP_CONVERGED) return status;
    }
}

/* Connects the parts of a solve with each other. */
static void iop_ode_bind(iop_ode_work *w) {
    iop_flow *flow = &w->s.flow;
    flow->evaluate = iop_ode_evaluate;
    flow->linearise = iop_ode_linearise;
    flow->factorise = iop_ode_factorise;
    flow->solve = iop_ode_solve;
    flow->multiply = iop_ode_multiply;
    flow->norm = iop_ode_norm;
    flow->atol = w->s.ode->atol;
    flow->rtol = w->s.ode->rtol;
    w->sink.emit = iop_emit;
    w->surfaces.s = &w->s;
    w->stepper.surfaces = w->s.ode->n_surfaces > 0 ? &w->surfaces : NULL;
    iop_set_combinations(&w->stepper);
}

#endif
