"""Integrals that must be flagged as failed, and such as are likely to be, each with the reason."""

from __future__ import annotations

from typing import Any

import mpmath

from catalogue.integral_case import IntegralCase, integral

_UNIT = ("x", 0, 1)
_HALF_LINE = ("x", 0, "oo")
_SOURCE = "textbook"


def _without_value(
    name: str, integrand: str, domain: tuple[str, Any, Any], params: str, points: list[Any], tags: str, reason: str,
    breakpoints: tuple[str, ...] = (),
) -> IntegralCase:  # fmt: skip
    return integral(
        name, integrand, domain, params, points, None, tags, _SOURCE, breakpoints=breakpoints, reason=reason
    )


def divergent() -> list[IntegralCase]:
    """At an end, inside, at infinity: there is no value."""
    return [
        _without_value("reciprocal at an end", "p/x", _UNIT, "p", [1.0, -2.0], "divergent",
                       "a logarithm is infinite at 0"),
        _without_value("power -1 and below", "x**(p - 1)", _UNIT, "p", [0.0, -0.5], "divergent",
                       "p must be positive"),
        _without_value("reciprocal square at an end", "p/x**2", _UNIT, "p", [1.0], "divergent",
                       "the primitive is infinite at 0"),
        _without_value("iterated logarithm", "p/(x*log(x))", ("x", 0, "1/2"), "p", [1.0], "divergent, hard",
                       "log(log(1/x)) is infinite at 0, but below 7 for all numbers of double precision"),
        _without_value("reciprocal at the upper end", "p/(1 - x)", _UNIT, "p", [1.0], "divergent",
                       "a logarithm is infinite at 1"),
        _without_value("beta function with a negative argument", "x**(a - 1)*(1 - x)**(b - 1)", _UNIT, "a b",
                       [(0.5, -0.5), (0.0, 2.0)], "divergent", "both arguments must be positive"),
        _without_value("reciprocal at a moving limit", "1/(x - p)", ("x", "p", "p + 1"), "p", [0.5],
                       "divergent, moving limit", "a logarithm is infinite at the lower limit"),
        _without_value("double pole inside", "p/(x - 1/3)**2", _UNIT, "p", [1.0], "divergent",
                       "infinite, though the difference of the primitive at the ends is finite"),
        _without_value("double pole in the middle", "p/x**2", ("x", -1, 1), "p", [1.0], "divergent",
                       "infinite, with the pole at the midpoint, which many rules evaluate"),
        _without_value("double pole at a breakpoint", "p/(x - 1/3)**2", _UNIT, "p", [1.0], "divergent", "infinite",
                       ("1/3",)),
        _without_value("moving double pole", "1/(x - p)**2", _UNIT, "p", [0.4], "divergent, moving breakpoint",
                       "infinite"),
        _without_value("principal value", "1/(x - p)", _UNIT, "p", [0.4, 0.7], "divergent",
                       "only a principal value exists"),
        _without_value("principal value in the middle", "p/x", ("x", -1, 1), "p", [1.0], "divergent",
                       "only a principal value exists; rules that are symmetric give 0"),
        _without_value("principal value at a breakpoint", "1/(x - p)", _UNIT, "p", [0.4], "divergent",
                       "only a principal value exists", ("p",)),
        _without_value("odd triple pole in the middle", "p/x**3", ("x", -1, 1), "p", [1.0], "divergent",
                       "rules that are symmetric give 0"),
        _without_value("QUADPACK, Cauchy principal value", "2**(-a)/(((x - 1)**2 + 4**(-a))*(x - 2))", ("x", 0, 5),
                       "a", [1.0], "divergent", "only a principal value exists"),
        _without_value("tangent across its pole", "tan(p*x)", ("x", 0, 2), "p", [1.0], "divergent",
                       "only a principal value exists"),
        _without_value("absolute reciprocal inside", "1/Abs(x - p)", _UNIT, "p", [0.4], "divergent",
                       "logarithms are infinite at p"),
        _without_value("elliptic K at 1", "1/sqrt(1 - m*sin(x)**2)", ("x", 0, "pi/2"), "m", [1.0], "divergent",
                       "infinite at the upper end"),
        _without_value("constant on the half-line", "p + 0*x", _HALF_LINE, "p", [1.0], "divergent",
                       "does not decay"),
        _without_value("reciprocal on the half-line", "p/x", ("x", 1, "oo"), "p", [1.0], "divergent, slow decay",
                       "a logarithm is infinite at infinity"),
        _without_value("inverse square root on the half-line", "1/sqrt(p + x**2)", _HALF_LINE, "p", [1.0],
                       "divergent, slow decay", "a logarithm is infinite at infinity"),
        _without_value("odd function on the line", "x/(p + x**2)", ("x", "-oo", "oo"), "p", [1.0], "divergent",
                       "only a principal value exists; rules that are symmetric give 0"),
        _without_value("growing exponential", "exp(p*x)", _HALF_LINE, "p", [1.0, 1e-3], "divergent",
                       "p must be negative"),
        _without_value("growing exponential on the line", "exp(-p*x)", ("x", "-oo", "oo"), "p", [1.0], "divergent",
                       "infinite at minus infinity"),
        _without_value("sine on the half-line", "sin(p*x)", _HALF_LINE, "p", [1.0, 10.0], "divergent",
                       "its primitive oscillates without limit"),
        _without_value("cosine on the line", "cos(p*x)", ("x", "-oo", "oo"), "p", [1.0], "divergent",
                       "its primitive oscillates without limit"),
        _without_value("growing oscillation", "x*sin(p*x)", _HALF_LINE, "p", [1.0], "divergent",
                       "its primitive oscillates more and more"),
        _without_value("Student t with negative degrees of freedom", "(1 + x**2)**(-(nu + 1)/2)",
                       ("x", "-oo", "oo"), "nu", [0.0, -0.5], "divergent", "nu must be positive"),
        _without_value("mean of the Cauchy distribution", "Abs(x - m)/(1 + x**2)", ("x", "-oo", "oo"), "m", [0.5],
                       "divergent, slow decay", "has no mean"),
    ]  # fmt: skip


def undefined() -> list[IntegralCase]:
    """The integrand is not real on a part of the interval, a limit is NaN, or numbers go out of range."""
    return [
        _without_value("square root of negative numbers", "sqrt(x - p)", _UNIT, "p", [0.5, 0.01], "undefined",
                       "complex below p"),
        _without_value("logarithm of negative numbers", "log(x - p)", _UNIT, "p", [0.5, 0.01], "undefined",
                       "complex below p"),
        _without_value("NaN in a short part", "sqrt(Abs(x - 1/3) - p)", _UNIT, "p", [1e-3], "undefined, hidden",
                       "complex for |x - 1/3| < p, a 500th of the interval"),
        _without_value("power of negative numbers", "x**p", ("x", -1, 1), "p", [0.5], "undefined",
                       "complex below 0"),
        _without_value("arcsine beyond 1", "asin(p*x)", _UNIT, "p", [2.0], "undefined", "complex above 1/p"),
        _without_value("limit is not a number", "exp(-x)", ("x", 0, "sqrt(p)"), "p", [-1.0], "undefined",
                       "the upper limit is complex"),
        _without_value("overflow inside", "exp(p*x)", _UNIT, "p", [1000.0], "undefined, overflow",
                       "exp(1000)/1000 is out of range"),
        _without_value("everywhere NaN", "x + log(p)", _UNIT, "p", [-1.0], "undefined", "log(-1) is complex"),
    ]  # fmt: skip


def hidden() -> list[IntegralCase]:
    """There is a value, but sampling can hardly find it or its derivatives: flagged is right, and so is the value."""
    jumps = "the jump is not stated, and the derivative of the integrand does not know of it"
    return [
        integral("narrow Gaussian", "exp(-((x - p)/w)**2)/w", _UNIT, "p w", [(0.31830988, 1e-7)],
                 "sqrt(pi)/2*(erf((1 - p)/w) + erf(p/w))", "hidden, peak", _SOURCE,
                 reason="the integrand is 0 in all but a millionth of the interval"),
        integral("smooth with a narrow Gaussian", "cos(x) + exp(-((x - p)/w)**2)", _UNIT, "p w",
                 [(0.31830988, 1e-5)], "sin(1) + w*sqrt(pi)/2*(erf((1 - p)/w) + erf(p/w))", "hidden, peak", _SOURCE,
                 reason="samples see the cosine only"),
        integral("narrow step up and down", "Piecewise((1, Abs(x - p) < w), (0, True))", _UNIT, "p w",
                 [(0.41421356, 1e-6)], "2*w", "hidden, jump, moving breakpoint, flat", _SOURCE,
                 reason="the integrand is 0 in all but two millionths of the interval"),
        integral("jump of an arctangent", "atan(1/(x - p))", _UNIT, "p", [0.4, 0.3], _arctangent, "hidden, jump",
                 _SOURCE, reason=jumps),
        integral("jump of a sawtooth", "x - p - floor(x - p)", _UNIT, "p", [0.4], "1/2 + 0*p",
                 "hidden, jump, moving breakpoint, flat", _SOURCE, reason=jumps),
        integral("many jumps", "floor(p*x)", _UNIT, "p", [7.3, 12.5], _floors, "hidden, jump, moving breakpoint",
                 _SOURCE, reason=jumps),
        integral("rectified sine", "Abs(sin(p*x))", ("x", 0, "pi"), "p", [2.5, 12.3],
                 lambda p: (2 * mpmath.floor(p) + 1 - mpmath.cos(mpmath.pi * (p - mpmath.floor(p)))) / p,
                 "hidden, kink, moving breakpoint", _SOURCE,
                 reason="the kinks are not stated; each adds to the second derivative"),
        integral("root of a root", "sqrt((x - p)**2)", _UNIT, "p", [0.3], "(p**2 + (1 - p)**2)/2",
                 "hidden, kink, moving breakpoint", _SOURCE,
                 reason="a kink without Abs; it adds to the second derivative"),
        integral("unlocated power", "Abs(x - 1/3)**a", _UNIT, "a", [-0.8, -0.5],
                 "((2/3)**(a + 1) + (1/3)**(a + 1))/(a + 1)", "hard, interior singularity", _SOURCE,
                 reason="the singularity has no breakpoint"),
        integral("unlocated moving power", "1/sqrt(Abs(x - p))", _UNIT, "p", [0.3, 0.75],
                 "2*(sqrt(p) + sqrt(1 - p))", "hard, interior singularity, moving breakpoint, moving singularity",
                 _SOURCE, reason="the singularity has no breakpoint, and the differentiated integrand diverges"),
        integral("unlocated moving logarithm", "log(Abs(x - p))", _UNIT, "p", [0.3],
                 "p*log(p) + (1 - p)*log(1 - p) - 1",
                 "hard, interior singularity, moving breakpoint, moving singularity", _SOURCE,
                 reason="the singularity has no breakpoint; the derivative is a principal value"),
        integral("endless oscillation at an end", "sin(p/x)/x", _UNIT, "p", [1.0], "pi/2 - Si(p)",
                 "hard, oscillatory", _SOURCE, derivatives=0,
                 reason="infinitely many periods, and not absolutely convergent"),
        integral("very fast oscillation", "1 + cos(p*x)", _UNIT, "p", [1e7], "1 + sin(p)/p", "hard, oscillatory",
                 _SOURCE, reason="more than a million periods"),
    ]  # fmt: skip


def _arctangent(p: Any) -> Any:
    def primitive(u: Any) -> Any:
        return u * mpmath.atan(1 / u) + mpmath.log(1 + u**2) / 2

    return primitive(1 - p) - primitive(-p)


def _floors(p: Any) -> Any:
    whole = mpmath.floor(p)
    return whole - whole * (whole + 1) / (2 * p)
