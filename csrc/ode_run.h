/* Initial value problems, one batch element after the other: the driver of ode_solve.h and ode_adjoint.h. */
#ifndef IMPLICITOPS_ODE_RUN_H
#define IMPLICITOPS_ODE_RUN_H

#include "ode_memory.h"
#include "ode_methods.h"

/* Where the answers for batch element i go. */
static void iop_set_targets(iop_ode_work *w, int64_t i, double *const *outputs, const int64_t *sizes) {
    w->value = outputs[0] != NULL ? outputs[0] + i * sizes[0] : NULL;
    w->jacobian = outputs[1] != NULL ? outputs[1] + i * sizes[1] : NULL;
    w->hessian = outputs[2] != NULL ? outputs[2] + i * sizes[2] : NULL;
}

/* Copies the parameters of batch element i, the first `count` inputs, to where the callbacks look for them. */
static void iop_read_parameters(iop_ode_work *w, const iop_operation *operation, int32_t count, int64_t i,
                                const double *const *inputs, const int64_t *strides) {
    double *target = w->s.point + 1 + w->s.ode->n;
    for (int32_t k = 0; k < count; k++)
        for (int64_t j = 0; j < operation->input_sizes[k]; j++) *target++ = inputs[k][i * strides[k] + j];
}

/* Repeats a solve with halved steps and writes estimates of its errors. Returns IOP_NO_MEMORY or another code. */
static int iop_estimate(iop_ode_work *w, double *halved, int64_t i, double *const *outputs, const int64_t *sizes) {
    double *targets[3];
    const iop_ode_counts counts = w->counts;
    const int64_t q = w->s.ode->p + 1, rows = w->s.ode->n_outputs;
    for (int64_t k = 0; k < 3; k++) {
        targets[k] = outputs[k] != NULL ? halved : NULL;
        halved += sizes[k];
    }
    w->stepper.plan->is_repeated = 1;
    w->stepper.plan->position = 0;
    iop_set_targets(w, 0, targets, sizes);
    const int code = iop_ode_solve_times(w);
    w->counts = counts;
    w->stepper.plan->is_repeated = 0;
    for (int64_t k = 0; k < 3; k++) {
        if (outputs[3 + k] == NULL || targets[k] == NULL) continue;
        double *errors = outputs[3 + k] + i * sizes[k];
        if (code == IOP_CONVERGED)
            iop_estimate_errors(k, q, rows, w->n_times, counts.steps, w->order, outputs[k] + i * sizes[k], targets[k],
                                halved, errors);
        else
            for (int64_t j = 0; j < sizes[k]; j++) errors[j] = NAN;
    }
    return code;
}

/* Integrates with derivatives of this order what could not be integrated with higher ones. Returns the code of that. */
static int iop_lower_order(const iop_ode_work *w, int64_t order) {
    iop_ode plain = *w->s.ode;
    iop_ode_work v;
    plain.order = order;
    double *memory = (double *)malloc((iop_lay_out(&v, &plain, w->n_times, NULL) + 1) * sizeof(double));
    if (memory == NULL) return IOP_NO_MEMORY;
    iop_lay_out(&v, &plain, w->n_times, memory);
    iop_begin(&v, &plain, w->n_times);
    memcpy(v.s.point + 1 + plain.n, w->s.point + 1 + plain.n, plain.p * sizeof(double));
    v.times = w->times;
    v.value = w->value;
    v.jacobian = order > 0 ? w->jacobian : NULL;
    v.hessian = NULL;
    const int code = iop_ode_solve_times(&v);
    free(memory);
    return code;
}

/* All outputs of batch element i from one on. */
static void iop_set_nan(int32_t first, int64_t i, double *const *outputs, const int64_t *sizes) {
    for (int32_t k = first; k < 6; k++)
        for (int64_t j = 0; outputs[k] != NULL && j < sizes[k]; j++) outputs[k][i * sizes[k] + j] = NAN;
}

/* Solves batch element i, whose parameters and times are set. Returns a status or IOP_NO_MEMORY. */
static int iop_run_element(iop_ode_work *w, double *halved, int64_t i, double *const *outputs, const int64_t *sizes) {
    const int64_t order = w->s.ode->order;
    iop_set_targets(w, i, outputs, sizes);
    int code = iop_ode_solve_times(w);
    if (code == IOP_CONVERGED && w->stepper.plan != NULL) {
        const int again = iop_estimate(w, halved, i, outputs, sizes);
        return again < 0 ? again : code;
    }
    if (order > 0 && (code == IOP_UNDEFINED || code == IOP_BLOW_UP || code == IOP_STEP_TOO_SMALL)) {
        /* A sensitivity may be what grows beyond all numbers. */
        iop_set_nan(1, i, outputs, sizes);
        int again = order > 1 ? iop_lower_order(w, 1) : code;
        if (again > IOP_CONVERGED) again = iop_lower_order(w, 0);
        if (again <= IOP_CONVERGED) code = again;
    }
    return code;
}

/* Counters of one solve, and where it ended if it failed: the bits of the time, and the index of a state or guard. */
static void iop_write_stats(const iop_ode_work *w, int64_t i, int64_t *const *stats) {
    const iop_ode_counts *counts = &w->counts;
    stats[0][i] = counts->steps;
    stats[1][i] = counts->rejected;
    stats[2][i] = counts->evaluations;
    stats[3][i] = counts->factorisations;
    stats[4][i] = counts->stiff_steps;
    stats[5][i] = counts->switches;
    memcpy(&stats[6][i], &w->stepper.t, sizeof(double));
    stats[7][i] = w->failed_in;
}

/* Inputs are the parameters and the times; outputs the values, their derivatives and the errors of all that. */
static int64_t iop_ode_run(const iop_operation *operation, int64_t n_batch, const double *const *inputs,
                           const int64_t *input_strides, double *const *outputs, int32_t *status,
                           int64_t *const *stats) {
    const iop_ode *ode = (const iop_ode *)operation->data;
    const int32_t last = operation->n_inputs - 1;
    const int64_t n_times = operation->input_sizes[last], q = ode->p + 1, *sizes = operation->output_sizes;
    const int is_estimated = outputs[3] != NULL || outputs[4] != NULL || outputs[5] != NULL;
    iop_ode_work w;
    iop_plan plan = {.width = 3 + ode->n_surfaces};
    const int64_t size = iop_lay_out(&w, ode, n_times, NULL);
    const int64_t more = is_estimated ? sizes[0] + sizes[1] + sizes[2] + (ode->n_outputs + 1) * q * q : 0;
    double *memory = (double *)malloc((size + more + 1) * sizeof(double));
    int64_t failed = 0;
    int code = IOP_CONVERGED;
    if (memory == NULL) return -1;
    iop_lay_out(&w, ode, n_times, memory);
    iop_begin(&w, ode, n_times);
    if (is_estimated) w.stepper.plan = &plan;
    for (int64_t i = 0; i < n_batch; i++) {
        iop_read_parameters(&w, operation, last, i, inputs, input_strides);
        w.times = inputs[last] + i * input_strides[last];
        plan.count = 0;
        code = iop_run_element(&w, memory + size, i, outputs, sizes);
        if (code < 0) break;
        failed += code != IOP_CONVERGED;
        if (code != IOP_CONVERGED) iop_set_nan(0, i, outputs, sizes);
        if (status != NULL) status[i] = code;
        if (stats != NULL) iop_write_stats(&w, i, stats);
    }
    free(plan.rows);
    free(memory);
    return code < 0 ? -1 : failed;
}

/* Copies the gradient of batch element i to the outputs, or NaN where it was not found. */
static void iop_write_gradient(const iop_adjoint *a, const iop_operation *operation, int code, int64_t i,
                               double *const *outputs) {
    const int32_t times = operation->n_inputs - 2;
    const double *gradient = a->gradient;
    for (int32_t k = 0; k <= times; k++) {
        const int64_t size = operation->output_sizes[k];
        const double *source = k < times ? gradient : a->times_gradient;
        for (int64_t j = 0; outputs[k] != NULL && j < size; j++)
            outputs[k][i * size + j] = code == IOP_CONVERGED ? source[j] : NAN;
        gradient += size;
    }
}

/* Inputs are the parameters, the times and the weights of the outputs; outputs the gradients by the first two. */
static int64_t iop_ode_run_adjoint(const iop_operation *operation, int64_t n_batch, const double *const *inputs,
                                   const int64_t *input_strides, double *const *outputs, int32_t *status,
                                   int64_t *const *stats) {
    const iop_ode *ode = (const iop_ode *)operation->data;
    const int32_t last = operation->n_inputs - 2;
    const int64_t n_times = operation->input_sizes[last];
    iop_ode_work w;
    iop_trajectory trajectory = {0};
    iop_adjoint a;
    const int64_t size = iop_lay_out(&w, ode, n_times, NULL);
    const int64_t more = iop_lay_out_adjoint(&a, &trajectory, ode, n_times, NULL);
    double *memory = (double *)malloc((size + more + 1) * sizeof(double));
    int64_t failed = 0;
    int code = IOP_CONVERGED;
    (void)stats;
    if (memory == NULL) return -1;
    a.forward = &w;
    iop_lay_out(&w, ode, n_times, memory);
    iop_lay_out_adjoint(&a, &trajectory, ode, n_times, memory + size);
    iop_begin(&w, ode, n_times);
    w.trajectory = &trajectory;
    w.value = w.jacobian = w.hessian = NULL;
    iop_adjoint_bind(&a);
    for (int64_t i = 0; i < n_batch; i++) {
        iop_read_parameters(&w, operation, last, i, inputs, input_strides);
        w.times = inputs[last] + i * input_strides[last];
        a.weights = inputs[last + 1] + i * input_strides[last + 1];
        code = iop_adjoint_solve_times(&a);
        if (code < 0) break;
        failed += code != IOP_CONVERGED;
        iop_write_gradient(&a, operation, code, i, outputs);
        if (status != NULL) status[i] = code;
    }
    free(trajectory.steps);
    free(trajectory.passages);
    free(trajectory.kept);
    free(memory);
    return code < 0 ? -1 : failed;
}

#endif
