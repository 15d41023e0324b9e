/* Derivatives of Bessel functions by their order, to third order, for real order and x > 0.
 *
 * Schlaefli's integrals (DLMF 10.9.17, 10.9.24 and 10.32.19 before their contours are bent) are differentiated under
 * the integral sign.  Where the order is larger than x, the contour of J and I goes through the saddle point, so that
 * nothing cancels although the function is tiny (G. N. Watson, Theory of Bessel Functions, 1944, chapter 8).  Panels of
 * 16 Gauss points are so short that the exponent changes by at most 8 over each.
 */
#ifndef IMPLICITOPS_BESSEL_ORDER_H
#define IMPLICITOPS_BESSEL_ORDER_H

#include <stdint.h>

#include "gauss.h"
#include "jet.h"

#define IOP_PI 3.14159265358979323846

/* Beyond this order or argument an evaluation would take longer than a few milliseconds; the answer is NaN. */
#define IOP_BESSEL_LARGEST 1e5

typedef enum { IOP_BESSEL_J, IOP_BESSEL_Y, IOP_BESSEL_I, IOP_BESSEL_K } iop_bessel_kind;

/* What the integrands of one evaluation depend on.  The contour runs at the real part `alpha`. */
typedef struct {
    int n;  /* which derivative */
    double order, x, alpha;
    double cosine, sine;  /* of order * pi */
} iop_bessel;

typedef double (*iop_bessel_integrand)(const iop_bessel *b, double t);

/* Real part of (re + i im) (u + i v)**n */
static inline double iop_times_power(double re, double im, double u, double v, int n) {
    for (int k = 0; k < n; k++) {
        double moved = re * u - im * v;
        im = re * v + im * u;
        re = moved;
    }
    return re;
}

/* On the vertical part t = alpha + i theta of the contour of J, exp(x sinh t - order t) (-t)**n */
static double iop_bessel_j_arc(const iop_bessel *b, double theta) {
    double size = exp(b->x * sinh(b->alpha) * cos(theta) - b->order * b->alpha);
    double phase = b->x * cosh(b->alpha) * sin(theta) - b->order * theta;
    return iop_times_power(size * cos(phase), size * sin(phase), -b->alpha, -theta, b->n);
}

/* The same for I, exp(x cosh t - order t) (-t)**n */
static double iop_bessel_i_arc(const iop_bessel *b, double theta) {
    double size = exp(b->x * cosh(b->alpha) * cos(theta) - b->order * b->alpha);
    double phase = b->x * sinh(b->alpha) * sin(theta) - b->order * theta;
    return iop_times_power(size * cos(phase), size * sin(phase), -b->alpha, -theta, b->n);
}

/* sin(x sin(theta) - order theta) */
static double iop_bessel_y_arc(const iop_bessel *b, double theta) {
    double phase = b->x * sin(theta) - b->order * theta;
    return iop_times_power(sin(phase), -cos(phase), 0, -theta, b->n);
}

/* Both horizontal parts t = s + i pi and s - i pi: imaginary part of exp(-… - order t) (-t)**n */
static inline double iop_bessel_ends(const iop_bessel *b, double s, double exponent) {
    double size = exp(exponent - b->order * s);
    return iop_times_power(-size * b->sine, -size * b->cosine, -s, -IOP_PI, b->n);
}

static double iop_bessel_j_ends(const iop_bessel *b, double s) { return iop_bessel_ends(b, s, -b->x * sinh(s)); }

static double iop_bessel_i_ends(const iop_bessel *b, double s) { return iop_bessel_ends(b, s, -b->x * cosh(s)); }

/* -(exp(order t) + exp(-order t) cos(order pi)) exp(-x sinh t) */
static double iop_bessel_y_ends(const iop_bessel *b, double t) {
    double decay = -b->x * sinh(t), falling = exp(decay - b->order * t);
    double rising = iop_times_power(exp(decay + b->order * t), 0, t, 0, b->n);
    return -rising - iop_times_power(falling * b->cosine, falling * b->sine, -t, IOP_PI, b->n);
}

/* exp(-x cosh t) cosh(order t) */
static double iop_bessel_k_ends(const iop_bessel *b, double t) {
    double rising = 0.5 * exp(b->order * t - b->x * cosh(t)), ratio = -2 * b->order * t;
    return iop_times_power(rising, 0, t, 0, b->n) * (b->n % 2 ? -expm1(ratio) : 1 + exp(ratio));
}

static double iop_panel(iop_bessel_integrand f, const iop_bessel *b, double lower, double width) {
    double middle = lower + width / 2, sum = 0;
    for (int k = 0; k < IOP_GAUSS; k++) {
        double step = width / 2 * iop_gauss_node[k];
        sum += iop_gauss_weight[k] * (f(b, middle - step) + f(b, middle + step));
    }
    return sum * width / 2;
}

/* Integral over theta from 0 to pi, in panels over which the exponent changes by at most 8 */
static double iop_over_arc(iop_bessel_integrand f, const iop_bessel *b) {
    double rate = fabs(b->order) + b->x * (cosh(b->alpha) + fabs(sinh(b->alpha)));
    int64_t count = (int64_t) (IOP_PI * rate / 8) + 4;
    double sum = 0;
    for (int64_t k = 0; k < count; k++) sum += iop_panel(f, b, k * (IOP_PI / count), IOP_PI / count);
    return sum;
}

/* Exponent of the larger part of an integrand on the real line, for `growth` = order, or -order if it only falls */
static inline double iop_exponent(const iop_bessel *b, double growth, double t, int is_cosh) {
    return growth * t - b->x * (is_cosh ? cosh(t) : sinh(t));
}

/* Integral over the real line from `lower` on, as far as the integrand is not below 1e-20 of its largest value */
static double iop_over_line(iop_bessel_integrand f, const iop_bessel *b, double growth, double lower, int is_cosh) {
    double peak = lower, ratio = growth / b->x, sum = 0, t, width;
    if (is_cosh && ratio > sinh(lower)) peak = asinh(ratio);
    if (!is_cosh && ratio > cosh(lower)) peak = acosh(ratio);
    double least = iop_exponent(b, growth, peak, is_cosh) - 46;
    for (int up = 0; up < 2; up++)
        for (t = peak; up ? iop_exponent(b, growth, t, is_cosh) > least : t > lower; t += up ? width : -width) {
            width = 5 / (fabs(growth) + b->x * cosh(t));
            if (width > 1) width = 1;
            if (!up && width > t - lower) width = t - lower;
            sum += iop_panel(f, b, up ? t : t - width, width);
            if (!up && iop_exponent(b, growth, t - width, is_cosh) < least) break;
            if (!up && t - width <= lower) break;
        }
    return sum;
}

/* n-th derivative by the order, order >= 0, x > 0 */
static double iop_bessel_positive(iop_bessel_kind kind, int n, double order, double x) {
    iop_jet cosine = iop_jet_cos_pi(order, 1, 0);
    iop_bessel b = {n, order, x, 0, cosine.c[0], -cosine.c[1] / IOP_PI};
    switch (kind) {
    case IOP_BESSEL_J:
        b.alpha = order > x ? acosh(order / x) : 0;
        return (iop_over_arc(iop_bessel_j_arc, &b) + iop_over_line(iop_bessel_j_ends, &b, -order, b.alpha, 0)) / IOP_PI;
    case IOP_BESSEL_I:
        b.alpha = asinh(order / x);
        return (iop_over_arc(iop_bessel_i_arc, &b) + iop_over_line(iop_bessel_i_ends, &b, -order, b.alpha, 1)) / IOP_PI;
    case IOP_BESSEL_Y:
        return (iop_over_arc(iop_bessel_y_arc, &b) + iop_over_line(iop_bessel_y_ends, &b, order, 0, 0)) / IOP_PI;
    default: return iop_over_line(iop_bessel_k_ends, &b, order, 0, 1);
    }
}

static iop_jet iop_bessel_jet(iop_bessel_kind kind, double order, double x) {
    iop_jet y;
    for (int n = 0; n < IOP_JET; n++) y.c[n] = iop_bessel_positive(kind, n, order, x) / iop_jet_factorial[n];
    return y;
}

/* n-th derivative by the order; a negative order by reflection (DLMF 10.4.5, 10.4.6, 10.27.2, 10.27.3) */
static double iop_bessel_by_order(iop_bessel_kind kind, int n, double order, double x) {
    if (!(x > 0 && fabs(order) <= IOP_BESSEL_LARGEST && x <= IOP_BESSEL_LARGEST)) return NAN;
    if (order >= 0) return iop_bessel_positive(kind, n, order, x);
    double size = -order, sign = n % 2 ? -1 : 1;
    if (kind == IOP_BESSEL_K) return sign * iop_bessel_positive(kind, n, size, x);
    if (kind == IOP_BESSEL_I) {
        iop_jet sine = iop_jet_cos_pi(size, 1, 3);
        iop_jet k = iop_jet_multiply(sine, iop_bessel_jet(IOP_BESSEL_K, size, x));
        return sign * (iop_bessel_positive(kind, n, size, x) + 2 / IOP_PI * iop_jet_derivative(k, n));
    }
    iop_jet j = iop_bessel_jet(IOP_BESSEL_J, size, x), y = iop_bessel_jet(IOP_BESSEL_Y, size, x);
    iop_jet sine = iop_jet_cos_pi(size, 1, 3), cosine = iop_jet_cos_pi(size, 1, 0);
    if (kind == IOP_BESSEL_J) sine = iop_jet_scale(sine, -1);
    iop_jet first = iop_jet_multiply(cosine, kind == IOP_BESSEL_J ? j : y);
    iop_jet second = iop_jet_multiply(sine, kind == IOP_BESSEL_J ? y : j);
    return sign * iop_jet_derivative(iop_jet_add(first, second), n);
}

#endif
