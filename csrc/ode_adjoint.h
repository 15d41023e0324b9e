/* Gradient of a weighted sum of the outputs by the adjoint method, whose work hardly depends on the number of parameters.
 *
 * With G = sum_k w_k . Y_k and lambda = dG/dy at time t, backwards from the last output,
 *
 *     lambda' = -f_y^T lambda,      dG/dp = integral of f_p^T lambda dt
 *
 * and at an output lambda grows by o_y^T w_k, dG/dp by o_p^T w_k (L. S. Pontryagin et al., The Mathematical Theory of
 * Optimal Processes (1962); Y. Cao, S. Li, L. Petzold and R. Serban, SIAM J. Sci. Comput. 24 (2003) 1076).  At a moment
 * tau(p) with the change y+ = g(tau, y-, p),
 *
 *     lambda- = g_y^T lambda+,      dG/dp_a += lambda+ . g_a + tau_a (lambda+ . (g_t - f+) + lambda- . f-)
 *
 * The integration forwards keeps its steps with their interpolants, so that y(t) is known going back, and the one
 * backwards controls its own error, that of dG/dp included.
 */
#ifndef IMPLICITOPS_ODE_ADJOINT_H
#define IMPLICITOPS_ODE_ADJOINT_H

#include "ode_solve.h"

/* z = (lambda, dG/dp) as a flow of s = origin - t. */
typedef struct {
    iop_flow flow;
    iop_ode_work *forward;
    double origin;
    int64_t cursor, first, last; /* step at which y was read last; steps of the stretch between two moments */
    double *y, *base, *base_slope, *atol, *extent;
    double diagonal; /* of the last factorisation */
    iop_ode_counts counts;
    iop_stepper stepper;
    iop_sink none;
    double *values, *contracted;
    double *gradient, *times_gradient; /* answers */
    const double *weights;             /* (times, outputs) */
} iop_adjoint;

/* Keeps an accepted step of the forward integration. */
static int iop_record_step(iop_stepper *m, double h) {
    iop_trajectory *trajectory = (iop_trajectory *)m->recorder;
    const int64_t n = m->flow->size;
    if (trajectory->n_steps == trajectory->capacity) {
        const int64_t capacity = 2 * trajectory->capacity + 64;
        double *grown = (double *)realloc(trajectory->steps, capacity * trajectory->row * sizeof(double));
        if (grown == NULL) return 1;
        trajectory->steps = grown;
        trajectory->capacity = capacity;
    }
    double *step = trajectory->steps + trajectory->n_steps++ * trajectory->row;
    step[0] = m->t;
    step[1] = h;
    step[2] = (double)m->is_stiff;
    memcpy(step + 3, m->z, n * sizeof(double));
    if (m->is_stiff) {
        memcpy(step + 3 + n, m->z_new, n * sizeof(double));
        memcpy(step + 3 + 2 * n, m->dense + n, 3 * n * sizeof(double));
    } else {
        memcpy(step + 3 + n, iop_explicit_kept(m), m->pair->n_kept * n * sizeof(double));
    }
    return 0;
}

/* y(t) from the recorded steps of the present stretch. */
static void iop_read_states(iop_adjoint *a, double t, double *y) {
    const iop_trajectory *trajectory = a->forward->trajectory;
    const int64_t n = a->forward->s.flow.size, row = trajectory->row;
    while (a->cursor > a->first && t < trajectory->steps[a->cursor * row]) a->cursor--;
    while (a->cursor < a->last && t > trajectory->steps[(a->cursor + 1) * row]) a->cursor++;
    const double *step = trajectory->steps + a->cursor * row, *z = step + 3, *rest = z + n;
    const double x = fmin(fmax((t - step[0]) / step[1], 0), 1);
    if (step[2] != 0)
        iop_rodas_interpolate(n, n, x, z, rest, rest + n, y);
    else
        a->forward->stepper.pair->interpolate(n, n, step[1], x, z, rest, y);
}

/* result += J^T x for the entries of J. */
static inline void iop_transposed(int64_t count, const int32_t *rows, const int32_t *columns, const double *entries,
                                  const double *x, double factor, double *result) {
    for (int64_t k = 0; k < count; k++) result[columns[k]] += factor * entries[k] * x[rows[k]];
}

/* (f_y^T lambda, f_p^T lambda), or with the entries of their change in time that. */
static void iop_adjoint_product(const iop_adjoint *a, const double *entries, const double *lambda, double factor,
                                double *result) {
    const iop_map *f = &a->forward->s.ode->rhs;
    iop_transposed(f->n_entries, f->rows, f->columns, entries, lambda, factor, result);
    iop_transposed(f->n_parameter_entries, f->parameter_rows, f->parameter_columns, entries + f->n_entries, lambda, factor,
                   result + a->forward->s.ode->n);
}

static void iop_adjoint_rate(iop_adjoint *a, double s, const double *z, double *values, double *rate) {
    iop_ode_flow *forward = &a->forward->s;
    const iop_map *f = &forward->ode->rhs;
    a->counts.evaluations++;
    iop_read_states(a, a->origin - s, a->y);
    iop_set_point(forward, a->origin - s, a->y);
    f->first.scalar(forward->point, values, f->first.ctx);
    memset(rate, 0, a->flow.size * sizeof(double));
    iop_adjoint_product(a, iop_map_jacobian(f, values), z, 1, rate);
}

static void iop_adjoint_evaluate(iop_flow *flow, double s, const double *z, double *rate) {
    iop_adjoint *a = (iop_adjoint *)flow;
    iop_adjoint_rate(a, s, z, a->values, rate);
}

static void iop_adjoint_linearise(iop_flow *flow, double s, const double *z, double *rate) {
    iop_adjoint *a = (iop_adjoint *)flow;
    iop_ode_flow *forward = &a->forward->s;
    const iop_ode *ode = forward->ode;
    iop_adjoint_rate(a, s, z, a->base, rate);
    /* Going back in time the states move along -f. */
    double *k = forward->point + 1 + ode->n + ode->p + ode->n_regimes;
    k[0] = -1;
    for (int64_t i = 0; i < ode->n; i++) k[1 + i] = -a->base[i];
    ode->directional.scalar(forward->point, forward->change, ode->directional.ctx);
    memset(a->base_slope, 0, flow->size * sizeof(double));
    iop_adjoint_product(a, forward->change, z, 1, a->base_slope);
}

static int iop_adjoint_factorise(iop_flow *flow, double diagonal) {
    iop_adjoint *a = (iop_adjoint *)flow;
    iop_ode_flow *s = &a->forward->s;
    const iop_map *f = &s->ode->rhs;
    memcpy(s->base, a->base, iop_map_first_size(f) * sizeof(double));
    a->diagonal = diagonal;
    return iop_ode_factorise(&s->flow, diagonal);
}

/* The gradient does not act back on lambda: its part of the system is solved by substitution. */
static void iop_adjoint_solve(iop_flow *flow, double weight, double *r) {
    iop_adjoint *a = (iop_adjoint *)flow;
    iop_ode_flow *s = &a->forward->s;
    const iop_ode *ode = s->ode;
    const iop_map *f = &ode->rhs;
    double *gradient = r + ode->n;
    for (int64_t i = 0; i < flow->size; i++) r[i] += weight * a->base_slope[i];
    iop_solve_transposed(&ode->shape, s->matrix, s->pivot, r);
    iop_transposed(f->n_parameter_entries, f->parameter_rows, f->parameter_columns, iop_map_parameter(f, a->base), r, 1,
                   gradient);
    for (int64_t j = 0; j < ode->p; j++) gradient[j] /= a->diagonal;
}

static void iop_adjoint_multiply(iop_flow *flow, const double *x, double *result) {
    iop_adjoint *a = (iop_adjoint *)flow;
    const iop_map *f = &a->forward->s.ode->rhs;
    memset(result, 0, flow->primary * sizeof(double));
    iop_transposed(f->n_entries, f->rows, f->columns, iop_map_jacobian(f, a->base), x, 1, result);
}

/* Tolerances in the units of G: a relative error in the size of a state, or of a parameter, may change it by rtol times
 * the largest of all such changes.  Returns the larger of the root mean square for lambda and the maximum for dG/dp. */
static double iop_adjoint_norm(iop_flow *flow, const double *error, const double *z, const double *z_new) {
    iop_adjoint *a = (iop_adjoint *)flow;
    const int64_t n = flow->primary;
    double largest = 0, sum = 0, most = 0, widest = 0;
    for (int64_t i = 0; i < n; i++) a->extent[i] = fabs(a->y[i]) + flow->atol[n + i];
    for (int64_t i = 0; i < flow->size; i++) widest = fmax(widest, a->extent[i]);
    /* In units of the largest extent, so that the products stay in the range of doubles. */
    for (int64_t i = 0; i < flow->size; i++)
        largest = fmax(largest, fmax(fabs(z[i]), fabs(z_new[i])) * fmax(a->extent[i] / widest, DBL_MIN));
    for (int64_t i = 0; i < flow->size; i++) {
        const double absolute = fmin(flow->rtol * largest / fmax(a->extent[i] / widest, DBL_MIN), DBL_MAX);
        const double scaled = error[i] / (absolute + flow->rtol * fmax(fabs(z[i]), fabs(z_new[i])) + DBL_MIN);
        if (i < n) a->atol[i] = absolute;
        if (!(fabs(scaled) <= DBL_MAX)) return INFINITY;
        if (i < n)
            sum += scaled * scaled;
        else
            most = fmax(most, fabs(scaled));
    }
    return fmax(sqrt(sum / n), most);
}

/* Adds what an output contributes: its weights, pulled back to states and parameters. */
static void iop_adjoint_output(iop_adjoint *a, int64_t k, double *z) {
    iop_ode_work *w = a->forward;
    iop_ode_flow *s = &w->s;
    const iop_ode *ode = s->ode;
    const iop_map *f = &ode->rhs, *o = ode->outputs;
    const double *y = w->trajectory->outputs + k * ode->n, *weights = a->weights + k * ode->n_outputs;
    double *along = a->contracted, *values = a->values, by_time = 0;
    memset(along, 0, (ode->n + ode->p) * sizeof(double));
    iop_set_point(s, w->times[k], y);
    if (o == NULL) {
        memcpy(along, weights, ode->n * sizeof(double));
    } else {
        o->first.scalar(s->point, values, o->first.ctx);
        iop_transposed(o->n_entries, o->rows, o->columns, iop_map_jacobian(o, values), weights, 1, along);
        iop_transposed(o->n_parameter_entries, o->parameter_rows, o->parameter_columns, iop_map_parameter(o, values),
                       weights, 1, along + ode->n);
        for (int64_t i = 0; i < o->n_rows; i++) by_time += weights[i] * values[o->n_rows + i];
    }
    f->value.scalar(s->point, values, f->value.ctx);
    for (int64_t i = 0; i < ode->n; i++) by_time += along[i] * values[i];
    for (int64_t i = 0; i < ode->n + ode->p; i++) z[i] += along[i];
    a->times_gradient[k] = by_time;
}

/* Weighted rate lambda . f at a moment. */
static double iop_adjoint_flux(iop_adjoint *a, double t, const double *y, const double *lambda) {
    iop_ode_flow *s = &a->forward->s;
    double sum = 0;
    iop_set_point(s, t, y);
    s->ode->rhs.value.scalar(s->point, a->values, s->ode->rhs.value.ctx);
    for (int64_t i = 0; i < s->ode->n; i++) sum += lambda[i] * a->values[i];
    return sum;
}

/* The regimes before a passage. */
static void iop_adjoint_regimes(iop_adjoint *a, int64_t passage) {
    iop_ode_flow *s = &a->forward->s;
    const iop_ode *ode = s->ode;
    const double *regimes = iop_passage_regimes(ode, a->forward->trajectory, passage);
    memcpy(s->point + 1 + ode->n + ode->p, regimes, ode->n_regimes * sizeof(double));
    s->follows = regimes[ode->n_regimes] != 0;
}

/* Goes back over a passage: the start, an event, a switch, a surface or a break point. */
static void iop_adjoint_passage(iop_adjoint *a, int64_t passage, double *z) {
    iop_ode_work *w = a->forward;
    iop_ode_flow *s = &w->s;
    const iop_ode *ode = s->ode;
    const int64_t k = w->trajectory->passages[passage].stop;
    if (k < 0) {
        iop_adjoint_regimes(a, passage);
        return;
    }
    const double *regimes = iop_passage_regimes(ode, w->trajectory, passage);
    const iop_moment moment = iop_moment_of(w, k, k > ode->n_events ? regimes[iop_regime_index(ode, k)] : 0);
    const double *before = iop_states_before(ode, w->trajectory, passage);
    const int64_t moves = !iop_all_zero(moment.first, ode->p);
    double *values = a->values, *earlier = a->contracted;
    double jump = moves ? -iop_adjoint_flux(a, moment.time, iop_states_after(ode, w->trajectory, passage), z) : 0;
    iop_adjoint_regimes(a, passage);
    if (k <= ode->n_events) {
        const iop_map *g = &ode->changes[k];
        iop_set_point(s, moment.time, before);
        g->first.scalar(s->point, values, g->first.ctx);
        for (int64_t i = 0; i < ode->n; i++) jump += z[i] * values[ode->n + i];
        memset(earlier, 0, ode->n * sizeof(double));
        iop_transposed(g->n_parameter_entries, g->parameter_rows, g->parameter_columns, iop_map_parameter(g, values), z, 1,
                       z + ode->n);
        iop_transposed(g->n_entries, g->rows, g->columns, iop_map_jacobian(g, values), z, 1, earlier);
        memcpy(z, earlier, ode->n * sizeof(double));
    }
    if (!moves) return;
    if (k != 0) jump += iop_adjoint_flux(a, moment.time, before, z);
    for (int64_t j = 0; j < ode->p; j++) z[ode->n + j] += jump * moment.first[j];
}

/* Goes back from t to an earlier time, first measuring time from t and then from the end: lambda may change fast after an
 * output and the states after a start, on a scale that is nothing against t. */
static int iop_adjoint_back(iop_adjoint *a, double t, double end) {
    iop_stepper *m = &a->stepper;
    const double whole = t - end, half = 0.5 * whole;
    a->origin = t;
    m->t = 0;
    if (m->h >= 0.25 * whole) return iop_integrate(m, whole, &a->none); /* nothing is that fast here */
    const int status = iop_integrate(m, half, &a->none);
    if (status != IOP_CONVERGED) return status;
    a->origin = end;
    m->t = -half;
    return iop_integrate(m, 0, &a->none);
}

/* Integrates forwards, then back. Returns a status, or IOP_NO_MEMORY. */
static int iop_adjoint_solve_times(iop_adjoint *a) {
    iop_ode_work *w = a->forward;
    const iop_ode *ode = w->s.ode;
    const iop_trajectory *trajectory = w->trajectory;
    iop_stepper *m = &a->stepper;
    int status = iop_ode_solve_times(w);
    if (status != IOP_CONVERGED) return status;
    memset(m->z, 0, a->flow.size * sizeof(double));
    int64_t k = w->n_times - 1, j = trajectory->n_passages - 1;
    double t = 0;
    if (w->n_times > 0) {
        for (int64_t i = 0; i < ode->p; i++) {
            const double parameter = fabs(w->s.point[1 + ode->n + i]);
            a->extent[ode->n + i] = parameter > 0 ? parameter : 1;
        }
        memset(&a->counts, 0, sizeof a->counts);
        iop_reset(m, 0);
        t = w->times[w->order[k]];
        m->is_stiff = w->stepper.is_stiff;
        a->last = trajectory->n_steps - 1;
    }
    while (k >= 0 || (w->n_times > 0 && j >= 0)) {
        while (k >= 0 && w->times[w->order[k]] >= t) iop_adjoint_output(a, w->order[k--], m->z);
        while (j >= 0 && trajectory->passages[j].time >= t) {
            iop_adjoint_passage(a, j, m->z);
            a->last = trajectory->passages[j--].steps - 1;
            m->h = 0;
        }
        if (j < 0) break;
        a->first = trajectory->passages[j].steps;
        a->cursor = a->last;
        const double passage = trajectory->passages[j].time;
        const double next = k >= 0 ? fmax(w->times[w->order[k]], passage) : passage;
        if ((status = iop_adjoint_back(a, t, next)) != IOP_CONVERGED) return status;
        t = next;
    }
    if (!iop_finite(m->z, a->flow.size)) return IOP_DERIVATIVE_UNDEFINED;
    memcpy(a->gradient, m->z + ode->n, ode->p * sizeof(double));
    return IOP_CONVERGED;
}

/* Connects the parts of a solve with each other. */
static void iop_adjoint_bind(iop_adjoint *a) {
    iop_flow *flow = &a->flow;
    iop_stepper *m = &a->stepper;
    const iop_ode *ode = a->forward->s.ode;
    flow->size = ode->n + ode->p;
    flow->primary = ode->n;
    flow->counts = &a->counts;
    flow->rtol = fmax(ode->rtol, 1e-14);
    flow->atol = a->atol;
    for (int64_t i = 0; i < ode->n; i++) {
        a->atol[i] = 0;
        a->atol[ode->n + i] = ode->atol[i] / flow->rtol; /* size below which a state counts as that large */
        if (a->atol[ode->n + i] == 0) a->atol[ode->n + i] = DBL_MIN;
    }
    flow->evaluate = iop_adjoint_evaluate;
    flow->linearise = iop_adjoint_linearise;
    flow->factorise = iop_adjoint_factorise;
    flow->solve = iop_adjoint_solve;
    flow->multiply = iop_adjoint_multiply;
    flow->norm = iop_adjoint_norm;
    m->flow = flow;
    m->pair = a->forward->stepper.pair;
    m->method = a->forward->stepper.method;
    m->max_steps = a->forward->stepper.max_steps;
    m->max_step = ode->max_step;
    m->record = NULL;
    m->surfaces = NULL;
    m->plan = NULL;
    iop_set_combinations(m);
    a->none.next = INFINITY;
    a->forward->stepper.record = iop_record_step;
    a->forward->stepper.recorder = a->forward->trajectory;
}

#endif
