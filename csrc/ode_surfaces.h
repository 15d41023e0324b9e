/* Where a right-hand side changes its form because a condition on the states does.
 *
 * Each condition is the sign of a function s(t, y, q); where that is 0 is a surface.  The condition's regime keeps its
 * value over a step, so that the right-hand side is smooth however far the stages reach.  After a step has been accepted
 * the signs along its interpolant are compared with the regimes; the step is repeated up to the first crossing, and the
 * integration starts again with the right-hand side of the side entered (R. Mannshardt, Numer. Math. 31 (1978) 131;
 * L. F. Shampine and S. Thompson, Comput. Math. Appl. 39 (2000) 43).
 *
 * Where the right-hand sides of both sides point at a surface (A. F. Filippov, Differential Equations with Discontinuous
 * Righthand Sides (1988)), or one is not defined beyond it, no such step gets ahead.  There the regimes follow the point
 * at each evaluation, and step control alone finds its way, until the surfaces are left alone for a while.
 */
#ifndef IMPLICITOPS_ODE_SURFACES_H
#define IMPLICITOPS_ODE_SURFACES_H

#include "ode_stepper.h"

/* Stretches of a step at whose ends signs are looked at. */
enum { IOP_STRETCHES = 8 };

/* What iop_meet_surface() found: nothing, once without and once with the interpolant prepared; a crossing at which the step
 * ends, or before it has begun; regimes that need no longer follow the point. */
enum { IOP_NOT_MET = 0, IOP_PREPARED = 1, IOP_MET = 2, IOP_MET_AT_ONCE = 3, IOP_CALM = 4 };

struct iop_surfaces {
    iop_ode_flow *s;
    double *samples;        /* (IOP_STRETCHES + 1, surfaces), of the last step */
    double *noise;          /* how far beyond each surface a solution has to be to count as there */
    double *next;           /* regimes that hold from now on, and ... */
    int64_t follows;        /* ... whether they follow the point */
    int64_t short_stretches; /* crossings one after the other, with next to no time between them */
    int64_t calm, patience; /* steps without a crossing while regimes follow the point, and how many end that */
};

static void iop_reset_surfaces(iop_surfaces *u) {
    u->s->follows = 0;
    u->short_stretches = u->calm = 0;
    u->patience = 10;
}

/* Lets the regimes follow the point from now on; 0 if they do so already, or there are none. */
static int iop_follow_surfaces(iop_stepper *m) {
    iop_surfaces *u = m->surfaces;
    if (u == NULL || u->s->follows) return 0;
    memcpy(u->next, iop_surface_regimes(u->s), u->s->ode->n_surfaces * sizeof(double));
    u->follows = 1;
    u->calm = u->short_stretches = 0;
    return 1;
}

/* Evaluates all surfaces at a fraction x of a step. */
static const double *iop_surfaces_at(iop_stepper *m, double h, double x) {
    iop_ode_flow *s = m->surfaces->s;
    const double *y = x <= 0 ? m->z : x >= 1 ? m->z_new : m->interpolated;
    if (x > 0 && x < 1) iop_interpolate(m, s->ode->n, h, x);
    iop_set_point(s, m->t + x * h, y);
    s->ode->surfaces.scalar(s->point, s->surface_values, s->ode->surfaces.ctx);
    return s->surface_values;
}

/* Value of a surface with the sign that makes it positive on the side of its regime. */
static inline double iop_inside(double regime, double value) { return regime > 0.5 ? value : -value; }

/* A regime of 1 needs a positive value, one of 0 any other. */
static inline int iop_is_outside(double regime, double value) { return regime > 0.5 ? value <= 0 : value > 0; }

static inline int iop_is_beyond(const iop_surfaces *u, int64_t k, double value) {
    const double regime = iop_surface_regimes(u->s)[k];
    return iop_is_outside(regime, value) && (u->noise[k] == 0 || iop_inside(regime, value) < -u->noise[k]);
}

/* Evaluates all surfaces at a fraction x of a step where the states are wrong by about their tolerances, of either sign. */
static const double *iop_surfaces_beside(iop_stepper *m, double h, double x) {
    iop_ode_flow *s = m->surfaces->s;
    const iop_flow *flow = m->flow;
    const double *y = x < 1 ? m->interpolated : m->z_new;
    if (x < 1) iop_interpolate(m, s->ode->n, h, x);
    for (int64_t i = 0; i < flow->primary; i++) {
        const double tolerance = flow->atol[i] + flow->rtol * fabs(y[i]), size = 1 + 0.125 * (double)(i * 5 % 8);
        m->interpolated[i] = y[i] + (i * 3 % 4 < 2 ? size : -size) * tolerance;
    }
    iop_set_point(s, m->t + x * h, m->interpolated);
    s->ode->surfaces.scalar(s->point, s->surface_values, s->ode->surfaces.ctx);
    return s->surface_values;
}

/* Where a solution comes to rest on a surface, the errors of the steps take it to and fro.  They are some tenth of what
 * the tolerances of the states make of a surface. */
static inline double iop_noise(double value, double beside) {
    const double noise = 0.1 * fabs(beside - value);
    return noise <= DBL_MAX ? noise : 0;
}

/* Measures the noise of all surfaces at the end of a step. */
static void iop_measure_noise(iop_stepper *m, double h) {
    iop_surfaces *u = m->surfaces;
    const int64_t count = u->s->ode->n_surfaces;
    memcpy(u->noise, iop_surfaces_at(m, h, 1), count * sizeof(double));
    const double *beside = iop_surfaces_beside(m, h, 1);
    for (int64_t k = 0; k < count; k++) u->noise[k] = iop_noise(u->noise[k], beside[k]);
}

/* Whether a surface is beyond at a fraction x of a step by more than the noise there, which is less in a dip. */
static int iop_dips_beyond(iop_stepper *m, double h, double x, int64_t k, double value) {
    iop_surfaces *u = m->surfaces;
    if (iop_is_beyond(u, k, value)) return 1;
    if (!iop_is_outside(iop_surface_regimes(u->s)[k], value)) return 0;
    u->noise[k] = fmin(u->noise[k], iop_noise(value, iop_surfaces_beside(m, h, x)[k]));
    return iop_is_beyond(u, k, value);
}

/* A fraction of a step near the least of three samples of surface k where that is crossed although it is at none of them,
 * by parabolas; 2 if there is none. */
static double iop_dip(iop_stepper *m, double h, int64_t k, const double *at, double at_a, double at_b, double at_c) {
    const iop_surfaces *u = m->surfaces;
    const double regime = iop_surface_regimes(u->s)[k], noise = u->noise[k];
    double a = at[0], b = at[1], c = at[2];
    for (int64_t i = 0; i < 8; i++) {
        const double slope = (at_b - at_a) / (b - a), curvature = ((at_c - at_b) / (c - b) - slope) / (c - a);
        const double x = 0.5 * (a + b - slope / curvature), least = fmin(at_a, fmin(at_b, at_c));
        if (!(curvature > 0) || !(x > at[0] && x < at[2])) return 2;
        const double lowest = at_a + (x - a) * slope + (x - a) * (x - b) * curvature;
        if (fabs(x - b) < 1e-4 * (at[2] - at[0]) && !(lowest < 0)) return 2;
        if (!(lowest < 0.9 * least) || (least <= noise && lowest > -noise)) return 2;
        const double sample = iop_surfaces_at(m, h, x)[k], value = iop_inside(regime, sample);
        if (iop_dips_beyond(m, h, x, k, sample)) return x;
        if (x < b) {
            if (value <= at_b) {
                c = b, at_c = at_b, b = x, at_b = value;
            } else {
                a = x, at_a = value;
            }
        } else if (value <= at_b) {
            a = b, at_a = at_b, b = x, at_b = value;
        } else {
            c = x, at_c = value;
        }
    }
    return 2;
}

/* Samples all surfaces over a step and returns a fraction at which one is beyond, with *left a fraction before it at which
 * none is; 2 if there is none. */
static double iop_find_crossing(iop_stepper *m, double h, double *left) {
    iop_surfaces *u = m->surfaces;
    const int64_t count = u->s->ode->n_surfaces;
    const double *regimes = iop_surface_regimes(u->s);
    double at[IOP_STRETCHES + 1], right = 2;
    int64_t last = IOP_STRETCHES; /* sample before or at which a crossing has been found */
    for (int64_t i = 0; i <= IOP_STRETCHES; i++) {
        at[i] = (double)i / IOP_STRETCHES;
        double *sample = u->samples + i * count;
        memcpy(sample, iop_surfaces_at(m, h, at[i]), count * sizeof(double));
        for (int64_t k = 0; i > 0 && right > 1 && k < count; k++)
            if (iop_is_beyond(u, k, sample[k])) right = at[i];
        if (right <= 1) {
            last = i;
            break;
        }
    }
    *left = right <= 1 ? at[last - 1] : 1;
    for (int64_t k = 0; k < count; k++) {
        double inside[IOP_STRETCHES + 1];
        for (int64_t i = 0; i <= last; i++) inside[i] = iop_inside(regimes[k], u->samples[i * count + k]);
        for (int64_t j = 0; j <= last; j++) {
            if ((j > 0 && inside[j] > inside[j - 1]) || (j < last && inside[j] > inside[j + 1])) continue;
            const int64_t first = iop_most(iop_least(j - 1, last - 2), 0);
            if (first + 2 > last || iop_is_beyond(u, k, u->samples[(first + 2) * count + k])) continue;
            const double x = iop_dip(m, h, k, at + first, inside[first], inside[first + 1], inside[first + 2]);
            if (x >= right) continue;
            right = x;
            *left = x > at[j] ? at[j] : at[iop_most(j - 1, 0)];
        }
    }
    return right;
}

/* Narrows the first crossing between two fractions of a step, beyond surfaces at the second, by the Illinois method on
 * whichever surface is crossed first.  Returns a fraction at which that is outside, and which it is. */
static double iop_narrow(iop_stepper *m, double h, double left, double right, int64_t *which) {
    iop_surfaces *u = m->surfaces;
    const int64_t count = u->s->ode->n_surfaces;
    const double *regimes = iop_surface_regimes(u->s);
    const double width = fmax(4 * DBL_EPSILON * fabs(m->t) / h, 1e-13);
    double *before = u->samples, *after = before + count, *crossed = after + count, by_left = 1, by_right = 1;
    memcpy(after, iop_surfaces_at(m, h, right), count * sizeof(double));
    for (int64_t k = 0; k < count; k++) crossed[k] = iop_is_beyond(u, k, after[k]);
    /* A crossing that has just been passed may seem to lie ahead by a rounding error. */
    for (double x = left;; x = x == 0 ? 0.5 * right : 0.25 * x) {
        int is_inside = 1;
        memcpy(before, iop_surfaces_at(m, h, x), count * sizeof(double));
        for (int64_t k = 0; k < count; k++)
            if (crossed[k] && iop_is_outside(regimes[k], before[k])) {
                *which = k;
                is_inside = 0;
            }
        if (!is_inside && (left > 0 || (x > 0 && x < 1e-10))) return left;
        if (!is_inside) continue;
        left = x;
        break;
    }
    for (int64_t i = 0, last = 0; i < 100; i++) {
        double x = 2;
        for (int64_t k = 0; k < count; k++) {
            if (!crossed[k]) continue;
            const double a = by_left * fabs(before[k]), b = by_right * fabs(after[k]);
            const double share = a / (a + b); /* NaN where a surface is infinite or 0 on both sides */
            const double zero = left + (right - left) * (share >= 0 ? share : 0.5);
            if (zero < x) *which = k;
            x = fmin(x, zero);
        }
        if (right - left <= width) break;
        if (i % 4 == 3 || !(x > left && x < right)) x = 0.5 * (left + right);
        const double *values = iop_surfaces_at(m, h, x);
        int is_outside = 0;
        for (int64_t k = 0; k < count; k++) is_outside |= crossed[k] && iop_is_outside(regimes[k], values[k]);
        if (is_outside) {
            for (int64_t k = 0; k < count; k++) crossed[k] = crossed[k] && iop_is_outside(regimes[k], values[k]);
            memcpy(after, values, count * sizeof(double));
            right = x;
            by_left *= last == 1 ? 0.5 : 1;
            by_right = 1;
        } else {
            memcpy(before, values, count * sizeof(double));
            left = x;
            by_right *= last == -1 ? 0.5 : 1;
            by_left = 1;
        }
        last = is_outside ? 1 : -1;
    }
    return right;
}

/* Decides from the signs at the end of a step whether regimes have to follow the point any longer. */
static int iop_watch_surfaces(iop_stepper *m, double h) {
    iop_surfaces *u = m->surfaces;
    const int64_t count = u->s->ode->n_surfaces;
    const double *values = iop_surfaces_at(m, h, 1);
    u->calm++;
    for (int64_t k = 0; k < count; k++) {
        const double regime = values[k] > 0;
        if (regime != u->next[k]) u->calm = 0;
        u->next[k] = regime;
    }
    if (u->calm < u->patience) return IOP_NOT_MET;
    u->follows = 0;
    u->patience *= 2;
    return IOP_CALM;
}

/* Repeats a step of length h so that it ends where surface `which` is crossed, at a fraction x of it, and returns its new
 * length.  Newton's method corrects what the interpolant is wrong by. */
static double iop_step_to_surface(iop_stepper *m, double h, double x, int64_t which, double *error) {
    const double before = fmax(x - 1e-4, 0), after = fmin(x + 1e-4, 1);
    const double earlier = iop_surfaces_at(m, h, before)[which], later = iop_surfaces_at(m, h, after)[which];
    const double slope = (later - earlier) / ((after - before) * h);
    double length = x * h, stiffness;
    for (int64_t i = 0;; i++) {
        m->flow->counts->rejected++;
        *error = iop_try_step(m, length, &stiffness);
        if (!(*error <= 1)) return length;
        const double correction = -iop_surfaces_at(m, length, 1)[which] / slope;
        const double precise = fmax(4 * DBL_EPSILON * fabs(m->t), 1e-12 * length);
        if (i == 2 || !(fabs(correction) > precise && fabs(correction) < 0.01 * length)) return length;
        if (length + correction > h) return length;
        length += correction;
    }
}

/* Looks for surfaces that are crossed in an accepted step of length *h, and shortens it to the first.  An error above 1
 * says that the shorter step is not accepted. */
static int iop_meet_surface(iop_stepper *m, double *h, double *error) {
    iop_surfaces *u = m->surfaces;
    iop_ode_flow *s = u->s;
    const int64_t count = s->ode->n_surfaces;
    const double *regimes = iop_surface_regimes(s);
    int met = IOP_PREPARED;
    int64_t which = 0;
    if (s->follows) return iop_watch_surfaces(m, *h);
    for (int64_t attempt = 0; attempt < 4; attempt++) {
        const int64_t met_last = which;
        double left;
        iop_measure_noise(m, *h);
        iop_prepare_interpolant(m, *h);
        double x = iop_find_crossing(m, *h, &left);
        /* A shortened step is looked at again, more closely: something may come and go before the crossing at its end. */
        if (x > 1 || (attempt > 0 && left > 0.99)) break;
        x = iop_narrow(m, *h, left, x, &which);
        /* The same crossing again, or another within its rounding errors. */
        if (attempt > 0 && x > (which == met_last ? 0.99 : 1 - 1e-11)) break;
        u->short_stretches = x < 1e-6 ? u->short_stretches + 1 : 0;
        if (u->short_stretches > 8 + 2 * count && iop_follow_surfaces(m)) return IOP_MET_AT_ONCE;
        memcpy(u->next, regimes, count * sizeof(double));
        u->next[which] = 1 - regimes[which];
        u->follows = 0;
        if (x * *h <= 4 * DBL_EPSILON * fabs(m->t) || x * *h < DBL_MIN) {
            m->flow->counts->rejected++;
            return IOP_MET_AT_ONCE;
        }
        *h = iop_step_to_surface(m, *h, x, which, error);
        if (!(*error <= 1)) return IOP_NOT_MET;
        met = IOP_MET;
    }
    if (met == IOP_PREPARED) u->short_stretches = 0;
    if (met != IOP_MET) return met;
    /* Others are crossed within the same instant. */
    const double *values = iop_surfaces_at(m, *h, 1);
    for (int64_t k = 0; k < count; k++)
        if (u->next[k] == regimes[k] && iop_is_beyond(u, k, values[k])) u->next[k] = 1 - regimes[k];
    return IOP_MET;
}

#endif
