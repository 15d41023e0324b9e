/* The Gauss-Kronrod pair of 10 and 21 points on one cell, and points between its nodes that are checked.
 *
 * The error estimate is that of QUADPACK (R. Piessens et al., QUADPACK (1983), routine QK21), for each of the N components
 * by itself.  Nodes see no peak between them, and an oscillation may look smooth on them.  So the polynomial through the
 * 21 values is compared with further ones: at three places between the nodes; instead of those at centers, where the
 * integrand may have a peak, if any are in the cell, and ever closer to those, for a peak may vanish in its middle; and
 * ever closer to an end of the range, where a boundary layer or a jump may hide before the first node.  Without centers
 * they cost little, as they fill up vectors.
 */
#ifndef IOP_INTEGRAL_KRONROD_H
#define IOP_INTEGRAL_KRONROD_H

#include "integral_rules.h"

enum { IOP_KRONROD = 21, IOP_BETWEEN = 3, IOP_NEAR_END = 4, IOP_NEAR_CENTER = 7, IOP_WATCHED_CENTERS = 2 };
enum { IOP_CHECKS = IOP_BETWEEN + 2 * IOP_NEAR_END + IOP_WATCHED_CENTERS * IOP_NEAR_CENTER };

/* Distances from a center, in units of a cell. */
static const double iop_center_distances[IOP_NEAR_CENTER] = {2e-2, -1.7e-3, 1.4e-4, -1.2e-5, 1e-6, -8e-8, 7e-9};

/* Points at which the polynomial through the nodes is checked. */
typedef struct {
    int64_t count, n_own;
    int64_t functional[IOP_CHECKS];    /* that is its value there; -1 for weights of its own, in order */
    double reach[IOP_CHECKS];          /* part of the cell that a difference there may be true of; 1 between the nodes */
    double own[IOP_BETWEEN + IOP_WATCHED_CENTERS * IOP_NEAR_CENTER][IOP_KRONROD];
} iop_checks;

/* Error of the 21 points: from its difference to the 10 points as in QUADPACK, and from the last Legendre coefficients.
 *
 * The difference is 0 for whatever is antisymmetric about the middle, and may be for other functions that the nodes do
 * not resolve.  Coefficients that fall off geometrically, as those of smooth functions do, lead to a far smaller second
 * estimate, for they are of degree 20 and the rule is exact to degree 31; those of a jump or of an unresolved oscillation
 * are large. */
static double iop_kronrod_error(double difference, double spread, double top) {
    double ratio = spread > 0 ? 200 * difference / spread : 0;
    if (spread > 0 && top > ratio * spread) ratio = top / spread;
    return ratio < 1 ? spread * ratio * sqrt(ratio) : spread;
}

/* Error that a difference to the polynomial through the nodes tells of, in units of the cell: what it may amount to in
 * its reach, or as in iop_kronrod_error the power 3/2 if that is smaller, as it is of smooth functions. */
static double iop_check_error(double difference, double reach, double spread) {
    const double smooth = difference < spread ? difference * sqrt(difference / spread) : difference;
    return reach * difference < smooth ? reach * difference : smooth;
}

/* Weights of the 21 values in the value at t, on (-1, 1), of the polynomial through them. */
static void iop_weigh_nodes(double t, double *weights) {
    double sum = 0;
    for (int64_t i = 0; i < IOP_KRONROD; i++) {
        const double node = i < 10 ? -iop_kronrod_nodes[i] : iop_kronrod_nodes[20 - i];
        if (t == node) {
            memset(weights, 0, IOP_KRONROD * sizeof(double));
            weights[i] = 1;
            return;
        }
        weights[i] = iop_barycentric_weights[i] / (t - node);
        sum += weights[i];
    }
    for (int64_t i = 0; i < IOP_KRONROD; i++) weights[i] /= sum;
}

/* Places t of centers inside a cell, at most `most`; returns how many. */
static int64_t iop_centers_inside(const iop_integral_work *w, const iop_cell *cell, int64_t most, double *t) {
    const iop_stretch *s = &w->stretches[cell->stretch];
    const double *centers = iop_centers(w);
    int64_t count = 0;
    for (int64_t k = 0; k < w->integral->n_centers && count < most; k++) {
        const int from_right = s->kind == IOP_FROM_RIGHT || (s->kind == IOP_FINITE && cell->side == IOP_RIGHT);
        const int64_t end = from_right ? s->right : s->left;
        const double x = s->kind == IOP_LINE ? centers[k] : from_right ? w->moments[end] - centers[k] : centers[k] - w->moments[end];
        const double place = iop_place_of(cell, x / s->length[0]);
        const int at_end = cell->map == IOP_DIRECT && place <= 0; /* of the stretch, which is looked at anyway */
        if (place >= cell->from && place <= cell->to && !at_end) t[count++] = place;
    }
    return count;
}

static void iop_add_end_checks(const iop_cell *cell, int end, double *t, iop_checks *checks) {
    const double width = cell->to - cell->from;
    for (int64_t j = 0; j < IOP_NEAR_END; j++) {
        const int64_t k = checks->count++;
        const double distance = width * iop_end_distances[j];
        t[k] = end == IOP_FROM ? cell->from + distance : cell->to - distance;
        checks->functional[k] = (end == IOP_FROM ? IOP_AT_LEFT : IOP_AT_RIGHT) + j;
        checks->reach[k] = j == 0 ? iop_edge_gap : iop_end_distances[j - 1];
    }
}

/* Adds a check at t with weights of its own. */
static void iop_add_check(const iop_cell *cell, double place, double reach, double *t, iop_checks *checks) {
    const double center = 0.5 * (cell->from + cell->to), half = 0.5 * (cell->to - cell->from);
    const int64_t k = checks->count++;
    t[k] = place;
    iop_weigh_nodes((place - center) / half, checks->own[checks->n_own++]);
    checks->functional[k] = -1;
    checks->reach[k] = reach;
}

/* Chooses the points of a cell that are checked. */
static void iop_place_checks(const iop_integral_work *w, const iop_cell *cell, double *t, iop_checks *checks) {
    const double width = cell->to - cell->from, center = 0.5 * (cell->from + cell->to);
    double centers[IOP_BETWEEN];
    const int64_t n_centers = iop_centers_inside(w, cell, IOP_BETWEEN, centers);
    int ends = cell->checked;
    checks->count = checks->n_own = 0;
    for (int64_t k = 0; k < n_centers; k++) iop_add_check(cell, centers[k], 1, t, checks);
    for (int64_t k = checks->count; k < IOP_BETWEEN; k = ++checks->count) {
        checks->functional[k] = IOP_AT_PLACES + k;
        checks->reach[k] = 1;
        t[k] = center + 0.5 * width * iop_check_places[k];
    }
    if (w->integral->inside != NULL) return;
    for (int64_t k = 0; k < n_centers && k < IOP_WATCHED_CENTERS; k++)
        for (int64_t j = 0; j < IOP_NEAR_CENTER; j++) {
            const double aside = width * iop_center_distances[j], place = centers[k] + aside;
            const int inside = place > cell->from && place < cell->to;
            const double reach = j == 0 ? 0.1 : 2 * fabs(iop_center_distances[j - 1]);
            iop_add_check(cell, inside ? place : centers[k] - aside, reach, t, checks);
        }
    if (cell->map == IOP_DIRECT) ends |= cell->side == IOP_BOTH ? IOP_FROM | IOP_TO : cell->from == 0 ? IOP_FROM : 0;
    if (ends & IOP_FROM) iop_add_end_checks(cell, IOP_FROM, t, checks);
    if (ends & IOP_TO) iop_add_end_checks(cell, IOP_TO, t, checks);
}

/* Error of a component that its checks tell of; `density` is G du/dt at the nodes and then at the checks. */
static double iop_error_of_checks(const iop_checks *checks, const double *density, const double *linear, double width, double spread) {
    double error = 0;
    for (int64_t k = 0, own = 0; k < checks->count; k++) {
        double foretold = 0;
        if (checks->functional[k] >= 0)
            foretold = linear[checks->functional[k]];
        else
            for (int64_t i = 0, n = own++; i < IOP_KRONROD; i++) foretold += checks->own[n][i] * density[i];
        const double difference = fabs(density[IOP_KRONROD + k] - foretold);
        const double tells = iop_check_error(width * difference, checks->reach[k], spread);
        if (!(tells <= error)) error = tells;
    }
    return error <= DBL_MAX ? error : INFINITY;
}

/* One component of the rule, from G du/dt at the nodes and checks of a cell of a given width. */
static void iop_sum_kronrod(iop_cell *cell, int64_t c, const iop_checks *checks, const double *density, double width) {
    const double half = 0.5 * width;
    double linear[IOP_FUNCTIONALS] = {0}, magnitude = 0, spread = 0;
    for (int64_t i = 0; i < IOP_KRONROD; i++)
        for (int64_t k = 0; k < IOP_FUNCTIONALS; k++) linear[k] += iop_functionals[i][k] * density[i];
    const double high = linear[IOP_HIGH], *top = linear + IOP_TOP;
    for (int64_t i = 0; i < IOP_KRONROD; i++) {
        magnitude += iop_functionals[i][IOP_HIGH] * fabs(density[i]);
        spread += iop_functionals[i][IOP_HIGH] * fabs(density[i] - 0.5 * high);
    }
    spread *= half;
    magnitude *= half;
    const double largest = fmax(fabs(top[0]), fmax(fabs(top[1]), fabs(top[2])));
    double error = iop_kronrod_error(half * fabs(high - linear[IOP_LOW]), spread, width * largest);
    const double unseen = iop_error_of_checks(checks, density, linear, width, spread);
    if (error < unseen) error = unseen;
    if (error < 50 * DBL_EPSILON * magnitude) error = 50 * DBL_EPSILON * magnitude;
    cell->integral[c] = half * high;
    cell->error[c] = error;
    cell->magnitude[c] = magnitude;
    cell->first[c] = linear[IOP_FIRST];
    cell->last[c] = linear[IOP_LAST];
}

#define IOP_CROWDED 1e-4

/* What rounding of the nodes does to the integral of a component whose G is given in a row of w->out: its variation times
 * the last digit of x, the end of the stretch plus a distance; a substitution crowds nodes at an end by which the integrand
 * is written, so that only the distance counts.  It does as well where nodes are crowded by bisection, at distances of less
 * than IOP_CROWDED of the end's magnitude: what is steep there is steep by the distance. */
static double iop_rounding_of_nodes(const iop_integral_work *w, const iop_cell *cell, const double *row) {
    const iop_stretch *s = &w->stretches[cell->stretch];
    const int64_t point = s->kind == IOP_LINE ? -1 : cell->side == IOP_RIGHT || s->kind == IOP_FROM_RIGHT ? s->right : s->left;
    const double end = point < 0 || cell->map != IOP_DIRECT ? 0 : fabs(w->moments[point] / s->length[0]);
    /* The exponent of a substitution is rounded, too. */
    const double exponent = cell->map == IOP_DIRECT ? 0 : fmax(fabs(log(w->away[0])), fabs(log(w->away[20])));
    double before = row[w->lanes[0]], sum = 0;
    for (int64_t i = 1; i < IOP_KRONROD; i++) {
        const double now = row[w->lanes[i]];
        sum += (fmin(end, w->away[i] / IOP_CROWDED) + w->away[i]) * fabs(now - before);
        before = now;
    }
    return DBL_EPSILON / 2 * (1 + 4 * exponent) * sum;
}

/* The Gauss-Kronrod pair between cell->from and cell->to. */
static void iop_gauss_kronrod(iop_integral_work *w, iop_cell *cell) {
    const double center = 0.5 * (cell->from + cell->to), half = 0.5 * (cell->to - cell->from);
    iop_checks checks;
    for (int64_t i = 0; i < IOP_KRONROD; i++)
        w->node[i] = center + (i < 10 ? -half : half) * iop_kronrod_nodes[i < 10 ? i : 20 - i];
    iop_place_checks(w, cell, w->node + IOP_KRONROD, &checks);
    w->subintervals++;
    iop_sample(w, cell, IOP_KRONROD + checks.count, w->node);
    iop_count_bad(w, IOP_KRONROD, &cell->n_undefined, &cell->n_infinite);
    if (cell->n_undefined + cell->n_infinite > 0) {
        memset(cell->integral, 0, IOP_CELL_ROWS * w->rows * sizeof(double));
        return;
    }
    for (int64_t c = 0; c < w->size; c++) {
        const double *row = w->out + c * IOP_NODE_ROW;
        double density[IOP_KRONROD + IOP_CHECKS];
        for (int64_t i = 0; i < IOP_KRONROD + checks.count; i++) density[i] = w->factor[i] * row[w->lanes[i]];
        iop_sum_kronrod(cell, c, &checks, density, cell->to - cell->from);
        cell->noise[c] = iop_rounding_of_nodes(w, cell, row);
    }
}

#endif
