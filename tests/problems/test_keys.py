"""Promises of the keys of statements, for every field that there is: what is unequal has unequal keys.

A kernel is kept by the key of its problem: a field that is missing in a key is a field that the solver ignores.
"""

import dataclasses
import inspect
from concurrent.futures import ThreadPoolExecutor

import pytest
import sympy as sp

import implicitops as iop

x, y, a, b, t = sp.symbols("x y a b t")


def product(p):
    return 2 * p


def derivative(p, *others):
    return 2


def root(**changes):
    return iop.Root(**{"residual": x**3 + x - a, "unknown": x, "params": [a], "bracket": (0, 1), "guess": a, **changes})


def fixed_point(**changes):
    return iop.FixedPoint(**{"update": sp.cos(a * x), "unknown": x, "params": [a], "guess": a, **changes})


def minimum(**changes):
    return iop.Minimum(**{"objective": x**2 - a * x, "unknown": x, "params": [a], "guess": a, **changes})


def integral(**changes):
    return iop.Integral(**{"integrand": x * a, "limits": (x, 0, 1), "params": [a], **changes})


def ode(**changes):
    return iop.ODE(**{"rhs": {x: -a * x}, "params": [a], "initial": {x: 1}, **changes})


def external(**changes):
    return iop.External(**{"function": product, "inputs": {"p": ()}, "outputs": (), **changes})


#: For each field of each statement, arguments that give it another value. A new field needs an entry here.
FIELDS = {
    root: {
        "residuals": {"residual": x**3 + 2 * x - a},
        "unknowns": {"residual": y**3 + y - a, "unknown": y},
        "params": {"residual": x**3 + x - b, "params": [b], "guess": b},
        "bracket": {"bracket": (0, 2)},
        "guess": {"guess": 2 * a},
        "is_vector": {"residual": [x**3 + x - a], "unknown": [x], "bracket": None, "guess": [a]},
    },
    fixed_point: {
        "updates": {"update": sp.sin(a * x)},
        "unknowns": {"update": sp.cos(a * y), "unknown": y},
        "params": {"update": sp.cos(b * x), "params": [b], "guess": b},
        "guess": {"guess": 2 * a},
        "is_vector": {"update": [sp.cos(a * x)], "unknown": [x], "guess": [a]},
    },
    minimum: {
        "objective": {"objective": x**2 + a * x},
        "unknowns": {"objective": y**2 - a * y, "unknown": y},
        "params": {"objective": x**2 - b * x, "params": [b], "guess": b},
        "guess": {"guess": 2 * a},
        "bounds": {"bounds": (0, 1)},
        "is_vector": {"unknown": [x], "guess": [a]},
    },
    integral: {
        "integrands": {"integrand": x * a**2},
        "variables": {"integrand": y * a, "limits": (y, 0, 1)},
        "limits": {"limits": (x, 0, 2)},
        "params": {"integrand": x * b, "params": [b]},
        "breakpoints": {"breakpoints": [sp.Rational(1, 2)]},
        "is_vector": {"integrand": [x * a]},
    },
    ode: {
        "states": {"rhs": {y: -a * y}, "initial": {y: 1}},
        "rhs": {"rhs": {x: a * x}},
        "params": {"rhs": {x: -b * x}, "params": [b]},
        "initial": {"initial": {x: 2}},
        "t": {"t": t},
        "t0": {"t0": 1},
        "times": {"times": [1]},
        "outputs": {"outputs": [x]},
        "events": {"events": [(1, {x: 0})]},
        "breakpoints": {"breakpoints": [1]},
    },
    external: {
        "function": {"function": derivative},
        "params": {"inputs": {"q": ()}},
        "names": {"inputs": {"q": ()}},
        "outputs": {"outputs": (1,)},
        "jacobian": {"jacobian": derivative},
        "vjp": {"vjp": derivative},
        "hessian": {"hessian": derivative, "jacobian": derivative},
        "differences": {"differences": "central"},
        "step": {"differences": "central", "step": 0.1},
        "executor": {"executor": ThreadPoolExecutor},
        "chunk_size": {"chunk_size": 3, "executor": ThreadPoolExecutor},
        "timeout": {"timeout": 3.0, "executor": ThreadPoolExecutor},
        "retries": {"retries": 2, "executor": ThreadPoolExecutor},
        "vectorized": {"vectorized": True},
        "identity": {"function": derivative},
    },
}

#: Fields that tell nothing of what is solved.
APART = {"process"}  # the one in which an External was stated

#: Another value of each option. A new option needs an entry here.
OPTIONS = {
    "method": "another",
    "rtol": 0.125,
    "atol": (0.125,),
    "max_steps": 7,
    "on_failure": "nan",
    "sensitivity": "adjoint",
    "max_step": 0.5,
}


@pytest.mark.parametrize("state", FIELDS, ids=lambda state: state.__name__)
def test_every_field_of_a_statement_is_examined_here(state):
    known = {field.name for field in dataclasses.fields(state())} - {"options"} - APART
    assert known == FIELDS[state].keys()


@pytest.mark.parametrize(
    ("state", "field"),
    [(state, field) for state in FIELDS for field in FIELDS[state]],
    ids=lambda item: getattr(item, "__name__", item),
)
def test_statements_that_differ_in_a_field_have_unequal_keys(state, field):
    stated, changed = state(), state(**FIELDS[state][field])
    assert getattr(stated, field) != getattr(changed, field)
    assert stated != changed
    assert stated.key != changed.key


@pytest.mark.parametrize("state", FIELDS, ids=lambda state: state.__name__)
def test_statements_that_differ_in_an_option_have_unequal_keys(state):
    stated = state()
    for field in dataclasses.fields(stated.options):
        options = dataclasses.replace(stated.options, **{field.name: OPTIONS[field.name]})
        assert options != stated.options
        changed = stated.replaced(options=options)
        assert changed != stated, field.name
        assert changed.key != stated.key, field.name
        assert changed.equation_key == stated.equation_key, field.name


def test_every_option_of_an_ode_can_be_stated_and_is_shown():
    defaults = ode().options
    keywords = inspect.signature(iop.ODE).parameters
    for field in dataclasses.fields(defaults):
        other = {"method": "tsit5", "atol": 0.125}.get(field.name, OPTIONS[field.name])
        stated = ode(**{field.name: other})
        assert getattr(stated.options, field.name) == ((other,) if field.name == "atol" else other)
        assert f"{field.name}=" in repr(stated)
        assert ode(**{field.name: keywords[field.name].default}).options == defaults


def test_a_field_that_a_statement_does_not_have_cannot_be_replaced():
    ode = iop.ODE({x: -a * x}, [a], initial={x: 1})
    with pytest.raises(TypeError, match=r"ODE has the fields .*options.*; got 'sensitivity'"):
        ode.replaced(sensitivity="adjoint")
