/* Tails that oscillate towards infinity: the sum over half periods, extrapolated.
 *
 * The tail is cut at the zeros of the integrand.  The partial sums of the integrals in between, whose terms alternate
 * and shrink slowly, are extrapolated by Levin's u-transform (D. Levin, Int. J. Comput. Math. 3 (1973) 371; the
 * recursion is that of E. J. Weniger, Comput. Phys. Rep. 10 (1989) 189, eq. 7.2-8).  An integrand that does not fall off
 * is refused, though the transform would sum it as well.
 */
#ifndef IOP_INTEGRAL_TAIL_H
#define IOP_INTEGRAL_TAIL_H

#include "integral_adaptive.h"

enum { IOP_TERMS = 80, IOP_LEAST_TERMS = 10, IOP_SAMPLES = 48 };

typedef struct {
    int64_t stretch, expression; /* whose zeros count */
    int side;
    double sign;
    double zero, spacing; /* the last zero and its distance from the one before */
    int uniform;          /* there are no zeros: equal parts are taken */
} iop_oscillation;

/* Values of the expression at IOP_SAMPLES or fewer places from + step, from + 2 step, ... */
static void iop_sample_wave(iop_integral_work *w, const iop_oscillation *wave, double from, double step, int64_t count) {
    for (int64_t i = 0; i < count; i++) w->node[i] = wave->sign * (from + (i + 1) * step);
    iop_evaluate(w, wave->stretch, wave->side, count, w->node, 0);
}

/* Zero of the expression in (from, from + width), whose ends have values of different sign but for rounding. */
static double iop_locate_zero(iop_integral_work *w, const iop_oscillation *wave, double from, double width) {
    const double *value = w->out + wave->expression * IOP_NODE_ROW;
    double part = 0.5;
    for (int64_t round = 0; round < 3; round++) {
        int64_t at = -1, smallest = 0;
        width /= 8;
        iop_sample_wave(w, wave, from - width, width, 9);
        for (int64_t i = 0; i < 9; i++) {
            if (fabs(value[i]) < fabs(value[smallest])) smallest = i;
            if (at < 0 && i < 8 && value[i] * value[i + 1] < 0) at = i;
        }
        if (at < 0) return from + smallest * width;
        part = value[at] / (value[at] - value[at + 1]);
        from += at * width;
    }
    return from + part * width;
}

/* Finds the last of at least four zeros near the beginning of a half line; 0 if there are none. */
static int iop_find_wave(iop_integral_work *w, iop_oscillation *wave) {
    const int known = (int)w->integral->oscillates;
    for (int exponent = known ? -1 : -10; exponent <= (known ? 6 : 20); exponent++) {
        const double step = ldexp(1, exponent) / IOP_SAMPLES;
        double zeros[2] = {0, 0}, largest = -1;
        int64_t count = 0;
        iop_sample_wave(w, wave, 0, step, IOP_SAMPLES);
        for (int64_t i = 0; i < w->integral->n; i++) {
            double sum = 0;
            for (int64_t j = IOP_SAMPLES / 2; j < IOP_SAMPLES; j++) sum += fabs(w->out[i * IOP_NODE_ROW + j]);
            if (sum > largest) wave->expression = i, largest = sum;
        }
        const double *value = w->out + wave->expression * IOP_NODE_ROW;
        for (int64_t i = 0; i + 1 < IOP_SAMPLES; i++)
            if (value[i] * value[i + 1] < 0) {
                zeros[0] = zeros[1];
                zeros[1] = (i + 1) * step;
                count++;
            }
        if (count < 4) continue;
        wave->zero = iop_locate_zero(w, wave, zeros[1], step);
        wave->spacing = wave->zero - zeros[0];
        return 1;
    }
    wave->uniform = 1;
    wave->zero = wave->spacing = 4 * iop_half_pi;
    return known;
}

/* Moves on to the next zero; 0 if there is none where it is expected. */
static int iop_next_zero(iop_integral_work *w, iop_oscillation *wave) {
    const int64_t count = 24;
    const double step = 1.5 * wave->spacing / count, from = wave->zero + 0.25 * wave->spacing;
    if (wave->uniform) {
        wave->zero += wave->spacing;
        return 1;
    }
    iop_sample_wave(w, wave, from, step, count);
    const double *value = w->out + wave->expression * IOP_NODE_ROW;
    for (int64_t i = 0; i + 1 < count; i++)
        if (value[i] * value[i + 1] <= 0) {
            const double zero = iop_locate_zero(w, wave, from + (i + 1) * step, step);
            wave->spacing = zero - wave->zero;
            wave->zero = zero;
            return 1;
        }
    return 0;
}

/* Levin's u-transform of one component: takes in partial sum number n, the last term of which is given. */
static double iop_levin(double *numerator, double *denominator, int64_t n, double sum, double term) {
    const double remainder = (1 + n) * term;
    numerator[n] = sum / remainder;
    denominator[n] = 1 / remainder;
    for (int64_t k = 0; k < n; k++) {
        const int64_t j = n - 1 - k;
        const double base = (double)(n) / (1 + n), factor = (1.0 + j) / n * pow(base, (double)k);
        numerator[j] = numerator[j + 1] - factor * numerator[j];
        denominator[j] = denominator[j + 1] - factor * denominator[j];
    }
    return denominator[0] != 0 ? numerator[0] / denominator[0] : sum;
}

/* Memory of an extrapolation, for each component: the two rows of the transform, the partial sum, the last two
 * estimates, and the integrals of |G| over the first terms and the last four. */
typedef struct {
    double *numerator, *denominator, *sum, *last, *before, *early, *late;
} iop_extrapolation;

static void iop_bind_extrapolation(iop_extrapolation *x, double *memory, int64_t size) {
    x->numerator = memory;
    x->denominator = x->numerator + IOP_TERMS * size;
    x->sum = x->denominator + IOP_TERMS * size;
    x->last = x->sum + size;
    x->before = x->last + size;
    x->early = x->before + size;
    x->late = x->early + size;
}

/* Adds the integral between two zeros to cell->integral and cell->magnitude, by up to eight parts. */
static int iop_add_half_period(iop_integral_work *w, int64_t k, double from, double to) {
    for (int64_t parts = 1;; parts *= 2) {
        int fine = 1;
        iop_cell *cell = &w->cells[k];
        double *sum = w->scratch, *magnitude = sum + w->size;
        memset(sum, 0, 2 * w->size * sizeof(double));
        for (int64_t part = 0; part < parts; part++) {
            cell->from = from + (to - from) * part / parts;
            cell->to = part + 1 == parts ? to : from + (to - from) * (part + 1) / parts;
            iop_gauss_kronrod(w, cell);
            if (cell->n_undefined + cell->n_infinite > 0) return 0;
            for (int64_t c = 0; c < w->size; c++) {
                sum[c] += cell->integral[c];
                magnitude[c] += cell->magnitude[c];
                fine &= cell->error[c] <= 1e-12 * cell->magnitude[c];
            }
        }
        if (!fine && parts < 8) continue;
        memcpy(cell->integral, sum, w->size * sizeof(double));
        memcpy(cell->magnitude, magnitude, w->size * sizeof(double));
        return 1;
    }
}

/* Takes in term n of every component; returns whether all estimates agree with the last two to within the tolerance of
 * the tail and the part before it. */
static int iop_take_in(iop_integral_work *w, iop_extrapolation *x, int64_t n, int64_t k, const iop_cell *head) {
    const iop_integral *q = w->integral;
    const iop_cell *cell = &w->cells[k];
    int converged = n >= IOP_LEAST_TERMS;
    for (int64_t c = 0; c < w->size; c++) {
        const double term = cell->integral[c], size = cell->magnitude[c];
        const iop_component is = iop_component_of(w, c);
        const double scale = head->magnitude[c] + x->early[c];
        const double terms = w->stretches[cell->stretch].pace[is.derivative] * (head->magnitude[is.expression] + x->early[is.expression]);
        const double least = IOP_ROUNDING * (scale + 0.25 * terms);
        double estimate;
        x->sum[c] += term;
        if (n < 4) x->early[c] += size;
        x->late[c] = n % 4 == 0 ? size : x->late[c] + size;
        estimate = fabs(term) < 1e-16 * scale || term == 0 ? x->sum[c]
                   : iop_levin(x->numerator + c * IOP_TERMS, x->denominator + c * IOP_TERMS, n, x->sum[c], term);
        const double change = fmax(fabs(estimate - x->last[c]), fabs(estimate - x->before[c]));
        const double wanted = 0.5 * (q->rtol * fabs(head->integral[c] + estimate) + q->atol[is.expression]);
        w->tail[c] = change;
        converged &= change <= (wanted > least ? wanted : least);
        x->before[c] = x->last[c];
        x->last[c] = estimate;
    }
    return converged;
}

/* Whether every component falls off: its terms 9 to 12 or later are smaller than the first four. */
static int iop_falls_off(const iop_integral_work *w, const iop_extrapolation *x, int64_t n, int64_t stretch) {
    for (int64_t c = 0; c < w->size; c++) {
        const iop_component is = iop_component_of(w, c);
        const double noise = 1e-13 * (w->stretches[stretch].pace[is.derivative] * x->early[is.expression]);
        if (x->early[c] > noise && x->late[c] / (n % 4 + 1) > 0.97 * x->early[c] / 4) return 0;
    }
    return 1;
}

/* The tail of a half line behind wave->zero, into a cell that is not refined. */
static int iop_extrapolate(iop_integral_work *w, iop_oscillation *wave, const iop_cell *head) {
    const int64_t k = iop_new_cell(w, wave->stretch);
    if (k < 0) return -1;
    double *memory = calloc((2 * IOP_TERMS + 5) * w->size, sizeof(double));
    iop_extrapolation x;
    int status = IOP_SLOW_TAIL;
    if (memory == NULL) return w->out_of_memory = 1, -1;
    iop_bind_extrapolation(&x, memory, w->size);
    w->cells[k].side = wave->side;
    w->cells[k].sign = wave->sign;
    for (int64_t n = 0; n < IOP_TERMS; n++) {
        const double from = wave->zero;
        if (!iop_next_zero(w, wave) || !iop_add_half_period(w, k, from, wave->zero)) break;
        if (!iop_take_in(w, &x, n, k, head)) continue;
        status = iop_falls_off(w, &x, n, wave->stretch) ? IOP_CONVERGED : IOP_SLOW_TAIL;
        break;
    }
    iop_cell *cell = &w->cells[k];
    memcpy(cell->integral, x.last, w->size * sizeof(double));
    memcpy(cell->magnitude, x.early, w->size * sizeof(double));
    memcpy(cell->error, w->tail, w->size * sizeof(double));
    cell->rule = IOP_RULE_NONE;
    free(memory);
    w->extrapolated++;
    return status;
}

/* One half line: what lies before the first zeros becomes a cell like others, what lies behind is extrapolated. */
static int iop_begin_half_line(iop_integral_work *w, int64_t stretch, int side, double sign) {
    iop_oscillation wave = {stretch, 0, side, sign, 0, 0, 0};
    if (!iop_find_wave(w, &wave)) return IOP_DIVERGENT;
    const int64_t k = iop_new_cell(w, stretch);
    if (k < 0) return -1;
    iop_cell *cell = &w->cells[k], head;
    double *kept = malloc(2 * w->size * sizeof(double));
    if (kept == NULL) return w->out_of_memory = 1, -1;
    cell->rule = IOP_RULE_GAUSS_KRONROD;
    cell->side = side;
    cell->sign = sign;
    cell->to = wave.zero;
    iop_gauss_kronrod(w, cell);
    head.integral = memcpy(kept, cell->integral, w->size * sizeof(double));
    head.magnitude = memcpy(kept + w->size, cell->magnitude, w->size * sizeof(double));
    const int status = iop_extrapolate(w, &wave, &head);
    free(kept);
    return status;
}

static int iop_begin_tail(iop_integral_work *w, int64_t stretch) {
    const iop_stretch_kind kind = w->stretches[stretch].kind;
    if (w->integral->method != IOP_INTEGRAL_AUTO) return w->integral->oscillates ? IOP_SLOW_TAIL : IOP_DIVERGENT;
    const int status = iop_begin_half_line(w, stretch, kind == IOP_FROM_RIGHT ? IOP_RIGHT : IOP_LEFT, 1);
    if (kind != IOP_LINE || status != IOP_CONVERGED) return status;
    return iop_begin_half_line(w, stretch, IOP_LEFT, -1);
}

#endif
