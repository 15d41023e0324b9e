/* What Python sets of an ODE, which is opaque to it. Nothing here takes the memory over: the caller keeps it alive. */
#ifndef IMPLICITOPS_ODE_SETUP_H
#define IMPLICITOPS_ODE_SETUP_H

#include "ode_run.h"

/* Where a member is, or NULL if a table has none of that name. */
static void *iop_ode_member_named(iop_ode *ode, const iop_ode_member *table, const char *name) {
    for (; table->name != NULL; table++)
        if (strcmp(table->name, name) == 0) return (char *)ode + table->offset;
    return NULL;
}

/* Sets a count or an option. Returns 1 if there is none of that name. */
static int iop_ode_set_number(iop_ode *ode, const char *name, double value) {
    int64_t *count = (int64_t *)iop_ode_member_named(ode, iop_ode_integers, name);
    double *real = (double *)iop_ode_member_named(ode, iop_ode_reals, name);
    if (count != NULL) *count = (int64_t)value;
    if (real != NULL) *real = value;
    return count == NULL && real == NULL;
}

/* Sets a function of the whole problem. Returns 1 if there is none of that name. */
static int iop_ode_set_function(iop_ode *ode, const char *name, iop_scalar_function function) {
    iop_callback *callback = (iop_callback *)iop_ode_member_named(ode, iop_ode_functions, name);
    if (callback != NULL) callback->scalar = function;
    return callback == NULL;
}

/* The states: their absolute tolerances, and the width of the band of f_y above and below the diagonal. */
static void iop_ode_set_states(iop_ode *ode, int64_t n, const double *atol, int banded, int64_t lower, int64_t upper) {
    ode->n = n;
    ode->atol = atol;
    ode->shape = (iop_matrix_shape){.n = n, .banded = banded, .lower = lower, .upper = upper};
}

/* The maps, once states and numbers are set: `changes` are those of the start and of each event, outputs NULL the states. */
static void iop_ode_set_maps(iop_ode *ode, const iop_map *rhs, int64_t n_changes, const iop_map *changes,
                             const iop_map *outputs) {
    ode->rhs = *rhs;
    ode->changes = changes;
    ode->n_events = n_changes - 1;
    ode->outputs = outputs;
    ode->n_outputs = outputs != NULL ? outputs->n_rows : ode->n;
    ode->n_regimes = ode->n_switches + ode->n_periodic + ode->n_surfaces;
}

/* `entries` are all rows and then all columns of the derivative by y, `parameter_entries` of that by p. */
static void iop_set_map(iop_map *map, iop_scalar_function value, iop_scalar_function first, iop_scalar_function second,
                        int64_t n_rows, int64_t n_entries, const int32_t *entries, int64_t n_parameter_entries,
                        const int32_t *parameter_entries) {
    map->value.scalar = value;
    map->first.scalar = first;
    map->second.scalar = second;
    map->n_rows = n_rows;
    map->n_entries = n_entries;
    map->rows = entries;
    map->columns = entries + n_entries;
    map->n_parameter_entries = n_parameter_entries;
    map->parameter_rows = parameter_entries;
    map->parameter_columns = parameter_entries + n_parameter_entries;
}

#endif
