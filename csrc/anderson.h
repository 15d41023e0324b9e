/* Anderson acceleration of a fixed-point iteration x <- g(x), for where Newton's method cannot start.
 *
 * With residuals f_k = g(x_k) - x_k, the next point is g(x_k) - sum_j c_j (g(x_{j+1}) - g(x_j)) over the last DEPTH
 * steps, the c_j minimising |f_k - sum_j c_j (f_{j+1} - f_j)| in the unknowns' scales.
 * H. F. Walker and P. Ni, SIAM J. Numer. Anal. 49 (2011) 1715, algorithm AA with restarts.
 */
#ifndef IMPLICITOPS_ANDERSON_H
#define IMPLICITOPS_ANDERSON_H

#include "root_system.h"

enum { IOP_ANDERSON_DEPTH = 5 };

/* Doubles of `memory` that iop_anderson needs for n unknowns. */
static inline int64_t iop_anderson_memory(int64_t n) {
    const int64_t m = IOP_ANDERSON_DEPTH;
    return (2 * m + 2) * n + m * (m + 1);
}

/* Coefficients c of the least-squares problem by its normal equations, which a relative shift keeps solvable. */
static void iop_anderson_coefficients(const double *differences, const double *residual, const double *weight, int64_t n,
                                      int64_t depth, double *normal, double *coefficients) {
    const iop_matrix_shape shape = {depth, depth - 1, depth - 1, 0};
    int32_t pivot[IOP_ANDERSON_DEPTH];
    double scales[2 * IOP_ANDERSON_DEPTH];
    for (int64_t a = 0; a < depth; a++) {
        coefficients[a] = 0;
        for (int64_t i = 0; i < n; i++)
            coefficients[a] += differences[a * n + i] * residual[i] / (weight[i] * weight[i]);
        for (int64_t b = 0; b < depth; b++) {
            double sum = 0;
            for (int64_t i = 0; i < n; i++)
                sum += differences[a * n + i] * differences[b * n + i] / (weight[i] * weight[i]);
            normal[a * depth + b] = sum * (a == b ? 1 + 1e-12 : 1);
        }
    }
    if (iop_factorise(&shape, normal, pivot, scales))
        memset(coefficients, 0, depth * sizeof(double));
    else
        iop_solve(&shape, normal, pivot, coefficients, 1);
}

/* Iterates from `point` until Newton's method can take over (IOP_CONVERGED) or the residual grows beyond hope. */
static iop_status iop_anderson(const iop_root_system *s, iop_root_workspace *w, double *memory) {
    const int64_t n = s->shape.n;
    double *f_steps = memory, *g_steps = f_steps + IOP_ANDERSON_DEPTH * n, *f_last = g_steps + IOP_ANDERSON_DEPTH * n;
    double *g_last = f_last + n, *normal = g_last + n;
    double *coefficients = normal + IOP_ANDERSON_DEPTH * IOP_ANDERSON_DEPTH;
    double first = iop_weighted_norm(w->values, w->weight, n);
    int64_t depth = 0;
    for (int64_t k = 0; k < s->max_steps; k++) {
        const double size = iop_weighted_norm(w->values, w->weight, n);
        w->iterations++;
        if (!(size <= 1e6 * (first + 1))) return IOP_STALLED;
        if (k > 0) {
            const int64_t at = (k - 1) % IOP_ANDERSON_DEPTH;
            depth = iop_least(k, IOP_ANDERSON_DEPTH);
            for (int64_t i = 0; i < n; i++) {
                f_steps[at * n + i] = w->values[i] - f_last[i];
                g_steps[at * n + i] = w->values[i] + w->point[i] - g_last[i];
            }
        }
        for (int64_t i = 0; i < n; i++) {
            f_last[i] = w->values[i];
            g_last[i] = w->values[i] + w->point[i];
            w->step[i] = w->values[i];
        }
        if (size <= 1e-6) return IOP_CONVERGED;
        if (depth > 0) {
            iop_anderson_coefficients(f_steps, f_last, w->weight, n, depth, normal, coefficients);
            for (int64_t a = 0; a < depth; a++)
                for (int64_t i = 0; i < n; i++) w->step[i] -= coefficients[a] * g_steps[a * n + i];
        }
        double fraction = iop_largest_step(s, w, w->step);
        do {
            iop_set_trial(s, w, w->step, fraction);
            iop_evaluate_system(s, w, w->trial, w->trial_values);
            fraction *= 0.25;
        } while (!iop_all_finite(w->trial_values, n) && fraction > 1e-8);
        if (!iop_all_finite(w->trial_values, n)) return IOP_UNDEFINED;
        iop_accept_trial(s, w);
        iop_update_weights(s, w);
    }
    return IOP_MAX_STEPS;
}

#endif
