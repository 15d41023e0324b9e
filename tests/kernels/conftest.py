"""What tests of several kernels share: closed forms with their derivatives."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest
import sympy as sp


@dataclass(frozen=True)
class ClosedForm:
    """A solution at several times, as in :class:`implicitops.Solution`."""

    value: np.ndarray
    jacobian: np.ndarray
    hessian: np.ndarray
    time_derivative: np.ndarray

    def check(self, solution, rtol):
        """Value and whatever derivatives there are agree to ``rtol`` of the largest number in a row's place."""
        for name in ("value", "jacobian", "hessian", "time_derivative"):
            found, right = getattr(solution, name), getattr(self, name)
            if found is not None:
                assert found.shape == right.shape
                scale = np.abs(right).max(axis=0) + 1e-3
                np.testing.assert_array_less(np.abs(found - right) / scale, rtol, err_msg=name)


@lru_cache(maxsize=64)
def _functions(expressions, params, t):
    """Functions of (*params, t): the expressions, their derivatives by each pair a <= b, by each param, and by t."""
    first = [e.diff(a) for e in expressions for a in params]
    pairs = list(itertools.combinations_with_replacement(params, 2))
    second = [e.diff(a).diff(b) for e in expressions for a, b in pairs]
    parts = (expressions, first, second, [e.diff(t) for e in expressions])
    return [sp.lambdify((*params, t), list(part), "mpmath") for part in parts]


@pytest.fixture
def closed_form():
    """``closed_form(expressions, params, t, point, times)``: the :class:`ClosedForm` of expressions of params and t."""

    def of(expressions, params, t, point, times):
        n, p = len(expressions), len(params)
        functions = _functions(tuple(expressions), tuple(params), t)
        found = [np.array([[float(v) for v in f(*point, time)] for time in times]) for f in functions]
        hessian, (a, b) = np.empty((len(times), n, p, p)), np.triu_indices(p)
        hessian[..., a, b] = hessian[..., b, a] = found[2].reshape(len(times), n, -1)
        return ClosedForm(found[0], found[1].reshape(len(times), n, p), hessian, found[3])

    return of
