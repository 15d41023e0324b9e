"""Existing code as a Theano op: values, gradients, second order, forward mode, and failures that are NaN."""

from __future__ import annotations

import ctypes
import sys

import numpy as np
import pytest
import scipy.special

import implicitops as iop
from implicitops.errors import DerivativeError

pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")

import theano
import theano.tensor as tt

A, V = np.array([1.5, 2.0, -1.0]), np.array([[3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])


def product(a, v):
    if a < 0:
        raise ValueError("a is negative")
    return a * v**2


def product_jacobian(a, v):
    return v**2, np.diag(2 * a * v)


def product_hessian(a, v):
    hessian = np.zeros((2, 3, 3))
    for i in range(2):
        hessian[i, 0, 1 + i] = hessian[i, 1 + i, 0] = 2 * v[i]
        hessian[i, 1 + i, 1 + i] = 2 * a
    return hessian


def product_vjp(inputs, output, cotangent):
    a, v = inputs
    return cotangent @ v**2, 2 * a * v * cotangent


def problem(**options):
    return iop.External(product, inputs={"a": (), "v": (2,)}, outputs=(2,), **options)


@pytest.fixture
def variables():
    a, v = tt.dvector("a"), tt.dmatrix("v")
    return a, v


FIRST_ORDER = [{"jacobian": product_jacobian}, {"vjp": product_vjp}, {"differences": "richardson"}]


class TestPythonFunction:
    def test_value_is_that_of_numpy(self, variables):
        compiled = theano.function(variables, problem()(*variables))
        np.testing.assert_array_equal(compiled(A[:2], V[:2]), A[:2, None] * V[:2] ** 2)

    @pytest.mark.parametrize("options", FIRST_ORDER)
    def test_gradient(self, variables, options):
        cost = (problem(**options)(*variables) ** 2).sum()
        gradient = theano.function(variables, tt.grad(cost, variables))(A[:2], V[:2])
        np.testing.assert_allclose(gradient[0], 2 * A[:2] * (V[:2] ** 4).sum(axis=1), rtol=1e-9)
        np.testing.assert_allclose(gradient[1], 4 * A[:2, None] ** 2 * V[:2] ** 3, rtol=1e-9)

    @pytest.mark.parametrize(
        "options",
        [
            {"jacobian": product_jacobian, "hessian": product_hessian},
            {"vjp": product_vjp, "hessian": product_hessian},
            {"jacobian": product_jacobian, "differences": "richardson"},
        ],
    )
    def test_second_order(self, options):
        a, v = tt.dscalar(), tt.dvector()
        cost = (problem(**options)(a, v) ** 2).sum()
        hessian = theano.function([a, v], [theano.gradient.hessian(cost, v), tt.grad(tt.grad(cost, a), a)])
        of_v, of_a = hessian(1.5, [3.0, 4.0])
        np.testing.assert_allclose(of_v, np.diag(12 * 1.5**2 * np.array([3.0, 4.0]) ** 2), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(of_a, 2 * (3.0**4 + 4.0**4), rtol=1e-9)

    def test_forward_mode_agrees_with_reverse_mode(self, variables):
        a, v = variables
        output = problem(jacobian=product_jacobian)(a, v)
        w, t, u = tt.dmatrix(), tt.dvector(), tt.dmatrix()
        forward = (w * tt.Rop(output, [a, v], [t, u])).sum()
        back = tt.Lop(output, [a, v], w)
        reverse = (back[0] * t).sum() + (back[1] * u).sum()
        rng = np.random.default_rng(1)
        directions = [rng.normal(size=(2, 2)), rng.normal(size=2), rng.normal(size=(2, 2))]
        one, other = theano.function([a, v, w, t, u], [forward, reverse])(A[:2], V[:2], *directions)
        np.testing.assert_allclose(one, other, rtol=1e-13)

    @pytest.mark.parametrize("options", FIRST_ORDER)
    def test_failure_is_nan_in_its_element_and_one_warning(self, variables, options):
        output = problem(**options)(*variables)
        compiled = theano.function(variables, [output, *tt.grad(output.sum(), variables)])
        with pytest.warns(iop.SolveWarning, match="a=-1, .* the external function raised an exception"):
            values = compiled(A, V)
        for value in values:
            assert np.isfinite(value[:2]).all()
            assert np.isnan(value[2]).all()


class TestCFunction:
    """It has C code in the graph; the error function stands for existing code."""

    @pytest.fixture
    def error_function(self):
        if not sys.platform.startswith("linux"):
            pytest.skip("needs libm.so.6")
        erf = ctypes.CDLL("libm.so.6").erf
        erf.argtypes, erf.restype = [ctypes.c_double], ctypes.c_double
        return iop.External(erf, inputs={"x": ()}, outputs=(), jacobian=erf_jacobian)

    @pytest.mark.parametrize("mode", ["c|py", "py"])
    def test_value_and_gradient(self, error_function, mode):
        x = tt.dvector()
        y = error_function(x)
        values = np.array([0.1, 0.5, np.nan])
        # Made outside: pytest.warns would pass on, as errors, the warnings of Theano's compilation.
        function = theano.function([x], [y, tt.grad(y.sum(), x)], mode=mode_with(mode))
        with pytest.warns(iop.SolveWarning, match="an input is NaN"):
            value, gradient = function(values)
        np.testing.assert_allclose(value, scipy.special.erf(values), rtol=1e-14)
        np.testing.assert_allclose(gradient, erf_jacobian(values)[0], rtol=1e-14)


def mode_with(linker):
    return theano.compile.mode.Mode(linker=linker, optimizer="fast_run")


def erf_jacobian(x):
    return [2 / np.sqrt(np.pi) * np.exp(-(x**2))]


def test_scalar_input_broadcasts():
    a, v = tt.dscalar(), tt.dmatrix()
    output = problem(jacobian=product_jacobian)(a, v)
    value, gradient = theano.function([a, v], [output, tt.grad(output.sum(), a)])(2.0, V)
    np.testing.assert_array_equal(value, 2 * V**2)
    np.testing.assert_allclose(gradient, (V**2).sum(), rtol=1e-14)


def test_equal_statements_are_one_node(variables):
    compiled = theano.function(variables, problem()(*variables) + problem()(*variables))
    operations = [node.op for node in compiled.maker.fgraph.toposort() if hasattr(node.op, "operation")]
    assert len(operations) == 1


def test_without_a_derivative_the_error_is_one_that_pymc3_understands(variables):
    with pytest.raises(NotImplementedError, match="Pass jacobian= or vjp="):
        tt.grad(problem()(*variables).sum(), variables[0])
    assert issubclass(DerivativeError, iop.ProblemError)


def test_interrupt_ends_the_function():
    def interrupted(x):
        raise KeyboardInterrupt

    x = tt.dscalar()
    compiled = theano.function([x], iop.External(interrupted, inputs={"x": ()}, outputs=())(x))
    with pytest.raises(KeyboardInterrupt):
        compiled(1.0)


def test_pymc3_samples_without_a_gradient_where_there_is_none():
    import pymc3 as pm

    scalar = iop.External(np.exp, inputs={"x": ()}, outputs=())
    with pm.Model():
        x = pm.Normal("x")
        pm.Normal("y", mu=scalar(x), sigma=0.1, observed=1.0)
        step = pm.sampling.assign_step_methods(pm.modelcontext(None))
    assert isinstance(step, pm.Slice)
