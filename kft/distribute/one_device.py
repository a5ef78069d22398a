"""One device: the first GPU, or the CPU."""

from collections.abc import Sequence

import tensorflow as tf

from kft import errors


def one_device(devices: Sequence[str] | None = None) -> tf.distribute.Strategy:
    """TensorFlow's default strategy, or one on the device named.

    Args:
      devices: None, or one name.

    Raises: InputError for several, or one that this machine does not have.
    """
    if devices is None:
        return tf.distribute.get_strategy()
    if len(devices) != 1:
        raise errors.InputError(f"Got devices={list(devices)!r} for one_device. Expected one. Use 'mirrored'.")
    there = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()]
    if devices[0] not in there:
        raise errors.InputError(f"Got device {devices[0]!r}. Expected one of {there!r}. Name a device that is there.")
    return tf.distribute.OneDeviceStrategy(devices[0])
