/* The memory of one solve, forwards and back, and what all batch elements share. */
#ifndef IMPLICITOPS_ODE_MEMORY_H
#define IMPLICITOPS_ODE_MEMORY_H

#include "ode_adjoint.h"

/* Next `count` doubles of a block; with a block that begins at NULL, only counts them. */
static double *iop_take(int64_t *used, double *memory, int64_t count) {
    double *taken = memory != NULL ? memory + *used : NULL;
    *used += count;
    return taken;
}

/* Doubles that the largest `first` of all maps returns. */
static int64_t iop_largest_map(const iop_ode *ode) {
    int64_t largest = iop_map_first_size(&ode->rhs);
    for (int64_t k = 0; k < 1 + ode->n_events; k++) {
        const int64_t size = iop_map_first_size(&ode->changes[k]);
        largest = size > largest ? size : largest;
    }
    if (ode->outputs != NULL && iop_map_first_size(ode->outputs) > largest) largest = iop_map_first_size(ode->outputs);
    return largest;
}

/* The vectors of an integration of z, which has `size` doubles; they follow each other. */
static void iop_lay_out_stepper(iop_stepper *m, const iop_ode *ode, int64_t size, int64_t *used, double *memory) {
    m->z = iop_take(used, memory, size);
    m->z_new = iop_take(used, memory, size);
    m->work = iop_take(used, memory, size);
    m->interpolated = iop_take(used, memory, size);
    m->stages = iop_take(used, memory, iop_stage_rows(ode->pair) * size);
    m->dense = iop_take(used, memory, iop_dense_rows(ode->pair) * size);
    m->power = iop_take(used, memory, 2 * ode->n);
}

/* Divides a block among the vectors of a solve and returns its length in doubles; from NULL, only that. */
static int64_t iop_lay_out(iop_ode_work *w, const iop_ode *ode, int64_t n_times, double *memory) {
    const int64_t n = ode->n, p = ode->p, q = p + 1, rows = ode->n_outputs > n ? ode->n_outputs : n;
    const int64_t pairs = ode->order > 1 ? iop_pairs(p) : 0, columns = ode->order > 0 ? p : 0;
    const int64_t size = (n * (1 + columns + pairs) + 3) / 4 * 4, width = 1 + n + p;
    const int64_t first = iop_largest_map(ode), moments = 1 + ode->n_events + ode->n_switches + 2 * ode->n_periodic;
    const int64_t matrix = iop_matrix_width(&ode->shape) > n ? iop_matrix_width(&ode->shape) : n;
    iop_ode_flow *s = &w->s;
    int64_t used = 0;
    s->p = columns;
    s->pairs = pairs;
    s->flow.size = size;
    s->flow.primary = n;
    s->point = iop_take(&used, memory, width + ode->n_regimes + 2 * width + 1 + 3 * n + n * p);
    s->values = iop_take(&used, memory, first);
    s->base = iop_take(&used, memory, first);
    s->base_point = iop_take(&used, memory, 1 + n);
    s->change = iop_take(&used, memory, first);
    s->matrix = iop_take(&used, memory, n * matrix);
    s->row = iop_take(&used, memory, rows);
    s->sums = iop_take(&used, memory, 1 + columns + pairs);
    s->scale = iop_take(&used, memory, 1 + columns + pairs);
    s->pivot = (int32_t *)iop_take(&used, memory, n);
    s->scales = iop_take(&used, memory, 2 * n);
    iop_lay_out_stepper(&w->stepper, ode, size, &used, memory);
    w->moments = iop_take(&used, memory, moments * (1 + p + iop_pairs(p)));
    w->crossing = iop_take(&used, memory, p + iop_pairs(p));
    w->stops = iop_take(&used, memory, moments + ode->n_breakpoints);
    w->queue = (int64_t *)iop_take(&used, memory, 2 * (moments + ode->n_breakpoints));
    s->surface_values = iop_take(&used, memory, ode->n_surfaces);
    w->surfaces.next = iop_take(&used, memory, ode->n_surfaces);
    w->surfaces.noise = iop_take(&used, memory, ode->n_surfaces);
    w->surfaces.samples = iop_take(&used, memory, (IOP_STRETCHES + 1) * ode->n_surfaces);
    w->zero = iop_take(&used, memory, q + iop_pairs(q));
    w->values = iop_take(&used, memory, first + 2 * (ode->n_switches + ode->n_periodic));
    w->rate = iop_take(&used, memory, size);
    w->changed = iop_take(&used, memory, size + 1 + p);
    w->first = iop_take(&used, memory, n * q);
    w->second = iop_take(&used, memory, pairs ? n * iop_pairs(q) : 0);
    w->result = iop_take(&used, memory, rows);
    w->result_first = iop_take(&used, memory, rows * q);
    w->result_second = iop_take(&used, memory, pairs ? rows * iop_pairs(q) : 0);
    w->order = (int64_t *)iop_take(&used, memory, 2 * n_times);
    return used;
}

/* Fills in what all batch elements share. */
static void iop_begin(iop_ode_work *w, const iop_ode *ode, int64_t n_times) {
    iop_stepper *m = &w->stepper;
    w->s.ode = ode;
    w->s.flow.counts = &w->counts;
    m->flow = &w->s.flow;
    m->method = ode->method;
    m->max_steps = ode->max_steps;
    m->max_step = ode->max_step;
    m->pair = ode->pair;
    m->record = NULL;
    m->plan = NULL;
    w->trajectory = NULL;
    w->n_times = n_times;
    /* The end of a vector that belongs to no state stays zero throughout. */
    memset(m->z, 0, (char *)m->power - (char *)m->z);
    memset(w->zero, 0, (ode->p + 1 + iop_pairs(ode->p + 1)) * sizeof(double));
    w->zero[ode->p] = 1;
    iop_ode_bind(w);
}

/* Divides a block among the vectors of the way back and returns its length in doubles; from NULL, only that. */
static int64_t iop_lay_out_adjoint(iop_adjoint *a, iop_trajectory *trajectory, const iop_ode *ode, int64_t n_times,
                                   double *memory) {
    const int64_t n = ode->n, p = ode->p, size = n + p, first = iop_largest_map(ode), states = (n + 3) / 4 * 4;
    int64_t used = 0;
    a->y = iop_take(&used, memory, states);
    a->base = iop_take(&used, memory, first);
    a->base_slope = iop_take(&used, memory, size);
    a->atol = iop_take(&used, memory, 2 * n);
    a->extent = iop_take(&used, memory, size);
    a->values = iop_take(&used, memory, first);
    a->contracted = iop_take(&used, memory, size);
    a->gradient = iop_take(&used, memory, p);
    a->times_gradient = iop_take(&used, memory, n_times);
    iop_lay_out_stepper(&a->stepper, ode, size, &used, memory);
    trajectory->outputs = iop_take(&used, memory, n * n_times);
    trajectory->row = 3 + (1 + iop_dense_rows(ode->pair)) * states;
    return used;
}

#endif
