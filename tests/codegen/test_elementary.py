"""The functions written in IR: within 2 ulp of 60 digits over the whole range, on every kind of processor."""

from __future__ import annotations

import dataclasses
import math
import platform

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from sympy.codegen import cfunctions

import implicitops.codegen.compile as compilation
import implicitops.codegen.host as hosts
from implicitops.codegen import Bundle, CompiledBundle
from implicitops.codegen.compile import compile_artifact

x, y = sp.symbols("x y")
INF, NAN = float("inf"), float("nan")
LARGEST = 1.7976931348623157e308
EDGES = np.array(
    [0.0, -0.0, INF, -INF, NAN, 5e-324, -5e-324, 2.2250738585072014e-308, LARGEST, -LARGEST, 1, -1, 2, -2,
     0.5, -0.5, 1 - 2.0**-53, 1 + 2.0**-52, 2.0**-53 - 1, -1 - 2.0**-52, math.pi, math.pi / 2, 710,
     709.78, 709.79, -745.13, -745.14, -708.4, 1e6, 1000001.0, -1e6, 1e22, 3.0, -3.0, 2.0**53, 2.0**53 -
     1]
)  # fmt: skip


def _positive(function, at_zero=-INF):
    return lambda v: function(v) if v > 0 else (mp.mpf(at_zero) if v == 0 else mp.nan)


def _within(function, largest, outside=NAN):
    return lambda v: function(v) if abs(v) <= largest else mp.mpf(outside)


def _saturating(function, above, below):
    """Avoid numbers of 10**300 digits: beyond 1e4 the limits are reached."""
    return lambda v: function(v) if abs(v) < 1e4 or not mp.isfinite(v) else mp.mpf(above if v > 0 else below)


def _odd(function):
    return lambda v: mp.sign(v) * function(abs(v))


# name: (SymPy function, reference, interval that is sampled densely, allowed error in ulp)
UNARY = {
    "exp": (sp.exp, _saturating(mp.exp, INF, 0), (-750, 715), 1.0),
    "expm1": (cfunctions.expm1, _saturating(mp.expm1, INF, -1), (-60, 715), 1.0),
    "exp2": (cfunctions.exp2, _saturating(lambda v: mp.mpf(2) ** v, INF, 0), (-1080, 1030), 1.0),
    "log": (sp.log, _positive(mp.log), (0, 50), 1.0),
    "log1p": (cfunctions.log1p, lambda v: _positive(mp.log)(1 + v), (-1, 1e3), 1.0),
    "log2": (cfunctions.log2, _positive(lambda v: mp.log(v) / mp.log(2)), (0, 50), 1.0),
    "log10": (cfunctions.log10, _positive(lambda v: mp.log(v) / mp.log(10)), (0, 50), 1.0),
    "cbrt": (cfunctions.Cbrt, _odd(mp.cbrt), (-1e3, 1e3), 1.0),
    "sin": (sp.sin, _within(mp.sin, LARGEST), (-1e6, 1e6), 1.0),
    "cos": (sp.cos, _within(mp.cos, LARGEST), (-1e6, 1e6), 1.0),
    "tan": (sp.tan, _within(mp.tan, LARGEST), (-1e6, 1e6), 2.0),
    "asin": (sp.asin, _within(mp.asin, 1), (-1, 1), 1.0),
    "acos": (sp.acos, _within(mp.acos, 1), (-1, 1), 1.0),
    "atan": (sp.atan, mp.atan, (-100, 100), 1.0),
    "sinh": (sp.sinh, _saturating(mp.sinh, INF, -INF), (-715, 715), 2.0),
    "cosh": (sp.cosh, _saturating(mp.cosh, INF, INF), (-715, 715), 2.0),
    "tanh": (sp.tanh, _saturating(mp.tanh, 1, -1), (-25, 25), 1.0),
    "asinh": (sp.asinh, mp.asinh, (-1e3, 1e3), 2.0),
    "acosh": (sp.acosh, lambda v: mp.acosh(v) if v >= 1 else mp.nan, (1, 1e3), 2.0),
    "atanh": (
        sp.atanh,
        lambda v: mp.atanh(v) if abs(v) < 1 else (mp.sign(v) * mp.inf if abs(v) == 1 else mp.nan),
        (-1, 1),
        2.0,
    ),
}


def error_in_ulp(value: float, exact: mp.mpf) -> float:
    """Distance from the exact value in units of the last place of a double; infinite for a wrong kind."""
    if mp.isnan(exact):
        return 0.0 if math.isnan(value) else INF
    rounded = float(exact)
    if math.isinf(rounded) or math.isinf(value) or math.isnan(value):
        overflow_is_close = abs(exact) > LARGEST * (1 - 2.0**-52) and abs(value) >= LARGEST
        return 0.0 if overflow_is_close and math.copysign(1, value) == mp.sign(exact) else INF
    unit = 2.0 ** max(math.frexp(rounded)[1] - 53, -1074) if rounded else 5e-324
    return float(abs(mp.mpf(value) - exact) / mp.mpf(unit))


def exact_values(function, points):
    """The function at doubles, in enough digits for the smallest and the largest of them."""
    values = []
    for point in points:
        digits = 200 + (2 * abs(int(mp.frexp(point)[1])) if math.isfinite(point) and point else 0)
        with mp.workprec(digits):
            values.append(mp.mpf(function(mp.mpf(float(point)))))
    return values


def sample(interval, n, seed=7):
    """Doubles of every magnitude, of an interval, around 0 and around +-1, and the edges."""
    random = np.random.default_rng(seed)
    patterns = random.integers(0, 0x7FF0000000000000, n, dtype=np.int64).view(np.float64)
    small = np.exp(random.uniform(-46, 7, n)) * random.choice([-1, 1], n)
    near_one = random.choice([-1, 1], n) * (1 + np.exp(random.uniform(-36, 0, n)) * random.choice([-1, 1], n))
    dense = random.uniform(*interval, n)
    return np.concatenate([EDGES, patterns, -patterns[: n // 4], small, near_one, dense, random.uniform(-4, 4, n)])


def compile_one(expression, symbols=(x,)):
    return CompiledBundle(compile_artifact(Bundle(tuple(symbols), (expression,))))


@pytest.fixture(params=["this processor", "no fused multiply-add", "oldest processor"])
def processor(request, monkeypatch):
    """Generate code as for other processors of this family."""
    this = hosts.host()
    variants = {
        "this processor": this,
        "no fused multiply-add": dataclasses.replace(this, fused=False),
        "oldest processor": dataclasses.replace(this, cpu="x86-64", features="", fused=False),
    }
    if request.param == "oldest processor" and platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("the oldest processor is an x86-64")
    for module in (hosts, compilation):
        monkeypatch.setattr(module, "host", lambda: variants[request.param])
    return request.param


@pytest.mark.parametrize("name", UNARY)
def test_error_is_within_the_promised_ulp(name, processor):
    function, reference, interval, allowed = UNARY[name]
    n = 250 if processor == "this processor" else 60
    points = sample(interval, n)
    values = compile_one(function(x)).evaluate(points[None])[0]
    errors = [error_in_ulp(*pair) for pair in zip(values, exact_values(reference, points))]
    worst = int(np.argmax(errors))
    assert errors[worst] <= allowed, (name, points[worst], values[worst], errors[worst])


@pytest.mark.parametrize("name", UNARY)
def test_block_and_scalar_form_agree_bit_for_bit(name, processor, same_bits):
    function, _, interval, _ = UNARY[name]
    code = compile_one(function(x))
    points = sample(interval, 60)
    scalar = np.array([code.evaluate_scalar([point])[0] for point in points])
    assert same_bits(code.evaluate(points[None])[0], scalar)
    small = np.where(np.abs(points) < 1e5, points, 0.5)
    scalar = np.array([code.evaluate_scalar([point])[0] for point in small])
    for n in (1, 2, 3, 7, 8, 9, 31, 100):
        assert same_bits(code.evaluate(small[None, :n])[0], scalar[:n])


@pytest.mark.parametrize("name", [name for name in UNARY if UNARY[name][0].__module__.startswith("sympy.functions")])
def test_constant_arguments_give_the_same_bits_as_variable_ones(name, same_bits):
    function = UNARY[name][0]
    for constant in (sp.Rational(5, 7), sp.Rational(12, 7)):
        constants = compile_one(function(constant, evaluate=False)).evaluate(np.zeros((1, 9)))
        variables = compile_one(function(x)).evaluate(np.full((1, 9), float(constant)))
        assert same_bits(constants, variables)


@pytest.mark.parametrize(
    "name", ["expm1", "log1p", "sin", "tan", "asin", "atan", "sinh", "tanh", "asinh", "atanh", "cbrt"]
)
def test_odd_functions_keep_the_sign_of_zero(name):
    values = compile_one(UNARY[name][0](x)).evaluate([[0.0, -0.0]])[0]
    assert (values == 0).all()
    assert (np.signbit(values) == [False, True]).all()


def _pairs(n=150, seed=3):
    random = np.random.default_rng(seed)
    edges = np.array([a.ravel() for a in np.meshgrid(EDGES[:16], np.append(EDGES[:20], [3, -3, 2.0**53, 2.0**53 - 1]))])
    wide = random.integers(0, 0x7FF0000000000000, (2, n), dtype=np.int64).view(np.float64) * random.choice(
        [-1, 1], (2, n)
    )
    moderate = random.uniform(-9, 9, (2, n))
    scaled = np.exp(random.uniform(-20, 20, (2, n))) * random.choice([-1, 1], (2, n))
    return edges, np.concatenate([wide, moderate, scaled], axis=1)


def _power(a, b):
    if b == 0 or a == 1:
        return mp.mpf(1)
    if a < 0 and b != mp.floor(b):
        return mp.nan
    log_size = b * mp.log(abs(a))
    sign = -1 if a < 0 and mp.fmod(b, 2) != 0 else 1
    return sign * (mp.exp(log_size) if abs(log_size) < 3000 else mp.inf if log_size > 0 else mp.mpf(0))


def _remainder(a, b):
    with mp.workprec(4400):
        return a - b * mp.floor(a / b)


BINARY = {
    "pow": (x**y, _power, np.power, 1.0),
    "atan2": (sp.atan2(x, y), lambda a, b: mp.atan2(a, b), np.arctan2, 2.0),
    "hypot": (cfunctions.hypot(x, y), lambda a, b: mp.sqrt(a * a + b * b), np.hypot, 1.0),
    "mod": (sp.Mod(x, y), _remainder, None, 0.5),
}


@pytest.mark.parametrize("name", BINARY)
def test_error_of_two_arguments_is_within_the_promised_ulp(name, processor):
    expression, reference, _, allowed = BINARY[name]
    _, points = _pairs(n=120 if processor == "this processor" else 40)
    values = compile_one(expression, (x, y)).evaluate(points)[0]
    for a, b, value in zip(*points, values):
        with mp.workprec(2400):
            exact = reference(mp.mpf(float(a)), mp.mpf(float(b)))
        assert error_in_ulp(value, exact) <= allowed, (a, b, value, exact)


@pytest.mark.parametrize("name", ["pow", "atan2", "hypot"])
def test_special_values_are_those_of_c99(name, processor):
    expression, _, reference, _ = BINARY[name]
    edges, _ = _pairs()
    values = compile_one(expression, (x, y)).evaluate(edges)[0]
    with np.errstate(all="ignore"):
        expected = reference(*edges)
    np.testing.assert_array_max_ulp(values[~np.isnan(expected)], expected[~np.isnan(expected)], 1)
    numbers = ~np.isnan(expected)
    assert (np.isnan(values) == np.isnan(expected)).all()
    assert (np.signbit(values) == np.signbit(expected))[numbers].all()


def test_modulo_is_that_of_python(processor):
    random = np.random.default_rng(0)
    edges, _ = _pairs()
    points = np.concatenate([edges, random.uniform(-9, 9, (2, 200)), np.round(random.uniform(-9, 9, (2, 200)))], axis=1)
    values = compile_one(sp.Mod(x, y), (x, y)).evaluate(points)[0]
    for a, b, value in zip(*points, values):
        expected = NAN if b == 0 or math.isinf(a) else float(a) % float(b)
        assert value == expected or (math.isnan(value) and math.isnan(expected)), (a, b, value, expected)


def test_rational_power_keeps_full_precision_for_extreme_bases():
    points = np.concatenate([[1e300, 1e-300, 0.0, INF, -1.0, NAN, 5e-324], np.exp(np.linspace(-600, 600, 101))])
    for exponent in (sp.Rational(1, 3), sp.Rational(-22, 7), sp.Rational(5, 3)):
        values = compile_one(x**exponent).evaluate(points[None])[0]
        for point, value in zip(points[7:], values[7:]):
            with mp.workprec(200):
                exact = mp.mpf(point) ** (mp.mpf(int(exponent.p)) / int(exponent.q))
            assert error_in_ulp(value, exact) <= 1.0
        assert math.isnan(values[4])
        assert math.isnan(values[5])
        assert values[2] == (0 if exponent > 0 else INF)
        assert values[3] == (INF if exponent > 0 else 0)
