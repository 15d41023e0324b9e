"""Statements: what Root accepts, what it refuses and how it says so, and that equal statements are equal."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops import FixedPoint, Minimum, ProblemError, Root, Status

x, y, p, q = sp.symbols("x y p q")
f = sp.Function("f")


def refused(*args, **kwargs):
    with pytest.raises(ProblemError) as caught:
        Root(*args, **kwargs)
    return str(caught.value)


class TestAccepts:
    def test_expression_equation_and_sequence_of_one_are_the_same_problem(self):
        problem = Root(x**2 - p, x, [p], bracket=(0, 1 + p))
        assert Root(sp.Eq(x**2, p), x, [p], bracket=(0, 1 + p)) == problem
        assert Root([x**2 - p], x, (p,), bracket=[0, 1 + p]) == problem

    def test_single_symbol_as_params(self):
        assert Root(x - p, x, p).params == (p,)

    def test_vector_parameters_are_one_argument_each(self):
        c = sp.symbols("c0:3")
        problem = Root(c[0] + c[1] * x + c[2] * x**2 - p, x, [c, p])
        assert problem.parameter_names == ("c", "p")
        assert problem.parameter_shapes == ((3,), ())
        assert problem.parameter_symbols == (*c, p)

    def test_numbers_and_infinities_as_bracket_and_guess(self):
        assert Root(x - p, x, [p], bracket=(-sp.oo, sp.oo)).bracket == (-sp.oo, sp.oo)
        assert Root(x - p, x, [p], bracket=(0.0, float("inf"))).bracket[1] == sp.oo
        assert Root(x - p, x, [p], guess=1).guess == (sp.S.One,)

    def test_domain_follows_from_the_unknowns_assumptions(self):
        domains = {
            sp.Symbol("x"): (-sp.oo, sp.oo),
            sp.Symbol("x", positive=True): (0, sp.oo),
            sp.Symbol("x", nonnegative=True): (0, sp.oo),
            sp.Symbol("x", negative=True): (-sp.oo, 0),
        }
        for symbol, domain in domains.items():
            assert Root(symbol - p, symbol, [p]).domain == (domain,)

    def test_parameter_that_the_equation_does_not_use(self):
        assert Root(x - p, x, [p, q]).parameter_names == ("p", "q")


class TestRefusesSymbols:
    def test_unknown_symbol_in_the_residual(self):
        text = refused(x - p * y, x, [p])
        assert "the residual contains y" in text
        assert "neither an unknown nor a parameter" in text
        assert "known are x, p" in text
        assert "Add it to params or substitute its value" in text

    def test_unknown_symbol_in_bracket_and_guess(self):
        assert "an end of the bracket contains y" in refused(x - p, x, [p], bracket=(0, y))
        assert "guess contains y" in refused(x - p, x, [p], guess=y)
        assert "the guess of one unknown, x, is one number" in refused(x - p, x, [p], guess=[1])
        assert "Write guess=[1]" in refused([x - p], [x], [p], guess=1)
        assert "contains x" in refused(x - p, x, [p], guess=x)

    def test_duplicate_parameter(self):
        text = refused(x - p, x, [p, p])
        assert "parameter p is listed twice" in text
        assert "List each Symbol once" in text

    def test_duplicate_parameter_inside_a_vector(self):
        assert "listed twice" in refused(x - p, x, [(p, q), p])

    def test_same_name_with_other_assumptions(self):
        positive = sp.Symbol("p", positive=True)
        assert "with other assumptions than the Symbol of the same name" in refused(x - positive, x, [p])
        assert "both called 'p'" in refused(x - p, x, [p, positive])
        assert "both called 'x'" in refused(x - p, x, [p, sp.Symbol("x", real=True)])

    def test_unknown_that_is_also_a_parameter(self):
        text = refused(x - p, x, [p, x])
        assert "x is both the unknown and a parameter" in text
        assert "Remove it" in text

    def test_residual_without_the_unknown(self):
        text = refused(p - 1, x, [p])
        assert "the residual p - 1 does not contain the unknown x" in text
        assert "nothing to solve for" in text

    def test_empty_parameter_list(self):
        text = refused(x - 1, x, [])
        assert "params is empty" in text
        assert "Solve an equation without parameters once" in text

    def test_empty_vector_parameter(self):
        assert "at least one Symbol" in refused(x - p, x, [p, ()])

    def test_two_arguments_of_one_name(self):
        text = refused(x - p, x, [sp.symbols("p1:3"), p])
        assert "same name" in text
        assert "Rename" in text

    @pytest.mark.parametrize("params", ["p", 3, None])
    def test_params_that_are_no_sequence_of_symbols(self, params):
        assert "params must be a sequence of Symbols" in refused(x - 1, x, params)

    @pytest.mark.parametrize("item", ["p", 3.0, p**2, f(p)])
    def test_parameter_that_is_no_symbol(self, item):
        text = refused(x - 1, x, [item])
        assert "must be a SymPy Symbol" in text
        assert repr(item) in text

    @pytest.mark.parametrize("unknown", ["x", 1.0, x + 1])
    def test_unknown_that_is_no_symbol(self, unknown):
        text = refused(x - p, unknown, [p])
        assert "the unknown must be a SymPy Symbol" in text
        assert type(unknown).__name__ in text

    def test_complex_or_noncommuting_symbol(self):
        assert "must be real" in refused(p + 1, sp.Symbol("z", imaginary=True), [p])
        assert "must be real" in refused(x - p, sp.Symbol("A", commutative=False), [p])


class TestRefusesExpressions:
    def test_string(self):
        text = refused("x**2 - p", x, [p])
        assert "the residual must be a SymPy expression" in text
        assert "'x**2 - p'" in text
        assert "sympy.sympify" in text

    @pytest.mark.parametrize("condition", [x > p, sp.Ne(x, p), sp.true, sp.And(x > 0, p > 0)])
    def test_condition_instead_of_an_equation(self, condition):
        text = refused(condition, x, [p])
        assert "must be an expression or an Eq; got the condition" in text

    def test_structural_comparison_instead_of_an_equation(self):
        text = refused(x**2 == p, x, [p])
        assert "compares structure" in text or "must be a SymPy expression; got False" in text

    @pytest.mark.parametrize("residual", [None, object(), {"x": 1}, b"x"])
    def test_something_else_entirely(self, residual):
        assert "must be" in refused(residual, x, [p])

    def test_complex_residual(self):
        text = refused(x + sp.I * p, x, [p])
        assert "the residual must be real" in text
        assert "imaginary unit" in text

    @pytest.mark.parametrize("residual", [[x - p, x + p], []])
    def test_as_many_residuals_as_unknowns(self, residual):
        text = refused(residual, x, [p])
        assert "as many residuals as unknowns" in text
        assert f"got {len(residual)} residuals" in text

    def test_matrix(self):
        assert "as many residuals as unknowns" in refused(sp.Matrix([x - p, x]), x, [p])

    @pytest.mark.parametrize("residual", [sp.zoo * x, sp.nan * x, sp.oo * x + x])
    def test_infinite_or_undefined_expression(self, residual):
        with pytest.raises(iop.ImplicitopsError):
            Root(residual, x, [p])(1.0)


class TestRefusesFunctions:
    """Whether a function can be compiled is known when it is first needed; the error names it."""

    @pytest.mark.parametrize("function", [f, sp.Function("airyless")])
    def test_undefined_function(self, function):
        with pytest.raises(iop.ImplicitopsError, match=function.__name__):
            Root(function(x) - p, x, [p], bracket=(0, 1))(0.5)

    @pytest.mark.parametrize("expression", [sp.Integral(sp.exp(-(y**3) - y), (y, 0, x)), sp.Derivative(f(x), x)])
    def test_operations_that_cannot_be_carried_out(self, expression):
        with pytest.raises(iop.ImplicitopsError, match=type(expression).__name__):
            Root(expression - p, x, [p], bracket=(0, 1))(0.5)

    def test_operations_that_can_be_carried_out_are_no_obstacle(self):
        integral = Root(sp.Integral(sp.exp(-(y**2)), (y, 0, x)) - p, x, [p], bracket=(0, 2))
        assert float(integral(0.5)) == pytest.approx(0.5510394276090265, rel=1e-14)  # erfinv(1/sqrt(pi))


class TestAcceptsStarts:
    def test_guess_starts_inside_a_bracket(self):
        problem = Root(x**3 - p, x, [p], bracket=(0, 1 + p), guess=(1 + p) / 2)
        assert problem(8.0) == pytest.approx(2.0, rel=1e-15)
        assert "bracket=(0, p + 1), guess=p/2 + 1/2" in repr(problem)
        assert problem.key != Root(x**3 - p, x, [p], bracket=(0, 1 + p)).key

    def test_guess_close_to_the_root_saves_steps(self):
        near = Root(x**3 - p, x, [p], bracket=(0, 100), guess=2.001).solve(8.0)
        assert near.stats["iterations"] < Root(x**3 - p, x, [p], bracket=(0, 100)).solve(8.0).stats["iterations"]

    def test_guess_in_an_infinite_bracket_is_where_the_search_begins(self):
        problem = Root(sp.log(x) / x - p, x, [p], bracket=(0, sp.oo), guess=30)  # the other root is 1.295855509095369
        assert problem(0.2) == pytest.approx(12.713206788867632, rel=1e-15)

    @pytest.mark.parametrize("guess", [-0.5, 9.5, sp.oo, sp.log(-p)])
    def test_guess_outside_its_bracket_is_named_by_the_status(self, guess):
        found = Root(x**3 - p, x, [p], bracket=(0, 1 + p), guess=guess).solve(8.0, throw=False)
        assert found.status is Status.INVALID_GUESS

    def test_guess_expression_that_is_undefined_is_told_from_a_parameter_that_is_nan(self):
        problem = Root(x - p, x, [p], guess=sp.log(p - 5))
        assert list(problem.solve([2.0, np.nan, 7.0], throw=False).status) == [
            Status.INVALID_GUESS,
            Status.INVALID_INPUT,
            Status.CONVERGED,
        ]

    def test_arrays_of_numbers_are_guesses_and_brackets(self):
        y = sp.Symbol("y")
        assert Root([x - p, y - x], [x, y], [p], guess=np.array([1.0, 1.0])) == Root(
            [x - p, y - x], [x, y], [p], guess=[1.0, 1.0]
        )
        assert Root(x - p, x, [p], bracket=np.array([0, 10])) == Root(x - p, x, [p], bracket=(0, 10))
        assert Root(x - p, x, [p], guess=np.float64(2)) == Root(x - p, x, [p], guess=2.0)
        assert FixedPoint(sp.cos(x) * p, [x], [p], guess=np.array([1])).guess == (1,)
        bounds = np.array([[0.0, 2.0]])
        assert Minimum((x - p) ** 2, [x], [p], guess=np.zeros(1), bounds=bounds).bounds == ((0.0, 2.0),)


class TestRefusesOptions:
    def test_equal_ends(self):
        text = refused(x - p, x, [p], bracket=(p, p))
        assert "the ends of the bracket are equal (p)" in text
        assert "Give two different ends" in text

    @pytest.mark.parametrize("bracket", [1.0, (0,), (0, 1, 2), "01", {0: 1}])
    def test_bracket_that_is_no_pair(self, bracket):
        text = refused(x - p, x, [p], bracket=bracket)
        assert "bracket must be a pair (lower, upper)" in text
        assert repr(bracket) in text

    @pytest.mark.parametrize("guess", ["0.5", [0.5], sp.I])
    def test_guess_that_is_no_expression(self, guess):
        assert "guess" in refused(x - p, x, [p], guess=guess)

    @pytest.mark.parametrize(
        ("option", "value", "words"),
        [
            ("method", "brent", "method must be one of 'auto', 'newton'; got 'brent'"),
            ("method", "newtn", "Did you mean 'newton'?"),
            ("rtol", -1e-9, "rtol must be a non-negative finite number; got -1e-09"),
            ("rtol", float("nan"), "got nan"),
            ("rtol", "1e-9", "got '1e-9'"),
            ("rtol", True, "got True"),
            ("atol", float("inf"), "got inf"),
            ("max_steps", 0, "max_steps must be a positive integer; got 0"),
            ("max_steps", 10.0, "got 10.0"),
            ("max_steps", True, "got True"),
            ("on_failure", "warn", "on_failure must be 'raise' or 'nan'; got 'warn'"),
        ],
    )
    def test_value_out_of_range(self, option, value, words):
        assert words in refused(x - p, x, [p], **{option: value})

    def test_misspelt_option(self):
        with pytest.raises(TypeError, match="braket"):
            Root(x - p, x, [p], braket=(0, 1))


class TestIsAValue:
    problem = Root(x**2 - p * q, x, [p, q], bracket=(0, 1 + p * q))

    def test_equal_statements_are_equal_and_hash_equal(self):
        other = Root(x**2 - q * p, x, [p, q], bracket=(0, 1 + q * p))
        assert other == self.problem
        assert hash(other) == hash(self.problem)
        assert other.key == self.problem.key

    @pytest.mark.parametrize(
        "other",
        [
            Root(x**2 + p * q, x, [p, q], bracket=(0, 1 + p * q)),
            Root(x**2 - p * q, x, [q, p], bracket=(0, 1 + p * q)),
            Root(x**2 - p * q, x, [p, q], bracket=(0, 2 + p * q)),
            Root(x**2 - p * q, x, [p, q], guess=1),
            Root(x**2 - p * q, x, [p, q], bracket=(0, 1 + p * q), rtol=1e-6),
            Root(x**2 - p * q, x, [p, q], bracket=(0, 1 + p * q), on_failure="nan"),
        ],
    )
    def test_different_statements_have_different_keys(self, other):
        assert other != self.problem
        assert other.key != self.problem.key

    def test_assumptions_are_part_of_the_statement(self):
        positive = sp.Symbol("x", positive=True)
        assert Root(positive - p, positive, [p]).key != Root(x - p, x, [p]).key

    def test_cannot_be_changed(self):
        with pytest.raises(AttributeError):
            self.problem.params = ()

    def test_pickle_rebuilds_an_equal_problem_without_caches(self):
        self.problem(2.0, 3.0)
        other = pickle.loads(pickle.dumps(self.problem))
        assert other == self.problem
        assert not [name for name in other.__dict__ if name.startswith("_")]
        assert other(2.0, 3.0) == self.problem(2.0, 3.0)

    def test_key_is_the_same_in_another_process(self):
        program = (
            "import sympy as sp, implicitops as iop; x, p, q = sp.symbols('x p q');"
            "print(iop.Root(x**2 - p*q, x, [p, q], bracket=(0, 1 + p*q)).key)"
        )
        result = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": "7", "PYTHONPATH": "."},
        )
        assert result.stdout.strip() == self.problem.key

    def test_repr_shows_equation_and_start(self):
        assert repr(self.problem) == "Root(-p*q + x**2, x, [p, q], bracket=(0, p*q + 1))"
        assert repr(Root(x - p, x, [p], guess=2)) == "Root(-p + x, x, [p], guess=2)"
