"""Sums of products and their derivatives are those of numpy.einsum, whatever the indices."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from implicitops.backends.numpy import evaluate
from implicitops.calculus.einsum import einsum

SIZES = {"i": 3, "j": 5, "a": 4, "b": 2}
CASES = [
    (("ia", "a"), "i", ((0, 1),)),
    (("ia", "i"), "a", ((0, 1),)),
    (("a", "a"), "", ((0, 1),)),
    (("", "a"), "a", ((0, 1),)),
    (("", ""), "", ((0, 1),)),
    (("i", "a"), "ia", ((0, 1),)),
    (("i", "a"), "ai", ((0, 1),)),
    (("iab", "b"), "ia", ((0, 1),)),
    (("iab", "ia"), "b", ((0, 1),)),
    (("iab", "jb"), "iaj", ((0, 1),)),
    (("ijab", "jb"), "ia", ((0, 1),)),
    (("ib", "i", "iab", "ia"), "b", ((0, 1), (2, 3))),
    (("a", "ia"), "i", ((0, 1), (0, 1))),
    (("a",), "", ((0, 0),)),
    (("a", "b"), "", ((0, 1),)),
    (("i", "i"), "ia", ((0, 1),)),
]


def expected(operation, arrays):
    """By numpy.einsum; an index of the output that a term lacks comes from an array of ones."""
    ones = [np.ones(n) for _, n in operation.sizes]
    letters = [letter for letter, _ in operation.sizes]
    total = 0
    for left, right in operation.terms:
        spread = [k for k, letter in enumerate(letters) if letter in operation.output]
        subscripts = ",".join((operation.inputs[left], operation.inputs[right], *(letters[k] for k in spread)))
        extra = [ones[k] for k in spread]
        total = total + np.einsum(f"{subscripts}->{operation.output}", arrays[left], arrays[right], *extra)
    return total


def random(shapes, seed=0, batch=()):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=batch + shape) for shape in shapes]


@pytest.mark.parametrize("case", CASES, ids=str)
class TestAgainstNumpy:
    def test_value(self, case):
        operation = einsum(*case, SIZES)
        arrays = random(operation.input_shapes)
        np.testing.assert_allclose(evaluate(operation, arrays)[0], expected(operation, arrays), rtol=1e-13, atol=1e-14)

    def test_batch_is_the_loop(self, case):
        operation = einsum(*case, SIZES)
        arrays = random(operation.input_shapes, batch=(2, 3))
        if len(arrays) > 1:
            arrays[1] = arrays[1][0]  # is broadcast
        (value,) = evaluate(operation, arrays)
        for index in np.ndindex(2, 3):
            element = [array[index[1:] if k == 1 else index] for k, array in enumerate(arrays)]
            np.testing.assert_array_equal(value[index], evaluate(operation, element)[0])

    def test_forward_and_reverse_agree_with_differences(self, case):
        operation = einsum(*case, SIZES)
        arrays, tangents = random(operation.input_shapes), random(operation.input_shapes, seed=1)
        cotangents = random(operation.output_shapes, seed=2)
        outputs = evaluate(operation, arrays)
        apply = lambda op, *values: evaluate(op, values)  # noqa: E731
        (forward,) = operation.jvp().replay([*arrays, *outputs, *tangents], apply)
        reverse = operation.vjp().replay([*arrays, *outputs, *cotangents], apply)
        # The operation is a polynomial of degree 2: a central difference has no error but rounding.
        ends = [expected(operation, [x + sign * v for x, v in zip(arrays, tangents)]) for sign in (1, -1)]
        np.testing.assert_allclose(forward, (ends[0] - ends[1]) / 2, rtol=1e-12, atol=1e-12)
        pulled = sum((r * v).sum() for r, v in zip(reverse, tangents) if r is not None)
        np.testing.assert_allclose(pulled, (forward * cotangents[0]).sum(), rtol=1e-12)
        for r, x in zip(reverse, arrays):
            assert r is None or r.shape == x.shape


def test_the_derivative_of_a_derivative_is_an_einsum_too():
    operation = einsum(("ia", "a"), "i", ((0, 1),), SIZES)
    for rule in (operation.vjp(), operation.jvp()):
        for step in rule.steps:
            again = step.operation.vjp().steps + step.operation.jvp().steps
            assert {type(further.operation) for further in again} == {type(operation)}


def test_input_that_no_term_holds_has_no_cotangent():
    operation = einsum(("a", "a", "b"), "", ((0, 1),), SIZES)
    assert operation.vjp().results[2] is None


@pytest.mark.parametrize("n", [1, 3, 11, 12, 13, 300])
@pytest.mark.parametrize("case", [(("ia", "a"), "i"), (("ia", "i"), "a"), (("i", "a"), "ia"), (("iab", "a"), "ib")])
def test_rows_of_every_length(case, n):
    operation = einsum(*case, ((0, 1),), {"i": 4, "a": n, "b": n})
    arrays = random(operation.input_shapes)
    np.testing.assert_allclose(evaluate(operation, arrays)[0], expected(operation, arrays), rtol=1e-12, atol=1e-12)


def test_nan_is_not_lost_where_the_other_factor_is_zero():
    operation = einsum(("ia", "a"), "i", ((0, 1),), SIZES)
    matrix = np.ones((3, 4))
    matrix[1, 2] = np.nan
    (value,) = evaluate(operation, [matrix, np.zeros(4)])
    np.testing.assert_array_equal(value, [0, np.nan, 0])


def test_empty_batch_and_empty_axis():
    operation = einsum(("ia", "a"), "i", ((0, 1),), SIZES)
    assert evaluate(operation, [np.ones((0, 3, 4)), np.ones(4)])[0].shape == (0, 3)
    operation = einsum(("ia", "a"), "i", ((0, 1),), {"i": 2, "a": 0})
    np.testing.assert_array_equal(evaluate(operation, [np.ones((2, 0)), np.ones(0)])[0], [0, 0])


def test_large_batch_on_threads_is_the_small_one():
    operation = einsum(("ia", "a"), "i", ((0, 1),), {"i": 20, "a": 30})
    matrices, vector = random([(20, 30)], batch=(2000,))[0], random([(30,)])[0]
    (value,) = evaluate(operation, [matrices, vector])
    for k in (0, 999, 1000, 1999):
        np.testing.assert_array_equal(value[k], evaluate(operation, [matrices[k], vector])[0])


def test_identity_is_by_content():
    operation = einsum(*CASES[0], SIZES)
    other = pickle.loads(pickle.dumps(operation))
    assert other == operation == einsum(*CASES[0], {"i": 3, "a": 4})
    assert hash(other) == hash(operation)
    assert other.name == operation.name
    assert operation.name != einsum(*CASES[0], {"i": 3, "a": 5}).name


def test_repeated_or_too_many_indices_are_refused():
    with pytest.raises(ValueError, match="once in an operand; got 'aa'"):
        einsum(("aa", "a"), "", ((0, 1),), SIZES)
    with pytest.raises(ValueError, match="a term may have 4 indices; got 'ijkab'"):
        einsum(("ijk", "ab"), "ij", ((0, 1),), {**SIZES, "k": 2})
