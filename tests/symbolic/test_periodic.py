"""Conditions on the time that are not affine in it: the regimes that take their place say the same."""

import numpy as np
import pytest
import sympy as sp
from sympy.core.relational import Relational

from implicitops.codegen import Bundle, compile_bundle
from implicitops.symbolic.cases import STEPS
from implicitops.symbolic.periodic import TimeLocator

t, x, a, b, w = NAMES = sp.symbols("t x a b w", real=True)

LOCATED = [
    sp.Mod(t, 24) < 1,
    sp.Mod(t - a, w) >= b,
    t - w * sp.floor(t / w) < b,
    2 * t - w * sp.ceiling(2 * t / w) < b,
    sp.frac(t / w + a) < b,
    sp.exp(-sp.Mod(t, w)) > b,
    sp.Mod(t, 24) ** 2 < a,
    sp.Eq(sp.Mod(sp.floor(t / w), 2), 0),
    sp.Ne(sp.floor(t), 3),
    sp.floor(t / 2) >= a,
    sp.ceiling(t) <= b,
    sp.Or(sp.Mod(t, 24) < a, sp.And(sp.Mod(t, 7) > b, t < w)),
    sp.sin(w * t) > a / 3,
    sp.sin(w * t) > 2,
    a * sp.sin(w * t) > b,
    sp.cos(w * t + b) < sp.sin(a),
    sp.Abs(sp.cos(w * t)) < a,
    3 * sp.sin(t) + a * sp.cos(t) > b,
    sp.tan(w * t) > a,
    sp.cot(t) < b,
    sp.sec(t) > a,
    sp.csc(t - a) < -2,
    sp.sin(t) * sp.cos(w * t) > 0,
    sp.sin(t) ** 2 > sp.Rational(1, 3),
    a * sp.sin(t) ** 2 - sp.sin(t) > b,
    sp.exp(sp.sin(t)) > a,
    t**2 < a,
    b * t**2 + t > a,
    t**3 - 4 * t > 1,
    (t - 1) * (t - 2) ** 2 * (t - a) > 0,
    b * sp.exp(-t) > a,
    b * t * sp.exp(-t) > 0,
    sp.tanh(t - a) > b / 3,
    sp.atan(w * t) < b,
    sp.log(t) > a,
    sp.sqrt(t) > a,
    1 / t > a,
    t / (t - a) < b,
]


def values(inputs, expressions, points):
    bundle = Bundle(tuple(inputs), tuple(expressions))
    return compile_bundle(f"test_periodic {bundle}", lambda: bundle).evaluate(points)


@pytest.fixture
def points():
    """Many values of (t, x, a, b, w), of both signs."""
    return np.random.default_rng(5).uniform(-4, 4, (len(NAMES), 2000)) * np.array([[5], [1], [1], [1], [1]])


@pytest.mark.parametrize("condition", LOCATED, ids=str)
class TestLocated:
    def test_regimes_say_the_same_as_the_condition(self, condition, points):
        locator = TimeLocator(t, [x])
        given = sp.Piecewise((1, condition), (2, True))
        rewritten = locator.expression(given)
        switches = locator.switches.values()
        numbers = values(NAMES, [s.expression for s in switches], points)
        regimes = [
            np.nan_to_num(np.floor(row), posinf=0, neginf=0) if s.period else row > 0
            for s, row in zip(switches, numbers)
        ]
        expected = values(NAMES, [given], points)
        found = values([*NAMES, *(s.regime for s in switches)], [rewritten], [*points, *regimes])
        np.testing.assert_array_equal(found, expected)
        assert 1 in expected or condition == LOCATED[13]

    def test_nothing_of_the_time_remains(self, condition, points):
        locator = TimeLocator(t, [x])
        rewritten = locator.expression(x * sp.Piecewise((1, condition), (2, True)))
        assert not any(t in part.free_symbols for part in rewritten.atoms(Relational, *STEPS))

    def test_a_switch_is_a_zero_and_a_periodic_one_counts(self, condition, points):
        locator = TimeLocator(t, [x])
        locator.expression(sp.Piecewise((1, condition), (2, True)))
        for switch in locator.switches.values():
            for k in (0, 3) if switch.period else (0,):
                at = switch.time + k * (switch.period or 0)
                (found,) = values(NAMES, [switch.expression.subs(t, at)], points)
                found = found[np.isfinite(found)]
                np.testing.assert_allclose(found, k, atol=1e-9 * np.abs(points).max() ** 2)


class TestValues:
    @pytest.mark.parametrize(
        "expression", [sp.floor(w * t), sp.Mod(t, w), sp.Mod(a - 2 * t, 3), sp.frac(t / w), sp.ceiling(t + a)], ids=str
    )
    def test_functions_of_steps_become_counts_of_periods(self, expression, points):
        locator = TimeLocator(t, [x])
        rewritten = locator.expression(x * expression)
        (switch,) = locator.switches.values()
        counts = np.floor(values(NAMES, [switch.expression], points))
        found = values([*NAMES, switch.regime], [rewritten], [*points, *counts])
        np.testing.assert_allclose(found, values(NAMES, [x * expression], points), rtol=1e-9, atol=1e-12)

    def test_what_moves_with_a_state_stays(self):
        for expression in (sp.floor(t + x), sp.Mod(x, t), sp.Piecewise((1, sp.sin(t) > x), (0, True))):
            assert TimeLocator(t, [x]).expression(expression) == expression

    def test_what_cannot_be_located_stays_and_makes_no_switches(self):
        for condition in (sp.sin(t) + sp.sin(a * t) > 1, t * sp.exp(t) < a, sp.Mod(t, 3) < sp.sin(t)):
            locator = TimeLocator(t, [x])
            assert locator.relation(condition) == condition
            assert not locator.switches
