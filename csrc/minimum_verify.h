/* Is the point where the iteration ended a proper minimum?  And if there is none: does the objective run away?
 *
 * Proper: the Hessian of the free unknowns is positive definite relative to rounding error, no unknown is held by a
 * bound with a zero multiplier (strict complementarity), and none is free but within rounding error of a bound.
 */
#ifndef IMPLICITOPS_MINIMUM_VERIFY_H
#define IMPLICITOPS_MINIMUM_VERIFY_H

#include "minimum.h"

/* v'Hv with the Hessian of `values`, over the free unknowns. */
static double iop_curvature(const iop_minimum *s, const iop_minimum_workspace *w, const double *values,
                            const double *v) {
    const double *entries = values + 2 + 2 * s->n;
    double sum = 0;
    for (int64_t k = 0; k < s->n_entries; k++) {
        const int32_t i = s->rows[k], j = s->columns[k];
        if (!w->active[i] && !w->active[j]) sum += (i == j ? 1 : 2) * entries[k] * v[i] * v[j];
    }
    return sum;
}

/* Least eigenvalue of the free Hessian scaled to a unit diagonal, by inverse iteration; v is its direction in the
 * unknowns' own units, with v'Dv = 1 for the diagonal D. */
static double iop_least_eigenvalue(const iop_minimum *s, const iop_minimum_workspace *w, double *v) {
    const int64_t n = s->n;
    for (int64_t i = 0; i < n; i++) v[i] = w->active[i] ? 0 : (i % 2 ? -1 : 1) / sqrt(w->hessian[i * n + i]);
    for (int step = 0; step < 5; step++) {
        double square = 0;
        for (int64_t i = 0; i < n; i++)
            if (!w->active[i]) square += v[i] * v[i] * w->hessian[i * n + i];
        for (int64_t i = 0; i < n; i++) v[i] /= sqrt(square);
        if (step == 4) break;
        for (int64_t i = 0; i < n; i++) v[i] *= w->active[i] ? 0 : w->hessian[i * n + i];
        iop_cholesky_solve(n, w->factor, v, 1);
    }
    return iop_curvature(s, w, w->values, v);
}

/* Does the curvature along v change by half when the point moves by v? */
static int iop_curvature_changes(const iop_minimum *s, iop_minimum_workspace *w, const double *v) {
    const int64_t n = s->n;
    const double here = iop_curvature(s, w, w->values, v);
    int significant = 0;
    for (int64_t i = 0; i < n; i++) significant |= fabs(v[i]) > 1e-11 * w->weight[i];
    if (!significant && iop_gradient_is_rounding(s, w, 16)) return 0;
    for (int sign = -1; sign <= 1; sign += 2) {
        for (int64_t i = 0; i < n; i++) w->trial[i] = w->point[i] + sign * v[i];
        iop_evaluate_objective(s, w, w->trial, w->trial_values);
        const double there = iop_curvature(s, w, w->trial_values, v);
        if (fabs(there) <= DBL_MAX && fabs(there - here) > 0.5 * here) return 1;
    }
    return 0;
}

/* Is the free Hessian, which is positive definite here, singular for all that rounding leaves to be known?  Rounding
 * error of the gradient leaves the point open, most of all along the direction of least curvature (in w->other) and
 * along what the inverse Hessian makes of it (in w->slope): if the curvature changes by half over that, it cannot be
 * told from zero.  This is iop_is_regular of root_system.h for a symmetric matrix. */
static int iop_curvature_is_undecided(const iop_minimum *s, iop_minimum_workspace *w, double least) {
    const int64_t n = s->n;
    double amount = 0;
    for (int64_t i = 0; i < n; i++) {
        const double unknown = fabs(w->values[2 + i]) + 4 * DBL_EPSILON * w->values[2 + n + i];
        if (!w->active[i]) amount += fabs(w->other[i]) * unknown / least;
        w->slope[i] = -unknown;
    }
    for (int64_t i = 0; i < n; i++) w->other[i] *= amount;
    if (iop_curvature_changes(s, w, w->other)) return 1;
    iop_free_correction(s, w, w->slope, w->slope);
    return iop_curvature_changes(s, w, w->slope);
}

/* Why the free Hessian is not positive definite, whose factorisation stopped at `order`. */
static iop_status iop_indefinite_status(const iop_minimum *s, iop_minimum_workspace *w, int64_t order,
                                        double defect) {
    const int64_t n = s->n;
    double *v = w->other, scale = 0;
    iop_negative_direction(n, w->factor, order, v);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            if (!w->active[i] && !w->active[j]) scale += fabs(v[i] * w->hessian[i * n + j] * v[j]);
    return defect > 64 * n * DBL_EPSILON * scale ? IOP_NOT_A_MINIMUM : IOP_SINGULAR;
}

/* Are the multipliers of the bounds of the right sign and not zero, and the free unknowns clear of their bounds?
 * `error` is how far rounding may have moved each unknown. */
static iop_status iop_bounds_status(const iop_minimum *s, const iop_minimum_workspace *w, const double *error) {
    for (int64_t i = 0; i < s->n; i++) {
        const double slope = w->values[2 + i], x = w->point[i];
        if (w->active[i]) {
            if (!(-w->active[i] * slope > 16 * DBL_EPSILON * w->noise[i])) return IOP_DEGENERATE_BOUND;
        } else {
            /* A minimum at a bound of 0 is approached for ever, each step leaving a relative rounding error. */
            const double least = fmax(fabs(error[i]), 1e-100 * w->weight[i]);
            if (x - w->lower[i] <= fmax(4 * w->near_lower[i], least)) return IOP_DEGENERATE_BOUND;
            if (w->upper[i] - x <= fmax(4 * w->near_upper[i], least)) return IOP_DEGENERATE_BOUND;
        }
    }
    return IOP_CONVERGED;
}

/* Factorises the free Hessian at the point and decides whether it is a proper minimum.  Leaves the Newton correction
 * in w->step and what the factorisation makes of rounding error in w->slope. */
static iop_status iop_verify_minimum(const iop_minimum *s, iop_minimum_workspace *w) {
    const int64_t n = s->n;
    double defect = 0;
    if (!iop_are_finite(w->values, 2 + 2 * n)) return IOP_UNDEFINED;
    if (!iop_are_finite(w->values, iop_value_count(s))) return IOP_NON_SMOOTH;
    iop_take_values(s, w);
    const int64_t order = iop_factorise_free(s, w, &defect);
    if (order < n) return iop_indefinite_status(s, w, order, defect);
    iop_free_correction(s, w, w->values + 2, w->step);
    if (!iop_are_finite(w->step, n)) return IOP_SINGULAR;
    int64_t n_free = 0;
    for (int64_t i = 0; i < n; i++) n_free += !w->active[i];
    if (n_free > 0) {
        const double least = iop_least_eigenvalue(s, w, w->other);
        if (!(least > 16 * n * DBL_EPSILON)) return IOP_SINGULAR;
        if (iop_curvature_is_undecided(s, w, least)) return IOP_SINGULAR;
        if (!iop_gradient_is_rounding(s, w, 16) && !(iop_scaled_norm(w, w->step, n) <= 1e-11)) return IOP_NON_SMOOTH;
    }
    for (int64_t i = 0; i < n; i++) w->slope[i] = 4 * DBL_EPSILON * w->values[2 + n + i];
    iop_free_correction(s, w, w->slope, w->slope);
    return iop_bounds_status(s, w, w->slope);
}

/* Does f never rise from the point along the direction d (in w->step), out to infinity or the edge of the domain? */
static int iop_falls_along(const iop_minimum *s, iop_minimum_workspace *w) {
    const int64_t n = s->n;
    const double noise = iop_value_noise(s, w);
    double last = w->values[0];
    memcpy(w->trial, w->point, n * sizeof(double));
    for (int k = 1; k < 400; k++) {
        int moving = 0, far = 0, at_edge = 0;
        for (int64_t i = 0; i < n; i++) {
            const double d = w->step[i], edge = d < 0 ? s->domain_lower[i] : s->domain_upper[i];
            double x = fmin(fmax(w->point[i] + ldexp(d, k), w->lower[i]), w->upper[i]);
            if (fabs(edge) <= DBL_MAX && (x - edge) * d >= 0) x = edge + (w->point[i] - edge) * ldexp(1, -k);
            moving |= x != w->trial[i] && x != edge;
            at_edge |= x == edge;
            far |= fabs(x) > 1e150;
            w->trial[i] = x;
        }
        if (far || at_edge) return 1;
        if (!moving) return 0;
        iop_evaluate_objective(s, w, w->trial, w->trial_values);
        if (w->trial_values[0] == -INFINITY) return 1;
        if (!(w->trial_values[0] <= last + noise + 4 * DBL_EPSILON * w->trial_values[1])) return 0;
        last = fmin(last, w->trial_values[0]);
    }
    return 1;
}

/* Does the objective run away, along the line from the guess through the point or, since a valley may bend, along
 * those components of it that have moved farthest?  Then there is no minimum that way, or none that is attained. */
static int iop_runs_away(const iop_minimum *s, iop_minimum_workspace *w) {
    const int64_t n = s->n;
    double farthest = 0;
    if (!(w->values[0] < w->guess_value)) return 0;
    for (int64_t i = 0; i < n; i++) {
        w->step[i] = w->point[i] - w->guess[i];
        farthest = fmax(farthest, fabs(w->step[i]));
    }
    if (iop_falls_along(s, w)) return 1;
    int some = 0;
    for (int64_t i = 0; i < n; i++)
        if (fabs(w->step[i]) < 1e-3 * farthest) {
            w->step[i] = 0;
            some = 1;
        }
    return some && iop_falls_along(s, w);
}

#endif
