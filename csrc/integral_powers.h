/* Ends of algebraic order that are too slow for doubles: x^-0.99 at 0, or (1 + x)^-1.05 towards infinity.
 *
 * With u = w exp(-s) towards 0, or w exp(s) towards infinity, the integrand is g(s) = G |du/ds|, which is C exp(-b s) in
 * the end, with a small b.  Doubles reach to about s = 700, where the rest may be more than the tolerance.  It is C
 * exp(-b S)/b behind S, where C, b and their derivatives follow from values at three equally spaced s: the logarithm of g
 * and the derivatives of that are linear in s.  Where they are not, as those of 1/(s log s) or of an oscillation, nothing
 * is extrapolated.  What lies before S is integrated in s.
 */
#ifndef IOP_INTEGRAL_POWERS_H
#define IOP_INTEGRAL_POWERS_H

#include "integral_adaptive.h"

/* Places S that are tried, the largest first: at some, squares of the distance or higher powers leave the range of doubles. */
enum { IOP_N_REACHES = 5 };
static const double iop_reaches[IOP_N_REACHES] = {690, 340, 220, 165, 110};

/* The smallest exponent b, and how exactly logarithms must be linear. */
#define IOP_LEAST_EXPONENT 1e-7
#define IOP_LINEAR 1e-13

/* How well the line of a derivative must agree with what it is at the least reach. */
#define IOP_AGREEMENT 1e-3

/* One end of a cell in logarithms: values of g and its derivatives at S, S - step, S - 2 step. */
typedef struct {
    double reach, step;
    const double *g[3]; /* N numbers each */
} iop_power_end;

/* Samples an end; `outward` is 1 towards infinity, -1 towards 0.  Into memory of 3 N numbers. */
static void iop_sample_end(iop_integral_work *w, const iop_cell *cell, int outward, double reach, double *memory, iop_power_end *end) {
    double nodes[3];
    end->reach = reach;
    end->step = 0.1 * reach;
    for (int64_t i = 0; i < 3; i++) nodes[i] = outward * (reach - i * end->step);
    iop_sample(w, cell, 3, nodes);
    for (int64_t i = 0; i < 3; i++) {
        end->g[i] = memory + i * w->size;
        for (int64_t c = 0; c < w->size; c++) memory[i * w->size + c] = w->factor[i] * w->out[c * IOP_NODE_ROW + w->lanes[i]];
    }
}

/* Value at S, and slope downwards, of what is linear at the three places; `scale` is the size of what cancels in it. */
static int iop_take_line(const iop_power_end *end, double at, double before, double earlier, double scale, double *slope) {
    *slope = (earlier - at) / (2 * end->step);
    return fabs(at - 2 * before + earlier) <= IOP_LINEAR * (scale + fabs(at) + fabs(before) + fabs(earlier));
}

/* Whether a line agrees with the value `near` at a smaller reach; `scale` is the size of what cancels in it.  Formulas of derivatives may overflow on the way, and
 * lose some of their terms or all: that of 1/(1 + x^a) by a does where (1 + x^a)^2 is infinite, and 0 is a line as well. */
static int iop_agrees(const iop_power_end *end, double at, double slope, double reach, double near, double scale) {
    return fabs(at + slope * (end->reach - reach) - near) <= IOP_AGREEMENT * fabs(near) + 1000 * IOP_LINEAR * (scale + fabs(at));
}

/* Whether a component is nothing long before the end, from values at the least reach and at three places that are not far
 * out. */
static int iop_falls_to_nothing(const iop_integral_work *w, int64_t c, const iop_power_end *far, const iop_power_end *begin) {
    double largest = 0, before = INFINITY;
    for (int64_t i = 0; i < 3; i++) largest = fmax(largest, fabs(begin->g[i][c]));
    for (int64_t i = 2; i >= 0; i--) {
        const double now = fabs(far->g[i][c]);
        if (!(now <= 1e-25 * largest && now <= before && largest <= DBL_MAX)) return 0;
        before = now;
    }
    return 1;
}

/* Whether an expression and its derivatives are all nothing long before the end: then it is no power with a small
 * exponent. */
static int iop_all_fall_to_nothing(const iop_integral_work *w, int64_t e, const iop_power_end *far, const iop_power_end *begin) {
    for (int64_t c = 0; c < w->size; c++)
        if (iop_component_of(w, c).expression == e && !iop_falls_to_nothing(w, c, far, begin)) return 0;
    return 1;
}

/* Integral of one expression and its derivatives behind S, added to a cell; 0 if it is no power there, or not the one that
 * it is at the least reach. */
static int iop_add_power(const iop_integral_work *w, const iop_power_end *end, const iop_power_end *near, const iop_power_end *begin,
                         int64_t e, iop_cell *tail) {
    const int64_t n = w->integral->n, d = w->first;
    const double *g = end->g[0], *g1 = end->g[1], *g2 = end->g[2];
    double b;
    if (!(g[e] / g1[e] > 0 && g1[e] / g2[e] > 0) || !isfinite(g2[e] / g[e])) return 0;
    if (!iop_take_line(end, 0, log(g1[e] / g[e]), log(g2[e] / g[e]), 1, &b) || !(b > IOP_LEAST_EXPONENT)) return 0;
    const double rest = g[e] / b, uncertain = 1e-14 / (end->step * b) + 1e-14;
    tail->integral[e] += rest;
    tail->error[e] += fabs(rest) * uncertain;
    tail->magnitude[e] += fabs(rest);
    for (int64_t a = 0; a < d; a++) {
        const int64_t c = n + e * d + a;
        double slope;
        if (iop_falls_to_nothing(w, c, near, begin)) continue;
        if (!iop_take_line(end, g[c] / g[e], g1[c] / g1[e], g2[c] / g2[e], 0, &slope)) return 0;
        if (!iop_agrees(end, g[c] / g[e], slope, near->reach, near->g[0][c] / near->g[0][e], 0)) return 0;
        const double size = fabs(rest) * (fabs(g[c] / g[e]) + fabs(slope / b));
        tail->integral[c] += rest * (g[c] / g[e] - slope / b);
        tail->error[c] += 2 * size * uncertain;
        tail->magnitude[c] += size;
    }
    for (int64_t a = 0, ab = 0; a < d && w->second > 0; a++)
        for (int64_t k = a; k < d; k++, ab++) {
            const int64_t ca = n + e * d + a, ck = n + e * d + k, c = n * (1 + d) + e * w->second + ab;
            const double ra = g[ca] / g[e], rk = g[ck] / g[e], q = g[c] / g[e] - ra * rk;
            const double q1 = g1[c] / g1[e] - g1[ca] / g1[e] * (g1[ck] / g1[e]), q2 = g2[c] / g2[e] - g2[ca] / g2[e] * (g2[ck] / g2[e]);
            const double cancels = fabs(ra * rk) + fabs(g[c] / g[e]);
            const double slope_a = (g2[ca] / g2[e] - ra) / (2 * end->step), slope_k = (g2[ck] / g2[e] - rk) / (2 * end->step);
            double slope;
            if (iop_falls_to_nothing(w, c, near, begin)) continue;
            if (!iop_take_line(end, q, q1, q2, cancels, &slope)) return 0;
            const double *h = near->g[0], there = h[c] / h[e] - h[ca] / h[e] * (h[ck] / h[e]);
            if (!iop_agrees(end, q, slope, near->reach, there, cancels)) return 0;
            const double la = ra - slope_a / b, lk = rk - slope_k / b;
            const double size = fabs(rest) * ((fabs(ra) + fabs(slope_a / b)) * (fabs(rk) + fabs(slope_k / b)) + cancels + fabs(slope / b));
            tail->integral[c] += rest * (la * lk + q - slope / b + slope_a * slope_k / (b * b));
            tail->error[c] += 4 * size * uncertain;
            tail->magnitude[c] += size;
        }
    return 1;
}

/* Integral behind one open end of a cell in logarithms, into a further cell: sets *reach to where it begins.  Returns 0 if
 * some expression is no power there. */
static int iop_add_power_end(iop_integral_work *w, int64_t k, int outward, double *reach, double *memory) {
    const int64_t other = iop_new_cell(w, w->cells[k].stretch);
    if (other < 0) return 0;
    iop_power_end end, near, begin;
    iop_sample_end(w, &w->cells[k], outward, iop_reaches[IOP_N_REACHES - 1], memory + 3 * w->size, &near);
    iop_sample_end(w, &w->cells[k], outward, 10, memory + 6 * w->size, &begin);
    for (int64_t r = 0; r < IOP_N_REACHES; r++) {
        iop_cell *tail = &w->cells[other];
        int fits = 1;
        memset(tail->integral, 0, IOP_CELL_ROWS * w->rows * sizeof(double));
        iop_sample_end(w, &w->cells[k], outward, iop_reaches[r], memory, &end);
        for (int64_t e = 0; e < w->integral->n && fits; e++) {
            if (iop_all_fall_to_nothing(w, e, &near, &begin)) continue;
            fits = iop_add_power(w, &end, &near, &begin, e, tail);
        }
        for (int64_t c = 0; c < w->size; c++) fits &= isfinite(tail->integral[c]) != 0;
        if (!fits) continue;
        tail->rule = IOP_RULE_NONE;
        *reach = iop_reaches[r];
        w->extrapolated++;
        return 1;
    }
    return 0;
}

/* log of a distance at t of a cell's present substitution, in units of a width. */
static double iop_log_distance(const iop_cell *cell, double t, double width) {
    double distance, factor;
    iop_map_node(cell, t, &distance, &factor);
    return log(fabs(distance) / width);
}

/* A cell in logarithms from one end of a stretch outwards, which replaces cell k; what is not open ends at from, to. */
static int iop_begin_logarithmic(iop_integral_work *w, int64_t k, double from, double to, int open_low, int open_high) {
    double *memory = malloc(9 * w->size * sizeof(double)), low = -from, high = to;
    if (memory == NULL) return w->out_of_memory = 1, -1;
    w->cells[k].map = IOP_LOGARITHMIC;
    const int fits = (!open_low || iop_add_power_end(w, k, -1, &low, memory)) && (!open_high || iop_add_power_end(w, k, 1, &high, memory));
    free(memory);
    if (w->out_of_memory) return -1;
    if (!fits) return IOP_DIVERGENT;
    iop_cell *cell = &w->cells[k];
    cell->from = -low;
    cell->to = high;
    cell->least = -INFINITY;
    cell->most = INFINITY;
    return iop_divide_trapezoid(w, k, 8);
}

/* Goes on in logarithms from the ends of a trapezoidal rule that does not fall off, if the integrand is a power there;
 * IOP_DIVERGENT if it is not, or if it is one that has no integral.  Then the cell is as it was. */
static int iop_begin_powers(iop_integral_work *w, int64_t k) {
    const iop_cell kept = w->cells[k];
    const int64_t n_cells = w->n_cells;
    int status = IOP_DIVERGENT;
    if (w->integral->inside != NULL || kept.cut_off) return status;
    if (kept.map == IOP_EXP_SINH) {
        status = iop_begin_logarithmic(w, k, iop_log_distance(&kept, kept.from, 1), iop_log_distance(&kept, kept.to, 1), kept.open_low, kept.open_high);
    } else if (kept.map == IOP_TANH_SINH && kept.side != IOP_BOTH) {
        if (!kept.open_high) status = iop_begin_logarithmic(w, k, 0, 0, 1, 0);
    } else {
        const int64_t other = iop_new_cell(w, kept.stretch);
        if (other < 0) return -1;
        iop_cell *a = &w->cells[k], *b = &w->cells[other];
        const int line = kept.map == IOP_SINH_SINH;
        a->side = b->side = IOP_LEFT;
        if (line) {
            b->sign = -1;
        } else {
            b->side = IOP_RIGHT;
            a->width = b->width = 0.5;
        }
        const double right = line ? iop_log_distance(&kept, kept.to, 1) : 0, left = line ? iop_log_distance(&kept, kept.from, 1) : 0;
        status = iop_begin_logarithmic(w, k, -80, right, !line && kept.open_low, line && kept.open_high);
        if (status == IOP_CONVERGED)
            status = iop_begin_logarithmic(w, other, -80, left, !line && kept.open_high, line && kept.open_low);
    }
    if (status == IOP_DIVERGENT) {
        w->n_cells = n_cells;
        iop_set_cell(w, k, &kept);
    }
    return status;
}

#endif
