"""verify_grad on Theano: problems as ops, and ops that users wrote, right and wrong."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp
from catalogue.problems import catalogue

import implicitops as iop
from implicitops.backends import failures
from implicitops.legacy_stack import prepare
from implicitops.verify import GradientMismatchError, verify_grad

prepare()
theano = pytest.importorskip("theano")
tt = pytest.importorskip("theano.tensor")

mu, theta = sp.symbols("mu theta")
x, p, q = sp.symbols("x p q")


@pytest.fixture(autouse=True)
def _python_mode(monkeypatch):
    """Compiling C code for these small functions takes longer than running them."""
    mode = pytest.importorskip("theano.compile.mode")
    monkeypatch.setattr(mode, "instantiated_default_mode", mode.Mode(linker="py", optimizer="fast_compile"))


class TestProblems:
    def test_documentation_example_in_both_backends(self):
        problem = iop.Root(mu + mu * sp.exp(theta * mu) - 1, mu, [theta], bracket=(0, 1))
        report = verify_grad(problem, {"theta": [0.2, 1e-5, 1e5]}, order=2, backends=("numpy", "theano"))
        names = {check.name for check in report}
        for product in (
            "value",
            "vjp",
            "jvp",
            "dot product",
            "order 2, ff",
            "order 2, fr",
            "order 2, rf",
            "order 2, rr",
        ):
            assert {f"numpy: {product}", f"theano: {product}"} <= names
        assert not [check.name for check in report if check.passed is None]

    def test_deliberate_failures_are_neither_counted_nor_warned_about(self):
        problem = iop.Root(x**3 - p, x, [p], bracket=(0, 2 + p))
        verify_grad(problem, [2.0], backends=("theano",))
        assert problem not in failures.failures()

    @pytest.mark.parametrize("known", catalogue(), ids=repr)
    def test_every_problem_of_the_catalogue(self, known):
        assert verify_grad(known.problem, list(known.points), order=2, backends=("theano",)).passed

    def test_vector_parameters(self):
        c = sp.symbols("c0:2")
        problem = iop.Root(c[0] * x + c[1] * x**3 - p, x, [c, p], bracket=(-9, 9))
        at = {"c": [[1.0, 0.5], [2.0, 0.1]], "p": [1.0, -2.0]}
        assert verify_grad(problem, at, order=2, backends=("theano",)).passed


def newton(theta):
    m = np.full_like(theta, 0.3)
    for _ in range(60):
        e = np.exp(theta * m)
        m = m - (m + m * e - 1) / (1 + e + theta * m * e)
    return m


class MuOp(theano.graph.op.Op):
    """What a user writes by hand: the documentation's example, its derivative by the implicit function theorem."""

    __props__ = ()

    def make_node(self, theta):
        theta = tt.as_tensor_variable(theta)
        return theano.graph.basic.Apply(self, [theta], [theta.type()])

    def perform(self, node, inputs, output_storage):
        output_storage[0][0] = newton(np.asarray(inputs[0]))

    def L_op(self, inputs, outputs, cotangents):
        return [cotangents[0] * self.slope(inputs[0], outputs[0])]

    def slope(self, theta, m):
        e = tt.exp(theta * m)
        return -(m**2) * e / (1 + e + theta * m * e)


class WrongSign(MuOp):
    def slope(self, theta, m):
        return -super().slope(theta, m)


class DroppedTerm(MuOp):
    def slope(self, theta, m):
        e = tt.exp(theta * m)
        return -(m**2) * e / (1 + e)


class OneInAMillion(MuOp):
    def slope(self, theta, m):
        return super().slope(theta, m) * (1 + 1e-6)


class WithForwardMode(MuOp):
    def R_op(self, inputs, tangents):
        return [tangents[0] * self.slope(inputs[0], self(inputs[0]))]


class WrongForwardMode(MuOp):
    def R_op(self, inputs, tangents):
        return [2 * tangents[0] * self.slope(inputs[0], self(inputs[0]))]


def true_mu(theta):
    return mpmath.findroot(lambda m: m + m * mpmath.exp(theta * m) - 1, 0.4)


class TestUsersOps:
    def test_right_op_passes_against_its_reference(self):
        report = verify_grad(MuOp(), [0.2, 1.5], order=2, reference=true_mu)
        assert report["theano: vjp"].passed
        assert report["theano: order 2, rr"].passed

    def test_missing_forward_mode_is_skipped_and_not_failed(self):
        report = verify_grad(MuOp(), [0.2], reference=true_mu)
        assert report["theano: jvp"].passed is None
        assert "R_op" in report["theano: jvp"].reason

    def test_forward_mode_is_checked_where_it_exists(self):
        report = verify_grad(WithForwardMode(), [0.2], order=2, reference=true_mu)
        assert not [check.name for check in report if check.passed is None and "batch" not in check.name]

    @pytest.mark.parametrize("op", [WrongSign, DroppedTerm, OneInAMillion])
    @pytest.mark.parametrize("reference", [true_mu, None])
    def test_wrong_op_is_caught_with_and_without_a_reference(self, op, reference):
        with pytest.raises(GradientMismatchError, match="theano: vjp"):
            verify_grad(op(), [0.2], reference=reference)

    def test_wrong_forward_mode_is_caught(self):
        with pytest.raises(GradientMismatchError) as caught:
            verify_grad(WrongForwardMode(), [0.2], reference=true_mu)
        assert {check.name for check in caught.value.report.failures} == {"theano: jvp", "theano: dot product"}

    def test_wrong_value_is_caught(self):
        with pytest.raises(GradientMismatchError, match="theano: value"):
            verify_grad(MuOp(), [0.2], reference=lambda theta: true_mu(theta) + mpmath.mpf(10) ** -12)

    def test_function_that_builds_a_graph_with_array_arguments(self):
        def energy(position, mass):
            return (mass * tt.sqr(position)).sum()

        at = {"position": np.array([1.0, 2.0, -0.5]), "mass": 3.0}
        report = verify_grad(energy, at, order=2, reference=lambda position, mass: mass * (position**2).sum())
        assert report.passed
        assert verify_grad(energy, at, order=2).passed

    def test_op_with_a_vector_output(self):
        report = verify_grad(lambda v: tt.stack([v[0] * v[1], tt.exp(v[0])]), [np.array([0.5, 2.0])])
        assert report.passed

    def test_argument_names_are_checked(self):
        with pytest.raises(iop.ArgumentError, match="must name the arguments a, b"):
            verify_grad(lambda a, b: a * b, {"a": 1.0, "c": 2.0})

    def test_single_precision_argument_keeps_its_dtype(self):
        report = verify_grad(lambda v: v**2, [np.float32(1.5)], reference=lambda v: v**2, rtol=1e-6)
        assert report["theano: dtype and shape"].passed
