"""SymPy expressions computed with TensorFlow's own functions, in float64. No solver and no derivative rule lives here.

It serves graphs that no machine code of ours can reach, such as those that XLA compiles for an accelerator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import sympy as sp
import tensorflow as tf
from sympy.codegen import cfunctions
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanFalse, BooleanTrue

from implicitops.codegen import Bundle, UnsupportedExpressionError

_m = tf.math

#: Functions of real numbers by their SymPy class.
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    sp.Abs: tf.abs,
    sp.Heaviside: lambda x, at_zero: tf.where(x > 0, 1.0 + 0 * x, tf.where(x < 0, 0 * x, at_zero + 0 * x)),
    sp.Max: lambda *xs: _reduced(tf.maximum, xs),
    sp.Min: lambda *xs: _reduced(tf.minimum, xs),
    sp.ceiling: _m.ceil,
    sp.conjugate: tf.identity,
    sp.cos: _m.cos,
    sp.cosh: _m.cosh,
    sp.digamma: _m.digamma,
    sp.erf: _m.erf,
    sp.erfc: _m.erfc,
    sp.erfinv: _m.erfinv,
    sp.exp: _m.exp,
    sp.floor: _m.floor,
    sp.log: lambda x, *base: _m.log(x) / _m.log(*base) if base else _m.log(x),
    sp.loggamma: lambda x: tf.where(x > 0, _m.lgamma(x), math.nan + 0 * x),
    sp.re: tf.identity,
    sp.sign: _m.sign,
    sp.sin: _m.sin,
    sp.sinh: _m.sinh,
    sp.tan: _m.tan,
    sp.tanh: _m.tanh,
    sp.acos: _m.acos,
    sp.acosh: _m.acosh,
    sp.asin: _m.asin,
    sp.asinh: _m.asinh,
    sp.atan: _m.atan,
    sp.atan2: _m.atan2,
    sp.atanh: _m.atanh,
    sp.cot: lambda x: 1 / _m.tan(x),
    sp.coth: lambda x: 1 / _m.tanh(x),
    sp.csc: lambda x: 1 / _m.sin(x),
    sp.csch: lambda x: 1 / _m.sinh(x),
    sp.sec: lambda x: 1 / _m.cos(x),
    sp.sech: lambda x: 1 / _m.cosh(x),
    sp.Mod: _m.floormod,
    cfunctions.Cbrt: lambda x: _m.sign(x) * _m.pow(tf.abs(x), 1 / 3),
    cfunctions.Sqrt: _m.sqrt,
    cfunctions.exp2: lambda x: _m.pow(2.0 + 0 * x, x),
    cfunctions.expm1: _m.expm1,
    cfunctions.fma: lambda x, y, z: x * y + z,
    cfunctions.hypot: lambda x, y: _m.sqrt(x * x + y * y),
    cfunctions.log10: lambda x: _m.log(x) / math.log(10.0),
    cfunctions.log1p: _m.log1p,
    cfunctions.log2: lambda x: _m.log(x) / math.log(2.0),
}

_RELATIONS: dict[Any, Callable[[Any, Any], Any]] = {
    sp.Lt: tf.less,
    sp.Le: tf.less_equal,
    sp.Gt: tf.greater,
    sp.Ge: tf.greater_equal,
    sp.Eq: tf.equal,
    sp.Ne: tf.not_equal,
}


def evaluate(bundle: Bundle, values: Sequence[Any]) -> list[Any]:
    """Outputs of a bundle.

    Parameters
    ----------
    bundle : Bundle
    values : float64 tensors that broadcast, one for each of ``bundle.inputs``

    Returns
    -------
    list of tensors, one for each of ``bundle.outputs``; a constant has shape ()

    Raises
    ------
    UnsupportedExpressionError : TensorFlow has no such function
    """
    known: dict[sp.Basic, Any] = dict(zip(bundle.inputs, values))
    for symbol, definition in bundle.definitions:
        known[symbol] = _value(definition, known)
    return [_value(output, known) for output in bundle.outputs]


def _value(expression: sp.Basic, known: dict[sp.Basic, Any]) -> Any:
    found = known.get(expression)
    if found is None:
        found = known[expression] = _computed(expression, known)
    return found


def _computed(expression: Any, known: dict[sp.Basic, Any]) -> Any:
    if isinstance(expression, (BooleanTrue, BooleanFalse)):
        return tf.constant(bool(expression))
    if expression.is_number and not isinstance(expression, (sp.Piecewise, Relational)):
        return tf.constant(_number(expression), tf.float64)
    if isinstance(expression, sp.Piecewise):
        return _piecewise(expression, known)
    arguments = [_value(argument, known) for argument in expression.args]
    if isinstance(expression, sp.Add):
        return _reduced(tf.add, arguments)
    if isinstance(expression, sp.Mul):
        return _reduced(tf.multiply, arguments)
    if isinstance(expression, sp.Pow):
        return _power(expression, arguments)
    if isinstance(expression, sp.And):
        return _reduced(tf.logical_and, arguments)
    if isinstance(expression, sp.Or):
        return _reduced(tf.logical_or, arguments)
    if isinstance(expression, sp.Not):
        return tf.logical_not(*arguments)
    for table in (_RELATIONS, FUNCTIONS):
        for kind, function in table.items():
            if type(expression) is kind:
                return function(*arguments)
    raise UnsupportedExpressionError(
        f"TensorFlow has no function for {type(expression).__name__} in {expression}, which is computed without "
        "machine code here. Run the function on the CPU."
    )


def _number(expression: sp.Expr) -> float:
    try:
        return float(expression)
    except TypeError:
        return math.nan  # complex, or zoo


def _power(expression: sp.Pow, arguments: Sequence[Any]) -> Any:
    base, exponent = expression.args
    if exponent == sp.Rational(1, 2):
        return _m.sqrt(arguments[0])
    if exponent == sp.Rational(-1, 2):
        return 1 / _m.sqrt(arguments[0])
    if exponent == -1:
        return 1 / arguments[0]
    if exponent == 2:
        return arguments[0] * arguments[0]
    return _m.exp(arguments[1]) if base is sp.E else _m.pow(*arguments)


def _piecewise(expression: sp.Piecewise, known: dict[sp.Basic, Any]) -> Any:
    """The first branch whose condition holds; NaN where none does."""
    result = tf.constant(math.nan, tf.float64)
    for branch, condition in reversed(expression.args):
        value = _value(branch, known)
        result = value if condition == True else tf.where(_value(condition, known), value, result)  # noqa: E712
    return result


def _reduced(function: Callable[[Any, Any], Any], arguments: Sequence[Any]) -> Any:
    result = arguments[0]
    for argument in arguments[1:]:
        result = function(result, argument)
    return result


def rows_of(tensors: Sequence[Any], groups: Sequence[Sequence[Any]], shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """Numbers of several arrays as tensors of the batch shape alone, one for each Symbol of the groups."""
    rows: list[Any] = []
    for tensor, group, shape in zip(tensors, groups, shapes):
        rows.extend([tensor] if shape == () else tf.unstack(_flat(tensor, shape), len(group), axis=-1))
    return rows


def array_of(rows: Sequence[Any], shape: tuple[int, ...], batch: Any) -> Any:
    """An array from its numbers: the reverse of :func:`rows_of`."""
    full = [tf.broadcast_to(row, batch) for row in rows]
    return full[0] if shape == () else tf.reshape(tf.stack(full, axis=-1), joined(batch, shape))


def joined(batch: Any, shape: tuple[int, ...]) -> Any:
    """Batch shape, a tuple or a tensor, followed by a shape."""
    return (*batch, *shape) if isinstance(batch, tuple) else tf.concat([batch, shape], axis=0)


def _flat(tensor: Any, shape: tuple[int, ...]) -> Any:
    if len(shape) == 1:
        return tensor
    lead = tf.shape(tensor)[: tf.rank(tensor) - len(shape)]
    return tf.reshape(tensor, tf.concat([lead, [math.prod(shape)]], axis=0))
