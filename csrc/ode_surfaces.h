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

/* Surface k at a fraction of a step, with the sign that makes it positive on the side of its regime. */
static double iop_inside(iop_stepper *m, double h, double x, int64_t k) {
    const double value = iop_surfaces_at(m, h, x)[k];
    return iop_surface_regimes(m->surfaces->s)[k] > 0.5 ? value : -value;
}

/* A regime of 1 needs a positive value, one of 0 any other. */
static inline int iop_is_outside(double regime, double inside) { return regime > 0.5 ? inside <= 0 : inside < 0; }

/* Narrows a crossing between two fractions of a step, the first of them inside, by the Illinois method. Returns the end
 * that is outside. */
static double iop_narrow(iop_stepper *m, double h, int64_t k, double left, double right) {
    const double regime = iop_surface_regimes(m->surfaces->s)[k];
    const double width = fmax(4 * DBL_EPSILON * fabs(m->t) / h, 1e-13);
    double at_left = iop_inside(m, h, left, k), at_right = iop_inside(m, h, right, k);
    int last = 0;
    for (int64_t i = 0; i < 100 && right - left > width; i++) {
        double x = (at_left * right - at_right * left) / (at_left - at_right);
        if (i % 4 == 3 || !(x > left && x < right)) x = 0.5 * (left + right);
        const double value = iop_inside(m, h, x, k);
        if (iop_is_outside(regime, value)) {
            right = x;
            at_right = value;
            if (last == 1) at_left *= 0.5;
            last = 1;
        } else {
            left = x;
            at_left = value;
            if (last == -1) at_right *= 0.5;
            last = -1;
        }
    }
    return right;
}

/* Looks for a fraction of a step where surface k is crossed, near the least of three samples that are not, by parabolas;
 * 2 if there is none. */
static double iop_dip(iop_stepper *m, double h, int64_t k, const double *at, const double *inside) {
    const double regime = iop_surface_regimes(m->surfaces->s)[k], begin = at[0], end = at[2];
    double a = at[0], b = at[1], c = at[2], at_a = inside[0], at_b = inside[1], at_c = inside[2];
    for (int64_t i = 0; i < 8; i++) {
        const double slope = (at_b - at_a) / (b - a), curvature = ((at_c - at_b) / (c - b) - slope) / (c - a);
        const double x = 0.5 * (a + b - slope / curvature);
        if (!(curvature > 0) || !(x > begin && x < end) || fabs(x - b) < 1e-4 * (end - begin)) return 2;
        const double lowest = at_a + (x - a) * slope + (x - a) * (x - b) * curvature;
        if (!(lowest < 0.5 * fmin(at_a, fmin(at_b, at_c)))) return 2;
        const double value = iop_inside(m, h, x, k);
        if (iop_is_outside(regime, value)) return x;
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

/* First fraction of a step at which surface k is crossed, 2 if it is not. */
static double iop_first_crossing(iop_stepper *m, double h, int64_t k) {
    const iop_surfaces *u = m->surfaces;
    const double regime = iop_surface_regimes(u->s)[k], sign = regime > 0.5 ? 1 : -1;
    double at[IOP_STRETCHES + 1], inside[IOP_STRETCHES + 1];
    for (int64_t i = 0; i <= IOP_STRETCHES; i++) {
        at[i] = (double)i / IOP_STRETCHES;
        inside[i] = sign * u->samples[i * u->s->ode->n_surfaces + k];
    }
    for (int64_t i = 1; i <= IOP_STRETCHES; i++) {
        if (iop_is_outside(regime, inside[i])) {
            double left = at[i - 1];
            if (i > 1 || !iop_is_outside(regime, inside[0])) return iop_narrow(m, h, k, left, at[i]);
            /* A crossing that has just been passed may seem to lie ahead by a rounding error. */
            for (left = 0.5 * at[1]; left > 1e-3; left *= 0.25)
                if (!iop_is_outside(regime, iop_inside(m, h, left, k))) return iop_narrow(m, h, k, left, at[1]);
            return 0;
        }
        /* The least of its neighbourhood: at the sample before this one, or at the last. */
        const int64_t j = i - 1, is_last = i == IOP_STRETCHES && inside[i] < inside[j];
        if (!is_last && (inside[j] > inside[i] || (j > 0 && inside[j] > inside[j - 1]))) continue;
        const int64_t first = is_last ? i - 2 : j > 0 ? j - 1 : 0;
        const double x = iop_dip(m, h, k, at + first, inside + first);
        if (x <= 1) return iop_narrow(m, h, k, x > at[j] ? at[j] : at[j > 0 ? j - 1 : 0], x);
    }
    return 2;
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
    const double earlier = iop_inside(m, h, before, which), later = iop_inside(m, h, after, which);
    const double slope = (later - earlier) / ((after - before) * h);
    double length = x * h, stiffness;
    for (int64_t i = 0;; i++) {
        m->flow->counts->rejected++;
        *error = iop_try_step(m, length, &stiffness);
        if (!(*error <= 1)) return length;
        const double correction = -iop_inside(m, length, 1, which) / slope;
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
    if (s->follows) return iop_watch_surfaces(m, *h);
    iop_prepare_interpolant(m, *h);
    for (int64_t i = 0; i <= IOP_STRETCHES; i++)
        memcpy(u->samples + i * count, iop_surfaces_at(m, *h, (double)i / IOP_STRETCHES), count * sizeof(double));
    double x = 2;
    int64_t which = 0;
    for (int64_t k = 0; k < count; k++) {
        const double crossing = iop_first_crossing(m, *h, k);
        if (crossing < x) {
            x = crossing;
            which = k;
        }
    }
    u->short_stretches = x < 1e-6 ? u->short_stretches + 1 : 0;
    if (x > 1) return IOP_PREPARED;
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
    /* Others are crossed within the same instant. */
    const double *values = iop_surfaces_at(m, *h, 1);
    for (int64_t k = 0; k < count; k++)
        if (k != which && iop_is_outside(regimes[k], regimes[k] > 0.5 ? values[k] : -values[k])) u->next[k] = 1 - regimes[k];
    return IOP_MET;
}

#endif
