/* Derivatives in a graph, which other operations make than the kernels that solve: where rounding may have spoilt one,
 * the kernel that solves the problem with derivatives is asked, and decides.
 *
 * Solving again costs more than the derivative.  So each operation first computes a *doubt*, cheap and too large rather
 * than too small, next to its results.  With M_i = |x_i| + sum_j |J_ij| s_j, the change of a component with relative
 * changes of the parameters, derivative_status.h calls nothing inaccurate whose error is below 1e-6 of it: the doubt of
 * component i is
 *
 *     (100 e_i + d_i) / M_i
 *
 * with e the error of the solution and d that of M from F_x and F_p.  The error of the solution counts more because of what
 * it does to derivatives through their own curvature, which is not computed.
 */
#ifndef IMPLICITOPS_DERIVATIVE_JUDGE_H
#define IMPLICITOPS_DERIVATIVE_JUDGE_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "derivative_status.h"
#include "linear.h"
#include "marked_nan.h"

/* Doubt from which the judge is asked: a hundredth of what it lets pass. */
#define IOP_DOUBTFUL 1e-8
#define IOP_DOUBT_OF_SOLUTION 100

/* Who decides for a problem: the operation (parameters, `n_ends` numbers, x) that solves it from x on, with derivatives. */
typedef struct {
    const iop_operation *operation; /* NULL until it is needed for the first time */
    void *owner;                    /* who makes it then */
    double ends[2];                 /* interval of a scalar unknown */
    int32_t n_ends;
} iop_judge;

/* Whether a doubt is too large; one that is not a number is. */
static inline int iop_is_doubtful(double doubt) { return !(doubt <= IOP_DOUBTFUL); }

/* Status of the derivatives at element i of inputs that begin with the parameters and x.  With `is_lost`, one entry for each
 * parameter, says which of them has an inaccurate derivative.  IOP_CONVERGED where nothing can be said. */
static int32_t iop_judge_at(const iop_judge *judge, int64_t i, const double *const *inputs, const int64_t *strides,
                            int64_t *is_lost) {
    const iop_operation *operation = judge->operation;
    const int32_t n_arguments = operation->n_inputs - judge->n_ends - 1;
    const int64_t *sizes = operation->output_sizes, rows = sizes[IOP_VALUE], q = sizes[IOP_JACOBIAN] / rows;
    const int64_t size = sizes[IOP_VALUE] + sizes[IOP_JACOBIAN] + sizes[IOP_HESSIAN] + sizes[IOP_ERROR];
    int32_t code = IOP_CONVERGED;
    double *memory = (double *)malloc((size_t)size * sizeof(double) +
                                      (size_t)operation->n_inputs * (sizeof(double *) + sizeof(int64_t)));
    double *outputs[IOP_N_SOLVE_OUTPUTS] = {NULL};
    if (memory == NULL) return code;
    const double **arguments = (const double **)(memory + size);
    int64_t *steps = (int64_t *)(arguments + operation->n_inputs);
    for (int32_t k = 0; k < operation->n_inputs; k++) {
        const int32_t from = k < n_arguments ? k : n_arguments;
        const int is_end = k >= n_arguments && k < n_arguments + judge->n_ends;
        arguments[k] = is_end ? judge->ends + (k - n_arguments) : inputs[from] + i * strides[from];
        steps[k] = 0;
    }
    double *next = memory;
    for (int k = IOP_VALUE; k <= IOP_ERROR; k++) {
        if (sizes[k] > 0) outputs[k] = next;
        next += sizes[k];
    }
    if (iop_run_judged(operation, 1, arguments, steps, outputs, &code, NULL, 0) < 0) code = IOP_CONVERGED;
    /* A root that cannot be found from itself: nothing dispels the doubt. */
    if (!iop_has_value(code)) code = IOP_DERIVATIVE_INACCURATE;
    for (int64_t j = 0; is_lost != NULL && j < q; j++) {
        is_lost[j] = 0;
        for (int64_t r = 0; r < rows; r++) is_lost[j] |= isnan(outputs[IOP_JACOBIAN][r * q + j]) != 0;
    }
    free(memory);
    return code;
}

/* A number that is lost, with the reason. */
static inline double iop_marked(int32_t status) {
    const uint64_t bits = IOP_MARK | ((uint64_t)status & IOP_MARKED_STATUS);
    double number;
    memcpy(&number, &bits, sizeof(bits));
    return number;
}

/* A system's equations at a point (x, theta). */
typedef struct {
    iop_matrix_shape shape;
    int64_t n_params, n_entries, n_parameter_entries;
    const int32_t *rows, *columns, *parameter_rows, *parameter_columns;
} iop_equations;

/* Doubles that the doubt of a system needs besides `values`, see below. */
static inline int64_t iop_doubt_size(const iop_equations *s) { return 3 * s->shape.n + s->n_params; }

/* A number of random sign and given magnitude: sums over many of them see every one of them, at the cost of one. */
static inline double iop_random_sign(uint64_t *random, double size) {
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *random >> 63 ? -size : size;
}

/* Largest of |errors_i| / size_i, where an error that is 0 is none. */
static double iop_largest_ratio(int64_t n, const double *errors, const double *size) {
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        const double ratio = errors[i] == 0 ? 0 : fabs(errors[i]) / size[i];
        if (!(ratio <= largest)) largest = ratio;
    }
    return largest;
}

/* Doubt of a system's derivatives.  `values` are the entries of F_x and of F_theta, F, and the errors of F, of the entries of
 * F_x and of those of F_theta; `memory` is left with M, the errors of the solution along a random direction of the
 * parameters, and this direction (n, n, n + p). */
static double iop_system_doubt(const iop_equations *s, const double *lu, const int32_t *pivot, const double *point,
                               const double *values, double *memory) {
    const int64_t n = s->shape.n, m = s->n_entries, mp = s->n_parameter_entries;
    const double *entries = values, *of_parameters = entries + m, *f = of_parameters + mp, *f_error = f + n;
    const double *entry_errors = f_error + n, *parameter_errors = entry_errors + m;
    double *size = memory, *errors = size + n, *direction = errors + n, *changes = direction + n;
    uint64_t random = UINT64_C(0x9E3779B97F4A7C15);
    for (int64_t k = 0; k < s->n_params; k++)
        changes[k] = iop_random_sign(&random, point[n + k] != 0 ? fabs(point[n + k]) : 1);
    memset(direction, 0, n * sizeof(double));
    for (int64_t k = 0; k < mp; k++) direction[s->parameter_rows[k]] -= of_parameters[k] * changes[s->parameter_columns[k]];
    iop_solve(&s->shape, lu, pivot, direction, 1);
    for (int64_t i = 0; i < n; i++) {
        size[i] = fabs(point[i]) + fabs(direction[i]);
        errors[i] = IOP_DOUBT_OF_SOLUTION * (fabs(f[i]) + f_error[i]);
    }
    const double rounding = 0.5 * n * DBL_EPSILON;
    for (int64_t k = 0; k < m; k++)
        errors[s->rows[k]] += (rounding * fabs(entries[k]) + entry_errors[k]) * size[s->columns[k]];
    for (int64_t k = 0; k < mp; k++)
        errors[s->parameter_rows[k]] += parameter_errors[k] * fabs(changes[s->parameter_columns[k]]);
    for (int64_t i = 0; i < n; i++) errors[i] = iop_random_sign(&random, errors[i]);
    iop_solve(&s->shape, lu, pivot, errors, 1);
    return iop_largest_ratio(n, errors, size);
}

/* The same of second derivatives, from the errors of F's second derivative along that direction, which are used up. */
static double iop_second_doubt(const iop_equations *s, const double *lu, const int32_t *pivot, double *errors,
                               const double *size) {
    uint64_t random = UINT64_C(0xD1B54A32D192ED03);
    for (int64_t i = 0; i < s->shape.n; i++) errors[i] = iop_random_sign(&random, errors[i]);
    iop_solve(&s->shape, lu, pivot, errors, 1);
    return iop_largest_ratio(s->shape.n, errors, size);
}

#endif
