/* Truncated Taylor series in one variable: value and first three derivatives of what is computed with them.
 *
 * c[k] is the k-th derivative divided by k! (A. Griewank and A. Walther, Evaluating Derivatives, 2008, chapter 13).
 */
#ifndef IMPLICITOPS_JET_H
#define IMPLICITOPS_JET_H

#include <float.h>
#include <math.h>

#define IOP_JET 4

typedef struct {
    double c[IOP_JET];
} iop_jet;

static const double iop_jet_factorial[IOP_JET] = {1, 1, 2, 6};

static inline double iop_jet_derivative(iop_jet x, int n) { return x.c[n] * iop_jet_factorial[n]; }

static inline iop_jet iop_jet_constant(double value) { return (iop_jet){{value, 0, 0, 0}}; }

static inline iop_jet iop_jet_nan(void) { return (iop_jet){{NAN, NAN, NAN, NAN}}; }

/* value + slope * (the variable's deviation) */
static inline iop_jet iop_jet_linear(double value, double slope) { return (iop_jet){{value, slope, 0, 0}}; }

static inline iop_jet iop_jet_add(iop_jet x, iop_jet y) {
    for (int k = 0; k < IOP_JET; k++) x.c[k] += y.c[k];
    return x;
}

static inline iop_jet iop_jet_scale(iop_jet x, double factor) {
    for (int k = 0; k < IOP_JET; k++) x.c[k] *= factor;
    return x;
}

static inline iop_jet iop_jet_multiply(iop_jet x, iop_jet y) {
    iop_jet z;
    for (int k = 0; k < IOP_JET; k++) {
        double sum = 0;
        for (int j = 0; j <= k; j++) sum += x.c[j] * y.c[k - j];
        z.c[k] = sum;
    }
    return z;
}

static inline iop_jet iop_jet_divide(iop_jet x, iop_jet y) {
    iop_jet z;
    for (int k = 0; k < IOP_JET; k++) {
        double sum = x.c[k];
        for (int j = 0; j < k; j++) sum -= z.c[j] * y.c[k - j];
        z.c[k] = sum / y.c[0];
    }
    return z;
}

/* x / (value + the variable's deviation) */
static inline iop_jet iop_jet_divide_by_linear(iop_jet x, double value) {
    double inverse = 1 / value;
    x.c[0] *= inverse;
    for (int k = 1; k < IOP_JET; k++) x.c[k] = (x.c[k] - x.c[k - 1]) * inverse;
    return x;
}

/* A function from its value and the first three derivatives of its logarithm. */
static inline iop_jet iop_jet_from_logarithm(double value, double first, double second, double third) {
    iop_jet y;
    double l[IOP_JET] = {0, first, second / 2, third / 6};
    y.c[0] = value;
    for (int k = 1; k < IOP_JET; k++) {
        double sum = 0;
        for (int j = 1; j <= k; j++) sum += j * l[j] * y.c[k - j];
        y.c[k] = sum / k;
    }
    return y;
}

/* cos(pi x + shift * pi/2) where x is the variable times sign; exact at whole x */
static inline iop_jet iop_jet_cos_pi(double x, double sign, int shift) {
    const double pi = 3.14159265358979323846;
    double r = fmod(x, 2.0), power = 1;
    iop_jet y;
    double whole = rint(2 * r), s = sin(pi * (r - whole / 2)), c = cos(pi * (r - whole / 2));
    int quarter = ((int) whole % 4 + 4) % 4;
    for (int k = 0; k < IOP_JET; k++) {
        switch ((quarter + shift + k) % 4) {
        case 0: y.c[k] = c; break;
        case 1: y.c[k] = -s; break;
        case 2: y.c[k] = -c; break;
        default: y.c[k] = s;
        }
        y.c[k] *= power / iop_jet_factorial[k];
        power *= pi * sign;
    }
    return y;
}

#endif
