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

from implicitops.codegen.functions import MPMATH
from implicitops.codegen.python_functions import in_numbers

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
    """Expressions as a function of decimal numbers, or arrays of them that broadcast, that returns one row for each.

    Examples
    --------
    >>> import sympy as sp
    >>> from implicitops.verify.decimals import as_decimal, compiled, digits
    >>> x = sp.Symbol("x")
    >>> with digits(30):
    ...     print(compiled([x], [sp.sqrt(x) / 3 + sp.sin(0)])(as_decimal(2))[0])
    0.471404520791031682933896241403
    """
    # As literals a fraction would be a double, or an mpf.
    atoms: set[sp.Expr] = set().union(*(e.atoms(sp.Number, sp.NumberSymbol) for e in expressions))
    constants = sorted((a for a in atoms if not a.is_Integer and a not in _HALVES), key=sp.default_sort_key)
    names = {c: sp.Dummy(f"constant_{k}") for k, c in enumerate(constants)}
    replaced = [e.replace(_is_half_power, _as_half_power).xreplace(names) for e in expressions]
    function = in_numbers([*arguments, *names.values()], replaced, _functions())
    values = [_constant(c) for c in constants]
    if any(e.has(sp.Piecewise, sp.Max, sp.Min) for e in expressions):
        function = _one_by_one(function)

    def evaluated(*given: Any) -> np.ndarray:
        shape = np.broadcast_shapes(*(np.shape(g) for g in given))
        rows = np.empty((len(expressions), *shape), dtype=object)
        for k, row in enumerate(function(*given, *values)):
            rows[k] = row if isinstance(row, (Decimal, np.ndarray)) else as_decimal(row)
        return rows

    return evaluated


def _is_half_power(node: sp.Basic) -> bool:
    return isinstance(node, sp.Pow) and node.exp.is_Rational and node.exp.q == 2 and node.exp not in _HALVES


def _as_half_power(node: sp.Pow) -> sp.Expr:
    # A decimal power goes through a logarithm, which takes long.
    return sp.Function("half_power")(node.base, node.exp.p)


def _one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """Function of arrays that chooses between cases for each element."""

    def choose(*given: Any) -> Any:
        arrays = np.broadcast_arrays(*(np.asarray(g, dtype=object) for g in given))
        if arrays[0].ndim == 0:
            return function(*given)
        rows = [list(map(as_decimal, function(*column))) for column in zip(*(a.ravel() for a in arrays))]
        return np.array(rows, dtype=object).T.reshape(-1, *arrays[0].shape)

    return choose


def _constant(value: sp.Expr) -> Decimal:
    return Decimal(float(value)) if value.is_Float else Decimal(str(sp.N(value, 200)))


@lru_cache(maxsize=1)
def _functions() -> dict[str, Any]:
    wrapped = {
        name: _through_mpmath(getattr(mpmath, name))
        for name in dir(mpmath)
        if not name.startswith("_") and callable(getattr(mpmath, name)) and not isinstance(getattr(mpmath, name), type)
    }
    own: dict[str, Callable[..., Decimal]] = {
        "exp": Decimal.exp,
        "sqrt": Decimal.sqrt,
        "log": _logarithm,
        "sin": _sine,
        "cos": _cosine,
    }
    wrapped.update({name: _through_mpmath(reference) for name, reference in MPMATH[0].items()})
    functions = {**wrapped, **{name: _elementwise(function) for name, function in own.items()}, "mpf": Decimal}
    functions["half_power"] = lambda base, twice: functions["sqrt"](base) ** twice
    return functions


def _elementwise(function: Callable[..., Decimal]) -> Callable[..., Any]:
    """Function of numbers or arrays; neighbouring points of a difference often share an argument."""

    @lru_cache(maxsize=8192)
    def known(digits: int, *arguments: Any) -> Decimal:
        return function(*map(as_decimal, arguments))

    def applied(*arguments: Any) -> Any:
        precision = getcontext().prec
        if any(isinstance(a, np.ndarray) for a in arguments):
            return np.frompyfunc(lambda *given: known(precision, *given), len(arguments), 1)(*arguments)
        return known(precision, *arguments)

    return applied


def _logarithm(value: Decimal, base: Decimal | None = None) -> Decimal:
    return value.ln() if base is None else value.ln() / base.ln()


def _sine(x: Decimal) -> Decimal:
    """Taylor's series, after the argument is brought near zero by periods and then by thirds."""
    with localcontext() as context:
        context.prec += 10 + max(0, x.adjusted())
        x = x % (2 * _pi(context.prec))
        n_thirds = 8
        term = total = x = x / 3**n_thirds
        square, k = x * x, 1
        while abs(term) > abs(total).scaleb(-context.prec):
            term = -term * square / ((k + 1) * (k + 2))
            total, k = total + term, k + 2
        for _ in range(n_thirds):
            total = total * (3 - 4 * total * total)
    return +total


def _cosine(x: Decimal) -> Decimal:
    with localcontext() as context:
        context.prec += 10
        moved = x + _pi(context.prec) / 2
    return _sine(moved)


@lru_cache(maxsize=64)
def _pi(n: int) -> Decimal:
    with mpmath.workdps(n + 10):
        return Decimal(mpmath.nstr(mpmath.pi, n + 5))


def _through_mpmath(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*arguments: Any) -> Decimal:
        with mpmath.workdps(getcontext().prec):
            return as_decimal(function(*map(as_mpf, arguments)))

    return _elementwise(wrapped)
