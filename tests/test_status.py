"""Statuses, solutions and errors: codes agree with C, messages say what to do, results print and pickle."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import implicitops as iop
from implicitops import Solution, Status

HEADER = Path(__file__).parents[1] / "csrc" / "implicitops.h"


class TestStatus:
    def test_codes_are_those_of_the_c_header(self):
        listed = re.search(r"typedef enum \{(.*?)\} iop_status;", HEADER.read_text(), re.DOTALL)
        assert listed
        codes = {name: int(code) for name, code in re.findall(r"IOP_(\w+) = (\d+)", listed.group(1))}
        assert codes == {status.name: status.code for status in Status}

    @pytest.mark.parametrize("status", Status)
    def test_code_leads_back_to_the_status(self, status):
        assert Status.from_code(status.code) is status

    @pytest.mark.parametrize("status", [s for s in Status if s is not Status.CONVERGED])
    def test_message_says_what_happened_and_what_to_do(self, status):
        assert re.search(
            r"\b(Give|Raise|Narrow|Restate|Look|give|multiply|Call|Correct|Use|Ask|Start|Leave)\b", status.value
        )

    def test_repr_is_short_and_pickle_keeps_identity(self):
        assert repr(Status.SINGULAR) == "Status.SINGULAR"
        assert pickle.loads(pickle.dumps(Status.SINGULAR)) is Status.SINGULAR


class TestSolution:
    def test_status_and_converged_of_one_solve_are_scalars(self):
        solution = Solution(np.float64(1.0), None, None, np.int32(0))
        assert solution.status is Status.CONVERGED
        assert solution.converged

    def test_status_and_converged_of_a_batch_have_its_shape(self):
        solution = Solution(np.zeros((2, 2)), None, None, np.array([[0, 1], [5, 0]], dtype=np.int32))
        assert solution.status.tolist() == [
            [Status.CONVERGED, Status.NO_SIGN_CHANGE],
            [Status.SINGULAR, Status.CONVERGED],
        ]
        assert solution.converged.tolist() == [[True, False], [False, True]]

    def test_fields_cannot_be_replaced(self):
        solution = Solution(np.float64(1.0), None, None, np.int32(0))
        with pytest.raises(AttributeError):
            solution.value = 2.0


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "bases"),
        [
            (iop.ProblemError, (iop.ImplicitopsError, ValueError)),
            (iop.ArgumentError, (iop.ImplicitopsError, TypeError, ValueError)),
            (iop.SolveError, (iop.ImplicitopsError, ArithmeticError)),
        ],
    )
    def test_errors_are_ours_and_the_builtin_kind_that_people_catch(self, error, bases):
        assert all(issubclass(error, base) for base in bases)

    def test_warning_is_a_runtime_warning(self):
        assert issubclass(iop.SolveWarning, RuntimeWarning)

    def test_solve_error_carries_the_solution(self):
        solution = Solution(np.float64("nan"), None, None, np.int32(1))
        assert iop.SolveError("no", solution).solution is solution
