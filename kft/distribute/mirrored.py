"""Several devices of one machine, each with a copy of the model and a share of every batch."""

import functools
from collections.abc import Sequence

import tensorflow as tf

from kft import errors


def mirrored(devices: Sequence[str] | None = None) -> tf.distribute.Strategy:
    """A MirroredStrategy; the same one for the same devices, as two of them would mix up their reductions.

    Args:
      devices: names such as "GPU:0"; None takes all GPUs, or all logical CPUs where there are several.

    Raises: InputError if there are fewer than two devices, or one named is not there.
    """
    there = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()]
    if devices is None:
        gpus = [name for name in there if name.startswith("GPU:")]
        devices = gpus or [name for name in there if name.startswith("CPU:")]
    missing = sorted(set(devices) - set(there))
    if missing:
        raise errors.InputError(f"Got devices {missing!r}. Expected some of {there!r}. Name devices that are there.")
    if len(devices) < 2:
        raise errors.InputError(f"Got {list(devices)!r} for mirrored. Expected two devices at least. Use 'one_device'.")
    return _strategy_of(tuple(devices))


@functools.cache
def _strategy_of(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    # Each new strategy numbers its collective operations from the start, and TensorFlow keeps the shapes of those
    # numbers for the whole process: a second one on the same devices fails with "Shape mismatch in the collective".
    return tf.distribute.MirroredStrategy(list(devices))
