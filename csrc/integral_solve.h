/* One solve: rounds of refinement over all cells, the check for peaks that were missed, and integrals inside integrals. */
#ifndef IOP_INTEGRAL_SOLVE_H
#define IOP_INTEGRAL_SOLVE_H

#include "integral_powers.h"
#include "integral_tail.h"
#include "integral_unseen.h"

/* Relative rounding error of the length of a stretch, a difference of two points. */
static double iop_rounding_of_length(const iop_integral_work *w, const iop_stretch *s) {
    if (s->kind != IOP_FINITE) return 0;
    return DBL_EPSILON / 2 * (fabs(w->moments[s->left]) + fabs(w->moments[s->right])) / fabs(s->length[0]);
}

/* Where functions underflow, an integral inside has no digits: exp(-x^2 - y^2) as a function of x at y = 27. */
#define IOP_UNDERFLOWN 1e-300

/* Sums of all cells, and the tolerance of each component; returns whether all errors are within them.
 *
 * A component that vanishes by symmetry, or because its terms cancel at every node, is known to rounding error only. */
static int iop_sum_cells(iop_integral_work *w) {
    const iop_integral *q = w->integral;
    const double rounding = q->inside != NULL && 0.1 * q->rtol > IOP_ROUNDING ? 0.1 * q->rtol : IOP_ROUNDING;
    int within = 1;
    memset(w->total, 0, w->size * sizeof(double));
    memset(w->magnitude, 0, w->size * sizeof(double));
    memset(w->parts, 0, w->size * sizeof(double));
    memset(w->noise, 0, w->size * sizeof(double));
    memcpy(w->error, w->residue, w->size * sizeof(double));
    for (int64_t k = 0; k < w->n_cells; k++) {
        const iop_cell *cell = &w->cells[k];
        const double *pace = w->stretches[cell->stretch].pace, length = iop_rounding_of_length(w, &w->stretches[cell->stretch]);
        within &= cell->n_undefined + cell->n_infinite == 0;
        for (int64_t c = 0; c < w->size; c++) {
            const iop_component is = iop_component_of(w, c);
            w->total[c] += cell->integral[c];
            w->error[c] += cell->error[c];
            w->noise[c] += cell->noise[c] + length * cell->magnitude[c];
            w->magnitude[c] += cell->magnitude[c];
            w->parts[c] += pace[is.derivative] * cell->magnitude[is.expression];
        }
    }
    for (int64_t c = 0; c < w->size; c++) {
        const double known = c < q->n ? 0 : 8 * w->noise[c]; /* of derivatives, whose formulas may be steep, no more is asked */
        const double least = rounding * (0.25 * w->parts[c] + w->magnitude[c]) + known + w->floor;
        const double wanted = q->rtol * fabs(w->total[c]) + q->atol[iop_component_of(w, c).expression];
        w->tolerance[c] = wanted > least ? wanted : least;
        within &= w->error[c] <= w->tolerance[c];
    }
    return within;
}

/* Errors in units of the tolerances: sets the size of each cell and returns the largest. */
static double iop_size_errors(iop_integral_work *w) {
    double largest = 0;
    for (int64_t k = 0; k < w->n_cells; k++) {
        iop_cell *cell = &w->cells[k];
        cell->size = cell->n_undefined + cell->n_infinite > 0 ? INFINITY : 0;
        for (int64_t c = 0; c < w->size; c++) {
            if (cell->error[c] == 0) continue;
            const double size = cell->error[c] / (w->tolerance[c] > 0 ? w->tolerance[c] : DBL_MIN);
            if (size > cell->size) cell->size = size;
        }
        if (cell->rule == IOP_RULE_NONE) cell->size = 0;
        if (cell->size > largest) largest = cell->size;
    }
    return largest;
}

static double iop_largest_size(const iop_integral_work *w) {
    double largest = 0;
    for (int64_t k = 0; k < w->n_cells; k++)
        if (w->cells[k].size > largest) largest = w->cells[k].size;
    return largest;
}

/* Refines all cells of at least a given size. */
static int iop_refine_cells(iop_integral_work *w, double least) {
    const int64_t n = w->n_cells;
    for (int64_t k = 0; k < n; k++) {
        if (w->cells[k].size < least || w->cells[k].rule == IOP_RULE_NONE) continue;
        const int status = iop_refine(w, k);
        if (status != IOP_CONVERGED) return status;
    }
    return IOP_CONVERGED;
}

/* What a solve has come to at the limit of cells.
 *
 * Derivatives may be left with the rounding errors of the nodes, magnified where the integrand is steep: if they are
 * small beside the integral of |G_c|, and the values are converged, that is the best there is.  Otherwise there is a
 * point whose surroundings count as much however small they are, or nothing special. */
static int iop_exhausted(const iop_integral_work *w) {
    int settled = 1;
    for (int64_t c = 0; c < w->size; c++) {
        const double noise = c < w->integral->n ? 0 : 50000 * DBL_EPSILON * w->magnitude[c];
        settled &= w->error[c] <= (w->tolerance[c] > noise ? w->tolerance[c] : noise);
    }
    for (int64_t k = 0; k < w->n_cells; k++) {
        settled &= w->cells[k].n_undefined + w->cells[k].n_infinite == 0;
        if (w->cells[k].stuck >= 2 * IOP_STUCK) return IOP_DIVERGENT;
    }
    return settled ? IOP_CONVERGED : IOP_MAX_STEPS;
}

/* The integral at w->parameters, into w->total and w->error; an integral inside another may be 0 unchecked. */
static int iop_integrate(iop_integral_work *w, int outermost) {
    int status = iop_divide(w);
    w->n_cells = 0;
    w->floor = outermost ? 0 : IOP_UNDERFLOWN;
    w->inside_status = IOP_CONVERGED;
    memset(w->residue, 0, w->size * sizeof(double));
    memset(w->largest, 0, w->integral->n * sizeof(double));
    for (int64_t j = 0; j < w->n_stretches && status == IOP_CONVERGED; j++) status = iop_begin(w, j);
    while (status == IOP_CONVERGED) {
        double least = 1;
        if (iop_sum_cells(w)) {
            iop_order_cells(w);
            int found = iop_see_on_one_side_only(w);
            if (!found) status = iop_check_trapezoids(w, &found);
            if (found || status != IOP_CONVERGED) continue;
            if (iop_may_hide_a_jump(w)) {
                least = 0.3 * iop_largest_size(w);
            } else if (!iop_may_hide_a_peak(w)) {
                if (!outermost || !iop_may_have_missed_a_peak(w)) return IOP_CONVERGED;
                if (w->n_cells > IOP_PEAK_CELLS) return IOP_PEAK_MISSED;
            }
        } else {
            const double largest = iop_size_errors(w);
            least = isinf(largest) ? largest : 0.3 * largest;
            if (largest == 0) return IOP_DIVERGENT; /* only what was cut off at an end is too large */
        }
        if (w->n_cells >= w->integral->max_steps) return iop_exhausted(w);
        status = iop_refine_cells(w, least);
    }
    if (w->out_of_memory) return -1;
    return status;
}

/* -- integrals inside integrals ----------------------------------------------------------------------------------- */

/* G = F h of a level whose integrand F is an integral itself, with its derivatives. */
static void iop_multiply_by_length(const iop_integral_work *w, const iop_stretch *s, const double *f, double *g) {
    const int64_t n = w->integral->n, d = w->first;
    const double *h = s->length, *h1 = h + 1, *h2 = h1 + d;
    for (int64_t i = 0; i < n; i++) {
        const double *f1 = f + n + i * d, *f2 = f + n * (1 + d) + i * w->second;
        g[i] = f[i] * h[0];
        for (int64_t a = 0; a < d; a++) g[n + i * d + a] = f1[a] * h[0] + f[i] * h1[a];
        for (int64_t a = 0, ab = 0; a < d && w->second > 0; a++)
            for (int64_t b = a; b < d; b++, ab++)
                g[n * (1 + d) + i * w->second + ab] = f2[ab] * h[0] + f1[a] * h1[b] + f1[b] * h1[a] + f[i] * h2[ab];
    }
}

/* The integral inside at each node; where that fails, NaN, and w->inside_status says why. */
static void iop_evaluate_inside(iop_integral_work *w, const iop_stretch *s, int64_t form, int64_t count, const double *u,
                                int64_t lane) {
    const iop_integral *q = w->integral;
    iop_integral_work *in = &w->inside[form];
    const int64_t lengths = 1 + w->first + w->second;
    for (int64_t i = 0; i < count; i++) {
        double *next = in->parameters + q->n_parameters;
        memcpy(in->parameters, w->parameters, q->n_parameters * sizeof(double));
        *next++ = u[i];
        memcpy(next, s->length, lengths * sizeof(double));
        memcpy(next + lengths, s->regimes, (q->n_switches + q->n_constants) * sizeof(double));
        const int status = iop_integrate(in, 0);
        if (status != IOP_CONVERGED && w->inside_status == IOP_CONVERGED) w->inside_status = status;
        iop_multiply_by_length(w, s, in->total, w->chained);
        for (int64_t c = 0; c < w->size; c++)
            w->out[c * IOP_NODE_ROW + lane + i] = status == IOP_CONVERGED ? w->chained[c] : NAN;
    }
}

#endif
