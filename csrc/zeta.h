/* Riemann's zeta function and its derivatives, to third order, for real s.
 *
 * Euler and Maclaurin's sum, carried out on Taylor series in s (DLMF 25.2.9), and below -1/4 the reflection formula
 * (DLMF 25.4.1).
 */
#ifndef IMPLICITOPS_ZETA_H
#define IMPLICITOPS_ZETA_H

#include "polygamma.h"

#define IOP_ZETA_TERMS 16
#define IOP_N_ZETA_CORRECTIONS 12

/* B_2k / (2k)! */
static const double iop_zeta_correction[IOP_N_ZETA_CORRECTIONS] = {
    0.08333333333333333,    -0.001388888888888889,   3.306878306878307e-05,  -8.267195767195768e-07,
    2.08767569878681e-08,   -5.284190138687493e-10,  1.3382536530684679e-11, -3.3896802963225827e-13,
    8.586062056277845e-15,  -2.174868698558062e-16,  5.5090028283602295e-18, -1.3954464685812522e-19};

/* base**-s */
static inline iop_jet iop_inverse_power(double base, double s) {
    return iop_jet_from_logarithm(pow(base, -s), -log(base), 0, 0);
}

/* s > -1 or so: below 0 the terms are larger than their sum */
static iop_jet iop_zeta_above(double s) {
    const double n = IOP_ZETA_TERMS;
    iop_jet last = iop_inverse_power(n, s), sum = iop_jet_scale(iop_jet_divide_by_linear(last, s - 1), n);
    iop_jet factor = iop_jet_scale(iop_jet_multiply(last, iop_jet_linear(s, 1)), 1 / n);
    for (int k = 0; k < IOP_N_ZETA_CORRECTIONS; k++) {
        sum = iop_jet_add(sum, iop_jet_scale(factor, iop_zeta_correction[k]));
        factor = iop_jet_multiply(factor, iop_jet_linear(s + 2 * k + 1, 1));
        factor = iop_jet_scale(iop_jet_multiply(factor, iop_jet_linear(s + 2 * k + 2, 1)), 1 / (n * n));
    }
    sum = iop_jet_add(sum, iop_jet_scale(last, 0.5));
    for (int k = IOP_ZETA_TERMS - 1; k > 1; k--) sum = iop_jet_add(sum, iop_inverse_power(k, s));
    sum.c[0] += 1;
    return sum;
}

static iop_jet iop_alternating(iop_jet x) {
    for (int k = 1; k < IOP_JET; k += 2) x.c[k] = -x.c[k];
    return x;
}

static iop_jet iop_zeta_jet(double s) {
    if (s == 1 || isnan(s)) return iop_jet_nan();
    if (s > 1000) return iop_jet_constant(1);  /* 2**-s is 0 */
    if (s >= -0.25) return iop_zeta_above(s);
    /* 2 (2 pi)**(s-1) sin(pi s / 2) Gamma(1-s) zeta(1-s) */
    iop_jet sine = iop_jet_cos_pi(s / 2, 0.5, 3), power = iop_inverse_power(1 / 6.283185307179586477, s - 1);
    iop_jet reflected = iop_jet_multiply(iop_gamma_jet(1 - s), iop_zeta_above(1 - s));
    return iop_jet_scale(iop_jet_multiply(iop_jet_multiply(sine, power), iop_alternating(reflected)), 2);
}

#endif
