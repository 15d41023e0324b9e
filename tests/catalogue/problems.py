"""A catalogue of scalar root problems: where they come from, what makes them hard, exact roots where there are any.

The tests run through it, and so can anybody who changes a solver or writes an adapter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import mpmath
import sympy as sp

from implicitops.problems.root import Root

Point = tuple[Any, ...]

#: What the tags mean.
TAGS = {
    "basic": "nothing is hard",
    "closed form": "the exact root is known",
    "ill-conditioned": "near a double root, or with cancellation in the derivative",
    "many roots": "the bracket decides which",
    "multiscale": "the root, or the bracket, spans many orders of magnitude",
    "overflow": "the residual overflows inside the bracket or at an end of it",
    "pole": "the residual has a pole or an undefined point at an end of the bracket",
    "kink": "Piecewise, Abs, Max: smooth only in pieces",
    "special function": "erf, gamma, digamma, ...",
    "steep": "a step in all but name",
    "guess": "started from a guess",
    "search": "no bracket and no guess: the unknown's assumptions decide",
    "vector parameter": "has a tuple of Symbols among its parameters",
}


@dataclass(frozen=True)
class KnownRoot:
    """A problem with the points at which it is worth solving.

    Parameters
    ----------
    name : str
    problem : Root
    points : tuple of points, each with one item for each parameter (a tuple for a vector)
    tags : frozenset of str, keys of :data:`TAGS`
    exact : callable of mpf parameters returning the exact root, or None
    """

    name: str
    problem: Root
    points: tuple[Point, ...]
    tags: frozenset[str]
    exact: Callable[..., Any] | None = None

    def __repr__(self) -> str:
        return self.name


@lru_cache(maxsize=1)
def catalogue() -> tuple[KnownRoot, ...]:
    """All problems.

    Examples
    --------
    >>> from catalogue.problems import catalogue
    >>> len(catalogue()) >= 25
    True
    >>> kepler = next(k for k in catalogue() if k.name == "Kepler")
    >>> sorted(kepler.tags)
    ['ill-conditioned']
    """
    collection: list[KnownRoot] = []
    for group in (_textbook, _inverse_functions, _mechanics, _flow_and_heat, _chemistry, _statistics, _finance, _hard):
        group(collection)
    return tuple(collection)


def _add(
    collection: list[KnownRoot], name: str, problem: Root, points: list[Any], tags: str, exact: Any = None
) -> None:
    words = {tag.strip() for tag in tags.split(",")} | ({"closed form"} if exact else set())
    unknown = words - set(TAGS)
    if unknown:
        raise ValueError(f"{name} has tags that TAGS does not explain: {', '.join(sorted(unknown))}.")
    listed = tuple(p if isinstance(p, tuple) else (p,) for p in points)
    collection.append(KnownRoot(name, problem, listed, frozenset(words), exact))


_x, _p, _q, _r, _s, _t = sp.symbols("x p q r s t")
_y = sp.Symbol("y", positive=True)


def _textbook(to: list[KnownRoot]) -> None:
    x, p = _x, _p
    mu, theta = sp.symbols("mu theta")
    documentation = Root(mu + mu * sp.exp(theta * mu) - 1, mu, [theta], bracket=(0, 1))
    _add(to, "documentation", documentation, [0.2, 0.4, 1e-5, 1e5, 0.0, -3.0, 5.0, 700.0], "overflow")
    square_root = Root(x**2 - p, x, [p], bracket=(0, 1 + p))
    _add(to, "square root", square_root, [2.0, 0.25, 1e-10, 1e10, 1e-200, 1e150], "multiscale", mpmath.sqrt)
    cube_root = Root(sp.Eq(x**3, p), x, [p], bracket=(0, 1 + p))
    _add(to, "cube root", cube_root, [2.0, 1e-12, 1e12], "multiscale", lambda p: mpmath.root(p, 3))
    _add(to, "cosine", Root(sp.cos(x) - p * x, x, [p], bracket=(0, sp.pi / 2)), [1.0, 0.01, 50.0], "basic")
    degree = Root(x**50 + p * x - 1, x, [p], bracket=(0, 1))
    _add(to, "degree 50", degree, [1.0, 0.1, 1e3, 1e-6], "steep")
    powers = Root(x**p + _q * x - 1, x, [p, _q], bracket=(0, 1))
    _add(to, "real power", powers, [(0.5, 1.0), (3.7, 0.2), (1e-3, 2.0), (2.0, 2.0)], "basic")
    c = sp.symbols("c0:5")
    polynomial = Root(sum(a * x**k for k, a in enumerate(c)), x, [c], bracket=(0, 4))
    coefficients = [((-1.0, 0.5, 0.0, 0.0, 2.0),), ((-6.0, 11.0, -6.5, 1.25, 0.125),)]
    _add(to, "quartic", polynomial, coefficients, "vector parameter")
    sine = Root(sp.sin(x) - p, x, [p], bracket=(5 * sp.pi / 2, 7 * sp.pi / 2))
    _add(to, "sine branch", sine, [0.3, -0.9, 0.0, 0.9999], "many roots", lambda p: 3 * mpmath.pi - mpmath.asin(p))


def _inverse_functions(to: list[KnownRoot]) -> None:
    x, y, p = _x, _y, _p
    _add(to, "logarithm", Root(sp.exp(x) - p, x, [p], guess=0), [2.0, 1e-5, 1e5, 1e300], "guess, overflow", mpmath.log)
    exponential = Root(sp.log(y) - p, y, [p])
    _add(to, "exponential", exponential, [0.0, 1.0, -300.0, 300.0], "search, multiscale", mpmath.exp)
    _add(to, "arsinh", Root(sp.sinh(x) - p, x, [p]), [1.0, 1e-8, -1e5, 1e300], "search, overflow", mpmath.asinh)
    _add(to, "tangent", Root(sp.atan(x) - p, x, [p], guess=10), [0.1, 1.0, -1.5], "guess", mpmath.tan)
    lambert = Root(x * sp.exp(x) - p, x, [p], bracket=(0, p))
    points = [1e-10, 1.0, 10.0, 1e10, 1e300]
    _add(to, "Lambert W", lambert, points, "overflow, multiscale", lambda p: mpmath.lambertw(p).real)
    branch = Root(x * sp.exp(x) - p, x, [p], bracket=(-1, 0))
    points = [-0.1, -0.3, -0.367, -0.3678794]
    _add(to, "Lambert W near -1/e", branch, points, "ill-conditioned", lambda p: mpmath.lambertw(p).real)
    lower = Root(x * sp.exp(x) - p, x, [p], bracket=(-800, -1))
    points = [-0.3, -1e-3, -1e-100]
    _add(to, "Lambert W, branch -1", lower, points, "many roots", lambda p: mpmath.lambertw(p, -1).real)
    wright = Root(y + sp.log(y) - p, y, [p])
    points = [0.0, 5.0, -20.0, -200.0, 1e5]
    _add(to, "Wright omega", wright, points, "search, multiscale", _wright_omega)
    softplus = Root(sp.log(1 + sp.exp(x)) - p, x, [p], guess=p)
    points = [0.01, 1.0, 30.0, 100.0]
    _add(to, "inverse softplus", softplus, points, "guess", lambda p: mpmath.log(mpmath.expm1(p)))
    inverse_gamma = Root(sp.gamma(x) - p, x, [p], bracket=(2, 171))
    _add(to, "inverse gamma", inverse_gamma, [1.5, 2.0, 24.0, 1e8, 1e300], "special function, steep")
    digamma = Root(sp.digamma(y) - p, y, [p], bracket=(sp.Float(1e-3), 1e6))
    _add(to, "inverse digamma", digamma, [0.0, -0.5772156649015329, 3.0, -50.0], "special function, multiscale")


def _wright_omega(p: Any) -> Any:
    return mpmath.lambertw(mpmath.exp(p)).real


def _mechanics(to: list[KnownRoot]) -> None:
    x, y, p = _x, _y, _p
    anomaly, mean, e = sp.symbols("E M e")
    kepler = Root(anomaly - e * sp.sin(anomaly) - mean, anomaly, [mean, e], bracket=(mean - 1, mean + 1))
    points: list[Any] = [(1.0, 0.3), (3.0, 0.0), (0.01, 0.9), (-2.0, 0.99), (1e-3, 0.999999), (1e-8, 0.999999)]
    _add(to, "Kepler", kepler, [*points, (1e-10, 0.999999999)], "ill-conditioned")
    hyperbolic = Root(e * sp.sinh(anomaly) - anomaly - mean, anomaly, [mean, e], guess=sp.asinh(mean / e))
    _add(to, "Kepler, hyperbolic", hyperbolic, [(1.0, 1.5), (100.0, 1.01), (1e-3, 3.0), (1e6, 1.2)], "guess")
    beam = 1 + sp.cos(x) * sp.cosh(x) + p * x * (sp.cos(x) * sp.sinh(x) - sp.sin(x) * sp.cosh(x))
    _add(to, "beam with tip mass", Root(beam, x, [p], bracket=(sp.Rational(1, 10), 3)), [0.0, 0.5, 10.0], "many roots")
    tangent = Root(sp.tan(x) - p * x, x, [p], bracket=(sp.pi, 3 * sp.pi / 2))
    _add(to, "tangent branch", tangent, [1.0, 0.1, 10.0, 1e3], "pole, many roots")
    weight, linear, quadratic = sp.symbols("w a b")
    velocity = Root(linear * y + quadratic * y**2 - weight, y, [weight, linear, quadratic])
    points = [(9.81, 0.1, 0.02), (1e-9, 1e-6, 1e-4), (1e4, 0.0, 0.5)]
    _add(to, "terminal velocity", velocity, points, "search", _terminal_velocity)
    archimedes = sp.Symbol("Ar")
    settling = Root(18 * (y + 0.15 * y**1.687) - archimedes, y, [archimedes], bracket=(0, archimedes / 18))
    _add(to, "settling particle", settling, [1e-6, 1.0, 1e3, 1e6], "multiscale")
    catenary = Root(2 * x * sp.sinh(p / (2 * x)) - _q, x, [p, _q], bracket=(p / 100, 100 * p))
    _add(to, "catenary", catenary, [(1.0, 1.2), (10.0, 10.01), (1.0, 3.0)], "multiscale")


def _terminal_velocity(w: Any, a: Any, b: Any) -> Any:
    return 2 * w / (a + mpmath.sqrt(a**2 + 4 * b * w))


def _flow_and_heat(to: list[KnownRoot]) -> None:
    x, p = _x, _p
    f, roughness, reynolds = sp.symbols("f k Re")
    inner = roughness / sp.Float(3.7) + sp.Float(2.51) / (reynolds * sp.sqrt(f))
    colebrook = Root(
        1 / sp.sqrt(f) + 2 * sp.log(inner, 10), f, [roughness, reynolds], bracket=(sp.Rational(1, 1000), 1)
    )
    points: list[Any] = [(1e-4, 1e5), (0.0, 4e3), (0.05, 1e8), (1e-6, 1e7)]
    _add(to, "Colebrook", colebrook, points, "basic")
    depth, discharge, width, slope, n = sp.symbols("y Q b S n")
    area, perimeter = width * depth, width + 2 * depth
    flow = area * (area / perimeter) ** sp.Rational(2, 3) * sp.sqrt(slope) / n
    manning = Root(flow - discharge, depth, [discharge, width, slope, n], bracket=(0, 100))
    points = [(10.0, 5.0, 1e-3, 0.013), (1e-3, 1.0, 1e-2, 0.03), (500.0, 20.0, 1e-4, 0.025)]
    _add(to, "Manning normal depth", manning, points, "multiscale")
    wien = Root(x - p * (1 - sp.exp(-x)), x, [p], bracket=(1, p + 1))
    points = [5.0, 3.0, 30.0]
    _add(to, "Wien displacement", wien, points, "many roots", lambda p: p + mpmath.lambertw(-p * mpmath.exp(-p)).real)
    fin = Root(x * sp.tan(x) - p, x, [p], bracket=(0, sp.pi / 2))
    _add(to, "Biot eigenvalue", fin, [1.0, 1e-6, 1e3], "pole, many roots")
    fan = (x + 1) ** 2 * (2 * p + x - 1) / (x**2 * (p + 1)) - _q  # a rational function with a minimum
    _add(
        to, "rational", Root(fan, x, [p, _q], bracket=(sp.Rational(1, 100), 1)), [(1.5, 9.0), (1.2, 20.0)], "many roots"
    )


def _chemistry(to: list[KnownRoot]) -> None:
    x = _x
    volume, pressure, temperature = sp.symbols("V P T")
    gas = (pressure + 3 / volume**2) * (3 * volume - 1) - 8 * temperature
    ends = (sp.Rational(1, 3), 10 + 8 * temperature / pressure)
    van_der_waals = Root(gas, volume, [pressure, temperature], bracket=ends)
    points: list[Any] = [(0.5, 1.5), (2.0, 1.1), (1.0, 1.001), (1e-3, 2.0)]
    _add(to, "van der Waals", van_der_waals, points, "ill-conditioned")
    z, k = sp.symbols("z1:4"), sp.symbols("K1:4")
    rice = Root(sum(a * (b - 1) / (1 + x * (b - 1)) for a, b in zip(z, k)), x, [z, k], bracket=(0, 1))
    points = [((0.3, 0.4, 0.3), (3.0, 1.2, 0.2)), ((0.5, 0.3, 0.2), (1e3, 0.9, 1e-3))]
    _add(to, "Rachford-Rice", rice, points, "vector parameter")
    substrate = sp.Symbol("S")
    s0, km, vmax, t = sp.symbols("S0 Km Vmax t")
    menten = Root(
        substrate - s0 + km * sp.log(substrate / s0) + vmax * t, substrate, [s0, km, vmax, t], bracket=(0, s0)
    )
    points = [(1.0, 0.5, 0.1, 3.0), (10.0, 0.01, 1.0, 5.0), (1.0, 1.0, 1.0, 100.0)]
    _add(to, "Michaelis-Menten", menten, points, "pole, multiscale", _schnell_mendoza)
    h, ka, c = sp.symbols("h Ka C")
    acid = Root(h**3 + ka * h**2 - (sp.Float(1e-14) + ka * c) * h - ka * 1e-14, h, [ka, c], bracket=(1e-9, 10))
    _add(to, "weak acid pH", acid, [(1.8e-5, 0.1), (1e-9, 1e-3), (10.0, 1.0)], "multiscale")
    a, b, constant = sp.symbols("a b K")
    binding = Root(constant * (a - x) * (b - x) - x, x, [a, b, constant], bracket=(0, sp.Min(a, b)))
    _add(to, "binding equilibrium", binding, [(1.0, 2.0, 3.0), (1.0, 1.0, 1e8), (1e-9, 1e-6, 1e7)], "multiscale")
    epidemic = Root(1 - x - sp.exp(-_r * x), x, [_r], bracket=((_r - 1) / _r**2, 1))
    _add(to, "epidemic final size", epidemic, [2.5, 1.1, 1.0001, 20.0], "ill-conditioned", _final_size)
    current, voltage, saturation, resistance = sp.symbols("I V Is R")
    diode = saturation * (sp.exp((voltage - current * resistance) / sp.Float(0.025)) - 1) - current
    ends = (-saturation, voltage / resistance)
    points = [(0.7, 1e-12, 10.0), (5.0, 1e-12, 1.0), (40.0, 1e-14, 100.0)]
    _add(to, "diode", Root(diode, current, [voltage, saturation, resistance], bracket=ends), points, "overflow")


def _schnell_mendoza(s0: Any, km: Any, vmax: Any, t: Any) -> Any:
    return km * mpmath.lambertw(s0 / km * mpmath.exp((s0 - vmax * t) / km)).real


def _final_size(r: Any) -> Any:
    return 1 + mpmath.lambertw(-r * mpmath.exp(-r)).real / r


def _normal(x: Any) -> Any:
    return (1 + sp.erf(x / sp.sqrt(2))) / 2


def _statistics(to: list[KnownRoot]) -> None:
    x, p, q = _x, _p, _q
    mixture = q * _normal(x) + (1 - q) * _normal((x - _r) / _s) - p
    points: list[Any] = [(0.5, 0.3, 2.0, 0.5), (0.01, 0.5, 5.0, 1.0), (0.999, 0.9, 3.0, 0.1)]
    _add(to, "mixture quantile", Root(mixture, x, [p, q, _r, _s], guess=_r / 2), points, "guess, special function")
    tail = Root(sp.erfc(x) - p, x, [p], bracket=(-6, 27))
    points_tail = [0.5, 1.9, 1e-10, 1e-200]
    _add(to, "normal tail", tail, points_tail, "special function, multiscale", _erfc_inverse)
    coefficients, inverse_temperature = sp.symbols("c0:3"), sp.Symbol("u")
    law = coefficients[0] + coefficients[1] * sp.log(_y) + coefficients[2] * sp.log(_y) ** 3 - inverse_temperature
    points = [((1.4e-3, 2.37e-4, 9.9e-8), 1 / 298.15), ((1.4e-3, 2.37e-4, 9.9e-8), 1 / 400)]
    _add(to, "thermistor", Root(law, _y, [coefficients, inverse_temperature]), points, "search, vector parameter")


def _erfc_inverse(p: Any) -> Any:
    start = mpmath.sqrt(-mpmath.log(p)) if p < 0.01 else mpmath.mpf(0)
    return mpmath.findroot(lambda x: mpmath.log(mpmath.erfc(x) / p), start)


def _finance(to: list[KnownRoot]) -> None:
    sigma, price, strike, maturity = sp.symbols("sigma C K T")
    spread = sigma * sp.sqrt(maturity)
    d = -sp.log(strike) / spread + spread / 2
    black = _normal(d) - strike * _normal(d - spread) - price
    volatility = Root(black, sigma, [price, strike, maturity], bracket=(sp.Rational(1, 1000), 10))
    points = [(0.08, 1.0, 1.0), (0.01, 1.3, 0.5), (0.55, 0.5, 2.0)]
    _add(to, "implied volatility", volatility, points, "special function")
    y, coupon, value = sp.symbols("y c P")
    bond = sum(coupon / (1 + y) ** k for k in range(1, 11)) + 100 / (1 + y) ** 10 - value
    _add(
        to, "bond yield", Root(bond, y, [coupon, value], guess=0.05), [(5.0, 100.0), (0.0, 60.0), (8.0, 130.0)], "guess"
    )


def _hard(to: list[KnownRoot]) -> None:
    x, p, q = _x, _p, _q
    pieces = Root(x + sp.Piecewise((0, x < 0), (x**2, True)) - p, x, [p], bracket=(-1 - sp.Abs(p), 1 + sp.Abs(p)))
    _add(to, "piecewise", pieces, [2.0, -3.0, 1e-9], "kink", _piecewise)
    signed = Root(x * sp.Abs(x) - p, x, [p], bracket=(-1 - sp.Abs(p), 1 + sp.Abs(p)))
    _add(to, "signed square root", signed, [4.0, -2.0], "kink", lambda p: mpmath.sign(p) * mpmath.sqrt(abs(p)))
    rectified = Root(2 * sp.Max(x, 0) + x - p, x, [p], guess=-1)
    _add(to, "rectifier", rectified, [3.0, -2.0], "kink, guess", lambda p: p / 3 if p > 0 else p)
    step = Root(sp.tanh(1e6 * (x - p)), x, [p], bracket=(-2, 5))
    _add(to, "step", step, [0.3, 1.0, 3.125], "steep", lambda p: p)
    flat = Root((x - p) ** 3 + q * (x - p), x, [p, q], bracket=(p - 1, p + 3))
    _add(to, "almost triple", flat, [(0.3, 1e-6), (0.0, 1e-3)], "ill-conditioned", lambda p, q: p)
    roots = sp.expand(sp.prod([x - k for k in range(1, 11)]))
    wilkinson = Root(roots - p, x, [p], bracket=(sp.Rational(19, 2), 11))
    _add(to, "Wilkinson", wilkinson, [0.0, 1.0, 1e6], "ill-conditioned")
    ratio = Root(1 / (x - p) - q * x, x, [p, q], bracket=(p, p + 10))
    points = [(1.0, 1.0), (2.0, 1e-1), (0.5, 1e3)]
    _add(to, "beside a pole", ratio, points, "pole", lambda p, q: (p + mpmath.sqrt(p**2 + 4 / q)) / 2)


def _piecewise(p: Any) -> Any:
    return p if p < 0 else 2 * p / (1 + mpmath.sqrt(1 + 4 * p))
