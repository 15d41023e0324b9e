"""A catalogue of initial value problems: where they come from, what makes them hard, and precise references."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import sympy as sp

from catalogue.ode_case import TAGS, OdeCase

_TEST_SET = "Mazzia & Magherini, Test Set for Initial Value Problem Solvers, release 2.4 (2008)"
_HNW = "Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I (1993)"
_HW = "Hairer & Wanner, Solving Ordinary Differential Equations II (1996)"


@lru_cache(maxsize=1)
def ode_catalogue() -> tuple[OdeCase, ...]:
    """All cases.

    Examples
    --------
    >>> from catalogue.ode_problems import ode_catalogue
    >>> robertson = next(case for case in ode_catalogue() if case.name == "Robertson")
    >>> sorted(robertson.tags)
    ['multiscale', 'stiff']
    >>> robertson.reference().sensitivities.shape
    (7, 3, 3)
    """
    makers: tuple[Callable[[], OdeCase], ...] = (
        _decay, _logistic, _forced_oscillator, _lotka_volterra, _arenstorf, _pleiades,
        lambda: _van_der_pol("Van der Pol 1", 1.0, (1.0, 5.0, 10.0, 20.0), "nonstiff, oscillator"),
        lambda: _van_der_pol("Van der Pol 1000", 1e3, (10.0, 500.0, 1000.0, 2000.0), "stiff, oscillator, layers"),
        _robertson, _hires, _oregonator, _pollution,
        lambda: _brusselator(10, (1.0, 2.5, 5.0, 10.0)),
        lambda: _brusselator(50, (2.5, 10.0)),
        _prothero_robinson,
    )  # fmt: skip
    return tuple(make() for make in makers)


def case_named(name: str) -> OdeCase:
    """The case of this name.

    Parameters
    ----------
    name : str

    Returns
    -------
    OdeCase

    Raises
    ------
    KeyError : no case has this name
    """
    for case in ode_catalogue():
        if case.name == name:
            return case
    raise KeyError(f"No case is called {name!r}. There are: {', '.join(case.name for case in ode_catalogue())}.")


def _tags(words: str) -> frozenset[str]:
    tags = frozenset(word.strip() for word in words.split(","))
    unknown = tags - set(TAGS)
    if unknown:
        raise ValueError(f"TAGS does not explain {', '.join(sorted(unknown))}.")
    return tags


def _decay() -> OdeCase:
    y, k, y0, t = sp.symbols("y k y0 t")
    times = (0.5, 1.0, 2.0, 5.0, 10.0)
    exact = {y: y0 * sp.exp(-k * t)}
    tags = _tags("nonstiff, closed form")
    return OdeCase("decay", {y: -k * y}, (k, y0), {y: y0}, (0.7, 2.0), times, tags, "textbook", t, exact=exact)


def _logistic() -> OdeCase:
    y, r, capacity, y0, t = sp.symbols("y r K y0 t")
    rhs = {y: r * y * (1 - y / capacity)}
    exact = {y: capacity / (1 + (capacity / y0 - 1) * sp.exp(-r * t))}
    point, times = (1.3, 10.0, 0.5), (1.0, 2.0, 4.0, 8.0)
    tags = _tags("nonstiff, closed form")
    return OdeCase("logistic", rhs, (r, capacity, y0), {y: y0}, point, times, tags, "Verhulst (1838)", t, exact=exact)


def _forced_oscillator() -> OdeCase:
    x, v, t = sp.symbols("x v t")
    omega, drive, force, x0, v0 = params = sp.symbols("omega Omega F x0 v0")
    gain = force / (omega**2 - drive**2)
    position = (x0 - gain) * sp.cos(omega * t) + v0 / omega * sp.sin(omega * t) + gain * sp.cos(drive * t)
    return OdeCase(
        "forced oscillator",
        {x: v, v: force * sp.cos(drive * t) - omega**2 * x},
        params,
        {x: x0, v: v0},
        (2.1, 1.3, 0.8, 1.0, -0.5),
        (1.0, 3.0, 7.0, 20.0),
        _tags("nonstiff, closed form, oscillator, time-dependent"),
        "textbook",
        t,
        exact={x: position, v: sp.diff(position, t)},
    )


def _lotka_volterra() -> OdeCase:
    u, v = sp.symbols("u v")
    alpha, beta, gamma, delta, u0, v0 = params = sp.symbols("alpha beta gamma delta u0 v0")
    return OdeCase(
        "Lotka-Volterra",
        {u: (alpha - beta * v) * u, v: (delta * u - gamma) * v},
        params,
        {u: u0, v: v0},
        (0.55, 0.028, 0.84, 0.026, 33.956, 5.933),
        (2.5, 5.0, 10.0, 15.0, 20.0),
        _tags("nonstiff, oscillator"),
        "Carpenter, Predator-Prey Population Dynamics, Stan case studies 5 (2018), near its estimates",
    )


def _arenstorf() -> OdeCase:
    x, y, u, v = sp.symbols("x y u v")
    mu, x0, v0 = params = sp.symbols("mu x0 v0")
    earth = ((x + mu) ** 2 + y**2) ** sp.Rational(3, 2)
    moon = ((x - 1 + mu) ** 2 + y**2) ** sp.Rational(3, 2)
    acceleration_x = x + 2 * v - (1 - mu) * (x + mu) / earth - mu * (x - 1 + mu) / moon
    acceleration_y = y - 2 * u - (1 - mu) * y / earth - mu * y / moon
    return OdeCase(
        "Arenstorf",
        {x: u, y: v, u: acceleration_x, v: acceleration_y},
        params,
        {x: x0, y: 0, u: 0, v: v0},
        (0.012277471, 0.994, -2.00158510637908252240537862224),
        (4.0, 8.0, 12.0, 17.0652165601579625588917206249),
        _tags("nonstiff, sensitive, oscillator"),
        f"{_HNW}, section II.0: one period",
    )


def _pleiades() -> OdeCase:
    bodies = range(7)
    x, y = sp.symbols("x1:8"), sp.symbols("y1:8")
    u, v = sp.symbols("u1:8"), sp.symbols("v1:8")
    m, speeds = sp.symbols("m1:8"), sp.symbols("u6_0 u7_0 v4_0 v5_0")
    rhs: dict[sp.Symbol, Any] = dict(zip((*x, *y), (*u, *v)))
    for own, velocity in ((x, u), (y, v)):
        for i in bodies:
            terms = [
                m[j] * (own[j] - own[i]) / ((x[i] - x[j]) ** 2 + (y[i] - y[j]) ** 2) ** sp.Rational(3, 2)
                for j in bodies
                if j != i
            ]
            rhs[velocity[i]] = sp.Add(*terms)
    initial: dict[sp.Symbol, Any] = dict.fromkeys(rhs, 0)
    initial.update(zip((*x, *y), (3, 3, -1, -3, 2, -2, 2, 3, -3, 2, 0, 0, -4, 4)))
    initial.update(zip((u[5], u[6], v[3], v[4]), speeds))
    return OdeCase(
        "Pleiades",
        rhs,
        (m, speeds),
        initial,
        ((1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0), (1.75, -1.5, -1.25, 1.0)),
        (1.0, 2.0, 3.0),
        _tags("nonstiff, sensitive, large, vector parameter"),
        f"{_HNW}, section II.10; {_TEST_SET}",
    )


def _van_der_pol(name: str, stiffness: float, times: tuple[float, ...], tags: str) -> OdeCase:
    x, v = sp.symbols("x v")
    mu, x0, v0 = params = sp.symbols("mu x0 v0")
    rhs = {x: v, v: mu * (1 - x**2) * v - x}
    source = f"{_HW}, section IV.1; {_TEST_SET}, in the time t / mu"
    return OdeCase(name, rhs, params, {x: x0, v: v0}, (stiffness, 2.0, 0.0), times, _tags(tags), source)


def _robertson() -> OdeCase:
    y1, y2, y3 = sp.symbols("y1:4")
    k1, k2, k3 = params = sp.symbols("k1:4")
    first, second, third = k1 * y1, k2 * y2**2, k3 * y2 * y3
    return OdeCase(
        "Robertson",
        {y1: third - first, y2: first - third - second, y3: second},
        params,
        {y1: 1, y2: 0, y3: 0},
        (0.04, 3e7, 1e4),
        (0.4, 40.0, 4e3, 4e5, 4e7, 4e9, 1e11),
        _tags("stiff, multiscale"),
        f"Robertson (1966); {_TEST_SET}",
    )


def _hires() -> OdeCase:
    y1, y2, y3, y4, y5, y6, y7, y8 = states = sp.symbols("y1:9")
    c = sp.symbols("c1:13")
    seventh = c[9] * y6 * y8 - c[11] * y7
    rhs = {
        y1: -c[0] * y1 + c[1] * y2 + c[2] * y3 + c[3],
        y2: c[0] * y1 - c[4] * y2,
        y3: -c[5] * y3 + c[1] * y4 + c[6] * y5,
        y4: c[2] * y2 + c[0] * y3 - c[7] * y4,
        y5: -c[8] * y5 + c[1] * (y6 + y7),
        y6: -c[9] * y6 * y8 + c[10] * y4 + c[0] * y5 - c[1] * y6 + c[10] * y7,
        y7: seventh,
        y8: -seventh,
    }
    rates = (1.71, 0.43, 8.32, 0.0007, 8.75, 10.03, 0.035, 1.12, 1.745, 280.0, 0.69, 1.81)
    times = (1.0, 10.0, 100.0, 321.8122)
    initial = {y: {y1: 1, y8: sp.Float("0.0057")}.get(y, 0) for y in states}
    tags = _tags("stiff, multiscale, layers, vector parameter")
    return OdeCase("HIRES", rhs, (c,), initial, (rates,), times, tags, f"Schafer (1975); {_TEST_SET}")


def _oregonator() -> OdeCase:
    y1, y2, y3 = sp.symbols("y1:4")
    s, w, q = params = sp.symbols("s w q")
    return OdeCase(
        "Oregonator",
        {y1: s * (y2 - y1 * y2 + y1 - q * y1**2), y2: (y3 - y2 - y1 * y2) / s, y3: w * (y1 - y3)},
        params,
        {y1: 1, y2: 2, y3: 3},
        (77.27, 0.161, 8.375e-6),
        (1.0, 30.0, 150.0, 300.0, 360.0),
        _tags("stiff, multiscale, oscillator, layers"),
        f"Field & Noyes (1974); {_TEST_SET} (OREGO)",
    )


def _pollution() -> OdeCase:
    y = dict(enumerate(sp.symbols("y1:21"), start=1))
    k = dict(enumerate(sp.symbols("k1:26"), start=1))
    # What reacts and what comes out of it, by the numbers of the states.
    reactions: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((1,), (2, 3)), ((2, 4), (1,)), ((5, 2), (6, 1)), ((7,), (5, 5, 8)), ((7,), (8,)),
        ((7, 6), (5, 8)), ((9,), (10, 5, 8)), ((9, 6), (11,)), ((11, 2), (12, 10, 1)), ((11, 1), (13,)),
        ((13,), (11, 1)), ((10, 2), (14, 1)), ((14,), (7, 5)), ((1, 6), (15,)), ((3,), (4,)),
        ((4,), (16,)), ((4,), (3,)), ((16,), (6, 6)), ((16,), (3,)), ((17, 6), (18, 5)),
        ((19,), (2,)), ((19,), (1, 3)), ((1, 4), (19,)), ((19, 1), (20,)), ((20,), (19, 1)),
    ]  # fmt: skip
    rates = (
        0.35, 26.6, 1.23e4, 8.6e-4, 8.2e-4, 1.5e4, 1.3e-4, 2.4e4, 1.65e4, 9e3, 0.022, 1.2e4, 1.88, 1.63e4, 4.8e6,
        3.5e-4, 0.0175, 1e8, 4.44e11, 1240.0, 2.1, 5.78, 0.0474, 1780.0, 3.12,
    )  # fmt: skip
    rhs: dict[sp.Symbol, Any] = dict.fromkeys(y.values(), sp.S.Zero)
    for number, (consumed, produced) in enumerate(reactions, start=1):
        rate = k[number] * sp.prod([y[i] for i in consumed])
        for i in consumed:
            rhs[y[i]] -= rate
        for i in produced:
            rhs[y[i]] += rate
    start = {2: "0.2", 4: "0.04", 7: "0.1", 8: "0.3", 9: "0.01", 17: "0.007"}
    initial = {y[i]: sp.Float(start[i]) if i in start else sp.S.Zero for i in y}
    tags = _tags("stiff, multiscale, large, vector parameter")
    source = f"Verwer (1994); {_TEST_SET}"
    return OdeCase("pollution", rhs, (tuple(k.values()),), initial, (rates,), (1.0, 10.0, 30.0, 60.0), tags, source)


def _brusselator(cells: int, times: tuple[float, ...]) -> OdeCase:
    u, v = sp.symbols(f"u1:{cells + 1}"), sp.symbols(f"v1:{cells + 1}")
    a, b, alpha = params = sp.symbols("A B alpha")
    diffusion = alpha * (cells + 1) ** 2
    left_u, left_v = (1, *u, 1), (3, *v, 3)
    rhs: dict[sp.Symbol, Any] = {}
    initial: dict[sp.Symbol, Any] = {}
    # Cell by cell, so that the Jacobian is banded.
    for i in range(cells):
        reaction = u[i] ** 2 * v[i]
        rhs[u[i]] = a + reaction - (b + 1) * u[i] + diffusion * (left_u[i] - 2 * u[i] + left_u[i + 2])
        rhs[v[i]] = b * u[i] - reaction + diffusion * (left_v[i] - 2 * v[i] + left_v[i + 2])
        initial[u[i]] = 1 + sp.sin(2 * sp.pi * sp.Rational(i + 1, cells + 1))
        initial[v[i]] = sp.Integer(3)
    stiffness = "stiff" if cells > 20 else "nonstiff"
    source = f"{_HNW}, section II.10; {_HW}, section IV.10; here with {cells} cells"
    tags = _tags(f"{stiffness}, large")
    return OdeCase(f"Brusselator {cells}", rhs, params, initial, (1.0, 3.0, 0.02), times, tags, source)


def _prothero_robinson() -> OdeCase:
    y, t = sp.symbols("y t")
    rate, omega, size = params = sp.symbols("lambda omega a")
    curve = size * sp.cos(omega * t)
    return OdeCase(
        "Prothero-Robinson",
        {y: rate * (y - curve) + sp.diff(curve, t)},
        params,
        {y: size},
        (-1e6, 1.0, 1.0),
        (0.1, 1.0, 2.5, 10.0),
        _tags("stiff, closed form, time-dependent"),
        "Prothero & Robinson, Mathematics of Computation 28 (1974), 145-162",
        t,
        exact={y: curve},
    )
