/* Definite integrals: the problem's data, the stretches between its points, and the integrand at many nodes.
 *
 * In each stretch the variable is x = e + h u (left form) or x = e - h u (right form), with an end e(p) and the length
 * h(p) of the stretch: for u the distance to that end in units of h, so that nothing cancels near either end.  The
 * integrand is G = f h with its total derivatives by the parameters, N numbers in all; see symbolic/integral.py.
 */
#ifndef IOP_INTEGRAL_H
#define IOP_INTEGRAL_H

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "implicitops.h"

/* Nodes of one call of the integrand, and doubles between its rows. */
enum { IOP_NODES = 64, IOP_NODE_ROW = 72 };

/* Codes of an infinite limit in the place of a point. */
enum { IOP_MINUS_INFINITY = -1, IOP_PLUS_INFINITY = -2 };

/* Methods, in the order of their names in kernels/integral.py. */
enum { IOP_INTEGRAL_AUTO = 0, IOP_GAUSS_KRONROD = 1, IOP_DOUBLE_EXPONENTIAL = 2 };

typedef struct iop_integral iop_integral;
struct iop_integral {
    const iop_callback *forms;    /* G: left and right form of each point, then the variable itself; innermost only */
    iop_callback moments;         /* (p, constants) -> points, scale; their derivatives; slopes and offsets of switches;
                                   * centers: places at which a peak or a step of the integrand may stand */
    iop_callback vanishing;       /* (x, p, regimes) -> 1 for each expression that is exactly 0; scalar NULL: none is */
    iop_callback watched;         /* (x, p, regimes) -> what must not change its sign in a stretch; scalar NULL: nothing */
    const iop_integral *const *inside; /* the integral that is integrated, for each form; NULL: the innermost level */
    int64_t n_forms;
    const int64_t *switch_points; /* the point at which each switch changes */
    int64_t n, n_parameters, n_derivatives, n_constants; /* parameters with those that say where an integral outside is */
    int64_t n_points, n_stated, n_switches, n_centers;
    int64_t lower, upper;         /* points, or codes of infinity */
    int64_t order, max_steps, method;
    int64_t oscillates;           /* the integrand has an oscillating function, whose phase grows by 1 along the scale */
    double rtol;
    const double *atol;
};

typedef enum { IOP_FINITE, IOP_FROM_LEFT, IOP_FROM_RIGHT, IOP_LINE, IOP_EMPTY } iop_stretch_kind;

/* What lies between two neighbouring points; for IOP_FROM_LEFT and IOP_FROM_RIGHT only one of them is finite. */
typedef struct {
    iop_stretch_kind kind;
    int64_t left, right; /* points whose left and right form apply */
    double *length;      /* h, its first derivatives, its second ones */
    double *pace;        /* of each derivative: how much larger than G its terms are, which may cancel */
    double *regimes;     /* of this level, then the constants */
    double *vanishes;    /* of each expression, 1 where it is exactly 0 */
} iop_stretch;

typedef struct iop_cell iop_cell;

/* Memory of one level. */
typedef struct iop_integral_work iop_integral_work;
struct iop_integral_work {
    const iop_integral *integral;
    int64_t first, second; /* first and second derivatives of each expression */
    int64_t size;          /* N, or as many of the first of them as a solve is to find */
    int64_t rows;          /* N */
    double *parameters;    /* and then the constants */
    double *moments;
    iop_stretch *stretches;
    int64_t n_stretches, filled;
    int64_t *chain, *place;
    double *in, *out;      /* blocks of the integrand: inputs and N outputs by IOP_NODE_ROW */
    double *node, *distance, *away, *factor;
    int64_t lanes[IOP_NODES + 16];
    double *total, *error, *magnitude, *tolerance, *residue, *noise, *parts, *scratch, *tail, *chained;
    double *largest; /* of each expression, over all nodes of the solve, G dx/dt */
    iop_cell *cells;
    double *cell_data;
    iop_cell **ordered;    /* Gauss-Kronrod cells from one end of each stretch to the other */
    int64_t n_cells, capacity, n_ordered;
    int64_t evaluations, subintervals, double_exponential, extrapolated;
    double floor;          /* error that always does: an integral inside another may underflow */
    double failed_at;      /* where a cell could not be divided further, or NaN */
    int inside_status;     /* why an integral inside failed, if one did */
    int out_of_memory;
    iop_integral_work *inside; /* for each form */
};

/* Derivatives by p_a and p_b, a <= b, in the order in which they are stored. */
static inline int64_t iop_pair(int64_t w, int64_t a, int64_t b) {
    return a <= b ? a * w - a * (a - 1) / 2 + b - a : b * w - b * (b - 1) / 2 + a - b;
}

static inline const double *iop_moment_first(const iop_integral_work *w, int64_t point) {
    return w->moments + w->integral->n_points + 1 + point * w->first;
}

static inline const double *iop_moment_second(const iop_integral_work *w, int64_t point) {
    return w->moments + (w->integral->n_points + 1) * (1 + w->first) + point * w->second;
}

static inline const double *iop_switch_slopes(const iop_integral_work *w) {
    return w->moments + (w->integral->n_points + 1) * (1 + w->first + w->second);
}

static inline const double *iop_centers(const iop_integral_work *w) {
    return iop_switch_slopes(w) + 2 * w->integral->n_switches;
}

static double iop_limit_value(const iop_integral_work *w, int64_t limit) {
    return limit == IOP_MINUS_INFINITY ? -INFINITY : limit == IOP_PLUS_INFINITY ? INFINITY : w->moments[limit];
}

/* Sorts the points inside the range along the way from the lower to the upper limit: chain[1] ... chain[result], and
 * place[k] the position of point k in it, 0 for one before and result + 1 for one behind; -1 for one that does not exist. */
static int64_t iop_sort_points(iop_integral_work *w, double direction) {
    const iop_integral *q = w->integral;
    const double start = direction * iop_limit_value(w, q->lower), end = direction * iop_limit_value(w, q->upper);
    int64_t count = 0;
    for (int64_t k = 0; k < q->n_points; k++) {
        if (k == q->lower || k == q->upper) continue;
        const double x = direction * w->moments[k];
        w->place[k] = !isfinite(x) ? -1 : x < start ? 0 : -2;
        if (!(x >= start && x <= end) || !isfinite(x)) continue;
        int64_t j = ++count;
        for (; j > 1 && direction * w->moments[w->chain[j - 1]] > x; j--) w->chain[j] = w->chain[j - 1];
        w->chain[j] = k;
    }
    for (int64_t j = 1; j <= count; j++) w->place[w->chain[j]] = j;
    for (int64_t k = 0; k < q->n_points; k++)
        if (w->place[k] == -2) w->place[k] = count + 1;
    if (q->upper >= 0) w->place[q->upper] = count + 1;
    if (q->lower >= 0) w->place[q->lower] = 0;
    w->chain[0] = q->lower;
    w->chain[count + 1] = q->upper;
    return count;
}

/* Which side of each switch a stretch is on: that behind the first `position` + 1 entries of the chain. */
static void iop_set_regimes(const iop_integral_work *w, int64_t position, double direction, double *regimes) {
    const iop_integral *q = w->integral;
    const double *slopes = iop_switch_slopes(w), *offsets = slopes + q->n_switches;
    for (int64_t k = 0; k < q->n_switches; k++) {
        const int64_t place = w->place[q->switch_points[k]];
        const double ahead = place <= position ? direction : -direction;
        regimes[k] = (place < 0 ? offsets[k] : ahead * slopes[k]) > 0;
    }
    memcpy(regimes + q->n_switches, w->parameters + q->n_parameters, q->n_constants * sizeof(double));
}

/* Length of the stretch between two entries of the chain and its derivatives. */
static void iop_set_length(const iop_integral_work *w, iop_stretch *s, double direction) {
    const int64_t scale = w->integral->n_points;
    if (s->kind == IOP_FINITE) {
        s->length[0] = w->moments[s->right] - w->moments[s->left];
        for (int64_t a = 0; a < w->first; a++)
            s->length[1 + a] = iop_moment_first(w, s->right)[a] - iop_moment_first(w, s->left)[a];
        for (int64_t ab = 0; ab < w->second; ab++)
            s->length[1 + w->first + ab] = iop_moment_second(w, s->right)[ab] - iop_moment_second(w, s->left)[ab];
        return;
    }
    const int usable = w->moments[scale] > 0 && isfinite(w->moments[scale]);
    s->length[0] = direction * (usable ? w->moments[scale] : 1);
    for (int64_t a = 0; a < w->first; a++) s->length[1 + a] = usable ? direction * iop_moment_first(w, scale)[a] : 0;
    for (int64_t ab = 0; ab < w->second; ab++)
        s->length[1 + w->first + ab] = usable ? direction * iop_moment_second(w, scale)[ab] : 0;
}

/* |dx/dp_a| in units of h, the larger at the two ends, and products of two of those: G_a has terms as large as G times
 * that, so that their rounding errors are as large as well, even if G_a is 0. */
static void iop_set_pace(const iop_integral_work *w, iop_stretch *s) {
    const double h = fabs(s->length[0]);
    for (int64_t r = 1; r <= w->first + w->second; r++) {
        double moved = fabs(s->length[r]);
        for (int side = 0; side < 2; side++) {
            const int64_t point = side == 0 ? s->left : s->right;
            if (point < 0) continue;
            const double *first = iop_moment_first(w, point), *second = iop_moment_second(w, point);
            const double there = fabs(r <= w->first ? first[r - 1] : second[r - 1 - w->first]);
            if (there > moved) moved = there;
        }
        s->pace[r] = h > 0 ? moved / h : 0;
    }
    for (int64_t a = 0, ab = 1 + w->first; a < w->first && w->second > 0; a++)
        for (int64_t b = a; b < w->first; b++, ab++) s->pace[ab] += s->pace[1 + a] * s->pace[1 + b];
}

/* A place inside a stretch. */
static double iop_inside(const iop_integral_work *w, const iop_stretch *s) {
    if (s->kind == IOP_LINE) return 0;
    if (s->kind == IOP_FROM_LEFT) return w->moments[s->left] + s->length[0];
    if (s->kind == IOP_FROM_RIGHT) return w->moments[s->right] - s->length[0];
    return w->moments[s->left] + 0.5 * s->length[0];
}

static void iop_set_vanishing(iop_integral_work *w, iop_stretch *s) {
    const iop_integral *q = w->integral;
    memset(s->vanishes, 0, q->n * sizeof(double));
    if (q->vanishing.scalar == NULL) return;
    double *in = w->scratch;
    in[0] = iop_inside(w, s);
    memcpy(in + 1, w->parameters, q->n_parameters * sizeof(double));
    memcpy(in + 1 + q->n_parameters, s->regimes, (q->n_switches + q->n_constants) * sizeof(double));
    q->vanishing.scalar(in, s->vanishes, q->vanishing.ctx);
}

/* Whether a condition that only the break points of the statement locate changes inside of a stretch after all. */
static int iop_changes_inside(iop_integral_work *w, const iop_stretch *s) {
    const iop_callback *watched = &w->integral->watched;
    const int64_t rest = w->integral->n_parameters + w->integral->n_switches + w->integral->n_constants;
    if (watched->block == NULL || s->kind == IOP_EMPTY) return 0;
    const double end = s->kind == IOP_LINE ? 0 : w->moments[s->kind == IOP_FROM_RIGHT ? s->right : s->left];
    for (int64_t i = 0; i < IOP_NODES; i++) {
        const double part = (i + 0.5) / IOP_NODES, line = 2 * part - 1;
        const double u = s->kind == IOP_FINITE ? part : s->kind == IOP_LINE ? line / (1 - line * line) : part / (1 - part);
        w->in[i] = end + (s->kind == IOP_FROM_RIGHT ? -u : u) * s->length[0];
        for (int64_t r = 0; r < rest; r++)
            w->in[(1 + r) * IOP_NODE_ROW + i] = r < w->integral->n_parameters ? w->parameters[r] : s->regimes[r - w->integral->n_parameters];
    }
    watched->block(IOP_NODES, IOP_NODE_ROW, w->in, w->out, watched->ctx);
    for (int64_t c = 0; c < watched->n_outputs; c++)
        for (int64_t i = 1; i < IOP_NODES; i++)
            if (w->out[c * IOP_NODE_ROW] * w->out[c * IOP_NODE_ROW + i] < 0) return 1;
    return 0;
}

/* Divides the range into stretches at the parameters of this solve. */
static int iop_divide(iop_integral_work *w) {
    const iop_integral *q = w->integral;
    q->moments.scalar(w->parameters, w->moments, q->moments.ctx);
    for (int64_t k = 0; k < q->n_stated; k++)
        if (!isfinite(w->moments[k])) return IOP_INVALID_LIMITS;
    const double direction = iop_limit_value(w, q->lower) <= iop_limit_value(w, q->upper) ? 1 : -1;
    w->n_stretches = 1 + iop_sort_points(w, direction);
    w->filled = -1;
    for (int64_t j = 0; j < w->n_stretches; j++) {
        iop_stretch *s = &w->stretches[j];
        s->left = w->chain[j];
        s->right = w->chain[j + 1];
        s->kind = s->left >= 0 ? (s->right >= 0 ? IOP_FINITE : IOP_FROM_LEFT) : s->right >= 0 ? IOP_FROM_RIGHT : IOP_LINE;
        iop_set_length(w, s, direction);
        iop_set_pace(w, s);
        iop_set_regimes(w, j, direction, s->regimes);
        if (s->kind == IOP_FINITE && s->length[0] == 0) s->kind = IOP_EMPTY;
        iop_set_vanishing(w, s);
        if (iop_changes_inside(w, s)) return IOP_ROUGH;
    }
    return IOP_CONVERGED;
}

static void iop_evaluate_inside(iop_integral_work *w, const iop_stretch *s, int64_t form, int64_t count, const double *u,
                                int64_t lane);

/* Rows of the inputs that are the same for all nodes of a stretch. */
static void iop_fill(iop_integral_work *w, int64_t stretch) {
    const iop_integral *q = w->integral;
    const iop_stretch *s = &w->stretches[stretch];
    const int64_t lengths = 1 + w->first + w->second, regimes = q->n_switches + q->n_constants;
    if (w->filled == stretch) return;
    w->filled = stretch;
    for (int64_t r = 0; r < lengths + q->n_parameters + regimes; r++) {
        const double value = r < lengths ? s->length[r]
                             : r < lengths + q->n_parameters ? w->parameters[r - lengths]
                                                             : s->regimes[r - lengths - q->n_parameters];
        double *row = w->in + (1 + r) * IOP_NODE_ROW;
        for (int64_t i = 0; i < IOP_NODE_ROW; i++) row[i] = value;
    }
}

/* G at distances u from the left (side 0) or right (side 1) end of a stretch, into consecutive lanes of w->out from
 * `lane` on, which is a multiple of 8.  Returns the first lane that is free afterwards. */
static int64_t iop_evaluate(iop_integral_work *w, int64_t stretch, int side, int64_t count, const double *u, int64_t lane) {
    const iop_integral *q = w->integral;
    const iop_stretch *s = &w->stretches[stretch];
    const int left = s->kind == IOP_FINITE || s->kind == IOP_EMPTY ? side == 0 : s->kind == IOP_FROM_LEFT;
    const int64_t which = s->kind == IOP_LINE ? 2 * q->n_points : left ? 2 * s->left : 2 * s->right + 1;
    const int64_t padded = (count + 7) / 8 * 8;
    w->evaluations += count;
    if (count == 0) return lane;
    if (q->inside != NULL) {
        iop_evaluate_inside(w, s, which, count, u, lane);
        return lane + padded;
    }
    const iop_callback *form = &q->forms[which];
    iop_fill(w, stretch);
    /* Full vectors: what is left over would go through the slower scalar form. */
    for (int64_t i = 0; i < padded; i++) w->in[lane + i] = u[i < count ? i : count - 1];
    form->block(padded, IOP_NODE_ROW, w->in + lane, w->out + lane, form->ctx);
    return lane + padded;
}

#endif
