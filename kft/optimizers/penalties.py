"""Penalties on the size of weights, by rules over paths."""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from kft import errors
from kft.paths import Rules


def rules(name: str, value: float | Rules[float]) -> tuple[tuple[str, float], ...]:
    """A penalty as rules over paths; a number is one for all variables."""
    given = ((".*", value),) if isinstance(value, (int, float)) else value
    given = tuple((str(pattern), float(penalty)) for pattern, penalty in given)
    for pattern, penalty in given:
        if not 0 <= penalty < math.inf:
            raise errors.InputError(f"Got {name} {penalty!r} for {pattern!r}. Expected a number >= 0. Use 0 for none.")
    return given


def value(variables: Sequence[keras.Variable], l1: Sequence[float], l2: Sequence[float]) -> tf.Tensor:
    """sum of l1 * sum(abs(w)) + l2 / 2 * sum(w ** 2), float32; l1 and l2 have a number for each variable."""
    total = tf.zeros([])
    for variable, first, second in zip(variables, l1, l2, strict=True):
        if first:
            total += first * tf.cast(tf.reduce_sum(tf.abs(variable.value)), tf.float32)
        if second:
            total += second * tf.cast(tf.nn.l2_loss(variable.value), tf.float32)
    return total


def with_gradient(g: tf.Tensor, w: tf.Variable, l1: float, l2: float) -> tf.Tensor:
    """g and the gradient of the penalties on w."""
    if l2:
        g += tf.constant(l2, g.dtype) * w
    if l1:
        g += tf.constant(l1, g.dtype) * tf.sign(w)
    return g
