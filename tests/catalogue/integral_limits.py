"""Integrals whose limits, kinks, jumps or singularities move with the parameters."""

from __future__ import annotations

from typing import Any

import mpmath

from catalogue.integral_case import IntegralCase, integral

_UNIT = ("x", 0, 1)


def moving_limits() -> list[IntegralCase]:
    """Limits that are functions of the parameters, also reversed and equal."""
    return [
        integral("Gaussian between two limits", "exp(-x**2)", ("x", "p", "q"), "p q",
                 [(-1.0, 0.5), (2.0, -1.0), (0.7, 0.7)], "sqrt(pi)/2*(erf(q) - erf(p))",
                 "smooth, moving limit, reversed, flat", "Leibniz's rule"),
        integral("both limits nonlinear", "1/(1 + x**2)", ("x", "p**2", "sin(p)"), "p", [0.5, 2.0, -1.0],
                 "atan(sin(p)) - atan(p**2)", "smooth, moving limit, reversed", "Leibniz's rule"),
        integral("limits and integrand move", "exp(-p*x)", ("x", "p", "p**2 + q"), "p q", [(1.5, 1.0), (0.8, -2.0)],
                 "(exp(-p**2) - exp(-p*(p**2 + q)))/p", "smooth, moving limit, reversed", "Leibniz's rule"),
        integral("window", "cos(w*x)", ("x", "p - h", "p + h"), "w p h", [(2.0, 0.3, 0.7), (10.0, 1.0, 2.0)],
                 "2*cos(w*p)*sin(w*h)/w", "smooth, moving limit", "textbook"),
        integral("polynomial", "c0 + c1*x + c2*x**2 + c3*x**3", ("x", "a", "b"), [("c0", "c1", "c2", "c3"), "a", "b"],
                 [((1.0, -0.5, 2.0, 0.3), -1.0, 2.0), ((0.0, 0.0, 1.0, 0.0), 3.0, -3.0)],
                 "c0*(b - a) + c1*(b**2 - a**2)/2 + c2*(b**3 - a**3)/3 + c3*(b**4 - a**4)/4",
                 "smooth, moving limit, reversed, vector parameter, flat", "textbook"),
        integral("length of a parabola", "sqrt(1 + 4*c**2*x**2)", ("x", 0, "b"), "c b", [(0.5, 1.0), (3.0, 2.0)],
                 "b*sqrt(1 + 4*c**2*b**2)/2 + asinh(2*c*b)/(4*c)", "smooth, moving limit", "textbook"),
        integral("sector of a circle", "sqrt(r**2 - x**2)", ("x", 0, "h"), "r h", [(1.0, 0.5), (2.0, -1.5)],
                 "(h*sqrt(r**2 - h**2) + r**2*asin(h/r))/2", "smooth, moving limit, reversed", "textbook"),
        integral("vector with moving limits", ["cos(k*x)", "sin(k*x)", "x"], ("x", "-a", "a"), "k a", [(2.0, 0.8)],
                 ["2*sin(k*a)/k", "0", "0"], "smooth, moving limit, vector integrand, cancellation, flat", "textbook"),
        integral("mixture with vector weights", "a*exp(-x) + b*exp(-2*x)", ("x", 0, "u"), [("a", "b"), "u"],
                 [((0.5, 2.0), 1.5)], "a*(1 - exp(-u)) + b*(1 - exp(-2*u))/2",
                 "smooth, moving limit, vector parameter, flat", "textbook"),
        integral("tiny and huge amplitudes", "a*exp(-x)", ("x", 0, "u"), "a u", [(1e-150, 1.0), (1e150, 2.0)],
                 "a*(1 - exp(-u))", "smooth, moving limit, multiscale, flat", "textbook"),
        integral("convolution with a ramp", "(t - x)*exp(-k*x)", ("x", 0, "t"), "k t", [(1.0, 2.0), (5.0, 0.5)],
                 "t/k - (1 - exp(-k*t))/k**2", "smooth, moving limit", "textbook"),
    ]  # fmt: skip


def moving_kinks() -> list[IntegralCase]:
    """Kinks and jumps whose places depend on the parameters, with and without a breakpoint there."""
    distance = "(p*Abs(p) + (1 - p)*Abs(1 - p))/2"
    two = "Piecewise((x**2, x < p), (exp(-x), True))"
    return [
        integral("absolute distance", "Abs(x - p)", _UNIT, "p", [0.3, 0.75, 1.5, -0.5], distance,
                 "kink, moving breakpoint", "textbook"),
        integral("absolute distance with breakpoint", "Abs(x - p)", _UNIT, "p", [0.3, 0.75], distance,
                 "kink, moving breakpoint", "textbook", breakpoints=["p"]),
        integral("breakpoint outside the limits", "Abs(x - p)*exp(x)", _UNIT, "p", [1.5, -0.5],
                 "(p*(exp(1) - 1) - 1)*sign(p)", "kink, moving breakpoint", "textbook",
                 breakpoints=["p"]),
        integral("call payoff", "Max(x - k, 0)*exp(-x)", ("x", 0, "oo"), "k", [0.5, 2.0], "exp(-k)",
                 "kink, moving breakpoint, infinite", "textbook"),
        integral("hat", "Min(x, p*(1 - x))", _UNIT, "p", [0.5, 3.0], "p/(2*(1 + p))", "kink, moving breakpoint",
                 "textbook"),
        integral("step", "Heaviside(x - p)*exp(-q*x)", ("x", 0, "oo"), "p q", [(0.7, 1.0), (2.0, 0.5)],
                 "exp(-p*q)/q", "jump, moving breakpoint, infinite", "textbook"),
        integral("sign", "sign(x - p)*cos(x)", ("x", -1, 1), "p", [0.2, -0.6], "-2*sin(p)",
                 "jump, moving breakpoint", "textbook"),
        integral("two branches", two, _UNIT, "p", [0.4, 0.9], "p**3/3 + exp(-p) - exp(-1)", "jump, moving breakpoint",
                 "textbook"),
        integral("two branches with breakpoint", two, _UNIT, "p", [0.4, 0.9], "p**3/3 + exp(-p) - exp(-1)",
                 "jump, moving breakpoint", "textbook", breakpoints=["p"]),
        integral("two continuous branches", "Piecewise((x**2, x < p), (p**2*exp(p - x), True))", _UNIT, "p",
                 [0.4, 0.8], "p**3/3 + p**2*(1 - exp(p - 1))", "kink, moving breakpoint", "textbook"),
        integral("two kinks of a parabola", "Abs(x**2 - p)", ("x", -1, 1), "p", [0.3, 0.8],
                 "8*p**(3/2)/3 - 2*p + 2/3", "kink, moving breakpoint", "textbook"),
        integral("two kinks of a parabola with breakpoints", "Abs(x**2 - p)", ("x", -1, 1), "p", [0.3, 0.8],
                 "8*p**(3/2)/3 - 2*p + 2/3", "kink, moving breakpoint", "textbook",
                 breakpoints=["-sqrt(p)", "sqrt(p)"]),
        integral("nested kinks", "Abs(Abs(x) - p)", ("x", -1, 1), "p", [0.25, 0.6], "p**2 + (1 - p)**2",
                 "kink, moving breakpoint", "textbook"),
        integral("rectified sine with breakpoints", "Abs(sin(p*x))", ("x", 0, "pi"), "p", [2.5, 2.2],
                 "(5 - cos(pi*p - 2*pi))/p", "kink, moving breakpoint", "textbook",
                 breakpoints=["pi/p", "2*pi/p"]),
        integral("jump at a moving limit", "Heaviside(x - p)*x", ("x", "p", "p + h"), "p h", [(0.5, 1.0)],
                 "((p + h)**2 - p**2)/2", "jump, moving breakpoint, moving limit, flat", "textbook"),
        integral("condition on a parameter", "Piecewise((exp(-x), p < 1), (p*x, True))", _UNIT, "p", [0.5, 2.0],
                 "Piecewise((1 - exp(-1), p < 1), (p/2, True))", "smooth, flat", "textbook"),
        integral("threshold and slope", "Piecewise((0, x < a), (b*(x - a)**2, True))", ("x", 0, "u"), "a b u",
                 [(0.5, 2.0, 1.5)], "b*(u - a)**3/3", "kink, moving breakpoint, moving limit", "textbook"),
    ]  # fmt: skip


def moving_singularities() -> list[IntegralCase]:
    """Singularities that move: the derivative exists, but not the integral of the integrand's derivative."""
    moving = "endpoint singularity, moving limit, moving singularity, hard"
    return [
        integral("inverse square root at the lower limit", "(x - a)**(-1/2)", ("x", "a", "b"), "a b",
                 [(0.0, 1.0), (0.3, 2.0)], "2*sqrt(b - a)", moving, "Abel's equation"),
        integral("arcsine law", "1/sqrt((x - a)*(b - x))", ("x", "a", "b"), "a b", [(0.2, 1.5)], "pi",
                 f"{moving}, flat", "textbook"),
        integral("particle in a circle", "x/sqrt(r**2 - x**2)", ("x", 0, "r"), "r", [1.0, 2.5], "r", f"{moving}, flat",
                 "textbook"),
        integral("logarithm at the lower limit", "log(x - a)", ("x", "a", "b"), "a b", [(0.5, 2.0)],
                 "(b - a)*(log(b - a) - 1)", moving, "textbook"),
        integral("fractional integral", "(t - x)**(s - 1)*exp(x)", ("x", 0, "t"), "s t", [(0.6, 1.5), (1.5, 2.0)],
                 lambda s, t: mpmath.exp(t) * mpmath.gammainc(s, 0, t), moving, "Riemann and Liouville"),
        integral("Abel transform", "2*x*exp(-x**2)/sqrt(x**2 - y**2)", ("x", "y", "oo"), "y", [0.5, 1.5],
                 "sqrt(pi)*exp(-y**2)", f"{moving}, infinite", "Abel (1826)"),
        integral("beta function on a moving interval", "x**(p - 1)*(b - x)**(q - 1)", ("x", 0, "b"), "p q b",
                 [(0.7, 0.5, 2.0)], lambda p, q, b: b ** (p + q - 1) * mpmath.beta(p, q), moving, "DLMF 5.12"),
        integral("root of a distance", "1/sqrt(Abs(x - p))", _UNIT, "p", [0.3, 0.75], "2*(sqrt(p) + sqrt(1 - p))",
                 "interior singularity, moving breakpoint, moving singularity, hard", "textbook", breakpoints=["p"]),
        integral("logarithm of a distance", "log(Abs(x - p))", _UNIT, "p", [0.3, 0.75], _log_distance,
                 "interior singularity, moving breakpoint, moving singularity, hard", "textbook", breakpoints=["p"]),
        integral("length of a quarter ellipse", "sqrt((a**2 - (1 - b**2/a**2)*x**2)/(a**2 - x**2))", ("x", 0, "a"),
                 "a b", [(2.0, 1.0)], lambda a, b: a * mpmath.ellipe(1 - b**2 / a**2), moving, "DLMF 19.30"),
        integral("power at a fixed end", "x**p*exp(-q*x)", ("x", 0, 3), "p q", [(-0.4, 1.0), (0.5, 2.0)],
                 lambda p, q: mpmath.gammainc(p + 1, 0, 3 * q) / q ** (p + 1), "endpoint singularity", "DLMF 8.2"),
    ]  # fmt: skip


def _log_distance(p: Any) -> Any:
    return p * mpmath.log(p) + (1 - p) * mpmath.log(1 - p) - 1
