"""Softmax and its relatives from ``theano.tensor.nnet``, with the gradients that Theano has Ops for."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from theano.tensor.nnet import nnet

from implicitops.sampling.translation.dispatch import register


@register(nnet.Softmax)
def softmax(op: Any, node: Any, x: Any) -> Any:
    """Exponentials of each row, divided by their sum."""
    return tf.nn.softmax(x)


@register(nnet.SoftmaxWithBias)
def softmax_with_bias(op: Any, node: Any, x: Any, bias: Any) -> Any:
    """Softmax of rows to which a vector is added."""
    return tf.nn.softmax(x + bias)


@register(nnet.SoftmaxGrad)
def softmax_gradient(op: Any, node: Any, cotangent: Any, probabilities: Any) -> Any:
    """Cotangent of softmax's argument."""
    weighted = cotangent * probabilities
    return weighted - tf.reduce_sum(weighted, axis=1, keepdims=True) * probabilities


@register(nnet.LogSoftmax)
def log_softmax(op: Any, node: Any, x: Any) -> Any:
    """Logarithm of softmax."""
    return tf.nn.log_softmax(x)


@register(nnet.CrossentropyCategorical1Hot)
def cross_entropy(op: Any, node: Any, probabilities: Any, labels: Any) -> Any:
    """Negative logarithm of each row's probability of its label."""
    return -tf.math.log(tf.gather(probabilities, labels, axis=1, batch_dims=1))
