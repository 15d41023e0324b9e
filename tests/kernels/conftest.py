"""What tests of several kernels share: closed forms with their derivatives."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import sympy as sp


def _numbers(expressions, symbols, rows):
    function = sp.lambdify(symbols, list(expressions), "numpy")
    return np.array([[float(value) for value in function(*row)] for row in rows])


@pytest.fixture
def closed_form():
    """``closed_form(expressions, params, t, point, times)``: value, jacobian, hessian and time_derivative of a solution."""

    def of(expressions, params, t, point, times):
        symbols, rows = (*params, t), [(*point, time) for time in times]
        shape, p = (len(rows), len(expressions)), len(params)
        first = [e.diff(a) for e in expressions for a in params]
        second = [d.diff(b) for d in first for b in params]
        return SimpleNamespace(
            value=_numbers(expressions, symbols, rows),
            jacobian=_numbers(first, symbols, rows).reshape(*shape, p),
            hessian=_numbers(second, symbols, rows).reshape(*shape, p, p),
            time_derivative=_numbers([e.diff(t) for e in expressions], symbols, rows),
        )

    return of
