"""What notebooks show: statements as formulas; solutions and reports as small tables without HTML from outside."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.backends.failures import Failures
from implicitops.sampling import FailureReport
from implicitops.tables import html_table
from implicitops.verify import Check, Report

x, y, a, b, t = sp.symbols("x y a b t")

FORMULAS = {
    "root": (
        iop.Root(x**2 - a, x, [a], bracket=(0, 1 + a)),
        [r"- a + x^{2} &= 0", r"x &\in \left[0, a + 1\right]"],
    ),
    "system": (iop.Root([x + y - a, x * y - b], [x, y], [a, b], guess=[a, 0]), ["- a + x + y &= 0", "- b + x y &= 0"]),
    "fixed point": (iop.FixedPoint(sp.cos(a * x), x, [a], guess=1), [r"x &= \cos{\left(a x \right)}"]),
    "minimum": (
        iop.Minimum(sp.exp(x) - a * x, x, [a], guess=0, bounds=(0, a)),
        [r"x &= \operatorname*{arg\,min}\; - a x + e^{x}", r"0 &\leq x \leq a"],
    ),
    "ode": (
        iop.ODE({x: -a * x}, [a, b], initial={x: b}, times=[1, 2], events=[(b, {x: x + 1})]),
        [r"\frac{d x}{d t} &= - a x", "x(0) &= b", r"x &\leftarrow x + 1 \;\text{ at }\; t = b"],
    ),
    "integral": (iop.Integral(sp.exp(-a * x), (x, b, sp.oo), [a, b]), [r"&\int\limits_{b}^{\infty} e^{- a x}\, dx"]),
}


class Cells(HTMLParser):
    """Texts of the cells and paragraphs, and whether each tag that is opened is closed again in order."""

    def __init__(self, html):
        super().__init__()
        self.texts, self.tags, self.seen = [], [], set()
        self.feed(html)
        assert self.tags == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.tags.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize(("problem", "rows"), FORMULAS.values(), ids=FORMULAS)
def test_a_statement_is_shown_as_its_formulas(problem, rows):
    body = r" \\ ".join(rows)
    assert problem._repr_latex_() == rf"$\displaystyle \begin{{aligned}} {body} \end{{aligned}}$"


def test_of_many_formulas_the_first_are_shown():
    unknowns = sp.symbols("u0:50")
    shown = iop.Root([u - a for u in unknowns], unknowns, [a], guess=[1] * 50)._repr_latex_()
    assert shown.count("&") == 20
    assert "u_{0}" in shown
    assert r"\vdots" in shown


def test_existing_code_is_no_formula():
    problem = iop.External(lambda a: a, inputs={"a": ()}, outputs=())
    assert problem._repr_latex_() is None


def test_a_solution_shows_each_element_with_its_status_and_what_the_status_means():
    solution = iop.Root(x**2 - a, x, [a], bracket=(0, 1 + a)).solve([4.0, -0.5], derivatives=1, throw=False)
    texts = Cells(solution._repr_html_()).texts
    assert texts[0] == "Solution: 1 of 2 converged"
    first = texts.index("0")
    assert float(texts[first + 1]) == 2.0
    assert float(texts[first + 2].strip("[]")) == 0.25
    assert "CONVERGED" in texts[first + 2 :]
    assert "NO_SIGN_CHANGE" in texts
    assert f"NO_SIGN_CHANGE: {iop.Status.NO_SIGN_CHANGE.value}." in texts


def test_a_scalar_solution_and_a_long_one_are_shown_too():
    square_root = iop.Root(x**2 - a, x, [a], bracket=(0, 1 + a))
    assert "Solution: 1 of 1 converged" in Cells(square_root.solve(4.0)._repr_html_()).texts
    texts = Cells(square_root.solve(np.arange(1.0, 26.0))._repr_html_()).texts
    assert "19" in texts
    assert "20" not in texts
    assert "5 more elements are not shown." in texts


def test_a_report_of_checks_shows_what_its_text_says():
    report = Report("<b>f</b>", (Check("numpy: vjp", True, 1e-16, 4e-16, "x<2"), Check("hvp", None, reason="a & b")))
    parsed = Cells(report._repr_html_())
    assert parsed.texts[0] == str(report).splitlines()[0]
    assert {"numpy: vjp", "passed", "1.0e-16", "4.0e-16", "x<2", "hvp: a & b"} <= set(parsed.texts)
    assert "b" not in parsed.seen


def test_a_report_of_failures_shows_each_problem():
    assert Cells(FailureReport()._repr_html_()).texts == ["no solve failed"]
    report = FailureReport({"Root(x < 1)": Failures(3, (), {"tuning": 2, "draws": 1})})
    texts = Cells(report._repr_html_()).texts
    assert "3 solves failed while the sampler ran" in texts
    assert "Root(x < 1)" in texts
    assert "3 (2 in tuning, 1 in the draws)" in texts


def test_html_of_a_text_is_shown_and_not_obeyed():
    html = html_table("<script>", ["<i>"], [["<img src=x>"]], ['"&"'])
    parsed = Cells(html)
    assert parsed.texts == ["<script>", "<i>", "<img src=x>", '"&"']
    assert parsed.seen.isdisjoint({"script", "i", "img"})
