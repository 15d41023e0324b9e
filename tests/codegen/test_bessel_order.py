"""Derivatives of Bessel functions by their order agree with mpmath, also where the function is tiny or oscillates."""

from __future__ import annotations

import itertools
from functools import partial

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

from implicitops.codegen import Bundle
from implicitops.codegen.compile import CompiledBundle, compile_artifact
from implicitops.codegen.functions import bessel

order, x = sp.symbols("order x", real=True)
ORDERS = [0.0, 0.3, 1.0, 12.5, 60.0, -0.4, -3.2]
ARGUMENTS = [1e-6, 0.5, 8.3, 140.0]


def by_order(function, argument, moved):
    return function(moved, mp.mpf(argument))


@pytest.mark.parametrize("name", ["besselj", "bessely", "besseli", "besselk"])
def test_first_and_second_derivative_by_the_order_agree_with_mpmath(name):
    kind, function = getattr(bessel, f"{name}_by_order"), getattr(mp, name)
    outputs = (kind(sp.Integer(1), order, x), kind(sp.Integer(2), order, x))
    compiled = CompiledBundle(compile_artifact(Bundle((order, x), outputs)))
    for at_order, argument in itertools.product(ORDERS, ARGUMENTS):
        if name == "besselk" and at_order.is_integer() and argument > 1:
            continue  # mpmath takes seconds
        values = compiled.evaluate_scalar([at_order, argument])
        for n, value in enumerate(values, 1):
            with mp.workdps(40):
                right = float(mp.diff(partial(by_order, function, argument), at_order, n))
            if 1e-290 < abs(right) < 1e290:
                np.testing.assert_allclose(value, right, rtol=5e-13, err_msg=f"{at_order}, {argument}")


def test_beyond_the_range_of_the_quadrature_the_derivative_is_nan_and_never_wrong():
    outputs = tuple(getattr(bessel, f"{name}_by_order")(sp.Integer(1), order, x) for name in ("besselj", "besseli"))
    compiled = CompiledBundle(compile_artifact(Bundle((order, x), outputs)))
    for point in [(1.5, -1.0), (1.5, 0.0), (1.5, 1e6), (1e6, 1.5), (np.nan, 1.0), (1.0, np.inf)]:
        assert np.isnan(compiled.evaluate_scalar(point)).all()
