/* Minimisation by Newton's method in a trust region, one batch element at a time: evaluation, steps, iteration.
 *
 * The step of least model value in the trust region (trust_region.h) is found among the unknowns that are not held at
 * a bound; where it crosses a bound it is cut there, that unknown is held, and the others go on with what is left of
 * the radius.  The result is used if the model is lower there than at the generalised Cauchy point, the projected
 * steepest descent step, which alone guarantees convergence (C.-J. Lin and J. J. More, Newton's Method for Large
 * Bound-Constrained Optimization Problems, SIAM J. Optim. 9 (1999) 1100).
 *
 * Near the minimum the objective says nothing more, being known only to rounding error: then Newton steps on the free
 * unknowns follow until the gradient is rounding error.  Whether the point is a proper minimum is in minimum_verify.h.
 */
#ifndef IMPLICITOPS_MINIMUM_H
#define IMPLICITOPS_MINIMUM_H

#include "trust_region.h"

typedef struct {
    iop_callback start;     /* theta -> guess; scalar == NULL: trailing inputs of the operation */
    iop_callback bounds;    /* theta -> lower, upper, nearness of each; scalar == NULL: no bounds */
    iop_callback objective; /* (x, theta) -> f, scale of f, G, scale of G, entries of the Hessian's lower triangle */
    iop_callback parameter; /* (x, theta) -> entries of F_theta, with F = G, or x - bound for an unknown at a bound */
    iop_callback second;    /* (x, theta, u, a, v, b) -> second derivative of F along (u, a) and (v, b) */
    iop_callback errors, second_errors; /* of derivatives, see derivative_error.h; scalar == NULL without them */
    int64_t n;
    int64_t n_params;
    int64_t n_entries;           /* of the Hessian's lower triangle */
    const int32_t *rows;
    const int32_t *columns;
    int64_t n_parameter_entries; /* of F_theta */
    const int32_t *parameter_rows;
    const int32_t *parameter_columns;
    int64_t n_stationary_entries; /* of F_x, sorted by row */
    const int32_t *stationary_rows;
    const int32_t *stationary_columns;
    const double *domain_lower;  /* per unknown: iterates stay strictly above; -inf if unconstrained */
    const double *domain_upper;
    int64_t derivatives;
    int64_t max_steps;
    double rtol;
    const double *atol;          /* per unknown */
} iop_minimum;

/* Everything that one solve writes to; all arrays are parts of one allocation. */
typedef struct {
    double *point;   /* x, then theta: input of the callbacks */
    double *trial;   /* the same at a trial point */
    double *values;  /* f, its scale, G, its scale, Hessian entries at `point` */
    double *trial_values;
    double *guess;
    double *lower;   /* closed bounds, and how near to them counts as at them */
    double *upper;
    double *near_lower;
    double *near_upper;
    double *weight;  /* scale of each unknown */
    double *noise;   /* rounding error of each component of G at `point`, in units of its last place */
    double *hessian; /* n x n */
    double *factor;  /* Cholesky factor: the identity for unknowns at a bound */
    double *step;
    double *other;   /* a second step, compared with the first */
    double *slope;   /* gradient of the model at the end of the step */
    iop_trust_region region;
    int32_t *active; /* -1, 1: at its lower or upper bound, which holds it; 0: free */
    int32_t *hit;    /* the same at the end of the step */
    int32_t *moving; /* unknowns of the trust-region step */
    double guess_value;   /* f at the guess */
    int newton;           /* the step is a Newton step in the interior */
    int undefined;        /* the last trial point was refused because f is not a number there */
    int64_t iterations, evaluations, factorisations, refused;
} iop_minimum_workspace;

static int iop_are_finite(const double *values, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(values[i]) <= DBL_MAX)) return 0;
    return 1;
}

static inline int64_t iop_value_count(const iop_minimum *s) { return 2 + 2 * s->n + s->n_entries; }

static inline void iop_evaluate_objective(const iop_minimum *s, iop_minimum_workspace *w, const double *in,
                                          double *out) {
    s->objective.scalar(in, out, s->objective.ctx);
    w->evaluations++;
}

/* Rounding error of f at `point`. */
static double iop_value_noise(const iop_minimum *s, const iop_minimum_workspace *w) {
    double scale = w->values[1];
    for (int64_t i = 0; i < s->n; i++) scale += fabs(w->values[2 + i] * w->point[i]);
    return 4 * DBL_EPSILON * scale;
}

/* Hessian, rounding error of G and active bounds at `point`, from `values`. */
static void iop_take_hessian(const iop_minimum *s, iop_minimum_workspace *w) {
    const int64_t n = s->n;
    const double *scale = w->values + 2 + n, *entries = scale + n;
    memset(w->hessian, 0, n * n * sizeof(double));
    memcpy(w->noise, scale, n * sizeof(double));
    for (int64_t k = 0; k < s->n_entries; k++) {
        const int32_t i = s->rows[k], j = s->columns[k];
        w->hessian[i * n + j] = w->hessian[j * n + i] = entries[k];
        w->noise[i] += fabs(entries[k] * w->point[j]);
        if (i != j) w->noise[j] += fabs(entries[k] * w->point[i]);
    }
}

static void iop_take_values(const iop_minimum *s, iop_minimum_workspace *w) {
    const double *slope = w->values + 2;
    iop_take_hessian(s, w);
    for (int64_t i = 0; i < s->n; i++) {
        const double tolerance = 16 * DBL_EPSILON * w->noise[i];
        w->active[i] = 0;
        if (w->point[i] == w->lower[i] && slope[i] >= -tolerance) w->active[i] = -1;
        if (w->point[i] == w->upper[i] && slope[i] <= tolerance) w->active[i] = 1;
    }
}

/* Root mean square of d in units of the unknowns' scales. */
static double iop_scaled_norm(const iop_minimum_workspace *w, const double *d, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (d[i] / w->weight[i]) * (d[i] / w->weight[i]);
    return sqrt(sum / n);
}

/* Is every component of the step within its tolerance? */
static int iop_step_is_small(const iop_minimum *s, const double *x, const double *step) {
    for (int64_t i = 0; i < s->n; i++)
        if (!(fabs(step[i]) <= s->rtol * fabs(x[i]) + s->atol[i])) return 0;
    return 1;
}

/* Is the gradient of the free unknowns nothing but rounding error? */
static int iop_gradient_is_rounding(const iop_minimum *s, const iop_minimum_workspace *w, double units) {
    for (int64_t i = 0; i < s->n; i++)
        if (!w->active[i] && !(fabs(w->values[2 + i]) <= units * DBL_EPSILON * w->noise[i])) return 0;
    return 1;
}

/* Change of the quadratic model along a step. */
static double iop_model_change(const iop_minimum *s, const iop_minimum_workspace *w, const double *step) {
    double sum = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (step[i] != 0) sum += step[i] * (w->values[2 + i] + 0.5 * iop_dot(w->hessian + i * s->n, step, s->n));
    return sum;
}

/* The point at the end of `step`: exactly on the bounds that it hits, and never beyond any. */
static void iop_set_trial_point(const iop_minimum *s, iop_minimum_workspace *w, double fraction) {
    for (int64_t i = 0; i < s->n; i++) {
        w->trial[i] = fmin(fmax(w->point[i] + fraction * w->step[i], w->lower[i]), w->upper[i]);
        if (fraction == 1 && w->hit[i]) w->trial[i] = w->hit[i] < 0 ? w->lower[i] : w->upper[i];
    }
}

static void iop_accept_trial_point(const iop_minimum *s, iop_minimum_workspace *w) {
    memcpy(w->point, w->trial, s->n * sizeof(double));
    double *swapped = w->values;
    w->values = w->trial_values;
    w->trial_values = swapped;
    for (int64_t i = 0; i < s->n; i++) w->weight[i] = fmax(w->weight[i], fabs(w->point[i]));
}

/* Largest multiple of `step`, at most 1, that keeps a tenth of the distance to every edge of the open domain. */
static double iop_fraction_in_domain(const iop_minimum *s, const double *x, const double *step) {
    double largest = 1;
    for (int64_t i = 0; i < s->n; i++) {
        const double room = step[i] < 0 ? s->domain_lower[i] - x[i] : s->domain_upper[i] - x[i];
        if (step[i] != 0 && fabs(room) <= DBL_MAX && fabs(step[i]) * largest > 0.9 * fabs(room))
            largest = 0.9 * fabs(room / step[i]);
    }
    return largest;
}

/* The trust-region problem of the `count` moving unknowns in their own scales. */
static void iop_set_region(const iop_minimum *s, iop_minimum_workspace *w, int64_t count) {
    w->region.n = count;
    for (int64_t a = 0; a < count; a++) {
        const int32_t i = w->moving[a];
        w->region.gradient[a] = w->weight[i] * w->slope[i];
        for (int64_t b = 0; b < count; b++)
            w->region.matrix[a * count + b] =
                w->weight[i] * w->hessian[i * s->n + w->moving[b]] * w->weight[w->moving[b]];
    }
}

/* Multiple of its part of the trust-region step with which an unknown reaches a bound; infinite if it does not. */
static inline double iop_fraction_to_bound(const iop_minimum_workspace *w, int64_t a) {
    const int32_t i = w->moving[a];
    const double d = w->weight[i] * w->region.step[a], x = w->point[i] + w->step[i];
    const double room = fabs(d < 0 ? w->lower[i] - x : w->upper[i] - x);
    return fabs(d) > room ? room / fabs(d) : INFINITY;
}

/* Adds a multiple of the trust-region step to `step`, as much as the bounds allow, and holds the unknowns that reach
 * one.  Returns how many go on moving; `fraction` is the multiple. */
static int64_t iop_advance(const iop_minimum *s, iop_minimum_workspace *w, int64_t count, double *fraction) {
    const int64_t n = s->n;
    int64_t left = 0;
    *fraction = 1;
    for (int64_t a = 0; a < count; a++) *fraction = fmin(*fraction, iop_fraction_to_bound(w, a));
    for (int64_t a = 0; a < count; a++) {
        const int32_t i = w->moving[a];
        if (iop_fraction_to_bound(w, a) <= *fraction) {
            w->hit[i] = w->region.step[a] < 0 ? -1 : 1;
            w->step[i] = (w->hit[i] < 0 ? w->lower[i] : w->upper[i]) - w->point[i];
        } else {
            w->step[i] += *fraction * w->weight[i] * w->region.step[a];
            w->moving[left++] = i;
        }
    }
    for (int64_t i = 0; i < n; i++) w->slope[i] = w->values[2 + i] + iop_dot(w->hessian + i * n, w->step, n);
    return left;
}

/* Generalised Cauchy point: projected steepest descent within the radius, shortened until the model is low enough. */
static void iop_cauchy_step(const iop_minimum *s, iop_minimum_workspace *w, double radius) {
    const int64_t n = s->n;
    const double *slope = w->values + 2;
    double *step = w->other, length = 0;
    for (int64_t i = 0; i < n; i++)
        if (!w->active[i]) length += (w->weight[i] * slope[i]) * (w->weight[i] * slope[i]);
    double factor = length > 0 ? radius / sqrt(length) : 0;
    for (int attempt = 0; attempt < 60; attempt++, factor *= 0.25) {
        double first = 0;
        for (int64_t i = 0; i < n; i++) {
            const double d = w->active[i] ? 0 : -factor * w->weight[i] * w->weight[i] * slope[i];
            step[i] = fmin(fmax(d, w->lower[i] - w->point[i]), w->upper[i] - w->point[i]);
            first += slope[i] * step[i];
        }
        if (iop_model_change(s, w, step) <= 0.01 * first) return;
    }
    memset(step, 0, n * sizeof(double));
}

/* Replaces `step` by the Cauchy step if the model is lower there. */
static void iop_compare_cauchy_step(const iop_minimum *s, iop_minimum_workspace *w, double radius) {
    iop_cauchy_step(s, w, radius);
    if (!(iop_model_change(s, w, w->other) < iop_model_change(s, w, w->step))) return;
    memcpy(w->step, w->other, s->n * sizeof(double));
    for (int64_t i = 0; i < s->n; i++) {
        w->hit[i] = w->active[i];
        if (w->step[i] != 0 && w->step[i] == w->lower[i] - w->point[i]) w->hit[i] = -1;
        if (w->step[i] != 0 && w->step[i] == w->upper[i] - w->point[i]) w->hit[i] = 1;
    }
}

/* Shortens `step` so that it stays within the open domain. */
static void iop_keep_in_domain(const iop_minimum *s, iop_minimum_workspace *w) {
    const double fraction = iop_fraction_in_domain(s, w->point, w->step);
    if (fraction == 1) return;
    w->newton = 0;
    for (int64_t i = 0; i < s->n; i++) {
        if (w->step[i] != 0) w->hit[i] = 0;
        w->step[i] *= fraction;
    }
}

/* Computes `step` in the trust region and returns by how much the model says that f falls. */
static double iop_propose_step(const iop_minimum *s, iop_minimum_workspace *w, double radius) {
    const int64_t n = s->n;
    double room = radius, fraction = 0;
    int64_t count = 0;
    int bounded = 0;
    memset(w->step, 0, n * sizeof(double));
    memcpy(w->slope, w->values + 2, n * sizeof(double));
    for (int64_t i = 0; i < n; i++) {
        w->hit[i] = w->active[i];
        if (!w->active[i]) w->moving[count++] = (int32_t)i;
    }
    w->newton = 1;
    while (count > 0 && fraction < 1 && room > 1e-3 * radius) {
        iop_set_region(s, w, count);
        if (iop_trust_region_step(&w->region, room) != 0) w->newton = 0;
        const double length = sqrt(iop_dot(w->region.step, w->region.step, count));
        count = iop_advance(s, w, count, &fraction);
        bounded |= fraction < 1;
        room -= fraction * length;
    }
    if (bounded) {
        w->newton = 0;
        iop_compare_cauchy_step(s, w, radius);
    }
    iop_keep_in_domain(s, w);
    return -iop_model_change(s, w, w->step);
}

/* Cholesky factor of the free unknowns' Hessian, the identity for the others; returns n, or the order of the first leading
 * minor that is not positive. */
static int64_t iop_factorise_free(const iop_minimum *s, iop_minimum_workspace *w, double *defect) {
    const int64_t n = s->n;
    double *masked = w->region.matrix;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i; j < n; j++)
            masked[i * n + j] = w->active[i] || w->active[j] ? i == j : w->hessian[i * n + j];
    w->factorisations++;
    return iop_cholesky(n, masked, 0, w->factor, defect);
}

/* Newton correction of the free unknowns for a gradient. */
static void iop_free_correction(const iop_minimum *s, const iop_minimum_workspace *w, const double *slope,
                                double *step) {
    for (int64_t i = 0; i < s->n; i++) step[i] = w->active[i] ? 0 : -slope[i];
    iop_cholesky_solve(s->n, w->factor, step, 1);
}

/* Is f at the trial point still at least half as steep along the step as where the step began? */
static int iop_falls_on(const iop_minimum *s, const iop_minimum_workspace *w) {
    double before = 0, after = 0;
    for (int64_t i = 0; i < s->n; i++) {
        before += w->values[2 + i] * w->step[i];
        after += w->trial_values[2 + i] * w->step[i];
    }
    return before < 0 && after < 0.5 * before;
}

/* The trust-region iteration from `point`.  IOP_CONVERGED: Newton's method can finish; or why it stopped there. */
static iop_status iop_descend(const iop_minimum *s, iop_minimum_workspace *w) {
    const int64_t n = s->n, count = iop_value_count(s);
    double radius = sqrt((double)n);
    for (int64_t k = 0; k < s->max_steps; k++) {
        w->iterations++;
        iop_take_values(s, w);
        const double noise = w->region.negligible = iop_value_noise(s, w);
        const double predicted = iop_propose_step(s, w, radius);
        const double length = sqrt((double)n) * iop_scaled_norm(w, w->step, n);
        if (w->newton && (predicted <= noise || length <= 1e-12 || iop_step_is_small(s, w->point, w->step)))
            return IOP_CONVERGED;
        if (radius < 1e-15)
            return w->undefined ? IOP_UNDEFINED
                                : (iop_gradient_is_rounding(s, w, 16) ? IOP_NOT_A_MINIMUM : IOP_NON_SMOOTH);
        if (!(predicted > 0)) return IOP_NOT_A_MINIMUM;
        iop_set_trial_point(s, w, 1);
        iop_evaluate_objective(s, w, w->trial, w->trial_values);
        const double f = w->values[0], trial_f = w->trial_values[0];
        if (trial_f == -INFINITY) return IOP_UNBOUNDED;
        w->undefined = !(fabs(trial_f) <= DBL_MAX);
        const int hidden = predicted <= noise && fabs(f - trial_f) <= noise;
        const double gain = hidden ? 1 : (f - trial_f) / predicted;
        if (!iop_are_finite(w->trial_values, count) || !(gain > 1e-4)) {
            radius = 0.25 * fmin(length, radius);
            w->refused++;
            continue;
        }
        /* Where rounding of f hides its fall, far from a minimum of a large f, the gradient tells whether it goes on. */
        const int falling = hidden && iop_falls_on(s, w);
        if (gain < 0.25 || (hidden && !falling && !memcmp(w->hit, w->active, n * sizeof(int32_t))))
            radius = 0.5 * length;
        if ((falling || (!hidden && gain > 0.75)) && length > 0.8 * radius) radius = fmin(3 * radius, 1e100);
        iop_accept_trial_point(s, w);
    }
    return IOP_MAX_STEPS;
}

/* Newton's method on the gradient of the free unknowns, down to its rounding error.  A step is shortened until the
 * simplified correction at its end is shorter than it is (the natural monotonicity test of root_system.h). */
static void iop_polish(const iop_minimum *s, iop_minimum_workspace *w) {
    const int64_t n = s->n;
    double last = INFINITY, defect;
    for (int k = 0; k < 50; k++) {
        iop_take_values(s, w);
        if (iop_factorise_free(s, w, &defect) < n) return;
        iop_free_correction(s, w, w->values + 2, w->step);
        memcpy(w->hit, w->active, n * sizeof(int32_t));
        const double length = iop_scaled_norm(w, w->step, n);
        const int rounding = iop_gradient_is_rounding(s, w, 1);
        if (!(length <= DBL_MAX) || length <= DBL_MIN) return;
        double fraction = iop_fraction_in_domain(s, w->point, w->step);
        for (;; fraction *= 0.5) {
            if (fraction < 1e-4) return;
            iop_set_trial_point(s, w, fraction);
            iop_evaluate_objective(s, w, w->trial, w->trial_values);
            if (!iop_are_finite(w->trial_values, iop_value_count(s))) continue;
            iop_free_correction(s, w, w->trial_values + 2, w->other);
            if (rounding || length <= 1e-8 || iop_scaled_norm(w, w->other, n) <= length) break;
        }
        iop_accept_trial_point(s, w);
        if (rounding || (length <= 1e-6 && length > 0.25 * last)) break;
        last = length;
    }
    iop_take_values(s, w);
}

#endif
