"""The catalogue of integrals: exact values and derivatives agree with quadrature in 30-digit arithmetic.

Each interval is cut at the breakpoints, each part is mapped to a fixed interval, and what results is differentiated
with respect to the parameters before it is summed: right for moving limits, kinks, jumps and singularities alike.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import mpmath
import numpy as np
import pytest
import sympy as sp

from implicitops.testing.integral_case import TAGS, flattened, integral
from implicitops.testing.integral_problems import failing_integrals, integral_catalogue, integral_named

CATALOGUE = integral_catalogue()
HIDDEN = [case for case in failing_integrals() if case.exact is not None]

#: Where else to cut: peaks and kinks that have no breakpoint in the statement.
CUTS = {
    "QUADPACK, peak": ["pi/4"],
    "Genz, product peak": ["u"],
    "Genz, Gaussian": ["u"],
    "Genz, continuous": ["u"],
    "Genz, discontinuous": ["u"],
    "Kahaner 2, step": ["p"],
    "Kahaner 20, poles nearby": ["0"],
    "Kahaner 21, three peaks": ["1/5", "2/5", "3/5"],
    "Gaussian moments": ["mu"],
    "Gaussian far away": ["mu"],
    "Lorentzian": ["m"],
    "Voigt profile": ["0", "x"],
    "marginal of two Gaussians": ["m", "y"],
    "expected shortfall": ["-m/s"],
    "absolute distance": ["p"],
    "call payoff": ["k"],
    "hat": ["p/(1 + p)"],
    "step": ["p"],
    "sign": ["p"],
    "two branches": ["p"],
    "two continuous branches": ["p"],
    "two kinks of a parabola": ["-sqrt(p)", "sqrt(p)"],
    "nested kinks": ["-p", "0", "p"],
    "threshold and slope": ["a"],
    "narrow Gaussian": ["p"],
    "smooth with a narrow Gaussian": ["p"],
    "narrow step up and down": ["p - w", "p + w"],
    "jump of an arctangent": ["p"],
    "jump of a sawtooth": ["p"],
    "rectified sine": [f"{k}*pi/p" for k in range(1, 13)],
    "root of a root": ["p"],
    "unlocated power": ["1/3"],
    "unlocated moving power": ["p"],
    "unlocated moving logarithm": ["p"],
    "many jumps": [f"{k}/p" for k in range(1, 41)],
}

#: Substitutions x = phi(u) after which a tail has the period 2 pi, whatever the parameters.
PHASES = {
    "Dirichlet": "u/a",
    "Laplace's integral": "u/a",
    "Laplace's other integral": "u/a",
    "Laplace's integral, divided": "u/a",
    "Fresnel on the half-line": "sqrt(u/a)",
    "sine over a square root": "u/a",
}

#: More periods than the rules below can follow: the exact values are only compared with themselves.
TOO_FAST = {"endless oscillation at an end", "very fast oscillation"}

u = sp.Symbol("u", positive=True)


@lru_cache(maxsize=None)
def nodes(sixteenths):
    """Distances from an end and weights of the double exponential rules: on (0, 1/2), and on (0, oo)."""
    t = mpmath.mpf(sixteenths) / 16
    growth = mpmath.pi * mpmath.cosh(t)
    q = 1 / (1 + mpmath.exp(-mpmath.pi * mpmath.sinh(t)))
    r = mpmath.exp(mpmath.pi / 2 * mpmath.sinh(t))
    return q, q * (1 - q) * growth, r, r * growth / 2


def double_exponential(function, infinite):
    """Integrals of the entries of a vector function, by the trapezoidal rule after Takahasi and Mori (1974).

    Over (0, oo), or (0, 1/2). The step is halved until two results agree to 15 digits; also returns those of the
    absolute values.
    """
    total, absolute, previous = 0, 0, None
    step, odd = mpmath.mpf(2), False
    while step >= mpmath.mpf(1) / 128:
        for direction in (1, -1):
            if direction == 1 and not infinite:
                continue
            small = 0
            for k in itertools.count((1 if odd else direction == -1), 2 if odd else 1):
                q, q_weight, r, r_weight = nodes(direction * k * step * 16)
                weight = r_weight if infinite else q_weight * (0.5 if k == 0 else 1)
                terms = function(r if infinite else q) * weight
                total, absolute = total + terms, absolute + abs(terms)
                small = small + 1 if np.all(abs(terms) <= 1e-24 * absolute) else 0
                if small >= 3 and k * step > 1:
                    break
        if previous is not None and np.all(abs(step * total - previous) <= 1e-15 * step * absolute):
            return step * total, step * absolute
        previous, step, odd = step * total, step / 2, True
    raise ArithmeticError("the rule does not converge")


def tail(function):
    """Integrals over (0, oo) of functions that change sign at multiples of pi, or nearly: Euler's transformation."""
    return [mpmath.quadosc(lambda x, k=k: function(x)[k], [0, mpmath.inf], omega=1) for k in range(len(function(1)))]


def entries(expressions, params, order):
    """Expressions, their first derivatives and their second ones, in one function of the variable u."""
    found = list(expressions)
    if order:
        found += [sp.diff(e, p) for e in expressions for p in params]
    if order > 1:
        found += [sp.diff(e, *pair) for e in expressions for pair in itertools.combinations_with_replacement(params, 2)]
    plain = {
        "DiracDelta": lambda *_: mpmath.mpf(0),
        "sign": mpmath.sign,
        "Heaviside": lambda x, *_: mpmath.mpf(1 if x > 0 else 0),
    }
    # Derivatives of floor and of sign are zero inside a part.
    found = [e.replace(sp.Derivative, lambda *_: sp.S.Zero).replace(sp.Subs, lambda *_: sp.S.Zero) for e in found]
    return sp.lambdify((u, *params), found, modules=[plain, "mpmath"], cse=True)


def parts(case, point, params, substitute):
    """Integrands on (0, oo) or (0, 1/2) whose sum is the integral, and whether they are the former."""
    x = case.variable
    known = {str(s): s for s in case.flat_params}
    cuts = [*case.breakpoints, *(sp.sympify(text, locals=known) for text in CUTS.get(case.name, []))]
    values = dict(zip(params, map(sp.Float, point)))
    ends = [substitute(e) for e in (case.lower, case.upper)]
    low, high = (float(e.subs(values)) for e in ends)
    sign = 1
    if low > high:
        ends, low, high, sign = ends[::-1], high, low, -1
    inside = {float(c.subs(values)): c for c in map(substitute, cuts)}
    places = [ends[0], *(inside[v] for v in sorted(inside) if low < v < high), ends[1]]
    if places == [-sp.oo, sp.oo]:
        places.insert(1, sp.S.Zero)
    f = [sign * substitute(e) for e in case.integrand]
    for a, b in itertools.pairwise(places):
        if b == sp.oo:
            yield [e.subs(x, a + u) for e in f], True
        elif a == -sp.oo:
            yield [e.subs(x, b - u) for e in f], True
        else:
            yield [e.subs(x, a + (b - a) * u) * (b - a) for e in f], False
            yield [e.subs(x, b - (b - a) * u) * (b - a) for e in f], False


def integrated(case, point):
    """Value, first and second derivatives in one vector, and the integrals of their absolute values."""
    numbers = flattened(point)
    dummies = [sp.Dummy(s.name, **({"positive": True} if v > 0 else {"real": True}))
               for s, v in zip(case.flat_params, numbers)]  # fmt: skip
    renamed = dict(zip(case.flat_params, dummies))
    real = sp.Dummy("x", real=True)

    def substitute(expression):
        return expression.subs(case.variable, real).xreplace(renamed).subs(real, case.variable)

    with mpmath.workdps(30):
        values = [mpmath.mpf(v) for v in numbers]
        if case.name in PHASES:
            phi = substitute(sp.sympify(PHASES[case.name], locals={str(s): s for s in case.flat_params}))
            phi = phi.subs(sp.Symbol("u"), u)
            f = entries([substitute(e).subs(case.variable, phi) * sp.diff(phi, u) for e in case.integrand], dummies, 2)
            with mpmath.workdps(16):
                found = np.array(tail(lambda x: f(x, *values)), dtype=object)
            return found, abs(found) + 1
        total = absolute = 0
        for expressions, infinite in parts(case, numbers, dummies, substitute):
            f = entries(expressions, dummies, 2)
            value, size = double_exponential(lambda x, f=f: np.array(f(x, *values), dtype=object), infinite)
            total, absolute = total + value, absolute + size
    return total, absolute


def exact(case, point):
    reference = case.reference(point)
    rows, columns = np.triu_indices(len(case.flat_params))
    hessian = [matrix[i, j] for matrix in reference.hessian for i, j in zip(rows, columns)]
    return np.array([*reference.value, *reference.jacobian.ravel(), *hessian], dtype=object)


EVERYTHING = [(case, point) for case in (*CATALOGUE, *HIDDEN) if case.name not in TOO_FAST for point in case.points]


@pytest.mark.parametrize(("case", "point"), EVERYTHING, ids=str)
def test_value_gradient_and_hessian_agree_with_quadrature(case, point):
    found, size = integrated(case, point)
    assert np.all(abs(found - exact(case, point)) <= 1e-12 * size)
