/* What happens at single moments: the start, events, switches, and output.
 *
 * A moment tau(p) may depend on the parameters.  Along it the states are y(tau(p), p), with the total derivatives
 *
 *     dy/dp_a       = S_a + f tau_a
 *     d2y/dp_a dp_b = R_ab + S_a' tau_b + S_b' tau_a + (f_t + f_y f) tau_a tau_b + f tau_ab,   S_a' = f_y S_a + f_a
 *
 * A change w = g(tau, y, p) of the states there is differentiated by the chain rule, and the same formula, solved for S
 * and R with the right-hand side after the moment, gives the sensitivities from which the integration goes on.  To first
 * order these are the saltation terms of M. A. Aizerman and F. R. Gantmacher, Quart. J. Mech. Appl. Math. 11 (1958) 163.
 */
#ifndef IMPLICITOPS_ODE_MOMENTS_H
#define IMPLICITOPS_ODE_MOMENTS_H

#include "ode.h"

/* A moment's time and its derivatives. */
typedef struct {
    double time;
    const double *first;  /* p of them */
    const double *second; /* one for each pair a <= b */
} iop_moment;

static inline int64_t iop_pairs(int64_t columns) { return columns * (columns + 1) / 2; }

static int iop_all_zero(const double *x, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (x[i] != 0) return 0;
    return 1;
}

/* From partial derivatives S, R at a moment to total ones along it (sign 1), or back (sign -1), in place.  `rate` holds
 * one z. Where the moment is constant nothing is to do, and f need not be defined there. */
static void iop_along_moment(iop_ode_flow *s, const iop_moment *moment, double sign, double *z, double *rate) {
    const iop_ode *ode = s->ode;
    const iop_map *f = &ode->rhs;
    const int64_t n = ode->n, p = s->p, pairs = s->pairs;
    double *first = z + n, *second = first + n * p, *values = s->values;
    double *rate_first = rate + n;
    if (p == 0 || (iop_all_zero(moment->first, p) && (pairs == 0 || iop_all_zero(moment->second, pairs)))) return;
    iop_set_point(s, moment->time, z);
    f->first.scalar(s->point, values, f->first.ctx);
    if (sign > 0 && pairs > 0) iop_sensitivity_rates(s, values, z, rate);
    for (int64_t i = 0; i < n; i++)
        for (int64_t a = 0; a < p; a++) first[i * p + a] += sign * values[i] * moment->first[a];
    if (pairs == 0) return;
    if (sign < 0) iop_sensitivity_rates(s, values, z, rate);
    /* (f_t + f_y f), in the place of the states' rates. */
    memcpy(rate, values + n, n * sizeof(double));
    iop_map_multiply(f, iop_map_jacobian(f, values), values, 1, rate);
    for (int64_t i = 0; i < n; i++) {
        const double *slope = rate_first + i * p, *tau = moment->first;
        double *target = second + i * pairs;
        int64_t column = 0;
        for (int64_t a = 0; a < p; a++)
            for (int64_t b = a; b < p; b++, column++)
                target[column] += sign * (slope[a] * tau[b] + slope[b] * tau[a] + rate[i] * tau[a] * tau[b]
                                          + values[i] * moment->second[column]);
    }
}

/* Value of a map and its derivatives by `columns` parameters, along which the states have the derivatives `first`
 * (n, columns) and `second` (n, pairs), and time has those of the moment.  Writes (rows), (rows, columns), (rows, pairs).
 * `values` holds what the map's `first` returns. */
static void iop_map_chain(iop_ode_flow *s, const iop_map *map, const iop_moment *moment, int64_t columns,
                          int64_t order, const double *y, const double *first, const double *second, double *values,
                          double *result, double *result_first, double *result_second) {
    const iop_ode *ode = s->ode;
    const int64_t n = ode->n, rows = map->n_rows, width = 1 + n + ode->p, pairs = iop_pairs(columns);
    const double *jacobian = iop_map_jacobian(map, values), *by_time = values + rows;
    iop_set_point(s, moment->time, y);
    if (order == 0) {
        map->value.scalar(s->point, result, map->value.ctx);
        return;
    }
    map->first.scalar(s->point, values, map->first.ctx);
    memcpy(result, values, rows * sizeof(double));
    memset(result_first, 0, rows * columns * sizeof(double));
    iop_map_add_parameter(map, iop_map_parameter(map, values), columns, result_first);
    iop_map_multiply(map, jacobian, first, columns, result_first);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t a = 0; a < columns; a++)
            if (moment->first[a] != 0) result_first[i * columns + a] += by_time[i] * moment->first[a];
    if (order < 2) return;
    memset(result_second, 0, rows * pairs * sizeof(double));
    iop_map_multiply(map, jacobian, second, pairs, result_second);
    double *u = s->point + 1 + n + ode->p + ode->n_regimes, *v = u + width;
    int64_t column = 0;
    for (int64_t a = 0; a < columns; a++) {
        iop_direction(n, ode->p, moment->first[a], first, columns, a, u);
        for (int64_t b = a; b < columns; b++, column++) {
            if (map->second.scalar != NULL) {
                iop_direction(n, ode->p, moment->first[b], first, columns, b, v);
                map->second.scalar(s->point, s->row, map->second.ctx);
                for (int64_t i = 0; i < rows; i++) result_second[i * pairs + column] += s->row[i];
            }
            if (moment->second[column] != 0)
                for (int64_t i = 0; i < rows; i++) result_second[i * pairs + column] += by_time[i] * moment->second[column];
        }
    }
}

/* Derivatives of the states by the parameters and, as a last column, by time: (n, p + 1) and (n, pairs). */
static void iop_extend_by_time(iop_ode_flow *s, double t, const double *z, double *rate, double *first, double *second) {
    const iop_ode *ode = s->ode;
    const iop_map *f = &ode->rhs;
    const int64_t n = ode->n, p = s->p, q = p + 1;
    iop_set_point(s, t, z);
    f->first.scalar(s->point, s->values, f->first.ctx);
    for (int64_t i = 0; i < n; i++) {
        memcpy(first + i * q, z + n + i * p, p * sizeof(double));
        first[i * q + p] = s->values[i];
    }
    if (s->pairs == 0) return;
    iop_sensitivity_rates(s, s->values, z, rate);
    memcpy(rate, s->values + n, n * sizeof(double));
    iop_map_multiply(f, iop_map_jacobian(f, s->values), s->values, 1, rate);
    for (int64_t i = 0; i < n; i++) {
        const double *known = z + n * (1 + p) + i * s->pairs;
        double *target = second + i * iop_pairs(q);
        for (int64_t a = 0; a < p; a++) {
            for (int64_t b = a; b < p; b++) *target++ = *known++;
            *target++ = rate[n + i * p + a];
        }
        *target = rate[i];
    }
}

/* Spreads the pairs a <= b of each row over a symmetric matrix. */
static void iop_spread_pairs(int64_t rows, int64_t columns, const double *pairs, double *full) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t a = 0; a < columns; a++)
            for (int64_t b = a; b < columns; b++, pairs++)
                full[(i * columns + a) * columns + b] = full[(i * columns + b) * columns + a] = *pairs;
}

#endif
