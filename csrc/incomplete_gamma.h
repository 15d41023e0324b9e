/* Incomplete gamma functions and their derivatives by the shape, to third order, for a > 0 and x >= 0.
 *
 * Below x = a + 1 the power series of the lower function, above it the continued fraction of the upper one, both
 * carried out on Taylor series in a (DLMF 8.11.4, 8.9.2; R. J. Moore, Algorithm AS 187, Applied Statistics 31, 1982,
 * differentiates the same two).  All terms of a derivative then have one sign where it is small, so that it is as
 * accurate as the value.  Densities are Loader's (Fast and Accurate Computation of Binomial Probabilities, 2000):
 * x**a exp(-x) / Gamma(a + 1) would overflow beyond a = 171, and cancel in logarithms.
 */
#ifndef IMPLICITOPS_INCOMPLETE_GAMMA_H
#define IMPLICITOPS_INCOMPLETE_GAMMA_H

#include "gauss.h"
#include "polygamma.h"

#define IOP_GAMMA_TERMS 1000000

/* log(Gamma(a + 1)) - log(sqrt(2 pi a) (a/e)**a), a >= IOP_STIRLING */
static inline double iop_stirling_error(double a) {
    double square = 1 / (a * a), sum = 0;
    for (int k = IOP_N_BERNOULLI - 1; k >= 0; k--) sum = sum * square + iop_bernoulli[k] / (2 * k + 1);
    return sum / a;
}

/* a log(a/x) + x - a, accurate where x is close to a */
static inline double iop_deviance(double a, double x) {
    if (fabs(a - x) >= 0.1 * (a + x)) return a * log(a / x) + x - a;
    double v = (a - x) / (a + x), sum = (a - x) * v, term = 2 * a * v, before;
    v *= v;
    int k = 1;
    do {
        before = sum;
        term *= v;
        sum += term / (2 * k++ + 1);
    } while (sum != before && k < 100);
    return sum;
}

/* x**a exp(-x), without overflow on the way: a power of what has an eighth of the exponent */
static inline double iop_gamma_power(double a, double x) {
    double eighth = pow(x, a / 8) * exp(-x / 8);
    if (!(fabs(a / 8 * log(x)) < 700 && x / 8 < 700)) eighth = exp((a * log(x) - x) / 8);
    double square = eighth * eighth;
    square *= square;
    return square * square;
}

/* x**a exp(-x) / Gamma(a + 1) */
static inline double iop_poisson(double a, double x) {
    if (x == 0) return a == 0;
    if (a < IOP_STIRLING) return iop_gamma_power(a, x) / tgamma(a + 1);
    return exp(-iop_stirling_error(a) - iop_deviance(a, x)) / sqrt(6.283185307179586477 * a);
}

/* x**(a-1) exp(-x) / Gamma(a), the density of a gamma distribution */
static double iop_gamma_density(double a, double x) {
    if (!(a > 0 && x >= 0)) return NAN;
    if (x == 0) return a > 1 ? 0 : a == 1 ? 1 : INFINITY;
    return isinf(x) ? 0 : iop_poisson(a, x) * (a / x);
}

/* x**(a-1) exp(-x), what incomplete gamma functions integrate */
static double iop_gamma_integrand(double a, double x) {
    if (!(x >= 0)) return NAN;
    if (x == 0) return a > 1 ? 0 : a == 1 ? 1 : INFINITY;
    return isinf(x) ? 0 : iop_gamma_power(a - 1, x);
}

/* Sum over n of x**n / ((a+1) … (a+n)): lower function divided by x**a exp(-x) / a; x <= a + 1 or so */
static iop_jet iop_gamma_series(double a, double x) {
    iop_jet term = iop_jet_constant(1), sum = term;
    for (int n = 1; n < IOP_GAMMA_TERMS; n++) {
        term = iop_jet_scale(iop_jet_divide_by_linear(term, a + n), x);
        sum = iop_jet_add(sum, term);
        int settled = 1;
        for (int k = 0; k < IOP_JET; k++) settled &= fabs(term.c[k]) <= 1e-17 * fabs(sum.c[k]);
        if (settled) return sum;
    }
    return iop_jet_nan();
}

/* Upper function divided by x**a exp(-x), by the continued fraction in Lentz's form; x > a - 1 */
static iop_jet iop_gamma_fraction(double a, double x) {
    iop_jet one = iop_jet_constant(1), b = iop_jet_linear(x + 1 - a, -1);
    iop_jet c = iop_jet_constant(1e300), d = iop_jet_divide(one, b), f = d;
    for (int n = 1; n < IOP_GAMMA_TERMS; n++) {
        iop_jet factor = iop_jet_linear(-n * (n - a), n);
        b.c[0] += 2;
        c = iop_jet_add(b, iop_jet_divide(factor, c));
        d = iop_jet_divide(one, iop_jet_add(iop_jet_multiply(factor, d), b));
        iop_jet change = iop_jet_multiply(c, d);
        f = iop_jet_multiply(f, change);
        int settled = fabs(change.c[0] - 1) <= DBL_EPSILON;
        for (int k = 1; k < IOP_JET; k++) settled &= fabs(change.c[k] * f.c[0]) <= DBL_EPSILON * fabs(f.c[k]);
        if (settled) return f;
    }
    return iop_jet_nan();
}

/* (Gamma(1 + a) - x**a) / a as the integral over t from 0 to 1 of the numerator's derivative at t a, for small a */
static iop_jet iop_gamma_difference(double a, double x) {
    iop_jet sum = iop_jet_constant(0);
    double slope = log(x);
    for (int k = 0; k < 2 * IOP_GAUSS; k++) {
        double t = 0.5 + (k % 2 ? 0.5 : -0.5) * iop_gauss_node[k / 2], s = 1 + t * a, weight = iop_gauss_weight[k / 2] / 2;
        iop_jet digamma = {{iop_digamma(s), iop_trigamma(s), iop_tetragamma(s) / 2, iop_pentagamma(s) / 6}};
        iop_jet power = iop_jet_from_logarithm(-slope * exp(t * a * slope), slope, 0, 0);
        iop_jet change = iop_jet_add(iop_jet_multiply(iop_gamma_jet(s), digamma), power);
        for (int j = 0; j < IOP_JET; j++, weight *= t) sum.c[j] += weight * change.c[j];
    }
    return sum;
}

/* Upper function for small a and x, where both parts of its definition have a pole at a = 0 (DLMF 8.7.3) */
static iop_jet iop_gamma_upper_near_zero(double a, double x) {
    iop_jet sum = iop_jet_constant(0), power = iop_jet_from_logarithm(pow(x, a), log(x), 0, 0);
    double term = -x;
    for (int k = 1; k < 30; k++, term *= -x / k)
        sum = iop_jet_add(sum, iop_jet_divide_by_linear(iop_jet_constant(term), a + k));
    return iop_jet_add(iop_gamma_difference(a, x), iop_jet_scale(iop_jet_multiply(power, sum), -1));
}

/* P(a, x) */
static iop_jet iop_gammainc_jet(double a, double x) {
    if (!(a > 0 && x >= 0)) return iop_jet_nan();
    if (x == 0 || isinf(x)) return iop_jet_constant(x > 0);
    iop_jet density = iop_jet_from_logarithm(iop_poisson(a, x), iop_log_less_digamma(x, a + 1), -iop_trigamma(a + 1),
                                             -iop_tetragamma(a + 1));
    if (x <= a + 1) return iop_jet_multiply(density, iop_gamma_series(a, x));
    iop_jet upper = iop_jet_multiply(iop_jet_multiply(density, iop_jet_linear(a, 1)), iop_gamma_fraction(a, x));
    upper = iop_jet_scale(upper, -1);
    upper.c[0] += 1;
    return upper;
}

/* Integral of t**(a-1) exp(-t) from 0 to x, or from x on if `upper` */
static iop_jet iop_gamma_part(double a, double x, int upper) {
    if (!(a > 0 && x >= 0)) return iop_jet_nan();
    if (x == 0 || isinf(x)) return (x == 0) == !upper ? iop_jet_constant(0) : iop_gamma_jet(a);
    if (upper && a < 0.5 && x <= 0.1 && -a * log(x) < 4) return iop_gamma_upper_near_zero(a, x);
    int low = x <= (upper && a < 0.5 ? 0.1 : a + 1);  /* the fraction takes about 1/x terms */
    iop_jet power = iop_jet_from_logarithm(iop_gamma_power(a, x), log(x), 0, 0);
    iop_jet part = iop_jet_multiply(power, low ? iop_jet_divide_by_linear(iop_gamma_series(a, x), a)
                                               : iop_gamma_fraction(a, x));
    return low == !upper ? part : iop_jet_add(iop_gamma_jet(a), iop_jet_scale(part, -1));
}

#endif
