"""Functions of many digits from SymPy's expressions, in Python's own decimal numbers.

Those are written in C: they add and multiply ten to a hundred times as fast as mpmath's. What they lack, such as sine,
goes through mpmath.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow, getcontext, localcontext
from functools import lru_cache
from typing import Any

import mpmath
import numpy as np
import sympy as sp

#: These powers print as square roots.
_HALVES = (sp.Rational(1, 2), sp.Rational(-1, 2))


@contextmanager
def digits(n: int) -> Iterator[None]:
    """Compute with n digits, in decimal numbers and in mpmath's."""
    context = Context(prec=n, Emin=-(10**9), Emax=10**9, traps=[DivisionByZero, InvalidOperation, Overflow])
    with localcontext(context), mpmath.workdps(n):
        yield


def as_decimal(value: Any) -> Decimal:
    """A number of mpmath or Python as a decimal one, to the digits of the context."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, mpmath.mpf):
        if not mpmath.isfinite(value):
            raise InvalidOperation(f"{value}")
        sign, mantissa, exponent, _ = value._mpf_
        size = Decimal(int(mantissa)) * Decimal(2) ** int(exponent)
        return -size if sign else +size
    if isinstance(value, mpmath.mpc):
        raise InvalidOperation("a complex number")
    return Decimal(value)


def as_mpf(value: Any) -> Any:
    """A decimal number as one of mpmath, to the digits of its context."""
    return mpmath.mpf(str(value)) if isinstance(value, Decimal) else value


def compiled(arguments: Sequence[sp.Symbol], expressions: Sequence[sp.Expr]) -> Callable[..., np.ndarray]:
    """Expressions as a function of decimal numbers that returns an array of them.

    Examples
    --------
    >>> import sympy as sp
    >>> from implicitops.testing.decimals import as_decimal, compiled, digits
    >>> x = sp.Symbol("x")
    >>> with digits(30):
    ...     print(compiled([x], [sp.sqrt(x) / 3 + sp.sin(0)])(as_decimal(2))[0])
    0.471404520791031682933896241403
    """
    # As literals a fraction would be a double, or an mpf.
    atoms = set().union(*(e.atoms(sp.Number, sp.NumberSymbol) for e in expressions)) if expressions else set()
    constants = sorted((a for a in atoms if not a.is_Integer and a not in _HALVES), key=sp.default_sort_key)
    names = {c: sp.Dummy(f"constant_{k}") for k, c in enumerate(constants)}
    replaced = [e.xreplace(names) for e in expressions]
    function = sp.lambdify([*arguments, *names.values()], replaced, [_functions(), "mpmath"], cse=True)
    values = [_constant(c) for c in constants]
    return lambda *given: np.array([as_decimal(v) for v in function(*given, *values)], dtype=object)


def _constant(value: sp.Expr) -> Decimal:
    return Decimal(float(value)) if value.is_Float else Decimal(str(sp.N(value, 200)))


@lru_cache(maxsize=1)
def _functions() -> dict[str, Any]:
    wrapped = {
        name: _through_mpmath(getattr(mpmath, name))
        for name in dir(mpmath)
        if not name.startswith("_") and callable(getattr(mpmath, name)) and not isinstance(getattr(mpmath, name), type)
    }
    return {**wrapped, "mpf": Decimal, "exp": _exponential, "sqrt": _square_root, "log": _logarithm}


def _exponential(value: Any) -> Decimal:
    return as_decimal(value).exp()


def _square_root(value: Any) -> Decimal:
    return as_decimal(value).sqrt()


def _logarithm(value: Any, base: Any = None) -> Decimal:
    return as_decimal(value).ln() if base is None else as_decimal(value).ln() / as_decimal(base).ln()


def _through_mpmath(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*arguments: Any) -> Decimal:
        with mpmath.workdps(getcontext().prec):
            return as_decimal(function(*map(as_mpf, arguments)))

    return wrapped
