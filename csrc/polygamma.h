/* Derivatives of log Gamma for positive arguments: recurrence up to 12, then Stirling's series (DLMF 5.11.1, 5.15.8). */
#ifndef IMPLICITOPS_POLYGAMMA_H
#define IMPLICITOPS_POLYGAMMA_H

#include "jet.h"

#define IOP_STIRLING 12.0

/* B_2k / (2k) */
static const double iop_bernoulli[] = {
    0.08333333333333333,  -0.008333333333333333, 0.003968253968253968, -0.004166666666666667, 0.007575757575757576,
    -0.021092796092796094, 0.08333333333333333,  -0.4432598039215686,  3.0539543302701198};
#define IOP_N_BERNOULLI 9

/* log x - psi(x) for x >= IOP_STIRLING */
static inline double iop_log_minus_digamma(double x) {
    double square = 1 / (x * x), sum = 0;
    for (int k = IOP_N_BERNOULLI - 1; k >= 0; k--) sum = (sum + iop_bernoulli[k]) * square;
    return 0.5 / x + sum;
}

/* psi(x), x > 0 */
static inline double iop_digamma(double x) {
    double shift = 0;
    for (; x < IOP_STIRLING; x++) shift -= 1 / x;
    return log(x) - iop_log_minus_digamma(x) + shift;
}

/* log(y) - psi(x) for positive y and x, without cancellation where they are large and close */
static inline double iop_log_less_digamma(double y, double x) {
    if (x < IOP_STIRLING) return log(y) - iop_digamma(x);
    double ratio = (y - x) / x;
    return (fabs(ratio) < 0.5 ? log1p(ratio) : log(y / x)) + iop_log_minus_digamma(x);
}

/* psi'(x), x > 0 */
static inline double iop_trigamma(double x) {
    double shift = 0, sum = 0;
    for (; x < IOP_STIRLING; x++) shift += 1 / (x * x);
    double square = 1 / (x * x);
    for (int k = IOP_N_BERNOULLI - 1; k >= 0; k--) sum = (sum + (2 * k + 2) * iop_bernoulli[k]) * square;
    return 1 / x + 0.5 * square + sum / x + shift;
}

/* psi''(x), x > 0 */
static inline double iop_tetragamma(double x) {
    double shift = 0, sum = 0;
    for (; x < IOP_STIRLING; x++) shift -= 2 / (x * x * x);
    double square = 1 / (x * x);
    for (int k = IOP_N_BERNOULLI - 1; k >= 0; k--)
        sum = (sum + (2 * k + 2) * (2 * k + 3) * iop_bernoulli[k]) * square;
    return -square - square / x - sum * square + shift;
}

/* psi'''(x), x > 0 */
static inline double iop_pentagamma(double x) {
    double shift = 0, sum = 0;
    for (; x < IOP_STIRLING; x++) shift += 6 / (x * x * x * x);
    double square = 1 / (x * x);
    for (int k = IOP_N_BERNOULLI - 1; k >= 0; k--)
        sum = (sum + (2 * k + 2) * (2 * k + 3) * (2 * k + 4) * iop_bernoulli[k]) * square;
    return (2 + 3 / x) * square / x + sum * square / x + shift;
}

/* Gamma(x) with its derivatives, x > 0 */
static inline iop_jet iop_gamma_jet(double x) {
    return iop_jet_from_logarithm(tgamma(x), iop_digamma(x), iop_trigamma(x), iop_tetragamma(x));
}

#endif
