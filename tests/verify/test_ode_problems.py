"""The catalogue of initial value problems: its references agree with published values, closed forms and SciPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from catalogue.ode_case import TAGS
from catalogue.ode_problems import case_named, ode_catalogue
from scipy.integrate import solve_ivp

CATALOGUE = ode_catalogue()

#: Mazzia & Magherini, Test Set for Initial Value Problem Solvers, release 2.4 (2008): the states at the last time.
#: Van der Pol's second state is y' there in the time t / mu. How far they may be from ours is their own error.
PUBLISHED = {
    "Robertson": (1e-13, [0.2083340149701255e-07, 0.8333360770334713e-13, 0.9999999791665050]),
    "HIRES": (
        1e-12,
        [
            0.7371312573325668e-3, 0.1442485726316185e-3, 0.5888729740967575e-4, 0.1175651343283149e-2,
            0.2386356198831331e-2, 0.6238968252742796e-2, 0.2849998395185769e-2, 0.2850001604814231e-2,
        ],
    ),
    "Oregonator": (1e-12, [0.1000814870318523e1, 0.1228178521549917e4, 0.1320554942846706e3]),
    "Van der Pol 1000": (1e-13, [0.1706167732170483e1, -0.8928097010247975e-3]),
    "pollution": (
        1e-12,
        [
            0.5646255480022769e-01, 0.1342484130422339e00, 0.4139734331099427e-08, 0.5523140207484359e-02,
            0.2018977262302196e-06, 0.1464541863493966e-06, 0.7784249118997964e-01, 0.3245075353396018e00,
            0.7494013383880406e-02, 0.1622293157301561e-07, 0.1135863833257075e-07, 0.2230505975721359e-02,
            0.2087162882798630e-03, 0.1396921016840158e-04, 0.8964884856898295e-02, 0.4352846369330103e-17,
            0.6899219696263405e-02, 0.1007803037365946e-03, 0.1772146513969984e-05, 0.5682943292316392e-04,
        ],
    ),
    "Pleiades": (
        1e-12,
        [
            0.3706139143970502e00, 0.3237284092057233e01, -0.3222559032418324e01, 0.6597091455775310e00,
            0.3425581707156584e00, 0.1562172101400631e01, -0.7003092922212495e00, -0.3943437585517392e01,
            -0.3271380973972550e01, 0.5225081843456543e01, -0.2590612434977470e01, 0.1198213693392275e01,
            -0.2429682344935824e00, 0.1091449240428980e01, 0.3417003806314313e01, 0.1354584501625501e01,
            -0.2590065597810775e01, 0.2025053734714242e01, -0.1155815100160448e01, -0.8072988170223021e00,
            0.5952396354208710e00, -0.3741244961234010e01, 0.3773459685750630e00, 0.9386858869551073e00,
            0.3667922227200571e00, -0.3474046353808490e00, 0.2344915448180937e01, -0.1947020434263292e01,
        ],
    ),
}  # fmt: skip


def at_point(case, expressions):
    """The expressions' values at the case's times: (T, len(expressions)), by 30-digit arithmetic."""
    point = [sp.Float(v, 30) for v in case.flat_point]
    there = [e.subs(dict(zip(case.flat_params, point))) for e in expressions]
    return np.array([[float(sp.N(e.subs(case.t, sp.Float(time, 30)), 25)) for e in there] for time in case.times])


def variational_solution(case, rtol):
    """States and sensitivities by SciPy's LSODA or DOP853 on y' = f, S' = f_y S + f_p in float64."""
    states, params = sp.Matrix(case.states), sp.Matrix(case.flat_params)
    n, p = len(states), len(params)
    rhs = sp.Matrix([case.rhs[y] for y in case.states])
    initial = sp.Matrix([case.initial[y] for y in case.states])
    arguments = [case.t or sp.Symbol("time"), list(states), list(params)]
    slopes = sp.lambdify(arguments, (rhs, rhs.jacobian(states), rhs.jacobian(params)), cse=True)
    start = sp.lambdify([list(params)], (initial, initial.jacobian(params)))

    def derivative(t, z):
        f, f_y, f_p = slopes(t, z[:n], case.flat_point)
        return np.concatenate([f.ravel(), (f_y @ z[n:].reshape(n, p) + f_p).ravel()])

    z0 = np.concatenate([np.asarray(part, dtype=float).ravel() for part in start(case.flat_point)])
    method = "LSODA" if "stiff" in case.tags else "DOP853"
    span = (case.t0, case.times[-1])
    reference = case.reference()
    largest = np.concatenate([np.abs(a).max(axis=0).ravel() for a in (reference.values, reference.sensitivities)])
    solution = solve_ivp(derivative, span, z0, method, case.times, rtol=rtol, atol=rtol * largest)
    return solution.y[:n].T, solution.y[n:].T.reshape(-1, n, p)


@pytest.mark.parametrize("case", CATALOGUE, ids=repr)
def test_reference_is_precise_and_has_the_shapes_of_the_case(case):
    reference = case.reference()
    shape = (len(case.times), len(case.states))
    assert reference.values.shape == shape
    assert reference.sensitivities.shape == (*shape, len(case.flat_params))
    assert np.isfinite(reference.values).all()
    assert np.isfinite(reference.sensitivities).all()
    assert reference.value_error < 1e-20
    assert reference.sensitivity_error < 1e-20


@pytest.mark.parametrize("case", CATALOGUE, ids=repr)
def test_case_is_a_statement_that_ode_accepts(case):
    problem = case.problem(rtol=1e-6)
    assert problem.states == case.states
    assert problem.times == case.times


@pytest.mark.parametrize("name", PUBLISHED)
def test_reference_agrees_with_the_published_end_values(name):
    rtol, published = PUBLISHED[name]
    np.testing.assert_allclose(case_named(name).reference().values[-1], published, rtol=rtol)


@pytest.mark.parametrize("case", [case for case in CATALOGUE if case.exact], ids=repr)
def test_reference_agrees_with_the_closed_form_to_rounding(case):
    reference = case.reference()
    exact = [sp.sympify(case.exact[y]) for y in case.states]
    slopes = [sp.diff(e, p) for e in exact for p in case.flat_params]
    np.testing.assert_allclose(reference.values, at_point(case, exact), rtol=3e-16)
    derivatives = at_point(case, slopes).reshape(reference.sensitivities.shape)
    np.testing.assert_allclose(reference.sensitivities, derivatives, rtol=3e-16)


@pytest.mark.parametrize(
    ("name", "rtol", "agreement"),
    [
        ("Lotka-Volterra", 1e-12, 1e-9),
        ("Van der Pol 1", 1e-12, 1e-9),
        ("Arenstorf", 1e-12, 1e-5),
        ("Robertson", 1e-10, 1e-6),
        ("HIRES", 1e-10, 1e-6),
        ("Oregonator", 1e-11, 1e-6),
        ("Brusselator 10", 1e-12, 1e-9),
    ],
)
def test_reference_agrees_with_scipy_on_the_variational_equations(name, rtol, agreement):
    case = case_named(name)
    reference = case.reference()
    values, sensitivities = variational_solution(case, rtol)
    size = np.abs(reference.values).max(axis=0)
    np.testing.assert_allclose(values / size, reference.values / size, rtol=0, atol=agreement)
    size = np.abs(reference.sensitivities).max(axis=0)
    np.testing.assert_allclose(sensitivities / size, reference.sensitivities / size, rtol=0, atol=agreement)


def test_conserved_quantities_have_no_sensitivity():
    robertson, hires = case_named("Robertson").reference(), case_named("HIRES").reference()
    np.testing.assert_allclose(robertson.values.sum(axis=1), 1, rtol=3e-16)
    size = np.abs(robertson.sensitivities).max(axis=1)
    assert (np.abs(robertson.sensitivities.sum(axis=1)) <= 3e-16 * size).all()
    np.testing.assert_allclose(hires.values[:, 6:].sum(axis=1), 0.0057, rtol=3e-16)
    size = np.abs(hires.sensitivities[:, 6:]).max(axis=1)
    assert (np.abs(hires.sensitivities[:, 6:].sum(axis=1)) <= 3e-16 * size).all()


def test_catalogue_has_enough_of_everything():
    assert len({case.name for case in CATALOGUE}) == len(CATALOGUE) >= 15
    for tag in TAGS:
        assert sum(tag in case.tags for case in CATALOGUE) >= 2, tag
    for case in CATALOGUE:
        assert case.tags <= set(TAGS)
        assert ("stiff" in case.tags) != ("nonstiff" in case.tags)
        assert ("closed form" in case.tags) == (case.exact is not None)
        assert list(case.times) == sorted(set(case.times))
        assert case.times[0] > case.t0
        assert len(case.flat_point) == len(case.flat_params)
        assert set(case.initial) == set(case.rhs)


def test_a_name_that_no_case_has_is_an_error_that_lists_the_names():
    with pytest.raises(KeyError, match="Robertson"):
        case_named("Robinson")


def test_a_case_without_a_reference_says_how_to_make_one():
    with pytest.raises(KeyError, match=r"Run tools/ode_references\.py"):
        replace(case_named("decay"), times=(0.25,)).reference()
