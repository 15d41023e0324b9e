/* Initial value problems: the problem's data, the flow of its states and sensitivities, and the norm of an error.
 *
 *     y' = f(t, y, p)           n states
 *     S' = f_y S + f_p          first sensitivities dy/dp, n x p
 *     R' = f_y R + D2f[(S_a, e_a), (S_b, e_b)]     second ones, n x p (p + 1) / 2, column ab for a <= b
 *
 * All of it is one vector z = (y, S, R), each block by rows.  Every column of S and R has the Jacobian f_y, so that one
 * factorisation serves them all (the staggered direct method: M. Caracotsios and W. E. Stewart, Comput. Chem. Eng. 9
 * (1985) 359).
 */
#ifndef IMPLICITOPS_ODE_H
#define IMPLICITOPS_ODE_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "implicitops.h"
#include "linear.h"

/* A function of (t, y, q): q is the parameters and then the regimes, constants that say which piece of a Piecewise is
 * in force: first those that change at times that are known beforehand (switches), then those that change where the
 * solution crosses a surface.  Derivatives with respect to y and p come entry by entry, sorted by row. */
typedef struct {
    iop_callback value;  /* (t, y, q) -> values */
    iop_callback first;  /* (t, y, q) -> values, derivative by t, entries by y, entries by p */
    iop_callback second; /* (t, y, q, u, v) -> second derivative along u and v, each (t, y, p); scalar NULL: zero */
    int64_t n_rows, n_entries, n_parameter_entries;
    const int32_t *rows, *columns;
    const int32_t *parameter_rows, *parameter_columns;
} iop_map;

/* How steps are taken: by the pair, by Rodas5P, or by either where it is better. */
typedef enum { IOP_ODE_AUTO, IOP_ODE_EXPLICIT, IOP_ODE_RODAS5P } iop_ode_method;

typedef struct iop_pair iop_pair;

typedef struct {
    iop_map rhs;
    iop_callback directional; /* (t, y, q, kt, k) -> derivative of the entries of f_y and f_p along (kt, k) */
    iop_callback variational; /* (t, y, q, S) -> f, S' in one; scalar NULL: from the entries of f_y and f_p */
    iop_callback third;       /* (t, y, q, u, v, kt, k, ku, kv) -> derivative of D2f[u, v] along all of that */
    iop_callback moments;     /* p -> t0, event times, switching times, one time of each periodic switch and then the
                                 period of each; their first and second derivatives */
    iop_callback breakpoints; /* p -> times at which steps end */
    iop_callback regimes;     /* (t, p) -> one number for each switch's regime, which is 1 where that is positive, else 0,
                                 and one for each periodic switch's, which is the floor of that */
    iop_callback surfaces;    /* (t, y, q) -> the same for each surface's regime; the last n_guards must not be crossed
                                 where there are derivatives */
    const iop_map *changes;   /* what the states become at t0 and at each event */
    const iop_map *outputs;   /* NULL: the states themselves */
    iop_matrix_shape shape;
    int64_t n, p, n_regimes, n_events, n_switches, n_periodic, n_surfaces, n_guards, n_breakpoints, n_outputs;
    int64_t order, max_steps;
    double rtol, max_step;
    const double *atol;
    iop_ode_method method;
    const iop_pair *pair;     /* the explicit method, or that of auto */
} iop_ode;

/* A member of iop_ode that Python sets by its name. */
typedef struct {
    const char *name;
    size_t offset;
} iop_ode_member;

#define IOP_ODE_MEMBER(member) {#member, offsetof(iop_ode, member)}

static const iop_ode_member iop_ode_functions[] = {
    IOP_ODE_MEMBER(directional), IOP_ODE_MEMBER(variational), IOP_ODE_MEMBER(third),    IOP_ODE_MEMBER(moments),
    IOP_ODE_MEMBER(breakpoints), IOP_ODE_MEMBER(regimes),     IOP_ODE_MEMBER(surfaces), {NULL, 0},
};
/* Those of type int64_t. */
static const iop_ode_member iop_ode_integers[] = {
    IOP_ODE_MEMBER(p),        IOP_ODE_MEMBER(n_switches),    IOP_ODE_MEMBER(n_periodic), IOP_ODE_MEMBER(n_surfaces),
    IOP_ODE_MEMBER(n_guards), IOP_ODE_MEMBER(n_breakpoints), IOP_ODE_MEMBER(order),      IOP_ODE_MEMBER(max_steps),
    {NULL, 0},
};
/* Those of type double. */
static const iop_ode_member iop_ode_reals[] = {IOP_ODE_MEMBER(rtol), IOP_ODE_MEMBER(max_step), {NULL, 0}};

/* Counters of one solve. */
typedef struct {
    int64_t steps, rejected, evaluations, factorisations, stiff_steps, switches;
} iop_ode_counts;

/* A system z' = F(t, z) as the steppers see it. */
typedef struct iop_flow iop_flow;
struct iop_flow {
    int64_t size;    /* doubles of z; there may be zeros at its end to fill a vector register */
    int64_t primary; /* the first so many are the states, which alone tell whether the system is stiff */
    const double *atol; /* of the states */
    double rtol;
    void (*evaluate)(iop_flow *flow, double t, const double *z, double *derivative);
    /* Evaluates F at (t, z) and keeps what a Rosenbrock step needs of its Jacobian there. */
    void (*linearise)(iop_flow *flow, double t, const double *z, double *derivative);
    /* Factorises diagonal I - F_z; 1 if that is singular. */
    int (*factorise)(iop_flow *flow, double diagonal);
    /* inverse(diagonal I - F_z) (r + weight F_t), in place. */
    void (*solve)(iop_flow *flow, double weight, double *r);
    /* result = F_z x for the states, at the point of the last linearise(). */
    void (*multiply)(iop_flow *flow, const double *x, double *result);
    /* Norm of an error relative to the tolerances at the larger of |a| and |b|: at most 1 is within them. */
    double (*norm)(iop_flow *flow, const double *error, const double *a, const double *b);
    iop_ode_counts *counts;
};

/* Norm of a vector of states in units of their tolerances at z: Euclidean, or the largest component where squares leave
 * the range of doubles, which is as good where only ratios of such norms are wanted. */
static inline double iop_scaled_length(const iop_flow *flow, const double *x, const double *z) {
    double sum = 0, largest = 0;
    for (int64_t i = 0; i < flow->primary; i++) {
        const double scale = flow->atol[i] + flow->rtol * fabs(z[i]), scaled = scale > 0 ? x[i] / scale : 0;
        sum += scaled * scaled;
        largest = fmax(largest, fabs(scaled));
    }
    return sum >= DBL_MIN && sum <= DBL_MAX ? sqrt(sum) : largest;
}

/* The flow of a problem and its sensitivities. */
typedef struct {
    iop_flow flow;
    const iop_ode *ode;
    int64_t p, pairs;  /* columns of S and of R; 0 where they are not wanted */
    double *point;     /* t, y, q, then directions: input of the callbacks */
    double *values;    /* output of `first` at the last point */
    double *base;      /* the same at the point of the last linearisation */
    double *base_point;
    const double *base_z;
    double *change;    /* output of `directional` */
    int64_t follows;   /* the regimes of surfaces are read off each point at which something is evaluated */
    double *surface_values;
    double *matrix, *row, *sums, *scale;
    int32_t *pivot;
    double *scales; /* 2 n, work of the factorisation */
} iop_ode_flow;

static inline const double *iop_map_jacobian(const iop_map *map, const double *values) { return values + 2 * map->n_rows; }

static inline const double *iop_map_parameter(const iop_map *map, const double *values) {
    return values + 2 * map->n_rows + map->n_entries;
}

/* Doubles that `first` of a map returns. */
static inline int64_t iop_map_first_size(const iop_map *map) {
    return 2 * map->n_rows + map->n_entries + map->n_parameter_entries;
}

/* result (n_rows, count) += J x, for x (columns of J, count). */
static inline void iop_map_multiply(const iop_map *map, const double *entries, const double *x, int64_t count,
                                    double *result) {
    for (int64_t k = 0; k < map->n_entries; k++)
        iop_subtract(x + map->columns[k] * count, -entries[k], result + map->rows[k] * count, count);
}

/* result (n_rows, columns) += entries of the derivative by the parameters, which are the first of the columns. */
static inline void iop_map_add_parameter(const iop_map *map, const double *entries, int64_t columns, double *result) {
    for (int64_t k = 0; k < map->n_parameter_entries; k++)
        result[map->parameter_rows[k] * columns + map->parameter_columns[k]] += entries[k];
}

/* Writes the direction (time, column a of S, e_a) of a callback that takes second derivatives. */
static inline void iop_direction(int64_t n, int64_t p, double time, const double *s, int64_t stride, int64_t a,
                                 double *direction) {
    direction[0] = time;
    for (int64_t i = 0; i < n; i++) direction[1 + i] = s[i * stride + a];
    memset(direction + 1 + n, 0, p * sizeof(double));
    if (a < p) direction[1 + n + a] = 1;
}

static inline int iop_finite(const double *x, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += x[i] - x[i];
    return sum == 0;
}

/* Regimes of the surfaces, among the constants of the point. */
static inline double *iop_surface_regimes(const iop_ode_flow *s) {
    return s->point + 1 + s->ode->n + s->ode->p + s->ode->n_switches + s->ode->n_periodic;
}

/* Sets the regimes of the surfaces to those of the point. */
static void iop_read_regimes(iop_ode_flow *s) {
    double *regimes = iop_surface_regimes(s);
    s->ode->surfaces.scalar(s->point, s->surface_values, s->ode->surfaces.ctx);
    for (int64_t k = 0; k < s->ode->n_surfaces; k++) regimes[k] = s->surface_values[k] > 0;
}

static inline void iop_set_point(iop_ode_flow *s, double t, const double *y) {
    s->point[0] = t;
    memcpy(s->point + 1, y, s->ode->n * sizeof(double));
    if (s->follows) iop_read_regimes(s);
}

/* S' and R' at the point and with the values of `first` there. */
static void iop_sensitivity_rates(iop_ode_flow *s, const double *values, const double *z, double *rate) {
    const iop_ode *ode = s->ode;
    const iop_map *f = &ode->rhs;
    const int64_t n = ode->n, p = s->p, width = 1 + n + p;
    const double *first = z + n, *jacobian = iop_map_jacobian(f, values);
    double *rate_first = rate + n, *rate_second = rate_first + n * p;
    memset(rate_first, 0, n * (p + s->pairs) * sizeof(double));
    iop_map_add_parameter(f, iop_map_parameter(f, values), p, rate_first);
    iop_map_multiply(f, jacobian, first, p, rate_first);
    if (s->pairs == 0) return;
    if (f->second.scalar != NULL) {
        double *u = s->point + 1 + n + p + ode->n_regimes, *v = u + width;
        int64_t column = 0;
        for (int64_t a = 0; a < p; a++) {
            iop_direction(n, p, 0, first, p, a, u);
            for (int64_t b = a; b < p; b++, column++) {
                iop_direction(n, p, 0, first, p, b, v);
                f->second.scalar(s->point, s->row, f->second.ctx);
                for (int64_t i = 0; i < n; i++) rate_second[i * s->pairs + column] = s->row[i];
            }
        }
    }
    iop_map_multiply(f, jacobian, first + n * p, s->pairs, rate_second);
}

static void iop_ode_evaluate(iop_flow *flow, double t, const double *z, double *rate) {
    iop_ode_flow *s = (iop_ode_flow *)flow;
    const iop_map *f = &s->ode->rhs;
    flow->counts->evaluations++;
    iop_set_point(s, t, z);
    if (s->p == 0) {
        f->value.scalar(s->point, rate, f->value.ctx);
        return;
    }
    if (s->ode->variational.scalar != NULL && s->pairs == 0) {
        memcpy(s->point + 1 + s->ode->n + s->ode->p + s->ode->n_regimes, z + s->ode->n,
               s->ode->n * s->p * sizeof(double));
        s->ode->variational.scalar(s->point, rate, s->ode->variational.ctx);
        return;
    }
    f->first.scalar(s->point, s->values, f->first.ctx);
    memcpy(rate, s->values, s->ode->n * sizeof(double));
    iop_sensitivity_rates(s, s->values, z, rate);
}

static void iop_ode_linearise(iop_flow *flow, double t, const double *z, double *rate) {
    iop_ode_flow *s = (iop_ode_flow *)flow;
    const iop_map *f = &s->ode->rhs;
    flow->counts->evaluations++;
    iop_set_point(s, t, z);
    f->first.scalar(s->point, s->base, f->first.ctx);
    memcpy(s->base_point, s->point, (1 + s->ode->n) * sizeof(double));
    s->base_z = z;
    memcpy(rate, s->base, s->ode->n * sizeof(double));
    if (s->p > 0) iop_sensitivity_rates(s, s->base, z, rate);
}

static int iop_ode_factorise(iop_flow *flow, double diagonal) {
    iop_ode_flow *s = (iop_ode_flow *)flow;
    const iop_map *f = &s->ode->rhs;
    const iop_matrix_shape *m = &s->ode->shape;
    const double *entries = iop_map_jacobian(f, s->base);
    flow->counts->factorisations++;
    memset(s->matrix, 0, m->n * iop_matrix_width(m) * sizeof(double));
    for (int64_t k = 0; k < f->n_entries; k++) iop_row(m, s->matrix, f->rows[k])[f->columns[k]] = -entries[k];
    for (int64_t i = 0; i < m->n; i++) iop_row(m, s->matrix, i)[i] += diagonal;
    return iop_factorise(m, s->matrix, s->pivot, s->scales);
}

/* The Jacobian of the whole flow is block lower triangular: the columns of S depend on the step of y through the
 * derivatives of f_y and f_p along it, those of R on both. */
static void iop_ode_solve(iop_flow *flow, double weight, double *r) {
    iop_ode_flow *s = (iop_ode_flow *)flow;
    const iop_ode *ode = s->ode;
    const iop_map *f = &ode->rhs;
    const int64_t n = ode->n, p = s->p, width = 1 + n + p;
    const double *first = s->base_z + n;
    double *r_first = r + n, *r_second = r_first + n * p, *k = s->point + 1 + n + ode->p + ode->n_regimes;
    for (int64_t i = 0; i < n; i++) r[i] += weight * s->base[n + i];
    iop_solve(&ode->shape, s->matrix, s->pivot, r, 1);
    if (p == 0) return;
    iop_set_point(s, s->base_point[0], s->base_point + 1);
    k[0] = weight;
    memcpy(k + 1, r, n * sizeof(double));
    ode->directional.scalar(s->point, s->change, ode->directional.ctx);
    iop_map_multiply(f, s->change, first, p, r_first);
    iop_map_add_parameter(f, s->change + f->n_entries, p, r_first);
    iop_solve(&ode->shape, s->matrix, s->pivot, r_first, p);
    if (s->pairs == 0) return;
    if (ode->third.scalar != NULL) {
        double *u = k, *v = u + width, *along = v + width, *ku = along + 1 + n, *kv = ku + n;
        int64_t column = 0;
        along[0] = weight;
        memcpy(along + 1, r, n * sizeof(double));
        for (int64_t a = 0; a < p; a++) {
            iop_direction(n, p, 0, first, p, a, u);
            for (int64_t i = 0; i < n; i++) ku[i] = r_first[i * p + a];
            for (int64_t b = a; b < p; b++, column++) {
                iop_direction(n, p, 0, first, p, b, v);
                for (int64_t i = 0; i < n; i++) kv[i] = r_first[i * p + b];
                ode->third.scalar(s->point, s->row, ode->third.ctx);
                for (int64_t i = 0; i < n; i++) r_second[i * s->pairs + column] += s->row[i];
            }
        }
    }
    iop_map_multiply(f, s->change, first + n * p, s->pairs, r_second);
    iop_solve(&ode->shape, s->matrix, s->pivot, r_second, s->pairs);
}

static void iop_ode_multiply(iop_flow *flow, const double *x, double *result) {
    iop_ode_flow *s = (iop_ode_flow *)flow;
    memset(result, 0, s->ode->n * sizeof(double));
    iop_map_multiply(&s->ode->rhs, iop_map_jacobian(&s->ode->rhs, s->base), x, 1, result);
}

/* Adds the squares of a block's errors, each relative to atol / (scale of its column) + rtol |z|, column by column. */
static inline void iop_add_squares(const iop_ode_flow *s, int64_t columns, const double *scale, const double *error,
                                   const double *a, const double *b, double *sums) {
    const double rtol = s->ode->rtol;
    for (int64_t i = 0; i < s->ode->n; i++) {
        const double atol = s->ode->atol[i];
        const int64_t row = i * columns;
        for (int64_t c = 0; c < columns; c++) {
            const double x = fabs(a[row + c]), y = fabs(b[row + c]);
            // What is smaller than every normal number is as good as zero: with atol = 0 there is no other measure.
            const double tolerance = atol * scale[c] + rtol * (x > y ? x : y) + DBL_MIN, e = error[row + c] / tolerance;
            sums[c] += e * e;
        }
    }
}

/* Largest root mean square over the states and over each column of the sensitivities, so that none hides another.  The
 * absolute tolerance of dy/dp is that of y in units of p, as in CVODES (A. C. Hindmarsh et al., ACM TOMS 31 (2005)). */
static double iop_ode_norm(iop_flow *flow, const double *error, const double *a, const double *b) {
    iop_ode_flow *s = (iop_ode_flow *)flow;
    const int64_t n = s->ode->n, p = s->p, columns = 1 + p + s->pairs;
    const int64_t second = n * (1 + p);
    double largest = 0;
    memset(s->sums, 0, columns * sizeof(double));
    iop_add_squares(s, 1, s->scale, error, a, b, s->sums);
    if (p > 0) iop_add_squares(s, p, s->scale + 1, error + n, a + n, b + n, s->sums + 1);
    if (s->pairs > 0)
        iop_add_squares(s, s->pairs, s->scale + 1 + p, error + second, a + second, b + second, s->sums + 1 + p);
    for (int64_t c = 0; c < columns; c++) {
        if (!(s->sums[c] <= DBL_MAX)) return INFINITY;
        if (s->sums[c] > largest) largest = s->sums[c];
    }
    return sqrt(largest / (n > 0 ? n : 1));
}

#endif
