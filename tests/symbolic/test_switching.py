"""Where right-hand sides switch in time, and which of them have no derivatives that can be integrated."""

import random

import pytest
import sympy as sp

import implicitops as iop
from implicitops.errors import DifferentiabilityError
from implicitops.problems.ode import ODE
from implicitops.symbolic.canonical_symbols import CanonicalSymbols
from implicitops.symbolic.cases import piecewise
from implicitops.symbolic.switching import jumps_with_state, require_differentiable, switching_of

x, y, t, a, b, w, rate, tau = sp.symbols("x y t a b w rate tau")
p0, p1, p2, p3, p4, time = sp.symbols("p0:5 t", real=True)
x0, x1 = sp.symbols("x0:2", real=True)
r0, r1 = sp.symbols("r0:2", real=True)
PARAMS = (a, b, w, rate, tau)
NAMES = (x, y, t, *PARAMS)
P, And, Or, Not = sp.Piecewise, sp.And, sp.Or, sp.Not


def statement_of(expression, **fields):
    return ODE({x: expression, y: x}, PARAMS, initial={x: 0, y: 0}, t=t, **fields)


def switching(expression):
    return switching_of(statement_of(expression))


def times(expression):
    return [switch.time for switch in switching(expression).switches]


def regime_of(switch, point):
    """The regime of a switch at a point."""
    value = switch.expression.subs(point)
    return sp.Integer(bool(value > 0)) if switch.period is None else sp.floor(value)


infusion = P((rate, t < tau), (0, True))

SWITCHING = [
    infusion,
    P((rate, tau >= t), (0, True)),
    P((rate, Not(t < tau)), (x, True)),
    P((rate, And(t >= a, t < b)), (0, True)),
    P((rate, And(t >= a, t < b)), (2, And(t >= b, 2 * t < 2 * w)), (0, True)),
    P((rate, Or(t < a, t > b)), (P((1, t < w), (2, True)), True)),
    P((rate, sp.Xor(t < a, t > b)), (0, True)),
    P((rate, sp.ITE(t < a, t > b, t > w)), (0, True)),
    P((rate, sp.Interval(a, b).contains(t)), (0, True)),
    P((1, w * t > a), (x, True)),
    P((1, -2 * w * t > a), (x, True)),
    P((1, (a - t) / b > 1), (x, True)),
    P((1, t + a > t + b), (0, True)),
    sp.Heaviside(t - a),
    x * sp.exp(-w * (t - a)) * sp.Heaviside(t - a),
    sp.sign(w * t - a) * y,
    sp.Abs(t - a),
    sp.Max(0, t - a),
    sp.Max(0, t - a, b - 2 * t) ** 2,
    x * sp.Min(a, t),
    P((rate, sp.Abs(t - a) < b), (0, True)),
    P((1, sp.Max(t, a) < b), (sp.Min(t, w), True)),
    P((1, t + sp.Heaviside(t - a) > b), (0, True)),
    P((x, x > sp.Max(0, t - a)), (y, True)),
    P((x, rate > 1), (0, True)) * P((1, t < a), (x, t < b), (y, t < w), (0, True)),
    sp.Max(0, sp.sin(w * t)),
    P((sp.sin(w * t), sp.sin(w * t) > 0), (0, True)),
    P((1, sp.sin(t) > 0), (0, True)),
    P((1, And(sp.Mod(t, 3) < 1, t < tau)), (0, True)),
    sp.Mod(t, 2) + sp.floor(t) + sp.frac(t / 3),
]


class TestRegimes:
    @pytest.mark.parametrize("expression", SWITCHING, ids=str)
    def test_the_rewritten_right_hand_side_has_the_same_values(self, expression):
        found = switching(expression)
        generator = random.Random(0)
        for _ in range(40):
            # Denominators that differ keep sums of the values from being equal by chance.
            values = [sp.Rational(generator.randint(-300, 300), sp.prime(20 + k)) for k in range(len(NAMES))]
            point = dict(zip(NAMES, values))
            canonical = dict(zip((x0, x1, time, *found.statement.parameters), values))
            regimes = {s.regime: regime_of(s, canonical) for s in found.switches}
            expected = expression.subs(point)
            assert found.rhs[0].subs(regimes).subs(canonical) - expected == 0

    @pytest.mark.parametrize("expression", SWITCHING[:25], ids=str)
    def test_no_condition_on_the_time_alone_remains(self, expression):
        for relation in switching(expression).rhs[0].atoms(sp.core.relational.Relational):
            assert time not in relation.free_symbols or x0 in relation.free_symbols

    @pytest.mark.parametrize("expression", SWITCHING, ids=str)
    def test_each_switch_is_the_zero_of_an_affine_function_of_time(self, expression):
        for switch in switching(expression).switches:
            assert sp.simplify(switch.expression.subs(time, switch.time)) == 0
            assert sp.expand(switch.expression.diff(time) - switch.slope) == 0
            assert time not in switch.slope.free_symbols | switch.time.free_symbols

    def test_an_infusion_has_one_switch_at_its_end(self):
        found = switching(infusion)
        assert found.rhs == (piecewise([(p3, r0 < sp.S.Half), (sp.S.Zero, sp.true)]), x0)
        (switch,) = found.switches
        assert (switch.expression, switch.slope, switch.time, switch.regime) == (time - p4, 1, p4, r0)
        assert found.regimes == (r0,)

    def test_before_and_after_the_same_time_are_one_switch(self):
        conditions = (t < tau, tau <= t, 2 * t >= 2 * tau, -t < -tau, t - tau > 0)
        assert times(sum(P((k * x, c), (0, True)) for k, c in enumerate(conditions, 1))) == [p4]

    def test_a_slope_that_is_a_parameter_has_its_sign_at_run_time(self):
        (switch,) = switching(P((1, w * t > a), (0, True)) + P((x, -w * t < -a), (0, True))).switches
        assert (switch.expression, switch.slope, switch.time) == (p2 * time - p0, p2, p0 / p2)

    def test_states_and_parameters_keep_their_own_conditions(self):
        expression = P((1, x > a), (rate, a > b), (0, True))
        assert switching(expression).switches == ()
        assert switching(expression).rhs[0] == P((1, x0 > p0), (p3, p0 > p1), (0, True))

    def test_kinks_at_times_that_are_not_known_stay_functions(self):
        assert switching(sp.Max(0, sp.sin(w * t**2))).rhs[0] == sp.Max(0, sp.sin(p2 * time**2))

    def test_an_instant_does_not_matter(self):
        assert switching(P((1, sp.Eq(t, tau)), (x, True))).rhs[0] == x0
        assert switching(P((1, sp.Ne(t, tau)), (x, True))).rhs[0] == 1

    def test_a_statement_without_time_has_no_switches(self):
        found = switching_of(ODE({x: -a * x}, [a], initial={x: 1}))
        assert (found.switches, found.rhs, found.outputs) == ((), (-p0 * x0,), (x0,))

    def test_the_derivative_within_a_stretch_is_that_of_the_piece(self):
        derivative = switching(P((t * rate, t < tau), (0, True))).rhs[0].diff(p3)
        assert derivative.subs(r0, 0) == time
        assert derivative.subs(r0, 1) == 0


class TestOutputs:
    def test_outputs_share_the_switches_of_the_right_hand_side(self):
        found = switching_of(statement_of(infusion, outputs=[P((x, t >= tau), (y, True)), x]))
        assert found.outputs == (piecewise([(x0, r0 > sp.S.Half), (x1, sp.true)]), x0)
        assert len(found.switches) == 1

    @pytest.mark.parametrize(
        "output", [P((x, t < a), (y, True)), sp.Heaviside(t - a), sp.floor(w * t), P((1, sp.sin(w * t) > 0), (x, True))]
    )
    def test_outputs_make_no_switches(self, output):
        problem = statement_of(infusion, outputs=[output])
        assert len(switching_of(problem).switches) == 1
        assert switching_of(problem).outputs == (CanonicalSymbols(problem, problem.states, t).translate(output),)
        require_differentiable(problem, 2)


class TestRefusals:
    @pytest.mark.parametrize(
        ("expression", "words"),
        [
            (P((1, sp.sin(w * t**2) > 0), (0, True)), r"switches at .*sin\(t\*\*2\*w\) > 0.*t < tau.*events="),
            (P((1, t * sp.exp(t) < a), (0, True)), "depend on the parameters"),
            (P((1, And(t < b, t**3 < a * t + 1)), (0, True)), "depend on the parameters"),
            (sp.Heaviside(sp.cos(t) + sp.cos(2 * t) - a), "depend on the parameters"),
            (x * sp.floor(t**2 / w), r"jumps at times .*, in floor\(t\*\*2/w\)"),
            (sp.Mod(24, t), "jumps"),
            (P((1, sp.sin(t) + sp.sin(sp.sqrt(2) * t) > 1), (0, True)), r"a step may pass over.*max_step="),
            (sp.DiracDelta(t - a), r"impulse DiracDelta\(-a \+ t\).*events=\[\(time, \{x: x \+ size\}\)\]"),
        ],
        ids=str,
    )
    def test_times_that_depend_on_parameters_have_to_be_known(self, expression, words):
        with pytest.raises(iop.ProblemError, match=words):
            switching(expression)

    def test_a_state_in_the_condition_is_refused_only_with_derivatives(self):
        assert switching(P((1, x > w * t), (0, True))).switches == ()


SMOOTH = [
    P((x, rate > 0), (0, True)),
    sp.Max(0, sp.sin(w * t)),
    P((t**2 - a, t**2 > a), (0, True)),
    sp.Mod(t, w) * x,
    sp.Max(0, x) ** 2,
    x * sp.Abs(x),
    x**2 * sp.Heaviside(x),
    P(((x - a) ** 2, x > a), (0, True)),
    P((sp.sin(x) / x, sp.Ne(x, 0)), (1, True)),
    P((x, x < x + a), (y, True)),
    P((1 - sp.cos(x), x > 0), (x**2 / 2, True)),
    infusion * x,
    sp.floor(t) * x,
    P((1, sp.sin(t) > 0), (0, True)) * x,
    sum(P((rate * k * x, And(t > k * a, t < k * b)), (0, True)) for k in range(1, 9)),
]
CONTINUOUS = [
    sp.Max(0, x),
    sp.Min(x, y, a),
    sp.Abs(t - x),
    x * sp.Heaviside(x),
    sp.sqrt(sp.Max(x, 0)),
    P((x, x > 0), (-x, True)),
    P((0, x < a), (x - a, x < b), (b - a, True)),
    P((0, x < a), ((x - a) / (b - a), x < b), (1, True)),
    P((0, x <= 0), (1, x >= 1), (x, True)),
    P((b - a, x > b), (x - a, x > a), (0, True)),
    P((x * y, And(x > 0, y > 0)), (0, True)),
    P((1 - x**2 - y**2, x**2 + y**2 < 1), (0, True)),
    P((x**2 - a, x**2 > a), (0, True)),
    P((0.1 * x, x < 0.3), (0.03, True)),
    P((x, x > t), (t, True)),
    P((x - w * t, x > w * t), (0, True)),
    P((rate, t < tau), (sp.Max(x, a), True)),
    P((a * x, x * y < a), (x**2 * y, True)),
    sp.Max(0, sp.sin(w * t**2)),
    P((t**3 - a * t - 1, t**3 > a * t + 1), (0, True)),
]
JUMPING = [
    P((0, x < a), (1, True)),
    P((0, x < a), (x, x < b), (b, True)),
    P((x, And(x > 0, y > 0)), (0, True)),
    P((1, And(x > 0, x < 1)), (0, True)),
    P((1, x > t), (0, True)),
    P((x, x > sp.Max(0, t - a)), (0, True)),
    sp.Heaviside(x - a),
    y * sp.sign(x),
    sp.exp(-a * sp.Heaviside(x)),
    sp.floor(x),
    sp.Max(0, sp.Mod(x, 2)),
    P((x, rate > 0), (0, True)) * sp.Heaviside(x - 1),
    P((rate, t < tau), (sp.Heaviside(x), True)),
]


class TestConditionsOnStates:
    @pytest.mark.parametrize("expression", SMOOTH, ids=str)
    @pytest.mark.parametrize("order", [1, 2])
    def test_smooth_right_hand_sides_have_two_derivatives(self, expression, order):
        problem = statement_of(expression - y)
        assert jumps_with_state(problem, order) == ()
        require_differentiable(problem, order)

    @pytest.mark.parametrize("expression", CONTINUOUS, ids=str)
    def test_kinks_have_one_derivative(self, expression):
        require_differentiable(statement_of(expression - y))
        with pytest.raises(DifferentiabilityError, match=r"order 2 need .* without jumps and kinks"):
            require_differentiable(statement_of(expression - y), 2)

    @pytest.mark.parametrize("expression", JUMPING, ids=str)
    def test_jumps_have_none(self, expression):
        for order in (1, 2):
            with pytest.raises(DifferentiabilityError, match=f"order {order} need .* is not continuous"):
                require_differentiable(statement_of(expression - y), order)

    def test_the_error_names_the_part_in_the_symbols_of_the_statement(self):
        problem = statement_of(x * P((1, And(x > a, t < tau)), (0, True)) - y**2)
        with pytest.raises(iop.ProblemError, match=r"Piecewise\(\(1, \(a < x\) & \(t - tau < 0\)\).*1/\(1 \+ exp"):
            require_differentiable(problem)
        (part,) = jumps_with_state(problem)
        assert part.free_symbols == {x, a, t, tau}

    def test_one_jump_may_cancel_another(self):
        step = P((x, x > 0), (x + 1, True))
        assert jumps_with_state(statement_of(step - sp.Heaviside(-x))) == ()

    def test_a_threshold_that_is_known_to_be_above_another_is_taken_so(self):
        low, high = sp.Integer(1), sp.Integer(2)
        agreeing = P((0, x < low), (x - 1, x < high), (1, True))
        assert jumps_with_state(statement_of(agreeing)) == ()
        unreachable = P((0, x < high), (5, x < low), (x - 2, True))
        assert jumps_with_state(statement_of(unreachable)) == ()

    def test_a_jump_in_events_or_outputs_does_no_harm(self):
        problem = statement_of(-x, events=[(tau, {x: sp.Heaviside(x - a)})], outputs=[sp.sign(x)])
        assert jumps_with_state(problem, 2) == ()
        require_differentiable(problem, 2)

    def test_many_conditions_at_once_are_not_provable(self):
        product = sp.Mul(*(sp.Heaviside(x - k * a - k**2 * y) for k in range(1, 10)))
        assert len(jumps_with_state(statement_of(product))) == 1

    def test_all_states_are_looked_at(self):
        jump = sp.Heaviside(x - a)
        problem = ODE({x: -x, y: jump}, [a], initial={x: 0, y: 0})
        assert jumps_with_state(problem) == (jump,)


def test_pieces_that_cannot_be_reached_are_left_out():
    cases = [(x0, sp.false), (x1, x0 > 0), (p0, sp.true), (p1, x1 > 0)]
    assert piecewise(cases).args == P((x1, x0 > 0), (p0, True)).args
    assert piecewise(cases[2:]) == p0
    assert piecewise(cases[:1]) is sp.nan
