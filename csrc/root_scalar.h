/* Lane updates of the scalar root finder: safeguarded Newton on many equations in lockstep.
 *
 * Invariant: residual(negative[i]) < 0 < residual(positive[i]), so a continuous residual has a root between the
 * two, in whichever order they stand; every iterate lies between them and replaces one of them.
 *
 * A Newton step is taken if it lands strictly between the ends and is at most half the step before last
 * (R. P. Brent, Algorithms for Minimization without Derivatives, 1973, ch. 4; "rtsafe" of Press et al.,
 * Numerical Recipes, 2007, section 9.4); otherwise the interval is bisected.
 */
#ifndef IMPLICITOPS_ROOT_SCALAR_H
#define IMPLICITOPS_ROOT_SCALAR_H

#include <float.h>
#include <math.h>
#include <string.h>

#include "lanes.h"

enum { IOP_START_BRACKET = 0, IOP_START_GUESS = 1, IOP_START_BOTH = 2 };

enum { IOP_PENDING = -1 }; /* no status yet */

/* Outputs of the residual callback; the finish callback appends the derivatives of the root. */
enum { IOP_F = 0, IOP_FX = 1, IOP_SCALE = 2, IOP_FXX = 3, IOP_N_FINISH = 4 };

typedef struct {
    iop_callback residual; /* (x, theta) -> F, F_x, scale */
    iop_callback start;    /* theta -> lower, upper [, guess]; block == NULL: trailing inputs of the operation */
    iop_callback errors;   /* (x, theta) -> rounding errors of F and of the derivatives of the root */
    iop_callback finish;   /* (x, theta) -> F, F_x, scale, F_xx, derivatives of the root */
    int64_t start_kind;
    int64_t n_params;
    int64_t n_derivatives; /* rows that finish appends */
    int64_t n_jacobian;    /* the first of them, written to output 1; the rest is the Hessian, output 2 */
    int64_t max_steps;
    double rtol;
    double atol;
} iop_root_scalar;

typedef struct {
    double *x; /* where the residual is evaluated next: row 0 of the block that the callback reads */
    double negative[IOP_ROW];      /* end of the bracket with a negative residual */
    double positive[IOP_ROW];      /* end of the bracket with a positive residual */
    double step[IOP_ROW];          /* last step */
    double step_before[IOP_ROW];   /* the step before that */
    double previous[IOP_ROW];      /* |F| at the iterate before, at the start the smaller one of the two ends */
    double iterations[IOP_ROW];
    double bisections[IOP_ROW];    /* bisections in a row; -1 while the lane does not iterate */
    int64_t n_stuck;                 /* active lanes that have bisected three times in a row */
    int64_t lane[IOP_ROW];         /* position in the block before compaction */
} iop_root_lanes;

static inline double iop_smaller(double a, double b) { return a < b ? a : b; }

static inline double iop_larger(double a, double b) { return a > b ? a : b; }

/* Largest |F| that rounding alone can produce at x: the sum of the magnitudes of the residual's terms in units
 * of the last place, and what one unit in the last place of x makes of it. */
static inline double iop_rounding(double scale, double fx, double x) {
    return 8 * DBL_EPSILON * scale + 4 * DBL_EPSILON * fabs(fx * x);
}

/* Empties all lanes and sets their codes: pending, or invalid where a parameter is not finite. */
IOP_VECTORISED
static void iop_root_reset(iop_root_lanes *s, int64_t n, int64_t n_params, int64_t stride, const double *restrict theta,
                           double *restrict ended, double *restrict initial, int64_t *restrict code) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        code[i] = IOP_PENDING;
        ended[i] = 1;
        initial[i] = INFINITY;
        s->lane[i] = i;
        s->iterations[i] = 0;
        s->bisections[i] = -1;
        s->negative[i] = NAN;
        s->x[i] = NAN;
    }
    for (int64_t r = 0; r < n_params; r++)
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            const int64_t old = code[i];
            code[i] = fabs(theta[r * stride + i]) <= DBL_MAX ? old : IOP_INVALID_INPUT;
        }
}

/* Orders the ends of the domain of each lane; NaN or equal ends are an invalid bracket. */
IOP_VECTORISED
static void iop_root_order_ends(int64_t n, const double *restrict first, const double *restrict second,
                                double *restrict lower, double *restrict upper, int64_t *restrict code) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const double a = first[i], b = second[i];
        const int64_t old = code[i];
        const int valid = (a < b) | (a > b);
        lower[i] = iop_smaller(a, b);
        upper[i] = iop_larger(a, b);
        code[i] = valid | (old != IOP_PENDING) ? old : IOP_INVALID_BRACKET;
    }
}

/* Moves pending ends of finite brackets at which the residual is undefined; returns how many moved.
 *
 * The first time by one number, also where the residual is infinite: at a pole its sign is that of a zero, which is
 * nobody's.  Later, and only where it is NaN (x log(x) at 0, say), by 2**-52, 2**-46, ... of the bracket. */
IOP_VECTORISED
static int64_t iop_root_move_undefined_ends(int64_t n, const double *restrict f, const double *restrict lower,
                                            const double *restrict upper, int64_t attempt, const int64_t *restrict code,
                                            double *restrict end) {
    int64_t undefined = 0;
#pragma omp simd reduction(+ : undefined)
    for (int64_t i = 0; i < n; i++) {
        const double value = f[i];
        undefined += (attempt == 0 ? !(fabs(value) <= DBL_MAX) : value != value) & (code[i] == IOP_PENDING);
    }
    if (undefined == 0) return 0;
    int64_t moved = 0;
    for (int64_t i = 0; i < n; i++) {
        const double width = upper[i] - lower[i];
        const int eligible = attempt == 0 ? !(fabs(f[i]) <= DBL_MAX) : f[i] != f[i];
        if (!eligible || code[i] != IOP_PENDING || !(fabs(lower[i]) <= DBL_MAX && fabs(upper[i]) <= DBL_MAX)) continue;
        end[i] = attempt == 0 ? nextafter(lower[i], upper[i]) : lower[i] + ldexp(width, (int)(6 * attempt) - 58);
        moved++;
    }
    return moved;
}

/* Opens the brackets of pending lanes from the residual at both ends; a lane whose end is a root, has no sign change
 * or is undefined is given its code or solution.  Returns how many pending lanes have an infinite end and are left to
 * the search.  The first iterate is a Newton step from the end with the smaller
 * residual if that stays inside, else the middle. */
IOP_VECTORISED
static int64_t iop_root_open_brackets(iop_root_lanes *s, int64_t n, const double *restrict low, const double *restrict f_low,
                                   const double *restrict fx_low, const double *restrict high,
                                   const double *restrict f_high, const double *restrict fx_high,
                                   double *restrict initial, int64_t *restrict code) {
    double *restrict x = s->x;
    int64_t infinite = 0;
#pragma omp simd reduction(+ : infinite)
    for (int64_t i = 0; i < n; i++) {
        const double a = low[i], b = high[i], fa = f_low[i], fb = f_high[i];
        const double da = fx_low[i], db = fx_high[i];
        const int64_t old = code[i];
        const int finite = (fabs(a) <= DBL_MAX) & (fabs(b) <= DBL_MAX);
        const int pending = (old == IOP_PENDING) & finite;
        const int undefined = (fa != fa) | (fb != fb);
        const int root = ((fa == 0) | (fb == 0)) & !undefined;
        const int opened = pending & (((fa < 0) & (fb > 0)) | ((fa > 0) & (fb < 0)));
        const int from_low = fabs(fa) < fabs(fb);
        const double newton = (from_low ? a : b) - (from_low ? fa : fb) / (from_low ? da : db);
        const double middle = 0.5 * a + 0.5 * b;
        const double inside = (newton > a) & (newton < b) ? newton : middle;
        const double solution = pending & root ? (fa == 0 ? a : b) : NAN;
        const int64_t failure = undefined ? IOP_UNDEFINED : IOP_NO_SIGN_CHANGE;
        s->negative[i] = fa < 0 ? a : b;
        s->positive[i] = fa < 0 ? b : a;
        s->step[i] = b - a;
        s->step_before[i] = b - a;
        s->bisections[i] = opened ? 0.0 : -1.0;
        initial[i] = opened ? iop_smaller(fabs(fa), fabs(fb)) : INFINITY;
        s->previous[i] = initial[i];
        x[i] = opened ? inside : solution;
        code[i] = pending & !opened & !root ? failure : old;
        infinite += (old == IOP_PENDING) & !finite;
    }
    return infinite;
}

/* A Newton step for every pending lane whose residual is more than rounding error and still falling, unless it leaves
 * [lower, upper]; returns how many moved.  `polished` is |F| at the step before. */
IOP_VECTORISED
static int64_t iop_root_polish(int64_t n, const double *restrict f, const double *restrict fx,
                               const double *restrict scale, const double *restrict lower, const double *restrict upper,
                               const int64_t *restrict code, double *restrict polished, double *restrict x) {
    int64_t moved = 0;
#pragma omp simd reduction(+ : moved)
    for (int64_t i = 0; i < n; i++) {
        const double value = fabs(f[i]), old = x[i], before = polished[i];
        const double newton = old - f[i] / fx[i];
        const int move = (code[i] == IOP_PENDING) & (value > 0.25 * iop_rounding(scale[i], fx[i], old)) &
                         (newton >= lower[i]) & (newton <= upper[i]) & (value < 0.5 * before) & (newton != old);
        x[i] = move ? newton : old;
        polished[i] = value;
        moved += move;
    }
    return moved;
}

/* Gives every pending lane its status: a root only if the residual says so.  Returns how many lanes failed.
 *
 * The residual must be rounding error, or one Newton step from zero to within the tolerance.  At a pole such a step
 * is small too; there F F_xx / F_x**2, the contraction of Newton's method, is more than one, where a simple root makes
 * it tend to zero (W. Kantorovich's h; J. F. Traub, Iterative Methods for the Solution of Equations, 1964).  The root
 * is singular where it does not within the rounding (or underflow) of F: at a root of multiplicity m it is
 * (m - 1)/m. */
IOP_VECTORISED
static int64_t iop_root_verify(int64_t n, const double *restrict residual, const double *restrict slope,
                               const double *restrict scale, const double *restrict curvature,
                               const double *restrict initial, const double *restrict ended, double atol,
                               double *restrict x, int64_t *restrict code) {
    /* Not the user's: the polishing steps go beyond a loose one, and rounding may keep them from a tight one. */
    const double tolerance = 1e-10;
    int64_t failed = 0;
#pragma omp simd reduction(+ : failed)
    for (int64_t i = 0; i < n; i++) {
        const double f = fabs(residual[i]), fx = fabs(slope[i]), size = fabs(x[i]), bend = fabs(curvature[i]) / fx;
        const double own = iop_rounding(scale[i], 0, size);
        const int undefined = !(f <= DBL_MAX) | (x[i] != x[i]);
        const int rounding = (f == 0) | ((f <= iop_rounding(scale[i], fx, size)) & ((f <= initial[i]) | (f <= own)));
        const int smooth = (f <= 1e-6 * initial[i]) | (f * bend <= 0.25 * fx);
        const int within = smooth & (f <= fx * (tolerance * size + atol));
        const int folded = (bend <= DBL_MAX) & ((f + own + DBL_MIN) * bend > 0.25 * fx);
        const int singular = (fx == 0) | !(fx <= DBL_MAX) | folded;
        const int64_t unfinished = ended[i] != 0 ? IOP_DISCONTINUITY : IOP_MAX_STEPS;
        const int64_t regular = singular ? IOP_SINGULAR : IOP_CONVERGED;
        const int64_t result = undefined ? IOP_UNDEFINED : (rounding | within ? regular : unfinished);
        code[i] = code[i] == IOP_PENDING ? result : code[i];
        x[i] = code[i] == IOP_CONVERGED ? x[i] : NAN;
        failed += code[i] != IOP_CONVERGED;
    }
    return failed;
}

/* Bound of the error of each converged root: the Newton correction that is left, and rounding in F; else NaN. */
IOP_VECTORISED
static void iop_root_error(int64_t n, const double *restrict f, const double *restrict fx, const double *restrict scale,
                           const double *restrict x, double *restrict error) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        error[i] = (fabs(f[i]) + iop_rounding(scale[i], fx[i], x[i])) / fabs(fx[i]) + 0 * x[i];
}

/* Error of each root, as above but from the running error of F, which knows what is computed without cancellation, where
 * that is a number; and a step that shows what it changes. */
IOP_VECTORISED
static void iop_root_noise(int64_t n, const double *restrict f, const double *restrict fx, const double *restrict scale,
                           const double *restrict noise, const double *restrict x, double *restrict error,
                           double *restrict step) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const double rounding = iop_rounding(scale[i], fx[i], x[i]), running = noise[i];
        const double total = (fabs(f[i]) + (running <= DBL_MAX ? running : rounding)) / fabs(fx[i]) +
                             DBL_EPSILON * fabs(x[i]) + DBL_MIN;
        error[i] = total;
        step[i] = fmax(1e-8 * fabs(x[i]), 2 * total);
    }
}

static void iop_root_move(int64_t n, const double *x, const double *step, double *moved) {
    for (int64_t i = 0; i < n; i++) moved[i] = x[i] + step[i];
}

/* Turns the steps of lanes around where a derivative is not finite; returns how many. */
static int64_t iop_root_turn_back(int64_t n, int64_t rows, int64_t stride, const double *moved, double *step) {
    int64_t turned = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t r = 0; r < rows; r++)
            if (!(fabs(moved[r * stride + i]) <= DBL_MAX)) {
                step[i] = -step[i];
                turned++;
                break;
            }
    return turned;
}

/* Adds the change of a derivative over the step, taken back to the size of the error; none where there is no step. */
IOP_VECTORISED
static void iop_root_add_change(int64_t n, const double *restrict here, const double *restrict moved,
                                const double *restrict error, const double *restrict step, double *restrict total) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const double change = fabs(moved[i] - here[i]) * (error[i] / fabs(step[i])) + DBL_MIN;
        total[i] = step[i] != 0 ? total[i] + change : total[i];
    }
}

/* Copies of a block's codes and counters. */
IOP_VECTORISED
static void iop_root_report(int64_t n, const int64_t *restrict code, int32_t *restrict status) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) status[i] = (int32_t)code[i];
}

/* One step of every active lane from F and F_x at x.  Returns how many lanes stay active. */
IOP_VECTORISED
static int64_t iop_root_step(iop_root_lanes *s, int64_t n, const double *restrict f, const double *restrict fx,
                             const double *restrict scale, double rtol, double atol) {
    double *restrict xs = s->x;
    int64_t remaining = 0, stuck = 0;
#pragma omp simd reduction(+ : remaining, stuck)
    for (int64_t i = 0; i < n; i++) {
        /* Loads first: a load inside a select would be a branch. */
        const double x = xs[i], value = f[i], old_negative = s->negative[i], old_positive = s->positive[i];
        const double last = s->step[i], before = s->step_before[i], bisections = s->bisections[i];
        const double iterations = s->iterations[i], previous = s->previous[i];
        const int active = bisections >= 0;
        const double negative = active & (value < 0) ? x : old_negative;
        const double positive = active & (value > 0) ? x : old_positive;
        const double newton_step = -value / fx[i];
        const double newton = x + newton_step;
        const double length = fabs(newton_step);
        const double middle = 0.5 * negative + 0.5 * positive;
        const int inside = (newton > iop_smaller(negative, positive)) & (newton < iop_larger(negative, positive));
        /* A short step is convergence only if the residual has become much smaller: it is short at a pole too, and
         * beside a steep step of the residual. */
        const int small =
            (length <= rtol * fabs(x) + atol) & (fabs(value) <= 0.01 * previous) & (fabs(fx[i]) <= DBL_MAX);
        const int crawling = length > 0.05 * fabs(x);
        const int take_newton = inside & ((length <= 0.5 * fabs(before)) | small);
        /* The scale may overflow before the residual does. */
        const int ended = small | (fabs(value) <= 2 * DBL_EPSILON * iop_smaller(scale[i], DBL_MAX));
        const int stays = active & !ended;
        const double otherwise = ended ? x : middle;
        const double next = take_newton ? newton : otherwise;
        const double slowly = crawling ? bisections + 0.5 : 0.0;
        const double counted = take_newton ? slowly : bisections + 1;
        s->negative[i] = negative;
        s->positive[i] = positive;
        s->previous[i] = value == value ? fabs(value) : previous;
        xs[i] = active ? next : x;
        s->step_before[i] = last;
        s->step[i] = next - x;
        s->bisections[i] = stays ? counted : -1.0;
        s->iterations[i] = active ? iterations + 1 : iterations;
        remaining += stays;
        stuck += stays & (counted >= 3);
    }
    s->n_stuck = stuck;
    return remaining;
}

/* Care for lanes that have bisected several times in a row, or moved by Newton steps that are no small part of x
 * (they halve a root of x**2 = p that is orders of magnitude away); returns how many stay active of
 * `remaining`.
 *
 * A lane whose interval has collapsed to neighbouring numbers ends there; one whose residual is undefined in the middle
 * ends as NaN.  In a bracket that spans orders of magnitude the exponent is bisected instead of the value: the next
 * iterate is the geometric mean of the ends or, if one end is zero or they have two signs, nearer to zero by ever larger
 * strides.  At most some sixty steps lead from 1e300 to 1e-300. */
static int64_t iop_root_help_stuck(iop_root_lanes *s, int64_t n, const double *f, int64_t remaining) {
    for (int64_t i = 0; i < n; i++) {
        if (s->bisections[i] < 3) continue;
        const int swapped = fabs(s->negative[i]) < fabs(s->positive[i]);
        const double low = swapped ? s->negative[i] : s->positive[i], high = swapped ? s->positive[i] : s->negative[i];
        const double middle = 0.5 * low + 0.5 * high, previous = s->x[i];
        if (middle == low || middle == high || (f[i] != f[i] && s->step[i] == 0)) {
            if (f[i] != f[i]) s->x[i] = NAN;
            s->bisections[i] = -1;
            remaining--;
            continue;
        }
        if (low != 0 && (low > 0) == (high > 0)) {
            if (fabs(high) > 16 * fabs(low)) s->x[i] = copysign(sqrt(fabs(low)) * sqrt(fabs(high)), high);
        } else if (low == 0 || s->bisections[i] >= 6) {
            const double begun = s->bisections[i] - (low == 0 ? 3 : 6), strides = begun < 9 ? begun : 9;
            const double target = ldexp(high, -(int)(ldexp(1.0, (int)strides)));
            if (target != 0) s->x[i] = target;
        }
        s->step[i] += s->x[i] - previous;
    }
    return remaining;
}

/* Records where each lane stands, in block order. */
static void iop_root_retire(const iop_root_lanes *s, int64_t count, double *restrict x, double *restrict negative,
                            double *restrict positive, int64_t *restrict iterations) {
    for (int64_t i = 0; i < count; i++) {
        x[s->lane[i]] = s->x[i];
        negative[s->lane[i]] = s->negative[i];
        positive[s->lane[i]] = s->positive[i];
        iterations[s->lane[i]] = (int64_t)s->iterations[i];
    }
}

/* Makes lanes iterate again whose last Newton step led away from a sign change; returns how many. */
static int64_t iop_root_resume(iop_root_lanes *s, int64_t n, const double *negative, const double *positive,
                               const int64_t *iterations, int64_t *code) {
    int64_t resumed = 0;
    for (int64_t i = 0; i < n; i++) {
        const double a = negative[i], b = positive[i], middle = 0.5 * a + 0.5 * b;
        const int open = (code[i] == IOP_DISCONTINUITY) & (middle != a) & (middle != b) & (middle == middle);
        s->lane[i] = i;
        s->negative[i] = a;
        s->positive[i] = b;
        s->step[i] = s->step_before[i] = fabs(b - a);
        s->previous[i] = INFINITY;
        s->iterations[i] = (double)iterations[i];
        s->bisections[i] = open ? 0 : -1;
        if (open) {
            s->x[i] = middle;
            code[i] = IOP_PENDING;
            resumed++;
        }
    }
    return resumed;
}

/* Moves the active lanes to the front of `s` and of the `rows` rows of `from` (the first holds x), into `to`. */
static int64_t iop_root_compact(iop_root_lanes *s, int64_t n, int64_t rows, int64_t stride, const double *from,
                                double *to) {
    int64_t keep[IOP_LANES], count = 0;
    for (int64_t i = 0; i < n; i++)
        if (s->bisections[i] >= 0) keep[count++] = i;
    double *fields[] = {s->negative, s->positive,   s->step,      s->step_before,
                        s->previous, s->iterations, s->bisections};
    for (size_t k = 0; k < sizeof(fields) / sizeof(fields[0]); k++)
        for (int64_t i = 0; i < count; i++) fields[k][i] = fields[k][keep[i]];
    for (int64_t i = 0; i < count; i++) s->lane[i] = s->lane[keep[i]];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < count; i++) to[r * stride + i] = from[r * stride + keep[i]];
    s->x = to;
    return count;
}

#endif
