/* Newton's method for systems: damping, scaling and the fallback, one batch element at a time.
 *
 * Damped Newton with the natural monotonicity test: a step x + lambda d is accepted if the simplified Newton
 * correction at the new point, computed with the old factorisation, is shorter than d.  The test is invariant under
 * scaling (any linear combination) of the equations, so badly scaled residuals need no weights.
 * P. Deuflhard, Newton Methods for Nonlinear Problems, 2004, section 3.3 (NLEQ-ERR).
 *
 * Where damping fails (singular Jacobian, no descent): Levenberg-Marquardt steps
 * (J'J + mu D) d = -J'F on the row-scaled residual, which is pseudo-transient continuation of its gradient flow with
 * 1/mu as the time step; mu follows the gain ratio (H. B. Nielsen, Damping Parameter in Marquardt's Method, 1999).
 */
#ifndef IMPLICITOPS_ROOT_SYSTEM_H
#define IMPLICITOPS_ROOT_SYSTEM_H

#include "linear.h"

typedef struct {
    iop_callback start;     /* theta -> guess; block == NULL: trailing inputs of the operation */
    iop_callback residual;  /* (x, theta) -> F, rounding scale of F, entries of F_x */
    iop_callback parameter; /* (x, theta) -> entries of F_theta */
    iop_callback second;    /* (x, theta, u, a, v, b) -> second derivative of F along (u, a) and (v, b) */
    iop_callback errors, second_errors; /* of derivatives, see derivative_error.h; scalar == NULL without them */
    iop_matrix_shape shape;
    int64_t n_params;
    int64_t n_entries;           /* of F_x */
    const int32_t *rows;
    const int32_t *columns;
    int64_t n_parameter_entries; /* of F_theta */
    const int32_t *parameter_rows;
    const int32_t *parameter_columns;
    const double *lower;         /* per unknown: iterates stay strictly above; -inf if unconstrained */
    const double *upper;
    int64_t derivatives;
    int64_t max_steps;
    int64_t fixed_point;         /* 1: F is g(x) - x, so Anderson acceleration may help; 2: and goes first */
    double rtol;
    const double *atol;          /* per unknown */
} iop_root_system;

/* Everything that one solve writes to; all arrays are parts of one allocation. */
typedef struct {
    double *point;   /* x, then theta: input of the callbacks */
    double *trial;   /* the same at a trial point */
    double *values;  /* F, scale, entries at `point` */
    double *trial_values;
    double *matrix;  /* factorised F_x at `point` */
    double *step;    /* Newton correction */
    double *simplified;
    double *weight;  /* scale of each unknown */
    double *normal;  /* n x n of the fallback */
    double *gradient;
    double *scales;  /* of the rows of F_x, see iop_equilibrate() */
    double *work;    /* 2 n */
    int32_t *pivot;
    const iop_matrix_shape *shape;
    int64_t logarithmic; /* update positive unknowns by factors: Newton's method for their logarithms */
    int64_t iterations, evaluations, factorisations, fallback;
} iop_root_workspace;

static inline void iop_evaluate_system(const iop_root_system *s, iop_root_workspace *w, const double *in, double *out) {
    s->residual.scalar(in, out, s->residual.ctx);
    w->evaluations++;
}

static void iop_fill_matrix(const iop_root_system *s, const double *entries, double *matrix) {
    memset(matrix, 0, s->shape.n * iop_matrix_width(&s->shape) * sizeof(double));
    for (int64_t k = 0; k < s->n_entries; k++) iop_row(&s->shape, matrix, s->rows[k])[s->columns[k]] = entries[k];
}

/* Factorises F_x from `values`, with the scales of the time before if it was near; 1 if singular. */
static int iop_factorise_system(const iop_root_system *s, iop_root_workspace *w, const double *values, int is_near) {
    iop_fill_matrix(s, values + 2 * s->shape.n, w->matrix);
    w->factorisations++;
    if (!is_near) iop_equilibrate(&s->shape, w->matrix, w->scales, w->work);
    memcpy(w->work, w->scales, s->shape.n * sizeof(double));
    return iop_factorise_scaled(&s->shape, w->matrix, w->pivot, w->work);
}

static int iop_all_finite(const double *values, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(values[i]) <= DBL_MAX)) return 0;
    return 1;
}

/* Root mean square of d in units of the unknowns' scales. */
static double iop_weighted_norm(const double *d, const double *weight, int64_t n) {
    double sum = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) sum += (d[i] / weight[i]) * (d[i] / weight[i]);
    if (sum <= DBL_MAX) return sqrt(sum / n);
    /* The squares overflow, the quotients need not. */
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(d[i] / weight[i]));
    sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (d[i] / weight[i] / largest) * (d[i] / weight[i] / largest);
    return largest * sqrt(sum / n);
}

static inline int iop_is_logarithmic(const iop_root_system *s, const iop_root_workspace *w, int64_t i) {
    return w->logarithmic && s->lower[i] == 0;
}

/* Largest multiple of `step`, at most 1, that keeps a tenth of the distance to every bound, or changes a logarithm by
 * at most 4. */
static double iop_largest_step(const iop_root_system *s, const iop_root_workspace *w, const double *step) {
    double largest = 1;
    for (int64_t i = 0; i < s->shape.n; i++) {
        const double x = w->point[i], room = step[i] < 0 ? s->lower[i] - x : s->upper[i] - x;
        if (iop_is_logarithmic(s, w, i)) {
            if (fabs(step[i]) * largest > 4 * x) largest = 4 * x / fabs(step[i]);
        } else if (step[i] != 0 && fabs(room) <= DBL_MAX && fabs(step[i]) * largest > 0.9 * fabs(room)) {
            largest = 0.9 * fabs(room / step[i]);
        }
    }
    return largest;
}

static void iop_set_trial(const iop_root_system *s, iop_root_workspace *w, const double *step, double fraction) {
    for (int64_t i = 0; i < s->shape.n; i++) {
        const double x = w->point[i], change = fraction * step[i];
        w->trial[i] = iop_is_logarithmic(s, w, i) ? x * exp(change / x) : x + change;
    }
}

static void iop_accept_trial(const iop_root_system *s, iop_root_workspace *w) {
    memcpy(w->point, w->trial, s->shape.n * sizeof(double));
    double *swapped = w->values;
    w->values = w->trial_values;
    w->trial_values = swapped;
}

/* Is every component of the correction within its tolerance? */
static int iop_correction_is_small(const iop_root_system *s, const double *x, const double *step, double factor) {
    for (int64_t i = 0; i < s->shape.n; i++)
        if (!(fabs(step[i]) <= factor * (s->rtol * fabs(x[i]) + s->atol[i]))) return 0;
    return 1;
}

/* Is every residual nothing but rounding error at x? */
static int iop_residual_is_rounding(const iop_root_system *s, const double *x, const double *values, double units,
                                    double *work) {
    const int64_t n = s->shape.n;
    const double *scale = values + n, *entries = values + 2 * n;
    memcpy(work, scale, n * sizeof(double));
    for (int64_t k = 0; k < s->n_entries; k++) work[s->rows[k]] += fabs(entries[k] * x[s->columns[k]]);
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(values[i]) <= units * DBL_EPSILON * work[i])) return 0;
    return 1;
}

/* Newton correction at `point` with the current factorisation. */
static void iop_correction(const iop_root_system *s, iop_root_workspace *w, const double *values, double *step) {
    for (int64_t i = 0; i < s->shape.n; i++) step[i] = -values[i];
    iop_solve(&s->shape, w->matrix, w->pivot, step, 1);
}

/* An unknown's scale is the largest value that it has had; that of a logarithm is its present value. */
static void iop_update_weights(const iop_root_system *s, iop_root_workspace *w) {
    for (int64_t i = 0; i < s->shape.n; i++) {
        const double x = fabs(w->point[i]);
        w->weight[i] = iop_is_logarithmic(s, w, i) ? x : fmax(w->weight[i], x);
    }
}

/* Damped Newton from `point`; IOP_CONVERGED, or why it stopped there. */
static iop_status iop_damped_newton(const iop_root_system *s, iop_root_workspace *w) {
    const int64_t n = s->shape.n, n_values = 2 * n + s->n_entries;
    double fraction = 1, last_length = INFINITY;
    int is_near = 0;
    for (int64_t k = 0; k < s->max_steps; k++) {
        w->iterations++;
        if (iop_factorise_system(s, w, w->values, is_near)) return IOP_SINGULAR;
        iop_correction(s, w, w->values, w->step);
        const double length = iop_weighted_norm(w->step, w->weight, n);
        if (!(length <= DBL_MAX)) return IOP_SINGULAR;
        /* Quadratic convergence has ended in rounding error when a small correction no longer shrinks. */
        if (length == 0 || iop_correction_is_small(s, w->point, w->step, 1) ||
            (length <= 1e-6 && length > 0.5 * last_length) ||
            (length <= 1e-6 && iop_residual_is_rounding(s, w->point, w->values, 1, w->work))) {
            iop_set_trial(s, w, w->step, iop_largest_step(s, w, w->step));
            iop_evaluate_system(s, w, w->trial, w->trial_values);
            if (iop_all_finite(w->trial_values, n_values)) iop_accept_trial(s, w);
            return IOP_CONVERGED;
        }
        fraction = fmin(iop_largest_step(s, w, w->step), fmin(1, 4 * fraction));
        for (;;) {
            if (fraction < 1e-8) return IOP_STALLED;
            iop_set_trial(s, w, w->step, fraction);
            iop_evaluate_system(s, w, w->trial, w->trial_values);
            if (!iop_all_finite(w->trial_values, n_values)) {
                fraction *= 0.25;
                continue;
            }
            iop_correction(s, w, w->trial_values, w->simplified);
            const double shorter = iop_weighted_norm(w->simplified, w->weight, n);
            if (shorter <= (1 - 0.25 * fraction) * length || length <= 1e-8) break;
            double defect = 0;
            for (int64_t i = 0; i < n; i++) {
                const double d = (w->simplified[i] - (1 - fraction) * w->step[i]) / w->weight[i];
                defect += d * d;
            }
            const double predicted = 0.5 * length * fraction * fraction / sqrt(defect / n);
            fraction = predicted < 0.5 * fraction ? fmax(predicted, 0.1 * fraction) : 0.5 * fraction;
        }
        last_length = length;
        /* A short step leaves the equations' scales, which only choose pivots; the root itself gets its own (verify). */
        is_near = length <= 0.1;
        iop_accept_trial(s, w);
        iop_update_weights(s, w);
    }
    return IOP_MAX_STEPS;
}

/* Largest change of each equation when one unknown moves by its scale in `columns`. */
static void iop_row_scales(const iop_root_system *s, const iop_root_workspace *w, const double *columns, double *rows) {
    const int64_t n = s->shape.n;
    const double *entries = w->values + 2 * n;
    memset(rows, 0, n * sizeof(double));
    for (int64_t k = 0; k < s->n_entries; k++)
        rows[s->rows[k]] = fmax(rows[s->rows[k]], fabs(entries[k]) * columns[s->columns[k]]);
    for (int64_t i = 0; i < n; i++)
        if (!(rows[i] > 0)) rows[i] = 1;
}

/* Scales of the unknowns under which no column of F_x is small next to the others, and those of the rows with them. */
static void iop_equilibrated_scales(const iop_root_system *s, const iop_root_workspace *w, double *rows, double *columns) {
    const int64_t n = s->shape.n;
    const double *entries = w->values + 2 * n;
    for (int pass = 0; pass < 3; pass++) {
        memset(columns, 0, n * sizeof(double));
        for (int64_t k = 0; k < s->n_entries; k++)
            columns[s->columns[k]] = fmax(columns[s->columns[k]], fabs(entries[k]) / rows[s->rows[k]]);
        for (int64_t i = 0; i < n; i++) columns[i] = columns[i] > 0 ? 1 / columns[i] : w->weight[i];
        iop_row_scales(s, w, columns, rows);
    }
}

/* Is F_x at `point`, factorised in w->matrix, regular to working precision?
 *
 * Rounding in F leaves the root uncertain by what inverse(F_x) makes of it.  If F_x itself changes by half along the
 * direction in which it is nearly singular when the point moves by that much, it cannot be told from a singular one: a
 * multiple root or a fold.  Uses w->step, w->simplified (row scales), w->gradient, w->work, w->trial_values. */
static int iop_is_regular(const iop_root_system *s, iop_root_workspace *w) {
    const int64_t n = s->shape.n;
    double *rows = w->simplified, *direction = w->work, noise = 0;
    iop_row_scales(s, w, w->weight, rows);
    double magnification = iop_inverse_norm(&s->shape, w->matrix, w->pivot, rows, w->weight, w->work);
    const int is_out_of_scale = !(magnification * DBL_EPSILON < 0.1);
    if (is_out_of_scale) {
        /* An unknown that is 0 at the root and at the guess has shown no scale: that of its column of F_x has to do. */
        iop_equilibrated_scales(s, w, rows, w->gradient);
        magnification = iop_inverse_norm(&s->shape, w->matrix, w->pivot, rows, w->gradient, w->work);
        if (!(magnification * DBL_EPSILON < 0.1)) return 0;
    }
    for (int64_t i = 0; i < n; i++)
        noise = fmax(noise, (fabs(w->values[i]) + 4 * DBL_EPSILON * w->values[n + i]) / rows[i]);
    if (!is_out_of_scale) {
        noise = fmax(noise, 4 * DBL_EPSILON);
        if (magnification * noise < 1e-11) return 1;
    }
    for (int64_t i = 0; i < n; i++) w->trial[i] = w->point[i] + noise * direction[i];
    iop_evaluate_system(s, w, w->trial, w->trial_values);
    double change = 0, size = 0;
    memset(w->gradient, 0, n * sizeof(double));
    memset(w->step, 0, n * sizeof(double));
    for (int64_t k = 0; k < s->n_entries; k++) {
        const double before = w->values[2 * n + k], after = w->trial_values[2 * n + k];
        w->gradient[s->rows[k]] += (after - before) * direction[s->columns[k]];
        w->step[s->rows[k]] += before * direction[s->columns[k]];
    }
    for (int64_t i = 0; i < n; i++) {
        change = fmax(change, fabs(w->gradient[i]) / rows[i]);
        size = fmax(size, fabs(w->step[i]) / rows[i]);
    }
    return change < 0.5 * size;
}

/* Half the squared residual with each row divided by its scale in `rows`. */
static double iop_merit(const double *values, const double *rows, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (values[i] / rows[i]) * (values[i] / rows[i]);
    return 0.5 * sum;
}

/* Normal matrix J'J and gradient J'F of the scaled residual, and its row scales into `rows`. */
static void iop_normal_equations(const iop_root_system *s, iop_root_workspace *w, double *rows) {
    const int64_t n = s->shape.n;
    const double *entries = w->values + 2 * n;
    memset(w->normal, 0, n * n * sizeof(double));
    memset(w->gradient, 0, n * sizeof(double));
    for (int64_t k = 0; k < s->n_entries; k++) {
        const int32_t i = s->rows[k];
        w->gradient[s->columns[k]] += entries[k] * w->values[i] / (rows[i] * rows[i]);
        /* Entries are sorted by row: the partners of entry k in its row stand around it. */
        for (int64_t l = k; l >= 0 && s->rows[l] == i; l--) {
            const double product = entries[k] * entries[l] / (rows[i] * rows[i]);
            w->normal[s->columns[k] * n + s->columns[l]] += product;
            if (l != k) w->normal[s->columns[l] * n + s->columns[k]] += product;
        }
    }
}

/* Levenberg-Marquardt from `point` until the squared residual has fallen by `reduction` (IOP_CONVERGED) or cannot. */
static iop_status iop_levenberg_marquardt(const iop_root_system *s, iop_root_workspace *w, double reduction,
                                          double *rows) {
    const int64_t n = s->shape.n, n_values = 2 * n + s->n_entries;
    const iop_matrix_shape dense = {n, n - 1, n - 1, 0};
    double damping = 1e-3, growth = 2;
    iop_row_scales(s, w, w->weight, rows);
    const double initial = iop_merit(w->values, rows, n);
    for (int64_t k = 0; k < s->max_steps; k++) {
        const double merit = iop_merit(w->values, rows, n);
        if (merit <= reduction * initial) return IOP_CONVERGED;
        iop_normal_equations(s, w, rows);
        int accepted = 0;
        for (int attempt = 0; attempt < 40 && !accepted; attempt++) {
            w->iterations++;
            double predicted = 0;
            for (int64_t i = 0; i < n; i++) {
                memcpy(w->matrix + i * n, w->normal + i * n, n * sizeof(double));
                w->matrix[i * n + i] += damping / (w->weight[i] * w->weight[i]);
                w->step[i] = -w->gradient[i];
            }
            w->factorisations++;
            if (!iop_factorise(&dense, w->matrix, w->pivot, w->work)) {
                iop_solve(&dense, w->matrix, w->pivot, w->step, 1);
                iop_set_trial(s, w, w->step, iop_largest_step(s, w, w->step));
                for (int64_t i = 0; i < n; i++)
                    predicted += 0.5 * w->step[i] *
                                 (damping / (w->weight[i] * w->weight[i]) * w->step[i] - w->gradient[i]);
                iop_evaluate_system(s, w, w->trial, w->trial_values);
                accepted = iop_all_finite(w->trial_values, n_values) && iop_merit(w->trial_values, rows, n) < merit;
            }
            if (accepted) {
                const double gain = (merit - iop_merit(w->trial_values, rows, n)) / predicted;
                damping *= fmax(1.0 / 3, 1 - pow(2 * gain - 1, 3));
                growth = 2;
            } else {
                damping *= growth;
                growth *= 2;
            }
        }
        if (!accepted || iop_weighted_norm(w->step, w->weight, n) <= 1e-12) return IOP_STALLED;
        iop_accept_trial(s, w);
    }
    return IOP_MAX_STEPS;
}

#endif
