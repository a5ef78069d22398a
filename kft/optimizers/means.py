"""Running means, in place."""

import tensorflow as tf


def approach(mean: tf.Variable, value: tf.Tensor, decay: float) -> None:
    """mean = decay * mean + (1 - decay) * value, with one temporary tensor."""
    share = tf.constant(1.0 - decay, mean.dtype)
    tf.raw_ops.ResourceApplyGradientDescent(var=mean.handle, alpha=share, delta=mean - value)
