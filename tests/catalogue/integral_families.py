"""Integrals of the published test sets for quadrature: QUADPACK's, Genz's and Kahaner's, with their parameters."""

from __future__ import annotations

from typing import Any

import mpmath

from catalogue.integral_case import IntegralCase, integral

_QUADPACK = "Piessens, de Doncker-Kapenga, Überhuber & Kahaner, QUADPACK (1983), test families"
_GENZ = "Genz, A package for testing multiple integration subroutines (1987), in one dimension"
_KAHANER = "Kahaner, Comparison of numerical quadrature formulas (1971), with a parameter put in"


def quadpack() -> list[IntegralCase]:
    """The families by which QUADPACK was tested, with breakpoints where a singularity is inside."""
    power = "((1 - {0})**(alpha + 1) + {0}**(alpha + 1))/(alpha + 1)"
    return [
        integral("QUADPACK, power times logarithm", "x**alpha*log(1/x)", ("x", 0, 1), "alpha", [-0.5, 0.0, 2.6],
                 "1/(alpha + 1)**2", "endpoint singularity", _QUADPACK),
        integral("QUADPACK, strong power times logarithm", "x**alpha*log(1/x)", ("x", 0, 1), "alpha", [-0.9, -0.8],
                 "1/(alpha + 1)**2", "endpoint singularity, hard", _QUADPACK),
        integral("QUADPACK, peak", "4**(-alpha)/((x - pi/4)**2 + 16**(-alpha))", ("x", 0, 1), "alpha",
                 [0.0, 3.0, 8.0], "atan((4 - pi)*4**(alpha - 1)) + atan(pi*4**(alpha - 1))", "peak", _QUADPACK),
        integral("QUADPACK, Bessel", "cos(2**alpha*sin(x))", ("x", 0, "pi"), "alpha", [0.0, 3.0, 7.0],
                 lambda alpha: mpmath.pi * mpmath.besselj(0, 2**alpha), "oscillatory", _QUADPACK),
        integral("QUADPACK, power inside", "Abs(x - 1/3)**alpha", ("x", 0, 1), "alpha", [-0.2, 0.7, 2.1],
                 power.format("(1/3)"), "interior singularity", _QUADPACK, breakpoints=["1/3"]),
        integral("QUADPACK, strong power inside", "Abs(x - 1/3)**alpha", ("x", 0, 1), "alpha", [-0.8, -0.5],
                 power.format("(1/3)"), "interior singularity, hard", _QUADPACK, breakpoints=["1/3"]),
        integral("QUADPACK, power at pi/4", "Abs(x - pi/4)**alpha", ("x", 0, 1), "alpha", [-0.2, 1.5],
                 power.format("(pi/4)"), "interior singularity", _QUADPACK, breakpoints=["pi/4"]),
        integral("QUADPACK, Chebyshev weight", "1/sqrt(1 - x**2)/(1 + x + 2**(-alpha))", ("x", -1, 1), "alpha",
                 [1.0, 4.0], "pi/sqrt((1 + 2**(-alpha))**2 - 1)", "endpoint singularity", _QUADPACK),
        integral("QUADPACK, power of sine", "sin(x)**(alpha - 1)", ("x", 0, "pi/2"), "alpha", [0.5, 1.7],
                 "2**(alpha - 2)*gamma(alpha/2)**2/gamma(alpha)", "endpoint singularity", _QUADPACK),
        integral("QUADPACK, power of logarithm", "log(1/x)**(alpha - 1)", ("x", 0, 1), "alpha", [1.3, 2.0],
                 "gamma(alpha)", "endpoint singularity", _QUADPACK),
        integral("QUADPACK, damped sine", "exp(20*(x - 1))*sin(2**alpha*x)", ("x", 0, 1), "alpha", [0.0, 4.0, 7.0],
                 "(20*sin(2**alpha) - 2**alpha*cos(2**alpha) + 2**alpha*exp(-20))/(400 + 4**alpha)",
                 "oscillatory, cancellation", _QUADPACK),
        integral("QUADPACK, cosine with weight", "cos(2**alpha*x)/sqrt(x*(1 - x))", ("x", 0, 1), "alpha", [1.0, 5.0],
                 lambda alpha: mpmath.pi * mpmath.cos(2 ** (alpha - 1)) * mpmath.besselj(0, 2 ** (alpha - 1)),
                 "endpoint singularity, oscillatory", _QUADPACK),
        integral("QUADPACK, exponential", "x**2*exp(-2**(-alpha)*x)", ("x", 0, "oo"), "alpha", [0.0, 3.0, 5.0],
                 "2**(3*alpha + 1)", "infinite", _QUADPACK),
        integral("QUADPACK, algebraic decay", "x**(alpha - 1)/(1 + 10*x)**2", ("x", 0, "oo"), "alpha",
                 [0.3, 0.75, 1.5], "10**(-alpha)*(1 - alpha)*pi/sin(pi*alpha)",
                 "infinite, endpoint singularity, slow decay", _QUADPACK),
        integral("QUADPACK, damped cosine", "exp(-2**(-alpha)*x)*cos(x)/sqrt(x)", ("x", 0, "oo"), "alpha", [0.0, 3.0],
                 "sqrt(pi)*(1 + 4**(-alpha))**(-1/4)*cos(atan(2**alpha)/2)",
                 "infinite, endpoint singularity, oscillatory", _QUADPACK),
    ]  # fmt: skip


def genz() -> list[IntegralCase]:
    """Genz's six families: difficulty ``a``, place ``u``."""
    unit = ("x", 0, 1)
    return [
        integral("Genz, oscillatory", "cos(2*pi*u + a*x)", unit, "a u", [(1.0, 0.2), (40.0, 0.7)],
                 "(sin(2*pi*u + a) - sin(2*pi*u))/a", "oscillatory", _GENZ),
        integral("Genz, product peak", "1/(a**(-2) + (x - u)**2)", unit, "a u", [(5.0, 0.3), (200.0, 0.62)],
                 "a*(atan(a*(1 - u)) + atan(a*u))", "peak", _GENZ),
        integral("Genz, corner peak", "(1 + a*x)**(-2)", unit, "a", [0.5, 5.0], "1/(1 + a)", "smooth", _GENZ),
        integral("Genz, Gaussian", "exp(-a**2*(x - u)**2)", unit, "a u", [(2.0, 0.4), (50.0, 0.37)],
                 "sqrt(pi)/(2*a)*(erf(a*(1 - u)) + erf(a*u))", "peak", _GENZ),
        integral("Genz, continuous", "exp(-a*Abs(x - u))", unit, "a u", [(1.0, 0.3), (30.0, 0.8)],
                 "(2 - exp(-a*u) - exp(-a*(1 - u)))/a", "kink, moving breakpoint", _GENZ),
        integral("Genz, continuous with breakpoint", "exp(-a*Abs(x - u))", unit, "a u", [(1.0, 0.3), (30.0, 0.8)],
                 "(2 - exp(-a*u) - exp(-a*(1 - u)))/a", "kink, moving breakpoint", _GENZ, breakpoints=["u"]),
        integral("Genz, discontinuous", "Piecewise((exp(a*x), x < u), (0, True))", unit, "a u",
                 [(1.0, 0.3), (5.0, 0.8)], "(exp(a*u) - 1)/a", "jump, moving breakpoint", _GENZ),
        integral("Genz, discontinuous with breakpoint", "Piecewise((exp(a*x), x < u), (0, True))", unit, "a u",
                 [(1.0, 0.3), (5.0, 0.8)], "(exp(a*u) - 1)/a", "jump, moving breakpoint", _GENZ, breakpoints=["u"]),
    ]  # fmt: skip


def kahaner() -> list[IntegralCase]:
    """Kahaner's integrals, where a parameter makes sense and leaves a closed form."""
    unit = ("x", 0, 1)
    squared = "(-sin(pi*p)**2 + sin(pi*p/100)**2*100 + pi*p*(Si(2*pi*p) - Si(pi*p/50)))/(pi**2*p)"
    peaks = "sech(p*(x - 1/5))**2 + sech(10*p*(x - 2/5))**4 + sech(100*p*(x - 3/5))**6"
    return [
        integral("Kahaner 1, exponential", "exp(p*x)", unit, "p", [1.0, -3.0, 1e-3], "(exp(p) - 1)/p", "smooth",
                 _KAHANER),
        integral("Kahaner 2, step", "Piecewise((0, x < p), (1, True))", unit, "p", [0.3, 0.9], "1 - p",
                 "jump, moving breakpoint, flat", _KAHANER),
        integral("Kahaner 3, 6 and 7, power", "x**p", unit, "p", [0.5, 1.5, -0.5], "1/(p + 1)",
                 "endpoint singularity", _KAHANER),
        integral("Kahaner 4, hyperbolic and circular cosine", "p*cosh(x) - q*cos(x)", ("x", -1, 1), "p q",
                 [(0.92, 1.0)], "2*p*sinh(1) - 2*q*sin(1)", "smooth, flat", _KAHANER),
        integral("Kahaner 5, quartic denominator", "1/(x**4 + x**2 + p)", ("x", -1, 1), "p", [0.9, 0.1],
                 _quartic_denominator, "smooth", _KAHANER),
        integral("Kahaner 8, quartic denominator", "1/(1 + p*x**4)", unit, "p", [1.0, 10.0],
                 lambda p: mpmath.hyp2f1(1, 0.25, 1.25, -p), "smooth", _KAHANER),
        integral("Kahaner 9, five periods", "p/(p + sin(10*pi*x))", unit, "p", [2.0, 1.05], "p/sqrt(p**2 - 1)",
                 "oscillatory", _KAHANER),
        integral("Kahaner 10, reciprocal", "1/(p + x)", unit, "p", [1.0, 1e-3], "log((1 + p)/p)", "peak", _KAHANER),
        integral("Kahaner 11, logistic", "1/(1 + exp(p*x))", unit, "p", [1.0, 20.0], "1 - log((1 + exp(p))/2)/p",
                 "smooth", _KAHANER),
        integral("Kahaner 12, Debye", "x/(exp(p*x) - 1)", unit, "p", [1.0, 5.0],
                 lambda p: mpmath.polylog(2, 1 - mpmath.exp(-p)).real / p**2, "removable", _KAHANER),
        integral("Kahaner 13, sine over x", "sin(p*x)/(pi*x)", ("x", "1/10", 1), "p", [100.0, 314.0],
                 "(Si(p) - Si(p/10))/pi", "oscillatory", _KAHANER),
        integral("Kahaner 14, half a Gaussian", "sqrt(p)*exp(-p*pi*x**2)", ("x", 0, 10), "p", [50.0, 0.01],
                 "erf(10*sqrt(p*pi))/2", "peak, flat", _KAHANER),
        integral("Kahaner 15, exponential decay", "p*exp(-p*x)", ("x", 0, 10), "p", [25.0, 0.5], "1 - exp(-10*p)",
                 "peak, flat", _KAHANER),
        integral("Kahaner 16, half a Lorentzian", "p/(pi*(p**2*x**2 + 1))", ("x", 0, 10), "p", [50.0, 1.0],
                 "atan(10*p)/pi", "peak", _KAHANER),
        integral("Kahaner 17, squared sine over x", "p*(sin(p*pi*x)/(p*pi*x))**2", ("x", "1/100", 1), "p", [50.0, 7.3],
                 squared, "oscillatory", _KAHANER),
        integral("Kahaner 19, logarithm", "log(p*x)", unit, "p", [1.0, 30.0], "log(p) - 1", "endpoint singularity",
                 _KAHANER),
        integral("Kahaner 20, poles nearby", "1/(x**2 + p)", ("x", -1, 1), "p", [1.005, 1e-2, 1e-6],
                 "2*atan(1/sqrt(p))/sqrt(p)", "peak", _KAHANER),
        integral("Kahaner 21, three peaks", peaks, unit, "p", [10.0], _three_peaks, "peak",
                 _KAHANER),
    ]  # fmt: skip


def _quartic_denominator(p: Any) -> Any:
    """By partial fractions, whose two terms are complex conjugates for p > 1/4."""
    root = mpmath.sqrt(mpmath.mpc(1 - 4 * p))
    first, second = ((1 - root) / 2, (1 + root) / 2)
    primitive = [2 * mpmath.atan(1 / mpmath.sqrt(r)) / mpmath.sqrt(r) for r in (first, second)]
    return ((primitive[0] - primitive[1]) / root).real


def _three_peaks(p: Any) -> Any:
    def between(scale: Any, place: Any, primitive: Any) -> Any:
        upper, lower = (mpmath.tanh(scale * (x - place)) for x in (1, 0))
        return (primitive(upper) - primitive(lower)) / scale

    fifth = mpmath.mpf(1) / 5
    return (
        between(p, fifth, lambda t: t)
        + between(10 * p, 2 * fifth, lambda t: t - t**3 / 3)
        + between(100 * p, 3 * fifth, lambda t: t - 2 * t**3 / 3 + t**5 / 5)
    )
