/* A solve whose value is right but whose derivative is not: undefined, overflowed, or lost in rounding error.
 *
 * Kernels of problems write value, Jacobian, Hessian, error of the value, and the estimated errors of Jacobian and
 * Hessian (an output of size 0 where a kernel has no estimate; NaN where it is not known).  What these say of the status
 * is decided here for all of them.
 *
 * With J_ij the derivative of component x_i by parameter p_j, E_ij its estimated error and s_j = |p_j| (1 where p_j = 0),
 * entry ij is inaccurate if
 *
 *     E_ij s_j > 1e-3 |J_ij| s_j  and  E_ij s_j > 1e-6 max(|x_i|, max_k |J_ik| s_k),
 *
 * so that an entry that is zero but for rounding raises no alarm: what counts is the change of the component with relative
 * changes of the parameters.  The same holds of H_ijk with s_j s_k, where the maximum goes over |H_ikl| s_k s_l too.  Nor
 * does a component that is zero but for rounding, together with that derivative: |x_i| <= e_i, |J_ij| <= E_ij and
 * E_ij s_j <= 1e3 e_i with e_i the error of x_i.
 */
#ifndef IMPLICITOPS_DERIVATIVE_STATUS_H
#define IMPLICITOPS_DERIVATIVE_STATUS_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "implicitops.h"

#define IOP_INACCURATE 1e-3
#define IOP_NEGLIGIBLE 1e-6

/* Whether an operation's outputs are those of a problem's kernel, and what is judged of its derivatives: that they are
 * finite, or their errors as well.  The errors of an integration in steps are what its tolerances ask for, and cost another
 * integration; those of an integral are judged by its kernel, which knows what cancels in them. */
enum { IOP_NO_DERIVATIVES = 0, IOP_JUDGED = 1, IOP_JUDGED_FINITE = 2 };

/* Positions of what the kernel of a problem writes. */
enum { IOP_VALUE, IOP_JACOBIAN, IOP_HESSIAN, IOP_ERROR, IOP_JACOBIAN_ERROR, IOP_HESSIAN_ERROR, IOP_N_SOLVE_OUTPUTS };

/* Scale of column c of a Jacobian (order 1) or Hessian (order 2) with q parameters. */
static inline double iop_column_scale(const double *scales, int64_t q, int64_t c, int order) {
    return order == 1 ? scales[c] : scales[c / q] * scales[c % q];
}

/* Judges one derivative of one element, `rows` by q^order.  Entries that are not finite become NaN, and so do inaccurate
 * ones unless they are to be kept.  `all_largest` holds the scaled magnitude of each row in the orders before,
 * `zeros` the error of a component that is no larger than it, else 0. */
static int32_t iop_judge_derivative(int64_t rows, int64_t q, int order, const double *scales, int keeps_inaccurate,
                                    const double *zeros, double *all_largest, double *entries, const double *errors) {
    const int64_t columns = order == 1 ? q : q * q;
    int32_t code = IOP_CONVERGED;
    for (int64_t i = 0; i < rows; i++) {
        double *row = entries + i * columns, largest = all_largest[i];
        const double *error = errors != NULL ? errors + i * columns : NULL;
        for (int64_t c = 0; c < columns; c++) {
            if (!(fabs(row[c]) <= DBL_MAX)) {
                row[c] = NAN;
                code = IOP_DERIVATIVE_UNDEFINED;
            }
            largest = fmax(largest, fabs(row[c]) * iop_column_scale(scales, q, c, order));
        }
        all_largest[i] = largest;
        for (int64_t c = 0; error != NULL && c < columns; c++) {
            const double scale = iop_column_scale(scales, q, c, order), size = fabs(row[c]) * scale;
            /* Every estimate contains an allowance for underflow. */
            if (!(error[c] > 16 * DBL_MIN && error[c] * scale > fmax(IOP_INACCURATE * size, IOP_NEGLIGIBLE * largest)))
                continue;
            if (fabs(row[c]) <= error[c] && error[c] * scale <= 1e3 * zeros[i]) continue;
            if (code == IOP_CONVERGED) code = IOP_DERIVATIVE_INACCURATE;
            if (!keeps_inaccurate) row[c] = NAN;
        }
    }
    return code;
}

/* Whether all derivatives are finite and each is accurate by itself, which nearly all are: scales only forgive. */
static int iop_are_accurate(int64_t count, const double *entries, const double *errors) {
    for (int64_t c = 0; c < count; c++) {
        const double size = fabs(entries[c]);
        if (!(size <= DBL_MAX) || (errors != NULL && !(errors[c] <= IOP_INACCURATE * size))) return 0;
    }
    return 1;
}

/* Magnitudes of the first q numbers of element i's inputs, which are its parameters. */
static void iop_parameter_scales(const iop_operation *operation, int64_t i, const double *const *inputs,
                                 const int64_t *strides, int64_t q, double *scales) {
    int64_t at = 0;
    for (int32_t k = 0; k < operation->n_inputs; k++)
        for (int64_t j = 0; j < operation->input_sizes[k] && at < q; j++, at++) {
            const double size = fabs(inputs[k][i * strides[k] + j]);
            scales[at] = size > 0 && size <= DBL_MAX ? size : 1;
        }
    for (; at < q; at++) scales[at] = 1;
}

/* Runs a resolved operation; where it solves a problem and derivatives are wanted, their status is judged.  With
 * keeps_inaccurate = 0 a derivative that is inaccurate becomes NaN. */
static int64_t iop_run_judged(const iop_operation *operation, int64_t n, const double *const *inputs,
                              const int64_t *strides, double *const *outputs, int32_t *status, int64_t *const *stats,
                              int keeps_inaccurate) {
    const int64_t *sizes = operation->output_sizes;
    const int judges_errors = operation->has_derivatives == IOP_JUDGED;
    if (!operation->has_derivatives || sizes[IOP_JACOBIAN] == 0 || sizes[IOP_VALUE] == 0 ||
        (outputs[IOP_JACOBIAN] == NULL && outputs[IOP_HESSIAN] == NULL))
        return operation->run(operation, n, inputs, strides, outputs, status, stats);
    const int64_t rows = sizes[IOP_VALUE], q = sizes[IOP_JACOBIAN] / rows;
    /* Errors that nobody wants are needed for the judgement. */
    const int64_t more[2] = {
        judges_errors && outputs[IOP_JACOBIAN] != NULL && outputs[IOP_JACOBIAN_ERROR] == NULL
            ? n * sizes[IOP_JACOBIAN_ERROR] : 0,
        judges_errors && outputs[IOP_HESSIAN] != NULL && outputs[IOP_HESSIAN_ERROR] == NULL
            ? n * sizes[IOP_HESSIAN_ERROR] : 0};
    double *memory = (double *)malloc((size_t)(q + 2 * rows + more[0] + more[1]) * sizeof(double) +
                                      (size_t)(status == NULL ? n : 0) * sizeof(int32_t));
    if (memory == NULL) return -1;
    double *all[IOP_N_SOLVE_OUTPUTS], *largest = memory + q, *zeros = largest + rows, *errors = zeros + rows;
    int32_t *codes = status != NULL ? status : (int32_t *)(errors + more[0] + more[1]);
    for (int k = 0; k < IOP_N_SOLVE_OUTPUTS; k++) all[k] = outputs[k];
    if (more[0] > 0) all[IOP_JACOBIAN_ERROR] = errors;
    if (more[1] > 0) all[IOP_HESSIAN_ERROR] = errors + more[0];
    int64_t failed = operation->run(operation, n, inputs, strides, all, codes, stats);
    for (int64_t i = 0; failed >= 0 && i < n; i++) {
        if (codes[i] == IOP_DERIVATIVE_INACCURATE && !keeps_inaccurate)
            for (int order = 1; order <= 2; order++)
                for (int64_t c = 0; all[order] != NULL && c < sizes[order]; c++) all[order][i * sizes[order] + c] = NAN;
        if (codes[i] != IOP_CONVERGED) continue;
        int are_accurate = 1;
        double *errors_of[3] = {NULL, NULL, NULL};
        for (int order = 1; order <= 2; order++) {
            const int64_t size = sizes[order];
            if (all[order] == NULL || size == 0) continue;
            if (judges_errors && all[IOP_ERROR + order] != NULL && sizes[IOP_ERROR + order] > 0)
                errors_of[order] = all[IOP_ERROR + order] + i * sizes[IOP_ERROR + order];
            are_accurate = are_accurate && iop_are_accurate(size, all[order] + i * size, errors_of[order]);
        }
        if (are_accurate) continue;
        int32_t code = IOP_CONVERGED;
        iop_parameter_scales(operation, i, inputs, strides, q, memory);
        for (int64_t r = 0; r < rows; r++) {
            const double error = sizes[IOP_ERROR] == rows && all[IOP_ERROR] != NULL ? all[IOP_ERROR][i * rows + r] : 0;
            largest[r] = all[IOP_VALUE] != NULL ? fabs(all[IOP_VALUE][i * rows + r]) : 0;
            zeros[r] = largest[r] <= error ? error : 0;
        }
        for (int order = 1; order <= 2; order++) {
            if (all[order] == NULL || sizes[order] == 0) continue;
            const int32_t found = iop_judge_derivative(rows, q, order, memory, keeps_inaccurate, zeros, largest,
                                                       all[order] + i * sizes[order], errors_of[order]);
            if (found != IOP_CONVERGED && code != IOP_DERIVATIVE_UNDEFINED) code = found;
        }
        codes[i] = code;
        failed += code != IOP_CONVERGED;
    }
    free(memory);
    return failed;
}

#endif
