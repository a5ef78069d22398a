"""Running means, in place."""

import tensorflow as tf


def approach(mean: tf.Variable, value: tf.Tensor, decay: float) -> tf.Tensor:
    """mean = decay * mean + (1 - decay) * value, with one temporary tensor.

    Returns: the new mean, in the dtype of value: where mean is of a lower one, as it is before it is rounded to that.
    """
    if mean.dtype != value.dtype:
        return store(mean, value + tf.constant(decay, value.dtype) * (tf.cast(mean, value.dtype) - value))
    share = tf.constant(1.0 - decay, mean.dtype)
    tf.raw_ops.ResourceApplyGradientDescent(var=mean.handle, alpha=share, delta=mean - value)
    return tf.convert_to_tensor(mean)


def store(slot: tf.Variable, value: tf.Tensor) -> tf.Tensor:
    """Puts a value into a slot, rounded to the nearest number of its dtype; the value itself."""
    slot.assign(tf.cast(value, slot.dtype))
    return value
