/* Derivatives of the solution of a system F(x, theta) = 0, refined once, and what is left of their error.
 *
 * With A = F_x, X the solution of A X = B that was computed, and dA, dB what rounding and the error of x leave of A and B
 * (symbolic/rounding.py),
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

#include "linear.h"

typedef struct iop_linear_system {
    int64_t n, n_entries;
    const int32_t *rows, *columns;
    const double *entries;                                                        /* of A */
    void (*solve)(const struct iop_linear_system *, double *b, int64_t count);    /* A X = B in place */
    const void *factors;                                                          /* what solve() needs */
    double *inverse;                                                              /* |inverse(A)|, n x n */
    double rounding;                                                              /* relative, of a row's sum */
} iop_linear_system;

/* y -= a X for a sparse row, see iop_subtract_row(). */
IOP_VECTORISED_SHORT
static void iop_subtract_sparse_row(const double *a, const int32_t *columns, int64_t m, const double *x, int64_t count,
                                    double *y) {
    iop_subtract_all_columns(a, columns, m, x, count, y);
}

/* r -= A x for `count` columns, rows of (n, count); A has the given entries, sorted by row. */
static void iop_subtract_product(const iop_linear_system *s, const double *entries, const double *x, int64_t count,
                                 double *r) {
    for (int64_t k = 0, next; k < s->n_entries; k = next) {
        for (next = k + 1; next < s->n_entries && s->rows[next] == s->rows[k]; next++) continue;
        iop_subtract_sparse_row(entries + k, s->columns + k, next - k, x, count, r + s->rows[k] * count);
    }
}

/* A X = B, refined once where that gives numbers.  x holds B (n, count) and becomes X; `work` holds as many. */
static void iop_solve_refined(const iop_linear_system *s, double *x, int64_t count, double *work) {
    const int64_t size = s->n * count;
    memcpy(work, x, size * sizeof(double));
    s->solve(s, x, count);
    iop_subtract_product(s, s->entries, x, count, work);
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

/* target = -|inverse(A)| bound, both (n, count); what an unknown does not depend on does not count. */
static void iop_apply_inverse(const iop_linear_system *s, const double *bound, int64_t count, double *target) {
    const int64_t n = s->n;
    double sum = 0;
    for (int64_t i = 0; i < n * count; i++) sum += bound[i];
    memset(target, 0, n * count * sizeof(double));
    for (int64_t i = 0; i < n; i++) {
        if (sum <= DBL_MAX) {
            iop_subtract_row(s->inverse + i * n, n, bound, count, target + i * count);
            continue;
        }
        for (int64_t k = 0; k < n; k++)
            for (int64_t c = 0; s->inverse[i * n + k] != 0 && c < count; c++)
                target[i * count + c] -= s->inverse[i * n + k] * bound[k * count + c];
    }
}

/* From errors of the entries of A to negative bounds of all that products lose by entries and rounding, in place. */
static void iop_take_entry_errors(iop_linear_system *s, double *errors) {
    /* Entries are sorted by row: the longest row decides for all of them. */
    int64_t longest = 0, length = 0;
    for (int64_t k = 0; k < s->n_entries; k++) {
        length = k > 0 && s->rows[k] == s->rows[k - 1] ? length + 1 : 1;
        if (length > longest) longest = length;
    }
    s->rounding = 0.5 * (longest + 1) * DBL_EPSILON;
    for (int64_t k = 0; k < s->n_entries; k++) errors[k] = -(s->rounding * fabs(s->entries[k]) + errors[k]);
}

/* Errors of X (n, count).  `bound` comes with dB and `rhs` with B; both are used up.  `losses` are those of the entries of
 * A, see iop_take_entry_errors(). */
static void iop_solution_errors(const iop_linear_system *s, const double *x, const double *losses, int64_t count,
                                double *rhs, double *bound, double *errors) {
    const int64_t size = s->n * count;
    for (int64_t i = 0; i < size; i++) {
        bound[i] += s->rounding * fabs(rhs[i]);
        errors[i] = fabs(x[i]);
    }
    iop_subtract_product(s, losses, errors, count, bound);
    iop_subtract_product(s, s->entries, x, count, rhs);
    for (int64_t i = 0; i < size; i++) bound[i] += fabs(rhs[i]);
    iop_apply_inverse(s, bound, count, errors);
    for (int64_t i = 0; i < size; i++) errors[i] = 0.5 * DBL_EPSILON * fabs(x[i]) + DBL_MIN - errors[i];
}

/* A' X' = B' where A', whose entries are given, is A at a point nearby: refinement with the factors of A.  x holds X and
 * becomes X'.  It ends when a correction is small against the solution, against its change, or against `step` times the
 * errors of X.  Returns 1 if that does not happen. */
static int iop_solve_moved(const iop_linear_system *s, const double *entries, const double *rhs, int64_t count,
                           const double *here, const double *errors, double step, double *x, double *work) {
    const int64_t size = s->n * count;
    for (int round = 0; round < 30; round++) {
        int64_t large = 0;
        memcpy(work, rhs, size * sizeof(double));
        iop_subtract_product(s, entries, x, count, work);
        s->solve(s, work, count);
        for (int64_t i = 0; i < size; i++) {
            x[i] += work[i];
            large += !(fabs(work[i]) <= 0.01 * fabs(x[i]) + 0.25 * fabs(x[i] - here[i]) + step * errors[i]);
        }
        if (large == 0) return 0;
    }
    return 1;
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
    const double *(*move)(struct iop_derivatives *, const double *point); /* entries of F_x there, NULL if undefined */
    const void *problem;                                                  /* what move() needs */
    double *x_error;            /* n */
    double *slack;              /* n: what is left of F, and its rounding error */
    double *noise;              /* outputs of `errors`; those of F_x become losses, see iop_take_entry_errors() */
    double *entries;            /* of F_theta */
    double *seed;               /* inputs of the callbacks: 3 (n + p) + 2 n */
    double *row;                /* n */
    double *directions;         /* IOP_DIRECTIONS x n */
    double *moved;              /* n + p */
    double *sensitivity;        /* (n, p) */
    double *sensitivity_error;
    double *moved_sensitivity;
    double *second_order;       /* (n, pairs) for order 2, as the others below */
    double *second_order_error;
    double *moved_second_order;
    double *rhs;                /* as wide as the wider of the two */
    double *bound;
} iop_derivatives;

/* Directions in which the solution may be off: every unit of F while they are few, else some random signs. */
enum { IOP_DIRECTIONS = 4, IOP_RANDOM_DIRECTIONS = 2 };

/* Second derivatives by parameters j and k >= j, which are what there is of them by symmetry. */
static inline int64_t iop_pairs(int64_t p, int64_t order) { return order >= 2 ? p * (p + 1) / 2 : 0; }

/* Doubles behind all the pointers of iop_derivatives but system.inverse. */
static int64_t iop_derivatives_size(int64_t n, int64_t p, int64_t n_entries, int64_t n_parameter_entries, int64_t order) {
    const int64_t pairs = iop_pairs(p, order);
    return 2 * n + (n + n_entries + n_parameter_entries) + n_parameter_entries + 3 * (n + p) + 2 * n + n +
           IOP_DIRECTIONS * n + n + p + 3 * n * p + 3 * n * pairs + 2 * n * iop_most(p, pairs);
}

static void iop_derivatives_lay_out(iop_derivatives *d, double *memory, int64_t order) {
    const int64_t n = d->system.n, p = d->p, pairs = iop_pairs(p, order);
    d->x_error = memory;
    d->slack = d->x_error + n;
    d->noise = d->slack + n;
    d->entries = d->noise + n + d->system.n_entries + d->n_parameter_entries;
    d->seed = d->entries + d->n_parameter_entries;
    d->row = d->seed + 3 * (n + p) + 2 * n;
    d->directions = d->row + n;
    d->moved = d->directions + IOP_DIRECTIONS * n;
    d->sensitivity = d->moved + n + p;
    d->sensitivity_error = d->sensitivity + n * p;
    d->moved_sensitivity = d->sensitivity_error + n * p;
    d->second_order = d->moved_sensitivity + n * p;
    d->second_order_error = d->second_order + n * pairs;
    d->moved_second_order = d->second_order_error + n * pairs;
    d->rhs = d->moved_second_order + n * pairs;
    d->bound = d->rhs + n * iop_most(p, pairs);
}

/* Errors of the solution from |F| in `slack` and its rounding: the running errors, or `scale` where they are not known. */
static void iop_root_errors(iop_derivatives *d, const double *point, const double *scale) {
    const int64_t n = d->system.n;
    if (d->errors.scalar != NULL) d->errors.scalar(point, d->noise, d->errors.ctx);
    for (int64_t i = 0; i < n; i++)
        d->slack[i] += d->errors.scalar != NULL && d->noise[i] <= DBL_MAX ? d->noise[i] : scale[i];
    iop_take_inverse(&d->system);
    iop_apply_inverse(&d->system, d->slack, 1, d->x_error);
    for (int64_t i = 0; i < n; i++) d->x_error[i] = DBL_EPSILON * fabs(point[i]) + DBL_MIN - d->x_error[i];
}

/* -F_theta (n, p) at a point. */
static void iop_first_right_sides(iop_derivatives *d, const double *point, double *rhs) {
    const int64_t p = d->p;
    d->parameter.scalar(point, d->entries, d->parameter.ctx);
    memset(rhs, 0, d->system.n * p * sizeof(double));
    for (int64_t k = 0; k < d->n_parameter_entries; k++)
        rhs[d->parameter_rows[k] * p + d->parameter_columns[k]] = -d->entries[k];
}

/* S = -inverse(F_x) F_theta, and what rounding errors at this point leave of it, if that is wanted. */
static void iop_first_derivatives(iop_derivatives *d, const double *point, int wants_errors) {
    const int64_t n = d->system.n, p = d->p, n_entries = d->system.n_entries;
    iop_first_right_sides(d, point, d->rhs);
    memcpy(d->sensitivity, d->rhs, n * p * sizeof(double));
    iop_solve_refined(&d->system, d->sensitivity, p, d->bound);
    if (!wants_errors) return;
    iop_take_entry_errors(&d->system, d->noise + n);
    memset(d->bound, 0, n * p * sizeof(double));
    for (int64_t k = 0; k < d->n_parameter_entries; k++)
        d->bound[d->parameter_rows[k] * p + d->parameter_columns[k]] = d->noise[n + n_entries + k];
    iop_solution_errors(&d->system, d->sensitivity, d->noise + n, p, d->rhs, d->bound, d->sensitivity_error);
}

/* Direction (S_j, e_j) of the point along parameter j. */
static void iop_parameter_direction(const iop_derivatives *d, const double *sensitivity, int64_t j, double *u) {
    const int64_t n = d->system.n, p = d->p;
    for (int64_t i = 0; i < n; i++) u[i] = sensitivity[i * p + j];
    memset(u + n, 0, p * sizeof(double));
    u[n + j] = 1;
}

/* -D2F[(S_j, e_j), (S_k, e_k)] (n, pairs) at a point or, with the errors of S, what rounding leaves of it. */
static void iop_second_right_sides(iop_derivatives *d, const double *point, const double *sensitivity,
                                   const double *errors, double *target) {
    const int64_t n = d->system.n, p = d->p, pairs = iop_pairs(p, 2);
    double *u = d->seed + n + p, *v = u + n + p, *u_error = v + n + p, *v_error = u_error + n;
    const iop_callback callback = errors != NULL ? d->second_errors : d->second;
    const double sign = errors != NULL ? 1 : -1;
    memcpy(d->seed, point, (n + p) * sizeof(double));
    for (int64_t j = 0, pair = 0; j < p; j++) {
        iop_parameter_direction(d, sensitivity, j, u);
        for (int64_t i = 0; errors != NULL && i < n; i++) u_error[i] = errors[i * p + j];
        for (int64_t k = j; k < p; k++, pair++) {
            iop_parameter_direction(d, sensitivity, k, v);
            for (int64_t i = 0; errors != NULL && i < n; i++) v_error[i] = errors[i * p + k];
            callback.scalar(d->seed, d->row, callback.ctx);
            for (int64_t i = 0; i < n; i++) target[i * pairs + pair] = sign * d->row[i];
        }
    }
}

/* x_jk from F_x x_jk = -D2F[(S_j, e_j), (S_k, e_k)], and, if it is wanted, what rounding errors at this point leave. */
static void iop_second_derivatives(iop_derivatives *d, const double *point, int wants_errors) {
    const int64_t n = d->system.n, pairs = iop_pairs(d->p, 2);
    iop_second_right_sides(d, point, d->sensitivity, NULL, d->rhs);
    memcpy(d->second_order, d->rhs, n * pairs * sizeof(double));
    iop_solve_refined(&d->system, d->second_order, pairs, d->bound);
    if (!wants_errors) return;
    iop_second_right_sides(d, point, d->sensitivity, d->sensitivity_error, d->bound);
    iop_solution_errors(&d->system, d->second_order, d->noise + n, pairs, d->rhs, d->bound, d->second_order_error);
}

/* Pairs of parameters (n, pairs) to both orders of each pair (n, p, p). */
static void iop_unfold_pairs(int64_t n, int64_t p, const double *pairs, double *target) {
    for (int64_t i = 0; i < n; i++, target += p * p)
        for (int64_t j = 0; j < p; j++)
            for (int64_t k = j; k < p; k++) target[j * p + k] = target[k * p + j] = *pairs++;
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

static void iop_set_all(double *values, int64_t size, double number) {
    for (int64_t i = 0; i < size; i++) values[i] = number;
}

/* Derivatives up to `order` at the point d->moved, to which `entries` of F_x belong; 1 if they are out of reach. */
static int iop_moved_derivatives(iop_derivatives *d, const double *entries, double step, int64_t order) {
    const int64_t n = d->system.n, p = d->p, pairs = iop_pairs(p, order);
    iop_first_right_sides(d, d->moved, d->rhs);
    memcpy(d->moved_sensitivity, d->sensitivity, n * p * sizeof(double));
    if (iop_solve_moved(&d->system, entries, d->rhs, p, d->sensitivity, d->sensitivity_error, step, d->moved_sensitivity,
                        d->bound))
        return 1;
    if (order < 2) return 0;
    iop_second_right_sides(d, d->moved, d->moved_sensitivity, NULL, d->rhs);
    memcpy(d->moved_second_order, d->second_order, n * pairs * sizeof(double));
    return iop_solve_moved(&d->system, entries, d->rhs, pairs, d->second_order, d->second_order_error, step,
                           d->moved_second_order, d->bound);
}

/* Adds what the error of the solution makes of its derivatives: they are computed again at points that are off by as
 * much as the residual and its rounding allow.  Errors of the unknowns that belong together stay together, which a bound
 * from each unknown's own error would not see.  Where F is not defined nearby the errors are not known; where F_x changes
 * so much that its factors no longer serve, they have no limit. */
static void iop_add_errors_of_solution(iop_derivatives *d, const double *point, int64_t order) {
    const int64_t n = d->system.n, p = d->p, pairs = iop_pairs(p, order), count = iop_take_directions(d);
    double *first_total = d->sensitivity_error, *second_total = d->second_order_error;
    for (int64_t k = 0; k < count; k++) {
        const double *direction = d->directions + k * n, *entries = NULL;
        const double step = iop_magnified(point, direction, n);
        memcpy(d->moved, point, (n + p) * sizeof(double));
        for (int sign = 1; sign >= -1 && entries == NULL; sign -= 2) {
            for (int64_t i = 0; i < n; i++) d->moved[i] = point[i] + sign * step * direction[i];
            entries = d->move(d, d->moved);
        }
        if (entries == NULL || iop_moved_derivatives(d, entries, step, order)) {
            iop_set_all(first_total, n * p, entries == NULL ? NAN : INFINITY);
            iop_set_all(second_total, n * pairs, entries == NULL ? NAN : INFINITY);
            return;
        }
        iop_add_change(n * p, d->sensitivity, d->moved_sensitivity, step, first_total);
        if (order >= 2) iop_add_change(n * pairs, d->second_order, d->moved_second_order, step, second_total);
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
    if (order >= 2 && at[2] == NULL) order = 1;
    if (order < 1 || (at[1] == NULL && at[2] == NULL)) return;
    iop_first_derivatives(d, point, wants_errors);
    if (order >= 2) iop_second_derivatives(d, point, wants_errors);
    if (wants_errors) iop_add_errors_of_solution(d, point, order);
    if (at[1] != NULL) memcpy(at[1], d->sensitivity, n * p * sizeof(double));
    if (wants_errors) memcpy(at[4], d->sensitivity_error, n * p * sizeof(double));
    if (order < 2) return;
    iop_unfold_pairs(n, p, d->second_order, at[2]);
    if (wants_errors && at[5] != NULL) iop_unfold_pairs(n, p, d->second_order_error, at[5]);
}

#endif
