"""What Elemwise applies to each element: arithmetic, comparisons, elementary functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

import numpy as np
import tensorflow as tf
import theano.scalar as ts
from theano.compile.ops import Rebroadcast
from theano.graph.basic import Constant
from theano.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from theano.tensor.nnet.nnet import ScalarSoftsign
from theano.tensor.nnet.sigm import ScalarSigmoid, ScalarSoftplus, UltraFastScalarSigmoid
from theano.tensor.xlogx import XlogX, XlogY0

from implicitops.sampling.translation.dispatch import (
    Missing,
    apply,
    cast,
    entry_of,
    missing_inside,
    missing_of,
    register,
    sorted_nodes,
)

Formula = Callable[..., Any]


def register_formula(*classes: type, common: bool = False) -> Callable[[Formula], Formula]:
    """Decorator that registers a formula of tensors alone, whose dtypes were made equal.

    Parameters
    ----------
    *classes : subclasses of theano.scalar.ScalarOp
    common : bool, whether the inputs are cast to the dtype that they have in common, instead of to that of the output
    """

    def decorate(formula: Formula) -> Formula:
        @register(*classes)
        def function(op: Any, node: Any, *tensors: Any) -> Any:
            if common:
                dtype = reduce(np.promote_types, (t.dtype.as_numpy_dtype for t in tensors))
            else:
                dtype = node.outputs[0].dtype
            return formula(*(cast(t, dtype) for t in tensors))

        return formula

    return decorate


def _missing_scalars(op: Any, node: Any) -> Iterable[Missing]:
    return missing_of(op.scalar_op, node)


@register(Elemwise, requires=_missing_scalars)
def elemwise(op: Any, node: Any, *tensors: Any) -> Any:
    """Scalar Op on arrays, which broadcast."""
    entry = entry_of(op.scalar_op)
    assert entry is not None  # `requires` saw to it
    return entry.function(op.scalar_op, node, *tensors)


@register(ts.Composite, requires=lambda op, node: missing_inside(op.inputs, op.outputs))
def composite(op: Any, node: Any, *tensors: Any) -> list[Any]:
    """Several scalar Ops that Theano's optimiser fused; results have the inputs' common shape."""
    nodes, roots = sorted_nodes(op.inputs, op.outputs)
    values = dict(zip(op.inputs, tensors))
    values.update((v, np.asarray(v.data, dtype=v.dtype)) for v in roots)
    for inner in nodes:
        values.update(zip(inner.outputs, apply(inner, values)))
    return [_spread(tf.convert_to_tensor(values[v]), tensors) for v in op.outputs]


def _spread(value: Any, others: Iterable[Any]) -> Any:
    """Value in the shape that it and the other tensors have in common."""
    static = [t.shape for t in (value, *others)]
    if all(s.is_fully_defined() for s in static):
        shape = reduce(tf.broadcast_static_shape, static)
        return value if shape == value.shape else tf.broadcast_to(value, shape)
    return tf.broadcast_to(value, reduce(tf.broadcast_dynamic_shape, [tf.shape(t) for t in (value, *others)]))


# -- arithmetic -------------------------------------------------------------------------------------------------------


@register_formula(ts.Add)
def add(*terms: Any) -> Any:
    """Sum; of booleans, whether one of them is true."""
    return reduce(tf.logical_or if terms[0].dtype == tf.bool else tf.add, terms)


@register_formula(ts.Mul)
def multiply(*factors: Any) -> Any:
    """Product; of booleans, whether all of them are true."""
    return reduce(tf.logical_and if factors[0].dtype == tf.bool else tf.multiply, factors)


@register_formula(ts.Clip)
def clip(x: Any, lower: Any, upper: Any) -> Any:
    """Nearest number between two limits; at a limit the derivative is that of x, as in Theano."""
    return tf.where(x < lower, lower, tf.where(x > upper, upper, x))


@register_formula(ts.Abs)
def absolute(x: Any) -> Any:
    """Absolute value."""
    return x if x.dtype.is_unsigned or x.dtype == tf.bool else tf.abs(x)


@register_formula(ts.ScalarMaximum)
def maximum(x: Any, y: Any) -> Any:
    """Larger number; NaN if one of them is."""
    return tf.logical_or(x, y) if x.dtype == tf.bool else _with_nan(tf.maximum(x, y), x, y)


@register_formula(ts.ScalarMinimum)
def minimum(x: Any, y: Any) -> Any:
    """Smaller number; NaN if one of them is."""
    return tf.logical_and(x, y) if x.dtype == tf.bool else _with_nan(tf.minimum(x, y), x, y)


def _with_nan(extreme: Any, x: Any, y: Any) -> Any:
    """Extreme that is NaN where a number is, which XLA does not see to."""
    if not x.dtype.is_floating:
        return extreme
    has_nan = tf.logical_or(tf.math.is_nan(x), tf.math.is_nan(y))
    return tf.where(has_nan, tf.constant(np.nan, x.dtype), extreme)


@register_formula(ts.Second)
def second(x: Any, y: Any) -> Any:
    """The second of two numbers, in the shape of both."""
    return _spread(y, [x])


@register_formula(ts.RoundHalfAwayFromZero)
def round_half_away_from_zero(x: Any) -> Any:
    """Nearest integer as C's ``round`` gives it."""
    return tf.where(x > 0, tf.floor(x + 0.5), tf.math.ceil(x - 0.5))


@register_formula(ts.Trunc)
def truncate(x: Any) -> Any:
    """Integer towards zero."""
    return tf.where(x < 0, tf.math.ceil(x), tf.floor(x))


def _scaled(factor: float) -> Formula:
    return lambda x: x * tf.constant(factor, x.dtype)


for _op_class, _formula in {
    ts.Sub: tf.subtract,
    ts.TrueDiv: tf.divide,
    ts.IntDiv: tf.math.floordiv,
    ts.Mod: tf.math.floormod,
    ts.Pow: tf.pow,
    ts.Identity: tf.identity,
    ts.Cast: tf.identity,  # the inputs have the output's dtype already
    ts.Sgn: tf.sign,
    ts.Ceil: tf.math.ceil,
    ts.Floor: tf.floor,
    ts.RoundHalfToEven: tf.round,
    ts.Neg: tf.negative,
    ts.Inv: tf.math.reciprocal,
    ts.Sqr: tf.square,
    ts.Sqrt: tf.sqrt,
    ts.Conj: tf.math.conj,
    ts.Deg2Rad: _scaled(np.pi / 180),
    ts.Rad2Deg: _scaled(180 / np.pi),
}.items():
    register_formula(_op_class)(_formula)


# -- comparisons and logic --------------------------------------------------------------------------------------------


def _ordered(comparison: Formula) -> Formula:
    """Comparison that TensorFlow lacks for booleans."""

    def compare(x: Any, y: Any) -> Any:
        return comparison(cast(x, tf.int8), cast(y, tf.int8)) if x.dtype == tf.bool else comparison(x, y)

    return compare


for _op_class, _formula in {
    ts.LT: _ordered(tf.less),
    ts.GT: _ordered(tf.greater),
    ts.LE: _ordered(tf.less_equal),
    ts.GE: _ordered(tf.greater_equal),
    ts.NEQ: tf.not_equal,
}.items():
    register_formula(_op_class, common=True)(_formula)


@register(ts.EQ)
def equal(op: Any, node: Any, x: Any, y: Any) -> Any:
    """Whether two numbers are equal; a floating sum and a constant, whether they differ by rounding alone.

    TensorFlow adds in another order than Theano. PyMC3's Multinomial asks whether probabilities add up to 1: taken
    literally, rounding would make its density zero at points without any pattern.
    """
    dtype = tf.as_dtype(np.promote_types(x.dtype.as_numpy_dtype, y.dtype.as_numpy_dtype))
    x, y = cast(x, dtype), cast(y, dtype)
    if dtype.is_floating and any(_is_sum(a) and _is_constant(b) for a, b in (node.inputs, node.inputs[::-1])):
        return tf.abs(x - y) <= 16 * np.finfo(dtype.as_numpy_dtype).eps * tf.abs(y)
    return tf.equal(x, y)


def _without_views(variable: Any) -> Any:
    while variable.owner is not None and isinstance(variable.owner.op, (DimShuffle, Rebroadcast)):
        variable = variable.owner.inputs[0]
    return variable


def _is_sum(variable: Any) -> bool:
    owner = _without_views(variable).owner
    return owner is not None and isinstance(owner.op, CAReduce) and isinstance(owner.op.scalar_op, ts.Add)


def _is_constant(variable: Any) -> bool:
    return isinstance(_without_views(variable), Constant)


@register(ts.IsNan)
def is_nan(op: Any, node: Any, x: Any) -> Any:
    """Whether a number is NaN."""
    return tf.math.is_nan(x) if x.dtype.is_floating else tf.zeros_like(x, tf.bool)


@register(ts.IsInf)
def is_infinite(op: Any, node: Any, x: Any) -> Any:
    """Whether a number is infinite."""
    return tf.math.is_inf(x) if x.dtype.is_floating else tf.zeros_like(x, tf.bool)


@register(ts.InRange)
def in_range(op: Any, node: Any, x: Any, lower: Any, upper: Any) -> Any:
    """Whether a number lies in an interval."""
    above = x > lower if op.openlow else x >= lower
    below = x < upper if op.openhi else x <= upper
    return tf.logical_and(above, below)


@register(ts.Switch)
def switch(op: Any, node: Any, condition: Any, x: Any, y: Any) -> Any:
    """One of two numbers."""
    dtype = node.outputs[0].dtype
    return tf.where(cast(condition, tf.bool), cast(x, dtype), cast(y, dtype))


def _bitwise(of_integers: Formula, of_booleans: Formula) -> Formula:
    def combine(*tensors: Any) -> Any:
        return reduce(of_booleans if tensors[0].dtype == tf.bool else of_integers, tensors)

    return combine


register_formula(ts.OR)(_bitwise(tf.bitwise.bitwise_or, tf.logical_or))
register_formula(ts.AND)(_bitwise(tf.bitwise.bitwise_and, tf.logical_and))
register_formula(ts.XOR)(_bitwise(tf.bitwise.bitwise_xor, tf.math.logical_xor))


@register_formula(ts.Invert)
def invert(x: Any) -> Any:
    """All bits changed."""
    return tf.logical_not(x) if x.dtype == tf.bool else tf.bitwise.invert(x)


# -- elementary functions ---------------------------------------------------------------------------------------------


def _logarithm(base: float) -> Formula:
    return lambda x: tf.math.log(x) / tf.constant(np.log(base), x.dtype)


def _x_log_x(x: Any) -> Any:
    return tf.math.xlogy(x, x)


def _exp2(x: Any) -> Any:
    return tf.pow(tf.constant(2, x.dtype), x)


for _op_class, _formula in {
    ts.Exp: tf.exp,
    ts.Exp2: _exp2,
    ts.Expm1: tf.math.expm1,
    ts.Log: tf.math.log,
    ts.Log2: _logarithm(2),
    ts.Log10: _logarithm(10),
    ts.Log1p: tf.math.log1p,
    ts.Sin: tf.sin,
    ts.Cos: tf.cos,
    ts.Tan: tf.tan,
    ts.ArcSin: tf.asin,
    ts.ArcCos: tf.acos,
    ts.ArcTan: tf.atan,
    ts.ArcTan2: tf.atan2,
    ts.Sinh: tf.sinh,
    ts.Cosh: tf.cosh,
    ts.Tanh: tf.tanh,
    ts.ArcSinh: tf.asinh,
    ts.ArcCosh: tf.acosh,
    ts.ArcTanh: tf.atanh,
    ScalarSigmoid: tf.sigmoid,
    ScalarSoftplus: tf.math.softplus,
    ScalarSoftsign: tf.math.softsign,
    XlogX: _x_log_x,
    XlogY0: tf.math.xlogy,
}.items():
    register_formula(_op_class)(_formula)


@register_formula(UltraFastScalarSigmoid)
def ultra_fast_sigmoid(x: Any) -> Any:
    """Theano's rational approximation of the logistic function."""
    z = 0.5 * tf.abs(x)
    near, middle = 1.5 * z / (1 + z), 0.935409070603099 + 0.0458812946797165 * (z - 1.7)
    rise = tf.where(z < 1.7, near, tf.where(z < 3, middle, tf.constant(0.99505475368673, x.dtype)))
    return 0.5 * (tf.sign(x) * rise + 1)
