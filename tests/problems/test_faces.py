"""A statement is called through faces that are given to it from outside."""

from __future__ import annotations

import pytest
import sympy as sp

import implicitops as iop
from implicitops.problems import base

x, p = sp.symbols("x p")
SQUARE_ROOT = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))

CALLS = {
    "call": lambda problem: problem(4.0),
    "solve": lambda problem: problem.solve(4.0),
    "op": lambda problem: problem.op("numpy"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_problem_without_faces_says_what_gives_them(monkeypatch, call):
    monkeypatch.setattr(base, "_given_faces", None)
    with pytest.raises(RuntimeError, match=r"implicitops\.backends has given it its faces.*Import implicitops"):
        call(SQUARE_ROOT.replaced())


def test_a_problem_is_called_through_the_faces_it_is_given(monkeypatch):
    given = []
    faces = base.Faces(
        apply=lambda problem, arguments, **options: given.append((problem, arguments, options)),
        solve=base._faces().solve,
        backend_named=base._faces().backend_named,
    )
    monkeypatch.setattr(base, "_given_faces", base._given_faces)
    base.give_faces(faces)
    problem = SQUARE_ROOT.replaced()
    problem(4.0)
    assert given == [(problem, (4.0,), {"start_given": False})]
