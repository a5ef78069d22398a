"""One device: the first GPU, or the CPU."""

from collections.abc import Sequence

import tensorflow as tf

from kft import errors


def one_device(devices: Sequence[str] | None = None) -> tf.distribute.Strategy:
    """TensorFlow's default strategy, or one on the device named.

    Args:
      devices: None, or one name.
    """
    if devices is None:
        return tf.distribute.get_strategy()
    if len(devices) != 1:
        raise errors.InputError(f"Got devices={list(devices)!r} for one_device. Expected one. Use 'mirrored'.")
    return tf.distribute.OneDeviceStrategy(devices[0])
