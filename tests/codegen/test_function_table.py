"""Every function of the table, in every argument: value, first and second derivatives are mpmath's, or are refused."""

from __future__ import annotations

import itertools
import pathlib
import re
from collections import defaultdict

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

from implicitops.codegen import UnsupportedDerivativeError
from implicitops.codegen.compile import CompiledBundle, compile_artifact
from implicitops.codegen.functions import FUNCTIONS, Refusal, Row
from implicitops.symbolic.tape import Tape

DIGITS = 30

Point = tuple[float, ...]
Index = tuple[int, ...]


def whole_arguments(row: Row, point: Point) -> tuple[int | None, ...]:
    """Arguments of a point that are whole numbers; None stands for any other."""
    return tuple(int(v) if k in row.whole else None for k, v in enumerate(point))


def by_whole_arguments(row: Row) -> dict[tuple[int | None, ...], list[Point]]:
    """Test points by the values of the arguments that are whole numbers."""
    groups: dict[tuple[int | None, ...], list[Point]] = defaultdict(list)
    for point in row.points:
        groups[whole_arguments(row, point)].append(point)
    return groups


def derivatives(row: Row, whole: tuple[int | None, ...]) -> tuple[dict[Index, sp.Expr], tuple[sp.Symbol, ...], Tape]:
    """Value and derivatives to second order on a tape, by multi-index; those that are refused are left out."""
    symbols = sp.symbols(f"a0:{len(whole)}", real=True)
    given = [symbol if number is None else sp.Integer(number) for symbol, number in zip(symbols, whole)]
    free = tuple(argument for argument in given if argument.is_Symbol)
    tape = Tape()
    found: dict[Index, sp.Expr] = {(): tape.add(row.kind(*given, evaluate=False))}
    for order in (1, 2):
        for chosen in itertools.combinations_with_replacement(range(len(free)), order):
            try:
                (found[chosen],) = tape.reverse([(found[chosen[:-1]], sp.S.One)], (free[chosen[-1]],))
            except (KeyError, UnsupportedDerivativeError):
                continue
    return found, free, tape


def expected(row: Row, point: Point, chosen: Index) -> float:
    """Derivative of the reference by differences in many digits, with steps that are relative."""
    free = [k for k in range(len(point)) if k not in row.whole]
    scales = [mp.mpf(abs(point[k])) or mp.mpf(1) for k in free]

    def reference(*steps):
        full = [int(v) if k in row.whole else mp.mpf(v) for k, v in enumerate(point)]
        for k, scale, step in zip(free, scales, steps):
            full[k] += scale * step
        return row.reference(*full)

    with mp.workdps(DIGITS):
        counts = tuple(chosen.count(k) for k in range(len(free)))
        at = (mp.mpf(0),) * len(free)
        if not chosen:
            value = reference(*at)
        else:
            value = mp.diff(reference, at if len(free) > 1 else at[0], counts if len(free) > 1 else counts[0])
        for scale, count in zip(scales, counts):
            value /= scale**count
        return float(mp.re(value))


@pytest.mark.parametrize("kind", FUNCTIONS, ids=lambda kind: kind.__name__)
def test_value_and_derivatives_to_second_order_agree_with_mpmath(kind):
    row = FUNCTIONS[kind]
    assert row.points, f"{kind.__name__} has no test points"
    for whole, points in by_whole_arguments(row).items():
        found, free, tape = derivatives(row, whole)
        compiled = CompiledBundle(compile_artifact(tape.bundle(free, list(found.values()))))
        for point in points:
            values = compiled.evaluate_scalar([v for k, v in enumerate(point) if k not in row.whole])
            for chosen, value in zip(found, values):
                right, rtol = expected(row, point, chosen), row.rtol[len(chosen)]
                message = f"{kind.__name__}{point}, derivative {chosen}"
                np.testing.assert_allclose(value, right, rtol=rtol, atol=1e-300, err_msg=message)


@pytest.mark.parametrize("kind", [kind for kind, row in FUNCTIONS.items() if row.poles], ids=lambda kind: kind.__name__)
def test_value_and_derivatives_are_no_numbers_at_a_pole(kind):
    row = FUNCTIONS[kind]
    for point in row.poles:
        values = [value for k, value in enumerate(point) if k not in row.whole]
        found, free, tape = derivatives(row, whole_arguments(row, point))
        compiled = CompiledBundle(compile_artifact(tape.bundle(free, list(found.values()))))
        assert not np.isfinite(compiled.evaluate_scalar(values)).any()


def test_a_derivative_is_refused_only_where_a_whole_number_stands():
    for row in FUNCTIONS.values():
        refused = {k for k, partial in enumerate(row.partials or ()) if isinstance(partial, Refusal)}
        assert refused == set(row.whole), row.kind


def test_the_documentation_lists_the_functions_of_the_table_and_no_other():
    page = (pathlib.Path(__file__).parents[2] / "docs" / "functions.md").read_text("utf-8")
    listed = {
        name for row in re.findall(r"^\| [^|]+ \| (.*) \|$", page, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    listed |= set(re.findall(r"`(\w+)\(", "".join(re.findall(r"^\| (`\w+\(.*?) \|", page, re.MULTILINE))))
    internal = "implicitops.codegen"
    names = {kind.__name__ for kind in FUNCTIONS if not kind.__module__.startswith(internal)}
    spelled = {"sqrt": "Sqrt", "cbrt": "Cbrt", "Pow": None}
    assert {spelled.get(name, name) for name in listed} - {None} == names
