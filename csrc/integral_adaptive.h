/* The adaptive loop: cells are divided, or their rules refined, until the errors of all components are small enough.
 *
 *     sum of the cells' errors <= max(rtol |I_c| + atol, 200 eps times the integral of |G_c|)      for every component c
 *
 * The second term is what rounding leaves of an integral that vanishes by symmetry.  In each round all cells are treated
 * whose error, in units of the tolerance, comes near that of the worst.
 */
#ifndef IOP_INTEGRAL_ADAPTIVE_H
#define IOP_INTEGRAL_ADAPTIVE_H

#include "integral_kronrod.h"

/* Bisections towards an end after which a cell there gets a double exponential substitution. */
enum { IOP_END_DEPTH = 4 };

/* Step 2^-6 of the trapezoidal rule, after which "auto" goes on with Gauss-Kronrod in t; and the least of all. */
enum { IOP_AUTO_LEVEL = 5, IOP_OSCILLATING_LEVEL = 3, IOP_LAST_LEVEL = 9 };

/* Cells among which a peak is looked for where nothing but 0 was found. */
enum { IOP_PEAK_CELLS = 600 };

/* Bisections in which the integral of |f| next to a point did not get smaller: it has none. */
enum { IOP_STUCK = 8 };

/* What rounding leaves of an integral that vanishes, in units of that of its absolute value. */
#define IOP_ROUNDING (200 * DBL_EPSILON)

/* Distance beyond which formulas of derivatives may overflow where the integrand does not. */
#define IOP_FAR 1e60

static int iop_begin_tail(iop_integral_work *w, int64_t stretch);
static int iop_begin_powers(iop_integral_work *w, int64_t k);

/* Makes cell k equal to another one but for its vectors. */
static void iop_set_cell(iop_integral_work *w, int64_t k, const iop_cell *other) {
    iop_cell *cell = &w->cells[k];
    const iop_cell own = *cell;
    *cell = *other;
    cell->integral = own.integral;
    cell->error = own.error;
    cell->magnitude = own.magnitude;
    cell->change = own.change;
    cell->older = own.older;
    cell->first = own.first;
    cell->last = own.last;
    cell->noise = own.noise;
}

/* A further cell, with everything 0; -1 if there is no memory. */
static int64_t iop_new_cell(iop_integral_work *w, int64_t stretch) {
    if (w->n_cells == w->capacity) {
        const int64_t capacity = 2 * w->capacity + 8;
        iop_cell *cells = realloc(w->cells, capacity * sizeof(iop_cell));
        if (cells != NULL) w->cells = cells;
        double *data = cells == NULL ? NULL : realloc(w->cell_data, IOP_CELL_ROWS * w->rows * capacity * sizeof(double));
        if (data != NULL) w->cell_data = data;
        iop_cell **ordered = data == NULL ? NULL : realloc(w->ordered, capacity * sizeof(iop_cell *));
        if (ordered != NULL) w->ordered = ordered;
        if (ordered == NULL) {
            w->out_of_memory = 1;
            return -1;
        }
        w->capacity = capacity;
        for (int64_t k = 0; k < capacity; k++) {
            double *own = data + IOP_CELL_ROWS * w->rows * k;
            cells[k].integral = own;
            cells[k].error = own + w->rows;
            cells[k].magnitude = own + 2 * w->rows;
            cells[k].change = own + 3 * w->rows;
            cells[k].older = own + 4 * w->rows;
            cells[k].first = own + 5 * w->rows;
            cells[k].last = own + 6 * w->rows;
            cells[k].noise = own + 7 * w->rows;
        }
    }
    const iop_cell empty = {0};
    iop_set_cell(w, w->n_cells, &empty);
    iop_cell *cell = &w->cells[w->n_cells];
    cell->stretch = stretch;
    cell->sign = cell->width = 1;
    memset(cell->integral, 0, IOP_CELL_ROWS * w->rows * sizeof(double));
    return w->n_cells++;
}

/* A new cell like another one between other ends. */
static int64_t iop_part_of(iop_integral_work *w, int64_t k, double from, double to) {
    const int64_t other = iop_new_cell(w, w->cells[k].stretch);
    if (other < 0) return -1;
    const iop_cell *cell = &w->cells[k];
    iop_cell *part = &w->cells[other];
    part->map = cell->map;
    part->rule = IOP_RULE_GAUSS_KRONROD;
    part->side = cell->side;
    part->sign = cell->sign;
    part->width = cell->width;
    part->depth = cell->depth;
    part->stuck = cell->stuck;
    part->from = from;
    part->to = to;
    return other;
}

/* Goes on with Gauss-Kronrod in equal parts of the t of a trapezoidal rule. */
static int iop_divide_trapezoid(iop_integral_work *w, int64_t k, int64_t parts) {
    iop_cell *cell = &w->cells[k];
    cell->from = cell->from < cell->least ? cell->least : cell->from;
    cell->to = cell->to > cell->most ? cell->most : cell->to;
    cell->rule = IOP_RULE_GAUSS_KRONROD;
    cell->checked = 0;
    const double from = cell->from, width = (cell->to - from) / parts;
    for (int64_t j = 1; j < parts; j++) {
        const int64_t part = iop_part_of(w, k, from + j * width, j == parts - 1 ? w->cells[k].to : from + (j + 1) * width);
        if (part < 0) return -1;
        iop_gauss_kronrod(w, &w->cells[part]);
    }
    w->cells[k].to = from + width;
    iop_gauss_kronrod(w, &w->cells[k]);
    return IOP_CONVERGED;
}

/* A status of NaN or infinity, or why the integral inside failed if that is where they came from. */
static int iop_inside_or(const iop_integral_work *w, int status) {
    return w->inside_status != IOP_CONVERGED ? w->inside_status : status;
}

/* Takes a cell out of the sums, for others that take its place. */
static void iop_clear(iop_integral_work *w, iop_cell *cell) {
    memset(cell->integral, 0, IOP_CELL_ROWS * w->rows * sizeof(double));
    cell->n_undefined = cell->n_infinite = 0;
    cell->rule = IOP_RULE_NONE;
}

/* Whether what was cut off at an open end of t may exceed the tolerance of some component. */
static int iop_is_significant(const iop_integral_work *w, const iop_cell *cell) {
    const iop_integral *q = w->integral;
    for (int64_t c = 0; c < w->size; c++) {
        const iop_component is = iop_component_of(w, c);
        const double rounding = 0.25 * w->stretches[cell->stretch].pace[is.derivative] * cell->magnitude[is.expression];
        const double least = IOP_ROUNDING * (cell->magnitude[c] + rounding) + w->floor;
        const double wanted = 0.1 * (q->rtol * fabs(cell->integral[c]) + q->atol[is.expression]);
        if (w->tail[c] > (wanted > least ? wanted : least)) return 1;
    }
    return 0;
}

/* Notes the middle of a cell as the place where an integral failed. */
static void iop_note_middle(iop_integral_work *w, const iop_cell *cell) {
    const iop_stretch *s = &w->stretches[cell->stretch];
    const double distance = 0.5 * (cell->from + cell->to) * s->length[0];
    if (cell->map != IOP_DIRECT || s->kind != IOP_FINITE) return;
    w->failed_at = cell->side == IOP_RIGHT ? w->moments[s->right] - distance : w->moments[s->left] + distance;
}

/* Notes the end towards which the integrand does not fall off. Returns the status. */
static int iop_fails_at_end(iop_integral_work *w, const iop_cell *cell, int status) {
    const iop_stretch *s = &w->stretches[cell->stretch];
    if (s->kind == IOP_FINITE)
        w->failed_at = w->moments[cell->side == IOP_RIGHT || (cell->side == IOP_BOTH && cell->open_high) ? s->right : s->left];
    return iop_inside_or(w, status);
}

/* Whether derivatives are wanted of an integrand that counts at distances at which their formulas may overflow, as squares
 * and cubes of 1 + x^1.1 do, so that some of their terms get lost: sets the open ends of the cell. */
static int iop_reaches_overflow(iop_integral_work *w, iop_cell *cell) {
    const int line = cell->map == IOP_SINH_SINH;
    const double far[2] = {iop_place_of(cell, cell->sign * IOP_FAR), line ? iop_place_of(cell, -IOP_FAR) : 0};
    if (w->integral->method != IOP_INTEGRAL_AUTO || w->size == w->integral->n || cell->map == IOP_TANH_SINH) return 0;
    iop_sample(w, cell, 1 + line, far);
    for (int64_t e = 0; e < w->integral->n; e++)
        for (int64_t i = 0; i < 1 + line; i++) {
            const double term = fabs(w->factor[i] * w->out[e * IOP_NODE_ROW + w->lanes[i]]);
            if (term > 1e-17 * cell->magnitude[e] && term <= DBL_MAX) *(i == 0 ? &cell->open_high : &cell->open_low) = 1;
        }
    return cell->open_low || cell->open_high;
}

/* Starts a double exponential rule on a cell whose map and width are set. */
static int iop_begin_trapezoid(iop_integral_work *w, int64_t k) {
    const iop_integral *q = w->integral;
    iop_cell *cell = &w->cells[k];
    cell->rule = IOP_RULE_TRAPEZOID;
    w->double_exponential++;
    if (!iop_start_trapezoid(w, cell)) return iop_inside_or(w, IOP_UNDEFINED);
    const int infinite = cell->map != IOP_TANH_SINH;
    if (q->method == IOP_GAUSS_KRONROD) {
        if ((cell->open_low || cell->open_high) && iop_is_significant(w, cell)) {
            const int status = iop_begin_powers(w, k);
            if (status != IOP_DIVERGENT) return status;
            return iop_fails_at_end(w, &w->cells[k], w->cells[k].cut_off ? IOP_UNDEFINED : IOP_DIVERGENT);
        }
        return iop_divide_trapezoid(w, k, 4);
    }
    iop_refine_trapezoid(w, cell);
    iop_refine_trapezoid(w, cell);
    if ((cell->open_low || cell->open_high) && iop_is_significant(w, cell)) {
        const int status = iop_begin_powers(w, k);
        if (status != IOP_DIVERGENT) return status;
        cell = &w->cells[k];
        const int at_infinity = cell->map == IOP_SINH_SINH || (infinite && cell->open_high && !cell->open_low);
        if (!at_infinity || cell->cut_off)
            return iop_fails_at_end(w, cell, cell->cut_off ? IOP_UNDEFINED : IOP_DIVERGENT);
        iop_clear(w, cell);
        return iop_begin_tail(w, cell->stretch);
    }
    const int open_low = cell->open_low, open_high = cell->open_high;
    if (iop_reaches_overflow(w, cell)) {
        const int status = iop_begin_powers(w, k);
        if (status != IOP_DIVERGENT) return status;
        cell = &w->cells[k];
        cell->open_low = open_low;
        cell->open_high = open_high;
    }
    for (int64_t c = 0; c < w->size; c++) w->residue[c] += w->tail[c];
    return IOP_CONVERGED;
}

/* A stretch without length: it adds nothing to the integral, but its derivatives may move its ends apart. */
static int iop_begin_empty(iop_integral_work *w, int64_t k) {
    iop_cell *cell = &w->cells[k];
    const double middle = 0.5;
    int moves = 0;
    for (int64_t r = 1; r <= w->first + w->second; r++) moves |= w->stretches[cell->stretch].length[r] != 0;
    if (!moves) return IOP_CONVERGED;
    iop_evaluate(w, cell->stretch, 0, 1, &middle, 0);
    for (int64_t c = w->integral->n; c < w->size; c++) {
        cell->integral[c] = w->out[c * IOP_NODE_ROW];
        cell->magnitude[c] = fabs(cell->integral[c]);
        if (!isfinite(cell->integral[c])) return IOP_UNDEFINED;
    }
    return IOP_CONVERGED;
}

static int iop_begin(iop_integral_work *w, int64_t stretch) {
    const iop_stretch_kind kind = w->stretches[stretch].kind;
    const int64_t k = iop_new_cell(w, stretch);
    if (k < 0) return -1;
    iop_cell *cell = &w->cells[k];
    if (kind == IOP_EMPTY) return iop_begin_empty(w, k);
    if (kind == IOP_FINITE && w->integral->method != IOP_DOUBLE_EXPONENTIAL) {
        cell->rule = IOP_RULE_GAUSS_KRONROD;
        cell->side = IOP_BOTH;
        cell->to = 1;
        iop_gauss_kronrod(w, cell);
        return IOP_CONVERGED;
    }
    cell->map = kind == IOP_FINITE ? IOP_TANH_SINH : kind == IOP_LINE ? IOP_SINH_SINH : IOP_EXP_SINH;
    cell->side = kind == IOP_FINITE ? IOP_BOTH : kind == IOP_FROM_RIGHT ? IOP_RIGHT : IOP_LEFT;
    return iop_begin_trapezoid(w, k);
}

/* Whether a cell is too narrow for doubles to tell its nodes apart. */
static int iop_is_too_narrow(const iop_integral_work *w, const iop_cell *cell) {
    const iop_stretch *s = &w->stretches[cell->stretch];
    const double width = cell->to - cell->from, h = fabs(s->length[0]);
    if (cell->map != IOP_DIRECT) return width < 1e-11;
    if (cell->from == 0 && w->integral->inside == NULL) return width < 1e-250;
    const double end = s->kind == IOP_LINE ? 0 : fabs(w->moments[cell->side == IOP_RIGHT ? s->right : s->left]);
    return width * h < 100 * DBL_EPSILON * (end + cell->to * h);
}

/* Why a cell that cannot be divided further has no integral. */
static int iop_verdict(iop_integral_work *w, const iop_cell *cell) {
    iop_note_middle(w, cell);
    if (cell->n_undefined > 0) return iop_inside_or(w, IOP_UNDEFINED);
    return cell->n_infinite > 0 || cell->stuck >= IOP_STUCK ? IOP_DIVERGENT : IOP_ROUGH;
}

/* Counts the divisions that left the integral of |f| as large as it was before. */
static void iop_count_stuck(const iop_integral_work *w, iop_cell *part, const double *magnitude) {
    double ratio = 0;
    for (int64_t i = 0; i < w->integral->n; i++)
        if (magnitude[i] > 0 && part->magnitude[i] > ratio * magnitude[i]) ratio = part->magnitude[i] / magnitude[i];
    if (part->n_infinite > 0 || ratio >= 0.9)
        part->stuck++;
    else if (part->stuck > 0)
        part->stuck--;
}

static int iop_bisect(iop_integral_work *w, int64_t k) {
    iop_cell *cell = &w->cells[k];
    if (cell->n_undefined > 2 || iop_is_too_narrow(w, cell)) return iop_verdict(w, cell);
    const int whole = cell->map == IOP_DIRECT && cell->side == IOP_BOTH;
    const double middle = whole ? 0.5 : 0.5 * (cell->from + cell->to);
    double *magnitude = w->scratch;
    memcpy(magnitude, cell->magnitude, w->size * sizeof(double));
    cell->depth++;
    const int64_t other = whole ? iop_part_of(w, k, 0, middle) : iop_part_of(w, k, middle, cell->to);
    if (other < 0) return -1;
    cell = &w->cells[k];
    cell->to = middle;
    w->cells[other].checked = whole ? 0 : cell->checked & IOP_TO;
    cell->checked = whole ? 0 : cell->checked & IOP_FROM;
    if (whole) {
        cell->side = IOP_LEFT;
        w->cells[other].side = IOP_RIGHT;
    }
    iop_gauss_kronrod(w, cell);
    iop_gauss_kronrod(w, &w->cells[other]);
    iop_count_stuck(w, cell, magnitude);
    iop_count_stuck(w, &w->cells[other], magnitude);
    return IOP_CONVERGED;
}

/* Makes the error of a cell smaller. */
static int iop_refine(iop_integral_work *w, int64_t k) {
    const iop_integral *q = w->integral;
    iop_cell *cell = &w->cells[k];
    const int automatic = q->method == IOP_INTEGRAL_AUTO;
    if (cell->rule == IOP_RULE_TRAPEZOID) {
        const int bad = cell->n_undefined + cell->n_infinite > 0, infinite = cell->map != IOP_TANH_SINH;
        const int64_t last = !automatic ? IOP_LAST_LEVEL : infinite && q->oscillates ? IOP_OSCILLATING_LEVEL : IOP_AUTO_LEVEL;
        if (bad && !automatic) return iop_verdict(w, cell);
        if (!bad && cell->level < last) {
            iop_refine_trapezoid(w, cell);
            return IOP_CONVERGED;
        }
        if (!automatic) return IOP_MAX_STEPS;
        if (!bad && infinite && q->oscillates) {
            const int64_t n_cells = w->n_cells;
            const int status = iop_begin_tail(w, cell->stretch);
            if (status == IOP_CONVERGED) iop_clear(w, &w->cells[k]);
            if (status != IOP_SLOW_TAIL) return status;
            w->n_cells = n_cells; /* it falls off in the end, or the range of t had no end: only slowly */
        }
        return iop_divide_trapezoid(w, k, 8);
    }
    if (automatic && cell->map == IOP_DIRECT && cell->from == 0 && cell->side != IOP_BOTH && cell->depth >= IOP_END_DEPTH) {
        cell->map = IOP_TANH_SINH;
        cell->width = cell->to;
        cell->checked = 0;
        return iop_begin_trapezoid(w, k);
    }
    return iop_bisect(w, k);
}

#endif
