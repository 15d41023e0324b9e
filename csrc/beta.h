/* Quotients of gamma functions of large arguments, in which the large parts of Stirling's formula cancel by hand.
 *
 * log Gamma(x) = (x - 1/2) log x - x + log(2 pi)/2 + d(x) (DLMF 5.11.1), and only differences of the first terms are
 * formed (A. R. DiDonato and A. H. Morris, ACM TOMS 18, 1992, 360-373).  Each function is NaN where it is not better
 * than the quotient of gamma functions itself.
 */
#ifndef IMPLICITOPS_BETA_H
#define IMPLICITOPS_BETA_H

#include <math.h>

/* From here on the gamma function overflows. */
#define IOP_LARGEST_GAMMA 171.0
#define IOP_LEAST_STIRLING 10.0

/* B_2k / (2k (2k - 1)) */
static const double iop_stirling[] = {
    0.08333333333333333, -0.002777777777777778, 0.0007936507936507937, -0.0005952380952380953, 0.0008417508417508417,
    -0.0019175269175269176, 0.00641025641025641, -0.029550653594771242};
#define IOP_N_STIRLING 8

/* d(x), x >= IOP_LEAST_STIRLING */
static inline double iop_stirling_rest(double x) {
    double square = 1 / (x * x), sum = 0;
    for (int k = IOP_N_STIRLING - 1; k >= 0; k--) sum = sum * square + iop_stirling[k];
    return sum / x;
}

/* log(Gamma(x) / Gamma(x + k)) for x and x + k >= IOP_LEAST_STIRLING */
static inline double iop_log_gamma_quotient(double x, double k) {
    double rest = iop_stirling_rest(x) - iop_stirling_rest(x + k);
    return rest - (x + k - 0.5) * log1p(k / x) - k * (log(x) - 1);
}

/* B(a, b) for positive a and b with a + b >= IOP_LARGEST_GAMMA */
static double iop_beta(double a, double b) {
    double small = a < b ? a : b, large = a < b ? b : a;
    if (!(small > 0 && small + large >= IOP_LARGEST_GAMMA && large < 1e300)) return NAN;
    if (small < IOP_LEAST_STIRLING) return tgamma(small) * exp(iop_log_gamma_quotient(large, small));
    double rest = iop_stirling_rest(small) + iop_stirling_rest(large) - iop_stirling_rest(small + large);
    double ratio = small / large;
    double falling = (small - 0.5) * log(ratio / (1 + ratio)) - large * log1p(ratio);
    return sqrt(2 * 3.14159265358979323846 / large) * exp(rest + falling);
}

/* Gamma(x + k) / Gamma(x) for large x and x + k */
static double iop_poch(double x, double k) {
    int is_product = k == floor(k) && fabs(k) < 20;
    if (is_product || !(x >= 100 && x + k >= IOP_LEAST_STIRLING && x < 1e300 && k < 1e300)) return NAN;
    return exp(-iop_log_gamma_quotient(x, k));
}

/* sin(pi x), 0 for whole x */
static inline double iop_sine_of_pi(double x) {
    double whole = rint(x), sine = sin(3.14159265358979323846 * (x - whole));
    return fmod(whole, 2) == 0 ? sine : -sine;
}

/* Gamma(n + 1) / (Gamma(k + 1) Gamma(n - k + 1)), for large n, for n near 0, and for k > n */
static double iop_binomial(double n, double k) {
    double other = n - k;
    int is_whole = k == floor(k);
    if (is_whole && k < 20) {
        if (!(k >= 0 && fabs(n) < 1e-3)) return NAN;
        double product = 1;
        for (int i = 0; i < k; i++) product *= (n - i) / (i + 1);
        return product;
    }
    if (other < 0 && k > 0 && n > -1) {
        /* B(k - n, n + 1) sin(pi (k - n)) / pi; the difference k - n would lose the digits that the sine needs */
        double sine = iop_sine_of_pi(k) * iop_sine_of_pi(n + 0.5) - iop_sine_of_pi(k + 0.5) * iop_sine_of_pi(n);
        double beta = k + 1 >= IOP_LARGEST_GAMMA ? iop_beta(-other, n + 1) : tgamma(-other) / tgamma(k + 1) * tgamma(n + 1);
        return beta * sine / 3.14159265358979323846;
    }
    if (fabs(n) < 1e-3 && fabs(k) < 160) return tgamma(n + 1) / (tgamma(k + 1) * tgamma(other + 1));
    if ((is_whole && other == floor(other) && other < 20) || !(k > -1 && other > -1)) return NAN;
    return 1 / ((n + 1) * iop_beta(k + 1, other + 1));
}

#endif
