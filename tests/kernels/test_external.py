"""Calls of existing code: values, derivatives from every source, and failures that stay with their element."""

from __future__ import annotations

import functools
import math
import time

import numpy as np
import pytest
import scipy.special

from implicitops import External, SolveError, Status
from implicitops.backends.numpy import evaluate
from implicitops.calculus import Solve
from implicitops.calculus.external import Contraction
from implicitops.errors import DerivativeError

ALL_INPUTS = {"a": (), "v": (2,)}
_A_V = np.random.default_rng(1).uniform(0.5, 2.0, 18)
A, V = _A_V[:6], _A_V[6:].reshape(6, 2)


def growth(a, v):
    """(exp(a v0), a v0 v1^2, v1) in closed form."""
    return np.array([math.exp(a * v[0]), a * v[0] * v[1] ** 2, v[1]])


def growth_jacobian(a, v):
    e = math.exp(a * v[0])
    return np.array([[v[0] * e, a * e, 0.0], [v[0] * v[1] ** 2, a * v[1] ** 2, 2 * a * v[0] * v[1]], [0.0, 0.0, 1.0]])


def growth_blocks(a, v):
    jacobian = growth_jacobian(a, v)
    return jacobian[:, 0], jacobian[:, 1:]


def growth_vjp(inputs, output, cotangent):
    np.testing.assert_array_equal(output, growth(*inputs))
    row = cotangent @ growth_jacobian(*inputs)
    return row[0], row[1:]


def growth_hessian(a, v):
    e = math.exp(a * v[0])
    first = e * np.array([[v[0] ** 2, 1 + a * v[0], 0.0], [1 + a * v[0], a**2, 0.0], [0.0, 0.0, 0.0]])
    second = np.array(
        [
            [0.0, v[1] ** 2, 2 * v[0] * v[1]],
            [v[1] ** 2, 0.0, 2 * a * v[1]],
            [2 * v[0] * v[1], 2 * a * v[1], 2 * a * v[0]],
        ]
    )
    return np.stack([first, second, np.zeros((3, 3))])


def loop(function):
    return np.array([function(a, v) for a, v in zip(A, V)])


def growing(**options):
    return External(growth, inputs=ALL_INPUTS, outputs=(3,), **options)


FIRST_ORDER = {
    "jacobian": ({"jacobian": growth_jacobian}, 1e-15),
    "blocks": ({"jacobian": growth_blocks}, 1e-15),
    "vjp": ({"vjp": growth_vjp}, 1e-15),
    "central": ({"differences": "central"}, 1e-8),
    "richardson": ({"differences": "richardson"}, 1e-10),
    "on threads": ({"jacobian": growth_jacobian, "timeout": 30.0}, 1e-15),
}
SECOND_ORDER = {
    "hessian": ({"jacobian": growth_jacobian, "hessian": growth_hessian}, 1e-15),
    "vjp and hessian": ({"vjp": growth_vjp, "hessian": growth_hessian}, 1e-15),
    "differences of the jacobian": ({"jacobian": growth_jacobian, "differences": "richardson"}, 1e-10),
    "differences of the vjp": ({"vjp": growth_vjp, "differences": "richardson"}, 1e-10),
}


class TestValue:
    def test_batch_equals_loop(self):
        np.testing.assert_array_equal(growing()(A, V), loop(growth))

    def test_vectorized_equals_loop(self):
        problem = External(
            lambda a, v: a[:, None] * v, inputs=ALL_INPUTS, outputs=(2,), jacobian=_vectorized_slope, vectorized=True
        )
        solution = problem.solve(A, V, derivatives=1)
        np.testing.assert_array_equal(solution.value, A[:, None] * V)
        np.testing.assert_array_equal(solution.jacobian[:, :, 0], V)
        np.testing.assert_array_equal(solution.jacobian[:, 0, 1], A)
        assert (solution.stats["calls"] == 2).all()

    def test_function_may_change_and_keep_its_arguments(self):
        kept = []

        def careless(v):
            v *= 2
            kept.append(v)
            return v

        vectors = V.copy()
        problem = External(careless, inputs={"v": (2,)}, outputs=(2,))
        np.testing.assert_array_equal(problem(vectors), 2 * V)
        np.testing.assert_array_equal(vectors, V)
        np.testing.assert_array_equal(np.array(kept), 2 * V)

    def test_whole_numbers_and_conditions_are_real_numbers(self):
        assert External(lambda x: x > 2, inputs={"x": ()}, outputs=())(3.0) == 1.0

    def test_infinity_is_a_value(self):
        assert External(lambda x: -math.inf, inputs={"x": ()}, outputs=())(3.0) == -math.inf

    def test_each_element_is_called_once(self):
        calls = []
        problem = External(lambda x: calls.append(x) or x, inputs={"x": ()}, outputs=())
        problem([1.0, 2.0, 3.0])
        problem(4.0)
        assert calls == [1.0, 2.0, 3.0, 4.0]

    def test_interrupt_reaches_the_caller(self):
        def interrupted(x):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            External(interrupted, inputs={"x": ()}, outputs=())(1.0)


def _vectorized_slope(a, v):
    return v, a[:, None, None] * np.eye(2)


class TestFirstOrder:
    @pytest.mark.parametrize(("options", "tolerance"), FIRST_ORDER.values(), ids=FIRST_ORDER)
    def test_jacobian_is_that_of_the_closed_form(self, options, tolerance):
        solution = growing(**options).solve(A, V, derivatives=1)
        np.testing.assert_allclose(solution.jacobian, loop(growth_jacobian), rtol=tolerance, atol=tolerance)

    @pytest.mark.parametrize(("options", "tolerance"), FIRST_ORDER.values(), ids=FIRST_ORDER)
    def test_vjp_and_jvp_are_products_with_it(self, options, tolerance, rng):
        problem, jacobian = growing(**options), loop(growth_jacobian)
        w, t = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
        point = (A, V, loop(growth))
        a, v = evaluate(Contraction(problem, "vjp"), [*point, w])
        expected = np.einsum("mij,mi->mj", jacobian, w)
        np.testing.assert_allclose(np.column_stack([a, v]), expected, rtol=tolerance, atol=10 * tolerance)
        (forward,) = evaluate(Contraction(problem, "jvp"), [*point, t[:, 0], t[:, 1:]])
        expected = np.einsum("mij,mj->mi", jacobian, t)
        np.testing.assert_allclose(forward, expected, rtol=tolerance, atol=10 * tolerance)

    def test_vjp_alone_is_called_once_for_a_cotangent(self):
        calls = []

        def counted(inputs, output, cotangent):
            calls.append(cotangent)
            return growth_vjp(inputs, output, cotangent)

        evaluate(Contraction(growing(vjp=counted), "vjp"), [A[0], V[0], growth(A[0], V[0]), np.ones(3)])
        assert len(calls) == 1

    def test_scalar_input_and_output(self):
        problem = External(math.sin, inputs={"x": ()}, outputs=(), jacobian=lambda x: [math.cos(x)])
        assert problem.solve(0.5, derivatives=1).jacobian == [math.cos(0.5)]
        bare = External(math.sin, inputs={"x": ()}, outputs=(), vjp=lambda x, y, w: w * math.cos(*x))
        assert bare.solve(0.5, derivatives=1).jacobian == [math.cos(0.5)]

    def test_without_a_derivative_the_error_names_what_to_pass(self):
        for ask in (
            lambda: growing().solve(A, V, derivatives=1),
            lambda: Solve(growing()).vjp(),
            lambda: Solve(growing()).jvp(),
        ):
            with pytest.raises(DerivativeError, match=r"Pass jacobian= or vjp=, or ask for finite differences"):
                ask()


class TestSecondOrder:
    @pytest.mark.parametrize(("options", "tolerance"), SECOND_ORDER.values(), ids=SECOND_ORDER)
    def test_hessian_is_that_of_the_closed_form(self, options, tolerance):
        solution = growing(**options).solve(A, V, derivatives=2)
        np.testing.assert_allclose(solution.hessian, loop(growth_hessian), rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(solution.jacobian, loop(growth_jacobian), rtol=1e-15)

    @pytest.mark.parametrize(("options", "tolerance"), SECOND_ORDER.values(), ids=SECOND_ORDER)
    def test_derivatives_of_vjp_and_jvp(self, options, tolerance, rng):
        problem, jacobian, hessian = growing(**options), loop(growth_jacobian), loop(growth_hessian)
        w, t, u, s, v = (rng.normal(size=(6, 3)) for _ in range(5))
        point = (A, V, loop(growth))
        same = functools.partial(np.testing.assert_allclose, rtol=100 * tolerance, atol=100 * tolerance)

        def contracted(kind, *directions):
            parts = []
            for letter, d in zip(("YP", "YPY", "PPP")[("vjp_vjp", "vjp_jvp", "jvp_jvp").index(kind)], directions):
                parts += [d] if letter == "Y" else [d[:, 0], d[:, 1:]]
            return np.column_stack(evaluate(Contraction(problem, kind), [*point, *parts]))

        curved = np.einsum("mijk,mi,mk->mj", hessian, w, u)
        same(contracted("vjp_vjp", w, u), curved)
        same(contracted("vjp_jvp", w, u, v), curved + np.einsum("mij,mi->mj", jacobian, v))
        expected = np.einsum("mijk,mj,mk->mi", hessian, t, s) + np.einsum("mij,mj->mi", jacobian, u)
        same(contracted("jvp_jvp", t, s, u), expected)

    @pytest.mark.parametrize(
        "options", [{"jacobian": growth_jacobian}, {"vjp": growth_vjp}, {"differences": "central"}]
    )
    def test_without_a_second_derivative_the_error_names_what_to_pass(self, options):
        with pytest.raises(DerivativeError, match=r"no hessian. Pass hessian=, or jacobian="):
            growing(**options).solve(A, V, derivatives=2)

    def test_there_is_no_third(self):
        problem = growing(jacobian=growth_jacobian, hessian=growth_hessian)
        with pytest.raises(DerivativeError, match="has no third derivative"):
            Contraction(problem, "vjp_vjp").vjp()


class TestDifferences:
    FUNCTIONS = (
        (math.exp, math.exp),
        (math.log, lambda x: 1 / x),
        (math.sin, math.cos),
        (math.sqrt, lambda x: 0.5 / math.sqrt(x)),
        (scipy.special.gamma, lambda x: scipy.special.gamma(x) * scipy.special.digamma(x)),
    )

    @pytest.mark.parametrize("method", ["central", "richardson"])
    @pytest.mark.parametrize(("function", "derivative"), FUNCTIONS)
    def test_error_estimate_is_honest(self, function, derivative, method):
        x = np.array([1e-3, 0.1, 1.0, 3.0, 20.0])
        solution = External(function, inputs={"x": ()}, outputs=(), differences=method).solve(x, derivatives=1)
        exact = np.array([derivative(v) for v in x])
        error = np.abs(solution.jacobian[:, 0] - exact)
        assert solution.error_estimate.shape == solution.jacobian.shape
        assert (error <= 3 * solution.error_estimate[:, 0] + 1e-15 * np.abs(exact)).all()
        assert (solution.error_estimate[:, 0] < 1e-4 * np.abs(exact) + 1e-13).all()

    def test_estimate_sees_the_noise_of_the_function(self):
        problem = External(
            lambda x: float(np.float32(math.sin(x))), inputs={"x": ()}, outputs=(), differences="richardson"
        )
        solution = problem.solve(1.0, derivatives=1)
        error = abs(solution.jacobian[0] - math.cos(1.0))
        assert error <= 3 * solution.error_estimate[0]
        assert solution.error_estimate[0] < 1e-4

    def test_steps_that_leave_the_domain_are_made_smaller(self):
        problem = External(lambda x: math.sqrt(x - 0.99), inputs={"x": ()}, outputs=(), differences="richardson")
        solution = problem.solve(1.0, derivatives=1)
        np.testing.assert_allclose(solution.jacobian, [0.5 / math.sqrt(0.01)], rtol=1e-6)

    def test_point_without_neighbours_is_a_failure_and_says_why(self):
        def only_at_one(x):
            if x != 1.0:
                raise ValueError("only 1 is known")
            return x

        problem = External(only_at_one, inputs={"x": ()}, outputs=(), differences="richardson")
        assert problem(1.0) == 1.0
        with pytest.raises(SolveError, match="only 1 is known"):
            problem.solve(1.0, derivatives=1)

    def test_they_are_never_used_unless_asked_for(self):
        assert growing(jacobian=growth_jacobian).solve(A, V, derivatives=1).error_estimate is None


class TestFailures:
    EXPECTED = (
        Status.CONVERGED,
        Status.EXTERNAL_ERROR,
        Status.EXTERNAL_SHAPE,
        Status.EXTERNAL_SHAPE,
        Status.EXTERNAL_NAN,
        Status.EXTERNAL_TIMEOUT,
        Status.EXTERNAL_ERROR,
        Status.CONVERGED,
    )

    @staticmethod
    def unreliable(x):
        if x == 1:
            raise ZeroDivisionError("oops")
        if x == 2:
            return [1.0, 2.0]
        if x == 3:
            return "three"
        if x == 4:
            return math.nan
        if x == 5:
            time.sleep(30)
        if x == 6:
            raise SystemExit(3)
        return x

    def problem(self, **options):
        return External(self.unreliable, inputs={"x": ()}, outputs=(), **{"timeout": 0.3, **options})

    def test_all_statuses_in_one_batch(self):
        solution = self.problem().solve(np.arange(8.0), throw=False)
        assert tuple(solution.status) == self.EXPECTED
        np.testing.assert_array_equal(np.isnan(solution.value), ~solution.converged)
        assert solution.value[[0, 7]].tolist() == [0.0, 7.0]

    def test_nan_and_infinite_inputs_are_not_handed_on(self):
        calls = []
        problem = External(lambda x: calls.append(x) or x, inputs={"x": ()}, outputs=(), on_failure="nan")
        np.testing.assert_array_equal(problem([1.0, np.nan, np.inf]), [1.0, np.nan, np.nan])
        assert calls == [1.0]
        assert problem.solve(np.nan, throw=False).status is Status.INVALID_INPUT

    @pytest.mark.parametrize(
        ("x", "text"),
        [
            (1.0, r"x=1: the external function raised .* ZeroDivisionError: oops"),
            (2.0, r"must return real numbers of shape \(\); got dtype float64, shape \(2,\)"),
            (3.0, r"must return real numbers of shape \(\); got text, shape \(\): 'three'"),
            (4.0, r"returned NaN"),
            (5.0, r"no result within 0.3 s"),
            (6.0, r"SystemExit: 3"),
        ],
    )
    def test_error_quotes_the_cause(self, x, text):
        with pytest.raises(SolveError, match=text) as caught:
            self.problem()(x)
        assert caught.value.__cause__ is not None

    def test_error_of_a_batch_quotes_the_first(self):
        with pytest.raises(SolveError, match=r"failed for 2 of 3 batch elements, first at index \(1,\).*oops"):
            self.problem()([0.0, 1.0, 2.0])

    def test_failed_call_is_made_once(self):
        calls = []

        def refusing(x):
            calls.append(x)
            raise ValueError

        with pytest.raises(SolveError):
            External(refusing, inputs={"x": ()}, outputs=())(1.0)
        assert len(calls) == 1

    def test_retries_call_again_what_raised(self):
        calls = []

        def second_time_lucky(x):
            calls.append(x)
            if len(calls) < 3:
                raise OSError("no licence")
            return x

        problem = External(second_time_lucky, inputs={"x": ()}, outputs=(), retries=2)
        solution = problem.solve(5.0)
        assert solution.value == 5.0
        assert solution.stats["calls"] == 3

    def test_exception_in_a_vectorized_function_fails_its_element_only(self):
        def refusing(x):
            if (x == 2).any():
                raise ValueError("no 2")
            return x**2

        problem = External(refusing, inputs={"x": ()}, outputs=(), vectorized=True)
        solution = problem.solve([1.0, 2.0, 3.0], throw=False)
        np.testing.assert_array_equal(solution.value, [1.0, np.nan, 9.0])
        assert solution.status[1] is Status.EXTERNAL_ERROR

    @pytest.mark.parametrize("role", ["jacobian", "vjp", "hessian"])
    @pytest.mark.parametrize(
        ("answer", "status"),
        [
            (lambda *_: np.ones(7), Status.EXTERNAL_SHAPE),
            (lambda *_: (np.ones(7),), Status.EXTERNAL_SHAPE),
            (lambda *_: (1.0, np.ones(5)), Status.EXTERNAL_SHAPE),
            (lambda *_: 1 / 0, Status.EXTERNAL_ERROR),
            (lambda *_: time.sleep(30), Status.EXTERNAL_TIMEOUT),
        ],
    )
    def test_failed_derivative_fails_the_element(self, role, answer, status):
        options = {"vjp" if role == "vjp" else "jacobian": growth_jacobian, role: answer, "timeout": 0.3}
        order = 2 if role == "hessian" else 1
        solution = growing(**options).solve(A[0], V[0], derivatives=order, throw=False)
        assert solution.status is status
        assert np.isnan(solution.value).all()
        assert np.isnan(solution.jacobian).all()

    def test_jacobian_with_a_nan_is_a_failure(self):
        solution = growing(jacobian=lambda a, v: np.full((3, 3), np.nan)).solve(A, V, derivatives=1, throw=False)
        assert set(solution.status) == {Status.EXTERNAL_NAN}
