"""TPUs. Never run so far: there was none to try it on."""

import os
from collections.abc import Sequence

import tensorflow as tf

from kft import errors


def tpu(devices: Sequence[str] | None = None) -> tf.distribute.Strategy:
    """A TPUStrategy over the TPU of this machine, or the one that the environment names (TPU_NAME).

    Args:
      devices: None.

    Raises: InputError if there is no TPU.
    """
    if devices is not None:
        raise errors.InputError(f"Got devices={list(devices)!r} for tpu. Expected none. Leave them out.")
    try:
        name = os.environ.get("TPU_NAME", "local")
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise errors.InputError(
            f"Got strategy 'tpu', and no TPU was found: {str(error)[:200]}. Expected one on this machine, or TPU_NAME. "
            "Use 'one_device'."
        ) from error
