"""Splines of SciPy, which PyMC3's Interpolated is made of: piecewise polynomials, differentiated as such."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from pymc3.distributions.dist_math import SplineWrapper
from scipy.interpolate import PPoly

from implicitops.errors import TranslationError
from implicitops.sampling.translation.dispatch import register


@register(SplineWrapper)
def spline(op: Any, node: Any, x: Any) -> Any:
    """Value of a spline; outside its knots as its ``ext`` says."""
    pieces = PPoly.from_spline(op.spline._eval_args, extrapolate=True)
    knots = np.unique(pieces.x)
    # Knots that coincide have pieces of length zero between them.
    coefficients = pieces.c[:, np.flatnonzero(np.diff(pieces.x) > 0)]
    low, high = knots[0], knots[-1]
    outside = tf.logical_or(x < low, x > high)
    if op.spline.ext in (3, "const"):
        x = tf.clip_by_value(x, low, high)
    piece = tf.searchsorted(tf.constant(knots[1:-1], x.dtype), tf.reshape(x, [-1]), side="right")
    piece = tf.reshape(piece, tf.shape(x))
    t = x - tf.gather(tf.constant(knots[:-1], x.dtype), piece)
    value = tf.zeros_like(x)
    for row in coefficients:
        value = value * t + tf.gather(tf.constant(row, x.dtype), piece)
    if op.spline.ext in (0, 3, "extrapolate", "const"):
        return value
    if op.spline.ext in (1, "zeros"):
        return tf.where(outside, tf.zeros_like(value), value)
    raise TranslationError(f"a spline with ext={op.spline.ext!r} has no translation; use 0, 1 or 3.")
