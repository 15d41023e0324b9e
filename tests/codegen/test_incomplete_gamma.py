"""Incomplete gamma functions and their derivatives by the shape, over the whole range of shapes and arguments."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

from implicitops.codegen import Bundle
from implicitops.codegen.compile import CompiledBundle, compile_artifact
from implicitops.codegen.functions.incomplete_gamma import (
    gammainc_by_shape,
    lowergamma_by_shape,
    uppergamma_by_shape,
)
from implicitops.functions import gammainc, gammaincc

a, x = sp.symbols("a x", real=True)
SHAPES = [1e-3, 0.3, 2.5, 40.0, 171.5, 1e4]
RATIOS = [1e-3, 0.5, 0.97, 1.0, 1.04, 2.0]
POINTS = [(shape, shape * ratio) for shape in SHAPES for ratio in RATIOS if shape < 1000 or abs(ratio - 1) < 0.05]


def lower(shape, argument):
    return mp.gammainc(shape, 0, argument)


def upper(shape, argument):
    return mp.gammainc(shape, argument)


def regularised(shape, argument):
    return mp.gammainc(shape, 0, argument, regularized=True)


def less_than_one(shape, argument):
    """P - 1, which is small where x is large, and whose derivatives are those of P."""
    return -mp.gammainc(shape, argument, regularized=True)


def by_shape(function, shape, argument, order):
    with mp.workdps(50):
        scaled = mp.diff(lambda t: function(shape * (1 + t), mp.mpf(argument)), 0, order)
        return float(scaled / mp.mpf(shape) ** order)


@pytest.mark.parametrize(
    ("kind", "function"),
    [(gammainc_by_shape, regularised), (lowergamma_by_shape, lower), (uppergamma_by_shape, upper)],
    ids=["regularised", "lower", "upper"],
)
def test_first_and_second_derivative_by_the_shape_agree_with_mpmath_at_fifty_digits(kind, function):
    outputs = (kind(sp.Integer(1), a, x), kind(sp.Integer(2), a, x))
    compiled = CompiledBundle(compile_artifact(Bundle((a, x), outputs)))
    compared = 0
    for shape, argument in POINTS:
        exact = less_than_one if function is regularised and argument > shape else function
        first, second = (by_shape(exact, shape, argument, order) for order in (1, 2))
        if not 1e-290 < abs(first) < 1e290:
            continue
        compared += 1
        # The second derivative of P changes its sign near x = a: there it is as accurate as its parts.
        floor = 1e-15 * abs(first) if kind is gammainc_by_shape else 0
        values = compiled.evaluate_scalar([shape, argument])
        np.testing.assert_allclose(values[0], first, rtol=1e-13, err_msg=f"{shape}, {argument}")
        np.testing.assert_allclose(values[1], second, rtol=1e-13, atol=floor, err_msg=f"{shape}, {argument}")
    assert compared >= 25


def test_values_hold_where_the_gamma_function_overflows():
    outputs = (gammainc(a, x), gammaincc(a, x), sp.lowergamma(a, x), sp.uppergamma(a, x))
    compiled = CompiledBundle(compile_artifact(Bundle((a, x), outputs)))
    for shape, argument in [(172.0, 100.0), (400.0, 1.5), (1e4, 1.01e4), (200.0, 1500.0)]:
        values = compiled.evaluate_scalar([shape, argument])
        with mp.workdps(50):
            expected = [
                mp.gammainc(shape, 0, argument, regularized=True),
                mp.gammainc(shape, argument, regularized=True),
                lower(shape, argument),
                upper(shape, argument),
            ]
            finite = [v < 1.7e308 for v in expected]
            expected = [float(v) for v, is_finite in zip(expected, finite) if is_finite]
        np.testing.assert_array_equal(np.isfinite(values), finite)
        np.testing.assert_allclose(values[finite], expected, rtol=3e-13, atol=1e-307)


def test_a_shape_or_an_argument_below_zero_is_nan():
    outputs = (
        sp.lowergamma(a, x),
        sp.uppergamma(a, x),
        *(f(a, x).diff(s) for f in (gammainc, gammaincc) for s in (a, x)),
    )
    compiled = CompiledBundle(compile_artifact(Bundle((a, x), outputs)))
    for point in [(-0.5, 1.0), (1.5, -1.0), (np.nan, 1.0), (1.0, np.nan)]:
        assert np.isnan(compiled.evaluate_scalar(point)).all()


def test_derivatives_at_the_ends_of_the_range_are_those_of_a_constant():
    outputs = (gammainc(a, x).diff(a), gammaincc(a, x).diff(a))
    compiled = CompiledBundle(compile_artifact(Bundle((a, x), outputs)))
    for argument in (0.0, np.inf):
        np.testing.assert_array_equal(compiled.evaluate_scalar([2.5, argument]), [0, 0])
