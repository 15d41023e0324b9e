/* Differences of polygamma functions, and what the second derivatives of quotients of gamma functions need of them,
 * right in relative terms however close or far apart the two arguments are.
 *
 * A difference is summed term by term, as u**m - v**m = (u - v)(u**(m-1) + ... + v**(m-1)) with u = 1/(x + h) and
 * v = 1/x: first the recurrence (DLMF 5.15.5), then the Euler-Maclaurin sum of the Hurwitz zeta function (25.11.28).
 */
#ifndef IMPLICITOPS_POLYGAMMA_DIFFERENCE_H
#define IMPLICITOPS_POLYGAMMA_DIFFERENCE_H

#include <math.h>

#include "polygamma.h"

/* Arguments from which the asymptotic sum is used, and below which nothing is known. */
#define IOP_DIFFERENCE_ASYMPTOTIC 16.0
#define IOP_DIFFERENCE_LEAST -30.0

/* B_2k / (2k)! */
static const double iop_euler_maclaurin[] = {
    0.08333333333333333,    -0.001388888888888889,  3.306878306878307e-05,  -8.267195767195768e-07,
    2.08767569878681e-08,   -5.284190138687493e-10, 1.3382536530684679e-11, -3.3896802963225827e-13};
#define IOP_N_EULER_MACLAURIN 8

/* u**(m-1) + u**(m-2) v + ... + v**(m-1) */
static inline double iop_power_slope(double u, double v, int m) {
    double sum = 0, power = 1;
    for (int k = 0; k < m; k++, power *= v) sum = sum * u + power;
    return sum;
}

/* psi_n(x + h) - psi_n(x), n >= 0 */
static double iop_polygamma_difference(int n, double x, double h) {
    int m = n + 1;
    double y = x + h, sum = 0, sign = n % 2 ? 1 : -1, factorial = 1;
    if (!(x > IOP_DIFFERENCE_LEAST && y > IOP_DIFFERENCE_LEAST)) return NAN;
    for (int k = 2; k <= n; k++) factorial *= k;
    for (; x < IOP_DIFFERENCE_ASYMPTOTIC || y < IOP_DIFFERENCE_ASYMPTOTIC; x++, y++)
        sum += iop_power_slope(1 / y, 1 / x, m) / x / y;
    double u = 1 / y, v = 1 / x, tail = iop_power_slope(u, v, m) / 2, rising = m;
    for (int k = 0; k < IOP_N_EULER_MACLAURIN; k++) {
        tail += iop_euler_maclaurin[k] * rising * iop_power_slope(u, v, m + 2 * k + 1);
        rising *= (m + 2 * k + 1) * (m + 2 * k + 2);
    }
    if (n > 0) tail += iop_power_slope(u, v, n) / n;
    double integral = n > 0 ? 0 : h >= 0 ? log1p(h * v) : -log1p(-h * u);
    return integral - sign * factorial * h * (sum + tail * u * v);
}

/* Sum over k >= 0 of (x + k)**-s, for x >= IOP_DIFFERENCE_ASYMPTOTIC and s >= 2 */
static inline double iop_far_hurwitz(int s, double x) {
    double square = 1 / (x * x), sum = 1.0 / (s - 1) + 0.5 / x, rising = s, power = square;
    for (int k = 0; k < IOP_N_EULER_MACLAURIN; k++, power *= square) {
        sum += iop_euler_maclaurin[k] * rising * power;
        rising *= (s + 2 * k + 1.0) * (s + 2 * k + 2.0);
    }
    return sum * pow(x, 1 - s);
}

/* ((psi(q + p) - psi(q)) / p - psi'(q + p)) / p, the sum over k >= 0 of 1 / ((q + k) (q + k + p)**2), 0 < p <= 1 */
static inline double iop_digamma_curvature(double q, double p) {
    double sum = 0, power = 1, tail = 0;
    for (; q < IOP_DIFFERENCE_ASYMPTOTIC; q++) sum += 1 / (q * (q + p) * (q + p));
    for (int j = 3; j < 17; j++, power *= p) tail += power * iop_far_hurwitz(j, q + p);
    return sum + tail;
}

/* The mixed second derivative of B(p, 1 + r) divided by B(p, 1 + r) for 0 < p <= 1 and r >= 0, both terms positive */
static inline double iop_beta_mixed_near(double p, double r) {
    double slope = iop_polygamma_difference(0, 1 + r, p);
    return p * iop_digamma_curvature(1 + r, p) + slope * iop_polygamma_difference(0, 1 + p, r);
}

/* The mixed second derivative of B(p, q) divided by B(p, q) */
static double iop_beta_mixed(double p, double q) {
    if (!(p > 0 && q > 0)) return NAN;
    if (p > q) return iop_beta_mixed(q, p);
    if (q < 1) return (p * iop_beta_mixed_near(q, p) + q * iop_beta_mixed_near(p, q)) / (p + q);
    if (p < 1) return iop_beta_mixed_near(p, q - 1);
    return iop_polygamma_difference(0, q, p) * iop_polygamma_difference(0, p, q) - iop_trigamma(p + q);
}

/* The second derivative of Gamma(x + h) / Gamma(x) by x, divided by that quotient */
static double iop_gamma_quotient_curvature(double x, double h) {
    int near_pole = x > 0 && x < 1;
    double start = near_pole ? x + 1 : x, slope = iop_polygamma_difference(0, start, h);
    double curvature = slope * slope + iop_polygamma_difference(1, start, h);
    /* 1/x - 1/(x + h), by which the slope differs, has a large square that cancels */
    return near_pole ? curvature + 2 * h / (x * (x + h)) * (slope - 1 / (x + h)) : curvature;
}

#endif
