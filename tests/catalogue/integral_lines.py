"""Integrals over half a line and the whole line: transforms, moments, expectations, oscillatory tails."""

from __future__ import annotations

from catalogue.integral_case import IntegralCase, integral

_HALF_LINE = ("x", 0, "oo")
_LINE = ("x", "-oo", "oo")
_TABLE = "Gradshteyn & Ryzhik, Table of Integrals, Series, and Products (2007)"


def half_line() -> list[IntegralCase]:
    """Laplace and Mellin transforms and other integrals from or to infinity."""
    return [
        integral("Laplace transform of sine", "exp(-s*x)*sin(w*x)", _HALF_LINE, "s w", [(1.0, 2.0), (0.3, 5.0)],
                 "w/(s**2 + w**2)", "infinite, oscillatory", _TABLE),
        integral("reciprocal power", "1/(1 + x**p)", _HALF_LINE, "p", [2.0, 4.5], "pi/(p*sin(pi/p))",
                 "infinite, slow decay", _TABLE),
        integral("Mellin transform of 1/(1 + x)", "x**(s - 1)/(1 + x)", _HALF_LINE, "s", [0.5, 0.3], "pi/sin(pi*s)",
                 "infinite, slow decay, endpoint singularity", _TABLE),
        integral("Frullani", "(exp(-a*x) - exp(-b*x))/x", _HALF_LINE, "a b", [(1.0, 2.0), (0.1, 10.0)], "log(b/a)",
                 "infinite, removable", _TABLE),
        integral("Pareto tail", "a*m**a/x**(a + 1)", ("x", "m", "oo"), "a m", [(3.0, 2.0), (1.5, 0.1)], "1",
                 "infinite, slow decay, moving limit, flat", "textbook"),
        integral("from minus infinity", "exp(a*x)", ("x", "-oo", "b"), "a b", [(2.0, 1.0), (0.3, -5.0)],
                 "exp(a*b)/a", "infinite, moving limit", "textbook"),
        integral("survival with a hazard", "exp(-a*x - b*x**2/2)", _HALF_LINE, "a b", [(0.5, 0.2), (2.0, 1e-3)],
                 "sqrt(pi/(2*b))*exp(a**2/(2*b))*erfc(a/sqrt(2*b))", "infinite", "textbook"),
        integral("logarithm over a square", "log(x)/(x**2 + a**2)", _HALF_LINE, "a", [1.0, 2.0, 0.05],
                 "pi*log(a)/(2*a)", "infinite, endpoint singularity, slow decay, cancellation", _TABLE),
        integral("far away from 1", "x*exp(-x/L)/L**2", _HALF_LINE, "L", [1e4, 1e-4], "1",
                 "infinite, multiscale, flat", "textbook"),
    ]  # fmt: skip


def whole_line() -> list[IntegralCase]:
    """Moments and expectations."""
    density = "exp(-(x - mu)**2/(2*s**2))/(s*sqrt(2*pi))"
    convolution = "exp(-(y - x)**2/(2*s**2) - (x - m)**2/(2*t**2))/(2*pi*s*t)"
    normal, distribution = "exp(-x**2/2)/sqrt(2*pi)", "(1 + erf(({0})/sqrt(2)))/2"
    spread = "(log(S/K) + v**2*T/2)/(v*sqrt(T))"
    call = f"S*{distribution.format(spread)} - K*{distribution.format(spread + ' - v*sqrt(T)')}"
    payoff = f"Max(S*exp(v*sqrt(T)*x - v**2*T/2) - K, 0)*{normal}"
    market = [(100.0, 110.0, 0.2, 1.5), (1.0, 0.8, 0.5, 0.25)]
    return [
        integral("Gaussian moments", [density, f"x*{density}", f"x**2*{density}"], _LINE, "mu s",
                 [(0.3, 1.2), (4.0, 0.5)], ["1", "mu", "mu**2 + s**2"], "doubly infinite, vector integrand, flat",
                 "textbook"),
        integral("Gaussian far away", f"x**2*{density}", _LINE, "mu s", [(100.0, 1.0), (-1e3, 20.0)],
                 "mu**2 + s**2", "doubly infinite, peak, hard", "textbook"),
        integral("hyperbolic secant", "1/cosh(a*x)", _LINE, "a", [1.0, 0.05], "pi/a", "doubly infinite, overflow",
                 "textbook"),
        integral("Lorentzian", "1/((x - m)**2 + g**2)", _LINE, "m g", [(0.5, 1.0), (-3.0, 0.1)], "pi/g",
                 "doubly infinite, slow decay, flat", "textbook"),
        integral("Student t", "(1 + x**2/nu)**(-(nu + 1)/2)", _LINE, "nu", [1.0, 4.0, 30.0],
                 "sqrt(nu*pi)*gamma(nu/2)/gamma((nu + 1)/2)", "doubly infinite, slow decay", "textbook"),
        integral("Gumbel", "exp(p*x - exp(x))", _LINE, "p", [0.5, 3.0], "gamma(p)", "doubly infinite, overflow",
                 "DLMF 5.9"),
        integral("logistic transform", "exp(p*x)/(1 + exp(x))", _LINE, "p", [0.5, 0.2], "pi/sin(pi*p)",
                 "doubly infinite, overflow", _TABLE),
        integral("Fourier transform of a Gaussian", "exp(-a*x**2)*cos(k*x)", _LINE, "a k", [(1.0, 2.0), (0.5, 6.0)],
                 "sqrt(pi/a)*exp(-k**2/(4*a))", "doubly infinite, oscillatory, cancellation", _TABLE),
        integral("Fourier transform of the hyperbolic secant", "cos(k*x)/cosh(x)", _LINE, "k", [1.0, 5.0],
                 "pi/cosh(pi*k/2)", "doubly infinite, oscillatory, overflow, cancellation", _TABLE),
        integral("quartic weight", "exp(-x**4 - p*x**2)", _LINE, "p", [1.0, 4.0],
                 "sqrt(p)/2*exp(p**2/8)*besselk(1/4, p**2/8)", "doubly infinite", _TABLE),
        integral("marginal of two Gaussians", convolution, _LINE, "y m s t",
                 [(1.0, 0.5, 0.8, 1.5), (0.3, -0.2, 2.0, 0.1)],
                 "exp(-(y - m)**2/(2*(s**2 + t**2)))/sqrt(2*pi*(s**2 + t**2))", "doubly infinite", "textbook"),
        integral("Black-Scholes", payoff, _LINE, "S K v T", market, call, "doubly infinite, kink, moving breakpoint",
                 "Black & Scholes, Journal of Political Economy 81 (1973)", breakpoints=[f"v*sqrt(T) - {spread}"]),
        integral("expected shortfall", f"Max(m + s*x, 0)*{normal}", _LINE, "m s", [(0.2, 1.0), (-1.0, 2.0)],
                 f"m*{distribution.format('m/s')} + s*exp(-(m/s)**2/2)/sqrt(2*pi)",
                 "doubly infinite, kink, moving breakpoint", "textbook"),
    ]  # fmt: skip


def oscillatory_tails() -> list[IntegralCase]:
    """Improper integrals that don't converge absolutely, or whose derivatives don't."""
    tail = "infinite, oscillatory tail, hard"
    return [
        integral("Dirichlet", "sin(a*x)/x", _HALF_LINE, "a", [1.0, 3.0], "pi/2", f"{tail}, flat, removable",
                 "DLMF 4.26", derivatives=0),
        integral("Laplace's integral", "cos(a*x)/(1 + x**2)", _HALF_LINE, "a", [1.0, 4.0], "pi/2*exp(-a)", tail, _TABLE,
                 derivatives=1),
        integral("Laplace's other integral", "x*sin(a*x)/(1 + x**2)", _HALF_LINE, "a", [1.0, 2.5], "pi/2*exp(-a)",
                 tail, _TABLE, derivatives=0),
        integral("Laplace's integral, divided", "sin(a*x)/(x*(1 + x**2))", _HALF_LINE, "a", [1.0, 3.0],
                 "pi/2*(1 - exp(-a))", f"{tail}, removable", _TABLE),
        integral("Fresnel on the half-line", "cos(a*x**2)", _HALF_LINE, "a", [1.0, 2.0], "sqrt(pi/(8*a))", tail,
                 "DLMF 7.2", derivatives=0),
        integral("sine over a square root", "sin(a*x)/sqrt(x)", _HALF_LINE, "a", [1.0, 5.0], "sqrt(pi/(2*a))",
                 f"{tail}, endpoint singularity", _TABLE, derivatives=0),
    ]  # fmt: skip
