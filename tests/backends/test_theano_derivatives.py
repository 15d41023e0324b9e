"""Derivatives through Theano's own machinery: verify_grad, Rop, jacobian, scan, test values, DebugMode."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.codegen import UnsupportedDerivativeError
from implicitops.codegen.functions.gamma import zeta_derivative
from implicitops.verify.verify_grad import verify_grad

pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")

import theano
import theano.tensor as tt

from implicitops.legacy_stack import prepare

prepare()  # repairs scan

x, p, q = sp.symbols("x p q")
mu, theta = sp.symbols("mu theta")
quadratic = iop.Root(p * x**2 + q * x - 1, x, [p, q], bracket=(0, 1 + 1 / q))
mu_of = iop.Root(mu + mu * sp.exp(theta * mu) - 1, mu, [theta], bracket=(0, 1))


def test_theano_verifies_the_gradient():
    points = [np.array([0.2, 1.0, 5.0]), np.array(1.5)]
    random_state = np.random.RandomState(1)
    theano.gradient.verify_grad(quadratic, points, rng=random_state)


@pytest.mark.filterwarnings("ignore::implicitops.errors.SolveWarning")  # the harness tries a NaN element
def test_implicitops_verifies_the_gradient():
    report = verify_grad(mu_of, {"theta": [0.2, 1e-5, 1e5]}, order=2, backends=("theano",))
    assert report.passed


@pytest.mark.usefixtures("linker")
def test_jacobian_of_the_gradient_is_the_hessian():
    v = tt.dvector()
    y = quadratic(v[0], v[1])
    hessian = theano.function([v], theano.gradient.jacobian(theano.grad(y, v), v))
    expected = quadratic.solve(2.0, 0.5, derivatives=2).hessian
    np.testing.assert_allclose(hessian([2.0, 0.5]), expected, rtol=1e-13)


@pytest.mark.usefixtures("linker")
def test_third_derivative():
    v = tt.dscalar()
    root = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))
    first = theano.grad(root(v), v)
    third = theano.grad(theano.grad(first, v), v)
    np.testing.assert_allclose(theano.function([v], third)(4.0), 3 / 8 * 4.0**-2.5, rtol=1e-13)


def test_forward_mode_along_one_of_two_parameters():
    a, b = tt.dscalar(), tt.dvector()
    tangent = tt.Rop(quadratic(a, b), b, tt.ones_like(b))
    at = np.array([0.5, 1.0])
    expected = quadratic.solve(2.0, at, derivatives=1).jacobian[:, 1]
    np.testing.assert_allclose(theano.function([a, b], tangent)(2.0, at), expected, rtol=1e-14)


def test_gradient_of_a_gradient_that_leaves_some_parameters_out():
    a, b = tt.dscalar(), tt.dscalar()
    mixed = theano.grad(theano.grad(quadratic(a, b), a), b)
    expected = quadratic.solve(2.0, 0.5, derivatives=2).hessian[0, 1]
    np.testing.assert_allclose(theano.function([a, b], mixed)(2.0, 0.5), expected, rtol=1e-13)


def test_start_has_no_influence_on_the_derivative():
    root = iop.Root(x**2 - p, x, [p, q], guess=1 + q)
    a, b = tt.dscalar(), tt.dscalar()
    gradient = theano.function([a, b], theano.grad(root(a, b), [a, b]))
    np.testing.assert_allclose(gradient(4.0, 3.0), [0.25, 0.0], rtol=1e-15)


@pytest.mark.usefixtures("linker")
def test_op_and_its_gradient_inside_scan():
    v = tt.dvector()
    root = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))
    values, _ = theano.scan(lambda a, total: total + root(a), sequences=v, outputs_info=np.zeros(()))
    function = theano.function([v], [values[-1], theano.grad(values[-1], v)])
    total, gradient = function([4.0, 9.0, 16.0])
    assert total == 9.0
    np.testing.assert_allclose(gradient, [1 / 4, 1 / 6, 1 / 8], rtol=1e-15)


@pytest.mark.usefixtures("linker")
def test_gradient_of_one_solution_inside_another():
    v = tt.dscalar()
    root = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))
    function = theano.function([v], theano.grad(root(root(v)), v))
    np.testing.assert_allclose(function(16.0), 16.0**-0.75 / 4, rtol=1e-14)


def test_derivatives_of_zeta_and_by_the_shape_of_an_incomplete_gamma_function():
    """SymPy knows neither; what it leaves standing is not 0."""
    v = tt.dscalar()
    values = (iop.Root(x - sp.zeta(p), x, [p], guess=1)(v), iop.Root(x - sp.lowergamma(p, 2), x, [p], guess=1)(v))
    function = theano.function([v], [theano.grad(value, v) for value in values])
    with mpmath.workdps(30):
        expected = [mpmath.zeta(2.5, 1, 1), mpmath.diff(lambda a: mpmath.gammainc(a, 0, 2), 2.5)]
    np.testing.assert_allclose(function(2.5), np.array(expected, float), rtol=1e-13)


def test_a_gradient_that_is_not_known_is_refused_and_the_value_is_not():
    v = tt.dscalar()
    value = iop.Root(x - zeta_derivative(3, p), x, [p], guess=1)(v)
    np.testing.assert_allclose(theano.function([v], value)(2.0), -6.00014580284304, rtol=1e-12)
    with pytest.raises(UnsupportedDerivativeError, match=r"zeta_derivative\(3, p\)"):
        theano.function([v], theano.grad(value, v))(2.0)


# -- test values, which PyMC3 switches on -------------------------------------------------------------------


def test_missing_test_values_do_not_stop_a_graph():
    with theano.config.change_flags(compute_test_value="raise"):
        v = tt.dvector()
        y = mu_of(v)
    gradient = theano.function([v], theano.grad(y.sum(), v))
    assert np.isfinite(gradient([0.4])).all()


def test_test_values_of_value_and_gradient_are_computed():
    with theano.config.change_flags(compute_test_value="raise"):
        v = tt.dvector()
        v.tag.test_value = np.array([0.2, 0.4])
        y = mu_of(v)
        gradient = theano.grad(y.sum(), v)
    np.testing.assert_array_equal(y.tag.test_value, mu_of([0.2, 0.4]))
    np.testing.assert_allclose(
        gradient.tag.test_value, mu_of.solve([0.2, 0.4], derivatives=1).jacobian[:, 0], rtol=1e-15
    )


def test_debug_mode_finds_nothing():
    m, v = tt.dmatrix(), tt.dvector()
    y = quadratic(m, v)
    function = theano.function([m, v], [y, *theano.grad(y.sum(), [m, v])], mode="DebugMode")
    value, *_ = function(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.5, 0.25]))
    np.testing.assert_array_equal(value, quadratic([[1.0, 2.0], [3.0, 4.0]], [0.5, 0.25]))


@pytest.mark.parametrize("linker", ["c", "c|py", "vm", "cvm", "py"])
def test_every_linker_gives_the_same(linker):
    v = tt.dvector()
    y = mu_of(v)
    function = theano.function([v], [y, theano.grad(y.sum(), v)], mode=theano.Mode(linker=linker))
    at = np.linspace(0, 5, 7)
    solution = mu_of.solve(at, derivatives=1)
    value, gradient = function(at)
    np.testing.assert_array_equal(value, solution.value)
    np.testing.assert_allclose(gradient, solution.jacobian[:, 0], rtol=1e-15)


def test_a_steep_logistic_function_has_finite_values_and_derivatives_in_a_graph():
    p, y, x, m, T = sp.symbols("p y x m T")
    softplus = iop.Root(y - sp.log(1 + sp.exp(p)), y, [p], guess=0.5)
    v = tt.dvector()
    value = softplus(v)
    slope = tt.grad(value.sum(), v)
    found = theano.function([v], [value, slope, tt.grad(slope.sum(), v)])(np.array([800.0, -800.0, 0.0]))
    np.testing.assert_allclose(found, [[800.0, 0.0, np.log(2)], [1.0, 0.0, 0.5], [0.0, 0.0, 0.25]], rtol=1e-15)
    occupied = iop.Integral(1 / (1 + sp.exp((x - m) / T)), (x, 0, 10), [m, T])
    mean, width = tt.dscalars("mean", "width")
    value = occupied(mean, width)
    found = theano.function([mean, width], [value, *tt.grad(value, [mean, width])])(1.0, 0.01)
    np.testing.assert_allclose(found, [1.0, 1.0, 0.0], atol=1e-9)
