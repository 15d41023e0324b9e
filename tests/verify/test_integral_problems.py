"""The catalogue of integrals: exact values and derivatives agree with quadrature in 30-digit arithmetic.

Each interval is cut at the breakpoints, each part is mapped to a fixed interval, and what results is differentiated
with respect to the parameters before it is summed: right for moving limits, kinks, jumps and singularities alike.
"""

from __future__ import annotations

import itertools
from functools import cache

import mpmath
import numpy as np
import pytest
import sympy as sp
from catalogue.integral_case import TAGS, flattened, integral
from catalogue.integral_problems import failing_integrals, integral_catalogue, integral_named

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
    "many jumps": [f"{k}/p" for k in range(1, 13)],
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


@cache
def node(t, kind):
    """Distance from an end and weight of a double exponential rule: on (0, 1), or on (0, oo)."""
    if kind == "finite":
        q = 1 / (1 + mpmath.exp(mpmath.pi * mpmath.sinh(t)))
        return q, q * (1 - q) * mpmath.pi * mpmath.cosh(t)
    if kind == "slow":
        r = mpmath.exp(mpmath.pi / 2 * mpmath.sinh(t))
        return r, r * mpmath.pi / 2 * mpmath.cosh(t)
    r = mpmath.exp(t - mpmath.exp(-t))
    return r, r * (1 + mpmath.exp(-t))


def double_exponential(kind, below, above=None):
    """Integrals of vector functions by the trapezoidal rule after Takahasi and Mori (1974).

    Over (0, oo) of ``below``, where it decays exponentially or not, by ``kind``; or, with two functions, over (0, 1),
    where they take the distances from the two ends. Also returns the integrals of the absolute values. The step is
    halved until two results agree to 9 digits: the better one has twice as many.
    """
    total, absolute, previous, reach = 0, 0, None, {}
    for halvings in range(2, 10):
        step = mpmath.mpf(2) ** -halvings
        for side in (-1, 1):
            small = 0
            for k in itertools.count(*((side == 1, 1) if previous is None else (1, 2))):
                if previous is not None and k * step > reach[side]:
                    break
                distance, weight = node(k * step if kind == "finite" else side * k * step, kind)
                terms = (above or below if side == 1 else below)(distance) * weight
                total, absolute = total + terms, absolute + abs(terms)
                if previous is None and k * step > 1:
                    negligible = abs(terms) <= 1e-17 * absolute
                    faint = absolute[0] > 0 and abs(terms[0]) <= 1e-24 * absolute[0]
                    small = small + 1 if np.all(negligible) or faint else 0
                    if small == 3:
                        reach[side] = k * step
                        break
        if previous is not None:
            change = abs(total * step - previous)
            if np.all(change <= (1e-9 * absolute + 1e-20 * max(absolute)) * step):
                return total * step, absolute * step
        previous = total * step
    raise ArithmeticError("the rule does not converge")


def alternating_tail(function, n_terms=24):
    """Integrals over (pi, oo) of functions that change sign with period pi.

    Those over half-periods are summed after Cohen, Rodriguez Villegas and Zagier (2000), algorithm 1.
    """
    places, weights = np.polynomial.legendre.leggauss(20)
    halves = []
    for k in range(1, n_terms + 1):
        points = [mpmath.pi * (k + (1 + mpmath.mpf(v)) / 2) for v in places]
        halves.append((-1) ** k * sum(function(v) * (w * mpmath.pi / 2) for w, v in zip(weights, points)))
    d = (3 + mpmath.sqrt(8)) ** n_terms
    d = (d + 1 / d) / 2
    b, c, total = mpmath.mpf(-1), -d, 0
    for k, half in enumerate(halves):
        c = b - c
        total = total + half * c
        b = b * (k + n_terms) * (k - n_terms) / ((k + mpmath.mpf(1) / 2) * (k + 1))
    return -total / d


#: Relative displacement of the parameters: the differences have errors of its square.
STEP = mpmath.mpf(10) ** -18


def with_derivatives(expressions, params, values, order):
    """Expressions of the variable u, with their first and second derivatives for order 2, as one vector function.

    By central differences with so many more digits that they are exact to 20.
    """
    known = {"Heaviside": lambda x, *_: mpmath.mpf(1 if x > 0 else 0), "sign": mpmath.sign}
    function = sp.lambdify((u, *params), expressions, modules=[known, "mpmath"])
    steps = [STEP * (abs(v) if v != 0 else 1) for v in values]
    rounding = mpmath.mpf(10) ** (7 - mpmath.mp.dps)
    p = len(params) if order else 0

    def at(x, *moves):
        place = list(values)
        for k, sign in moves:
            place[k] += sign * steps[k]
        return np.array(function(x, *place), dtype=object)

    def quotient(numerator, size, divisor):
        return [mpmath.mpf(0) if abs(n) < rounding * s else n / divisor for n, s in zip(numerator, size)]

    def evaluated(x):
        centre = at(x)
        above, below = ([at(x, (k, sign)) for k in range(p)] for sign in (1, -1))
        around = [a + b for a, b in zip(above, below)]
        size = [abs(a) + abs(b) for a, b in zip(above, below)]
        first = [quotient(above[k] - below[k], size[k], 2 * steps[k]) for k in range(p)]
        second = []
        for j, k in itertools.combinations_with_replacement(range(p), 2):
            if j == k:
                numerator = 2 * (around[k] - 2 * centre)
            else:
                numerator = at(x, (j, 1), (k, 1)) + at(x, (j, -1), (k, -1)) - around[j] - around[k] + 2 * centre
            second.append(quotient(numerator, size[j] + size[k], 2 * steps[j] * steps[k]))
        return np.array([*centre, *np.ravel(first, "F"), *np.ravel(second, "F")], dtype=object)

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


def integrated(case, point, order):
    """Value, and first and second derivatives for order 2, in one vector; and the integrals of the absolute values."""
    numbers = flattened(point)
    dummies = [sp.Dummy(s.name, **({"positive": True} if v > 0 else {"real": True}))
               for s, v in zip(case.flat_params, numbers)]  # fmt: skip
    renamed = dict(zip(case.flat_params, dummies))
    real = sp.Dummy("x", real=True)
    digits = 120 if case.tags & {"endpoint singularity", "interior singularity", "removable"} else 58

    def substitute(expression):
        return expression.subs(case.variable, real).xreplace(renamed).subs(real, case.variable)

    def compiled(expressions):
        return with_derivatives(expressions, dummies, [mpmath.mpf(v) for v in numbers], order)

    with mpmath.workdps(digits):
        if case.name not in PHASES:
            tail = "slow" if "slow decay" in case.tags else "fast"
            found = [double_exponential("finite" if len(part) == 2 else tail, *map(compiled, part))
                     for part in parts(case, numbers, dummies, substitute)]  # fmt: skip
            return tuple(sum(column) for column in zip(*found))
        phi = substitute(sp.sympify(PHASES[case.name], locals={**{str(s): s for s in case.flat_params}, "u": u}))
        expressions = [substitute(e).subs(case.variable, phi) * sp.diff(phi, u) for e in case.integrand]
        from_both_ends = [compiled([sp.pi * e.subs(u, x) for e in expressions]) for x in (sp.pi * u, sp.pi * (1 - u))]
        head, size = double_exponential("finite", *from_both_ends)
        return head + alternating_tail(compiled(expressions)), size


def exact(case, point, order):
    reference = case.reference(point, order)
    if not order:
        return reference.value
    rows, columns = np.triu_indices(len(case.flat_params))
    hessian = [matrix[i, j] for matrix in reference.hessian for i, j in zip(rows, columns)]
    return np.array([*reference.value, *reference.jacobian.ravel(), *hessian], dtype=object)


VERIFIED = [case for case in (*CATALOGUE, *HIDDEN) if case.name not in TOO_FAST]


@pytest.mark.parametrize("case", VERIFIED, ids=str)
def test_value_gradient_and_hessian_agree_with_quadrature(case):
    found, size = integrated(case, case.points[0], order=2)
    assert np.all(abs(found - exact(case, case.points[0], order=2)) <= 1e-12 * size + 1e-20 * max(size))


@pytest.mark.parametrize(("case", "point"), [(case, p) for case in VERIFIED for p in case.points[1:]], ids=str)
def test_value_at_the_other_points_agrees_with_quadrature(case, point):
    found, size = integrated(case, point, order=0)
    assert np.all(abs(found - exact(case, point, order=0)) <= 1e-12 * size)


@pytest.mark.parametrize("case", [case for case in CATALOGUE if "smooth" in case.tags], ids=str)
def test_value_agrees_with_mpmath_quad(case):
    function = sp.lambdify((case.variable, *case.flat_params), case.integrand, modules="mpmath")
    limits = sp.lambdify(case.flat_params, (case.lower, case.upper), modules="mpmath")
    for point in case.points:
        numbers = [mpmath.mpf(v) for v in flattened(point)]
        for k, value in enumerate(case.reference(point, 0).value):
            found = mpmath.quad(lambda x, k=k, numbers=numbers: function(x, *numbers)[k], limits(*numbers))
            assert abs(found - value) <= 1e-10 * max(abs(value), abs(function(1, *numbers)[k]))


def test_catalogue_has_enough_of_everything():
    assert len(CATALOGUE) >= 65
    everything = [*CATALOGUE, *failing_integrals()]
    assert len({case.name for case in everything}) == len(everything)
    for tag in TAGS:
        assert sum(tag in case.tags for case in everything) >= 2, tag
    for names in (CUTS, PHASES, TOO_FAST):
        assert {integral_named(name) for name in names} <= set(everything)


@pytest.mark.parametrize("case", [*CATALOGUE, *failing_integrals()], ids=str)
def test_statement_is_consistent(case):
    assert case.points
    assert all(len(flattened(point)) == len(case.flat_params) for point in case.points)
    assert case.variable not in case.flat_params
    for expression in (case.lower, case.upper, *case.breakpoints):
        assert expression.free_symbols <= set(case.flat_params)
    moves = any(e.free_symbols for e in (case.lower, case.upper))
    assert moves == ("moving limit" in case.tags) or "undefined" in case.tags
    assert ("doubly infinite" in case.tags) <= ((case.lower, case.upper) == (-sp.oo, sp.oo))
    assert ("infinite" in case.tags) <= ((case.lower, case.upper).count(sp.oo) + (case.lower == -sp.oo) == 1)
    assert ("vector integrand" in case.tags) == (len(case.integrand) > 1)
    assert ("vector parameter" in case.tags) == (len(case.params) < len(case.flat_params))


def test_failing_integrals_say_why():
    for case in failing_integrals():
        assert case.reason
        assert (case.exact is None) == bool(case.tags & {"divergent", "undefined"}), case.name
    assert not any(case.reason for case in CATALOGUE)


def test_reference_of_what_has_no_value_names_the_reason():
    with pytest.raises(ValueError, match="principal value has no exact value: only a principal value exists"):
        integral_named("principal value").reference((0.4,))


def test_unknown_name_tag_or_symbol_is_an_error():
    with pytest.raises(KeyError, match="No integral is called 'unknown'"):
        integral_named("unknown")
    with pytest.raises(ValueError, match="tags that TAGS does not explain: simple"):
        integral("a", "x", ("x", 0, 1), "p", [1.0], "p", "simple", "")
    with pytest.raises(ValueError, match="unknown symbol in q: q"):
        integral("a", "x", ("x", 0, "q"), "p", [1.0], "p", "smooth", "")
