"""Accumulated derivatives are SymPy's own, whatever the expression and the order."""

import pytest
import sympy as sp

from implicitops.symbolic.tape import Tape

x, y, z = sp.symbols("x y z", real=True)
POINT = {x: 0.7, y: -1.3, z: 2.1}

EXPRESSIONS = [
    x + y,
    x * y * z,
    x**2 * sp.sin(x * y) / (1 + z**2),
    sp.exp(-((x - y) ** 2)) * sp.log(z),
    sp.atan2(x, z) + sp.Abs(y) ** 3,
    sp.Max(x, y) * sp.Min(y, z),
    sp.Piecewise((x * y, x > 0), (sp.cos(z), True)),
    sp.Mod(x, 2) * z + sp.floor(z),
    (x + y + z) ** sp.Rational(3, 2),
    sp.Integer(3),
]


def value(tape: Tape, expression: sp.Expr) -> float:
    """Number of a value on the tape at POINT."""
    known = dict(POINT)
    for symbol, definition in tape.definitions.items():
        known[symbol] = float(definition.subs(known))
    return float(sp.sympify(expression).subs(known))


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_a_value_on_the_tape_is_the_expression(expression):
    tape = Tape()
    assert value(tape, tape.add(expression)) == pytest.approx(float(expression.subs(POINT)), rel=1e-14)


def derivative(expression: sp.Expr, symbol: sp.Symbol) -> float:
    """Central difference in 40 digits: independent of every symbolic rule."""
    step = sp.Float("1e-12", 40)
    exact = {s: sp.Float(str(v), 40) for s, v in POINT.items()}
    high, low = ({**exact, symbol: exact[symbol] + sign * step} for sign in (1, -1))
    return float((expression.subs(high) - expression.subs(low)).evalf(40) / (2 * step))


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_reverse_and_forward_accumulation_give_the_derivative(expression):
    tape = Tape()
    top = tape.add(expression)
    reverse = tape.reverse([(top, sp.S.One)], (x, y, z))
    for symbol, result in zip((x, y, z), reverse):
        expected = derivative(expression, symbol)
        (forward,) = tape.forward([top], {symbol: sp.S.One})
        assert value(tape, result) == pytest.approx(expected, rel=1e-11, abs=1e-12)
        assert value(tape, forward) == pytest.approx(expected, rel=1e-11, abs=1e-12)


@pytest.mark.parametrize("expression", EXPRESSIONS[1:6], ids=str)
def test_second_derivatives_agree_in_all_four_orders_of_accumulation(expression):
    tape = Tape()
    top = tape.add(expression)
    (along_x,) = tape.forward([top], {x: sp.S.One})
    by_x = tape.reverse([(top, sp.S.One)], (x,))[0]
    expected = float(sp.diff(expression, x, z).subs(POINT))
    results = [
        tape.forward([along_x], {z: sp.S.One})[0],
        tape.reverse([(along_x, sp.S.One)], (z,))[0],
        tape.forward([by_x], {z: sp.S.One})[0],
        tape.reverse([(by_x, sp.S.One)], (z,))[0],
    ]
    assert [value(tape, r) for r in results] == pytest.approx([expected] * 4, rel=1e-11, abs=1e-12)


def test_a_value_that_appears_twice_collects_both_weights():
    tape = Tape()
    top = tape.add(x * y)
    results = tape.reverse([(top, sp.S.One), (top, sp.Integer(2)), (x, sp.Integer(5))], (x, y))
    assert [value(tape, r) for r in results] == pytest.approx([3 * POINT[y] + 5, 3 * POINT[x]])


def test_a_bundle_holds_only_what_its_outputs_need():
    tape = Tape()
    wanted, _ = tape.add(x * y), tape.add(sp.sin(z))
    bundle = tape.bundle((x, y, z), (wanted,))
    assert [definition for _, definition in bundle.definitions] == [x * y]


def test_the_work_of_a_gradient_does_not_grow_with_the_number_of_inputs():
    inputs = sp.symbols("u0:40", real=True)
    tape = Tape()
    top = tape.add(sp.exp(sp.Mul(*(sp.cos(u) + 2 for u in inputs[:5]))) + sp.Add(*(u**2 for u in inputs)))
    before = len(tape.definitions)
    tape.reverse([(top, sp.S.One)], inputs)
    assert len(tape.definitions) < 6 * before
