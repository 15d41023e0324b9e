"""Special functions of one or two numbers, for Elemwise: gamma, error and Bessel functions and their relatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import theano.scalar.basic_scipy as tss
from pymc3.distributions import dist_math

from implicitops.sampling.translation.dispatch import register
from implicitops.sampling.translation.elementwise import Formula, register_formula


@register_formula(tss.Gamma)
def gamma(x: Any) -> Any:
    """Gamma function; its sign is that of the factors of the recurrence."""
    is_negative = tf.logical_and(x < 0, tf.not_equal(tf.math.floormod(tf.floor(x), 2), 0))
    return tf.where(is_negative, -tf.ones_like(x), tf.ones_like(x)) * tf.exp(tf.math.lgamma(x))


@register(tss.GammaLn)
def log_gamma(op: Any, node: Any, x: Any) -> Any:
    """Logarithm of abs(Gamma); of short integers, whose result is in single precision, rounded only at the end."""
    return tf.math.lgamma(tf.cast(x, tf.float64) if x.dtype.is_integer else x)


#: B_2, B_4, ... B_16 of Bernoulli.
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


@register_formula(tss.TriGamma)
def trigamma(x: Any) -> Any:
    """Second derivative of log Gamma, which XLA knows to seven digits only.

    Reflection, ten steps of the recurrence, and the asymptotic series (Abramowitz & Stegun 6.4.7, 6.4.6, 6.4.12).
    """
    y = tf.where(x < 0.5, 1 - x, x)
    below = tf.add_n([1 / tf.square(y + k) for k in range(10)])
    z = 1 / tf.square(y + 10)
    series = tf.zeros_like(z)
    for number in reversed(_BERNOULLI):
        series = z * (series + number)
    value = below + z / 2 + (1 + series) / (y + 10)
    return tf.where(x < 0.5, tf.square(np.pi / tf.sin(np.pi * x)) - value, value)


@register_formula(tss.Chi2SF)
def chi_squared_survival(x: Any, degrees: Any) -> Any:
    """Probability that a chi-squared variable exceeds x."""
    return tf.math.igammac(degrees / 2, x / 2)


@register_formula(tss.GammaU)
def upper_gamma(k: Any, x: Any) -> Any:
    """Upper incomplete gamma function."""
    return tf.math.igammac(k, x) * gamma(k)


@register_formula(tss.GammaL)
def lower_gamma(k: Any, x: Any) -> Any:
    """Lower incomplete gamma function."""
    return tf.math.igamma(k, x) * gamma(k)


def _unscaled(scaled: Formula) -> Formula:
    return lambda x: scaled(x) * tf.exp(tf.abs(x))


for _op_class, _formula in {
    tss.Erf: tf.math.erf,
    tss.Erfc: tf.math.erfc,
    tss.Erfinv: tf.math.erfinv,
    tss.Psi: tf.math.digamma,
    tss.GammaInc: tf.math.igamma,
    tss.GammaIncC: tf.math.igammac,
    tss.J0: tf.math.special.bessel_j0,
    tss.J1: tf.math.special.bessel_j1,
    tss.I0: _unscaled(tf.math.bessel_i0e),  # XLA knows the scaled functions alone
    tss.I1: _unscaled(tf.math.bessel_i1e),
    dist_math.I0e: tf.math.bessel_i0e,
    dist_math.I1e: tf.math.bessel_i1e,
}.items():
    register_formula(_op_class)(_formula)


@register_formula(tss.Erfcx)
def scaled_erfc(x: Any) -> Any:
    """exp(x^2) erfc(x)."""
    from tensorflow_probability import math as tfp_math

    return tfp_math.erfcx(x)


@register_formula(tss.Erfcinv)
@tf.custom_gradient
def inverse_erfc(x: Any) -> Any:
    """Inverse of erfc, to full precision in the tail, where XLA's own is infinite.

    Newton's method for log erfc(z) = log x with log erfc(z) = log erfcx(z) - z^2, from the leading asymptotic term.
    """
    tail = tf.minimum(x, 2 - x)
    far = tail < 0.5
    y = tf.where(far, tail, 0.5 * tf.ones_like(x))
    logarithm = tf.math.log(y)
    z = tf.sqrt(tf.maximum(-logarithm - 0.5 * tf.math.log(-np.pi * logarithm), 0.1))
    for _ in range(6):
        scaled = scaled_erfc(z)
        z = z + (tf.math.log(scaled) - tf.square(z) - logarithm) * scaled * (np.sqrt(np.pi) / 2)
    near = tf.math.erfinv(tf.where(far, tf.zeros_like(x), 1 - x))
    value = tf.where(far, tf.sign(1 - x) * z, near)
    value = tf.where(tf.equal(tail, 0), tf.sign(1 - x) * tf.constant(np.inf, x.dtype), value)

    def derivative(cotangent: Any) -> Any:
        return -cotangent * (np.sqrt(np.pi) / 2) * tf.exp(tf.square(inverse_erfc(x)))

    return value, derivative


@register(tss.Iv)
def bessel_i(op: Any, node: Any, order: Any, x: Any) -> Any:
    """Modified Bessel function of the first kind; of real order, by TensorFlow Probability."""
    from tensorflow_probability import math as tfp_math

    dtype = node.outputs[0].dtype
    order, x = tf.cast(order, dtype), tf.cast(x, dtype)
    return tfp_math.bessel_ive(order, x) * tf.exp(tf.abs(x))
