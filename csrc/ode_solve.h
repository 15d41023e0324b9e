/* One initial value problem from its start through all events to the last output time. */
#ifndef IMPLICITOPS_ODE_SOLVE_H
#define IMPLICITOPS_ODE_SOLVE_H

#include <stddef.h>

#include "ode_steps.h"

/* What happened at a moment: when, how many steps came before, and the regime that ended if it is a switch. */
typedef struct {
    int64_t moment, steps;
    double time, regime;
} iop_passage;

/* The accepted steps of an integration of the states alone, each with what its interpolant needs, and all moments. */
typedef struct {
    double *steps; /* of `row` doubles: t, h, kind of interpolant (0, 1: the pairs, 2: Rodas5P), y, at most eight vectors */
    int64_t n_steps, capacity, row;
    iop_passage *passages; /* the start, then each event and switch on the way */
    double *around;        /* the states before and after each of them */
    int64_t n_passages, passage_capacity;
    double *outputs; /* states at the output times */
} iop_trajectory;

/* Memory for one solve, and where its answer goes. */
typedef struct {
    iop_ode_flow s;
    iop_stepper stepper;
    iop_ode_counts counts;
    iop_sink sink;
    double *moments;   /* times and derivatives of all moments, see iop_ode */
    double *crossing;  /* derivatives of one time of a periodic switch */
    int64_t *queue;    /* events and switches still to come, by time */
    int64_t n_queued, passed, crossings;
    double end;        /* the last output time */
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

/* Moments that are queued; those of periodic switches follow them, and then their periods. */
static inline int64_t iop_single_moments(const iop_ode *ode) { return 1 + ode->n_events + ode->n_switches; }

/* Value k of `moments` with its derivatives. */
static iop_moment iop_stored_moment(const iop_ode_work *w, int64_t k) {
    const iop_ode *ode = w->s.ode;
    const int64_t count = iop_single_moments(ode) + 2 * ode->n_periodic;
    const iop_moment moment = {w->moments[k], w->moments + count + k * ode->p,
                               w->moments + count * (1 + ode->p) + k * iop_pairs(ode->p)};
    return moment;
}

/* Regime that moment k, a switch, changes. */
static inline double *iop_regime_of(iop_ode_work *w, int64_t k) {
    const iop_ode *ode = w->s.ode;
    return w->s.point + 1 + ode->n + ode->p + (k - 1 - ode->n_events);
}

/* When a periodic switch, moment k, ends a regime.  Its times are origin + i period; regime i lies between that and the
 * next. */
static double iop_end_of_regime(const iop_ode_work *w, int64_t k, double regime) {
    const double origin = w->moments[k], period = w->moments[k + w->s.ode->n_periodic];
    if (!(fabs(origin) <= DBL_MAX && fabs(period) <= DBL_MAX)) return INFINITY;
    return origin + (period > 0 ? regime + 1 : regime) * period;
}

/* Moment k; that of a periodic switch is the one that ends a regime. */
static iop_moment iop_moment_of(const iop_ode_work *w, int64_t k, double regime) {
    const iop_ode *ode = w->s.ode;
    const int64_t pairs = iop_pairs(ode->p);
    const iop_moment origin = iop_stored_moment(w, k);
    if (k < iop_single_moments(ode)) return origin;
    const iop_moment period = iop_stored_moment(w, k + ode->n_periodic);
    const double index = period.time > 0 ? regime + 1 : regime;
    const iop_moment moment = {iop_end_of_regime(w, k, regime), w->crossing, w->crossing + ode->p};
    if (w->s.p == 0 && w->trajectory == NULL) return moment;
    for (int64_t a = 0; a < ode->p; a++)
        w->crossing[a] = origin.first[a] + index * period.first[a];
    for (int64_t c = 0; w->s.pairs > 0 && c < pairs; c++)
        w->crossing[ode->p + c] = origin.second[c] + index * period.second[c];
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

/* Counts the regime of a periodic switch that is in force just after t0, given the value whose floor it is. */
static double iop_first_count(const iop_ode_work *w, int64_t k, double t0, double value) {
    const double origin = w->moments[k], period = w->moments[k + w->s.ode->n_periodic], step = period > 0 ? 1 : -1;
    double regime = fabs(value) <= DBL_MAX ? floor(value) : 0;
    if (!(fabs(origin) <= DBL_MAX && fabs(period) <= DBL_MAX)) return regime;
    /* Rounding of the value may have put it on the other side of an end, by one. */
    if (iop_end_of_regime(w, k, regime) <= t0)
        regime += step;
    else if (iop_end_of_regime(w, k, regime - step) > t0)
        regime -= step;
    return regime;
}

/* Which piece is in force just after t0. */
static void iop_first_regimes(iop_ode_work *w, double t0) {
    iop_ode_flow *s = &w->s;
    const iop_ode *ode = s->ode;
    double *regime = s->point + 1 + ode->n + ode->p, *now = w->values, *later = w->values + ode->n_regimes;
    double *point = w->changed;
    if (ode->n_switches + ode->n_periodic == 0) return;
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
    for (int64_t k = ode->n_switches; k < ode->n_switches + ode->n_periodic; k++)
        regime[k] = iop_first_count(w, 1 + ode->n_events + k, t0, now[k]);
}

/* Evaluates all moments and queues those after t0. */
static iop_status iop_queue_moments(iop_ode_work *w) {
    const iop_ode *ode = w->s.ode;
    const int64_t count = iop_single_moments(ode);
    ode->moments.scalar(w->s.point + 1 + ode->n, w->moments, ode->moments.ctx);
    const double t0 = w->moments[0];
    if (!iop_finite(w->moments, 1 + ode->n_events)) return IOP_UNDEFINED;
    iop_sort(w->moments, count, w->queue);
    w->n_queued = w->passed = w->crossings = 0;
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

/* The next moment and its time, infinite if there is none; of several at once the queued ones come first. */
static int64_t iop_next_moment(iop_ode_work *w, double *time) {
    const iop_ode *ode = w->s.ode;
    int64_t next = w->passed < w->n_queued ? w->queue[w->passed] : 0;
    *time = w->passed < w->n_queued ? w->moments[next] : INFINITY;
    for (int64_t k = iop_single_moments(ode); k < iop_single_moments(ode) + ode->n_periodic; k++) {
        const double end = iop_end_of_regime(w, k, *iop_regime_of(w, k));
        if (!(end < *time)) continue;
        *time = end;
        next = k;
    }
    return next;
}

/* Room for what the adjoint method keeps of one more moment; NULL if there is no memory. */
static iop_passage *iop_new_passage(iop_trajectory *trajectory, int64_t n) {
    if (trajectory->n_passages == trajectory->passage_capacity) {
        const int64_t capacity = 2 * trajectory->passage_capacity + 16;
        iop_passage *passages = (iop_passage *)realloc(trajectory->passages, capacity * sizeof(iop_passage));
        if (passages == NULL) return NULL;
        trajectory->passages = passages;
        double *around = (double *)realloc(trajectory->around, 2 * n * capacity * sizeof(double));
        if (around == NULL) return NULL;
        trajectory->around = around;
        trajectory->passage_capacity = capacity;
    }
    return trajectory->passages + trajectory->n_passages++;
}

/* The states before (or n further, after) a moment that the adjoint method keeps. */
static inline double *iop_around(const iop_trajectory *trajectory, int64_t passage, int64_t n) {
    return trajectory->around + 2 * n * passage;
}

/* Ends the regime of moment k, a switch. */
static void iop_end_regime(iop_ode_work *w, int64_t k) {
    double *regime = iop_regime_of(w, k);
    if (k < iop_single_moments(w->s.ode))
        *regime = 1 - *regime;
    else
        *regime += w->moments[k + w->s.ode->n_periodic] > 0 ? 1 : -1;
}

/* Whether nothing is integrated after a switch because it is at the last output, and the right-hand side is defined
 * before it only: the closed end of a domain, as the last knot of a spline. */
static int iop_closes_domain(iop_ode_work *w, int64_t k) {
    iop_ode_flow *s = &w->s;
    const iop_map *f = &s->ode->rhs;
    double *regime = iop_regime_of(w, k);
    const double before = *regime;
    if (w->stepper.t < w->end) return 0;
    iop_end_regime(w, k);
    iop_set_point(s, w->stepper.t, w->stepper.z);
    f->value.scalar(s->point, w->rate, f->value.ctx);
    *regime = before;
    return !iop_finite(w->rate, s->ode->n);
}

/* Returns IOP_CONVERGED or IOP_NO_MEMORY. */
static int iop_pass_moment(iop_ode_work *w, int64_t k) {
    iop_ode_flow *s = &w->s;
    const iop_ode *ode = s->ode;
    const int is_switch = k > ode->n_events;
    const double regime = is_switch ? *iop_regime_of(w, k) : 0;
    const iop_moment moment = iop_moment_of(w, k, regime);
    double *z = w->stepper.z, *around = NULL;
    if (k < iop_single_moments(ode))
        w->passed++;
    else
        w->crossings++;
    if (is_switch && iop_closes_domain(w, k)) {
        /* What is periodic comes no more. */
        if (k >= iop_single_moments(ode)) w->moments[k] = INFINITY;
        return IOP_CONVERGED;
    }
    if (w->trajectory != NULL) {
        iop_passage *passage = iop_new_passage(w->trajectory, ode->n);
        if (passage == NULL) return IOP_NO_MEMORY;
        passage->moment = k;
        passage->time = moment.time;
        passage->regime = regime;
        passage->steps = w->trajectory->n_steps;
        around = iop_around(w->trajectory, w->trajectory->n_passages - 1, ode->n);
        memcpy(around, z, ode->n * sizeof(double));
    }
    iop_along_moment(s, &moment, 1, z, w->rate);
    if (is_switch)
        iop_end_regime(w, k);
    else
        iop_apply_change(w, &ode->changes[k], &moment, z);
    iop_along_moment(s, &moment, -1, z, w->rate);
    if (around != NULL) memcpy(around + ode->n, z, ode->n * sizeof(double));
    w->stepper.h = 0;
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
    for (int64_t a = 0; a < s->p; a++) scale[a] = parameters[a] != 0 ? 1 / fabs(parameters[a]) : 1;
    for (int64_t a = 0; s->pairs > 0 && a < s->p; a++)
        for (int64_t b = a; b < s->p; b++) *pair++ = scale[a] * scale[b];
}

static void iop_reset(iop_stepper *m, double t) {
    m->t = t;
    m->h = 0;
    m->previous = 1e-4;
    m->is_stiff = m->method == IOP_ODE_RODAS5P;
    m->evidence = m->counter_evidence = m->suspicion = 0;
    m->patience = 5;
    for (int64_t i = 0; i < m->flow->primary; i++) m->power[i] = 1;
}

/* Returns a status, or IOP_NO_MEMORY. */
static int iop_ode_solve_times(iop_ode_work *w) {
    iop_ode_flow *s = &w->s;
    const iop_ode *ode = s->ode;
    iop_stepper *m = &w->stepper;
    memset(&w->counts, 0, sizeof w->counts);
    if (!iop_finite(s->point + 1 + ode->n, ode->p) || !iop_finite(w->times, w->n_times)) return IOP_INVALID_INPUT;
    int status = iop_queue_moments(w);
    if (status != IOP_CONVERGED) return status;
    const iop_moment start = iop_stored_moment(w, 0);
    iop_sort(w->times, w->n_times, w->order);
    if (w->n_times == 0) return IOP_CONVERGED;
    w->position = 0;
    w->sink.next = w->times[w->order[0]];
    if (w->sink.next < start.time) return IOP_BEFORE_START;
    w->end = w->times[w->order[w->n_times - 1]];
    iop_scale_columns(s);
    iop_first_regimes(w, start.time);
    iop_reset(m, start.time);
    memset(m->z, 0, s->flow.size * sizeof(double));
    iop_apply_change(w, &ode->changes[0], &start, m->z);
    iop_along_moment(s, &start, -1, m->z, w->rate);
    if (w->trajectory != NULL) {
        w->trajectory->n_steps = w->trajectory->n_passages = 0;
        iop_passage *passage = iop_new_passage(w->trajectory, ode->n);
        if (passage == NULL) return IOP_NO_MEMORY;
        passage->moment = passage->steps = 0;
        passage->time = start.time;
        memcpy(iop_around(w->trajectory, 0, ode->n) + ode->n, m->z, ode->n * sizeof(double));
    }
    for (;;) {
        double next;
        int64_t k = iop_next_moment(w, &next);
        while (next <= m->t) {
            /* Periods too short for the time to move on. */
            if (w->crossings >= m->max_steps) return IOP_MAX_STEPS;
            if ((status = iop_pass_moment(w, k)) != IOP_CONVERGED) return status;
            k = iop_next_moment(w, &next);
        }
        if (m->h == 0 && (status = iop_check_start(w)) != IOP_CONVERGED) return status;
        while (w->sink.next <= m->t) iop_emit(&w->sink, m->t, m->z);
        if (w->position == w->n_times) return IOP_CONVERGED;
        status = iop_integrate(m, next < w->end ? next : w->end, &w->sink);
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
