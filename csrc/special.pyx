"""Functions of real numbers that neither the C library nor SciPy has, by address for machine code to call."""

from libc.stdint cimport uintptr_t


cdef extern from *:
    """
    #include <stdint.h>
    #include "bessel_order.h"
    #include "beta.h"
    #include "incomplete_gamma.h"
    #include "polygamma_difference.h"
    #include "zeta.h"

    /* log x - psi(a) */
    static double iop_log_less_psi(double x, double a) {
        return x >= 0 && a > 0 ? iop_log_less_digamma(x, a) : NAN;
    }

    #define IOP_SHAPE(name, jet, n) \\
        static double iop_##name##_##n(double a, double x) { return iop_jet_derivative(jet, n); }
    #define IOP_SHAPES(name, jet) \\
        IOP_SHAPE(name, jet, 0) IOP_SHAPE(name, jet, 1) IOP_SHAPE(name, jet, 2) IOP_SHAPE(name, jet, 3)
    IOP_SHAPES(gammainc, iop_gammainc_jet(a, x))
    IOP_SHAPES(lowergamma, iop_gamma_part(a, x, 0))
    IOP_SHAPES(uppergamma, iop_gamma_part(a, x, 1))

    #define IOP_ORDER(name, kind, n) \\
        static double iop_##name##_##n(double order, double x) { return iop_bessel_by_order(kind, n, order, x); }
    #define IOP_ORDERS(name, kind) \\
        IOP_ORDER(name, kind, 0) IOP_ORDER(name, kind, 1) IOP_ORDER(name, kind, 2) IOP_ORDER(name, kind, 3)
    IOP_ORDERS(besselj, IOP_BESSEL_J)
    IOP_ORDERS(bessely, IOP_BESSEL_Y)
    IOP_ORDERS(besseli, IOP_BESSEL_I)
    IOP_ORDERS(besselk, IOP_BESSEL_K)

    #define IOP_ZETA(n) static double iop_zeta_##n(double s) { return iop_jet_derivative(iop_zeta_jet(s), n); }
    IOP_ZETA(0) IOP_ZETA(1) IOP_ZETA(2) IOP_ZETA(3)

    #define IOP_DIFFERENCE(n) \\
        static double iop_polygamma_difference_##n(double x, double h) { return iop_polygamma_difference(n, x, h); }
    IOP_DIFFERENCE(0) IOP_DIFFERENCE(1) IOP_DIFFERENCE(2) IOP_DIFFERENCE(3)

    typedef struct { const char *name; uintptr_t address; } iop_named;
    #define IOP_NAMED(name) {#name, (uintptr_t) iop_##name}
    #define IOP_NAMED_ALL(name) IOP_NAMED(name##_0), IOP_NAMED(name##_1), IOP_NAMED(name##_2), IOP_NAMED(name##_3)
    static const iop_named iop_special[] = {
        IOP_NAMED(gamma_density), IOP_NAMED(gamma_integrand), IOP_NAMED(log_less_psi),
        IOP_NAMED(beta), IOP_NAMED(binomial), IOP_NAMED(poch), IOP_NAMED(beta_mixed), IOP_NAMED(gamma_quotient_curvature),
        IOP_NAMED_ALL(polygamma_difference),
        IOP_NAMED_ALL(gammainc), IOP_NAMED_ALL(lowergamma), IOP_NAMED_ALL(uppergamma), IOP_NAMED_ALL(besselj), IOP_NAMED_ALL(bessely), IOP_NAMED_ALL(besseli),
        IOP_NAMED_ALL(besselk), IOP_NAMED_ALL(zeta), {NULL, 0}};
    """
    ctypedef struct iop_named:
        const char *name
        uintptr_t address
    const iop_named *iop_special


def addresses():
    """Address of each function by its name; a name ends with the order of the derivative."""
    cdef int k = 0
    found = {}
    while iop_special[k].name != NULL:
        found[iop_special[k].name.decode()] = int(iop_special[k].address)
        k += 1
    return found
