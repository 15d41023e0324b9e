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
    "Kahaner 9, five periods": [f"3/20 + {k}/5" for k in range(5)],
    "Kahaner 20, poles nearby": ["0"],
    "Kahaner 21, three peaks": ["1/5", "2/5", "3/5"],
    "Laplace transform of sine": ["5", "10", "20", "40", "80"],
    "Laplace transform of Bessel J": ["5", "10", "20", "40"],
    "QUADPACK, damped cosine": ["5", "10", "20", "40", "80", "160"],
    "far away from 1": ["L"],
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
def nodes(t):
    """Distance from an end and weight of the double exponential rules: on (0, 1), and on (0, oo)."""
    growth = mpmath.pi * mpmath.cosh(t)
    q = 1 / (1 + mpmath.exp(-mpmath.pi * mpmath.sinh(t)))
    r = mpmath.exp(mpmath.pi / 2 * mpmath.sinh(t))
    return (q, q * (1 - q) * growth), (r, r * growth / 2)


def double_exponential(below, above=None):
    """Integrals of vector functions by the trapezoidal rule after Takahasi and Mori (1974).

    Over (0, oo) of ``below``; or, with two functions, over (0, 1), where they take the distances from the two ends.
    Also returns the integrals of the absolute values. The step is halved until two results agree to 8 digits: the
    better one has twice as many.
    """
    total, absolute, previous = 0, 0, None
    for halvings in range(2, 10):
        step = mpmath.mpf(2) ** -halvings
        for side in (-1, 1):
            small = 0
            for k in itertools.count(*((side == 1, 1) if previous is None else (1, 2))):
                if above is None:
                    distance, weight = nodes(side * k * step)[1]
                else:
                    distance, weight = nodes(-k * step)[0]
                terms = (above or below if side == 1 else below)(distance) * weight
                total, absolute = total + terms, absolute + abs(terms)
                small = small + 1 if np.all(abs(terms) <= 1e-18 * absolute) else 0
                if small >= 3 and k * step > 1:
                    break
        if previous is not None and np.all(abs(step * total - previous) <= 1e-8 * step * absolute):
            return step * total, step * absolute
        previous = step * total
    raise ArithmeticError("the rule does not converge")


def alternating_tail(function, n_terms=24):
    """Integrals over (pi, oo) of functions that change sign with period pi.

    Those over half-periods are summed after Cohen, Rodriguez Villegas and Zagier (2000), algorithm 1.
    """
    places, weights = np.polynomial.legendre.leggauss(20)
    halves = []
    for k in range(1, n_terms + 1):
        points = [mpmath.pi * (k + (1 + mpmath.mpf(v)) / 2) for v in places]
        halves.append((-1) ** k * sum(w * mpmath.pi / 2 * function(v) for w, v in zip(weights, points)))
    d = (3 + mpmath.sqrt(8)) ** n_terms
    d = (d + 1 / d) / 2
    b, c, total = mpmath.mpf(-1), -d, 0
    for k, half in enumerate(halves):
        c = b - c
        total = total + c * half
        b = b * (k + n_terms) * (k - n_terms) / ((k + mpmath.mpf(1) / 2) * (k + 1))
    return -total / d


#: Relative displacement of the parameters: the differences have errors of its square.
STEP = mpmath.mpf(10) ** -18


def with_derivatives(expressions, params, values):
    """Expressions of the variable u with their first and second derivatives, as one vector function.

    By central differences with so many more digits that they are exact to 20.
    """
    p = len(params)
    steps = [STEP * (abs(v) if v != 0 else 1) for v in values]
    pairs = list(itertools.combinations(range(p), 2))
    moves = [(), *(((k, s),) for k in range(p) for s in (1, -1)),
             *(((j, s), (k, s)) for j, k in pairs for s in (1, -1))]  # fmt: skip
    places = [[v + sum(s * steps[k] for k, s in move if k == i) for i, v in enumerate(values)] for move in moves]
    at = {move: i for i, move in enumerate(moves)}
    weights = np.zeros((1 + p + p * (p + 1) // 2, len(moves)), dtype=object)
    weights[0, 0] = mpmath.mpf(1)
    for k in range(p):
        for s in (1, -1):
            weights[1 + k, at[((k, s),)]] = s / (2 * steps[k])
    for row, (j, k) in enumerate(itertools.combinations_with_replacement(range(p), 2), start=1 + p):
        scale = 1 / (2 * steps[j] * steps[k])
        for s in (1, -1):
            if j == k:
                weights[row, [at[((k, s),)], 0]] += np.array([2, -2]) * scale
            else:
                columns = [at[((j, s), (k, s))], at[((j, s),)], at[((k, s),)], 0]
                weights[row, columns] += np.array([1, -1, -1, 1]) * scale
    steps_at_zero = {"Heaviside": lambda x, *_: mpmath.mpf(1 if x > 0 else 0), "sign": mpmath.sign}
    function = sp.lambdify((u, *params), expressions, modules=[steps_at_zero, "mpmath"], cse=True)

    rounding = mpmath.mpf(10) ** (4 - mpmath.mp.dps)

    def evaluated(x):
        values = np.array([function(x, *place) for place in places], dtype=object)
        table = weights @ values
        table[abs(table) < rounding * (abs(weights) @ abs(values))] = mpmath.mpf(0)  # what is left of a zero
        return np.concatenate([table[0], table[1 : p + 1].T.ravel(), table[p + 1 :].T.ravel()])

    return evaluated


def parts(case, point, params, substitute):
    """Integrands whose sum is the integral: pairs over (0, 1), from both ends, and single ones over (0, oo)."""
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

    def at(x, slope):
        return [sign * slope * substitute(e).subs(case.variable, x) for e in case.integrand]

    for a, b in itertools.pairwise(places):
        if b == sp.oo:
            yield (at(a + u, 1),)
        elif a == -sp.oo:
            yield (at(b - u, 1),)
        else:
            yield at(a + (b - a) * u, b - a), at(b - (b - a) * u, b - a)


def integrated(case, point):
    """Value, first and second derivatives in one vector, and the integrals of their absolute values."""
    numbers = flattened(point)
    dummies = [sp.Dummy(s.name, **({"positive": True} if v > 0 else {"real": True}))
               for s, v in zip(case.flat_params, numbers)]  # fmt: skip
    renamed = dict(zip(case.flat_params, dummies))
    real = sp.Dummy("x", real=True)
    digits = 130 if case.tags & {"endpoint singularity", "interior singularity", "removable"} else 60

    def substitute(expression):
        return expression.subs(case.variable, real).xreplace(renamed).subs(real, case.variable)

    def compiled(expressions):
        return with_derivatives(expressions, dummies, [mpmath.mpf(v) for v in numbers])

    with mpmath.workdps(digits):
        if case.name not in PHASES:
            found = [double_exponential(*map(compiled, part)) for part in parts(case, numbers, dummies, substitute)]
            return tuple(sum(column) for column in zip(*found))
        phi = substitute(sp.sympify(PHASES[case.name], locals={**{str(s): s for s in case.flat_params}, "u": u}))
        expressions = [substitute(e).subs(case.variable, phi) * sp.diff(phi, u) for e in case.integrand]
        from_both_ends = [compiled([sp.pi * e.subs(u, x) for e in expressions]) for x in (sp.pi * u, sp.pi * (1 - u))]
        head, size = double_exponential(*from_both_ends)
        return head + alternating_tail(compiled(expressions)), size


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
