/* One initial value problem from its start through all events to the last output time. */
#ifndef IMPLICITOPS_ODE_SOLVE_H
#define IMPLICITOPS_ODE_SOLVE_H

#include <stddef.h>

#include "ode_steps.h"

/* What happened at a moment: the states before and after it, and how many steps came before. */
typedef struct {
    int64_t moment, steps;
    double *before, *after;
} iop_passage;

/* The accepted steps of an integration of the states alone, each with what its interpolant needs, and all moments. */
typedef struct {
    double *steps; /* of `row` doubles: t, h, kind of interpolant (0, 1: the pairs, 2: Rodas5P), y, at most eight vectors */
    int64_t n_steps, capacity, row;
    iop_passage *passages; /* the start, then each event and switch on the way */
    int64_t n_passages;
    double *outputs; /* states at the output times */
} iop_trajectory;

/* Memory for one solve, and where its answer goes. */
typedef struct {
    iop_ode_flow s;
    iop_stepper stepper;
    iop_ode_counts counts;
    iop_sink sink;
    double *moments;   /* times and derivatives of all moments */
    int64_t *queue;    /* events and switches still to come, by time */
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

/* Evaluates all moments and queues those after t0. */
static iop_status iop_queue_moments(iop_ode_work *w) {
    const iop_ode *ode = w->s.ode;
    const int64_t count = 1 + ode->n_events + ode->n_switches;
    ode->moments.scalar(w->s.point + 1 + ode->n, w->moments, ode->moments.ctx);
    const double t0 = w->moments[0];
    if (!iop_finite(w->moments, 1 + ode->n_events)) return IOP_UNDEFINED;
    iop_sort(w->moments, count, w->queue);
    w->n_queued = 0;
    for (int64_t i = 0; i < count; i++) {
        const int64_t k = w->queue[i];
        if (k == 0) continue;
        if (k <= ode->n_events && w->moments[k] < t0) return IOP_BEFORE_START;
        /* A switch at or before the start is part of the first regime, and one that is never (NaN, infinite) of all. */
        if (k > ode->n_events && !(w->moments[k] > t0 && w->moments[k] <= DBL_MAX)) continue;
        w->queue[w->n_queued++] = k;
    }
    return IOP_CONVERGED;
}

static void iop_pass_moment(iop_ode_work *w, int64_t k) {
    iop_ode_flow *s = &w->s;
    const iop_ode *ode = s->ode;
    const iop_moment moment = iop_moment_of(w, k);
    double *z = w->stepper.z;
    iop_passage *passage = NULL;
    if (w->trajectory != NULL) {
        passage = w->trajectory->passages + w->trajectory->n_passages++;
        passage->moment = k;
        passage->steps = w->trajectory->n_steps;
        memcpy(passage->before, z, ode->n * sizeof(double));
    }
    iop_along_moment(s, &moment, 1, z, w->rate);
    if (k <= ode->n_events) {
        iop_apply_change(w, &ode->changes[k], &moment, z);
    } else {
        double *regime = s->point + 1 + ode->n + ode->p + (k - 1 - ode->n_events);
        *regime = 1 - *regime;
    }
    iop_along_moment(s, &moment, -1, z, w->rate);
    if (passage != NULL) memcpy(passage->after, z, ode->n * sizeof(double));
    w->stepper.h = 0;
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
    iop_apply_change(w, &ode->changes[0], &start, m->z);
    iop_along_moment(s, &start, -1, m->z, w->rate);
    if (w->trajectory != NULL) {
        w->trajectory->n_steps = 0;
        w->trajectory->n_passages = 1;
        w->trajectory->passages[0].moment = w->trajectory->passages[0].steps = 0;
        memcpy(w->trajectory->passages[0].after, m->z, ode->n * sizeof(double));
    }
    for (;;) {
        while (passed < w->n_queued && w->moments[w->queue[passed]] <= m->t) iop_pass_moment(w, w->queue[passed++]);
        if (m->h == 0 && (status = iop_check_start(w)) != IOP_CONVERGED) return status;
        while (w->sink.next <= m->t) iop_emit(&w->sink, m->t, m->z);
        if (w->position == w->n_times) return IOP_CONVERGED;
        const double next = passed < w->n_queued ? w->moments[w->queue[passed]] : INFINITY;
        status = iop_integrate(m, next < end ? next : end, &w->sink);
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
    iop_set_combinations(&w->stepper);
}

#endif
