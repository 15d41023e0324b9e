"""Where functions jump or are infinite: the table against the functions, and what follows for derivatives."""

import re
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from sympy.codegen import cfunctions

import implicitops as iop
from implicitops.codegen import Bundle, compile_bundle
from implicitops.errors import DifferentiabilityError
from implicitops.problems.ode import ODE
from implicitops.symbolic.cases import CUTS, JUMPS, KINKS, STEPS, cases_of, piecewise
from implicitops.symbolic.singularities import BEHAVIOURS, with_moduli
from implicitops.symbolic.switching import guards_of, require_differentiable

x, y, t, a, b, w, K, n, tau = sp.symbols("x y t a b w K n tau")
q = sp.Symbol("q", positive=True)
u, v = sp.symbols("u v", real=True)
x0, x1 = sp.symbols("x0 x1", real=True)
p0, p1 = sp.symbols("p0 p1", real=True)
DOCUMENTED = (Path(__file__).parents[2] / "docs" / "functions.md").read_text("utf-8")


class stair(sp.Function):
    """A function that the table does not know."""


#: Names in the documentation's table that are no functions of their own.
WRITTEN_OTHERWISE = {"sqrt", "cbrt", "Pow", "log", "sympy.codegen.cfunctions", "implicitops.functions", "exp"}
WRITTEN_OTHERWISE |= {"DiracDelta"}  # an impulse, which a right-hand side may not contain


def values(inputs, expression, points):
    bundle = Bundle(tuple(inputs), (expression,))
    return compile_bundle(f"test_singularities {bundle}", lambda: bundle).evaluate(points)[0]


def class_of(name):
    return getattr(sp, name, None) or getattr(cfunctions, name, None)


def test_every_documented_function_has_a_behaviour_or_is_defined_by_cases():
    rows = [line for line in DOCUMENTED.splitlines() if line.startswith("| ")][1:]
    names = {name for row in rows for name in re.findall(r"`([A-Za-z_.0-9]+)`", row.split("|")[2])} - WRITTEN_OTHERWISE
    by_cases = {kind.__name__ for kind in (*CUTS, *JUMPS, *KINKS, *STEPS)}
    assert len(names) > 60
    assert names <= {*BEHAVIOURS, *by_cases}


def discontinuities(expression):
    """Where a function of u jumps or is infinite, from values alone."""
    grid = np.linspace(-4.03, 4.05, 4001)
    found = values([u], expression, [grid])
    steps, sizes = np.abs(np.diff(found)), np.abs(found)
    for k in np.flatnonzero(steps > 0.2 * (1 + np.fmin(sizes[1:], sizes[:-1]))):
        left, right = grid[k], grid[k + 1]
        for _ in range(45):
            points = np.array([left, (left + right) / 2, right])
            ends = values([u], expression, [points])
            if not np.isfinite(ends).all():  # the end of its domain
                break
            first = abs(ends[1] - ends[0]) > abs(ends[2] - ends[1])
            left, right = (left, points[1]) if first else (points[1], right)
        else:
            if abs(ends[2] - ends[0]) > 1e-3:
                yield points[1]


ONE_ARGUMENT = sorted(
    name
    for name in BEHAVIOURS
    if class_of(name) is not None
    and name not in ("re", "conjugate", "im", "elliptic_f", "fma", "hypot", "erf2", "LambertW")
    and name not in ("besselj", "bessely", "besseli", "besselk", "polygamma", "beta", "binomial", "RisingFactorial")
    and name not in ("lowergamma", "uppergamma", "expint")
)


@pytest.mark.parametrize("name", ONE_ARGUMENT)
def test_a_function_is_discontinuous_only_where_the_table_says_so(name):
    poles = BEHAVIOURS[name].poles(u)
    for place in discontinuities(class_of(name)(u)):
        sides = [[float(pole.subs(u, place + d)) for pole in poles] for d in (-1e-6, 1e-6)]
        assert any(before * after <= 0 for before, after in zip(*sides)), place


@pytest.mark.parametrize(
    "cut", [sp.acot(u), sp.arg(u), sp.atan2(u, v), sp.atan2(v, u), sp.atan2(v, -1 - u**2)], ids=str
)
def test_cases_of_a_function_with_a_cut_are_its_values_and_smooth(cut):
    points = np.random.default_rng(2).normal(size=(2, 500))
    np.testing.assert_allclose(
        values([u, v], piecewise(cases_of(cut)), points), values([u, v], cut, points), rtol=1e-13, atol=1e-15
    )


REFUSED = [
    sp.atan2(y, x),
    sp.atan2(sp.sin(x), sp.cos(x)),
    sp.acot(x - a),
    sp.arg(x),
    x / sp.Abs(x),
    sp.sqrt(x**2) / x,
    sp.Abs(x - a) / (x - a),
    sp.sqrt(x**2 - 2 * x * a + a**2) / (x - a),
    x * sp.Max(0, x) / x**2,
    1 / sp.Abs(x),
    sp.Abs(x) ** sp.Rational(-1, 2),
    sp.log(sp.Abs(x)),
    sp.exp(-sp.acot(x)),
    stair(x) + 1,
    sp.Max(0, stair(x)),
]
GIVEN = [
    1 / (1 + x),
    sp.sqrt(x),
    sp.log(x),
    x**n,
    sp.atan(x),
    sp.tanh(x),
    sp.sin(x) / x,
    x**n / (K**n + x**n),
    sp.Max(0, x) ** n / (K**n + sp.Max(0, x) ** n),
    sp.Max(0, x) / (K + x),
    1 / sp.Max(x, sp.Rational(1, 10)),
    sp.log(sp.Max(x, 1)),
    1 / (1 + sp.Abs(x)),
    sp.sqrt(sp.Max(x, 0)),
    sp.sqrt(x**2),
    sp.sqrt(x**2 + y**2),
    x / sp.sqrt(x**2 + y**2),
    sp.exp(-a / x),
    1 / (1 + K / x),
    1 / (1 + sp.exp(-x)),
    x * sp.acot(x),
    x * sp.Abs(x),
    x**2 / sp.Abs(x),
    sp.atan2(y, q),
    sp.gamma(x),
    sp.besselj(1, x),
]


def statement_of(expression):
    return ODE({x: expression - y, y: x, q: -q}, [a, b, w, K, n, tau], initial={x: 1, y: 1, q: 1}, t=t)


@pytest.mark.parametrize("expression", REFUSED, ids=str)
def test_derivatives_that_would_miss_a_jump_are_refused(expression):
    with pytest.raises(DifferentiabilityError, match="beforehand, but"):
        require_differentiable(statement_of(expression))


@pytest.mark.parametrize("expression", GIVEN, ids=str)
def test_what_is_smooth_where_a_solution_can_pass_has_derivatives(expression):
    problem = statement_of(expression)
    require_differentiable(problem)
    assert guards_of(problem) == ()


def test_refusals_name_the_function_and_what_to_write_instead():
    for expression, words in (
        (sp.atan2(y, x), r"atan2\(y, x\) jumps by 2\*pi.*state of its own"),
        (sp.acot(x), r"acot\(x\) jumps by pi.*pi/2 - atan\(u\)"),
        (stair(x), r"not known where stair, in stair\(x\), jumps"),
    ):
        with pytest.raises(iop.ProblemError, match=words):
            require_differentiable(statement_of(expression))


@pytest.mark.parametrize(
    ("expression", "guard"),
    [
        (sp.atan(1 / x), x0),
        (sp.tanh(a / (x - b)), x0 - p1),
        (sp.erf(sp.log(1 + 1 / x)), x0),
        (1 / (1 + sp.exp(a - b / x)), x0),
        (sp.atan(sp.tan(x)), sp.cos(x0)),
        (sp.atan(y / x), x0),
        (sp.Ei(x), x0),
        (sp.li(x), x0 - 1),
        (sp.acsch(x * y), x0 * x1),
        (sp.tanh(sp.coth(x)), x0),
    ],
    ids=str,
)
def test_places_that_only_a_solution_can_show_to_be_passed_are_watched(expression, guard):
    (found,) = guards_of(statement_of(expression))
    assert sp.expand(found - guard) == 0


def test_roots_of_squares_are_moduli_and_quotients_with_moduli_are_signs():
    assert with_moduli(sp.sqrt(u**2 * v, evaluate=False)) == sp.Abs(u) * sp.sqrt(v)
    assert with_moduli((u**4) ** sp.Rational(1, 4)) == sp.Abs(u)
    assert with_moduli(sp.Mul(u, 1 / sp.Abs(u), evaluate=False)) == sp.sign(u)
    assert with_moduli(sp.Mul(v - u, 1 / sp.Abs(u - v), y, evaluate=False)) == -y * sp.sign(u - v)
    assert with_moduli(sp.sqrt(u**2 + v**2)) == sp.sqrt(u**2 + v**2)


def test_integrals_have_derivatives_across_a_cut():
    # By the limits alone, after the substitution of x - a.
    for function in (sp.acot, sp.arg):
        solution = iop.Integral(function(x - a), (x, -1, 1), [a]).solve(0.3, derivatives=1)
        np.testing.assert_allclose(solution.jacobian, [float(function(-1.3) - function(0.7))], rtol=1e-8)
    wave = iop.Integral(sp.acot(sp.sin(x - a)), (x, -1, 1), [a])
    with pytest.raises(DifferentiabilityError, match="acot"):
        wave.solve(0.3, derivatives=1)
    stated = iop.Integral(sp.acot(sp.sin(x - a)), (x, -1, 1), [a], breakpoints=[a]).solve(0.3, derivatives=1)
    np.testing.assert_allclose(stated.jacobian, [float(sp.acot(sp.sin(-1.3)) - sp.acot(sp.sin(0.7)))], rtol=1e-8)
