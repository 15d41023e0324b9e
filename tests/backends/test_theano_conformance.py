"""The promises that all backends share, kept by the Theano op through its C code and through perform."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from catalogue import conformance

import implicitops as iop

CASES = conformance.closed_forms()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("check", conformance.CHECKS)
@pytest.mark.usefixtures("linker")
def test_theano_keeps_the_promise(check, case):
    from implicitops.verify.differentiation.theano import TheanoDifferentiable

    check(TheanoDifferentiable, case)


@pytest.mark.usefixtures("linker")
def test_an_ode_and_its_gradient_inside_scan():
    import theano
    import theano.tensor as tt

    x, k = sp.symbols("x k")
    decay = iop.ODE({x: -k * x}, [k], initial={x: 1})
    rates, times = tt.dvector(), tt.dvector()
    sums, _ = theano.scan(lambda rate, steps: decay(rate, times=steps).sum(), sequences=rates, non_sequences=times)
    function = theano.function([rates, times], [sums, theano.grad(sums.sum(), rates)])
    here, steps = np.array([0.3, 0.7]), np.array([0.5, 1.0, 2.0])
    value, gradient = function(here, steps)
    decayed = np.exp(-here[:, None] * steps)
    np.testing.assert_allclose(value, decayed.sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(gradient, -(steps * decayed).sum(axis=1), rtol=1e-6)
