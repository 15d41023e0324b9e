/* Steps of one method after the other over a stretch of time in which the right-hand side is smooth.
 *
 * Step sizes follow the PI controller of Hairer and Wanner (Solving Ordinary Differential Equations II, section IV.2).
 * With method auto the explicit pair watches its own stability bound and gives way to Rodas5P where that, and not
 * accuracy, limits the step; Rodas5P gives way again where an explicit step of the same length would be stable.
 */
#ifndef IMPLICITOPS_ODE_STEPS_H
#define IMPLICITOPS_ODE_STEPS_H

#include "ode_estimate.h"
#include "ode_surfaces.h"

/* First step of Hairer, Norsett and Wanner (Solving Ordinary Differential Equations I, section II.4). */
static double iop_first_step(iop_stepper *m, double stop) {
    iop_flow *flow = m->flow;
    const double order = iop_order(m), span = stop - m->t;
    const double d0 = flow->norm(flow, m->z, m->z, m->z), d1 = flow->norm(flow, m->stages, m->z, m->z);
    double h = d0 < 1e-5 || d1 < 1e-5 || !(d1 <= DBL_MAX) || !(d0 <= DBL_MAX) ? 1e-6 : 0.01 * d0 / d1;
    if (h > span) h = span;
    for (int64_t i = 0; i < flow->size; i++) m->work[i] = m->z[i] + h * m->stages[i];
    flow->evaluate(flow, m->t + h, m->work, m->z_new);
    for (int64_t i = 0; i < flow->size; i++) m->z_new[i] -= m->stages[i];
    const double d2 = flow->norm(flow, m->z_new, m->z, m->z) / h, largest = d1 > d2 ? d1 : d2;
    if (!(largest <= DBL_MAX)) return h * 1e-3;
    const double second = largest <= 1e-15 ? fmax(1e-6, h * 1e-3) : pow(0.01 / largest, 1 / order);
    return fmin(fmin(100 * h, second), span);
}

/* Evaluates what a step begins with: F into the first row of the stages, and the Jacobian if the method needs it. */
static void iop_begin_step(iop_stepper *m) {
    if (m->is_stiff)
        m->flow->linearise(m->flow, m->t, m->z, m->dense);
    else
        m->flow->evaluate(m->flow, m->t, m->z, m->stages);
}

/* h times an estimate of the spectral radius of f_y, by one step of the power method for each accepted step. */
static double iop_power_step(iop_stepper *m, double h) {
    const int64_t n = m->flow->primary;
    double *v = m->power, *w = m->power + n;
    m->flow->multiply(m->flow, v, w);
    const double before = iop_scaled_length(m->flow, v, m->z), after = iop_scaled_length(m->flow, w, m->z);
    for (int64_t i = 0; i < n; i++) v[i] = after > 0 ? w[i] / after : 1;
    return before > 0 ? h * after / before : 0;
}

/* Whether a trial step of Rodas5P over eight explicit steps would be accepted. Overwrites everything but z. */
static int iop_longer_step_holds(iop_stepper *m, double stop) {
    const double h = fmin(8 * m->h, stop - m->t);
    if (h < 4 * m->h) return 0;
    m->flow->linearise(m->flow, m->t, m->z, m->dense);
    return iop_rodas_step(&m->rodas, m->flow, m->t, h, m->z, m->dense, m->z_new, m->stages, m->work) <= 1;
}

/* Error control of sensitivities can hold explicit steps well below the stability bound of a stiff problem, where nothing
 * but a trial tells it from an accurate solution of one that is not. Trials that fail become rare. */
static void iop_try_longer_step(iop_stepper *m, double stop) {
    m->suspicion = 0;
    if (!iop_longer_step_holds(m, stop)) {
        m->patience *= 2;
        return;
    }
    m->is_stiff = 1;
    m->flow->counts->switches++;
    m->previous = 1e-4;
    m->evidence = m->counter_evidence = 0;
    for (int64_t i = 0; i < m->flow->primary; i++) m->power[i] = 1;
}

/* Collects evidence after an accepted step, and changes the method where there is enough. */
static void iop_choose_method(iop_stepper *m, double stiffness) {
    const iop_ode_counts *counts = m->flow->counts;
    const int64_t for_it = m->is_stiff ? stiffness < 0.3 * m->pair->stability : stiffness > 0.7 * m->pair->stability;
    if (for_it) {
        m->evidence++;
        m->counter_evidence = 0;
    } else if (++m->counter_evidence == (m->is_stiff ? 1 : 8)) {
        m->evidence = 0;
        m->counter_evidence = 0;
    }
    if (m->evidence < (m->is_stiff ? 25 * (1 + counts->switches) : 15)) return;
    m->evidence = m->counter_evidence = 0;
    if (m->method != IOP_ODE_AUTO) return;
    m->is_stiff = !m->is_stiff;
    m->flow->counts->switches++;
    m->previous = 1e-4;
    for (int64_t i = 0; i < m->flow->primary; i++) m->power[i] = 1;
}

/* Passes on the outputs within an accepted step, and the step itself to the recorder. */
static int iop_emit_inside(iop_stepper *m, iop_sink *sink, double h, double t_new, double stop, int is_prepared) {
    if (!(sink->next < stop && sink->next <= t_new) && m->record == NULL) return 0;
    if (!is_prepared) iop_prepare_interpolant(m, h);
    while (sink->next < stop && sink->next <= t_new) {
        iop_interpolate(m, m->flow->size, h, (sink->next - m->t) / h);
        sink->emit(sink, sink->next, m->interpolated);
    }
    return m->record != NULL && m->record(m, h);
}

/* Why steps became too short to go on.  Towards its end in finite time a solution grows by its own size in some hundreds
 * or thousands of steps, however short they become. */
static iop_status iop_why_too_short(const iop_stepper *m, double start_scale, double h, double error) {
    const double *rate = m->is_stiff ? m->dense : m->stages;
    int64_t k = 0;
    for (int64_t i = 1; i < m->flow->primary; i++) k = fabs(m->z[i]) > fabs(m->z[k]) ? i : k;
    const double largest = fabs(m->z[k]), growth = m->z[k] > 0 ? rate[k] : -rate[k];
    if (largest > 1e6 * start_scale || (largest > 10 * start_scale && 1e5 * h * growth > largest)) return IOP_BLOW_UP;
    return error <= DBL_MAX ? IOP_STEP_TOO_SMALL : IOP_UNDEFINED;
}

/* Step size after a step with a given error norm. */
static double iop_next_step(iop_stepper *m, double h, double error, int accepted, int after_rejection) {
    const double order = iop_order(m), beta = 0.4 / order, alpha = 1 / order - 0.75 * beta;
    if (!(error <= DBL_MAX)) return 0.1 * h;
    if (!accepted) return h * fmax(0.2, 0.9 * pow(error, -1 / order));
    double factor = error > 0 ? 0.9 * pow(error, -alpha) * pow(m->previous, beta) : 6;
    factor = fmin(fmax(factor, 0.2), after_rejection ? 1 : 6);
    m->previous = fmax(error, 1e-4);
    return factor * h;
}

/* Goes on to the end of an accepted step. */
static void iop_accept_step(iop_stepper *m, double t_new) {
    double *swapped = m->z;
    m->t = t_new;
    m->z = m->z_new;
    m->z_new = swapped;
}

/* Takes steps that are written down, each as two halves. */
static int iop_repeat_halved(iop_stepper *m, double stop, iop_sink *sink) {
    iop_plan *plan = m->plan;
    const int64_t size = m->flow->size;
    double stiffness;
    int is_known = 0; /* the derivative at z is the last stage of the step before */
    while (plan->position < plan->count) {
        const double *row = plan->rows + plan->position++ * plan->width;
        if (row[0] == IOP_NEW_REGIMES) {
            m->surfaces->follows = row[2] != 0;
            memcpy(m->surfaces->next, row + 3, (plan->width - 3) * sizeof(double));
            return IOP_SURFACE;
        }
        m->is_stiff = row[0] == IOP_STIFF_STEP;
        const double ends[2] = {m->t + 0.5 * (row[1] - m->t), row[1]};
        for (int64_t half = 0; half < 2; half++) {
            double h = ends[half] - m->t;
            while (m->t + h > ends[half]) h = nextafter(h, 0);
            if (is_known && !m->is_stiff)
                memcpy(m->stages, m->stages + (m->pair->stages - 1) * size, size * sizeof(double));
            else
                iop_begin_step(m);
            is_known = !m->is_stiff;
            if (!(iop_try_step(m, h, &stiffness) <= DBL_MAX)) return IOP_UNDEFINED;
            if (iop_emit_inside(m, sink, h, ends[half], stop, 0)) return IOP_NO_MEMORY;
            iop_accept_step(m, ends[half]);
        }
        if (m->t == stop) return IOP_CONVERGED;
    }
    return IOP_UNDEFINED;
}

/* Integrates from m->t to `stop`, passing on outputs strictly before it. */
static int iop_integrate(iop_stepper *m, double stop, iop_sink *sink) {
    iop_flow *flow = m->flow;
    iop_ode_counts *counts = flow->counts;
    const int64_t size = flow->size;
    int rejected = 0;
    double scale = 1, stiffness = 0;
    if (m->plan != NULL && m->plan->is_repeated) return iop_repeat_halved(m, stop, sink);
    for (int64_t i = 0; i < flow->primary; i++) scale = fmax(scale, fabs(m->z[i]));
    iop_begin_step(m);
    if (!iop_finite(m->is_stiff ? m->dense : m->stages, size))
        return iop_follow_surfaces(m) ? IOP_SURFACE : IOP_UNDEFINED;
    if (m->h == 0) {
        if (m->is_stiff) memcpy(m->stages, m->dense, size * sizeof(double));
        m->h = iop_first_step(m, stop);
    }
    for (;;) {
        /* On a stiff problem the interpolant loses its order, so that steps end at outputs. */
        const double target = m->is_stiff && sink->next > m->t && sink->next < stop ? sink->next : stop;
        const double remaining = target - m->t;
        const double wanted = fmin(m->h, m->max_step);
        const int last = wanted >= 0.999 * remaining;
        double h = last ? remaining : wanted > 0.5 * remaining ? 0.5 * remaining : wanted;
        /* No stage may lie beyond the end, where the right-hand side need not be defined. */
        while (last && m->t + h > target) h = nextafter(h, 0);
        const int64_t was_stiff = m->is_stiff;
        if (counts->steps + counts->rejected >= m->max_steps)
            return !m->is_stiff && m->method != IOP_ODE_AUTO && m->limited > 0.5 ? IOP_STIFF : IOP_MAX_STEPS;
        double error = iop_try_step(m, h, &stiffness);
        if (!(error <= DBL_MAX) && iop_follow_surfaces(m)) return IOP_SURFACE;
        const int met = error <= 1 && m->surfaces != NULL ? iop_meet_surface(m, &h, &error) : IOP_NOT_MET;
        if (met == IOP_MET_AT_ONCE) return IOP_SURFACE;
        if (!(error <= 1)) {
            counts->rejected++;
            rejected = 1;
            m->h = iop_next_step(m, h, error, 0, 0);
            if (m->h < 16 * DBL_EPSILON * fabs(m->t) || m->h < 1e-300) return iop_why_too_short(m, scale, h, error);
            continue;
        }
        const double t_new = last && met != IOP_MET ? target : m->t + h;
        counts->steps++;
        if (iop_plan_row(m->plan, m->is_stiff ? IOP_STIFF_STEP : IOP_EXPLICIT_STEP, t_new, 0, NULL)) return IOP_NO_MEMORY;
        if (m->is_stiff) {
            stiffness = iop_power_step(m, h);
        } else if (counts->steps % 4 == 0) {
            /* Where the states follow a slow solution to rounding, the difference of two stages shows nothing. */
            flow->linearise(flow, t_new, m->z_new, m->work);
            stiffness = fmax(stiffness, iop_power_step(m, h));
            m->suspicion += stiffness > 0.1 * m->pair->stability;
        }
        if (!m->is_stiff) m->limited += 0.05 * ((stiffness > 0.5 * m->pair->stability) - m->limited);
        counts->stiff_steps += m->is_stiff;
        if (iop_emit_inside(m, sink, h, t_new, stop, met == IOP_PREPARED)) return IOP_NO_MEMORY;
        /* A step cut short to end at `stop`, with next to no error, says nothing against the length that was wanted. */
        const double next = iop_next_step(m, h, error, 1, rejected);
        m->h = next >= 5.9 * h ? fmax(next, m->h) : next;
        rejected = 0;
        iop_choose_method(m, stiffness);
        iop_accept_step(m, t_new);
        if (met == IOP_MET || met == IOP_CALM) return IOP_SURFACE;
        if (t_new == stop) return IOP_CONVERGED;
        const int tried = m->method == IOP_ODE_AUTO && !m->is_stiff && m->suspicion >= m->patience;
        if (tried) iop_try_longer_step(m, stop);
        if (m->is_stiff || was_stiff || tried)
            iop_begin_step(m);
        else
            memcpy(m->stages, m->stages + (m->pair->stages - 1) * size, size * sizeof(double));
    }
}

#endif
