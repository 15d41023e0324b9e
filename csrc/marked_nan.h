/* A failed solve's NaN carries its status, so that a graph can read it from the value and needs no second solve.
 *
 * The status is in bits of a NaN that arithmetic ignores.  Copies keep them, arithmetic need not: whoever wants the
 * status reads the value as the kernel wrote it (csrc/status_of.pyx).
 */
#ifndef IMPLICITOPS_MARKED_NAN_H
#define IMPLICITOPS_MARKED_NAN_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "derivative_status.h"
#include "implicitops.h"

/* Bits of a quiet NaN, the letters IOP, and 24 bits for the status; the same as in calculus/status_of.py. */
#define IOP_MARK UINT64_C(0x7FF8494F50000000)
#define IOP_MARKED_STATUS UINT64_C(0xFFFFFF)

/* Batches up to this long keep their status on the stack. */
enum { IOP_FEW = 128 };

/* Whether a value is a solution, although a derivative of it is none. */
static inline int iop_has_value(int32_t status)
{
    return status == IOP_CONVERGED || status == IOP_DERIVATIVE_UNDEFINED || status == IOP_DERIVATIVE_INACCURATE;
}

/* Marks all doubles of an output for each batch element that failed; of a derivative, where the value is a solution,
 * the NaNs alone. */
static inline void iop_mark_failures(int64_t n, int64_t size, const int32_t *status, int is_derivative, double *output)
{
    for (int64_t i = 0; i < n; i++) {
        const int has_value = iop_has_value(status[i]);
        uint64_t bits = IOP_MARK | ((uint64_t)status[i] & IOP_MARKED_STATUS);
        if (status[i] == IOP_CONVERGED || (has_value && !is_derivative))
            continue;
        for (int64_t k = i * size; k < (i + 1) * size; k++)
            if (!has_value || isnan(output[k]))
                memcpy(output + k, &bits, sizeof(bits));
    }
}

/* Status that a double carries: 0 for a number, IOP_UNDEFINED for a NaN that somebody else made. */
static inline int32_t iop_status_in(double number)
{
    uint64_t bits;
    if (!isnan(number))
        return IOP_CONVERGED;
    memcpy(&bits, &number, sizeof(bits));
    return (bits & ~IOP_MARKED_STATUS) == IOP_MARK ? (int32_t)(bits & IOP_MARKED_STATUS) : IOP_UNDEFINED;
}

/* Runs a resolved operation that solves a problem; where it fails, value and derivatives are marked. */
static inline int64_t iop_run_marked(const iop_operation *operation, int64_t n, const double *const *inputs,
                                     const int64_t *strides, double *const *outputs)
{
    int32_t few[IOP_FEW], *status = few;
    int64_t failed;
    if (n > IOP_FEW && (status = (int32_t *)malloc((size_t)n * sizeof(int32_t))) == NULL)
        return -1;
    failed = iop_run_judged(operation, n, inputs, strides, outputs, status, NULL, 0);
    if (failed > 0 && outputs[0] != NULL)
        iop_mark_failures(n, operation->output_sizes[0], status, 0, outputs[0]);
    for (int k = IOP_JACOBIAN; failed > 0 && operation->has_derivatives && k <= IOP_HESSIAN; k++)
        if (outputs[k] != NULL)
            iop_mark_failures(n, operation->output_sizes[k], status, 1, outputs[k]);
    if (status != few)
        free(status);
    return failed;
}

#endif
