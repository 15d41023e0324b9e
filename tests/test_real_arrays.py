"""What is no real number is refused with a text that helps, and what is missing is NaN, by every way in."""

from __future__ import annotations

import datetime
import decimal
import fractions
import warnings

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops import ArgumentError, External, ProblemError, SolveError, Status
from implicitops.real_arrays import real_array

x, p, q = sp.symbols("x p q")
v = sp.symbols("v0:2")
SUM = iop.Root(x - p - q, x, [p, q], bracket=(-1000, 1000))
PRODUCT = iop.Root(x - p - v[0] * v[1], x, [p, v], bracket=(-1000, 1000))
DECAY = iop.ODE({x: -p * x}, [p], initial={x: 1})
MASKED = np.ma.array([1.0, -99.0, 3.0], mask=[False, True, False])
DAYS = np.array(["2020-01-01", "2020-01-03"], dtype="datetime64[D]")

#: What is no real number, and what is said of it.
REFUSED = {
    "None": (None, "got None of type NoneType. A number that is missing is np.nan"),
    "None in a list": ([1.0, None], r"got None of type NoneType at index 1, shape \(2,\)"),
    "None in an object array": (np.array([[1.0], [None]], dtype=object), r"at index \(1, 0\), shape \(2, 1\)"),
    "text": ("1.5", r"got text, shape \(\): '1.5'. Make numbers of it"),
    "text in a list": ([1.0, "2"], r"got '2' of type str at index 1, shape \(2,\). Make a number of it: float"),
    "text array": (np.array(["1", "2"]), r"got text, shape \(2,\): '1' at index 0"),
    "bytes": (b"12", "got text"),
    "Decimals": (
        [decimal.Decimal("1.5"), 2.0],
        r"numbers as objects, shape \(2,\), such as Decimal\('1.5'\) at index 0",
    ),
    "Fractions": ([2.0, fractions.Fraction(1, 2)], r"such as Fraction\(1, 2\) at index 1. Convert it: np.asarray"),
    "floats as objects": (
        np.array([1.0, 2.0], dtype=object),
        r"numbers as objects, shape \(2,\). Convert it: np.asarray",
    ),
    "integer beyond all floats": (10**400, r"got a number beyond the largest float64, 1.8e\+308. Use other units"),
    "integer of too many digits to print": (-(10**5000), "got a number beyond the largest float64"),
    "integer beyond all floats in a list": ([1, 10**400], "beyond the largest float64, .* at index 1"),
    "Decimal beyond all floats": (decimal.Decimal("1e400"), "beyond the largest float64"),
    "Fraction beyond all floats": ([fractions.Fraction(10**400), 1], "beyond the largest float64, .* at index 0"),
    "complex": (1j, "dtype complex128, .* 1j. Take the real part"),
    "complex in a list": ([1.0, 2 + 1j], r"\(2\+1j\) at index 1"),
    "complex without imaginary part": (np.array([1 + 0j]), "all imaginary parts are 0. Take the real part"),
    "lists of two lengths": ([[1, 2, 3], [4, 5]], "a list of 2 items of lengths 3, 2, which is no array"),
    "list and number": ([[1, 2], 3], r"item 0 has shape \(2,\) and item 1 has shape \(\)"),
    "deep lists": ([[[1, 2]], [[1, 2], [3, 4]]], r"item 0 has shape \(1, 2\) and item 1 has shape \(2, 2\)"),
    "arrays of two lengths": ([np.ones(2), np.ones(3)], "lengths 2, 3"),
    "lists as objects": (np.array([[1.0], [1.0, 2.0]], dtype=object), r"got \[1.0\] of type list at index 0"),
    "timedelta64": (DAYS - DAYS[0], r"dtype timedelta64\[D\], shape \(2,\). Divide by a unit of time"),
    "datetime64": (DAYS, r"dtype datetime64\[D\], shape \(2,\). Subtract a time and divide by a unit"),
    "timedelta": (datetime.timedelta(1), r"of type timedelta. Make a number of it: .total_seconds\(\)"),
    "dates": ([datetime.date(2020, 1, 1)], "of type date at index 0, .* Subtract a time"),
    "dict": ({"a": 1}, r"got a dict: \{'a': 1\}. Pass its numbers as a list"),
    "set": ({1, 2}, "got a set"),
    "object": (object(), "of type object. Pass a number, an array"),
    "Symbol in a list": ([x, 1.0], "got x of type Symbol at index 0"),
    "fields": (
        np.zeros(2, dtype=[("a", float), ("b", float)]),
        r"with the fields a, b, shape \(2,\). Take one of them",
    ),
}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


class TestRefusals:
    @pytest.mark.parametrize(("argument", "words"), REFUSED.values(), ids=REFUSED)
    def test_text_says_what_it_is_and_what_to_do(self, argument, words):
        with pytest.raises(ArgumentError, match=f"p must be real numbers; .*{words}"):
            SUM(argument, 1.0)
        with pytest.raises(ArgumentError, match=words):
            SUM.solve(p=1.0, q=argument)
        if argument is None:  # which stands for the times of the statement
            return
        with pytest.raises(ArgumentError, match=f"times must be real numbers; .*{words}"):
            DECAY.op("numpy")(1.0, times=argument)

    @pytest.mark.parametrize(("answer", "words"), REFUSED.values(), ids=REFUSED)
    def test_answer_of_existing_code_is_judged_in_the_same_way(self, answer, words):
        problem = External(lambda u: answer, inputs={"u": ()}, outputs=(2,))
        with pytest.raises(SolveError, match=rf"function must return real numbers of shape \(2,\); .*{words}"):
            problem(1.0)

    @pytest.mark.parametrize(
        "advised",
        [
            lambda: np.asarray([decimal.Decimal("1.5"), 2.0], dtype=float),
            lambda: (DAYS - DAYS[0]) / np.timedelta64(1, "s"),
            lambda: np.asarray(["1", "2"]).astype(float),
            lambda: (DAYS - DAYS[0]) / np.timedelta64(1, "D"),
            lambda: np.array([1 + 0j]).real,
            lambda: datetime.timedelta(1).total_seconds(),
        ],
    )
    def test_advice_can_be_followed(self, advised):
        assert np.isfinite(SUM(np.asarray(advised()) / 1e6, 1.0)).all()


class TestShapes:
    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (lambda: SUM(np.ones(3), np.ones(2)), r"got p of shape \(3,\), q of shape \(2,\)"),
            (
                lambda: PRODUCT(np.ones(3), np.ones((4, 2))),
                r"got p of shape \(3,\), v of shape \(4, 2\) with the batch shape \(4,\)",
            ),
            (
                lambda: DECAY(np.ones(3), times=np.ones((7, 11))),
                r"got p of shape \(3,\), times of shape \(7, 11\) with the batch shape \(7,\)",
            ),
            (lambda: PRODUCT(1.0, np.ones((4, 3))), r"v: the last axis must have length 2; got shape \(4, 3\)"),
            (lambda: PRODUCT(1.0, 2.0), r"v: the last axis must have length 2; got shape \(\)"),
            (lambda: DECAY(1.0, times=2.0), r"times: it must be 1-D, .* got the number 2.0: write \[2.0\]"),
        ],
    )
    def test_text_has_the_shape_that_was_given(self, call, words):
        with pytest.raises(ArgumentError, match=words):
            call()


def as_pandas(kind):
    pandas = pytest.importorskip("pandas")
    return pandas.Series([1, None, 3], dtype=kind)


MISSING = {
    "masked array": lambda: MASKED,
    "masked integers": lambda: np.ma.array([1, -99, 3], mask=[0, 1, 0]),
    "list with a masked number": lambda: [1.0, np.ma.masked, 3.0],
    "list of masked arrays": lambda: list(MASKED.reshape(3, 1)),
    "Float64": lambda: as_pandas("Float64"),
    "Int64": lambda: as_pandas("Int64"),
}


class TestMissing:
    @pytest.mark.parametrize("make", MISSING.values(), ids=MISSING)
    def test_missing_number_is_nan_with_its_status_in_its_own_element(self, make):
        for call in (lambda a: SUM.solve(a, 1.0, throw=False), lambda a: SUM.solve(p=1.0, q=a, throw=False)):
            solution = call(make())
            assert solution.status.ravel().tolist() == [Status.CONVERGED, Status.INVALID_INPUT, Status.CONVERGED]
            assert np.isnan(solution.value.ravel()).tolist() == [False, True, False]

    @pytest.mark.parametrize("make", MISSING.values(), ids=MISSING)
    def test_error_says_that_it_was_masked(self, make):
        for call in (SUM, SUM.op("numpy"), SUM.solve):
            with pytest.raises(SolveError, match=r"p=nan, q=1 \(p masked or NA there, which counts as NaN\)"):
                call(make(), 1.0)

    def test_masked_number_by_itself(self):
        for arguments in ((np.ma.masked, 1.0), (1.0, np.ma.masked)):
            with pytest.raises(SolveError, match="masked or NA there"):
                SUM(*arguments)
            value, code = SUM.op("numpy", status=True)(*arguments)
            assert np.isnan(value)
            assert Status.from_code(code) is Status.INVALID_INPUT

    def test_number_that_is_nan_by_itself_is_not_called_masked(self):
        with pytest.raises(SolveError) as caught:
            SUM(np.nan, MASKED[:1])
        assert "masked" not in str(caught.value)

    def test_mask_without_masked_entries_changes_nothing(self):
        np.testing.assert_array_equal(SUM(np.ma.array([1.0, 2.0]), 1.0), [2.0, 3.0])
        np.testing.assert_array_equal(SUM(np.ma.array([1, 2], mask=False), 1.0), [2.0, 3.0])

    def test_output_times(self):
        times = np.ma.array([1.0, 2.0], mask=[False, True])
        with pytest.raises(SolveError, match="times masked or NA there"):
            DECAY(1.0, times=times)
        assert DECAY.solve(1.0, times=times, throw=False).status is Status.INVALID_INPUT
        with pytest.raises(ProblemError, match="times has masked or missing entries"):
            iop.ODE({x: -p * x}, [p], initial={x: 1}, times=times)

    def test_start_values(self):
        solution = SUM.solve(1.0, 2.0, bracket=(MASKED - 50, 50.0), throw=False)
        assert solution.converged.tolist() == [True, False, True]
        guess = np.ma.array([0.0, 1.0], mask=[False, True])
        solution = iop.Root(x**2 - p, x, [p], guess=1).solve(4.0, guess=1 + guess, throw=False)
        assert solution.converged.tolist() == [True, False]

    def test_statement_refuses_it(self):
        with pytest.raises(ProblemError, match="which is masked"):
            iop.Root(x - p, x, [p], guess=np.ma.masked)

    @pytest.mark.parametrize(
        ("answer", "shape"),
        [(np.ma.masked, ()), ([1.0, np.ma.masked], (2,)), (np.ma.array([1.0, 2.0], mask=[0, 1]), (2,))],
    )
    def test_existing_code_that_returns_it_returns_nan(self, answer, shape):
        problem = External(lambda u: answer, inputs={"u": ()}, outputs=shape)
        solution = problem.solve(1.0, throw=False)
        assert solution.status is Status.EXTERNAL_NAN
        assert np.isnan(solution.value).all()

    def test_existing_code_is_not_called_with_it(self):
        calls = []
        problem = External(lambda u: calls.append(u) or u, inputs={"u": ()}, outputs=(), on_failure="nan")
        np.testing.assert_array_equal(problem(MASKED), [1.0, np.nan, 3.0])
        assert calls == [1.0, 3.0]

    def test_jacobian_of_existing_code_that_is_masked(self):
        problem = External(lambda u: u, inputs={"u": ()}, outputs=(), jacobian=lambda u: np.ma.array([1.0], mask=True))
        assert problem.solve(1.0, derivatives=1, throw=False).status is Status.EXTERNAL_NAN


def test_dtype_is_kept_where_nothing_is_missing():
    assert real_array(np.array([1, 2], dtype=np.int8)).dtype == np.int8
    assert real_array(np.ma.array([1, 2])).dtype.kind == "i"
    assert real_array([True, False]).dtype.kind == "b"


@pytest.mark.parametrize("integer", [2**63, 10**30, -(10**300)], ids=["2**63", "10**30", "-10**300"])
def test_integers_of_more_than_64_bits_are_numbers(integer):
    wide = iop.Root(x - p, x, [p], guess=1)
    for _ in range(2):  # the second call goes straight to the kernel
        assert wide(integer) == float(integer)
    assert real_array([integer, 1.5]).tolist() == [float(integer), 1.5]
    assert real_array((integer, 1)).tolist() == [float(integer), 1.0]


def test_integer_beyond_all_floats_is_refused_by_the_shortest_way_too():
    wide = iop.Root(x - p, x, [p], guess=1)
    wide(1.0)
    with pytest.raises(ArgumentError, match="p must be real numbers; got a number beyond the largest float64"):
        wide(10**400)
