"""Statements: what Minimum accepts, what it refuses and how it says so, and that equal statements are equal."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import sympy as sp

from implicitops import Minimum, ProblemError

x, y, p, q = sp.symbols("x y p q")
BOWL = (x - p) ** 2 + (y - q) ** 2 + x * y / 2


def refused(*args, **kwargs):
    with pytest.raises(ProblemError) as caught:
        Minimum(*args, **kwargs)
    return str(caught.value)


class TestAccepts:
    def test_symbol_gives_a_scalar_answer_and_a_sequence_a_vector(self):
        assert Minimum((x - p) ** 2, x, [p], guess=0).output_shape == ()
        assert Minimum((x - p) ** 2, [x], [p], guess=[0]).output_shape == (1,)
        assert Minimum(BOWL, [x, y], [p, q], guess=(0, 0)).output_shape == (2,)

    def test_no_bounds_are_infinite_bounds(self):
        infinite = ((-sp.oo, sp.oo), (-sp.oo, sp.oo))
        for bounds in (None, [None, None], [(None, None), (-sp.oo, sp.oo)], [(-float("inf"), None), None]):
            problem = Minimum(BOWL, [x, y], [p, q], guess=(0, 0), bounds=bounds)
            assert problem.bounds == infinite
            assert not problem.is_bounded

    def test_bounds_are_expressions_of_the_parameters(self):
        problem = Minimum(BOWL, [x, y], [p, q], guess=(0, 0), bounds=[(0, p), (None, p * q)])
        assert problem.bounds == ((0, p), (-sp.oo, p * q))
        assert Minimum((x - p) ** 2, x, [p], guess=0, bounds=(0, p)).bounds == ((0, p),)

    def test_domain_and_bounds_follow_from_the_unknowns_assumptions(self):
        expected = {
            sp.Symbol("x"): ((-sp.oo, sp.oo), (-sp.oo, sp.oo)),
            sp.Symbol("x", positive=True): ((0, sp.oo), (-sp.oo, sp.oo)),
            sp.Symbol("x", negative=True): ((-sp.oo, 0), (-sp.oo, sp.oo)),
            sp.Symbol("x", nonnegative=True): ((-sp.oo, sp.oo), (0, sp.oo)),
            sp.Symbol("x", nonpositive=True): ((-sp.oo, sp.oo), (-sp.oo, 0)),
        }
        for symbol, (domain, bounds) in expected.items():
            problem = Minimum((symbol - p) ** 2, symbol, [p], guess=1)
            assert problem.domain == (domain,)
            assert problem.bounds == (bounds,)

    def test_bounds_replace_assumptions(self):
        positive = sp.Symbol("x", positive=True)
        problem = Minimum((positive - p) ** 2, positive, [p], guess=1, bounds=(0, 5))
        assert problem.domain == ((-sp.oo, sp.oo),)
        assert np.array_equal(problem([-1.0, 2.0, 7.0]), [0.0, 2.0, 5.0])

    def test_vector_parameters_are_one_argument_each(self):
        c = sp.symbols("c0:3")
        problem = Minimum(sum((x - s) ** 2 for s in c), x, [c], guess=0)
        assert problem.parameter_names == ("c",)
        assert problem([1.0, 2.0, 6.0]) == 3.0


class TestRefuses:
    def test_no_guess(self):
        with pytest.raises(ProblemError, match="guess"):
            Minimum((x - p) ** 2, x, [p])

    def test_several_objectives(self):
        assert "one objective; got a sequence of 2" in refused([x - p, x**2], x, [p], guess=0)

    def test_equation_as_objective(self):
        assert "Use Root for an equation" in refused(sp.Eq(x**2, p), x, [p], guess=0)

    def test_condition_and_text(self):
        assert "got the condition" in refused(x < p, x, [p], guess=0)
        assert "got the string" in refused("x**2", x, [p], guess=0)

    def test_objective_without_the_unknown(self):
        text = refused(p**2, x, [p], guess=0)
        assert "the objective p**2 does not contain the unknown x" in text

    def test_unknown_that_the_objective_does_not_contain(self):
        text = refused((x - p) ** 2, [x, y], [p], guess=(0, 0))
        assert "the unknown y appears nowhere in the objective, so nothing determines it" in text

    def test_stranger_in_objective_guess_and_bounds(self):
        assert "the objective contains q" in refused((x - q) ** 2, x, [p], guess=0)
        assert "guess contains q" in refused((x - p) ** 2, x, [p], guess=q)
        assert "a bound of x contains x" in refused((x - p) ** 2, x, [p], guess=0, bounds=(0, x))

    def test_guess_of_the_wrong_length(self):
        assert "one expression for each of the 2 unknowns x, y; got 1" in refused(BOWL, [x, y], [p, q], guess=[0])

    @pytest.mark.parametrize("bounds", [(0, 1), [(0, 1)], [(0, 1)] * 3, 5])
    def test_bounds_of_the_wrong_number(self, bounds):
        text = refused(BOWL, [x, y], [p, q], guess=(0, 0), bounds=bounds)
        assert "pair (lower, upper)" in text

    @pytest.mark.parametrize("bounds", [(1, 0), (2, 2), (p, p), (sp.oo, None), (None, -sp.oo), (sp.nan, 1), (p, p - 1)])
    def test_bounds_that_leave_no_room(self, bounds):
        assert "the lower bound of x must be below the upper" in refused((x - p) ** 2, x, [p], guess=0, bounds=bounds)

    def test_misspelt_method_and_option(self):
        assert "Did you mean 'newton'" in refused((x - p) ** 2, x, [p], guess=0, method="newtn")
        with pytest.raises(TypeError, match="bound"):
            Minimum((x - p) ** 2, x, [p], guess=0, bound=(0, 1))


class TestIsAValue:
    problem = Minimum(BOWL, [x, y], [p, q], guess=(0, 0), bounds=[(0, p), None])

    def test_equal_statements_are_equal_and_hash_equal(self):
        other = Minimum(sp.expand(BOWL) + BOWL - sp.expand(BOWL), [x, y], (p, q), guess=[0, 0], bounds=((0, p), None))
        assert other == self.problem
        assert hash(other) == hash(self.problem)
        assert other.key == self.problem.key

    @pytest.mark.parametrize(
        "other",
        [
            Minimum(BOWL + x, [x, y], [p, q], guess=(0, 0), bounds=[(0, p), None]),
            Minimum(BOWL, [y, x], [p, q], guess=(0, 0), bounds=[(0, p), None]),
            Minimum(BOWL, [x, y], [p, q], guess=(0, 1), bounds=[(0, p), None]),
            Minimum(BOWL, [x, y], [p, q], guess=(0, 0), bounds=[(0, q), None]),
            Minimum(BOWL, [x, y], [p, q], guess=(0, 0)),
            Minimum(BOWL, [x, y], [p, q], guess=(0, 0), bounds=[(0, p), None], rtol=1e-6),
        ],
    )
    def test_different_statements_have_different_keys(self, other):
        assert other != self.problem
        assert other.key != self.problem.key

    def test_bounds_are_part_of_the_equation_and_the_guess_is_not(self):
        assert (
            Minimum(BOWL, [x, y], [p, q], guess=(1, 1), bounds=[(0, p), None]).equation_key == self.problem.equation_key
        )
        assert Minimum(BOWL, [x, y], [p, q], guess=(0, 0)).equation_key != self.problem.equation_key

    def test_pickle_rebuilds_an_equal_problem_without_caches(self):
        self.problem(2.0, 3.0)
        other = pickle.loads(pickle.dumps(self.problem))
        assert other == self.problem
        assert not [name for name in other.__dict__ if name.startswith("_")]
        assert np.array_equal(other(2.0, 3.0), self.problem(2.0, 3.0))

    def test_key_is_the_same_in_another_process(self):
        program = (
            "import sympy as sp, implicitops as iop; x, y, p, q = sp.symbols('x y p q');"
            "f = (x - p)**2 + (y - q)**2 + x*y/2;"
            "print(iop.Minimum(f, [x, y], [p, q], guess=(0, 0), bounds=[(0, p), None]).key)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": "7", "PYTHONPATH": "."},
        )
        assert done.stdout.strip() == self.problem.key

    def test_repr_shows_objective_start_and_bounds(self):
        assert repr(Minimum((x - p) ** 2, x, [p], guess=2)) == "Minimum((-p + x)**2, x, [p], guess=2)"
        assert repr(Minimum((x - p) ** 2, x, [p], guess=2, bounds=(0, p))).endswith("guess=2, bounds=(0, p))")
        assert "[x, y], [p, q], guess=[0, 0], bounds=[(0, p), (-oo, oo)]" in repr(self.problem)
