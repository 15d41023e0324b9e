/* One initial value problem from its start through all events to the last output time. */
#ifndef IMPLICITOPS_ODE_SOLVE_H
#define IMPLICITOPS_ODE_SOLVE_H

#include <stddef.h>

#include "ode_stops.h"

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

/* Changes the states and their derivatives at a moment: w = change(y). */
static void iop_apply_change(iop_ode_work *w, const iop_map *map, const iop_moment *moment, double *z) {
    iop_ode_flow *s = &w->s;
    const int64_t n = s->ode->n, p = s->p, order = s->pairs > 0 ? 2 : p > 0;
    double *new_first = w->changed + n, *new_second = new_first + n * p;
    iop_map_chain(s, map, moment, p, order, z, z + n, z + n * (1 + p), w->values, w->changed, new_first, new_second);
    memcpy(z, w->changed, n * (1 + p + s->pairs) * sizeof(double));
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
    const int64_t count = s->ode->n_surfaces;
    const double *regimes = iop_surface_regimes(s);
    for (int64_t k = count - s->ode->n_guards; k < count; k++) {
        if ((s->p == 0 && w->trajectory == NULL) || w->surfaces.next[k] == regimes[k]) continue;
        w->failed_in = k - (count - s->ode->n_guards);
        return IOP_DISCONTINUITY;
    }
    if (iop_note_passage(w, -1, w->stepper.t)) return IOP_NO_MEMORY;
    if (iop_plan_row(w->stepper.plan, IOP_NEW_REGIMES, w->stepper.t, (double)w->surfaces.follows, w->surfaces.next))
        return IOP_NO_MEMORY;
    memcpy(iop_surface_regimes(s), w->surfaces.next, s->ode->n_surfaces * sizeof(double));
    s->follows = w->surfaces.follows;
    return IOP_CONVERGED;
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

/* Lets happen what stop k stands for. Returns a status, or IOP_NO_MEMORY. */
static int iop_pass_stop(iop_ode_work *w, int64_t k, double time) {
    iop_ode_flow *s = &w->s;
    const iop_ode *ode = s->ode;
    const int is_breakpoint = iop_is_breakpoint(ode, k), is_switch = k > ode->n_events && !is_breakpoint;
    double *z = w->stepper.z;
    if (is_switch && iop_closes_domain(w, k)) {
        /* What is periodic comes no more. */
        if (iop_is_periodic(ode, k)) w->moments[iop_moment_index(ode, k)] = INFINITY;
        return IOP_CONVERGED;
    }
    if (iop_note_passage(w, is_breakpoint ? -1 : k, time)) return IOP_NO_MEMORY;
    w->stepper.h = 0;
    if (is_breakpoint) return IOP_CONVERGED;
    const iop_moment moment = iop_moment_of(w, k, is_switch ? *iop_regime_of(w, k) : 0);
    iop_along_moment(s, &moment, 1, z, w->rate);
    if (is_switch)
        iop_end_regime(w, k);
    else
        iop_apply_change(w, &ode->changes[k], &moment, z);
    iop_enter_regimes(w, moment.time);
    iop_along_moment(s, &moment, -1, z, w->rate);
    iop_note_states(w);
    return IOP_CONVERGED;
}

/* Index of the first number that is not finite; -1 if there is none. */
static int64_t iop_first_undefined(const double *x, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(x[i]) <= DBL_MAX)) return i;
    return -1;
}

/* Whether integration can go on from here: everything finite, f_y too. */
static iop_status iop_check_start(iop_ode_work *w) {
    iop_ode_flow *s = &w->s;
    const iop_map *f = &s->ode->rhs;
    if (!iop_finite(w->stepper.z, s->flow.size)) {
        w->failed_in = iop_first_undefined(w->stepper.z, s->ode->n);
        return IOP_UNDEFINED;
    }
    iop_set_point(s, w->stepper.t, w->stepper.z);
    f->first.scalar(s->point, s->values, f->first.ctx);
    w->failed_in = iop_first_undefined(s->values, f->n_rows);
    if (w->failed_in >= 0) return IOP_UNDEFINED;
    const int64_t entry = iop_first_undefined(iop_map_jacobian(f, s->values), f->n_entries);
    if (entry < 0) return IOP_CONVERGED;
    w->failed_in = f->rows[entry];
    return IOP_NOT_LIPSCHITZ;
}

/* Which state a step failed in, for what iop_integrate() returned. */
static int64_t iop_failed_state(const iop_ode_work *w, int status) {
    const iop_stepper *m = &w->stepper;
    const int64_t n = w->s.ode->n, size = w->s.flow.size;
    if (status == IOP_BLOW_UP) {
        int64_t largest = 0;
        for (int64_t i = 1; i < n; i++) largest = fabs(m->z[i]) > fabs(m->z[largest]) ? i : largest;
        return largest;
    }
    if (status != IOP_UNDEFINED) return -1;
    for (int64_t stage = 0; stage < (m->is_stiff ? IOP_RODAS_STAGES : m->pair->stages); stage++) {
        const int64_t state = iop_first_undefined(m->stages + stage * size, n);
        if (state >= 0) return state;
    }
    return iop_first_undefined(m->z_new, n);
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
    memset(&w->counts, 0, sizeof w->counts);
    m->t = NAN;
    w->failed_in = -1;
    s->follows = 0;
    if (w->trajectory != NULL) w->trajectory->n_steps = w->trajectory->n_passages = 0;
    if (!iop_finite(s->point + 1 + ode->n, ode->p) || !iop_finite(w->times, w->n_times)) return IOP_INVALID_INPUT;
    int status = iop_queue_moments(w);
    if (status != IOP_CONVERGED) return status;
    const iop_moment start = iop_moment_of(w, 0, 0);
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
    if (iop_note_passage(w, 0, start.time)) return IOP_NO_MEMORY;
    iop_apply_change(w, &ode->changes[0], &start, m->z);
    iop_enter_regimes(w, start.time);
    iop_along_moment(s, &start, -1, m->z, w->rate);
    iop_note_states(w);
    for (;;) {
        double next;
        int64_t k = iop_next_stop(w, &next);
        while (next <= m->t) {
            /* Periods so short that time does not move on. */
            if (iop_is_periodic(ode, k) && w->crossings++ >= m->max_steps) return IOP_MAX_STEPS;
            if (!iop_is_periodic(ode, k)) w->passed++;
            if ((status = iop_pass_stop(w, k, next)) != IOP_CONVERGED) return status;
            k = iop_next_stop(w, &next);
        }
        if (m->h == 0 && (status = iop_check_start(w)) != IOP_CONVERGED) return status;
        while (w->sink.next <= m->t) iop_emit(&w->sink, m->t, m->z);
        if (w->position == w->n_times) return IOP_CONVERGED;
        status = iop_integrate(m, next < w->end ? next : w->end, &w->sink);
        if (status != IOP_SURFACE && status != IOP_CONVERGED) w->failed_in = iop_failed_state(w, status);
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
