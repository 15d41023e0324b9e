/* What the rules do not see by themselves, looked for when all errors seem small enough: peaks, jumps between cells, and
 * what one of two neighbouring cells has seen and the other not.
 */
#ifndef IOP_INTEGRAL_UNSEEN_H
#define IOP_INTEGRAL_UNSEEN_H

#include "integral_adaptive.h"

/* Lengths of cells, in units of a stretch, of which the shorter ask for the longer to be divided. */
#define IOP_NARROW 0.04
#define IOP_WIDE 0.07

/* A cell that is so many times as long as its neighbour looks closer at their common end. */
#define IOP_MUCH_LONGER 12

/* Whether a value is exactly 0 that has no reason to be: sets the size of each cell in question to 1, of others to 0. */
static int iop_may_have_missed_a_peak(iop_integral_work *w) {
    int missed = 0;
    for (int64_t k = 0; k < w->n_cells; k++) w->cells[k].size = 0;
    for (int64_t i = 0; i < w->integral->n; i++) {
        if (w->magnitude[i] > 0) continue;
        for (int64_t k = 0; k < w->n_cells; k++) {
            iop_cell *cell = &w->cells[k];
            const iop_stretch *s = &w->stretches[cell->stretch];
            if (cell->rule == IOP_RULE_NONE || s->vanishes[i] == 1) continue;
            cell->size = 1;
            missed = 1;
        }
    }
    return missed;
}

/* Whether one cell ends where another one begins, or both end in the middle of a stretch. */
static int iop_are_neighbours(const iop_cell *a, const iop_cell *b) {
    if (a->rule != IOP_RULE_GAUSS_KRONROD || b->rule != IOP_RULE_GAUSS_KRONROD) return 0;
    if (a->stretch != b->stretch || a->map != b->map || a->sign != b->sign || a->width != b->width) return 0;
    if (a->side == b->side) return a->to == b->from;
    return a->map == IOP_DIRECT && a->side == IOP_LEFT && b->side == IOP_RIGHT && a->to == 0.5 && b->to == 0.5;
}

static int iop_sign_of(double difference) { return (difference > 0) - (difference < 0); }

/* Order of two cells: by stretch and substitution, and then by place from left to right. */
static int iop_compare_cells(const void *first, const void *second) {
    const iop_cell *a = *(iop_cell *const *)first, *b = *(iop_cell *const *)second;
    if (a->stretch != b->stretch) return a->stretch < b->stretch ? -1 : 1;
    if (a->map != b->map) return a->map < b->map ? -1 : 1;
    if (a->sign != b->sign) return iop_sign_of(a->sign - b->sign);
    if (a->width != b->width) return iop_sign_of(a->width - b->width);
    if (a->side != b->side) return a->side < b->side ? -1 : 1;
    return iop_sign_of(a->side == IOP_RIGHT ? b->from - a->from : a->from - b->from);
}

/* Puts the Gauss-Kronrod cells in order, so that neighbours follow each other: there may be thousands of cells, and too
 * many pairs of them. */
static void iop_order_cells(iop_integral_work *w) {
    w->n_ordered = 0;
    for (int64_t k = 0; k < w->n_cells; k++)
        if (w->cells[k].rule == IOP_RULE_GAUSS_KRONROD) w->ordered[w->n_ordered++] = &w->cells[k];
    if (w->n_ordered > 1) qsort(w->ordered, w->n_ordered, sizeof(iop_cell *), iop_compare_cells);
}

/* Neighbours a and b at place i and i + 1 of the order, such that iop_are_neighbours(a, b); 0 if those are none. */
static int iop_neighbours_at(const iop_integral_work *w, int64_t i, iop_cell **a, iop_cell **b) {
    if (i < 0 || i + 1 >= w->n_ordered) return 0;
    const int swapped = w->ordered[i]->side == IOP_RIGHT;
    *a = w->ordered[i + swapped];
    *b = w->ordered[i + 1 - swapped];
    return iop_are_neighbours(*a, *b);
}

/* Jumps that hide between the last node of a cell and the first of the next, which neither of them sees: the two
 * continuations to their common end differ.  Adds to w->error what a jump of that size can amount to.  If that is too
 * much, sets the sizes of the cells and returns 1. */
static int iop_may_hide_a_jump(iop_integral_work *w) {
    int within = 1;
    for (int64_t k = 0; k < w->n_cells; k++) w->cells[k].size = 0;
    for (int64_t i = 0; i < w->n_ordered; i++) {
        iop_cell *a, *b;
        if (!iop_neighbours_at(w, i, &a, &b)) continue;
        for (int64_t c = 0; c < w->size; c++) {
            const double jump = fabs(a->last[c] - (a->side == b->side ? b->first[c] : b->last[c]));
            const double in_a = iop_edge_gap * (a->to - a->from) * jump, in_b = iop_edge_gap * (b->to - b->from) * jump;
            const double unit = 1 / (w->tolerance[c] > 0 ? w->tolerance[c] : DBL_MIN);
            w->error[c] += in_a > in_b ? in_a : in_b;
            within &= w->error[c] <= w->tolerance[c];
            if (unit * in_a > a->size) a->size = unit * in_a;
            if (unit * in_b > b->size) b->size = unit * in_b;
        }
    }
    return !within;
}

/* Where some part of a stretch needed short cells far from its ends, peaks may stand elsewhere too, between the nodes of
 * long ones: sets the sizes of those, and returns 1 if there are any. */
static int iop_may_hide_a_peak(iop_integral_work *w) {
    int hidden = 0;
    for (int64_t k = 0; k < w->n_cells; k++) w->cells[k].size = 0;
    for (int64_t stretch = 0; stretch < w->n_stretches; stretch++) {
        int narrow = 0;
        if (w->stretches[stretch].kind != IOP_FINITE) continue;
        for (int64_t k = 0; k < w->n_cells && !narrow; k++) {
            const iop_cell *cell = &w->cells[k];
            narrow = cell->stretch == stretch && cell->map == IOP_DIRECT && cell->from != 0 && cell->to - cell->from <= IOP_NARROW;
        }
        for (int64_t k = 0; k < w->n_cells && narrow; k++) {
            iop_cell *cell = &w->cells[k];
            if (cell->stretch != stretch || cell->map != IOP_DIRECT || cell->rule != IOP_RULE_GAUSS_KRONROD) continue;
            if (cell->to - cell->from <= IOP_WIDE) continue;
            cell->size = 1;
            hidden = 1;
        }
    }
    return hidden;
}

/* Has the cell look closer at its end where the neighbour is much shorter; 1 if it had not done so yet. */
static int iop_look_closer(iop_integral_work *w, iop_cell *cell, int end) {
    if ((cell->checked & end) || cell->rule != IOP_RULE_GAUSS_KRONROD) return 0;
    cell->checked |= end;
    iop_gauss_kronrod(w, cell);
    return 1;
}

/* Where a peak stands on the common end of two cells, one of them may have been divided until it resolved its part, and
 * the other not have a node in the rest: a cell whose neighbour is much shorter, or crowds its nodes at the common end by
 * a double exponential rule, is checked close to that end.  Returns whether any cell was that had not been yet. */
static int iop_see_on_one_side_only(iop_integral_work *w) {
    int found = 0;
    if (w->integral->inside != NULL) return 0;
    for (int64_t i = 0; i < w->n_ordered; i++) {
        iop_cell *cell = w->ordered[i], *a, *b;
        const int right = cell->side == IOP_RIGHT, first = !iop_neighbours_at(w, right ? i : i - 1, &a, &b);
        /* A double exponential rule lies between the first cell and the end that its nodes are counted from. */
        if (cell->map == IOP_DIRECT && cell->from > 0 && first) found |= iop_look_closer(w, cell, IOP_FROM);
        if (!iop_neighbours_at(w, i, &a, &b)) continue;
        const double in_a = a->to - a->from, in_b = b->to - b->from;
        if (in_a > IOP_MUCH_LONGER * in_b) found |= iop_look_closer(w, a, IOP_TO);
        if (in_b > IOP_MUCH_LONGER * in_a) found |= iop_look_closer(w, b, a->side == b->side ? IOP_FROM : IOP_TO);
    }
    return found;
}

/* Whether a trapezoidal rule misses something at t, or close to it: the values there are compared with the polynomial
 * through 14 values around t, half a step of the rule apart. */
static int iop_misses_peak_at(iop_integral_work *w, const iop_cell *cell, double t) {
    enum { STENCIL = 14, PLACES = 1 + IOP_NEAR_CENTER };
    const double step = ldexp(0.5, -(int)cell->level), spacing = 0.5 * step;
    double nodes[STENCIL + PLACES], weights[PLACES][STENCIL], binomial = 1;
    for (int64_t i = 0; i < STENCIL; binomial *= -(13.0 - i) / (1 + i), i++) {
        nodes[i] = t + spacing * (i - 6.5);
        for (int64_t k = 0; k < PLACES; k++) weights[k][i] = binomial / ((k == 0 ? 0 : iop_center_distances[k - 1]) - (i - 6.5));
    }
    for (int64_t k = 0; k < PLACES; k++) {
        double sum = 0;
        nodes[STENCIL + k] = t + (k == 0 ? 0 : spacing * iop_center_distances[k - 1]);
        for (int64_t i = 0; i < STENCIL; i++) sum += weights[k][i];
        for (int64_t i = 0; i < STENCIL; i++) weights[k][i] /= sum;
    }
    iop_sample(w, cell, STENCIL + PLACES, nodes);
    for (int64_t c = 0; c < w->size; c++) {
        const double *row = w->out + c * IOP_NODE_ROW;
        for (int64_t k = 0; k < PLACES; k++) {
            double difference = w->factor[STENCIL + k] * row[w->lanes[STENCIL + k]];
            for (int64_t i = 0; i < STENCIL; i++) difference -= weights[k][i] * w->factor[i] * row[w->lanes[i]];
            const double reach = k == 0 ? 1 : k == 1 ? 0.1 : 2 * fabs(iop_center_distances[k - 2]);
            if (!(step * reach * fabs(difference) <= w->tolerance[c])) return 1;
        }
    }
    return 0;
}

/* Places in the range of a trapezoidal rule, at which one of an oscillating integrand is checked as well. */
enum { IOP_WAVE_PLACES = 3 };
static const double iop_wave_places[IOP_WAVE_PLACES] = {0.373, 0.528, 0.714};

/* Trapezoidal rules that miss a peak at a center go on as Gauss-Kronrod cells: sets *found to whether any did.  So do those
 * of an oscillation that two steps of the rule in a row see at equal phases, and their sums therefore agree. */
static int iop_check_trapezoids(iop_integral_work *w, int *found) {
    const int64_t n = w->n_cells;
    *found = 0;
    for (int64_t k = 0; k < n; k++) {
        double centers[8 + IOP_WAVE_PLACES];
        if (w->cells[k].rule != IOP_RULE_TRAPEZOID || w->cells[k].checked) continue;
        w->cells[k].checked = 1;
        int64_t count = iop_centers_inside(w, &w->cells[k], 8, centers);
        for (int64_t i = 0; i < IOP_WAVE_PLACES && w->integral->oscillates; i++)
            centers[count++] = w->cells[k].from + (w->cells[k].to - w->cells[k].from) * iop_wave_places[i];
        for (int64_t i = 0; i < count; i++) {
            if (!iop_misses_peak_at(w, &w->cells[k], centers[i])) continue;
            const int status = iop_divide_trapezoid(w, k, 8);
            if (status != IOP_CONVERGED) return status;
            *found = 1;
            break;
        }
    }
    return IOP_CONVERGED;
}

#endif
