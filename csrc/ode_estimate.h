/* Estimates of an integration's errors, from a second one with each of its steps as two halves.
 *
 * With a method of order p halves leave 2^-p of the error of a step, and that of an interpolant, so that the difference of
 * the two integrations is nearly the error of the first, with all that a solution makes of earlier errors (L. F. Richardson,
 * Philos. Trans. R. Soc. London A 226 (1927) 299).  With the same steps nothing depends on a step control that would find
 * two tolerances different; and where a stiff problem reduces the order to 1, half of the error is still seen.
 */
#ifndef IMPLICITOPS_ODE_ESTIMATE_H
#define IMPLICITOPS_ODE_ESTIMATE_H

#include "ode_stepper.h"

/* What a row of a plan says: a step by the explicit pair or by Rodas5P, or that surfaces were met. */
enum { IOP_EXPLICIT_STEP = 0, IOP_STIFF_STEP = 1, IOP_NEW_REGIMES = 2 };

/* The steps of an integration. */
struct iop_plan {
    double *rows; /* of `width` doubles: kind, time at the end, whether regimes follow the point, regimes of the surfaces */
    int64_t width, count, capacity;
    int64_t is_repeated, position; /* the steps are taken again, and how many have been */
};

/* Adds a row, if steps are written down. Returns 1 if there is no memory. */
static int iop_plan_row(iop_plan *plan, int kind, double t, double follows, const double *regimes) {
    if (plan == NULL || plan->is_repeated) return 0;
    if (plan->count == plan->capacity) {
        const int64_t capacity = 2 * plan->capacity + 64;
        double *grown = (double *)realloc(plan->rows, capacity * plan->width * sizeof(double));
        if (grown == NULL) return 1;
        plan->rows = grown;
        plan->capacity = capacity;
    }
    double *row = plan->rows + plan->count++ * plan->width;
    row[0] = kind;
    row[1] = t;
    row[2] = follows;
    if (regimes != NULL) memcpy(row + 3, regimes, (plan->width - 3) * sizeof(double));
    return 0;
}

/* Whether column c of the derivatives of an order is one by the output time, the last of q. */
static inline int iop_is_by_time(int64_t order, int64_t q, int64_t c) {
    return order > 0 && (c % q == q - 1 || (order == 2 && c / q == q - 1));
}

/* Errors of the value (order 0), the Jacobian or the Hessian by q variables, from the difference to the answer with halved
 * steps; rows of the answer at n_times times, which come in an order of their own.
 *
 * A difference may be small by chance.  The estimate is therefore the largest of five times the difference, of the largest
 * relative difference of all rows of its column at any time up to its own (two and a half times it for the values, which
 * have no columns to compare with), and of a share of that over all columns, 0.7 of the Jacobian's and 0.2 of the more
 * numerous ones of the Hessian; both of the largest magnitude of the entry up to then.  To that comes what n_steps round.
 * `scratch` holds (rows + 1) q^order doubles. */
static void iop_estimate_errors(int64_t order, int64_t q, int64_t rows, int64_t n_times, int64_t n_steps,
                                const int64_t *times, const double *answer, const double *halved, double *scratch,
                                double *error) {
    const int64_t columns = order == 0 ? 1 : order == 1 ? q : q * q;
    const double rounding = (8 + n_steps) * DBL_EPSILON, share = order == 0 ? 2.5 : order == 1 ? 0.7 : 0.2;
    double *size = scratch, *ratio = scratch + rows * columns;
    memset(scratch, 0, (rows + 1) * columns * sizeof(double));
    for (int64_t i = 0; i < n_times; i++) {
        const int64_t first = times[i] * rows * columns;
        double largest = 0;
        for (int64_t k = 0; k < rows * columns; k++) {
            const double difference = fabs(answer[first + k] - halved[first + k]);
            size[k] = fmax(size[k], fabs(answer[first + k]));
            if (difference > 0) ratio[k % columns] = fmax(ratio[k % columns], difference / fmax(size[k], DBL_MIN));
        }
        for (int64_t c = 0; c < columns; c++)
            if (!iop_is_by_time(order, q, c)) largest = fmax(largest, ratio[c]);
        for (int64_t k = 0; k < rows * columns; k++) {
            const double relative = fmax(ratio[k % columns], share * largest) + rounding;
            error[first + k] = fmax(5 * fabs(answer[first + k] - halved[first + k]), relative * size[k]);
        }
    }
}

#endif
