"""What a system of differential equations may look like, how it is called, and what is said of one that is wrong."""

import pickle

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.problems.base import FREE
from implicitops.problems.ode import METHODS
from implicitops.problems.ode_parts import Event

x, y, z, t, a, b, tau = sp.symbols("x y z t a b tau")
p0, p1, p2 = sp.symbols("p_0:3")


def decay(**changes):
    return iop.ODE(**{"rhs": {x: -a * x}, "params": [a, b], "initial": {x: b}, **changes})


def pair(**changes):
    fields = {"rhs": {x: a * y, y: -b * x}, "params": [a, b], "initial": {y: 1, x: 0}}
    return iop.ODE(**{**fields, **changes})


class TestTheStatement:
    def test_states_are_in_the_order_of_the_right_hand_sides(self):
        assert pair().states == (x, y)
        assert pair().initial == (0, 1)
        assert pair(rhs={y: -b * x, x: a * y}).states == (y, x)

    def test_numbers_become_expressions(self):
        problem = decay(rhs={x: 2}, initial={x: 0.5}, t0=1)
        assert problem.rhs == (sp.Integer(2),)
        assert problem.initial == (sp.Float(0.5),)
        assert problem.t0 == sp.Integer(1)

    def test_times_are_kept_in_the_order_given(self):
        assert decay(times=[3, 1, 3, np.float32(0.5), sp.Rational(1, 4)]).times == (3.0, 1.0, 3.0, 0.5, 0.25)
        assert decay(times=np.arange(3)).times == (0.0, 1.0, 2.0)
        assert all(type(value) is float for value in decay(times=np.arange(3)).times)

    def test_the_answer_has_an_axis_of_times_and_one_of_states_or_outputs(self):
        assert pair().output_shape == (FREE, 2)
        assert pair(outputs=[x + y]).output_shape == (FREE, 1)
        assert pair(outputs=sp.Matrix([x, y, t]), t=t).output_shape == (FREE, 3)
        assert FREE == -1

    def test_the_arguments_of_a_call_are_the_parameters_and_the_times(self):
        problem = decay(params=[a, b, (p0, p1, p2)])
        assert problem.argument_names == ("a", "b", "p", "times")
        assert problem.argument_shapes == ((), (), (3,), (FREE,))

    def test_events_keep_their_order_and_list_states_in_theirs(self):
        problem = pair(events=[(tau, {y: 0, x: x + a}), (1, {y: -y + t})], params=[a, b, tau], t=t)
        assert problem.events == (Event(tau, ((x, x + a), (y, sp.S.Zero))), Event(sp.S.One, ((y, t - y),)))
        assert pair(events=problem.events, params=[a, b, tau], t=t) == problem

    def test_tolerances_are_one_for_each_state(self):
        assert pair().options.atol == (1e-10, 1e-10)
        assert pair(atol=[1e-6, 0.0]).options.atol == (1e-6, 0.0)

    @pytest.mark.parametrize("method", METHODS)
    def test_methods_have_names(self, method):
        assert decay(method=method).options.method == method

    def test_derivatives_are_integrated_backwards_for_many_states_and_parameters(self):
        states, rates = sp.symbols("s_0:30"), sp.symbols("q_0:30")
        cells = {"rhs": {s: -q * s for s, q in zip(states, rates)}, "initial": dict.fromkeys(states, 1)}
        assert decay().sensitivity_method == "forward"
        assert decay(params=[a, b, sp.symbols("q_0:400")]).sensitivity_method == "forward"  # of a single state
        assert iop.ODE(params=[rates], **cells).sensitivity_method == "adjoint"
        assert iop.ODE(params=[rates], sensitivity="forward", **cells).sensitivity_method == "forward"
        assert decay(sensitivity="adjoint").sensitivity_method == "adjoint"

    def test_repr_names_the_parts_that_differ_from_the_defaults(self):
        assert repr(decay()) == "ODE({x: -a*x}, [a, b], initial={x: b})"
        text = repr(decay(t=t, t0=a, outputs=[t * x], events=[(1, {x: 0})]))
        assert text == "ODE({x: -a*x}, [a, b], initial={x: b}, t=t, t0=a, outputs=[t*x], events=[(1, {x: 0})])"

    def test_repr_of_many_states_is_short(self):
        states = sp.symbols("s0:40")
        text = repr(iop.ODE({s: -a * s for s in states}, [a], initial=dict.fromkeys(states, 1)))
        assert "... 40 in all" in text
        assert len(text) < 200


class TestIdentity:
    FIELDS = (
        {"rhs": {x: -a * x + 1}},
        {"params": [b, a]},
        {"initial": {x: a}},
        {"t0": 1},
        {"t": t},
        {"outputs": [x]},
        {"events": [(1, {x: 0})]},
        {"events": [(2, {x: 0})]},
        {"rhs": {y: -a * y}, "initial": {y: b}},
    )

    @pytest.mark.parametrize("changes", FIELDS, ids=str)
    def test_whatever_changes_the_equations_changes_both_keys(self, changes):
        assert decay(**changes) != decay()
        assert decay(**changes).equation_key != decay().equation_key
        assert decay(**changes).key != decay().key

    @pytest.mark.parametrize(
        "changes",
        [
            {"times": [1]},
            {"method": "tsit5"},
            {"sensitivity": "adjoint"},
            {"rtol": 1e-6},
            {"atol": 1.0},
            {"max_steps": 9},
            {"max_step": 0.5},
            {"max_step": 0.25},
            {"breakpoints": [1]},
            {"breakpoints": [a]},
            {"breakpoints": [a, 1]},
        ],
        ids=str,
    )
    def test_options_and_times_leave_the_equations_alone(self, changes):
        assert decay(**changes) != decay()
        assert decay(**changes).equation_key == decay().equation_key
        assert decay(**changes).key != decay().key

    def test_unequal_limits_of_steps_make_unequal_problems(self):
        changes = [
            {},
            {"max_step": 1},
            {"max_step": 2},
            {"breakpoints": [1]},
            {"breakpoints": [2]},
            {"breakpoints": [a]},
        ]
        problems = [decay(**change) for change in changes]
        assert len({problem.key for problem in problems}) == len(set(problems)) == len(changes)
        assert decay(max_step=1) == decay(max_step=sp.Integer(1)) == decay(max_step=np.float64(1))

    def test_limits_of_steps_are_shown_and_pickled(self):
        problem = decay(max_step=0.5, breakpoints=[a, 2 * b])
        assert repr(problem).endswith("max_step=0.5, breakpoints=[a, 2*b])")
        assert pickle.loads(pickle.dumps(problem)) == problem

    def test_equal_statements_are_equal_and_hash_alike(self):
        first, second = decay(times=[0.0, 1.0]), decay(times=np.array([-0.0, 1]), events=[], atol=(1e-10,))
        assert first == second
        assert hash(first) == hash(second)
        assert first.key == second.key

    def test_symbols_with_other_assumptions_make_another_problem(self):
        positive = sp.Symbol("x", positive=True)
        assert decay(rhs={positive: -a * positive}, initial={positive: b}).equation_key != decay().equation_key

    def test_pickling_keeps_everything(self):
        problem = pair(t=t, t0=a, times=[1], outputs=[x * t], events=[(b, {x: 0})], sensitivity="adjoint")
        again = pickle.loads(pickle.dumps(problem))
        assert again == problem
        assert (again.key, again.equation_key) == (problem.key, problem.equation_key)

    def test_fields_are_frozen(self):
        with pytest.raises(AttributeError):
            decay().t0 = sp.S.One


class TestBinding:
    def test_times_of_a_call_follow_the_parameters(self):
        times = [0.0, 1.0]
        assert decay().bind((1, 2), {"times": times}) == (1, 2, times)
        assert decay().bind((1,), {"times": times, "b": 2}) == (1, 2, times)
        assert decay().bind((1, 2), {"times": times})[2] is times

    def test_times_of_the_statement_are_the_default(self):
        problem = decay(times=[5, 6])
        assert problem.bind((1, 2), {}) == (1, 2, (5.0, 6.0))
        assert problem.bind((1, 2), {"times": None}) == (1, 2, (5.0, 6.0))
        assert problem.bind((1, 2), {"times": [7]}) == (1, 2, [7])

    @pytest.mark.parametrize(
        ("arguments", "keywords", "words"),
        [
            ((1, 2), {}, "needs output times.*times="),
            ((1, 2, [0.0]), {}, r"got 3 positional.*times=\[...\]"),
            ((1,), {"times": [0]}, "missing b"),
            ((1, 2), {"times": [0], "c": 1}, "unknown keyword 'c': the parameters are a, b, times"),
            ((1, 2), {"time": [0]}, "Did you mean 'times'"),
            ((1, 2), {"times": [0], "a": 1}, "given twice"),
        ],
    )
    def test_a_wrong_call_says_why(self, arguments, keywords, words):
        with pytest.raises(iop.ArgumentError, match=words):
            decay().bind(arguments, keywords)

    def test_there_is_no_start_to_override(self):
        with pytest.raises(iop.ArgumentError, match="unknown keyword 'guess'"):
            decay().solve(1, 2, times=[0.0], guess=1)


class TestErrors:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"rhs": [-a * x]}, "rhs must be a mapping of each state Symbol to its rate"),
            ({"rhs": {}}, "rhs must be a mapping"),
            ({"rhs": {"x": -a * x}}, "each state must be a SymPy Symbol; got 'x'"),
            ({"rhs": {sp.Function("x")(t): 1}}, r"got x\(t\). Write x instead of x\(t\)"),
            ({"rhs": {x: sp.Function("x")(a)}}, r"contains x\(a\), the state x at another time: delays.*chain of n"),
            ({"rhs": {x: sp.Function("x")(t)}, "t": t}, r"contains x\(t\). Write each state as a Symbol, x instead of"),
            ({"rhs": {x: sp.Function("x")(t - a)}, "t": t}, r"contains x\(-a \+ t\), the state x at another time"),
            (
                {"rhs": {x: sp.Function("dose")(t)}, "t": t},
                r"dose\(t\), and nothing says what dose is.*interpolating_spline",
            ),
            (
                {"rhs": {x: sp.Derivative(sp.Function("y")(t), t)}, "t": t},
                r"Derivative\(y\(t\), t\). Solve the equations",
            ),
            ({"rhs": {x: sp.Eq(x, a)}}, "expression for dx/dt; got the equation"),
            ({"rhs": {x: x > a}}, "condition"),
            ({"rhs": {x: "-a*x"}}, "got the string"),
            ({"rhs": {x: sp.I * x}}, "imaginary"),
            ({"rhs": {x: -a * x + z}}, "rhs of x contains z, which is neither a state nor a parameter nor the time"),
            ({"rhs": {x: -a * x * t}}, "rhs of x contains t.*pass t=t"),
            ({"rhs": {x: -a * x * sp.Symbol("t", real=True)}, "t": t}, "contains t with other assumptions"),
            ({"outputs": [t]}, "an output contains t.*pass t=t"),
            ({"rhs": {x: sp.Symbol("a", positive=True)}}, "contains a with other assumptions"),
            ({"params": []}, "params is empty"),
            ({"params": [a, b, x]}, "x is both a state and a parameter"),
            ({"params": [a, b, t], "t": t}, "t is both the time and a parameter"),
            ({"t": x}, "x is both the time and a state"),
            ({"t": "t"}, "t, the time, must be a SymPy Symbol; got 't'"),
            ({"t": sp.Symbol("a", real=True)}, "both called 'a'"),
            ({"params": [a, b, sp.Symbol("times")]}, "called 'times'"),
            ({"initial": [1]}, "initial must be a mapping of each state Symbol to its initial value"),
            ({"initial": {y: 1}}, "each of the states x .*missing x; y given, with no right-hand side"),
            ({"initial": {x: 1, y: 1}}, "y given, with no right-hand side"),
            ({"initial": {x: x}}, "initial value of x contains x, which is not a parameter; known are a, b"),
            ({"t0": z}, "t0 contains z, which is not a parameter"),
            ({"t0": t, "t": t}, "t0 contains t"),
            ({"t0": None}, "t0 must be a SymPy expression; got None"),
        ],
        ids=str,
    )
    def test_a_statement_that_cannot_be_solved_says_why(self, changes, words):
        with pytest.raises(iop.ProblemError, match=words):
            decay(**changes)

    def test_every_missing_and_every_extra_initial_value_is_named(self):
        with pytest.raises(iop.ProblemError, match=r"states x, y .*missing x, y; a, z given"):
            pair(initial={a: 1, z: 2})

    @pytest.mark.parametrize(
        ("times", "words"),
        [
            ([], "times is empty"),
            (1.0, "flat sequence of numbers; got 1.0"),
            ("01", "flat sequence"),
            ({1.0, 2.0}, "flat sequence"),
            ([[0.0, 1.0]], "one of them is .* of type list"),
            (np.zeros((2, 2)), "flat sequence"),
            ([0.0, float("nan")], "finite; one of them is nan"),
            ([sp.oo], "finite; one of them is oo"),
            ([0.0, t], "one of them is t of type Symbol.*with each call"),
            ([True], "one of them is True"),
            ([1 + 2j], "flat sequence of numbers; one of them"),
            ([None], "one of them is None"),
        ],
        ids=str,
    )
    def test_times_that_are_no_numbers_are_refused(self, times, words):
        with pytest.raises(iop.ProblemError, match=words):
            decay(times=times)

    @pytest.mark.parametrize(
        ("outputs", "words"),
        [
            ([], "at least one expression"),
            (x, "sequence of at least one expression"),
            ([z], "an output contains z"),
            ([x > 0], "an output must be an expression"),
        ],
        ids=str,
    )
    def test_outputs_that_are_no_expressions_are_refused(self, outputs, words):
        with pytest.raises(iop.ProblemError, match=words):
            decay(outputs=outputs)

    @pytest.mark.parametrize(
        ("events", "words"),
        [
            ({1: {x: 0}}, r"sequence of pairs \(time, {state: expression}\); got"),
            ([1], "sequence of pairs .*; one of them is 1"),
            ([(1, {x: 0}, 2)], "one of them is"),
            ([(1, {})], "what changes in the event at 1 must be a mapping"),
            ([(1, x)], "what changes in the event at 1 must be a mapping"),
            ([(1, {y: 0})], "the event at 1 changes y; the states are x"),
            ([(x, {x: 0})], "the event at x depends on the state x: events when a state reaches a threshold are not"),
            ([(x > 1, {x: 0})], r"the event at x > 1 depends on the state x.*Piecewise\(\(\.\.\., x > threshold"),
            ([(sp.Eq(x, a), {x: 0})], "depends on the state x"),
            ([(sp.Symbol("t") - a, {x: 0})], "the time of an event contains t"),
            ([(a > 1, {x: 0})], "must be an expression of the params; got the condition a > 1"),
            ([(1, {x: z})], "the event at 1 contains z"),
            ([(1, {x: t})], "the event at 1 contains t.*pass t=t"),
        ],
        ids=str,
    )
    def test_events_of_another_form_are_refused(self, events, words):
        with pytest.raises(iop.ProblemError, match=words):
            decay(events=events)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"method": "rk45"}, f"method must be one of {', '.join(map(repr, METHODS))}"),
            ({"method": "tsit"}, "Did you mean 'tsit5'"),
            ({"sensitivity": "foward"}, "sensitivity must be one of .*Did you mean 'forward'"),
            ({"rtol": -1e-8}, "rtol must be a non-negative"),
            ({"atol": [1e-8, -1e-8]}, "atol must be a non-negative"),
            ({"atol": [1e-8]}, "one for each of 2 states x, y"),
            ({"rtol": 0, "atol": [1e-8, 0]}, "cannot both be 0"),
            ({"max_steps": 0}, "max_steps must be a positive integer"),
            ({"on_failure": "warn"}, "on_failure must be"),
            ({"max_step": 0}, "max_step must be positive and finite; got 0"),
            ({"max_step": float("nan")}, "max_step must be positive and finite; got nan"),
            ({"max_step": sp.oo}, "max_step must be positive and finite"),
            ({"max_step": "1"}, "must be a number, a length of time; got '1' of type str"),
            ({"max_step": a}, "must be a number.*breakpoints="),
            ({"max_step": True}, "must be a number"),
            ({"breakpoints": 5}, "breakpoints must be a sequence of times.*got 5"),
            ({"breakpoints": [x]}, "a break point contains x, which is not a parameter"),
            ({"breakpoints": ["now"]}, "a break point"),
        ],
        ids=str,
    )
    def test_options_that_no_solver_can_use_are_refused(self, options, words):
        with pytest.raises(iop.ProblemError, match=words):
            pair(**options)

    def test_initial_values_are_required(self):
        with pytest.raises(TypeError, match="initial"):
            iop.ODE({x: -a * x}, [a])
