/* Cells of the range and their substitutions, and the trapezoidal rule after a double exponential one.
 *
 * Double exponential: u = w / (1 + exp(pi sinh t)) from either end of (0, w), u = exp(pi/2 sinh t) for (0, oo) and
 * u = sinh(pi/2 sinh t) for the line; the trapezoidal sum in t converges exponentially whatever the singularities at
 * the ends are (H. Takahasi and M. Mori, Publ. RIMS Kyoto Univ. 9 (1974) 721).
 */
#ifndef IOP_INTEGRAL_RULES_H
#define IOP_INTEGRAL_RULES_H

#include "integral.h"
#include "integral_tables.h"

/* Substitutions u(t). */
typedef enum { IOP_DIRECT, IOP_TANH_SINH, IOP_EXP_SINH, IOP_SINH_SINH, IOP_LOGARITHMIC } iop_map_kind;

typedef enum { IOP_RULE_NONE, IOP_RULE_GAUSS_KRONROD, IOP_RULE_TRAPEZOID } iop_rule;

/* Where the distances of a cell's nodes are counted from. */
enum { IOP_LEFT = 0, IOP_RIGHT = 1, IOP_BOTH = 2 };

/* Ends of a cell, in `checked`. */
enum { IOP_FROM = 1, IOP_TO = 2 };

/* Vectors of N numbers in a cell. */
enum { IOP_CELL_ROWS = 8 };

/* A part of the range, with the integrals of the N components over it. */
struct iop_cell {
    int64_t stretch;
    iop_map_kind map;
    iop_rule rule;
    int side;
    double sign;       /* of the distances: -1 on the left half of a line */
    double width;      /* for IOP_TANH_SINH, u lies between 0 and this */
    double from, to;   /* range of t */
    double least, most; /* of t, beyond which the integrand is 0 or NaN where something overflows */
    int64_t depth, stuck, level;
    int open_low, open_high; /* the integrand does not fall off towards that end of t */
    int cut_off;             /* it is NaN there, at a distance that is no extreme */
    int n_undefined, n_infinite;
    int checked;       /* ends at which a Gauss-Kronrod cell looks closer, or that a trapezoidal rule was checked */
    double size;       /* of the error, in units of the tolerance */
    double *integral, *error, *magnitude;
    double *change, *older; /* between the last levels of the trapezoidal rule */
    double *noise;          /* what rounding of the nodes does to a Gauss-Kronrod cell */
    double *first, *last;   /* G du/dt at the ends of a Gauss-Kronrod cell, continued from inside */
};

static const double iop_half_pi = 1.57079632679489661923;

/* The nodes of the trapezoidal rule are not symmetric about the middle, or all that is antisymmetric would vanish, also
 * where it is not resolved. */
static const double iop_grid_offset = 0.15;

/* Values that are smaller than the largest by this factor count for nothing. */
#define IOP_NOTHING 1e-60

/* Range of t that doubles allow. */
static inline double iop_map_extent(iop_map_kind map) { return map == IOP_EXP_SINH ? 6.5 : 6; }

/* What a component is: of which expression, and which derivative, 0 for the value; in the order of a length's. */
typedef struct {
    int64_t expression, derivative;
} iop_component;

static inline iop_component iop_component_of(const iop_integral_work *w, int64_t c) {
    const int64_t n = w->integral->n, first = c - n, second = first - n * w->first;
    if (first < 0) return (iop_component){c, 0};
    if (second < 0) return (iop_component){first / w->first, 1 + first % w->first};
    return (iop_component){second / w->second, 1 + w->first + second % w->second};
}

/* Distance at t, du/dt, and the end that the distance is counted from. */
static int iop_map_node(const iop_cell *cell, double t, double *distance, double *factor) {
    if (cell->map == IOP_DIRECT) {
        const int right = cell->side == IOP_RIGHT || (cell->side == IOP_BOTH && t >= 0.5);
        *distance = cell->side == IOP_BOTH && right ? 1 - t : cell->sign * t;
        *factor = 1;
        return right;
    }
    if (cell->map == IOP_TANH_SINH) {
        const double part = 1 / (1 + exp(2 * iop_half_pi * sinh(fabs(t))));
        const int near_other = t >= 0;
        *factor = cell->width * part * (1 - part) * 2 * iop_half_pi * cosh(t);
        *distance = cell->sign * cell->width * (near_other && cell->side != IOP_BOTH ? 1 - part : part);
        return cell->side == IOP_BOTH ? near_other : cell->side;
    }
    if (cell->map == IOP_LOGARITHMIC) {
        *factor = cell->width * exp(t);
        *distance = cell->sign * *factor;
        return cell->side;
    }
    const double exponent = iop_half_pi * sinh(t);
    if (cell->map == IOP_EXP_SINH) {
        *distance = cell->sign * exp(exponent);
        *factor = iop_half_pi * cosh(t) * fabs(*distance);
    } else {
        *distance = sinh(exponent);
        *factor = iop_half_pi * cosh(t) * cosh(exponent);
    }
    return cell->side;
}

/* The t of a cell's substitution at a signed distance u; NaN if there is none. */
static double iop_place_of(const iop_cell *cell, double u) {
    const double at = cell->sign * u;
    if (cell->map == IOP_DIRECT) return at;
    if (cell->map == IOP_SINH_SINH) return asinh(asinh(u) / iop_half_pi);
    if (cell->map == IOP_LOGARITHMIC) return at > 0 ? log(at / cell->width) : NAN;
    if (cell->map == IOP_EXP_SINH) return at > 0 ? asinh(log(at) / iop_half_pi) : NAN;
    const double part = at / cell->width;
    return part > 0 && part < 1 ? asinh(log(part / (1 - part)) / (2 * iop_half_pi)) : NAN;
}

/* Derivatives that are NaN where the value itself is nothing beside the largest one count as 0.
 *
 * exp(a x)/(1 + exp(a x))^2 is infinity over infinity long after 1/(1 + exp(a x)) has become negligible: what overflows
 * is the formula.  A derivative is the value times that of its logarithm, and it would take a logarithm that changes by
 * 1e50 for one of these to count.  Whether the values vanish because all do is not known where the largest is 0. */
static void iop_mend_derivatives(iop_integral_work *w, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        for (int64_t c = w->integral->n; c < w->size; c++) {
            const int64_t e = iop_component_of(w, c).expression;
            const double value = fabs(w->factor[i] * w->out[e * IOP_NODE_ROW + w->lanes[i]]);
            if (value < IOP_NOTHING * w->largest[e] && isnan(w->out[c * IOP_NODE_ROW + w->lanes[i]]))
                w->out[c * IOP_NODE_ROW + w->lanes[i]] = 0;
        }
}

/* Keeps the largest values, and mends derivatives if any in the lanes before `next` is not finite. */
static void iop_look_at_derivatives(iop_integral_work *w, int64_t count, int64_t next) {
    int bad = 0;
    for (int64_t e = 0; e < w->integral->n; e++)
        for (int64_t i = 0; i < count; i++) {
            const double value = fabs(w->factor[i] * w->out[e * IOP_NODE_ROW + w->lanes[i]]);
            if (value > w->largest[e] && value <= DBL_MAX) w->largest[e] = value;
        }
    for (int64_t c = w->integral->n; c < w->size; c++) {
        const double *row = w->out + c * IOP_NODE_ROW;
        for (int64_t i = 0; i < next; i++) bad |= !(fabs(row[i]) <= 1e300);
    }
    if (bad) iop_mend_derivatives(w, count);
}

/* G at t[i] of a cell, at most 48 of them: sets w->factor[i], and w->lanes[i], the lane of each in w->out; and, where
 * the t increase, w->distance[i]. */
static void iop_sample(iop_integral_work *w, const iop_cell *cell, int64_t count, const double *t) {
    double right[48];
    int64_t n_left = 0, n_right = 0;
    for (int64_t i = 0; i < count; i++) {
        double distance;
        if (iop_map_node(cell, t[i], &distance, &w->factor[i]) == IOP_LEFT) {
            w->lanes[i] = n_left;
            w->distance[n_left++] = distance;
        } else {
            w->lanes[i] = -1 - n_right;
            right[n_right++] = distance;
        }
        w->away[i] = fabs(distance);
    }
    memcpy(w->distance + n_left, right, n_right * sizeof(double));
    int64_t next = iop_evaluate(w, cell->stretch, 0, n_left, w->distance, 0);
    for (int64_t i = 0; i < count; i++)
        if (w->lanes[i] < 0) w->lanes[i] = next - 1 - w->lanes[i];
    next = iop_evaluate(w, cell->stretch, 1, n_right, w->distance + n_left, next);
    if (w->size > w->integral->n) iop_look_at_derivatives(w, count, next);
}

/* Nodes at which some component is no finite number: how many NaN, and how many infinite. */
static void iop_count_bad(iop_integral_work *w, int64_t count, int *undefined, int *infinite) {
    *undefined = *infinite = 0;
    for (int64_t i = 0; i < count; i++) {
        int bad = 0;
        for (int64_t c = 0; c < w->size; c++) {
            const double value = w->out[c * IOP_NODE_ROW + w->lanes[i]] * w->factor[i];
            if (!isfinite(value)) bad |= isnan(value) ? 1 : 2;
        }
        *undefined += (bad & 1) != 0;
        *infinite += bad == 2;
    }
}

/* First of `count` nodes begin + i step that is inside a cell's least and most t, and how many are. */
static int64_t iop_nodes_inside(const iop_cell *cell, double begin, double step, int64_t *count) {
    int64_t skipped = 0;
    while (*count > 0 && begin + skipped * step < cell->least) {
        skipped++;
        --*count;
    }
    while (*count > 0 && begin + (skipped + *count - 1) * step > cell->most) --*count;
    return skipped;
}

/* Adds the nodes first, first + step, ... < stop (or = stop) of the trapezoidal rule to sums of G du/dt and |G du/dt|. */
static void iop_add_nodes(iop_integral_work *w, iop_cell *cell, double first, double step, int64_t count,
                          double *sum, double *magnitude) {
    first += step * iop_nodes_inside(cell, first, step, &count);
    for (int64_t begin = 0; begin < count; begin += 48) {
        const int64_t n = count - begin < 48 ? count - begin : 48;
        int undefined, infinite;
        for (int64_t i = 0; i < n; i++) w->node[i] = first + (begin + i) * step;
        iop_sample(w, cell, n, w->node);
        iop_count_bad(w, n, &undefined, &infinite);
        cell->n_undefined += undefined;
        cell->n_infinite += infinite;
        for (int64_t c = 0; c < w->size; c++) {
            const double *row = w->out + c * IOP_NODE_ROW;
            for (int64_t i = 0; i < n; i++) {
                const double term = w->factor[i] * row[w->lanes[i]];
                sum[c] += term;
                magnitude[c] += fabs(term);
            }
        }
    }
}

/* Error of a trapezoidal sum from its last three changes, all relative to the integral of |G|.
 *
 * Where each change is far smaller than the one before, convergence is quadratic and the error far below the last one:
 * a power of 3/2 is claimed.  Otherwise, at a jump or a kink, the changes are erratic, and none is trusted to be small. */
static double iop_trapezoid_error(double now, double earlier, double first) {
    if (now < earlier * sqrt(earlier) && earlier < first * sqrt(first)) return now * sqrt(now);
    return fmax(now, fmax(0.1 * earlier, 0.01 * first));
}

/* Halves the step of the trapezoidal rule and estimates the error anew. */
static void iop_refine_trapezoid(iop_integral_work *w, iop_cell *cell) {
    const double step = ldexp(0.5, -(int)++cell->level);
    const int64_t count = (int64_t)((cell->to - cell->from) / (2 * step) + 0.5);
    double *sum = w->scratch, *magnitude = sum + w->size;
    memset(sum, 0, 2 * w->size * sizeof(double));
    w->subintervals++;
    iop_add_nodes(w, cell, cell->from + step, 2 * step, count, sum, magnitude);
    for (int64_t c = 0; c < w->size; c++) {
        const double before = cell->integral[c], size = 0.5 * cell->magnitude[c] + step * magnitude[c];
        const double after = 0.5 * before + step * sum[c], change = fabs(after - before);
        const double unit = size > DBL_MIN ? 1 / size : 0; /* what is smaller has no digits */
        cell->error[c] = size * iop_trapezoid_error(unit * change, unit * cell->change[c], unit * cell->older[c]);
        if (cell->error[c] < 50 * DBL_EPSILON * size) cell->error[c] = 50 * DBL_EPSILON * size;
        cell->integral[c] = after;
        cell->magnitude[c] = size;
        cell->older[c] = cell->change[c];
        cell->change[c] = change;
    }
}

/* Whether a node of the coarsest trapezoidal rule counts: 1 if it does, 0 if all of its terms are negligible beside the
 * sums of w->scratch, -1 if one is no number. */
static int iop_node_counts(const iop_integral_work *w, int64_t i) {
    int counts = 0;
    for (int64_t c = 0; c < w->size; c++) {
        const double term = w->factor[i] * w->out[c * IOP_NODE_ROW + w->lanes[i]];
        if (!isfinite(term)) return -1;
        counts |= fabs(term) > 1e-17 * w->scratch[c];
    }
    return counts;
}

/* Whether what lies beyond node i, at node `beyond`, is nothing but the end of what doubles can express: 0 or NaN next to
 * a term that counts, where squares of the distance overflow. */
static int iop_is_overflow(const iop_integral_work *w, int64_t i, int64_t beyond) {
    if (fabs(w->distance[i]) < 1e40) return 0;
    for (int64_t c = 0; c < w->size; c++)
        if (w->factor[beyond] * w->out[c * IOP_NODE_ROW + w->lanes[beyond]] != 0) return 0;
    return 1;
}

/* Whether node i is NaN, at a distance at which nothing overflows. */
static int iop_is_cut_off(const iop_integral_work *w, int64_t i) {
    int undefined = 0;
    for (int64_t c = 0; c < w->size; c++) undefined |= isnan(w->out[c * IOP_NODE_ROW + w->lanes[i]]);
    return undefined && fabs(w->distance[i]) > 1e-40 && fabs(w->distance[i]) < 1e40;
}

/* Looks between the last node that counts and the next one, which is NaN, whether the integrand falls off before that:
 * sets *limit to where it has, and returns 1, if so.  `direction` is 1 or -1. */
static int iop_falls_off_between(iop_integral_work *w, iop_cell *cell, double t, double direction, double *limit) {
    double nodes[31];
    for (int64_t i = 0; i < 31; i++) nodes[i] = t + direction * (direction > 0 ? i + 1 : 31 - i) / 64;
    iop_sample(w, cell, 31, nodes);
    for (int64_t j = 0; j < 31; j++) {
        const int64_t i = direction > 0 ? j : 30 - j;
        const int counts = iop_node_counts(w, i);
        if (counts < 0) return 0;
        if (counts > 0) continue;
        *limit = nodes[i];
        return 1;
    }
    return 0;
}

/* The nodes of the coarsest rule between which the integrand counts. */
typedef struct {
    int64_t count;       /* of all nodes */
    int64_t first, last; /* that are numbers */
    int64_t low, high;   /* that count; -1 if none does */
} iop_node_range;

static iop_node_range iop_find_range(iop_integral_work *w, int64_t count) {
    iop_node_range range = {count, -1, -1, -1, -1};
    memset(w->scratch, 0, w->size * sizeof(double));
    for (int64_t i = 0; i < count; i++)
        for (int64_t c = 0; c < w->size; c++) {
            const double term = fabs(w->factor[i] * w->out[c * IOP_NODE_ROW + w->lanes[i]]);
            if (isfinite(term)) w->scratch[c] += term;
        }
    for (int64_t i = 0; i < count; i++) {
        const int counts = iop_node_counts(w, i);
        if (counts < 0) continue;
        if (range.first < 0) range.first = i;
        range.last = i;
        if (counts == 0) continue;
        if (range.low < 0) range.low = i;
        range.high = i;
    }
    return range;
}

/* Sums over nodes from ... to, and the terms at open ends in cell->older (low) and cell->change (high). */
static void iop_sum_range(iop_integral_work *w, iop_cell *cell, int64_t from, int64_t to) {
    memset(cell->integral, 0, IOP_CELL_ROWS * w->rows * sizeof(double));
    for (int64_t i = from; i <= to; i++) {
        const int bad = iop_node_counts(w, i) < 0;
        int undefined = 0;
        for (int64_t c = 0; c < w->size; c++) {
            const double term = w->factor[i] * w->out[c * IOP_NODE_ROW + w->lanes[i]];
            undefined |= isnan(term);
            if (bad) continue;
            cell->integral[c] += 0.5 * term;
            cell->magnitude[c] += 0.5 * fabs(term);
            if (i == from && cell->open_low) cell->older[c] = fabs(term);
            if (i == to && cell->open_high) cell->change[c] = fabs(term);
        }
        cell->n_undefined += bad && undefined;
        cell->n_infinite += bad && !undefined;
    }
}

/* Starts the trapezoidal rule of a cell with step 1/2, and finds the range of t outside which nothing counts.
 *
 * Beyond that range the integrand may be NaN, where infinity meets 0.  What is cut off at an end that still counts is
 * about its last term, for the terms fall double exponentially if they fall at all: w->tail holds it.
 * Returns whether any node is a number. */
static int iop_start_trapezoid(iop_integral_work *w, iop_cell *cell) {
    const double extent = iop_map_extent(cell->map);
    const int64_t count = (int64_t)(4 * extent + 0.5);
    cell->level = 0;
    cell->n_undefined = cell->n_infinite = 0;
    w->subintervals++;
    for (int64_t i = 0; i < count; i++) w->node[i] = 0.5 * i - extent + iop_grid_offset;
    iop_sample(w, cell, count, w->node);
    const iop_node_range r = iop_find_range(w, count);
    if (r.first < 0) return 0;
    const int nan_low = r.low == r.first && r.first > 0, nan_high = r.high == r.last && r.last + 1 < count;
    cell->open_low = r.low >= 0 && (r.low == r.first || iop_is_overflow(w, r.low, r.low - 1));
    cell->open_high = r.high >= 0 && (r.high == r.last || iop_is_overflow(w, r.high, r.high + 1));
    cell->cut_off = (nan_low && iop_is_cut_off(w, r.first - 1)) || (nan_high && iop_is_cut_off(w, r.last + 1));
    const int64_t from = r.low < 0 ? r.first : r.low - !cell->open_low, to = r.low < 0 ? r.last : r.high + !cell->open_high;
    iop_sum_range(w, cell, from, to);
    cell->from = w->node[from];
    cell->to = w->node[to];
    cell->least = -INFINITY;
    cell->most = INFINITY;
    if (nan_low && iop_falls_off_between(w, cell, cell->from, -1, &cell->least)) {
        cell->open_low = 0;
        cell->from -= 0.5;
    }
    if (nan_high && iop_falls_off_between(w, cell, cell->to, 1, &cell->most)) {
        cell->open_high = 0;
        cell->to += 0.5;
    }
    cell->cut_off &= cell->open_low || cell->open_high;
    for (int64_t c = 0; c < w->size; c++) {
        w->tail[c] = (cell->open_low ? cell->older[c] : 0) + (cell->open_high ? cell->change[c] : 0);
        cell->older[c] = cell->change[c] = 0;
    }
    return 1;
}

#endif
