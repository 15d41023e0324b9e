"""What a system may look like, and what is said of one that cannot be solved."""

import pickle

import pytest
import sympy as sp

import implicitops as iop

x, y, z, a, b = sp.symbols("x y z a b")


def test_equal_statements_are_equal_hash_alike_and_survive_pickling():
    first = iop.Root([x + y - a, x * y - b], [x, y], [a, b], guess=[a, 0])
    second = iop.Root([sp.Eq(x + y, a), sp.Eq(x * y, b)], (x, y), (a, b), guess=(a, 0))
    assert first == second
    assert hash(first) == hash(second)
    assert first.key == second.key == pickle.loads(pickle.dumps(first)).key


def test_a_matrix_of_equations_is_a_sequence():
    statement = iop.Root(sp.Matrix([x + y - a, x - y]), sp.Matrix([x, y]), [a], guess=[1, 1])
    assert statement(4.0).tolist() == [2, 2]


def test_one_equation_in_a_list_gives_a_vector_of_length_one():
    assert iop.Root([x**2 - a], [x], [a], guess=[1])(4.0).shape == (1,)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (([x + y - a, x - b], [x, y, z], [a, b]), {"guess": [0, 0, 0]}, "2 residuals .* 3 unknowns x, y, z"),
        (([x + y - a, x - b, x], [x, y], [a, b]), {"guess": [0, 0]}, "3 residuals"),
        (([x - a, x - b], [x, y], [a, b]), {"guess": [0, 0]}, "unknown y appears in no equation"),
        (([x - a, a - b], [x, y], [a, b]), {"guess": [0, 0]}, "does not contain the unknown"),
        (([x + y - a, x - y], [x, y], [a]), {}, "needs guess="),
        (([x + y - a, x - y], [x, y], [a]), {"guess": [1]}, "one expression for each of the 2 unknowns"),
        (([x + y - a, x - y], [x, y], [a]), {"guess": 1}, "one expression for each of the 2 unknowns"),
        (([x + y - a, x - y], [x, y], [a]), {"guess": [x, 1]}, "guess contains x"),
        (([x + y - a, x - y], [x, y], [a]), {"bracket": (0, 1)}, "no bracket"),
        (([x + y - a, x - y], [x, x], [a]), {"guess": [1, 1]}, "listed twice"),
        (([x + y - a, x - y], [x, y], [a, x]), {"guess": [1, 1]}, "both the unknown and a parameter"),
        (([x + y - a, x - y], [x, y], [a]), {"guess": [1, 1], "atol": [1e-9]}, "one for each of 2 unknowns"),
        (([x + y - a, x > y], [x, y], [a]), {"guess": [1, 1]}, "condition"),
        (([], [], [a]), {"guess": []}, "unknown is empty"),
    ],
)
def test_a_statement_that_cannot_be_solved_says_why(arguments, options, words):
    with pytest.raises(iop.ProblemError, match=words):
        iop.Root(*arguments, **options)


def test_a_guess_of_the_wrong_length_in_a_call_is_refused():
    statement = iop.Root([x + y - a, x - y], [x, y], [a], guess=[1, 1])
    with pytest.raises(iop.ArgumentError, match="last axis must have length 2"):
        statement.solve(1.0, guess=[1.0, 2.0, 3.0])


def test_a_bracket_in_a_call_of_a_system_is_refused():
    with pytest.raises(iop.ArgumentError, match="no bracket"):
        iop.Root([x + y - a, x - y], [x, y], [a], guess=[1, 1]).solve(1.0, bracket=(0, 1))
