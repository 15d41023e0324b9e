/* Stops of an integration: the start, events, switches and break points; which come next, and which regimes hold. */
#ifndef IMPLICITOPS_ODE_STOPS_H
#define IMPLICITOPS_ODE_STOPS_H

#include "ode_steps.h"

/* What happened at a time: a stop, or -1 for a surface or a break point, and how many steps came before. */
typedef struct {
    int64_t stop, steps;
    double time;
} iop_passage;

/* The accepted steps of an integration of the states alone, each with what its interpolant needs, and all moments. */
typedef struct {
    double *steps; /* of `row` doubles: t, h, whether it is by Rodas5P, y, iop_dense_rows() more */
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
    double *moments;   /* times and derivatives of all moments, see iop_ode */
    double *crossing;  /* derivatives of one time of a periodic switch */
    double *stops;     /* times of all moments and then of all break points */
    int64_t *queue;    /* events, switches and break points still to come, by time */
    int64_t n_queued, passed, crossings;
    double end;        /* the last output time */
    int64_t failed_in; /* where a solve failed: the row of the right-hand side, or the guard; -1 if neither is to blame */
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

/* Stops are numbered: the start, events and switches, as moments are; break points; and then periodic switches. */
static inline int64_t iop_single_moments(const iop_ode *ode) { return 1 + ode->n_events + ode->n_switches; }

static inline int iop_is_periodic(const iop_ode *ode, int64_t k) {
    return k >= iop_single_moments(ode) + ode->n_breakpoints;
}

static inline int iop_is_breakpoint(const iop_ode *ode, int64_t k) {
    return k >= iop_single_moments(ode) && !iop_is_periodic(ode, k);
}

/* Where the moments have the time of stop k, or one of its times. */
static inline int64_t iop_moment_index(const iop_ode *ode, int64_t k) {
    return iop_is_periodic(ode, k) ? k - ode->n_breakpoints : k;
}

/* Which regime stop k, a switch, changes. */
static inline int64_t iop_regime_index(const iop_ode *ode, int64_t k) {
    return iop_moment_index(ode, k) - 1 - ode->n_events;
}

static inline double *iop_regime_of(iop_ode_work *w, int64_t k) {
    return w->s.point + 1 + w->s.ode->n + w->s.ode->p + iop_regime_index(w->s.ode, k);
}

static iop_moment iop_stored_moment(const iop_ode_work *w, int64_t index) {
    const iop_ode *ode = w->s.ode;
    const int64_t count = iop_single_moments(ode) + 2 * ode->n_periodic;
    const iop_moment moment = {w->moments[index], w->moments + count + index * ode->p,
                               w->moments + count * (1 + ode->p) + index * iop_pairs(ode->p)};
    return moment;
}

/* When a periodic switch, stop k, ends a regime. Its times are origin + i period; regime i lies between that and the
 * next. */
static double iop_end_of_regime(const iop_ode_work *w, int64_t k, double regime) {
    const int64_t index = iop_moment_index(w->s.ode, k);
    const double origin = w->moments[index], period = w->moments[index + w->s.ode->n_periodic];
    if (!(fabs(origin) <= DBL_MAX && fabs(period) <= DBL_MAX)) return INFINITY;
    return origin + (period > 0 ? regime + 1 : regime) * period;
}

/* The time of stop k with its derivatives; that of a periodic switch is the one that ends a regime. */
static iop_moment iop_moment_of(const iop_ode_work *w, int64_t k, double regime) {
    const iop_ode *ode = w->s.ode;
    const iop_moment origin = iop_stored_moment(w, iop_moment_index(ode, k));
    if (!iop_is_periodic(ode, k)) return origin;
    const iop_moment period = iop_stored_moment(w, iop_moment_index(ode, k) + ode->n_periodic);
    const double index = period.time > 0 ? regime + 1 : regime;
    const iop_moment moment = {iop_end_of_regime(w, k, regime), w->crossing, w->crossing + ode->p};
    if (w->s.p == 0 && w->trajectory == NULL) return moment;
    for (int64_t a = 0; a < ode->p; a++) w->crossing[a] = origin.first[a] + index * period.first[a];
    for (int64_t c = 0; w->s.pairs > 0 && c < iop_pairs(ode->p); c++)
        w->crossing[ode->p + c] = origin.second[c] + index * period.second[c];
    return moment;
}

/* Ends the regime of stop k, a switch. */
static void iop_end_regime(iop_ode_work *w, int64_t k) {
    const iop_ode *ode = w->s.ode;
    double *regime = iop_regime_of(w, k);
    if (iop_is_periodic(ode, k))
        *regime += w->moments[iop_moment_index(ode, k) + ode->n_periodic] > 0 ? 1 : -1;
    else
        *regime = 1 - *regime;
}

/* The next stop and its time, infinite if there is none; of several at once the queued ones come first. */
static int64_t iop_next_stop(iop_ode_work *w, double *time) {
    const iop_ode *ode = w->s.ode;
    const int64_t periodic = iop_single_moments(ode) + ode->n_breakpoints;
    int64_t next = w->passed < w->n_queued ? w->queue[w->passed] : 0;
    *time = w->passed < w->n_queued ? w->stops[next] : INFINITY;
    for (int64_t k = periodic; k < periodic + ode->n_periodic; k++) {
        const double end = iop_end_of_regime(w, k, *iop_regime_of(w, k));
        if (!(end < *time)) continue;
        *time = end;
        next = k;
    }
    return next;
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
static int iop_note_passage(iop_ode_work *w, int64_t stop, double time) {
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
    const iop_passage passage = {stop, trajectory->n_steps, time};
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

/* Counts the regime of a periodic switch that is in force just after t0, given the value whose floor it is. */
static double iop_first_count(const iop_ode_work *w, int64_t k, double t0, double value) {
    const double regime = fabs(value) <= DBL_MAX ? floor(value) : 0, end = iop_end_of_regime(w, k, regime);
    const double step = w->moments[iop_moment_index(w->s.ode, k) + w->s.ode->n_periodic] > 0 ? 1 : -1;
    /* Rounding of the value may have put it on the other side of an end, by one. */
    if (end <= t0) return regime + step;
    return end <= DBL_MAX && iop_end_of_regime(w, k, regime - step) > t0 ? regime - step : regime;
}

/* Which piece is in force just after t0. */
static void iop_first_regimes(iop_ode_work *w, double t0) {
    iop_ode_flow *s = &w->s;
    const iop_ode *ode = s->ode;
    double *regime = s->point + 1 + ode->n + ode->p, *now = w->values, *later = now + ode->n_switches + ode->n_periodic;
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
    for (int64_t c = 0; c < ode->n_periodic; c++) {
        const int64_t k = iop_single_moments(ode) + ode->n_breakpoints + c;
        regime[iop_regime_index(ode, k)] = iop_first_count(w, k, t0, now[iop_regime_index(ode, k)]);
    }
}

/* Evaluates all moments and break points, and queues those after t0. */
static iop_status iop_queue_moments(iop_ode_work *w) {
    const iop_ode *ode = w->s.ode;
    const int64_t count = iop_single_moments(ode);
    const double *parameters = w->s.point + 1 + ode->n;
    ode->moments.scalar(parameters, w->moments, ode->moments.ctx);
    memcpy(w->stops, w->moments, count * sizeof(double));
    if (ode->n_breakpoints > 0) ode->breakpoints.scalar(parameters, w->stops + count, ode->breakpoints.ctx);
    const double t0 = w->moments[0];
    if (!iop_finite(w->moments, 1 + ode->n_events)) return IOP_UNDEFINED;
    iop_sort(w->stops, count + ode->n_breakpoints, w->queue);
    w->n_queued = w->passed = w->crossings = 0;
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

#endif
