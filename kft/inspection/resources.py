"""What a training takes of its machine."""

import resource
import sys

import tensorflow as tf


def process_bytes() -> int:
    """The most memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def device_gib() -> float | None:
    """The most memory that was used on the first GPU, in GiB; None without one."""
    if not tf.config.list_logical_devices("GPU"):
        return None
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**30


def seconds_on_host() -> tf.Variable:
    """A sum of seconds that a step can add to."""
    with tf.init_scope(), tf.device("CPU:0"):
        return tf.Variable(0.0, dtype=tf.float64, trainable=False)
