"""Quotients of gamma functions: values and derivatives over many magnitudes of both arguments."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

from implicitops.codegen import Bundle
from implicitops.codegen.compile import CompiledBundle, compile_artifact
from implicitops.codegen.functions.beta import polygamma_difference
from implicitops.symbolic.tape import Tape

a, b = sp.symbols("a b", real=True)
ORDERS = [(0,), (1,), (0, 0), (0, 1), (1, 1)]


def derivatives(expression):
    """Compiled first and second derivatives by the two symbols, in the order of ``ORDERS``."""
    tape = Tape()
    value = tape.add(expression)
    first = [tape.reverse([(value, sp.S.One)], (symbol,))[0] for symbol in (a, b)]
    second = [tape.reverse([(first[i], sp.S.One)], ((a, b)[j],))[0] for i, j in ORDERS[2:]]
    return CompiledBundle(compile_artifact(tape.bundle((a, b), first + second)))


def magnitudes(n, low, high, seed):
    """Pairs of positive numbers, log-uniform, each second one with a ratio of ordinary size."""
    random = np.random.default_rng(seed)
    pairs = 10 ** random.uniform(low, high, (n, 2))
    pairs[::2, 1] = pairs[::2, 0] * 10 ** random.uniform(-1, 1, len(pairs[::2]))
    return pairs


def psi(n, x):
    return mp.polygamma(n, x)


def of_logarithms(value, slopes, curvatures):
    """Derivatives of a function from those of its logarithm, and the size of the terms that they are sums of."""
    found = [(value * slope, abs(value * slope)) for slope in slopes]
    for (i, j), curvature in zip(ORDERS[2:], curvatures):
        found.append(
            (value * (slopes[i] * slopes[j] + curvature), abs(value) * (abs(slopes[i] * slopes[j]) + abs(curvature)))
        )
    return found


def beta(p, q):
    slopes = [psi(0, p) - psi(0, p + q), psi(0, q) - psi(0, p + q)]
    curvatures = [psi(1, p) - psi(1, p + q), -psi(1, p + q), psi(1, q) - psi(1, p + q)]
    return of_logarithms(mp.beta(p, q), slopes, curvatures)


def binomial(n, k):
    slopes = [psi(0, n + 1) - psi(0, n - k + 1), psi(0, n - k + 1) - psi(0, k + 1)]
    curvatures = [psi(1, n + 1) - psi(1, n - k + 1), psi(1, n - k + 1), -psi(1, n - k + 1) - psi(1, k + 1)]
    return of_logarithms(mp.binomial(n, k), slopes, curvatures)


def rising(x, k):
    slopes = [psi(0, x + k) - psi(0, x), psi(0, x + k)]
    curvatures = [psi(1, x + k) - psi(1, x), psi(1, x + k), psi(1, x + k)]
    return of_logarithms(mp.rf(x, k), slopes, curvatures)


@pytest.mark.parametrize(
    ("kind", "reference"),
    [(sp.beta, beta), (sp.binomial, binomial), (sp.RisingFactorial, rising)],
    ids=["beta", "binomial", "rising factorial"],
)
def test_first_and_second_derivatives_agree_with_mpmath_from_1e_minus_12_to_1e6(kind, reference):
    compiled = derivatives(kind(a, b))
    compared = 0
    for point in magnitudes(300, -12, 6, 1):
        if kind is sp.binomial:
            point = np.sort(point)[::-1]
        with mp.workdps(60):
            right, sizes = np.array(reference(*map(mp.mpf, point)), dtype=float).T
        if not (abs(right) > 1e-280).all() or not (sizes < 1e280).all():
            continue
        np.testing.assert_allclose(compiled.evaluate_scalar(point), right, rtol=1e-12, err_msg=f"{kind}{tuple(point)}")
        compared += 1
    assert compared > 200


def test_derivatives_are_right_where_differences_of_digamma_would_cancel():
    compiled = derivatives(sp.beta(a, b))
    zeta_3 = 1.2020569031595942
    assert compiled.evaluate_scalar([1e-12, 50.0])[1] == pytest.approx(-0.020201333226697126, rel=1e-10)
    assert compiled.evaluate_scalar([1e-9, 1.0])[3] == pytest.approx(zeta_3, rel=1e-8)
    slope = derivatives(sp.binomial(a, b)).evaluate_scalar([5.0, 1e-12])[0]
    assert slope == pytest.approx(1e-12 * float(mp.polygamma(1, 6)), rel=1e-11)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_difference_of_polygamma_is_right_for_any_distance(n):
    compiled = CompiledBundle(compile_artifact(Bundle((a, b), (polygamma_difference(sp.Integer(n), a, b),))))
    random = np.random.default_rng(n)
    for x in [1e-9, 0.02, 0.7, 3.3, 15.9, 40.0, 1e4, -2.3, -20.4]:
        near = x * 10 ** random.uniform(-12, 0, 4) * random.choice([-0.9, 0.9], 4)
        far = 10 ** random.uniform(0, 6, 3) if x > 0 else ()
        for h in (*near, *far):
            with mp.workdps(80):
                right = float(psi(n, mp.mpf(x) + mp.mpf(h)) - psi(n, x))
            (value,) = compiled.evaluate_scalar([x, h])
            # below 0 the sum has terms of both signs, and the argument itself is rounded beside a pole
            np.testing.assert_allclose(value, right, rtol=1e-12 if x > 0 else 1e-9, err_msg=f"{x}, {h}")
