/* Derivatives of the solution of a system F(x, theta) = 0, refined once, and what is left of their error.
 *
 * With A = F_x, X the solution of A X = B that was computed, and dA, dB what rounding and the error of x leave of A and B
 * (calculus/rounding.py),
 *
 *     |error of X| <= |inverse(A)| (|B - A X| + gamma (|A| |X| + |B|) + dA |X| + dB)
 *
 * component by component, where gamma is the rounding of the residual itself (N. J. Higham, Accuracy and Stability of
 * Numerical Algorithms, 2002, theorem 7.4 and section 12.1).  One step of iterative refinement in working precision makes
 * the residual of an equilibrated system small row by row (R. D. Skeel, Math. Comp. 35 (1980) 817).
 */
#ifndef IMPLICITOPS_DERIVATIVE_ERROR_H
#define IMPLICITOPS_DERIVATIVE_ERROR_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "implicitops.h"

typedef struct iop_linear_system {
    int64_t n, n_entries;
    const int32_t *rows, *columns;
    const double *entries;                                                        /* of A */
    void (*solve)(const struct iop_linear_system *, double *b, int64_t count);    /* A X = B in place */
    const void *factors;                                                          /* what solve() needs */
    double *inverse;                                                              /* |inverse(A)|, n x n */
} iop_linear_system;

/* r -= A x for `count` columns, rows of (n, count). */
static void iop_subtract_product(const iop_linear_system *s, const double *x, int64_t count, double *r) {
    for (int64_t k = 0; k < s->n_entries; k++) {
        const double entry = s->entries[k], *from = x + s->columns[k] * count;
        double *to = r + s->rows[k] * count;
        for (int64_t c = 0; c < count; c++) to[c] -= entry * from[c];
    }
}

/* A X = B, refined once where that gives numbers.  x holds B (n, count) and becomes X; `work` holds as many. */
static void iop_solve_refined(const iop_linear_system *s, double *x, int64_t count, double *work) {
    const int64_t size = s->n * count;
    memcpy(work, x, size * sizeof(double));
    s->solve(s, x, count);
    iop_subtract_product(s, x, count, work);
    s->solve(s, work, count);
    for (int64_t i = 0; i < size; i++)
        if (!(fabs(work[i]) <= DBL_MAX)) return;
    for (int64_t i = 0; i < size; i++) x[i] += work[i];
}

/* |inverse(A)|, from its columns. */
static void iop_take_inverse(const iop_linear_system *s) {
    const int64_t n = s->n;
    memset(s->inverse, 0, n * n * sizeof(double));
    for (int64_t i = 0; i < n; i++) s->inverse[i * n + i] = 1;
    s->solve(s, s->inverse, n);
    for (int64_t i = 0; i < n * n; i++) s->inverse[i] = fabs(s->inverse[i]);
}

/* target = |inverse(A)| bound, both (n, count). */
static void iop_apply_inverse(const iop_linear_system *s, const double *bound, int64_t count, double *target) {
    const int64_t n = s->n;
    memset(target, 0, n * count * sizeof(double));
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < n; k++) {
            const double size = s->inverse[i * n + k];
            if (size == 0) continue;
            for (int64_t c = 0; c < count; c++) target[i * count + c] += size * bound[k * count + c];
        }
}

/* Errors of X (n, count).  `bound` comes with dB and `rhs` with B; both are used up.  `entry_errors` is dA. */
static void iop_solution_errors(const iop_linear_system *s, const double *x, const double *entry_errors, int64_t count,
                                double *rhs, double *bound, double *errors) {
    const double unit = 0.5 * DBL_EPSILON;
    /* Entries are sorted by row: the longest row decides for all of them. */
    int64_t longest = 0, length = 0;
    for (int64_t k = 0; k < s->n_entries; k++) {
        length = k > 0 && s->rows[k] == s->rows[k - 1] ? length + 1 : 1;
        if (length > longest) longest = length;
    }
    const double gamma = (longest + 1) * unit;
    for (int64_t i = 0; i < s->n * count; i++) bound[i] += gamma * fabs(rhs[i]);
    for (int64_t k = 0; k < s->n_entries; k++) {
        const double size = gamma * fabs(s->entries[k]) + entry_errors[k], *from = x + s->columns[k] * count;
        double *to = bound + s->rows[k] * count;
        for (int64_t c = 0; c < count; c++) to[c] += size * fabs(from[c]);
    }
    iop_subtract_product(s, x, count, rhs);
    for (int64_t i = 0; i < s->n * count; i++) bound[i] += fabs(rhs[i]);
    iop_apply_inverse(s, bound, count, errors);
    for (int64_t i = 0; i < s->n * count; i++) errors[i] += unit * fabs(x[i]) + DBL_MIN;
}

/* What the derivatives of one element need; all arrays belong to the caller. */
typedef struct iop_derivatives {
    iop_linear_system system;
    int64_t p, n_parameter_entries;
    const int32_t *parameter_rows, *parameter_columns;
    iop_callback parameter;     /* (x, theta) -> entries of F_theta */
    iop_callback second;        /* (x, theta, u, a, v, b) -> second derivative of F along (u, a) and (v, b) */
    iop_callback errors;        /* (x, theta) -> rounding errors of F, of the entries of F_x and of F_theta */
    iop_callback second_errors; /* (x, theta, u, a, v, b, errors of u and v) -> errors of `second` */
    int (*move)(struct iop_derivatives *, const double *point); /* F_x at another point, factorised; 1: it is not */
    const void *problem;                                        /* what move() needs */
    double *x_error;            /* n */
    double *slack;              /* n: what is left of F, and its rounding error */
    double *noise;              /* outputs of `errors` */
    double *entries;            /* of F_theta */
    double *seed;               /* inputs of the callbacks: 3 (n + p) + 2 n */
    double *row;                /* n */
    double *sensitivity;        /* (n, p) */
    double *sensitivity_error;
    double *columns;            /* (n, p) of a row of the Hessian */
    double *columns_error;
    double *rhs;
    double *bound;
    double *directions;         /* IOP_DIRECTIONS x n */
    double *moved;              /* n + p */
    double *moved_hessian;      /* (n, p, p) for order 2 */
} iop_derivatives;

/* Directions in which the solution may be off: every unit of F while they are few, else some random signs. */
enum { IOP_DIRECTIONS = 4, IOP_RANDOM_DIRECTIONS = 2 };

/* Doubles behind all the pointers of iop_derivatives but system.inverse. */
static int64_t iop_derivatives_size(int64_t n, int64_t p, int64_t n_entries, int64_t n_parameter_entries, int64_t order) {
    return 2 * n + (n + n_entries + n_parameter_entries) + n_parameter_entries + 3 * (n + p) + 2 * n + n + 6 * n * p +
           IOP_DIRECTIONS * n + n + p + (order >= 2 ? n * p * p : 0);
}

static void iop_derivatives_lay_out(iop_derivatives *d, double *memory) {
    const int64_t n = d->system.n, p = d->p;
    d->x_error = memory;
    d->slack = d->x_error + n;
    d->noise = d->slack + n;
    d->entries = d->noise + n + d->system.n_entries + d->n_parameter_entries;
    d->seed = d->entries + d->n_parameter_entries;
    d->row = d->seed + 3 * (n + p) + 2 * n;
    d->sensitivity = d->row + n;
    d->sensitivity_error = d->sensitivity + n * p;
    d->columns = d->sensitivity_error + n * p;
    d->columns_error = d->columns + n * p;
    d->rhs = d->columns_error + n * p;
    d->bound = d->rhs + n * p;
    d->directions = d->bound + n * p;
    d->moved = d->directions + IOP_DIRECTIONS * n;
    d->moved_hessian = d->moved + n + p;
}

/* Errors of the solution from |F| in `slack` and its rounding: the running errors, or `scale` where they are not known. */
static void iop_root_errors(iop_derivatives *d, const double *point, const double *scale) {
    const int64_t n = d->system.n;
    if (d->errors.scalar != NULL) d->errors.scalar(point, d->noise, d->errors.ctx);
    for (int64_t i = 0; i < n; i++)
        d->slack[i] += d->errors.scalar != NULL && d->noise[i] <= DBL_MAX ? d->noise[i] : scale[i];
    iop_take_inverse(&d->system);
    iop_apply_inverse(&d->system, d->slack, 1, d->x_error);
    for (int64_t i = 0; i < n; i++) d->x_error[i] += DBL_EPSILON * fabs(point[i]) + DBL_MIN;
}

/* S = -inverse(F_x) F_theta, and what rounding errors at this point leave of it, if that is wanted. */
static void iop_first_derivatives(iop_derivatives *d, const double *point, int wants_errors) {
    const int64_t n = d->system.n, p = d->p, n_entries = d->system.n_entries;
    d->parameter.scalar(point, d->entries, d->parameter.ctx);
    memset(d->sensitivity, 0, n * p * sizeof(double));
    for (int64_t k = 0; k < d->n_parameter_entries; k++)
        d->sensitivity[d->parameter_rows[k] * p + d->parameter_columns[k]] = -d->entries[k];
    memcpy(d->rhs, d->sensitivity, n * p * sizeof(double));
    iop_solve_refined(&d->system, d->sensitivity, p, d->bound);
    if (!wants_errors) return;
    memset(d->bound, 0, n * p * sizeof(double));
    for (int64_t k = 0; k < d->n_parameter_entries; k++)
        d->bound[d->parameter_rows[k] * p + d->parameter_columns[k]] = d->noise[n + n_entries + k];
    iop_solution_errors(&d->system, d->sensitivity, d->noise + n, p, d->rhs, d->bound, d->sensitivity_error);
}

/* Direction (S_j, e_j) of the point along parameter j. */
static void iop_parameter_direction(const iop_derivatives *d, int64_t j, double *u) {
    const int64_t n = d->system.n, p = d->p;
    for (int64_t i = 0; i < n; i++) u[i] = d->sensitivity[i * p + j];
    memset(u + n, 0, p * sizeof(double));
    u[n + j] = 1;
}

/* x_jk from F_x x_jk = -D2F[(S_j, e_j), (S_k, e_k)], one row of right-hand sides at a time, into hessian (n, p, p); and,
 * if it is wanted, what rounding errors at this point leave of it. */
static void iop_second_derivatives(iop_derivatives *d, const double *point, double *hessian, double *hessian_error) {
    const int64_t n = d->system.n, p = d->p;
    double *u = d->seed + n + p, *v = u + n + p, *u_error = v + n + p, *v_error = u_error + n;
    memcpy(d->seed, point, (n + p) * sizeof(double));
    for (int64_t j = 0; j < p; j++) {
        iop_parameter_direction(d, j, u);
        for (int64_t k = 0; k < p; k++) {
            iop_parameter_direction(d, k, v);
            d->second.scalar(d->seed, d->row, d->second.ctx);
            for (int64_t i = 0; i < n; i++) d->columns[i * p + k] = d->rhs[i * p + k] = -d->row[i];
        }
        iop_solve_refined(&d->system, d->columns, p, d->bound);
        for (int64_t i = 0; i < n; i++)
            memcpy(hessian + (i * p + j) * p, d->columns + i * p, p * sizeof(double));
        if (hessian_error == NULL) continue;
        for (int64_t i = 0; i < n; i++) u_error[i] = d->sensitivity_error[i * p + j];
        for (int64_t k = 0; k < p; k++) {
            iop_parameter_direction(d, k, v);
            for (int64_t i = 0; i < n; i++) v_error[i] = d->sensitivity_error[i * p + k];
            d->second_errors.scalar(d->seed, d->row, d->second_errors.ctx);
            for (int64_t i = 0; i < n; i++) d->bound[i * p + k] = d->row[i];
        }
        iop_solution_errors(&d->system, d->columns, d->noise + n, p, d->rhs, d->bound, d->columns_error);
        for (int64_t i = 0; i < n; i++)
            memcpy(hessian_error + (i * p + j) * p, d->columns_error + i * p, p * sizeof(double));
    }
}

/* Directions inverse(F_x) (+-slack), and how many; unknowns whose slack is 0 are where they are. */
static int64_t iop_take_directions(iop_derivatives *d) {
    const int64_t n = d->system.n, few = n <= IOP_DIRECTIONS, count = few ? n : IOP_RANDOM_DIRECTIONS;
    uint64_t random = UINT64_C(0x9E3779B97F4A7C15);
    for (int64_t k = 0; k < count; k++) {
        double *direction = d->directions + k * n;
        for (int64_t i = 0; i < n; i++) {
            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            const double sign = few ? (i == k ? 1 : 0) : (random >> 63 ? -1 : 1);
            direction[i] = sign * d->slack[i];
        }
        d->system.solve(&d->system, direction, 1);
    }
    return count;
}

/* How many times longer than the error a step may be that shows the derivatives' change: to 1e-8 of an unknown. */
static double iop_magnified(const double *point, const double *direction, int64_t n) {
    double relative = 0;
    for (int64_t i = 0; i < n; i++)
        if (point[i] != 0) relative = fmax(relative, fabs(direction[i] / point[i]));
    return relative > 0 && relative < 1e-8 ? 1e-8 / relative : 1;
}

/* Adds the change of derivatives over a step, taken back to the size of the error. */
static void iop_add_change(int64_t size, const double *here, const double *moved, double step, double *errors) {
    for (int64_t i = 0; i < size; i++) errors[i] += fabs(moved[i] - here[i]) / step;
}

/* Adds what the error of the solution makes of its derivatives: they are computed again at points that are off by as
 * much as the residual and its rounding allow.  Errors of the unknowns that belong together stay together, which a bound
 * from each unknown's own error would not see.  Nothing of the original point is left in d afterwards. */
static void iop_add_errors_of_solution(iop_derivatives *d, const double *point, const double *jacobian,
                                       double *jacobian_error, const double *hessian, double *hessian_error) {
    const int64_t n = d->system.n, p = d->p, count = iop_take_directions(d);
    for (int64_t k = 0; k < count; k++) {
        const double *direction = d->directions + k * n;
        const double step = iop_magnified(point, direction, n);
        int is_moved = 0;
        memcpy(d->moved, point, (n + p) * sizeof(double));
        for (int sign = 1; sign >= -1 && !is_moved; sign -= 2) {
            for (int64_t i = 0; i < n; i++) d->moved[i] = point[i] + sign * step * direction[i];
            is_moved = d->move(d, d->moved) == 0;
        }
        if (!is_moved) {
            for (int64_t i = 0; i < n * p; i++) jacobian_error[i] = NAN;
            for (int64_t i = 0; hessian_error != NULL && i < n * p * p; i++) hessian_error[i] = NAN;
            return;
        }
        iop_first_derivatives(d, d->moved, 0);
        iop_add_change(n * p, jacobian, d->sensitivity, step, jacobian_error);
        if (hessian_error == NULL) continue;
        iop_second_derivatives(d, d->moved, d->moved_hessian, NULL);
        iop_add_change(n * p * p, hessian, d->moved_hessian, step, hessian_error);
    }
}

/* Value, derivatives up to an order and their errors into the outputs of one element, from F_x factorised at the point.
 * d->slack holds |F| and `scale` a bound of its rounding. */
static void iop_write_derivatives(iop_derivatives *d, const double *point, const double *scale, int64_t order, int64_t i,
                                  double *const *outputs) {
    const int64_t n = d->system.n, p = d->p;
    double *at[6];
    const int64_t sizes[6] = {n, n * p, n * p * p, n, n * p, n * p * p};
    for (int k = 0; k < 6; k++) at[k] = outputs[k] != NULL ? outputs[k] + i * sizes[k] : NULL;
    const int wants_errors = at[1] != NULL && at[4] != NULL;
    if (at[0] != NULL) memcpy(at[0], point, n * sizeof(double));
    if (at[3] != NULL || wants_errors) iop_root_errors(d, point, scale);
    if (at[3] != NULL) memcpy(at[3], d->x_error, n * sizeof(double));
    if (order < 1 || (at[1] == NULL && at[2] == NULL)) return;
    iop_first_derivatives(d, point, wants_errors);
    if (at[1] != NULL) memcpy(at[1], d->sensitivity, n * p * sizeof(double));
    if (wants_errors) memcpy(at[4], d->sensitivity_error, n * p * sizeof(double));
    double *hessian_error = wants_errors && order >= 2 && at[2] != NULL ? at[5] : NULL;
    if (order >= 2 && at[2] != NULL) iop_second_derivatives(d, point, at[2], hessian_error);
    if (wants_errors) iop_add_errors_of_solution(d, point, at[1], at[4], at[2], hessian_error);
}

#endif
