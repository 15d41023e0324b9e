"""External as a statement: what it accepts, what it refuses and how it says so, identity and pickling."""

from __future__ import annotations

import ctypes
import functools
import math
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import LowLevelCallable

import implicitops as iop
from implicitops import External, ProblemError
from implicitops.problems.callables import BLOCK

LIBM = ctypes.CDLL("libm.so.6") if sys.platform.startswith("linux") else None
needs_libm = pytest.mark.skipif(LIBM is None, reason="needs libm.so.6")


def product(a, v):
    return a * v


def slope(a, v):
    return v, a * np.eye(2)


def other(a, v):
    return a + v


def stated(function=product, **options):
    return External(function, **{"inputs": {"a": (), "v": (2,)}, "outputs": (2,), **options})


def refused(*args, **options):
    with pytest.raises(ProblemError) as caught:
        stated(*args, **options)
    return str(caught.value)


def c_function(name, n=1):
    function = getattr(ctypes.CDLL("libm.so.6"), name)
    function.argtypes, function.restype = [ctypes.c_double] * n, ctypes.c_double
    return function


class TestAccepts:
    def test_names_and_shapes(self):
        problem = stated()
        assert problem.parameter_names == ("a", "v")
        assert problem.parameter_shapes == ((), (2,))
        assert problem.output_shape == (2,)
        assert repr(problem) == "External(product, inputs=(a, v (2,)), outputs=(2,))"

    def test_length_as_shape(self):
        assert stated(inputs={"a": (), "v": 2}, outputs=2) == stated()

    def test_call_by_name_and_broadcasting(self):
        problem = stated()
        np.testing.assert_array_equal(problem(v=[3.0, 4.0], a=[1.0, 2.0]), [[3.0, 4.0], [6.0, 8.0]])
        assert problem(np.ones((4, 1)), np.ones((5, 2))).shape == (4, 5, 2)

    def test_builtin_function_without_a_signature(self):
        assert External(math.hypot, inputs={"x": (), "y": ()}, outputs=())(3.0, 4.0) == 5.0

    @needs_libm
    def test_c_functions_in_all_their_wrappings(self):
        for function in (c_function("cos"), LowLevelCallable(c_function("cos"))):
            assert External(function, inputs={"x": ()}, outputs=())(0.5) == math.cos(0.5)


class TestRefuses:
    def test_inputs_that_are_no_mapping(self):
        assert "inputs must be a mapping of each input's name to its shape" in refused(inputs=["a"])
        assert "got {}" in refused(inputs={})

    def test_name_that_is_no_identifier(self):
        assert "must be a Python identifier; got 'a b'" in refused(inputs={"a b": ()})

    @pytest.mark.parametrize("shape", [(2, 3), -1, 0, 1.5, "x", True])
    def test_shape_that_is_no_vector(self, shape):
        assert "must be () for a number or (n,) for a vector" in refused(inputs={"a": (), "v": shape})
        assert "outputs must be ()" in refused(outputs=shape)

    def test_function_that_is_none(self):
        text = refused(3.5)
        assert "function must be a Python callable, the address of a C function" in text
        assert "got 3.5 of type float" in text

    def test_function_with_other_arguments(self):
        text = refused(lambda a: a)
        assert "function must take the 2 input(s) a, v by position" in text
        assert "too many positional arguments" in text
        assert "jacobian must take" in refused(jacobian=lambda: 0)

    def test_differences_that_nobody_knows(self):
        assert "differences must be 'central', 'richardson' or None; got 'forward'" in refused(differences="forward")

    @pytest.mark.parametrize("timeout", [0, -1, math.inf, math.nan, "1", True])
    def test_timeout_that_is_no_time(self, timeout):
        assert "timeout must be a positive number of seconds" in refused(timeout=timeout)

    @pytest.mark.parametrize("value", [-1, 1.5, True, "1"])
    def test_counts_that_are_none(self, value):
        assert "retries must be an integer of at least 0" in refused(retries=value)
        assert "chunk_size must be an integer of at least 1" in refused(chunk_size=value)

    def test_executor_that_is_none(self):
        text = refused(executor=4)
        assert "executor must be a concurrent.futures.Executor" in text
        assert "Client.get_executor()" in text

    def test_on_failure_and_unknown_keywords(self):
        assert "on_failure must be" in refused(on_failure="ignore")
        with pytest.raises(TypeError, match="unexpected keyword argument 'jacobain'"):
            stated(jacobain=slope)

    def test_vjp_and_hessian_that_are_not_callable(self):
        assert "vjp must be a Python callable; got 3" in refused(vjp=3)
        assert "hessian must be a Python callable; got 3" in refused(hessian=3)

    def test_small_integer_as_address(self):
        assert "must be the address of a C function; got 7" in refused(7)

    @needs_libm
    def test_c_function_without_argtypes(self):
        assert "without argtypes" in refused(ctypes.CDLL("libm.so.6").cos)

    @needs_libm
    def test_c_function_that_does_not_fit(self):
        scalar = {"inputs": {"x": ()}, "outputs": ()}
        assert "returns one. Use void f(" in refused(c_function("cos"))
        assert "for 2 scalar input(s)" in refused(c_function("pow", 2), **scalar)
        assert "is a C function" in refused(c_function("cos"), **scalar, vectorized=True)
        strange = c_function("cos")
        strange.restype = ctypes.c_float
        text = refused(strange, **scalar)
        assert "is not understood. Known are 'double (double)'" in text
        assert BLOCK in text


class TestIdentity:
    def test_equal_statements_are_equal(self):
        assert stated(jacobian=slope) == stated(jacobian=slope)
        assert hash(stated()) == hash(stated())

    def test_whatever_differs_makes_another_problem(self):
        problems = [
            stated(),
            stated(other),
            stated(jacobian=slope),
            stated(differences="central"),
            stated(differences="richardson"),
            stated(timeout=1.0),
            stated(retries=1),
            stated(vectorized=True),
            stated(on_failure="nan"),
            stated(executor=ThreadPoolExecutor),
            stated(inputs={"b": (), "v": (2,)}),
        ]
        assert len({problem.key for problem in problems}) == len(problems)

    def test_functions_with_other_closures_or_state_are_never_taken_for_each_other(self):
        first, second = ((lambda a, v, k=k: k * a * v) for k in (1.0, 2.0))
        closures = [_scaled(1.0), _scaled(2.0), _scaled(1.0)]
        keys = {stated(function).key for function in [first, second, *closures]}
        assert len(keys) == 5
        np.testing.assert_array_equal(stated(closures[1])(1.0, [1.0, 1.0]), [2.0, 2.0])

    def test_same_lambda_is_the_same_problem(self):
        function = _scaled(1.0)
        assert stated(function) == stated(function)

    def test_name_that_leads_to_other_code_is_another_problem(self):
        before = stated().key
        code = product.__code__
        try:
            product.__code__ = other.__code__
            assert stated().key != before
        finally:
            product.__code__ = code

    def test_key_is_the_same_in_every_process(self):
        text = (
            "import math, functools, implicitops as iop, numpy as np;"
            "from concurrent.futures import ThreadPoolExecutor as T;"
            "e = iop.External(math.hypot, inputs={'x': (), 'y': ()}, outputs=(), executor=functools.partial(T, 2));"
            "print(e.key, iop.External(np.linalg.norm, inputs={'x': (3,)}, outputs=()).key)"
        )
        keys = {
            subprocess.run(
                [sys.executable, "-c", text], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
            ).stdout
            for seed in ("1", "2")
        }
        assert len(keys) == 1


def _scaled(factor):
    return lambda a, v: factor * a * v


class TestPickling:
    def test_round_trip(self):
        problem = stated(jacobian=slope)
        copy = pickle.loads(pickle.dumps(problem))
        assert copy == problem
        np.testing.assert_array_equal(copy(2.0, [1.0, 2.0]), [2.0, 4.0])

    def test_object_with_state_keeps_its_identity(self):
        problem = External(functools.partial(math.pow, 2.0), inputs={"x": ()}, outputs=())
        copy = pickle.loads(pickle.dumps(problem))
        assert copy == problem
        assert copy(3.0) == 8.0

    def test_lambda_cannot_be_pickled(self):
        with pytest.raises((pickle.PicklingError, AttributeError), match=r"<lambda>|local object"):
            pickle.dumps(stated(_scaled(1.0)))

    @needs_libm
    @pytest.mark.parametrize("name", ["cos", "erf"])  # libm chooses its cos when it is loaded
    def test_c_function_is_found_by_library_and_symbol(self, name):
        problem = External(c_function(name), inputs={"x": ()}, outputs=())
        copy = pickle.loads(pickle.dumps(problem))
        assert copy == problem == External(c_function(name), inputs={"x": ()}, outputs=())
        assert copy(0.5) == getattr(math, name)(0.5)

    def test_c_function_without_a_symbol_cannot(self):
        function = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(math.cos)
        problem = External(function, inputs={"x": ()}, outputs=())
        assert problem(0.5) == math.cos(0.5)
        with pytest.raises(pickle.PicklingError, match="is no exported symbol of a shared library"):
            pickle.dumps(problem)

    def test_executor_stays_behind(self):
        with ThreadPoolExecutor(1) as executor:
            copy = pickle.loads(pickle.dumps(stated(other, executor=executor)))
        with pytest.warns(RuntimeWarning, match="Pass a callable that returns one"):
            np.testing.assert_array_equal(copy(2.0, [1.0, 2.0]), [3.0, 4.0])

    def test_callable_that_makes_an_executor_comes_along(self):
        problem = stated(executor=functools.partial(ThreadPoolExecutor, 1))
        copy = pickle.loads(pickle.dumps(problem))
        assert copy.key == problem.key
        np.testing.assert_array_equal(copy(2.0, [1.0, 2.0]), [2.0, 4.0])


def test_it_is_a_problem_like_others():
    assert isinstance(stated(), iop.problems.Problem)
    with pytest.raises(iop.ArgumentError, match="missing v"):
        stated()(1.0)
