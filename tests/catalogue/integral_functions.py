"""Integrals that represent special functions of their parameters. The numbers are sections of dlmf.nist.gov."""

from __future__ import annotations

from typing import Any

import mpmath

from catalogue.integral_case import IntegralCase, integral

_UNIT = ("t", 0, 1)
_HALF_LINE = ("t", 0, "oo")


def gamma_and_beta() -> list[IntegralCase]:
    """Gamma, beta, incomplete gamma, digamma and relatives."""
    return [
        integral("gamma function", "t**(s - 1)*exp(-t)", _HALF_LINE, "s", [0.4, 2.5, 20.0], "gamma(s)",
                 "infinite, endpoint singularity", "DLMF 5.2"),
        integral("beta function", "t**(a - 1)*(1 - t)**(b - 1)", _UNIT, "a b", [(1.5, 2.5), (0.6, 3.0)],
                 "gamma(a)*gamma(b)/gamma(a + b)", "endpoint singularity", "DLMF 5.12"),
        integral("beta function, two singular ends", "t**(a - 1)*(1 - t)**(b - 1)", _UNIT, "a b", [(0.5, 0.5)],
                 "gamma(a)*gamma(b)/gamma(a + b)", "endpoint singularity, hard", "DLMF 5.12"),
        integral("lower incomplete gamma", "t**(s - 1)*exp(-t)", ("t", 0, "x"), "s x", [(0.7, 1.5), (3.0, 4.0)],
                 lambda s, x: mpmath.gammainc(s, 0, x), "endpoint singularity, moving limit", "DLMF 8.2"),
        integral("upper incomplete gamma", "t**(s - 1)*exp(-t)", ("t", "x", "oo"), "s x", [(0.7, 1.5), (-0.5, 0.3)],
                 lambda s, x: mpmath.gammainc(s, x), "infinite, moving limit", "DLMF 8.2"),
        integral("exponential integral", "exp(-x*t)/t**n", ("t", 1, "oo"), "n x", [(1.0, 0.5), (2.5, 3.0)],
                 lambda n, x: mpmath.expint(n, x), "infinite", "DLMF 8.19"),
        integral("digamma function", "(1 - t**(z - 1))/(1 - t)", _UNIT, "z", [1.5, 4.2], "digamma(z) + EulerGamma",
                 "removable, endpoint singularity", "DLMF 5.9"),
        integral("Binet's second integral", "2*atan(t/z)/(exp(2*pi*t) - 1)", _HALF_LINE, "z", [0.5, 3.0],
                 "loggamma(z) - (z - 1/2)*log(z) + z - log(2*pi)/2", "infinite, removable, overflow", "DLMF 5.9"),
        integral("logarithm times exponential", "log(t)*exp(-p*t)", _HALF_LINE, "p", [1.0, 3.0],
                 "-(EulerGamma + log(p))/p", "infinite, endpoint singularity", "DLMF 5.9"),
        integral("zeta function", "t**(s - 1)/(exp(t) - 1)", _HALF_LINE, "s", [1.75, 4.0],
                 lambda s: mpmath.gamma(s) * mpmath.zeta(s), "infinite, endpoint singularity, overflow", "DLMF 25.5"),
        integral("Fermi-Dirac", "t**s/(exp(t - x) + 1)", _HALF_LINE, "s x", [(0.5, -0.5), (1.5, -3.0)],
                 lambda s, x: -mpmath.gamma(s + 1) * mpmath.polylog(s + 1, -mpmath.exp(x)).real,
                 "infinite, endpoint singularity, overflow", "DLMF 25.12"),
        integral("Bose-Einstein", "t**s/(exp(t + x) - 1)", _HALF_LINE, "s x", [(1.0, 0.5)],
                 lambda s, x: mpmath.gamma(s + 1) * mpmath.polylog(s + 1, mpmath.exp(-x)).real,
                 "infinite, endpoint singularity, overflow", "DLMF 25.12"),
        integral("Debye function of order 3", "t**3/(exp(t) - 1)", ("t", 0, "x"), "x", [0.5, 5.0], _debye,
                 "removable, moving limit", "Abramowitz & Stegun (1964), 27.1"),
        integral("Clausen function", "-log(2*sin(t/2))", ("t", 0, "x"), "x", [1.0, 2.5],
                 lambda x: mpmath.clsin(2, x), "endpoint singularity, moving limit", "DLMF 25.12"),
    ]  # fmt: skip


def _debye(x: Any) -> Any:
    e = mpmath.exp(-x)
    return (
        mpmath.pi**4 / 15
        + x**3 * mpmath.log(1 - e)
        - 3 * x**2 * mpmath.polylog(2, e).real
        - 6 * x * mpmath.polylog(3, e).real
        - 6 * mpmath.polylog(4, e).real
    )


def bessel() -> list[IntegralCase]:
    """Bessel functions, Struve's and Airy's; Bessel functions in the integrand."""
    order_two = "cos(2*t - x*sin(t))/pi"
    return [
        integral("Bessel J of order 2", order_two, ("t", 0, "pi"), "x", [1.0, 30.0], "besselj(2, x)", "oscillatory",
                 "DLMF 10.9"),
        integral("Bessel J by Poisson", "(1 - t**2)**(nu - 1/2)*cos(x*t)", _UNIT, "nu x", [(0.8, 2.0), (3.0, 10.0)],
                 lambda nu, x: mpmath.sqrt(mpmath.pi) / 2 * mpmath.gamma(nu + 0.5) * (2 / x) ** nu
                 * mpmath.besselj(nu, x), "endpoint singularity", "DLMF 10.9"),
        integral("Bessel I of order 0", "exp(x*cos(t))/pi", ("t", 0, "pi"), "x", [1.0, 100.0], "besseli(0, x)",
                 "peak, multiscale", "DLMF 10.32"),
        integral("von Mises moments", ["exp(k*cos(t))", "cos(t)*exp(k*cos(t))"], ("t", "-pi", "pi"), "k", [2.0, -1.0],
                 ["2*pi*besseli(0, k)", "2*pi*besseli(1, k)"], "smooth, vector integrand", "DLMF 10.32"),
        integral("Bessel K", "exp(-x*cosh(t))*cosh(nu*t)", _HALF_LINE, "nu x", [(0.0, 1.0), (2.5, 0.1)],
                 lambda nu, x: mpmath.besselk(nu, x), "infinite, overflow, flat", "DLMF 10.32"),
        integral("Bessel K, essential singularity", "exp(-t - r**2/(4*t))/t", _HALF_LINE, "r", [0.5, 4.0],
                 "2*besselk(0, r)", "infinite", "DLMF 10.32"),
        integral("Laplace transform of Bessel J", "exp(-s*t)*besselj(0, a*t)", _HALF_LINE, "s a",
                 [(1.0, 2.0), (0.5, 3.0)], "1/sqrt(s**2 + a**2)", "infinite, special function, oscillatory",
                 "DLMF 10.22"),
        integral("Struve H", "(1 - t**2)**(nu - 1/2)*sin(x*t)", _UNIT, "nu x", [(0.9, 1.5)],
                 lambda nu, x: mpmath.struveh(nu, x) * mpmath.sqrt(mpmath.pi) / 2 * mpmath.gamma(nu + 0.5)
                 * (2 / x) ** nu, "endpoint singularity", "DLMF 11.5"),
        integral("Airy Ai", "exp(-2*x**(3/2)/3 - sqrt(x)*t**2)*cos(t**3/3)/pi", _HALF_LINE, "x", [0.7, 4.0],
                 lambda x: mpmath.airyai(x), "infinite, oscillatory", "DLMF 9.5"),
        integral("Legendre function", "(x + sqrt(x**2 - 1)*cos(t))**nu/pi", ("t", 0, "pi"), "nu x", [(0.5, 1.5)],
                 lambda nu, x: mpmath.legenp(nu, 0, x, type=3).real, "smooth", "DLMF 14.12"),
    ]  # fmt: skip


def error_functions() -> list[IntegralCase]:
    """Error functions and the integrals of probability, heat and light that are made of them."""
    return [
        integral("error function", "2*exp(-t**2)/sqrt(pi)", ("t", 0, "z"), "z", [0.5, 3.0, -1.0, 0.0], "erf(z)",
                 "smooth, moving limit, reversed, flat", "DLMF 7.2"),
        integral("complementary error function", "2*exp(-t**2)/sqrt(pi)", ("t", "z", "oo"), "z", [0.5, -2.0, 6.0],
                 "erfc(z)", "infinite, moving limit, multiscale", "DLMF 7.2"),
        integral("Dawson's integral", "exp(t**2 - x**2)", ("t", 0, "x"), "x", [0.7, 6.0],
                 lambda x: mpmath.sqrt(mpmath.pi) / 2 * mpmath.exp(-(x**2)) * mpmath.erfi(x), "moving limit",
                 "DLMF 7.2"),
        integral("Fresnel integrals", ["cos(pi*t**2/2)", "sin(pi*t**2/2)"], ("t", 0, "z"), "z", [0.8, 5.0],
                 ["fresnelc(z)", "fresnels(z)"], "moving limit, vector integrand, oscillatory", "DLMF 7.2"),
        integral("Voigt profile", "exp(-t**2)*y/(pi*((x - t)**2 + y**2))", ("t", "-oo", "oo"), "x y",
                 [(0.5, 1.0), (2.0, 0.1)], _voigt, "doubly infinite, peak", "DLMF 7.19"),
        integral("Boys function of order 2", "t**4*exp(-x*t**2)", _UNIT, "x", [0.5, 20.0],
                 lambda x: mpmath.gammainc(mpmath.mpf(5) / 2, 0, x) / (2 * x**2.5), "smooth",
                 "Boys, Proceedings of the Royal Society A 200 (1950)"),
        integral("Owen's T at 1", "exp(-h**2*(1 + t**2)/2)/(2*pi*(1 + t**2))", _UNIT, "h", [0.5, 2.0],
                 "(1 - erf(h/sqrt(2))**2)/8", "smooth", "Owen, Annals of Mathematical Statistics 27 (1956)"),
        integral("Mellin transform of an error function", "t**(s - 1)*erfc(t)", _HALF_LINE, "s", [0.8, 3.0],
                 "gamma((s + 1)/2)/(sqrt(pi)*s)", "infinite, special function, endpoint singularity",
                 "Gradshteyn & Ryzhik, Table of Integrals, Series, and Products (2007)"),
        integral("Theis well function", "exp(-y)/y", ("y", "r**2*S/(4*T*t)", "oo"), "r S T t",
                 [(10.0, 1e-4, 0.01, 3600.0), (50.0, 1e-3, 0.005, 600.0)],
                 lambda r, storage, flow, t: mpmath.e1(r**2 * storage / (4 * flow * t)),
                 "infinite, moving limit, multiscale", "Theis, Transactions of the AGU 16 (1935)"),
        integral("mean of an error function", "erf(p*t)", _UNIT, "p", [1.0, 8.0],
                 "erf(p) + (exp(-p**2) - 1)/(p*sqrt(pi))", "smooth, special function", "DLMF 7.7"),
        integral("Green's function of heat", "exp(-x**2/(4*t))/sqrt(4*pi*t)", ("t", 0, "T"), "x T", [(0.5, 1.0)],
                 "sqrt(T/pi)*exp(-x**2/(4*T)) - x/2*erfc(x/(2*sqrt(T)))", "moving limit",
                 "Carslaw & Jaeger, Conduction of Heat in Solids (1959)"),
    ]  # fmt: skip


def _voigt(x: Any, y: Any) -> Any:
    z = mpmath.mpc(x, y)
    return (mpmath.exp(-(z**2)) * mpmath.erfc(-1j * z)).real


def elliptic_and_hypergeometric() -> list[IntegralCase]:
    """Elliptic integrals, hypergeometric functions, and what pendulums, ellipses and the cosmos make of them."""
    quarter = ("t", 0, "pi/2")
    return [
        integral("elliptic K and E", ["1/sqrt(1 - m*sin(t)**2)", "sqrt(1 - m*sin(t)**2)"], quarter, "m", [0.3, -2.0],
                 ["elliptic_k(m)", "elliptic_e(m)"], "smooth, vector integrand", "DLMF 19.2"),
        integral("elliptic K near 1", "1/sqrt(1 - m*sin(t)**2)", quarter, "m", [0.99, 0.999999], "elliptic_k(m)",
                 "peak", "DLMF 19.2"),
        integral("elliptic F", "1/sqrt(1 - m*sin(t)**2)", ("t", 0, "phi"), "phi m", [(1.0, 0.5), (-0.7, 0.9)],
                 lambda phi, m: mpmath.ellipf(phi, m), "smooth, moving limit, reversed", "DLMF 19.2"),
        integral("elliptic Pi", "1/((1 - n*sin(t)**2)*sqrt(1 - m*sin(t)**2))", quarter, "n m", [(0.3, 0.5)],
                 lambda n, m: mpmath.ellippi(n, m), "smooth", "DLMF 19.2"),
        integral("pendulum, quarter period", "1/sqrt(2*(cos(t) - cos(a)))", ("t", 0, "a"), "a", [0.5, 2.0],
                 lambda a: mpmath.ellipk(mpmath.sin(a / 2) ** 2),
                 "moving limit, endpoint singularity, moving singularity, hard", "DLMF 19.30"),
        integral("hypergeometric function by Euler", "t**(b - 1)*(1 - t)**(c - b - 1)*(1 - z*t)**(-a)", _UNIT,
                 "a b c z", [(0.5, 1.2, 2.7, 0.6)],
                 lambda a, b, c, z: mpmath.beta(b, c - b) * mpmath.hyp2f1(a, b, c, z), "endpoint singularity",
                 "DLMF 15.6"),
        integral("Kummer's function", "exp(z*t)*t**(a - 1)*(1 - t)**(b - a - 1)", _UNIT, "a b z", [(1.4, 2.8, -2.0)],
                 lambda a, b, z: mpmath.beta(a, b - a) * mpmath.hyp1f1(a, b, z), "endpoint singularity",
                 "DLMF 13.4"),
        integral("Tricomi's function", "exp(-z*t)*t**(a - 1)*(1 + t)**(b - a - 1)", _HALF_LINE, "a b z",
                 [(1.5, 0.5, 2.0)], lambda a, b, z: mpmath.gamma(a) * mpmath.hyperu(a, b, z),
                 "infinite, endpoint singularity", "DLMF 13.4"),
        integral("comoving distance", "1/sqrt(m*(1 + t)**3 + 1 - m)", ("t", 0, "z"), "m z", [(0.3, 1.0), (0.3, 1100.0)],
                 _comoving_distance, "moving limit, multiscale", "Hogg, arXiv astro-ph/9905116 (1999)"),
    ]  # fmt: skip


def _comoving_distance(m: Any, z: Any) -> Any:
    def tail(a: Any) -> Any:
        return 2 / mpmath.sqrt(m * a) * mpmath.hyp2f1(0.5, mpmath.mpf(1) / 6, mpmath.mpf(7) / 6, (m - 1) / (m * a**3))

    return tail(mpmath.mpf(1)) - tail(1 + z)
