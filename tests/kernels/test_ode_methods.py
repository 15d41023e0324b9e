"""Promises of the table of ODE methods: every name is a method of its own, of the order that it is said to have."""

import dataclasses
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.problems._ode_methods import ORDERS

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "ode.md"

y, v, k = sp.symbols("y v k")


def oscillator(**options):
    return iop.ODE({y: k * v, v: -k * y}, [k], initial={y: 0, v: 1}, **options)


def error_with_steps(method, h):
    """Error of the oscillator sin(k t), cos(k t) after eight units of time, with tolerances that every step meets."""
    answer = oscillator(method=method, rtol=1.0, atol=1.0, max_step=h)(4.0, times=[8.0])[0]
    return np.hypot(answer[0] - np.sin(32), answer[1] - np.cos(32))


@pytest.mark.parametrize("method", [method for method, order in ORDERS.items() if order])
def test_the_error_falls_with_the_order_of_the_method(method):
    observed = np.log2(error_with_steps(method, 0.2) / error_with_steps(method, 0.1))
    # On linear problems a method may be better by one.
    assert ORDERS[method] - 0.3 < observed < ORDERS[method] + 1.3


def test_no_two_methods_take_the_same_steps():
    answers = {
        method: oscillator(method=method, rtol=1e-6, atol=1e-6)(4.0, times=[8.0])
        for method in ORDERS
        if method != "auto"
    }
    for first, second in itertools.combinations(answers, 2):
        assert (answers[first] != answers[second]).all(), f"{first} is {second}"


def test_a_name_without_a_method_is_an_error_and_no_other_method():
    problem = oscillator()
    unknown = problem.replaced(options=dataclasses.replace(problem.options, method="rk4"))
    with pytest.raises(ValueError, match=r"no method 'rk4': csrc/runge_kutta_tableaus\.h"):
        unknown(4.0, times=[8.0])


def test_statements_take_the_methods_of_the_table_and_nothing_else():
    assert all(oscillator(method=method).options.method == method for method in ORDERS)
    with pytest.raises(iop.ProblemError, match=re.escape(f"one of {', '.join(map(repr, ORDERS))}; got 'rk4'")):
        oscillator(method="rk4")


def test_the_documentation_lists_every_method_with_its_order():
    rows = re.findall(r'^\| `"(\w+)"` \| *(\d*)', DOCUMENTATION.read_text(), flags=re.MULTILINE)
    assert {method: int(order or 0) for method, order in rows} == dict(ORDERS)
    stated = re.search(r"^    method : (.*)$", iop.ODE.__doc__, flags=re.MULTILINE)[1]
    assert sorted(re.findall(r'"(\w+)"', stated)) == sorted(ORDERS)
